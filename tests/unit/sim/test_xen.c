/* SPDX-License-Identifier: LGPL-2.1-only */
/* The simulated hypervisor answers as Xen 4.17 does, also when it says no. */
#include <errno.h>
#include <string.h>

#include "tests/unit/sim/world.h"

static void a_wrong_interface_version_is_refused(void **state)
{
    domctl(XEN_DOMCTL_getdomaininfo, PVH)->interface_version++;
    assert_int_equal(run(), -EACCES);
}

static void getdomaininfo_gives_the_next_domain_when_this_one_is_gone(void **state)
{
    struct xen_domctl *d;

    assert_int_equal(ctl(NULL, 0, "create name=far,domid=7,type=pvh,mem=4"), 0);
    d = domctl(XEN_DOMCTL_getdomaininfo, 3);
    assert_int_equal(run(), 0);
    assert_int_equal(d->domain, 7);
    assert_int_equal(d->u.getdomaininfo.domain, 7);
    assert_int_equal(ctl(NULL, 0, "destroy 7"), 0);
    domctl(XEN_DOMCTL_getdomaininfo, 3);
    assert_int_equal(run(), -ESRCH);
    domctl(XEN_DOMCTL_getdomaininfo, DOMID_SELF);
    assert_int_equal(run(), -EINVAL);
}

static void getdomaininfo_tells_type_and_frames(void **state)
{
    struct xen_domctl *d = domctl(XEN_DOMCTL_getdomaininfo, PVH);

    assert_int_equal(run(), 0);
    assert_true(d->u.getdomaininfo.flags & XEN_DOMINF_hvm_guest);
    assert_int_equal(d->u.getdomaininfo.arch_config.emulation_flags, XEN_X86_EMU_LAPIC);
    assert_int_equal(d->u.getdomaininfo.tot_pages, (16 << 8) + 8);
    d = domctl(XEN_DOMCTL_getdomaininfo, PV);
    assert_int_equal(run(), 0);
    assert_false(d->u.getdomaininfo.flags & XEN_DOMINF_hvm_guest);
    assert_int_equal(d->u.getdomaininfo.tot_pages, (16 << 8) - 9);
    assert_int_equal(d->u.getdomaininfo.max_vcpu_id, 1);
}

static void other_domctls_of_a_missing_domain_are_ESRCH(void **state)
{
    static const uint32_t cmds[] = {
        XEN_DOMCTL_pausedomain, XEN_DOMCTL_resumedomain, XEN_DOMCTL_shadow_op,
        XEN_DOMCTL_getpageframeinfo3, XEN_DOMCTL_gethvmcontext, XEN_DOMCTL_getvcpucontext,
    };

    for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
        domctl(cmds[i], 99);
        assert_int_equal(run(), -ESRCH);
    }
}

static void what_is_not_simulated_is_ENOSYS_and_not_a_success(void **state)
{
    domctl(XEN_DOMCTL_destroydomain, PVH);
    assert_int_equal(run(), -ENOSYS);
    domctl(XEN_DOMCTL_sethvmcontext, PVH);
    assert_int_equal(run(), -ENOSYS);
}

static void domain_0_cannot_pause_resume_or_log_itself(void **state)
{
    domctl(XEN_DOMCTL_pausedomain, 0);
    assert_int_equal(run(), -EINVAL);
    domctl(XEN_DOMCTL_resumedomain, 0);
    assert_int_equal(run(), -EINVAL);
    domctl(XEN_DOMCTL_shadow_op, 0)->u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY;
    assert_int_equal(run(), -EINVAL);
}

static void pauses_are_counted(void **state)
{
    struct xen_domctl *d;

    for (int i = 0; i < 2; i++) {
        domctl(XEN_DOMCTL_pausedomain, PVH);
        assert_int_equal(run(), 0);
    }
    domctl(XEN_DOMCTL_unpausedomain, PVH);
    assert_int_equal(run(), 0);
    d = domctl(XEN_DOMCTL_getdomaininfo, PVH);
    assert_int_equal(run(), 0);
    assert_true(d->u.getdomaininfo.flags & XEN_DOMINF_paused);
    domctl(XEN_DOMCTL_unpausedomain, PVH);
    assert_int_equal(run(), 0);
    domctl(XEN_DOMCTL_unpausedomain, PVH);
    assert_int_equal(run(), -EINVAL);
}

static long frame_types(uint16_t domid, uint64_t *frames, uint64_t n)
{
    struct xen_domctl *d = domctl(XEN_DOMCTL_getpageframeinfo3, domid);
    long ret;

    memcpy(hv.bulk, frames, (n < 1024 ? n : 1024) * sizeof(*frames));
    d->u.getpageframeinfo3.num = n;
    d->u.getpageframeinfo3.array.p = (xen_pfn_t *)hv.bulk;
    ret = run();
    memcpy(frames, hv.bulk, (n < 1024 ? n : 1024) * sizeof(*frames));
    return ret;
}

static void frames_have_the_types_of_the_guest(void **state)
{
    const struct sim_domain *d = sim_find(hv_sim_host(), PV);
    uint64_t pvh[4] = { 0, (16 << 8) - 1, 16 << 8, 0xfefff };
    uint64_t pv[4] = { d->first_frame + 4, d->first_frame, d->shared_info_frame, 5 };
    uint64_t many[1025] = { 0 };

    assert_int_equal(frame_types(PVH, pvh, 4), 0);
    assert_int_equal(pvh[0], 0);
    assert_int_equal(pvh[1], 0);
    assert_int_equal(pvh[2], XEN_DOMCTL_PFINFO_XTAB);
    assert_int_equal(pvh[3], 0);
    assert_int_equal(frame_types(PV, pv, 4), 0);
    assert_int_equal(pv[0], XEN_DOMCTL_PFINFO_L4TAB | XEN_DOMCTL_PFINFO_LPINTAB);
    assert_int_equal(pv[1], 0);
    assert_int_equal(pv[2], XEN_DOMCTL_PFINFO_XTAB);
    assert_int_equal(pv[3], XEN_DOMCTL_PFINFO_XTAB);
    assert_int_equal(frame_types(PVH, many, 1025), -E2BIG);
}

static void handles_outside_of_the_hypercall_buffers_fault(void **state)
{
    static uint64_t elsewhere[1024];
    struct xen_domctl *d = domctl(XEN_DOMCTL_getpageframeinfo3, PVH);

    d->u.getpageframeinfo3.num = 2;
    d->u.getpageframeinfo3.array.p = elsewhere;
    assert_int_equal(run(), -EFAULT);
    d->u.getpageframeinfo3.array.p = (xen_pfn_t *)(hv.bulk + hv.bulk_size - 8);
    assert_int_equal(run(), -EFAULT);
    d->u.getpageframeinfo3.array.p = NULL;
    assert_int_equal(run(), -EFAULT);
}

static long shadow(uint16_t domid, uint32_t op, uint32_t mode, uint64_t pages)
{
    struct xen_domctl *d = domctl(XEN_DOMCTL_shadow_op, domid);

    d->u.shadow_op.op = op;
    d->u.shadow_op.mode = mode;
    d->u.shadow_op.pages = pages;
    if (pages)
        d->u.shadow_op.dirty_bitmap.p = hv.bulk;
    return run();
}

static unsigned bits(uint64_t pages)
{
    unsigned n = 0;

    for (uint64_t i = 0; i < pages; i++)
        n += hv.bulk[i / 8] >> (i % 8) & 1;
    return n;
}

static void log_dirty_tells_what_was_written_since_the_last_clean(void **state)
{
    uint64_t pages = 0xff000;

    assert_int_equal(shadow(PVH, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, 0, 0), 0);
    assert_int_equal(shadow(PVH, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, 0, 0), -EINVAL);
    assert_int_equal(shadow(PVH, XEN_DOMCTL_SHADOW_OP_CLEAN, 0, pages), 0);
    assert_int_equal(bits(pages), 0);
    assert_int_equal(ctl(NULL, 0, "set 1 dirty=100000"), 0);
    for (int i = 0; i < 500 && !atomic_load(&sim_find(hv_sim_host(), PVH)->dirty_count); i++)
        assert_true(wait_state(PVH, "life=live"));
    assert_int_equal(ctl(NULL, 0, "set 1 dirty=0"), 0);
    assert_int_equal(shadow(PVH, XEN_DOMCTL_SHADOW_OP_PEEK, 0, pages), 0);
    assert_true(bits(pages) > 0);
    assert_int_equal(((struct xen_domctl *)hv.arg)->u.shadow_op.stats.dirty_count, bits(pages));
    assert_int_equal(shadow(PVH, XEN_DOMCTL_SHADOW_OP_CLEAN, XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL, pages),
                     0);
    assert_true(bits(pages) > 0);
    assert_int_equal(shadow(PVH, XEN_DOMCTL_SHADOW_OP_PEEK, 0, pages), 0);
    assert_int_equal(bits(pages), 0);
    assert_int_equal(shadow(PVH, XEN_DOMCTL_SHADOW_OP_CLEAN, 2, pages), -EINVAL);
    assert_int_equal(shadow(PVH, XEN_DOMCTL_SHADOW_OP_OFF, 0, 0), 0);
    assert_int_equal(shadow(PVH, XEN_DOMCTL_SHADOW_OP_OFF, 0, 0), 0);
}

static void the_hvm_context_needs_the_room_that_the_query_named(void **state)
{
    struct xen_domctl *d = domctl(XEN_DOMCTL_gethvmcontext, PVH);
    uint32_t size;

    assert_int_equal(run(), 0);
    size = d->u.hvmcontext.size;
    assert_true(size > 4096);
    d->u.hvmcontext.buffer.p = hv.bulk;
    d->u.hvmcontext.size = size - 1;
    assert_int_equal(run(), -ENOSPC);
    d->u.hvmcontext.size = size;
    assert_int_equal(run(), 0);
    domctl(XEN_DOMCTL_gethvmcontext, PV);
    assert_int_equal(run(), -EINVAL);
}

static void vcpus_that_are_not_there_are_refused(void **state)
{
    struct xen_domctl *d = domctl(XEN_DOMCTL_getvcpucontext, PV);

    d->u.vcpucontext.ctxt.p = (vcpu_guest_context_t *)hv.bulk;
    d->u.vcpucontext.vcpu = 1;
    assert_int_equal(run(), 0);
    d->u.vcpucontext.vcpu = 2;
    assert_int_equal(run(), -ESRCH);
    d->u.vcpucontext.vcpu = 100;
    assert_int_equal(run(), -EINVAL);
}

static long memory_op(unsigned cmd, const void *arg, size_t size)
{
    const uint64_t args[5] = { cmd, (uintptr_t)hv.arg };
    long ret;

    memcpy(hv.arg, arg, size);
    ret = hv_call(__HYPERVISOR_memory_op, 2, args);
    return ret < 0 ? -errno : ret;
}

static void vnuma_is_EOPNOTSUPP_where_there_is_none_and_ENOBUFS_where_there_is(void **state)
{
    struct xen_vnuma_topology_info v = { .domid = PVH };

    assert_int_equal(memory_op(XENMEM_get_vnumainfo, &v, sizeof(v)), -EOPNOTSUPP);
    assert_int_equal(ctl(NULL, 0, "create name=numa,domid=8,type=pvh,mem=4,vnuma=1"), 0);
    v.domid = 8;
    assert_int_equal(memory_op(XENMEM_get_vnumainfo, &v, sizeof(v)), -ENOBUFS);
    assert_int_equal(ctl(NULL, 0, "destroy 8"), 0);
}

static void maximum_gpfn_reaches_to_the_special_pages(void **state)
{
    domid_t domid = PVH;

    assert_int_equal(memory_op(XENMEM_maximum_gpfn, &domid, sizeof(domid)), 0xfefff);
    domid = 99;
    assert_int_equal(memory_op(XENMEM_maximum_gpfn, &domid, sizeof(domid)), -ESRCH);
}

static void a_multicall_carries_each_result_in_its_entry(void **state)
{
    multicall_entry_t *m = (multicall_entry_t *)hv.bulk;
    const uint64_t args[5] = { (uintptr_t)m, 1 };
    domid_t domid = PVH;

    memcpy(hv.arg, &domid, sizeof(domid));
    *m = (multicall_entry_t){ .op = __HYPERVISOR_memory_op,
                              .args = { XENMEM_maximum_gpfn, (uintptr_t)hv.arg } };
    assert_int_equal(hv_call(__HYPERVISOR_multicall, 2, args), 0);
    assert_int_equal(m->result, 0xfefff);
    m->op = __HYPERVISOR_multicall;
    assert_int_equal(hv_call(__HYPERVISOR_multicall, 2, args), -1);
    assert_int_equal(errno, EINVAL);
}

static void injected_errors_come_once_and_transient_ones_are_retried(void **state)
{
    assert_int_equal(ctl(NULL, 0, "fail 36 5 12 1"), 0);
    domctl(XEN_DOMCTL_getdomaininfo, PVH);
    assert_int_equal(run(), -ENOMEM);
    assert_int_equal(run(), 0);
    assert_int_equal(ctl(NULL, 0, "fail 36 5 %d 900", EAGAIN), 0);
    assert_int_equal(run(), 0);
    assert_int_equal(ctl(NULL, 0, "fail 36 5 85 1000"), 0);
    assert_int_equal(run(), -85);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_interface_version_is_refused),
        cmocka_unit_test(getdomaininfo_gives_the_next_domain_when_this_one_is_gone),
        cmocka_unit_test(getdomaininfo_tells_type_and_frames),
        cmocka_unit_test(other_domctls_of_a_missing_domain_are_ESRCH),
        cmocka_unit_test(what_is_not_simulated_is_ENOSYS_and_not_a_success),
        cmocka_unit_test(domain_0_cannot_pause_resume_or_log_itself),
        cmocka_unit_test(pauses_are_counted),
        cmocka_unit_test(frames_have_the_types_of_the_guest),
        cmocka_unit_test(handles_outside_of_the_hypercall_buffers_fault),
        cmocka_unit_test(log_dirty_tells_what_was_written_since_the_last_clean),
        cmocka_unit_test(the_hvm_context_needs_the_room_that_the_query_named),
        cmocka_unit_test(vcpus_that_are_not_there_are_refused),
        cmocka_unit_test(vnuma_is_EOPNOTSUPP_where_there_is_none_and_ENOBUFS_where_there_is),
        cmocka_unit_test(maximum_gpfn_reaches_to_the_special_pages),
        cmocka_unit_test(a_multicall_carries_each_result_in_its_entry),
        cmocka_unit_test(injected_errors_come_once_and_transient_ones_are_retried),
    };

    return cmocka_run_group_tests(tests, world_start, world_stop);
}
