/* SPDX-License-Identifier: LGPL-2.1-only */
/* The warden's own hypercalls: the SELF rows of hypercalls.def, and nothing else. */
#define __XEN_TOOLS__ 1
#include "policy/warden/dom.h"

#include <errno.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/foreign/x86_32.h>

#include "policy/warden/call.h"
#include "policy/warden/hv.h"

static struct xen_domctl *domctl(uint32_t domid)
{
    struct xen_domctl *c = (void *)hv.arg;

    memset(hv.arg, 0, HV_ARG_SIZE);
    c->domain = (domid_t)domid;
    return c;
}

static int own(enum hv_row row)
{
    return call_own(row) < 0 ? -errno : 0;
}

static uint32_t guest_type(const struct xen_domctl_getdomaininfo *x)
{
    if (!(x->flags & XEN_DOMINF_hvm_guest))
        return GUEST_PV;
    return x->arch_config.emulation_flags == XEN_X86_EMU_LAPIC ? GUEST_PVH : GUEST_HVM;
}

static void convert(const struct xen_domctl_getdomaininfo *x, struct dom_info *info)
{
    *info = (struct dom_info){
        .id.domid = x->domain,
        .flags = x->flags,
        .guest_type = guest_type(x),
        .dying = x->flags & XEN_DOMINF_dying,
        .shutdown = x->flags & XEN_DOMINF_shutdown,
        .paused = x->flags & XEN_DOMINF_paused,
        .xenstore = x->flags & XEN_DOMINF_xs_domain,
        .reason = (x->flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask,
        .vcpus = x->nr_online_vcpus,
        .max_vcpu_id = x->max_vcpu_id,
        .ssidref = x->ssidref,
        .cpupool = x->cpupool,
        .tot_pages = x->tot_pages,
        .max_pages = x->max_pages,
        .outstanding_pages = x->outstanding_pages,
        .shared_info_frame = x->shared_info_frame,
        .cpu_ns = x->cpu_time,
    };
    memcpy(info->id.handle, x->handle, sizeof(info->id.handle));
}

int dom_info(uint32_t domid, struct dom_info *info)
{
    struct xen_domctl *c;
    int r;

    if (domid >= DOMID_FIRST_RESERVED)
        return -ESRCH;
    c = domctl(domid);
    r = own(HV_GETDOMAININFO);
    if (r)
        return r;
    if (c->u.getdomaininfo.domain != domid)     /* Xen gives the next one when this is gone */
        return -ESRCH;
    convert(&c->u.getdomaininfo, info);
    return 0;
}

int dom_same(const struct dom *d, struct dom_info *info)
{
    int r = dom_info(d->domid, info);

    if (!r && memcmp(info->id.handle, d->handle, sizeof(d->handle)))
        r = -ESRCH;
    return r;
}

int dom_list(uint32_t first, struct dom_info rows[DOM_LIST_MAX])
{
    struct xen_sysctl *c = (void *)hv.arg;
    const struct xen_domctl_getdomaininfo *x = (const void *)hv.bulk;
    uint32_t n;
    int r;

    if (first >= DOMID_FIRST_RESERVED)
        return 0;
    memset(hv.arg, 0, HV_ARG_SIZE);
    c->u.getdomaininfolist.first_domain = (domid_t)first;
    c->u.getdomaininfolist.max_domains = DOM_LIST_MAX;
    set_xen_guest_handle(c->u.getdomaininfolist.buffer, (void *)hv.bulk);
    r = own(HV_GETDOMAININFOLIST);
    if (r)
        return r;
    n = c->u.getdomaininfolist.num_domains;
    if (n > DOM_LIST_MAX)
        return -EPROTO;
    for (uint32_t i = 0; i < n; i++)
        convert(&x[i], &rows[i]);
    return (int)n;
}

static int hvm_param(enum hv_row row, uint32_t domid, uint32_t index, uint64_t *value)
{
    struct xen_hvm_param *p = (void *)hv.arg;
    int r;

    memset(hv.arg, 0, HV_ARG_SIZE);
    p->domid = (domid_t)domid;
    p->index = index;
    r = own(row);
    *value = r ? 0 : p->value;
    return r;
}

int dom_frame(const struct dom_info *info, uint64_t *frame)
{
    if (info->guest_type == GUEST_PV) {
        *frame = info->shared_info_frame;
        return 0;
    }
    return hvm_param(HV_HVM_STORE_PFN, info->id.domid, HVM_PARAM_STORE_PFN, frame);
}

int dom_has_vnuma(uint32_t domid)
{
    struct xen_vnuma_topology_info *v = (void *)hv.arg;
    int r;

    memset(hv.arg, 0, HV_ARG_SIZE);
    v->domid = (domid_t)domid;
    r = own(HV_GET_VNUMAINFO);
    /* With all counts 0 a domain that has vNUMA answers "buffers too small", or says nothing. */
    return r == -EOPNOTSUPP ? 0 : r == -ENOBUFS || r == -EINVAL || !r ? 1 : r;
}

int dom_max_pages(const struct dom_info *info, uint64_t *pages)
{
    domid_t domid = (domid_t)info->id.domid;
    uint64_t n = info->max_pages > info->tot_pages ? info->max_pages : info->tot_pages;
    long r;

    if (info->guest_type == GUEST_PVH) {
        memset(hv.arg, 0, HV_ARG_SIZE);
        memcpy(hv.arg, &domid, sizeof(domid));
        r = call_own(HV_MAXIMUM_GPFN);
        if (r < 0)
            return -errno;
        n = (uint64_t)r;
    }
    *pages = call_max_pages(info->guest_type, n);
    return 0;
}

int dom_width(const struct dom_info *info, uint32_t *width)
{
    struct xen_domctl *c;
    int r;

    *width = 64;
    if (info->guest_type != GUEST_PV)
        return 0;
    c = domctl(info->id.domid);
    r = own(HV_GET_ADDRESS_SIZE);
    if (!r)
        *width = c->u.address_size.size == 32 ? 32 : 64;
    return r;
}

bool dom_suspended(const struct dom_info *info)
{
    return info->shutdown && !info->dying && info->reason == SHUTDOWN_suspend;
}

uint32_t dom_state(const struct dom_info *info, uint32_t *reason)
{
    *reason = 0;
    if (info->dying)
        return DOMAIN_GONE;
    if (!info->shutdown)
        return DOMAIN_RUNNING;
    *reason = info->reason;
    return dom_suspended(info) ? DOMAIN_SUSPENDED : DOMAIN_SHUTDOWN;
}

/* safe if the caller lies, because the handle is compared right before, and Xen cannot give the
 * domid away between the two while the domain is pinned. */
static int act(const struct dom *d, enum hv_row row)
{
    struct dom_info info;
    int r = dom_same(d, &info);

    if (r)
        return r;
    domctl(d->domid);
    return own(row);
}

int dom_pause(const struct dom *d)
{
    return act(d, HV_PAUSE);
}

int dom_unpause(const struct dom *d)
{
    return act(d, HV_UNPAUSE);
}

int dom_logdirty_off(const struct dom *d)
{
    struct dom_info info;
    struct xen_domctl *c;
    int r = dom_same(d, &info);

    if (r)
        return r;
    c = domctl(d->domid);
    c->u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_OFF;
    return own(HV_LOGDIRTY_OFF);
}

/* The guest's suspend call is to return 1: eax of vcpu 0.  The vcpu cannot run meanwhile. */
static int set_returncode(const struct dom_info *info)
{
    struct xen_domctl *c;
    uint64_t irq = 0;
    uint32_t width;
    int r;

    r = dom_width(info, &width);
    if (r)
        return r;
    if (info->guest_type != GUEST_PV) {
        /* Without PV drivers there is no call that returns. */
        r = hvm_param(HV_HVM_CALLBACK_IRQ, info->id.domid, HVM_PARAM_CALLBACK_IRQ, &irq);
        if (r || !irq)
            return r;
    }
    memset(hv.bulk, 0, sizeof(vcpu_guest_context_t));
    c = domctl(info->id.domid);
    set_xen_guest_handle(c->u.vcpucontext.ctxt, (void *)hv.bulk);
    r = own(HV_GETVCPUCONTEXT);
    if (r)
        return r;
    if (width == 32)
        ((vcpu_guest_context_x86_32_t *)(void *)hv.bulk)->user_regs.eax = 1;
    else
        ((vcpu_guest_context_t *)(void *)hv.bulk)->user_regs.rax = 1;
    c = domctl(info->id.domid);
    set_xen_guest_handle(c->u.vcpucontext.ctxt, (void *)hv.bulk);
    return own(HV_SETVCPUCONTEXT);
}

/* safe if the caller lies, because only a domain that Xen says is suspended is resumed. */
int dom_resume(const struct dom *d)
{
    struct dom_info info;
    int r = dom_same(d, &info);

    if (r)
        return r;
    if (!dom_suspended(&info))
        return -EINVAL;
    r = set_returncode(&info);
    if (r)
        return r;
    return act(d, HV_RESUME);
}
