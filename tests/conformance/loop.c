/* SPDX-License-Identifier: LGPL-2.1-only */
/* The two kinds of main loop, and what ends of operations look like. */
#include "tests/conformance/conf.h"

#define FDS_MAX 64
#define TURN_MS 50

bool pump(libxl_ctx *ctx, done_fn *done, void *arg, int ms)
{
    int64_t until = now_ms() + ms;

    while (!done(arg)) {
        struct pollfd fds[FDS_MAX];
        int nfds = FDS_MAX, timeout = TURN_MS, rc;

        if (now_ms() > until)
            return false;
        rc = libxl_osevent_beforepoll(ctx, &nfds, fds, &timeout, now_tv());
        if (rc)
            broken("beforepoll: %s", rc_name(rc));
        if (poll(fds, (nfds_t)nfds, timeout) < 0) {
            if (errno != EINTR)
                broken("poll: %s", strerror(errno));
            continue;
        }
        libxl_osevent_afterpoll(ctx, nfds, fds, now_tv());
    }
    return true;
}

static bool never(void *arg)
{
    return false;
}

void pump_for(libxl_ctx *ctx, int ms)
{
    pump(ctx, never, NULL, ms);
}

void pump_asked(libxl_ctx *ctx, uint32_t domid)
{
    for (int i = 0; i < 150; i++) {
        pump_for(ctx, 200);
        if (guest_asked(domid)) {
            pump_for(ctx, 1000);        /* moatd may be ahead of what this loop has heard */
            return;
        }
    }
    broken("the guest is not asked to suspend");
}

bool done_flag(void *arg)
{
    return *(volatile int *)arg != 0;
}

/* ---- events */

struct look {
    uint64_t for_user;
    bool found;
};

static int look_for(const libxl_event *ev, void *arg)
{
    struct look *l = arg;

    l->found |= ev->for_user == l->for_user;
    return 0;
}

bool queue_has(libxl_ctx *ctx, uint64_t for_user)
{
    struct look l = { .for_user = for_user };
    libxl_event *ev;

    if (libxl_event_check(ctx, &ev, LIBXL_EVENTMASK_ALL, look_for, &l) != ERROR_NOT_READY)
        broken("a predicate that refuses all got an event");
    return l.found;
}

struct wanted {
    libxl_ctx *ctx;
    uint64_t for_user;
};

static bool queued(void *arg)
{
    struct wanted *w = arg;

    return queue_has(w->ctx, w->for_user);
}

void queue_event(libxl_ctx *ctx, uint64_t for_user)
{
    libxl_asyncop_how how = how_event(for_user);
    struct wanted w = { ctx, for_user };
    int rc = libxl_domain_resume(ctx, NO_DOMAIN, 1, &how);

    if (rc)
        broken("an operation that fails later failed at once: %s", rc_name(rc));
    if (!pump(ctx, queued, &w, 10000))
        broken("the event of an operation never came");
}

void trace_event(const char *what, libxl_ctx *ctx, libxl_event *ev, uint32_t domid)
{
    const char *type = libxl_event_type_to_string(ev->type);
    char more[64] = "";

    if (ev->type == LIBXL_EVENT_TYPE_OPERATION_COMPLETE)
        snprintf(more, sizeof(more), " rc %s", rc_name(ev->u.operation_complete.rc));
    if (ev->type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN)
        snprintf(more, sizeof(more), " reason %d", ev->u.domain_shutdown.shutdown_reason);
    trace("%s: event %s for_user %llx domid %s%s", what, type ? type : "?",
          (unsigned long long)ev->for_user, ev->domid == domid ? "as asked" : "another", more);
    libxl_event_free(ctx, ev);
}

void trace_queue(const char *what, libxl_ctx *ctx, uint32_t domid)
{
    libxl_event *ev;
    int rc;

    while (!(rc = libxl_event_check(ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL)))
        trace_event(what, ctx, ev, domid);
    trace("%s: then %s", what, rc_name(rc));
}

void ended_cb(libxl_ctx *ctx, int rc, void *arg)
{
    struct ended *e = arg;

    e->rc = rc;
    e->ctx = ctx;
    e->thread = pthread_self();
    e->times++;
}

libxl_asyncop_how how_callback(struct ended *e)
{
    libxl_asyncop_how how;

    memset(&how, 0, sizeof(how));
    how.callback = ended_cb;
    how.u.for_callback = e;
    return how;
}

libxl_asyncop_how how_event(uint64_t for_event)
{
    libxl_asyncop_how how;

    memset(&how, 0, sizeof(how));
    how.u.for_event = for_event;
    return how;
}

/* ---- an application with hooks */

static int app_fd_register(void *user, int fd, void **for_app, short events, void *for_libxl)
{
    struct app *a = user;
    struct app_fd *f = &a->fds[a->n_fds];

    a->registered++;
    a->not_null |= *for_app != NULL;
    if (a->fail_fd_at && a->registered == a->fail_fd_at) {
        /* What a failed registration leaves there is to be ignored. */
        *for_app = (void *)1;
        a->registered--;
        a->fail_fd_at = -1;
        a->failed++;
        return a->fail_rc;
    }
    if (a->n_fds == APP_MAX)
        broken("more fds than a test has room for");
    *f = (struct app_fd){ .fd = fd, .events = events, .for_libxl = for_libxl, .on = true };
    a->n_fds++;
    *for_app = f;
    return 0;
}

static struct app_fd *app_mine(struct app *a, void *for_app, int fd)
{
    struct app_fd *f = for_app;

    if (f >= a->fds && f < a->fds + a->n_fds && f->on && f->fd == fd)
        return f;
    a->not_mine = true;
    return NULL;
}

static int app_fd_modify(void *user, int fd, void **for_app, short events)
{
    struct app *a = user;
    struct app_fd *f = app_mine(a, *for_app, fd);

    a->modified++;
    if (f)
        f->events = events;
    return 0;
}

static void app_fd_deregister(void *user, int fd, void *for_app)
{
    struct app *a = user;
    struct app_fd *f = app_mine(a, for_app, fd);

    a->deregistered++;
    if (f)
        f->on = false;
}

static int app_time_register(void *user, void **for_app, struct timeval abs, void *for_libxl)
{
    struct app *a = user;
    struct app_time *t = &a->times[a->n_times];

    a->not_null |= *for_app != NULL;
    if (a->fail_time_at && a->n_times + 1 == a->fail_time_at) {
        *for_app = (void *)1;
        a->fail_time_at = -1;
        a->failed++;
        return a->fail_rc;
    }
    if (a->n_times == APP_MAX)
        broken("more timeouts than a test has room for");
    *t = (struct app_time){ .abs = abs, .for_libxl = for_libxl, .on = true };
    a->n_times++;
    *for_app = t;
    return 0;
}

static int app_time_modify(void *user, void **for_app, struct timeval abs)
{
    struct app *a = user;
    struct app_time *t = *for_app;

    a->not_zero |= abs.tv_sec || abs.tv_usec;
    if (t >= a->times && t < a->times + a->n_times)
        t->abs = abs;           /* off already if it races the dispatch */
    else
        a->not_mine = true;
    return 0;
}

static void app_time_deregister(void *user, void *for_app)
{
    struct app *a = user;

    a->time_deregistered = true;
}

static const libxl_osevent_hooks app_hook_table = {
    .fd_register = app_fd_register,
    .fd_modify = app_fd_modify,
    .fd_deregister = app_fd_deregister,
    .timeout_register = app_time_register,
    .timeout_modify = app_time_modify,
    .timeout_deregister = app_time_deregister,
};

void app_hooks(struct app *a, libxl_ctx *ctx)
{
    a->ctx = ctx;
    libxl_osevent_register_hooks(ctx, &app_hook_table, a);
}

static int app_turn_ms(struct app *a)
{
    struct timeval now = now_tv();
    int64_t best = TURN_MS;

    for (int i = 0; i < a->n_times; i++) {
        int64_t ms = (a->times[i].abs.tv_sec - now.tv_sec) * 1000LL +
                     (a->times[i].abs.tv_usec - now.tv_usec) / 1000;

        if (a->times[i].on && ms < best)
            best = ms;
    }
    return best < 0 ? 0 : (int)best;
}

static void app_fire_times(struct app *a)
{
    for (int i = 0; i < a->n_times; i++) {
        struct timeval now = now_tv();

        if (a->times[i].on && !timercmp(&a->times[i].abs, &now, >)) {
            a->times[i].on = false;
            libxl_osevent_occurred_timeout(a->ctx, a->times[i].for_libxl);
        }
    }
}

bool app_pump(struct app *a, done_fn *done, void *arg, int ms)
{
    int64_t until = now_ms() + ms;

    while (!done(arg)) {
        struct pollfd fds[APP_MAX];
        int of[APP_MAX], n = 0;

        if (now_ms() > until)
            return false;
        for (int i = 0; i < a->n_fds; i++) {
            if (!a->fds[i].on)
                continue;
            fds[n] = (struct pollfd){ .fd = a->fds[i].fd, .events = a->fds[i].events };
            of[n++] = i;
        }
        if (poll(fds, (nfds_t)n, app_turn_ms(a)) < 0 && errno != EINTR)
            broken("poll: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            struct app_fd *f = &a->fds[of[i]];

            if (f->on && fds[i].revents)
                libxl_osevent_occurred_fd(a->ctx, f->for_libxl, f->fd, f->events, fds[i].revents);
        }
        app_fire_times(a);
    }
    return true;
}

int app_fds_on(const struct app *a)
{
    int n = 0;

    for (int i = 0; i < a->n_fds; i++)
        n += a->fds[i].on;
    return n;
}

int app_times_on(const struct app *a)
{
    int n = 0;

    for (int i = 0; i < a->n_times; i++)
        n += a->times[i].on;
    return n;
}

static bool app_settled(void *arg)
{
    return !app_times_on(arg);
}

void app_trace(struct app *a)
{
    /* What was deregistered inside is told by "fire now". */
    app_pump(a, app_settled, a, 2000);
    trace_if("hooks: for_app NULL on entry to register", !a->not_null);
    trace_if("hooks: modify and deregister got what register had left", !a->not_mine);
    trace_if("hooks: timeouts only modified to now", !a->not_zero);
    trace_if("hooks: timeout_deregister never called", !a->time_deregistered);
    trace("hooks: still registered: fds %d, timeouts %d", app_fds_on(a), app_times_on(a));
}
