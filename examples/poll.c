/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * poll [--live] [--resume] DOMAIN-ID FILE: a save from a main loop around poll(2).
 *
 * No hooks: before each poll libxl says what it waits for, afterwards it is told what came.
 */
#include "example.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile sig_atomic_t interrupted;

static void on_sigint(int sig)
{
    interrupted = 1;    /* libxl must not be called from a signal handler */
}

/* SIGINT arrives in ppoll only: none is missed between a look at the flag and the wait. */
static void take_sigint(sigset_t *while_waiting)
{
    struct sigaction sa = { .sa_handler = on_sigint };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, while_waiting);
    sigdelset(while_waiting, SIGINT);
    sigaction(SIGINT, &sa, NULL);
}

/*
 * What libxl waits for, in *fds, an array with room for *room.  Returns the number or an ERROR_*;
 * lowers *timeout.  After ERROR_BUFFERFULL array and timeout are undefined, the number is right.
 */
static int before_poll(libxl_ctx *ctx, struct pollfd **fds, int *room, int *timeout)
{
    struct pollfd *larger;
    struct timeval now;
    int nfds, wait, rc;

    for (;;) {
        nfds = *room;
        wait = *timeout;
        gettimeofday(&now, NULL);
        rc = libxl_osevent_beforepoll(ctx, &nfds, *fds, &wait, now);
        if (rc != ERROR_BUFFERFULL)
            break;
        larger = realloc(*fds, nfds * sizeof(**fds));
        if (!larger)
            return ERROR_NOMEM;
        *fds = larger;
        *room = nfds;
    }
    *timeout = wait;
    return rc ? rc : nfds;
}

static int run(struct save *s, struct ticker *t, const sigset_t *while_waiting)
{
    struct pollfd *fds = NULL;
    struct timespec ts;
    struct timeval now;
    int nfds, timeout, r, room = 0;

    while (!s->over) {
        if (interrupted) {
            interrupted = 0;
            save_abort(s);
        }
        /* An application with fds of its own puts them first and gives libxl the rest. */
        timeout = ticker_due(t);
        nfds = before_poll(s->ctx, &fds, &room, &timeout);
        if (nfds < 0)
            break;
        ts = (struct timespec){ .tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L };
        r = ppoll(fds, nfds, &ts, while_waiting);
        if (r < 0) {
            if (errno == EINTR)     /* the array says nothing: libxl must not see it */
                continue;
            perror("ppoll");
            break;
        }
        /* Also when nothing is ready: it may be libxl's time that has come. */
        gettimeofday(&now, NULL);
        libxl_osevent_afterpoll(s->ctx, nfds, fds, now);
    }
    free(fds);
    return s->over ? 0 : ERROR_FAIL;
}

int main(int argc, char **argv)
{
    struct ticker ticker = { 0 };
    struct save s;
    sigset_t while_waiting;

    save_options(&s, 1, argc, argv);
    take_sigint(&while_waiting);
    if (save_open(&s))
        return 1;
    save_start(&s);
    if (run(&s, &ticker, &while_waiting))
        return 1;       /* an operation is in progress: its context cannot be freed */
    return save_close(&s, &ticker);
}
