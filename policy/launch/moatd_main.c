/* SPDX-License-Identifier: LGPL-2.1-only */
/* moatd: the service. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc/ipc.h"
#include "paths.h"
#include "policy/launch/launch.h"
#include "policy/sandbox/sandbox.h"

static const char usage[] =
    "usage: moatd [--config FILE] [--foreground]\n"
    "The privilege-separated Xen toolstack's service: started as root, it starts its resident\n"
    "processes under users of their own and stays in the foreground.\n"
    "  -c, --config FILE   rules and options (default " MOAT_CONF ")\n"
    "  -f, --foreground    what it does anyway\n"
    "  -h, --help          this text\n"
    "  -V, --version       the version\n"
    "SIGHUP reads the rules again; SIGTERM stops all.\n";

/* 0, 1 and 2 are open from here on, and nothing is read from or printed to a caller's pipes. */
static int standard_fds(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd < 3);
    if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0)
        return -1;
    return close(fd);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"foreground", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},         {"version", no_argument, NULL, 'V'},
        {0},
    };
    struct launch l = {.config = MOAT_CONF, .lock = -1, .undo = -1, .log = -1, .listener = -1,
                       .table = -1};
    int c;

    while ((c = getopt_long(argc, argv, "c:fhV", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            l.config = optarg;
            break;
        case 'f':
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_DONE;
        case 'V':
            puts("moatd " MOAT_VERSION);
            return EXIT_DONE;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind != argc) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (l.config[0] != '/') {
        fprintf(stderr, "moatd: --config needs an absolute path: it is read again after chdir\n");
        return EXIT_USAGE;
    }
    if (standard_fds()) {
        perror("moatd: /dev/null");
        return EXIT_FAILED;
    }
    /* A caller's lock files and pipes are not kept for our lifetime. */
    sandbox_close_fds((const int[]){0, 1, 2}, 3);
    /* Inherited: an ignored SIGCHLD would hide every death from us. */
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    /* A log behind stderr may outgrow a limit on files: that costs messages, not processes. */
    signal(SIGXFSZ, SIG_IGN);
    if (launch_setup(&l) || launch_cut())
        return EXIT_FAILED;
    return launch_supervise(&l);
}
