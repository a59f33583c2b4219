/* SPDX-License-Identifier: LGPL-2.1-only */
/* The real hypervisor: libxencall over the warden's private device nodes. */
#include "policy/warden/hv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xencall.h>
#include <xen/xen.h>
#include <xen/sys/privcmd.h>

#include "policy/warden/call.h"

#define PAGE 4096u
#define PRIVCMD "/dev/xen/privcmd"
#define RETRIES 1000
#ifndef ERESTART
#define ERESTART 85
#endif

struct hv hv;
static xencall_handle *xcall;

static int fail(char why[128], const char *what)
{
    int err = errno ? errno : EIO;

    snprintf(why, 128, "%s: %s", what, strerror(err));
    return -err;
}

int hv_open(char why[128])
{
    why[0] = 0;
    xcall = xencall_open(NULL, XENCALL_OPENFLAG_NON_REENTRANT);
    if (!xcall)
        return fail(why, "cannot open " PRIVCMD);
    hv.arg = xencall_alloc_buffer_pages(xcall, 1);
    if (!hv.arg)
        return fail(why, "no hypercall buffer");
    memset(hv.arg, 0, PAGE);
    if (hv_reserve(HV_BULK_START))
        return fail(why, "no hypercall buffer");
    return hv_check_version(why);
}

int hv_reserve(size_t size)
{
    size_t pages = (size + PAGE - 1) / PAGE;
    uint8_t *bulk;

    if (size <= hv.bulk_size)
        return 0;
    if (size > HV_BULK_MAX)
        return -E2BIG;
    bulk = xencall_alloc_buffer_pages(xcall, pages);
    if (!bulk)
        return errno ? -errno : -ENOMEM;
    if (hv.bulk)
        xencall_free_buffer_pages(xcall, hv.bulk, hv.bulk_size / PAGE);
    hv.bulk = bulk;
    hv.bulk_size = pages * PAGE;
    return 0;
}

static long call_once(unsigned op, unsigned nargs, const uint64_t a[5])
{
    switch (nargs) {
    case 0:
        return xencall0(xcall, op);
    case 1:
        return xencall1(xcall, op, a[0]);
    case 2:
        return xencall2L(xcall, op, a[0], a[1]);    /* memory_op's results are longs */
    case 3:
        return xencall3(xcall, op, a[0], a[1], a[2]);
    case 4:
        return xencall4(xcall, op, a[0], a[1], a[2], a[3]);
    default:
        return xencall5(xcall, op, a[0], a[1], a[2], a[3], a[4]);
    }
}

long hv_call(unsigned op, unsigned nargs, const uint64_t args[5])
{
    unsigned tries;
    long ret = -1;

    for (tries = 0; tries < RETRIES; tries++) {
        ret = call_once(op, nargs, args);
        if (ret >= 0)
            return ret;
        if (errno != EAGAIN && errno != EINTR && errno != ERESTART)
            break;
    }
    return -1;
}

/*
 * A file of its own, because RESTRICT belongs to the open file.  Safe if its holder lies, because
 * the kernel lets a restricted file map this domid's memory only, and one that is open for reading
 * maps it for reading only; that the domid stays this domain's is the pin's business.
 */
int hv_privcmd_fd(uint16_t domid)
{
    domid_t dom = domid;
    int fd, err;

    fd = open(PRIVCMD, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ioctl(fd, IOCTL_PRIVCMD_RESTRICT, &dom)) {
        err = errno;
        close(fd);
        return -err;
    }
    return fd;
}

int hv_pin(struct hv_pin *pin, uint16_t domid, uint64_t frame)
{
    xen_pfn_t gfn = frame;
    int err = 0, fd, rc;
    privcmd_mmapbatch_v2_t batch = { .num = 1, .dom = domid, .arr = &gfn, .err = &err };
    void *page;

    pin->page = NULL;
    fd = hv_privcmd_fd(domid);
    if (fd < 0)
        return fd;
    page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        rc = -errno;
        goto out;
    }
    batch.addr = (uintptr_t)page;
    rc = ioctl(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch) ? -errno : err;
    if (rc) {
        munmap(page, PAGE);
        goto out;
    }
    pin->page = page;   /* the mapping keeps the open file */
out:
    close(fd);
    return rc;
}

void hv_unpin(struct hv_pin *pin)
{
    if (pin->page)
        munmap(pin->page, PAGE);
    pin->page = NULL;
}
