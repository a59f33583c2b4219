/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The audit log: one JSON line per decision, act and end; each line carries the hash of the one
 * before and a MAC under a key that moves forward with every line and is then erased.
 * The recorder writes, `moat audit verify` reads.
 */
#ifndef MOAT_AUDIT_H
#define MOAT_AUDIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ipc/ipc.h"

#define AUDIT_KEY_SIZE 32
#define AUDIT_HASH_SIZE 32
#define AUDIT_LINE_MAX 8192

/* chain.c: pure functions over the chain's state. */
struct audit_state {
    uint64_t sequence;                  /* of the last line, 0 = empty log */
    uint8_t key[AUDIT_KEY_SIZE];        /* K_n: for the next line */
    uint8_t hash[AUDIT_HASH_SIZE];      /* of the last line */
};

/* An open log: the folder, the file and its state.  One writer: flock on the file. */
struct audit_log {
    int dirfd;
    int fd;
    struct audit_state state;
    char name[64];                      /* file name in the folder */
    char boot_id[40];
};

/*
 * Opens or creates NAME and NAME.state in dirfd (0640, group of the caller).  A half-written last
 * line is cut off only if it is not covered by the state, and a note says so in the log; a log that
 * does not fit its state is refused with a reason in why[128] (the operator must look).
 * new_key: set to K_0 in hex when the log was created, else "".  0 or -errno.
 */
int audit_open(struct audit_log *log, int dirfd, const char *name, char new_key[65], char why[128]);

/* Formats one record as the JSON members between the chain's own fields. Length or -EINVAL. */
int audit_format(const struct msg_RECORD *r, char *buf, size_t size);

/* Appends, fsyncs, replaces the state (temporary name, fsync, rename).  0 or -errno; on error nothing
 * counts as recorded.  *sequence is the line's. */
int audit_append(struct audit_log *log, const struct msg_RECORD *r, uint64_t *sequence);

/* verify.c: the first bad record, if any. */
struct audit_report {
    uint64_t lines;
    uint64_t last_sequence;
    uint64_t bad_line;                  /* 1-based line number of the first bad one, 0 = none */
    char why[256];                      /* what is wrong with it and what that may mean */
};

/*
 * key: K_0 in hex, or NULL: then only the hash chain and the state are checked.
 * 0 = the chain holds, 1 = report->bad_line and why say what does not, -errno = could not read.
 */
int audit_verify(const char *path, const char *key, struct audit_report *report);

#endif
