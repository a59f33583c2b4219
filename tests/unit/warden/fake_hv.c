/* SPDX-License-Identifier: LGPL-2.1-only */
/* The hypervisor and the devices of the warden's tests. */
#define __XEN_TOOLS__ 1
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xen/memory.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/foreign/x86_32.h>

#include "policy/sandbox/sandbox.h"
#include "policy/warden/hv.h"
#include "tests/unit/warden/world.h"

struct hv hv;

/* The leak check at exit needs system calls that the filter has not. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int r = (int)syscall(SYS_clock_gettime, id, ts);

    if (fake)
        ts->tv_sec += fake->skew_ms / 1000;
    return r;
}

/* The real filter, without what needs another uid: it must leave the warden all that it does. */
int sandbox_lock(enum sandbox_kind kind, int status_fd, uid_t uid, uint64_t caps, char why[128])
{
    logf_("locked");
    return kind == SANDBOX_WARDEN && !caps ? sandbox_seccomp(kind, false, why) : -EINVAL;
}

int hv_open(char why[128])
{
    hv.arg = calloc(1, 4096);
    hv.bulk_size = HV_BULK_START;
    hv.bulk = calloc(1, hv.bulk_size);
    return 0;
}

int hv_reserve(size_t size)
{
    if (size > hv.bulk_size) {
        hv.bulk = realloc(hv.bulk, size);
        hv.bulk_size = size;
    }
    return 0;
}

int hv_privcmd_fd(uint16_t domid)
{
    logf_("privcmd %u", domid);
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int hv_pin(struct hv_pin *pin, uint16_t domid, uint64_t frame)
{
    if (!dom(domid) || dom(domid)->no_pin)
        return -ENOENT;
    logf_("pin %u %llu", domid, (unsigned long long)frame);
    fake->pins++;
    pin->page = pin;
    return 0;
}

void hv_unpin(struct hv_pin *pin)
{
    if (!pin->page)
        return;
    pin->page = NULL;
    fake->pins--;
    logf_("unpin");
}

static int say(int err)
{
    errno = err;
    return -1;
}

static void info(const struct fdom *d, struct xen_domctl_getdomaininfo *x)
{
    memset(x, 0, sizeof(*x));
    x->domain = (domid_t)d->domid;
    x->flags = d->flags | (d->paused ? XEN_DOMINF_paused : 0);
    x->arch_config.emulation_flags = d->emulation;
    x->max_vcpu_id = d->max_vcpu_id;
    x->nr_online_vcpus = d->max_vcpu_id + 1;
    x->tot_pages = x->max_pages = d->max_pages;
    x->shared_info_frame = 1000 + d->domid;
    memcpy(x->handle, d->handle, 16);
}

static int shadow(struct fdom *d, struct xen_domctl *c)
{
    switch (c->u.shadow_op.op) {
    case XEN_DOMCTL_SHADOW_OP_OFF:
        logf_("hv logdirty off %u", d->domid);
        d->logdirty = false;
        return 0;
    case XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY:
        logf_("hv logdirty on %u", d->domid);
        d->logdirty = true;
        return 0;
    }
    return 0;
}

static int context(struct fdom *d, struct xen_domctl *c)
{
    uint8_t *buf = (uint8_t *)c->u.vcpucontext.ctxt.p;

    if (c->cmd == XEN_DOMCTL_getvcpucontext) {
        memset(buf, 0, sizeof(vcpu_guest_context_t));
        return 0;
    }
    d->eax = d->width == 32 ? ((vcpu_guest_context_x86_32_t *)(void *)buf)->user_regs.eax
                            : ((vcpu_guest_context_t *)(void *)buf)->user_regs.rax;
    logf_("hv setvcpucontext %u eax %llu", d->domid, (unsigned long long)d->eax);
    return 0;
}

static int do_domctl(struct xen_domctl *c)
{
    struct fdom *d = NULL;

    for (unsigned i = 0; i < DOMS; i++) {
        struct fdom *e = &fake->doms[i];

        if (e->exists && e->domid >= c->domain && (!d || e->domid < d->domid))
            d = e;      /* as Xen's getdomaininfo does: the next one */
    }
    if (!d || (c->cmd != XEN_DOMCTL_getdomaininfo && d->domid != c->domain))
        return say(ESRCH);
    switch (c->cmd) {
    case XEN_DOMCTL_getdomaininfo:
        info(d, &c->u.getdomaininfo);
        c->domain = (domid_t)d->domid;
        return 0;
    case XEN_DOMCTL_pausedomain:
        logf_("hv pause %u", d->domid);
        d->paused++;
        return 0;
    case XEN_DOMCTL_unpausedomain:
        logf_("hv unpause %u", d->domid);
        d->paused--;
        return 0;
    case XEN_DOMCTL_resumedomain:
        logf_("hv resume %u", d->domid);
        if (d->no_resume)
            return say(EINVAL);
        d->flags &= ~(XEN_DOMINF_shutdown | 0xff0000u);
        return 0;
    case XEN_DOMCTL_shadow_op:
        return shadow(d, c);
    case XEN_DOMCTL_getvcpucontext:
    case XEN_DOMCTL_setvcpucontext:
        return context(d, c);
    case XEN_DOMCTL_get_address_size:
        c->u.address_size.size = d->width;
        return 0;
    case XEN_DOMCTL_gethvmcontext:
        c->u.hvmcontext.size = 64;
        return 0;
    }
    return 0;
}

static int do_sysctl(struct xen_sysctl *c)
{
    xen_domctl_getdomaininfo_t *x;
    uint32_t n = 0;

    if (c->cmd != XEN_SYSCTL_getdomaininfolist)
        return 0;
    x = c->u.getdomaininfolist.buffer.p;
    for (uint32_t id = c->u.getdomaininfolist.first_domain; id < 0x7ff0; id++)
        if (dom(id) && n < c->u.getdomaininfolist.max_domains)
            info(dom(id), &x[n++]);
    c->u.getdomaininfolist.num_domains = n;
    return 0;
}

long hv_call(unsigned op, unsigned nargs, const uint64_t a[5])
{
    struct xen_hvm_param *p;
    uint16_t domid;

    fake->calls++;
    switch (op) {
    case __HYPERVISOR_domctl:
        return do_domctl((void *)(uintptr_t)a[0]);
    case __HYPERVISOR_sysctl:
        return do_sysctl((void *)(uintptr_t)a[0]);
    case __HYPERVISOR_hvm_op:
        p = (void *)(uintptr_t)a[1];
        if (!dom(p->domid))
            return say(ESRCH);
        p->value = p->index == HVM_PARAM_CALLBACK_IRQ ? dom(p->domid)->irq : 77;
        return 0;
    case __HYPERVISOR_memory_op:
        memcpy(&domid, (void *)(uintptr_t)a[1], sizeof(domid));
        if (!dom(domid))
            return say(ESRCH);
        if (a[0] == XENMEM_get_vnumainfo)
            return say(dom(domid)->vnuma ? ENOBUFS : EOPNOTSUPP);
        return a[0] == XENMEM_maximum_gpfn ? (long)dom(domid)->max_gpfn : say(ENOSYS);
    }
    return say(ENOSYS);
}
