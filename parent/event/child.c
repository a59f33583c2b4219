/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Children, forked here or adopted.  Each has a pidfd in the loop and is waited for by its own pid:
 * no SIGCHLD handler, and nobody else's child is ever touched.  A child that is not reaped keeps
 * its pid, so the pid is a safe name for it until then.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parent/event/core.h"

struct libxl__child {
    LIST_ENTRY(libxl__child) entry;
    pid_t pid;
    int pidfd;
    libxl__ev_fd efd;
    libxl__ev_child *ev;                        /* NULL: killed and forgotten, .. */
    libxl__ao *killer;                          /* .. for the sake of this operation */
    libxl__ev_child_kill *kill;
    void *kill_user;
};

static struct libxl__child *child_find(libxl_ctx *ctx, pid_t pid)
{
    struct libxl__child *rec;

    LIST_FOREACH(rec, &ctx->children[(unsigned)pid % CHILD_BUCKETS], entry)
        if (rec->pid == pid)
            return rec;
    return NULL;
}

static void child_free(libxl__gc *gc, struct libxl__child *rec)
{
    libxl__ev_fd_deregister(gc, &rec->efd);
    if (rec->pidfd >= 0)
        close(rec->pidfd);
    free(rec);
}

static void child_readable(libxl__egc *egc, libxl__ev_fd *efd, int fd, short events, short revents)
{
    struct libxl__child *rec = CONTAINER_OF(efd, struct libxl__child, efd);
    libxl__ev_child *ev = rec->ev;
    libxl__ao *killer = rec->killer;
    pid_t pid = rec->pid, r;
    int status;
    EGC_GC;

    (void)fd, (void)events, (void)revents;
    r = waitpid(pid, &status, WNOHANG | __WALL);
    if (!r || (r < 0 && errno == EINTR))
        return;
    if (r < 0) {
        libxl__disaster(CTX, 0, errno, "a child's exit status was taken by somebody else");
        status = 255 << 8;
    }
    LIST_REMOVE(rec, entry);
    child_free(gc, rec);
    if (ev) {
        ev->pid = -1;
        ev->rec = NULL;
        ev->callback(egc, ev, pid, status);
    } else {
        killer->killed--;
        libxl__ao_check_complete(egc, killer);
        libxl__ao_unref(killer);
    }
}

static struct libxl__child *child_new(libxl_ctx *ctx)
{
    struct libxl__child *rec = libxl__new(ctx, sizeof(*rec));

    if (!rec)
        return NULL;
    rec->pid = -1;
    rec->pidfd = -1;
    libxl__ev_fd_init(&rec->efd);
    return rec;
}

static int child_open_pidfd(libxl_ctx *ctx, struct libxl__child *rec, pid_t pid)
{
    rec->pidfd = pidfd_open(pid, 0);
    if (rec->pidfd >= 0)
        return 0;
    if (errno == ESRCH || errno == EINVAL)
        return ERROR_UNKNOWN_CHILD;
    libxl__log(ctx, LIBXL__LOG_ERROR, errno, "child %d: no pidfd", (int)pid);
    return ERROR_FAIL;
}

/* From here on the death of rec's child is told to ch. */
static int child_attach(libxl__gc *gc, struct libxl__child *rec, pid_t pid, libxl__ev_child *ch,
                        libxl__ev_child_callback *death)
{
    int rc = libxl__ev_fd_register(gc, &rec->efd, child_readable, rec->pidfd, POLLIN);

    if (rc)
        return rc;
    rec->pid = pid;
    rec->ev = ch;
    LIST_INSERT_HEAD(&CTX->children[(unsigned)pid % CHILD_BUCKETS], rec, entry);
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
    close(ctx->epfd);
    ctx->epfd = -1;
    if (ctx->xsh)
        ctx->xs_ops->destroy_postfork(ctx->xsh);
    ctx->xsh = NULL;
}

pid_t libxl__ev_child_fork(libxl__gc *gc, libxl__ev_child *ch, libxl__ev_child_callback *death)
{
    struct libxl__child *rec;
    pid_t pid;
    int rc;

    libxl__ev_child_init(ch);
    CTX_LOCK;
    rec = child_new(CTX);
    if (!rec) {
        rc = ERROR_NOMEM;
        goto out;
    }
    pid = fork();
    if (pid < 0) {
        LOGE(ERROR, "cannot fork");
        rc = ERROR_FAIL;
        goto out;
    }
    if (!pid) {
        become_dead_ctx(CTX);
        return 0;                               /* with the lock: see the header */
    }
    rc = child_open_pidfd(CTX, rec, pid);
    if (!rc)
        rc = child_attach(gc, rec, pid, ch, death);
    if (rc) {
        /* A child whose death nobody would hear of must not live. */
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
            ;
        goto out;
    }
    CTX_UNLOCK;
    return pid;

out:
    if (rec)
        child_free(gc, rec);
    CTX_UNLOCK;
    return rc;
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
    if (pid <= 0 || child_find(CTX, pid)) {
        LOG(ERROR, "process %d cannot be adopted: %s", (int)pid,
            pid <= 0 ? "no pid" : "it has been already");
        rc = ERROR_INVAL;
        goto out;
    }
    rec = child_new(CTX);
    if (!rec) {
        rc = ERROR_NOMEM;
        goto out;
    }
    rec->kill = kill_hook;
    rec->kill_user = kill_user;
    rc = child_open_pidfd(CTX, rec, pid);
    if (rc)
        goto out;
    rc = child_is_ours(CTX, rec, pid);
    if (rc)
        goto out;
    rc = child_attach(gc, rec, pid, ch, death);
out:
    if (rc && rec)
        child_free(gc, rec);
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
    libxl__gc gc[1];
    int i;

    libxl__gc_init(gc, ctx);
    for (i = 0; i < CHILD_BUCKETS; i++) {
        while ((rec = LIST_FIRST(&ctx->children[i]))) {
            assert(rec->ev);                    /* else an operation still waits for it */
            LIST_REMOVE(rec, entry);
            libxl__ev_child_init(rec->ev);
            child_free(gc, rec);
        }
    }
}
