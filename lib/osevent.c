/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Applications whose main loop is around poll(2).  They get a copy of the set of fds, one entry for
 * each fd with events that are wanted, and their eventfd.  What comes back is matched by the slot's
 * generation: an entry whose fd was deregistered in the meantime is ignored, whatever it says and
 * whoever has the number now.
 *
 * Between beforepoll and afterpoll the application is a sleeper with a copy that ages: an fd or
 * event that is added, an earlier first timer and a queued event wake it.  What is taken away does
 * not, for that costs at most one wake-up for nothing.
 */

#include <stdlib.h>

#include "lib/lib.h"

#define TIMEOUT_MAX_MS 2000000000

struct libxl__polled {
    int fd;
    uint32_t gen;
};

/* Room to remember n entries. */
static int polled_grow(libxl_ctx *ctx, size_t n)
{
    struct libxl__api *api = libxl__api(ctx);
    size_t room = api->polled_room ? api->polled_room : 16;
    struct libxl__polled *p;

    if (n <= api->polled_room)
        return 0;
    while (room < n)
        room *= 2;
    p = libxl__realloc(ctx, api->polled, room * sizeof(*p));
    if (!p)
        return ERROR_NOMEM;
    api->polled = p;
    api->polled_room = room;
    return 0;
}

static void give_entry(struct libxl__api *api, struct pollfd *fds, int fd, uint32_t gen,
                       short events)
{
    fds[api->npolled] = (struct pollfd){ .fd = fd, .events = events };
    api->polled[api->npolled++] = (struct libxl__polled){ .fd = fd, .gen = gen };
}

static int give_set(libxl_ctx *ctx, int *nfds_io, struct pollfd *fds)
{
    struct libxl__api *api = libxl__api(ctx);
    size_t wanted = ctx->nwatched + 1;
    struct libxl__fd_slot *slot;
    int rc, room = *nfds_io;

    *nfds_io = (int)wanted;
    if (room < 0 || (size_t)room < wanted)
        return ERROR_BUFFERFULL;
    rc = polled_grow(ctx, wanted);
    if (rc)
        return rc;
    give_entry(api, fds, api->app.efd, 0, POLLIN);      /* no slot has generation 0 */
    TAILQ_FOREACH(slot, &ctx->fds_watched, watched)
        give_entry(api, fds, slot->fd, slot->gen, slot->mask);
    return 0;
}

int libxl_osevent_beforepoll(libxl_ctx *ctx, int *nfds_io, struct pollfd *fds, int *timeout_upd,
                             struct timeval now)
{
    struct libxl__api *api = libxl__api(ctx);
    int rc, ms;

    (void)now;
    libxl__ctx_lock(ctx);
    libxl__poller_drain(&api->app);
    api->app.sleeping = false;
    api->npolled = 0;
    rc = libxl__poller_open(ctx, &api->app);
    if (rc)
        goto out;
    ms = libxl__time_poll_ms(ctx, -1);
    if (ms > TIMEOUT_MAX_MS)
        ms = TIMEOUT_MAX_MS;
    if (ms >= 0 && (*timeout_upd < 0 || ms < *timeout_upd))
        *timeout_upd = ms;
    rc = give_set(ctx, nfds_io, fds);
    if (rc)
        goto out;
    api->app.sleeping = true;
out:
    libxl__ctx_unlock(ctx);
    return rc;
}

void libxl_osevent_afterpoll(libxl_ctx *ctx, int nfds, const struct pollfd *fds, struct timeval now)
{
    struct libxl__api *api = libxl__api(ctx);
    int i;

    (void)now;
    EGC_INIT(ctx);
    CTX_LOCK;
    libxl__assert_locked_once(ctx);
    api->app.sleeping = false;
    libxl__poller_drain(&api->app);
    ctx->turn++;
    ctx->stats.turns++;
    for (i = 0; i < nfds && (size_t)i < api->npolled; i++)
        if (fds[i].revents && fds[i].fd == api->polled[i].fd) {
            ctx->stats.fds_ready++;
            libxl__fd_deliver(egc, fds[i].fd, api->polled[i].gen, fds[i].revents);
        }
    libxl__time_occurred(egc);
    CTX_UNLOCK;
    EGC_FREE;
}

void libxl__osevent_free(libxl_ctx *ctx)
{
    struct libxl__api *api = libxl__api(ctx);

    libxl__poller_close(ctx, &api->app);
    free(api->polled);
    api->polled = NULL;
    api->npolled = api->polled_room = 0;
}
