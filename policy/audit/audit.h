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

/* An open log: the folder, the file and its state.  One writer: flock on the state. */
struct audit_log {
    int dirfd;                          /* the caller's */
    int fd;
    int state_fd;
    uint64_t size;                      /* of the log: end of the last line */
    bool broken;                        /* the files' state is not known any more: open again */
    struct audit_state state;
    char name[64];                      /* file name in the folder */
    char boot_id[40];                   /* set by the caller before audit_open(), or "" */
};

/*
 * Opens or creates NAME (0640, group of the caller) and NAME.state (0600) in dirfd.  A half-written
 * last line is cut off only if it is not covered by the state, and one whole line that the state
 * does not cover yet is adopted if its MAC is right (both: a crash while writing); a note in the
 * log says so.  A log that does not fit its state is refused with a reason in why[128] (the
 * operator must look).  Call sodium_init() before, and close with audit_close(). new_key: set to
 * K_0 in hex while the log has no line, else "".  0 or -errno.
 */
int audit_open(struct audit_log *log, int dirfd, const char *name, char new_key[65], char why[128]);

/* Formats one record as the JSON members between the chain's own fields. Length or -EINVAL. */
int audit_format(const struct msg_RECORD *r, char *buf, size_t size);

/*
 * Appends, fsyncs, then replaces the state: the new one goes to the other slot of the state file
 * and is synced, then the old one is overwritten.  Needs no path and no heap, so that a locked
 * process can do it.  0 or -errno; on error nothing counts as recorded (the line is taken back;
 * where that fails too, log->broken is set and only a new audit_open() helps).  *sequence is the
 * line's.
 */
int audit_append(struct audit_log *log, const struct msg_RECORD *r, uint64_t *sequence);

/* Closes the files and erases the key. */
void audit_close(struct audit_log *log);

/* verify.c: the first bad record, if any. */
struct audit_report {
    uint64_t lines;
    uint64_t last_sequence;
    uint64_t bad_line;                  /* 1-based line number of the first bad one, 0 = none;
                                         * a line that is missing at the end counts as bad */
    char why[256];                      /* what is wrong with it and what that may mean; if the
                                         * chain holds: what could not be checked, or "" */
};

/*
 * key: K_0 in hex, or NULL: then only the hash chain and the state are checked.
 * 0 = the chain holds, 1 = report->bad_line and why say what does not, -errno = could not read.
 */
int audit_verify(const char *path, const char *key, struct audit_report *report);

#endif
