/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Prints what is made from messages.def: with no argument the tables of PROTOCOL.md, with "--dict"
 * the fuzzers' dictionary.
 */
#include <stdio.h>
#include <string.h>

#include "ipc/codec.h"

static const char *const ends[] = {"operator", "warden", "parent", "forker", "supervisor",
                                   "recorder", "gate", "worker"};
static const char *const phases[] = {"open", "run", "suspending", "suspended", "saved", "closed"};

static void bits(uint32_t set, const char *const *words, unsigned n)
{
    const char *sep = "";

    for (unsigned i = 0; i < n; i++)
        if (set & 1u << i) {
            printf("%s%s", sep, words[i]);
            sep = ", ";
        }
}

static void field(const struct ipc_field *f)
{
    static const char *const types[] = {"", "u8", "u16", "u32", "u64", "i32",
                                        "text", "raw", "str", "bytes"};

    printf("| `%s` | %s", f->name, types[f->type]);
    if (f->type >= FIELD_TEXT)
        printf("%s%u", f->type >= FIELD_STR ? " <= " : " ", f->size);
    printf(" | %s |\n", f->doc);
}

static void table(const struct ipc_message *m)
{
    printf("\n### 0x%04x %s\n\n", m->type, m->name);
    bits(m->from, ends, 8);
    printf(" -> ");
    bits(m->to, ends, 8);
    printf("; phase: ");
    if (m->phases == PH_ANY)
        printf("any");
    else
        bits(m->phases, phases, 6);
    if (m->min_fds == m->max_fds)
        printf("; fds: %u\n", m->max_fds);
    else
        printf("; fds: %u to %u\n", m->min_fds, m->max_fds);
    printf("\n%s.\n", m->doc);
    if (m->fields->type == FIELD_END)
        return;
    printf("\n| field | type | meaning |\n| --- | --- | --- |\n");
    for (const struct ipc_field *f = m->fields; f->type != FIELD_END; f++)
        field(f);
}

int main(int argc, char **argv)
{
    unsigned n;
    const struct ipc_message *m = ipc_messages(&n);

    for (unsigned i = 0; i < n; i++)
        if (argc > 1 && !strcmp(argv[1], "--dict"))
            printf("%s=\"\\x%02x\\x%02x\"\n", m[i].name, m[i].type & 0xff, m[i].type >> 8);
        else
            table(&m[i]);
    return 0;
}
