/* SPDX-License-Identifier: LGPL-2.1-only */
/* Attacks on the table: hypercalls that a save worker has no business with. */
#include "tests/hostile/worker.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xen/memory.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>

#define DC(field) offsetof(struct xen_domctl, u.field)

static void must_be_refused(const struct answer *a, const char *what, unsigned row, unsigned value)
{
    if (!refused(a))
        breach("%s: row %s, %#x: ret %d errno %d", what, hvrow_name(row), value, a->ret, a->errnum);
}

static bool mine(const struct hv_rowdef *r)
{
    return r->jobs & (worker.grant.flags & INTENT_LIVE ? HV_JOB_LIVE : HV_JOB_COLD) &&
           r->guests & 1u << worker.grant.guest_type;
}

/* Each row that names a domain, for each domain that is not the granted one. */
static void other_domain(long suspended)
{
    uint8_t arg[512];
    unsigned n = 0;

    if (suspended)
        suspend_guest();
    for (unsigned row = 1; row < HV_ROWS; row++) {
        const struct hv_rowdef *r = hvrow(row);

        if (r->domid_at < 0)
            continue;
        for (unsigned i = 0; i < FOREIGN; i++, n++) {
            fill(row, arg);
            put(arg, (size_t)r->domid_at, 2, foreign[i]);
            must_be_refused(call_row(row, arg), "another domain", row, foreign[i]);
        }
    }
    held("%u calls for other domains", n);
}

/* Xen reads 16 bits of the domid: what stands above them must not matter. */
static void padding(long arg0)
{
    uint8_t arg[512];
    const struct answer *a;

    fill(HV_GETDOMAININFO, arg);
    put(arg, 8, 8, worker.grant.domid | 0xdeadbeef0000ull);
    a = call_row(HV_GETDOMAININFO, arg);
    if (a->ret || hvrow_field(a->arg, DC(getdomaininfo.domain), 2) != worker.grant.domid)
        breach("padding changed the domain: ret %d", a->ret);
    held("padding does not reach Xen");
}

/* Every domctl and sysctl number, under the name of a row that is allowed. */
static void without_row(long op)
{
    const uint32_t like = op == __HYPERVISOR_domctl ? HV_GETDOMAININFO : HV_SCHED_ID;
    uint8_t arg[512];
    unsigned n = 0;

    for (uint32_t cmd = 0; cmd <= 100; cmd++) {
        if (cmd == hvrow(like)->subop)
            continue;
        fill(like, arg);
        put(arg, 0, 4, cmd);
        must_be_refused(call_row(like, arg), "sub-op without a row", like, cmd);
        n++;
    }
    held("%u sub-ops", n);
}

/* Rows of the warden and its helpers, of another guest type or kind of save, and of nobody. */
static void foreign_rows(long arg0)
{
    uint8_t arg[512];
    unsigned n = 0;

    for (uint32_t row = 0; row < 256; row++) {
        const struct hv_rowdef *r = hvrow(row);

        if (r && mine(r) && r->phases & HV_BEFORE)
            continue;
        fill(row, arg);
        must_be_refused(r ? call_row(row, arg) : call(__HYPERVISOR_domctl, row, arg, 144, NULL, 0),
                        "row of somebody else", row, row);
        n++;
    }
    must_be_refused(call(__HYPERVISOR_domctl, 0xffffffff, arg, 144, NULL, 0), "row", 0, 0xffffffff);
    must_be_refused(call(__HYPERVISOR_domctl, 0x80000001, arg, 144, NULL, 0), "row", 0, 0x80000001);
    held("%u rows", n);
}

/* Hypercalls that moat never makes for anybody, under each row that a worker has. */
static void foreign_ops(long arg0)
{
    static const uint32_t ops[] = {
        __HYPERVISOR_mmu_update, __HYPERVISOR_mmuext_op, __HYPERVISOR_grant_table_op,
        __HYPERVISOR_event_channel_op, __HYPERVISOR_multicall, __HYPERVISOR_sched_op,
        __HYPERVISOR_platform_op, __HYPERVISOR_physdev_op, __HYPERVISOR_dm_op,
        __HYPERVISOR_kexec_op, __HYPERVISOR_update_va_mapping_otherdomain, __HYPERVISOR_xsm_op,
        __HYPERVISOR_vcpu_op, __HYPERVISOR_console_io, __HYPERVISOR_argo_op, 0xffffffff,
    };
    uint8_t arg[512];
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        for (uint32_t row = 1; row < HV_ROWS; row++, n++) {
            uint32_t len = fill(row, arg);

            must_be_refused(call(ops[i], row, arg, len, NULL, 0), "op without a row", row, ops[i]);
        }
    held("%u calls", n);
}

/* memory_op, hvm_op: the sub-op is the row's, so the struct's type can only be confused. */
static void confused_rows(long arg0)
{
    static const uint32_t ops[] = {__HYPERVISOR_memory_op, __HYPERVISOR_hvm_op,
                                   __HYPERVISOR_domctl, __HYPERVISOR_sysctl,
                                   __HYPERVISOR_xen_version};
    uint8_t arg[512];
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        for (uint32_t row = 1; row < HV_ROWS; row++) {
            uint32_t len = fill(row, arg);

            if (hvrow(row)->op == ops[i])
                continue;
            must_be_refused(call(ops[i], row, arg, len, NULL, 0), "another op", row, ops[i]);
            n++;
        }
    held("%u calls", n);
}

static void versions(long arg0)
{
    static const uint32_t wrong[] = {0, 1, 0x14, 0x16, 0x15000000, 0xffffffff};
    uint8_t arg[512];
    unsigned n = 0;

    for (uint32_t row = 1; row < HV_ROWS; row++) {
        const struct hv_rowdef *r = hvrow(row);

        if (!r->version || !mine(r))
            continue;
        for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++, n++) {
            fill(row, arg);
            put(arg, 4, 4, wrong[i]);
            must_be_refused(call_row(row, arg), "interface version", row, wrong[i]);
        }
    }
    held("%u versions", n);
}

/* Structs that are too short or too long. */
static void struct_sizes(long arg0)
{
    uint8_t arg[512];
    unsigned n = 0;

    for (uint32_t row = 1; row < HV_ROWS; row++) {
        const struct hv_rowdef *r = hvrow(row);
        const uint32_t sizes[] = {0, 1, 4, r->size - 1u, r->size + 1u, 511, 512};

        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            if (sizes[i] > 512 || sizes[i] == r->size)
                continue;
            fill(row, arg);
            must_be_refused(call(r->op, row, arg, sizes[i], NULL, 0), "size", row, sizes[i]);
            n++;
        }
    }
    held("%u sizes", n);
}

/* Data that is not what the struct's counts say. */
static void data_size(long extra)
{
    static uint8_t data[61440];
    uint8_t arg[512];

    fill(HV_GETPAGEFRAMEINFO3, arg);
    put(arg, DC(getpageframeinfo3.num), 8, 1024);
    call(__HYPERVISOR_domctl, HV_GETPAGEFRAMEINFO3, arg, 144, data, (uint32_t)(8192 + extra));
    breach("%ld bytes more than the table says were taken", extra);
}

/* Counts that overflow when multiplied, or are more than the buffer has. */
static void counts(long arg0)
{
    const struct {
        uint32_t row;
        size_t at;
        unsigned width;
        uint64_t value;
    } bad[] = {
        {HV_GETPAGEFRAMEINFO3, DC(getpageframeinfo3.num), 8, 0},
        {HV_GETPAGEFRAMEINFO3, DC(getpageframeinfo3.num), 8, 1025},
        {HV_GETPAGEFRAMEINFO3, DC(getpageframeinfo3.num), 8, 0x100000001},
        {HV_GETPAGEFRAMEINFO3, DC(getpageframeinfo3.num), 8, 0x2000000000000001},
        {HV_GETPAGEFRAMEINFO3, DC(getpageframeinfo3.num), 8, UINT64_MAX},
        {HV_GET_CPU_POLICY, DC(cpu_policy.nr_leaves), 4, 0xffffffff},
        {HV_GET_CPU_POLICY, DC(cpu_policy.nr_leaves), 4, 0x0aaaaaab},   /* * 24 = 2^32 + 8 */
        {HV_GET_CPU_POLICY, DC(cpu_policy.nr_msrs), 4, 0x10000001},
        {HV_LOGDIRTY_CLEAN, DC(shadow_op.pages), 8, worker.grant.max_pages + 1},
        {HV_LOGDIRTY_CLEAN, DC(shadow_op.pages), 8, 0},
        {HV_LOGDIRTY_CLEAN, DC(shadow_op.pages), 8, 1ull << 32},
        {HV_LOGDIRTY_CLEAN, DC(shadow_op.pages), 8, UINT64_MAX},
        {HV_LOGDIRTY_CLEAN, DC(shadow_op.pages), 8, 1ull << 63},
        {HV_SCHED_GETINFO, DC(scheduler_op.sched_id), 4, 7},
        {HV_SCHED_GETINFO, DC(scheduler_op.cmd), 4, XEN_DOMCTL_SCHEDOP_putinfo},
        {HV_LOGDIRTY_ENABLE, DC(shadow_op.mode), 4, XEN_DOMCTL_SHADOW_ENABLE_EXTERNAL},
        {HV_LOGDIRTY_ENABLE, DC(shadow_op.op), 4, XEN_DOMCTL_SHADOW_OP_ENABLE_TEST},
        {HV_LOGDIRTY_ENABLE, DC(shadow_op.op), 4, XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION},
        {HV_LOGDIRTY_OFF, DC(shadow_op.mb), 4, 1},
    };
    uint8_t arg[512];
    unsigned n = sizeof(bad) / sizeof(bad[0]);

    for (unsigned i = 0; i < n; i++) {
        fill(bad[i].row, arg);
        put(arg, bad[i].at, bad[i].width, bad[i].value);
        must_be_refused(call_row(bad[i].row, arg), "count", bad[i].row, (unsigned)bad[i].value);
    }
    held("%u counts", n);
}

/* The same after the suspend: vcpus, sizes of contexts, parameters. */
static void counts_after(long arg0)
{
    const struct {
        uint32_t row;
        size_t at;
        unsigned width;
        uint64_t value;
    } bad[] = {
        {HV_GETHVMCONTEXT, DC(hvmcontext.size), 4, 1},      /* before Xen has named a size */
        {HV_GETHVMCONTEXT, DC(hvmcontext.size), 4, 0xffffffff},
        {HV_GETVCPUCONTEXT, DC(vcpucontext.vcpu), 4, 0xffffffff},
        {HV_GETVCPUCONTEXT, DC(vcpucontext.vcpu), 4, 8192},
        {HV_HVM_GET_PARAM, offsetof(struct xen_hvm_param, index), 4, HVM_PARAM_CALLBACK_IRQ},
        {HV_HVM_GET_PARAM, offsetof(struct xen_hvm_param, index), 4, 63},
        {HV_HVM_GET_PARAM, offsetof(struct xen_hvm_param, index), 4, 64},
        {HV_HVM_GET_PARAM, offsetof(struct xen_hvm_param, index), 4, 0xffffffff},
        {HV_GET_CPU_POLICY, 8, 2, worker.grant.domid},      /* legal before the suspend only */
        {HV_LOGDIRTY_CLEAN, 8, 2, worker.grant.domid},
    };
    uint8_t arg[512];
    unsigned n = sizeof(bad) / sizeof(bad[0]);

    suspend_guest();
    for (unsigned i = 0; i < n; i++) {
        fill(bad[i].row, arg);
        put(arg, bad[i].at, bad[i].width, bad[i].value);
        must_be_refused(call_row(bad[i].row, arg), "after", bad[i].row, (unsigned)bad[i].value);
    }
    held("%u calls", n);
}

/* What belongs behind the suspend, before it. */
static void too_early(long arg0)
{
    uint8_t arg[512];
    unsigned n = 0;

    for (uint32_t row = 1; row < HV_ROWS; row++) {
        if (hvrow(row)->phases & HV_BEFORE)
            continue;
        fill(row, arg);
        must_be_refused(call_row(row, arg), "before the suspend", row, 0);
        n++;
    }
    held("%u rows", n);
}

/* Handles are the warden's own: a worker's value is looked at for being zero only. */
static void handles(long arg0)
{
    static const uint64_t values[] = {1, 0x1000, 0xffff800000000000, 0xffffffff81000000, UINT64_MAX,
                                      0x7fffffffffff};
    uint8_t arg[512], zero[8] = {0};

    for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        const struct answer *a;

        fill(HV_GETPAGEFRAMEINFO3, arg);
        put(arg, DC(getpageframeinfo3.array), 8, values[i]);
        a = call(__HYPERVISOR_domctl, HV_GETPAGEFRAMEINFO3, arg, 144, zero, 8);
        if (a->ret || hvrow_field(a->arg, DC(getpageframeinfo3.array), 8))
            breach("handle %#llx: ret %d errno %d", (unsigned long long)values[i], a->ret,
                   a->errnum);
    }
    held("handles are the warden's");
}

/* Random content in the right frame.  The job's number is the seed, so that it can be repeated. */
static void noise(long arg0)
{
    static uint8_t data[61440];
    unsigned seed = worker.job * 2654435761u;
    uint8_t arg[512];

    for (unsigned i = 0; i < 900; i++) {
        uint32_t row = (uint32_t)rand_r(&seed) % HV_ROWS, len = fill(row, arg);
        const struct hv_rowdef *r = hvrow(row);

        for (unsigned k = (unsigned)rand_r(&seed) % 4; k > 0; k--)
            arg[(unsigned)rand_r(&seed) % 144] = (uint8_t)rand_r(&seed);
        if (r && len)
            call_row(row, arg);
        else
            call((uint32_t)rand_r(&seed) % 64, row, arg, len, data, 0);
    }
    held("900 random calls");
}

static void refusal_flood(long arg0)
{
    uint8_t arg[512];

    fill(HV_PAUSE, arg);
    for (unsigned i = 0; i < 100000; i++)
        call_row(HV_PAUSE, arg);
    breach("100000 refusals");
}

/* Calls without ever reading an answer: as many as the channel takes. */
static void never_read(long arg0)
{
    struct msg_CALL in = {.op = __HYPERVISOR_domctl, .row = HV_GETPAGEFRAMEINFO3};
    static uint8_t data[8192];
    uint8_t arg[512];

    fill(HV_GETPAGEFRAMEINFO3, arg);
    put(arg, DC(getpageframeinfo3.num), 8, 1024);
    in.arg = (struct ipc_bytes){arg, 144};
    in.data = (struct ipc_bytes){data, sizeof(data)};
    for (unsigned i = 0; i < 1000000; i++)
        if (ipc_send(&worker.warden, MSG_CALL, worker.job, &in, NULL, 0))
            wait_for_end();
    breach("a million calls without an answer");
}

/* Legal calls as fast as they go, until the deadline. */
static void busy(long arg0)
{
    uint8_t arg[512];

    for (;;) {
        fill(HV_GETDOMAININFO, arg);
        if (call_row(HV_GETDOMAININFO, arg)->ret)
            breach("an honest getdomaininfo was refused");
    }
}

const struct attack attacks_calls[] = {
    {"other-domains", other_domain, 0, LOCKED | RAW, "worker-failed/wrong domid", NULL,
     "every row that names a domain is refused for every other domain"},
    {"other-domains-suspended", other_domain, 1, LOCKED, "worker-failed/wrong domid", NULL,
     "and for the rows that are open after the suspend"},
    {"other-domains-live", other_domain, 0, LOCKED, "worker-failed/wrong domid", "--live",
     "and for the rows of a live save"},
    {"domid-padding", padding, 0, LOCKED, "worker-failed", NULL,
     "bits above the domid do not reach Xen"},
    {"domctl-without-row", without_row, __HYPERVISOR_domctl, LOCKED | RAW, "worker-failed/no row",
     NULL, "each domctl without a row is refused"},
    {"sysctl-without-row", without_row, __HYPERVISOR_sysctl, LOCKED, "worker-failed/no row", NULL,
     "each sysctl without a row is refused"},
    {"rows-of-others", foreign_rows, 0, LOCKED | RAW, "worker-failed/no row", NULL,
     "pause, unpause, resume, destroy and the warden's other rows are not a worker's"},
    {"rows-of-others-live", foreign_rows, 0, LOCKED, "worker-failed/no row", "--live",
     "nor a live save's"},
    {"ops-without-row", foreign_ops, 0, LOCKED, "worker-failed/no row", NULL,
     "mmu, mmuext, grant table, event channel, multicall, dm_op and others are refused"},
    {"ops-confused", confused_rows, 0, LOCKED, "worker-failed/no row", NULL,
     "a row belongs to one hypercall"},
    {"interface-version", versions, 0, LOCKED, "worker-failed/wrong interface version", NULL,
     "another interface version is refused"},
    {"struct-sizes", struct_sizes, 0, LOCKED, "worker-failed/size", "--live",
     "a struct that is too short or too long is refused"},
    {"data-short", data_size, -8, LOCKED, "protocol/frame", NULL,
     "data shorter than the table says ends the job"},
    {"data-long", data_size, 8, LOCKED, "protocol/frame", NULL,
     "data longer than the table says ends the job"},
    {"data-none", data_size, -8192, LOCKED, "protocol/frame", NULL,
     "missing data ends the job"},
    {"counts-overflow", counts, 0, LOCKED, "worker-failed/size", "--live",
     "counts that overflow, and values that the row does not have, are refused"},
    {"counts-after-suspend", counts_after, 0, LOCKED, "worker-failed/value", "--live",
     "vcpus, sizes and parameters out of bounds are refused"},
    {"final-before-suspend", too_early, 0, LOCKED, "worker-failed/no row", "--live",
     "CLEAN|FINAL and the vcpu state are refused before the suspend"},
    {"handles", handles, 0, LOCKED, "worker-failed", NULL,
     "a worker's pointers do not reach Xen"},
    {"random-calls", noise, 0, LOCKED | RAW, "*", "--live",
     "random calls fail only their job"},
    {"refusal-flood", refusal_flood, 0, LOCKED, "protocol/flood", NULL,
     "a worker that keeps being refused is ended"},
    {"never-reads-warden", never_read, 0, LOCKED | RAW, "protocol/flood", NULL,
     "a worker that does not read the warden's answers is ended"},
    {"busy", busy, 0, LOCKED, "deadline", "--deadline 2",
     "legal calls without end last until the deadline"},
    {0},
};
