/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The simulated hypervisor's domctls, answered as Xen 4.17 answers domain 0.  Only what a toolstack
 * that lists, saves, pauses and resumes uses; everything else is ENOSYS, as an unknown domctl is.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "tests/sim/sim.h"

#define XSAVE_HEADER 16

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void sim_getdomaininfo(const struct sim_domain *d, xen_domctl_getdomaininfo_t *info)
{
    uint32_t shutdown = atomic_load(&d->shutdown);
    uint64_t age = now_ns() - d->born_ns;

    memset(info, 0, sizeof(*info));
    info->domain = (domid_t)d->domid;
    if (d->type != SIM_PV)
        info->flags |= XEN_DOMINF_hvm_guest | XEN_DOMINF_hap;
    if (atomic_load(&d->life) == SIM_DYING)
        info->flags |= XEN_DOMINF_dying;
    if (atomic_load(&d->pauses))
        info->flags |= XEN_DOMINF_paused;
    if (shutdown)
        info->flags |= XEN_DOMINF_shutdown | (shutdown - 1) << XEN_DOMINF_shutdownshift;
    info->flags |= d->domid ? XEN_DOMINF_blocked : XEN_DOMINF_running;
    info->tot_pages = d->tot_pages;
    info->max_pages = d->max_pages;
    info->shared_info_frame = d->shared_info_frame;
    info->cpu_time = age / 64;
    info->nr_online_vcpus = d->nr_vcpus;
    info->max_vcpu_id = d->nr_vcpus - 1;
    memcpy(info->handle, d->handle, sizeof(info->handle));
    info->gpaddr_bits = d->type == SIM_PV ? 48 : 40;
    if (d->type == SIM_PVH)
        info->arch_config.emulation_flags = XEN_X86_EMU_LAPIC;
    else if (d->type == SIM_HVM)
        info->arch_config.emulation_flags = XEN_X86_EMU_ALL;
}

/* Xen gives the next higher domain when this one does not exist: callers must compare. */
static long getdomaininfo(struct sim_host *h, struct xen_domctl *c)
{
    struct sim_domain *best = NULL;

    if (c->domain >= DOMID_FIRST_RESERVED)
        return -EINVAL;
    for (unsigned i = 0; i < SIM_DOMAINS; i++) {
        struct sim_domain *d = &h->domains[i];

        if (atomic_load(&d->life) == SIM_FREE || d->domid < c->domain)
            continue;
        if (!best || d->domid < best->domid)
            best = d;
    }
    if (!best)
        return -ESRCH;
    sim_getdomaininfo(best, &c->u.getdomaininfo);
    c->domain = c->u.getdomaininfo.domain;
    return 0;
}

/* Reads the log-dirty bitmap; CLEAN also clears it.  Bits beyond the domain's memory are zero. */
static long logdirty_bitmap(struct sim_domain *d, struct xen_domctl_shadow_op *s)
{
    bool clean = s->op == XEN_DOMCTL_SHADOW_OP_CLEAN;
    size_t bytes;
    uint8_t *out = s->dirty_bitmap.p;

    if (s->mode & ~(uint32_t)XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL)
        return -EINVAL;
    if (s->pages > (uint64_t)1 << 32)
        return -EINVAL;
    bytes = (size_t)(s->pages + 7) / 8;
    s->stats.fault_count = 0;
    s->stats.dirty_count = atomic_load(&d->dirty_count);
    if (out && !sim_usable(out, bytes))
        return -EFAULT;
    if (clean)
        atomic_store(&d->dirty_count, 0);
    for (size_t i = 0; i < bytes; i += 8) {
        size_t w = i / 8, n = bytes - i < 8 ? bytes - i : 8;
        uint64_t bits = 0;

        if (w < SIM_GFNS / 64)
            bits = clean ? atomic_exchange(&d->dirty[w], 0) : atomic_load(&d->dirty[w]);
        if (out)
            memcpy(out + i, &bits, n);
    }
    return 0;
}

static long shadow_op(struct sim_domain *d, struct xen_domctl_shadow_op *s, struct sim_call *call)
{
    call->detail = s->op;
    if (d->domid == 0)
        return -EINVAL;
    if (atomic_load(&d->life) == SIM_DYING)
        return 0;   /* "Ignoring paging op on dying domain" */

    switch (s->op) {
    case XEN_DOMCTL_SHADOW_OP_OFF:
        atomic_store(&d->logdirty, 0);
        for (size_t w = 0; w < SIM_GFNS / 64; w++)
            atomic_store_explicit(&d->dirty[w], 0, memory_order_relaxed);
        return 0;
    case XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY:
        if (atomic_load(&d->logdirty))
            return -EINVAL;
        atomic_store(&d->dirty_count, 0);
        atomic_store(&d->logdirty, 1);
        return 0;
    case XEN_DOMCTL_SHADOW_OP_CLEAN:
    case XEN_DOMCTL_SHADOW_OP_PEEK:
        return logdirty_bitmap(d, s);
    case XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION:
        s->mb = 1;
        return 0;
    default:
        return -EINVAL;
    }
}

static uint64_t page_type(const struct sim_domain *d, uint64_t frame)
{
    uint64_t gfn;

    if (frame < d->first_frame || frame - d->first_frame >= d->nr_frames)
        return XEN_DOMCTL_PFINFO_XTAB;
    gfn = frame - d->first_frame;
    if (!(d->populated[gfn / 64] >> (gfn % 64) & 1) || frame == d->shared_info_frame)
        return XEN_DOMCTL_PFINFO_XTAB;
    return d->type == SIM_PV ? (uint64_t)d->types[gfn] << XEN_DOMCTL_PFINFO_LTAB_SHIFT : 0;
}

static long getpageframeinfo3(const struct sim_domain *d, struct xen_domctl_getpageframeinfo3 *g,
                              struct sim_call *call)
{
    uint64_t *array = (uint64_t *)g->array.p;

    call->detail = (uint32_t)g->num;
    if (g->num > 1024)
        return -E2BIG;
    if (!sim_usable(array, g->num * sizeof(*array)))
        return -EFAULT;
    for (unsigned i = 0; i < g->num; i++)
        array[i] = page_type(d, array[i]);
    return 0;
}

/* Which leaves a policy has, and how many subleaves: libxenctrl refuses others. */
static const struct {
    uint32_t first, last, subleaves;
} leaves[] = {
    { 0, 3, 0 }, { 4, 4, 3 }, { 5, 6, 0 }, { 7, 7, 2 }, { 8, 0xa, 0 }, { 0xb, 0xb, 2 },
    { 0xc, 0xc, 0 }, { 0xd, 0xd, 3 }, { 0x40000000, 0x40000000, 0 }, { 0x40000100, 0x40000100, 0 },
    { 0x80000000, 0x8000001c, 0 },
};

static uint32_t fill_leaves(xen_cpuid_leaf_t *out)
{
    uint32_t n = 0;

    for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
        for (uint32_t leaf = leaves[i].first; leaf <= leaves[i].last; leaf++) {
            uint32_t sub = 0;

            do {
                out[n] = (xen_cpuid_leaf_t){
                    .leaf = leaf, .subleaf = leaves[i].subleaves ? sub : XEN_CPUID_INPUT_UNUSED,
                    .a = 0x1000u + n, .b = 0x68747541, .c = n * 3, .d = n * 7,
                };
                n++;
            } while (++sub < leaves[i].subleaves);
        }
    return n;
}

static long get_cpu_policy(struct xen_domctl_cpu_policy *p)
{
    if (p->nr_leaves < SIM_LEAVES || p->nr_msrs < SIM_CPU_MSRS)
        return -ENOBUFS;
    if (!sim_usable(p->leaves.p, SIM_LEAVES * sizeof(xen_cpuid_leaf_t)) ||
        !sim_usable(p->msrs.p, SIM_CPU_MSRS * sizeof(xen_msr_entry_t)))
        return -EFAULT;
    p->nr_leaves = fill_leaves(p->leaves.p);
    p->msrs.p[0] = (xen_msr_entry_t){ .idx = 0x000000ce, .val = 0x80000000 };
    p->msrs.p[1] = (xen_msr_entry_t){ .idx = 0x0000010a, .val = 0x69 };
    p->nr_msrs = SIM_CPU_MSRS;
    return 0;
}

static long gethvmcontext(const struct sim_domain *d, struct xen_domctl_hvmcontext *c)
{
    if (d->type == SIM_PV)
        return -EINVAL;
    if (!c->buffer.p) {
        c->size = d->context_size;
        return 0;
    }
    if (c->size < d->context_size)
        return -ENOSPC;
    if (!sim_usable(c->buffer.p, d->context_size))
        return -EFAULT;
    memcpy(c->buffer.p, d->context, d->context_size);
    c->size = d->context_size;
    return 0;
}

static struct sim_vcpu *vcpu_of(struct sim_domain *d, uint32_t vcpu, struct sim_call *call)
{
    call->detail = vcpu;
    return vcpu < d->nr_vcpus ? &d->vcpus[vcpu] : NULL;
}

static long vcpucontext(struct sim_domain *d, struct xen_domctl *c, struct sim_call *call)
{
    struct xen_domctl_vcpucontext *x = &c->u.vcpucontext;
    struct sim_vcpu *v = vcpu_of(d, x->vcpu, call);

    if (!v)
        return x->vcpu < SIM_VCPUS ? -ESRCH : -EINVAL;
    if (d->domid == 0)
        return -EINVAL;     /* the caller's own vcpu */
    if (!sim_usable(x->ctxt.p, sizeof(v->context)))
        return -EFAULT;
    if (c->cmd == XEN_DOMCTL_getvcpucontext)
        memcpy(x->ctxt.p, &v->context, sizeof(v->context));
    else
        memcpy(&v->context, x->ctxt.p, sizeof(v->context));
    return 0;
}

static long getvcpuinfo(struct sim_domain *d, struct xen_domctl_getvcpuinfo *g,
                        struct sim_call *call)
{
    struct sim_vcpu *v = vcpu_of(d, g->vcpu, call);

    if (!v)
        return g->vcpu < SIM_VCPUS ? -ESRCH : -EINVAL;
    g->online = v->online;
    g->blocked = !atomic_load(&d->shutdown);
    g->running = 0;
    g->cpu_time = (now_ns() - d->born_ns) / 64;
    g->cpu = 0;
    return 0;
}

static long getvcpuextstate(struct sim_domain *d, struct xen_domctl_vcpuextstate *x,
                            struct sim_call *call)
{
    struct sim_vcpu *v = vcpu_of(d, x->vcpu, call);

    if (!v)
        return x->vcpu < SIM_VCPUS ? -ESRCH : -EINVAL;
    if (!x->size && !x->xfeature_mask) {
        x->xfeature_mask = v->xfeatures;
        x->size = v->xsave_size;
        return 0;
    }
    if (x->size != v->xsave_size || x->xfeature_mask != v->xfeatures || x->size < XSAVE_HEADER)
        return -EINVAL;
    if (!sim_usable(x->buffer.p, v->xsave_size))
        return -EFAULT;
    memcpy(x->buffer.p, v->xsave, v->xsave_size);
    return 0;
}

static long get_vcpu_msrs(struct sim_domain *d, struct xen_domctl_vcpu_msrs *m,
                          struct sim_call *call)
{
    struct sim_vcpu *v = vcpu_of(d, m->vcpu, call);

    if (!v)
        return -EINVAL;
    if (!m->msrs.p) {
        m->msr_count = SIM_MSRS_MAX;
        return 0;
    }
    if (m->msr_count < v->nr_msrs)
        return -ENOBUFS;
    if (!sim_usable(m->msrs.p, v->nr_msrs * sizeof(v->msrs[0])))
        return -EFAULT;
    memcpy(m->msrs.p, v->msrs, v->nr_msrs * sizeof(v->msrs[0]));
    m->msr_count = v->nr_msrs;
    return 0;
}

static long resumedomain(struct sim_domain *d)
{
    if (d->domid == 0)
        return -EINVAL;
    atomic_store(&d->shutdown, 0);
    atomic_fetch_add(&d->resumes, 1);
    return 0;
}

static long unpause(struct sim_domain *d)
{
    uint32_t n = atomic_load(&d->pauses);

    if (d->domid == 0)
        return -EINVAL;
    do {
        if (n == 0)
            return -EINVAL;
    } while (!atomic_compare_exchange_weak(&d->pauses, &n, n - 1));
    return 0;
}

static long scheduler_op(const struct sim_domain *d, struct xen_domctl_scheduler_op *s)
{
    if (s->sched_id != XEN_SCHEDULER_CREDIT2)
        return -EINVAL;
    if (s->cmd != XEN_DOMCTL_SCHEDOP_getinfo)
        return -EOPNOTSUPP;
    s->u.credit2.weight = d->weight;
    s->u.credit2.cap = d->cap;
    return 0;
}

static long ext_vcpucontext(struct sim_domain *d, struct xen_domctl_ext_vcpucontext *x,
                            struct sim_call *call)
{
    struct sim_vcpu *v = vcpu_of(d, x->vcpu, call);

    if (!v)
        return x->vcpu < SIM_VCPUS ? -ESRCH : -EINVAL;
    *x = v->ext;
    x->vcpu = call->detail;
    x->size = sizeof(*x);
    return 0;
}

static long gettscinfo(const struct sim_domain *d, struct xen_domctl_tsc_info *t)
{
    if (d->domid == 0)
        return -EINVAL;
    t->tsc_mode = d->tsc_mode;
    t->gtsc_khz = d->tsc_khz;
    t->incarnation = 0;
    t->elapsed_nsec = now_ns() - d->born_ns;
    return 0;
}

long sim_domctl(struct sim_host *h, struct xen_domctl *c, struct sim_call *call)
{
    struct sim_domain *d;

    if (c->interface_version != h->domctl_version)
        return -EACCES;
    if (c->cmd == XEN_DOMCTL_getdomaininfo)
        return getdomaininfo(h, c);
    d = sim_find(h, c->domain);
    if (!d)
        return -ESRCH;

    switch (c->cmd) {
    case XEN_DOMCTL_pausedomain:
        if (d->domid == 0)
            return -EINVAL;
        atomic_fetch_add(&d->pauses, 1);
        return 0;
    case XEN_DOMCTL_unpausedomain:
        return unpause(d);
    case XEN_DOMCTL_resumedomain:
        return resumedomain(d);
    case XEN_DOMCTL_shadow_op:
        return shadow_op(d, &c->u.shadow_op, call);
    case XEN_DOMCTL_getpageframeinfo3:
        return getpageframeinfo3(d, &c->u.getpageframeinfo3, call);
    case XEN_DOMCTL_get_cpu_policy:
        return get_cpu_policy(&c->u.cpu_policy);
    case XEN_DOMCTL_gettscinfo:
        return gettscinfo(d, &c->u.tsc_info);
    case XEN_DOMCTL_gethvmcontext:
        return gethvmcontext(d, &c->u.hvmcontext);
    case XEN_DOMCTL_get_address_size:
        c->u.address_size.size = 64;
        return 0;
    case XEN_DOMCTL_getvcpuinfo:
        return getvcpuinfo(d, &c->u.getvcpuinfo, call);
    case XEN_DOMCTL_getvcpucontext:
    case XEN_DOMCTL_setvcpucontext:
        return vcpucontext(d, c, call);
    case XEN_DOMCTL_get_ext_vcpucontext:
        return ext_vcpucontext(d, &c->u.ext_vcpucontext, call);
    case XEN_DOMCTL_getvcpuextstate:
        return getvcpuextstate(d, &c->u.vcpuextstate, call);
    case XEN_DOMCTL_get_vcpu_msrs:
        return get_vcpu_msrs(d, &c->u.vcpu_msrs, call);
    case XEN_DOMCTL_scheduler_op:
        return scheduler_op(d, &c->u.scheduler_op);
    default:
        return -ENOSYS;
    }
}
