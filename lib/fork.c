/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What the process knows of all its contexts, under one mutex that fork(2) takes too: a child that
 * is forked at any moment finds it whole and free.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/childproc.h"

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, libxl__ctx) ctxs;

/* One bit for each fd number: entering one needs memory only if no number was as high before, and
 * an entry costs nothing to find. */
static uint8_t *carefds;
static size_t carefds_bytes;
void *(*libxl__carefds_allocate)(void *old, size_t bytes) = realloc;

void libxl__registry_lock(void)
{
    int r = pthread_mutex_lock(&registry);

    assert(!r);
}

void libxl__registry_unlock(void)
{
    int r = pthread_mutex_unlock(&registry);

    assert(!r);
}

/* ---------- fork ---------- */

static pid_t handled_in;                        /* the child in which the handlers have run last */

static void reset_in_child(void)
{
    handled_in = getpid();
    libxl__sigchld_in_child();
    libxl__reap_in_child();
}

static void forked(void)
{
    libxl__registry_unlock();
    reset_in_child();
}

void libxl__fork_in_child(void)
{
    if (handled_in == getpid())
        return;
    pthread_mutex_init(&registry, NULL);        /* anew: nobody knows who held it */
    reset_in_child();
}

static int handlers_rc;

static void install_handlers(void)
{
    handlers_rc = pthread_atfork(libxl__registry_lock, libxl__registry_unlock, forked);
}

int libxl__fork_ctx_join(libxl_ctx *ctx)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, install_handlers);
    if (handlers_rc) {
        libxl__log(ctx, LIBXL__LOG_ERROR, handlers_rc, "the library cannot be told of forks");
        return handlers_rc == ENOMEM ? ERROR_NOMEM : ERROR_FAIL;
    }
    libxl__registry_lock();
    LIST_INSERT_HEAD(&ctxs, ctx, in_process);
    libxl__registry_unlock();
    return 0;
}

void libxl__fork_ctx_leave(libxl_ctx *ctx)
{
    libxl__registry_lock();
    LIST_REMOVE(ctx, in_process);
    libxl__registry_unlock();
}

/*
 * The child has one thread and none of its parent's: whatever lock of a ctx another thread held is
 * held for ever, so no ctx's lock is taken and nothing in a ctx is changed but what says that it is
 * dead.  Epoll sets are shared with the parent: they are closed, not emptied.
 */
void libxl_postfork_child_noexec(libxl_ctx *any)
{
    libxl_ctx *ctx;
    size_t fd;

    (void)any;
    libxl__registry_lock();
    for (fd = 0; fd < carefds_bytes * 8; fd++)
        if (carefds[fd / 8] & 1U << fd % 8)
            close((int)fd);
    if (carefds)
        memset(carefds, 0, carefds_bytes);
    LIST_FOREACH(ctx, &ctxs, in_process) {
        ctx->epfd = -1;
        ctx->child_epfd = -1;
    }
    LIST_INIT(&ctxs);
    libxl__sigchld_postfork();
    libxl__registry_unlock();
}

/* ---------- carefds ---------- */

void libxl__carefd_begin(void)
{
    libxl__registry_lock();
}

static int carefd_enter(int fd)
{
    size_t need = (size_t)fd / 8 + 1, bytes = carefds_bytes ? carefds_bytes : 64;
    uint8_t *bits;

    if (need > carefds_bytes) {
        while (bytes < need)
            bytes *= 2;
        bits = libxl__carefds_allocate(carefds, bytes);
        if (!bits) {
            close(fd);
            errno = ENOMEM;
            return -1;
        }
        memset(bits + carefds_bytes, 0, bytes - carefds_bytes);
        carefds = bits;
        carefds_bytes = bytes;
    }
    carefds[fd / 8] |= (uint8_t)(1U << fd % 8);
    return fd;
}

static void carefd_take_out(int fd)
{
    if ((size_t)fd / 8 < carefds_bytes)
        carefds[fd / 8] &= (uint8_t)~(1U << fd % 8);
}

int libxl__carefd_record(int fd)
{
    int errnoval = errno;

    if (fd >= 0) {
        fd = carefd_enter(fd);
        if (fd < 0)
            errnoval = errno;
    }
    libxl__registry_unlock();
    errno = errnoval;
    return fd;
}

int libxl__carefd_record_pair(int r, const int fds[2])
{
    int errnoval = errno;

    if (!r && carefd_enter(fds[0]) < 0) {
        close(fds[1]);
        errnoval = ENOMEM;
        r = -1;
    }
    if (!r && carefd_enter(fds[1]) < 0) {
        carefd_take_out(fds[0]);
        close(fds[0]);
        errnoval = ENOMEM;
        r = -1;
    }
    libxl__registry_unlock();
    errno = errnoval;
    return r;
}

/* Under the lock: were it closed before it is taken out, another thread could open the same number
 * in between, and its entry be lost; the other way about, a fork in between would leave it open. */
void libxl__carefd_close(int fd)
{
    int errnoval = errno;

    if (fd < 0)
        return;
    libxl__registry_lock();
    carefd_take_out(fd);
    close(fd);
    libxl__registry_unlock();
    errno = errnoval;
}

const struct libxl__care_ops libxl__carefd_ops = {
    .begin = libxl__carefd_begin,
    .record = libxl__carefd_record,
    .close = libxl__carefd_close,
};
