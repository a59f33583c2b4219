/* SPDX-License-Identifier: LGPL-2.1-only */
/* moat policy check, moat policy explain: the daemon's own parser and matcher, run by anybody. */
#include <getopt.h>
#include <grp.h>
#include <json-c/json.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parent/cli/cli.h"
#include "paths.h"
#include "policy/rules/rules.h"

static struct rules_table table;
static struct rules_daemon daemon_conf;

/* Rows of one rule stand together and carry its line. */
static unsigned count_rules(void)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < table.nrows; i++)
        n += i == 0 || table.rows[i].line != table.rows[i - 1].line;
    return n;
}

static int check(int argc, char **argv)
{
    const char *path;
    int errors;

    if (cli_options_only(argc, argv, "policy"))
        return EXIT_USAGE;
    if (argc - optind > 1)
        return cli_usage("policy");
    path = optind < argc ? argv[optind] : MOAT_CONF;
    errors = rules_parse(path, &table, &daemon_conf, stderr);
    if (cli.json)
        printf("{\"ok\":%s,\"errors\":%d,\"rules\":%u,\"rows\":%u}\n", errors ? "false" : "true",
               errors, count_rules(), table.nrows);
    else if (errors == 0)
        printf("%s: %u rules, %u rows: ok\n", path, count_rules(), table.nrows);
    return errors ? EXIT_FAILED : EXIT_DONE;
}

/* ---- explain */

/* What the kernel would say of the user: uid, gid and supplementary groups after a login. */
static int find_peer(const char *user, struct rules_peer *peer)
{
    struct passwd *pw = getpwnam(user);
    int n = 64;

    if (!pw) {
        cli_error("unknown user '%s'", user);
        return EXIT_USAGE;
    }
    memset(peer, 0, sizeof(*peer));
    peer->uid = pw->pw_uid;
    peer->gid = pw->pw_gid;
    if (getgrouplist(user, pw->pw_gid, peer->gids, &n) < 0) {
        cli_error("note: '%s' is in %d groups; rules look at 64 of them", user, n);
        n = 64;
    }
    peer->ngids = (uint32_t)n;
    return 0;
}

/* The rule's name as its line of the file has it: "rule backup". */
static void rule_name(const char *path, uint32_t line, char *buf, size_t size)
{
    FILE *f = fopen(path, "re");
    char *text = NULL, *start, *end;
    size_t room = 0;

    snprintf(buf, size, "?");
    for (uint32_t n = 0; f && n < line; n++) {
        if (getline(&text, &room, f) < 0)
            break;
        if (n + 1 < line)
            continue;
        start = strchr(text, '[');
        end = start ? strchr(start, ']') : NULL;
        if (end)
            snprintf(buf, size, "%.*s", (int)(end - start - 1), start + 1);
    }
    free(text);
    if (f)
        fclose(f);
}

/* Which operator and pattern of the rule fitted; the first row of the table with this verdict. */
static const struct rule_row *deciding_row(const struct rules_peer *peer, uint32_t op,
                                           const char *domain)
{
    static struct rules_table one = { .nrows = 1 };

    for (uint32_t i = 0; i < table.nrows; i++) {
        one.rows[0] = table.rows[i];
        if (rules_match(&one, peer, op, domain).line)
            return &table.rows[i];
    }
    return NULL;
}

static const char *subject_name(const struct rule_row *row, char *buf, size_t size)
{
    struct passwd *pw = row->subject == SUBJECT_UID ? getpwuid(row->id) : NULL;
    struct group *gr = row->subject == SUBJECT_GID ? getgrgid(row->id) : NULL;

    if (pw)
        snprintf(buf, size, "user %s", pw->pw_name);
    else if (gr)
        snprintf(buf, size, "group %s", gr->gr_name);
    else
        snprintf(buf, size, "%s %u", row->subject == SUBJECT_UID ? "uid" : "gid", row->id);
    return buf;
}

static void explain_json(bool allow, const char *path, uint32_t line, const char *name,
                         const char *why)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "allow", json_object_new_boolean(allow));
    json_object_object_add(o, "file", json_object_new_string(path));
    json_object_object_add(o, "line", json_object_new_int64(line));
    if (name)
        json_object_object_add(o, "rule", json_object_new_string(name));
    json_object_object_add(o, "why", json_object_new_string(why));
    printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
}

static int print_decision(const char *path, const char *user, const struct rules_peer *peer,
                          uint32_t op, const char *domain)
{
    struct rules_verdict v = rules_match(&table, peer, op, domain);
    const struct rule_row *row = v.line ? deciding_row(peer, op, domain) : NULL;
    char name[64], subject[96], why[512];

    if (row) {
        rule_name(path, v.line, name, sizeof(name));
        snprintf(why, sizeof(why), "it is the first rule that fits: its operators have %s, its "
                 "domains %s, its operations %s", subject_name(row, subject, sizeof(subject)),
                 row->pattern, op == OP_CHECKPOINT && !(row->ops & OP_CHECKPOINT)
                     ? "save, which allows every form of it" : rules_op_word(op));
    } else if (peer->uid == 65534) {
        snprintf(why, sizeof(why), "uid 65534 is nobody and matches no rule");
    } else {
        snprintf(why, sizeof(why), "no rule fits, and what no rule allows is denied");
    }
    if (cli.json) {
        explain_json(v.allow, path, v.line, row ? name : NULL, why);
        return v.allow ? EXIT_DONE : EXIT_DENIED;
    }
    printf("%s: %s %s %s\n", v.allow ? "allow" : "deny", user, rules_op_word(op), domain);
    if (row)
        printf("%s:%u: [%s]\n", path, v.line, name);
    printf("because: %s\n", why);
    if (op == OP_SAVE || op == OP_CHECKPOINT)
        printf("note: moat save needs save; moat save -c and -p need checkpoint or save\n");
    return v.allow ? EXIT_DONE : EXIT_DENIED;
}

static void unknown_operation(const char *word)
{
#define OPERATION(NAME, bit, name, doc) ", " name
    static const char words[] = ""
#include "policy/rules/ops.def"
        ;
#undef OPERATION

    cli_error("unknown operation '%s'; allowed: %s", word, words + 2);
}

static int explain(int argc, char **argv)
{
    static const struct option options[] = {
        { "file", required_argument, NULL, 'f' },
        { "json", no_argument, NULL, 'J' },
        { NULL, 0, NULL, 0 },
    };
    const char *path = MOAT_CONF;
    struct rules_peer peer;
    uint32_t op;
    int c, rc;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'f')
            path = optarg;
        else if (c == 'J')
            cli.json = true;
        else
            return cli_usage("policy");
    }
    if (argc - optind != 3)
        return cli_usage("policy");
    op = rules_op_bit(argv[optind + 1]);
    if (!op) {
        unknown_operation(argv[optind + 1]);
        return EXIT_USAGE;
    }
    rc = find_peer(argv[optind], &peer);
    if (rc)
        return rc;
    if (rules_parse(path, &table, &daemon_conf, stderr)) {
        cli_error("%s has mistakes: moatd keeps the rules that it has, nothing to explain", path);
        return EXIT_FAILED;
    }
    return print_decision(path, argv[optind], &peer, op, argv[optind + 2]);
}

int cmd_policy(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "check") == 0)
        return check(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "explain") == 0)
        return explain(argc - 1, argv + 1);
    return cli_usage("policy");
}
