/* SPDX-License-Identifier: LGPL-2.1-only */
/* One connection to moatd: its life. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/request.h"
#include "lib/request_internal.h"
#include "parent/event/core.h"

#define SOCKET_DEFAULT "/run/moat/moat.sock"
/* moatd lets one user have a few connections that it has not answered, and refuses more. */
#define UNANSWERED_MAX 4

struct libxl__request_times libxl__request_times = {
    .backlog = 50,
    .answer = 30000,
    .abort = 60000,
    .watch = 10000,
    .reconnect = 1000,
    .reconnects = 30,
};

/* A set-uid program's environment is its caller's, who must not choose whom it talks to. */
const char *libxl__request_socket(void)
{
    const char *path = secure_getenv("MOAT_SOCKET");

    return path && *path ? path : SOCKET_DEFAULT;
}

void libxl__request_log(libxl__request *r, int level, const char *fmt, ...)
{
    char text[700];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    libxl__log(r->ctx, level, 0, "%s: %s", r->what, text);
}

/* ---------- reaching moatd ---------- */

void libxl__request_hang_up(libxl__request *r)
{
    libxl__care_close(r->ctx, r->ch.fd);
    r->ch.fd = -1;
}

/* 0: connected; -EAGAIN: its backlog is full; other -errno.  Never waits. */
int libxl__request_connect(libxl__request *r)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    const char *path = libxl__request_socket();
    int err;

    if (strlen(path) >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    memcpy(sa.sun_path, path, strlen(path) + 1);
    r->ch = (struct ipc_chan){ .fd = -1, .self = OPERATOR, .peer = WARDEN | PARENT,
                               .phase = PH_RUN };
    libxl__care_begin(r->ctx);
    r->ch.fd = libxl__care_record(r->ctx, socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK |
                                                 SOCK_CLOEXEC, 0));
    if (r->ch.fd < 0)
        return -errno;
    if (!connect(r->ch.fd, (struct sockaddr *)&sa, sizeof(sa)))
        return 0;
    err = errno;
    libxl__request_hang_up(r);
    return -err;
}

int libxl__request_unreachable(libxl__request *r, int err)
{
    libxl__log(r->ctx, LIBXL__LOG_ERROR, -err, "%s: cannot reach moatd at %s (is it running?)",
               r->what, libxl__request_socket());
    return ERROR_FAIL;
}

int libxl__request_silent(libxl__request *r, int ms)
{
    libxl__request_log(r, LIBXL__LOG_ERROR, "no answer from moatd at %s within %d s; is it "
                       "running?", libxl__request_socket(), (ms + 999) / 1000);
    return ERROR_FAIL;
}

int libxl__request_intent(libxl__request *r)
{
    struct msg_INTENT m = { .version = IPC_VERSION, .kind = r->kind, .flags = r->flags };

    snprintf(m.domain, sizeof(m.domain), "%u", r->domid);
    return ipc_send(&r->ch, MSG_INTENT, 0, &m, &r->file, r->file >= 0);
}

static void time_over(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    libxl__request *r = CONTAINER_OF(ev, libxl__request, bound);

    if (r->aborting) {
        libxl__request_log(r, LIBXL__LOG_ERROR, "moatd has not said within %d s that the abort is "
                           "done; look at the domain's state",
                           (libxl__request_times.abort + 999) / 1000);
        libxl__request_finish(egc, r, REQUEST_LOST, ERROR_ABORTED);
    } else {
        libxl__request_finish(egc, r, REQUEST_LOST,
                              libxl__request_silent(r, libxl__request_times.answer));
    }
}

static void reach_again(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc);

/*
 * One attempt.  The hooks of the application are asked before anything is sent: from the INTENT on
 * moatd acts.
 */
static int reach(libxl__egc *egc, libxl__request *r)
{
    EGC_GC;
    int err, rc;

    err = r->ctx->unanswered < UNANSWERED_MAX ? libxl__request_connect(r) : -EAGAIN;
    if (!err) {
        rc = libxl__ev_fd_register(gc, &r->efd, libxl__request_readable, r->ch.fd, POLLIN);
        if (rc)
            return rc;
        err = libxl__request_intent(r);
        if (!err) {
            r->state = REQUEST_ASKED;
            r->ctx->unanswered++;
            return 0;
        }
        libxl__ev_fd_deregister(gc, &r->efd);
        libxl__request_hang_up(r);
    }
    if (err != -EAGAIN)
        return libxl__request_unreachable(r, err);
    r->state = REQUEST_REACHING;
    return libxl__ev_time_register_rel(r->clock, &r->again, reach_again,
                                       libxl__request_times.backlog);
}

static void reach_again(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    libxl__request *r = CONTAINER_OF(ev, libxl__request, again);

    rc = reach(egc, r);
    if (rc)
        libxl__request_finish(egc, r, REQUEST_LOST, rc);
}

/* ---------- abort ---------- */

static void aborted(libxl__egc *egc, libxl__ao_abortable *abrt, int rc)
{
    libxl__request *r = CONTAINER_OF(abrt, libxl__request, abrt);
    EGC_GC;

    r->aborting = true;
    if (r->state == REQUEST_REACHING) {
        libxl__request_finish(egc, r, REQUEST_LOST, rc);
        return;
    }
    shutdown(r->ch.fd, SHUT_WR);
    libxl__ev_time_deregister(gc, &r->bound);
    if (libxl__ev_time_register_rel(r->clock, &r->bound, time_over, libxl__request_times.abort))
        libxl__request_finish(egc, r, REQUEST_LOST, rc);
}

/* ---------- life ---------- */

void libxl__request_init(libxl__request *r)
{
    r->job = 0;
    r->state = REQUEST_IDLE;
    r->aborting = r->committed = false;
    r->ch = (struct ipc_chan){ .fd = -1 };
    r->frame = NULL;
    r->clock = NULL;
    libxl__ev_fd_init(&r->efd);
    libxl__ev_time_init(&r->bound);
    libxl__ev_time_init(&r->again);
    libxl__ao_abortable_init(&r->abrt);
}

int libxl__request_prepare(libxl__request *r)
{
    libxl__request_init(r);
    /* Most of a frame's room is never touched: it need not be zeroed. */
    r->frame = libxl__realloc(r->ctx, NULL, sizeof(*r->frame));
    r->clock = libxl__ao_create_hidden(r->ctx);
    if (r->frame && r->clock)
        return 0;
    libxl__request_log(r, LIBXL__LOG_ERROR, "out of memory");
    return ERROR_NOMEM;
}

int libxl__request_start(libxl__egc *egc, libxl__request *r)
{
    EGC_GC;
    int rc;

    rc = libxl__request_prepare(r);
    if (rc)
        goto out;
    if (r->ao) {
        r->abrt.ao = r->ao;
        r->abrt.callback = aborted;
        rc = libxl__ao_abortable_register(&r->abrt);
        if (rc)
            goto out;
    }
    rc = libxl__ev_time_register_rel(r->clock, &r->bound, time_over, libxl__request_times.answer);
    if (!rc)
        rc = reach(egc, r);
out:
    if (rc)
        libxl__request_stop(gc, r);
    return rc;
}

int libxl__request_attach(libxl__egc *egc, libxl__request *r)
{
    EGC_GC;
    int rc = libxl__ev_fd_register(gc, &r->efd, libxl__request_readable, r->ch.fd, POLLIN);

    if (rc)
        libxl__request_stop(gc, r);
    return rc;
}

void libxl__request_answered(libxl__request *r)
{
    if (r->state == REQUEST_ASKED)
        r->ctx->unanswered--;
    r->state = REQUEST_RUNNING;
}

void libxl__request_stop(libxl__gc *gc, libxl__request *r)
{
    libxl__request_answered(r);
    libxl__ao_abortable_deregister(&r->abrt);
    libxl__ev_time_deregister(gc, &r->bound);
    libxl__ev_time_deregister(gc, &r->again);
    libxl__ev_fd_deregister(gc, &r->efd);
    if (r->ch.fd >= 0) {
        /* A child of fork may hold a copy: moatd is to hear of the end all the same. */
        shutdown(r->ch.fd, SHUT_RDWR);
        libxl__request_hang_up(r);
    }
    if (r->clock)
        libxl__ao_free_hidden(r->clock);
    r->clock = NULL;
    free(r->frame);
    r->frame = NULL;
    r->state = REQUEST_IDLE;
}

void libxl__request_finish(libxl__egc *egc, libxl__request *r, enum libxl__request_end end, int rc)
{
    EGC_GC;

    libxl__request_stop(gc, r);
    r->done(egc, r, end, rc);
}
