/* SPDX-License-Identifier: LGPL-2.1-only */
/* Timers: a binary heap of those that are due some day; infinite ones are only abortable. */

#include <limits.h>
#include <string.h>

#include "parent/event/core.h"

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL
#define NOT_IN_HEAP SIZE_MAX

static int64_t to_ns(struct timespec t)
{
    int64_t ns;

    if (__builtin_mul_overflow((int64_t)t.tv_sec, NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, (int64_t)t.tv_nsec, &ns))
        return t.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

static struct timespec to_timespec(int64_t ns)
{
    return (struct timespec){ .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S };
}

static int64_t now_ns(void)
{
    struct timespec now;
    int r = clock_gettime(CLOCK_MONOTONIC, &now);

    assert(!r);
    return to_ns(now);
}

/* ---------- the heap ---------- */

static bool earlier(const libxl__ev_time *a, const libxl__ev_time *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->seq < b->seq;
}

static void heap_put(libxl_ctx *ctx, size_t at, libxl__ev_time *ev)
{
    ctx->heap[at] = ev;
    ev->heap_at = at;
    ctx->stats.heap_moves++;
}

static void heap_up(libxl_ctx *ctx, size_t at, libxl__ev_time *ev)
{
    for (; at && earlier(ev, ctx->heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap_put(ctx, at, ctx->heap[(at - 1) / 2]);
    heap_put(ctx, at, ev);
}

static void heap_down(libxl_ctx *ctx, size_t at, libxl__ev_time *ev)
{
    size_t kid;

    while ((kid = 2 * at + 1) < ctx->heap_len) {
        if (kid + 1 < ctx->heap_len && earlier(ctx->heap[kid + 1], ctx->heap[kid]))
            kid++;
        if (!earlier(ctx->heap[kid], ev))
            break;
        heap_put(ctx, at, ctx->heap[kid]);
        at = kid;
    }
    heap_put(ctx, at, ev);
}

static int heap_insert(libxl_ctx *ctx, libxl__ev_time *ev)
{
    size_t size = ctx->heap_size ? ctx->heap_size * 2 : 16;
    libxl__ev_time **heap;

    if (ctx->heap_len == ctx->heap_size) {
        heap = libxl__realloc(ctx, ctx->heap, size * sizeof(libxl__ev_time *));
        if (!heap)
            return ERROR_NOMEM;
        ctx->heap = heap;
        ctx->heap_size = size;
    }
    heap_up(ctx, ctx->heap_len++, ev);
    return 0;
}

static void heap_remove(libxl_ctx *ctx, libxl__ev_time *ev)
{
    size_t at = ev->heap_at;
    libxl__ev_time *last;

    if (at == NOT_IN_HEAP)
        return;
    assert(at < ctx->heap_len && ctx->heap[at] == ev);
    ev->heap_at = NOT_IN_HEAP;
    last = ctx->heap[--ctx->heap_len];
    if (last == ev)
        return;
    if (at && earlier(last, ctx->heap[(at - 1) / 2]))
        heap_up(ctx, at, last);
    else
        heap_down(ctx, at, last);
}

/* ---------- ev_time ---------- */

void libxl__ev_time_init(libxl__ev_time *ev)
{
    memset(ev, 0, sizeof(*ev));
    ev->heap_at = NOT_IN_HEAP;
    libxl__ao_abortable_init(&ev->abrt);
}

/* Out of everything, so that the callback finds it Idle and may register it anew. */
static void time_make_idle(libxl_ctx *ctx, libxl__ev_time *ev)
{
    if (ctx->os && !ev->infinite)
        ctx->os->time_deregister(ctx, ev);
    heap_remove(ctx, ev);
    libxl__ao_abortable_deregister(&ev->abrt);
    ev->func = NULL;
    ctx->timers--;
}

static void time_fire(libxl__egc *egc, libxl__ev_time *ev, int rc)
{
    libxl_ctx *ctx = egc->gc.owner;
    libxl__ev_time_callback *func = ev->func;
    struct timespec abs = ev->abs;

    time_make_idle(ctx, ev);
    ctx->stats.timer_callbacks++;
    func(egc, ev, &abs, rc);
    libxl__assert_locked_once(ctx);
}

static void time_aborted(libxl__egc *egc, libxl__ao_abortable *abrt, int rc)
{
    libxl__ev_time *ev = CONTAINER_OF(abrt, libxl__ev_time, abrt);

    time_fire(egc, ev, rc);
}

/* Into the heap, and known to the application's loop. */
static int time_arm(libxl_ctx *ctx, libxl__ev_time *ev)
{
    int rc = heap_insert(ctx, ev);

    if (rc || !ctx->os)
        return rc;
    rc = ctx->os->time_register(ctx, ev);
    if (rc)
        heap_remove(ctx, ev);
    else if (!ev->heap_at)
        ctx->os->first_timer(ctx);
    return rc;
}

/* `abs` NULL: infinite. */
static int time_register(libxl__ao *ao, libxl__ev_time *ev, libxl__ev_time_callback *func,
                         const struct timespec *abs, int64_t now)
{
    libxl_ctx *ctx = libxl__ao_ctx(ao);
    int rc;

    libxl__ev_time_init(ev);
    libxl__ctx_lock(ctx);
    ev->abrt.ao = ao;
    ev->abrt.callback = time_aborted;
    rc = libxl__ao_abortable_register(&ev->abrt);
    if (rc)
        goto out;
    ev->infinite = !abs;
    if (abs) {
        ev->abs = *abs;
        /* Never before now: what is registered in a callback queues behind all that is due, so
         * that a timer which rearms itself in the past starves nobody. */
        ev->due_ns = to_ns(*abs) > now ? to_ns(*abs) : now;
        ev->seq = ctx->time_seq++;
        rc = time_arm(ctx, ev);
        if (rc) {
            libxl__ao_abortable_deregister(&ev->abrt);
            goto out;
        }
    }
    ev->func = func;
    ctx->timers++;
out:
    libxl__ctx_unlock(ctx);
    return rc;
}

int libxl__ev_time_register_rel(libxl__ao *ao, libxl__ev_time *ev, libxl__ev_time_callback *func,
                                int ms)
{
    int64_t now = now_ns();
    struct timespec abs = to_timespec(now + (int64_t)ms * NS_PER_MS);

    return time_register(ao, ev, func, ms < 0 ? NULL : &abs, now);
}

int libxl__ev_time_register_abs(libxl__ao *ao, libxl__ev_time *ev, libxl__ev_time_callback *func,
                                struct timespec abs)
{
    return time_register(ao, ev, func, &abs, now_ns());
}

void libxl__ev_time_deregister(libxl__gc *gc, libxl__ev_time *ev)
{
    CTX_LOCK;
    if (libxl__ev_time_isregistered(ev))
        time_make_idle(CTX, ev);
    CTX_UNLOCK;
}

/* ---------- for the loop ---------- */

/* Rounded up: a wait must not end before the timer is due. */
int libxl__time_poll_ms(libxl_ctx *ctx, int limit_ms)
{
    int64_t ns, ms;

    if (!ctx->heap_len)
        return limit_ms;
    ns = ctx->heap[0]->due_ns - now_ns();
    if (ns <= 0)
        return 0;
    ms = ns / NS_PER_MS + (ns % NS_PER_MS != 0);
    if (limit_ms >= 0 && limit_ms < ms)
        return limit_ms;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

int64_t libxl__time_left_ns(const libxl__ev_time *ev)
{
    return ev->due_ns - now_ns();
}

void libxl__time_fire(libxl__egc *egc, libxl__ev_time *ev)
{
    time_fire(egc, ev, ERROR_TIMEDOUT);
}

void libxl__time_occurred(libxl__egc *egc)
{
    libxl_ctx *ctx = egc->gc.owner;
    uint64_t limit = ctx->time_seq;             /* those registered from here on: next turn */
    int64_t now;

    if (!ctx->heap_len)
        return;
    now = now_ns();
    while (ctx->heap_len && ctx->heap[0]->due_ns <= now && ctx->heap[0]->seq < limit)
        time_fire(egc, ctx->heap[0], ERROR_TIMEDOUT);
}
