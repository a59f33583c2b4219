/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Threads that wait in the library.
 *
 * libxl keeps an invariant (its "baton"): while some thread sleeps, at least one sleeper has an
 * up-to-date set of fds and timeouts, and whoever leaves the library passes that duty on.  Here
 * every sleeper is up to date all the time, so there is no duty to pass on:
 *
 *   - fds: a sleeper polls the ctx's epoll descriptor, not a copy of the set.  What any thread adds
 *     or takes away counts for all sleepers at once.
 *   - timers: a sleeper has computed its timeout from the first one.  A new first timer, registered
 *     while it sleeps, wakes all sleepers.
 *   - what no descriptor shows: the end of a synchronous operation wakes the thread that waits for
 *     it, a queued event wakes all that wait for events.  (libxl forgets to, so that there a thread
 *     in event_wait may sleep on although its event is in the queue.)
 *
 * Between its last look under the lock and its poll(2) a thread is a sleeper already and is woken
 * through its eventfd; nothing is lost.  The application between beforepoll and afterpoll is a
 * sleeper with a copy of the set: see osevent.c.
 */

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/lib.h"

#define BLIND_MS 100                            /* how long to sleep without a way to be woken */

void libxl__poller_init(struct libxl__poller *p)
{
    *p = (struct libxl__poller){ .efd = -1 };
}

int libxl__poller_open(libxl_ctx *ctx, struct libxl__poller *p)
{
    int errnoval;

    if (p->efd >= 0)
        return 0;
    libxl__care_begin(ctx);
    p->efd = libxl__care_record(ctx, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (p->efd >= 0)
        return 0;
    errnoval = errno;
    if (!p->blind)
        libxl__log(ctx, LIBXL__LOG_ERROR, errnoval, "no descriptor to wake a waiting thread by");
    p->blind = true;
    return errnoval == ENOMEM ? ERROR_NOMEM : ERROR_FAIL;
}

void libxl__poller_close(libxl_ctx *ctx, struct libxl__poller *p)
{
    libxl__care_close(ctx, p->efd);
    libxl__poller_init(p);
}

/* At most one write for each sleep: nothing grows, however often it is poked. */
void libxl__poller_poke(libxl_ctx *ctx, struct libxl__poller *p)
{
    const uint64_t one = 1;

    if (!p->sleeping || p->poked || p->efd < 0)
        return;
    if (write(p->efd, &one, sizeof(one)) == sizeof(one))
        p->poked = true;
    else
        libxl__log(ctx, LIBXL__LOG_CRITICAL, errno, "cannot wake a waiting thread");
}

void libxl__poller_drain(struct libxl__poller *p)
{
    uint64_t n;

    if (!p->poked)
        return;
    /* Nothing to be read: then somebody was faster, which is as good. */
    (void)!read(p->efd, &n, sizeof(n));
    p->poked = false;
}

/* A ctx in which nothing is registered and nobody sleeps holds no descriptor. */
void libxl__poller_idle(libxl_ctx *ctx)
{
    if (ctx->fds_used || !LIST_EMPTY(&libxl__api(ctx)->sleepers))
        return;
    libxl__care_close(ctx, ctx->epfd);
    ctx->epfd = -1;
}

void libxl__poller_first_timer(libxl_ctx *ctx)
{
    struct libxl__api *api = libxl__api(ctx);
    struct libxl__poller *p;

    LIST_FOREACH(p, &api->sleepers, entry)
        libxl__poller_poke(ctx, p);
    libxl__poller_poke(ctx, &api->app);
}

void libxl__poller_events(libxl_ctx *ctx)
{
    struct libxl__api *api = libxl__api(ctx);
    struct libxl__poller *p;

    LIST_FOREACH(p, &api->sleepers, entry)
        if (p->for_events)
            libxl__poller_poke(ctx, p);
    libxl__poller_poke(ctx, &api->app);         /* which will call event_check */
}

/* Without descriptors to sleep on, wait a little: the operation at hand uses its caller's memory
 * and cannot be left alone, and descriptors may become free.  Never with the lock held. */
static int sleep_unlocked(libxl_ctx *ctx, struct libxl__poller *p)
{
    struct pollfd pfd[2];
    int ms, r, rc = 0;

    (void)libxl__ctx_epoll(ctx);
    (void)libxl__poller_open(ctx, p);
    ms = libxl__loop_wait_ms(ctx, ctx->epfd < 0 || p->efd < 0 ? BLIND_MS : -1);
    pfd[0] = (struct pollfd){ .fd = ctx->epfd, .events = POLLIN };
    pfd[1] = (struct pollfd){ .fd = p->efd, .events = POLLIN };
    p->sleeping = true;
    LIST_INSERT_HEAD(&libxl__api(ctx)->sleepers, p, entry);
    libxl__ctx_unlock(ctx);

    r = poll(pfd, 2, ms);
    if (r < 0 && errno != EINTR) {
        libxl__log(ctx, LIBXL__LOG_CRITICAL, errno, "cannot wait for events");
        rc = ERROR_FAIL;
    }

    libxl__ctx_lock(ctx);
    LIST_REMOVE(p, entry);
    p->sleeping = false;
    libxl__poller_drain(p);
    return rc;
}

int libxl__poller_turn(libxl_ctx *ctx, struct libxl__poller *p)
{
    int rc, rc_deliver;

    libxl__assert_locked_once(ctx);
    EGC_INIT(ctx);
    rc = sleep_unlocked(ctx, p);
    rc_deliver = libxl__loop_deliver_ready(egc);
    CTX_UNLOCK;
    EGC_FREE;
    CTX_LOCK;
    return rc ? rc : rc_deliver;
}

void libxl__poller_ao_wait(libxl_ctx *ctx, libxl__ao *ao)
{
    const struct timespec pause = { .tv_nsec = BLIND_MS * 1000000L };
    struct libxl__poller poller;

    libxl__poller_init(&poller);
    ao->waiter = &poller;
    while (!ao->told) {
        if (!libxl__poller_turn(ctx, &poller))
            continue;
        libxl__ctx_unlock(ctx);
        nanosleep(&pause, NULL);
        libxl__ctx_lock(ctx);
    }
    ao->waiter = NULL;
    libxl__poller_idle(ctx);
    libxl__poller_close(ctx, &poller);
}

void libxl__poller_ao_told(libxl_ctx *ctx, libxl__ao *ao)
{
    if (ao->waiter)
        libxl__poller_poke(ctx, ao->waiter);
}
