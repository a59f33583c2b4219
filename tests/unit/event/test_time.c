/* SPDX-License-Identifier: LGPL-2.1-only */
#include "tests/unit/event/harness.h"

#include <sys/epoll.h>
#include <sys/syscall.h>

/*
 * The program's own clock: time passes only when a test says so or when the loop sleeps.  Reading
 * any clock but CLOCK_MONOTONIC is noticed (cmocka does it too, outside the tests' bodies).
 */
static bool fake_time;
static int64_t fake_now_ns;
static int wall_clock_reads;
static int last_sleep_ms;

int clock_gettime(clockid_t clk, struct timespec *ts)
{
    if (!fake_time)
        return (int)syscall(SYS_clock_gettime, clk, ts);
    if (clk != CLOCK_MONOTONIC) {
        wall_clock_reads++;
        *ts = (struct timespec){ .tv_sec = 1 };
        return 0;
    }
    *ts = (struct timespec){ fake_now_ns / 1000000000, fake_now_ns % 1000000000 };
    return 0;
}

int epoll_wait(int epfd, struct epoll_event *ev, int max, int ms)
{
    last_sleep_ms = ms;
    if (fake_time && ms > 0) {
        fake_now_ns += ms * 1000000LL;
        ms = 0;
    }
    return (int)syscall(SYS_epoll_pwait, epfd, ev, max, ms, NULL, 0);
}

#define N 8
static struct timer {
    libxl__ev_time ev;                                  /* first: callbacks cast */
    int calls, rc;
    struct timespec requested;
    void (*then)(struct timer *t);
} T[N];
static struct op op;
static char order[64];

static void on_time(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    struct timer *t = (void *)ev;

    assert_int_equal(ctx->lock_depth, 1);
    assert_ptr_equal(egc->gc.owner, ctx);
    assert_false(libxl__ev_time_isregistered(ev));      /* one-shot: Idle, also when aborted (B2) */
    t->calls++;
    t->rc = rc;
    t->requested = *abs;
    order[strlen(order)] = (char)('0' + (t - T));
    if (t->then)
        t->then(t);
}

static int timer_set_up(void **state)
{
    int i, r = set_up(state);

    fake_time = true;
    fake_now_ns = 5000000000000LL;
    memset(order, 0, sizeof(order));
    memset(T, 0xa5, sizeof(T));
    for (i = 0; i < N; i++) {
        libxl__ev_time_init(&T[i].ev);
        T[i].calls = T[i].rc = 0;
        T[i].then = NULL;
    }
    op_start(&op);
    return r;
}

static int timer_tear_down(void **state)
{
    if (!op.told)
        op_complete(&op, 0);
    assert_int_equal(op.told, 1);
    fake_time = false;
    return tear_down(state);
}

static void rel(struct timer *t, int ms)
{
    assert_int_equal(libxl__ev_time_register_rel(op.ao, &t->ev, on_time, ms), 0);
    assert_true(libxl__ev_time_isregistered(&t->ev));
}

static void pass_ms(int ms)
{
    fake_now_ns += ms * 1000000LL;
    turn();
}

static void init_makes_poisoned_memory_idle(void **state)
{
    (void)state;
    assert_false(libxl__ev_time_isregistered(&T[0].ev));
    libxl__ev_time_deregister(tgc, &T[0].ev);
    rel(&T[0], 10);
    libxl__ev_time_deregister(tgc, &T[0].ev);
    libxl__ev_time_deregister(tgc, &T[0].ev);
    pass_ms(100);
    assert_int_equal(T[0].calls, 0);
}

static void timers_fire_in_order_of_time_then_of_registration(void **state)
{
    (void)state;
    rel(&T[0], 30);
    rel(&T[1], 10);
    rel(&T[2], 20);
    rel(&T[3], 10);
    rel(&T[4], 10);
    turn();
    assert_string_equal(order, "");
    pass_ms(29);
    assert_string_equal(order, "1342");
    pass_ms(1);
    assert_string_equal(order, "13420");
    assert_int_equal(T[0].rc, ERROR_TIMEDOUT);
    assert_int_equal(T[0].requested.tv_sec, 5000);
    assert_int_equal(T[0].requested.tv_nsec, 30000000);
}

/* T2: one callback takes two others out, puts three new ones in, and itself. */
static void t2_then(struct timer *t)
{
    libxl__ev_time_deregister(tgc, &T[1].ev);
    libxl__ev_time_deregister(tgc, &T[2].ev);
    libxl__ev_time_deregister(tgc, &t->ev);
    assert_false(libxl__ev_time_isregistered(&T[1].ev));
    rel(&T[3], 0);
    rel(&T[4], 5);
    rel(&T[5], 0);
    t->then = NULL;
}

static void t2_callback_deregisters_others_and_registers_new_ones(void **state)
{
    (void)state;
    rel(&T[0], 10);
    rel(&T[1], 10);
    rel(&T[2], 11);
    rel(&T[6], 12);
    T[0].then = t2_then;
    pass_ms(20);
    assert_string_equal(order, "06");
    turn();
    assert_string_equal(order, "0635");
    pass_ms(5);
    assert_string_equal(order, "06354");
    pass_ms(1000);
    assert_string_equal(order, "06354");
}

static void t4_a_timer_deregistered_when_due_does_not_fire(void **state)
{
    (void)state;
    rel(&T[0], 10);
    rel(&T[1], 10);
    fake_now_ns += 50000000;
    libxl__ev_time_deregister(tgc, &T[0].ev);
    rel(&T[0], 1000);                                   /* the same struct, anew */
    turn();
    assert_string_equal(order, "1");
    pass_ms(1000);
    assert_string_equal(order, "10");
}

static void rearm_in_the_past(struct timer *t)
{
    struct timespec past = { .tv_sec = 1 };

    assert_int_equal(libxl__ev_time_register_abs(op.ao, &t->ev, on_time, past), 0);
}

static void a_timer_that_rearms_in_the_past_starves_no_other(void **state)
{
    (void)state;
    rel(&T[0], 1);
    T[0].then = rearm_in_the_past;
    rel(&T[1], 2);
    pass_ms(10);
    assert_string_equal(order, "01");
    assert_int_equal(last_sleep_ms, 0);
    rel(&T[2], 0);
    turn();
    assert_string_equal(order, "0102");
    assert_int_equal(T[0].requested.tv_sec, 1);
    T[0].then = NULL;
    turn();
}

static void an_infinite_timer_never_fires_but_can_be_aborted(void **state)
{
    (void)state;
    rel(&T[0], -1);
    fake_now_ns += 1000000000000000LL;
    turn();
    assert_int_equal(T[0].calls, 0);
    assert_int_equal(op_abort(&op), 0);
    assert_int_equal(T[0].calls, 1);
    assert_int_equal(T[0].rc, ERROR_ABORTED);
    assert_int_equal(T[0].requested.tv_sec | T[0].requested.tv_nsec, 0);
}

static void b2_b3_abort_ends_relative_and_absolute_timers_once(void **state)
{
    struct timespec later = { .tv_sec = 6000 };

    (void)state;
    rel(&T[0], 10);
    assert_int_equal(libxl__ev_time_register_abs(op.ao, &T[1].ev, on_time, later), 0);
    assert_int_equal(op_abort(&op), 0);
    assert_true(T[0].calls == 1 && T[0].rc == ERROR_ABORTED);
    assert_true(T[1].calls == 1 && T[1].rc == ERROR_ABORTED);
    libxl__ev_time_deregister(tgc, &T[0].ev);            /* B2: was a second removal */
    libxl__ev_time_deregister(tgc, &T[1].ev);
    pass_ms(2000000);
    assert_int_equal(T[0].calls + T[1].calls, 2);
}

static void no_timer_can_be_registered_on_an_aborting_operation(void **state)
{
    (void)state;
    assert_int_equal(op_abort(&op), 0);
    assert_int_equal(op_abort(&op), ERROR_ABORTED);
    POISON(T[0].ev);
    assert_int_equal(libxl__ev_time_register_rel(op.ao, &T[0].ev, on_time, 5), ERROR_ABORTED);
    assert_false(libxl__ev_time_isregistered(&T[0].ev));
    POISON(T[0].ev);
    assert_int_equal(libxl__ev_time_register_rel(op.ao, &T[0].ev, on_time, -1), ERROR_ABORTED);
    assert_false(libxl__ev_time_isregistered(&T[0].ev));
}

static void the_loop_sleeps_until_the_timer_rounded_up(void **state)
{
    (void)state;
    turn();
    assert_int_equal(last_sleep_ms, 0);
    rel(&T[0], 10);
    fake_now_ns += 500000;
    assert_int_equal(moat_loop_run_once(ctx, -1), 0);
    assert_int_equal(last_sleep_ms, 10);                /* for 9.5 ms */
    assert_int_equal(T[0].calls, 1);
    rel(&T[0], 10);
    assert_int_equal(moat_loop_run_once(ctx, 3), 0);
    assert_int_equal(last_sleep_ms, 3);
    assert_int_equal(T[0].calls, 1);
    assert_int_equal(moat_loop_run_once(ctx, 300), 0);
    assert_int_equal(last_sleep_ms, 7);
    assert_int_equal(T[0].calls, 2);
}

static void extreme_times_are_clamped(void **state)
{
    struct timespec far = { .tv_sec = INT64_MAX }, old = { .tv_sec = INT64_MIN };

    (void)state;
    assert_int_equal(libxl__ev_time_register_abs(op.ao, &T[0].ev, on_time, far), 0);
    assert_int_equal(libxl__ev_time_register_abs(op.ao, &T[1].ev, on_time, old), 0);
    rel(&T[2], 0x7fffffff);
    turn();
    assert_string_equal(order, "1");
    libxl__ev_time_deregister(tgc, &T[2].ev);
    assert_int_equal(libxl__time_poll_ms(ctx, -1), 0x7fffffff);
    libxl__ev_time_deregister(tgc, &T[0].ev);
    assert_int_equal(libxl__time_poll_ms(ctx, -1), -1);
}

static void b6_the_wall_clock_is_never_consulted(void **state)
{
    struct timespec later = { .tv_sec = 5001 };

    (void)state;
    wall_clock_reads = 0;
    rel(&T[0], 10);
    rel(&T[1], 1000000);
    assert_int_equal(libxl__ev_time_register_abs(op.ao, &T[2].ev, on_time, later), 0);
    pass_ms(10);
    pass_ms(1000);
    assert_string_equal(order, "02");
    assert_int_equal(op_abort(&op), 0);
    assert_string_equal(order, "021");
    assert_int_equal(wall_clock_reads, 0);
}

#define TIMER_TEST(f) cmocka_unit_test_setup_teardown(f, timer_set_up, timer_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TIMER_TEST(init_makes_poisoned_memory_idle),
        TIMER_TEST(timers_fire_in_order_of_time_then_of_registration),
        TIMER_TEST(t2_callback_deregisters_others_and_registers_new_ones),
        TIMER_TEST(t4_a_timer_deregistered_when_due_does_not_fire),
        TIMER_TEST(a_timer_that_rearms_in_the_past_starves_no_other),
        TIMER_TEST(an_infinite_timer_never_fires_but_can_be_aborted),
        TIMER_TEST(b2_b3_abort_ends_relative_and_absolute_timers_once),
        TIMER_TEST(no_timer_can_be_registered_on_an_aborting_operation),
        TIMER_TEST(the_loop_sleeps_until_the_timer_rounded_up),
        TIMER_TEST(b6_the_wall_clock_is_never_consulted),
        TIMER_TEST(extreme_times_are_clamped),
    };

    return cmocka_run_group_tests_name("event: time", tests, NULL, NULL);
}
