/* SPDX-License-Identifier: LGPL-2.1-only */
/* B8: the first, the second, .. allocation fails: ERROR_NOMEM, and nothing is left behind. */
#include "tests/unit/lib/harness.h"
#include "tests/unit/lib/wrap.h"

static struct op op;
static libxl_asyncop_how by_callback = { .callback = op_told, .u.for_callback = &op };
static libxl_asyncop_how by_event = { .callback = NULL, .u.for_event = 9 };
static int hook_calls, live_fds, live_times;

static int fd_register(void *user, int fd, void **for_app_out, short events, void *for_libxl)
{
    (void)user, (void)fd, (void)events;
    *for_app_out = for_libxl;
    hook_calls++;
    live_fds++;
    return 0;
}
static int fd_modify(void *user, int fd, void **for_app_update, short events)
{
    (void)user, (void)fd, (void)for_app_update, (void)events;
    return 0;
}
static void fd_deregister(void *user, int fd, void *for_app)
{
    (void)user, (void)fd, (void)for_app;
    live_fds--;
}
static int timeout_register(void *user, void **for_app_out, struct timeval abs, void *for_libxl)
{
    (void)user, (void)abs;
    *for_app_out = for_libxl;
    hook_calls++;
    live_times++;
    return 0;
}
static int timeout_modify(void *user, void **for_app_update, struct timeval abs)
{
    (void)user, (void)for_app_update, (void)abs;
    live_times--;                                       /* what occurs of it finds nobody */
    return 0;
}
static const libxl_osevent_hooks hooks = {
    .fd_register = fd_register, .fd_modify = fd_modify, .fd_deregister = fd_deregister,
    .timeout_register = timeout_register, .timeout_modify = timeout_modify,
};

static void nothing_is_left(int fds)
{
    assert_int_equal(count_fds(), fds);
    assert_int_equal(ctx->fds_used, 0);
    assert_int_equal(ctx->nwatched, 0);
    assert_int_equal(ctx->heap_len, 0);
    assert_int_equal(ctx->timers, 0);
    assert_true(LIST_EMPTY(&ctx->aos));
    assert_true(STAILQ_EMPTY(&libxl__api(ctx)->queue));
    assert_int_equal(ctx->lock_depth, 0);
    assert_int_equal(live_fds, 0);
    assert_int_equal(live_times, 0);
}

/* f until it succeeds; a fresh ctx each time, for what one has allocated it keeps. */
static void exhaust(int (*f)(void), bool with_hooks, int at_least)
{
    int n, fds, rc;

    for (n = 0; n < 50; n++) {
        assert_int_equal(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &test_logger), 0);
        libxl__gc_init(tgc, ctx);
        live_fds = live_times = 0;
        if (with_hooks)
            libxl_osevent_register_hooks(ctx, &hooks, NULL);
        op_open(&op);
        feed(&op.src);
        fds = count_fds();
        allocations_left = n;
        rc = f();
        allocations_left = -1;
        if (rc) {
            assert_int_equal(rc, ERROR_NOMEM);
            assert_int_equal(op.told, 0);
            /* the ctx's own epoll descriptor may have come */
            nothing_is_left(fds + (ctx->epfd >= 0) + (libxl__api(ctx)->app.efd >= 0));
        }
        op_close(&op);
        assert_int_equal(libxl_ctx_free(ctx), 0);
        ctx = NULL;
        if (!rc)
            break;
    }
    assert_in_range(n, at_least, 49);
}

static void allocating_a_ctx(void **state)
{
    int n, fds = count_fds(), rc = ERROR_NOMEM;

    (void)state;
    for (n = 0; rc && n < 50; n++) {
        allocations_left = n;
        ctx = (void *)0x1;
        rc = libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &test_logger);
        allocations_left = -1;
        if (rc) {
            assert_int_equal(rc, ERROR_NOMEM);
            assert_null(ctx);
            assert_int_equal(count_fds(), fds);
        }
    }
    assert_in_range(n, 3, 49);
    assert_int_equal(libxl_ctx_free(ctx), 0);
    assert_int_equal(count_fds(), fds);
}

static int try_callback(void)
{
    int rc = op_run(&op, 60000, &by_callback);

    allocations_left = -1;
    while (!rc && !op.told)
        poll_turn(1000);
    return rc;
}

static void starting_an_operation_told_by_callback(void **state)
{
    (void)state;
    exhaust(try_callback, false, 4);
}

static int try_event(void)
{
    int rc = op_run(&op, 60000, &by_event);
    libxl_event *event;

    if (rc)
        return rc;
    allocations_left = -1;
    while (libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL))
        poll_turn(1000);
    assert_int_equal(event->for_user, 9);
    libxl_event_free(ctx, event);
    return 0;
}

static void starting_an_operation_told_by_event(void **state)
{
    (void)state;
    exhaust(try_event, false, 5);
}

static int try_wait(void)
{
    int rc = op_run(&op, 60000, &by_event);
    libxl_event *event;

    if (rc)
        return rc;
    allocations_left = 0;       /* from here on it must do without */
    assert_int_equal(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL), 0);
    allocations_left = -1;
    assert_int_equal(event->u.operation_complete.rc, 0);
    libxl_event_free(ctx, event);
    return 0;
}

static void the_end_of_an_operation_needs_no_memory(void **state)
{
    (void)state;
    exhaust(try_wait, false, 5);
}

static int try_sync(void)
{
    return op_run(&op, 60000, NULL);
}

static void a_synchronous_operation(void **state)
{
    (void)state;
    exhaust(try_sync, false, 4);
}

static int try_hooks(void)
{
    int rc = op_run(&op, 60000, &by_callback);

    allocations_left = -1;
    if (!rc)
        assert_int_equal(libxl_ao_abort(ctx, &by_callback), 0);
    return rc;
}

static void starting_an_operation_with_hooks(void **state)
{
    (void)state;
    exhaust(try_hooks, true, 6);
}

static int try_beforepoll(void)
{
    struct polled p = { .nfds = POLLED_MAX, .timeout = -1 };
    int rc = libxl_osevent_beforepoll(ctx, &p.nfds, p.fds, &p.timeout, no_time);

    assert_int_equal(p.nfds, rc && libxl__api(ctx)->app.efd < 0 ? POLLED_MAX : 1);
    return rc;
}

static void beforepoll(void **state)
{
    (void)state;
    exhaust(try_beforepoll, false, 1);
}

static void on_progress(libxl_ctx *c, libxl_event *event, void *for_callback)
{
    ++*(int *)for_callback;
    libxl_event_free(c, event);
}

static int try_progress(void)
{
    int told = 0, rc;
    libxl_asyncprogress_how how = { .callback = on_progress, .for_callback = &told };
    libxl_event *event;

    allocations_left++;
    AO_CREATE(ctx, 7, &by_callback);
    event = libxl__event_new(ctx, LIBXL_EVENT_TYPE_DOMAIN_CREATE_CONSOLE_AVAILABLE, 7, 0);
    rc = event ? libxl__ao_progress_report(egc, ao, &how, event) : ERROR_NOMEM;
    libxl__ao_complete(egc, ao, rc);
    assert_int_equal(AO_INPROGRESS, 0);
    assert_int_equal(told, !rc);
    assert_int_equal(op.told, 1);
    op.told = 0;
    return rc;
}

static void a_lost_progress_report_does_not_hold_up_the_operation(void **state)
{
    (void)state;
    exhaust(try_progress, false, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocating_a_ctx),
        cmocka_unit_test(starting_an_operation_told_by_callback),
        cmocka_unit_test(starting_an_operation_told_by_event),
        cmocka_unit_test(the_end_of_an_operation_needs_no_memory),
        cmocka_unit_test(a_synchronous_operation),
        cmocka_unit_test(starting_an_operation_with_hooks),
        cmocka_unit_test(beforepoll),
        cmocka_unit_test(a_lost_progress_report_does_not_hold_up_the_operation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
