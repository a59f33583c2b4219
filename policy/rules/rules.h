/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * moat.conf as the warden sees it: a sealed, pointer-free table of fixed-size rows with numeric
 * ids. A short-lived child of the supervisor parses the text and makes the table; the warden checks
 * its bounds and matches.  First matching row wins, no match is a refusal.
 */
#ifndef MOAT_RULES_H
#define MOAT_RULES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define RULES_MAGIC 0x74616f6d   /* "moat" */
#define RULES_VERSION 1
#define RULES_ROWS 2048
#define RULES_PATTERN 64

/* Operations that a rule can name; one bit each in rule_row.ops. policy/rules/ops.def has the
 * words. */
#define OPERATION(NAME, bit, word, doc) OP_##NAME = 1u << (bit),
enum rule_op {
#include "policy/rules/ops.def"
};
#undef OPERATION

enum rule_subject {
    SUBJECT_UID = 1,
    SUBJECT_GID = 2,
};

struct rule_row {
    uint32_t subject;               /* enum rule_subject */
    uint32_t id;                    /* uid or gid */
    uint32_t ops;                   /* OP_* bits */
    uint32_t allow;                 /* 1 = allow, 0 = deny */
    uint32_t line;                  /* of the section in moat.conf */
    char pattern[RULES_PATTERN];    /* domain name with * and ?, NUL-padded */
};

struct rules_limits {
    uint32_t jobs_per_operator;
    uint32_t save_deadline;         /* seconds */
    uint32_t suspend_deadline;      /* seconds, for each half of the handshake */
    uint32_t commit_deadline;       /* seconds */
};

/* Exactly this is in the memfd; every byte that is not used is zero. */
struct rules_table {
    uint32_t magic;
    uint32_t version;
    uint32_t nrows;
    uint32_t pad;
    struct rules_limits limits;
    struct rule_row rows[RULES_ROWS];
};

struct rules_peer {
    uid_t uid;
    gid_t gid;
    uint32_t ngids;                 /* at most 64 are looked at */
    gid_t gids[64];
};

struct rules_verdict {
    bool allow;
    uint32_t line;                  /* 0 = no row matched */
};

/* match.c: used by the warden and by `moat policy explain`; no allocation, no text parsing but the
 * pattern's.  Bounds of a table that somebody else made: */
bool rules_table_ok(const struct rules_table *t);

/*
 * op: one OP_* bit.  OP_CHECKPOINT is covered by rows with checkpoint and by rows that allow save;
 * a row that denies save says nothing about it.  So one call decides a save with -c or -p.
 * name: the domain's name, or NULL for operations without a domain (any pattern matches).
 * uid 65534 and gid 65534 match no rule, whatever the table says.
 */
struct rules_verdict rules_match(const struct rules_table *t, const struct rules_peer *peer,
                                 uint32_t op, const char *name);

/* Whether some row allows this peer any of ops, on whatever domain. */
bool rules_any(const struct rules_table *t, const struct rules_peer *peer, uint32_t ops);

/* Simple pattern: '*' any run, '?' any one character, nothing else is special. */
bool rules_pattern_match(const char *pattern, const char *name);

/* parse.c: moat.conf (inih, getpwnam, getgrnam).  What the rest of the daemon needs of [daemon]. */
struct rules_daemon {
    char socket[108];               /* /run/moat/moat.sock */
    char audit[256];                /* /var/log/moat/audit.jsonl */
};

/*
 * Parses the file into *t and *d.  0, or the number of errors; each error is one line on err:
 * "FILE:LINE: [section] key: what is wrong; what is allowed".
 */
int rules_parse(const char *path, struct rules_table *t, struct rules_daemon *d, FILE *err);

const char *rules_op_word(uint32_t op);     /* NULL if not exactly one known bit */
uint32_t rules_op_bit(const char *word);    /* 0 if unknown */

#endif
