/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * sd-event [--live] [--resume] DOMAIN-ID FILE: a save from systemd's event loop.
 *
 * libxl registers its fds and times through hooks.  They run with the context locked, so none of
 * them calls libxl; what has happened is told from the loop's callbacks, which do not.
 */
#include "example.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>
#include <unistd.h>

/* epoll's bits are poll's. */
_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLPRI == POLLPRI, "epoll and poll");
_Static_assert(EPOLLERR == POLLERR && EPOLLHUP == POLLHUP, "epoll and poll");

struct timer;

struct loop {
    sd_event *event;
    libxl_ctx *ctx;
    LIST_HEAD(, timer) timers;          /* registered and not fired */
};

/* ---------------------------------------------------------------------- fds */

struct watch {
    struct loop *loop;
    sd_event_source *source;
    void *for_libxl;
    int fd;
    short events;
    bool always;                        /* a file that epoll does not take */
};

/*
 * A source is never dispatched after it was disabled.  But the call may make libxl deregister this
 * very watch, so nothing of it is used afterwards.  The source itself is kept by the loop.
 */
static int watch_ready(sd_event_source *source, int fd, uint32_t revents, void *user)
{
    struct watch *w = user;

    libxl_osevent_occurred_fd(w->loop->ctx, w->for_libxl, w->fd, w->events, (short)revents);
    return 0;
}

/* poll(2) finds a regular file ready at any time, and so does libxl, which may wait for the image
 * file to be writable.  epoll refuses it with EPERM. */
static int watch_always(sd_event_source *source, void *user)
{
    struct watch *w = user;

    libxl_osevent_occurred_fd(w->loop->ctx, w->for_libxl, w->fd, w->events, w->events);
    return 0;
}

/* events may be 0 (none for now), and a POLLHUP nobody asked for must not make the loop spin. */
static int watch_set(struct watch *w, short events)
{
    int r = 0;

    if (events && !w->always)
        r = sd_event_source_set_io_events(w->source, events);
    if (r >= 0)
        r = sd_event_source_set_enabled(w->source, events ? SD_EVENT_ON : SD_EVENT_OFF);
    if (r < 0)
        return ERROR_OSEVENT_REG_FAIL;
    w->events = events;
    return 0;
}

/* There may be several registrations for one fd.  epoll wants another number for each. */
static int add_duplicate(struct watch *w, short events)
{
    int r, fd = fcntl(w->fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    r = sd_event_add_io(w->loop->event, &w->source, fd, events, watch_ready, w);
    if (r >= 0)
        r = sd_event_source_set_io_fd_own(w->source, 1);
    if (r < 0) {
        w->source = sd_event_source_disable_unref(w->source);
        close(fd);
    }
    return r;
}

static int fd_register(void *user, int fd, void **for_app_out, short events, void *for_libxl)
{
    struct loop *loop = user;
    struct watch *w = calloc(1, sizeof(*w));
    int r;

    if (!w)
        return ERROR_OSEVENT_REG_FAIL;
    *w = (struct watch){ .loop = loop, .for_libxl = for_libxl, .fd = fd };
    r = sd_event_add_io(loop->event, &w->source, fd, events, watch_ready, w);
    if (r == -EEXIST)
        r = add_duplicate(w, events);
    if (r == -EPERM) {
        w->always = true;
        r = sd_event_add_defer(loop->event, &w->source, watch_always, w);
    }
    if (r < 0 || watch_set(w, events)) {
        sd_event_source_disable_unref(w->source);
        free(w);
        return ERROR_OSEVENT_REG_FAIL;
    }
    *for_app_out = w;
    return 0;
}

static int fd_modify(void *user, int fd, void **for_app_update, short events)
{
    return watch_set(*for_app_update, events);
}

static void fd_deregister(void *user, int fd, void *for_app)
{
    struct watch *w = for_app;

    sd_event_source_disable_unref(w->source);
    free(w);
}

/* ---------------------------------------------------------------------- times */

struct timer {
    struct loop *loop;
    sd_event_source *source;
    void *for_libxl;
    bool fired;
    LIST_ENTRY(timer) entry;
};

static void timer_free(struct timer *t)
{
    LIST_REMOVE(t, entry);
    sd_event_source_disable_unref(t->source);
    free(t);
}

/* Exactly once for each registration.  Until the call returns libxl may still modify the timer. */
static int timer_fired(sd_event_source *source, uint64_t usec, void *user)
{
    struct timer *t = user;

    t->fired = true;
    libxl_osevent_occurred_timeout(t->loop->ctx, t->for_libxl);
    timer_free(t);
    return 0;
}

/* abs is absolute and on the wall clock, a clock that this loop has. */
static int timeout_register(void *user, void **for_app_out, struct timeval abs, void *for_libxl)
{
    struct loop *loop = user;
    struct timer *t = calloc(1, sizeof(*t));
    uint64_t usec = (uint64_t)abs.tv_sec * 1000000 + abs.tv_usec;
    int r;

    if (!t)
        return ERROR_OSEVENT_REG_FAIL;
    *t = (struct timer){ .loop = loop, .for_libxl = for_libxl };
    r = sd_event_add_time(loop->event, &t->source, CLOCK_REALTIME, usec, 1000, timer_fired, t);
    if (r < 0) {
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
    struct timer *t = *for_app_update;

    return t->fired || sd_event_source_set_time(t->source, 0) >= 0 ? 0 : ERROR_OSEVENT_REG_FAIL;
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

static int on_sigint(sd_event_source *source, const struct signalfd_siginfo *si, void *user)
{
    save_abort(user);
    return 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *user)
{
    int r;

    ticker_tick(user);
    r = sd_event_source_set_time_relative(source, TICK_MS * 1000);
    return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void ended(struct save *s)
{
    struct loop *loop = s->loop;

    sd_event_exit(loop->event, 0);
}

/* Sources without a variable of ours are the loop's. */
static int loop_open(struct loop *loop, struct ticker *ticker, struct save *s)
{
    sigset_t set;
    int r;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    r = sd_event_new(&loop->event);
    if (r >= 0)
        r = sd_event_add_signal(loop->event, NULL, SIGINT, on_sigint, s);
    if (r >= 0)
        r = sd_event_add_time_relative(loop->event, NULL, CLOCK_MONOTONIC, TICK_MS * 1000, 1000,
                                       on_tick, ticker);
    if (r < 0)
        fprintf(stderr, "no event loop: %s\n", strerror(-r));
    return r;
}

int main(int argc, char **argv)
{
    struct ticker ticker = { 0 };
    struct loop loop = { 0 };
    struct timer *t;
    struct save s;
    int r, status;

    save_options(&s, 1, argc, argv);
    if (loop_open(&loop, &ticker, &s) < 0 || save_open(&s))
        return 1;
    loop.ctx = s.ctx;
    s.loop = &loop;
    s.ended = ended;

    /* Before anything else is done with the context. */
    libxl_osevent_register_hooks(s.ctx, &hooks, &loop);
    save_start(&s);
    r = sd_event_loop(loop.event);
    if (!s.over) {
        fprintf(stderr, "the event loop ended: %s\n", strerror(-r));
        return 1;
    }

    status = save_close(&s, &ticker);
    /* Times that libxl gave up and that had not fired yet.  No context is left to tell. */
    while ((t = LIST_FIRST(&loop.timers)))
        timer_free(t);
    sd_event_unref(loop.event);
    return status;
}
