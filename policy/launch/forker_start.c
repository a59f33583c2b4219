/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The forker's first moments, and a worker's.  The forker lives without a right, in a root that
 * holds the workers' programs and nothing else, and without a network.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/ipc.h"
#include "paths.h"
#include "policy/launch/fds.h"
#include "policy/launch/launch.h"
#include "policy/sandbox/sandbox.h"

#define EXIT_NO_EXEC 127

/* The forker's own fds lie where a worker's will be, so that a received one is never in the way. */
#define FD_CHANNEL FD_WORKER_PARENT
#define FD_PROC FD_WORKER_WARDEN
#define FD_NULL FD_STATUS

static int programs[WORKER_KINDS];

static void __attribute__((noreturn)) stop(const char *what, const char *why)
{
    fprintf(stderr, "moat-forker: not started: %s: %s\n", what, why);
    _exit(1);
}

/* In the worker, before exec: everything that it inherits is put in its place or closed. */
void launch_become_worker(int program, const char *argv0, const int fds[2])
{
    char *argv[] = {(char *)(uintptr_t)argv0, NULL};
    const int keep[] = {0, 1, 2, FD_WORKER_PARENT, FD_WORKER_WARDEN, FD_STATUS, program};
    int status = openat(FD_PROC, "self/status", O_RDONLY | O_CLOEXEC);

    if (status < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL))
        _exit(EXIT_NO_EXEC);
    for (int i = 0; i < 3; i++)
        if (dup2(FD_NULL, i) < 0)
            _exit(EXIT_NO_EXEC);
    if (dup2(fds[0], FD_WORKER_PARENT) < 0 || dup2(fds[1], FD_WORKER_WARDEN) < 0 ||
        dup2(status, FD_STATUS) < 0)
        _exit(EXIT_NO_EXEC);
    /* A worker waits in recv(). */
    for (int fd = FD_WORKER_PARENT; fd <= FD_WORKER_WARDEN; fd++)
        if (fcntl(fd, F_SETFL, 0))
            _exit(EXIT_NO_EXEC);
    sandbox_close_fds(keep, sizeof(keep) / sizeof(keep[0]));
    /* The forker's filter allows clone3, and a program in a worker's place may never load its own:
     * no process of a worker's can outlive its job. */
    if (setrlimit(RLIMIT_NPROC, &(struct rlimit){0, 0}))
        _exit(EXIT_NO_EXEC);
    execveat(program, "", argv, launch_environment, AT_EMPTY_PATH);
    _exit(EXIT_NO_EXEC);
}

/* The workers' programs, each bound by itself: nothing else of the host is there. */
static int bind_programs(const char *newroot, void *u)
{
    const unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV;

    for (int k = 1; k < WORKER_KINDS; k++) {
        char from[128], to[128];
        int fd;

        snprintf(from, sizeof(from), MOAT_LIBEXECDIR "/%s", launch_worker_kinds[k].program);
        snprintf(to, sizeof(to), "%s/%s", newroot, launch_worker_kinds[k].program);
        fd = open(to, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
        if (fd < 0 || close(fd) || mount(from, to, NULL, MS_BIND, NULL) ||
            mount(NULL, to, NULL, flags, NULL))
            return -errno;
    }
    return launch_sanitizer_root(newroot);
}

static int open_programs(char why[128])
{
    for (int k = 1; k < WORKER_KINDS; k++) {
        char path[32];

        snprintf(path, sizeof(path), "/%s", launch_worker_kinds[k].program);
        programs[k] = open(path, O_PATH | O_CLOEXEC);
        if (programs[k] < 0) {
            snprintf(why, 128, "%s: %s", path, strerror(errno));
            return -1;
        }
    }
    return 0;
}

void launch_forker(const struct launch *l, int warden, pid_t parent)
{
    struct sandbox_root root = {.exec = true, .setup = bind_programs};
    const int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int pairs[] = {warden, FD_CHANNEL, proc, FD_PROC, null, FD_NULL, -1};
    const int keep[] = {0, 1, 2, FD_CHANNEL, FD_PROC, FD_NULL};
    char why[128] = "";
    int rc, status;

    prctl(PR_SET_NAME, "moatd-forker");
    rc = proc < 0 || null < 0 ? -ENOENT : launch_place(pairs);
    if (rc)
        stop("/proc or /dev/null", strerror(-rc));
    sandbox_close_fds(keep, sizeof(keep) / sizeof(keep[0]));
    status = openat(FD_PROC, "self/status", O_RDONLY | O_CLOEXEC);
    /* Made while still root, so that no unprivileged user namespace is needed. */
    if (unshare(CLONE_NEWNET | CLONE_NEWIPC))
        stop("network namespace", strerror(errno));
    if (sandbox_new_root(&root, why) || open_programs(why))
        stop("root", why);
    if (sandbox_become(l->worker.uid, l->worker.gid, 0, why))
        stop("user", why);
    /* After the change of user, which would clear it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL))
        stop("death signal", strerror(errno));
    if (getppid() != parent)
        _exit(0);       /* the parent died before its death could be told */
    if (sandbox_lock(SANDBOX_FORKER, status, l->worker.uid, 0, why))
        stop("not locked", why);
    close(status);
    _exit(launch_forker_serve(FD_CHANNEL, programs));
}
