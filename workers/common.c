/* SPDX-License-Identifier: LGPL-2.1-only */
/* A worker's first moments: take the grant, lock, say HELLO. */
#include "workers/common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "policy/launch/fds.h"

/* The exit status says only that it was not a success: COMPLETE or its absence tells the rest. */
#define EXIT_LOST 1

struct worker worker = {
    .parent = { .fd = FD_WORKER_PARENT, .self = WORKER, .peer = PARENT, .phase = PH_OPEN },
    .warden = { .fd = FD_WORKER_WARDEN, .self = WORKER, .peer = WARDEN, .phase = PH_OPEN,
                .takes_fds = true },
    .file = -1, .config = -1, .privcmd = -1, .privcmd_xen = -1,
};

/* One receive buffer: a worker waits for one message at a time. */
static struct ipc_frame frame;

void worker_tell(uint32_t type, const void *msg)
{
    int saved = errno;      /* called from inside libraries that look at errno afterwards */

    if (ipc_send(&worker.parent, type, worker.job, msg, NULL, 0))
        _exit(EXIT_LOST);
    errno = saved;
}

void worker_await(struct ipc_chan *ch, uint32_t type, void *msg)
{
    if (ipc_recv(ch, &frame) != 1 || frame.type != type || frame.job != worker.job ||
        ipc_decode(&frame, msg))
        _exit(EXIT_LOST);
}

void worker_complete(int retval, int errnum, uint64_t bytes, const char *message)
{
    struct msg_COMPLETE msg = { .retval = retval, .errnum = errnum, .bytes = bytes };

    /* To the warden first: it believes no report of a success that it was not told itself. */
    if (!retval && ipc_send(&worker.warden, MSG_FINISHED, worker.job, NULL, NULL, 0))
        _exit(1);
    if (message)
        ipc_text(msg.message, sizeof(msg.message), message);
    worker_tell(MSG_COMPLETE, &msg);
}

void worker_log(unsigned level, const char *text)
{
    struct msg_WORKER_LOG msg = { .level = level };

    ipc_text(msg.text, sizeof(msg.text), text);
    worker_tell(MSG_WORKER_LOG, &msg);
}

int worker_take_grant(struct ipc_frame *in, char why[128])
{
    struct msg_GRANT *grant = &worker.grant;
    void *arena;
    int fd;

    if (ipc_decode(in, grant)) {
        snprintf(why, 128, "malformed GRANT: %s", in->why);
        return -EPROTO;
    }
    worker.job = in->job;
    if ((grant->guest_type == GUEST_PV) != (in->nfds == 5) || !grant->arena_size) {
        snprintf(why, 128, "GRANT does not fit the guest's type");
        return -EPROTO;
    }
    worker.file = ipc_take_fd(in, 0);
    worker.config = ipc_take_fd(in, 1);
    fd = ipc_take_fd(in, 2);
    worker.privcmd = ipc_take_fd(in, 3);
    worker.privcmd_xen = ipc_take_fd(in, 4);

    arena = mmap(NULL, grant->arena_size, PROT_READ, MAP_SHARED, fd, 0);
    if (arena == MAP_FAILED) {
        int err = errno;

        snprintf(why, 128, "cannot map the arena: %s", strerror(err));
        close(fd);
        return -err;
    }
    close(fd);
    worker.arena = arena;
    return 0;
}

/* An image goes through a blocking fd, as libxenguest expects; a broken pipe is an errno. */
static int prepare_file(char why[128])
{
    int flags = fcntl(worker.file, F_GETFL);

    if (flags < 0 || (flags & O_NONBLOCK && fcntl(worker.file, F_SETFL, flags & ~O_NONBLOCK))) {
        int err = errno;

        snprintf(why, 128, "cannot prepare FILE: %s", strerror(err));
        return -err;
    }
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static int take_and_lock(enum sandbox_kind kind, char why[128])
{
    int rc;

    /*
     * Dies with the process that made it.  That one may be gone already: then our end of its
     * channel says so at the first receive, which is why nothing more needs to be checked here.
     */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL)) {
        snprintf(why, 128, "PR_SET_PDEATHSIG: %s", strerror(errno));
        return -EPERM;
    }
    if (ipc_recv(&worker.warden, &frame) != 1 || frame.type != MSG_GRANT)
        _exit(EXIT_LOST);
    rc = worker_take_grant(&frame, why);
    if (rc)
        return rc;
    worker.warden.takes_fds = false;    /* from now on recv(), without room for fds */
    worker.warden.phase = PH_RUN;
    rc = prepare_file(why);
    if (rc)
        return rc;
    rc = sandbox_lock(kind, FD_STATUS, getuid(), 0, why);
    close(FD_STATUS);
    return rc;
}

int worker_start(enum sandbox_kind kind, char why[128])
{
    struct msg_HELLO hello = { .version = IPC_VERSION };
    int rc;

    why[0] = 0;
    rc = take_and_lock(kind, why);
    if (!rc) {
        worker_tell(MSG_HELLO, &hello);
        worker_await(&worker.parent, MSG_START, &worker.start);
        worker.parent.phase = PH_RUN;
        if (worker.start.flags == worker.grant.flags)
            return 0;
        /* The grant decides; a parent that says something else is confused or worse. */
        snprintf(why, 128, "START (flags %#x) is not what was granted (%#x)", worker.start.flags,
                 worker.grant.flags);
        rc = -EPROTO;
    }
    worker_complete(-1, -rc, 0, why);
    return rc;
}
