/* SPDX-License-Identifier: LGPL-2.1-only */
/* Whatever is done to the log without the key shows; whatever is done with root's rights shows to
 * who has kept the first key. */
#include "tests/unit/audit/audit_fixture.h"

static void an_untouched_log_verifies(void **state)
{
    expect_good(*state, FIXTURE_LINES);
}

static void an_empty_log_verifies(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    audit_close(&f->log);
    assert_int_equal(strlen(f->key), 64);
    expect_good(f, 0);
}

/* Without any key: each byte of the log is covered by a hash, the MACs too. */
static void a_change_of_any_byte_is_found(void **state)
{
    struct fixture *f = *state;
    struct audit_state at = { 0 };
    struct audit_report report;
    size_t len, state_len, step = 0;
    char *text = slurp(f->path, &len);
    uint8_t *file = (uint8_t *)slurp(f->state_path, &state_len);

    assert_true(audit_get_state(file, state_len, &at));
    for (size_t i = 0; i < len; i++) {
        FILE *in;
        char old = text[i];
        uint64_t line = 1;

        for (size_t j = 0; j < i; j++)
            line += text[j] == '\n';
        text[i] = (char)(old ^ (1 << (step++ % 8)));
        in = fmemopen(text, len, "r");
        assert_non_null(in);
        if (audit_verify_stream(in, len, &at, NULL, &report) != 1)
            fail_msg("a change of byte %zu was not found", i);
        /* the line itself or, by its hash, the next one */
        if (report.bad_line != line && report.bad_line != line + 1)
            fail_msg("a change in line %llu was called line %llu", (unsigned long long)line,
                     (unsigned long long)report.bad_line);
        fclose(in);
        text[i] = old;
    }
    free(text);
    free(file);
}

static void an_edited_line_is_named(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *text = slurp(f->path, &len);

    *strchr(strstr(line_at(text, 3), "\"job\":7"), '7') = '8';
    spill(f->path, text, len);
    expect_bad(f, NULL, 4, "hash of the line before");
    expect_bad(f, f->key, 3, "MAC does not fit");
    free(text);
}

static void an_edited_last_line_is_named(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *text = slurp(f->path, &len);

    strstr(line_at(text, FIXTURE_LINES), "web1")[3] = '2';
    spill(f->path, text, len);
    expect_bad(f, NULL, FIXTURE_LINES, "not the one in the state");
    free(text);
}

static void a_deleted_line_is_found(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *text = slurp(f->path, &len);
    char *from = line_at(text, 3), *to = line_at(text, 4);

    memmove(from, to, (size_t)(text + len - to));
    spill(f->path, text, len - (size_t)(to - from));
    expect_bad(f, NULL, 3, "sequence number does not follow");
    free(text);
}

static void swapped_lines_are_found(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *text = slurp(f->path, &len), *other = calloc(1, len + 1);
    size_t a = (size_t)(line_at(text, 2) - text), b = (size_t)(line_at(text, 3) - text),
           c = (size_t)(line_at(text, 4) - text);

    memcpy(other, text, len);
    memcpy(other + a, text + b, c - b);
    memcpy(other + a + (c - b), text + a, b - a);
    spill(f->path, other, len);
    expect_bad(f, NULL, 2, "sequence number does not follow");
    free(text);
    free(other);
}

static void a_cut_tail_is_found(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *text = slurp(f->path, &len);

    spill(f->path, text, (size_t)(line_at(text, 5) - text));
    expect_bad(f, NULL, 5, "the end of the log was cut off");
    expect_bad(f, f->key, 5, "the end of the log was cut off");
    fixture_refused(f, "does not end with line 6");
    spill(f->path, "", 0);
    expect_bad(f, NULL, 1, "the end of the log was cut off");
    fixture_refused(f, "does not end with line 6");
    free(text);
}

static void a_cut_head_is_found(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *text = slurp(f->path, &len);
    char *from = line_at(text, 2);

    spill(f->path, from, len - (size_t)(from - text));
    expect_bad(f, NULL, 1, "sequence number does not follow");
    free(text);
}

/* Appends a line that is right but for its MAC: made with another key. */
static void append_forged(struct fixture *f, unsigned n)
{
    size_t len, state_len;
    char *text = slurp(f->path, &len), line[AUDIT_LINE_MAX];
    uint8_t *file = (uint8_t *)slurp(f->state_path, &state_len);
    struct audit_state at;
    struct audit_line l;
    int added;

    assert_true(audit_get_state(file, state_len, &at));
    memset(at.key, 0x55, sizeof(at.key));
    for (unsigned i = 0; i < n; i++) {
        added = audit_make_line(&at, "\"what\":\"note\",\"message\":\"forged\"", line, &l);
        assert_true(added > 0);
        memcpy(text + len, line, (size_t)added);
        len += (size_t)added;
        audit_advance(&at, &l, false);
    }
    spill(f->path, text, len);
    free(text);
    free(file);
}

static void an_appended_line_is_found_without_the_first_key(void **state)
{
    struct fixture *f = *state;

    append_forged(f, 1);
    expect_bad(f, NULL, FIXTURE_LINES + 1, "MAC does not fit");
    fixture_refused(f, "not written by moat");
}

static void appended_lines_are_found(void **state)
{
    struct fixture *f = *state;

    append_forged(f, 2);
    expect_bad(f, NULL, FIXTURE_LINES + 1, "MAC does not fit");
    fixture_refused(f, "not written by moat");
}

static void an_old_state_is_found(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *old = slurp(f->state_path, &len);

    fixture_open(f);
    fixture_append(f, "one");
    fixture_append(f, "two");
    audit_close(&f->log);
    spill(f->state_path, old, len);
    expect_bad(f, NULL, FIXTURE_LINES + 2, "stands behind line 6");
    free(old);
}

static void a_removed_state_is_found(void **state)
{
    struct fixture *f = *state;

    unlink(f->state_path);
    expect_bad(f, NULL, FIXTURE_LINES + 1, "state is gone");
    fixture_refused(f, "state is gone");
    expect_bad(f, NULL, FIXTURE_LINES + 1, "state is gone");
}

static void a_damaged_state_is_found(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *file = slurp(f->state_path, &len);

    assert_int_equal(len, AUDIT_STATE_SIZE);
    file[30]++;     /* line 6 is in slot 0: its key */
    spill(f->state_path, file, len);
    expect_bad(f, NULL, FIXTURE_LINES + 1, "state is damaged");
    fixture_refused(f, "state is damaged");
    free(file);
}

/* What root can do: a whole new log and state.  Only who has K_0 sees it. */
static void a_log_made_anew_is_found_with_the_first_key(void **state)
{
    struct fixture *f = *state;
    char first[65];

    strcpy(first, f->key);
    unlink(f->path);
    unlink(f->state_path);
    fixture_open(f);
    for (unsigned i = 0; i < FIXTURE_LINES; i++)
        fixture_append(f, "nothing happened");
    audit_close(&f->log);
    assert_string_not_equal(first, f->key);
    expect_good(f, FIXTURE_LINES);
    expect_bad(f, first, 1, "MAC does not fit");
}

/* The same with the state's own key kept: hashes fit, MACs of the past do not. */
static void a_rehashed_chain_is_found_with_the_first_key(void **state)
{
    struct fixture *f = *state;
    size_t len, state_len, out_len = 0;
    char *text = slurp(f->path, &len), *out = calloc(1, 1 << 20);
    uint8_t *file = (uint8_t *)slurp(f->state_path, &state_len);
    struct audit_state real, at = { 0 };
    struct audit_line l;

    assert_true(audit_get_state(file, state_len, &real));
    memcpy(at.key, real.key, sizeof(at.key));
    for (unsigned i = 1; i <= FIXTURE_LINES; i++) {
        int n = audit_make_line(&at, "\"what\":\"note\",\"message\":\"no\"", out + out_len, &l);

        assert_true(n > 0);
        out_len += (size_t)n;
        audit_advance(&at, &l, false);
    }
    memset(file, 0, state_len);
    audit_put_state(&at, file);
    spill(f->path, out, out_len);
    spill(f->state_path, file, state_len);
    assert_int_equal(audit_verify(f->path, NULL, &(struct audit_report){ 0 }), 0);
    expect_bad(f, f->key, 1, "MAC does not fit");
    free(text);
    free(out);
    free(file);
}

static void a_new_state_with_the_same_hash_is_found_with_the_first_key(void **state)
{
    struct fixture *f = *state;
    size_t len;
    uint8_t *file = (uint8_t *)slurp(f->state_path, &len);
    struct audit_state at;

    assert_true(audit_get_state(file, len, &at));
    at.key[0] ^= 1;
    audit_put_state(&at, file);
    spill(f->state_path, file, len);
    expect_bad(f, f->key, FIXTURE_LINES, "the key after it is not the one in the state");
    free(file);
}

static void a_wrong_key_is_no_verification(void **state)
{
    struct fixture *f = *state;
    struct audit_report report;

    assert_int_equal(audit_verify(f->path, "", &report), -EINVAL);
    assert_int_equal(audit_verify(f->path, "zz", &report), -EINVAL);
    f->key[0] = f->key[0] == 'a' ? 'b' : 'a';
    expect_bad(f, f->key, 1, "MAC does not fit");
    f->key[0] = 'A';
    assert_int_equal(audit_verify(f->path, f->key, &report), -EINVAL);
}

static void an_unreadable_log_is_an_error(void **state)
{
    struct audit_report report;

    assert_int_equal(audit_verify("/no/such/audit.jsonl", NULL, &report), -ENOENT);
}

/* A member of the group may read the log, but not the state: said, not silently passed over. */
static void without_the_state_the_answer_says_so(void **state)
{
    struct fixture *f = *state;
    struct audit_report report = { 0 };
    int pipefd[2], rc;
    pid_t pid;

    if (getuid() != 0) {
        /* an unprivileged owner: mode 0 is enough */
        assert_int_equal(chmod(f->state_path, 0), 0);
        assert_int_equal(audit_verify(f->path, f->key, &report), 0);
        assert_non_null(strstr(report.why, "not checked"));
        return;
    }
    assert_int_equal(chmod(f->dir, 0755), 0);
    assert_int_equal(chmod(f->path, 0644), 0);
    assert_int_equal(pipe(pipefd), 0);
    pid = fork();
    if (pid == 0) {
        if (setresuid(12345, 12345, 12345) < 0)
            _exit(2);
        rc = audit_verify(f->path, f->key, &report);
        if (write(pipefd[1], &report, sizeof(report)) != sizeof(report))
            _exit(2);
        _exit(rc);
    }
    assert_int_equal(read(pipefd[0], &report, sizeof(report)), sizeof(report));
    assert_int_equal(waitpid(pid, &rc, 0), pid);
    assert_int_equal(rc, 0);
    assert_int_equal(report.lines, FIXTURE_LINES);
    assert_non_null(strstr(report.why, "not checked"));
    close(pipefd[0]);
    close(pipefd[1]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup_lines, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_untouched_log_verifies),
        cmocka_unit_test_setup_teardown(an_empty_log_verifies, fixture_setup, fixture_teardown),
        T(a_change_of_any_byte_is_found),
        T(an_edited_line_is_named),
        T(an_edited_last_line_is_named),
        T(a_deleted_line_is_found),
        T(swapped_lines_are_found),
        T(a_cut_tail_is_found),
        T(a_cut_head_is_found),
        T(an_appended_line_is_found_without_the_first_key),
        T(appended_lines_are_found),
        T(an_old_state_is_found),
        T(a_removed_state_is_found),
        T(a_damaged_state_is_found),
        T(a_log_made_anew_is_found_with_the_first_key),
        T(a_rehashed_chain_is_found_with_the_first_key),
        T(a_new_state_with_the_same_hash_is_found_with_the_first_key),
        T(a_wrong_key_is_no_verification),
        T(an_unreadable_log_is_an_error),
        T(without_the_state_the_answer_says_so),
    };

    return cmocka_run_group_tests_name("audit: verification", tests, NULL, NULL);
}
