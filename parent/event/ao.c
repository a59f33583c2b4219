/* SPDX-License-Identifier: LGPL-2.1-only */
/* Asynchronous operations: their life, completion, progress, parts. */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "parent/event/core.h"

void libxl__ao_ref(libxl__ao *ao)
{
    ao->refs++;
}

void libxl__ao_unref(libxl__ao *ao)
{
    assert(ao->refs);
    if (--ao->refs)
        return;
    assert(LIST_EMPTY(&ao->abortables));
    libxl_event_free(ao->gc.owner, ao->end);
    libxl__gc_free_all(&ao->gc);
    free(ao);
}

libxl__gc *libxl__ao_gc(libxl__ao *ao)
{
    return &ao->gc;
}

libxl_ctx *libxl__ao_ctx(libxl__ao *ao)
{
    return ao->gc.owner;
}

uint32_t libxl__ao_domid(const libxl__ao *ao)
{
    return ao->domid;
}

static libxl__ao *ao_new(libxl_ctx *ctx, uint32_t domid)
{
    libxl__ao *ao = libxl__new(ctx, sizeof(*ao));

    if (!ao)
        return NULL;
    libxl__gc_init(&ao->gc, ctx);
    LIST_INIT(&ao->abortables);
    ao->domid = domid;
    ao->refs = 1;
    return ao;
}

/* ---------- completion ---------- */

static void deliver_completion(libxl__egc *egc, libxl__egc_item *item)
{
    libxl__ao *ao = CONTAINER_OF(item, libxl__ao, item);
    libxl_event *end = ao->end;
    EGC_GC;

    if (end) {
        ao->end = NULL;
        CTX->hooks.event_occurs(CTX->user, end);
    } else if (ao->how.callback) {
        ao->how.callback(CTX, ao->rc, ao->how.u.for_callback);
    }
    CTX_LOCK;
    libxl__ao_unref(ao);
    CTX_UNLOCK;
}

void libxl__ao_check_complete(libxl__egc *egc, libxl__ao *ao)
{
    if (!ao->complete || ao->told || ao->reports || ao->killed)
        return;
    ao->told = true;
    if (ao->sync) {
        if (egc->gc.owner->os)
            egc->gc.owner->os->ao_told(egc->gc.owner, ao);
        libxl__ao_unref(ao);                    /* the initiator, which waits, has its own */
        return;
    }
    if (ao->end) {
        ao->end->u.operation_complete.rc = ao->rc;
        if (libxl__event_queued(egc->gc.owner, ao->end))
            ao->end = NULL;                     /* what is left to do is to let go of ao */
    }
    ao->item.deliver = deliver_completion;
    STAILQ_INSERT_TAIL(&egc->items, &ao->item, entry);
}

void libxl__ao_complete(libxl__egc *egc, libxl__ao *ao, int rc)
{
    AO_GC;

    CTX_LOCK;
    assert(!ao->nested_root && !ao->complete && !ao->nested);
    LOG(DEBUG, "operation on domain %u complete, rc=%d", ao->domid, rc);
    ao->complete = true;
    ao->rc = rc;
    LIST_REMOVE(ao, entry);
    libxl__ao_check_complete(egc, ao);
    CTX_UNLOCK;
}

/* ---------- the initiating function ---------- */

libxl__ao *libxl__ao_create(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    libxl__ao *ao;

    if (ao_how && !ao_how->callback && !ctx->hooks.event_occurs) {
        libxl__log(ctx, LIBXL__LOG_ERROR, 0, "operation on domain %u: its end is to be told as an "
                   "event, but nobody takes events: set event_occurs", domid);
        return NULL;
    }
    ao = ao_new(ctx, domid);
    if (!ao)
        return NULL;
    if (ao_how && !ao_how->callback) {
        ao->end = libxl__event_new(ctx, LIBXL_EVENT_TYPE_OPERATION_COMPLETE, domid,
                                   ao_how->u.for_event);
        if (!ao->end) {
            libxl__ao_unref(ao);
            return NULL;
        }
    }
    libxl__ctx_lock(ctx);
    ao->in_initiator = true;
    libxl__ao_ref(ao);                          /* one for the initiator, one until it is told */
    if (ao_how)
        ao->how = *ao_how;
    else
        ao->sync = true;
    LIST_INSERT_HEAD(&ctx->aos, ao, entry);
    libxl__ctx_unlock(ctx);
    return ao;
}

void libxl__ao_create_fail(libxl__ao *ao)
{
    libxl_ctx *ctx = libxl__ao_ctx(ao);

    libxl__ctx_lock(ctx);
    assert(ao->in_initiator && !ao->complete && !ao->reports && !ao->killed && !ao->nested);
    LIST_REMOVE(ao, entry);
    libxl__ao_unref(ao);
    libxl__ao_unref(ao);
    libxl__ctx_unlock(ctx);
}

libxl__ao *libxl__ao_create_hidden(libxl_ctx *ctx)
{
    return ao_new(ctx, 0);
}

void libxl__ao_free_hidden(libxl__ao *ao)
{
    libxl_ctx *ctx = libxl__ao_ctx(ao);

    libxl__ctx_lock(ctx);
    assert(!ao->nested_root && ao->refs == 1);
    libxl__ao_unref(ao);
    libxl__ctx_unlock(ctx);
}

/* The loop itself failing is no reason to forget an operation that uses the caller's arguments: go
 * on, but slowly and without the lock, so that others can work. */
static void wait_for_completion(libxl_ctx *ctx, libxl__ao *ao)
{
    const struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };
    int rc;

    libxl__assert_locked_once(ctx);
    if (ctx->os) {
        ctx->os->ao_wait(ctx, ao);
        return;
    }
    while (!ao->told) {
        libxl__ctx_unlock(ctx);
        rc = moat_loop_run_once(ctx, -1);
        if (rc)
            nanosleep(&pause, NULL);
        libxl__ctx_lock(ctx);
    }
}

int libxl__ao_inprogress(libxl__ao *ao)
{
    libxl_ctx *ctx = libxl__ao_ctx(ao);
    int rc;

    assert(ao->in_initiator && !ao->nested_root);
    if (ao->sync)
        wait_for_completion(ctx, ao);
    libxl__ctx_lock(ctx);
    rc = ao->sync ? ao->rc : 0;
    ao->in_initiator = false;
    libxl__ao_unref(ao);
    libxl__ctx_unlock(ctx);
    return rc;
}

/* ---------- progress ---------- */

struct progress {
    libxl__egc_item item;
    libxl__ao *ao;
    libxl_asyncprogress_how how;
    libxl_event *ev;
};

static void progress_discard(libxl_ctx *ctx, libxl_event *ev, void *for_callback)
{
    (void)for_callback;
    libxl_event_free(ctx, ev);
}

void libxl__ao_progress_gethow(libxl_asyncprogress_how *in_state,
                               const libxl_asyncprogress_how *from_app)
{
    if (from_app)
        *in_state = *from_app;
    else
        *in_state = (libxl_asyncprogress_how){ .callback = progress_discard };
}

static void deliver_progress(libxl__egc *egc, libxl__egc_item *item)
{
    struct progress *p = CONTAINER_OF(item, struct progress, item);
    libxl__ao *ao = p->ao;
    EGC_GC;

    if (p->how.callback)
        p->how.callback(CTX, p->ev, p->how.for_callback);
    else if (CTX->hooks.event_occurs)
        CTX->hooks.event_occurs(CTX->user, p->ev);
    else
        libxl_event_free(CTX, p->ev);
    free(p);
    CTX_LOCK;
    ao->reports--;
    libxl__ao_check_complete(egc, ao);
    libxl__ao_unref(ao);
    CTX_UNLOCK;
}

int libxl__ao_progress_report(libxl__egc *egc, libxl__ao *ao, const libxl_asyncprogress_how *how,
                              libxl_event *ev)
{
    EGC_GC;
    struct progress *p;
    bool queued;

    ev->for_user = how->for_event;
    if (how->callback == progress_discard) {
        libxl_event_free(CTX, ev);
        return 0;
    }
    if (!how->callback) {
        CTX_LOCK;
        queued = libxl__event_queued(CTX, ev);
        CTX_UNLOCK;
        if (queued)
            return 0;
    }
    p = libxl__new(CTX, sizeof(*p));
    if (!p) {
        LOG(ERROR, "out of memory: a progress report on domain %u is lost", ao->domid);
        libxl_event_free(CTX, ev);
        return ERROR_NOMEM;
    }
    CTX_LOCK;
    p->ao = libxl__ao_root(ao);
    assert(!p->ao->complete);
    p->ao->reports++;
    libxl__ao_ref(p->ao);
    p->how = *how;
    p->ev = ev;
    p->item.deliver = deliver_progress;
    STAILQ_INSERT_TAIL(&egc->items, &p->item, entry);
    CTX_UNLOCK;
    return 0;
}

/* ---------- parts ---------- */

libxl__ao *libxl__nested_ao_create(libxl__ao *parent)
{
    libxl__ao *root = libxl__ao_root(parent);
    libxl_ctx *ctx = libxl__ao_ctx(parent);
    libxl__ao *child = ao_new(ctx, root->domid);

    if (!child)
        return NULL;
    libxl__ctx_lock(ctx);
    assert(!root->told);
    child->nested_root = root;
    root->nested++;
    libxl__ao_ref(root);
    libxl__ctx_unlock(ctx);
    return child;
}

void libxl__nested_ao_free(libxl__ao *child)
{
    libxl__ao *root = child->nested_root;
    libxl_ctx *ctx = libxl__ao_ctx(child);

    libxl__ctx_lock(ctx);
    assert(root && root->nested && !root->complete);
    root->nested--;
    libxl__ao_unref(child);
    libxl__ao_unref(root);
    libxl__ctx_unlock(ctx);
}
