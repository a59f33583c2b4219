/* SPDX-License-Identifier: LGPL-2.1-only */
/* Attacks on the result: success that was none, and what a worker can do to FILE and to itself. */
#include "tests/hostile/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/launch/fds.h"

static noreturn void claim_success(int status)
{
    worker_complete(0, 0, 4096, NULL);
    _exit(status);
}

static void nothing_done(long status)
{
    claim_success((int)status);
}

/* Suspended, and then neither state nor the end of log-dirty mode. */
static void without_closing(long rows)
{
    uint8_t arg[512];

    if (worker.grant.flags & INTENT_LIVE) {
        fill(HV_LOGDIRTY_ENABLE, arg);
        if (call_row(HV_LOGDIRTY_ENABLE, arg)->ret)
            breach("an honest ENABLE_LOGDIRTY was refused");
    }
    suspend_guest();
    if (rows) {
        closing_rows();
        if (worker.grant.flags & INTENT_LIVE) {
            /* It was off; on again it cannot be: the row is for before the suspend. */
            fill(HV_LOGDIRTY_ENABLE, arg);
            if (!refused(call_row(HV_LOGDIRTY_ENABLE, arg)))
                breach("log-dirty mode after the suspend");
            held("log-dirty mode stays off");
        }
    }
    claim_success(0);
}

/* The state is read, but log-dirty mode stays on. */
static void left_logdirty(long arg)
{
    uint8_t a[512];

    fill(HV_LOGDIRTY_ENABLE, a);
    if (call_row(HV_LOGDIRTY_ENABLE, a)->ret)
        breach("an honest ENABLE_LOGDIRTY was refused");
    suspend_guest();
    fill(HV_GETVCPUCONTEXT, a);
    if (call_row(HV_GETVCPUCONTEXT, a)->ret)
        breach("an honest getvcpucontext was refused");
    claim_success(0);
}

/* Says that all is well and goes on talking to the warden. */
static void complete_early(long arg)
{
    uint8_t a[512];

    worker_complete(0, 0, 4096, NULL);
    for (unsigned i = 0; i < 100; i++) {
        fill(HV_GETDOMAININFO, a);
        call_row(HV_GETDOMAININFO, a);
    }
    _exit(0);
}

static void complete_and_stay(long arg)
{
    suspend_guest();
    closing_rows();
    worker_complete(0, 0, 4096, NULL);
    wait_for_end();
}

/* All the rows, no image: what THREATS says that a worker can do. */
static void lie_about_image(long arg)
{
    if (write(worker.file, "no image", 8) != 8)
        breach("FILE cannot be written");
    suspend_guest();
    closing_rows();
    claim_success(0);
}

static void exit_status(long status)
{
    suspend_guest();
    closing_rows();
    claim_success((int)status);
}

/* The failure of a hypercall, in the place of an answer that never was. */
static void garbage(long arg)
{
    static uint8_t page[65536];

    memset(page, 0xa5, sizeof(page));
    for (unsigned i = 0; i < 64; i++)
        if (write(worker.file, page, sizeof(page)) < 0)
            break;
    held("4 MiB of garbage");
}

static void sparse(long arg)
{
    if (lseek(worker.file, 1ll << 41, SEEK_SET) < 0 || write(worker.file, "end", 3) != 3)
        held("a large FILE: %s", strerrorname_np(errno));
    claim_success(0);
}

/* ---- the arena and the configuration: what a program in the worker's place can do to them */

static void arena_writable(long arg)
{
    uint8_t *p = mmap(NULL, worker.grant.arena_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                      spare_arena, 0);
    uint8_t a[512];

    if (p == MAP_FAILED)
        held("the arena is read-only: %s", strerrorname_np(errno));
    /* The warden executes on its own memory and copies the answer out. */
    for (unsigned i = 0; i < 50; i++) {
        const struct answer *r;

        memset(p, 0xff, worker.grant.arena_size);
        fill(HV_GETPAGEFRAMEINFO3, a);
        r = call_row(HV_GETPAGEFRAMEINFO3, a);
        if (r->ret || r->data_len != 8)
            breach("an honest call beside a hostile arena: ret %d", r->ret);
    }
    held("the arena's content does not matter");
}

static void config_writable(long arg)
{
    must_fail(write(worker.config, "{}", 2), EBADF, "writing the configuration");
    held("the configuration is read-only");
}

/* ---- where it finds itself */

extern char **environ;

static void environment(long arg)
{
    static const int expected[] = {0, 1, 2, FD_WORKER_PARENT, FD_WORKER_WARDEN, FD_STATUS, 40};
    char buf[64];

    if (environ && environ[0])
        breach("the environment has %s", environ[0]);
    must_fail(openat(AT_FDCWD, "/proc/self/status", O_RDONLY), ENOENT, "/proc");
    must_fail(openat(AT_FDCWD, "/proc/1/status", O_RDONLY), ENOENT, "/proc/1");
    must_fail(openat(AT_FDCWD, "/dev/xen/privcmd", O_RDONLY), ENOENT, "/dev/xen/privcmd");
    must_fail(openat(AT_FDCWD, "/etc/passwd", O_RDONLY), ENOENT, "/etc/passwd");
    must_fail(openat(AT_FDCWD, "/run/moat/moat.sock", O_RDONLY), ENOENT, "/run/moat/moat.sock");
    must_fail(openat(AT_FDCWD, "/", O_TMPFILE | O_RDWR, 0600), 0, "a file in the root");
    must_fail(openat(AT_FDCWD, "/save", O_WRONLY), 0, "writing the worker's program");
    must_fail(openat(worker.file, "..", O_RDONLY), 0, "FILE's folder");
    must_fail(readlink("/proc/self/exe", buf, sizeof(buf)), ENOENT, "/proc/self/exe");
    for (int fd = 0; fd < 1024; fd++) {
        bool known = fd == worker.file || fd == worker.config || fd == worker.privcmd;

        for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
            known |= fd == expected[i];
        if (!known && fcntl(fd, F_GETFD) >= 0)
            breach("fd %d was inherited", fd);
    }
    held("no environment, no files, no fds");
}

const struct attack attacks_image[] = {
    {"complete-nothing", nothing_done, 0, LOCKED | RAW | EARLY, "unseen", NULL,
     "COMPLETE 0 without having done anything is no success"},
    {"complete-nothing-destroying", nothing_done, 0, LOCKED, "unseen", "destroy",
     "and does not destroy the domain"},
    {"complete-without-rows", without_closing, 0, LOCKED, "unseen", "destroy",
     "COMPLETE 0 before the warden saw the vcpu state being read is no success"},
    {"complete-without-rows-live", without_closing, 0, LOCKED, "unseen", "--live destroy",
     "nor of a live save"},
    {"logdirty-again", without_closing, 1, LOCKED, "worker-failed/no row", "--live",
     "log-dirty mode cannot be begun after the suspend"},
    {"logdirty-left-on", left_logdirty, 0, LOCKED, "unseen", "--live destroy",
     "COMPLETE 0 with log-dirty mode on is no success, and it is switched off"},
    {"complete-early", complete_early, 0, LOCKED, "protocol", NULL,
     "COMPLETE 0 before the work is no success"},
    {"complete-and-stay", complete_and_stay, 0, LOCKED, "deadline", "--deadline 3 destroy",
     "COMPLETE 0 without exit is no success"},
    {"exit-status", exit_status, 3, LOCKED, "worker-died", "destroy",
     "COMPLETE 0 with another exit status is no success"},
    {"image-lie", lie_about_image, 0, LOCKED, "done", NULL,
     "a worker can spoil its own image, and nothing else (doc/THREATS)"},
    {"file-garbage", garbage, 0, LOCKED, "worker-failed", NULL,
     "garbage in FILE never gets the name"},
    {"file-sparse", sparse, 0, LOCKED, "unseen", NULL, "nor does a huge sparse FILE"},
    {"arena-writable", arena_writable, 0, RAW, "worker-failed", "--live",
     "what a worker writes into the arena does not matter"},
    {"configuration-writable", config_writable, 0, RAW | LOCKED, "worker-failed", NULL,
     "the domain's configuration is read-only"},
    {"environment", environment, 0, RAW, "worker-failed", NULL,
     "a worker begins without environment, files and inherited fds"},
    {0},
};
