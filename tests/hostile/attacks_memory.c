/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Attacks through the open file of privcmd.  On the simulated host it is a file of memory, where
 * only the system-call filter and the read-only mode can answer; the kernel's own checks (RESTRICT,
 * MMAPBATCH_V2) answer on the box.
 */
#include "tests/hostile/worker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sys/privcmd.h>

#define PAGE 4096u
#define DC(field) offsetof(struct xen_domctl, u.field)

/* privcmd of the box: does its ioctl mean anything here? */
static bool real_privcmd(void)
{
    privcmd_mmapbatch_v2_t b = {.num = 0, .dom = (domid_t)worker.grant.domid};

    return ioctl(worker.privcmd, IOCTL_PRIVCMD_MMAPBATCH_V2, &b) == 0 || errno != ENOTTY;
}

static int map_batch(unsigned domid, int prot, unsigned long gfn, uint8_t **page)
{
    xen_pfn_t pfn = gfn;
    int err = 0;
    privcmd_mmapbatch_v2_t b = {.num = 1, .dom = (domid_t)domid, .arr = &pfn, .err = &err};
    uint8_t *p = mmap(NULL, PAGE, prot, MAP_SHARED, worker.privcmd, 0);

    if (p == MAP_FAILED)
        return -errno;
    b.addr = (uintptr_t)p;
    if (ioctl(worker.privcmd, IOCTL_PRIVCMD_MMAPBATCH_V2, &b)) {
        int e = errno;

        munmap(p, PAGE);
        return -e;
    }
    if (err) {
        munmap(p, PAGE);
        return err;
    }
    if (page)
        *page = p;
    else
        munmap(p, PAGE);
    return 0;
}

/* Frames that every domain has; 0 and 256 are below 1 MiB. */
static void map_others(long arg)
{
    static const unsigned long gfns[] = {0, 16, 256, 1024, 0x1000};
    const int wanted = real_privcmd() ? -EPERM : -ENOTTY;

    for (unsigned i = 0; i < FOREIGN; i++)
        for (unsigned k = 0; k < 5; k++) {
            int r = map_batch(foreign[i], PROT_READ, gfns[k], NULL);

            if (r != wanted)
                breach("frame %#lx of domain %u: %d", gfns[k], foreign[i], r);
        }
    held("no frame of another domain (%s)", strerrorname_np(-wanted));
}

/* safe to try on a guest: a writable mapping that succeeds is reported, not used */
static void map_writable(long arg)
{
    static const unsigned long gfns[] = {0, 256, 1024};

    for (unsigned k = 0; k < 3; k++) {
        int r = map_batch(worker.grant.domid, PROT_READ | PROT_WRITE, gfns[k], NULL);

        if (r != -EACCES)
            breach("a writable frame %#lx of the own domain: %d", gfns[k], r);
    }
    held("no writable frame");
}

static void protect(long arg)
{
    uint8_t *p = NULL;
    int r = 0;

    if (real_privcmd())
        r = map_batch(worker.grant.domid, PROT_READ, 256, &p);
    else
        p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, worker.privcmd, 0);
    if (r || p == MAP_FAILED)
        breach("an honest mapping: %d", r);
    must_fail(mprotect(p, PAGE, PROT_READ | PROT_WRITE), EACCES, "mprotect");
    held("mprotect");
}

static void ioctl_dm_op(long arg)
{
    /* HVMOP_remote_shutdown, reason crash: what would shut the own domain down */
    struct {
        uint32_t op, pad, reason, zero;
    } op = {.op = 12, .reason = 3};
    privcmd_dm_op_buf_t buf = {.uptr = &op, .size = sizeof(op)};
    privcmd_dm_op_t dm = {.dom = (domid_t)worker.grant.domid, .num = 1, .ubufs = &buf};

    ioctl(worker.privcmd, IOCTL_PRIVCMD_DM_OP, &dm);
    breach("DM_OP came back: %s", strerrorname_np(errno));
}

static void ioctl_resource(long arg)
{
    privcmd_mmap_resource_t r = {.dom = (domid_t)worker.grant.domid, .type = 1, .num = 1};

    ioctl(worker.privcmd, IOCTL_PRIVCMD_MMAP_RESOURCE, &r);
    breach("MMAP_RESOURCE came back: %s", strerrorname_np(errno));
}

static void ioctl_hypercall(long arg)
{
    privcmd_hypercall_t h = {.op = __HYPERVISOR_xen_version};

    ioctl(worker.privcmd, IOCTL_PRIVCMD_HYPERCALL, &h);
    breach("HYPERCALL came back: %s", strerrorname_np(errno));
}

static void ioctl_restrict(long arg)
{
    domid_t domid = 0;

    ioctl(worker.privcmd, IOCTL_PRIVCMD_RESTRICT, &domid);
    breach("RESTRICT came back: %s", strerrorname_np(errno));
}

/* ioctl's second argument is 32 bits for the kernel; a filter that compares 64 must not be fooled,
 * nor one that compares 32. */
static void ioctl_upper(long cmd)
{
    long r = syscall(SYS_ioctl, worker.privcmd, 0x100000000ul | (unsigned long)cmd, 0);

    if (cmd != (long)IOCTL_PRIVCMD_MMAPBATCH_V2)
        breach("ioctl with bits above 32 came back: %s", strerrorname_np(errno));
    must_fail(r, real_privcmd() ? EFAULT : ENOTTY, "MMAPBATCH_V2 with bits above 32");
    held("it is the one that is allowed");
}

/* The first frame that the domain has. */
static unsigned long own_frame(void)
{
    for (unsigned long gfn = 0; gfn < 0x2000; gfn++)
        if (!map_batch(worker.grant.domid, PROT_READ, gfn, NULL))
            return gfn;
    breach("no frame of the own domain can be mapped");
}

/*
 * Keeps mapping and asking for as long as it lives, while the test destroys the domain and makes
 * another one with the same domid.
 */
static void keep_mapping(long arg)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    const bool real = real_privcmd();
    unsigned long gfn = real ? own_frame() : 0;
    uint8_t a[512], handle[16];
    bool first = true;

    for (;;) {
        int r = real ? map_batch(worker.grant.domid, PROT_READ, gfn, NULL) : 0;
        const struct answer *c;

        fill(HV_GETDOMAININFO, a);
        c = call_row(HV_GETDOMAININFO, a);
        /* After the death both fail; an answer about another handle is the successor's. */
        if (!c->ret && !first && memcmp(c->arg + DC(getdomaininfo.handle), handle, 16))
            breach("the answer is about the next domain");
        if (!c->ret)
            memcpy(handle, c->arg + DC(getdomaininfo.handle), 16);
        if (!c->ret && first)
            worker_log(8, "mapping");
        first = false;
        if (r && r != -EPERM && r != -ESRCH && r != -EINVAL && r != -ENOENT && r != -EFAULT)
            breach("mapping: %d", r);
        nanosleep(&pause, NULL);
    }
}

const struct attack attacks_memory[] = {
    {"map-others", map_others, 0, LOCKED | RAW, "worker-failed", NULL,
     "no frame of dom0 or of another domain can be mapped"},
    {"map-writable", map_writable, 0, LOCKED, "signal 31", NULL,
     "no frame of the own domain can be mapped writable (filter)"},
    {"map-writable", map_writable, 0, RAW, "worker-failed", NULL,
     "no frame of the own domain can be mapped writable (read-only file)"},
    {"mprotect", protect, 0, LOCKED, "signal 31", NULL,
     "a mapping cannot be made writable (filter)"},
    {"mprotect", protect, 0, RAW, "worker-failed", NULL,
     "a mapping cannot be made writable (read-only file)"},
    {"dm-op", ioctl_dm_op, 0, LOCKED | RAW, "signal 31", NULL,
     "DM_OP on the own domain is refused"},
    {"mmap-resource", ioctl_resource, 0, LOCKED | RAW, "signal 31", NULL,
     "MMAP_RESOURCE on the own domain is refused"},
    {"hypercall", ioctl_hypercall, 0, LOCKED | RAW, "signal 31", NULL,
     "a hypercall through privcmd is refused"},
    {"restrict", ioctl_restrict, 0, LOCKED | RAW, "signal 31", NULL, "RESTRICT again is refused"},
    {"ioctl-upper-dm-op", ioctl_upper, (long)IOCTL_PRIVCMD_DM_OP, LOCKED | RAW, "signal 31", NULL,
     "bits above 32 do not hide an ioctl"},
    {"ioctl-upper-mmapbatch", ioctl_upper, (long)IOCTL_PRIVCMD_MMAPBATCH_V2, LOCKED,
     "signal 31|worker-failed", NULL, "nor make more of the one that is allowed"},
    {"keep-mapping", keep_mapping, 0, LOCKED, "guest-died", "destroyed",
     "the open file is no way to the domain that gets the domid next"},
    {0},
};
