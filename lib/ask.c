/* SPDX-License-Identifier: LGPL-2.1-only */
/* A request whose first answer is waited for: event generation is enabled synchronously. */

#include <errno.h>

#include "lib/request_internal.h"

/* 0 or -errno.  Waits while moatd's backlog is full. */
static int reach(libxl__request *r, int64_t end)
{
    int err;

    for (;;) {
        err = libxl__request_connect(r);
        if (!err)
            err = libxl__request_intent(r);
        if (err != -EAGAIN || ipc_now_ms() >= end)
            return err;
        libxl__request_hang_up(r);
        poll(NULL, 0, libxl__request_times.backlog);
    }
}

/* 1: a frame; else as ipc_recv(), or -ETIMEDOUT. */
static int receive(libxl__request *r, int64_t end)
{
    int rc;

    for (;;) {
        struct pollfd p = { .fd = r->ch.fd, .events = POLLIN };
        int64_t left = end - ipc_now_ms();

        rc = poll(&p, 1, left > 0 ? (int)left : 0);
        if (rc < 0 && errno != EINTR)
            return -errno;
        if (!rc)
            return -ETIMEDOUT;
        rc = libxl__request_recv(r);
        if (rc)
            return rc;
    }
}

static int first_answer(libxl__request *r, struct msg_DOMAIN_STATE *state)
{
    union libxl__request_message m;
    int rc = receive(r, ipc_now_ms() + libxl__request_times.watch);
    const char *odd;

    if (rc == -ETIMEDOUT)
        return libxl__request_silent(r, libxl__request_times.watch);
    if (rc != 1)
        return libxl__request_broken(r, rc, r->frame->why);
    odd = libxl__request_odd(r);
    if (odd)
        return libxl__request_broken(r, -EPROTO, odd);
    if (ipc_decode(r->frame, &m))
        return libxl__request_broken(r, -EPROTO, r->frame->why);
    switch (r->frame->type) {
    case MSG_DENIED:
        return libxl__request_denied(r, &m.denied);
    case MSG_DOMAIN_STATE:
        *state = m.state;
        return 0;
    case MSG_DONE:
        (void)libxl__request_told(r, &m.done);
        return ERROR_FAIL;
    }
    return libxl__request_broken(r, -EPROTO, "not the answer to a watch");
}

int libxl__request_ask(libxl__request *r, struct msg_DOMAIN_STATE *state)
{
    libxl__gc gc[1];
    int rc;

    libxl__gc_init(gc, r->ctx);
    rc = libxl__request_prepare(r);
    if (rc)
        goto out;
    rc = reach(r, ipc_now_ms() + libxl__request_times.watch);
    if (rc) {
        rc = rc == -EAGAIN ? libxl__request_silent(r, libxl__request_times.watch)
                           : libxl__request_unreachable(r, rc);
        goto out;
    }
    rc = first_answer(r, state);
    r->state = REQUEST_RUNNING;
out:
    if (rc)
        libxl__request_stop(gc, r);
    libxl__gc_free_all(gc);
    return rc;
}
