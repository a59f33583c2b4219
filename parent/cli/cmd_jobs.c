/* SPDX-License-Identifier: LGPL-2.1-only */
/* moat jobs, moat cancel, moat resume. */
#include <getopt.h>
#include <json-c/json.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parent/cli/cli.h"

static const char *user_name(uint32_t uid, char buf[16])
{
    struct passwd *pw = getpwuid(uid);

    if (pw)
        return pw->pw_name;
    snprintf(buf, 16, "%u", uid);
    return buf;
}

static void print_row(const struct msg_JOB_ROW *r)
{
    char buf[16];

    printf("%6u %-10s %-32s %5u %-12s %-10s %7us\n", r->job, ipc_kind_word(r->kind), r->name,
           r->domid, user_name(r->uid, buf), ipc_state_word(r->state), r->seconds);
}

static json_object *row_json(const struct msg_JOB_ROW *r)
{
    json_object *o = json_object_new_object();
    char buf[16];

    json_object_object_add(o, "job", json_object_new_int64(r->job));
    json_object_object_add(o, "operation", json_object_new_string(ipc_kind_word(r->kind)));
    json_object_object_add(o, "domain", json_object_new_string(r->name));
    json_object_object_add(o, "domid", json_object_new_int64(r->domid));
    json_object_object_add(o, "operator", json_object_new_string(user_name(r->uid, buf)));
    json_object_object_add(o, "state", json_object_new_string(ipc_state_word(r->state)));
    json_object_object_add(o, "seconds", json_object_new_int64(r->seconds));
    return o;
}

int cmd_jobs(int argc, char **argv)
{
    struct msg_INTENT intent = {.kind = KIND_JOBS};
    union client_message m;
    struct ipc_chan ch = {.fd = -1};
    json_object *array;
    uint32_t type = 0;
    int code;

    if (cli_options_only(argc, argv, "jobs"))
        return EXIT_USAGE;
    if (optind != argc)
        return cli_usage("jobs");
    array = cli.json ? json_object_new_array() : NULL;
    code = client_open(&ch, &intent, -1);
    if (!code && !cli.json)
        printf("%6s %-10s %-32s %5s %-12s %-10s %8s\n", "Job", "Operation", "Domain", "ID",
               "Operator", "State", "Age");
    while (!code && !(code = client_next(&ch, &type, &m)) && type == MSG_JOB_ROW) {
        if (cli.json)
            json_object_array_add(array, row_json(&m.job));
        else
            print_row(&m.job);
    }
    if (!code && (type == MSG_DENIED || m.done.exit_code))
        code = client_end(type, &m);
    else if (!code && cli.json)
        printf("%s\n", json_object_to_json_string_ext(array, JSON_C_TO_STRING_PRETTY));
    json_object_put(array);
    if (ch.fd >= 0)
        close(ch.fd);
    return code;
}

/* One question, one answer. */
static int ask(const struct msg_INTENT *intent)
{
    union client_message m;
    struct ipc_chan ch = {.fd = -1};
    uint32_t type;
    int code = client_open(&ch, intent, -1);

    if (!code)
        code = client_next(&ch, &type, &m);
    if (!code)
        code = client_end(type, &m);
    if (ch.fd >= 0)
        close(ch.fd);
    return code;
}

int cmd_cancel(int argc, char **argv)
{
    struct msg_INTENT intent = {.kind = KIND_CANCEL};
    unsigned long job;
    const char *text;
    char *end;

    if (cli_options_only(argc, argv, "cancel"))
        return EXIT_USAGE;
    if (argc - optind != 1)
        return cli_usage("cancel");
    text = argv[optind];
    job = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || !job || job > UINT32_MAX) {
        cli_error("\"%s\" is no job number; `moat jobs` lists them", text);
        return EXIT_USAGE;
    }
    intent.target = (uint32_t)job;
    return ask(&intent);
}

int cmd_resume(int argc, char **argv)
{
    struct msg_INTENT intent = {.kind = KIND_RESUME};

    if (cli_options_only(argc, argv, "resume"))
        return EXIT_USAGE;
    if (argc - optind != 1)
        return cli_usage("resume");
    if (client_domain(&intent, argv[optind]))
        return EXIT_USAGE;
    return ask(&intent);
}
