/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The forker: starts a worker for each SPAWN and kills it at KILL_WORKER.  Its children are the
 * parent's (CLONE_PARENT): that one reaps them, and when it dies they die.
 */
#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/ipc.h"
#include "policy/launch/launch.h"

#define WORKERS_MAX 1024

/* What is executed for each enum worker_kind. */
const struct launch_worker_kind launch_worker_kinds[WORKER_KINDS] = {
    [WORKER_SAVE] = {"save", "moat-save"},
};

static struct {
    uint32_t job;
    int pidfd;
} workers[WORKERS_MAX];
static unsigned nworkers;
static const int *programs;     /* by kind */

static void say(const char *what, const char *why)
{
    fprintf(stderr, "moat-forker: %s: %s\n", what, why);
}

/* 0 and *pidfd, or an errno. */
static int spawn(uint32_t job, uint32_t kind, const int fds[2], pid_t *pid, int *pidfd)
{
    /* With CLONE_PARENT the exit signal is that of the forker itself, SIGCHLD. */
    struct clone_args args = {.flags = CLONE_PARENT | CLONE_PIDFD, .pidfd = (uintptr_t)pidfd};

    if (!kind || kind >= WORKER_KINDS)
        return EINVAL;
    if (nworkers == WORKERS_MAX)
        return EAGAIN;
    for (unsigned i = 0; i < nworkers; i++)
        if (workers[i].job == job)
            return EEXIST;
    *pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (*pid < 0)
        return errno;
    if (!*pid)
        launch_become_worker(programs[kind], launch_worker_kinds[kind].argv0, fds);
    workers[nworkers].job = job;
    workers[nworkers++].pidfd = *pidfd;
    return 0;
}

static int handle_spawn(struct ipc_chan *warden, struct ipc_frame *f)
{
    const int fds[2] = {ipc_take_fd(f, 0), ipc_take_fd(f, 1)};
    struct msg_SPAWNED answer = {0};
    struct msg_SPAWN m;
    int pidfd = -1, rc;
    pid_t pid = 0;

    rc = ipc_decode(f, &m);
    if (!rc) {
        answer.errnum = spawn(f->job, m.kind, fds, &pid, &pidfd);
        answer.pid = answer.errnum ? 0 : (uint32_t)pid;
        rc = ipc_send(warden, MSG_SPAWNED, f->job, &answer, &pidfd, answer.errnum ? 0 : 1);
    }
    close(fds[0]);
    close(fds[1]);
    return rc;
}

/* Safe if the caller lies, because a pidfd of our own says who is meant, never a pid. */
static void kill_worker(uint32_t job)
{
    for (unsigned i = 0; i < nworkers; i++)
        if (workers[i].job == job &&
            syscall(SYS_pidfd_send_signal, workers[i].pidfd, SIGKILL, NULL, 0) && errno != ESRCH)
            say("cannot kill a worker", strerror(errno));
}

/* One frame.  0, or -errno when the channel has ended. */
static int from_warden(struct ipc_chan *warden)
{
    static struct ipc_frame f;
    int rc = ipc_recv(warden, &f);

    if (rc == 1) {
        rc = 0;
        if (f.type == MSG_SPAWN)
            rc = handle_spawn(warden, &f);
        else
            kill_worker(f.job);
        ipc_close_fds(&f);
    }
    if (rc == -EPROTO)
        say("warden", f.why);
    return rc;
}

int launch_forker_serve(int fd, const int *programs_by_kind)
{
    static struct pollfd p[WORKERS_MAX + 1];
    struct ipc_chan warden = {.fd = fd, .self = FORKER, .peer = WARDEN, .phase = PH_RUN,
                              .takes_fds = true};
    int rc = 0;

    programs = programs_by_kind;
    while (!rc) {
        p[0] = (struct pollfd){.fd = fd, .events = POLLIN};
        for (unsigned i = 0; i < nworkers; i++)
            p[i + 1] = (struct pollfd){.fd = workers[i].pidfd, .events = POLLIN};
        if (poll(p, nworkers + 1, -1) < 0 && errno != EINTR)
            rc = -errno;
        for (unsigned i = nworkers; i-- > 0;)
            if (p[i + 1].revents) {
                close(workers[i].pidfd);
                workers[i] = workers[--nworkers];
            }
        if (p[0].revents)
            rc = from_warden(&warden);
    }
    if (rc != -ECONNRESET)
        say("ends", strerror(-rc));
    return rc == -ECONNRESET ? 0 : 1;
}
