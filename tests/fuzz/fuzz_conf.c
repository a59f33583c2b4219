/* SPDX-License-Identifier: LGPL-2.1-only */
/* Any bytes as moat.conf: errors or a table that the warden takes, never anything else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rules_table table;
    static struct rules_daemon d;
    struct rules_peer peer = { .uid = 0, .gid = 0, .ngids = 1, .gids = { 1 } };
    FILE *in = size ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
    char name[64];

    if (!in)
        return 0;
    if (rules_parse_stream(in, "fuzz", &table, &d, NULL) == 0) {
        if (!rules_table_ok(&table) || d.socket[0] != '/' || d.audit[0] != '/')
            abort();
        snprintf(name, sizeof(name), "%.*s", (int)(size < 63 ? size : 63), (const char *)data);
        for (uint32_t bit = 0; bit < 8; bit++) {
            struct rules_verdict v = rules_match(&table, &peer, 1u << bit, name);

            if (v.allow && !v.line)
                abort();
        }
    }
    /* the table itself is another process's word, too */
    if (size >= 16) {
        memcpy(&table, data, size < sizeof(table) ? size : sizeof(table));
        if (rules_table_ok(&table) && table.nrows > RULES_ROWS)
            abort();
    }
    fclose(in);
    return 0;
}
