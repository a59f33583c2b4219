/* SPDX-License-Identifier: LGPL-2.1-only */
/* moat.conf: what is taken, and that each mistake is named with its line and what is allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/parse.h"

static struct rules_table table;
static struct rules_daemon daemon_conf;

/* Parses text; the errors in *out (to be freed). */
static int parse_len(const char *text, size_t len, char **out)
{
    FILE *in = len ? fmemopen((void *)(uintptr_t)text, len, "r") : fopen("/dev/null", "r");
    size_t size;
    FILE *err = open_memstream(out, &size);
    int errors;

    assert_non_null(in);
    assert_non_null(err);
    errors = rules_parse_stream(in, "moat.conf", &table, &daemon_conf, err);
    fclose(err);
    fclose(in);
    return errors;
}

static int parse(const char *text, char **out)
{
    return parse_len(text, strlen(text), out);
}

#define RULE_BODY "operations = save\ndomains = *\ndecision = allow\n"
#define RULE(name) "[rule " name "]\noperators = root\n" RULE_BODY
#define LIMITS "jobs-per-operator, save-deadline, suspend-deadline, commit-deadline"
#define TEN "aaaaaaaaaa"
#define FIFTY TEN TEN TEN TEN TEN
#define HUNDRED FIFTY FIFTY
#define THOUSAND HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED
#define OPS_ALLOWED "allowed: list, save, checkpoint, jobs, cancel, resume\n"
#define KEYS_ALLOWED "allowed: operators, operations, domains, decision\n"
#define SECTIONS "allowed: [daemon], [limits], [rule NAME]"
#define MISSING "is missing; a rule has operators, operations, domains and decision\n"

/* A text and everything that is said about it. */
static const struct {
    const char *text;
    const char *said;
} broken[] = {
    { "[deamon]\n",
      "moat.conf:1: unknown section [deamon], did you mean 'daemon'?; " SECTIONS "\n" },
    { "\n; x\n[limit]\n",
      "moat.conf:3: unknown section [limit], did you mean 'limits'?; " SECTIONS "\n" },
    { "[exports]\nx = 1\n", "moat.conf:1: unknown section [exports]; " SECTIONS "\n" },
    { "[]\n", "moat.conf:1: unknown section []; " SECTIONS "\n" },
    { "[rule]\n", "moat.conf:1: the rule has no name; allowed: [rule NAME]\n" },
    { "[rule  ]\n", "moat.conf:1: the rule has no name; allowed: [rule NAME]\n" },
    { "[rule a b]\n", "moat.conf:1: bad rule name 'a b'; allowed: at most 40 letters, digits, "
      "'.', '_' and '-'\n" },
    { "[rule " FIFTY "]\n", "moat.conf:1: bad rule name '" FIFTY "'; allowed: at most 40 letters, "
      "digits, '.', '_' and '-'\n" },
    { "[daemon\n", "moat.conf:1: '[daemon' is no section; " SECTIONS ", alone on its line\n" },
    { "[daemon] x\n", "moat.conf:1: '[daemon] x' is no section; " SECTIONS
      ", alone on its line\n" },
    { "[limits]\n[daemon]\n[limits]\n", "moat.conf:3: [limits]: section given twice, first in line "
      "1; allowed: each section once\n" },
    { RULE("a") RULE("a"), "moat.conf:6: [rule a]: section given twice, first in line 1; allowed: "
      "each section once\n" },
    { "socket = /x\n", "moat.conf:1: key 'socket' stands before any section; " SECTIONS
      " first\n" },
    { "[daemon]\nsoket = /x\n", "moat.conf:2: [daemon]: unknown key 'soket', did you mean "
      "'socket'?; allowed: socket, audit\n" },
    { "[daemon]\nuser = moat\n",
      "moat.conf:2: [daemon]: unknown key 'user'; allowed: socket, audit\n" },
    { "[daemon]\nsocket = /x\nsocket = /y\n",
      "moat.conf:3: [daemon] socket: given twice; allowed: once in a section\n" },
    { "[daemon]\nsocket\n", "moat.conf:2: [daemon]: the line is neither a section nor a key; "
      "allowed: KEY = VALUE\n" },
    { "[daemon]\nsocket =\n",
      "moat.conf:2: [daemon] socket: has no value; allowed: socket = VALUE\n" },
    { "[daemon]\nsocket = ; /x\n",
      "moat.conf:2: [daemon] socket: has no value; allowed: socket = VALUE\n" },
    { "[daemon]\n= /x\n", "moat.conf:2: [daemon]: unknown key ''; allowed: socket, audit\n" },
    { "[daemon]\nsocket = run/x\n", "moat.conf:2: [daemon] socket: 'run/x' is not an absolute "
      "path; allowed: a path that begins with '/'\n" },
    { "[daemon]\nsocket = /" HUNDRED TEN "\n",
      "moat.conf:2: [daemon] socket: the path has 111 characters; allowed: at most 107\n" },
    { "[daemon]\naudit = /var/../log\n", "moat.conf:2: [daemon] audit: '/var/../log' is not the "
      "plain path of a file; allowed: no '.', '..' or empty component\n" },
    { "[daemon]\naudit = /var/log/\n", "moat.conf:2: [daemon] audit: '/var/log/' is not the "
      "plain path of a file; allowed: no '.', '..' or empty component\n" },
    { "[daemon]\naudit = /var/my log\n", "moat.conf:2: [daemon] audit: '/var/my log' has blanks or "
      "unprintable characters; allowed: printable ASCII\n" },
    { "[daemon]\naudit = /v/" FIFTY TEN "\n", "moat.conf:2: [daemon] audit: the file's name has 60 "
      "characters; allowed: at most 56\n" },
    { "[limits]\nsave-deadlin = 5\n", "moat.conf:2: [limits]: unknown key 'save-deadlin', did you "
      "mean 'save-deadline'?; allowed: " LIMITS "\n" },
    { "[limits]\nsave-deadline = ten\n", "moat.conf:2: [limits] save-deadline: 'ten' is not a "
      "number; allowed: 1 to 86400\n" },
    { "[limits]\nsave-deadline = -1\n", "moat.conf:2: [limits] save-deadline: '-1' is not a "
      "number; allowed: 1 to 86400\n" },
    { "[limits]\nsave-deadline = 0x10\n", "moat.conf:2: [limits] save-deadline: '0x10' is not a "
      "number; allowed: 1 to 86400\n" },
    { "[limits]\njobs-per-operator = 0\n", "moat.conf:2: [limits] jobs-per-operator: 0 is out of "
      "range; allowed: 1 to 64\n" },
    { "[limits]\ncommit-deadline = 18446744073709551676\n", "moat.conf:2: [limits] "
      "commit-deadline: 18446744073709551676 is out of range; allowed: 1 to 3600\n" },
    { "[rule a]\noperators = root, no-such-user\n" RULE_BODY, "moat.conf:2: [rule a] operators: "
      "unknown user 'no-such-user'; allowed: users that this host knows (getent passwd), @GROUP "
      "for a group\n" },
    { "[rule a]\noperators = @no-such-group\n" RULE_BODY, "moat.conf:2: [rule a] operators: "
      "unknown group 'no-such-group'; allowed: @ and a group that this host knows (getent group)"
      "\n" },
    { "[rule a]\noperators = nobody\n" RULE_BODY, "moat.conf:2: [rule a] operators: 'nobody' has "
      "the id of nobody and matches no one; allowed: users and @groups with an id of their own\n" },
    { "[rule a]\noperators = root,, daemon\n" RULE_BODY, "moat.conf:2: [rule a] operators: an "
      "empty item in the list; allowed: items separated by one comma each\n" },
    { "[rule a]\noperators = root,\n" RULE_BODY, "moat.conf:2: [rule a] operators: an "
      "empty item in the list; allowed: items separated by one comma each\n" },
    { "[rule a]\noperators = ro\x1b[2Jot\n" RULE_BODY, "moat.conf:2: [rule a] operators: unknown "
      "user 'ro?[2Jot'; allowed: users that this host knows (getent passwd), @GROUP for a group"
      "\n" },
    { "[rule a]\noperators = root\noperations = list, sav\ndomains = *\ndecision = allow\n",
      "moat.conf:3: [rule a] operations: unknown operation 'sav', did you mean 'save'?; "
      OPS_ALLOWED },
    { "[rule a]\noperators = root\noperations = destroy\ndomains = *\ndecision = allow\n",
      "moat.conf:3: [rule a] operations: unknown operation 'destroy'; " OPS_ALLOWED },
    { "[rule a]\noperators = root\noperations = list\ndomains = web/*\ndecision = allow\n",
      "moat.conf:4: [rule a] domains: bad character '/' in pattern 'web/*'; allowed: letters, "
      "digits, '.', '_', '-', '*' and '?'\n" },
    { "[rule a]\noperators = root\noperations = list\ndomains = " FIFTY TEN TEN "\n"
      "decision = deny\n", "moat.conf:4: [rule a] domains: a pattern of 70 characters; allowed: at "
      "most 63\n" },
    { "[rule a]\noperators = root\noperations = list\ndomains = *\ndecision = alow\n",
      "moat.conf:5: [rule a] decision: unknown decision 'alow', did you mean 'allow'?; allowed: "
      "allow, deny\n" },
    { "[rule a]\noperators = root\noperations = list\ndomains = *\ndecision = 1\n",
      "moat.conf:5: [rule a] decision: unknown decision '1'; allowed: allow, deny\n" },
    { "[rule a]\noperators = root\noperations = list\ndomains = *\n",
      "moat.conf:1: [rule a]: 'decision' " MISSING },
    { "[rule a]\n[rule b]\noperators = root\n" RULE_BODY, "moat.conf:1: [rule a]: 'operators' "
      MISSING "moat.conf:1: [rule a]: 'operations' " MISSING "moat.conf:1: [rule a]: 'domains' "
      MISSING "moat.conf:1: [rule a]: 'decision' " MISSING },
    { "[rule a]\noperators = root\n" RULE_BODY "descision = deny\n", "moat.conf:6: [rule a]: "
      "unknown key 'descision', did you mean 'decision'?; " KEYS_ALLOWED },
    { "[rule a]\noperators = root\n" RULE_BODY "note = deny\n",
      "moat.conf:6: [rule a]: unknown key 'note'; " KEYS_ALLOWED },
    { "[daemon]\n; " THOUSAND FIFTY "\nsocket = x\n", "moat.conf:2: [daemon]: the line has 1052 "
      "characters; allowed: at most 1024\nmoat.conf:3: [daemon] socket: 'x' is not an absolute "
      "path; allowed: a path that begins with '/'\n" },
    /* everything in one run, each with its own line */
    { "[daemon]\nsocket = x\nsokket = y\n[limits]\nsave-deadline = x\n[bad]\nx = y\n",
      "moat.conf:2: [daemon] socket: 'x' is not an absolute path; allowed: a path that begins with "
      "'/'\nmoat.conf:3: [daemon]: unknown key 'sokket', did you mean 'socket'?; allowed: socket, "
      "audit\nmoat.conf:5: [limits] save-deadline: 'x' is not a number; allowed: 1 to 86400\n"
      "moat.conf:6: unknown section [bad]; " SECTIONS "\n" },
};

static void each_mistake_is_named(void **state)
{
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        char *said;
        int errors = parse(broken[i].text, &said);
        int lines = 0;

        for (const char *s = said; *s; s++)
            lines += *s == '\n';
        if (strcmp(said, broken[i].said) != 0 || errors != lines)
            fail_msg("%d errors for\n%s\nsaid:\n%s\nexpected:\n%s", errors, broken[i].text, said,
                     broken[i].said);
        free(said);
    }
}

static void the_documented_file_is_taken(void **state)
{
    static const char text[] =
        "\xef\xbb\xbf; the example\r\n"
        "[daemon]\r\n"
        "socket = /run/moat/moat.sock      ; the rules decide, not the file mode\n"
        "   audit = /var/log/moat/a#1.jsonl   # a comment\n"
        "\n"
        "[limits]\n"
        "jobs-per-operator = 8\n"
        "save-deadline=7200\n"
        "[rule backup]\n"
        "operators = daemon, @sys          ; users, @groups\n"
        "operations = list, checkpoint,jobs\n"
        "domains = web*, db1, ?\n"
        "decision = allow\n"
        "[ rule  all ]\n"
        "operators = root\n"
        "operations = save\n"
        "domains = *\n"
        "decision = deny";
    char *said;

    assert_int_equal(parse(text, &said), 0);
    assert_string_equal(said, "");
    free(said);
    assert_true(rules_table_ok(&table));
    assert_string_equal(daemon_conf.socket, "/run/moat/moat.sock");
    assert_string_equal(daemon_conf.audit, "/var/log/moat/a#1.jsonl");
    assert_int_equal(table.limits.jobs_per_operator, 8);
    assert_int_equal(table.limits.save_deadline, 7200);
    assert_int_equal(table.limits.suspend_deadline, 60);
    assert_int_equal(table.limits.commit_deadline, 60);
    /* operators x domains, in file order */
    assert_int_equal(table.nrows, 7);
    assert_int_equal(table.rows[0].subject, SUBJECT_UID);
    assert_int_equal(table.rows[0].id, 1);
    assert_string_equal(table.rows[0].pattern, "web*");
    assert_string_equal(table.rows[2].pattern, "?");
    assert_int_equal(table.rows[3].subject, SUBJECT_GID);
    assert_int_equal(table.rows[3].id, 3);
    assert_int_equal(table.rows[5].ops, OP_LIST | OP_CHECKPOINT | OP_JOBS);
    assert_int_equal(table.rows[5].line, 9);
    assert_int_equal(table.rows[5].allow, 1);
    assert_int_equal(table.rows[6].line, 14);
    assert_int_equal(table.rows[6].allow, 0);
}

static void an_empty_file_denies_everything(void **state)
{
    struct rules_peer root = { .uid = 0 };
    char *said;

    assert_int_equal(parse("", &said), 0);
    free(said);
    assert_true(rules_table_ok(&table));
    assert_int_equal(table.nrows, 0);
    assert_string_equal(daemon_conf.socket, RULES_DEFAULT_SOCKET);
    assert_string_equal(daemon_conf.audit, RULES_DEFAULT_AUDIT);
    assert_int_equal(table.limits.save_deadline, 600);
    assert_false(rules_match(&table, &root, OP_LIST, "x").allow);
}

static void the_shipped_file_denies_everything(void **state)
{
    static const char *const path = "dist/moat.conf";

    assert_int_equal(rules_parse(path, &table, &daemon_conf, stderr), 0);
    assert_true(rules_table_ok(&table));
    assert_int_equal(table.nrows, 0);
}

/* Its commented options, taken as they stand, are a valid file: they cannot go stale. */
static void the_shipped_examples_are_valid(void **state)
{
    FILE *in = fopen("dist/moat.conf", "re");
    char line[256], *text = NULL, *said;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(in);
    while (fgets(line, sizeof(line), in)) {
        /* an option is "#key = value" or "#[rule x]", prose has a blank behind the '#' */
        if (line[0] == '#' && line[1] != ' ')
            fputs(strncmp(line, "#operators", 10) == 0 ? "operators = root, @daemon\n" : line + 1,
                  out);
        else
            fputs(line, out);
    }
    fclose(in);
    fclose(out);
    if (parse(text, &said) != 0)
        fail_msg("%s", said);
    assert_true(table.nrows > 0);
    assert_true(rules_table_ok(&table));
    free(said);
    free(text);
}

static void a_missing_file_is_one_error(void **state)
{
    char *said;
    size_t size;
    FILE *err = open_memstream(&said, &size);

    assert_int_equal(rules_parse("/no/such/moat.conf", &table, &daemon_conf, err), 1);
    fclose(err);
    assert_string_equal(said, "/no/such/moat.conf: cannot open: No such file or directory; "
                        "expected is a readable file\n");
    free(said);
}

static void a_nul_byte_is_an_error(void **state)
{
    static const char text[] = "[daemon]\nsocket = /x\0y\n";
    char *said;

    assert_int_equal(parse_len(text, sizeof(text) - 1, &said), 1);
    assert_string_equal(said,
                        "moat.conf:2: [daemon]: the line has a NUL byte; allowed: text\n");
    free(said);
}

/* 60 x 40 rows are more than the table has. */
static void too_many_rows_are_an_error(void **state)
{
    char text[4096] = "[rule big]\noperators = root", *said;

    for (int i = 1; i < 60; i++)
        strcat(text, ",root");
    strcat(text, "\noperations = list\ndomains = *");
    for (int i = 1; i < 40; i++)
        strcat(text, ",a*");
    strcat(text, "\ndecision = allow\n");
    assert_int_equal(parse(text, &said), 1);
    assert_string_equal(said, "moat.conf:1: [rule big]: too many rows: 60 operators x 40 domains, "
                        "and 0 rows before it; allowed: 2048 rows in all (use groups and "
                        "patterns)\n");
    free(said);
}

static void errors_are_bounded(void **state)
{
    char text[4096] = "", *said;

    for (int i = 0; i < 1000; i++)
        strcat(text, "x\n");
    assert_int_equal(parse(text, &said), RULES_ERRORS_MAX + 1);
    assert_non_null(strstr(said, "moat.conf:100: too many errors, the rest of the file was not"));
    free(said);
}

/* A rule with an error makes no rows: what is left of it could mean something else. */
static void a_broken_rule_makes_no_rows(void **state)
{
    char *said;

    assert_int_equal(parse("[rule a]\noperators = root, no-such-user\n" RULE_BODY, &said), 1);
    assert_int_equal(table.nrows, 0);
    free(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_is_named),
        cmocka_unit_test(the_documented_file_is_taken),
        cmocka_unit_test(an_empty_file_denies_everything),
        cmocka_unit_test(the_shipped_file_denies_everything),
        cmocka_unit_test(the_shipped_examples_are_valid),
        cmocka_unit_test(a_missing_file_is_one_error),
        cmocka_unit_test(a_nul_byte_is_an_error),
        cmocka_unit_test(too_many_rows_are_an_error),
        cmocka_unit_test(errors_are_bounded),
        cmocka_unit_test(a_broken_rule_makes_no_rows),
    };

    return cmocka_run_group_tests_name("rules: moat.conf", tests, NULL, NULL);
}
