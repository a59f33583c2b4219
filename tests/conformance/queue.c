/* SPDX-License-Identifier: LGPL-2.1-only */
/* The queue, its callbacks, and the forms in which an operation tells its end.  No guest is needed:
 * an operation on a domain that is not there ends with an error. */
#include "tests/conformance/conf.h"

#define COMPLETE ((uint64_t)1 << LIBXL_EVENT_TYPE_OPERATION_COMPLETE)

static void check(const char *what, libxl_ctx *ctx, uint64_t mask, libxl_event_predicate *p,
                  void *u)
{
    libxl_event *ev = (libxl_event *)1;
    int rc = libxl_event_check(ctx, &ev, mask, p, u);

    if (!rc)
        trace_event(what, ctx, ev, NO_DOMAIN);
    else
        trace("%s: rc %s", what, rc_name(rc));
}

static void case_empty(void)
{
    libxl_ctx *ctx = ctx_new();

    check("empty", ctx, LIBXL_EVENTMASK_ALL, NULL, NULL);
    check("empty, no type", ctx, 0, NULL, NULL);
    ctx_end(ctx);
}

static void case_order(void)
{
    libxl_ctx *ctx = ctx_new();

    for (uint64_t i = 1; i <= 4; i++)
        queue_event(ctx, i);
    trace_queue("queue", ctx, NO_DOMAIN);
    ctx_end(ctx);
}

static void case_mask(void)
{
    libxl_ctx *ctx = ctx_new();

    queue_event(ctx, 1);
    check("mask 0", ctx, 0, NULL, NULL);
    check("mask of others", ctx, ~COMPLETE & LIBXL_EVENTMASK_ALL, NULL, NULL);
    check("mask of its type", ctx, COMPLETE, NULL, NULL);
    check("again", ctx, COMPLETE, NULL, NULL);
    ctx_end(ctx);
}

struct asked {
    uint64_t want;
    int calls;
    bool wrong_user;
    uint64_t seen[8];
};

static int predicate(const libxl_event *ev, void *user)
{
    struct asked *a = user;

    if (a->calls < 8)
        a->seen[a->calls] = ev->for_user;
    a->calls++;
    return ev->for_user == a->want;
}

static void case_predicate(void)
{
    libxl_ctx *ctx = ctx_new();
    struct asked a = { .want = 2 };

    for (uint64_t i = 1; i <= 3; i++)
        queue_event(ctx, i);
    check("wants 2", ctx, LIBXL_EVENTMASK_ALL, predicate, &a);
    trace("asked: %d, of %d then %d", a.calls, (int)a.seen[0], (int)a.seen[1]);
    a = (struct asked){ .want = 9 };
    check("wants 9", ctx, LIBXL_EVENTMASK_ALL, predicate, &a);
    trace("asked: %d", a.calls);
    a = (struct asked){ .want = 1 };
    check("wants 1, other types", ctx, ~COMPLETE & LIBXL_EVENTMASK_ALL, predicate, &a);
    trace("asked: %d", a.calls);
    trace_queue("rest", ctx, NO_DOMAIN);
    ctx_end(ctx);
}

static void case_fields(void)
{
    libxl_ctx *ctx = ctx_new();
    static const libxl_uuid zero;
    libxl_event *ev;

    queue_event(ctx, UINT64_MAX);
    if (libxl_event_check(ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL))
        broken("no event");
    trace_if("uuid zero", !memcmp(&ev->domuuid, &zero, sizeof(zero)));
    trace_event("complete", ctx, ev, NO_DOMAIN);
    ctx_end(ctx);
}

static void case_wait_has(void)
{
    libxl_ctx *ctx = ctx_new();
    libxl_event *ev;

    queue_event(ctx, 1);
    trace_rc("event_wait", libxl_event_wait(ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL));
    trace_event("got", ctx, ev, NO_DOMAIN);
    ctx_end(ctx);
}

static void case_wait_pumps(void)
{
    libxl_ctx *ctx = ctx_new();
    libxl_asyncop_how how = how_event(5);
    libxl_event *ev;

    trace_rc("start", libxl_domain_resume(ctx, NO_DOMAIN, 1, &how));
    trace_rc("event_wait", libxl_event_wait(ctx, &ev, COMPLETE, NULL, NULL));
    trace_event("got", ctx, ev, NO_DOMAIN);
    trace_queue("then", ctx, NO_DOMAIN);
    ctx_end(ctx);
}

static void case_wait_predicate(void)
{
    libxl_ctx *ctx = ctx_new();
    struct asked a = { .want = 3 };
    libxl_asyncop_how how = how_event(3);
    libxl_event *ev;

    queue_event(ctx, 1);
    queue_event(ctx, 2);
    trace_rc("start", libxl_domain_resume(ctx, NO_DOMAIN, 1, &how));
    trace_rc("event_wait", libxl_event_wait(ctx, &ev, COMPLETE, predicate, &a));
    trace_event("got", ctx, ev, NO_DOMAIN);
    trace_queue("rest", ctx, NO_DOMAIN);
    ctx_end(ctx);
}

/* ---- callbacks instead of the queue */

struct sink {
    int n;
    uint64_t last;
    libxl_ctx *ctx;
    bool calls_back, start_next;
    int check_rc, start_rc;
};

static void occurs(void *user, libxl_event *ev)
{
    struct sink *s = user;

    s->n++;
    s->last = ev->for_user;
    if (s->calls_back) {
        libxl_event *other;

        s->calls_back = false;
        s->check_rc = libxl_event_check(s->ctx, &other, LIBXL_EVENTMASK_ALL, NULL, NULL);
    }
    if (s->start_next) {
        libxl_asyncop_how how = how_event(70);

        s->start_next = false;
        s->start_rc = libxl_domain_resume(s->ctx, NO_DOMAIN, 1, &how);
    }
    libxl_event_free(s->ctx, ev);
}

static bool sink_has_2(void *arg)
{
    return ((struct sink *)arg)->n >= 2;
}

static bool sink_has_1(void *arg)
{
    return ((struct sink *)arg)->n >= 1;
}

static void fail_one(libxl_ctx *ctx, uint64_t for_user)
{
    libxl_asyncop_how how = how_event(for_user);
    int rc = libxl_domain_resume(ctx, NO_DOMAIN, 1, &how);

    if (rc)
        broken("start: %s", rc_name(rc));
}

static void case_route(void)
{
    libxl_ctx *ctx = ctx_new();
    struct sink s = { .ctx = ctx };
    libxl_event_hooks hooks = { .event_occurs_mask = COMPLETE, .event_occurs = occurs };

    libxl_event_register_callbacks(ctx, &hooks, &s);
    fail_one(ctx, 11);
    trace_if("arrives", pump(ctx, sink_has_1, &s, 10000));
    pump_for(ctx, 100);
    trace("event_occurs: %d, last %d", s.n, (int)s.last);
    trace_queue("queue", ctx, NO_DOMAIN);
    libxl_event_register_callbacks(ctx, NULL, NULL);
    queue_event(ctx, 12);
    trace("event_occurs after hooks NULL: %d", s.n);
    trace_queue("queue", ctx, NO_DOMAIN);
    ctx_end(ctx);
}

static void case_route_other(void)
{
    libxl_ctx *ctx = ctx_new();
    struct sink s = { .ctx = ctx };
    libxl_event_hooks hooks = { .event_occurs_mask = ~COMPLETE, .event_occurs = occurs };

    libxl_event_register_callbacks(ctx, &hooks, &s);
    queue_event(ctx, 1);
    trace("event_occurs: %d", s.n);
    trace_queue("queue", ctx, NO_DOMAIN);
    ctx_end(ctx);
}

static void case_route_none(void)
{
    libxl_ctx *ctx = ctx_new();
    libxl_event_hooks hooks = { .event_occurs_mask = 0 };

    libxl_event_register_callbacks(ctx, &hooks, NULL);
    queue_event(ctx, 1);
    trace_queue("mask 0, no function", ctx, NO_DOMAIN);
    ctx_end(ctx);
}

static void case_route_replaced(void)
{
    libxl_ctx *ctx = ctx_new();
    struct sink first = { .ctx = ctx }, second = { .ctx = ctx };
    libxl_event_hooks hooks = { .event_occurs_mask = COMPLETE, .event_occurs = occurs };
    libxl_event_hooks more = hooks;

    libxl_event_register_callbacks(ctx, &hooks, &first);
    libxl_event_register_callbacks(ctx, &more, &second);
    fail_one(ctx, 1);
    trace_if("arrives", pump(ctx, sink_has_1, &second, 10000));
    trace("first: %d, second: %d", first.n, second.n);
    ctx_end(ctx);
}

static void case_route_later(void)
{
    libxl_ctx *ctx = ctx_new();
    struct sink s = { .ctx = ctx };
    libxl_event_hooks hooks = { .event_occurs_mask = COMPLETE, .event_occurs = occurs };

    queue_event(ctx, 1);
    libxl_event_register_callbacks(ctx, &hooks, &s);
    fail_one(ctx, 2);
    trace_if("arrives", pump(ctx, sink_has_1, &s, 10000));
    trace("event_occurs: %d, last %d", s.n, (int)s.last);
    trace_queue("queue", ctx, NO_DOMAIN);
    ctx_end(ctx);
}

static void case_route_reenters(void)
{
    libxl_ctx *ctx = ctx_new();
    struct sink s = { .ctx = ctx, .calls_back = true, .start_next = true };
    libxl_event_hooks hooks = { .event_occurs_mask = COMPLETE, .event_occurs = occurs };

    libxl_event_register_callbacks(ctx, &hooks, &s);
    fail_one(ctx, 1);
    trace_if("both arrive", pump(ctx, sink_has_2, &s, 10000));
    trace_rc("event_check from event_occurs", s.check_rc);
    trace_rc("start from event_occurs", s.start_rc);
    trace("event_occurs: %d, last %d", s.n, (int)s.last);
    ctx_end(ctx);
}

/* ---- forms */

static void case_callback(void)
{
    libxl_ctx *ctx = ctx_new();
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);

    trace_rc("start", libxl_domain_resume(ctx, NO_DOMAIN, 1, &how));
    trace_if("called", pump(ctx, done_flag, &e.times, 10000));
    pump_for(ctx, 100);
    trace("times %d, rc %s", e.times, rc_name(e.rc));
    trace_if("with its context", e.ctx == ctx);
    trace_if("on this thread", pthread_equal(e.thread, pthread_self()));
    trace_queue("queue", ctx, NO_DOMAIN);
    ctx_end(ctx);
}

static void case_sync(void)
{
    libxl_ctx *ctx = ctx_new();

    trace_rc("resume", libxl_domain_resume(ctx, NO_DOMAIN, 1, NULL));
    trace_queue("queue", ctx, NO_DOMAIN);
    ctx_end(ctx);
}

static void case_copied(void)
{
    libxl_ctx *ctx = ctx_new();
    struct ended e = { 0 }, other = { 0 };
    libxl_asyncop_how how = how_callback(&e);

    trace_rc("start", libxl_domain_resume(ctx, NO_DOMAIN, 1, &how));
    how = how_callback(&other);
    trace_if("called", pump(ctx, done_flag, &e.times, 10000));
    pump_for(ctx, 100);
    trace("the given: %d, the later: %d", e.times, other.times);
    ctx_end(ctx);
}

static bool both_ended(void *arg)
{
    struct ended *e = arg;

    return e[0].times && e[1].times;
}

static void case_several(void)
{
    libxl_ctx *ctx = ctx_new();
    struct ended e[2] = { { 0 } };
    libxl_asyncop_how how[2] = { how_callback(&e[0]), how_callback(&e[1]) };
    libxl_asyncop_how ev = how_event(3);
    libxl_event *got;

    trace_rc("start 1", libxl_domain_resume(ctx, NO_DOMAIN, 1, &how[0]));
    trace_rc("start 2", libxl_domain_resume(ctx, NO_DOMAIN + 1, 1, &how[1]));
    trace_rc("start 3", libxl_domain_resume(ctx, NO_DOMAIN + 2, 1, &ev));
    trace_rc("sync beside them", libxl_domain_resume(ctx, NO_DOMAIN, 1, NULL));
    trace_if("both end", pump(ctx, both_ended, e, 10000));
    trace_rc("event_wait", libxl_event_wait(ctx, &got, COMPLETE, NULL, NULL));
    trace_event("the third", ctx, got, NO_DOMAIN + 2);
    trace("times %d %d, rc %s", e[0].times, e[1].times, rc_name(e[0].rc));
    trace("rc %s", rc_name(e[1].rc));
    ctx_end(ctx);
}

struct chain {
    struct ended e;
    int left, depth;
    bool nested;
};

static void chain_cb(libxl_ctx *ctx, int rc, void *arg)
{
    struct chain *c = arg;
    libxl_asyncop_how how = { .callback = chain_cb, .u = { .for_callback = c } };

    c->nested |= c->depth > 0;
    c->depth++;
    c->e.times++;
    if (c->left-- > 0 && libxl_domain_resume(ctx, NO_DOMAIN, 1, &how))
        broken("cannot start from a callback");
    c->depth--;
}

static bool chain_over(void *arg)
{
    return ((struct chain *)arg)->e.times == 4;
}

static void case_chain(void)
{
    libxl_ctx *ctx = ctx_new();
    struct chain c = { .left = 3 };
    libxl_asyncop_how how = { .callback = chain_cb, .u = { .for_callback = &c } };

    trace_rc("start", libxl_domain_resume(ctx, NO_DOMAIN, 1, &how));
    trace_if("each callback starts the next", pump(ctx, chain_over, &c, 10000));
    ctx_end(ctx);
}

static void sync_cb(libxl_ctx *ctx, int rc, void *arg)
{
    struct ended *e = arg;

    e->rc = libxl_domain_resume(ctx, NO_DOMAIN, 1, NULL);
    e->times++;
}

static void case_sync_in_callback(void)
{
    libxl_ctx *ctx = ctx_new();
    struct ended e = { 0 };
    libxl_asyncop_how how = { .callback = sync_cb, .u = { .for_callback = &e } };

    trace_rc("start", libxl_domain_resume(ctx, NO_DOMAIN, 1, &how));
    trace_if("called", pump(ctx, done_flag, &e.times, 10000));
    trace_rc("sync from a callback", e.rc);
    ctx_end(ctx);
}

static void case_abort_none(void)
{
    libxl_ctx *ctx = ctx_new();
    struct ended e = { 0 };
    libxl_asyncop_how cb = how_callback(&e), ev = how_event(1);

    trace_rc("abort, a callback", libxl_ao_abort(ctx, &cb));
    trace_rc("abort, an event", libxl_ao_abort(ctx, &ev));
    trace_rc("abort, synchronous", libxl_ao_abort(ctx, NULL));
    ctx_end(ctx);
}

static void case_abort_ended(void)
{
    libxl_ctx *ctx = ctx_new();
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);

    trace_rc("start", libxl_domain_resume(ctx, NO_DOMAIN, 1, &how));
    trace_if("called", pump(ctx, done_flag, &e.times, 10000));
    trace_rc("abort after the end", libxl_ao_abort(ctx, &how));
    ctx_end(ctx);
}

const struct conf_case conf_cases[] = {
    { "queue-empty", case_empty },
    { "queue-order", case_order },
    { "queue-mask", case_mask },
    { "queue-predicate", case_predicate },
    { "queue-fields", case_fields },
    { "queue-wait-has-one", case_wait_has },
    { "queue-wait-pumps", case_wait_pumps },
    { "queue-wait-predicate", case_wait_predicate },
    { "route-to-callback", case_route },
    { "route-other-types", case_route_other },
    { "route-mask-0", case_route_none },
    { "route-replaced", case_route_replaced },
    { "route-not-backwards", case_route_later },
    { "route-reenters", case_route_reenters },
    { "how-callback", case_callback },
    { "how-sync", case_sync },
    { "how-copied", case_copied },
    { "how-several", case_several },
    { "how-chain", case_chain },
    { "how-sync-in-callback", case_sync_in_callback },
    { "abort-none", case_abort_none },
    { "abort-ended", case_abort_ended },
    { NULL, NULL },
};
