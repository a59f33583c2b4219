/* SPDX-License-Identifier: LGPL-2.1-only */
/* moat: options before the command, the table of commands. */
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parent/cli/cli.h"

struct cli_options cli = {.socket = "/run/moat/moat.sock"};

/*
 * 0, 1 and 2 are taken from here on: FILE of a save would get such a number, and messages would
 * end in the image.  Opened the wrong way round, so that using them is still an error.
 */
static int standard_fds(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
            return -1;
    return 0;
}

/* A table that got lost, on a full disk say, is a failure; what a save did stays done. */
static int end(const struct cli_command *cmd, int code)
{
    if (!fflush(stdout) && !ferror(stdout))
        return code;
    cli_error("not all could be written to standard output");
    return code || cmd->run == cmd_save ? code : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"verbose", no_argument, NULL, 'v'}, {"json", no_argument, NULL, 'j'},
        {"socket", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    if (standard_fds()) {
        perror("moat: /dev/null");
        return EXIT_FAILED;
    }
    while ((c = getopt_long(argc, argv, "+vh", options, NULL)) != -1) {
        switch (c) {
        case 'v': cli.verbose++; break;
        case 'j': cli.json = true; break;
        case 's': cli.socket = optarg; break;
        case 'h': return cmd_help(1, (char *[]){(char *)"help", NULL});
        default: return cli_usage(NULL);
        }
    }
    if (optind == argc)
        return cli_usage(NULL);
    argv += optind;
    argc -= optind;
    optind = 0;     /* again from the start; options may stand after operands from here on */
    for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++)
        if (!strcmp(cmd->name, argv[0]))
            return end(cmd, cmd->run(argc, argv));
    cli_error("no command \"%s\"; `moat help` lists them", argv[0]);
    return EXIT_USAGE;
}
