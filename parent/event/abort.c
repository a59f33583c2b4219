/* SPDX-License-Identifier: LGPL-2.1-only */
/* Aborting operations. */

#include <string.h>

#include "parent/event/core.h"

void libxl__ao_abortable_init(libxl__ao_abortable *abrt)
{
    memset(abrt, 0, sizeof(*abrt));
}

int libxl__ao_abortable_register(libxl__ao_abortable *abrt)
{
    libxl__ao *root = libxl__ao_root(abrt->ao);
    libxl_ctx *ctx = libxl__ao_ctx(root);
    int rc;

    libxl__ctx_lock(ctx);
    assert(!abrt->registered && !root->told);
    rc = libxl__ao_aborting(root);
    if (!rc) {
        LIST_INSERT_HEAD(&root->abortables, abrt, entry);
        abrt->registered = true;
    }
    libxl__ctx_unlock(ctx);
    return rc;
}

void libxl__ao_abortable_deregister(libxl__ao_abortable *abrt)
{
    libxl_ctx *ctx;

    if (!abrt->registered)
        return;
    ctx = libxl__ao_ctx(abrt->ao);
    libxl__ctx_lock(ctx);
    LIST_REMOVE(abrt, entry);
    abrt->registered = false;
    libxl__ctx_unlock(ctx);
}

int libxl__ao_aborting(libxl__ao *ao)
{
    libxl__ao *root = libxl__ao_root(ao);
    libxl_ctx *ctx = libxl__ao_ctx(root);
    int rc;

    libxl__ctx_lock(ctx);
    rc = root->aborting ? ERROR_ABORTED : 0;
    libxl__ctx_unlock(ctx);
    return rc;
}

int libxl__ao_abort(libxl__egc *egc, libxl__ao *ao)
{
    libxl__ao *root = libxl__ao_root(ao);
    libxl_ctx *ctx = egc->gc.owner;
    libxl__ao_abortable *abrt;

    libxl__assert_locked_once(ctx);
    if (root->complete)
        return ERROR_NOTFOUND;
    if (root->aborting)
        return ERROR_ABORTED;
    root->aborting = true;
    libxl__ao_ref(root);                        /* an abortable's callback may end it */
    /* From here on none can be added, and a callback may take away others: always the first. */
    while ((abrt = LIST_FIRST(&root->abortables))) {
        libxl__ao_abortable_deregister(abrt);
        abrt->callback(egc, abrt, ERROR_ABORTED);
        libxl__assert_locked_once(ctx);
    }
    libxl__ao_unref(root);
    return 0;
}

static bool same_how(const libxl_asyncop_how *a, const libxl_asyncop_how *b)
{
    if (a->callback != b->callback)
        return false;
    return a->callback ? a->u.for_callback == b->u.for_callback : a->u.for_event == b->u.for_event;
}

int libxl_ao_abort(libxl_ctx *ctx, const libxl_asyncop_how *how)
{
    libxl__ao *ao;
    int rc;

    EGC_INIT(ctx);
    CTX_LOCK;
    LIST_FOREACH(ao, &ctx->aos, entry)
        if (how ? !ao->sync && same_how(how, &ao->how) : ao->sync)
            break;
    rc = ao ? libxl__ao_abort(egc, ao) : ERROR_NOTFOUND;
    CTX_UNLOCK;
    EGC_FREE;
    return rc;
}
