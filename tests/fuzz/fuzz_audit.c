/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Any bytes as a record: the line is one line of printable JSON that can be taken apart again.
 * Any bytes as a log or a state: judged, never believed.
 */
#include <json-c/json.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "policy/audit/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void record(const uint8_t *data, size_t size)
{
    struct audit_state s = { .sequence = 1 };
    struct msg_RECORD r = { 0 };
    char members[AUDIT_LINE_MAX], line[AUDIT_LINE_MAX];
    struct audit_line l;
    struct json_object *o;
    int len;

    memcpy(&r, data, size < sizeof(r) ? size : sizeof(r));
    r.what = RECORD_BEGIN + r.what % (RECORD_NOTE + 1);
    len = audit_format(&r, members, sizeof(members) - 160);
    if (len < 0) {
        if (r.what >= RECORD_BEGIN && r.what <= RECORD_NOTE)
            abort();
        return;
    }
    len = audit_make_line(&s, members, line, &l);
    if (len <= 0 || line[len - 1] != '\n' || l.sequence != 2)
        abort();
    for (int i = 0; i < len - 1; i++) {
        if (line[i] < ' ' || line[i] > '~')
            abort();
    }
    line[len - 1] = '\0';
    o = json_tokener_parse(line);
    if (!o || !json_object_is_type(o, json_type_object))
        abort();
    json_object_put(o);
}

static void log_file(const uint8_t *data, size_t size)
{
    struct audit_state s = { 0 };
    struct audit_report report;
    uint8_t key[AUDIT_KEY_SIZE] = { 0 };
    FILE *in = fmemopen((void *)(uintptr_t)data, size, "r");

    if (!in)
        return;
    /* nobody gets one line past the check who has no key */
    if (audit_verify_stream(in, size, &s, key, &report) == 0 && report.lines)
        abort();
    rewind(in);
    audit_verify_stream(in, size, NULL, NULL, &report);
    fclose(in);
    audit_get_state(data, size, &s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (sodium_init() < 0)
        abort();
    if (size < 2)
        return 0;
    if (data[0] & 1)
        record(data + 1, size - 1);
    else
        log_file(data + 1, size - 1);
    return 0;
}
