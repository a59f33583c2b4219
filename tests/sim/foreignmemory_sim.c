/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Replaces workers/xen/foreignmemory.c: the "privcmd" that the warden hands over is a memory file
 * (struct sim_mem), of which frames are mapped read-only, in contiguous runs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "tests/sim/hv_sim.h"
#include "tests/sim/sim.h"
#include "workers/common.h"

struct xenforeignmemory_handle {
    int unused;
};

/* Header and bitmap of the domain's file and of DOMID_XEN's. */
static const struct sim_mem *heads[2];

/* The file of this domid and its mapped header.  fd or -1 with errno. */
static int view_of(uint32_t dom, const struct sim_mem **m)
{
    unsigned i = dom == DOMID_XEN;
    int fd = i ? worker.privcmd_xen : dom == worker.grant.domid ? worker.privcmd : -1;
    void *p;

    if (fd < 0) {
        errno = EPERM;
        return -1;
    }
    if (!heads[i]) {
        p = mmap(NULL, (size_t)SIM_HEAD * SIM_PAGE, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            return -1;
        heads[i] = p;
    }
    *m = heads[i];
    if ((*m)->magic != SIM_MAGIC) {
        errno = EBADF;
        return -1;
    }
    return fd;
}

xenforeignmemory_handle *xenforeignmemory_open(xentoollog_logger *logger, unsigned open_flags)
{
    static xenforeignmemory_handle handle;

    return &handle;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    return 0;
}

/* The index of a frame in the file, or -1 if the domain does not have it. */
static int64_t frame_index(const struct sim_mem *m, xen_pfn_t frame)
{
    const uint8_t *bits = (const uint8_t *)m + SIM_PAGE;
    uint64_t i = frame - m->first_frame;

    if (frame < m->first_frame || i >= m->nr_frames || !(bits[i / 8] >> (i % 8) & 1))
        return -1;
    return (int64_t)i;
}

/* Maps as many pages as lie together from arr[at] on; how many it did, or -errno. */
static long map_run(int fd, const struct sim_mem *m, uint8_t *to, size_t pages, size_t at,
                    const xen_pfn_t *arr, int *err)
{
    int64_t first = frame_index(m, arr[at]);
    size_t n = 1;

    err[at] = first < 0 ? -EINVAL : 0;
    if (first < 0)
        return 1;
    while (at + n < pages && frame_index(m, arr[at + n]) == first + (int64_t)n)
        err[at + n++] = 0;
    if (mmap(to + at * SIM_PAGE, n * SIM_PAGE, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
             fd, (off_t)((SIM_HEAD + (uint64_t)first) * SIM_PAGE)) == MAP_FAILED)
        return -errno;
    return (long)n;
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                           const xen_pfn_t arr[], int err[])
{
    int *errors = err ? err : calloc(pages ? pages : 1, sizeof(*errors));
    const struct sim_mem *m = NULL;
    uint8_t *to = NULL;
    size_t at = 0;
    long n = 0;
    int fd = -1;

    if (!errors || !pages || prot != PROT_READ)
        errno = !errors ? ENOMEM : !pages ? EINVAL : EACCES;
    else
        fd = view_of(dom, &m);
    if (fd < 0)
        goto out;
    to = mmap(NULL, pages * SIM_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (to == MAP_FAILED) {
        to = NULL;
        goto out;
    }
    while (at < pages) {
        n = map_run(fd, m, to, pages, at, arr, errors);
        if (n < 0)
            break;
        at += (size_t)n;
        /* Without room for err[] one missing page is the failure of all, as in the library. */
        if (!err && errors[at - 1]) {
            n = errors[at - 1];
            break;
        }
    }
    if (n < 0) {
        munmap(to, pages * SIM_PAGE);
        to = NULL;
        errno = (int)-n;
    }
out:
    if (errors != err)
        free(errors);
    return to;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
    return munmap(addr, pages * SIM_PAGE);
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
    xenforeignmemory_handle *fmem, domid_t domid, unsigned int type, unsigned int id,
    unsigned long frame, unsigned long nr_frames, void **paddr, int prot, int flags)
{
    errno = EOPNOTSUPP;
    return NULL;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                    xenforeignmemory_resource_handle *fres)
{
    errno = EOPNOTSUPP;
    return -1;
}
