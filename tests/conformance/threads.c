/* SPDX-License-Identifier: LGPL-2.1-only */
/* Several threads in one context, and in several. */
#include "tests/conformance/conf.h"

static bool eventually(volatile int *flag, int ms)
{
    for (int64_t until = now_ms() + ms; !*flag && now_ms() < until; usleep(5000))
        ;
    return *flag != 0;
}

/* ---- a callback runs unlocked: another thread gets through while it waits */

struct crossing {
    libxl_ctx *ctx;
    volatile int inside, through;
    bool crossed;
    int rc;
};

static void *crosser(void *arg)
{
    struct crossing *c = arg;
    libxl_event *ev;

    eventually(&c->inside, 10000);
    c->rc = libxl_event_check(c->ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL);
    c->through = 1;
    return NULL;
}

static void blocking_cb(libxl_ctx *ctx, int rc, void *arg)
{
    struct crossing *c = arg;

    c->inside = 1;
    c->crossed = eventually(&c->through, 5000);
}

static void case_unlocked(void)
{
    libxl_ctx *ctx = ctx_new();
    struct crossing c = { .ctx = ctx };
    libxl_asyncop_how how = { .callback = blocking_cb, .u = { .for_callback = &c } };
    pthread_t thread;

    pthread_create(&thread, NULL, crosser, &c);
    trace_rc("start", libxl_domain_resume(ctx, NO_DOMAIN, 1, &how));
    for (int i = 0; i < 100 && !c.through; i++)
        pump_for(ctx, 50);
    pthread_join(thread, NULL);
    trace_if("another thread calls the library while a callback runs", c.crossed);
    trace_rc("its event_check", c.rc);
    ctx_end(ctx);
}

static void blocking_occurs(void *user, libxl_event *ev)
{
    struct crossing *c = user;

    libxl_event_free(c->ctx, ev);
    c->inside = 1;
    c->crossed = eventually(&c->through, 5000);
}

static void case_unlocked_event(void)
{
    libxl_ctx *ctx = ctx_new();
    struct crossing c = { .ctx = ctx };
    libxl_event_hooks hooks = { .event_occurs_mask = LIBXL_EVENTMASK_ALL,
                                .event_occurs = blocking_occurs };
    libxl_asyncop_how how = how_event(1);
    pthread_t thread;

    libxl_event_register_callbacks(ctx, &hooks, &c);
    pthread_create(&thread, NULL, crosser, &c);
    trace_rc("start", libxl_domain_resume(ctx, NO_DOMAIN, 1, &how));
    for (int i = 0; i < 100 && !c.through; i++)
        pump_for(ctx, 50);
    pthread_join(thread, NULL);
    trace_if("another thread calls the library while event_occurs runs", c.crossed);
    ctx_end(ctx);
}

/* ---- a thread that waits for events, and who wakes it */

struct waiter {
    libxl_ctx *ctx;
    volatile int over;
    int rc;
    uint64_t for_user;
};

static void *waits(void *arg)
{
    struct waiter *w = arg;
    libxl_event *ev;

    w->rc = libxl_event_wait(w->ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL);
    if (!w->rc) {
        w->for_user = ev->for_user;
        libxl_event_free(w->ctx, ev);
    }
    w->over = 1;
    return NULL;
}

/* B1: the event comes to be in another thread than the one that waits. */
static void case_woken(void)
{
    libxl_ctx *ctx = ctx_new();
    struct waiter w = { .ctx = ctx };
    libxl_asyncop_how how = how_event(7);
    pthread_t thread;

    pthread_create(&thread, NULL, waits, &w);
    usleep(300000);
    trace_rc("start in another thread", libxl_domain_resume(ctx, NO_DOMAIN, 1, &how));
    trace_if("the waiting thread gets the event", eventually(&w.over, 5000));
    leave();
}

/* The waiter's own loop drives what another thread has started. */
static void case_drives(void)
{
    libxl_ctx *ctx = ctx_new();
    struct waiter w = { .ctx = ctx };
    libxl_asyncop_how how = how_event(9);
    uint32_t domid = guest();
    pthread_t thread;

    pthread_create(&thread, NULL, waits, &w);
    usleep(300000);
    trace_rc("suspend in another thread", libxl_domain_suspend(ctx, domid, image_file(), 0, &how));
    trace_if("the waiting thread drives it", eventually(&w.over, 60000));
    trace("rc %s, for_user %d", rc_name(w.rc), (int)w.for_user);
    trace_rc("resume", libxl_domain_resume(ctx, domid, 1, NULL));
    pthread_join(thread, NULL);
    ctx_end(ctx);
}

/* ---- synchronous operations in several threads */

struct worker {
    libxl_ctx *ctx;
    uint32_t domid;
    int bad;
    int rc;
    volatile int over;
};

static void *fails_often(void *arg)
{
    struct worker *w = arg;

    for (int i = 0; i < 5; i++)
        w->bad += libxl_domain_resume(w->ctx, NO_DOMAIN, 1, NULL) != ERROR_FAIL;
    w->over = 1;
    return NULL;
}

static void many(bool one_context)
{
    libxl_ctx *ctx[4];
    struct worker w[4];
    pthread_t threads[4];
    int bad = 0;

    for (int i = 0; i < 4; i++) {
        ctx[i] = one_context && i ? ctx[0] : ctx_new();
        w[i] = (struct worker){ .ctx = ctx[i] };
        pthread_create(&threads[i], NULL, fails_often, &w[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        bad += w[i].bad;
    }
    trace("20 synchronous operations in 4 threads: wrong %d", bad);
    trace_queue("queue", ctx[0], NO_DOMAIN);
    for (int i = 0; i < (one_context ? 1 : 4); i++)
        ctx_end(ctx[i]);
}

static void case_many_one(void)
{
    many(true);
}

static void case_many_contexts(void)
{
    many(false);
}

static void *suspends(void *arg)
{
    struct worker *w = arg;

    w->rc = libxl_domain_suspend(w->ctx, w->domid, image_file(), 0, NULL);
    w->over = 1;
    return NULL;
}

/* While one thread waits for its operation others use the same context. */
static void case_beside_sync(void)
{
    libxl_ctx *ctx = ctx_new();
    struct worker w = { .ctx = ctx, .domid = guest() };
    pthread_t thread;
    int turns = 0;

    pthread_create(&thread, NULL, suspends, &w);
    while (!w.over && turns < 2000) {
        libxl_event *ev;

        if (libxl_event_check(ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL) != ERROR_NOT_READY)
            broken("an event of a synchronous operation");
        pump_for(ctx, 20);
        turns++;
    }
    pthread_join(thread, NULL);
    trace_if("another thread got turns meanwhile", turns > 1);
    trace_rc("synchronous suspend beside a loop", w.rc);
    trace_state("after it", w.domid);
    trace_rc("resume", libxl_domain_resume(ctx, w.domid, 1, NULL));
    ctx_end(ctx);
}

static void case_abort_sync(void)
{
    libxl_ctx *ctx = ctx_new();
    struct worker w = { .ctx = ctx, .domid = guest() };
    pthread_t thread;

    ask("pause %u", w.domid);
    pthread_create(&thread, NULL, suspends, &w);
    while (!guest_asked(w.domid))
        usleep(100000);
    trace_rc("abort of the synchronous one", libxl_ao_abort(ctx, NULL));
    trace_rc("again", libxl_ao_abort(ctx, NULL));
    pthread_join(thread, NULL);
    trace_rc("it returns", w.rc);
    trace_rc("abort after the end", libxl_ao_abort(ctx, NULL));
    ask("unpause %u", w.domid);
    ctx_end(ctx);
}

/* Events of another thread's sync loop: the callback runs in whichever thread is inside. */
static void case_callback_thread(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);
    struct waiter wait = { .ctx = ctx };
    pthread_t thread;

    ask("pause %u", domid);
    trace_rc("start", libxl_domain_suspend(ctx, domid, image_file(), 0, &how));
    pump_asked(ctx, domid);
    trace_rc("abort", libxl_ao_abort(ctx, &how));
    /* nobody but a waiting thread is inside the library from here on */
    pthread_create(&thread, NULL, waits, &wait);
    trace_if("ends without a loop of ours", eventually(&e.times, 30000));
    trace_if("in the waiting thread", e.times && pthread_equal(e.thread, thread));
    ask("unpause %u", domid);
    leave();
}

const struct conf_case conf_cases[] = {
    { "threads-callback-unlocked", case_unlocked },
    { "threads-event-unlocked", case_unlocked_event },
    { "threads-waiter-woken", case_woken },
    { "threads-waiter-drives", case_drives },
    { "threads-one-context", case_many_one },
    { "threads-four-contexts", case_many_contexts },
    { "threads-beside-sync", case_beside_sync },
    { "threads-abort-sync", case_abort_sync },
    { "threads-callback-thread", case_callback_thread },
    { NULL, NULL },
};
