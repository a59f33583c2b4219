/* SPDX-License-Identifier: LGPL-2.1-only */
/* What a turn costs depends on what is ready, not on what is registered.  Work is counted, not
 * timed. */
#include "tests/unit/event/harness.h"

#include <sys/eventfd.h>

#include "parent/event/child.h"

#define FDS 10000
#define TIMERS 100000
#define CHILDREN 10000

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

/* All at once, as a busy daemon has it: each turn does the work of its one event. */
static void a_turn_among_all_of_them_does_one_events_work(void **state)
{
    libxl__ev_time *times = calloc(TIMERS, sizeof(*times));
    libxl__ev_fd *ev = calloc(FDS, sizeof(*ev));
    moat_loop_stats before, after;
    uint64_t one = 1;
    struct op op;
    int i;

    (void)state;
    allow_fds(FDS + 100);
    op_start(&op);
    for (i = 0; i < FDS; i++)
        assert_int_equal(libxl__ev_fd_register(tgc, &ev[i], on_fd, eventfd(0, EFD_NONBLOCK),
                                               POLLIN), 0);
    for (i = 0; i < TIMERS; i++)
        assert_int_equal(libxl__ev_time_register_rel(op.ao, &times[i], on_time, 1000000 + i), 0);
    turn();
    calls = 0;
    before = moat_loop_get_stats(ctx);
    for (i = 0; i < 1000; i++) {
        assert_int_equal(write(ev[i * 7].fd, &one, sizeof(one)), sizeof(one));
        turn();
        assert_int_equal(calls, i + 1);
    }
    after = moat_loop_get_stats(ctx);
    assert_int_equal(after.turns - before.turns, 1000);
    assert_int_equal(after.fds_ready - before.fds_ready, 1000);
    assert_int_equal(after.fd_polls - before.fd_polls, 1000);
    assert_int_equal(after.fd_callbacks - before.fd_callbacks, 1000);
    assert_int_equal(after.heap_moves, before.heap_moves);
    assert_int_equal(after.timer_callbacks, before.timer_callbacks);

    before = after;
    for (i = 0; i < 1000; i++) {                        /* and changes of what is registered */
        libxl__ev_time_deregister(tgc, &times[i * 99]);
        assert_int_equal(libxl__ev_time_register_rel(op.ao, &times[i * 99], on_time, 2000000), 0);
        assert_int_equal(libxl__ev_fd_modify(tgc, &ev[i * 7], 0), 0);
        assert_int_equal(libxl__ev_fd_modify(tgc, &ev[i * 7], POLLIN), 0);
    }
    after = moat_loop_get_stats(ctx);
    assert_int_equal(after.fd_polls, before.fd_polls);
    assert_true(after.heap_moves - before.heap_moves <= 1000 * 2 * 18);

    for (i = 0; i < TIMERS; i++)
        libxl__ev_time_deregister(tgc, &times[i]);
    for (i = 0; i < FDS; i++) {
        int fd = ev[i].fd;

        libxl__ev_fd_deregister(tgc, &ev[i]);
        close(fd);
    }
    op_complete(&op, 0);
    free(times);
    free(ev);
}

/* Entries of the table for which there is no process: a machine need not have room for 10,000. */
static struct libxl__child *table_fill(void)
{
    struct libxl__child *rec = calloc(CHILDREN, sizeof(*rec));
    int i;

    for (i = 0; i < CHILDREN; i++) {
        rec[i].pid = 0x400001 + 3 * i;                  /* more than the kernel's highest pid */
        rec[i].pidfd = -1;
        LIST_INSERT_HEAD(&ctx->children[(unsigned)rec[i].pid % CHILD_BUCKETS], &rec[i], entry);
        ctx->nchildren++;
    }
    return rec;
}

static void on_death(libxl__egc *egc, libxl__ev_child *ch, pid_t pid, int status)
{
    (void)egc, (void)ch;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_int_not_equal(pid, -1);
    calls++;
}

static void among_ten_thousand_children_a_death_costs_a_chain_of_the_table(void **state)
{
    struct libxl__child *rec = table_fill();
    moat_loop_stats before, after;
    libxl__ev_child ch[10];
    int i;

    (void)state;
    before = moat_loop_get_stats(ctx);
    for (i = 0; i < CHILDREN; i++)
        assert_ptr_equal(libxl__child_find(ctx, rec[i].pid), &rec[i]);
    after = moat_loop_get_stats(ctx);
    /* On average half of a chain of CHILDREN / CHILD_BUCKETS, and the one that is found. */
    assert_in_range(after.child_steps - before.child_steps, CHILDREN,
                    CHILDREN * (CHILDREN / CHILD_BUCKETS / 2 + 2));

    calls = 0;
    before = after;
    for (i = 0; i < 10; i++) {
        pid_t pid = libxl__ev_child_fork(tgc, &ch[i], on_death);

        if (!pid)
            _exit(7);
        assert_true(pid > 0);
    }
    turns_until(&calls, 10);
    after = moat_loop_get_stats(ctx);
    assert_in_range(after.child_steps - before.child_steps, 10, 10 * 2 * (CHILDREN / CHILD_BUCKETS + 2));
    assert_true(after.fd_polls - before.fd_polls <= 10);        /* one descriptor for them all */
    before = after;
    for (i = 0; i < 100; i++)
        turn();
    after = moat_loop_get_stats(ctx);
    assert_int_equal(after.child_steps, before.child_steps);    /* nobody died: nobody looked */
    assert_int_equal(after.fd_polls, before.fd_polls);

    for (i = 0; i < CHILDREN; i++)
        LIST_REMOVE(&rec[i], entry);
    ctx->nchildren -= CHILDREN;
    libxl__child_unwatch_if_idle(ctx);
    free(rec);
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
        /* All within one microsecond, and later than a slow machine needs for these lines: what is
         * registered when it is due already fires in the order of registration. */
        abs = (struct timespec){ now.tv_sec + 3, now.tv_nsec + (x >> 8) % 1000 };
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
        TEST(a_turn_among_all_of_them_does_one_events_work),
        TEST(among_ten_thousand_children_a_death_costs_a_chain_of_the_table),
        TEST(whatever_the_order_of_changes_timers_fire_sorted),
    };

    return cmocka_run_group_tests_name("event: scale", tests, NULL, NULL);
}
