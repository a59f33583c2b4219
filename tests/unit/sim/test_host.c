/* SPDX-License-Identifier: LGPL-2.1-only */
/* The simulated host: guests that suspend or do not, pins, memory files, and a whole save. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenguest.h>

#include "tests/unit/sim/world.h"
#include "workers/common.h"

#define SHUTDOWN_NODE(domid) "/local/domain/" domid "/control/shutdown"

/* The domain itself made anew, behaving like this. */
static void fresh(const char *behave)
{
    assert_int_equal(ctl(NULL, 0, "reuse 1 force"), 0);
    assert_int_equal(ctl(NULL, 0, "behave 1 %s", behave), 0);
}

static void request_suspend(void)
{
    assert_int_equal(ctl(NULL, 0, "write " SHUTDOWN_NODE("1") " suspend"), 0);
}

static void a_guest_acknowledges_and_suspends(void **state)
{
    fresh("normal");
    request_suspend();
    assert_true(wait_state(PVH, "shutdown=2"));
    assert_true(wait_state(PVH, "suspends=1"));
    domctl(XEN_DOMCTL_resumedomain, PVH);
    assert_int_equal(run(), 0);
    assert_true(wait_state(PVH, "shutdown=- logdirty=0 resumes=1"));
}

static void a_guest_that_ignores_leaves_the_request_standing(void **state)
{
    char value[64];

    fresh("ignore");
    request_suspend();
    usleep(100000);
    assert_int_equal(ctl(value, sizeof(value), "read " SHUTDOWN_NODE("1")), 0);
    assert_string_equal(value, "suspend");
    assert_true(wait_state(PVH, "shutdown=-"));
}

static void a_withdrawn_request_is_not_answered(void **state)
{
    fresh("normal");
    assert_int_equal(ctl(NULL, 0, "set 1 ack-ms=100"), 0);
    request_suspend();
    assert_int_equal(ctl(NULL, 0, "write " SHUTDOWN_NODE("1")), 0);
    usleep(200000);
    assert_true(wait_state(PVH, "shutdown=-"));
    assert_int_equal(ctl(NULL, 0, "set 1 ack-ms=2"), 0);
}

static void a_stalling_guest_acknowledges_only(void **state)
{
    fresh("stall");
    request_suspend();
    assert_true(wait_state(PVH, "control="));
    usleep(100000);
    assert_true(wait_state(PVH, "shutdown=-"));
}

static void a_crashing_guest_shuts_down_for_another_reason(void **state)
{
    fresh("crash");
    request_suspend();
    assert_true(wait_state(PVH, "shutdown=3"));
}

static void a_dying_domain_is_gone_at_once_when_nothing_pins_it(void **state)
{
    fresh("die");
    request_suspend();
    for (int i = 0; i < 500 && ctl(NULL, 0, "state 1") == 0; i++)
        usleep(10000);
    assert_int_equal(ctl(NULL, 0, "state 1"), -ESRCH);
    assert_int_equal(ctl(NULL, 0, "create name=web,domid=1,type=pvh,mem=16,sum=1"), 0);
}

static void a_reused_domid_has_another_handle(void **state)
{
    char before[16];

    fresh("reuse");
    memcpy(before, sim_find(hv_sim_host(), PVH)->handle, 16);
    request_suspend();
    for (int i = 0; i < 500; i++) {
        struct sim_domain *d = sim_find(hv_sim_host(), PVH);

        if (d && memcmp(before, d->handle, 16))
            return;
        usleep(10000);
    }
    fail();
}

static void a_pinned_domid_cannot_be_reused(void **state)
{
    struct hv_pin pin = { 0 };

    fresh("normal");
    assert_int_equal(hv_pin(&pin, PVH, 0), 0);
    assert_non_null(pin.page);
    assert_int_equal(ctl(NULL, 0, "destroy 1"), 0);
    assert_true(wait_state(PVH, "life=dying"));
    assert_int_equal(ctl(NULL, 0, "create name=web,domid=1,type=pvh,mem=16"), -EEXIST);
    hv_unpin(&pin);
    assert_null(pin.page);
    assert_int_equal(ctl(NULL, 0, "state 1"), -ESRCH);
    assert_int_equal(ctl(NULL, 0, "create name=web,domid=1,type=pvh,mem=16,sum=1"), 0);
}

static void a_pin_on_a_frame_that_is_not_there_fails(void **state)
{
    struct hv_pin pin = { 0 };

    assert_int_equal(hv_pin(&pin, PVH, 0x80000), -EINVAL);
    assert_int_equal(hv_pin(&pin, 99, 0), -ESRCH);
    assert_null(pin.page);
    assert_int_equal(hv_pin(&pin, PV, sim_find(hv_sim_host(), PV)->shared_info_frame), 0);
    hv_unpin(&pin);
}

/* Runs fn in a child with a connection of its own, which then kills itself. */
static void in_a_child(void (*fn)(void))
{
    pid_t pid = fork();
    char why[128];

    if (pid == 0) {
        if (hv_open(why))
            _exit(1);
        fn();
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void pin_domain(void)
{
    struct hv_pin pin;

    if (hv_pin(&pin, PVH, 0))
        _exit(1);
}

static void log_dirty_on(void)
{
    domctl(XEN_DOMCTL_shadow_op, PVH)->u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY;
    if (run())
        _exit(1);
}

static void a_pin_goes_with_its_holder_and_log_dirty_does_not(void **state)
{
    fresh("normal");
    in_a_child(pin_domain);
    assert_true(wait_state(PVH, "pins=0"));
    in_a_child(log_dirty_on);
    assert_true(wait_state(PVH, "logdirty=1"));
    domctl(XEN_DOMCTL_shadow_op, PVH)->u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_OFF;
    assert_int_equal(run(), 0);
}

static void the_memory_file_can_only_be_read(void **state)
{
    int fd = hv_privcmd_fd(PVH);
    void *p;

    assert_true(fd >= 0);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(errno, EACCES);
    p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    assert_int_equal(mprotect(p, 4096, PROT_READ | PROT_WRITE), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(errno, EBADF);
    munmap(p, 4096);
    close(fd);
}

static void take_files(uint16_t domid)
{
    worker.grant.domid = domid;
    worker.privcmd = hv_privcmd_fd(domid);
    worker.privcmd_xen = hv_privcmd_fd(DOMID_XEN);
    assert_true(worker.privcmd >= 0 && worker.privcmd_xen >= 0);
}

static void mapping_names_the_frames_that_are_not_there(void **state)
{
    xen_pfn_t frames[4] = { 1, 2, 0x80000, 3 };
    int errors[4];
    char *p;

    take_files(PVH);
    p = xenforeignmemory_map(NULL, PVH, PROT_READ, 4, frames, errors);
    assert_non_null(p);
    assert_int_equal(errors[0], 0);
    assert_int_equal(errors[1], 0);
    assert_int_equal(errors[2], -EINVAL);
    assert_int_equal(errors[3], 0);
    assert_int_equal(xenforeignmemory_unmap(NULL, p, 4), 0);
    assert_null(xenforeignmemory_map(NULL, PVH, PROT_READ, 4, frames, NULL));
    assert_int_equal(errno, EINVAL);
    assert_null(xenforeignmemory_map(NULL, PVH, PROT_READ | PROT_WRITE, 1, frames, errors));
    assert_int_equal(errno, EACCES);
    assert_null(xenforeignmemory_map(NULL, PV, PROT_READ, 1, frames, errors));
    assert_int_equal(errno, EPERM);
}

static int suspend(void *data)
{
    return ctl(NULL, 0, "shutdown 1 2") == 0;
}

static void no_log(xentoollog_logger *l, xentoollog_level level, int errnoval, const char *context,
                   const char *format, va_list al)
{
}

static void no_progress(xentoollog_logger *l, const char *context, const char *doing, int percent,
                        unsigned long done, unsigned long total)
{
}

static int logdirty(uint32_t domid, unsigned enable, void *data)
{
    return 0;
}

/* Op, cmd and detail of the calls since `from`, pages' rounds as one, domctls without their op. */
static size_t trace(uint64_t from, unsigned out[64])
{
    const struct sim_host *h = hv_sim_host();
    size_t n = 0;

    for (uint64_t i = from; i < atomic_load(&h->calls) && n < 64; i++) {
        const struct sim_call *c = &h->trace[i % SIM_TRACE];
        unsigned key = c->op == __HYPERVISOR_domctl ? c->cmd : 1000u * c->op + c->cmd;

        if (c->op == __HYPERVISOR_hvm_op)
            key = 1000u * c->op + c->detail;
        if (c->op == __HYPERVISOR_domctl && c->cmd == XEN_DOMCTL_shadow_op)
            key = 100u * c->cmd + c->detail;
        if (n && out[n - 1] == key && key == XEN_DOMCTL_getpageframeinfo3)
            continue;
        out[n++] = key;
    }
    return n;
}

/* What was traced on the library itself: facts of the save sequence, HVM and PVH. */
static void the_library_saves_a_pvh_guest_with_the_calls_that_are_known(void **state)
{
    static const unsigned wanted[] = {
        5, 12014, 17000, 35029, 82, 5, 61, 59, 33, 33, 34001, 34005, 34006, 34027, 34028, 34029,
        34037, 34017, 34019, 34009, 34012, 34034, 34032, 34033, 34036, 34038, 1000,
    };
    struct save_callbacks cb = { .suspend = suspend, .switch_qemu_logdirty = logdirty };
    xentoollog_logger quiet = { no_log, no_progress, NULL };
    unsigned got[64] = { 0 };
    xc_interface *xch;
    uint64_t from;
    size_t n;
    int fd;

    fresh("normal");
    take_files(PVH);
    sim_access_ok = NULL;       /* the library's buffers are anywhere */
    fd = memfd_create("image", MFD_CLOEXEC);
    xch = xc_interface_open(&quiet, &quiet, 0);
    assert_non_null(xch);
    from = atomic_load(&hv_sim_host()->calls);
    assert_int_equal(xc_domain_save(xch, fd, PVH, 0, &cb, XC_STREAM_PLAIN, -1), 0);
    n = trace(from, got);
    assert_int_equal(n, sizeof(wanted) / sizeof(wanted[0]));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(got[i], wanted[i]);
    xc_interface_close(xch);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_acknowledges_and_suspends),
        cmocka_unit_test(a_guest_that_ignores_leaves_the_request_standing),
        cmocka_unit_test(a_withdrawn_request_is_not_answered),
        cmocka_unit_test(a_stalling_guest_acknowledges_only),
        cmocka_unit_test(a_crashing_guest_shuts_down_for_another_reason),
        cmocka_unit_test(a_dying_domain_is_gone_at_once_when_nothing_pins_it),
        cmocka_unit_test(a_reused_domid_has_another_handle),
        cmocka_unit_test(a_pinned_domid_cannot_be_reused),
        cmocka_unit_test(a_pin_on_a_frame_that_is_not_there_fails),
        cmocka_unit_test(a_pin_goes_with_its_holder_and_log_dirty_does_not),
        cmocka_unit_test(the_memory_file_can_only_be_read),
        cmocka_unit_test(mapping_names_the_frames_that_are_not_there),
        cmocka_unit_test(the_library_saves_a_pvh_guest_with_the_calls_that_are_known),
    };

    return cmocka_run_group_tests(tests, world_start, world_stop);
}
