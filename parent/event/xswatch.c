/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xenstore watches.  The token of a watch is "slot/counter": the slot finds the watch, the counter
 * tells it from an earlier user of the slot whose events are still on their way.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parent/event/core.h"

#define XS_PATH_MAX 3072                        /* the protocol's longest absolute path */
#define XS_TOKEN_MAX 24
/* A guest that writes to a watched node as fast as it can must not keep us from our timers. */
#define XS_EVENTS_PER_TURN 64

struct libxl__watch_slot {
    libxl__ev_xswatch *w;                       /* NULL: free */
    int next_free;
};

void moat_ctx_set_xs(libxl_ctx *ctx, struct xs_handle *xsh, const moat_xs_ops *ops)
{
    libxl__ctx_lock(ctx);
    assert(!ctx->watch_used);
    ctx->xsh = xsh;
    ctx->xs_ops = ops;
    libxl__ctx_unlock(ctx);
}

static void make_token(char token[XS_TOKEN_MAX], int slot, uint32_t counter)
{
    snprintf(token, XS_TOKEN_MAX, "%d/%x", slot, (unsigned)counter);
}

static int slots_grow(libxl_ctx *ctx)
{
    int i, n = ctx->watch_nslots ? ctx->watch_nslots * 2 : 8;
    struct libxl__watch_slot *slots;

    slots = libxl__realloc(ctx, ctx->watch_slots, (size_t)n * sizeof(*slots));
    if (!slots)
        return ERROR_NOMEM;
    for (i = n - 1; i >= ctx->watch_nslots; i--) {
        slots[i] = (struct libxl__watch_slot){ .next_free = ctx->watch_free };
        ctx->watch_free = i;
    }
    ctx->watch_slots = slots;
    ctx->watch_nslots = n;
    return 0;
}

static int slot_take(libxl_ctx *ctx, libxl__ev_xswatch *w)
{
    int rc;

    if (ctx->watch_free < 0) {
        rc = slots_grow(ctx);
        if (rc)
            return rc;
    }
    w->slotnum = ctx->watch_free;
    w->counterval = ctx->watch_counter++;
    ctx->watch_free = ctx->watch_slots[w->slotnum].next_free;
    ctx->watch_slots[w->slotnum].w = w;
    ctx->watch_used++;
    return 0;
}

static void slot_release(libxl__gc *gc, libxl__ev_xswatch *w)
{
    CTX->watch_slots[w->slotnum] = (struct libxl__watch_slot){ .next_free = CTX->watch_free };
    CTX->watch_free = w->slotnum;
    w->slotnum = -1;
    if (!--CTX->watch_used) {
        libxl__ev_fd_deregister(gc, &CTX->watch_efd);
        CTX->xs_more = false;
    }
}

/* The watch that this token names today, or NULL.  A token is accepted only in our own spelling. */
static libxl__ev_xswatch *token_find(libxl_ctx *ctx, const char *token)
{
    char expected[XS_TOKEN_MAX];
    libxl__ev_xswatch *w;
    unsigned counter;
    int slot;

    if (sscanf(token, "%d/%x", &slot, &counter) != 2 || slot < 0 || slot >= ctx->watch_nslots)
        return NULL;
    w = ctx->watch_slots[slot].w;
    if (!w || w->counterval != counter)
        return NULL;
    make_token(expected, slot, counter);
    return strcmp(token, expected) ? NULL : w;
}

/* Equal, or below by whole components: /a/bc is not below /a/b. */
static bool path_is_at_or_below(const char *path, const char *top)
{
    size_t len = strlen(top);

    if (strncmp(path, top, len))
        return false;
    return !path[len] || path[len] == '/' || (len && top[len - 1] == '/');
}

static void watch_occurred(libxl__egc *egc, const char *event_path, const char *token)
{
    char watch_path[XS_PATH_MAX + 1];
    libxl__ev_xswatch *w;
    EGC_GC;

    CTX->stats.xs_events++;
    w = token_find(CTX, token);
    if (!w) {
        LOG(DEBUG, "watch event on %s: token %s is stale", event_path, token);
        return;
    }
    if (!path_is_at_or_below(event_path, w->path)) {
        LOG(ERROR, "watch event on %s, which is not below the watched %s: dropped", event_path,
            w->path);
        return;
    }
    strcpy(watch_path, w->path);                /* bounded at register; w may go in the callback */
    w->callback(egc, w, watch_path, event_path);
    libxl__assert_locked_once(CTX);
}

void libxl__xswatch_drain(libxl__egc *egc)
{
    EGC_GC;
    char **event;
    int n;

    for (n = 0; n < XS_EVENTS_PER_TURN; n++) {
        event = CTX->xs_ops->check_watch(CTX->xsh);
        if (!event) {
            CTX->xs_more = false;
            if (errno == EAGAIN || errno == EINTR)
                return;
            libxl__disaster(CTX, 0, errno, "the connection to xenstore is broken");
            libxl__ev_fd_deregister(gc, &CTX->watch_efd);
            return;
        }
        watch_occurred(egc, event[0], event[1]);
        free(event);
    }
    CTX->xs_more = CTX->watch_used > 0;
}

static void xs_readable(libxl__egc *egc, libxl__ev_fd *ev, int fd, short events, short revents)
{
    (void)ev, (void)fd, (void)events, (void)revents;
    if (!egc->gc.owner->xs_more)                /* else the loop does it in this turn */
        libxl__xswatch_drain(egc);
}

void libxl__ev_xswatch_init(libxl__ev_xswatch *w)
{
    memset(w, 0, sizeof(*w));
    w->slotnum = -1;
}

static int xs_listen(libxl__gc *gc)
{
    if (libxl__ev_fd_isregistered(&CTX->watch_efd))
        return 0;
    return libxl__ev_fd_register(gc, &CTX->watch_efd, xs_readable, CTX->xs_ops->fileno(CTX->xsh),
                                 POLLIN);
}

int libxl__ev_xswatch_register(libxl__gc *gc, libxl__ev_xswatch *w,
                               libxl__ev_xswatch_callback *func, const char *path)
{
    char token[XS_TOKEN_MAX];
    size_t len = strlen(path);
    char *copy = NULL;
    int rc;

    libxl__ev_xswatch_init(w);
    CTX_LOCK;
    if (!CTX->xsh || !len || len > XS_PATH_MAX) {
        LOG(ERROR, "cannot watch: %s", CTX->xsh ? "bad path" : "no connection to xenstore");
        rc = CTX->xsh ? ERROR_INVAL : ERROR_FAIL;
        goto out;
    }
    copy = libxl__realloc(CTX, NULL, len + 1);
    if (!copy) {
        rc = ERROR_NOMEM;
        goto out;
    }
    memcpy(copy, path, len + 1);
    rc = slot_take(CTX, w);
    if (rc)
        goto out;
    rc = xs_listen(gc);
    if (rc)
        goto out;
    make_token(token, w->slotnum, w->counterval);
    if (!CTX->xs_ops->watch(CTX->xsh, path, token)) {
        LOGE(ERROR, "cannot watch %s in xenstore", path);
        rc = ERROR_FAIL;
        goto out;
    }
    w->path = copy;
    w->callback = func;
out:
    if (rc) {
        if (w->slotnum >= 0)
            slot_release(gc, w);
        free(copy);
    }
    CTX_UNLOCK;
    return rc;
}

void libxl__ev_xswatch_deregister(libxl__gc *gc, libxl__ev_xswatch *w)
{
    char token[XS_TOKEN_MAX];

    CTX_LOCK;
    if (libxl__ev_xswatch_isregistered(w)) {
        make_token(token, w->slotnum, w->counterval);
        /* If this fails, events may still come: their token will be stale. */
        if (CTX->xsh && !CTX->xs_ops->unwatch(CTX->xsh, w->path, token))
            LOGE(WARN, "cannot take back the watch on %s", w->path);
        slot_release(gc, w);
        free(w->path);
    }
    libxl__ev_xswatch_init(w);
    CTX_UNLOCK;
}
