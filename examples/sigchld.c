/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * sigchld [--live] [--resume] DOMAIN-ID FILE: a save from a program that has children of its own
 * all the time and owns SIGCHLD.  It reaps whatever has died and offers each to libxl; what libxl
 * does not know is its own.
 */
#include "example.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 32     /* so many at a time at most */
#define EVERY 3         /* ticks: then there is a new one */

struct children {
    struct { pid_t pid; int status; } own[CHILDREN];    /* pid 0: free */
    unsigned started, ended, librarys, wrong;
};

/* ---------------------------------------------------------------------- signals */

static int signal_pipe[2];

/* libxl must not be called from a signal handler: the main loop learns of it by a byte. */
static void on_signal(int sig)
{
    int saved_errno = errno;
    unsigned char byte = (unsigned char)sig;

    /* A full pipe will do: the loop comes anyway. */
    if (write(signal_pipe[1], &byte, 1) < 0)
        errno = saved_errno;
    errno = saved_errno;
}

static int take_signals(void)
{
    struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART | SA_NOCLDSTOP };

    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) || sigaction(SIGCHLD, &sa, NULL) ||
        sigaction(SIGINT, &sa, NULL)) {
        perror("signals");
        return -1;
    }
    return 0;
}

/* ---------------------------------------------------------------------- children */

/* Its child ends with a status that can be recognised. */
static void start_child(struct children *c)
{
    unsigned i = 0;
    int status = (int)(c->started % 100);
    pid_t pid;

    while (i < CHILDREN && c->own[i].pid)
        i++;
    if (i == CHILDREN)
        return;
    pid = fork();
    if (pid < 0)
        return;
    if (!pid) {
        usleep(10000);
        _exit(status);
    }
    c->own[i].pid = pid;
    c->own[i].status = status;
    c->started++;
}

static void child_ended(struct children *c, pid_t pid, int status)
{
    for (unsigned i = 0; i < CHILDREN; i++) {
        if (c->own[i].pid != pid)
            continue;
        c->own[i].pid = 0;
        c->ended++;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != c->own[i].status)
            c->wrong++;
        return;
    }
    c->wrong++;         /* nobody's */
}

static void reap(libxl_ctx *ctx, struct children *c)
{
    int status, rc;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        rc = libxl_childproc_reaped(ctx, pid, status);
        if (!rc)
            c->librarys++;
        else if (rc == ERROR_UNKNOWN_CHILD)
            child_ended(c, pid, status);
        else
            c->wrong++;
    }
}

#ifndef EXAMPLE_LIBXL
/* libmoat's domain operations have no child, so here is one that libmoat looks after. */
static bool looked_after;

static void its_child_ended(libxl_ctx *ctx, moat_child *child, pid_t pid, int status, void *user)
{
    struct children *c = user;

    looked_after = WIFEXITED(status) && WEXITSTATUS(status) == 42;
    if (!looked_after)
        c->wrong++;
}

static int start_its_child(libxl_ctx *ctx, struct children *c)
{
    moat_child *child;
    pid_t pid = moat_child_fork(ctx, its_child_ended, c, &child);

    if (!pid) {
        usleep(10000);
        _exit(42);
    }
    return pid < 0 ? pid : 0;
}
#else
static const bool looked_after = true;

/* libxl's save is a child. */
static int start_its_child(libxl_ctx *ctx, struct children *c)
{
    return 0;
}
#endif

static const libxl_childproc_hooks childproc = {
    .chldowner = libxl_sigchld_owner_mainloop,
};

/* ---------------------------------------------------------------------- the program */

static void signals(struct save *s, struct children *c)
{
    unsigned char bytes[64];
    bool interrupted = false;
    ssize_t n;

    while ((n = read(signal_pipe[0], bytes, sizeof(bytes))) > 0)
        interrupted |= memchr(bytes, SIGINT, n) != NULL;
    reap(s->ctx, c);
    if (interrupted)
        save_abort(s);
}

/* One turn: as in poll.c, but the first entry of the array is the application's. */
static int turn(struct save *s, struct children *c, struct ticker *t)
{
    static struct pollfd fds[64];
    struct timeval now;
    unsigned ticks = t->count;
    int rc, r, timeout = ticker_due(t), nfds = 63;

    if (t->count != ticks && t->count % EVERY == 1)
        start_child(c);
    fds[0] = (struct pollfd){ .fd = signal_pipe[0], .events = POLLIN };
    gettimeofday(&now, NULL);
    rc = libxl_osevent_beforepoll(s->ctx, &nfds, fds + 1, &timeout, now);
    if (rc)
        return rc;
    r = poll(fds, nfds + 1, timeout);
    if (r < 0)
        return errno == EINTR ? 0 : ERROR_FAIL;
    gettimeofday(&now, NULL);
    libxl_osevent_afterpoll(s->ctx, nfds, fds + 1, now);
    if (fds[0].revents)
        signals(s, c);
    return 0;
}

static bool children_left(const struct children *c)
{
    return c->started != c->ended || !looked_after;
}

int main(int argc, char **argv)
{
    struct children children = { 0 };
    struct ticker ticker = { 0 };
    struct save s;
    int status;

    save_options(&s, 1, argc, argv);
    if (take_signals() || save_open(&s))
        return 1;
    /* Before there are children. */
    libxl_childproc_setmode(s.ctx, &childproc, NULL);
    if (start_its_child(s.ctx, &children))
        return 1;
    save_start(&s);
    while (!s.over)
        if (turn(&s, &children, &ticker))
            return 1;
    while (children_left(&children) && !children.wrong) {
        usleep(1000);
        reap(s.ctx, &children);
    }
    printf("children: %u own, %u the library's, %u wrong\n", children.ended, children.librarys,
           children.wrong);
    status = save_close(&s, &ticker);
    return children.wrong ? 1 : status;
}
