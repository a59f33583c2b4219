/* SPDX-License-Identifier: LGPL-2.1-only */
/* The simulated hypervisor's entry and all that is not a domctl; see sim.h. */
#include <errno.h>
#include <string.h>

#include "tests/sim/sim.h"

#define OPS 64

bool (*sim_access_ok)(const void *p, size_t len);

bool sim_usable(const void *p, size_t len)
{
    if (!p)
        return len == 0;
    return !sim_access_ok || sim_access_ok(p, len);
}

struct sim_domain *sim_find(struct sim_host *h, uint32_t domid)
{
    for (unsigned i = 0; i < SIM_DOMAINS; i++) {
        struct sim_domain *d = &h->domains[i];

        if (d->domid == domid && atomic_load(&d->life) != SIM_FREE)
            return d;
    }
    return NULL;
}

static long domaininfolist(struct sim_host *h, struct xen_sysctl_getdomaininfolist *l)
{
    xen_domctl_getdomaininfo_t *out = l->buffer.p;
    uint32_t n = 0, next = l->first_domain;

    if (!sim_usable(out, (size_t)l->max_domains * sizeof(*out)))
        return -EFAULT;
    while (n < l->max_domains) {
        struct sim_domain *best = NULL;

        for (unsigned i = 0; i < SIM_DOMAINS; i++) {
            struct sim_domain *d = &h->domains[i];

            if (atomic_load(&d->life) != SIM_FREE && d->domid >= next &&
                (!best || d->domid < best->domid))
                best = d;
        }
        if (!best)
            break;
        sim_getdomaininfo(best, &out[n++]);
        next = best->domid + 1;
    }
    l->num_domains = n;
    return 0;
}

static long cpu_policy_sizes(struct xen_sysctl_cpu_policy *p)
{
    if (p->_rsvd || p->index > XEN_SYSCTL_cpu_policy_hvm_default)
        return -EINVAL;
    if (p->leaves.p || p->msrs.p)
        return -EOPNOTSUPP;     /* the contents of the host's policies are not simulated */
    p->nr_leaves = SIM_LEAVES_MAX;
    p->nr_msrs = SIM_CPU_MSRS;
    return 0;
}

static long sim_sysctl(struct sim_host *h, struct xen_sysctl *s)
{
    if (s->interface_version != h->sysctl_version)
        return -EACCES;
    switch (s->cmd) {
    case XEN_SYSCTL_getdomaininfolist:
        return domaininfolist(h, &s->u.getdomaininfolist);
    case XEN_SYSCTL_get_cpu_policy:
        return cpu_policy_sizes(&s->u.cpu_policy);
    case XEN_SYSCTL_sched_id:
        s->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2;
        return 0;
    case XEN_SYSCTL_cpupool_op:
        if (s->u.cpupool_op.op != XEN_SYSCTL_CPUPOOL_OP_INFO)
            return -ENOSYS;
        if (s->u.cpupool_op.cpupool_id != 0)
            return -ENOENT;
        s->u.cpupool_op.sched_id = XEN_SCHEDULER_CREDIT2;
        return 0;
    default:
        return -ENOSYS;
    }
}

static long machphys_mfn_list(struct xen_machphys_mfn_list *m)
{
    uint64_t bytes = SIM_MACHINE_FRAMES * sizeof(uint64_t);
    uint32_t chunks = (uint32_t)((bytes + (SIM_M2P_CHUNK << 12) - 1) / (SIM_M2P_CHUNK << 12));
    uint32_t n = m->max_extents < chunks ? m->max_extents : chunks;

    if (!sim_usable(m->extent_start.p, n * sizeof(xen_pfn_t)))
        return -EFAULT;
    for (uint32_t i = 0; i < n; i++)
        m->extent_start.p[i] = SIM_M2P_FRAME + i * SIM_M2P_CHUNK;
    m->nr_extents = n;
    return 0;
}

static long vnumainfo(const struct sim_domain *d, struct xen_vnuma_topology_info *v)
{
    if (!d->vnuma)
        return -EOPNOTSUPP;
    if (v->nr_vnodes < 1 || v->nr_vcpus < d->nr_vcpus || v->nr_vmemranges < 1) {
        v->nr_vnodes = 1;
        v->nr_vcpus = d->nr_vcpus;
        v->nr_vmemranges = 1;
        return -ENOBUFS;
    }
    return -EOPNOTSUPP;
}

static long memory_op(struct sim_host *h, unsigned cmd, void *arg, struct sim_call *call)
{
    struct sim_domain *d;
    domid_t domid;

    call->cmd = (uint16_t)cmd;
    switch (cmd) {
    case XENMEM_maximum_ram_page:
        return SIM_MACHINE_FRAMES;
    case XENMEM_machphys_mfn_list:
        return sim_usable(arg, sizeof(struct xen_machphys_mfn_list)) && arg
                   ? machphys_mfn_list(arg) : -EFAULT;
    case XENMEM_maximum_gpfn:
    case XENMEM_get_vnumainfo:
        if (!arg || !sim_usable(arg, sizeof(domid)))
            return -EFAULT;
        memcpy(&domid, arg, sizeof(domid));
        call->domid = domid;
        d = sim_find(h, domid);
        if (!d)
            return -ESRCH;
        return cmd == XENMEM_maximum_gpfn ? (long)d->max_gpfn : vnumainfo(d, arg);
    default:
        return -ENOSYS;
    }
}

static long hvm_op(struct sim_host *h, unsigned cmd, struct xen_hvm_param *p, struct sim_call *call)
{
    struct sim_domain *d;

    call->cmd = (uint16_t)cmd;
    if (cmd != HVMOP_get_param)
        return -ENOSYS;
    if (!p || !sim_usable(p, sizeof(*p)))
        return -EFAULT;
    call->domid = p->domid;
    call->detail = p->index;
    if (p->index >= HVM_NR_PARAMS)
        return -EINVAL;
    d = sim_find(h, p->domid);
    if (!d)
        return -ESRCH;
    if (d->type == SIM_PV)
        return -EINVAL;
    p->value = d->params[p->index];
    return 0;
}

static long xen_version(const struct sim_host *h, unsigned cmd, void *arg, struct sim_call *call)
{
    static const xen_capabilities_info_t capabilities =
        "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ";

    call->cmd = (uint16_t)cmd;
    if (cmd == XENVER_version)
        return (long)h->version;
    if (cmd != XENVER_capabilities)
        return -ENOSYS;
    if (!arg || !sim_usable(arg, sizeof(capabilities)))
        return -EFAULT;
    memcpy(arg, capabilities, sizeof(capabilities));
    return 0;
}

static long dispatch(struct sim_host *h, unsigned op, const uint64_t args[5], struct sim_call *call);

/* libxenctrl wraps each memory_op in a multicall of one entry. */
static long multicall(struct sim_host *h, multicall_entry_t *list, uint64_t n, struct sim_call *call)
{
    if (n > 64)
        return -EINVAL;
    if (!list || !sim_usable(list, n * sizeof(*list)))
        return -EFAULT;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t args[5];

        if (list[i].op == __HYPERVISOR_multicall)
            return -EINVAL;
        memcpy(args, list[i].args, sizeof(args));
        call->op = (uint16_t)list[i].op;
        list[i].result = (xen_ulong_t)dispatch(h, (unsigned)list[i].op, args, call);
    }
    return 0;
}

static long dispatch(struct sim_host *h, unsigned op, const uint64_t args[5], struct sim_call *call)
{
    void *arg0 = (void *)(uintptr_t)args[0], *arg1 = (void *)(uintptr_t)args[1];

    switch (op) {
    case __HYPERVISOR_domctl:
        if (!arg0 || !sim_usable(arg0, sizeof(struct xen_domctl)))
            return -EFAULT;
        call->cmd = (uint16_t)((struct xen_domctl *)arg0)->cmd;
        call->domid = ((struct xen_domctl *)arg0)->domain;
        return sim_domctl(h, arg0, call);
    case __HYPERVISOR_sysctl:
        if (!arg0 || !sim_usable(arg0, sizeof(struct xen_sysctl)))
            return -EFAULT;
        call->cmd = (uint16_t)((struct xen_sysctl *)arg0)->cmd;
        return sim_sysctl(h, arg0);
    case __HYPERVISOR_memory_op:
        return memory_op(h, (unsigned)args[0], arg1, call);
    case __HYPERVISOR_hvm_op:
        return hvm_op(h, (unsigned)args[0], arg1, call);
    case __HYPERVISOR_xen_version:
        return xen_version(h, (unsigned)args[0], arg1, call);
    case __HYPERVISOR_multicall:
        return multicall(h, arg0, args[1], call);
    default:
        return -ENOSYS;
    }
}

/* The sub-op, for fault injection before anything happens. */
static unsigned sub_op(unsigned op, const uint64_t args[5])
{
    const void *arg0 = (const void *)(uintptr_t)args[0];
    uint32_t cmd;

    if (op != __HYPERVISOR_domctl && op != __HYPERVISOR_sysctl)
        return (unsigned)args[0];
    if (!arg0 || !sim_usable(arg0, sizeof(cmd)))
        return 0;
    memcpy(&cmd, arg0, sizeof(cmd));
    return cmd;
}

static int injected(struct sim_host *h, unsigned op, const uint64_t args[5])
{
    uint32_t n = atomic_load(&h->fail_count);

    if (!n || atomic_load(&h->fail_op) != op || atomic_load(&h->fail_cmd) != sub_op(op, args))
        return 0;
    while (n && !atomic_compare_exchange_weak(&h->fail_count, &n, n - 1))
        ;
    return n ? (int)atomic_load(&h->fail_errno) : 0;
}

long sim_hypercall(struct sim_host *h, unsigned op, const uint64_t args[5])
{
    struct sim_call call = { .op = (uint16_t)op, .domid = DOMID_INVALID };
    int errnum = injected(h, op, args);
    long ret;

    if (errnum) {
        call.cmd = (uint16_t)sub_op(op, args);
        ret = -errnum;
    } else {
        ret = op < OPS ? dispatch(h, op, args, &call) : -ENOSYS;
    }
    call.ret = (int32_t)ret;
    h->trace[atomic_fetch_add(&h->calls, 1) % SIM_TRACE] = call;
    return ret;
}
