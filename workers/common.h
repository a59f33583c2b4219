/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What every worker has: two channels, what the warden granted, and the lock.  A worker is one
 * process for one operation on one domain; it holds nothing that is not in this struct.
 */
#ifndef MOAT_WORKERS_COMMON_H
#define MOAT_WORKERS_COMMON_H

#include <stddef.h>
#include <stdint.h>

#include "ipc/ipc.h"
#include "policy/sandbox/sandbox.h"

struct worker {
    struct ipc_chan parent;         /* FD_WORKER_PARENT, blocks */
    struct ipc_chan warden;         /* FD_WORKER_WARDEN, blocks */
    uint32_t job;                   /* from GRANT's header */
    struct msg_GRANT grant;
    struct msg_START start;         /* after worker_start() */
    int file;                       /* where the image goes, -1 = none */
    int config;                     /* the domain's configuration, read-only */
    int privcmd;                    /* restricted to the domain */
    int privcmd_xen;                /* restricted to DOMID_XEN, -1 for all but PV */
    const uint8_t *arena;           /* read-only mapping of what the warden writes */
};
extern struct worker worker;        /* the process's only one */

/*
 * Receives GRANT, locks the process, says HELLO and waits for START.  0; or -errno and why: then
 * the parent has been told with COMPLETE, if that was possible, and the worker has only to exit.
 */
int worker_start(enum sandbox_kind kind, char why[128]);

/* GRANT and what came with it into `worker`.  0 or -errno and why.  Part of worker_start(). */
int worker_take_grant(struct ipc_frame *frame, char why[128]);

/* Sends to the parent.  When the parent is gone the worker has nothing to do: it exits. */
void worker_tell(uint32_t type, const void *msg);

/* Waits for one message of this type from the channel; anything else ends the process: a worker
 * whose peer does not keep the protocol cannot know what it is doing. */
void worker_await(struct ipc_chan *ch, uint32_t type, void *msg);

/* The last messages: FINISHED to the warden on success, then COMPLETE to the parent.  message may
 * be NULL; bytes is the size of the image. */
void worker_complete(int retval, int errnum, uint64_t bytes, const char *message);

/* Logging for the library's calls: WORKER_LOG messages. */
void worker_log(unsigned level, const char *text);

#endif
