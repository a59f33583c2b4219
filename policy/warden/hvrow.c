/* SPDX-License-Identifier: LGPL-2.1-only */
/* hypercalls.def as data.  Pure functions: compiled into the worker and into the warden. */
#include "policy/warden/hvrow.h"

#include <string.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sysctl.h>
#include <xen/version.h>
#include <xen/foreign/x86_32.h>
#include <xen/foreign/x86_64.h>

#include "policy/warden/hv.h"

/* What libxenctrl calls a context: one buffer that fits a 32-bit and a 64-bit guest's. */
typedef union {
    vcpu_guest_context_x86_64_t x64;
    vcpu_guest_context_x86_32_t x32;
    vcpu_guest_context_t c;
} vcpu_guest_context_any_t;

/*
 * The ABI of Xen 4.17 on x86-64, by number: a header of another release does not compile here.
 * A hypervisor of another release is refused at start (hv_check_version).
 */
#define ABI(what) _Static_assert(what, "hypercalls.def describes Xen 4.17: " #what)
ABI(XEN_DOMCTL_INTERFACE_VERSION == 0x15);
ABI(XEN_SYSCTL_INTERFACE_VERSION == 0x15);
ABI(sizeof(struct xen_domctl) == 144);
ABI(offsetof(struct xen_domctl, cmd) == 0);
ABI(offsetof(struct xen_domctl, interface_version) == 4);
ABI(offsetof(struct xen_domctl, domain) == 8);
ABI(offsetof(struct xen_domctl, u) == 16);
ABI(sizeof(struct xen_sysctl) == 136);
ABI(offsetof(struct xen_sysctl, interface_version) == 4);
ABI(offsetof(struct xen_sysctl, u) == 8);
ABI(sizeof(xen_domctl_getdomaininfo_t) == 112);
ABI(sizeof(struct xen_domctl_getpageframeinfo3) == 16);
ABI(sizeof(struct xen_domctl_shadow_op) == 40);
ABI(offsetof(struct xen_domctl, u.shadow_op.op) == 16);
ABI(offsetof(struct xen_domctl, u.shadow_op.mode) == 20);
ABI(offsetof(struct xen_domctl, u.shadow_op.dirty_bitmap) == 32);
ABI(offsetof(struct xen_domctl, u.shadow_op.pages) == 40);
ABI(offsetof(struct xen_domctl, u.getpageframeinfo3.num) == 16);
ABI(offsetof(struct xen_domctl, u.getpageframeinfo3.array) == 24);
ABI(offsetof(struct xen_domctl, u.hvmcontext.size) == 16);
ABI(offsetof(struct xen_domctl, u.hvmcontext.buffer) == 24);
ABI(offsetof(struct xen_domctl, u.vcpucontext.vcpu) == 16);
ABI(offsetof(struct xen_domctl, u.vcpucontext.ctxt) == 24);
ABI(offsetof(struct xen_domctl, u.vcpuextstate.size) == 32);
ABI(offsetof(struct xen_domctl, u.vcpuextstate.buffer) == 40);
ABI(offsetof(struct xen_domctl, u.vcpu_msrs.msr_count) == 20);
ABI(offsetof(struct xen_domctl, u.vcpu_msrs.msrs) == 24);
ABI(offsetof(struct xen_domctl, u.cpu_policy.nr_leaves) == 16);
ABI(offsetof(struct xen_domctl, u.cpu_policy.nr_msrs) == 20);
ABI(offsetof(struct xen_domctl, u.cpu_policy.leaves) == 24);
ABI(offsetof(struct xen_domctl, u.cpu_policy.msrs) == 32);
ABI(offsetof(struct xen_domctl, u.scheduler_op.sched_id) == 16);
ABI(offsetof(struct xen_domctl, u.scheduler_op.cmd) == 20);
ABI(offsetof(struct xen_sysctl, u.cpu_policy.leaves) == 24);
ABI(offsetof(struct xen_sysctl, u.getdomaininfolist.max_domains) == 12);
ABI(offsetof(struct xen_sysctl, u.getdomaininfolist.buffer) == 16);
ABI(sizeof(struct xen_domctl_ext_vcpucontext) == 64);
ABI(sizeof(struct xen_domctl_vcpu_msr) == 16);
ABI(sizeof(xen_cpuid_leaf_t) == 24);
ABI(sizeof(xen_msr_entry_t) == 16);
ABI(sizeof(struct xen_machphys_mfn_list) == 24);
ABI(offsetof(struct xen_machphys_mfn_list, max_extents) == 0);
ABI(offsetof(struct xen_machphys_mfn_list, extent_start) == 8);
ABI(sizeof(struct xen_hvm_param) == 16);
ABI(offsetof(struct xen_hvm_param, index) == 4);
ABI(sizeof(domid_t) == 2);
ABI(sizeof(vcpu_guest_context_any_t) == 5168);
ABI(sizeof(vcpu_guest_context_x86_32_t) == 2800);
ABI(XEN_DOMCTL_SCHEDOP_getinfo == 1);
ABI(sizeof(struct xen_domctl) <= HV_ARG_SIZE);
#undef ABI

uint64_t hvrow_field(const uint8_t *arg, unsigned at, unsigned width)
{
    uint64_t value = 0;

    memcpy(&value, arg + at, width);    /* x86-64 only: little-endian */
    return value;
}

/* ---- the checks that a row's columns cannot express */

#define DC(field) offsetof(struct xen_domctl, u.field)
#define SC(field) offsetof(struct xen_sysctl, u.field)
#define M2P(field) offsetof(struct xen_machphys_mfn_list, field)

typedef const struct hv_limits limits_t;

static enum refusal hv_check_vcpu(limits_t *limits, const uint8_t *arg, unsigned at)
{
    return hvrow_field(arg, at, 4) > limits->max_vcpu_id ? REFUSED_VALUE : REFUSED_NONE;
}

static enum refusal hv_check_vcpuinfo(limits_t *limits, const uint8_t *arg)
{
    return hv_check_vcpu(limits, arg, DC(getvcpuinfo.vcpu));
}

static enum refusal hv_check_vcpucontext(limits_t *limits, const uint8_t *arg)
{
    return hv_check_vcpu(limits, arg, DC(vcpucontext.vcpu));
}

static enum refusal hv_check_extvcpu(limits_t *limits, const uint8_t *arg)
{
    return hv_check_vcpu(limits, arg, DC(ext_vcpucontext.vcpu));
}

static enum refusal hv_check_vcpumsrs(limits_t *limits, const uint8_t *arg)
{
    return hv_check_vcpu(limits, arg, DC(vcpu_msrs.vcpu));
}

/* Xen refuses more than 1024 at once; 0 would be an empty buffer. */
static enum refusal hv_check_pageframeinfo(limits_t *limits, const uint8_t *arg)
{
    uint64_t num = hvrow_field(arg, DC(getpageframeinfo3.num), 8);

    return num < 1 || num > 1024 ? REFUSED_SIZE : REFUSED_NONE;
}

static enum refusal hv_check_hvmcontext(limits_t *limits, const uint8_t *arg)
{
    if (!hvrow_field(arg, DC(hvmcontext.buffer), 8))
        return REFUSED_NONE;
    return hvrow_field(arg, DC(hvmcontext.size), 4) > limits->hvm_context ? REFUSED_SIZE
                                                                          : REFUSED_NONE;
}

static enum refusal hv_check_extstate(limits_t *limits, const uint8_t *arg)
{
    if (hvrow_field(arg, DC(vcpuextstate.buffer), 8) &&
        hvrow_field(arg, DC(vcpuextstate.size), 8) > limits->extstate)
        return REFUSED_SIZE;
    return hv_check_vcpu(limits, arg, DC(vcpuextstate.vcpu));
}

/* The parameters that an image of 4.17 carries, and nothing else. */
static enum refusal hv_check_hvmparam(limits_t *limits, const uint8_t *arg)
{
    static const uint64_t allowed =
        1ull << HVM_PARAM_STORE_PFN | 1ull << HVM_PARAM_IOREQ_PFN | 1ull << HVM_PARAM_BUFIOREQ_PFN |
        1ull << HVM_PARAM_PAGING_RING_PFN | 1ull << HVM_PARAM_MONITOR_RING_PFN |
        1ull << HVM_PARAM_SHARING_RING_PFN | 1ull << HVM_PARAM_VM86_TSS_SIZED |
        1ull << HVM_PARAM_CONSOLE_PFN | 1ull << HVM_PARAM_ACPI_IOPORTS_LOCATION |
        1ull << HVM_PARAM_VIRIDIAN | 1ull << HVM_PARAM_IDENT_PT |
        1ull << HVM_PARAM_VM_GENERATION_ID_ADDR | 1ull << HVM_PARAM_IOREQ_SERVER_PFN |
        1ull << HVM_PARAM_NR_IOREQ_SERVER_PAGES | 1ull << HVM_PARAM_X87_FIP_WIDTH |
        1ull << HVM_PARAM_MCA_CAP;
    uint64_t index = hvrow_field(arg, offsetof(struct xen_hvm_param, index), 4);

    return index < 64 && (allowed >> index & 1) ? REFUSED_NONE : REFUSED_VALUE;
}

/* Only the query of the two sizes: with a handle Xen would write through it. */
static enum refusal hv_check_policysizes(limits_t *limits, const uint8_t *arg)
{
    if (hvrow_field(arg, SC(cpu_policy.index), 4) || hvrow_field(arg, SC(cpu_policy.leaves), 8) ||
        hvrow_field(arg, SC(cpu_policy.msrs), 8))
        return REFUSED_VALUE;
    return REFUSED_NONE;
}

/* Schedulers whose getinfo answers inline. */
static enum refusal hv_check_sched(limits_t *limits, const uint8_t *arg)
{
    switch (hvrow_field(arg, DC(scheduler_op.sched_id), 4)) {
    case XEN_SCHEDULER_CREDIT:
    case XEN_SCHEDULER_CREDIT2:
    case XEN_SCHEDULER_RTDS:
        return REFUSED_NONE;
    default:
        return REFUSED_VALUE;
    }
}

/* Xen fills at most as many entries as its own table has; the list is bounded by the host. */
static enum refusal hv_check_machphys(limits_t *limits, const uint8_t *arg)
{
    uint64_t extents = hvrow_field(arg, M2P(max_extents), 4);

    return extents > (limits->max_mfn * 8 >> 21) + 1 ? REFUSED_SIZE : REFUSED_NONE;
}

static enum refusal hv_check_shadow(limits_t *limits, const uint8_t *arg)
{
    if (hvrow_field(arg, DC(shadow_op.mode), 4) || hvrow_field(arg, DC(shadow_op.mb), 4) ||
        hvrow_field(arg, DC(shadow_op.dirty_bitmap), 8) ||
        hvrow_field(arg, DC(shadow_op.pages), 8))
        return REFUSED_VALUE;
    return REFUSED_NONE;
}

static enum refusal hv_check_bitmap(limits_t *limits, const uint8_t *arg)
{
    uint64_t pages = hvrow_field(arg, DC(shadow_op.pages), 8);

    return pages < 1 || pages > limits->max_pages ? REFUSED_SIZE : REFUSED_NONE;
}

/* ---- the table */

#define USED(type, member) (offsetof(type, u) + sizeof(((type *)0)->u.member))
#define DOMCTL_HEAD(cmd) \
    .op = __HYPERVISOR_domctl, .subop = (cmd), .version = XEN_DOMCTL_INTERFACE_VERSION, \
    .size = sizeof(struct xen_domctl), .domid_at = offsetof(struct xen_domctl, domain), \
    .shape = HV_STRUCT
#define DOMCTL(cmd, member) DOMCTL_HEAD(cmd), .used = USED(struct xen_domctl, member)
#define DOMCTL0(cmd) DOMCTL_HEAD(cmd), .used = offsetof(struct xen_domctl, u)
#define SYSCTL(cmd, member) \
    .op = __HYPERVISOR_sysctl, .subop = (cmd), .version = XEN_SYSCTL_INTERFACE_VERSION, \
    .size = sizeof(struct xen_sysctl), .used = USED(struct xen_sysctl, member), .domid_at = -1, \
    .shape = HV_STRUCT
#define CMD_STRUCT(nr, cmd, type, domid) \
    .op = (nr), .subop = (cmd), .size = sizeof(type), .used = sizeof(type), .domid_at = (domid), \
    .shape = HV_CMD_STRUCT
/* domid is the first field of all these structs */
#define MEMOP(cmd, type) CMD_STRUCT(__HYPERVISOR_memory_op, cmd, type, 0)
#define MEMOP_HOST(cmd, type) CMD_STRUCT(__HYPERVISOR_memory_op, cmd, type, -1)
#define HVMOP(cmd, type) CMD_STRUCT(__HYPERVISOR_hvm_op, cmd, type, 0)
#define NOARG(nr, cmd) .op = (nr), .subop = (cmd), .domid_at = -1, .shape = HV_CMD_NULL

#define COLD HV_JOB_COLD
#define LIVE HV_JOB_LIVE
#define SELF HV_JOB_WARDEN
#define HELPER HV_JOB_HELPER
#define PVH (1u << GUEST_PVH)
#define PV (1u << GUEST_PV)
#define BEFORE HV_BEFORE
#define AFTER HV_AFTER
#define ACTS HV_ACTS
#define ANY { 0, 0, 0 }
#define EQ(at, width, value) { (at), (width), (value) }
#define AND ,
#define NONE { 0 }
#define FIXED(n) .unit = (n)
#define TIMES(at, width, each) .count_at = (at), .count_width = (width), .unit = (each)
#define BITS(at, width) .count_at = (at), .count_width = (width), .bits = true
#define MAYBE_NULL , .maybe_null = true
#define IN(where, bytes, limit) { .at = (where), .dir = HV_IN, bytes, .bound = limit }
#define OUT(where, bytes, limit) { .at = (where), .dir = HV_OUT, bytes, .bound = limit }
#define IO(where, bytes, limit) { .at = (where), .dir = HV_IN | HV_OUT, bytes, .bound = limit }
#define NO_CHECK NULL

#define HVROW(id, call, may, types, when, equal, first, second, test, does, because) \
    [HV_##id] = { .name = #id, .safe = because, .check = test, call, .jobs = may, .guests = types, \
                  .phases = when, .flags = does, .fields = { equal }, \
                  .handles = { first, second } },
static const struct hv_rowdef rows[HV_ROWS] = {
#include "policy/warden/hypercalls.def"
};
#undef HVROW

const struct hv_rowdef *hvrow(uint32_t row)
{
    return row > HV_NO_ROW && row < HV_ROWS ? &rows[row] : NULL;
}

const char *hvrow_name(uint32_t row)
{
    return row > HV_NO_ROW && row < HV_ROWS ? rows[row].name : "(no row)";
}

bool hvrow_matches(const struct hv_rowdef *row, const uint8_t *arg)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        const struct hv_equal *f = &row->fields[i];

        if (f->width && hvrow_field(arg, f->at, f->width) != f->value)
            return false;
    }
    return true;
}

enum hv_row hvrow_classify(uint32_t op, uint32_t subop, const void *arg, size_t size)
{
    unsigned i;

    for (i = HV_NO_ROW + 1; i < HV_ROWS; i++) {
        const struct hv_rowdef *row = &rows[i];

        if (row->op != op || !(row->jobs & HV_JOB_WORKERS) || !arg != !row->size)
            continue;
        if (size != row->size && size != HVROW_ANY_SIZE)
            continue;
        if ((row->shape == HV_STRUCT ? (uint32_t)hvrow_field(arg, 0, 4) : subop) != row->subop)
            continue;
        if (hvrow_matches(row, arg))
            return i;
    }
    return HV_NO_ROW;
}

uint64_t hvrow_handle(const struct hv_rowdef *row, const uint8_t *arg, unsigned i)
{
    return hvrow_field(arg, row->handles[i].at, 8);
}

void hvrow_set_handle(const struct hv_rowdef *row, uint8_t *arg, unsigned i, uint64_t value)
{
    memcpy(arg + row->handles[i].at, &value, sizeof(value));
}

/* The count is bounded before it is multiplied: 64 bits cannot overflow. */
static uint64_t handle_bytes(const struct hv_handle *h, const uint8_t *arg)
{
    uint64_t count;

    if (!h->count_width)
        return h->unit;
    count = hvrow_field(arg, h->count_at, h->count_width);
    if (count > UINT32_MAX)
        return UINT64_MAX;
    return h->bits ? (count + 7) / 8 : count * h->unit;
}

enum refusal hvrow_sizes(const struct hv_rowdef *row, const uint8_t *arg,
                         uint32_t sizes[HV_HANDLES])
{
    unsigned i;

    for (i = 0; i < HV_HANDLES; i++) {
        const struct hv_handle *h = &row->handles[i];
        uint64_t bytes;

        sizes[i] = 0;
        if (!h->dir)
            continue;
        if (!hvrow_handle(row, arg, i)) {
            if (!h->maybe_null)
                return REFUSED_VALUE;
            continue;
        }
        bytes = handle_bytes(h, arg);
        if (!bytes || bytes > h->bound)
            return REFUSED_SIZE;
        sizes[i] = bytes;
    }
    return REFUSED_NONE;
}

void hvrow_clean(const struct hv_rowdef *row, uint8_t *arg)
{
    unsigned i;

    for (i = 0; i < HV_HANDLES; i++)
        if (row->handles[i].dir)
            hvrow_set_handle(row, arg, i, 0);
    if (row->shape == HV_STRUCT && row->domid_at >= 0)  /* padding between domid and union */
        memset(arg + row->domid_at + 2, 0, offsetof(struct xen_domctl, u) - row->domid_at - 2);
    memset(arg + row->used, 0, row->size - row->used);
}
