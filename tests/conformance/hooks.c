/* SPDX-License-Identifier: LGPL-2.1-only */
/* The application's registrations (osevent hooks). */
#include "tests/conformance/conf.h"

static bool never(void *arg)
{
    return false;
}

static void enable(libxl_ctx *ctx, uint32_t domid, libxl_evgen_domain_death **evg)
{
    int rc = libxl_evenable_domain_death(ctx, domid, 1, evg);

    if (rc)
        broken("evenable: %s", rc_name(rc));
}

/* T19 */
static void case_idle(void)
{
    libxl_ctx *ctx = ctx_new();
    struct app a = { 0 };

    app_hooks(&a, ctx);
    trace("idle: fds %d, timeouts %d", app_fds_on(&a), app_times_on(&a));
    app_trace(&a);
    ctx_end(ctx);
    trace("after ctx_free: ever registered %d", a.registered + a.n_times);
}

static void case_op(void)
{
    libxl_ctx *ctx = ctx_new();
    struct app a = { 0 };
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);

    app_hooks(&a, ctx);
    trace_rc("start", libxl_domain_resume(ctx, NO_DOMAIN, 1, &how));
    trace_if("ends", app_pump(&a, done_flag, &e.times, 10000));
    trace("times %d, rc %s", e.times, rc_name(e.rc));
    app_trace(&a);
    ctx_end(ctx);
}

static void case_sync(void)
{
    libxl_ctx *ctx = ctx_new();
    struct app a = { 0 };

    app_hooks(&a, ctx);
    trace_rc("synchronous", libxl_domain_resume(ctx, NO_DOMAIN, 1, NULL));
    app_trace(&a);
    ctx_end(ctx);
}

static void case_death(void)
{
    libxl_ctx *ctx = ctx_new();
    struct app a = { 0 };
    libxl_evgen_domain_death *evg;

    app_hooks(&a, ctx);
    enable(ctx, guest(), &evg);
    trace_if("an fd is registered", app_fds_on(&a) > 0);
    app_pump(&a, never, NULL, 300);
    trace_if("it still is", app_fds_on(&a) > 0);
    libxl_evdisable_domain_death(ctx, evg);
    app_trace(&a);
    enable(ctx, guest(), &evg);
    trace_if("registered anew", app_fds_on(&a) > 0);
    ctx_end(ctx);
    trace("after ctx_free with a live generator: fds %d", app_fds_on(&a));
}

/* The event comes inside libxl_osevent_occurred_fd, to the callback or the queue. */
static void case_death_event(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = spare();
    struct app a = { 0 };
    libxl_evgen_domain_death *evg;

    app_hooks(&a, ctx);
    enable(ctx, domid, &evg);
    app_pump(&a, never, NULL, 300);
    trace_queue("before", ctx, domid);
    trace("shutdown: %s", ask("shutdown %u 3", domid));
    for (int i = 0; i < 300 && !queue_has(ctx, 1); i++)
        app_pump(&a, never, NULL, 100);
    trace_queue("after", ctx, domid);
    trace("destroy: %s", ask("destroy %u", domid));
    for (int i = 0; i < 300 && !queue_has(ctx, 1); i++)
        app_pump(&a, never, NULL, 100);
    trace_queue("after", ctx, domid);
    libxl_evdisable_domain_death(ctx, evg);
    app_trace(&a);
    ctx_end(ctx);
}

static void failing(int rc)
{
    libxl_ctx *ctx = ctx_new();
    struct app a = { .fail_fd_at = 1, .fail_rc = rc };
    uint32_t domid = guest();
    libxl_evgen_domain_death *evg;

    app_hooks(&a, ctx);
    trace_rc("evenable, the hook fails", libxl_evenable_domain_death(ctx, domid, 1, &evg));
    trace("hooks that failed: %d", a.failed);
    trace("registered: %d", app_fds_on(&a));
    trace_rc("evenable again", libxl_evenable_domain_death(ctx, domid, 1, &evg));
    app_pump(&a, never, NULL, 200);
    trace_queue("queue", ctx, domid);
    libxl_evdisable_domain_death(ctx, evg);
    app_trace(&a);
    ctx_end(ctx);
}

static void case_fails_77(void)
{
    failing(77);
}

static void case_fails_reg(void)
{
    failing(ERROR_OSEVENT_REG_FAIL);
}

/* T3: for_libxl of a registration that is over. */
static void case_late_fd(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    struct app a = { 0 };
    libxl_evgen_domain_death *evg, *other;
    int had;

    app_hooks(&a, ctx);
    enable(ctx, domid, &evg);
    app_pump(&a, never, NULL, 200);
    had = a.n_fds;
    libxl_evdisable_domain_death(ctx, evg);
    for (int i = 0; i < had; i++)
        libxl_osevent_occurred_fd(ctx, a.fds[i].for_libxl, a.fds[i].fd, POLLIN, POLLIN);
    trace("occurred_fd after deregistration");
    enable(ctx, domid, &other);
    for (int i = 0; i < had; i++) {
        libxl_osevent_occurred_fd(ctx, a.fds[i].for_libxl, a.fds[i].fd, POLLIN, POLLIN);
        libxl_osevent_occurred_fd(ctx, a.fds[i].for_libxl, 500, POLLIN, POLLIN | POLLHUP);
    }
    trace("occurred_fd after another registration");
    app_pump(&a, never, NULL, 200);
    trace_queue("queue", ctx, domid);
    libxl_evdisable_domain_death(ctx, other);
    app_trace(&a);
    ctx_end(ctx);
}

/* What is reported need not be so. */
static void case_spurious(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    struct app a = { 0 };
    libxl_evgen_domain_death *evg;

    app_hooks(&a, ctx);
    enable(ctx, domid, &evg);
    app_pump(&a, never, NULL, 300);
    for (int i = 0; i < a.n_fds; i++) {
        struct app_fd *f = &a.fds[i];

        for (int k = 0; k < 3 && f->on; k++) {
            libxl_osevent_occurred_fd(ctx, f->for_libxl, f->fd, f->events, 0);
            libxl_osevent_occurred_fd(ctx, f->for_libxl, f->fd, f->events, POLLIN);
            libxl_osevent_occurred_fd(ctx, f->for_libxl, f->fd, f->events, POLLHUP);
            libxl_osevent_occurred_fd(ctx, f->for_libxl, f->fd, f->events, POLLERR | POLLIN);
        }
    }
    trace("returned");
    trace_if("still registered", app_fds_on(&a) > 0);
    trace_queue("queue", ctx, domid);
    libxl_evdisable_domain_death(ctx, evg);
    app_trace(&a);
    ctx_end(ctx);
}

static void case_twice_idle(void)
{
    libxl_ctx *ctx = ctx_new();
    struct app first = { 0 }, second = { 0 };
    libxl_evgen_domain_death *evg;

    app_hooks(&first, ctx);
    app_hooks(&second, ctx);
    enable(ctx, guest(), &evg);
    trace_if("the first ones are called", first.registered > 0);
    trace_if("the second ones are called", second.registered > 0);
    libxl_evdisable_domain_death(ctx, evg);
    app_trace(&second);
    ctx_end(ctx);
}

/* T20 */
static void case_too_late(void)
{
    libxl_ctx *ctx = ctx_new();
    libxl_evgen_domain_death *evg;
    struct app a = { 0 };

    enable(ctx, guest(), &evg);
    app_hooks(&a, ctx);
    trace("registered beside something that is active");
}

static void case_two_contexts(void)
{
    libxl_ctx *c1 = ctx_new(), *c2 = ctx_new();
    struct app a1 = { 0 }, a2 = { 0 };
    libxl_evgen_domain_death *evg;

    app_hooks(&a1, c1);
    app_hooks(&a2, c2);
    enable(c1, guest(), &evg);
    trace_if("one's hooks", a1.registered > 0);
    trace_if("the other's hooks", a2.registered > 0);
    libxl_evdisable_domain_death(c1, evg);
    app_trace(&a1);
    ctx_end(c1);
    ctx_end(c2);
}

static void case_suspend(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    struct app a = { 0 };
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);
    int fd = image_file();

    app_hooks(&a, ctx);
    trace_rc("start", libxl_domain_suspend(ctx, domid, fd, 0, &how));
    trace_if("ends", app_pump(&a, done_flag, &e.times, 60000));
    trace("times %d, rc %s", e.times, rc_name(e.rc));
    trace_if("fds were registered", a.registered > 0);
    trace_if("as many deregistered", a.registered == a.deregistered);
    app_trace(&a);
    trace_state("after it", domid);
    trace_rc("resume", libxl_domain_resume(ctx, domid, 1, NULL));
    trace_state("after resume", domid);
    app_trace(&a);
    ctx_end(ctx);
}

static void suspend_failing(struct app *a)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);
    int fd = image_file(), rc;

    app_hooks(a, ctx);
    rc = libxl_domain_suspend(ctx, domid, fd, 0, &how);
    if (!rc) {
        trace_if("ends", app_pump(a, done_flag, &e.times, 60000));
        rc = e.rc;
    }
    trace("hooks that failed: %d", a->failed);
    trace_rc("rc, of start or end", rc);
    app_trace(a);
    trace("after it: domain %s", ask("settled %u", domid));
    ctx_end(ctx);
}

static void case_suspend_fd_fails(void)
{
    struct app a = { .fail_fd_at = 1, .fail_rc = 77 };

    suspend_failing(&a);
}

static void case_suspend_time_fails(void)
{
    struct app a = { .fail_time_at = 1, .fail_rc = 78 };

    suspend_failing(&a);
}

/* An operation that needs registrations, begun and aborted. */
static void abort_one(struct app *a, libxl_ctx *ctx)
{
    uint32_t domid = guest();
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);

    ask("pause %u", domid);
    trace_rc("start", libxl_domain_suspend(ctx, domid, image_file(), 0, &how));
    for (int i = 0; i < 150 && !guest_asked(domid); i++)
        app_pump(a, never, NULL, 200);
    app_pump(a, never, NULL, 1000);     /* moatd may be ahead of what this loop has heard */
    trace_if("a timeout is registered", app_times_on(a) > 0);
    trace_rc("abort", libxl_ao_abort(ctx, &how));
    trace_if("ends", app_pump(a, done_flag, &e.times, 30000));
    trace_rc("end", e.rc);
    ask("unpause %u", domid);
    app_trace(a);
}

static void case_abort(void)
{
    libxl_ctx *ctx = ctx_new();
    struct app a = { 0 };

    app_hooks(&a, ctx);
    abort_one(&a, ctx);
    ctx_end(ctx);
}

/* T4: each timeout occurs once more after it is over. */
static void case_timeout_twice(void)
{
    libxl_ctx *ctx = ctx_new();
    struct app a = { 0 };
    int n;

    app_hooks(&a, ctx);
    abort_one(&a, ctx);
    n = a.n_times;
    alarm(60);          /* for a library that does not return */
    for (int i = 0; i < n; i++)
        libxl_osevent_occurred_timeout(ctx, a.times[i].for_libxl);
    trace("all timeouts occurred once more");
    abort_one(&a, ctx);
    ctx_end(ctx);
}

const struct conf_case conf_cases[] = {
    { "hooks-idle", case_idle },
    { "hooks-operation", case_op },
    { "hooks-sync-operation", case_sync },
    { "hooks-death-generator", case_death },
    { "hooks-death-event", case_death_event },
    { "hooks-register-fails-77", case_fails_77 },
    { "hooks-register-fails", case_fails_reg },
    { "hooks-late-fd", case_late_fd },
    { "hooks-spurious-fd", case_spurious },
    { "hooks-twice-idle", case_twice_idle },
    { "hooks-too-late", case_too_late },
    { "hooks-two-contexts", case_two_contexts },
    { "hooks-suspend", case_suspend },
    { "hooks-suspend-fd-fails", case_suspend_fd_fails },
    { "hooks-suspend-timeout-fails", case_suspend_time_fails },
    { "hooks-abort", case_abort },
    { "hooks-timeout-twice", case_timeout_twice },
    { NULL, NULL },
};
