/* SPDX-License-Identifier: LGPL-2.1-only */
/* moat.conf is read by a child that has opened it and has no right left when it looks at it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/launch/launch.h"
#include "policy/rules/parse.h"
#include "policy/sandbox/sandbox.h"

#define READ_SECONDS 30         /* NSS may ask a server that does not answer */

static int write_all(int fd, const void *buf, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t r = pwrite(fd, (const char *)buf + done, len - done, (off_t)done);

        if (r < 0)
            return -1;
        done += (size_t)r;
    }
    return 0;
}

/* Rules that anybody can write are nobody's rules. */
static bool anybody_writes(FILE *f)
{
    struct stat st;

    return fstat(fileno(f), &st) || (st.st_mode & S_IWOTH && S_ISREG(st.st_mode));
}

static void __attribute__((noreturn)) child(const struct launch *l, int table, int daemon)
{
    static struct rules_table t;
    struct rules_daemon d = {0};
    const int keep[] = {0, 1, 2, table, daemon};
    char why[128];
    FILE *f;

    prctl(PR_SET_NAME, "moatd-rules");
    alarm(READ_SECONDS);
    sandbox_close_fds(keep, sizeof(keep) / sizeof(keep[0]));
    f = fopen(l->config, "re");     /* while still root: the file may be 0600 */
    if (!f) {
        fprintf(stderr, "moatd: %s: %s\n", l->config, strerror(errno));
        _exit(1);
    }
    if (anybody_writes(f)) {
        fprintf(stderr, "moatd: %s: everybody may write it: chmod o-w it first\n", l->config);
        _exit(1);
    }
    if (sandbox_become(l->moat.uid, l->moat.gid, 0, why)) {
        fprintf(stderr, "moatd: %s: %s\n", l->config, why);
        _exit(1);
    }
    if (rules_parse_stream(f, l->config, &t, &d, stderr) || write_all(table, &t, sizeof(t)) ||
        write_all(daemon, &d, sizeof(d)))
        _exit(1);
    _exit(0);
}

pid_t launch_read_rules(const struct launch *l, int *table, int *daemon)
{
    pid_t pid;
    int rc;

    *table = memfd_create("moat-rules", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    *daemon = memfd_create("moat-daemon", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*table < 0 || *daemon < 0 || ftruncate(*table, sizeof(struct rules_table)) ||
        ftruncate(*daemon, sizeof(struct rules_daemon))) {
        rc = -errno;
        goto out;
    }
    pid = launch_fork();
    if (!pid)
        child(l, *table, *daemon);
    if (pid > 0)
        return pid;
    rc = -errno;
out:
    close(*table);
    close(*daemon);
    *table = *daemon = -1;
    return rc;
}

/* The child was handed hostile text: what it made is looked at like anybody's. */
static int check_table(int fd)
{
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    const struct rules_table *t;
    struct stat st;
    bool ok;

    if (fcntl(fd, F_ADD_SEALS, seals) || fstat(fd, &st) || st.st_size != sizeof(*t))
        return -1;
    t = mmap(NULL, sizeof(*t), PROT_READ, MAP_PRIVATE, fd, 0);
    if (t == MAP_FAILED)
        return -1;
    ok = rules_table_ok(t);
    munmap((void *)(uintptr_t)t, sizeof(*t));
    return ok ? 0 : -1;
}

static int check_daemon(int fd, struct rules_daemon *d)
{
    struct rules_daemon got;

    if (pread(fd, &got, sizeof(got), 0) != sizeof(got) || got.socket[0] != '/' ||
        got.audit[0] != '/' || !memchr(got.socket, 0, sizeof(got.socket)) ||
        !memchr(got.audit, 0, sizeof(got.audit)))
        return -1;
    *d = got;
    return 0;
}

int launch_take_rules(int status, int table, int daemon, struct rules_daemon *d)
{
    int rc = -1;

    if (WIFSIGNALED(status))
        fprintf(stderr, "moatd: the reader of the rules was ended by signal %d%s\n",
                WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? ": users and groups took too long" : "");
    else if (!WEXITSTATUS(status))
        rc = check_table(table) || check_daemon(daemon, d) ? -1 : 0;
    if (rc && WIFEXITED(status) && !WEXITSTATUS(status))
        fprintf(stderr, "moatd: the table of rules is out of bounds\n");
    close(daemon);
    if (rc)
        close(table);
    return rc;
}
