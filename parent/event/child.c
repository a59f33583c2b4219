/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Children, forked here or adopted.  Each has a pidfd and is waited for by its own pid: a child
 * that is not reaped keeps its pid, so the pid is a safe name for it until then, and nobody else's
 * child is ever touched.  The pidfds of a ctx are in one epoll set, which exists while children do
 * and is itself what the loop waits for: finding the dead costs as much as there are dead, and a
 * main loop that is not ours has one descriptor to watch, however many children there are.
 *
 * An entry of the set is EPOLLONESHOT: it reports its child once and is then taken out, or armed
 * again if the child cannot be reaped after all.
 *
 * moatd has nothing but this.  What libmoat adds, an owner of SIGCHLD, is in ctx->child_ops.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parent/event/child.h"

#define DEAD_AT_ONCE 128

void libxl__care_close(libxl_ctx *ctx, int fd)
{
    if (fd < 0)
        return;
    if (ctx->care)
        ctx->care->close(fd);
    else
        close(fd);
}

void libxl__child_ctx_init(libxl_ctx *ctx)
{
    int i;

    for (i = 0; i < CHILD_BUCKETS; i++)
        LIST_INIT(&ctx->children[i]);
    ctx->child_epfd = -1;
    libxl__ev_fd_init(&ctx->child_efd);
}

struct libxl__child *libxl__child_find(libxl_ctx *ctx, pid_t pid)
{
    struct libxl__child *rec;

    LIST_FOREACH(rec, &ctx->children[(unsigned)pid % CHILD_BUCKETS], entry) {
        ctx->stats.child_steps++;
        if (rec->pid == pid)
            return rec;
    }
    return NULL;
}

/* ---------- the epoll set ---------- */

static int rc_of_errno(int errnoval)
{
    return errnoval == ENOMEM ? ERROR_NOMEM : ERROR_FAIL;
}

static void children_readable(libxl__egc *egc, libxl__ev_fd *efd, int fd, short events,
                              short revents)
{
    (void)efd, (void)fd, (void)events, (void)revents;
    libxl__child_reap_own(egc);
}

int libxl__child_watch(libxl_ctx *ctx)
{
    libxl__gc gc[1];
    int errnoval, rc = 0;

    if (ctx->child_epfd < 0) {
        libxl__care_begin(ctx);
        ctx->child_epfd = libxl__care_record(ctx, epoll_create1(EPOLL_CLOEXEC));
        if (ctx->child_epfd < 0) {
            errnoval = errno;
            libxl__log(ctx, LIBXL__LOG_ERROR, errnoval, "no epoll descriptor for children");
            return rc_of_errno(errnoval);
        }
    }
    if (!libxl__ev_fd_isregistered(&ctx->child_efd) &&
        (!ctx->child_ops || ctx->child_ops->waits(ctx))) {
        libxl__gc_init(gc, ctx);
        rc = libxl__ev_fd_register(gc, &ctx->child_efd, children_readable, ctx->child_epfd, POLLIN);
    }
    if (!rc && ctx->child_ops)
        rc = ctx->child_ops->begin(ctx);
    if (rc)
        libxl__child_unwatch_if_idle(ctx);
    return rc;
}

void libxl__child_unwatch_if_idle(libxl_ctx *ctx)
{
    libxl__gc gc[1];

    if (ctx->nchildren || ctx->child_epfd < 0 || (ctx->child_ops && !ctx->child_ops->end(ctx)))
        return;
    libxl__gc_init(gc, ctx);
    libxl__ev_fd_deregister(gc, &ctx->child_efd);
    libxl__care_close(ctx, ctx->child_epfd);
    ctx->child_epfd = -1;
}

static int pidfd_ctl(libxl_ctx *ctx, int op, const struct libxl__child *rec)
{
    /* The pid, not rec: whatever the kernel says, nothing that was freed is ever followed. */
    struct epoll_event ee = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = (uint32_t)rec->pid };
    int errnoval;

    if (!epoll_ctl(ctx->child_epfd, op, rec->pidfd, &ee))
        return 0;
    errnoval = errno;
    libxl__log(ctx, LIBXL__LOG_ERROR, errnoval, "child %d cannot be watched", (int)rec->pid);
    return rc_of_errno(errnoval);
}

/* ---------- deaths ---------- */

static void reap_lock(libxl_ctx *ctx)
{
    if (ctx->child_ops)
        ctx->child_ops->reap_lock();
}

static void reap_unlock(libxl_ctx *ctx)
{
    if (ctx->child_ops)
        ctx->child_ops->reap_unlock();
}

/* A record that is in no table (any more). */
static void child_free(libxl_ctx *ctx, struct libxl__child *rec)
{
    libxl__care_close(ctx, rec->pidfd);
    free(rec);
}

static void child_forget(libxl_ctx *ctx, struct libxl__child *rec)
{
    reap_lock(ctx);
    if (ctx->child_ops)
        ctx->child_ops->forget(rec);
    reap_unlock(ctx);
    LIST_REMOVE(rec, entry);
    ctx->nchildren--;
    /* Explicitly: a process that was forked has the pidfd too, so closing does not remove it. */
    if (rec->pidfd >= 0)
        (void)pidfd_ctl(ctx, EPOLL_CTL_DEL, rec);
    child_free(ctx, rec);
}

void libxl__child_dead(libxl__egc *egc, struct libxl__child *rec, int status)
{
    libxl__ev_child *ev = rec->ev;
    libxl__ao *killer = rec->killer;
    pid_t pid = rec->pid;
    EGC_GC;

    child_forget(CTX, rec);
    if (ev) {
        ev->pid = -1;
        ev->rec = NULL;
        ev->callback(egc, ev, pid, status);
        libxl__assert_locked_once(CTX);
    } else {
        killer->killed--;
        libxl__ao_check_complete(egc, killer);
        libxl__ao_unref(killer);
    }
    libxl__child_unwatch_if_idle(CTX);          /* only now: the callback may have forked anew */
}

/* The child's entry in the epoll set has reported.  Is there progress? */
static bool child_reap(libxl__egc *egc, struct libxl__child *rec)
{
    EGC_GC;
    int status, errnoval;
    pid_t r;

    reap_lock(CTX);
    /* If another context took its status, its pid may be somebody else's by now. */
    errno = ECHILD;
    r = rec->taken ? -1 : waitpid(rec->pid, &status, WNOHANG | __WALL);
    errnoval = errno;
    if (r > 0 && CTX->child_ops)
        CTX->child_ops->forget(rec);
    reap_unlock(CTX);

    if (!r || (r < 0 && errnoval == EINTR)) {   /* dead, but a tracer has not seen it yet */
        (void)pidfd_ctl(CTX, EPOLL_CTL_MOD, rec);
        return false;
    }
    if (r < 0) {
        switch (CTX->child_ops ? CTX->child_ops->lost(CTX, rec, &status) : CHILD_LOST) {
        case CHILD_TAKEN:
            break;
        case CHILD_TO_BE_TOLD:
            return true;
        case CHILD_LOST:
            libxl__disaster(CTX, 0, errnoval, "a child's exit status was taken by somebody else");
            status = 255 << 8;
        }
    }
    libxl__child_dead(egc, rec, status);
    return true;
}

/* Callbacks may reap, fork and end everything: what is found is looked up by pid each time, and
 * the set itself too. */
void libxl__child_reap_own(libxl__egc *egc)
{
    struct epoll_event ready[DEAD_AT_ONCE];
    struct libxl__child *rec;
    bool progress;
    int i, n;
    EGC_GC;

    do {
        progress = false;
        n = CTX->child_epfd < 0 ? 0 : epoll_wait(CTX->child_epfd, ready, DEAD_AT_ONCE, 0);
        for (i = 0; i < n; i++) {
            if (!ready[i].data.u64) {
                CTX->child_ops->signalled(egc);
                continue;
            }
            rec = libxl__child_find(CTX, (pid_t)ready[i].data.u64);
            if (rec && child_reap(egc, rec))
                progress = true;
        }
    } while (n == DEAD_AT_ONCE && progress);
}

/* ---------- making children ---------- */

static struct libxl__child *child_new(libxl_ctx *ctx)
{
    struct libxl__child *rec = libxl__new(ctx, sizeof(*rec));

    if (!rec)
        return NULL;
    rec->pid = -1;
    rec->pidfd = -1;
    return rec;
}

static int child_open_pidfd(libxl_ctx *ctx, struct libxl__child *rec, pid_t pid)
{
    int errnoval;

    libxl__care_begin(ctx);
    rec->pidfd = libxl__care_record(ctx, pidfd_open(pid, 0));
    if (rec->pidfd >= 0)
        return 0;
    errnoval = errno;
    if (errnoval == ESRCH || errnoval == EINVAL)    /* it is nobody's, or has been reaped */
        return ERROR_UNKNOWN_CHILD;
    libxl__log(ctx, LIBXL__LOG_ERROR, errnoval, "child %d: no pidfd", (int)pid);
    return rc_of_errno(errnoval);
}

/* From here on the death of rec's child is told to ch. */
static int child_attach(libxl_ctx *ctx, struct libxl__child *rec, pid_t pid, libxl__ev_child *ch,
                        libxl__ev_child_callback *death)
{
    int rc;

    rec->pid = pid;
    rc = rec->pidfd < 0 ? 0 : pidfd_ctl(ctx, EPOLL_CTL_ADD, rec);
    if (rc)
        return rc;
    rec->ev = ch;
    LIST_INSERT_HEAD(&ctx->children[(unsigned)pid % CHILD_BUCKETS], rec, entry);
    ctx->nchildren++;
    if (ctx->child_ops)
        ctx->child_ops->known(rec);
    ch->pid = pid;
    ch->callback = death;
    ch->rec = rec;
    return 0;
}

void libxl__ev_child_init(libxl__ev_child *ch)
{
    memset(ch, 0, sizeof(*ch));
    ch->pid = -1;
}

/* The epoll set is shared with the parent until it is closed, so nothing may be taken out of it. */
static void become_dead_ctx(libxl_ctx *ctx)
{
    libxl__care_close(ctx, ctx->epfd);
    ctx->epfd = -1;
    if (ctx->xsh)
        ctx->xs_ops->destroy_postfork(ctx->xsh);
    ctx->xsh = NULL;
}

static void kill_and_reap(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
}

/* Everything that may fail comes before the fork, but for the pidfd: a child whose death nobody
 * would hear of must not live. */
pid_t libxl__ev_child_fork(libxl__gc *gc, libxl__ev_child *ch, libxl__ev_child_callback *death)
{
    struct libxl__child *rec = NULL;
    bool gone;
    pid_t pid;
    int rc;

    libxl__ev_child_init(ch);
    CTX_LOCK;
    rc = libxl__child_watch(CTX);
    if (rc > 0)                                 /* a main loop's own code must not pass for a pid */
        rc = ERROR_OSEVENT_REG_FAIL;
    if (rc)
        goto out;
    rec = child_new(CTX);
    if (!rec) {
        rc = ERROR_NOMEM;
        goto out;
    }
    reap_lock(CTX);
    pid = CTX->child_ops ? CTX->child_ops->fork(CTX) : fork();
    if (!pid) {
        reap_unlock(CTX);
        become_dead_ctx(CTX);
        return 0;                               /* with the lock: see the header */
    }
    if (pid < 0) {
        LOGE(ERROR, "cannot fork");
        rc = ERROR_FAIL;
    } else {
        rc = child_open_pidfd(CTX, rec, pid);
        gone = rc == ERROR_UNKNOWN_CHILD;
        /* An application that waits by itself was quicker; it will say so. */
        if (gone && CTX->child_ops && !CTX->child_ops->waits(CTX))
            rc = 0;
        if (!rc)
            rc = child_attach(CTX, rec, pid, ch, death);
        if (gone && rc)
            LOG(ERROR, "child %d was waited for by somebody else, as soon as it was forked",
                (int)pid);
        else if (rc)
            kill_and_reap(pid);
    }
    reap_unlock(CTX);
out:
    if (rc) {
        if (rec)
            child_free(CTX, rec);
        libxl__child_unwatch_if_idle(CTX);
    }
    CTX_UNLOCK;
    return rc ? rc : pid;
}

/* Is what the pidfd names a child of ours, alive or dead?  Nothing is reaped. */
static int child_is_ours(libxl_ctx *ctx, const struct libxl__child *rec, pid_t pid)
{
    siginfo_t si;
    int r = waitid(P_PIDFD, (id_t)rec->pidfd, &si, WEXITED | WNOHANG | WNOWAIT | __WALL);
    int errnoval = errno;

    if (!r)
        return 0;
    libxl__log(ctx, LIBXL__LOG_ERROR, errnoval, "process %d cannot be adopted", (int)pid);
    return errnoval == ECHILD ? ERROR_UNKNOWN_CHILD : ERROR_FAIL;
}

/* Safe if the caller is lied to about pid: only a child of this process is accepted, only once, and
 * all that is ever done with it is to wait for it and (without a kill hook) to signal it. */
int libxl__ev_child_adopt(libxl__gc *gc, libxl__ev_child *ch, pid_t pid,
                          libxl__ev_child_callback *death, libxl__ev_child_kill *kill_hook,
                          void *kill_user)
{
    struct libxl__child *rec = NULL;
    int rc;

    libxl__ev_child_init(ch);
    CTX_LOCK;
    if (pid <= 0 || libxl__child_find(CTX, pid)) {
        LOG(ERROR, "process %d cannot be adopted: %s", (int)pid,
            pid <= 0 ? "no pid" : "it has been already");
        rc = ERROR_INVAL;
        goto out;
    }
    rc = libxl__child_watch(CTX);
    if (rc)
        goto out;
    rec = child_new(CTX);
    if (!rec) {
        rc = ERROR_NOMEM;
        goto out;
    }
    rec->kill = kill_hook;
    rec->kill_user = kill_user;
    reap_lock(CTX);
    rc = child_open_pidfd(CTX, rec, pid);
    if (!rc)
        rc = child_is_ours(CTX, rec, pid);
    if (!rc)
        rc = child_attach(CTX, rec, pid, ch, death);
    reap_unlock(CTX);
out:
    if (rc) {
        if (rec)
            child_free(CTX, rec);
        libxl__child_unwatch_if_idle(CTX);
    }
    CTX_UNLOCK;
    return rc;
}

void libxl__ev_child_kill_deregister(libxl__ao *ao, libxl__ev_child *ch, int sig)
{
    libxl__ao *root = libxl__ao_root(ao);
    struct libxl__child *rec;
    int rc;
    AO_GC;

    CTX_LOCK;
    if (!libxl__ev_child_inuse(ch))
        goto out;
    assert(!root->told);
    rec = ch->rec;
    rec->ev = NULL;
    rec->killer = root;
    root->killed++;
    libxl__ao_ref(root);
    libxl__ev_child_init(ch);

    if (rec->kill) {
        rc = rec->kill(gc, rec->kill_user, rec->pid, sig);
        if (rc)
            LOG(ERROR, "cannot have child %d killed, rc=%d", (int)rec->pid, rc);
    } else if (kill(rec->pid, sig)) {
        LOGE(ERROR, "cannot send signal %d to child %d", sig, (int)rec->pid);
    }
out:
    CTX_UNLOCK;
}

void libxl__child_orphan_all(libxl_ctx *ctx)
{
    struct libxl__child *rec;
    int i;

    for (i = 0; i < CHILD_BUCKETS; i++) {
        while ((rec = LIST_FIRST(&ctx->children[i]))) {
            assert(rec->ev);                    /* else an operation still waits for it */
            libxl__ev_child_init(rec->ev);
            child_forget(ctx, rec);
        }
    }
    libxl__child_unwatch_if_idle(ctx);
}
