/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Applications whose main loop has registrations of its own.  Each ev_fd and each timer with an end
 * is registered there under a nexus, which is all that the application ever gets to know of it.
 *
 * A nexus is freed with the ctx only: the application may call with it at any time, late or twice,
 * and finds that it stands for nothing, or for something else (which is then looked at, and told
 * only what is true).  Spare ones are used again in the order in which they became so, the longest
 * unused first.
 *
 * A timer's nexus is spare again after its one occurrence, also if the timer has gone before: then
 * the application was asked to let it occur at once.
 */

#include <stdlib.h>
#include <time.h>

#include "lib/lib.h"

#define NS_PER_S 1000000000LL
#define NS_PER_US 1000LL
/* An application may round to milliseconds: this early is in time. */
#define EARLY_NS 1000000LL

enum kind { NEXUS_FD, NEXUS_TIME };

struct libxl__nexus {
    TAILQ_ENTRY(libxl__nexus) all;              /* in api->nexuses */
    TAILQ_ENTRY(libxl__nexus) spare;            /* in fd_spare or time_spare while unused */
    enum kind kind;
    bool awaited;                               /* time: it must still occur once */
    void *ev;                                   /* NULL: stands for nothing */
    void *for_app;
};

/* The value of the application's hook; the lock is held. */
#define CALL_HOOK(api, hook, ...) ({ \
        (api)->in_hook++; \
        __auto_type hook_value = (api)->os_hooks->hook((api)->os_user, __VA_ARGS__); \
        (api)->in_hook--; \
        hook_value; \
    })

static struct libxl__nexus_list *spare_list(struct libxl__api *api, enum kind kind)
{
    return kind == NEXUS_FD ? &api->fd_spare : &api->time_spare;
}

static struct libxl__nexus *nexus_get(struct libxl__api *api, enum kind kind, void *ev)
{
    struct libxl__nexus_list *list = spare_list(api, kind);
    struct libxl__nexus *nx = TAILQ_FIRST(list);

    if (nx) {
        TAILQ_REMOVE(list, nx, spare);
    } else {
        nx = libxl__new(api->ctx, sizeof(*nx));
        if (!nx)
            return NULL;
        nx->kind = kind;
        TAILQ_INSERT_TAIL(&api->nexuses, nx, all);
    }
    nx->ev = ev;
    nx->for_app = NULL;
    nx->awaited = false;
    return nx;
}

static void nexus_put(struct libxl__api *api, struct libxl__nexus *nx)
{
    nx->ev = NULL;
    nx->awaited = false;
    TAILQ_INSERT_TAIL(spare_list(api, nx->kind), nx, spare);
}

void libxl_osevent_register_hooks(libxl_ctx *ctx, const libxl_osevent_hooks *hooks, void *user)
{
    struct libxl__api *api = libxl__api(ctx);

    libxl__ctx_lock(ctx);
    if (api->os_hooks || ctx->fds_used || ctx->heap_len) {
        libxl__log(ctx, LIBXL__LOG_CRITICAL, 0, "event hooks are refused: %s", api->os_hooks ?
                   "there are some already" : "register them before anything else is done");
    } else {
        api->os_hooks = hooks;
        api->os_user = user;
    }
    libxl__ctx_unlock(ctx);
}

/* ---------- fds ---------- */

int libxl__hooks_fd_register(libxl_ctx *ctx, libxl__ev_fd *ev, int fd, short events)
{
    struct libxl__api *api = libxl__api(ctx);
    struct libxl__nexus *nx;
    int rc;

    if (api->os_hooks) {
        nx = nexus_get(api, NEXUS_FD, ev);
        if (!nx)
            return ERROR_NOMEM;
        rc = CALL_HOOK(api, fd_register, fd, &nx->for_app, events, nx);
        if (rc) {
            nexus_put(api, nx);
            return rc;
        }
        ev->nexus = nx;
    }
    if (events)
        libxl__poller_poke(ctx, &api->app);
    return 0;
}

int libxl__hooks_fd_modify(libxl_ctx *ctx, libxl__ev_fd *ev, short events)
{
    struct libxl__api *api = libxl__api(ctx);
    struct libxl__nexus *nx = ev->nexus;
    int rc;

    if (nx) {
        rc = CALL_HOOK(api, fd_modify, ev->fd, &nx->for_app, events);
        if (rc)
            return rc;
    }
    if (events & ~ev->events)
        libxl__poller_poke(ctx, &api->app);
    return 0;
}

void libxl__hooks_fd_deregister(libxl_ctx *ctx, libxl__ev_fd *ev)
{
    struct libxl__api *api = libxl__api(ctx);
    struct libxl__nexus *nx = ev->nexus;

    if (!nx)
        return;
    api->in_hook++;
    api->os_hooks->fd_deregister(api->os_user, ev->fd, nx->for_app);
    api->in_hook--;
    nexus_put(api, nx);
    ev->nexus = NULL;
}

/* ---------- timers ---------- */

/* The wall clock's time so many nanoseconds from now, rounded up.  This is the only place where the
 * wall clock is looked at: if it is set, a timer occurs early (and is registered again) or late. */
static struct timeval wall_clock_in(int64_t ns)
{
    struct timespec now;
    struct timeval tv;
    int r = clock_gettime(CLOCK_REALTIME, &now);

    assert(!r);
    if (ns < 0)
        ns = 0;
    ns = (ns + NS_PER_US - 1) / NS_PER_US * NS_PER_US;
    now.tv_nsec += ns % NS_PER_S + NS_PER_US - 1;
    tv.tv_sec = now.tv_sec + ns / NS_PER_S + now.tv_nsec / NS_PER_S;
    tv.tv_usec = now.tv_nsec % NS_PER_S / NS_PER_US;
    return tv;
}

static int time_register(struct libxl__api *api, struct libxl__nexus *nx, libxl__ev_time *ev)
{
    struct timeval abs = wall_clock_in(libxl__time_left_ns(ev));
    int rc;

    nx->for_app = NULL;
    rc = CALL_HOOK(api, timeout_register, &nx->for_app, abs, nx);
    nx->awaited = !rc;
    return rc;
}

int libxl__hooks_time_register(libxl_ctx *ctx, libxl__ev_time *ev)
{
    struct libxl__api *api = libxl__api(ctx);
    struct libxl__nexus *nx;
    int rc;

    if (!api->os_hooks)
        return 0;
    nx = nexus_get(api, NEXUS_TIME, ev);
    if (!nx)
        return ERROR_NOMEM;
    rc = time_register(api, nx, ev);
    if (rc) {
        nexus_put(api, nx);
        return rc;
    }
    ev->nexus = nx;
    return 0;
}

/* The application's timer cannot be taken back without a race against its dispatch, so it is made
 * to occur, for nothing.  If even that fails it occurs when it was to: nobody waits for it. */
void libxl__hooks_time_deregister(libxl_ctx *ctx, libxl__ev_time *ev)
{
    struct libxl__api *api = libxl__api(ctx);
    const struct timeval at_once = { 0, 0 };
    struct libxl__nexus *nx = ev->nexus;

    if (!nx)
        return;
    nx->ev = NULL;
    ev->nexus = NULL;
    (void)CALL_HOOK(api, timeout_modify, &nx->for_app, at_once);
}

/* ---------- what the application's loop has found ---------- */

/* From within a hook the lock is held and our own state half changed. */
static bool called_from_hook(libxl_ctx *ctx, const char *what)
{
    if (!libxl__api(ctx)->in_hook)
        return false;
    libxl__log(ctx, LIBXL__LOG_CRITICAL, 0, "%s was called from within a hook: ignored", what);
    return true;
}

void libxl_osevent_occurred_fd(libxl_ctx *ctx, void *for_libxl, int fd, short events, short revents)
{
    struct libxl__nexus *nx = for_libxl;
    libxl__ev_fd *ev;

    (void)events, (void)revents;                /* what is true is found out when it is told */
    libxl__ctx_lock(ctx);
    if (called_from_hook(ctx, "libxl_osevent_occurred_fd")) {
        libxl__ctx_unlock(ctx);
        return;
    }
    EGC_INIT(ctx);
    ev = nx->kind == NEXUS_FD ? nx->ev : NULL;
    if (ev && ev->fd == fd)
        libxl__fd_deliver_one(egc, ev, ~0);
    CTX_UNLOCK;
    EGC_FREE;
}

static void time_occurred(libxl__egc *egc, struct libxl__nexus *nx)
{
    libxl_ctx *ctx = egc->gc.owner;
    struct libxl__api *api = libxl__api(ctx);
    libxl__ev_time *ev = nx->ev;
    int rc;

    nx->awaited = false;
    if (ev && libxl__time_left_ns(ev) > EARLY_NS) {
        rc = time_register(api, nx, ev);
        if (!rc)
            return;
        /* An operation that times out early is better than one that never does. */
        libxl__log(ctx, LIBXL__LOG_ERROR, 0, "a timer occurred early and cannot be registered "
                   "again (%d): taken as due", rc);
    }
    nexus_put(api, nx);
    if (!ev)
        return;
    ev->nexus = NULL;
    libxl__time_fire(egc, ev);
}

void libxl_osevent_occurred_timeout(libxl_ctx *ctx, void *for_libxl)
{
    struct libxl__nexus *nx = for_libxl;

    libxl__ctx_lock(ctx);
    if (called_from_hook(ctx, "libxl_osevent_occurred_timeout")) {
        libxl__ctx_unlock(ctx);
        return;
    }
    EGC_INIT(ctx);
    if (nx->kind == NEXUS_TIME && nx->awaited)
        time_occurred(egc, nx);
    CTX_UNLOCK;
    EGC_FREE;
}

void libxl__hooks_free(libxl_ctx *ctx)
{
    struct libxl__api *api = libxl__api(ctx);
    struct libxl__nexus *nx;

    while ((nx = TAILQ_FIRST(&api->nexuses))) {
        TAILQ_REMOVE(&api->nexuses, nx, all);
        free(nx);
    }
}
