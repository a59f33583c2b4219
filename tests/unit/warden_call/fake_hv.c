/* SPDX-License-Identifier: LGPL-2.1-only */
#include "tests/unit/warden_call/fake_hv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/hvm/params.h>
#include <xen/sysctl.h>

struct hv hv;
struct fake_hv fake;
static uint8_t arg_page[4096], bulk_pages[HV_BULK_START];

void fake_reset(void)
{
    hv = (struct hv){ arg_page, bulk_pages, sizeof(bulk_pages) };
    memset(arg_page, 0xA5, sizeof(arg_page));
    memset(bulk_pages, 0xA5, sizeof(bulk_pages));   /* another job's leftovers */
    memset(&fake, 0, sizeof(fake));
    fake.domctl_version = XEN_DOMCTL_INTERFACE_VERSION;
    fake.sysctl_version = XEN_SYSCTL_INTERFACE_VERSION;
}

static uint32_t version_of(unsigned op)
{
    return op == __HYPERVISOR_domctl ? fake.domctl_version
           : op == __HYPERVISOR_sysctl ? fake.sysctl_version : 0;
}

long hv_call(unsigned op, unsigned nargs, const uint64_t args[5])
{
    uint8_t *arg = (uint8_t *)(uintptr_t)args[nargs - 1];

    fake.calls++;
    fake.op = op;
    fake.nargs = nargs;
    memcpy(fake.args, args, sizeof(fake.args));
    if (arg == hv.arg)
        memcpy(fake.arg, arg, sizeof(fake.arg));
    if (version_of(op) && hvrow_field(fake.arg, 4, 4) != version_of(op)) {
        errno = EACCES;
        return -1;
    }
    if (fake.answer && arg)
        fake.answer(arg);
    if (fake.ret < 0)
        errno = fake.errnum;
    return fake.ret;
}

void put_field(uint8_t *arg, unsigned at, unsigned width, uint64_t value)
{
    memcpy(arg + at, &value, width);
}

static int before_ok(struct call_ctx *ctx, enum hv_row row)
{
    return 0;
}

#define DC(field) offsetof(struct xen_domctl, u.field)

/* Values that the rows' checks ask for. */
static void good_values(struct good *g)
{
    switch (g->in.row) {
    case HV_HVM_GET_PARAM:
        put_field(g->arg, 4, 4, HVM_PARAM_STORE_PFN);
        break;
    case HV_SCHED_GETINFO:
        put_field(g->arg, DC(scheduler_op.sched_id), 4, XEN_SCHEDULER_CREDIT2);
        break;
    default:
        break;
    }
}

void good_data(struct good *g)
{
    const struct hv_rowdef *row = hvrow(g->in.row);
    uint32_t sizes[HV_HANDLES];
    unsigned i;

    g->in.data.len = 0;
    assert_int_equal(hvrow_sizes(row, g->arg, sizes), REFUSED_NONE);
    for (i = 0; i < HV_HANDLES; i++)
        if (row->handles[i].dir & HV_IN)
            g->in.data.len += sizes[i];
}

void good_call(struct good *g, enum hv_row id)
{
    const struct hv_rowdef *row = hvrow(id);
    unsigned i;

    memset(g, 0, sizeof(*g));
    g->ctx = (struct call_ctx){
        .domid = DOMID,
        .job = row->jobs & HV_JOB_LIVE ? HV_JOB_LIVE : HV_JOB_COLD,
        .guest = row->guests & 1u << GUEST_PVH ? GUEST_PVH : GUEST_PV,
        .phase = row->phases & HV_BEFORE ? HV_BEFORE : HV_AFTER,
        .limits = { .max_pages = 65536, .max_vcpu_id = 3, .hvm_context = 8192, .extstate = 4096,
                    .max_mfn = 1u << 20 },
        .before = before_ok,
    };
    g->in = (struct msg_CALL){ .op = row->op, .row = id, .arg = { g->arg, row->size },
                               .data = { g->data, 0 } };
    if (row->shape == HV_STRUCT)
        put_field(g->arg, 0, 4, row->subop);
    if (row->version)
        put_field(g->arg, 4, 4, row->version);
    if (row->domid_at >= 0)
        put_field(g->arg, row->domid_at, 2, DOMID);
    for (i = 0; i < 2; i++)
        if (row->fields[i].width)
            put_field(g->arg, row->fields[i].at, row->fields[i].width, row->fields[i].value);
    for (i = 0; i < HV_HANDLES; i++) {
        const struct hv_handle *h = &row->handles[i];

        if (!h->dir)
            continue;
        hvrow_set_handle(row, g->arg, i, 0xdead0000beef0000ull);    /* ignored but for not NULL */
        if (h->count_width)
            put_field(g->arg, h->count_at, h->count_width, 1);
    }
    memset(g->arg + row->used, 0x5A, row->size - row->used);        /* must not reach Xen */
    good_values(g);
    good_data(g);
}

int run(struct good *g, struct msg_CALLED *out, enum refusal *why)
{
    memset(out, 0xA5, sizeof(*out));
    *why = REFUSALS;
    return call_execute(&g->ctx, &g->in, out, why);
}

void assert_refused(struct good *g, enum refusal expected)
{
    unsigned calls = fake.calls;
    uint32_t counted = g->ctx.refused[expected];
    struct msg_CALLED out;
    enum refusal why;

    assert_int_equal(run(g, &out, &why), -1);
    assert_int_equal(why, expected);
    assert_int_equal(fake.calls, calls);
    assert_int_equal(g->ctx.refused[expected], counted + 1);
    assert_int_equal(out.ret, -1);
    assert_int_equal(out.errnum, EPERM);
    assert_int_equal(out.arg.len, 0);
    assert_int_equal(out.data.len, 0);
}
