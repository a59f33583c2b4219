/* SPDX-License-Identifier: LGPL-2.1-only */
/* Attacks on the two channels: frames that are malformed, out of phase, too many, or with fds. */
#include "tests/hostile/worker.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/launch/fds.h"

static const uint8_t zeroes[70000];

/* fd: of the channel.  Each of these ends the job. */

static void frame_short(long fd)
{
    send_bytes((int)fd, "moat", 4);
    wait_for_end();
}

static void frame_length(long fd)
{
    send_frame_raw((int)fd, 0xffffffff, fd == FD_WORKER_PARENT ? MSG_SUSPEND_GUEST : MSG_CALL, 0,
                   worker.job, zeroes, 8);
    wait_for_end();
}

static void frame_unknown(long fd)
{
    send_frame_raw((int)fd, 0, 0xffff, 0, worker.job, NULL, 0);
    wait_for_end();
}

/* A message that exists, but is somebody else's to send. */
static void frame_direction(long fd)
{
    send_frame_raw((int)fd, 20, fd == FD_WORKER_PARENT ? MSG_OUTCOME : MSG_DESTROY, 0, worker.job,
                   zeroes, 20);
    wait_for_end();
}

static void frame_large(long fd)
{
    send_frame_raw((int)fd, sizeof(zeroes), fd == FD_WORKER_PARENT ? MSG_WORKER_LOG : MSG_CALL, 0,
                   worker.job, zeroes, sizeof(zeroes));
    wait_for_end();
}

static void frame_empty(long fd)
{
    send_bytes((int)fd, "", 0);
    wait_for_end();
}

static void frame_fds_lie(long fd)
{
    send_frame_raw((int)fd, 0, fd == FD_WORKER_PARENT ? MSG_SUSPEND_GUEST : MSG_CALL, 5, worker.job,
                   NULL, 0);
    wait_for_end();
}

/* Another job's number: the job before ours, and the one that a test runs beside it. */
static void frame_job(long fd)
{
    static const uint8_t call[16];

    send_frame_raw((int)fd, fd == FD_WORKER_PARENT ? 0 : sizeof(call),
                   fd == FD_WORKER_PARENT ? MSG_SUSPEND_GUEST : MSG_CALL, 0, worker.job - 1, call,
                   fd == FD_WORKER_PARENT ? 0 : sizeof(call));
    wait_for_end();
}

static void frame_trailing(long fd)
{
    send_frame_raw((int)fd, 64, fd == FD_WORKER_PARENT ? MSG_SUSPEND_GUEST : MSG_CALL, 0,
                   worker.job, zeroes, 64);
    wait_for_end();
}

/* A length inside the payload that points behind its end. */
static void frame_inner(long fd)
{
    uint8_t log[64] = {0}, callbuf[64] = {0};

    put(log, 4, 2, 500);
    put(callbuf, 8, 4, 0xfffffff0);
    if (fd == FD_WORKER_PARENT)
        send_frame_raw((int)fd, sizeof(log), MSG_WORKER_LOG, 0, worker.job, log, sizeof(log));
    else
        send_frame_raw((int)fd, sizeof(callbuf), MSG_CALL, 0, worker.job, callbuf, sizeof(callbuf));
    wait_for_end();
}

/* ---- file descriptors: a locked worker has no sendmsg; a replaced one has */

static long send_fds(int channel, uint16_t type, uint16_t count, unsigned n)
{
    static uint8_t frame[IPC_HEADER_SIZE];
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(250 * sizeof(int))];
    } control = {0};
    struct iovec iov = {frame, sizeof(frame)};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
                        .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

    put(frame, 4, 2, type);
    put(frame, 6, 2, count);
    put(frame, 8, 4, worker.job);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n * sizeof(int));
    for (unsigned i = 0; i < n; i++)
        memcpy(CMSG_DATA(c) + i * sizeof(int), &worker.config, sizeof(int));
    return sendmsg(channel, &mh, MSG_NOSIGNAL);
}

static void one_fd(long fd)
{
    send_fds((int)fd, fd == FD_WORKER_PARENT ? MSG_SUSPEND_GUEST : MSG_CALL, 1, 1);
    wait_for_end();
}

static void fd_flood(long fd)
{
    for (unsigned i = 0; i < 1000; i++)
        if (send_fds((int)fd, fd == FD_WORKER_PARENT ? MSG_SUSPEND_GUEST : MSG_CALL, 0, 250) < 0)
            break;
    wait_for_end();
}

/* The warden asks the kernel who sent a frame: nobody can say that it was another process. */
static void forged_pid(long arg)
{
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(struct ucred))];
    } control = {0};
    const struct ucred as = {.pid = 1, .uid = getuid(), .gid = getuid()};
    uint8_t byte = 0;
    struct iovec iov = {&byte, 1};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
                        .msg_controllen = sizeof(control.buf)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_CREDENTIALS;
    c->cmsg_len = CMSG_LEN(sizeof(as));
    memcpy(CMSG_DATA(c), &as, sizeof(as));
    must_fail(sendmsg(FD_WORKER_WARDEN, &mh, MSG_NOSIGNAL), EPERM, "a frame as pid 1");
    held("credentials are the kernel's");
}

static void another_process(long arg)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    uint8_t call_arg[512];

    if (!pid) {
        fill(HV_GETDOMAININFO, call_arg);
        call_row(HV_GETDOMAININFO, call_arg);
        for (;;)
            pause();
    }
    must_fail(pid, EAGAIN, "clone3");
    held("no process");
}

/* ---- the protocol with the parent */

static void silent(long arg)
{
    wait_for_end();
}

static void hello_version(long version)
{
    struct msg_HELLO m = {.version = (uint32_t)version};

    worker_tell(MSG_HELLO, &m);
    wait_for_end();
}

static void hello_twice(long arg)
{
    struct msg_HELLO m = {.version = IPC_VERSION};

    worker_tell(MSG_HELLO, &m);
    wait_for_end();
}

static void suspend_early(long arg)
{
    worker_tell(MSG_SUSPEND_GUEST, NULL);
    wait_for_end();
}

static void suspend_at_once(long arg)
{
    struct msg_SUSPENDED answer;

    worker_tell(MSG_SUSPEND_GUEST, NULL);
    worker_await(&worker.parent, MSG_SUSPENDED, &answer);
    breach("suspended without a call: rc %d", answer.rc);
}

static void suspend_twice(long arg)
{
    worker_tell(MSG_SUSPEND_GUEST, NULL);
    worker_tell(MSG_SUSPEND_GUEST, NULL);
    wait_for_end();
}

static void suspend_again(long arg)
{
    suspend_guest();
    worker_tell(MSG_SUSPEND_GUEST, NULL);
    wait_for_end();
}

static void progress_nonsense(long arg)
{
    static const uint64_t values[] = {0, 1, UINT32_MAX, UINT64_MAX, 1ull << 63};

    for (unsigned i = 0; i < 5; i++)
        for (unsigned k = 0; k < 5; k++) {
            struct msg_WORKER_PROGRESS m = {.stage = (uint32_t)values[i], .done = values[k],
                                            .iteration = (uint32_t)values[k], .total = values[i]};

            worker_tell(MSG_WORKER_PROGRESS, &m);
        }
    held("numbers are shown, not used");
}

/* Escape sequences, and text that looks like lines of moat's own. */
static void log_escapes(long arg)
{
    struct msg_WORKER_LOG m = {.level = 8};

    memcpy(m.text, "\033]0;owned\007\033[2J\rmoat: job 1: saved\n\x7f\xc2\x9b" "31m", 40);
    worker_tell(MSG_WORKER_LOG, &m);
    held("\033[31mred\033[0m\rmoat: job 1: saved");
}

static void log_utf8(long arg)
{
    uint8_t m[16] = {8, 0, 0, 0, 4, 0, 0xc0, 0xaf, 0xff, 0xfe};

    send_frame_raw(FD_WORKER_PARENT, 10, MSG_WORKER_LOG, 0, worker.job, m, 10);
    wait_for_end();
}

static void log_flood(long arg)
{
    struct msg_WORKER_LOG m = {.level = 8, .text = "more"};

    for (;;)
        worker_tell(MSG_WORKER_LOG, &m);
}

static void close_channel(long fd)
{
    close((int)fd);
    wait_for_end();
}

/* Asks the parent for what it answers, and never reads it: its queue is bounded. */
static void complete_twice(long arg)
{
    worker_complete(0, 0, 1, NULL);
    worker_complete(0, 0, 1, NULL);
    wait_for_end();
}

#define BOTH(name, run, mode, parent, warden, options, promise) \
    {name "-to-parent", run, FD_WORKER_PARENT, mode, parent, options, promise " (parent)"}, \
    {name "-to-warden", run, FD_WORKER_WARDEN, mode, warden, options, promise " (warden)"}

const struct attack attacks_frames[] = {
    BOTH("frame-short", frame_short, LOCKED, "protocol", "protocol/frame", NULL,
         "a frame without a header ends the job"),
    BOTH("frame-length", frame_length, LOCKED, "protocol", "protocol/frame", NULL,
         "a wrong length in the header ends the job"),
    BOTH("frame-unknown", frame_unknown, LOCKED, "protocol", "protocol/frame", NULL,
         "a type that does not exist ends the job"),
    BOTH("frame-direction", frame_direction, LOCKED, "protocol", "protocol/frame", NULL,
         "somebody else's message ends the job"),
    BOTH("frame-large", frame_large, LOCKED, "protocol", "protocol/frame", NULL,
         "more than 64 KiB ends the job"),
    BOTH("frame-empty", frame_empty, LOCKED, "deadline", "deadline", "--deadline 2",
         "an empty packet is the end of the channel, and the job waits for its deadline"),
    BOTH("frame-fds-lie", frame_fds_lie, LOCKED, "protocol", "protocol/frame", NULL,
         "fds that are announced and not there end the job"),
    BOTH("frame-job", frame_job, LOCKED, "protocol", "protocol/frame", NULL,
         "another job's number ends the job"),
    BOTH("frame-trailing", frame_trailing, LOCKED, "protocol", "protocol/frame", NULL,
         "bytes behind the message end the job"),
    BOTH("frame-inner-length", frame_inner, LOCKED, "protocol", "protocol/frame", NULL,
         "a length inside the message that points behind it ends the job"),
    BOTH("fd", one_fd, LOCKED, "signal 31", "signal 31", NULL, "a worker cannot send an fd"),
    BOTH("fd", one_fd, RAW, "protocol", "protocol/frame", NULL, "an fd of a worker is not taken"),
    BOTH("fd-flood", fd_flood, RAW, "internal/job state|protocol", "protocol/frame", NULL,
         "fds of a worker do not pile up"),
    {"forged-pid", forged_pid, 0, RAW, "worker-failed", NULL,
     "a worker cannot send as another process"},
    {"another-process", another_process, 0, LOCKED, "signal 31", NULL,
     "a worker cannot make a process that speaks for it"},
    {"another-process", another_process, 0, RAW, "worker-failed", NULL,
     "nor can a program in its place"},
    {"never-hello", silent, 0, EARLY, "deadline", "--deadline 2",
     "a worker that never says HELLO lasts until the deadline"},
    {"silent", silent, 0, LOCKED, "deadline", "--deadline 2",
     "a worker that says nothing lasts until the deadline"},
    {"hello-version", hello_version, 2, EARLY, "protocol", NULL,
     "HELLO with another version ends the job"},
    {"hello-twice", hello_twice, 0, LOCKED | RAW, "protocol", NULL, "a second HELLO ends the job"},
    {"suspend-before-hello", suspend_early, 0, EARLY, "protocol", NULL,
     "SUSPEND_GUEST before HELLO ends the job"},
    {"suspend-at-once", suspend_at_once, 0, LOCKED, "protocol/job state", NULL,
     "SUSPEND_GUEST before any hypercall is refused"},
    {"suspend-twice", suspend_twice, 0, LOCKED, "protocol", NULL,
     "a second SUSPEND_GUEST before the answer ends the job"},
    {"suspend-again", suspend_again, 0, LOCKED, "protocol", NULL,
     "a second SUSPEND_GUEST after the answer ends the job"},
    {"progress-nonsense", progress_nonsense, 0, LOCKED, "worker-failed", NULL,
     "no number of a worker matters to anybody"},
    {"log-escapes", log_escapes, 0, LOCKED, "worker-failed", "-v",
     "a worker's text reaches the operator escaped"},
    {"log-utf8", log_utf8, 0, LOCKED, "protocol", NULL, "text that is no UTF-8 ends the job"},
    {"log-flood", log_flood, 0, LOCKED | RAW, "deadline", "--deadline 2",
     "a worker that floods the parent keeps nobody else waiting"},
    {"close-parent", close_channel, FD_WORKER_PARENT, LOCKED, "deadline", "--deadline 2",
     "a worker that closes its channel to the parent lasts until the deadline"},
    {"close-warden", close_channel, FD_WORKER_WARDEN, LOCKED, "deadline", "--deadline 2",
     "a worker that closes its channel to the warden lasts until the deadline"},
    {"complete-twice", complete_twice, 0, LOCKED | RAW, "protocol", NULL,
     "a second COMPLETE ends the job"},
    {0},
};
