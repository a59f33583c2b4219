/* SPDX-License-Identifier: LGPL-2.1-only */
/* moat: options before the command, the table of commands. */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parent/cli/cli.h"

struct cli_options cli = {.socket = "/run/moat/moat.sock"};

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"verbose", no_argument, NULL, 'v'}, {"json", no_argument, NULL, 'j'},
        {"socket", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    signal(SIGPIPE, SIG_IGN);
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
    optind = 1;
    for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++)
        if (!strcmp(cmd->name, argv[0]))
            return cmd->run(argc, argv);
    cli_error("no command \"%s\"; `moat help` lists them", argv[0]);
    return EXIT_USAGE;
}
