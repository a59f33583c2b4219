/* SPDX-License-Identifier: LGPL-2.1-only */
/* moat audit verify, moat audit show: readers of the log's file; no daemon is needed. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parent/cli/cli.h"
#include "paths.h"
#include "policy/audit/audit.h"
#include "policy/rules/rules.h"

/* The log that moat.conf names; its default if the file cannot be read or is wrong. */
static const char *default_log(void)
{
    static struct rules_daemon d;
    struct rules_table *t = malloc(sizeof(*t));

    if (!t)
        return "/var/log/moat/audit.jsonl";
    rules_parse(MOAT_CONF, t, &d, NULL);
    free(t);
    return d.audit;
}

static int unreadable(const char *path, int err)
{
    cli_error("cannot read %s: %s%s", path, strerror(err),
              err == EACCES || err == EPERM ? "; the audit log is for root and the group moat-audit"
                                            : "");
    return EXIT_FAILED;
}

/* ---- verify */

static void print_report(const char *path, int rc, const struct audit_report *r, bool with_key)
{
    struct json_object *o;

    if (cli.json) {
        o = json_object_new_object();
        json_object_object_add(o, "ok", json_object_new_boolean(rc == 0));
        json_object_object_add(o, "lines", json_object_new_uint64(r->lines));
        json_object_object_add(o, "last_sequence", json_object_new_uint64(r->last_sequence));
        json_object_object_add(o, "with_key", json_object_new_boolean(with_key));
        if (rc)
            json_object_object_add(o, "bad_line", json_object_new_uint64(r->bad_line));
        if (r->why[0])
            json_object_object_add(o, "why", json_object_new_string(r->why));
        printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
        json_object_put(o);
    } else if (rc) {
        printf("%s: line %" PRIu64 " is bad: %s\n", path, r->bad_line, r->why);
    } else {
        printf("%s: %" PRIu64 " lines, the chain holds%s\n", path, r->lines,
               with_key ? ", every MAC fits the key" : " (without --key a log that root made anew "
               "would look the same)");
        if (r->why[0])
            printf("%s: note: %s\n", path, r->why);
    }
}

static int verify(int argc, char **argv)
{
    static const struct option options[] = {
        { "key", required_argument, NULL, 'k' },
        { "json", no_argument, NULL, 'J' },
        { NULL, 0, NULL, 0 },
    };
    struct audit_report report;
    const char *key = NULL, *path;
    int c, rc;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'k')
            key = optarg;
        else if (c == 'J')
            cli.json = true;
        else
            return cli_usage("audit");
    }
    if (argc - optind > 1)
        return cli_usage("audit");
    path = optind < argc ? argv[optind] : default_log();
    rc = audit_verify(path, key, &report);
    if (rc == -EINVAL && key) {
        cli_error("--key wants the 64 hexadecimal digits that were printed when the log was made");
        return EXIT_USAGE;
    }
    if (rc < 0)
        return unreadable(path, -rc);
    print_report(path, rc, &report, key != NULL);
    return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* ---- show */

struct filter {
    bool by_job;
    uint32_t job;
};

static int64_t get_int(struct json_object *o, const char *key, int64_t missing)
{
    struct json_object *v;

    if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int))
        return missing;
    return json_object_get_int64(v);
}

/* A member's text, "" if there is none.  What a terminal could take for a command becomes '?'. */
static const char *get_text(struct json_object *o, const char *key, char *buf, size_t size)
{
    struct json_object *v;

    buf[0] = '\0';
    if (json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string))
        ipc_text(buf, size, json_object_get_string(v));
    return buf;
}

static void number(char *buf, size_t size, int64_t n)
{
    if (n < 0)
        snprintf(buf, size, "-");
    else
        snprintf(buf, size, "%" PRId64, n);
}

/* What a line says beyond its columns. */
static void details(struct json_object *o, const char *what, char *buf, size_t size)
{
    struct json_object *intent = NULL;
    char word[64], asked[80], message[256];

    get_text(o, "message", message, sizeof(message));
    if (strcmp(what, "begin") == 0 || strcmp(what, "denied") == 0) {
        json_object_object_get_ex(o, "intent", &intent);
        snprintf(buf, size, "%s %s (rule line %" PRId64 ")%s%s",
                 get_text(intent, "kind", word, sizeof(word)),
                 get_text(intent, "asked", asked, sizeof(asked)), get_int(o, "rule", 0),
                 message[0] ? ": " : "", message);
    } else if (strcmp(what, "act") == 0) {
        snprintf(buf, size, "%s%s%s", get_text(o, "act", word, sizeof(word)),
                 message[0] ? ": " : "", message);
    } else if (strcmp(what, "end") == 0) {
        snprintf(buf, size, "%s, exit %" PRId64 "%s%s", get_text(o, "cause", word, sizeof(word)),
                 get_int(o, "exit_code", -1), message[0] ? ": " : "", message);
    } else {
        snprintf(buf, size, "%s", message);
    }
}

static void print_row(struct json_object *o)
{
    char time[32], what[16], name[80], job[24], uid[24], domid[24], text[512];

    get_text(o, "time", time, sizeof(time));
    get_text(o, "what", what, sizeof(what));
    get_text(o, "name", name, sizeof(name));
    number(job, sizeof(job), get_int(o, "job", -1));
    number(uid, sizeof(uid), get_int(o, "uid", -1));
    number(domid, sizeof(domid), get_int(o, "domid", -1));
    details(o, what, text, sizeof(text));
    printf("%6" PRId64 " %-24s %-6s %5s %6s %5s %-16s %s\n", get_int(o, "seq", 0), time, what, job,
           uid, domid, name[0] ? name : "-", text);
}

/* The line itself for --json: only what the recorder could have written goes to a terminal. */
static bool printable(const char *line)
{
    for (; *line; line++) {
        if (*line < ' ' || *line > '~')
            return false;
    }
    return true;
}

/* false: the line is not a record. */
static bool show_line(char *line, const struct filter *f)
{
    struct json_object *o = printable(line) ? json_tokener_parse(line) : NULL;
    bool record = o && json_object_is_type(o, json_type_object);

    if (record && (!f->by_job || get_int(o, "job", -1) == f->job)) {
        if (cli.json)
            puts(line);
        else
            print_row(o);
    }
    json_object_put(o);
    return record;
}

static int show_file(const char *path, const struct filter *f)
{
    FILE *in = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    uint64_t n = 0;
    ssize_t len;
    int code = EXIT_DONE;

    if (!in)
        return unreadable(path, errno);
    if (!cli.json)
        printf("%6s %-24s %-6s %5s %6s %5s %-16s %s\n", "SEQ", "TIME", "WHAT", "JOB", "UID", "ID",
               "NAME", "DETAILS");
    while ((len = getline(&line, &size, in)) > 0) {
        n++;
        if (line[len - 1] == '\n')
            line[--len] = '\0';
        if (strlen(line) == (size_t)len && show_line(line, f))
            continue;
        cli_error("%s: line %" PRIu64 " is no record; run moat audit verify", path, n);
        code = EXIT_FAILED;
    }
    if (ferror(in))
        code = unreadable(path, errno);
    free(line);
    fclose(in);
    return code;
}

static int show(int argc, char **argv)
{
    static const struct option options[] = {
        { "job", required_argument, NULL, 'j' },
        { "json", no_argument, NULL, 'J' },
        { NULL, 0, NULL, 0 },
    };
    struct filter f = { .by_job = false };
    char *end;
    unsigned long job;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'j':
            errno = 0;
            job = strtoul(optarg, &end, 10);
            if (errno || optarg[0] < '0' || optarg[0] > '9' || *end || job > UINT32_MAX) {
                cli_error("--job wants a job number, not '%s'", optarg);
                return EXIT_USAGE;
            }
            f.by_job = true;
            f.job = (uint32_t)job;
            break;
        case 'J':
            cli.json = true;
            break;
        default:
            return cli_usage("audit");
        }
    }
    if (argc - optind > 1)
        return cli_usage("audit");
    return show_file(optind < argc ? argv[optind] : default_log(), &f);
}

int cmd_audit(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "verify") == 0)
        return verify(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "show") == 0)
        return show(argc - 1, argv + 1);
    return cli_usage("audit");
}
