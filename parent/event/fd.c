/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * File descriptors, on one epoll descriptor.  Each fd that has at least one ev_fd has a slot, which
 * asks the kernel for all its events together.  What the kernel is told to remember is {fd,
 * generation}: a result for an fd that was closed and opened again in the meantime finds another
 * generation and is dropped.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "parent/event/core.h"

_Static_assert(EPOLLIN == POLLIN && EPOLLPRI == POLLPRI && EPOLLOUT == POLLOUT &&
               EPOLLERR == POLLERR && EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP,
               "epoll's bits are poll's");

static struct libxl__fd_slot *slot_find(libxl_ctx *ctx, int fd)
{
    return (size_t)fd < ctx->fds_size ? ctx->fds[fd] : NULL;
}

static int table_grow(libxl_ctx *ctx, int fd)
{
    size_t size = ctx->fds_size ? ctx->fds_size : 64;
    struct libxl__fd_slot **table;

    if ((size_t)fd < ctx->fds_size)
        return 0;
    while (size <= (size_t)fd)
        size *= 2;
    table = libxl__realloc(ctx, ctx->fds, size * sizeof(*table));
    if (!table)
        return ERROR_NOMEM;
    memset(table + ctx->fds_size, 0, (size - ctx->fds_size) * sizeof(*table));
    ctx->fds = table;
    ctx->fds_size = size;
    return 0;
}

static int slot_new(libxl_ctx *ctx, int fd, struct libxl__fd_slot **out)
{
    struct libxl__fd_slot *slot;
    int rc;

    /* The table's size follows the fd's number, so the number must be real. */
    if (fd < 0 || fcntl(fd, F_GETFD) < 0) {
        libxl__log(ctx, LIBXL__LOG_ERROR, EBADF, "fd %d cannot be registered", fd);
        return ERROR_INVAL;
    }
    rc = table_grow(ctx, fd);
    if (rc)
        return rc;
    slot = libxl__new(ctx, sizeof(*slot));
    if (!slot)
        return ERROR_NOMEM;
    slot->fd = fd;
    slot->gen = ++ctx->fd_gen;
    LIST_INIT(&slot->evs);
    ctx->fds[fd] = slot;
    ctx->fds_used++;
    *out = slot;
    return 0;
}

static void slot_free_if_unused(libxl_ctx *ctx, struct libxl__fd_slot *slot)
{
    if (!LIST_EMPTY(&slot->evs))
        return;
    ctx->fds[slot->fd] = NULL;
    ctx->fds_used--;
    free(slot);
}

/* All events wanted for this fd by others than `except`. */
static short slot_wanted(const struct libxl__fd_slot *slot, const libxl__ev_fd *except)
{
    const libxl__ev_fd *ev;
    short mask = 0;

    LIST_FOREACH(ev, &slot->evs, entry)
        if (ev != except)
            mask |= ev->events;
    return mask;
}

static void slot_set_mask(libxl_ctx *ctx, struct libxl__fd_slot *slot, short mask)
{
    if (!slot->mask && mask) {
        TAILQ_INSERT_TAIL(&ctx->fds_watched, slot, watched);
        ctx->nwatched++;
    } else if (slot->mask && !mask) {
        TAILQ_REMOVE(&ctx->fds_watched, slot, watched);
        ctx->nwatched--;
    }
    slot->mask = mask;
}

/* Bring the kernel to `mask`; on failure everything is as before. */
static int slot_watch(libxl_ctx *ctx, struct libxl__fd_slot *slot, short mask)
{
    struct epoll_event ee = { .events = (uint16_t)mask,
                              .data.u64 = (uint64_t)slot->gen << 32 | (uint32_t)slot->fd };
    int op = !slot->mask ? EPOLL_CTL_ADD : mask ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    int r, rc;

    if (mask == slot->mask)
        return 0;
    if (ctx->epfd < 0) {
        if (slot->mask)                         /* a forked child's: nobody waits there */
            return 0;
        rc = libxl__ctx_epoll(ctx);
        if (rc)
            return rc;
    }
    if (!slot->always) {
        r = epoll_ctl(ctx->epfd, op, slot->fd, &ee);
        if (r && op == EPOLL_CTL_ADD && errno == EPERM) {
            slot->always = true;
        } else if (r && op == EPOLL_CTL_DEL) {
            libxl__log(ctx, LIBXL__LOG_WARN, errno, "fd %d was closed before it was deregistered",
                       slot->fd);
        } else if (r) {
            int errnoval = errno;
            libxl__log(ctx, LIBXL__LOG_ERROR, errnoval, "cannot watch fd %d for events %#x",
                       slot->fd, (unsigned)mask);
            return errnoval == ENOMEM ? ERROR_NOMEM : ERROR_FAIL;
        }
    }
    if (slot->always && !slot->mask)
        TAILQ_INSERT_TAIL(&ctx->fds_always, slot, entry);
    else if (slot->always && !mask)
        TAILQ_REMOVE(&ctx->fds_always, slot, entry);
    slot_set_mask(ctx, slot, mask);
    return 0;
}

/* From old to new events of ev, for the kernel and for the application's loop.  The kernel is asked
 * for more first, which may fail, and for less last, which may not. */
static int slot_set_events(libxl_ctx *ctx, struct libxl__fd_slot *slot, libxl__ev_fd *ev, short old,
                           short events)
{
    short others = slot_wanted(slot, ev);
    int rc;

    if (others & events) {
        libxl__log(ctx, LIBXL__LOG_ERROR, 0, "fd %d: events %#x are watched by another already",
                   slot->fd, (unsigned)(others & events));
        return ERROR_INVAL;
    }
    if (!ctx->os)
        return slot_watch(ctx, slot, others | events);
    rc = slot_watch(ctx, slot, others | old | events);
    if (rc)
        return rc;
    rc = libxl__ev_fd_isregistered(ev) ? ctx->os->fd_modify(ctx, ev, events)
                                       : ctx->os->fd_register(ctx, ev, slot->fd, events);
    (void)slot_watch(ctx, slot, others | (rc ? old : events));
    return rc;
}

void libxl__ev_fd_init(libxl__ev_fd *ev)
{
    memset(ev, 0, sizeof(*ev));
    ev->fd = -1;
}

int libxl__ev_fd_register(libxl__gc *gc, libxl__ev_fd *ev, libxl__ev_fd_callback *func, int fd,
                          short events)
{
    struct libxl__fd_slot *slot;
    int rc;

    libxl__ev_fd_init(ev);
    CTX_LOCK;
    slot = fd < 0 ? NULL : slot_find(CTX, fd);
    if (!slot) {
        rc = slot_new(CTX, fd, &slot);
        if (rc)
            goto out;
    }
    rc = slot_set_events(CTX, slot, ev, 0, events);
    if (rc) {
        slot_free_if_unused(CTX, slot);
        if (CTX->os && !CTX->fds_used)
            CTX->os->fd_none(CTX);
        goto out;
    }
    ev->fd = fd;
    ev->events = events;
    ev->func = func;
    ev->turn = CTX->turn;                       /* nothing found in this turn is for us */
    LIST_INSERT_HEAD(&slot->evs, ev, entry);
out:
    CTX_UNLOCK;
    return rc;
}

int libxl__ev_fd_modify(libxl__gc *gc, libxl__ev_fd *ev, short events)
{
    int rc;

    assert(libxl__ev_fd_isregistered(ev));
    CTX_LOCK;
    rc = slot_set_events(CTX, slot_find(CTX, ev->fd), ev, ev->events, events);
    if (!rc)
        ev->events = events;
    CTX_UNLOCK;
    return rc;
}

void libxl__ev_fd_deregister(libxl__gc *gc, libxl__ev_fd *ev)
{
    struct libxl__fd_slot *slot;

    CTX_LOCK;
    if (libxl__ev_fd_isregistered(ev)) {
        slot = slot_find(CTX, ev->fd);
        if (CTX->os)
            CTX->os->fd_deregister(CTX, ev);
        LIST_REMOVE(ev, entry);
        /* Asking for less fails only if the fd is gone: then there is nothing to take back. */
        (void)slot_watch(CTX, slot, slot_wanted(slot, NULL));
        slot_free_if_unused(CTX, slot);
        if (CTX->os && !CTX->fds_used)
            CTX->os->fd_none(CTX);
    }
    libxl__ev_fd_init(ev);
    CTX_UNLOCK;
}

/* The kernel has forgotten the fd; whoever registered it waits in vain. */
static void slot_lost(libxl_ctx *ctx, struct libxl__fd_slot *slot)
{
    libxl__log(ctx, LIBXL__LOG_CRITICAL, 0, "fd %d was closed while registered", slot->fd);
    if (slot->always && slot->mask)
        TAILQ_REMOVE(&ctx->fds_always, slot, entry);
    slot_set_mask(ctx, slot, 0);
    slot->gen = ++ctx->fd_gen;                  /* no second report */
    libxl__disaster(ctx, 0, EBADF, "a file descriptor was closed while it was registered");
}

/* What is true now of what ev wants: other callbacks have run since the kernel reported. */
static short recheck(libxl_ctx *ctx, const libxl__ev_fd *ev)
{
    struct pollfd pfd = { .fd = ev->fd, .events = ev->events };
    int r;

    if (!ev->events)
        return 0;
    ctx->stats.fd_polls++;
    r = poll(&pfd, 1, 0);
    if (r <= 0)
        return 0;
    if (pfd.revents & POLLNVAL) {
        slot_lost(ctx, slot_find(ctx, ev->fd));
        return 0;
    }
    return pfd.revents & (ev->events | POLLERR | POLLHUP);
}

void libxl__fd_deliver_one(libxl__egc *egc, libxl__ev_fd *ev, short revents)
{
    libxl_ctx *ctx = egc->gc.owner;

    if (!(revents & (ev->events | POLLERR | POLLHUP | POLLNVAL)))
        return;
    revents = recheck(ctx, ev);
    if (!revents)
        return;
    ctx->stats.fd_callbacks++;
    ev->func(egc, ev, ev->fd, ev->events, revents);
    libxl__assert_locked_once(ctx);
}

/* Each ev_fd of the slot once per turn.  A callback may remove any ev_fd, or the slot, so the walk
 * starts again after each; it is short, as a slot has few more ev_fds than event bits. */
void libxl__fd_deliver(libxl__egc *egc, int fd, uint32_t gen, short revents)
{
    libxl_ctx *ctx = egc->gc.owner;
    struct libxl__fd_slot *slot;
    libxl__ev_fd *ev;

    for (;;) {
        slot = slot_find(ctx, fd);
        if (!slot || slot->gen != gen)
            return;
        LIST_FOREACH(ev, &slot->evs, entry)
            if (ev->turn != ctx->turn)
                break;
        if (!ev)
            return;
        ev->turn = ctx->turn;
        libxl__fd_deliver_one(egc, ev, revents);
    }
}

void libxl__fd_occurred(libxl__egc *egc, uint64_t epoll_data)
{
    egc->gc.owner->stats.fds_ready++;
    libxl__fd_deliver(egc, (int)(epoll_data & 0xffffffffU), (uint32_t)(epoll_data >> 32), ~0);
}

void libxl__fd_always(libxl__egc *egc)
{
    libxl_ctx *ctx = egc->gc.owner;
    struct libxl__fd_slot *slot;
    size_t n = 0;

    TAILQ_FOREACH(slot, &ctx->fds_always, entry)
        n++;
    for (; n && (slot = TAILQ_FIRST(&ctx->fds_always)); n--) {
        TAILQ_REMOVE(&ctx->fds_always, slot, entry);
        TAILQ_INSERT_TAIL(&ctx->fds_always, slot, entry);
        libxl__fd_deliver(egc, slot->fd, slot->gen, ~0);
    }
}

void libxl__fd_free_table(libxl_ctx *ctx)
{
    free(ctx->fds);
    ctx->fds = NULL;
    ctx->fds_size = 0;
}
