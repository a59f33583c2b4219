/* SPDX-License-Identifier: LGPL-2.1-only */
/* What a turn costs depends on what is ready, not on what is registered.  Work is counted, not
 * timed. */
#include "tests/unit/event/harness.h"

#include <sys/eventfd.h>

#define FDS 10000
#define TIMERS 100000

static int calls;

static void on_fd(libxl__egc *egc, libxl__ev_fd *ev, int fd, short events, short revents)
{
    uint64_t n;

    (void)egc, (void)ev, (void)events, (void)revents;
    assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
    calls++;
}

static void ten_thousand_idle_fds_cost_a_turn_nothing(void **state)
{
    libxl__ev_fd *ev = calloc(FDS, sizeof(*ev));
    moat_loop_stats before, after;
    uint64_t one = 1;
    int i;

    (void)state;
    allow_fds(FDS + 100);
    for (i = 0; i < FDS; i++) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

        assert_true(fd >= 0);
        assert_int_equal(libxl__ev_fd_register(tgc, &ev[i], on_fd, fd, POLLIN), 0);
    }
    calls = 0;
    before = moat_loop_get_stats(ctx);
    turn();
    assert_int_equal(write(ev[FDS / 2].fd, &one, sizeof(one)), sizeof(one));
    turn();
    turn();
    after = moat_loop_get_stats(ctx);
    assert_int_equal(calls, 1);
    assert_int_equal(after.fds_ready - before.fds_ready, 1);
    assert_int_equal(after.fd_polls - before.fd_polls, 1);

    for (i = 0; i < FDS; i++)                           /* all at once: each exactly once */
        assert_int_equal(write(ev[i].fd, &one, sizeof(one)), sizeof(one));
    turns_until(&calls, FDS + 1);
    turn();
    after = moat_loop_get_stats(ctx);
    assert_int_equal(calls, FDS + 1);
    assert_int_equal(after.fd_polls - before.fd_polls, FDS + 1);

    for (i = 0; i < FDS; i++) {
        int fd = ev[i].fd;

        libxl__ev_fd_deregister(tgc, &ev[i]);
        close(fd);
    }
    free(ev);
}

static void on_time(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    (void)egc, (void)ev, (void)abs;
    assert_int_equal(rc, ERROR_TIMEDOUT);
    calls++;
}

static void a_hundred_thousand_timers_cost_a_logarithm_each(void **state)
{
    libxl__ev_time *ev = calloc(TIMERS, sizeof(*ev));
    struct timespec past = { .tv_sec = 1 };
    moat_loop_stats s0, s1;
    struct op op;
    uint32_t x = 12345;
    int i;

    (void)state;
    op_start(&op);
    calls = 0;
    s0 = moat_loop_get_stats(ctx);
    for (i = 0; i < TIMERS; i++) {
        x = x * 1103515245 + 12345;
        assert_int_equal(libxl__ev_time_register_rel(op.ao, &ev[i], on_time,
                                                     1000000 + (int)(x >> 8)), 0);
    }
    s1 = moat_loop_get_stats(ctx);
    assert_true(s1.heap_moves - s0.heap_moves <= TIMERS * 18ULL);

    s0 = s1;
    for (i = 0; i < 100; i++)
        turn();
    s1 = moat_loop_get_stats(ctx);
    assert_int_equal(s1.heap_moves, s0.heap_moves);     /* nothing due: nothing moved */

    libxl__ev_time_deregister(tgc, &ev[TIMERS / 2]);
    assert_int_equal(libxl__ev_time_register_abs(op.ao, &ev[TIMERS / 2], on_time, past), 0);
    turn();
    assert_int_equal(calls, 1);
    s1 = moat_loop_get_stats(ctx);
    assert_true(s1.heap_moves - s0.heap_moves <= 3 * 18);

    s0 = s1;
    for (i = 0; i < TIMERS; i++)
        libxl__ev_time_deregister(tgc, &ev[i]);
    s1 = moat_loop_get_stats(ctx);
    assert_true(s1.heap_moves - s0.heap_moves <= TIMERS * 18ULL);
    assert_int_equal(calls, 1);
    op_complete(&op, 0);
    free(ev);
}

/* The heap against a sorted array, through random registrations and removals. */
static int64_t fired[2000];

static void on_ordered(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    (void)egc, (void)ev, (void)rc;
    fired[calls++] = abs->tv_sec * 1000000000LL + abs->tv_nsec;
}

static void whatever_the_order_of_changes_timers_fire_sorted(void **state)
{
    libxl__ev_time *ev = calloc(2000, sizeof(*ev));
    struct timespec now, abs;
    struct op op;
    uint32_t x = 99;
    int i, left = 0;

    (void)state;
    op_start(&op);
    calls = 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    for (i = 0; i < 2000; i++) {
        x = x * 1103515245 + 12345;
        abs = (struct timespec){ now.tv_sec, now.tv_nsec };
        abs.tv_nsec += 20000000 + (x >> 8) % 1000;      /* all within one microsecond */
        assert_int_equal(libxl__ev_time_register_abs(op.ao, &ev[i], on_ordered, abs), 0);
        if (i % 3 == 2)
            libxl__ev_time_deregister(tgc, &ev[x / 7 % (unsigned)i]);
    }
    for (i = 0; i < 2000; i++)
        left += libxl__ev_time_isregistered(&ev[i]);
    assert_in_range(left, 1000, 1999);
    turns_until(&calls, left);
    for (i = 1; i < left; i++)
        assert_true(fired[i - 1] <= fired[i]);
    op_complete(&op, 0);
    free(ev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ten_thousand_idle_fds_cost_a_turn_nothing),
        TEST(a_hundred_thousand_timers_cost_a_logarithm_each),
        TEST(whatever_the_order_of_changes_timers_fire_sorted),
    };

    return cmocka_run_group_tests_name("event: scale", tests, NULL, NULL);
}
