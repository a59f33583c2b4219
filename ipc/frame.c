/* SPDX-License-Identifier: LGPL-2.1-only */
/* One frame per send and per receive, with the file descriptors that belong to it. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ipc/codec.h"

struct header {
    uint32_t length;    /* of the payload */
    uint16_t type;
    uint16_t fds;
    uint32_t job;
} __attribute__((packed));
_Static_assert(sizeof(struct header) == IPC_HEADER_SIZE, "header layout");
_Static_assert(offsetof(struct ipc_frame, payload) == offsetof(struct ipc_frame, header) +
               IPC_HEADER_SIZE, "a frame is received in one piece");

/* Room for the fds of one frame and the sender's credentials. */
union control {
    struct cmsghdr align;
    char buf[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX) + CMSG_SPACE(sizeof(struct ucred))];
};

int ipc_pair(int fds[2])
{
    fds[0] = fds[1] = -1;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) ? -errno : 0;
}

int ipc_want_pid(struct ipc_chan *ch)
{
    int on = 1;

    if (setsockopt(ch->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)))
        return -errno;
    ch->wants_pid = true;
    return 0;
}

/* A plain send() where no fd travels: a worker's filter has no sendmsg. */
static ssize_t send_frame(int fd, uint8_t *frame, size_t len, const int *fds, unsigned nfds)
{
    struct iovec iov = {.iov_base = frame, .iov_len = len};
    union control control = {0};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *c;

    if (!nfds)
        return send(fd, frame, len, MSG_NOSIGNAL);
    mh.msg_control = control.buf;
    mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
    c = CMSG_FIRSTHDR(&mh);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
    return sendmsg(fd, &mh, MSG_NOSIGNAL);
}

/* What the frame of a message can need: an operator's is small, and so may its stack be. */
static size_t frame_room(const struct ipc_message *m)
{
    size_t room = IPC_HEADER_SIZE + m->struct_size;     /* padded, so more than the plain fields */
    const struct ipc_field *f;

    for (f = m->fields; f->type != FIELD_END; f++)
        if (f->type == FIELD_BYTES || f->type == FIELD_STR)
            room += f->size + sizeof(uint32_t);
    return room < IPC_FRAME_MAX ? room : IPC_FRAME_MAX;
}

static int send_message(const struct ipc_chan *ch, const struct ipc_message *m, uint32_t job,
                        const void *msg, const int *fds, unsigned nfds)
{
    uint32_t type = m->type;
    size_t room = frame_room(m);
    uint8_t frame[room] __attribute__((uninitialized));
    struct header h;
    int len;
    ssize_t r;

    len = ipc_encode(type, msg, frame + IPC_HEADER_SIZE, room - IPC_HEADER_SIZE);
    if (len < 0)
        return len;
    h = (struct header){(uint32_t)len, (uint16_t)type, (uint16_t)nfds, job};
    memcpy(frame, &h, sizeof(h));
    do
        r = send_frame(ch->fd, frame, (size_t)len + IPC_HEADER_SIZE, fds, nfds);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == ENOBUFS ? -EAGAIN : -errno;
    return 0;
}

int ipc_send(const struct ipc_chan *ch, uint32_t type, uint32_t job, const void *msg,
             const int *fds, unsigned nfds)
{
    const struct ipc_message *m = ipc_message_by_type(type);

    if (!m || !(m->from & ch->self) || !(m->to & ch->peer) || nfds < m->min_fds ||
        nfds > m->max_fds)
        return -EINVAL;
    return send_message(ch, m, job, msg, fds, nfds);
}

int ipc_take_fd(struct ipc_frame *frame, unsigned i)
{
    int fd = -1;

    if (i < frame->nfds) {
        fd = frame->fds[i];
        frame->fds[i] = -1;
    }
    return fd;
}

void ipc_close_fds(struct ipc_frame *frame)
{
    for (unsigned i = 0; i < frame->nfds; i++)
        if (frame->fds[i] >= 0)
            close(frame->fds[i]);
    frame->nfds = 0;
}

static void read_control(struct msghdr *mh, struct ipc_frame *frame)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_RIGHTS) {
            unsigned n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

            for (unsigned i = 0; i < n; i++) {
                int fd;

                memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
                if (frame->nfds < IPC_FDS_MAX)
                    frame->fds[frame->nfds++] = fd;
                else
                    close(fd);
            }
        } else if (c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred cred;

            memcpy(&cred, CMSG_DATA(c), sizeof(cred));
            frame->pid = cred.pid;
        }
    }
}

static int broken(struct ipc_frame *frame, const char *why)
{
    ipc_close_fds(frame);
    snprintf(frame->why, sizeof(frame->why), "%s", why);
    return -EPROTO;
}

/*
 * Returns the number of bytes, 0 at end of file, or -1 with errno.  Where fds are not expected
 * there is no control buffer for them: the kernel drops what a hostile peer attaches.
 */
static ssize_t receive(const struct ipc_chan *ch, uint8_t *buf, size_t size,
                       struct ipc_frame *frame, bool *cut)
{
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    union control control;
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t r;

    *cut = false;
    if (!ch->takes_fds && !ch->wants_pid) {
        r = recv(ch->fd, buf, size, MSG_TRUNC);
        *cut = r > (ssize_t)size;
        return r;
    }
    mh.msg_control = control.buf;
    mh.msg_controllen = ch->takes_fds ? sizeof(control.buf) : CMSG_SPACE(sizeof(struct ucred));
    r = recvmsg(ch->fd, &mh, MSG_CMSG_CLOEXEC);
    if (r >= 0) {
        read_control(&mh, frame);
        if (!ch->takes_fds && frame->nfds)
            ipc_close_fds(frame);
        *cut = mh.msg_flags & MSG_TRUNC || (ch->takes_fds && mh.msg_flags & MSG_CTRUNC);
    }
    return r;
}

int ipc_recv(const struct ipc_chan *ch, struct ipc_frame *frame)
{
    uint8_t *buf = (uint8_t *)frame + offsetof(struct ipc_frame, header);
    const struct ipc_message *m;
    struct header h;
    ssize_t r;
    bool cut;

    frame->nfds = 0;
    frame->pid = 0;
    frame->why[0] = 0;
    do
        r = receive(ch, buf, IPC_FRAME_MAX, frame, &cut);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == EAGAIN ? 0 : -errno;
    if (!r) {
        /* An empty frame looks like the end of file, and is as illegal as one without a header. */
        ipc_close_fds(frame);
        return -ECONNRESET;
    }
    if (cut)
        return broken(frame, "frame too large or with too many fds");
    if (r < IPC_HEADER_SIZE)
        return broken(frame, "frame without a header");
    memcpy(&h, buf, sizeof(h));
    if (h.length != (size_t)r - IPC_HEADER_SIZE)
        return broken(frame, "length in the header is not the frame's");
    m = ipc_message_by_type(h.type);
    if (!m)
        return broken(frame, "unknown message type");
    if (!(m->from & ch->peer) || !(m->to & ch->self))
        return broken(frame, "message in the wrong direction");
    if (!(m->phases & ch->phase))
        return broken(frame, "message out of phase");
    if ((h.fds != frame->nfds && !(ch->drops_fds && !ch->takes_fds)) || h.fds < m->min_fds ||
        h.fds > m->max_fds)
        return broken(frame, "wrong number of fds");
    frame->declared = h.fds;
    frame->type = h.type;
    frame->job = h.job;
    frame->len = h.length;
    return 1;
}

int ipc_decode(struct ipc_frame *frame, void *msg)
{
    const struct ipc_message *m = ipc_message_by_type(frame->type);
    int rc;

    if (!m)
        return broken(frame, "unknown message type");
    rc = ipc_decode_buf(m, frame->payload, frame->len, msg, frame->why);
    if (rc)
        ipc_close_fds(frame);
    return rc;
}

int64_t ipc_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int ipc_expect(const struct ipc_chan *ch, struct ipc_frame *frame, uint32_t type, void *msg,
               int timeout_ms)
{
    int64_t end = timeout_ms < 0 ? INT64_MAX : ipc_now_ms() + timeout_ms;
    int rc;

    for (;;) {
        struct pollfd p = {.fd = ch->fd, .events = POLLIN};
        int64_t left = timeout_ms < 0 ? -1 : end - ipc_now_ms();
        int r;

        if (timeout_ms >= 0 && left < 0)
            left = 0;
        r = poll(&p, 1, (int)left);
        if (r < 0 && errno != EINTR)
            return -errno;
        if (!r)
            return -ETIMEDOUT;
        if (r < 0)
            continue;
        rc = ipc_recv(ch, frame);
        if (rc < 0)
            return rc;
        if (rc)
            break;
    }
    if (frame->type != type)
        return broken(frame, "another message than the answer");
    return ipc_decode(frame, msg);
}
