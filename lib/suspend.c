/* SPDX-License-Identifier: LGPL-2.1-only */
/* libxl_domain_suspend: a save after which the domain stays suspended. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/request.h"
#include "parent/event/core.h"

struct suspend {
    libxl__request req;
    char what[40];
    int fd, fl;                     /* fl: fd's flags before, -1 if they were left alone */
    bool saved;
    char doing[40];                 /* what is shown as progress; empty: nothing yet */
};

/* ---------- progress ---------- */

static void doing_words(char *buf, size_t size, const struct msg_PROGRESS *m)
{
    switch (m->stage) {
    case STAGE_CONFIG: snprintf(buf, size, "Configuration"); break;
    case STAGE_MEMORY: snprintf(buf, size, "Memory, round %u", m->iteration + 1); break;
    case STAGE_STATE: snprintf(buf, size, "State of the vcpus"); break;
    case STAGE_SYNC: snprintf(buf, size, "Writing to disk"); break;
    default: snprintf(buf, size, "Saving");
    }
}

/* A logger is promised a start at 0 for each thing that is done. */
static void progress(struct suspend *s, const struct msg_PROGRESS *m)
{
    uint64_t done = m->done > m->total ? m->total : m->done;
    libxl_ctx *ctx = s->req.ctx;
    char doing[sizeof(s->doing)];

    if (!ctx->hooks.progress)
        return;
    doing_words(doing, sizeof(doing), m);
    if (strcmp(doing, s->doing)) {
        memcpy(s->doing, doing, sizeof(doing));
        ctx->hooks.progress(ctx->user, doing, 0, m->total);
        if (!done)
            return;
    }
    ctx->hooks.progress(ctx->user, doing, done, m->total);
}

/* ---------- the request ---------- */

static const char *suspend_message(libxl__egc *egc, libxl__request *r, uint32_t type,
                                   const union libxl__request_message *m)
{
    struct suspend *s = CONTAINER_OF(r, struct suspend, req);

    switch (type) {
    case MSG_PROGRESS:
        progress(s, &m->progress);
        return NULL;
    case MSG_SAVED:
        if (s->saved)
            return "a second SAVED";
        s->saved = true;
        return libxl__request_commit(r);
    }
    return "the answer to another request";
}

static void flags_restore(struct suspend *s)
{
    if (s->fl >= 0 && fcntl(s->fd, F_SETFL, s->fl))
        libxl__log(s->req.ctx, LIBXL__LOG_WARN, errno, "%s: fd %d: cannot set O_NONBLOCK again",
                   s->what, s->fd);
}

static void suspend_done(libxl__egc *egc, libxl__request *r, enum libxl__request_end end, int rc)
{
    struct suspend *s = CONTAINER_OF(r, struct suspend, req);

    flags_restore(s);
    if (!rc && !s->saved) {
        libxl__log(r->ctx, LIBXL__LOG_ERROR, 0, "%s: moatd says that it is done, but there is no "
                   "image; look at the domain's state", s->what);
        rc = ERROR_FAIL;
    }
    libxl__ao_complete(egc, r->ao, rc);
}

/* ---------- the arguments ---------- */

static int check_flags(libxl__gc *gc, int flags, const char *what)
{
    if (flags & ~(LIBXL_SUSPEND_DEBUG | LIBXL_SUSPEND_LIVE)) {
        LOG(ERROR, "%s: unknown flags %#x", what, (unsigned)flags);
        return ERROR_INVAL;
    }
    if (flags & LIBXL_SUSPEND_DEBUG) {
        LOG(ERROR, "%s: LIBXL_SUSPEND_DEBUG is not supported", what);
        return ERROR_NI;
    }
    return 0;
}

/* moatd refuses what is refused here, but only when it was asked.  O_NONBLOCK: the worker writes
 * plainly, it cannot wait for room. */
static int check_fd(libxl__gc *gc, struct suspend *s)
{
    struct stat st;
    int fl;

    if (fstat(s->fd, &st)) {
        LOGE(ERROR, "%s: fd %d cannot be examined", s->what, s->fd);
        return ERROR_FAIL;      /* as libxl */
    }
    if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode)) {
        LOG(ERROR, "%s: fd %d is neither a regular file nor a pipe", s->what, s->fd);
        return ERROR_INVAL;
    }
    fl = fcntl(s->fd, F_GETFL);
    if (fl < 0 || fl & (O_PATH | O_APPEND) || (fl & O_ACCMODE) == O_RDONLY) {
        LOG(ERROR, "%s: fd %d is not open for writing, or for appending", s->what, s->fd);
        return ERROR_INVAL;
    }
    if (S_ISFIFO(st.st_mode))
        s->req.flags |= INTENT_STREAM;
    if (fl & O_NONBLOCK) {
        if (fcntl(s->fd, F_SETFL, fl & ~O_NONBLOCK)) {
            LOGE(ERROR, "%s: fd %d: cannot clear O_NONBLOCK", s->what, s->fd);
            return ERROR_FAIL;
        }
        s->fl = fl;
    }
    return 0;
}

int libxl_domain_suspend(libxl_ctx *ctx, uint32_t domid, int fd, int flags,
                         const libxl_asyncop_how *ao_how)
{
    AO_CREATE(ctx, domid, ao_how);
    struct suspend *s;
    int rc;

    GCNEW(s);
    if (!s) {
        rc = ERROR_NOMEM;
        goto out;
    }
    snprintf(s->what, sizeof(s->what), "suspend of domain %u", domid);
    s->fd = fd;
    s->fl = -1;
    s->req = (libxl__request){
        .ctx = ctx, .ao = ao, .what = s->what, .domid = domid, .kind = KIND_SAVE,
        .flags = INTENT_SUSPENDED | (flags & LIBXL_SUSPEND_LIVE ? INTENT_LIVE : 0), .file = fd,
        .message = suspend_message, .done = suspend_done,
    };
    rc = check_flags(gc, flags, s->what);
    if (!rc)
        rc = check_fd(gc, s);
    if (rc)
        goto out;
    rc = libxl__request_start(egc, &s->req);
    if (rc) {
        flags_restore(s);
        goto out;
    }
    return AO_INPROGRESS;

out:
    return AO_CREATE_FAIL(rc);
}
