/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A world for the warden: it runs in a child of the test with a hypervisor of a few structs, and the
 * test plays all the other processes.  Everything that happens goes into one ordered log: what the
 * warden asks is logged before it is answered, so an act after its record is an act later in the log.
 */
#ifndef TEST_WORLD_H
#define TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/ipc.h"
#include "policy/rules/rules.h"
#include "policy/warden/undo.h"

#define DOMS 24
#define LOG_MAX 4096
#define LOG_LINE 48

struct fdom {
    bool exists;
    uint32_t domid;
    uint8_t handle[16];
    uint32_t flags;                 /* XEN_DOMINF_*, reason included */
    uint32_t emulation;
    uint32_t max_vcpu_id;
    uint64_t max_gpfn, max_pages;
    bool vnuma, no_pin, no_resume;
    int paused;
    bool logdirty;
    uint64_t eax;                   /* of vcpu 0, at the last set */
    uint64_t irq;
    uint32_t width;
    char name[64];                  /* what the gate says */
    uint32_t facts;
    bool dies;                      /* on XS_UNDO, as if somebody destroyed it just then */
    bool suspends_late;             /* on XS_UNDO of the request, as a guest that had acknowledged */
};

/* Shared between test and warden. */
struct fake {
    struct fdom doms[DOMS];
    int64_t skew_ms;                /* added to CLOCK_MONOTONIC of the warden */
    int pins;
    int calls;
    unsigned nlog;
    char log[LOG_MAX][LOG_LINE];
};
extern struct fake *fake;

struct world {
    struct ipc_chan sup, rec, gate, par, forker;
    pid_t warden;
    int status;                     /* of the warden, after world_wait_exit() */
    struct rules_table *rules;      /* changed before world_start() */
    /* what the warden sent to the parent, last of each */
    bool got_job, got_cancel, got_ok, got_state, got_verdict, got_ended, ready;
    struct msg_JOB job;
    struct msg_CANCEL cancel;
    struct msg_SUSPEND_OK ok;
    struct msg_STATE_IS state;
    struct msg_VERDICT verdict;
    struct msg_ENDED ended;
    uint32_t number;                /* of the last job */
    int op_fd;                      /* the operator's connection, as JOB brought it */
    struct ipc_chan op;             /* the operator's own end of it */
    struct ipc_chan worker;         /* the worker's end of the warden's channel */
    struct msg_GRANT grant;
    bool got_grant;
    unsigned grant_fds;
    pid_t victim;                   /* whose death is the worker's death */
    struct msg_RECORD records[512];
    unsigned nrecords;
    /* how the others behave */
    uint32_t fail_record, fail_act; /* enum record_what, and act for ACT; answered with ENOSPC */
    int config_errnum, spawn_errnum, gate_errnum, grant_errnum, destroy_errnum;
    bool silent_gate, hold_destroy, no_kill, no_finished;
    bool unread;                    /* the guest never takes note of the request: XS_UNDO says so */
};
extern struct world t;

int world_setup(void **state);      /* cmocka: a world with four domains and one rule, not started */
int world_teardown(void **state);
void world_start(void);             /* the warden, until READY (or its exit) */
void world_new_rules(void);         /* t.rules as they are now, as after a reload */
void world_stop(void);              /* kill -9 of the warden */
void world_close(void);             /* end of file on all its channels but nothing else */
void world_wait_exit(void);
void pump(int ms);                  /* answers for that long */
bool pump_until(const bool *flag, int ms);

struct fdom *dom(uint32_t domid);
struct rule_row *rule(uint32_t ops, bool allow, const char *pattern);

/* Where a line with this text is in the log, from `from` on; -1 = nowhere. */
int find(const char *text, int from);
void happened_in_order(const char *const *texts);
void logf_(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
unsigned count(const char *text);
const struct msg_RECORD *record_of(uint32_t what, uint32_t act);

/* operators */
struct ipc_chan op_connect(void);
struct ipc_chan op_connect_as(uid_t uid);
void op_send(const struct ipc_chan *op, uint32_t kind, uint32_t flags, const char *domain,
             uint32_t target, int fd);
/* The next frame; 0 = none in time or end of file. */
uint32_t op_recv(const struct ipc_chan *op, void *msg, int ms);
int file_tmp(void);                 /* an unlinked regular file for writing */

/* a save of domain 5, up to a stage */
void save_begin(uint32_t flags);
void save_run(void);                /* worker's first calls: log-dirty on where live */
void save_suspend(void);            /* the parent's handshake, the guest suspends */
void save_context(void);            /* the worker reads the state, ends log-dirty, FINISHED */
void save_finished(void);
void save_die(void);                /* the worker dies */
void save_outcome(int32_t retval, int32_t status, uint32_t cause);
void save_saved(uint32_t flags);    /* all of these: waits for COMMIT */
void op_commit(void);               /* the operator of the last save confirms it */
int32_t call(uint32_t op, uint32_t row, const void *arg, uint32_t len, const void *data,
             uint32_t dlen);
int32_t call_domctl(uint32_t row, uint32_t cmd, const void *u, size_t len);
void par_send(uint32_t type, uint32_t job, const void *msg);
void world_write_undo(unsigned i, const struct undo_slot *s);
const struct undo_slot *world_read_undo(unsigned i);

#endif
