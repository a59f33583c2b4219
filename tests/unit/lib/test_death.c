/* SPDX-License-Identifier: LGPL-2.1-only */
/* libxl_evenable_domain_death: each event once, whatever becomes of moatd. */
#include "tests/unit/lib/operations.h"

#include <pthread.h>

#define DOMID 7
#define FOR_USER 0x123456789abcULL

static libxl_evgen_domain_death *evgen;
static libxl_event events[16];
static int nevents;

static void take_events(void *user, libxl_event *ev)
{
    assert_int_equal(ctx->lock_depth, 0);
    assert_in_range(nevents, 0, 15);
    events[nevents++] = *ev;
    libxl_event_free(ctx, ev);
}

static int set_up_events(void **state)
{
    lib_set_up(state);
    nevents = 0;
    evgen = NULL;
    ctx->hooks.event_occurs = take_events;
    return 0;
}

static int tear_down_events(void **state)
{
    if (evgen)
        libxl_evdisable_domain_death(ctx, evgen);
    return lib_tear_down(state);
}

/* ---------- moatd, which must speak while the application waits */

struct answer {
    bool say;
    uint32_t type;
    const void *m;
    uint32_t kind, flags;
    char domain[64];
};

static void *answer_thread(void *arg)
{
    struct answer *a = arg;
    struct pollfd p = { .fd = listener, .events = POLLIN };
    struct msg_INTENT m;

    if (poll(&p, 1, 5000) != 1)
        return NULL;
    peer = (struct ipc_chan){ .fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK),
                              .self = WARDEN | PARENT, .peer = OPERATOR, .phase = PH_OPEN };
    if (ipc_expect(&peer, &peer_frame, MSG_INTENT, &m, 5000))
        return NULL;
    a->kind = m.kind;
    a->flags = m.flags;
    memcpy(a->domain, m.domain, sizeof(a->domain));
    if (a->type)
        ipc_send(&peer, a->type, 0, a->m, NULL, 0);
    else
        fake_hang_up();
    return NULL;
}

static int enable_answered(struct answer *a)
{
    pthread_t t;
    int rc;

    assert_int_equal(pthread_create(&t, NULL, answer_thread, a), 0);
    rc = libxl_evenable_domain_death(ctx, DOMID, FOR_USER, &evgen);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(evgen != NULL, !rc);
    return rc;
}

static struct msg_DOMAIN_STATE state_of(uint32_t st, uint32_t reason)
{
    return (struct msg_DOMAIN_STATE){ .domid = DOMID, .state = st, .reason = reason,
                                      .handle = "0123456789abcde" };
}

static void enable(uint32_t st, uint32_t reason)
{
    struct msg_DOMAIN_STATE m = state_of(st, reason);
    struct answer a = { .type = MSG_DOMAIN_STATE, .m = &m };

    assert_int_equal(enable_answered(&a), 0);
    assert_int_equal(a.kind, KIND_WATCH);
    assert_int_equal(a.flags, 0);
    assert_string_equal(a.domain, "7");
    assert_int_equal(nevents, 0);           /* not before the loop runs */
}

static void now(uint32_t st, uint32_t reason)
{
    struct msg_DOMAIN_STATE m = state_of(st, reason);

    fake_say(MSG_DOMAIN_STATE, 0, &m);
    turn();
}

static void assert_event(int i, libxl_event_type type, int reason)
{
    assert_true(i < nevents);
    assert_int_equal(events[i].type, type);
    assert_int_equal(events[i].domid, DOMID);
    assert_int_equal(events[i].for_user, FOR_USER);
    assert_string_equal((const char *)events[i].domuuid.uuid, "0123456789abcde");
    if (type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN)
        assert_int_equal(events[i].u.domain_shutdown.shutdown_reason, reason);
}

static void turns_until_events(int n)
{
    int64_t end = ipc_now_ms() + 5000;

    while (nevents < n && ipc_now_ms() < end)
        assert_int_equal(moat_loop_run_once(ctx, 50), 0);
    assert_int_equal(nevents, n);
}

/* ---------- events ---------- */

static void a_shutdown_and_a_death_are_told_once_each(void **state)
{
    enable(DOMAIN_RUNNING, 0);
    turn();
    assert_int_equal(nevents, 0);
    now(DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_CRASH);
    assert_int_equal(nevents, 1);
    assert_event(0, LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_CRASH);
    now(DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_CRASH);
    now(DOMAIN_RUNNING, 0);
    now(DOMAIN_SUSPENDED, LIBXL_SHUTDOWN_REASON_SUSPEND);
    assert_int_equal(nevents, 1);
    now(DOMAIN_GONE, 0);
    assert_int_equal(nevents, 2);
    assert_event(1, LIBXL_EVENT_TYPE_DOMAIN_DEATH, 0);
    fake_hears_the_end();                   /* nothing more is wanted */
    turn();
    assert_int_equal(nevents, 2);
    libxl_evdisable_domain_death(ctx, evgen);
    evgen = NULL;
}

static void a_death_may_come_without_a_shutdown(void **state)
{
    enable(DOMAIN_RUNNING, 0);
    now(DOMAIN_GONE, 0);
    assert_int_equal(nevents, 1);
    assert_event(0, LIBXL_EVENT_TYPE_DOMAIN_DEATH, 0);
}

static void what_is_shut_down_already_is_told(void **state)
{
    enable(DOMAIN_SUSPENDED, 4711);
    turns_until_events(1);
    assert_event(0, LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_SUSPEND);
    now(DOMAIN_SUSPENDED, LIBXL_SHUTDOWN_REASON_SUSPEND);
    assert_int_equal(nevents, 1);
}

static void a_first_state_that_is_past_already_is_told_all_the_same(void **state)
{
    enable(DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_POWEROFF);
    now(DOMAIN_RUNNING, 0);                 /* in the very first turn */
    assert_int_equal(nevents, 1);
    assert_event(0, LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_POWEROFF);
}

static void a_moatd_lost_before_the_first_turn_changes_nothing(void **state)
{
    enable(DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_POWEROFF);
    fake_hang_up();
    turn();
    assert_int_equal(nevents, 1);
    assert_event(0, LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_POWEROFF);
    usleep(10000);
    turn();
    fake_intent();
    now(DOMAIN_GONE, 0);
    turns_until_events(2);
}

static void a_domain_that_is_gone_already_needs_no_moatd_any_more(void **state)
{
    enable(DOMAIN_GONE, 0);
    fake_end();
    turn();
    turns_until_events(1);
    usleep(20000);
    turn();
    assert_int_equal(disasters, 0);
}

static void what_is_gone_already_is_told(void **state)
{
    struct msg_DOMAIN_STATE m = { .domid = DOMID, .state = DOMAIN_GONE };
    struct answer a = { .type = MSG_DOMAIN_STATE, .m = &m };

    assert_int_equal(enable_answered(&a), 0);
    assert_int_equal(nevents, 0);
    turns_until_events(1);
    assert_int_equal(events[0].type, LIBXL_EVENT_TYPE_DOMAIN_DEATH);
    assert_int_equal(events[0].for_user, FOR_USER);
    fake_hears_the_end();
}

static void states_and_the_end_in_one_turn_are_events_in_order(void **state)
{
    struct msg_DOMAIN_STATE m = state_of(DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_POWEROFF);

    enable(DOMAIN_RUNNING, 0);
    fake_say(MSG_DOMAIN_STATE, 0, &m);
    m.state = DOMAIN_GONE;
    fake_say(MSG_DOMAIN_STATE, 0, &m);
    fake_done(0, 0, "gone");
    turns_until_events(2);
    assert_event(0, LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_POWEROFF);
    assert_event(1, LIBXL_EVENT_TYPE_DOMAIN_DEATH, 0);
    assert_int_equal(disasters, 0);
}

static void after_evdisable_nothing_comes(void **state)
{
    enable(DOMAIN_RUNNING, 0);
    libxl_evdisable_domain_death(ctx, evgen);
    evgen = NULL;
    fake_hears_the_end();
    turn();
    assert_int_equal(nevents, 0);
}

static void evdisable_before_the_first_turn_takes_the_first_event_away(void **state)
{
    enable(DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_POWEROFF);
    libxl_evdisable_domain_death(ctx, evgen);
    evgen = NULL;
    turn();
    assert_int_equal(nevents, 0);
}

static void disable_from_event(void *user, libxl_event *ev)
{
    take_events(user, ev);
    if (evgen)
        libxl_evdisable_domain_death(ctx, evgen);
    evgen = NULL;
}

static void an_event_callback_may_disable(void **state)
{
    struct msg_DOMAIN_STATE m = state_of(DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_POWEROFF);

    ctx->hooks.event_occurs = disable_from_event;
    enable(DOMAIN_RUNNING, 0);
    fake_say(MSG_DOMAIN_STATE, 0, &m);
    m.state = DOMAIN_GONE;
    fake_say(MSG_DOMAIN_STATE, 0, &m);
    turns_until_events(2);                  /* both had occurred when it disabled */
    assert_null(evgen);
}

static void the_end_of_the_context_ends_event_generation(void **state)
{
    enable(DOMAIN_RUNNING, 0);
    libxl__evgens_free(tgc);                /* and tear_down finds nothing registered */
    evgen = NULL;
    fake_hears_the_end();
}

/* ---------- enabling fails ---------- */

static void without_moatd_nothing_is_enabled(void **state)
{
    fake_end();
    assert_int_equal(libxl_evenable_domain_death(ctx, DOMID, 0, &evgen), ERROR_FAIL);
    assert_null(evgen);
    assert_log_has(sock_path);
}

static void a_refusal_is_told_with_its_rule(void **state)
{
    struct msg_DENIED m = { .exit_code = EXIT_DENIED, .line = 9, .message = "not yours" };
    struct answer a = { .type = MSG_DENIED, .m = &m };

    assert_int_equal(enable_answered(&a), ERROR_FAIL);
    assert_log_has("refuses: not yours (moat.conf line 9)");
}

static void what_is_no_answer_to_a_watch_fails(void **state)
{
    struct msg_STARTED started = { .job = 1, .domid = DOMID };
    struct msg_DONE done = { .message = "these words" };
    struct msg_DOMAIN_STATE another = { .domid = DOMID + 1, .state = DOMAIN_RUNNING };
    struct msg_DOMAIN_STATE none = { .domid = DOMID, .state = 0 };
    struct msg_DOMAIN_STATE high = { .domid = DOMID, .state = DOMAIN_GONE + 1 };
    struct msg_JOB_ROW row = { .job = 1 };
    const struct { uint32_t type; const void *m; const char *words; } answers[] = {
        { MSG_STARTED, &started, "a job without a number" },
        { MSG_DONE, &done, "these words" },
        { MSG_DOMAIN_STATE, &another, "another domain" },
        { MSG_DOMAIN_STATE, &none, "does not exist" },
        { MSG_DOMAIN_STATE, &high, "does not exist" },
        { MSG_JOB_ROW, &row, "another request" },
        { 0, NULL, "without an answer" },
    };

    for (unsigned i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct answer a = { .type = answers[i].type, .m = answers[i].m };

        evgen = (void *)1;
        assert_int_equal(enable_answered(&a), ERROR_FAIL);
        assert_log_has(answers[i].words);
        fake_hang_up();
    }
}

static void silence_has_a_bound(void **state)
{
    libxl__request_times.watch = 30;
    assert_int_equal(libxl_evenable_domain_death(ctx, DOMID, 0, &evgen), ERROR_FAIL);
    assert_log_has("no answer from moatd");
}

static void each_failing_allocation_leaves_nothing_behind(void **state)
{
    struct msg_DOMAIN_STATE m = state_of(DOMAIN_RUNNING, 0);
    struct answer a = { .type = MSG_DOMAIN_STATE, .m = &m };
    pthread_t t;
    int n, rc;

    assert_int_equal(pthread_create(&t, NULL, answer_thread, &a), 0);
    for (n = 0; n < 50; n++) {
        bool asked = n > 7;

        libxl__fd_free_table(ctx);
        free(ctx->heap);
        ctx->heap = NULL;
        ctx->heap_size = 0;
        allocs_left = n;
        ctx->allocate = scarce_realloc;
        rc = libxl_evenable_domain_death(ctx, DOMID, FOR_USER, &evgen);
        ctx->allocate = realloc;
        if (!rc)
            break;
        assert_int_equal(rc, ERROR_NOMEM);
        assert_null(evgen);
        if (!a.kind)
            continue;
        assert_true(asked);
        pthread_join(t, NULL);              /* it answered: once more for the next try */
        fake_hears_the_end();
        fake_hang_up();
        a.kind = 0;
        assert_int_equal(pthread_create(&t, NULL, answer_thread, &a), 0);
    }
    assert_in_range(n, 8, 49);
    pthread_join(t, NULL);
    /* the events need no memory any more */
    ctx->allocate = scarce_realloc;
    allocs_left = 0;
    now(DOMAIN_SHUTDOWN, 1);
    now(DOMAIN_GONE, 0);
    assert_int_equal(nevents, 2);
    ctx->allocate = realloc;
}

/* ---------- moatd is lost ---------- */

static void a_new_moatd_is_found_and_nothing_is_told_twice(void **state)
{
    enable(DOMAIN_RUNNING, 0);
    now(DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_POWEROFF);
    assert_int_equal(nevents, 1);
    fake_hang_up();
    turn();
    usleep(10000);
    turn();
    assert_int_equal(fake_intent().kind, KIND_WATCH);
    now(DOMAIN_SHUTDOWN, LIBXL_SHUTDOWN_REASON_POWEROFF);
    assert_int_equal(nevents, 1);
    now(DOMAIN_GONE, 0);
    turns_until_events(2);
    assert_int_equal(disasters, 0);
}

static void a_domain_that_went_meanwhile_is_dead_though_its_domid_lives(void **state)
{
    struct msg_DOMAIN_STATE m = { .domid = DOMID, .state = DOMAIN_RUNNING,
                                  .handle = "another's handl" };

    enable(DOMAIN_RUNNING, 0);
    fake_hang_up();
    turn();
    usleep(10000);
    turn();
    fake_intent();
    fake_say(MSG_DOMAIN_STATE, 0, &m);
    turns_until_events(1);
    assert_event(0, LIBXL_EVENT_TYPE_DOMAIN_DEATH, 0);
    fake_hears_the_end();
}

static void each_new_moatd_gets_the_full_number_of_attempts(void **state)
{
    enable(DOMAIN_RUNNING, 0);
    for (int i = 0; i < 3 * (int)libxl__request_times.reconnects; i++) {
        fake_hang_up();
        turn();
        usleep(10000);
        turn();
        fake_intent();
        now(DOMAIN_RUNNING, 0);
    }
    assert_int_equal(disasters, 0);
    now(DOMAIN_GONE, 0);
    turns_until_events(1);
}

static void turns_until_disaster(void)
{
    int64_t end = ipc_now_ms() + 5000;

    while (!disasters && ipc_now_ms() < end)
        assert_int_equal(moat_loop_run_once(ctx, 50), 0);
    assert_int_equal(disasters, 1);
    usleep(20000);
    turn();
    assert_int_equal(disasters, 1);
    assert_int_equal(nevents, 0);
}

static void a_moatd_that_does_not_come_back_is_a_disaster(void **state)
{
    enable(DOMAIN_RUNNING, 0);
    fake_end();
    turns_until_disaster();
    assert_log_has("the events of a domain are lost");
}

static void a_moatd_that_is_never_well_is_a_disaster(void **state)
{
    struct msg_DOMAIN_STATE m = { .domid = DOMID + 1, .state = DOMAIN_RUNNING };

    enable(DOMAIN_RUNNING, 0);
    for (unsigned i = 0; i <= libxl__request_times.reconnects; i++) {
        fake_say(MSG_DOMAIN_STATE, 0, &m);
        turn();
        fake_hears_the_end();
        fake_hang_up();
        if (i == libxl__request_times.reconnects)
            break;
        assert_int_equal(disasters, 0);
        usleep(10000);
        turn();
        fake_intent();
    }
    turns_until_disaster();
}

static void a_moatd_that_forbids_it_by_now_is_a_disaster(void **state)
{
    struct msg_DENIED m = { .exit_code = EXIT_DENIED, .message = "not yours" };

    enable(DOMAIN_RUNNING, 0);
    fake_hang_up();
    turn();
    usleep(10000);
    turn();
    fake_intent();
    fake_say(MSG_DENIED, 0, &m);
    turns_until_disaster();
}

static void a_moatd_that_cannot_just_now_is_asked_again(void **state)
{
    struct msg_DENIED m = { .exit_code = EXIT_FAILED, .message = "too many connections" };

    enable(DOMAIN_RUNNING, 0);
    fake_hang_up();
    turn();
    usleep(10000);
    turn();
    fake_intent();
    fake_say(MSG_DENIED, 0, &m);
    turn();
    fake_hang_up();
    assert_int_equal(disasters, 0);
    usleep(10000);
    turn();
    fake_intent();
    now(DOMAIN_GONE, 0);
    turns_until_events(1);
}

static void a_lost_moatd_does_not_hold_up_evdisable(void **state)
{
    enable(DOMAIN_RUNNING, 0);
    fake_end();
    turn();
    libxl_evdisable_domain_death(ctx, evgen);
    evgen = NULL;
    usleep(20000);
    turn();
    assert_int_equal(disasters, 0);
}

static void an_abort_of_operations_leaves_watches_alone(void **state)
{
    enable(DOMAIN_RUNNING, 0);
    assert_int_equal(libxl_ao_abort(ctx, NULL), ERROR_NOTFOUND);
    now(DOMAIN_GONE, 0);
    assert_int_equal(nevents, 1);
}

#define EV_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_events, tear_down_events)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EV_TEST(a_shutdown_and_a_death_are_told_once_each),
        EV_TEST(a_death_may_come_without_a_shutdown),
        EV_TEST(what_is_shut_down_already_is_told),
        EV_TEST(a_first_state_that_is_past_already_is_told_all_the_same),
        EV_TEST(a_moatd_lost_before_the_first_turn_changes_nothing),
        EV_TEST(a_domain_that_is_gone_already_needs_no_moatd_any_more),
        EV_TEST(what_is_gone_already_is_told),
        EV_TEST(states_and_the_end_in_one_turn_are_events_in_order),
        EV_TEST(after_evdisable_nothing_comes),
        EV_TEST(evdisable_before_the_first_turn_takes_the_first_event_away),
        EV_TEST(an_event_callback_may_disable),
        EV_TEST(the_end_of_the_context_ends_event_generation),
        EV_TEST(without_moatd_nothing_is_enabled),
        EV_TEST(a_refusal_is_told_with_its_rule),
        EV_TEST(what_is_no_answer_to_a_watch_fails),
        EV_TEST(silence_has_a_bound),
        EV_TEST(each_failing_allocation_leaves_nothing_behind),
        EV_TEST(a_new_moatd_is_found_and_nothing_is_told_twice),
        EV_TEST(a_domain_that_went_meanwhile_is_dead_though_its_domid_lives),
        EV_TEST(each_new_moatd_gets_the_full_number_of_attempts),
        EV_TEST(a_moatd_that_does_not_come_back_is_a_disaster),
        EV_TEST(a_moatd_that_is_never_well_is_a_disaster),
        EV_TEST(a_moatd_that_forbids_it_by_now_is_a_disaster),
        EV_TEST(a_moatd_that_cannot_just_now_is_asked_again),
        EV_TEST(a_lost_moatd_does_not_hold_up_evdisable),
        EV_TEST(an_abort_of_operations_leaves_watches_alone),
    };

    return cmocka_run_group_tests_name("lib: domain death", tests, NULL, NULL);
}
