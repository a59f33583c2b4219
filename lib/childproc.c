/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Who owns SIGCHLD: libxl's four modes, on pidfds.
 *
 *   owner             waits for                                handles SIGCHLD
 *   _libxl            its own children                         no
 *   with a callback   every child of the process               while it has children
 *   _mainloop         nothing, until it is told                no
 *   _libxl_always     every child of the process               from setmode on
 *   _selective_reap   its own children                         no
 *
 * (SIGCHLD is handled also while a library that waits by itself has children and the process was
 * started with SIGCHLD ignored: the kernel would keep no status.)
 *
 * The ctx's own children are found by their pidfds in every mode.  SIGCHLD is for the others: the
 * handler writes to an eventfd in the ctx's epoll set of children, so that a main loop has one
 * descriptor to watch in every mode, and then each waitpid(-1) is one child that died.
 *
 * A wait for any child also takes those of other contexts.  So all children of all contexts are in
 * one table of the process; the status of another context's child is put down there, and that
 * context, which its pidfd wakes, finds it.  The reap lock makes "wait for any, look it up" and
 * "fork, enter" each one step.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/childproc.h"

static const libxl_childproc_hooks default_hooks = { .chldowner = libxl_sigchld_owner_libxl };

/* ---------- the children of all contexts */

static pthread_mutex_t reap = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, libxl__child) known[CHILD_BUCKETS];

static __thread bool reap_mine;                 /* this thread has it locked */

static void reap_lock(void)
{
    int r = pthread_mutex_lock(&reap);

    assert(!r);
    reap_mine = true;
}

static void reap_unlock(void)
{
    int r;

    reap_mine = false;
    r = pthread_mutex_unlock(&reap);
    assert(!r);
}

static void child_known(struct libxl__child *rec)
{
    LIST_INSERT_HEAD(&known[(unsigned)rec->pid % CHILD_BUCKETS], rec, known);
    rec->is_known = true;
}

static void child_forget(struct libxl__child *rec)
{
    if (rec->is_known)
        LIST_REMOVE(rec, known);
    rec->is_known = false;
}

/* One whose status was taken has no process any more: its pid may be another's by now. */
static struct libxl__child *child_of_anybody(pid_t pid)
{
    struct libxl__child *rec;

    LIST_FOREACH(rec, &known[(unsigned)pid % CHILD_BUCKETS], known)
        if (rec->pid == pid && !rec->taken)
            return rec;
    return NULL;
}

/* What was in the table belongs to contexts that are dead.  The lock was held by the thread that
 * forked, which will unlock it, or by one that does not exist here. */
void libxl__reap_in_child(void)
{
    int i;

    if (!reap_mine)
        pthread_mutex_init(&reap, NULL);
    for (i = 0; i < CHILD_BUCKETS; i++)
        LIST_INIT(&known[i]);
}

/* ---------- modes */

static libxl_sigchld_owner owner(const libxl_ctx *ctx)
{
    return ctx->childproc->hooks->chldowner;
}

static bool waits(libxl_ctx *ctx)
{
    return owner(ctx) != libxl_sigchld_owner_mainloop;
}

static bool waits_for_all(libxl_ctx *ctx)
{
    return owner(ctx) == libxl_sigchld_owner_libxl_always ||
           (owner(ctx) == libxl_sigchld_owner_libxl && ctx->childproc->hooks->reaped_callback);
}

static int open_efd(libxl_ctx *ctx)
{
    struct libxl__childproc *cp = ctx->childproc;
    struct epoll_event ee = { .events = EPOLLIN, .data.u64 = 0 };
    int errnoval;

    libxl__carefd_begin();
    cp->efd = libxl__carefd_record(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
    if (cp->efd >= 0 && !epoll_ctl(ctx->child_epfd, EPOLL_CTL_ADD, cp->efd, &ee))
        return 0;
    errnoval = errno;
    libxl__log(ctx, LIBXL__LOG_ERROR, errnoval, "no descriptor to be woken by SIGCHLD");
    return errnoval == ENOMEM ? ERROR_NOMEM : ERROR_FAIL;
}

static void stop_handling(libxl_ctx *ctx)
{
    struct libxl__childproc *cp = ctx->childproc;

    libxl__sigchld_disuse(ctx, cp->sigchld);
    cp->sigchld = NULL;
    if (cp->efd >= 0)                           /* a forked process may have it too */
        epoll_ctl(ctx->child_epfd, EPOLL_CTL_DEL, cp->efd, NULL);
    libxl__carefd_close(cp->efd);
    cp->efd = -1;
}

static int begin(libxl_ctx *ctx)
{
    struct libxl__childproc *cp = ctx->childproc;
    int rc = 0;

    if (cp->sigchld || !waits(ctx))
        return 0;
    if (waits_for_all(ctx))
        rc = open_efd(ctx);
    else if (!libxl__sigchld_ignored())
        return 0;
    if (!rc)
        rc = libxl__sigchld_use(ctx, cp->efd, &cp->sigchld);
    if (rc)
        stop_handling(ctx);
    return rc;
}

static bool end(libxl_ctx *ctx)
{
    if (owner(ctx) == libxl_sigchld_owner_libxl_always && ctx->childproc->sigchld)
        return false;
    stop_handling(ctx);
    return true;
}

static pid_t do_fork(libxl_ctx *ctx)
{
    const libxl_childproc_hooks *hooks = ctx->childproc->hooks;
    pid_t pid = hooks->fork_replacement ? hooks->fork_replacement(ctx->childproc->user) : fork();

    if (!pid)
        libxl__fork_in_child();
    return pid;
}

static enum libxl__child_lost lost(libxl_ctx *ctx, struct libxl__child *rec, int *status)
{
    bool taken;

    reap_lock();
    taken = rec->taken;
    *status = rec->status;
    reap_unlock();
    if (taken)
        return CHILD_TAKEN;
    /* The application has waited for it and is about to say so. */
    return waits(ctx) || libxl__sigchld_ignored() ? CHILD_LOST : CHILD_TO_BE_TOLD;
}

/* ---------- every child of the process */

/* Wait for one.  0: there is none.  *own: it is this ctx's, *foreign: nobody's. */
static pid_t reap_any(libxl_ctx *ctx, struct libxl__child **own, bool *foreign, int *status)
{
    struct libxl__child *rec = NULL;
    pid_t pid;

    *own = NULL;
    *foreign = false;
    reap_lock();
    do
        pid = waitpid(-1, status, WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (pid > 0) {
        rec = child_of_anybody(pid);
        *foreign = !rec;
    }
    if (rec && rec == libxl__child_find(ctx, pid)) {
        child_forget(rec);
        *own = rec;
    } else if (rec) {
        rec->taken = true;
        rec->status = *status;
    }
    reap_unlock();
    return pid > 0 ? pid : 0;
}

static void report_foreign(libxl_ctx *ctx, const libxl_childproc_hooks *hooks, void *user,
                           pid_t pid, int status)
{
    int rc = hooks->reaped_callback ? hooks->reaped_callback(pid, status, user)
                                    : ERROR_UNKNOWN_CHILD;

    if (rc == ERROR_UNKNOWN_CHILD)
        libxl_report_child_exitstatus(ctx, XTL_WARN, "unknown child", pid, status);
    else if (rc)
        libxl__disaster(ctx, 0, 0, "the application's reaped_callback failed");
}

/* Unlocked, and on several threads at once if need be: each child is waited for by one of them. */
static void reap_all(libxl__egc *egc, libxl__egc_item *item)
{
    struct libxl__childproc *cp = CONTAINER_OF(item, struct libxl__childproc, item);
    const libxl_childproc_hooks *hooks;
    struct libxl__child *own;
    bool foreign;
    int status;
    void *user;
    pid_t pid;
    EGC_GC;

    CTX_LOCK;
    cp->queued = false;
    /* efd: the last child of the ctx may be gone, or the mode another one. */
    while (cp->efd >= 0 && (pid = reap_any(CTX, &own, &foreign, &status))) {
        if (own)
            libxl__child_dead(egc, own, status);
        if (!foreign)
            continue;
        hooks = cp->hooks;
        user = cp->user;
        CTX_UNLOCK;
        report_foreign(CTX, hooks, user, pid, status);
        CTX_LOCK;
    }
    CTX_UNLOCK;
}

static void signalled(libxl__egc *egc)
{
    struct libxl__childproc *cp = egc->gc.owner->childproc;
    uint64_t n;

    if (read(cp->efd, &n, sizeof(n)) < 0 || cp->queued)
        return;                                 /* another thread has it */
    cp->queued = true;
    cp->item.deliver = reap_all;
    STAILQ_INSERT_TAIL(&egc->items, &cp->item, entry);
}

static const struct libxl__child_ops child_ops = {
    .waits = waits,
    .begin = begin,
    .end = end,
    .signalled = signalled,
    .fork = do_fork,
    .reap_lock = reap_lock,
    .reap_unlock = reap_unlock,
    .known = child_known,
    .forget = child_forget,
    .lost = lost,
};

/* ---------- a ctx comes and goes */

int libxl__childproc_init(libxl_ctx *ctx)
{
    struct libxl__childproc *cp = libxl__new(ctx, sizeof(*cp));
    int rc;

    if (!cp)
        return ERROR_NOMEM;
    rc = libxl__fork_ctx_join(ctx);
    if (rc) {
        free(cp);
        return rc;
    }
    cp->hooks = &default_hooks;
    cp->efd = -1;
    LIST_INIT(&cp->children);
    ctx->childproc = cp;
    ctx->child_ops = &child_ops;
    ctx->care = &libxl__carefd_ops;
    return 0;
}

void libxl__childproc_fini(libxl_ctx *ctx)
{
    struct libxl__childproc *cp = ctx->childproc;

    if (!cp)
        return;
    libxl__ctx_lock(ctx);
    libxl__child_orphan_all(ctx);
    cp->hooks = &default_hooks;
    libxl__child_unwatch_if_idle(ctx);
    libxl__moat_children_free(ctx);
    ctx->child_ops = NULL;
    ctx->childproc = NULL;
    libxl__ctx_unlock(ctx);
    libxl__fork_ctx_leave(ctx);
    free(cp);
}

/* ---------- the public face */

void libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *hooks, void *user)
{
    EGC_INIT(ctx);
    CTX_LOCK;
    if (!hooks)
        hooks = &default_hooks;
    if ((unsigned)hooks->chldowner > libxl_sigchld_owner_libxl_always_selective_reap) {
        LOG(CRITICAL, "childproc_setmode: there is no owner %d; nothing is changed",
            (int)hooks->chldowner);
        goto out;
    }
    if (CTX->nchildren) {
        LOG(CRITICAL, "childproc_setmode while there are %u children: nothing is changed; call it "
            "before the first operation", CTX->nchildren);
        goto out;
    }
    CTX->childproc->hooks = hooks;
    CTX->childproc->user = user;
    libxl__child_unwatch_if_idle(CTX);          /* of the old mode */
    if (hooks->chldowner == libxl_sigchld_owner_libxl_always && libxl__child_watch(CTX))
        libxl__disaster(CTX, 0, 0, "childproc_setmode: SIGCHLD cannot be owned (see the log); "
                        "each fork will fail");
out:
    CTX_UNLOCK;
    EGC_FREE;
}

/* libxl asserts it.  In the other modes the library waits itself, so the caller is mistaken about
 * something; a status is not taken from him. */
static bool told_by_mainloop(libxl_ctx *ctx, const char *call)
{
    if (!waits(ctx))
        return true;
    libxl__log(ctx, LIBXL__LOG_CRITICAL, 0, "%s is for libxl_sigchld_owner_mainloop only: nothing "
               "is done", call);
    return false;
}

int libxl_childproc_reaped(libxl_ctx *ctx, pid_t pid, int status)
{
    struct libxl__child *rec = NULL;

    EGC_INIT(ctx);
    CTX_LOCK;
    if (told_by_mainloop(CTX, "childproc_reaped"))
        rec = libxl__child_find(CTX, pid);
    if (rec)
        libxl__child_dead(egc, rec, status);
    CTX_UNLOCK;
    EGC_FREE;
    return rec ? 0 : ERROR_UNKNOWN_CHILD;
}

void libxl_childproc_sigchld_occurred(libxl_ctx *ctx)
{
    EGC_INIT(ctx);
    CTX_LOCK;
    if (told_by_mainloop(CTX, "childproc_sigchld_occurred"))
        libxl__child_reap_own(egc);
    CTX_UNLOCK;
    EGC_FREE;
}
