/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A hypervisor with one small PVH domain, enough for the unmodified libxenguest to save it, behind
 * the warden's own call_execute(); and memory that the worker maps without privcmd.
 */
#ifndef MOAT_TEST_FAKE_XEN_H
#define MOAT_TEST_FAKE_XEN_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/warden/call.h"

#define XEN_DOMID 5
#define XEN_PAGES 2600          /* not a multiple of libxenguest's batch of 1024 */
#define XEN_HOLE 700            /* no page there */
#define XEN_CONTEXT 20000       /* more than ARENA_MIN: it goes through the arena */
#define XEN_FIRST_DIRTY 100     /* pages 100 to 199 are dirty after the first round */
#define XEN_LAST_DIRTY 2500     /* and this one at the end */

struct fake_xen {
    uint8_t *memory;            /* shared with the worker */
    bool suspended;
    bool logdirty;
    bool gone;                  /* the domid is another domain's */
    unsigned cleans;
    int fail_row;               /* enum hv_row that Xen refuses, */
    int fail_errno;             /* with this; EIO */
};
extern struct fake_xen xen;

void fake_xen_reset(void);

/* What page gfn holds after it was written n times. */
void fake_xen_write(unsigned gfn, unsigned n);
uint8_t fake_xen_byte(unsigned gfn, unsigned n, unsigned at);

#endif
