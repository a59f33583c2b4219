/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A worker's hypercall: checked by the table, executed on the warden's own buffers.
 * Nothing here allocates.  One call at a time: hv.arg and hv.bulk are used.
 */
#ifndef MOAT_CALL_H
#define MOAT_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "ipc/ipc.h"
#include "policy/warden/hvrow.h"

/* Part of the warden's job; zero it, then set what is marked. */
struct call_ctx {
    uint16_t domid;                 /* set: the pinned domain */
    uint8_t guest;                  /* set: enum guest_type */
    uint8_t job;                    /* set: HV_JOB_COLD or HV_JOB_LIVE */
    uint8_t phase;                  /* set: HV_BEFORE; HV_AFTER once the warden saw the suspend,
                                     * HV_BEFORE again once it resumed the domain */
    uint8_t *arena;                 /* set: the warden's own mapping of the job's arena */
    size_t arena_size;              /* set: call_arena_size() */
    struct hv_limits limits;        /* set max_pages and max_vcpu_id */
    uint32_t saw;                   /* SAW_* bits, added to */
    uint32_t executed[HV_ROWS_MAX]; /* per enum hv_row */
    uint32_t refused[64];           /* per enum refusal */

    /*
     * Set: called before a row with HV_ACTS is executed, to make the record durable and to set the
     * undo bit.  0, or -errno: then nothing is executed and the worker gets this errno.
     */
    int (*before)(struct call_ctx *ctx, enum hv_row row);
    void *user;                     /* before()'s */
};

/*
 * Executes one CALL of a worker, or refuses it.  0: executed, *out is the answer, also when Xen
 * said no.  -1: refused, counted in ctx->refused, *why says for what; *out is an answer with EPERM
 * (or before()'s errno) that may be sent.  REFUSED_FRAME means that the message contradicts itself:
 * end the worker.  out->arg and out->data point into hv.arg and hv.bulk: send before the next call.
 */
int call_execute(struct call_ctx *ctx, const struct msg_CALL *in, struct msg_CALLED *out,
                 enum refusal *why);

/*
 * One of the warden's own acts: hv.arg holds the struct with domid and addresses set; cmd and
 * interface version are put in from the row.  As hv_call(); -1 with EPERM for a row that is not
 * the warden's.
 */
long call_own(enum hv_row row);

/*
 * Does the running Xen speak the domctl and sysctl versions that the table was compiled with?
 * 0; -EACCES: no, why names both numbers; other -errno: Xen does not let us ask.  hv_open() of the
 * real hypervisor calls it; nothing else needs to.
 */
int hv_check_version(char why[128]);

/* max_pages of a domain: max_gpfn + 1 for PVH (pass MAXIMUM_GPFN's answer).  A PV guest chooses the
 * size of its p2m itself: pass its max_pages of getdomaininfo; the result allows for a guest that
 * was ballooned down to an eighth, and in any case for what the smallest buffer holds (8 GiB). */
uint64_t call_max_pages(enum guest_type guest, uint64_t pages);

/* Bytes that hv.bulk and the arena need for a domain: dirty bitmap, vcpu state; a multiple of 4 KiB
 * from HV_BULK_START to HV_BULK_MAX.  0: the domain is too large to be saved. */
size_t call_arena_size(uint64_t max_pages, uint32_t max_vcpu_id);

#endif
