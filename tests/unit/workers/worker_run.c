/* SPDX-License-Identifier: LGPL-2.1-only */
#include "tests/unit/workers/worker_run.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/workers/fixture.h"
#include "workers/common.h"
#include "workers/save/save.h"

#define ARENA_SIZE (256u << 10)
#define TIMEOUT_MS 60000

static struct ipc_frame frame;

struct ends {
    struct ipc_chan warden, parent;     /* ours */
    int worker_warden, worker_parent;   /* the child's */
};

static void pair(struct ipc_chan *ours, int *theirs, uint32_t self)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    *ours = (struct ipc_chan){ .fd = fds[0], .self = self, .peer = WORKER, .phase = PH_RUN };
    *theirs = fds[1];
}

/* As worker_start() does it, but for the lock, which tests/unit/sandbox and tests/hostile guard. */
static void child(struct ends *e, const struct worker_run *r)
{
    struct rlimit limit = { r->fsize, r->fsize };
    struct save_result result;
    char why[128] = "";

    close(e->warden.fd);
    close(e->parent.fd);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    worker.warden.fd = e->worker_warden;
    worker.parent.fd = e->worker_parent;
    if (ipc_recv(&worker.warden, &frame) != 1 || worker_take_grant(&frame, why))
        _exit(100);
    worker.warden.takes_fds = false;
    worker.warden.phase = worker.parent.phase = PH_RUN;
    worker.start = (struct msg_START){ .flags = worker.grant.flags, .target_kb = 196608 };
    if (r->fsize && setrlimit(RLIMIT_FSIZE, &limit))
        _exit(101);
    save_run(&result);
    worker_complete(result.retval, result.errnum, result.bytes, result.message);
    _exit(result.retval ? 1 : 0);
}

static void grant(struct ends *e, struct worker_run *r, int arena, int config)
{
    struct msg_GRANT g = { .domid = XEN_DOMID, .guest_type = GUEST_PVH, .flags = r->flags,
                           .guest_width = 64, .arena_size = ARENA_SIZE, .max_pages = XEN_PAGES };
    int fds[4] = { r->file, config, arena, config };    /* nobody uses the privcmd */

    assert_int_equal(ipc_send(&e->warden, MSG_GRANT, 3, &g, fds, 4), 0);
}

static int before(struct call_ctx *ctx, enum hv_row row)
{
    struct worker_run *r = ctx->user;

    r->befores++;
    return 0;
}

static bool answer_call(struct ends *e, struct worker_run *r)
{
    struct msg_CALL in;
    struct msg_CALLED out;
    enum refusal why;
    uint32_t job = frame.job;

    assert_false(r->finished);          /* FINISHED is the last message */
    if (frame.type == MSG_FINISHED) {
        r->finished = true;
        return true;
    }
    assert_int_equal(frame.type, MSG_CALL);
    assert_int_equal(ipc_decode(&frame, &in), 0);
    if (call_execute(&r->ctx, &in, &out, &why)) {
        r->refusals++;
        print_message("row %s refused: %d\n", hvrow_name(in.row), why);
    }
    switch (r->mischief) {
    case WARDEN_GOES:
        return false;
    case WARDEN_SHORT_DATA:
        out.data.len -= out.data.len ? 1 : 0;
        break;
    case WARDEN_BAD_ERRNO:
        out.ret = -1;
        out.errnum = 0;
        break;
    case WARDEN_OTHER_JOB:
        job++;
        break;
    default:
        break;
    }
    return !ipc_send(&e->warden, MSG_CALLED, job, &out, NULL, 0);
}

static bool answer_suspend(struct ends *e, struct worker_run *r)
{
    struct msg_SUSPENDED answer = { .rc = r->suspend_rc };
    struct msg_START start = { .flags = r->flags };

    r->suspends++;
    if (r->mischief == PARENT_GOES)
        return false;
    if (r->mischief == PARENT_STARTS_AGAIN)
        return !ipc_send(&e->parent, MSG_START, 3, &start, NULL, 0);
    if (!r->suspend_rc) {
        xen.suspended = true;
        r->ctx.phase = HV_AFTER;
    }
    return !ipc_send(&e->parent, MSG_SUSPENDED, 3, &answer, NULL, 0);
}

static bool answer_parent(struct ends *e, struct worker_run *r)
{
    struct msg_WORKER_PROGRESS progress;
    struct msg_WORKER_LOG log;

    assert_int_equal(frame.job, 3);
    assert_false(r->completed);         /* COMPLETE is the last message */
    switch (frame.type) {
    case MSG_SUSPEND_GUEST:
        return answer_suspend(e, r);
    case MSG_WORKER_PROGRESS:
        assert_int_equal(ipc_decode(&frame, &progress), 0);
        r->progresses++;
        r->stages |= 1u << progress.stage;
        if (progress.stage == STAGE_MEMORY) {
            r->last_done = (uint32_t)progress.done;
            r->last_total = (uint32_t)progress.total;
        }
        return true;
    case MSG_WORKER_LOG:
        assert_int_equal(ipc_decode(&frame, &log), 0);
        if (getenv("VERBOSE"))
            print_message("[%u] %s\n", log.level, log.text);
        r->logs++;
        return true;
    case MSG_COMPLETE:
        r->completed = true;
        assert_int_equal(ipc_decode(&frame, &r->complete), 0);
        return true;
    default:
        fail_msg("unexpected message %#x", frame.type);
        return false;
    }
}

/* Until both channels have ended. */
static void serve(struct ends *e, struct worker_run *r)
{
    struct pollfd p[2] = { { e->warden.fd, POLLIN, 0 }, { e->parent.fd, POLLIN, 0 } };

    while (p[0].fd >= 0 || p[1].fd >= 0) {
        assert_true(poll(p, 2, TIMEOUT_MS) > 0);
        for (unsigned i = 0; i < 2; i++) {
            struct ipc_chan *ch = i ? &e->parent : &e->warden;

            if (p[i].fd < 0 || !p[i].revents)
                continue;
            if (ipc_recv(ch, &frame) == 1 && (i ? answer_parent(e, r) : answer_call(e, r)))
                continue;
            close(ch->fd);
            p[i].fd = -1;
        }
    }
}

static void keep_image(struct worker_run *r)
{
    off_t len = lseek(r->file, 0, SEEK_END);

    if (len <= 0)
        return;
    r->image = malloc((size_t)len);
    assert_non_null(r->image);
    assert_int_equal(pread(r->file, r->image, (size_t)len, 0), len);
    r->image_len = (size_t)len;
}

void worker_run(struct worker_run *r)
{
    struct fixture userdata = fixture("%s-userdata.json", "pvh");
    int arena = memfd_create("arena", MFD_CLOEXEC), config = memfd_create("config", MFD_CLOEXEC);
    bool own = r->file < 0;
    struct ends e;
    pid_t pid;

    assert_true(arena >= 0 && config >= 0 && !ftruncate(arena, ARENA_SIZE));
    assert_int_equal(write(config, userdata.text, userdata.len), userdata.len);
    free(userdata.text);
    if (own)
        r->file = memfd_create("file", MFD_CLOEXEC);
    assert_true(!r->offset || lseek(r->file, r->offset, SEEK_SET) == (off_t)r->offset);
    r->ctx = (struct call_ctx){
        .domid = XEN_DOMID, .guest = GUEST_PVH, .phase = HV_BEFORE,
        .job = r->flags & INTENT_LIVE ? HV_JOB_LIVE : HV_JOB_COLD,
        .arena_size = ARENA_SIZE, .limits = { .max_pages = XEN_PAGES },
        .before = before, .user = r,
    };
    r->ctx.arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, arena, 0);
    assert_true(r->ctx.arena != MAP_FAILED);
    pair(&e.warden, &e.worker_warden, WARDEN);
    pair(&e.parent, &e.worker_parent, PARENT);

    pid = fork();
    assert_true(pid >= 0);
    if (!pid)
        child(&e, r);
    close(e.worker_warden);
    close(e.worker_parent);
    grant(&e, r, arena, config);
    serve(&e, r);
    assert_int_equal(waitpid(pid, &r->status, 0), pid);
    munmap(r->ctx.arena, ARENA_SIZE);
    close(arena);
    close(config);
    if (own)
        keep_image(r);
    close(r->file);
}
