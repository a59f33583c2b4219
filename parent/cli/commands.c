/* SPDX-License-Identifier: LGPL-2.1-only */
/* The table of commands: help and usage come from here. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "parent/cli/cli.h"
#include "paths.h"

const struct cli_command cli_commands[] = {
    {"list", cmd_list, "list [-l] [-v] [DOMAIN...]", "the domains that you may see, as a table"},
    {"save", cmd_save,
     "save [-c|-p] [-D] [--live] [--deadline S] [--force] DOMAIN FILE",
     "save a domain into FILE (xl restore takes it)"},
    {"jobs", cmd_jobs, "jobs", "running operations"},
    {"cancel", cmd_cancel, "cancel JOB", "end a running operation; its domain goes on"},
    {"resume", cmd_resume, "resume DOMAIN",
     "let a suspended domain go on; be sure first that its image runs nowhere else"},
    {"audit", cmd_audit, "audit verify [--key KEY] [FILE] | show [--job N] [FILE]",
     "check or read the audit log"},
    {"policy", cmd_policy, "policy check [FILE] | explain [--file FILE] USER OPERATION DOMAIN",
     "check moat.conf, or say what it decides"},
    {"version", cmd_version, "version", "print the version"},
    {"help", cmd_help, "help [COMMAND]", "this list, or the usage of one command"},
    {NULL, NULL, NULL, NULL},
};

void cli_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("moat: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

static const struct cli_command *find(const char *name)
{
    for (const struct cli_command *c = cli_commands; c->name; c++)
        if (name && !strcmp(c->name, name))
            return c;
    return NULL;
}

int cli_usage(const char *command)
{
    const struct cli_command *c = find(command);

    if (c)
        fprintf(stderr, "usage: moat [-v] [--json] [--socket PATH] %s\n", c->usage);
    else
        fprintf(stderr, "usage: moat [-v] [--json] [--socket PATH] COMMAND ...; "
                        "`moat help` lists the commands\n");
    return EXIT_USAGE;
}

int cli_options_only(int argc, char **argv, const char *command)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"verbose", no_argument, NULL, 'v'}, {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "v", options, NULL)) != -1) {
        if (c == 'j')
            cli.json = true;
        else if (c == 'v')
            cli.verbose++;
        else
            return cli_usage(command);
    }
    return 0;
}

static const char save_options[] =
    "  -c            the domain runs on after the save\n"
    "  -p            the domain stays paused after the save\n"
    "                without -c and -p the domain is destroyed once FILE is complete and named\n"
    "  -D            keep the domid in the image's configuration\n"
    "  --live        copy memory while the domain runs, suspend it only for the rest\n"
    "  --deadline S  give up after S seconds; the domain goes on\n"
    "  --force       replace FILE if it exists\n"
    "  FILE          a file in a folder that you may write; - is standard output (-c or -p only)\n";

int cmd_help(int argc, char **argv)
{
    const struct cli_command *c = argc > 1 ? find(argv[1]) : NULL;

    if (argc > 1 && !c) {
        cli_error("no command \"%s\"; `moat help` lists them", argv[1]);
        return EXIT_USAGE;
    }
    if (c) {
        printf("usage: moat %s\n%s\n", c->usage, c->help);
        if (c->run == cmd_save)
            fputs(save_options, stdout);
        return EXIT_DONE;
    }
    printf("usage: moat [-v] [--json] [--socket PATH] COMMAND ...\n\n");
    for (c = cli_commands; c->name; c++)
        printf("  %-8s %s\n           moat %s\n", c->name, c->help, c->usage);
    printf("\nexit status: 0 done, 1 failed, 2 usage, 3 denied, 4 worker died, 5 timed out\n");
    return EXIT_DONE;
}

int cmd_version(int argc, char **argv)
{
    if (cli_options_only(argc, argv, "version"))
        return EXIT_USAGE;
    if (optind != argc)
        return cli_usage("version");
    if (cli.json)
        printf("{\"version\":\"%s\",\"protocol\":%d}\n", MOAT_VERSION, IPC_VERSION);
    else
        printf("moat %s (protocol %d)\n", MOAT_VERSION, IPC_VERSION);
    return EXIT_DONE;
}
