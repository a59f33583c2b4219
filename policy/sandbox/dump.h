/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The readable form of a filter, one line per BPF instruction.  mkpolicy writes the golden files
 * with it and a test prints the filter that is compiled in: both are the same text, or a change of
 * the sandbox shows in review.
 */
#ifndef MOAT_SANDBOX_DUMP_H
#define MOAT_SANDBOX_DUMP_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>

/* Words for a word of struct seccomp_data. */
static inline void dump_load(FILE *f, unsigned off)
{
    const unsigned args = offsetof(struct seccomp_data, args);

    if (off == offsetof(struct seccomp_data, nr))
        fprintf(f, "load nr");
    else if (off == offsetof(struct seccomp_data, arch))
        fprintf(f, "load arch");
    else if (off >= args)
        fprintf(f, "load arg%u.%s", (off - args) / 8, (off - args) % 8 ? "high" : "low");
    else
        fprintf(f, "load [%u]", off);
}

static inline void dump_return(FILE *f, unsigned k)
{
    switch (k & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
        fprintf(f, "ALLOW");
        break;
    case SECCOMP_RET_KILL_PROCESS:
        fprintf(f, "KILL PROCESS");
        break;
    case SECCOMP_RET_ERRNO:
        fprintf(f, "ERRNO %u", k & SECCOMP_RET_DATA);
        break;
    case SECCOMP_RET_TRAP:
        fprintf(f, "TRAP");
        break;
    case SECCOMP_RET_LOG:
        fprintf(f, "LOG");
        break;
    default:
        fprintf(f, "return 0x%08x", k);
    }
}

/* name: the system call's name for a comparison with its number, or NULL. */
static inline void sandbox_dump(FILE *f, const struct sock_filter *code, unsigned n,
                                const char *(*name)(unsigned nr))
{
    unsigned loaded = ~0u;

    for (unsigned i = 0; i < n; i++) {
        const struct sock_filter *c = &code[i];
        const char *call = NULL;

        fprintf(f, "%4u: ", i);
        switch (c->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            dump_load(f, c->k);
            loaded = c->k;
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            fprintf(f, "and 0x%x", c->k);
            break;
        case BPF_JMP | BPF_JA:
            fprintf(f, "goto %u", i + 1 + c->k);
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
        case BPF_JMP | BPF_JGE | BPF_K:
        case BPF_JMP | BPF_JGT | BPF_K:
            fprintf(f, "if %s 0x%x then %u else %u",
                    BPF_OP(c->code) == BPF_JEQ ? "==" : BPF_OP(c->code) == BPF_JGE ? ">=" : ">",
                    c->k, i + 1 + c->jt, i + 1 + c->jf);
            if (BPF_OP(c->code) == BPF_JEQ && loaded == offsetof(struct seccomp_data, nr))
                call = name(c->k);
            if (call)
                fprintf(f, "    ; %s", call);
            break;
        case BPF_RET | BPF_K:
            dump_return(f, c->k);
            break;
        default:
            fprintf(f, "code 0x%04x jt %u jf %u k 0x%x", c->code, c->jt, c->jf, c->k);
        }
        fputc('\n', f);
    }
}

#endif
