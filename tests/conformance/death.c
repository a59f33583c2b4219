/* SPDX-License-Identifier: LGPL-2.1-only */
/* Generators of domain_shutdown and domain_death. */
#include "tests/conformance/conf.h"

#define SHUTDOWN ((uint64_t)1 << LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN)
#define WAIT_MS 20000
/* For what may well not come. */
#define BRIEF_MS 4000

static libxl_evgen_domain_death *enable(const char *what, libxl_ctx *ctx, uint32_t domid,
                                        uint64_t user)
{
    libxl_evgen_domain_death *evg = NULL;
    int rc = libxl_evenable_domain_death(ctx, domid, user, &evg);

    if (rc)
        broken("evenable %s: %s", what, rc_name(rc));
    return evg;
}

struct want {
    libxl_ctx *ctx;
    uint64_t for_user;
};

static bool has(void *arg)
{
    struct want *w = arg;

    return queue_has(w->ctx, w->for_user);
}

static int its(const libxl_event *ev, void *arg)
{
    return ev->for_user == *(uint64_t *)arg;
}

/* The next event of one generator; in which order several are told was never promised. */
static void take(const char *what, libxl_ctx *ctx, uint32_t domid, uint64_t for_user, int ms)
{
    struct want w = { ctx, for_user };
    libxl_event *ev;

    pump(ctx, has, &w, ms);
    if (!libxl_event_check(ctx, &ev, LIBXL_EVENTMASK_ALL, its, &for_user))
        trace_event(what, ctx, ev, domid);
    else
        trace("%s: none", what);
}

static void case_shutdown_death(void)
{
    const uint64_t user = 0x123456789abcdefULL;
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = spare();
    libxl_evgen_domain_death *evg = enable("", ctx, domid, user), *late;

    pump_for(ctx, 300);
    trace_queue("while it lives", ctx, domid);
    trace("shutdown: %s", ask("shutdown %u 0", domid));
    take("after shutdown", ctx, domid, user, WAIT_MS);
    late = enable("when it has shut down", ctx, domid, 2);
    take("enabled after shutdown", ctx, domid, 2, BRIEF_MS);
    pump_for(ctx, 300);
    trace_queue("once only", ctx, domid);
    trace("destroy: %s", ask("destroy %u", domid));
    take("after destroy, the first", ctx, domid, user, WAIT_MS);
    take("after destroy, the second", ctx, domid, 2, BRIEF_MS);
    take("and then", ctx, domid, 2, BRIEF_MS);
    trace_queue("once only", ctx, domid);
    libxl_evdisable_domain_death(ctx, evg);
    libxl_evdisable_domain_death(ctx, late);
    ctx_end(ctx);
}

/* Of one that has shut down before anybody looked. */
static void case_already(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = spare();
    libxl_evgen_domain_death *evg;

    trace("shutdown: %s", ask("shutdown %u 1", domid));
    evg = enable("when it has shut down", ctx, domid, 1);
    take("enabled after shutdown", ctx, domid, 1, WAIT_MS);
    pump_for(ctx, 300);
    trace_queue("once only", ctx, domid);
    libxl_evdisable_domain_death(ctx, evg);
    trace("destroy: %s", ask("destroy %u", domid));
    ctx_end(ctx);
}

/* Several generators in one context and in two; a callback for one type. */
struct seen {
    int shutdowns, deaths, reason;
    libxl_ctx *ctx;
};

static void occurs(void *user, libxl_event *ev)
{
    struct seen *s = user;

    s->shutdowns += ev->type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN;
    s->deaths += ev->type == LIBXL_EVENT_TYPE_DOMAIN_DEATH;
    s->reason = ev->u.domain_shutdown.shutdown_reason;
    libxl_event_free(s->ctx, ev);
}

static void case_several(void)
{
    libxl_ctx *a = ctx_new(), *b = ctx_new();
    uint32_t domid = spare();
    struct seen s = { .ctx = b };
    libxl_event_hooks hooks = { .event_occurs_mask = SHUTDOWN, .event_occurs = occurs };
    libxl_evgen_domain_death *e1 = enable("", a, domid, 1), *e2 = enable("", a, domid, 2);
    libxl_evgen_domain_death *gone = enable("", a, domid, 3);

    libxl_event_register_callbacks(b, &hooks, &s);
    enable("", b, domid, 4);
    pump_for(a, 200);
    pump_for(b, 200);
    libxl_evdisable_domain_death(a, gone);
    trace("shutdown: %s", ask("shutdown %u 3", domid));
    for (int i = 0; i < 200 && !(queue_has(a, 1) && queue_has(a, 2)); i++)
        pump_for(a, 100);
    trace_if("the first of two", queue_has(a, 1));
    trace_if("the second of two", queue_has(a, 2));
    trace_if("the disabled one", queue_has(a, 3));
    libxl_evdisable_domain_death(a, e1);
    trace_if("what was generated before evdisable stays", queue_has(a, 1));
    for (int i = 0; i < 200 && !s.shutdowns; i++)
        pump_for(b, 100);
    trace("callback of the other context: shutdowns %d, deaths %d, reason %d", s.shutdowns,
          s.deaths, s.reason);
    trace_queue("its queue", b, domid);
    trace("destroy: %s", ask("destroy %u", domid));
    take("its queue after destroy", b, domid, 4, WAIT_MS);
    trace("callback: shutdowns %d, deaths %d", s.shutdowns, s.deaths);
    for (int i = 0; i < 200; i++) {
        libxl_event *ev;

        /* the shutdowns that are still there, then the death of the second */
        while (!libxl_event_check(a, &ev, SHUTDOWN, NULL, NULL))
            libxl_event_free(a, ev);
        if (queue_has(a, 2))
            break;
        pump_for(a, 100);
    }
    trace_if("death for the disabled one", queue_has(a, 1) || queue_has(a, 3));
    trace_queue("first context's deaths", a, domid);
    libxl_evdisable_domain_death(a, e2);
    ctx_end(a);
    ctx_end(b);         /* its generator is still enabled */
}

/* A domain destroyed before it shuts down; event_wait as the loop. */
static void case_destroyed(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = spare();
    libxl_evgen_domain_death *evg = enable("", ctx, domid, 6);
    libxl_event *ev;

    trace("destroy: %s", ask("destroy %u", domid));
    trace_rc("event_wait", libxl_event_wait(ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL));
    trace_event("got", ctx, ev, domid);
    pump_for(ctx, 300);
    trace_queue("then", ctx, domid);
    libxl_evdisable_domain_death(ctx, evg);
    ctx_end(ctx);
}

static void case_missing(void)
{
    libxl_ctx *ctx = ctx_new();
    libxl_evgen_domain_death *evg = NULL;
    int rc = libxl_evenable_domain_death(ctx, NO_DOMAIN, 5, &evg);

    trace_rc("evenable", rc);
    if (!rc)
        take("queue", ctx, NO_DOMAIN, 5, WAIT_MS);
    trace_queue("queue", ctx, NO_DOMAIN);
    if (evg)
        libxl_evdisable_domain_death(ctx, evg);
    ctx_end(ctx);
}

static void case_disabled(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();

    for (uint64_t i = 0; i < 5; i++)
        libxl_evdisable_domain_death(ctx, enable("", ctx, domid, i));
    pump_for(ctx, 200);
    trace_queue("enabled and disabled five times", ctx, domid);
    ctx_end(ctx);
}

static void case_free_live(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    int before = count_fds();

    ctx_end(ctx);
    before = count_fds();
    ctx = ctx_new();
    for (uint64_t i = 0; i < 3; i++)
        enable("", ctx, domid, i);
    pump_for(ctx, 200);
    ctx_end(ctx);
    trace_if("as many fds as before", count_fds() == before);
}

/* A guest that suspends has shut down, with that reason; when it is resumed nobody is told. */
static void case_suspended(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    libxl_evgen_domain_death *evg = enable("", ctx, domid, 1), *late;
    int fd = image_file();

    trace_rc("suspend", libxl_domain_suspend(ctx, domid, fd, 0, NULL));
    take("after suspend", ctx, domid, 1, WAIT_MS);
    late = enable("when it is suspended", ctx, domid, 2);
    take("enabled now", ctx, domid, 2, BRIEF_MS);
    trace_rc("resume", libxl_domain_resume(ctx, domid, 1, NULL));
    pump_for(ctx, 500);
    trace_queue("after resume", ctx, domid);
    libxl_evdisable_domain_death(ctx, evg);
    libxl_evdisable_domain_death(ctx, late);
    ctx_end(ctx);
}

const struct conf_case conf_cases[] = {
    { "death-shutdown-then-death", case_shutdown_death },
    { "death-already-shut-down", case_already },
    { "death-several", case_several },
    { "death-destroyed", case_destroyed },
    { "death-missing-domain", case_missing },
    { "death-disabled", case_disabled },
    { "death-free-live", case_free_live },
    { "death-suspended", case_suspended },
    { NULL, NULL },
};
