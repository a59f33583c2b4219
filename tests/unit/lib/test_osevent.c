/* SPDX-License-Identifier: LGPL-2.1-only */
/* Applications around poll(2): beforepoll and afterpoll. */
#include "tests/unit/lib/harness.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

static int query(int *nfds, int *timeout)
{
    return libxl_osevent_beforepoll(ctx, nfds, NULL, timeout, no_time);
}

static void an_idle_ctx_wants_its_wake_up_descriptor_and_no_timeout(void **state)
{
    struct polled p;

    (void)state;
    before(&p);
    assert_int_equal(p.nfds, 1);
    assert_int_equal(p.fds[0].events, POLLIN);
    assert_int_equal(p.timeout, -1);
    assert_int_equal(do_poll(&p, 0), 0);
    after(&p);
}

static void a_size_query_tells_the_number_and_too_small_an_array_is_bufferfull(void **state)
{
    struct pollfd fds[2] = { { .fd = -7 }, { .fd = -7 } };
    struct source s[2];
    int nfds = 0, timeout = -1;

    (void)state;
    assert_int_equal(query(&nfds, &timeout), ERROR_BUFFERFULL);
    assert_int_equal(nfds, 1);
    open_source(&s[0], POLLIN);
    open_source(&s[1], POLLIN);
    nfds = 0;
    assert_int_equal(query(&nfds, &timeout), ERROR_BUFFERFULL);
    assert_int_equal(nfds, 3);
    nfds = 2;
    assert_int_equal(libxl_osevent_beforepoll(ctx, &nfds, fds, &timeout, no_time),
                     ERROR_BUFFERFULL);
    assert_int_equal(nfds, 3);
    nfds = -5;
    assert_int_equal(query(&nfds, &timeout), ERROR_BUFFERFULL);
    libxl_osevent_afterpoll(ctx, 2, fds, no_time);      /* not a valid array: harmless */
    assert_int_equal(s[0].calls + s[1].calls, 0);
    close_source(&s[0]);
    close_source(&s[1]);
}

static void an_array_of_just_the_right_size_is_enough(void **state)
{
    struct pollfd fds[2];
    struct source s;
    int nfds = 2, timeout = -1;

    (void)state;
    open_source(&s, POLLIN);
    assert_int_equal(libxl_osevent_beforepoll(ctx, &nfds, fds, &timeout, no_time), 0);
    assert_int_equal(nfds, 2);
    close_source(&s);
}

static void timeouts_are_only_lowered_rounded_up_and_bounded(void **state)
{
    struct op op, far;
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &op };
    libxl_asyncop_how far_how = { .callback = op_told, .u.for_callback = &far };
    struct polled p;

    (void)state;
    op_open(&far);
    assert_int_equal(op_run(&far, INT32_MAX, &far_how), 0);
    before(&p);
    assert_int_equal(p.timeout, 2000000000);
    p.timeout = 3;
    p.nfds = POLLED_MAX;
    assert_int_equal(libxl_osevent_beforepoll(ctx, &p.nfds, p.fds, &p.timeout, no_time), 0);
    assert_int_equal(p.timeout, 3);                     /* the application's own is earlier */
    op_open(&op);
    assert_int_equal(op_run(&op, 500, &how), 0);
    before(&p);
    assert_in_range(p.timeout, 400, 500);
    after(&p);
    assert_int_equal(op.told, 0);
    assert_int_equal(libxl_ao_abort(ctx, &how), 0);
    assert_int_equal(libxl_ao_abort(ctx, &far_how), 0);
    assert_int_equal(op.rc, ERROR_ABORTED);
    op_close(&op);
    op_close(&far);
}

static void a_timer_fires_in_afterpoll_and_never_before_its_time(void **state)
{
    struct op op;
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &op };
    int64_t from = mono_ms();
    struct polled p;

    (void)state;
    op_open(&op);
    assert_int_equal(op_run(&op, 30, &how), 0);
    while (!op.told) {
        before(&p);
        assert_true(p.timeout >= 0);
        do_poll(&p, 1000);
        after(&p);
    }
    assert_true(mono_ms() - from >= 30);
    assert_int_equal(op.rc, ERROR_TIMEDOUT);
    op_close(&op);
}

static void t6_registrations_of_one_fd_share_an_entry_and_are_told_apart(void **state)
{
    struct source in, out, pri;
    struct polled p;
    int sv[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
    in = out = pri = (struct source){ .r = sv[0], .w = sv[1] };
    assert_int_equal(libxl__ev_fd_register(tgc, &in.ev, on_fd, sv[0], POLLIN), 0);
    assert_int_equal(libxl__ev_fd_register(tgc, &out.ev, on_fd, sv[0], POLLOUT), 0);
    assert_int_equal(libxl__ev_fd_register(tgc, &pri.ev, on_fd, sv[0], POLLPRI), 0);
    before(&p);
    assert_int_equal(p.nfds, 2);
    assert_int_equal(polled_find(&p, sv[0])->events, POLLIN | POLLOUT | POLLPRI);
    assert_int_equal(do_poll(&p, 0), 1);
    after(&p);
    assert_int_equal(in.calls, 0);
    assert_int_equal(out.calls, 1);
    feed(&in);
    before(&p);
    assert_int_equal(do_poll(&p, 0), 1);
    polled_find(&p, sv[0])->revents = POLLIN;           /* any subset may be reported */
    after(&p);
    assert_int_equal(in.calls, 1);
    assert_int_equal(in.revents, POLLIN);
    assert_int_equal(out.calls, 1);
    assert_int_equal(pri.calls, 0);
    libxl__ev_fd_deregister(tgc, &out.ev);
    before(&p);
    assert_int_equal(polled_find(&p, sv[0])->events, POLLIN | POLLPRI);
    after(&p);
    libxl__ev_fd_deregister(tgc, &pri.ev);
    close_source(&in);
}

static void fds_without_wanted_events_are_left_out(void **state)
{
    struct source s;
    struct polled p;

    (void)state;
    open_source(&s, 0);
    feed(&s);
    before(&p);
    assert_int_equal(p.nfds, 1);
    after(&p);
    assert_int_equal(libxl__ev_fd_modify(tgc, &s.ev, POLLIN), 0);
    assert_int_equal(poll_turn(0), 1);
    assert_int_equal(s.calls, 1);
    assert_int_equal(libxl__ev_fd_modify(tgc, &s.ev, 0), 0);
    before(&p);
    assert_int_equal(p.nfds, 1);
    after(&p);
    close_source(&s);
}

static void t7_a_hangup_alone_is_delivered(void **state)
{
    struct source s;

    (void)state;
    open_source(&s, POLLPRI);
    close(s.w);
    assert_int_equal(poll_turn(0), 1);
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.revents, POLLHUP);
    s.w = -1;
    libxl__ev_fd_deregister(tgc, &s.ev);
    close(s.r);
}

static void what_is_not_true_is_not_told_whatever_the_array_says(void **state)
{
    struct source s;
    struct polled p;

    (void)state;
    open_source(&s, POLLIN);
    before(&p);
    polled_find(&p, s.r)->revents = POLLIN | POLLOUT | POLLERR;
    after(&p);
    assert_int_equal(s.calls, 0);
    feed(&s);
    before(&p);
    assert_int_equal(do_poll(&p, 0), 1);
    polled_find(&p, s.r)->revents = 0;                  /* the application saw nothing */
    after(&p);
    assert_int_equal(s.calls, 0);
    assert_int_equal(poll_turn(0), 1);
    assert_int_equal(s.calls, 1);
    close_source(&s);
}

static void events_that_were_modified_away_since_are_not_told(void **state)
{
    struct source s;
    struct polled p;

    (void)state;
    open_source(&s, POLLIN);
    feed(&s);
    before(&p);
    assert_int_equal(do_poll(&p, 0), 1);
    assert_int_equal(libxl__ev_fd_modify(tgc, &s.ev, POLLPRI), 0);
    after(&p);
    assert_int_equal(s.calls, 0);
    close_source(&s);
}

static void t1_a_number_that_was_closed_and_reused_is_not_mistaken(void **state)
{
    struct source old, fresh;
    struct polled p;
    int number, i;

    (void)state;
    open_source(&old, POLLIN);
    number = old.r;
    before(&p);
    close_source(&old);
    do_poll(&p, 0);
    assert_int_equal(polled_find(&p, number)->revents, POLLNVAL);
    open_pipe(&fresh);
    if (fresh.r != number) {
        assert_int_equal(dup3(fresh.r, number, O_CLOEXEC), number);
        close(fresh.r);
        fresh.r = number;
    }
    feed(&fresh);
    assert_int_equal(libxl__ev_fd_register(tgc, &fresh.ev, on_fd, number, POLLIN), 0);
    for (i = 0; i < 2; i++)                             /* neither the first nor a second time */
        after(&p);
    assert_int_equal(fresh.calls, 0);
    assert_int_equal(old.calls, 0);
    assert_int_equal(last_log_level, 0);
    do_poll(&p, 0);                                     /* the old array, the new fd */
    after(&p);
    assert_int_equal(fresh.calls, 0);
    assert_int_equal(poll_turn(0), 1);
    assert_int_equal(fresh.calls, 1);
    close_source(&fresh);
}

static struct { int calls, errnoval; } disaster;
static void on_disaster(void *user, libxl_event_type type, const char *msg, int errnoval)
{
    (void)user, (void)type, (void)msg;
    disaster.calls++;
    disaster.errnoval = errnoval;
}

static void an_fd_closed_while_registered_is_a_disaster_told_once(void **state)
{
    static const libxl_event_hooks hooks = { .disaster = on_disaster };
    struct source s;
    struct polled p;
    int i;

    (void)state;
    libxl_event_register_callbacks(ctx, &hooks, NULL);
    memset(&disaster, 0, sizeof(disaster));
    poll_turn(0);                                       /* has its wake-up descriptor */
    open_source(&s, POLLIN);
    close(s.r);
    for (i = 0; i < 3; i++) {
        before(&p);
        do_poll(&p, 0);
        after(&p);
    }
    assert_int_equal(disaster.calls, 1);
    assert_int_equal(disaster.errnoval, EBADF);
    assert_int_equal(last_log_level, XTL_CRITICAL);
    assert_int_equal(s.calls, 0);
    libxl__ev_fd_deregister(tgc, &s.ev);
    close(s.w);
}

#define MANY 8
static struct source many[MANY];

static void deregister_the_others(libxl__egc *egc, struct source *s)
{
    int i;

    (void)egc;
    for (i = 0; i < MANY; i++)
        if (&many[i] != s)
            libxl__ev_fd_deregister(tgc, &many[i].ev);
}

static void t5_a_callback_may_deregister_all_others_during_afterpoll(void **state)
{
    int i, calls = 0;

    (void)state;
    for (i = 0; i < MANY; i++) {
        open_source(&many[i], POLLIN);
        many[i].then = deregister_the_others;
        feed(&many[i]);
    }
    assert_int_equal(poll_turn(0), MANY);
    for (i = 0; i < MANY; i++)
        calls += many[i].calls;
    assert_int_equal(calls, 1);
    for (i = 0; i < MANY; i++)
        close_source(&many[i]);
}

static void register_another(libxl__egc *egc, struct source *s)
{
    (void)egc;
    if (!libxl__ev_fd_isregistered(&many[1].ev))
        open_source(&many[1], POLLIN);
    feed(&many[1]);
    drain(egc, s);
}

static void what_is_registered_in_a_callback_is_told_from_the_next_turn_on(void **state)
{
    (void)state;
    libxl__ev_fd_init(&many[1].ev);
    open_source(&many[0], POLLIN);
    many[0].then = register_another;
    feed(&many[0]);
    assert_int_equal(poll_turn(0), 1);
    assert_int_equal(many[1].calls, 0);
    assert_int_equal(poll_turn(0), 1);
    assert_int_equal(many[1].calls, 1);
    close_source(&many[0]);
    close_source(&many[1]);
}

static void t8_a_shrunk_set_leaves_no_stale_entries(void **state)
{
    struct polled p;
    int i;

    (void)state;
    for (i = 0; i < MANY; i++)
        open_source(&many[i], POLLIN);
    before(&p);
    assert_int_equal(p.nfds, 1 + MANY);
    after(&p);
    for (i = 1; i < MANY; i++)
        close_source(&many[i]);
    before(&p);
    assert_int_equal(p.nfds, 2);
    assert_non_null(polled_find(&p, many[0].r));
    p.nfds = 1 + MANY;                                  /* what lies behind is not looked at */
    for (i = 2; i < p.nfds; i++)
        p.fds[i] = (struct pollfd){ .fd = many[0].r, .revents = POLLIN };
    feed(&many[0]);
    after(&p);
    assert_int_equal(many[0].calls, 0);
    close_source(&many[0]);
}

static void b9_the_cost_of_a_turn_is_linear_in_what_is_ready(void **state)
{
    enum { N = 1000, READY = 100 };
    static struct source s[N];
    static struct pollfd fds[N + 1];
    moat_loop_stats a, b;
    int i, nfds = N + 1, timeout = -1;

    (void)state;
    for (i = 0; i < N; i++) {
        s[i] = (struct source){ .r = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .w = -1 };
        if (s[i].r < 0)
            break;
        assert_int_equal(libxl__ev_fd_register(tgc, &s[i].ev, on_fd, s[i].r, POLLIN), 0);
    }
    assert_true(i > READY);
    for (int k = 0; k < READY; k++)
        assert_int_equal(write(s[k].r, &(uint64_t){ 1 }, 8), 8);
    assert_int_equal(libxl_osevent_beforepoll(ctx, &nfds, fds, &timeout, no_time), 0);
    assert_int_equal(poll(fds, (nfds_t)nfds, 0), READY);
    a = moat_loop_get_stats(ctx);
    libxl_osevent_afterpoll(ctx, nfds, fds, no_time);
    b = moat_loop_get_stats(ctx);
    assert_int_equal(b.fd_polls - a.fd_polls, READY);
    assert_int_equal(b.fd_callbacks - a.fd_callbacks, READY);
    while (i--) {
        libxl__ev_fd_deregister(tgc, &s[i].ev);
        close(s[i].r);
    }
}

static void a_regular_file_is_always_ready_and_only_through_the_array(void **state)
{
    struct source s = { .w = -1, .r = open("/proc/self/exe", O_RDONLY | O_CLOEXEC) };
    struct polled p;

    (void)state;
    assert_true(s.r >= 0);
    assert_int_equal(libxl__ev_fd_register(tgc, &s.ev, on_fd, s.r, POLLIN), 0);
    before(&p);
    assert_non_null(polled_find(&p, s.r));
    assert_int_equal(do_poll(&p, 0), 1);
    after(&p);
    assert_int_equal(s.calls, 1);
    libxl__ev_fd_deregister(tgc, &s.ev);
    close(s.r);
}

/* ---------- waking the application ---------- */

static void t11_however_often_it_is_poked_one_byte_is_enough(void **state)
{
    struct source s;
    struct polled p;
    uint64_t n = 0;
    int i;

    (void)state;
    before(&p);
    for (i = 0; i < 1000; i++) {
        open_source(&s, POLLIN);
        close_source(&s);
    }
    assert_int_equal(do_poll(&p, 0), 1);
    assert_int_equal(p.fds[0].revents, POLLIN);
    assert_int_equal(read(p.fds[0].fd, &n, sizeof(n)), sizeof(n));      /* behind its back */
    assert_int_equal(n, 1);
    after(&p);                                          /* which it survives */
    assert_int_equal(poll_turn(0), 0);
    before(&p);
    open_source(&s, POLLIN);
    assert_int_equal(do_poll(&p, 0), 1);
    before(&p);                                         /* without afterpoll: well again too */
    assert_int_equal(do_poll(&p, 0), 0);
    after(&p);
    close_source(&s);
}

static void t10_it_is_poked_for_more_events_and_for_an_earlier_timer_only(void **state)
{
    struct op op[2];
    libxl_asyncop_how how[2] = { { .callback = op_told, .u.for_callback = &op[0] },
                                 { .callback = op_told, .u.for_callback = &op[1] } };
    struct source s;
    struct polled p;

    (void)state;
    open_source(&s, POLLIN | POLLPRI);
    op_open(&op[0]);
    op_open(&op[1]);
    before(&p);
    assert_int_equal(libxl__ev_fd_modify(tgc, &s.ev, POLLIN), 0);
    assert_int_equal(do_poll(&p, 0), 0);                /* less: not worth it */
    assert_int_equal(libxl__ev_fd_modify(tgc, &s.ev, POLLIN | POLLRDHUP), 0);
    assert_int_equal(do_poll(&p, 0), 1);
    after(&p);
    assert_int_equal(op_run(&op[0], 60000, &how[0]), 0);
    before(&p);
    assert_int_equal(libxl__ev_time_register_rel(op[0].ao, &op[1].time, op_timed_out, 70000), 0);
    assert_int_equal(do_poll(&p, 0), 0);                /* later */
    libxl__ev_time_deregister(tgc, &op[1].time);
    assert_int_equal(libxl__ev_time_register_rel(op[0].ao, &op[1].time, op_timed_out, 50000), 0);
    assert_int_equal(do_poll(&p, 0), 1);                /* earlier */
    libxl__ev_time_deregister(tgc, &op[1].time);
    after(&p);
    assert_int_equal(libxl_ao_abort(ctx, &how[0]), 0);
    op_close(&op[0]);
    op_close(&op[1]);
    close_source(&s);
}

/* T2: one timer's callback deregisters two others, registers three, deregisters itself. */
static libxl__ev_time timers[6];
static libxl__ao *timers_ao;
static char order[16];

static void on_timer(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    int i, me = (int)(ev - timers);

    (void)egc, (void)abs;
    assert_int_equal(rc, ERROR_TIMEDOUT);
    assert_false(libxl__ev_time_isregistered(ev));
    order[strlen(order)] = (char)('0' + me);
    if (me)
        return;
    libxl__ev_time_deregister(tgc, &timers[1]);
    libxl__ev_time_deregister(tgc, &timers[2]);
    for (i = 3; i < 6; i++)
        assert_int_equal(libxl__ev_time_register_rel(timers_ao, &timers[i], on_timer, 5 * (6 - i)),
                         0);
    libxl__ev_time_deregister(tgc, ev);
}

static void t2_timers_come_and_go_in_a_timers_callback(void **state)
{
    struct op op;
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &op };
    int i;

    (void)state;
    memset(order, 0, sizeof(order));
    op_open(&op);
    assert_int_equal(op_run(&op, -1, &how), 0);
    timers_ao = op.ao;
    for (i = 0; i < 6; i++) {
        libxl__ev_time_init(&timers[i]);
        if (i < 3)
            assert_int_equal(libxl__ev_time_register_rel(op.ao, &timers[i], on_timer, 0), 0);
    }
    for (i = 0; i < 100 && strlen(order) < 4; i++)
        poll_turn(1000);
    assert_string_equal(order, "0543");
    for (i = 0; i < 6; i++)
        assert_false(libxl__ev_time_isregistered(&timers[i]));
    feed(&op.src);
    poll_turn(1000);
    assert_int_equal(op.told, 1);
    op_close(&op);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_idle_ctx_wants_its_wake_up_descriptor_and_no_timeout),
        TEST(a_size_query_tells_the_number_and_too_small_an_array_is_bufferfull),
        TEST(an_array_of_just_the_right_size_is_enough),
        TEST(timeouts_are_only_lowered_rounded_up_and_bounded),
        TEST(a_timer_fires_in_afterpoll_and_never_before_its_time),
        TEST(t6_registrations_of_one_fd_share_an_entry_and_are_told_apart),
        TEST(fds_without_wanted_events_are_left_out),
        TEST(t7_a_hangup_alone_is_delivered),
        TEST(what_is_not_true_is_not_told_whatever_the_array_says),
        TEST(events_that_were_modified_away_since_are_not_told),
        TEST(t1_a_number_that_was_closed_and_reused_is_not_mistaken),
        TEST(an_fd_closed_while_registered_is_a_disaster_told_once),
        TEST(t5_a_callback_may_deregister_all_others_during_afterpoll),
        TEST(what_is_registered_in_a_callback_is_told_from_the_next_turn_on),
        TEST(t8_a_shrunk_set_leaves_no_stale_entries),
        TEST(b9_the_cost_of_a_turn_is_linear_in_what_is_ready),
        TEST(a_regular_file_is_always_ready_and_only_through_the_array),
        TEST(t11_however_often_it_is_poked_one_byte_is_enough),
        TEST(t10_it_is_poked_for_more_events_and_for_an_earlier_timer_only),
        TEST(t2_timers_come_and_go_in_a_timers_callback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
