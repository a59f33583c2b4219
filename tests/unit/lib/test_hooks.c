/* SPDX-License-Identifier: LGPL-2.1-only */
/* Applications whose loop has registrations of its own. */
#include "tests/unit/lib/harness.h"

#include <sys/socket.h>

/* ---------- such a loop, as suspicious as can be ---------- */

struct app_fd {
    bool live;
    int fd;
    short events;
    void *for_libxl;
};
struct app_time {
    bool live, at_once;
    struct timeval abs;
    void *for_libxl;
};

#define APP_MAX 64
static struct {
    struct app_fd fds[APP_MAX];
    struct app_time times[APP_MAX];
    int nfds, ntimes;                           /* ever registered */
    int live_fds, live_times;
    int fd_modifies, time_modifies, time_deregisters;
    int fail_at, fail_rc, calls;                /* the fail_at'th call that may fail does */
    void *swap;                                 /* fd_modify leaves this as for_app, and fails */
    void (*inside)(void);                       /* something forbidden */
} app;

static int may_fail(void)
{
    assert_true(ctx->lock_depth >= 1);
    if (app.inside)
        app.inside();
    return ++app.calls == app.fail_at ? app.fail_rc : 0;
}

static int app_fd_register(void *user, int fd, void **for_app_out, short events, void *for_libxl)
{
    struct app_fd *f;
    int rc = may_fail();

    assert_ptr_equal(user, &app);
    assert_null(*for_app_out);
    assert_in_range(app.nfds, 0, APP_MAX - 1);
    f = &app.fds[app.nfds++];
    *for_app_out = rc ? (void *)0x1 : f;        /* to be ignored if it fails */
    if (rc)
        return rc;
    *f = (struct app_fd){ .live = true, .fd = fd, .events = events, .for_libxl = for_libxl };
    app.live_fds++;
    return 0;
}

static int app_fd_modify(void *user, int fd, void **for_app_update, short events)
{
    struct app_fd *f = *for_app_update;
    int rc = may_fail();

    (void)user;
    assert_true(f->live);
    assert_int_equal(f->fd, fd);
    app.fd_modifies++;
    if (rc && app.swap) {
        *(struct app_fd *)app.swap = *f;
        *for_app_update = app.swap;
        f->live = false;
    }
    if (rc)
        return rc;
    f->events = events;
    return 0;
}

static void app_fd_deregister(void *user, int fd, void *for_app)
{
    struct app_fd *f = for_app;

    (void)user;
    assert_true(f->live);
    assert_int_equal(f->fd, fd);
    f->live = false;
    app.live_fds--;
}

static int app_timeout_register(void *user, void **for_app_out, struct timeval abs, void *for_libxl)
{
    struct app_time *t;
    int rc = may_fail();

    (void)user;
    assert_null(*for_app_out);
    if (rc)
        return rc;
    assert_in_range(app.ntimes, 0, APP_MAX - 1);
    t = &app.times[app.ntimes++];
    *t = (struct app_time){ .live = true, .abs = abs, .for_libxl = for_libxl };
    *for_app_out = t;
    app.live_times++;
    return 0;
}

static int app_timeout_modify(void *user, void **for_app_update, struct timeval abs)
{
    struct app_time *t = *for_app_update;

    (void)user;
    assert_true(t->live);
    assert_int_equal(abs.tv_sec, 0);
    assert_int_equal(abs.tv_usec, 0);
    t->at_once = true;
    app.time_modifies++;
    return 0;
}

static void app_timeout_deregister(void *user, void *for_app)
{
    (void)user, (void)for_app;
    app.time_deregisters++;
}

static const libxl_osevent_hooks hooks = {
    app_fd_register, app_fd_modify, app_fd_deregister,
    app_timeout_register, app_timeout_modify, app_timeout_deregister,
};

static int hooks_set_up(void **state)
{
    memset(&app, 0, sizeof(app));
    set_up(state);
    libxl_osevent_register_hooks(ctx, &hooks, &app);
    return 0;
}

static int hooks_tear_down(void **state)
{
    assert_int_equal(app.time_deregisters, 0);
    tear_down(state);
    assert_int_equal(app.live_fds, 0);
    return 0;
}

#define HOOKS_TEST(f) cmocka_unit_test_setup_teardown(f, hooks_set_up, hooks_tear_down)

static void occurred_fd(struct app_fd *f, short revents)
{
    libxl_osevent_occurred_fd(ctx, f->for_libxl, f->fd, f->events, revents);
}

/* Its timer, once, as the application's loop would. */
static void occurred_time(struct app_time *t)
{
    assert_true(t->live);
    t->live = false;
    app.live_times--;
    libxl_osevent_occurred_timeout(ctx, t->for_libxl);
}

/* All that is due in the loop of the application. */
static void app_turn(void)
{
    struct timeval now;
    int i, n = app.nfds;

    for (i = 0; i < n; i++) {
        struct pollfd pfd = { .fd = app.fds[i].fd, .events = app.fds[i].events };

        if (app.fds[i].live && poll(&pfd, 1, 0) > 0)
            occurred_fd(&app.fds[i], pfd.revents);
    }
    gettimeofday(&now, NULL);
    for (i = 0; i < app.ntimes; i++)
        if (app.times[i].live && (app.times[i].at_once || !timercmp(&app.times[i].abs, &now, >)))
            occurred_time(&app.times[i]);
}

/* ---------- fds ---------- */

static void registrations_modifications_and_deregistrations_reach_the_application(void **state)
{
    struct source s;

    (void)state;
    assert_int_equal(app.calls, 0);
    open_source(&s, POLLIN);
    assert_int_equal(app.live_fds, 1);
    assert_int_equal(app.fds[0].fd, s.r);
    assert_int_equal(app.fds[0].events, POLLIN);
    assert_int_equal(libxl__ev_fd_modify(tgc, &s.ev, 0), 0);
    assert_int_equal(app.fds[0].events, 0);
    assert_int_equal(libxl__ev_fd_modify(tgc, &s.ev, POLLIN | POLLPRI), 0);
    assert_int_equal(app.fds[0].events, POLLIN | POLLPRI);
    feed(&s);
    occurred_fd(&app.fds[0], POLLIN);
    assert_int_equal(s.calls, 1);
    close_source(&s);
    assert_int_equal(app.live_fds, 0);
}

static void t6_each_of_several_on_one_fd_is_registered_and_told_by_itself(void **state)
{
    struct source in, out;
    int sv[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
    in = out = (struct source){ .r = sv[0], .w = sv[1] };
    assert_int_equal(libxl__ev_fd_register(tgc, &in.ev, on_fd, sv[0], POLLIN), 0);
    assert_int_equal(libxl__ev_fd_register(tgc, &out.ev, on_fd, sv[0], POLLOUT), 0);
    assert_int_equal(app.live_fds, 2);
    assert_ptr_not_equal(app.fds[0].for_libxl, app.fds[1].for_libxl);
    app_turn();
    assert_int_equal(in.calls, 0);
    assert_int_equal(out.calls, 1);
    feed(&in);
    occurred_fd(&app.fds[0], POLLIN);
    assert_int_equal(in.calls, 1);
    assert_int_equal(out.calls, 1);
    libxl__ev_fd_deregister(tgc, &out.ev);
    close_source(&in);
}

static void t7_a_hangup_alone_is_delivered(void **state)
{
    struct source s;

    (void)state;
    open_source(&s, POLLPRI);
    close(s.w);
    occurred_fd(&app.fds[0], POLLHUP);
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.revents, POLLHUP);
    libxl__ev_fd_deregister(tgc, &s.ev);
    close(s.r);
}

static void what_is_not_true_is_not_told(void **state)
{
    struct source s;

    (void)state;
    open_source(&s, POLLIN);
    occurred_fd(&app.fds[0], POLLIN);
    assert_int_equal(s.calls, 0);
    feed(&s);
    libxl_osevent_occurred_fd(ctx, app.fds[0].for_libxl, s.r + 1, POLLIN, POLLIN);
    assert_int_equal(s.calls, 0);
    assert_int_equal(libxl__ev_fd_modify(tgc, &s.ev, POLLPRI), 0);
    libxl_osevent_occurred_fd(ctx, app.fds[0].for_libxl, s.r, POLLIN, POLLIN);
    assert_int_equal(s.calls, 0);
    close_source(&s);
}

static void t3_a_late_report_finds_nobody_or_only_what_is_true(void **state)
{
    struct source s, other;
    struct app_fd late;
    int i;

    (void)state;
    open_source(&s, POLLIN);
    feed(&s);
    late = app.fds[0];
    libxl__ev_fd_deregister(tgc, &s.ev);
    occurred_fd(&late, POLLIN);
    assert_int_equal(s.calls, 0);
    open_source(&other, POLLIN);
    for (i = 1; app.fds[i].for_libxl != late.for_libxl && i < 8; i++)
        assert_int_equal(i, app.nfds - 1);
    assert_ptr_equal(app.fds[1].for_libxl, late.for_libxl);     /* it is used again */
    occurred_fd(&late, POLLIN);                         /* for the old fd */
    assert_int_equal(other.calls, 0);
    late.fd = other.r;
    occurred_fd(&late, POLLIN);                         /* the number fits, the news is stale */
    assert_int_equal(other.calls, 0);
    feed(&other);
    occurred_fd(&late, POLLIN);
    assert_int_equal(other.calls, 1);
    close_source(&other);
    close(s.r);
    close(s.w);
}

static void a_failing_register_is_the_result_and_leaves_nothing(void **state)
{
    static const int rcs[] = { ERROR_OSEVENT_REG_FAIL, 1, 4711 };
    struct source s;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rcs) / sizeof(*rcs); i++) {
        open_pipe(&s);
        app.calls = 0;
        app.fail_at = 1;
        app.fail_rc = rcs[i];
        assert_int_equal(libxl__ev_fd_register(tgc, &s.ev, on_fd, s.r, POLLIN), rcs[i]);
        assert_false(libxl__ev_fd_isregistered(&s.ev));
        assert_int_equal(app.live_fds, 0);
        assert_int_equal(ctx->fds_used, 0);
        assert_int_equal(ctx->nwatched, 0);
        app.fail_at = 0;
        assert_int_equal(libxl__ev_fd_register(tgc, &s.ev, on_fd, s.r, POLLIN), 0);
        close_source(&s);
    }
}

static void a_failing_modify_changes_nothing_but_for_app_counts(void **state)
{
    static const short from[] = { POLLIN, 0, POLLIN, POLLPRI };
    static const short to[] = { POLLPRI, POLLIN, 0, POLLIN };
    struct source s;
    struct app_fd other;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(from) / sizeof(*from); i++) {
        open_source(&s, from[i]);
        app.calls = 0;
        app.fail_at = 1;
        app.fail_rc = 5;
        app.swap = &other;
        assert_int_equal(libxl__ev_fd_modify(tgc, &s.ev, to[i]), 5);
        assert_int_equal(s.ev.events, from[i]);
        assert_int_equal(ctx->nwatched, from[i] != 0);
        feed(&s);
        libxl_osevent_occurred_fd(ctx, other.for_libxl, s.r, POLLIN, POLLIN);
        moat_loop_run_once(ctx, 0);                     /* what the kernel watches */
        assert_int_equal(s.calls, from[i] == POLLIN ? 2 : 0);
        close_source(&s);                               /* deregisters `other` */
        assert_false(other.live);
    }
}

/* ---------- timers ---------- */

static libxl__ao *timer_ao;
static struct op timer_op;
static int fired, fired_rc;

static int timers_set_up(void **state)
{
    static const libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &timer_op };

    hooks_set_up(state);
    op_open(&timer_op);
    assert_int_equal(op_run(&timer_op, -1, &how), 0);
    assert_int_equal(app.ntimes, 0);                    /* an infinite one is not registered */
    timer_ao = timer_op.ao;
    fired = 0;
    return 0;
}

static int timers_tear_down(void **state)
{
    if (!timer_op.told) {
        feed(&timer_op.src);
        app_turn();
    }
    assert_int_equal(timer_op.told, 1);
    op_close(&timer_op);
    return hooks_tear_down(state);
}

#define TIMERS_TEST(f) cmocka_unit_test_setup_teardown(f, timers_set_up, timers_tear_down)

static void on_timer(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    (void)egc, (void)abs;
    assert_int_equal(ctx->lock_depth, 1);
    assert_false(libxl__ev_time_isregistered(ev));
    fired++;
    fired_rc = rc;
}

static int arm(libxl__ev_time *ev, int ms)
{
    return libxl__ev_time_register_rel(timer_ao, ev, on_timer, ms);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void a_timer_is_given_in_wall_clock_time_and_its_occurrence_ends_it(void **state)
{
    struct timeval before_it, after_it;
    libxl__ev_time t;

    (void)state;
    gettimeofday(&before_it, NULL);
    assert_int_equal(arm(&t, 1500), 0);
    gettimeofday(&after_it, NULL);
    assert_int_equal(app.live_times, 1);
    assert_true(seconds(app.times[0].abs) >= seconds(before_it) + 1.5 - 0.0001);
    assert_true(seconds(app.times[0].abs) <= seconds(after_it) + 1.5 + 0.0001);
    assert_true(app.times[0].abs.tv_usec >= 0 && app.times[0].abs.tv_usec < 1000000);
    libxl__ev_time_deregister(tgc, &t);

    assert_int_equal(arm(&t, 0), 0);
    occurred_time(&app.times[1]);
    assert_int_equal(fired, 1);
    assert_int_equal(fired_rc, ERROR_TIMEDOUT);
    assert_int_equal(app.time_modifies, 1);             /* of the first one */
}

static void b6_an_early_occurrence_registers_again_and_does_not_fire(void **state)
{
    libxl__ev_time t;
    int64_t from = mono_ms();

    (void)state;
    assert_int_equal(arm(&t, 60), 0);
    occurred_time(&app.times[0]);                       /* as if the clock had been set forward */
    assert_int_equal(fired, 0);
    assert_true(libxl__ev_time_isregistered(&t));
    assert_int_equal(app.live_times, 1);
    while (!fired) {
        sleep_ms(2);
        app_turn();
        assert_in_range(app.ntimes, 1, APP_MAX - 1);
    }
    assert_true(mono_ms() - from >= 59);                /* a millisecond is granted to rounding */
    assert_int_equal(app.live_times, 0);
}

static void b6_early_and_not_to_be_registered_again_is_taken_as_due(void **state)
{
    libxl__ev_time t;

    (void)state;
    assert_int_equal(arm(&t, 3600 * 1000), 0);
    app.fail_at = app.calls + 1;
    app.fail_rc = ERROR_OSEVENT_REG_FAIL;
    occurred_time(&app.times[0]);
    assert_int_equal(fired, 1);
    assert_int_equal(last_log_level, XTL_ERROR);
}

static void a_failing_timeout_register_is_the_result_and_leaves_nothing(void **state)
{
    libxl__ev_time t;

    (void)state;
    app.fail_at = app.calls + 1;
    app.fail_rc = 23;
    assert_int_equal(arm(&t, 10), 23);
    assert_false(libxl__ev_time_isregistered(&t));
    assert_int_equal(ctx->heap_len, 0);
    assert_int_equal(app.live_times, 0);
}

static void t4_deregistering_makes_it_occur_at_once_for_nothing_once(void **state)
{
    libxl__ev_time t, u;
    void *nexus;

    (void)state;
    assert_int_equal(arm(&t, 5000), 0);
    nexus = app.times[0].for_libxl;
    libxl__ev_time_deregister(tgc, &t);
    assert_true(app.times[0].at_once);
    assert_int_equal(arm(&u, 5000), 0);                 /* meanwhile: another nexus */
    assert_ptr_not_equal(app.times[1].for_libxl, nexus);
    app_turn();
    assert_int_equal(app.live_times, 1);
    libxl_osevent_occurred_timeout(ctx, nexus);         /* twice, three times: nothing */
    libxl_osevent_occurred_timeout(ctx, nexus);
    assert_int_equal(fired, 0);
    assert_int_equal(arm(&t, 5000), 0);
    assert_ptr_equal(app.times[2].for_libxl, nexus);    /* spare exactly once */
    libxl__ev_time_deregister(tgc, &u);
    app_turn();
    assert_true(libxl__ev_time_isregistered(&t));
    libxl__ev_time_deregister(tgc, &t);
    app_turn();
    assert_int_equal(fired, 0);
    assert_int_equal(app.time_modifies, 3);
}

static void a_timer_that_the_librarys_own_loop_fires_is_taken_back(void **state)
{
    libxl__ev_time t;

    (void)state;
    assert_int_equal(arm(&t, 0), 0);
    assert_int_equal(moat_loop_run_once(ctx, 1000), 0); /* a synchronous operation's thread */
    assert_int_equal(fired, 1);
    assert_true(app.times[0].at_once);
    app_turn();
    assert_int_equal(fired, 1);
    assert_int_equal(app.live_times, 0);
}

/* B2: upstream's aborted timer stays linked, and its nexus with it. */
static void b2_an_aborted_timer_is_idle_and_may_be_deregistered_again(void **state)
{
    static const libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &timer_op };
    libxl__ev_time t, u;

    (void)state;
    assert_int_equal(arm(&t, 5000), 0);
    assert_int_equal(libxl_ao_abort(ctx, &how), 0);
    assert_int_equal(fired, 1);
    assert_int_equal(fired_rc, ERROR_ABORTED);
    assert_false(libxl__ev_time_isregistered(&t));
    assert_true(app.times[0].at_once);
    assert_int_equal(app.time_modifies, 1);
    libxl__ev_time_deregister(tgc, &t);
    assert_int_equal(app.time_modifies, 1);
    app_turn();
    libxl__ev_time_init(&u);
    assert_int_equal(timer_op.told, 1);
    assert_int_equal(timer_op.rc, ERROR_ABORTED);
}

static void b3_a_timer_with_an_absolute_time_is_abortable(void **state)
{
    static const libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &timer_op };
    struct timespec abs;
    libxl__ev_time t;

    (void)state;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &abs), 0);
    abs.tv_sec += 3600;
    assert_int_equal(libxl__ev_time_register_abs(timer_ao, &t, on_timer, abs), 0);
    assert_int_equal(libxl_ao_abort(ctx, &how), 0);
    assert_int_equal(fired, 1);
    assert_int_equal(fired_rc, ERROR_ABORTED);
    app_turn();
}

/* ---------- the rules of the hooks ---------- */

static void forbidden(void)
{
    libxl_osevent_occurred_fd(ctx, app.fds[0].for_libxl, app.fds[0].fd, POLLIN, POLLIN);
    libxl_osevent_occurred_timeout(ctx, app.fds[0].for_libxl);
}

static void occurred_calls_from_within_a_hook_are_refused(void **state)
{
    struct source s, other;

    (void)state;
    open_source(&s, POLLIN);
    feed(&s);
    app.inside = forbidden;
    open_source(&other, POLLIN);
    app.inside = NULL;
    assert_int_equal(last_log_level, XTL_CRITICAL);
    assert_int_equal(s.calls, 0);
    assert_int_equal(ctx->lock_depth, 0);
    occurred_fd(&app.fds[0], POLLIN);
    assert_int_equal(s.calls, 1);
    close_source(&s);
    close_source(&other);
}

static void a_nexus_of_the_wrong_kind_is_ignored(void **state)
{
    struct source s;
    libxl__ev_time t;

    (void)state;
    open_source(&s, POLLIN);
    feed(&s);
    assert_int_equal(arm(&t, 0), 0);
    libxl_osevent_occurred_timeout(ctx, app.fds[1].for_libxl);
    libxl_osevent_occurred_fd(ctx, app.times[0].for_libxl, s.r, POLLIN, POLLIN);
    assert_int_equal(s.calls + fired, 0);
    libxl__ev_time_deregister(tgc, &t);
    app_turn();
    close_source(&s);
}

static void t20_hooks_that_come_late_or_twice_are_refused(void **state)
{
    static const libxl_osevent_hooks others;
    struct source s;

    (void)state;
    libxl_osevent_register_hooks(ctx, &others, NULL);
    assert_int_equal(last_log_level, XTL_CRITICAL);
    open_source(&s, POLLIN);                            /* with the first ones */
    assert_int_equal(app.live_fds, 1);
    close_source(&s);
}

static void t20_hooks_are_refused_while_something_is_registered(void **state)
{
    struct source s;

    (void)state;
    memset(&app, 0, sizeof(app));
    open_source(&s, POLLIN);
    libxl_osevent_register_hooks(ctx, &hooks, &app);
    assert_int_equal(last_log_level, XTL_CRITICAL);
    close_source(&s);
    assert_int_equal(app.calls, 0);
    libxl_osevent_register_hooks(ctx, &hooks, &app);
    open_source(&s, POLLIN);
    assert_int_equal(app.live_fds, 1);
    close_source(&s);
}

/* ---------- whole operations ---------- */

static void t19_an_operation_leaves_nothing_registered(void **state)
{
    struct op op;
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &op };

    (void)state;
    assert_int_equal(app.calls, 0);
    op_open(&op);
    assert_int_equal(op_run(&op, 60000, &how), 0);
    assert_true(app.live_fds && app.live_times);
    feed(&op.src);
    app_turn();
    assert_int_equal(op.told, 1);
    assert_int_equal(op.rc, 0);
    app_turn();
    assert_int_equal(app.live_fds, 0);
    assert_int_equal(app.live_times, 0);
    op_close(&op);
}

static void a_hook_failing_at_any_registration_fails_the_operation_and_leaves_nothing(void **state)
{
    struct op op;
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &op };
    int n, rc;

    (void)state;
    for (n = 1; n < 10; n++) {
        op_open(&op);
        app.calls = 0;
        app.fail_at = n;
        app.fail_rc = 100 + n;
        rc = op_run(&op, 60000, &how);
        if (!rc)
            break;
        assert_int_equal(rc, 100 + n);
        assert_int_equal(op.told, 0);
        app_turn();
        assert_int_equal(app.live_fds, 0);
        assert_int_equal(app.live_times, 0);
        assert_int_equal(libxl_ao_abort(ctx, &how), ERROR_NOTFOUND);
        op_close(&op);
    }
    assert_int_equal(n, 3);                             /* it has two registrations */
    feed(&op.src);
    app_turn();
    assert_int_equal(op.told, 1);
    app_turn();
    op_close(&op);
}

static void a_synchronous_operation_works_beside_hooks(void **state)
{
    struct op op;

    (void)state;
    op_open(&op);
    assert_int_equal(op_run(&op, 20, NULL), ERROR_TIMEDOUT);
    assert_int_equal(app.live_fds, 0);
    app_turn();
    assert_int_equal(app.live_times, 0);
    op_close(&op);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOOKS_TEST(registrations_modifications_and_deregistrations_reach_the_application),
        HOOKS_TEST(t6_each_of_several_on_one_fd_is_registered_and_told_by_itself),
        HOOKS_TEST(t7_a_hangup_alone_is_delivered),
        HOOKS_TEST(what_is_not_true_is_not_told),
        HOOKS_TEST(t3_a_late_report_finds_nobody_or_only_what_is_true),
        HOOKS_TEST(a_failing_register_is_the_result_and_leaves_nothing),
        HOOKS_TEST(a_failing_modify_changes_nothing_but_for_app_counts),
        TIMERS_TEST(a_timer_is_given_in_wall_clock_time_and_its_occurrence_ends_it),
        TIMERS_TEST(b6_an_early_occurrence_registers_again_and_does_not_fire),
        TIMERS_TEST(b6_early_and_not_to_be_registered_again_is_taken_as_due),
        TIMERS_TEST(a_failing_timeout_register_is_the_result_and_leaves_nothing),
        TIMERS_TEST(t4_deregistering_makes_it_occur_at_once_for_nothing_once),
        TIMERS_TEST(a_timer_that_the_librarys_own_loop_fires_is_taken_back),
        TIMERS_TEST(b2_an_aborted_timer_is_idle_and_may_be_deregistered_again),
        TIMERS_TEST(b3_a_timer_with_an_absolute_time_is_abortable),
        HOOKS_TEST(occurred_calls_from_within_a_hook_are_refused),
        TIMERS_TEST(a_nexus_of_the_wrong_kind_is_ignored),
        HOOKS_TEST(t20_hooks_that_come_late_or_twice_are_refused),
        TEST(t20_hooks_are_refused_while_something_is_registered),
        HOOKS_TEST(t19_an_operation_leaves_nothing_registered),
        HOOKS_TEST(a_hook_failing_at_any_registration_fails_the_operation_and_leaves_nothing),
        HOOKS_TEST(a_synchronous_operation_works_beside_hooks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
