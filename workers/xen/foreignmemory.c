/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * libxenforeignmemory over the open files that the warden restricted: one for the domain, one for
 * DOMID_XEN (PV).  The domid chooses the file; it is the kernel that decides what may be mapped.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include <xenforeignmemory.h>
#include <xen/sys/privcmd.h>

#include "workers/common.h"

#define PAGE 4096ul
#define PAGED_TRIES 10000   /* times 100 us: a page that Xen's pager has to fetch first */

struct xenforeignmemory_handle {
    int unused;
};
static struct xenforeignmemory_handle handle;

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
                                               unsigned open_flags)
{
    return &handle;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    return 0;
}

static int fd_of(uint32_t dom)
{
    if (dom == worker.grant.domid)
        return worker.privcmd;
    if (dom == DOMID_XEN)
        return worker.privcmd_xen;
    return -1;
}

static int batch(int fd, uint32_t dom, void *addr, size_t n, const xen_pfn_t *arr, int *err)
{
    privcmd_mmapbatch_v2_t b = { .num = n, .dom = dom, .addr = (uintptr_t)addr, .arr = arr,
                                 .err = err };

    return ioctl(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &b);
}

/* ENOENT: some page is out, and each has to be asked for again. */
static int map_paged(int fd, uint32_t dom, char *addr, size_t n, const xen_pfn_t *arr, int *err)
{
    const struct timespec pause = { .tv_nsec = 100000 };
    unsigned tries = 0;
    size_t i;
    int r;

    for (i = 0; i < n; i++) {
        while (err[i] == -ENOENT) {
            if (tries++ >= PAGED_TRIES) {
                errno = ENOENT;
                return -1;
            }
            nanosleep(&pause, NULL);
            r = batch(fd, dom, addr + i * PAGE, 1, arr + i, err + i);
            if (r && errno != ENOENT)
                return -1;
        }
    }
    return 0;
}

/* With the caller's err[] single pages may fail; without it all must be there. */
void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                           const xen_pfn_t arr[], int err[])
{
    int fd = fd_of(dom), *errs = err, saved;
    char *addr = NULL;
    size_t i;

    if (fd < 0 || prot & PROT_WRITE || pages == 0 || pages > UINT32_MAX) {
        errno = fd < 0 ? EPERM : prot & PROT_WRITE ? EACCES : EINVAL;
        return NULL;
    }
    if (!errs)
        errs = calloc(pages, sizeof(*errs));
    if (!errs)
        return NULL;
    addr = mmap(NULL, pages * PAGE, prot, MAP_SHARED, fd, 0);
    if (addr == MAP_FAILED) {
        addr = NULL;
        goto out;
    }
    if (batch(fd, dom, addr, pages, arr, errs) &&
        (errno != ENOENT || map_paged(fd, dom, addr, pages, arr, errs)))
        goto fail;
    for (i = 0; !err && i < pages; i++) {
        if (errs[i]) {
            errno = -errs[i];
            goto fail;
        }
    }
    goto out;
fail:
    saved = errno;
    munmap(addr, pages * PAGE);
    errno = saved;
    addr = NULL;
out:
    if (errs != err)
        free(errs);
    return addr;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
    return munmap(addr, pages * PAGE);
}

/* A save maps no resource, and its file could not: the kernel would let it write grant entries. */
xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
    xenforeignmemory_handle *fmem, domid_t domid, unsigned int type, unsigned int id,
    unsigned long frame, unsigned long nr_frames, void **paddr, int prot, int flags)
{
    errno = EPERM;
    return NULL;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                    xenforeignmemory_resource_handle *fres)
{
    errno = EPERM;
    return -1;
}
