/* SPDX-License-Identifier: LGPL-2.1-only */
/* The egc: what a thread has to deliver on its way out of the core. */

#include "parent/event/core.h"

void libxl__egc_init(libxl__egc *egc, libxl_ctx *ctx)
{
    libxl__gc_init(&egc->gc, ctx);
    STAILQ_INIT(&egc->immediates);
    STAILQ_INIT(&egc->items);
}

void libxl__ev_immediate_register(libxl__egc *egc, libxl__ev_immediate *ei)
{
    STAILQ_INSERT_TAIL(&egc->immediates, ei, entry);
}

static void run_immediates(libxl__egc *egc)
{
    EGC_GC;
    libxl__ev_immediate *ei;

    CTX_LOCK;
    /* A caller that held the lock would have its callbacks called under it: refuse to go on. */
    libxl__assert_locked_once(CTX);
    while ((ei = STAILQ_FIRST(&egc->immediates))) {
        STAILQ_REMOVE_HEAD(&egc->immediates, entry);
        ei->callback(egc, ei);
    }
    CTX_UNLOCK;
}

void libxl__egc_cleanup(libxl__egc *egc)
{
    libxl__egc_item *item;

    for (;;) {
        run_immediates(egc);
        item = STAILQ_FIRST(&egc->items);
        if (!item)
            break;
        STAILQ_REMOVE_HEAD(&egc->items, entry);
        item->deliver(egc, item);
    }
    libxl__gc_free_all(&egc->gc);
}
