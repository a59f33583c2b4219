/* SPDX-License-Identifier: LGPL-2.1-only */
/* Whatever moatd does or is, an operation ends, once, with libxl's code and words in the log. */
#include "tests/unit/lib/operations.h"

#include <pthread.h>

#define DOMID 7

static struct op op;

static int resume(void)
{
    libxl_asyncop_how how = app_how(&op);

    return libxl_domain_resume(ctx, DOMID, 1, &how);
}

static int app_abort(void)
{
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &op };

    return libxl_ao_abort(ctx, &how);
}

static void ends_with(int rc, const char *words)
{
    wait_told(&op);
    assert_int_equal(op.rc, rc);
    assert_log_has(words);
    fake_hears_the_end();
    turn();
    assert_int_equal(op.told, 1);
}

/* ---------- nobody there ---------- */

static void without_moatd_the_function_itself_fails(void **state)
{
    fake_end();
    assert_int_equal(resume(), ERROR_FAIL);
    assert_log_has(sock_path);
    assert_log_has("No such file");
    assert_log_has("is it running?");
    turn();
    assert_int_equal(op.told, 0);
    assert_int_equal(app_abort(), ERROR_NOTFOUND);
}

static void a_socket_that_nobody_listens_on_is_no_moatd(void **state)
{
    close(listener);
    listener = -1;
    assert_int_equal(resume(), ERROR_FAIL);
    assert_log_has("Connection refused");
    assert_int_equal(op.told, 0);
}

static void a_path_that_is_too_long_is_said(void **state)
{
    char path[300];

    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = 0;
    setenv("MOAT_SOCKET", path, 1);
    assert_int_equal(resume(), ERROR_FAIL);
    assert_log_has("File name too long");
}

static void another_kind_of_socket_is_no_moatd(void **state)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };

    close(listener);
    unlink(sock_path);
    strcpy(sa.sun_path, sock_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(resume(), ERROR_FAIL);
    assert_log_has("wrong type");
}

static void silence_has_a_bound(void **state)
{
    libxl__request_times.answer = 30;
    assert_int_equal(resume(), 0);
    fake_intent();
    ends_with(ERROR_FAIL, "no answer from moatd");
    assert_log_has(sock_path);
}

static void after_the_first_answer_patience_has_none(void **state)
{
    libxl__request_times.answer = 30;
    assert_int_equal(resume(), 0);
    fake_intent();
    fake_started(3, DOMID);
    turn();
    usleep(50000);
    turn();
    assert_int_equal(op.told, 0);
    fake_done(3, 0, "resumed");
    ends_with(0, "resumed");
}

/* ---------- moatd's backlog is full ---------- */

static int crowd[4], crowd_size;
static void backlog_full(void)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };

    fake_end();
    fake_listen(0);
    strcpy(sa.sun_path, sock_path);
    for (crowd_size = 0; crowd_size < 4; crowd_size++) {
        crowd[crowd_size] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(crowd[crowd_size], (struct sockaddr *)&sa, sizeof(sa)))
            break;
    }
    assert_in_range(crowd_size, 1, 3);
    assert_int_equal(errno, EAGAIN);
    crowd_size++;
}

static void crowd_leaves(void)
{
    while (crowd_size--)
        close(crowd[crowd_size]);
}

static void a_full_backlog_is_waited_for(void **state)
{
    backlog_full();
    assert_int_equal(resume(), 0);
    usleep(20000);
    turn();
    assert_int_equal(op.told, 0);
    fake_accept();
    fake_hang_up();
    usleep(20000);
    turn();
    fake_intent();
    fake_done(0, 0, "resumed");
    ends_with(0, "resumed");
    crowd_leaves();
}

static void a_full_backlog_has_a_bound(void **state)
{
    backlog_full();
    libxl__request_times.answer = 40;
    assert_int_equal(resume(), 0);
    wait_told(&op);
    assert_int_equal(op.rc, ERROR_FAIL);
    assert_log_has("no answer from moatd");
    crowd_leaves();
}

static void a_moatd_that_goes_while_its_backlog_is_full_ends_the_wait(void **state)
{
    backlog_full();
    assert_int_equal(resume(), 0);
    fake_end();
    wait_told(&op);
    assert_int_equal(op.rc, ERROR_FAIL);
    assert_log_has("cannot reach moatd");
    crowd_leaves();
}

static void an_abort_before_moatd_was_reached_ends_at_once(void **state)
{
    backlog_full();
    assert_int_equal(resume(), 0);
    assert_int_equal(app_abort(), 0);
    assert_int_equal(op.told, 1);
    assert_int_equal(op.rc, ERROR_ABORTED);
    assert_int_equal(app_abort(), ERROR_NOTFOUND);
    crowd_leaves();
}

/* ---------- connections that end ---------- */

static void a_connection_that_ends_unread_is_a_failure(void **state)
{
    assert_int_equal(resume(), 0);
    fake_accept();
    fake_hang_up();
    wait_told(&op);
    assert_int_equal(op.rc, ERROR_FAIL);
    assert_log_has("without an answer");
}

static void a_connection_that_ends_without_answer_is_a_failure(void **state)
{
    assert_int_equal(resume(), 0);
    fake_intent();
    fake_hang_up();
    wait_told(&op);
    assert_int_equal(op.rc, ERROR_FAIL);
    assert_log_has("without an answer");
}

static void a_moatd_that_dies_in_the_middle_completes_the_operation(void **state)
{
    assert_int_equal(resume(), 0);
    fake_intent();
    fake_started(3, DOMID);
    turn();
    fake_hang_up();
    wait_told(&op);
    assert_int_equal(op.rc, ERROR_FAIL);
    assert_log_has("look at the domain's state");
}

/* ---------- nonsense ---------- */

static void frame(uint16_t type, uint32_t length, uint32_t size)
{
    static uint8_t buf[70000];

    memset(buf, 0, sizeof(buf));
    memcpy(buf, &length, 4);
    memcpy(buf + 4, &type, 2);
    assert_int_equal(send(peer.fd, buf, size, MSG_NOSIGNAL), size);
}

static const struct {
    const char *words;
    uint16_t type;
    uint32_t length, size;
} nonsense[] = {
    { "without a header", 0, 0, 3 },
    { "length in the header", MSG_DONE, 500, 40 },
    { "unknown message type", 0x7777, 0, 12 },
    { "wrong direction", MSG_INTENT, 84, 96 },
    { "wrong direction", MSG_GRANT, 40, 52 },
    { "too large", MSG_NOTE, 69988, 70000 },
    { "ended", MSG_DONE, 0, 0 },
};

static void what_is_no_frame_ends_the_operation(void **state)
{
    for (unsigned i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        assert_int_equal(resume(), 0);
        fake_intent();
        if (i % 2)
            fake_started(1, DOMID);
        frame(nonsense[i].type, nonsense[i].length, nonsense[i].size);
        ends_with(ERROR_FAIL, nonsense[i].words);
        fake_hang_up();
    }
}

static void what_is_too_short_for_its_type_ends_the_operation(void **state)
{
    static const uint16_t types[] = { MSG_DENIED, MSG_STARTED, MSG_DONE, MSG_NOTE, MSG_SAVED,
                                      MSG_PROGRESS, MSG_DOMAIN_STATE, MSG_DOMAIN_ROW };

    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        assert_int_equal(resume(), 0);
        fake_intent();
        frame(types[i], 1, 13);
        ends_with(ERROR_FAIL, "does not belong here");
        fake_hang_up();
    }
}

/* Each step sends one frame that does not belong there. */
static void second_started(void)
{
    fake_started(3, DOMID);
    fake_started(3, DOMID);
}
static void started_another_domain(void) { fake_started(3, DOMID + 1); }
static void started_without_number(void) { fake_started(0, DOMID); }
static void started_two_numbers(void)
{
    struct msg_STARTED m = { .job = 4, .domid = DOMID };

    fake_say(MSG_STARTED, 3, &m);
}
static void progress_too_early(void)
{
    struct msg_PROGRESS m = { .stage = STAGE_MEMORY };

    fake_say(MSG_PROGRESS, 3, &m);
}
static void note_too_early(void)
{
    struct msg_NOTE m = { .level = 5 };

    fake_say(MSG_NOTE, 3, &m);
}
static void saved_too_early(void) { fake_saved(3); }
static void saved_by_a_resume(void)
{
    fake_started(3, DOMID);
    fake_saved(3);
}
static void another_job(void)
{
    fake_started(3, DOMID);
    fake_done(4, 0, "resumed");
}
static void denied_too_late(void)
{
    struct msg_DENIED m = { .exit_code = EXIT_DENIED };

    fake_started(3, DOMID);
    fake_say(MSG_DENIED, 3, &m);
}
static void a_row(void)
{
    struct msg_DOMAIN_ROW m = { .domid = DOMID };

    fake_say(MSG_DOMAIN_ROW, 0, &m);
}
static void a_state(void)
{
    struct msg_DOMAIN_STATE m = { .domid = DOMID, .state = DOMAIN_RUNNING };

    fake_say(MSG_DOMAIN_STATE, 0, &m);
}

static void a_message_that_does_not_belong_there_ends_the_operation(void **state)
{
    static void (*const steps[])(void) = {
        second_started, started_another_domain, started_without_number, started_two_numbers,
        progress_too_early, note_too_early, saved_too_early, saved_by_a_resume, another_job,
        denied_too_late, a_row, a_state,
    };

    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        assert_int_equal(resume(), 0);
        fake_intent();
        steps[i]();
        ends_with(ERROR_FAIL, "does not belong here");
        fake_hang_up();
    }
}

static void file_descriptors_are_not_taken_from_moatd(void **state)
{
    struct msg_STARTED m = { .job = 3, .domid = DOMID };
    uint8_t buf[200];
    uint32_t length;
    int len, fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov = { .iov_base = buf };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                         .msg_controllen = sizeof(control) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
    uint16_t head[2] = { MSG_STARTED, 0 };

    assert_int_equal(resume(), 0);
    fake_intent();
    len = ipc_encode(MSG_STARTED, &m, buf + 12, sizeof(buf) - 12);
    assert_true(len > 0);
    length = (uint32_t)len;
    memcpy(buf, &length, 4);
    memcpy(buf + 4, head, 4);
    memcpy(buf + 8, &m.job, 4);
    iov.iov_len = 12 + length;
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    assert_int_equal(sendmsg(peer.fd, &mh, 0), iov.iov_len);
    close(fd);
    turn();
    fake_done(3, 0, "resumed");
    ends_with(0, "resumed");                /* tear_down finds no descriptor left over */
}

/* ---------- what moatd says of the end ---------- */

static const struct {
    uint32_t exit_code;
    int32_t rc;
    int want;
} dones[] = {
    { EXIT_DONE, 0, 0 },
    { EXIT_USAGE, 0, ERROR_INVAL },
    { EXIT_FAILED, 0, ERROR_FAIL },
    { 4711, 0, ERROR_FAIL },
    { EXIT_FAILED, ERROR_FAIL, ERROR_FAIL },
    { EXIT_DONE, ERROR_FAIL, ERROR_FAIL },
    { EXIT_TIMED_OUT, ERROR_GUEST_TIMEDOUT, ERROR_GUEST_TIMEDOUT },
    { EXIT_TIMED_OUT, ERROR_TIMEDOUT, ERROR_TIMEDOUT },
    { EXIT_FAILED, ERROR_ABORTED, ERROR_ABORTED },
    { EXIT_FAILED, ERROR_DOMAIN_DESTROYED, ERROR_FAIL },
    { EXIT_FAILED, ERROR_OSEVENT_REG_FAIL, ERROR_FAIL },
    { EXIT_FAILED, ERROR_NOMEM, ERROR_NOMEM },
    { EXIT_FAILED, ERROR_NI, ERROR_NI },
    { EXIT_FAILED, ERROR_INVAL, ERROR_INVAL },
    { EXIT_DENIED, 0, ERROR_FAIL },
    { EXIT_FAILED, 17, ERROR_FAIL },
    { EXIT_FAILED, INT32_MIN, ERROR_FAIL },
};

static void each_end_has_one_of_libxls_codes(void **state)
{
    for (unsigned i = 0; i < sizeof(dones) / sizeof(dones[0]); i++) {
        struct msg_DONE m = { .exit_code = dones[i].exit_code, .rc = dones[i].rc,
                              .message = "these words" };

        assert_int_equal(resume(), 0);
        assert_int_equal(fake_intent().kind, KIND_RESUME);
        fake_say(MSG_DONE, 0, &m);
        ends_with(dones[i].want, "resume of domain 7: these words");
        fake_hang_up();
    }
}

static void a_refusal_tells_the_rule(void **state)
{
    struct msg_DENIED m = { .exit_code = EXIT_DENIED, .line = 12, .message = "not you" };

    assert_int_equal(resume(), 0);
    fake_intent();
    fake_say(MSG_DENIED, 0, &m);
    ends_with(ERROR_FAIL, "refuses: not you (moat.conf line 12)");
    fake_hang_up();

    m.line = 0;
    m.exit_code = EXIT_USAGE;
    assert_int_equal(resume(), 0);
    fake_intent();
    fake_say(MSG_DENIED, 0, &m);
    ends_with(ERROR_INVAL, "refuses: not you");
}

static void what_moatd_says_is_escaped(void **state)
{
    assert_int_equal(resume(), 0);
    fake_intent();
    fake_done(0, ERROR_FAIL, "red \033[31m \302\233 end%s%n\n");
    ends_with(ERROR_FAIL, "red ?[31m ?? end%s%n?");
}

static void last_words_are_heard_though_ours_were_not_read(void **state)
{
    assert_int_equal(resume(), 0);
    fake_accept();                          /* the INTENT stays unread: ECONNRESET comes first */
    fake_done(0, ERROR_GUEST_TIMEDOUT, "too late");
    fake_hang_up();
    wait_told(&op);
    assert_int_equal(op.rc, ERROR_GUEST_TIMEDOUT);
    assert_log_has("too late");
}

static void a_flood_leaves_others_their_turn(void **state)
{
    struct msg_NOTE m = { .level = 1, .text = "x" };
    int n = 0, turns = 0;

    assert_int_equal(resume(), 0);
    fake_intent();
    fake_started(3, DOMID);
    while (!op.told && turns < 10000) {
        for (; n < 2000 && !ipc_send(&peer, MSG_NOTE, 3, &m, NULL, 0); n++)
            ;
        if (n == 2000 && !ipc_send(&peer, MSG_NOTE, 3, &m, NULL, 0)) {
            fake_done(3, 0, "resumed");
            n++;
        }
        turn();
        turns++;
    }
    assert_in_range(turns, 2000 / 300, 9999);
    ends_with(0, "resumed");
}

/* ---------- abort ---------- */

static void an_abort_half_closes_and_waits_for_the_end(void **state)
{
    assert_int_equal(resume(), 0);
    fake_intent();
    assert_int_equal(app_abort(), 0);
    turn();
    assert_int_equal(op.told, 0);
    fake_hears_the_end();
    assert_int_equal(app_abort(), ERROR_ABORTED);
    fake_done(0, ERROR_FAIL, "undone");
    ends_with(ERROR_ABORTED, "undone");
}

static void an_abort_that_comes_too_late_does_not_hide_a_success(void **state)
{
    assert_int_equal(resume(), 0);
    fake_intent();
    fake_started(3, DOMID);
    turn();
    assert_int_equal(app_abort(), 0);
    fake_done(3, 0, "resumed");
    ends_with(0, "resumed");
}

static void a_moatd_that_does_not_end_an_abort_is_left(void **state)
{
    libxl__request_times.abort = 30;
    assert_int_equal(resume(), 0);
    fake_intent();
    fake_started(3, DOMID);
    turn();
    assert_int_equal(app_abort(), 0);
    fake_hears_the_end();
    ends_with(ERROR_ABORTED, "look at the domain's state");
}

static void a_moatd_that_dies_during_an_abort_completes_it(void **state)
{
    assert_int_equal(resume(), 0);
    fake_intent();
    assert_int_equal(app_abort(), 0);
    fake_hang_up();
    wait_told(&op);
    assert_int_equal(op.rc, ERROR_ABORTED);
}

static void an_abort_without_memory_is_an_abort_all_the_same(void **state)
{
    assert_int_equal(resume(), 0);
    fake_intent();
    fake_started(3, DOMID);
    turn();
    ctx->allocate = scarce_realloc;
    allocs_left = 0;
    assert_int_equal(app_abort(), 0);
    ctx->allocate = realloc;
    fake_hears_the_end();
    fake_done(3, ERROR_ABORTED, "undone");
    ends_with(ERROR_ABORTED, "undone");
}

/* ---------- the forms ---------- */

static void *answer_in_a_thread(void *arg)
{
    struct msg_DONE m = { .message = "resumed" };
    int n;

    for (n = 0; n < 1000; n++) {
        struct pollfd p = { .fd = listener, .events = POLLIN };

        if (poll(&p, 1, 10) == 1)
            break;
    }
    peer = (struct ipc_chan){ .fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC),
                              .self = WARDEN, .peer = OPERATOR, .phase = PH_OPEN };
    ipc_send(&peer, MSG_DONE, 0, &m, NULL, 0);
    return NULL;
}

static void the_synchronous_form_returns_the_result(void **state)
{
    pthread_t t;

    assert_int_equal(pthread_create(&t, NULL, answer_in_a_thread, NULL), 0);
    assert_int_equal(libxl_domain_resume(ctx, DOMID, 1, NULL), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_log_has("resumed");
}

static void the_end_can_be_an_event(void **state)
{
    libxl_asyncop_how how = { .u.for_event = 99 };

    assert_int_equal(libxl_domain_resume(ctx, DOMID, 1, &how), 0);
    fake_intent();
    fake_done(0, ERROR_FAIL, "no");
    for (int i = 0; i < 100 && !last_event; i++)
        assert_int_equal(moat_loop_run_once(ctx, 100), 0);
    assert_non_null(last_event);
    assert_int_equal(last_event->type, LIBXL_EVENT_TYPE_OPERATION_COMPLETE);
    assert_int_equal(last_event->for_user, 99);
    assert_int_equal(last_event->domid, DOMID);
    assert_int_equal(last_event->u.operation_complete.rc, ERROR_FAIL);
    libxl_event_free(ctx, last_event);
}

static void one_connection_is_one_operation(void **state)
{
    struct op a, b;
    libxl_asyncop_how how = app_how(&a);
    int first;

    assert_int_equal(libxl_domain_resume(ctx, 1, 1, &how), 0);
    how = app_how(&b);
    assert_int_equal(libxl_domain_resume(ctx, 2, 1, &how), 0);
    assert_string_equal(fake_intent().domain, "1");
    first = peer.fd;
    assert_string_equal(fake_intent().domain, "2");
    fake_done(0, 0, "the second");
    wait_told(&b);
    assert_int_equal(a.told, 0);
    fake_hang_up();
    peer.fd = first;
    fake_done(0, ERROR_FAIL, "the first");
    wait_told(&a);
    assert_int_equal(a.rc, ERROR_FAIL);
    assert_int_equal(b.rc, 0);
}

#define MANY 12

static void many_operations_do_not_crowd_moatd(void **state)
{
    struct op ops[MANY];
    int conns[MANY], nconns = 0, begun = 0, i, turns;
    bool seen[MANY] = { false };

    for (i = 0; i < MANY; i++) {
        libxl_asyncop_how how = app_how(&ops[i]);

        assert_int_equal(libxl_domain_resume(ctx, (uint32_t)i, 1, &how), 0);
    }
    for (turns = 0; begun < MANY && turns < 1000; turns++) {
        int waiting = 0;

        while ((conns[nconns] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
            waiting++;
            if (++nconns == MANY)
                break;
        }
        assert_in_range(waiting, 0, 4);         /* moatd refuses what is more than 8 of one user's */
        for (; waiting; waiting--, begun++) {
            struct msg_INTENT m;

            peer = (struct ipc_chan){ .fd = conns[begun], .self = WARDEN | PARENT,
                                      .peer = OPERATOR, .phase = PH_OPEN };
            assert_int_equal(ipc_recv(&peer, &peer_frame), 1);
            assert_int_equal(ipc_decode(&peer_frame, &m), 0);
            seen[atoi(m.domain)] = true;
            fake_started(100, (uint32_t)atoi(m.domain));
        }
        usleep(6000);
        turn();
    }
    for (i = 0; i < MANY; i++) {
        assert_true(seen[i]);
        peer.fd = conns[i];
        fake_done(100, 0, "resumed");
        turn();
        fake_hang_up();
    }
    for (i = 0; i < MANY; i++)
        assert_int_equal(ops[i].told, 1);
    assert_int_equal(ctx->unanswered, 0);
}

static void only_a_cooperative_resume_is_known(void **state)
{
    libxl_asyncop_how how = app_how(&op);

    assert_int_equal(libxl_domain_resume(ctx, DOMID, 0, &how), ERROR_NI);
    assert_log_has("suspend_cancel");
    assert_int_equal(op.told, 0);
}

/* Nothing was sent when an allocation failed: nobody acts for an operation that was not begun. */
static void each_failing_allocation_leaves_nothing_behind(void **state)
{
    int n, rc = 1;

    for (n = 0; n < 50 && rc; n++) {
        int fds = count_fds();

        libxl__fd_free_table(ctx);
        free(ctx->heap);
        ctx->heap = NULL;
        ctx->heap_size = 0;
        allocs_left = n;
        ctx->allocate = scarce_realloc;
        rc = resume();
        ctx->allocate = realloc;
        if (!rc)
            break;
        assert_int_equal(rc, ERROR_NOMEM);
        assert_int_equal(count_fds(), fds);
        assert_int_equal(op.told, 0);
        peer.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer.fd >= 0)
            fake_hears_the_end();
        fake_hang_up();
    }
    assert_in_range(n, 4, 49);
    fake_intent();
    fake_done(0, 0, "resumed");
    ends_with(0, "resumed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIB_TEST(without_moatd_the_function_itself_fails),
        LIB_TEST(a_socket_that_nobody_listens_on_is_no_moatd),
        LIB_TEST(a_path_that_is_too_long_is_said),
        LIB_TEST(another_kind_of_socket_is_no_moatd),
        LIB_TEST(silence_has_a_bound),
        LIB_TEST(after_the_first_answer_patience_has_none),
        LIB_TEST(a_full_backlog_is_waited_for),
        LIB_TEST(a_full_backlog_has_a_bound),
        LIB_TEST(a_moatd_that_goes_while_its_backlog_is_full_ends_the_wait),
        LIB_TEST(an_abort_before_moatd_was_reached_ends_at_once),
        LIB_TEST(a_connection_that_ends_unread_is_a_failure),
        LIB_TEST(a_connection_that_ends_without_answer_is_a_failure),
        LIB_TEST(a_moatd_that_dies_in_the_middle_completes_the_operation),
        LIB_TEST(what_is_no_frame_ends_the_operation),
        LIB_TEST(what_is_too_short_for_its_type_ends_the_operation),
        LIB_TEST(a_message_that_does_not_belong_there_ends_the_operation),
        LIB_TEST(file_descriptors_are_not_taken_from_moatd),
        LIB_TEST(each_end_has_one_of_libxls_codes),
        LIB_TEST(a_refusal_tells_the_rule),
        LIB_TEST(what_moatd_says_is_escaped),
        LIB_TEST(last_words_are_heard_though_ours_were_not_read),
        LIB_TEST(a_flood_leaves_others_their_turn),
        LIB_TEST(an_abort_half_closes_and_waits_for_the_end),
        LIB_TEST(an_abort_that_comes_too_late_does_not_hide_a_success),
        LIB_TEST(a_moatd_that_does_not_end_an_abort_is_left),
        LIB_TEST(a_moatd_that_dies_during_an_abort_completes_it),
        LIB_TEST(an_abort_without_memory_is_an_abort_all_the_same),
        LIB_TEST(the_synchronous_form_returns_the_result),
        LIB_TEST(the_end_can_be_an_event),
        LIB_TEST(one_connection_is_one_operation),
        LIB_TEST(many_operations_do_not_crowd_moatd),
        LIB_TEST(only_a_cooperative_resume_is_known),
        LIB_TEST(each_failing_allocation_leaves_nothing_behind),
    };

    return cmocka_run_group_tests_name("lib: requests", tests, NULL, NULL);
}
