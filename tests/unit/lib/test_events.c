/* SPDX-License-Identifier: LGPL-2.1-only */
/* Contexts, events, how operations are told, aborts, disasters. */
#include "tests/unit/lib/harness.h"

/* ---------- contexts and words ---------- */

static void another_version_is_refused(void **state)
{
    libxl_ctx *other = (void *)0x1;

    (void)state;
    assert_int_equal(libxl_ctx_alloc(&other, LIBXL_VERSION + 1, 0, NULL), ERROR_VERSION);
    assert_null(other);
    assert_int_equal(libxl_ctx_free(NULL), 0);
}

static void a_ctx_without_a_logger_works(void **state)
{
    libxl_ctx *quiet;

    (void)state;
    assert_int_equal(libxl_ctx_alloc(&quiet, LIBXL_VERSION, 0, NULL), 0);
    libxl__log(quiet, LIBXL__LOG_ERROR, EBADF, "nobody hears this");
    assert_int_equal(libxl_ctx_free(quiet), 0);
}

static void the_core_speaks_through_the_applications_logger(void **state)
{
    (void)state;
    libxl__log(ctx, LIBXL__LOG_ERROR, ENOENT, "100%% of %s", "it\n");
    assert_int_equal(last_log_level, XTL_ERROR);
    assert_string_equal(last_log, "100% of it?: No such file or directory");
}

/* A worker of moatd's may have made the numbers up; libxentoollog divides by (total + 99) / 100. */
static int percent_shown;
static void show_percent(xentoollog_logger *logger, const char *context, const char *doing,
                         int percent, unsigned long done, unsigned long total)
{
    (void)logger, (void)context, (void)doing, (void)done, (void)total;
    percent_shown = percent;
}

static void no_progress_is_too_much_for_the_logger(void **state)
{
    const uint64_t totals[] = { 0, 1, 100, UINT64_MAX / 100, INT64_MAX, UINT64_MAX - 99,
                                UINT64_MAX - 98, UINT64_MAX };
    size_t i;

    (void)state;
    test_logger.progress = show_percent;
    for (i = 0; i < sizeof(totals) / sizeof(*totals); i++) {
        percent_shown = -1;
        ctx->hooks.progress(ctx->user, "everything", totals[i], totals[i]);
        assert_in_range(percent_shown, totals[i] ? 99 : 0, totals[i] ? 100 : 0);
    }
    test_logger.progress = NULL;
}

static void every_error_and_event_type_has_libxls_name(void **state)
{
    int rc;

    (void)state;
    for (rc = ERROR_QEMU_API; rc < 0; rc++)
        assert_non_null(libxl_error_to_string(rc));
    assert_string_equal(libxl_error_to_string(ERROR_NONSPECIFIC), "nonspecific");
    assert_string_equal(libxl_error_to_string(ERROR_BUFFERFULL), "bufferfull");
    assert_string_equal(libxl_error_to_string(ERROR_ABORTED), "aborted");
    assert_string_equal(libxl_error_to_string(ERROR_QEMU_API), "qemu_api");
    assert_null(libxl_error_to_string(0));
    assert_null(libxl_error_to_string(1));
    assert_null(libxl_error_to_string(INT32_MIN));
    assert_null(libxl_error_to_string(ERROR_QEMU_API - 1));
    assert_string_equal(libxl_event_type_to_string(LIBXL_EVENT_TYPE_DOMAIN_DEATH), "domain_death");
    assert_string_equal(libxl_event_type_to_string(LIBXL_EVENT_TYPE_OPERATION_COMPLETE),
                        "operation_complete");
    assert_null(libxl_event_type_to_string(0));
    assert_null(libxl_event_type_to_string(6));
}

/* ---------- the queue ---------- */

static libxl_event *make_event(int type, libxl_ev_user for_user)
{
    libxl_event *event = libxl__event_new(ctx, (libxl_event_type)type, 3, for_user);

    assert_non_null(event);
    return event;
}

static void generate(int type, libxl_ev_user for_user)
{
    ctx->hooks.event_occurs(ctx->user, make_event(type, for_user));
}

static int check(uint64_t mask, libxl_event_predicate *predicate, void *user, libxl_ev_user *got)
{
    libxl_event *event;
    int rc = libxl_event_check(ctx, &event, mask, predicate, user);

    if (!rc) {
        *got = event->for_user;
        libxl_event_free(ctx, event);
    }
    return rc;
}

static void events_are_queued_in_order_and_handed_out_once(void **state)
{
    libxl_ev_user got;
    libxl_event *event;
    int i;

    (void)state;
    assert_int_equal(check(LIBXL_EVENTMASK_ALL, NULL, NULL, &got), ERROR_NOT_READY);
    for (i = 1; i <= 3; i++)
        generate(LIBXL_EVENT_TYPE_DOMAIN_DEATH, (libxl_ev_user)i);
    assert_int_equal(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL), 0);
    assert_int_equal(event->type, LIBXL_EVENT_TYPE_DOMAIN_DEATH);
    assert_int_equal(event->domid, 3);
    assert_int_equal(event->for_user, 1);
    libxl_event_free(ctx, event);
    for (i = 2; i <= 3; i++) {
        assert_int_equal(check(LIBXL_EVENTMASK_ALL, NULL, NULL, &got), 0);
        assert_int_equal(got, i);
    }
    assert_int_equal(check(LIBXL_EVENTMASK_ALL, NULL, NULL, &got), ERROR_NOT_READY);
}

static int is_even(const libxl_event *event, void *user)
{
    assert_int_equal(ctx->lock_depth, 1);
    ++*(int *)user;
    return event->for_user % 2 == 0;
}

static void masks_and_predicates_choose_and_the_rest_stays(void **state)
{
    const uint64_t deaths = 1 << LIBXL_EVENT_TYPE_DOMAIN_DEATH;
    libxl_ev_user got;
    int asked = 0;

    (void)state;
    generate(LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN, 2);
    generate(LIBXL_EVENT_TYPE_DOMAIN_DEATH, 3);
    generate(LIBXL_EVENT_TYPE_DOMAIN_DEATH, 4);
    assert_int_equal(check(deaths, is_even, &asked, &got), 0);
    assert_int_equal(got, 4);
    assert_int_equal(asked, 2);                         /* not of what the mask excludes */
    assert_int_equal(check(deaths, is_even, &asked, &got), ERROR_NOT_READY);
    assert_int_equal(check(0, NULL, NULL, &got), ERROR_NOT_READY);
    assert_int_equal(check(LIBXL_EVENTMASK_ALL, NULL, NULL, &got), 0);
    assert_int_equal(got, 2);
    assert_int_equal(check(deaths, NULL, NULL, &got), 0);
    assert_int_equal(got, 3);
}

static void b5_masks_have_64_bits_everywhere(void **state)
{
    libxl_ev_user got;

    (void)state;
    assert_true(LIBXL_EVENTMASK_ALL == UINT64_MAX);
    generate(40, 1);
    generate(8, 2);
    generate(63, 3);
    assert_int_equal(check((uint64_t)1 << 63, NULL, NULL, &got), 0);
    assert_int_equal(got, 3);
    assert_int_equal(check((uint64_t)1 << 8, NULL, NULL, &got), 0);
    assert_int_equal(got, 2);                           /* 40 % 32 is 8 */
    assert_int_equal(check((uint64_t)1 << 40, NULL, NULL, &got), 0);
    assert_int_equal(got, 1);
}

static void what_nobody_fetched_is_freed_with_the_ctx(void **state)
{
    int i;

    (void)state;                                        /* ASan is the judge */
    for (i = 0; i < 10; i++)
        generate(LIBXL_EVENT_TYPE_DOMAIN_DEATH, 1);
    assert_false(STAILQ_EMPTY(&libxl__api(ctx)->queue));
}

/* ---------- callbacks ---------- */

static struct { int calls; libxl_ev_user for_user; libxl_ctx *own; } seen;

static void on_event(void *user, libxl_event *event)
{
    libxl_ctx *c = user;
    libxl_event *none;

    assert_int_equal(c->lock_depth, 0);
    seen.calls++;
    seen.for_user = event->for_user;
    /* it may call anything */
    assert_int_equal(libxl_event_check(c, &none, LIBXL_EVENTMASK_ALL, NULL, NULL),
                     ERROR_NOT_READY);
    assert_int_equal(op_instant(NULL, ERROR_NI), ERROR_NI);
    libxl_event_free(c, event);
}

static void event_occurs_gets_the_types_of_its_mask_and_the_queue_the_others(void **state)
{
    static const libxl_event_hooks hooks = {
        .event_occurs_mask = 1 << LIBXL_EVENT_TYPE_DOMAIN_DEATH, .event_occurs = on_event,
    };
    libxl_ev_user got;

    (void)state;
    memset(&seen, 0, sizeof(seen));
    libxl_event_register_callbacks(ctx, &hooks, ctx);
    generate(LIBXL_EVENT_TYPE_DOMAIN_DEATH, 1);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.for_user, 1);
    generate(LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN, 2);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(check(LIBXL_EVENTMASK_ALL, NULL, NULL, &got), 0);
    assert_int_equal(got, 2);
    libxl_event_register_callbacks(ctx, NULL, NULL);
    generate(LIBXL_EVENT_TYPE_DOMAIN_DEATH, 3);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(check(LIBXL_EVENTMASK_ALL, NULL, NULL, &got), 0);
    assert_int_equal(got, 3);
}

static void a_mask_without_a_callback_loses_nothing(void **state)
{
    static const libxl_event_hooks hooks = { .event_occurs_mask = LIBXL_EVENTMASK_ALL };
    libxl_ev_user got;

    (void)state;
    libxl_event_register_callbacks(ctx, &hooks, NULL);
    generate(LIBXL_EVENT_TYPE_DOMAIN_DEATH, 5);
    assert_int_equal(check(LIBXL_EVENTMASK_ALL, NULL, NULL, &got), 0);
    assert_int_equal(got, 5);
}

/* ---------- operations ---------- */

static void a_callback_may_come_before_the_initiating_call_returns(void **state)
{
    struct op op = { .told = 0 };
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &op };

    (void)state;
    assert_int_equal(op_instant(&how, ERROR_NI), 0);
    assert_int_equal(op.told, 1);
    assert_int_equal(op.rc, ERROR_NI);
    assert_int_equal(op_instant(NULL, ERROR_NI), ERROR_NI);
    assert_int_equal(op.told, 1);
}

/* Two operations end in one turn.  The first one's callback looks, or even waits, for the event of the
 * second: it is in the queue by then, for the thread that would put it there later is this one. */
static libxl_ev_user seen_in_callback;

static void looks_for_the_other(libxl_ctx *c, int rc, void *for_callback)
{
    (void)c, (void)for_callback;
    assert_int_equal(rc, 0);
    seen_in_callback = 0;
    assert_int_equal(check(LIBXL_EVENTMASK_ALL, NULL, NULL, &seen_in_callback), 0);
}

static void an_event_is_in_the_queue_before_any_callback_of_its_turn(void **state)
{
    libxl_asyncop_how first = { .callback = looks_for_the_other };
    libxl_asyncop_how second = { .u.for_event = 99 };
    struct op a, b;

    (void)state;
    op_open(&a);
    op_open(&b);
    assert_int_equal(op_run(&a, -1, &first), 0);
    assert_int_equal(op_run(&b, -1, &second), 0);
    feed(&a.src);
    feed(&b.src);
    assert_int_equal(poll_turn(0), 2);
    assert_int_equal(seen_in_callback, 99);
    assert_int_equal(check(LIBXL_EVENTMASK_ALL, NULL, NULL, &seen_in_callback), ERROR_NOT_READY);
    op_close(&a);
    op_close(&b);
}

static void the_how_is_copied(void **state)
{
    libxl_asyncop_how how = { .callback = NULL, .u.for_event = 21 };
    libxl_event *event;
    struct op op;

    (void)state;
    op_open(&op);
    assert_int_equal(op_run(&op, -1, &how), 0);
    POISON(how);
    feed(&op.src);
    assert_int_equal(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL), 0);
    assert_int_equal(event->type, LIBXL_EVENT_TYPE_OPERATION_COMPLETE);
    assert_int_equal(event->for_user, 21);
    assert_int_equal(event->domid, 7);
    assert_int_equal(event->u.operation_complete.rc, 0);
    libxl_event_free(ctx, event);
    op_close(&op);
}

static char order[16];
static void progress_told(libxl_ctx *c, libxl_event *event, void *for_callback)
{
    (void)for_callback;
    order[strlen(order)] = 'p';
    libxl_event_free(c, event);
}
static void end_told(libxl_ctx *c, int rc, void *for_callback)
{
    (void)c, (void)rc, (void)for_callback;
    order[strlen(order)] = 'e';
}

static int op_with_progress(const libxl_asyncop_how *ao_how,
                            const libxl_asyncprogress_how *from_app)
{
    libxl_asyncprogress_how how;
    int i;

    AO_CREATE(ctx, 7, ao_how);
    libxl__ao_progress_gethow(&how, from_app);
    for (i = 0; i < 3; i++)
        assert_int_equal(libxl__ao_progress_report(egc, ao, &how, make_event(2, 0)), 0);
    libxl__ao_complete(egc, ao, 0);
    return AO_INPROGRESS;
}

static void progress_is_told_before_the_end_as_asked(void **state)
{
    libxl_asyncop_how how = { .callback = end_told };
    libxl_asyncprogress_how progress = { .callback = progress_told };
    libxl_ev_user got;
    int i;

    (void)state;
    memset(order, 0, sizeof(order));
    assert_int_equal(op_with_progress(&how, &progress), 0);
    assert_string_equal(order, "pppe");
    assert_int_equal(op_with_progress(&how, NULL), 0);
    assert_string_equal(order, "pppee");
    progress = (libxl_asyncprogress_how){ .for_event = 31 };
    assert_int_equal(op_with_progress(NULL, &progress), 0);
    for (i = 0; i < 3; i++) {
        assert_int_equal(check(LIBXL_EVENTMASK_ALL, NULL, NULL, &got), 0);
        assert_int_equal(got, 31);
    }
    assert_int_equal(check(LIBXL_EVENTMASK_ALL, NULL, NULL, &got), ERROR_NOT_READY);
}

static void an_abort_finds_its_operation_by_the_how(void **state)
{
    struct op op[2];
    libxl_asyncop_how how[2] = { { .callback = op_told, .u.for_callback = &op[0] },
                                 { .callback = op_told, .u.for_callback = &op[1] } };
    libxl_asyncop_how other = { .callback = NULL, .u.for_event = 1 };

    (void)state;
    op_open(&op[0]);
    op_open(&op[1]);
    assert_int_equal(op_run(&op[0], -1, &how[0]), 0);
    assert_int_equal(op_run(&op[1], -1, &how[1]), 0);
    assert_int_equal(libxl_ao_abort(ctx, &other), ERROR_NOTFOUND);
    assert_int_equal(libxl_ao_abort(ctx, NULL), ERROR_NOTFOUND);        /* none is synchronous */
    assert_int_equal(libxl_ao_abort(ctx, &how[1]), 0);
    assert_int_equal(op[0].told, 0);
    assert_int_equal(op[1].told, 1);
    assert_int_equal(op[1].rc, ERROR_ABORTED);
    assert_int_equal(libxl_ao_abort(ctx, &how[1]), ERROR_NOTFOUND);
    assert_int_equal(libxl_ao_abort(ctx, &how[0]), 0);
    op_close(&op[0]);
    op_close(&op[1]);
}

static void a_second_abort_of_an_operation_that_takes_its_time_is_aborted(void **state)
{
    libxl_asyncop_how how = { .callback = end_told };
    libxl__ao *ao = libxl__ao_create(ctx, 7, &how);

    (void)state;
    memset(order, 0, sizeof(order));
    assert_int_equal(libxl__ao_inprogress(ao), 0);
    assert_int_equal(libxl_ao_abort(ctx, &how), 0);
    assert_int_equal(libxl_ao_abort(ctx, &how), ERROR_ABORTED);
    assert_string_equal(order, "");
    EGC_INIT(ctx);
    libxl__ao_complete(egc, ao, 0);
    EGC_FREE;
    assert_string_equal(order, "e");
}

/* ---------- disasters ---------- */

static struct { int calls; libxl_event_type type; int errnoval; } disaster;

static void on_disaster(void *user, libxl_event_type type, const char *msg, int errnoval)
{
    assert_ptr_equal(user, &disaster);
    assert_string_equal(msg, "the sky is falling");
    disaster.calls++;
    disaster.type = type;
    disaster.errnoval = errnoval;
}

static void a_disaster_goes_to_the_applications_hook(void **state)
{
    static const libxl_event_hooks hooks = { .disaster = on_disaster };

    (void)state;
    memset(&disaster, 0, sizeof(disaster));
    libxl_event_register_callbacks(ctx, &hooks, &disaster);
    libxl__disaster(ctx, LIBXL_EVENT_TYPE_DOMAIN_DEATH, EIO, "the sky is falling");
    assert_int_equal(disaster.calls, 1);
    assert_int_equal(disaster.type, LIBXL_EVENT_TYPE_DOMAIN_DEATH);
    assert_int_equal(disaster.errnoval, EIO);
    assert_int_equal(last_log_level, XTL_CRITICAL);
    assert_int_equal(ctx->lock_depth, 0);
}

static void a_disaster_without_a_hook_says_so_and_ends_the_process(void **state)
{
    static const libxl_event_hooks without = { .event_occurs_mask = 0 };
    int i, status, p[2];
    char said[512];
    ssize_t n;
    pid_t pid;

    (void)state;
    for (i = 0; i < 2; i++) {
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (!pid) {
            libxl_postfork_child_noexec(ctx);
            dup2(p[1], 2);
            if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &test_logger))
                _exit(99);
            if (i)
                libxl_event_register_callbacks(ctx, &without, NULL);
            libxl__disaster(ctx, LIBXL_EVENT_TYPE_DOMAIN_DEATH, EIO, "the sky is falling");
            _exit(98);
        }
        close(p[1]);
        n = read(p[0], said, sizeof(said) - 1);
        assert_true(n > 0);
        said[n] = '\0';
        close(p[0]);
        assert_non_null(strstr(said, "the sky is falling: Input/output error; type domain_death"));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 255);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(another_version_is_refused),
        TEST(a_ctx_without_a_logger_works),
        TEST(the_core_speaks_through_the_applications_logger),
        TEST(no_progress_is_too_much_for_the_logger),
        TEST(every_error_and_event_type_has_libxls_name),
        TEST(events_are_queued_in_order_and_handed_out_once),
        TEST(masks_and_predicates_choose_and_the_rest_stays),
        TEST(b5_masks_have_64_bits_everywhere),
        TEST(what_nobody_fetched_is_freed_with_the_ctx),
        TEST(event_occurs_gets_the_types_of_its_mask_and_the_queue_the_others),
        TEST(a_mask_without_a_callback_loses_nothing),
        TEST(a_callback_may_come_before_the_initiating_call_returns),
        TEST(an_event_is_in_the_queue_before_any_callback_of_its_turn),
        TEST(the_how_is_copied),
        TEST(progress_is_told_before_the_end_as_asked),
        TEST(an_abort_finds_its_operation_by_the_how),
        TEST(a_second_abort_of_an_operation_that_takes_its_time_is_aborted),
        TEST(a_disaster_goes_to_the_applications_hook),
        TEST(a_disaster_without_a_hook_says_so_and_ends_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
