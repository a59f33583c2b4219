/* SPDX-License-Identifier: LGPL-2.1-only */
/* The log on disk: what was acknowledged is there, a crash or a full disk leaves it whole. */
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "policy/audit/recorder.h"
#include "tests/unit/audit/audit_fixture.h"

static off_t size_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void a_log_goes_on_after_it_was_closed(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_append(f, "seven");
    audit_close(&f->log);
    fixture_open(f);
    fixture_append(f, "eight");
    audit_close(&f->log);
    expect_good(f, FIXTURE_LINES + 2);
}

static void the_files_are_not_for_others(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    assert_int_equal(chmod(f->state_path, 0666), 0);
    fixture_open(f);
    audit_close(&f->log);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(stat(f->state_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void the_first_key_is_told_until_there_is_a_line(void **state)
{
    struct fixture *f = *state;
    char key[65], why[128];

    fixture_open(f);
    audit_close(&f->log);
    /* a crash before it could be printed must not lose it */
    memset(&f->log, 0, sizeof(f->log));
    assert_int_equal(audit_open(&f->log, f->dirfd, "audit.jsonl", key, why), 0);
    assert_string_equal(key, f->key);
    fixture_append(f, "one");
    audit_close(&f->log);
    memset(&f->log, 0, sizeof(f->log));
    assert_int_equal(audit_open(&f->log, f->dirfd, "audit.jsonl", key, why), 0);
    assert_string_equal(key, "");
    audit_close(&f->log);
    expect_good(f, 1);
}

static void no_used_key_stays_in_the_state(void **state)
{
    struct fixture *f = *state;
    uint8_t key[AUDIT_KEY_SIZE];
    char *file;
    size_t len;

    fixture_open(f);
    memcpy(key, f->log.state.key, sizeof(key));
    fixture_append(f, "x");
    file = slurp(f->state_path, &len);
    assert_int_equal(len, AUDIT_STATE_SIZE);
    assert_null(memmem(file, len, key, sizeof(key)));
    assert_non_null(memmem(file, len, f->log.state.key, sizeof(key)));
    audit_close(&f->log);
    free(file);
}

static void two_writers_are_refused(void **state)
{
    struct fixture *f = *state;
    struct audit_log first;

    fixture_open(f);
    first = f->log;
    fixture_refused(f, "another recorder is writing this log");
    f->log = first;
    fixture_append(f, "still the one");
    audit_close(&f->log);
    expect_good(f, FIXTURE_LINES + 1);
}

/* Members of moat-audit may read the log: that must not let them keep the recorder out. */
static void a_reader_cannot_keep_the_writer_out(void **state)
{
    struct fixture *f = *state;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    fixture_open(f);
    fixture_append(f, "written all the same");
    audit_close(&f->log);
    close(fd);
    expect_good(f, FIXTURE_LINES + 1);
}

static void a_path_or_link_is_no_log(void **state)
{
    struct fixture *f = *state;
    struct audit_log log = { 0 };
    char key[65], why[128];

    assert_int_equal(audit_open(&log, f->dirfd, "../x", key, why), -EINVAL);
    assert_int_equal(audit_open(&log, f->dirfd, "", key, why), -EINVAL);
    assert_int_equal(audit_open(&log, f->dirfd, "..", key, why), -EINVAL);
    assert_int_equal(symlinkat("/tmp/elsewhere", AT_FDCWD, f->path), 0);
    assert_int_equal(audit_open(&log, f->dirfd, "audit.jsonl", key, why), -ELOOP);
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(mkfifo(f->path, 0600), 0);
    fixture_refused(f, "cannot open the log");
}

/* ---- crashes */

/* The line is durable, the state is not: the line counts, once. */
static void a_crash_between_line_and_state_is_mended(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *before = slurp(f->state_path, &len), *text;

    fixture_open(f);
    fixture_append(f, "the line");
    audit_close(&f->log);
    spill(f->state_path, before, len);
    fixture_open(f);
    assert_int_equal(f->log.state.sequence, FIXTURE_LINES + 2);
    fixture_append(f, "goes on");
    audit_close(&f->log);
    expect_good(f, FIXTURE_LINES + 3);
    text = slurp(f->path, &len);
    assert_non_null(strstr(line_at(text, 7), "the line"));
    assert_non_null(strstr(line_at(text, 8), "line 7 was whole but not in the state"));
    free(before);
    free(text);
}

static void verify_accepts_the_line_that_a_crash_left(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *before = slurp(f->state_path, &len);

    fixture_open(f);
    fixture_append(f, "the line");
    audit_close(&f->log);
    spill(f->state_path, before, len);
    expect_good(f, FIXTURE_LINES + 1);
    free(before);
}

/* More than one line ahead of the state is no crash. */
static void two_lines_ahead_of_the_state_are_refused(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *before = slurp(f->state_path, &len);

    fixture_open(f);
    fixture_append(f, "one");
    fixture_append(f, "two");
    audit_close(&f->log);
    spill(f->state_path, before, len);
    fixture_refused(f, "not written by moat");
    free(before);
}

static void append_raw(struct fixture *f, const char *p, size_t len)
{
    int fd = open(f->path, O_WRONLY | O_APPEND | O_CLOEXEC);

    assert_int_equal(write(fd, p, len), (ssize_t)len);
    close(fd);
}

static void half_a_line_is_cut_off_and_noted(void **state)
{
    struct fixture *f = *state;
    static const char half[] = "{\"seq\":7,\"time\":\"2026-01-01T00:0";
    size_t len;
    char *text;

    append_raw(f, half, sizeof(half) - 1);
    expect_bad(f, NULL, 7, "the line has no end");
    fixture_open(f);
    audit_close(&f->log);
    expect_good(f, FIXTURE_LINES + 1);
    text = slurp(f->path, &len);
    assert_non_null(strstr(line_at(text, 7), "32 bytes of a half-written line were cut off"));
    free(text);
}

/* After a power loss a page in the middle can be missing although the end is there. */
static void a_line_with_a_hole_is_cut_off(void **state)
{
    struct fixture *f = *state;
    char torn[6000];

    memset(torn, 0, sizeof(torn));
    torn[sizeof(torn) - 1] = '\n';
    append_raw(f, torn, sizeof(torn));
    fixture_open(f);
    audit_close(&f->log);
    expect_good(f, FIXTURE_LINES + 1);
}

static void half_a_first_line_is_cut_off(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    audit_close(&f->log);
    append_raw(f, "{\"seq\":1", 8);
    fixture_open(f);
    audit_close(&f->log);
    expect_good(f, 1);
}

/* A half line that the state covers is not a crash: somebody cut the log in a line's middle. */
static void a_cut_in_a_covered_line_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(truncate(f->path, size_of(f->path) - 20), 0);
    fixture_refused(f, "does not end with line 6");
    assert_int_equal(truncate(f->path, size_of(f->path) - 1), 0);
    fixture_refused(f, "does not end with line 6");
}

static void a_crash_while_the_log_was_created_is_mended(void **state)
{
    struct fixture *f = *state;

    spill(f->path, "", 0);
    fixture_open(f);
    audit_close(&f->log);
    expect_good(f, 0);
    spill(f->state_path, "\0\0\0", 3);
    fixture_open(f);
    fixture_append(f, "one");
    audit_close(&f->log);
    expect_good(f, 1);
}

/* The writer is killed at any moment; what it has acknowledged is there. */
static void a_killed_writer_loses_nothing_acknowledged(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    audit_close(&f->log);
    for (int round = 0; round < 25; round++) {
        uint64_t acknowledged = 0, seen;
        struct timespec moment = { .tv_nsec = 1000000 + round * 700000 };
        struct audit_report report;
        int p[2], status;
        pid_t pid;

        assert_int_equal(pipe(p), 0);
        pid = fork();
        if (pid == 0) {
            struct msg_RECORD r;
            char key[65], why[128];

            record_fill(&r, RECORD_END, "killed at some time");
            if (audit_open(&f->log, f->dirfd, "audit.jsonl", key, why))
                _exit(1);
            while (audit_append(&f->log, &r, &seen) == 0) {
                if (write(p[1], &seen, sizeof(seen)) != sizeof(seen))
                    break;
            }
            _exit(1);
        }
        close(p[1]);
        nanosleep(&moment, NULL);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        while (read(p[0], &seen, sizeof(seen)) == sizeof(seen))
            acknowledged = seen;
        close(p[0]);
        fixture_open(f);
        audit_close(&f->log);
        if (audit_verify(f->path, f->key, &report) != 0)
            fail_msg("round %d, line %llu: %s", round, (unsigned long long)report.bad_line,
                     report.why);
        assert_true(report.last_sequence >= acknowledged);
    }
}

/* Lines come in while the log is verified; nobody is accused. */
static void a_log_that_is_being_written_verifies(void **state)
{
    struct fixture *f = *state;
    struct audit_report report;
    uint64_t last = 0;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct msg_RECORD r;
        uint64_t sequence;

        prctl(PR_SET_PDEATHSIG, SIGKILL);   /* a failed assertion must not leave it writing */
        record_fill(&r, RECORD_END, "meanwhile");
        fixture_open(f);
        while (audit_append(&f->log, &r, &sequence) == 0)
            ;
        _exit(1);
    }
    for (int i = 0; i < 200; i++) {
        if (audit_verify(f->path, f->key, &report) != 0)
            fail_msg("line %llu: %s", (unsigned long long)report.bad_line, report.why);
        assert_true(report.last_sequence >= last);
        last = report.last_sequence;
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(last > FIXTURE_LINES);
}

/* ---- full disk */

static void fill_to(struct fixture *f, uint64_t size)
{
    while (f->log.size < size)
        fixture_append(f, "a line to fill the log");
}

/* The limit cuts the line in its middle: pwrite() writes a part, then fails. */
static void a_line_that_does_not_fit_is_taken_back(void **state)
{
    struct fixture *f = *state;
    struct rlimit old, small;
    struct msg_RECORD r;
    uint64_t sequence = 77, lines;
    off_t size;
    int rc;

    fixture_open(f);
    fill_to(f, AUDIT_STATE_SIZE + 1000);
    lines = f->log.state.sequence;
    size = size_of(f->path);
    record_fill(&r, RECORD_BEGIN, "does not fit");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = (rlim_t)size + 100;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    rc = audit_append(&f->log, &r, &sequence);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(rc, -EFBIG);
    assert_int_equal(sequence, 77);
    assert_false(f->log.broken);
    assert_int_equal(size_of(f->path), size);
    expect_good(f, lines);
    /* and there is room again */
    fixture_append(f, "fits");
    audit_close(&f->log);
    expect_good(f, lines + 1);
}

static void a_full_disk_is_an_error_not_a_gap(void **state)
{
    struct fixture *f = *state;
    const char *must = getenv("MUST_WORK");
    struct msg_RECORD r;
    uint64_t sequence, lines;
    int rc = 0, dirfd = f->dirfd;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", f->dir, "tmpfs", 0, "size=32k") < 0) {
        if (must && strcmp(must, "1") == 0)
            fail_msg("cannot mount a small tmpfs: %s", strerror(errno));
        skip();
    }
    f->dirfd = open(f->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fixture_open(f);
    record_fill(&r, RECORD_BEGIN, "until it is full");
    while (rc == 0)
        rc = audit_append(&f->log, &r, &sequence);
    assert_int_equal(rc, -ENOSPC);
    assert_false(f->log.broken);
    lines = f->log.state.sequence;
    assert_true(lines > 10);
    expect_good(f, lines);
    assert_int_equal(audit_append(&f->log, &r, &sequence), -ENOSPC);
    audit_close(&f->log);
    fixture_open(f);
    audit_close(&f->log);
    expect_good(f, lines);
    close(f->dirfd);
    f->dirfd = dirfd;
    assert_int_equal(umount2(f->dir, MNT_DETACH), 0);
}

/* ---- the recorder's loop */

static void the_recorder_answers_each_record(void **state)
{
    struct fixture *f = *state;
    struct ipc_chan warden = { .self = WARDEN, .peer = RECORDER, .phase = PH_ANY };
    static struct ipc_frame frame;
    struct msg_RECORDED answer;
    struct msg_RECORD r;
    char said[512] = "", expected[160], hex[AUDIT_HEX_SIZE];
    int fds[2], journal[2], status;
    size_t len;
    char *text;
    struct audit_line l;
    pid_t pid;

    assert_int_equal(ipc_pair(fds), 0);
    assert_int_equal(pipe(journal), 0);
    pid = fork();
    if (pid == 0) {
        close(fds[0]);
        dup2(journal[1], 2);
        fixture_open(f);
        _exit(recorder_run(&f->log, fds[1]));
    }
    close(fds[1]);
    close(journal[1]);
    warden.fd = fds[0];
    for (unsigned i = 1; i <= 3; i++) {
        record_fill(&r, i == 3 ? RECORD_END : RECORD_ACT, "x");
        assert_int_equal(ipc_send(&warden, MSG_RECORD, 9, &r, NULL, 0), 0);
        assert_int_equal(ipc_expect(&warden, &frame, MSG_RECORDED, &answer, 10000), 0);
        assert_int_equal(answer.errnum, 0);
        assert_int_equal(answer.sequence, FIXTURE_LINES + i);
        assert_int_equal(frame.job, 9);
    }
    /* what has no kind is refused, and the recorder goes on */
    r.what = 99;
    assert_int_equal(ipc_send(&warden, MSG_RECORD, 9, &r, NULL, 0), 0);
    assert_int_equal(ipc_expect(&warden, &frame, MSG_RECORDED, &answer, 10000), 0);
    assert_int_equal(answer.errnum, EINVAL);
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    expect_good(f, FIXTURE_LINES + 3);
    /* the journal got the hash of the end's line, and why the last one was refused */
    assert_true(read(journal[0], said, sizeof(said) - 1) > 0);
    close(journal[0]);
    text = slurp(f->path, &len);
    assert_null(audit_split(line_at(text, 9), strlen(line_at(text, 9)) - 1, &l));
    audit_hex(l.hash, hex);
    snprintf(expected, sizeof(expected), "moat-audit: job 7 ended, line 9 hash %s\n", hex);
    assert_ptr_equal(strstr(said, expected), said);
    assert_non_null(strstr(said, "Invalid argument"));
    free(text);
}

/* stderr is closed there: what would have gone to it must not go to the log instead. */
static void the_recorder_ends_on_a_bad_frame(void **state)
{
    struct fixture *f = *state;
    int fds[2], status;
    pid_t pid;

    assert_int_equal(ipc_pair(fds), 0);
    pid = fork();
    if (pid == 0) {
        close(fds[0]);
        close(2);
        fixture_open(f);
        _exit(recorder_run(&f->log, fds[1]));
    }
    close(fds[1]);
    assert_int_equal(send(fds[0], "not a frame at all", 18, 0), 18);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(fds[0]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    expect_good(f, FIXTURE_LINES);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup_lines, fixture_teardown)
#define T_EMPTY(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_log_goes_on_after_it_was_closed),
        T(the_files_are_not_for_others),
        T_EMPTY(the_first_key_is_told_until_there_is_a_line),
        T(no_used_key_stays_in_the_state),
        T(two_writers_are_refused),
        T(a_reader_cannot_keep_the_writer_out),
        T_EMPTY(a_path_or_link_is_no_log),
        T(a_crash_between_line_and_state_is_mended),
        T(verify_accepts_the_line_that_a_crash_left),
        T(two_lines_ahead_of_the_state_are_refused),
        T(half_a_line_is_cut_off_and_noted),
        T(a_line_with_a_hole_is_cut_off),
        T_EMPTY(half_a_first_line_is_cut_off),
        T(a_cut_in_a_covered_line_is_refused),
        T_EMPTY(a_crash_while_the_log_was_created_is_mended),
        T_EMPTY(a_killed_writer_loses_nothing_acknowledged),
        T(a_log_that_is_being_written_verifies),
        T(a_line_that_does_not_fit_is_taken_back),
        T_EMPTY(a_full_disk_is_an_error_not_a_gap),
        T(the_recorder_answers_each_record),
        T(the_recorder_ends_on_a_bad_frame),
    };

    return cmocka_run_group_tests_name("audit: the log", tests, NULL, NULL);
}
