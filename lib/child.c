/* SPDX-License-Identifier: LGPL-2.1-only */
/* An application's own children, and the end of a child in words. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/childproc.h"

struct moat_child {
    libxl__ev_child ev;
    libxl__egc_item item;
    LIST_ENTRY(moat_child) entry;               /* in childproc->children until it is told */
    moat_child_exited *exited;
    void *user;
    pid_t pid;
    int status;
};

static void deliver_exit(libxl__egc *egc, libxl__egc_item *item)
{
    struct moat_child *c = CONTAINER_OF(item, struct moat_child, item);
    EGC_GC;

    c->exited(CTX, c, c->pid, c->status, c->user);
    free(c);
}

/* Locked; the application hears of it when this thread leaves the library. */
static void died(libxl__egc *egc, libxl__ev_child *ev, pid_t pid, int status)
{
    struct moat_child *c = CONTAINER_OF(ev, struct moat_child, ev);

    LIST_REMOVE(c, entry);
    c->pid = pid;
    c->status = status;
    c->item.deliver = deliver_exit;
    STAILQ_INSERT_TAIL(&egc->items, &c->item, entry);
}

pid_t moat_child_fork(libxl_ctx *ctx, moat_child_exited *exited, void *user, moat_child **child)
{
    struct moat_child *c;
    pid_t pid;

    EGC_INIT(ctx);
    CTX_LOCK;
    if (child)
        *child = NULL;
    c = libxl__new(CTX, sizeof(*c));
    if (!c) {
        pid = ERROR_NOMEM;
        goto out;
    }
    c->exited = exited;
    c->user = user;
    pid = libxl__ev_child_fork(gc, &c->ev, died);
    if (!pid)
        return 0;                               /* in the child the ctx stays locked: it is dead */
    if (pid < 0) {
        free(c);
        goto out;
    }
    LIST_INSERT_HEAD(&CTX->childproc->children, c, entry);
    if (child)
        *child = c;                             /* locked: its death cannot have been told yet */
out:
    CTX_UNLOCK;
    EGC_FREE;
    return pid;
}

void libxl__moat_children_free(libxl_ctx *ctx)
{
    struct moat_child *c;

    while ((c = LIST_FIRST(&ctx->childproc->children))) {
        LIST_REMOVE(c, entry);
        free(c);
    }
}

void libxl_report_child_exitstatus(libxl_ctx *ctx, xentoollog_level level, const char *what,
                                   pid_t pid, int status)
{
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        libxl__log(ctx, (int)level, 0, "%s [%d] exited with status zero", what, (int)pid);
    else if (WIFEXITED(status))
        libxl__log(ctx, (int)level, 0, "%s [%d] exited with error status %d", what, (int)pid,
                   WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        libxl__log(ctx, (int)level, 0, "%s [%d] was killed by signal %d (%s)%s", what, (int)pid,
                   WTERMSIG(status), strsignal(WTERMSIG(status)),
                   WCOREDUMP(status) ? ", with a core dump" : "");
    else
        libxl__log(ctx, (int)level, 0, "%s [%d] ended with the unknown wait status %#x", what,
                   (int)pid, (unsigned)status);
}
