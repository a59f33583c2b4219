/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The hostile worker: installed in place of libexec/moat/save.  The domain's configuration, which
 * the test writes as root, says which attack it performs: "attack": "NAME" and "mode": "MODE".
 * Without an attack it is the honest save worker, so that honest jobs can run beside hostile ones.
 *
 * An attack ends in one of these ways, and the table says which one is right:
 *  - killed by a sandbox (a system call that is not allowed);
 *  - the warden or the parent ends the job;
 *  - held(): all of it was refused; COMPLETE says so, and that the job has failed;
 *  - breach(): something worked that must not; COMPLETE says what.
 */
#ifndef MOAT_HOSTILE_WORKER_H
#define MOAT_HOSTILE_WORKER_H

#include <stdint.h>
#include <stdnoreturn.h>

#include "policy/warden/hvrow.h"
#include "workers/common.h"

enum mode {
    LOCKED = 1 << 0,    /* a worker taken over by its guest: after the lock, HELLO and START */
    RAW = 1 << 1,       /* a replaced program that says HELLO without locking itself */
    EARLY = 1 << 2,     /* the same before HELLO */
};

struct attack {
    const char *name;
    void (*run)(long arg);
    long arg;
    unsigned modes;         /* enum mode */
    const char *expect;     /* "cause" or "cause/refusal" in the audit log's end, see worker.t */
    const char *options;    /* of moat save */
    const char *promise;
};

/* Tables end with a NULL name. */
extern const struct attack attacks_calls[], attacks_frames[], attacks_system[], attacks_memory[],
    attacks_image[];

extern enum mode mode;
extern unsigned foreign[8];     /* domids that are not ours */
#define FOREIGN 8
extern int spare_arena;         /* the arena's fd, writable; only in RAW and EARLY */

noreturn void held(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
noreturn void breach(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* breach() unless the call has failed with this errno (0 = with any). */
void must_fail(long r, int errnum, const char *what);

/* Says HELLO and waits for START, without having locked itself. */
void say_hello(void);

/* ---- hypercalls by message */

struct answer {
    int ret, errnum;
    uint32_t arg_len, data_len;
    uint8_t arg[512];
    uint8_t data[61440];
};

/* One CALL and its answer; a job that was ended meanwhile never comes back. */
const struct answer *call(uint32_t op, uint32_t row, const void *arg, uint32_t len,
                          const void *data, uint32_t data_len);
/* The answer is the warden's refusal: EPERM and no struct. */
bool refused(const struct answer *a);
/* A struct for this row with the right head and, where it has handles, counts of 1. */
uint32_t fill(uint32_t row, uint8_t arg[512]);
void put(uint8_t *arg, size_t at, unsigned width, uint64_t value);
/* As fill() and call(), with zeroes for IN buffers. */
const struct answer *call_row(uint32_t row, const uint8_t *arg);

/* Asks the parent to have the guest suspended. */
void suspend_guest(void);
/* Every row that a save reads after the suspend. */
void closing_rows(void);

/* ---- frames */

/* Raw bytes as one packet; errno or 0. */
int send_bytes(int fd, const void *buf, size_t len);
/* A frame with this header whatever the definition says. */
int send_frame_raw(int fd, uint32_t length, uint16_t type, uint16_t fds, uint32_t job,
                   const void *payload, size_t len);
/* Waits to be killed; gives up after a minute. */
noreturn void wait_for_end(void);

#endif
