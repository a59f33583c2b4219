/* SPDX-License-Identifier: LGPL-2.1-only */
#include "tests/unit/event/harness.h"

static char order[64];

static void note(char c)
{
    order[strlen(order)] = c;
}

static int ao_set_up(void **state)
{
    memset(order, 0, sizeof(order));
    return set_up(state);
}

static void completion_is_told_unlocked_at_cleanup_and_not_before(void **state)
{
    struct op op;
    libxl__egc egc[1];

    (void)state;
    op_start(&op);
    assert_int_equal(libxl__ao_domid(op.ao), 7);
    libxl__egc_init(egc, ctx);
    libxl__ctx_lock(ctx);
    libxl__ao_complete(egc, op.ao, ERROR_FAIL);
    assert_int_equal(op.told, 0);
    libxl__ctx_unlock(ctx);
    libxl__egc_cleanup(egc);
    assert_int_equal(op.told, 1);
    assert_int_equal(op.rc, ERROR_FAIL);
}

static int instant_operation(const libxl_asyncop_how *how, int rc)
{
    AO_CREATE(ctx, 7, how);
    libxl__ao_complete(egc, ao, rc);
    return AO_INPROGRESS;
}

static int refused_operation(const libxl_asyncop_how *how)
{
    AO_CREATE(ctx, 7, how);
    assert_non_null(GCNEW(how));
    return AO_CREATE_FAIL(ERROR_INVAL);
}

static void an_operation_may_be_complete_before_its_initiator_returns(void **state)
{
    struct op op = { .told = 0 };
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &op };

    (void)state;
    assert_int_equal(instant_operation(&how, ERROR_NOTFOUND), 0);
    assert_int_equal(op.told, 1);
    assert_int_equal(op.rc, ERROR_NOTFOUND);
    assert_int_equal(instant_operation(NULL, ERROR_NOTFOUND), ERROR_NOTFOUND);
    assert_int_equal(op.told, 1);
}

static void an_operation_that_was_not_started_is_told_to_nobody(void **state)
{
    struct op op = { .told = 0 };
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &op };

    (void)state;
    assert_int_equal(refused_operation(&how), ERROR_INVAL);
    turn();
    assert_int_equal(op.told, 0);
    assert_int_equal(ctx->lock_depth, 0);
}

struct delay {
    libxl__ao *ao;
    libxl__ev_time time;
};

static void delay_over(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    struct delay *d = CONTAINER_OF(ev, struct delay, time);

    (void)abs;
    libxl__ao_complete(egc, d->ao, rc == ERROR_TIMEDOUT ? 0 : rc);
}

static int delay_operation(const libxl_asyncop_how *how, int ms)
{
    struct delay *d;
    int rc;

    AO_CREATE(ctx, 9, how);
    if (!GCNEW(d))
        return AO_CREATE_FAIL(ERROR_NOMEM);
    d->ao = ao;
    libxl__ev_time_init(&d->time);
    rc = libxl__ev_time_register_rel(ao, &d->time, delay_over, ms);
    if (rc)
        return AO_CREATE_FAIL(rc);
    return AO_INPROGRESS;
}

static void a_synchronous_operation_runs_the_loop_and_returns_its_rc(void **state)
{
    (void)state;
    assert_int_equal(delay_operation(NULL, 2), 0);
    assert_true(moat_loop_get_stats(ctx).turns > 0);
}

static void abort_first_sync(libxl_ctx *c, int rc, void *u)
{
    (void)rc, (void)u;
    assert_int_equal(libxl_ao_abort(c, NULL), 0);
    assert_int_equal(libxl_ao_abort(c, NULL), ERROR_NOTFOUND);  /* it has ended meanwhile */
}

static void null_how_aborts_the_synchronous_operation(void **state)
{
    libxl_asyncop_how how = { .callback = abort_first_sync };

    (void)state;
    assert_int_equal(libxl_ao_abort(ctx, NULL), ERROR_NOTFOUND);
    assert_int_equal(delay_operation(&how, 1), 0);
    assert_int_equal(delay_operation(NULL, 1000000), ERROR_ABORTED);
}

static void abort_finds_an_operation_by_its_whole_how(void **state)
{
    struct op a = { .told = 0 }, b = { .told = 0 };
    libxl_asyncop_how ha = { .callback = op_told, .u.for_callback = &a };
    libxl_asyncop_how hb = { .callback = op_told, .u.for_callback = &b };
    libxl_asyncop_how he = { .u.for_event = 5 }, other = { .u.for_event = 6 };

    (void)state;
    assert_int_equal(delay_operation(&ha, -1), 0);
    assert_int_equal(delay_operation(&hb, -1), 0);
    assert_int_equal(libxl_ao_abort(ctx, NULL), ERROR_NOTFOUND);        /* none is synchronous */
    assert_int_equal(delay_operation(&he, -1), 0);
    assert_int_equal(libxl_ao_abort(ctx, &hb), 0);
    assert_true(b.told == 1 && b.rc == ERROR_ABORTED && !a.told);
    assert_int_equal(libxl_ao_abort(ctx, &hb), ERROR_NOTFOUND);
    assert_int_equal(libxl_ao_abort(ctx, &other), ERROR_NOTFOUND);
    assert_int_equal(libxl_ao_abort(ctx, &he), 0);
    assert_non_null(last_event);
    assert_int_equal(last_event->type, LIBXL_EVENT_TYPE_OPERATION_COMPLETE);
    assert_int_equal(last_event->for_user, 5);
    assert_int_equal(last_event->domid, 9);
    assert_int_equal(last_event->u.operation_complete.rc, ERROR_ABORTED);
    libxl_event_free(ctx, last_event);
    assert_int_equal(libxl_ao_abort(ctx, &ha), 0);
    assert_int_equal(a.told, 1);
}

static void an_end_that_nobody_could_be_told_is_refused_at_once(void **state)
{
    libxl_asyncop_how how = { .u.for_event = 5 };

    (void)state;
    ctx->hooks.event_occurs = NULL;
    assert_null(libxl__ao_create(ctx, 7, &how));
    assert_non_null(strstr(last_log, "nobody takes events"));
}

/* ---------- abortables ---------- */

struct stop {
    libxl__ao_abortable abrt;
    int calls;
    struct stop *takes_away;
};

static void on_abort(libxl__egc *egc, libxl__ao_abortable *abrt, int rc)
{
    struct stop *s = CONTAINER_OF(abrt, struct stop, abrt);

    assert_ptr_equal(egc->gc.owner, ctx);
    assert_int_equal(ctx->lock_depth, 1);
    assert_int_equal(rc, ERROR_ABORTED);
    assert_false(libxl__ao_abortable_isregistered(abrt));
    s->calls++;
    if (s->takes_away)
        libxl__ao_abortable_deregister(&s->takes_away->abrt);
    assert_int_equal(libxl__ao_abortable_register(abrt), ERROR_ABORTED);
}

static void stop_register(struct stop *s, libxl__ao *ao)
{
    POISON(*s);
    s->calls = 0;
    s->takes_away = NULL;
    libxl__ao_abortable_init(&s->abrt);
    assert_false(libxl__ao_abortable_isregistered(&s->abrt));
    libxl__ao_abortable_deregister(&s->abrt);
    s->abrt.ao = ao;
    s->abrt.callback = on_abort;
    assert_int_equal(libxl__ao_abortable_register(&s->abrt), 0);
}

static void abort_calls_each_abortable_once_also_those_of_parts(void **state)
{
    struct stop s[4];
    struct op op;
    libxl__ao *nested, *deeper;

    (void)state;
    op_start(&op);
    nested = libxl__nested_ao_create(op.ao);
    deeper = libxl__nested_ao_create(nested);
    stop_register(&s[0], op.ao);
    stop_register(&s[1], nested);
    stop_register(&s[2], deeper);
    stop_register(&s[3], op.ao);
    libxl__ao_abortable_deregister(&s[3].abrt);
    s[2].takes_away = &s[1];
    s[1].takes_away = &s[2];
    assert_int_equal(libxl__ao_aborting(deeper), 0);
    assert_int_equal(op_abort(&op), 0);
    assert_int_equal(s[0].calls, 1);
    assert_int_equal(s[1].calls + s[2].calls, 1);
    assert_int_equal(s[3].calls, 0);
    assert_int_equal(libxl__ao_aborting(deeper), ERROR_ABORTED);
    assert_int_equal(op_abort(&op), ERROR_ABORTED);
    assert_int_equal(op.told, 0);                       /* to complete is the operation's own act */
    libxl__nested_ao_free(deeper);
    libxl__nested_ao_free(nested);
    op_complete(&op, ERROR_ABORTED);
    assert_int_equal(op.told, 1);
}

static void a_part_has_memory_of_its_own(void **state)
{
    struct op op;
    libxl__ao *ao;

    (void)state;
    op_start(&op);
    ao = libxl__nested_ao_create(op.ao);
    assert_non_null(libxl__zalloc(libxl__ao_gc(ao), 1000));
    assert_int_equal(libxl__ao_domid(ao), 7);
    assert_ptr_equal(libxl__ao_ctx(ao), ctx);
    libxl__nested_ao_free(ao);
    op_complete(&op, 0);
    assert_int_equal(op.told, 1);
}

/* ---------- order ---------- */

static void on_progress(libxl_ctx *c, libxl_event *ev, void *u)
{
    assert_int_equal(c->lock_depth, 0);
    assert_ptr_equal(u, order);
    note((char)ev->for_user);
    libxl_event_free(c, ev);
}

static void on_end(libxl_ctx *c, int rc, void *u)
{
    assert_int_equal(c->lock_depth, 0);
    note(*(char *)u);
    assert_int_equal(rc, 0);
}

static libxl__ao *noted_ao(const char *name)
{
    libxl_asyncop_how how = { .callback = on_end, .u.for_callback = (void *)(uintptr_t)name };
    libxl__ao *ao = libxl__ao_create(ctx, 1, &how);

    assert_non_null(ao);
    assert_int_equal(libxl__ao_inprogress(ao), 0);
    return ao;
}

static void report(libxl__egc *egc, libxl__ao *ao, char c)
{
    libxl_asyncprogress_how from_app = { on_progress, (libxl_ev_user)c, order }, how;
    libxl_event *ev = libxl__event_new(ctx, LIBXL_EVENT_TYPE_DOMAIN_CREATE_CONSOLE_AVAILABLE, 1, 0);

    libxl__ao_progress_gethow(&how, &from_app);
    assert_int_equal(libxl__ao_progress_report(egc, ao, &how, ev), 0);
}

static void on_immediate(libxl__egc *egc, libxl__ev_immediate *ei)
{
    (void)egc, (void)ei;
    assert_int_equal(ctx->lock_depth, 1);
    note('i');
}

static void callbacks_come_in_textual_order_and_progress_before_the_end(void **state)
{
    libxl__ao *a = noted_ao("A"), *b = noted_ao("B");
    libxl__ev_immediate ei = { .callback = on_immediate };
    libxl__egc egc[1];

    (void)state;
    libxl__egc_init(egc, ctx);
    report(egc, a, '1');
    libxl__ao_complete(egc, b, 0);
    report(egc, a, '2');
    libxl__ao_complete(egc, a, 0);
    libxl__ev_immediate_register(egc, &ei);
    assert_string_equal(order, "");
    libxl__egc_cleanup(egc);
    assert_string_equal(order, "i1B2A");
}

static void completion_waits_for_progress_that_another_thread_has_to_tell(void **state)
{
    libxl__ao *a = noted_ao("A");
    libxl__egc mine[1], other[1];

    (void)state;
    libxl__egc_init(mine, ctx);
    libxl__egc_init(other, ctx);
    report(other, a, '1');
    libxl__ao_complete(mine, a, 0);
    libxl__egc_cleanup(mine);
    assert_string_equal(order, "");
    libxl__egc_cleanup(other);
    assert_string_equal(order, "1A");
}

static void progress_without_how_is_discarded_without_callback(void **state)
{
    struct op op;
    libxl_asyncprogress_how how, by_event = { .for_event = 12 };
    libxl__egc egc[1];

    (void)state;
    op_start(&op);
    libxl__egc_init(egc, ctx);
    libxl__ao_progress_gethow(&how, NULL);
    assert_int_equal(libxl__ao_progress_report(egc, op.ao, &how,
                                               libxl__event_new(ctx, 5, 1, 0)), 0);
    assert_true(STAILQ_EMPTY(&egc->items));
    assert_int_equal(libxl__ao_progress_report(egc, op.ao, &by_event,
                                               libxl__event_new(ctx, 5, 1, 0)), 0);
    libxl__egc_cleanup(egc);
    assert_int_equal(last_event->for_user, 12);
    libxl_event_free(ctx, last_event);
    op_complete(&op, 0);
}

/* ---------- what callbacks may do ---------- */

static void start_another(libxl_ctx *c, int rc, void *u)
{
    struct op *op = u;
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = op };

    (void)c, (void)rc;
    assert_int_equal(delay_operation(NULL, 1), 0);
    assert_int_equal(instant_operation(&how, 33), 0);
    assert_int_equal(op->told, 1);
}

static void an_end_callback_may_call_anything(void **state)
{
    struct op op = { .told = 0 };
    libxl_asyncop_how how = { .callback = start_another, .u.for_callback = &op };

    (void)state;
    assert_int_equal(instant_operation(&how, 0), 0);
    assert_int_equal(op.told, 1);
    assert_int_equal(op.rc, 33);
}

static void on_second(libxl__egc *egc, libxl__ev_immediate *ei)
{
    (void)egc, (void)ei;
    note('2');
}

static void chain_immediate(libxl__egc *egc, libxl__ev_immediate *ei)
{
    static int nested;

    assert_int_equal(nested++, 0);                      /* never inside another */
    note('c');
    if (strlen(order) < 3)
        libxl__ev_immediate_register(egc, ei);
    nested--;
}

static void immediates_may_register_themselves_and_are_not_nested(void **state)
{
    libxl__ev_immediate ei, second;
    libxl__egc egc[1];

    (void)state;
    POISON(ei);
    POISON(second);
    ei.callback = chain_immediate;
    second.callback = on_second;
    libxl__egc_init(egc, ctx);
    libxl__ev_immediate_register(egc, &ei);
    libxl__ev_immediate_register(egc, &second);
    libxl__egc_cleanup(egc);
    assert_string_equal(order, "c2c");
}

static void the_gc_gives_zeroed_memory_and_refuses_the_impossible(void **state)
{
    char *p;
    int i;

    (void)state;
    p = libxl__zalloc(tgc, 100);
    for (i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
    assert_null(libxl__zalloc(tgc, SIZE_MAX));
    assert_null(libxl__calloc(tgc, SIZE_MAX / 2, 3));
    assert_string_equal(libxl__sprintf(tgc, "%s/%d", libxl__strdup(tgc, "x"), 5), "x/5");
}

#define AO_TEST(f) cmocka_unit_test_setup_teardown(f, ao_set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AO_TEST(completion_is_told_unlocked_at_cleanup_and_not_before),
        AO_TEST(an_operation_may_be_complete_before_its_initiator_returns),
        AO_TEST(an_operation_that_was_not_started_is_told_to_nobody),
        AO_TEST(a_synchronous_operation_runs_the_loop_and_returns_its_rc),
        AO_TEST(null_how_aborts_the_synchronous_operation),
        AO_TEST(abort_finds_an_operation_by_its_whole_how),
        AO_TEST(an_end_that_nobody_could_be_told_is_refused_at_once),
        AO_TEST(abort_calls_each_abortable_once_also_those_of_parts),
        AO_TEST(a_part_has_memory_of_its_own),
        AO_TEST(callbacks_come_in_textual_order_and_progress_before_the_end),
        AO_TEST(completion_waits_for_progress_that_another_thread_has_to_tell),
        AO_TEST(progress_without_how_is_discarded_without_callback),
        AO_TEST(an_end_callback_may_call_anything),
        AO_TEST(immediates_may_register_themselves_and_are_not_nested),
        AO_TEST(the_gc_gives_zeroed_memory_and_refuses_the_impossible),
    };

    return cmocka_run_group_tests_name("event: ao", tests, NULL, NULL);
}
