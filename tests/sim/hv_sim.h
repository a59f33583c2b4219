/* SPDX-License-Identifier: LGPL-2.1-only */
/* What hv_sim.c and foreignmemory_sim.c share with the tests beside the interfaces they replace. */
#ifndef MOAT_HV_SIM_H
#define MOAT_HV_SIM_H

#include <stddef.h>
#include <stdint.h>

#define SIM_PAGE 4096u

struct sim_host;

/* After hv_open(): the mapped state and the connection, owned by hv_sim.c. */
struct sim_host *hv_sim_host(void);
int hv_sim_sock(void);

/* Maps one frame of a memory file read-only.  0, -EINVAL for a frame that does not exist, -errno. */
int sim_map_frame(int fd, uint64_t frame, void **page);

#endif
