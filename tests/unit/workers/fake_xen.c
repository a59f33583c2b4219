/* SPDX-License-Identifier: LGPL-2.1-only */
#include "tests/unit/workers/fake_xen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "policy/warden/hv.h"

#define PAGE 4096u

struct hv hv;
struct fake_xen xen;

void fake_xen_reset(void)
{
    static uint8_t arg[4096], bulk[HV_BULK_START];

    if (xen.memory)
        munmap(xen.memory, XEN_PAGES * PAGE);
    memset(&xen, 0, sizeof(xen));
    xen.fail_errno = EIO;
    hv = (struct hv){ arg, bulk, sizeof(bulk) };
    xen.memory = mmap(NULL, XEN_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                      -1, 0);
    if (xen.memory == MAP_FAILED)
        abort();
    for (unsigned i = 0; i < XEN_PAGES; i++)
        fake_xen_write(i, 0);
}

uint8_t fake_xen_byte(unsigned gfn, unsigned n, unsigned at)
{
    return (uint8_t)(gfn * 7 + gfn / 256 + n * 31 + at);
}

void fake_xen_write(unsigned gfn, unsigned n)
{
    for (unsigned i = 0; i < PAGE; i++)
        xen.memory[gfn * PAGE + i] = fake_xen_byte(gfn, n, i);
}

/* ---- domctls */

static void getdomaininfo(struct xen_domctl *d)
{
    struct xen_domctl_getdomaininfo *i = &d->u.getdomaininfo;

    memset(i, 0, sizeof(*i));
    i->domain = d->domain = xen.gone ? XEN_DOMID + 1 : XEN_DOMID;
    i->flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_hap;
    if (xen.suspended)
        i->flags |= XEN_DOMINF_shutdown | SHUTDOWN_suspend << XEN_DOMINF_shutdownshift;
    i->tot_pages = i->max_pages = XEN_PAGES;
    i->nr_online_vcpus = 1;
    i->arch_config.emulation_flags = XEN_X86_EMU_LAPIC;
}

/* Writes n bytes where a handle of the warden points, as Xen does. */
static void copy_out(void *to, uint8_t value, size_t n)
{
    memset(to, value, n);
}

static int cpu_policy(struct xen_domctl_cpu_policy *p)
{
    if (p->nr_leaves < 2 || p->nr_msrs < 1)
        return -ENOBUFS;
    for (uint32_t i = 0; i < 2; i++)
        p->leaves.p[i] = (xen_cpuid_leaf_t){ .leaf = i, .subleaf = XEN_CPUID_NO_SUBLEAF };
    p->msrs.p[0] = (xen_msr_entry_t){ .idx = 0xce };    /* PLATFORM_INFO */
    p->nr_leaves = 2;
    p->nr_msrs = 1;
    return 0;
}

static int pageframeinfo(struct xen_domctl_getpageframeinfo3 *p)
{
    for (uint64_t i = 0; i < p->num; i++)
        p->array.p[i] = p->array.p[i] >= XEN_PAGES || p->array.p[i] == XEN_HOLE
                            ? XEN_DOMCTL_PFINFO_XTAB : XEN_DOMCTL_PFINFO_NOTAB;
    p->num = 0;                             /* Xen counts it down */
    return 0;
}

/* The guest has written since the last round: those pages are dirty, and have changed. */
static void dirty(struct xen_domctl_shadow_op *s)
{
    unsigned first = xen.cleans ? XEN_LAST_DIRTY : XEN_FIRST_DIRTY, n = xen.cleans ? 1 : 100;

    memset(s->dirty_bitmap.p, 0, (s->pages + 7) / 8);
    for (unsigned i = first; i < first + n; i++) {
        s->dirty_bitmap.p[i / 8] |= 1u << i % 8;
        fake_xen_write(i, 1);
    }
    s->stats.dirty_count = n;
    xen.cleans++;
}

static int shadow_op(struct xen_domctl_shadow_op *s)
{
    switch (s->op) {
    case XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY:
        xen.logdirty = true;
        return 0;
    case XEN_DOMCTL_SHADOW_OP_CLEAN:
        if (!xen.logdirty)
            return -EINVAL;
        dirty(s);
        return 0;
    case XEN_DOMCTL_SHADOW_OP_OFF:
        if (!xen.logdirty)
            return -EINVAL;
        xen.logdirty = false;
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

static int domctl(struct xen_domctl *d)
{
    switch (d->cmd) {
    case XEN_DOMCTL_getdomaininfo:
        getdomaininfo(d);
        return 0;
    case XEN_DOMCTL_get_cpu_policy:
        return cpu_policy(&d->u.cpu_policy);
    case XEN_DOMCTL_getpageframeinfo3:
        return pageframeinfo(&d->u.getpageframeinfo3);
    case XEN_DOMCTL_gettscinfo:
        d->u.tsc_info.gtsc_khz = 2000000;
        return 0;
    case XEN_DOMCTL_gethvmcontext:
        if (d->u.hvmcontext.buffer.p)
            copy_out(d->u.hvmcontext.buffer.p, 0xC7, XEN_CONTEXT);
        d->u.hvmcontext.size = XEN_CONTEXT;
        return 0;
    case XEN_DOMCTL_scheduler_op:
        if (d->u.scheduler_op.sched_id != XEN_SCHEDULER_CREDIT2)
            return -EINVAL;
        d->u.scheduler_op.u.credit2.weight = 256;
        return 0;
    case XEN_DOMCTL_shadow_op:
        return shadow_op(&d->u.shadow_op);
    default:
        return -ENOSYS;
    }
}

static int sysctl(struct xen_sysctl *s)
{
    if (s->cmd != XEN_SYSCTL_get_cpu_policy)
        return -ENOSYS;
    s->u.cpu_policy.nr_leaves = 120;
    s->u.cpu_policy.nr_msrs = 2;
    return 0;
}

static long call(unsigned op, const uint64_t args[5])
{
    switch (op) {
    case __HYPERVISOR_domctl:
        return domctl((void *)(uintptr_t)args[0]);
    case __HYPERVISOR_sysctl:
        return sysctl((void *)(uintptr_t)args[0]);
    case __HYPERVISOR_memory_op:
        return args[0] == XENMEM_maximum_gpfn ? XEN_PAGES - 1 : -ENOSYS;
    case __HYPERVISOR_hvm_op:
        ((struct xen_hvm_param *)(uintptr_t)args[1])->value = 0x1000 + 1;
        return 0;
    case __HYPERVISOR_xen_version:
        return 4 << 16 | 17;
    default:
        return -ENOSYS;
    }
}

static bool row_fails(unsigned op, const uint64_t args[5])
{
    const struct hv_rowdef *row = hvrow((uint32_t)xen.fail_row);
    const uint8_t *arg;

    if (!row || row->op != op)
        return false;
    if (row->shape != HV_STRUCT)
        return row->subop == (uint32_t)args[0];
    arg = (const uint8_t *)(uintptr_t)args[0];
    return row->subop == hvrow_field(arg, 0, 4) && hvrow_matches(row, arg);
}

long hv_call(unsigned op, unsigned nargs, const uint64_t args[5])
{
    long ret = row_fails(op, args) ? -xen.fail_errno : call(op, args);

    if (ret < 0) {
        errno = (int)-ret;
        return -1;
    }
    return ret;
}

/* ---- the worker's side: memory by copy, in place of workers/xen/foreignmemory.c */

struct xenforeignmemory_handle {
    int unused;
};

xenforeignmemory_handle *xenforeignmemory_open(xentoollog_logger *logger, unsigned open_flags)
{
    static xenforeignmemory_handle handle;

    return &handle;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    return 0;
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                           const xen_pfn_t arr[], int err[])
{
    uint8_t *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                      0);

    if (p == MAP_FAILED || dom != XEN_DOMID || prot != PROT_READ)
        abort();
    for (size_t i = 0; i < pages; i++) {
        err[i] = arr[i] < XEN_PAGES ? 0 : -EINVAL;
        if (!err[i])
            memcpy(p + i * PAGE, xen.memory + arr[i] * PAGE, PAGE);
    }
    return p;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
    return munmap(addr, pages * PAGE);
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
    xenforeignmemory_handle *fmem, domid_t domid, unsigned int type, unsigned int id,
    unsigned long frame, unsigned long nr_frames, void **paddr, int prot, int flags)
{
    abort();
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                    xenforeignmemory_resource_handle *fres)
{
    abort();
}
