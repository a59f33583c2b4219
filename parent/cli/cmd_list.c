/* SPDX-License-Identifier: LGPL-2.1-only */
/* moat list: xl's table of the domains that the operator may see. */
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parent/cli/cli.h"

/* xen/include/public/domctl.h: XEN_DOMINF_* and the shutdown reason above them */
#define DYING 0x01u
#define SHUTDOWN 0x04u
#define PAUSED 0x08u
#define BLOCKED 0x10u
#define RUNNING 0x20u
#define REASON(flags) ((flags) >> 16 & 0xff)

#define ROWS_MAX 32752      /* DOMID_FIRST_RESERVED */

static const char *type_word(uint32_t type)
{
    return type == GUEST_PVH ? "pvh" : type == GUEST_PV ? "pv" : type == GUEST_HVM ? "hvm" : "?";
}

static void state_letters(uint32_t flags, char s[7])
{
    /* poweroff, reboot, suspend, crash, watchdog, soft reset */
    static const char reasons[] = "-rscwS";
    uint32_t reason = REASON(flags);

    s[0] = flags & RUNNING ? 'r' : '-';
    s[1] = flags & BLOCKED ? 'b' : '-';
    s[2] = flags & PAUSED ? 'p' : '-';
    s[3] = flags & SHUTDOWN ? 's' : '-';
    s[4] = !(flags & SHUTDOWN) ? '-' : reason < sizeof(reasons) - 1 ? reasons[reason] : '?';
    s[5] = flags & DYING ? 'd' : '-';
    s[6] = 0;
}

static void print_row(const struct msg_DOMAIN_ROW *r)
{
    char state[7], uuid[37];

    state_letters(r->flags, state);
    printf("%-40s %5u %5" PRIu64 " %5u     %s  %8.1f", r->name[0] ? r->name : "(null)", r->domid,
           r->memory_kb / 1024, r->vcpus, state, (double)r->cpu_ns / 1e9);
    if (cli.verbose) {
        client_uuid(r->handle, uuid);
        printf(" %s %-4s", uuid, type_word(r->guest_type));
    }
    putchar('\n');
}

static json_object *row_json(const struct msg_DOMAIN_ROW *r)
{
    json_object *o = json_object_new_object();
    char state[7], uuid[37];

    state_letters(r->flags, state);
    client_uuid(r->handle, uuid);
    json_object_object_add(o, "domid", json_object_new_int64(r->domid));
    json_object_object_add(o, "name", r->name[0] ? json_object_new_string(r->name) : NULL);
    json_object_object_add(o, "uuid", json_object_new_string(uuid));
    json_object_object_add(o, "type", json_object_new_string(type_word(r->guest_type)));
    json_object_object_add(o, "memory_kb", json_object_new_uint64(r->memory_kb));
    json_object_object_add(o, "max_memory_kb", json_object_new_uint64(r->max_memory_kb));
    json_object_object_add(o, "vcpus", json_object_new_int64(r->vcpus));
    json_object_object_add(o, "state", json_object_new_string(state));
    json_object_object_add(o, "cpu_time_ns", json_object_new_uint64(r->cpu_ns));
    json_object_object_add(o, "cpupool", json_object_new_int64(r->cpupool));
    return o;
}

/* The rows, in domid order; *n of them.  0, or an exit code after a message. */
static int fetch(struct msg_DOMAIN_ROW **rows, size_t *n)
{
    struct msg_INTENT intent = {.kind = KIND_LIST};
    union client_message m;
    struct ipc_chan ch;
    size_t room = 0;
    uint32_t type;
    int code = client_open(&ch, &intent, -1);

    *rows = NULL;
    *n = 0;
    while (!code) {
        code = client_next(&ch, &type, &m);
        if (code || type == MSG_DENIED || type == MSG_DONE)
            break;
        if (type != MSG_DOMAIN_ROW || *n == ROWS_MAX)
            continue;
        if (*n == room) {
            void *p = realloc(*rows, (room = room ? 2 * room : 64) * sizeof(**rows));

            if (!p) {
                cli_error("no memory for the list");
                code = EXIT_FAILED;
                break;
            }
            *rows = p;
        }
        (*rows)[(*n)++] = m.domain;
    }
    if (!code && (type == MSG_DENIED || m.done.exit_code))
        code = client_end(type, &m);
    if (ch.fd >= 0)
        close(ch.fd);
    return code;
}

static bool is_it(const struct msg_DOMAIN_ROW *r, const char *wanted)
{
    char *end;
    unsigned long domid = strtoul(wanted, &end, 10);

    if (*wanted >= '0' && *wanted <= '9' && !*end)
        return r->domid == domid;
    return !strcmp(r->name, wanted);
}

static bool wanted_row(const struct msg_DOMAIN_ROW *r, char **names)
{
    if (!*names)
        return true;
    for (; *names; names++)
        if (is_it(r, *names))
            return true;
    return false;
}

static int missing(const struct msg_DOMAIN_ROW *rows, size_t n, char **names)
{
    int code = EXIT_DONE;

    for (; *names; names++) {
        size_t i = 0;

        while (i < n && !is_it(&rows[i], *names))
            i++;
        if (i == n) {
            cli_error("no domain \"%s\" among those that you may list", *names);
            code = EXIT_FAILED;
        }
    }
    return code;
}

int cmd_list(int argc, char **argv)
{
    static const struct option options[] = {{"long", no_argument, NULL, 'l'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"json", no_argument, NULL, 'l'}, {NULL, 0, NULL, 0}};
    struct msg_DOMAIN_ROW *rows;
    json_object *array = NULL;
    size_t n;
    int c, code;

    while ((c = getopt_long(argc, argv, "lv", options, NULL)) != -1) {
        if (c == 'l')
            cli.json = true;
        else if (c == 'v')
            cli.verbose++;
        else
            return cli_usage("list");
    }
    code = fetch(&rows, &n);
    if (code)
        goto out;
    if (cli.json)
        array = json_object_new_array();
    else
        printf("Name                                        ID   Mem VCPUs\tState\tTime(s)%s\n",
               cli.verbose ? "   UUID                            Type" : "");
    for (size_t i = 0; i < n; i++) {
        if (!wanted_row(&rows[i], argv + optind))
            continue;
        if (cli.json)
            json_object_array_add(array, row_json(&rows[i]));
        else
            print_row(&rows[i]);
    }
    if (cli.json)
        printf("%s\n", json_object_to_json_string_ext(array, JSON_C_TO_STRING_PRETTY |
                                                                 JSON_C_TO_STRING_NOSLASHESCAPE));
    code = missing(rows, n, argv + optind);
out:
    json_object_put(array);
    free(rows);
    return code;
}
