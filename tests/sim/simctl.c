/* SPDX-License-Identifier: LGPL-2.1-only */
/* simctl WORD...: one line to simhost, its answer to stdout.  README.md lists the words. */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/sim.h"

int main(int argc, char **argv)
{
    static char answer[60000];
    char line[4096] = "";
    size_t n = 0;
    int sock, r;

    if (argc < 2)
        errx(2, "usage: simctl WORD...");
    for (int i = 1; i < argc; i++) {
        int len = snprintf(line + n, sizeof(line) - n, "%s%s", i > 1 ? " " : "", argv[i]);

        if (len < 0 || (size_t)len >= sizeof(line) - n)
            errx(2, "too long");
        n += (size_t)len;
    }
    sock = sim_connect();
    if (sock < 0)
        errx(1, "no simhost: %s", strerror(-sock));
    r = sim_ask(sock, answer, sizeof(answer), NULL, "%s", line);
    n = strlen(answer);
    if (n && !r)
        printf("%s%s", answer, answer[n - 1] == '\n' ? "" : "\n");
    if (r)
        warnx("%s: %s", line, answer[0] ? answer : strerror(-r));
    return r ? 1 : 0;
}
