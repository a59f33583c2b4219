/* SPDX-License-Identifier: LGPL-2.1-only */
/* Two threads in one ctx: each promise here is that somebody wakes up. */
#include "tests/unit/lib/harness.h"

/* How long a wake-up may take before the test calls it lost. */
#define LOST_MS 20000
/* Long enough for the other thread to be asleep, most of the time; no verdict depends on it. */
#define SETTLE_MS 30

struct waiter {
    pthread_t thread;
    struct op *op;
    int ms, rc;
    libxl_event *event;
    struct polled polled;
    int ready;
};

static void alarm_went(int sig)
{
    static const char msg[] = "a thread was never woken\n";

    (void)sig;
    (void)!write(2, msg, sizeof(msg) - 1);
    _exit(1);
}

static int thread_set_up(void **state)
{
    signal(SIGALRM, alarm_went);
    alarm(LOST_MS / 1000);
    return set_up(state);
}

static int thread_tear_down(void **state)
{
    int rc = tear_down(state);

    alarm(0);
    return rc;
}

#define THREAD_TEST(f) cmocka_unit_test_setup_teardown(f, thread_set_up, thread_tear_down)

static void start(struct waiter *w, void *(*f)(void *))
{
    assert_int_equal(pthread_create(&w->thread, NULL, f, w), 0);
    sleep_ms(SETTLE_MS);
}

static void finish(struct waiter *w)
{
    assert_int_equal(pthread_join(w->thread, NULL), 0);
}

static void *run_sync(void *arg)
{
    struct waiter *w = arg;

    w->rc = op_run(w->op, w->ms, NULL);
    return NULL;
}

static void *run_event_wait(void *arg)
{
    struct waiter *w = arg;

    w->rc = libxl_event_wait(ctx, &w->event, LIBXL_EVENTMASK_ALL, NULL, NULL);
    return NULL;
}

/* The thread has gone to sleep in the library: only then is the test the one it says it is. */
static void until_sleeping(int n)
{
    struct libxl__poller *p;
    int sleeping = 0;

    while (sleeping < n) {
        sleep_ms(1);
        libxl__ctx_lock(ctx);
        sleeping = 0;
        LIST_FOREACH(p, &libxl__api(ctx)->sleepers, entry)
            sleeping++;
        libxl__ctx_unlock(ctx);
    }
}

static void a_synchronous_operation_sleeps_without_the_lock_and_sees_its_fd(void **state)
{
    struct waiter w = { .ms = -1 };
    struct op op;

    (void)state;
    op_open(&op);
    w.op = &op;
    start(&w, run_sync);
    until_sleeping(1);
    libxl__ctx_lock(ctx);                               /* T13: it does not hold it */
    libxl__ctx_unlock(ctx);
    feed(&op.src);
    finish(&w);
    assert_int_equal(w.rc, 0);
    op_close(&op);
}

static void a_synchronous_operation_ends_by_its_timer(void **state)
{
    struct op op;
    int64_t from = mono_ms();

    (void)state;
    op_open(&op);
    assert_int_equal(op_run(&op, 40, NULL), ERROR_TIMEDOUT);
    assert_true(mono_ms() - from >= 40);
    op_close(&op);
}

static void a_synchronous_operation_is_woken_when_another_thread_aborts_it(void **state)
{
    struct waiter w = { .ms = -1 };
    struct op op;

    (void)state;
    op_open(&op);
    w.op = &op;
    start(&w, run_sync);
    until_sleeping(1);
    assert_int_equal(libxl_ao_abort(ctx, NULL), 0);
    finish(&w);
    assert_int_equal(w.rc, ERROR_ABORTED);
    assert_int_equal(libxl_ao_abort(ctx, NULL), ERROR_NOTFOUND);
    op_close(&op);
}

static void t12_a_synchronous_operation_that_another_thread_ends_is_woken(void **state)
{
    struct waiter w = { .ms = -1 };
    struct polled p;
    struct op op;

    (void)state;
    op_open(&op);
    w.op = &op;
    start(&w, run_sync);
    until_sleeping(1);
    libxl__ctx_lock(ctx);                               /* or the sleeper is faster */
    feed(&op.src);
    EGC_INIT(ctx);
    op_end(egc, &op, ERROR_NOTFOUND);
    CTX_UNLOCK;
    EGC_FREE;
    finish(&w);
    assert_int_equal(w.rc, ERROR_NOTFOUND);
    before(&p);
    after(&p);
    op_close(&op);
}

static void t10_an_fd_that_another_thread_adds_is_seen_by_a_sleeper(void **state)
{
    struct waiter w = { .ms = -1 };
    struct op op, other;
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &other };

    (void)state;
    op_open(&op);
    op_open(&other);
    w.op = &op;
    start(&w, run_sync);
    until_sleeping(1);
    assert_int_equal(op_run(&other, -1, &how), 0);
    feed(&other.src);
    for (;;) {                                          /* nobody else runs the loop */
        int told;

        libxl__ctx_lock(ctx);
        told = other.told;
        libxl__ctx_unlock(ctx);
        if (told)
            break;
        sleep_ms(1);
    }
    assert_int_equal(other.rc, 0);
    feed(&op.src);
    finish(&w);
    assert_int_equal(w.rc, 0);
    op_close(&op);
    op_close(&other);
}

static void t10_an_earlier_timer_that_another_thread_adds_is_seen_by_a_sleeper(void **state)
{
    struct waiter w = { .ms = 3600 * 1000 };
    struct op op, other;
    libxl_asyncop_how how = { .callback = NULL, .u.for_event = 5 };
    libxl_event *event;

    (void)state;
    op_open(&op);
    op_open(&other);
    w.op = &op;
    start(&w, run_sync);
    until_sleeping(1);
    assert_int_equal(op_run(&other, 10, &how), 0);
    while (libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL))
        sleep_ms(1);
    assert_int_equal(event->for_user, 5);
    assert_int_equal(event->u.operation_complete.rc, ERROR_TIMEDOUT);
    libxl_event_free(ctx, event);
    feed(&op.src);
    finish(&w);
    assert_int_equal(w.rc, 0);
    op_close(&op);
    op_close(&other);
}

static void b1_event_wait_is_woken_by_an_operation_that_ends_at_once_elsewhere(void **state)
{
    libxl_asyncop_how how = { .callback = NULL, .u.for_event = 77 };
    struct waiter w = { .rc = -100 };

    (void)state;
    start(&w, run_event_wait);
    until_sleeping(1);
    assert_int_equal(op_instant(&how, ERROR_NOTFOUND), 0);
    finish(&w);
    assert_int_equal(w.rc, 0);
    assert_int_equal(w.event->type, LIBXL_EVENT_TYPE_OPERATION_COMPLETE);
    assert_int_equal(w.event->for_user, 77);
    assert_int_equal(w.event->u.operation_complete.rc, ERROR_NOTFOUND);
    libxl_event_free(ctx, w.event);
}

static int wants_for_user(const libxl_event *event, void *user)
{
    return event->for_user == *(libxl_ev_user *)user;
}

static libxl_ev_user wanted[2] = { 11, 12 };
static void *run_picky_wait(void *arg)
{
    struct waiter *w = arg;

    w->rc = libxl_event_wait(ctx, &w->event, LIBXL_EVENTMASK_ALL, wants_for_user,
                             &wanted[w->ms]);
    return NULL;
}

static void b1_all_that_wait_for_events_are_woken_not_only_one(void **state)
{
    struct waiter w[2] = { { .ms = 0 }, { .ms = 1 } };
    int i;

    (void)state;
    for (i = 0; i < 2; i++)
        start(&w[i], run_picky_wait);
    until_sleeping(2);
    for (i = 0; i < 2; i++) {
        libxl_asyncop_how how = { .callback = NULL, .u.for_event = wanted[i] };
        assert_int_equal(op_instant(&how, 0), 0);
    }
    for (i = 0; i < 2; i++) {
        finish(&w[i]);
        assert_int_equal(w[i].rc, 0);
        assert_int_equal(w[i].event->for_user, wanted[i]);
        libxl_event_free(ctx, w[i].event);
    }
}

static void *run_poll(void *arg)
{
    struct waiter *w = arg;

    w->ready = poll(w->polled.fds, (nfds_t)w->polled.nfds, -1);
    return NULL;
}

static void t10_an_application_in_poll_is_poked_when_an_fd_is_added(void **state)
{
    struct waiter w = { 0 };
    struct source s;

    (void)state;
    before(&w.polled);
    assert_int_equal(w.polled.nfds, 1);
    start(&w, run_poll);
    open_source(&s, POLLIN);
    finish(&w);
    assert_int_equal(w.ready, 1);
    after(&w.polled);
    before(&w.polled);
    assert_non_null(polled_find(&w.polled, s.r));
    assert_int_equal(do_poll(&w.polled, 0), 0);         /* it does not stay poked */
    after(&w.polled);
    close_source(&s);
}

static void t10_an_application_in_poll_is_poked_when_an_event_is_queued(void **state)
{
    libxl_asyncop_how how = { .callback = NULL, .u.for_event = 3 };
    struct waiter w = { 0 };
    libxl_event *event;

    (void)state;
    before(&w.polled);
    start(&w, run_poll);
    assert_int_equal(op_instant(&how, 0), 0);
    finish(&w);
    assert_int_equal(w.ready, 1);
    after(&w.polled);
    assert_int_equal(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL), 0);
    libxl_event_free(ctx, event);
}

static void t9_of_two_threads_that_see_one_byte_one_is_called(void **state)
{
    struct waiter w[2] = { { .ms = -1 }, { .ms = -1 } };
    struct op op[2];
    struct source s;
    char c;
    int i;

    (void)state;
    open_source(&s, POLLIN);
    s.then = drain;
    for (i = 0; i < 2; i++) {
        op_open(&op[i]);
        w[i].op = &op[i];
        start(&w[i], run_sync);
    }
    until_sleeping(2);
    for (i = 0; i < 50; i++) {
        int calls;

        feed(&s);
        do {
            libxl__ctx_lock(ctx);
            calls = s.calls;
            libxl__ctx_unlock(ctx);
        } while (calls <= i);
    }
    sleep_ms(SETTLE_MS);                                /* time for calls too many */
    for (i = 0; i < 2; i++) {
        feed(&op[i].src);
        finish(&w[i]);
        assert_int_equal(w[i].rc, 0);
        op_close(&op[i]);
    }
    assert_int_equal(s.calls, 50);
    assert_int_equal(read(s.r, &c, 1), -1);
    close_source(&s);
}

/* ---------- progress that another thread is still telling (T12) ---------- */

static struct {
    pthread_t thread;
    struct op *op;
    int in_callback[2], go_on[2];                       /* pipes */
    bool told;                                          /* guarded by the lock */
} report;

static void progress_blocks(libxl_ctx *c, libxl_event *event, void *for_callback)
{
    char x;

    (void)for_callback;
    libxl_event_free(c, event);
    assert_int_equal(write(report.in_callback[1], "x", 1), 1);
    assert_int_equal(read(report.go_on[0], &x, 1), 1);
    libxl__ctx_lock(c);
    report.told = true;
    libxl__ctx_unlock(c);
}

static void *run_report(void *arg)
{
    const libxl_asyncprogress_how how = { .callback = progress_blocks };
    libxl_event *event;

    (void)arg;
    EGC_INIT(ctx);
    CTX_LOCK;
    event = libxl__event_new(CTX, LIBXL_EVENT_TYPE_DOMAIN_DEATH, 7, 0);
    assert_non_null(event);
    assert_int_equal(libxl__ao_progress_report(egc, report.op->ao, &how, event), 0);
    CTX_UNLOCK;
    EGC_FREE;
    return NULL;
}

static void report_start(struct op *op)
{
    char x;

    memset(&report, 0, sizeof(report));
    report.op = op;
    assert_int_equal(pipe2(report.in_callback, O_CLOEXEC), 0);
    assert_int_equal(pipe2(report.go_on, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&report.thread, NULL, run_report, NULL), 0);
    assert_int_equal(read(report.in_callback[0], &x, 1), 1);
}

static void report_end(void)
{
    int i;

    assert_int_equal(write(report.go_on[1], "x", 1), 1);
    assert_int_equal(pthread_join(report.thread, NULL), 0);
    for (i = 0; i < 2; i++) {
        close(report.in_callback[i]);
        close(report.go_on[i]);
    }
}

static void t12_the_end_waits_for_progress_that_another_thread_is_telling(void **state)
{
    struct op op;
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &op };

    (void)state;
    op_open(&op);
    assert_int_equal(op_run(&op, -1, &how), 0);
    report_start(&op);
    feed(&op.src);
    poll_turn(1000);                                    /* complete, and not told */
    assert_int_equal(libxl_ao_abort(ctx, &how), ERROR_NOTFOUND);
    assert_int_equal(op.told, 0);
    report_end();                                       /* that thread tells it */
    assert_true(report.told);
    assert_int_equal(op.told, 1);
    op_close(&op);
}

static void *run_sync_after_report(void *arg)
{
    struct waiter *w = arg;

    w->rc = op_run(w->op, -1, NULL);
    libxl__ctx_lock(ctx);
    w->ready = report.told;
    libxl__ctx_unlock(ctx);
    return NULL;
}

static void t12_a_synchronous_operation_waits_for_progress_too(void **state)
{
    struct waiter w = { .ms = -1 };
    struct op op;

    (void)state;
    op_open(&op);
    w.op = &op;
    start(&w, run_sync_after_report);
    until_sleeping(1);
    report_start(&op);
    feed(&op.src);
    sleep_ms(SETTLE_MS);                                /* time to return too early */
    until_sleeping(1);
    report_end();
    finish(&w);
    assert_int_equal(w.rc, 0);
    assert_int_equal(w.ready, 1);
    op_close(&op);
}

/* ---------- everything at once ---------- */

#define ROUNDS 200
struct worker {
    pthread_t thread;
    int failures;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    int i;

    for (i = 0; i < ROUNDS; i++) {
        struct op a, b;
        libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &b };
        libxl_asyncop_how as_event = { .callback = NULL, .u.for_event = (libxl_ev_user)i };
        libxl_event *event;
        int told = 0;

        op_open(&a);
        op_open(&b);
        feed(&a.src);
        feed(&b.src);
        w->failures += op_run(&b, -1, &how) != 0;
        w->failures += op_run(&a, i % 2 ? -1 : 60000, NULL) != 0;
        w->failures += op_instant(&as_event, 0) != 0;
        w->failures += libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL) != 0;
        libxl_event_free(ctx, event);
        while (!told) {
            struct op c;

            op_open(&c);
            (void)op_run(&c, 1, NULL);                  /* runs the loop for b's sake */
            op_close(&c);
            libxl__ctx_lock(ctx);
            told = b.told;
            libxl__ctx_unlock(ctx);
        }
        op_close(&a);
        op_close(&b);
    }
    return NULL;
}

static void many_threads_do_everything_in_one_ctx(void **state)
{
    struct worker w[4] = { { 0 } };
    libxl_event *event;
    int i;

    (void)state;
    for (i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    for (i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(w[i].thread, NULL), 0);
        assert_int_equal(w[i].failures, 0);
    }
    assert_int_equal(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
                     ERROR_NOT_READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        THREAD_TEST(a_synchronous_operation_sleeps_without_the_lock_and_sees_its_fd),
        THREAD_TEST(a_synchronous_operation_ends_by_its_timer),
        THREAD_TEST(a_synchronous_operation_is_woken_when_another_thread_aborts_it),
        THREAD_TEST(t12_a_synchronous_operation_that_another_thread_ends_is_woken),
        THREAD_TEST(t10_an_fd_that_another_thread_adds_is_seen_by_a_sleeper),
        THREAD_TEST(t10_an_earlier_timer_that_another_thread_adds_is_seen_by_a_sleeper),
        THREAD_TEST(b1_event_wait_is_woken_by_an_operation_that_ends_at_once_elsewhere),
        THREAD_TEST(b1_all_that_wait_for_events_are_woken_not_only_one),
        THREAD_TEST(t10_an_application_in_poll_is_poked_when_an_fd_is_added),
        THREAD_TEST(t10_an_application_in_poll_is_poked_when_an_event_is_queued),
        THREAD_TEST(t9_of_two_threads_that_see_one_byte_one_is_called),
        THREAD_TEST(t12_the_end_waits_for_progress_that_another_thread_is_telling),
        THREAD_TEST(t12_a_synchronous_operation_waits_for_progress_too),
        THREAD_TEST(many_threads_do_everything_in_one_ctx),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
