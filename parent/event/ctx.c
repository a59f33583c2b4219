/* SPDX-License-Identifier: LGPL-2.1-only */
/* The context: lock, log, memory. */

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "parent/event/core.h"

int libxl__ctx_new(libxl_ctx **out, const moat_ctx_hooks *hooks, void *user)
{
    pthread_mutexattr_t attr;
    libxl_ctx *ctx;

    *out = NULL;
    ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return ERROR_NOMEM;
    if (hooks)
        ctx->hooks = *hooks;
    ctx->user = user;
    ctx->allocate = realloc;
    TAILQ_INIT(&ctx->fds_always);
    TAILQ_INIT(&ctx->fds_watched);
    LIST_INIT(&ctx->aos);
    libxl__child_ctx_init(ctx);
    ctx->watch_free = -1;
    libxl__ev_fd_init(&ctx->watch_efd);
    ctx->epfd = -1;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&ctx->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    *out = ctx;
    return 0;
}

int libxl__ctx_epoll(libxl_ctx *ctx)
{
    int errnoval;

    if (ctx->epfd >= 0)
        return 0;
    libxl__care_begin(ctx);
    ctx->epfd = libxl__care_record(ctx, epoll_create1(EPOLL_CLOEXEC));
    if (ctx->epfd >= 0)
        return 0;
    errnoval = errno;
    libxl__log(ctx, LIBXL__LOG_ERROR, errnoval, "event context: no epoll descriptor");
    return errnoval == ENOMEM ? ERROR_NOMEM : ERROR_FAIL;
}

int moat_ctx_alloc(libxl_ctx **out, const moat_ctx_hooks *hooks, void *user)
{
    int rc = libxl__ctx_new(out, hooks, user);

    if (rc)
        return rc;
    rc = libxl__ctx_epoll(*out);
    if (rc) {
        moat_ctx_free(*out);
        *out = NULL;
    }
    return rc;
}

void moat_ctx_free(libxl_ctx *ctx)
{
    if (!ctx)
        return;
    libxl__child_orphan_all(ctx);
    assert(LIST_EMPTY(&ctx->aos));
    assert(!ctx->timers && !ctx->watch_used && !ctx->fds_used && !ctx->lock_depth);
    libxl__fd_free_table(ctx);
    free(ctx->heap);
    free(ctx->watch_slots);
    libxl__care_close(ctx, ctx->epfd);
    pthread_mutex_destroy(&ctx->lock);
    free(ctx);
}

void libxl__ctx_lock(libxl_ctx *ctx)
{
    int r = pthread_mutex_lock(&ctx->lock);

    assert(!r);
    ctx->lock_depth++;
}

void libxl__ctx_unlock(libxl_ctx *ctx)
{
    int r;

    assert(ctx->lock_depth > 0);
    ctx->lock_depth--;
    r = pthread_mutex_unlock(&ctx->lock);
    assert(!r);
}

/* Messages carry xenstore paths that a guest may have made up: no control byte gets into a log. */
void libxl__log(libxl_ctx *ctx, int level, int errnoval, const char *fmt, ...)
{
    char msg[1024], errbuf[128];
    size_t len;
    va_list ap;
    char *p;

    if (!ctx->hooks.log)
        return;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    len = strlen(msg);
    if (errnoval)
        snprintf(msg + len, sizeof(msg) - len, ": %s",
                 strerror_r(errnoval, errbuf, sizeof(errbuf)));
    for (p = msg; *p; p++)
        if (iscntrl((unsigned char)*p))
            *p = '?';
    ctx->hooks.log(ctx->user, level, msg);
}

void libxl__disaster(libxl_ctx *ctx, libxl_event_type type, int errnoval, const char *msg)
{
    libxl__log(ctx, LIBXL__LOG_CRITICAL, errnoval, "%s", msg);
    if (ctx->hooks.disaster)
        ctx->hooks.disaster(ctx->user, type, msg, errnoval);
}

/* ---------- memory ---------- */

struct libxl__gc_block {
    struct libxl__gc_block *next;
    max_align_t data[];
};

void *libxl__realloc(libxl_ctx *ctx, void *old, size_t bytes)
{
    return ctx->allocate(old, bytes);
}

void *libxl__new(libxl_ctx *ctx, size_t bytes)
{
    void *p = libxl__realloc(ctx, NULL, bytes);

    return p ? memset(p, 0, bytes) : NULL;
}

void libxl__gc_init(libxl__gc *gc, libxl_ctx *ctx)
{
    gc->owner = ctx;
    gc->blocks = NULL;
}

void libxl__gc_free_all(libxl__gc *gc)
{
    struct libxl__gc_block *b;

    while ((b = gc->blocks)) {
        gc->blocks = b->next;
        free(b);
    }
}

void *libxl__zalloc(libxl__gc *gc, size_t bytes)
{
    struct libxl__gc_block *b;
    size_t total;

    if (__builtin_add_overflow(sizeof(*b), bytes, &total))
        return NULL;
    b = libxl__new(gc->owner, total);
    if (!b)
        return NULL;
    b->next = gc->blocks;
    gc->blocks = b;
    return b->data;
}

void *libxl__calloc(libxl__gc *gc, size_t count, size_t bytes)
{
    size_t total;

    return __builtin_mul_overflow(count, bytes, &total) ? NULL : libxl__zalloc(gc, total);
}

char *libxl__strdup(libxl__gc *gc, const char *s)
{
    size_t len = strlen(s) + 1;
    char *p = libxl__zalloc(gc, len);

    return p ? memcpy(p, s, len) : NULL;
}

char *libxl__sprintf(libxl__gc *gc, const char *fmt, ...)
{
    va_list ap;
    char *p;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0)
        return NULL;
    p = libxl__zalloc(gc, (size_t)len + 1);
    if (!p)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(p, (size_t)len + 1, fmt, ap);
    va_end(ap);
    return p;
}

libxl_event *libxl__event_new(libxl_ctx *ctx, libxl_event_type type, uint32_t domid,
                              libxl_ev_user for_user)
{
    struct libxl__event_box *box = libxl__new(ctx, sizeof(*box));

    if (!box)
        return NULL;
    box->event.type = type;
    box->event.domid = domid;
    box->event.for_user = for_user;
    return &box->event;
}

void libxl_event_free(libxl_ctx *ctx, libxl_event *ev)
{
    (void)ctx;
    if (ev)
        free(CONTAINER_OF(ev, struct libxl__event_box, event));
}
