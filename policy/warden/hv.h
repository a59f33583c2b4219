/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The warden's way to the hypervisor and to its private device nodes.  hv_xen.c is the real one
 * (libxencall); tests/sim/hv_sim.c answers from a simulated host.  Nothing here decides anything.
 */
#ifndef MOAT_HV_H
#define MOAT_HV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HV_ARG_SIZE 512             /* argument structs */
#define HV_BULK_START (256u << 10)  /* nested buffers at start: 2 Mi pages of dirty bitmap */
#define HV_BULK_MAX (16u << 20)     /* and at most */

/*
 * Two hypercall-safe buffers that live as long as the process: the warden is single-threaded and
 * executes one hypercall at a time.  `bulk` may move when it grows.
 */
struct hv {
    uint8_t *arg;
    uint8_t *bulk;
    size_t bulk_size;
};
extern struct hv hv;

/* Opens the private nodes and makes the buffers.  0 or -errno. */
int hv_open(char why[128]);

/* Makes bulk at least this large; only between jobs' acts, never while a call is prepared.
 * 0/-errno */
int hv_reserve(size_t size);

/* Executes; pointers inside hv.arg and hv.bulk are used as they are.  >= 0, or -1 with errno
 * (EAGAIN, EINTR and ERESTART are retried here, at most 1000 times). */
long hv_call(unsigned op, unsigned nargs, const uint64_t args[5]);

/* A new open file of privcmd that the kernel has restricted to this domid, read-only.
 * fd or -errno */
int hv_privcmd_fd(uint16_t domid);

/*
 * Keeps the domid from being used for another domain: maps one page of it read-only.
 * frame: shared_info_frame for PV, any populated gfn for the others.  A pin that fails is an error.
 */
struct hv_pin {
    void *page;                     /* NULL = not pinned */
};
int hv_pin(struct hv_pin *pin, uint16_t domid, uint64_t frame);
void hv_unpin(struct hv_pin *pin);

#endif
