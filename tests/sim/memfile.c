/* SPDX-License-Identifier: LGPL-2.1-only */
/* One frame of a memory file (struct sim_mem). */
#include <errno.h>
#include <sys/mman.h>

#include "tests/sim/hv_sim.h"
#include "tests/sim/sim.h"

int sim_map_frame(int fd, uint64_t frame, void **page)
{
    size_t size = (size_t)SIM_HEAD * SIM_PAGE;
    const struct sim_mem *m = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    const uint8_t *bits = (const uint8_t *)m + SIM_PAGE;
    uint64_t i;
    void *p;
    int r = -EINVAL;

    if (m == MAP_FAILED)
        return -errno;
    if (m->magic != SIM_MAGIC || frame < m->first_frame ||
        (i = frame - m->first_frame) >= m->nr_frames || !(bits[i / 8] >> (i % 8) & 1))
        goto out;
    p = mmap(NULL, SIM_PAGE, PROT_READ, MAP_SHARED, fd, (off_t)((SIM_HEAD + i) * SIM_PAGE));
    r = p == MAP_FAILED ? -errno : 0;
    if (!r)
        *page = p;
out:
    munmap((void *)(uintptr_t)m, size);
    return r;
}
