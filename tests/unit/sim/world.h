/* SPDX-License-Identifier: LGPL-2.1-only */
/* A simulated host for each test program: started in a child, left by hv_open()'s connection. */
#ifndef MOAT_UNIT_SIM_WORLD_H
#define MOAT_UNIT_SIM_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/warden/hv.h"
#include "tests/sim/hv_sim.h"
#include "tests/sim/sim.h"

#define PVH 1u
#define PV 2u

/* Group set-up and tear-down: web (1, PVH, 16 MiB) and db1 (2, PV, 16 MiB, 2 vcpus). */
int world_start(void **state);
int world_stop(void **state);

/* One line to the host; 0 or -errno.  reply may be NULL. */
int ctl(char *reply, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Waits until `state DOMID` contains the text, at most 5 s. */
bool wait_state(unsigned domid, const char *text);

/* A domctl in hv.arg: version, cmd and domid set, the rest zero. */
struct xen_domctl *domctl(uint32_t cmd, uint16_t domid);
/* Executes what domctl() prepared: result, or -errno. */
long run(void);

#endif
