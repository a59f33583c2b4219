/* SPDX-License-Identifier: LGPL-2.1-only */
/* libxl_domain_suspend: its arguments, its progress, its confirmation, its ends. */
#include "tests/unit/lib/operations.h"

#include <sys/mman.h>

#define DOMID 7
#define JOB 3

static struct op op;
static int file = -1;

static int suspend(int flags)
{
    libxl_asyncop_how how = app_how(&op);

    return libxl_domain_suspend(ctx, DOMID, file, flags, &how);
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
    turn();
    assert_int_equal(op.told, 1);
}

static int set_up_file(void **state)
{
    lib_set_up(state);
    file = memfd_create("image", MFD_CLOEXEC);
    assert_true(file >= 0);
    return 0;
}

static int tear_down_file(void **state)
{
    close(file);
    return lib_tear_down(state);
}

/* ---------- arguments ---------- */

static void flags_become_intents(void **state)
{
    struct msg_INTENT m;

    assert_int_equal(suspend(0), 0);
    m = fake_intent();
    assert_int_equal(m.kind, KIND_SAVE);
    assert_int_equal(m.flags, INTENT_SUSPENDED);
    assert_string_equal(m.domain, "7");
    assert_int_equal(peer_frame.declared, 1);
    fake_done(0, ERROR_FAIL, "no");
    ends_with(ERROR_FAIL, "no");
    fake_hang_up();

    assert_int_equal(suspend(LIBXL_SUSPEND_LIVE), 0);
    assert_int_equal(fake_intent().flags, INTENT_SUSPENDED | INTENT_LIVE);
    fake_done(0, ERROR_FAIL, "no");
    ends_with(ERROR_FAIL, "no");
}

static void moatd_gets_the_very_file(void **state)
{
    int fd;

    assert_int_equal(suspend(0), 0);
    fake_accept();
    assert_int_equal(ipc_recv(&peer, &peer_frame), 1);
    fd = ipc_take_fd(&peer_frame, 0);
    assert_int_equal(write(fd, "image", 5), 5);
    close(fd);
    assert_int_equal(lseek(file, 0, SEEK_CUR), 5);
    fake_done(0, ERROR_FAIL, "no");
    ends_with(ERROR_FAIL, "no");
}

static void debug_is_not_implemented_and_other_flags_are_invalid(void **state)
{
    assert_int_equal(suspend(LIBXL_SUSPEND_DEBUG), ERROR_NI);
    assert_log_has("LIBXL_SUSPEND_DEBUG");
    assert_int_equal(suspend(4), ERROR_INVAL);
    assert_log_has("unknown flags 0x4");
    assert_int_equal(suspend(-1), ERROR_INVAL);
    assert_int_equal(op.told, 0);
}

static void only_files_and_pipes_are_taken(void **state)
{
    int s[2], keep = file;

    file = -1;
    assert_int_equal(suspend(0), ERROR_FAIL);
    assert_log_has("Bad file descriptor");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
    file = s[0];
    assert_int_equal(suspend(0), ERROR_INVAL);
    assert_log_has("neither a regular file nor a pipe");
    close(s[0]);
    close(s[1]);
    file = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(suspend(0), ERROR_INVAL);
    close(file);
    file = open("/tmp", O_RDONLY | O_CLOEXEC);
    assert_int_equal(suspend(0), ERROR_INVAL);
    close(file);
    file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(suspend(0), ERROR_INVAL);
    assert_log_has("not open for writing");
    close(file);
    file = open("/tmp", O_TMPFILE | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    assert_int_equal(suspend(0), ERROR_INVAL);
    assert_log_has("for appending");
    close(file);
    file = keep;
    assert_int_equal(op.told, 0);
}

static void a_pipe_blocks_during_the_operation_only(void **state)
{
    int p[2], keep = file;

    assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
    file = p[1];
    assert_int_equal(suspend(0), 0);
    assert_int_equal(fcntl(p[1], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fake_intent().flags, INTENT_SUSPENDED | INTENT_STREAM);
    fake_done(0, ERROR_FAIL, "no");
    ends_with(ERROR_FAIL, "no");
    assert_int_equal(fcntl(p[1], F_GETFL), O_NONBLOCK | O_WRONLY);
    fake_end();
    assert_int_equal(suspend(0), ERROR_FAIL);
    assert_int_equal(fcntl(p[1], F_GETFL), O_NONBLOCK | O_WRONLY);
    close(p[0]);
    close(p[1]);
    file = keep;
}

/* ---------- a save ---------- */

static void an_image_is_confirmed_and_moatd_has_the_last_word(void **state)
{
    assert_int_equal(suspend(0), 0);
    fake_intent();
    fake_started(JOB, DOMID);
    turn();
    fake_hears_nothing();
    fake_saved(JOB);
    turn();
    fake_hears_commit(JOB);
    turn();
    assert_int_equal(op.told, 0);
    fake_done(JOB, 0, "suspended");
    ends_with(0, "suspended");
    fake_hears_the_end();
}

static void an_image_that_could_not_be_kept_is_a_failure(void **state)
{
    assert_int_equal(suspend(0), 0);
    fake_intent();
    fake_started(JOB, DOMID);
    fake_saved(JOB);
    turn();
    fake_hears_commit(JOB);
    fake_done(JOB, ERROR_FAIL, "late");
    ends_with(ERROR_FAIL, "late");
}

static void a_success_without_an_image_is_none(void **state)
{
    assert_int_equal(suspend(0), 0);
    fake_intent();
    fake_started(JOB, DOMID);
    fake_done(JOB, 0, "suspended");
    ends_with(ERROR_FAIL, "there is no image");
}

static void one_image_is_enough(void **state)
{
    assert_int_equal(suspend(0), 0);
    fake_intent();
    fake_started(JOB, DOMID);
    fake_saved(JOB);
    fake_saved(JOB);
    ends_with(ERROR_FAIL, "a second SAVED");
}

static void a_watchs_answer_is_none_of_a_save(void **state)
{
    struct msg_DOMAIN_STATE m = { .domid = DOMID, .state = DOMAIN_SUSPENDED };

    assert_int_equal(suspend(0), 0);
    fake_intent();
    fake_say(MSG_DOMAIN_STATE, 0, &m);
    ends_with(ERROR_FAIL, "another request");
}

static void a_moatd_that_dies_at_each_point_completes_the_operation(void **state)
{
    for (int step = 0; step < 4; step++) {
        assert_int_equal(suspend(0), 0);
        fake_intent();
        if (step > 0)
            fake_started(JOB, DOMID);
        if (step > 1)
            fake_saved(JOB);
        turn();
        if (step > 2)
            fake_hears_commit(JOB);
        fake_hang_up();
        ends_with(ERROR_FAIL, step > 1 ? "the image is complete, but whether"
                              : step ? "moatd undoes what it can" : "without an answer");
    }
}

static void a_commit_that_nobody_reads_does_not_hide_the_last_words(void **state)
{
    assert_int_equal(suspend(0), 0);
    fake_intent();
    fake_started(JOB, DOMID);
    fake_saved(JOB);
    fake_done(JOB, ERROR_TIMEDOUT, "the image was not confirmed in time");
    fake_hang_up();
    ends_with(ERROR_TIMEDOUT, "not confirmed in time");
}

/* ---------- what is told meanwhile ---------- */

static struct { char doing[64]; uint64_t done, total; } seen[16];
static int nseen;
static void see(void *user, const char *doing, uint64_t done, uint64_t total)
{
    assert_int_equal(ctx->lock_depth, 1);
    assert_in_range(nseen, 0, 15);
    snprintf(seen[nseen].doing, sizeof(seen[nseen].doing), "%s", doing);
    seen[nseen].done = done;
    seen[nseen++].total = total;
}

static void assert_seen(int i, const char *doing, uint64_t done, uint64_t total)
{
    assert_string_equal(seen[i].doing, doing);
    assert_int_equal(seen[i].done, done);
    assert_int_equal(seen[i].total, total);
}

static void progress_begins_at_zero_and_never_passes_the_end(void **state)
{
    static const struct msg_PROGRESS m[] = {
        { STAGE_CONFIG, 0, 0, 0 }, { STAGE_MEMORY, 0, 10, 100 }, { STAGE_MEMORY, 0, 100, 100 },
        { STAGE_MEMORY, 1, 0, 20 }, { STAGE_MEMORY, 1, UINT64_MAX, 20 }, { STAGE_STATE, 1, 0, 0 },
        { STAGE_SYNC, 0, 0, 0 }, { 0xffffffff, 0xffffffff, UINT64_MAX, UINT64_MAX },
    };

    nseen = 0;
    ctx->hooks.progress = see;
    assert_int_equal(suspend(0), 0);
    fake_intent();
    fake_started(JOB, DOMID);
    for (unsigned i = 0; i < sizeof(m) / sizeof(m[0]); i++)
        fake_say(MSG_PROGRESS, JOB, &m[i]);
    fake_done(JOB, ERROR_FAIL, "no");
    ends_with(ERROR_FAIL, "no");
    assert_int_equal(nseen, 10);
    assert_seen(0, "Configuration", 0, 0);
    assert_seen(1, "Memory, round 1", 0, 100);
    assert_seen(2, "Memory, round 1", 10, 100);
    assert_seen(3, "Memory, round 1", 100, 100);
    assert_seen(4, "Memory, round 2", 0, 20);
    assert_seen(5, "Memory, round 2", 20, 20);
    assert_seen(6, "State of the vcpus", 0, 0);
    assert_seen(7, "Writing to disk", 0, 0);
    assert_seen(8, "Saving", 0, UINT64_MAX);
    assert_seen(9, "Saving", UINT64_MAX, UINT64_MAX);
}

static int note_level;
static char note_text[600];
static void take_note(void *user, int level, const char *msg)
{
    if (strstr(msg, "note:")) {
        note_level = level;
        snprintf(note_text, sizeof(note_text), "%s", msg);
    }
}

static void notes_are_logged_at_their_level_which_is_clamped(void **state)
{
    static const struct { uint32_t level; int want; } levels[] = {
        { 0, 1 }, { 1, 1 }, { 5, 5 }, { 7, 7 }, { 9, 9 }, { 10, 9 }, { 0x80000000u, 9 },
        { 0xffffffffu, 9 },
    };

    ctx->hooks.log = take_note;
    assert_int_equal(suspend(0), 0);
    fake_intent();
    fake_started(JOB, DOMID);
    for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        struct msg_NOTE m = { .level = levels[i].level, .text = "note: a\tb\303\244%s" };

        note_level = -1;
        fake_say(MSG_NOTE, JOB, &m);
        turn();
        assert_int_equal(note_level, levels[i].want);
        assert_string_equal(note_text, "suspend of domain 7: job 3: note: a?b??%s");
    }
    fake_done(JOB, ERROR_FAIL, "no");
    wait_told(&op);
}

/* ---------- abort ---------- */

static void an_abort_keeps_the_image_unconfirmed(void **state)
{
    assert_int_equal(suspend(0), 0);
    fake_intent();
    fake_started(JOB, DOMID);
    fake_saved(JOB);                        /* on its way when the abort comes */
    assert_int_equal(app_abort(), 0);
    turn();
    fake_hears_the_end();
    assert_int_equal(op.told, 0);
    fake_done(JOB, ERROR_ABORTED, "undone");
    ends_with(ERROR_ABORTED, "undone");
}

static void an_abort_after_the_confirmation_may_be_too_late(void **state)
{
    assert_int_equal(suspend(0), 0);
    fake_intent();
    fake_started(JOB, DOMID);
    fake_saved(JOB);
    turn();
    fake_hears_commit(JOB);
    assert_int_equal(app_abort(), 0);
    fake_hears_the_end();
    fake_done(JOB, 0, "suspended");
    ends_with(0, "suspended");
}

static void a_success_that_an_abort_made_impossible_is_none(void **state)
{
    assert_int_equal(suspend(0), 0);
    fake_intent();
    fake_started(JOB, DOMID);
    turn();
    assert_int_equal(app_abort(), 0);
    fake_done(JOB, 0, "suspended");
    ends_with(ERROR_FAIL, "there is no image");
}

static void a_failure_after_an_abort_is_the_abort(void **state)
{
    for (int step = 0; step < 3; step++) {
        assert_int_equal(suspend(0), 0);
        fake_intent();
        if (step > 0)
            fake_started(JOB, DOMID);
        if (step > 1)
            fake_saved(JOB);
        turn();
        assert_int_equal(app_abort(), 0);
        fake_done(step ? JOB : 0, ERROR_GUEST_TIMEDOUT, "the guest does not suspend");
        ends_with(ERROR_ABORTED, "does not suspend");
        fake_hang_up();
    }
}

static void the_pipe_is_given_back_after_an_abort(void **state)
{
    int p[2], keep = file;

    assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
    file = p[1];
    libxl__request_times.abort = 20;
    assert_int_equal(suspend(0), 0);
    fake_intent();
    assert_int_equal(app_abort(), 0);
    ends_with(ERROR_ABORTED, "look at the domain's state");
    assert_int_equal(fcntl(p[1], F_GETFL), O_NONBLOCK | O_WRONLY);
    close(p[0]);
    close(p[1]);
    file = keep;
}

static void each_failing_allocation_leaves_nothing_behind(void **state)
{
    int n, rc = 1;

    assert_int_equal(fcntl(file, F_SETFL, O_NONBLOCK), 0);
    for (n = 0; n < 50 && rc; n++) {
        int fds = count_fds();

        allocs_left = n;
        ctx->allocate = scarce_realloc;
        rc = suspend(0);
        ctx->allocate = realloc;
        if (!rc)
            break;
        assert_int_equal(rc, ERROR_NOMEM);
        assert_int_equal(count_fds(), fds);
        assert_int_equal(op.told, 0);
        assert_int_equal(fcntl(file, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        peer.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer.fd >= 0)
            fake_hears_the_end();
        fake_hang_up();
    }
    assert_in_range(n, 4, 49);
    /* from here on it needs no memory */
    ctx->allocate = scarce_realloc;
    allocs_left = 0;
    fake_intent();
    fake_started(JOB, DOMID);
    fake_saved(JOB);
    turn();
    fake_hears_commit(JOB);
    fake_done(JOB, 0, "suspended");
    ends_with(0, "suspended");
    ctx->allocate = realloc;
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_file, tear_down_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(flags_become_intents),
        FILE_TEST(moatd_gets_the_very_file),
        FILE_TEST(debug_is_not_implemented_and_other_flags_are_invalid),
        FILE_TEST(only_files_and_pipes_are_taken),
        FILE_TEST(a_pipe_blocks_during_the_operation_only),
        FILE_TEST(an_image_is_confirmed_and_moatd_has_the_last_word),
        FILE_TEST(an_image_that_could_not_be_kept_is_a_failure),
        FILE_TEST(a_success_without_an_image_is_none),
        FILE_TEST(one_image_is_enough),
        FILE_TEST(a_watchs_answer_is_none_of_a_save),
        FILE_TEST(a_moatd_that_dies_at_each_point_completes_the_operation),
        FILE_TEST(a_commit_that_nobody_reads_does_not_hide_the_last_words),
        FILE_TEST(progress_begins_at_zero_and_never_passes_the_end),
        FILE_TEST(notes_are_logged_at_their_level_which_is_clamped),
        FILE_TEST(an_abort_keeps_the_image_unconfirmed),
        FILE_TEST(an_abort_after_the_confirmation_may_be_too_late),
        FILE_TEST(a_success_that_an_abort_made_impossible_is_none),
        FILE_TEST(a_failure_after_an_abort_is_the_abort),
        FILE_TEST(the_pipe_is_given_back_after_an_abort),
        FILE_TEST(each_failing_allocation_leaves_nothing_behind),
    };

    return cmocka_run_group_tests_name("lib: suspend", tests, NULL, NULL);
}
