/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * libxl_evenable_domain_death: a watch at moatd for one domain.
 *
 * The events are made when generation is enabled, so that none is lost for want of memory.  A moatd
 * that is lost (it restarts after a failure) is looked for; who the domain was is known by its
 * handle, so that a domain which went in the meantime is told as dead though its domid is
 * another's.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/request.h"
#include "parent/event/core.h"

struct pending {
    libxl__egc_item item;
    libxl_event *ev;
};

struct libxl__evgen_domain_death {
    LIST_ENTRY(libxl__evgen_domain_death) entry;
    libxl_ctx *ctx;
    char what[40];
    struct msg_DOMAIN_STATE state;      /* the last one told */
    struct pending *shutdown, *death;   /* NULL: queued already */
    libxl__request req;
    libxl__ao *clock;
    libxl__ev_time first;               /* the first state is still to be handled */
    libxl__ev_time next;                /* moatd is lost: when to look for it again */
    unsigned tries;
};
typedef struct libxl__evgen_domain_death evgen;

/* ---------- events ---------- */

static struct pending *pending_new(libxl_ctx *ctx, libxl_event_type type, uint32_t domid,
                                   libxl_ev_user user)
{
    struct pending *p = libxl__new(ctx, sizeof(*p));

    if (!p)
        return NULL;
    p->ev = libxl__event_new(ctx, type, domid, user);
    if (p->ev)
        return p;
    free(p);
    return NULL;
}

static void pending_free(libxl_ctx *ctx, struct pending *p)
{
    if (!p)
        return;
    libxl_event_free(ctx, p->ev);
    free(p);
}

static void deliver(libxl__egc *egc, libxl__egc_item *item)
{
    struct pending *p = CONTAINER_OF(item, struct pending, item);
    libxl_ctx *ctx = egc->gc.owner;

    if (ctx->hooks.event_occurs) {
        ctx->hooks.event_occurs(ctx->user, p->ev);
        p->ev = NULL;
    }
    pending_free(ctx, p);
}

static void occurred(libxl__egc *egc, evgen *evg, struct pending **p)
{
    struct pending *now = *p;

    if (!now)
        return;
    *p = NULL;
    memcpy(now->ev->domuuid.uuid, evg->state.handle, sizeof(now->ev->domuuid.uuid));
    if (libxl__event_queued(evg->ctx, now->ev)) {
        free(now);
        return;
    }
    now->item.deliver = deliver;
    STAILQ_INSERT_TAIL(&egc->items, &now->item, entry);
}

static bool handle_known(const uint8_t handle[16])
{
    static const uint8_t none[16];

    return memcmp(handle, none, sizeof(none)) != 0;
}

/* evg->state is new.  After the death nothing more is asked for. */
static void state_changed(libxl__egc *egc, evgen *evg)
{
    EGC_GC;
    const struct msg_DOMAIN_STATE *m = &evg->state;

    if (m->state == DOMAIN_GONE) {
        occurred(egc, evg, &evg->death);
        libxl__request_stop(gc, &evg->req);
    } else if (m->state != DOMAIN_RUNNING) {
        if (evg->shutdown)
            evg->shutdown->ev->u.domain_shutdown.shutdown_reason =
                m->state == DOMAIN_SUSPENDED ? LIBXL_SHUTDOWN_REASON_SUSPEND : (uint8_t)m->reason;
        occurred(egc, evg, &evg->shutdown);
    }
}

/* Words for what is wrong with it, or NULL. */
static const char *state_odd(const evgen *evg, const struct msg_DOMAIN_STATE *m)
{
    if (m->domid != evg->req.domid)
        return "the state of another domain";
    if (m->state < DOMAIN_RUNNING || m->state > DOMAIN_GONE)
        return "a state that does not exist";
    return NULL;
}

/* ---------- the connection ---------- */

static void look_again(libxl__egc *egc, evgen *evg, int rc);

/* From the loop, as all that comes later: not before the application has its evgen. */
static void first_state(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    state_changed(egc, CONTAINER_OF(ev, evgen, first));
}

/* Something comes that is later than the first state. */
static void first_state_now(libxl__egc *egc, evgen *evg)
{
    EGC_GC;

    if (!libxl__ev_time_isregistered(&evg->first))
        return;
    libxl__ev_time_deregister(gc, &evg->first);
    state_changed(egc, evg);
}

static const char *watch_message(libxl__egc *egc, libxl__request *r, uint32_t type,
                                 const union libxl__request_message *m)
{
    evgen *evg = CONTAINER_OF(r, evgen, req);
    const char *odd = type == MSG_DOMAIN_STATE ? state_odd(evg, &m->state)
                                               : "the answer to another request";

    if (odd)
        return odd;
    first_state_now(egc, evg);
    if (!evg->death)
        return NULL;
    evg->tries = 0;
    if (handle_known(evg->state.handle) &&
        memcmp(evg->state.handle, m->state.handle, sizeof(evg->state.handle)))
        evg->state.state = DOMAIN_GONE;     /* and this is another domain */
    else
        evg->state = m->state;
    state_changed(egc, evg);
    return NULL;
}

static void watch_done(libxl__egc *egc, libxl__request *r, enum libxl__request_end end, int rc)
{
    evgen *evg = CONTAINER_OF(r, evgen, req);

    first_state_now(egc, evg);
    if (!evg->death)
        return;
    if (end == REQUEST_DENIED)
        libxl__disaster(evg->ctx, LIBXL_EVENT_TYPE_DOMAIN_DEATH, 0,
                        "moatd does not let a domain be watched any more: its events are lost");
    else
        look_again(egc, evg, rc);
}

static void look(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    evgen *evg = CONTAINER_OF(ev, evgen, next);

    rc = libxl__request_start(egc, &evg->req);
    if (rc)
        look_again(egc, evg, rc);
}

static void look_again(libxl__egc *egc, evgen *evg, int rc)
{
    if (evg->tries++ < libxl__request_times.reconnects) {
        rc = libxl__ev_time_register_rel(evg->clock, &evg->next, look,
                                         libxl__request_times.reconnect);
        if (!rc)
            return;
    }
    libxl__disaster(evg->ctx, LIBXL_EVENT_TYPE_DOMAIN_DEATH, 0,
                    "moatd is gone and does not come back: the events of a domain are lost");
}

/* ---------- enabling ---------- */

static void evgen_free(libxl__gc *gc, evgen *evg)
{
    libxl__request_stop(gc, &evg->req);
    libxl__ev_time_deregister(gc, &evg->first);
    libxl__ev_time_deregister(gc, &evg->next);
    if (evg->clock)
        libxl__ao_free_hidden(evg->clock);
    pending_free(evg->ctx, evg->shutdown);
    pending_free(evg->ctx, evg->death);
    free(evg);
}

static evgen *evgen_new(libxl__gc *gc, uint32_t domid, libxl_ev_user user)
{
    evgen *evg = libxl__new(CTX, sizeof(*evg));

    if (!evg)
        return NULL;
    evg->ctx = CTX;
    snprintf(evg->what, sizeof(evg->what), "watch of domain %u", domid);
    evg->req = (libxl__request){
        .ctx = CTX, .what = evg->what, .domid = domid, .kind = KIND_WATCH, .file = -1,
        .message = watch_message, .done = watch_done,
    };
    libxl__request_init(&evg->req);
    libxl__ev_time_init(&evg->first);
    libxl__ev_time_init(&evg->next);
    evg->clock = libxl__ao_create_hidden(CTX);
    evg->shutdown = pending_new(CTX, LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN, domid, user);
    evg->death = pending_new(CTX, LIBXL_EVENT_TYPE_DOMAIN_DEATH, domid, user);
    if (evg->clock && evg->shutdown && evg->death)
        return evg;
    evgen_free(gc, evg);
    return NULL;
}

static int evgen_arm(libxl__egc *egc, evgen *evg)
{
    int rc = libxl__ev_time_register_rel(evg->clock, &evg->first, first_state, 0);

    return rc ? rc : libxl__request_attach(egc, &evg->req);
}

int libxl_evenable_domain_death(libxl_ctx *ctx, uint32_t domid, libxl_ev_user user,
                                libxl_evgen_domain_death **evgen_out)
{
    const char *odd;
    evgen *evg;
    int rc;

    *evgen_out = NULL;
    EGC_INIT(ctx);
    evg = evgen_new(gc, domid, user);
    if (!evg) {
        rc = ERROR_NOMEM;
        goto out;
    }
    rc = libxl__request_ask(&evg->req, &evg->state);
    if (rc)
        goto out;
    odd = state_odd(evg, &evg->state);
    CTX_LOCK;
    if (odd) {
        LOG(ERROR, "%s: moatd sent what does not belong here (%s)", evg->what, odd);
        rc = ERROR_FAIL;
    } else {
        rc = evgen_arm(egc, evg);
    }
    if (!rc) {
        LIST_INSERT_HEAD(&ctx->deaths, evg, entry);
        *evgen_out = evg;
    }
    CTX_UNLOCK;
out:
    if (rc && evg) {
        CTX_LOCK;
        evgen_free(gc, evg);
        CTX_UNLOCK;
    }
    EGC_FREE;
    return rc;
}

void libxl_evdisable_domain_death(libxl_ctx *ctx, libxl_evgen_domain_death *evg)
{
    EGC_INIT(ctx);
    CTX_LOCK;
    LIST_REMOVE(evg, entry);
    evgen_free(gc, evg);
    CTX_UNLOCK;
    EGC_FREE;
}

void libxl__evgens_free(libxl__gc *gc)
{
    evgen *evg;

    CTX_LOCK;
    while ((evg = LIST_FIRST(&CTX->deaths))) {
        LIST_REMOVE(evg, entry);
        evgen_free(gc, evg);
    }
    CTX_UNLOCK;
}
