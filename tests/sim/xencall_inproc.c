/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * libxencall for a process that is its own hypervisor: the reference without any separation, for
 * bench_inproc and the checks that the simulation satisfies the unmodified libxenguest.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include <xentoollog.h>
#include <xencall.h>
#include <xendevicemodel.h>

#include "policy/warden/hv.h"
#include "tests/sim/hv_sim.h"

struct xencall_handle {
    int unused;
};
struct xendevicemodel_handle {
    int unused;
};

xencall_handle *xencall_open(xentoollog_logger *logger, unsigned open_flags)
{
    static xencall_handle handle;

    return &handle;
}

int xencall_close(xencall_handle *xcall)
{
    return 0;
}

static int call(unsigned int op, unsigned nargs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const uint64_t args[5] = { a, b, c, d, 0 };

    return (int)hv_call(op, nargs, args);
}

int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg1)
{
    return call(op, 1, arg1, 0, 0, 0);
}

int xencall2(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
    return call(op, 2, arg1, arg2, 0, 0);
}

int xencall3(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3)
{
    return call(op, 3, arg1, arg2, arg3, 0);
}

int xencall4(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4)
{
    return call(op, 4, arg1, arg2, arg3, arg4);
}

void *xencall_alloc_buffer_pages(xencall_handle *xcall, size_t nr_pages)
{
    void *p = mmap(NULL, nr_pages * SIM_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

void xencall_free_buffer_pages(xencall_handle *xcall, void *p, size_t nr_pages)
{
    if (p)
        munmap(p, nr_pages * SIM_PAGE);
}

void *xencall_alloc_buffer(xencall_handle *xcall, size_t size)
{
    return calloc(1, size);
}

void xencall_free_buffer(xencall_handle *xcall, void *p)
{
    free(p);
}

int xencall_buffers_never_fault(xencall_handle *xcall)
{
    return 1;
}

xendevicemodel_handle *xendevicemodel_open(xentoollog_logger *logger, unsigned int open_flags)
{
    static xendevicemodel_handle handle;

    return &handle;
}

int xendevicemodel_close(xendevicemodel_handle *dmod)
{
    return 0;
}
