/* SPDX-License-Identifier: LGPL-2.1-only */
/* A worker's first moments, and calls that have no row. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <xenctrl.h>
#include <xencall.h>

#include "policy/launch/fds.h"
#include "workers/common.h"

static struct ipc_frame frame;
static struct ipc_chan warden, parent;

static void pair(struct ipc_chan *ours, uint32_t self, uint32_t phase, int *theirs)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    *ours = (struct ipc_chan){ .fd = fds[0], .self = self, .peer = WORKER, .phase = phase };
    *theirs = fds[1];
}

static int memfd(size_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0 && !ftruncate(fd, (off_t)size));
    return fd;
}

static void send_grant(uint32_t guest, uint64_t arena, unsigned nfds)
{
    struct msg_GRANT g = { .domid = 5, .guest_type = guest, .flags = INTENT_LIVE,
                           .arena_size = arena };
    int fds[5] = {-1, -1, -1, -1, -1};
    unsigned i;

    for (i = 0; i < nfds; i++)
        fds[i] = memfd(65536);
    assert_int_equal(ipc_send(&warden, MSG_GRANT, 9, &g, fds, nfds), 0);
    for (i = 0; i < nfds; i++)
        close(fds[i]);
}

static int take(uint32_t guest, uint64_t arena, unsigned nfds)
{
    struct ipc_chan theirs = { .self = WORKER, .peer = WARDEN, .phase = PH_OPEN,
                               .takes_fds = true };
    char why[128] = "";
    int rc;

    pair(&warden, WARDEN, PH_RUN, &theirs.fd);
    send_grant(guest, arena, nfds);
    assert_int_equal(ipc_recv(&theirs, &frame), 1);
    rc = worker_take_grant(&frame, why);
    assert_true(!rc == !why[0]);
    ipc_close_fds(&frame);
    close(theirs.fd);
    close(warden.fd);
    return rc;
}

static void a_grant_must_fit_the_guests_type(void **state)
{
    assert_int_equal(take(GUEST_PVH, 65536, 5), -EPROTO);
    assert_int_equal(take(GUEST_PV, 65536, 4), -EPROTO);
    assert_int_equal(take(GUEST_PVH, 0, 4), -EPROTO);
    assert_int_equal(take(GUEST_PVH, 65536, 4), 0);
    assert_int_equal(worker.job, 9);
    assert_int_equal(worker.grant.domid, 5);
    assert_true(worker.file >= 0 && worker.config >= 0 && worker.privcmd >= 0);
    assert_int_equal(worker.privcmd_xen, -1);
    assert_int_equal(worker.arena[65535], 0);
    assert_int_equal(take(GUEST_PV, 65536, 5), 0);
    assert_true(worker.privcmd_xen >= 0);
}

/* ---- the whole start, locked, in a child */

static void child(int warden_fd, int parent_fd)
{
    char why[128];
    int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

    if (!geteuid() && sandbox_become(65534, 65534, 0, why))
        _exit(90);
    /* away from the numbers they go to */
    status = fcntl(status, F_DUPFD, 50);
    warden_fd = fcntl(warden_fd, F_DUPFD, 50);
    parent_fd = fcntl(parent_fd, F_DUPFD, 50);
    if (dup2(parent_fd, FD_WORKER_PARENT) < 0 || dup2(warden_fd, FD_WORKER_WARDEN) < 0 ||
        dup2(status, FD_STATUS) < 0)
        _exit(91);
    close(status);
    close(warden_fd);
    close(parent_fd);
    worker.parent.fd = FD_WORKER_PARENT;
    worker.warden.fd = FD_WORKER_WARDEN;
    worker.warden.takes_fds = true;
    worker.warden.phase = worker.parent.phase = PH_OPEN;
    if (worker_start(SANDBOX_SAVE, why))
        _exit(1);
    worker_complete(0, 0, 77, NULL);
    _exit(0);
}

static pid_t start(void)
{
    int w, p;
    pid_t pid;

    pair(&warden, WARDEN, PH_RUN, &w);
    pair(&parent, PARENT, PH_OPEN, &p);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid)
        child(w, p);
    close(w);
    close(p);
    return pid;
}

static int end(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(warden.fd);
    close(parent.fd);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void starts(uint32_t flags, struct msg_COMPLETE *complete)
{
    struct msg_START s = { .flags = flags, .target_kb = 1 };
    struct msg_HELLO hello;

    send_grant(GUEST_PVH, 65536, 4);
    assert_int_equal(ipc_expect(&parent, &frame, MSG_HELLO, &hello, 60000), 0);
    assert_int_equal(hello.version, IPC_VERSION);
    parent.phase = PH_RUN;
    assert_int_equal(ipc_send(&parent, MSG_START, 9, &s, NULL, 0), 0);
    assert_int_equal(ipc_expect(&parent, &frame, MSG_COMPLETE, complete, 60000), 0);
    assert_int_equal(frame.job, 9);
}

static void it_is_locked_when_it_says_hello(void **state)
{
    struct msg_COMPLETE complete;
    pid_t pid = start();

    starts(INTENT_LIVE, &complete);
    assert_int_equal(complete.retval, 0);
    assert_int_equal(complete.bytes, 77);
    assert_int_equal(end(pid), 0);
}

static void the_grant_decides_and_not_the_parent(void **state)
{
    struct msg_COMPLETE complete;
    pid_t pid = start();

    starts(INTENT_LIVE | INTENT_PRESERVE_DOMID, &complete);
    assert_int_equal(complete.retval, -1);
    assert_int_equal(complete.errnum, EPROTO);
    assert_non_null(strstr(complete.message, "granted"));
    assert_int_equal(end(pid), 1);
}

static void without_a_grant_it_ends(void **state)
{
    struct msg_SUSPENDED wrong = { 0 };
    pid_t pid = start();

    shutdown(warden.fd, SHUT_RDWR);
    assert_int_equal(end(pid), 1);

    pid = start();
    send_grant(GUEST_PVH, 65536, 4);
    assert_int_equal(ipc_send(&parent, MSG_SUSPENDED, 9, &wrong, NULL, 0), 0);  /* START is due */
    assert_int_equal(end(pid), 1);
}

/* ---- calls without a row */

static int parent_end;

static int log_setup(void **state)
{
    pair(&parent, PARENT, PH_RUN, &parent_end);
    worker.parent.fd = parent_end;
    worker.warden.fd = -1;              /* a message to the warden would end the test */
    return 0;
}

static int log_teardown(void **state)
{
    close(parent_end);
    close(parent.fd);
    return 0;
}

static void what_has_no_row_is_not_even_sent(void **state)
{
    struct xen_domctl d = { .cmd = XEN_DOMCTL_pausedomain, .domain = 5,
                            .interface_version = XEN_DOMCTL_INTERFACE_VERSION };
    struct msg_WORKER_LOG line;
    multicall_entry_t entry = { .op = __HYPERVISOR_domctl };
    uint64_t arg = (uintptr_t)&d;

    assert_int_equal(xencall1(NULL, __HYPERVISOR_domctl, arg), -1);
    assert_int_equal(errno, ENOSYS);
    assert_int_equal(ipc_expect(&parent, &frame, MSG_WORKER_LOG, &line, 1000), 0);
    assert_non_null(strstr(line.text, "without a row"));

    for (unsigned op = 0; op < 64; op++) {
        if (op == __HYPERVISOR_domctl || op == __HYPERVISOR_sysctl)
            continue;
        assert_int_equal(xencall1(NULL, op, arg), -1);
        assert_int_equal(errno, ENOSYS);
        assert_int_equal(xencall3(NULL, op, 0, 0, 0), -1);
        assert_int_equal(xencall4(NULL, op, 0, 0, 0, 0), -1);
    }
    assert_int_equal(xencall2(NULL, __HYPERVISOR_grant_table_op, 0, arg), -1);
    assert_int_equal(errno, ENOSYS);
    assert_int_equal(xencall2(NULL, __HYPERVISOR_multicall, (uintptr_t)&entry, 1), -1);
    assert_int_equal(errno, ENOSYS);
    entry.op = __HYPERVISOR_memory_op;
    assert_int_equal(xencall2(NULL, __HYPERVISOR_multicall, (uintptr_t)&entry, 2), -1);
    assert_int_equal(errno, ENOSYS);
}

static void a_multicall_carries_the_errno_in_its_entry(void **state)
{
    domid_t domid = 5;
    multicall_entry_t entry = { .op = __HYPERVISOR_memory_op,
                                .args = { XENMEM_populate_physmap, (uintptr_t)&domid } };

    assert_int_equal(xencall2(NULL, __HYPERVISOR_multicall, (uintptr_t)&entry, 1), 0);
    assert_int_equal((long)entry.result, -ENOSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grant_must_fit_the_guests_type),
        cmocka_unit_test(it_is_locked_when_it_says_hello),
        cmocka_unit_test(the_grant_decides_and_not_the_parent),
        cmocka_unit_test(without_a_grant_it_ends),
        cmocka_unit_test_setup_teardown(what_has_no_row_is_not_even_sent, log_setup, log_teardown),
        cmocka_unit_test_setup_teardown(a_multicall_carries_the_errno_in_its_entry, log_setup,
                                        log_teardown),
    };

    return cmocka_run_group_tests_name("workers/common", tests, NULL, NULL);
}
