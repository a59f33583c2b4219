/* SPDX-License-Identifier: LGPL-2.1-only */
/* What the rules decide: first match wins, default deny, nobody is nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "policy/rules/parse.h"

static struct rules_table table;

static void begin_table(void)
{
    memset(&table, 0, sizeof(table));
    table.magic = RULES_MAGIC;
    table.version = RULES_VERSION;
    table.limits = (struct rules_limits){ 4, 600, 60, 60 };
}

static void row(uint32_t subject, uint32_t id, uint32_t ops, bool allow, const char *pattern)
{
    struct rule_row *r = &table.rows[table.nrows++];

    r->subject = subject;
    r->id = id;
    r->ops = ops;
    r->allow = allow;
    r->line = 10 * table.nrows;
    strcpy(r->pattern, pattern);
}

/* 1000 is a backup operator by uid, 2000 a group of operators, 3000 a group of guests. */
static void example(void)
{
    begin_table();
    row(SUBJECT_UID, 1001, OP_SAVE | OP_CHECKPOINT, false, "*");                /* 10 */
    row(SUBJECT_UID, 1000, OP_LIST | OP_CHECKPOINT | OP_JOBS, true, "web*");    /* 20 */
    row(SUBJECT_GID, 2000, OP_SAVE, false, "db1");                              /* 30 */
    row(SUBJECT_GID, 2000, OP_SAVE | OP_CANCEL, true, "db?");                   /* 40 */
    row(SUBJECT_GID, 3000, OP_LIST, true, "*");                                 /* 50 */
    row(SUBJECT_UID, 0, OP_LIST, true, "dom-?-*");                              /* 60 */
}

struct decision {
    const char *what;
    uid_t uid;
    gid_t gid;
    gid_t group;        /* one supplementary group, 0 = none */
    uint32_t op;
    const char *name;
    bool allow;
    uint32_t line;
};

static const struct decision decisions[] = {
    { "listed by uid and pattern", 1000, 1000, 0, OP_LIST, "web1", true, 20 },
    { "checkpoint by uid", 1000, 1000, 0, OP_CHECKPOINT, "web", true, 20 },
    { "checkpoint is not save", 1000, 1000, 0, OP_SAVE, "web1", false, 0 },
    { "another operation", 1000, 1000, 0, OP_CANCEL, "web1", false, 0 },
    { "another domain", 1000, 1000, 0, OP_LIST, "db1", false, 0 },
    { "pattern anchored at the start", 1000, 1000, 0, OP_LIST, "xweb1", false, 0 },
    { "case matters", 1000, 1000, 0, OP_LIST, "Web1", false, 0 },
    { "another uid", 1002, 1002, 0, OP_LIST, "web1", false, 0 },
    { "a uid is not a gid", 1002, 1000, 0, OP_LIST, "web1", false, 0 },
    { "a gid is not a uid", 2000, 100, 0, OP_SAVE, "db2", false, 0 },
    { "by primary group", 1002, 2000, 0, OP_SAVE, "db2", true, 40 },
    { "by supplementary group", 1002, 100, 2000, OP_SAVE, "db2", true, 40 },
    { "an earlier deny wins", 1002, 2000, 0, OP_SAVE, "db1", false, 30 },
    { "the deny is for save only", 1002, 2000, 0, OP_CANCEL, "db1", true, 40 },
    { "? is exactly one character", 1002, 2000, 0, OP_SAVE, "db", false, 0 },
    { "? is not two characters", 1002, 2000, 0, OP_SAVE, "db10", false, 0 },
    { "an allowed save allows a checkpoint", 1002, 2000, 0, OP_CHECKPOINT, "db2", true, 40 },
    { "a denied save does not deny a checkpoint", 1002, 2000, 0, OP_CHECKPOINT, "db1", true, 40 },
    { "save or checkpoint asked at once is a checkpoint", 1000, 1000, 0, OP_SAVE | OP_CHECKPOINT,
      "web1", true, 20 },
    { "a deny of everything wins over a group's allow", 1001, 2000, 0, OP_SAVE, "db2", false, 10 },
    { "a deny of checkpoint wins over a later allow", 1001, 2000, 0, OP_CHECKPOINT, "db2", false,
      10 },
    { "without a domain any pattern matches", 1000, 1000, 0, OP_JOBS, NULL, true, 20 },
    { "without a domain the operation still counts", 1000, 1000, 0, OP_CANCEL, NULL, false, 0 },
    { "star alone matches every name", 1005, 1, 3000, OP_LIST, "Any_thing-1.2", true, 50 },
    { "star matches the empty name", 1005, 1, 3000, OP_LIST, "", true, 50 },
    { "root has no right without a row", 0, 0, 0, OP_SAVE, "web1", false, 0 },
    { "root by its row", 0, 0, 0, OP_LIST, "dom-1-x", true, 60 },
    { "no operation, no right", 1000, 1000, 0, 0, "web1", false, 0 },
    { "an unknown operation bit, no right", 1000, 1000, 0, 1u << 31, "web1", false, 0 },
    { "nobody is nobody, whatever its groups", 65534, 2000, 3000, OP_LIST, "web1", false, 0 },
};

static void decides(void **state)
{
    example();
    assert_true(rules_table_ok(&table));
    for (size_t i = 0; i < sizeof(decisions) / sizeof(decisions[0]); i++) {
        const struct decision *d = &decisions[i];
        struct rules_peer peer = { .uid = d->uid, .gid = d->gid, .ngids = d->group ? 1 : 0,
                                   .gids = { d->group } };
        struct rules_verdict v = rules_match(&table, &peer, d->op, d->name);

        if (v.allow != d->allow || v.line != d->line)
            fail_msg("%s: allow %d line %u, expected %d %u", d->what, v.allow, v.line, d->allow,
                     d->line);
    }
}

static void nobody_matches_no_row(void **state)
{
    struct rules_peer peer = { .uid = 65534, .gid = 65534 };
    struct rules_peer overflow_gid = { .uid = 1000, .gid = 65534 };

    begin_table();
    row(SUBJECT_UID, 65534, OP_LIST, true, "*");
    row(SUBJECT_GID, 65534, OP_LIST, true, "*");
    assert_false(rules_match(&table, &peer, OP_LIST, "web1").allow);
    assert_false(rules_match(&table, &overflow_gid, OP_LIST, "web1").allow);
    assert_false(rules_table_ok(&table));
}

static void only_64_groups_are_looked_at(void **state)
{
    struct rules_peer peer = { .uid = 1, .gid = 1, .ngids = UINT32_MAX };

    begin_table();
    row(SUBJECT_GID, 7, OP_LIST, true, "*");
    assert_false(rules_match(&table, &peer, OP_LIST, "x").allow);
    peer.gids[63] = 7;
    assert_true(rules_match(&table, &peer, OP_LIST, "x").allow);
    peer.ngids = 63;
    assert_false(rules_match(&table, &peer, OP_LIST, "x").allow);
}

static void patterns(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool match;
    } t[] = {
        { "", "", true }, { "", "a", false }, { "a", "", false }, { "*", "", true },
        { "**", "", true }, { "?", "", false }, { "a*b", "ab", true }, { "a*b", "axxb", true },
        { "a*b", "abc", false }, { "*b*", "abc", true }, { "a?c", "abc", true },
        { "a*?c", "ac", false }, { "a*?c", "abc", true }, { "*a*b*c", "xaxbxc", true },
        { "*a*b*c", "xaxcxb", false }, { "*.*", "a.b", true }, { "a.b", "axb", false },
        { "*ab", "aab", true }, { "*aab", "aaaab", true }, { "web*", "web", true },
        { "[a]", "a", false }, { "\\*", "*", false },
    };

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (rules_pattern_match(t[i].pattern, t[i].name) != t[i].match)
            fail_msg("pattern '%s' against '%s'", t[i].pattern, t[i].name);
    }
}

static void patterns_take_no_exponential_time(void **state)
{
    const char *pattern = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
    char name[64];
    clock_t start = clock();

    memset(name, 'a', sizeof(name));
    name[63] = '\0';
    for (int i = 0; i < 1000; i++)
        assert_false(rules_pattern_match(pattern, name));
    assert_true(clock() - start < CLOCKS_PER_SEC);
}

/* Each breaks a good table in one place. */
static void break_magic(void) { table.magic++; }
static void break_version(void) { table.version++; }
static void break_pad(void) { table.pad = 1; }
static void break_nrows(void) { table.nrows = RULES_ROWS + 1; }
static void break_jobs(void) { table.limits.jobs_per_operator = 0; }
static void break_deadline(void) { table.limits.save_deadline = UINT32_MAX; }
static void break_subject(void) { table.rows[0].subject = 3; }
static void break_no_ops(void) { table.rows[0].ops = 0; }
static void break_ops(void) { table.rows[0].ops |= 1u << 30; }
static void break_allow(void) { table.rows[0].allow = 2; }
static void break_line(void) { table.rows[0].line = 0; }
static void break_empty(void) { memset(table.rows[0].pattern, 0, RULES_PATTERN); }
static void break_endless(void) { memset(table.rows[0].pattern, 'a', RULES_PATTERN); }
static void break_char(void) { table.rows[0].pattern[0] = '/'; }
static void break_padding(void) { table.rows[0].pattern[RULES_PATTERN - 1] = 'x'; }
static void break_unused(void) { table.rows[RULES_ROWS - 1].pattern[3] = 'x'; }

static void a_broken_table_is_refused(void **state)
{
    static void (*const breaks[])(void) = {
        break_magic, break_version, break_pad, break_nrows, break_jobs, break_deadline,
        break_subject, break_no_ops, break_ops, break_allow, break_line, break_empty,
        break_endless, break_char, break_padding, break_unused,
    };

    for (size_t i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {
        example();
        assert_true(rules_table_ok(&table));
        breaks[i]();
        if (rules_table_ok(&table))
            fail_msg("break number %zu was not seen", i);
    }
}

static void words_and_bits_are_one_to_one(void **state)
{
    assert_int_equal(rules_op_bit("save"), OP_SAVE);
    assert_int_equal(rules_op_bit("Save"), 0);
    assert_int_equal(rules_op_bit(""), 0);
    assert_string_equal(rules_op_word(OP_CANCEL), "cancel");
    assert_null(rules_op_word(OP_CANCEL | OP_SAVE));
    assert_null(rules_op_word(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decides),
        cmocka_unit_test(nobody_matches_no_row),
        cmocka_unit_test(only_64_groups_are_looked_at),
        cmocka_unit_test(patterns),
        cmocka_unit_test(patterns_take_no_exponential_time),
        cmocka_unit_test(a_broken_table_is_refused),
        cmocka_unit_test(words_and_bits_are_one_to_one),
    };

    return cmocka_run_group_tests_name("rules: matching", tests, NULL, NULL);
}
