/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What moatd says.  Safe if it lies, because each frame is checked against the message definitions
 * (ipc/), then against what this request has come to; its texts are printed escaped; no number of
 * its is used as an index or a size.
 */

#include <errno.h>
#include <string.h>

#include "lib/request_internal.h"
#include "parent/event/core.h"

#define FRAMES_PER_TURN 256         /* then others have a turn */
#define LEVEL_MIN LIBXL__LOG_DEBUG
#define LEVEL_MAX LIBXL__LOG_CRITICAL

/* ---------- the end ---------- */

int libxl__request_rc_denied(const struct msg_DENIED *m)
{
    return m->exit_code == EXIT_USAGE ? ERROR_INVAL : ERROR_FAIL;
}

int libxl__request_rc_done(const struct msg_DONE *m)
{
    switch (m->rc) {
    case 0:
        return !m->exit_code ? 0 : m->exit_code == EXIT_USAGE ? ERROR_INVAL : ERROR_FAIL;
    /* libxl knows these ends of a save; the others are ERROR_FAIL there. */
    case ERROR_NI:
    case ERROR_NOMEM:
    case ERROR_INVAL:
    case ERROR_GUEST_TIMEDOUT:
    case ERROR_TIMEDOUT:
    case ERROR_ABORTED:
        return m->rc;
    default:
        return ERROR_FAIL;
    }
}

int libxl__request_denied(libxl__request *r, struct msg_DENIED *m)
{
    ipc_text(m->message, sizeof(m->message), m->message);
    if (m->line)
        libxl__request_log(r, LIBXL__LOG_ERROR, "moatd refuses: %s (moat.conf line %u)",
                           m->message, m->line);
    else
        libxl__request_log(r, LIBXL__LOG_ERROR, "moatd refuses: %s", m->message);
    return libxl__request_rc_denied(m);
}

int libxl__request_told(libxl__request *r, struct msg_DONE *m)
{
    int rc = libxl__request_rc_done(m);

    ipc_text(m->message, sizeof(m->message), m->message);
    libxl__request_log(r, rc ? LIBXL__LOG_ERROR : LIBXL__LOG_INFO, "%s%s", m->message,
                       m->message[0] ? "" : rc ? "failed" : "done");
    return rc;
}

int libxl__request_broken(libxl__request *r, int err, const char *why)
{
    const char *then =
        r->committed ? "; the image is complete, but whether the domain stays suspended is not "
                       "known: look at the domain's state"
        : r->job ? "; moatd undoes what it can: look at the domain's state" : "";

    if (err == -EPROTO)
        libxl__request_log(r, LIBXL__LOG_ERROR, "moatd sent what does not belong here (%s); are "
                           "library and daemon of one release?%s", why, then);
    else
        libxl__log(r->ctx, LIBXL__LOG_ERROR, err == -ECONNRESET ? 0 : -err,
                   "%s: moatd has ended the connection%s%s", r->what,
                   r->job ? "" : " without an answer", then);
    return ERROR_FAIL;
}

/* ---------- a frame ---------- */

const char *libxl__request_odd(libxl__request *r)
{
    const struct ipc_frame *f = r->frame;

    switch (f->type) {
    case MSG_STARTED:
        if (r->job)
            return "a second STARTED";
        return f->job ? NULL : "a job without a number";
    case MSG_DENIED:
        return r->job ? "refused after it was started" : NULL;
    case MSG_DONE:
    case MSG_DOMAIN_STATE:
        break;
    case MSG_NOTE:
    case MSG_PROGRESS:
    case MSG_SAVED:
        if (!r->job)
            return "word of a job that was not started";
        break;
    default:
        return "the answer to another request";
    }
    /* What belongs to no job has no number. */
    return f->job && r->job && f->job != r->job ? "another job's number" : NULL;
}

static const char *started(libxl__request *r, const struct msg_STARTED *m)
{
    if (m->job != r->frame->job || m->domid != r->domid)
        return "another job or domain was started";
    r->job = m->job;
    return NULL;
}

static void note(libxl__request *r, struct msg_NOTE *m)
{
    int level = m->level < LEVEL_MIN ? LEVEL_MIN : m->level > LEVEL_MAX ? LEVEL_MAX : (int)m->level;

    ipc_text(m->text, sizeof(m->text), m->text);
    libxl__request_log(r, level, "job %u: %s", r->job, m->text);
}

/* Whatever comes after an abort was asked for: done it is, or aborted. */
static void ended(libxl__egc *egc, libxl__request *r, enum libxl__request_end end, int rc)
{
    libxl__request_finish(egc, r, end, rc && r->aborting ? ERROR_ABORTED : rc);
}

static void broken(libxl__egc *egc, libxl__request *r, int err, const char *why)
{
    ended(egc, r, REQUEST_LOST, libxl__request_broken(r, err, why));
}

/* The decoded frame.  r may be Idle afterwards. */
static void handle(libxl__egc *egc, libxl__request *r, union libxl__request_message *m)
{
    EGC_GC;
    const char *odd = libxl__request_odd(r);

    if (!odd && r->state == REQUEST_ASKED) {
        libxl__request_answered(r);
        if (!r->aborting)
            libxl__ev_time_deregister(gc, &r->bound);
    }
    if (!odd) {
        switch (r->frame->type) {
        case MSG_STARTED:
            odd = started(r, &m->started);
            break;
        case MSG_NOTE:
            note(r, &m->note);
            break;
        case MSG_DENIED:
            ended(egc, r, m->denied.exit_code == EXIT_FAILED ? REQUEST_REFUSED : REQUEST_DENIED,
                  libxl__request_denied(r, &m->denied));
            return;
        case MSG_DONE:
            ended(egc, r, REQUEST_DONE, libxl__request_told(r, &m->done));
            return;
        default:
            odd = r->message(egc, r, r->frame->type, m);
        }
    }
    if (odd)
        broken(egc, r, -EPROTO, odd);
}

static void read_on(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc);

/* A moatd that closes with a word of ours unread makes one ECONNRESET come before its own last
 * words.  An empty frame looks the same and is as good as an end. */
int libxl__request_recv(libxl__request *r)
{
    int rc = ipc_recv(&r->ch, r->frame);

    if (rc != -ECONNRESET)
        return rc;
    rc = ipc_recv(&r->ch, r->frame);
    return rc ? rc : -ECONNRESET;
}

/* Reads until there is nothing more, for readiness may be told once only; but not for ever. */
static void drain(libxl__egc *egc, libxl__request *r)
{
    union libxl__request_message m;
    int n, rc;

    for (n = 0; n < FRAMES_PER_TURN; n++) {
        rc = libxl__request_recv(r);
        if (!rc)
            return;
        if (rc == 1) {
            if (ipc_struct_size(r->frame->type) > sizeof(m)) {
                broken(egc, r, -EPROTO, "the answer to another request");
                return;
            }
            rc = ipc_decode(r->frame, &m);
        }
        if (rc) {
            broken(egc, r, rc, r->frame->why);
            return;
        }
        handle(egc, r, &m);
        if (r->state == REQUEST_IDLE)
            return;
    }
    /* Without memory for the timer there is the fd: it is readable still. */
    (void)libxl__ev_time_register_rel(r->clock, &r->again, read_on, 0);
}

static void read_on(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    drain(egc, CONTAINER_OF(ev, libxl__request, again));
}

void libxl__request_readable(libxl__egc *egc, libxl__ev_fd *ev, int fd, short events, short revents)
{
    libxl__request *r = CONTAINER_OF(ev, libxl__request, efd);
    EGC_GC;

    libxl__ev_time_deregister(gc, &r->again);
    drain(egc, r);
}

const char *libxl__request_commit(libxl__request *r)
{
    int rc;

    if (r->aborting)
        return NULL;                /* moatd has heard the end of us, and undoes it */
    r->committed = true;
    rc = ipc_send(&r->ch, MSG_COMMIT, r->job, NULL, NULL, 0);
    /* Closed at the other end: what it said last is still to be read. */
    return rc && rc != -EPIPE && rc != -ECONNRESET ? "it does not take the COMMIT" : NULL;
}
