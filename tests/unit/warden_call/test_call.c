/* SPDX-License-Identifier: LGPL-2.1-only */
/* What single rows check, what the warden remembers, and its own acts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/sysctl.h>

#include "tests/unit/warden_call/fake_hv.h"

#define DC(field) offsetof(struct xen_domctl, u.field)
#define SC(field) offsetof(struct xen_sysctl, u.field)

static struct good g;
static struct msg_CALLED out;
static enum refusal why;

static int setup(void **state)
{
    fake_reset();
    return 0;
}

static void value(enum hv_row row, unsigned at, unsigned width, uint64_t v, enum refusal expected)
{
    good_call(&g, row);
    put_field(g.arg, at, width, v);
    if (expected)
        assert_refused(&g, expected);
    else
        assert_int_equal(run(&g, &out, &why), 0);
}

static void only_parameters_of_an_image_are_read(void **state)
{
    static const uint8_t allowed[] = { 1, 5, 6, 27, 28, 29, 37, 17, 19, 9, 12, 34, 32, 33, 36, 38 };

    for (uint64_t index = 0; index < 300; index++)
        value(HV_HVM_GET_PARAM, 4, 4, index,
              memchr(allowed, (int)index, sizeof(allowed)) && index < 256 ? REFUSED_NONE
                                                                         : REFUSED_VALUE);
    value(HV_HVM_GET_PARAM, 4, 4, 0x80000001u, REFUSED_VALUE);
}

static void vcpus_that_the_domain_has_not_are_refused(void **state)
{
    static const struct {
        enum hv_row row;
        unsigned at;
    } rows[] = {
        { HV_GETVCPUINFO, DC(getvcpuinfo.vcpu) }, { HV_GETVCPUCONTEXT, DC(vcpucontext.vcpu) },
        { HV_GET_EXT_VCPUCONTEXT, DC(ext_vcpucontext.vcpu) },
        { HV_GETVCPUEXTSTATE, DC(vcpuextstate.vcpu) }, { HV_GET_VCPU_MSRS, DC(vcpu_msrs.vcpu) },
    };

    for (unsigned i = 0; i < 5; i++) {
        value(rows[i].row, rows[i].at, 4, 3, REFUSED_NONE);
        value(rows[i].row, rows[i].at, 4, 4, REFUSED_VALUE);
        value(rows[i].row, rows[i].at, 4, 0xffffffff, REFUSED_VALUE);
    }
}

static void policy_sizes_only_with_null_handles(void **state)
{
    value(HV_SYS_CPU_POLICY_SIZES, SC(cpu_policy.leaves), 8, 1, REFUSED_VALUE);
    value(HV_SYS_CPU_POLICY_SIZES, SC(cpu_policy.msrs), 8, 1, REFUSED_VALUE);
    value(HV_SYS_CPU_POLICY_SIZES, SC(cpu_policy.index), 4, 1, REFUSED_VALUE);
}

static void shadow_ops_carry_nothing_else(void **state)
{
    static const enum hv_row rows[] = { HV_LOGDIRTY_OFF, HV_LOGDIRTY_ENABLE };

    for (unsigned i = 0; i < 2; i++) {
        value(rows[i], DC(shadow_op.mode), 4, 1, REFUSED_VALUE);
        value(rows[i], DC(shadow_op.mb), 4, 1, REFUSED_VALUE);
        value(rows[i], DC(shadow_op.dirty_bitmap), 8, 1, REFUSED_VALUE);
        value(rows[i], DC(shadow_op.pages), 8, 1, REFUSED_VALUE);
    }
    /* no shadow op but these: ENABLE, SET_ALLOCATION, PEEK.. are no row's */
    for (unsigned op = 0; op < 64; op++)
        if (op != XEN_DOMCTL_SHADOW_OP_OFF)
            value(HV_LOGDIRTY_OFF, DC(shadow_op.op), 4, op, REFUSED_NO_ROW);
}

static void dirty_bitmap_is_bounded_by_the_domain(void **state)
{
    value(HV_LOGDIRTY_CLEAN, DC(shadow_op.pages), 8, 65536, REFUSED_NONE);
    value(HV_LOGDIRTY_CLEAN, DC(shadow_op.pages), 8, 65537, REFUSED_SIZE);
    value(HV_LOGDIRTY_CLEAN_FINAL, DC(shadow_op.pages), 8, 65537, REFUSED_SIZE);
    value(HV_LOGDIRTY_CLEAN, DC(shadow_op.pages), 8, ~0ull, REFUSED_SIZE);
}

static void final_clean_only_when_suspended(void **state)
{
    good_call(&g, HV_LOGDIRTY_CLEAN_FINAL);
    g.ctx.phase = HV_BEFORE;
    assert_refused(&g, REFUSED_NO_ROW);
    good_call(&g, HV_LOGDIRTY_CLEAN);
    put_field(g.arg, DC(shadow_op.mode), 4, XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL);
    assert_refused(&g, REFUSED_NO_ROW);
}

static void schedulers_with_handles_are_refused(void **state)
{
    for (unsigned id = 0; id < 16; id++)
        value(HV_SCHED_GETINFO, DC(scheduler_op.sched_id), 4, id,
              id == 5 || id == 6 || id == 8 ? REFUSED_NONE : REFUSED_VALUE);
    for (unsigned cmd = 0; cmd < 8; cmd++)      /* putinfo, putvcpuinfo, getvcpuinfo */
        if (cmd != XEN_DOMCTL_SCHEDOP_getinfo)
            value(HV_SCHED_GETINFO, DC(scheduler_op.cmd), 4, cmd, REFUSED_NO_ROW);
}

static void at_most_1024_frames_at_once(void **state)
{
    good_call(&g, HV_GETPAGEFRAMEINFO3);
    put_field(g.arg, DC(getpageframeinfo3.num), 8, 1024);
    good_data(&g);
    assert_int_equal(g.in.data.len, 8192);
    memset(g.data, 0x42, 8192);
    assert_int_equal(run(&g, &out, &why), 0);
    assert_int_equal(out.data.len, 8192);
    assert_int_equal(out.data.p[8191], 0x42);
    value(HV_GETPAGEFRAMEINFO3, DC(getpageframeinfo3.num), 8, 1025, REFUSED_SIZE);
    value(HV_GETPAGEFRAMEINFO3, DC(getpageframeinfo3.num), 8, 0, REFUSED_SIZE);
}

static uint32_t answer_u32;
static unsigned answer_at;
static void answer_field(uint8_t *arg)
{
    put_field(arg, answer_at, 4, answer_u32);
}

static void context_is_bounded_by_what_xen_named(void **state)
{
    good_call(&g, HV_GETHVMCONTEXT);
    g.ctx.limits.hvm_context = 0;
    assert_refused(&g, REFUSED_SIZE);       /* not asked yet */
    hvrow_set_handle(hvrow(HV_GETHVMCONTEXT), g.arg, 0, 0);
    fake.answer = answer_field;
    answer_at = DC(hvmcontext.size);
    answer_u32 = 3000;
    assert_int_equal(run(&g, &out, &why), 0);
    assert_int_equal(g.ctx.saw & SAW_CONTEXT, 0);
    assert_int_equal(hvrow_field(out.arg.p, DC(hvmcontext.size), 4), 3000);
    fake.answer = NULL;
    hvrow_set_handle(hvrow(HV_GETHVMCONTEXT), g.arg, 0, 1);
    put_field(g.arg, DC(hvmcontext.size), 4, 3001);
    assert_refused(&g, REFUSED_SIZE);
    put_field(g.arg, DC(hvmcontext.size), 4, 3000);
    assert_int_equal(run(&g, &out, &why), 0);
    assert_int_equal(out.data.len, 3000);
    assert_int_equal(g.ctx.saw & SAW_CONTEXT, SAW_CONTEXT);
}

static void extstate_is_bounded_by_what_xen_named(void **state)
{
    good_call(&g, HV_GETVCPUEXTSTATE);
    g.ctx.limits.extstate = 0;
    assert_refused(&g, REFUSED_SIZE);
    hvrow_set_handle(hvrow(HV_GETVCPUEXTSTATE), g.arg, 0, 0);
    fake.answer = answer_field;
    answer_at = DC(vcpuextstate.size);
    answer_u32 = 900;
    assert_int_equal(run(&g, &out, &why), 0);
    answer_u32 = 500;                       /* another vcpu: the larger one counts */
    assert_int_equal(run(&g, &out, &why), 0);
    fake.answer = NULL;
    hvrow_set_handle(hvrow(HV_GETVCPUEXTSTATE), g.arg, 0, 1);
    put_field(g.arg, DC(vcpuextstate.size), 8, 901);
    assert_refused(&g, REFUSED_SIZE);
    put_field(g.arg, DC(vcpuextstate.size), 8, 900);
    assert_int_equal(run(&g, &out, &why), 0);
}

static void machphys_list_is_bounded_by_the_host(void **state)
{
    good_call(&g, HV_MAXIMUM_RAM_PAGE);
    fake.ret = 1 << 18;                     /* a GiB: its M2P is 2 MiB, one extent and one spare */
    assert_int_equal(run(&g, &out, &why), 0);
    assert_int_equal(out.ret, 1 << 18);
    assert_int_equal(g.ctx.limits.max_mfn, 1 << 18);
    fake.ret = 0;
    value(HV_MACHPHYS_MFN_LIST, 0, 4, 5, REFUSED_NONE);     /* good_call's own limit is 4 GiB */
    value(HV_MACHPHYS_MFN_LIST, 0, 4, 6, REFUSED_SIZE);
}

static uint16_t answer_domid;
static uint32_t answer_flags;
static void answer_info(uint8_t *arg)
{
    struct xen_domctl *d = (struct xen_domctl *)arg;

    d->domain = d->u.getdomaininfo.domain = answer_domid;
    d->u.getdomaininfo.flags = answer_flags;
    d->u.getdomaininfo.tot_pages = 0x1234;
}

static void the_next_domain_is_not_answered(void **state)
{
    good_call(&g, HV_GETDOMAININFO);
    fake.answer = answer_info;
    answer_domid = DOMID + 1;
    answer_flags = XEN_DOMINF_shutdown | SHUTDOWN_suspend << XEN_DOMINF_shutdownshift;
    assert_int_equal(run(&g, &out, &why), 0);
    assert_int_equal(out.ret, -1);
    assert_int_equal(out.errnum, ESRCH);
    assert_int_equal(out.arg.len, 0);
    assert_int_equal(g.ctx.saw, 0);
}

static void suspend_is_seen_by_reason(void **state)
{
    fake.answer = answer_info;
    answer_domid = DOMID;
    for (unsigned reason = 0; reason < 6; reason++) {
        good_call(&g, HV_GETDOMAININFO);
        answer_flags = XEN_DOMINF_shutdown | reason << XEN_DOMINF_shutdownshift;
        assert_int_equal(run(&g, &out, &why), 0);
        assert_int_equal(g.ctx.saw, reason == SHUTDOWN_suspend ? SAW_SUSPEND : 0);
    }
    good_call(&g, HV_GETDOMAININFO);        /* the reason alone, while it runs */
    answer_flags = XEN_DOMINF_running | SHUTDOWN_suspend << XEN_DOMINF_shutdownshift;
    assert_int_equal(run(&g, &out, &why), 0);
    assert_int_equal(g.ctx.saw, 0);
}

static unsigned before_calls;
static int before_rc;
static int before(struct call_ctx *ctx, enum hv_row row)
{
    assert_int_equal(row, HV_LOGDIRTY_ENABLE);
    assert_int_equal(fake.calls, 0);
    before_calls++;
    return before_rc;
}

static void acts_are_recorded_before(void **state)
{
    good_call(&g, HV_LOGDIRTY_ENABLE);
    g.ctx.before = before;
    before_rc = -EIO;                       /* no record, no action */
    assert_int_equal(run(&g, &out, &why), -1);
    assert_int_equal(why, REFUSED_STATE);
    assert_int_equal(out.errnum, EIO);
    assert_int_equal(fake.calls, 0);
    assert_int_equal(g.ctx.saw, 0);
    before_rc = 0;
    assert_int_equal(run(&g, &out, &why), 0);
    assert_int_equal(before_calls, 2);
    assert_int_equal(fake.calls, 1);
    assert_int_equal(g.ctx.saw, SAW_LOGDIRTY_ON);
    good_call(&g, HV_LOGDIRTY_ENABLE);
    g.ctx.before = NULL;                    /* nobody to record it */
    assert_refused(&g, REFUSED_STATE);
}

static void logdirty_off_is_remembered(void **state)
{
    good_call(&g, HV_LOGDIRTY_OFF);
    assert_int_equal(run(&g, &out, &why), 0);
    assert_int_equal(g.ctx.saw, SAW_LOGDIRTY_OFF);
    /* Switched on again: the off does not count any longer. */
    struct call_ctx kept = g.ctx;
    good_call(&g, HV_LOGDIRTY_ENABLE);
    g.ctx.saw = kept.saw;
    assert_int_equal(run(&g, &out, &why), 0);
    assert_int_equal(g.ctx.saw, SAW_LOGDIRTY_ON);
    /* Xen refuses to switch it off: it is still on. */
    kept = g.ctx;
    good_call(&g, HV_LOGDIRTY_OFF);
    g.ctx.saw = kept.saw;
    fake.ret = -1;
    fake.errnum = EBUSY;
    assert_int_equal(run(&g, &out, &why), 0);
    assert_int_equal(out.errnum, EBUSY);
    assert_int_equal(g.ctx.saw, SAW_LOGDIRTY_ON);
}

/* A buffer above ARENA_MIN goes through the arena, and never beyond it. */
static void large_buffers_go_through_the_arena(void **state)
{
    static uint8_t arena[65536 + 16];

    memset(arena, 0xEE, sizeof(arena));
    good_call(&g, HV_LOGDIRTY_CLEAN);
    g.ctx.limits.max_pages = 65536 * 8;
    put_field(g.arg, DC(shadow_op.pages), 8, 65536 * 8);
    assert_refused(&g, REFUSED_SIZE);       /* no arena */
    g.ctx.arena = arena;
    g.ctx.arena_size = 65535;
    assert_refused(&g, REFUSED_SIZE);       /* too small by one */
    g.ctx.arena_size = 65536;
    assert_int_equal(run(&g, &out, &why), 0);
    assert_int_equal(out.data.len, 0);
    assert_int_equal(arena[0], 0);
    assert_int_equal(arena[65535], 0);
    assert_int_equal(arena[65536], 0xEE);
    hv.bulk_size = 4096;                    /* the warden's own buffer is a bound as well */
    assert_refused(&g, REFUSED_SIZE);
}

static void xens_no_is_an_answer(void **state)
{
    good_call(&g, HV_GET_VCPU_MSRS);
    fake.ret = -1;
    fake.errnum = ENOBUFS;
    assert_int_equal(run(&g, &out, &why), 0);
    assert_int_equal(why, REFUSED_NONE);
    assert_int_equal(out.errnum, ENOBUFS);
    assert_int_equal(out.arg.len, sizeof(struct xen_domctl));
    assert_int_equal(g.ctx.executed[HV_GET_VCPU_MSRS], 1);
}

static void own_acts_are_rows_of_the_warden(void **state)
{
    memset(hv.arg, 0, 512);
    put_field(hv.arg, 8, 2, 9);
    assert_int_equal(call_own(HV_PAUSE), 0);
    assert_int_equal(hvrow_field(fake.arg, 0, 4), XEN_DOMCTL_pausedomain);
    assert_int_equal(hvrow_field(fake.arg, 4, 4), XEN_DOMCTL_INTERFACE_VERSION);
    assert_int_equal(hvrow_field(fake.arg, 8, 2), 9);
    fake.calls = 0;
    assert_int_equal(call_own(HV_DESTROY), -1);         /* the helper's */
    assert_int_equal(errno, EPERM);
    assert_int_equal(call_own(HV_LOGDIRTY_ENABLE), -1); /* a worker's */
    assert_int_equal(call_own(HV_NO_ROW), -1);
    assert_int_equal(call_own(HV_ROWS), -1);
    put_field(hv.arg, DC(vcpucontext.vcpu), 4, 1);
    assert_int_equal(call_own(HV_SETVCPUCONTEXT), -1);  /* vcpu 0 only */
    assert_int_equal(fake.calls, 0);
}

static void another_hypervisor_is_named_with_both_numbers(void **state)
{
    char text[128];

    assert_int_equal(hv_check_version(text), 0);
    assert_string_equal(text, "");
    fake.domctl_version = 0x17;
    assert_int_equal(hv_check_version(text), -EACCES);
    assert_non_null(strstr(text, "domctl"));
    assert_non_null(strstr(text, "0x15"));
    assert_non_null(strstr(text, "0x17"));
    fake_reset();
    fake.sysctl_version = 0x12;
    assert_int_equal(hv_check_version(text), -EACCES);
    assert_non_null(strstr(text, "sysctl"));
    assert_non_null(strstr(text, "0x15"));
    assert_non_null(strstr(text, "0x12"));
    fake_reset();
    fake.domctl_version = 0x99999;          /* beyond what is tried */
    assert_int_equal(hv_check_version(text), -EACCES);
    assert_non_null(strstr(text, "another"));
    fake_reset();
    fake.ret = -1;
    fake.errnum = EPERM;
    assert_int_equal(hv_check_version(text), -EPERM);
}

static void arena_fits_bitmap_and_context(void **state)
{
    assert_int_equal(call_max_pages(GUEST_PVH, 0xfffff), 0x100000);
    assert_int_equal(call_max_pages(GUEST_PV, 49152), 2u << 20);
    assert_int_equal(call_max_pages(GUEST_PV, 1u << 20), 8u << 20);
    assert_int_equal(call_max_pages(GUEST_PV, 100u << 20), 128u << 20);
    assert_int_equal(call_max_pages(GUEST_PV, 200u << 20), 200u << 20);     /* too large */
    assert_int_equal(call_arena_size(0x100000, 0), HV_BULK_START);
    assert_int_equal(call_arena_size(16u << 20, 0), 2u << 20);
    assert_int_equal(call_arena_size((16u << 20) + 1, 0), (2u << 20) + 4096);
    assert_true(call_arena_size(1, 127) >= 128 * 16384);
    assert_int_equal(call_arena_size(HV_BULK_MAX * 8ull, 0), HV_BULK_MAX);
    assert_int_equal(call_arena_size(HV_BULK_MAX * 8ull + 1, 0), 0);
    assert_int_equal(call_arena_size(1, 0xffffffff), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        T(only_parameters_of_an_image_are_read), T(vcpus_that_the_domain_has_not_are_refused),
        T(policy_sizes_only_with_null_handles), T(shadow_ops_carry_nothing_else),
        T(dirty_bitmap_is_bounded_by_the_domain), T(final_clean_only_when_suspended),
        T(schedulers_with_handles_are_refused), T(at_most_1024_frames_at_once),
        T(context_is_bounded_by_what_xen_named), T(extstate_is_bounded_by_what_xen_named),
        T(machphys_list_is_bounded_by_the_host), T(the_next_domain_is_not_answered),
        T(suspend_is_seen_by_reason), T(acts_are_recorded_before), T(logdirty_off_is_remembered),
        T(large_buffers_go_through_the_arena), T(xens_no_is_an_answer),
        T(own_acts_are_rows_of_the_warden), T(another_hypervisor_is_named_with_both_numbers),
        T(arena_fits_bitmap_and_context),
    };

    return cmocka_run_group_tests_name("warden_call/call", tests, NULL, NULL);
}
