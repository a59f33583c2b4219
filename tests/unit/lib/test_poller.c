/* SPDX-License-Identifier: LGPL-2.1-only */
/* Threads that wait in the library when waiting is made difficult. */
#include "tests/unit/lib/harness.h"

#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* The program's own poll, which fails when told to: only where it would wait. */
static atomic_int poll_failures, polls_failed;
int poll(struct pollfd *fds, nfds_t nfds, int timeout)
{
    if (timeout && atomic_load(&poll_failures) > 0) {
        atomic_fetch_sub(&poll_failures, 1);
        atomic_fetch_add(&polls_failed, 1);
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_poll, fds, nfds, timeout);
}

static void alarm_went(int sig)
{
    static const char msg[] = "a thread was never woken\n";

    (void)sig;
    (void)!write(2, msg, sizeof(msg) - 1);
    _exit(1);
}

static int poller_set_up(void **state)
{
    signal(SIGALRM, alarm_went);
    alarm(30);
    atomic_store(&poll_failures, 0);
    atomic_store(&polls_failed, 0);
    return set_up(state);
}

static int poller_tear_down(void **state)
{
    int rc = tear_down(state);

    alarm(0);
    return rc;
}

#define POLLER_TEST(f) cmocka_unit_test_setup_teardown(f, poller_set_up, poller_tear_down)

struct waiter {
    pthread_t thread;
    struct op op;
    int rc;
};

static void *run_sync(void *arg)
{
    struct waiter *w = arg;

    w->rc = op_run(&w->op, -1, NULL);
    return NULL;
}

static void start(struct waiter *w)
{
    op_open(&w->op);
    assert_int_equal(pthread_create(&w->thread, NULL, run_sync, w), 0);
}

static void finish(struct waiter *w)
{
    assert_int_equal(pthread_join(w->thread, NULL), 0);
    op_close(&w->op);
}

static void b7_when_waiting_fails_the_operation_goes_on_and_the_lock_is_free(void **state)
{
    struct waiter w;
    int i;

    (void)state;
    atomic_store(&poll_failures, 1 << 30);
    start(&w);
    while (atomic_load(&polls_failed) < 2)
        sleep_ms(1);
    for (i = 0; i < 20; i++) {                          /* while it fails and fails */
        int64_t from = mono_ms();

        libxl__ctx_lock(ctx);
        assert_true(mono_ms() - from < 1000);
        libxl__ctx_unlock(ctx);
        sleep_ms(1);
    }
    feed(&w.op.src);
    finish(&w);
    assert_int_equal(w.rc, 0);
    assert_int_equal(last_log_level, XTL_CRITICAL);
}

static void event_wait_that_cannot_wait_says_so(void **state)
{
    libxl_event *event;

    (void)state;
    atomic_store(&poll_failures, 1);
    assert_int_equal(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL), ERROR_FAIL);
    assert_int_equal(ctx->lock_depth, 0);
}

static void without_a_free_descriptor_a_synchronous_operation_still_ends(void **state)
{
    struct rlimit old, none;
    struct source s;
    struct waiter w;

    (void)state;
    open_source(&s, POLLIN);                            /* so the ctx has its epoll descriptor */
    op_open(&w.op);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){ .rlim_cur = 3, .rlim_max = old.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(pthread_create(&w.thread, NULL, run_sync, &w), 0);
    while (libxl_ao_abort(ctx, NULL))                   /* nobody can wake it for this */
        sleep_ms(1);
    finish(&w);
    assert_int_equal(w.rc, ERROR_ABORTED);
    assert_non_null(strstr(last_log, "no descriptor"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    close_source(&s);
}

static void beforepoll_without_a_free_descriptor_fails_and_recovers(void **state)
{
    struct rlimit old, none;
    struct polled p = { .nfds = POLLED_MAX, .timeout = -1 };

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){ .rlim_cur = 0, .rlim_max = old.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(libxl_osevent_beforepoll(ctx, &p.nfds, p.fds, &p.timeout, no_time),
                     ERROR_FAIL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    before(&p);
    after(&p);
}

static void t14_nothing_of_a_waiter_outlives_its_waiting(void **state)
{
    int i, fds = 0;

    (void)state;
    for (i = 0; i < 100; i++) {
        struct op op;

        op_open(&op);
        assert_int_equal(op_run(&op, 0, NULL), ERROR_TIMEDOUT);
        op_close(&op);
        if (!i)
            fds = count_fds();
        assert_true(LIST_EMPTY(&libxl__api(ctx)->sleepers));
    }
    assert_int_equal(count_fds(), fds);
    assert_int_equal(fds, fds_before);                  /* not even the ctx's epoll descriptor */
}

static void a_poke_between_the_last_look_and_the_sleep_is_not_lost(void **state)
{
    struct libxl__poller p;

    (void)state;
    libxl__poller_init(&p);
    assert_int_equal(libxl__poller_open(ctx, &p), 0);
    libxl__poller_poke(ctx, &p);                        /* not asleep: it will look by itself */
    assert_false(p.poked);
    p.sleeping = true;
    libxl__poller_poke(ctx, &p);
    libxl__poller_poke(ctx, &p);
    assert_true(p.poked);
    libxl__ctx_lock(ctx);
    assert_int_equal(libxl__poller_turn(ctx, &p), 0);   /* returns at once, or the alarm comes */
    libxl__ctx_unlock(ctx);
    assert_false(p.poked);
    libxl__poller_close(ctx, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POLLER_TEST(b7_when_waiting_fails_the_operation_goes_on_and_the_lock_is_free),
        POLLER_TEST(event_wait_that_cannot_wait_says_so),
        POLLER_TEST(without_a_free_descriptor_a_synchronous_operation_still_ends),
        POLLER_TEST(beforepoll_without_a_free_descriptor_fails_and_recovers),
        POLLER_TEST(t14_nothing_of_a_waiter_outlives_its_waiting),
        POLLER_TEST(a_poke_between_the_last_look_and_the_sleep_is_not_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
