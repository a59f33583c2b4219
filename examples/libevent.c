/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * libevent [--live] [--resume] DOMAIN-ID FILE: a save from libevent's main loop.
 *
 * libxl registers its fds and times through hooks.  They run with the context locked, so none of
 * them calls libxl; what has happened is told from libevent's callbacks, which do not.
 */
#include "example.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

struct timer;

struct loop {
    struct event_base *base;
    libxl_ctx *ctx;
    LIST_HEAD(, timer) timers;          /* registered and not fired */
};

/* ---------------------------------------------------------------------- fds */

struct watch {
    struct loop *loop;
    struct event *ev;
    void *for_libxl;
    short events;
};

/*
 * libevent only calls for what is registered: event_del takes back what was already ready.  But the
 * call may make libxl deregister this very watch, so nothing of it is used afterwards.
 */
static void watch_ready(evutil_socket_t fd, short what, void *user)
{
    struct watch *w = user;
    short revents = (what & EV_READ ? POLLIN : 0) | (what & EV_WRITE ? POLLOUT : 0);

    libxl_osevent_occurred_fd(w->loop->ctx, w->for_libxl, fd, w->events, revents);
}

/*
 * events may be 0 (none for now), and a POLLHUP nobody asked for must not make the loop spin.
 * libxl asks for POLLPRI as well where it reads, which libevent has no name for; to tell it less
 * than it asked for is allowed.
 */
static int watch_set(struct watch *w, short events)
{
    short what = (events & POLLIN ? EV_READ : 0) | (events & POLLOUT ? EV_WRITE : 0);

    if (events && !what)
        return ERROR_OSEVENT_REG_FAIL;
    event_del(w->ev);
    event_assign(w->ev, w->loop->base, event_get_fd(w->ev), what | EV_PERSIST, watch_ready, w);
    if (what && event_add(w->ev, NULL))
        return ERROR_OSEVENT_REG_FAIL;
    w->events = events;
    return 0;
}

static void fd_deregister(void *user, int fd, void *for_app)
{
    struct watch *w = for_app;

    event_free(w->ev);
    free(w);
}

/* There may be several registrations for one fd.  libevent does not mind. */
static int fd_register(void *user, int fd, void **for_app_out, short events, void *for_libxl)
{
    struct loop *loop = user;
    struct watch *w = calloc(1, sizeof(*w));

    if (!w)
        return ERROR_OSEVENT_REG_FAIL;
    *w = (struct watch){ .loop = loop, .for_libxl = for_libxl };
    w->ev = event_new(loop->base, fd, EV_PERSIST, watch_ready, w);
    if (!w->ev) {
        free(w);
        return ERROR_OSEVENT_REG_FAIL;
    }
    if (watch_set(w, events)) {
        fd_deregister(user, fd, w);
        return ERROR_OSEVENT_REG_FAIL;
    }
    *for_app_out = w;
    return 0;
}

static int fd_modify(void *user, int fd, void **for_app_update, short events)
{
    return watch_set(*for_app_update, events);
}

/* ---------------------------------------------------------------------- times */

struct timer {
    struct loop *loop;
    struct event *ev;
    void *for_libxl;
    bool fired;
    LIST_ENTRY(timer) entry;
};

static void timer_free(struct timer *t)
{
    LIST_REMOVE(t, entry);
    event_free(t->ev);
    free(t);
}

/* Exactly once for each registration.  Until the call returns libxl may still modify the timer. */
static void timer_fired(evutil_socket_t fd, short what, void *user)
{
    struct timer *t = user;

    t->fired = true;
    libxl_osevent_occurred_timeout(t->loop->ctx, t->for_libxl);
    timer_free(t);
}

/* abs is absolute and on the wall clock; libevent wants to know how long from now. */
static int timeout_register(void *user, void **for_app_out, struct timeval abs, void *for_libxl)
{
    struct loop *loop = user;
    struct timer *t = calloc(1, sizeof(*t));
    struct timeval now, in = { 0 };

    if (!t)
        return ERROR_OSEVENT_REG_FAIL;
    *t = (struct timer){ .loop = loop, .for_libxl = for_libxl };
    t->ev = evtimer_new(loop->base, timer_fired, t);
    gettimeofday(&now, NULL);
    if (timercmp(&abs, &now, >))
        timersub(&abs, &now, &in);
    if (!t->ev || evtimer_add(t->ev, &in)) {
        if (t->ev)
            event_free(t->ev);
        free(t);
        return ERROR_OSEVENT_REG_FAIL;
    }
    LIST_INSERT_HEAD(&loop->timers, t, entry);
    *for_app_out = t;
    return 0;
}

/* Always with the time {0,0}: libxl has no use for it any more and waits for it to occur, soon. */
static int timeout_modify(void *user, void **for_app_update, struct timeval abs)
{
    static const struct timeval now = { 0 };
    struct timer *t = *for_app_update;

    return t->fired || !evtimer_add(t->ev, &now) ? 0 : ERROR_OSEVENT_REG_FAIL;
}

/* For completeness: libxl never calls it. */
static void timeout_deregister(void *user, void *for_app)
{
    timer_free(for_app);
}

static const libxl_osevent_hooks hooks = {
    .fd_register = fd_register,
    .fd_modify = fd_modify,
    .fd_deregister = fd_deregister,
    .timeout_register = timeout_register,
    .timeout_modify = timeout_modify,
    .timeout_deregister = timeout_deregister,
};

/* ---------------------------------------------------------------------- the program */

static void on_sigint(evutil_socket_t fd, short what, void *user)
{
    save_abort(user);
}

static void on_tick(evutil_socket_t fd, short what, void *user)
{
    ticker_tick(user);
}

static void ended(struct save *s)
{
    struct loop *loop = s->loop;

    event_base_loopbreak(loop->base);
}

/* libxl may wait for the image file to be writable.  epoll, libevent's first choice, takes no
 * regular files; poll does. */
static struct event_base *base_for_any_fd(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config && !event_config_require_features(config, EV_FEATURE_FDS))
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    return base;
}

int main(int argc, char **argv)
{
    static const struct timeval interval = { .tv_usec = TICK_MS * 1000 };
    struct ticker ticker = { 0 };
    struct loop loop = { .base = base_for_any_fd() };
    struct event *tick, *sigint;
    struct timer *t;
    struct save s;
    int status;

    save_options(&s, 1, argc, argv);
    if (!loop.base || save_open(&s))
        return 1;
    loop.ctx = s.ctx;
    s.loop = &loop;
    s.ended = ended;
    tick = event_new(loop.base, -1, EV_PERSIST, on_tick, &ticker);
    sigint = evsignal_new(loop.base, SIGINT, on_sigint, &s);
    if (!tick || !sigint || event_add(tick, &interval) || event_add(sigint, NULL))
        return 1;

    /* Before anything else is done with the context. */
    libxl_osevent_register_hooks(s.ctx, &hooks, &loop);
    save_start(&s);
    if (!s.over)        /* libevent forgets a break from before the loop */
        event_base_dispatch(loop.base);
    if (!s.over)
        return 1;

    status = save_close(&s, &ticker);
    /* Times that libxl gave up and that had not fired yet.  No context is left to tell. */
    while ((t = LIST_FIRST(&loop.timers)))
        timer_free(t);
    event_free(tick);
    event_free(sigint);
    event_base_free(loop.base);
    libevent_global_shutdown();
    return status;
}
