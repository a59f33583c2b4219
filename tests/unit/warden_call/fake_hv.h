/* SPDX-License-Identifier: LGPL-2.1-only */
/* A hypervisor that writes down what it was asked and answers what the test says. */
#ifndef MOAT_TEST_FAKE_HV_H
#define MOAT_TEST_FAKE_HV_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/warden/call.h"
#include "policy/warden/hv.h"

#define DOMID 7

struct fake_hv {
    unsigned calls;
    unsigned op;
    unsigned nargs;
    uint64_t args[5];
    uint8_t arg[HV_ARG_SIZE];               /* the struct as Xen would copy it in */
    long ret;                               /* -1: errnum */
    int errnum;
    void (*answer)(uint8_t *arg);           /* what Xen writes into the struct; may be NULL */
    uint32_t domctl_version, sysctl_version; /* what this hypervisor speaks */
};
extern struct fake_hv fake;

void fake_reset(void);

/* A job and a call of this row that must pass: LIVE if the row allows it, its first guest type and
 * phase.  Buffers have one element (or the row's fixed size). */
struct good {
    struct call_ctx ctx;
    uint8_t arg[HV_ARG_SIZE];
    uint8_t data[65536];
    struct msg_CALL in;
};
void good_call(struct good *g, enum hv_row row);

/* Recomputes in.data.len after a count was changed. */
void good_data(struct good *g);

void put_field(uint8_t *arg, unsigned at, unsigned width, uint64_t value);

/* Executes g->in: 0 or -1 as call_execute(). */
int run(struct good *g, struct msg_CALLED *out, enum refusal *why);

/* Asserts that it is refused for this reason, with EPERM, and never reaches the hypervisor. */
void assert_refused(struct good *g, enum refusal why);

#endif
