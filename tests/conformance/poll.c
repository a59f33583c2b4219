/* SPDX-License-Identifier: LGPL-2.1-only */
/* beforepoll and afterpoll. */
#include "tests/conformance/conf.h"

#define MANY 32

static int wanted(libxl_ctx *ctx)
{
    int n = 0, timeout = -1, rc = libxl_osevent_beforepoll(ctx, &n, NULL, &timeout, now_tv());

    if (rc != (n ? ERROR_BUFFERFULL : 0))
        broken("size query: rc %s, wants %d", rc_name(rc), n);
    return n;
}

static void case_size_query(void)
{
    libxl_ctx *ctx = ctx_new();
    int a = wanted(ctx), b = wanted(ctx);

    trace_if("(NULL, 0) is BUFFERFULL if any fd is wanted", true);
    trace_if("the same twice", a == b);
    ctx_end(ctx);
}

static void case_exact(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    libxl_evgen_domain_death *evg;
    struct pollfd fds[MANY];
    int n, got, timeout = -1;

    if (libxl_evenable_domain_death(ctx, domid, 1, &evg))
        broken("evenable");
    n = wanted(ctx);
    trace_if("something is wanted", n > 0);
    got = n;
    trace_rc("exactly that much room",
             libxl_osevent_beforepoll(ctx, &got, fds, &timeout, now_tv()));
    trace_if("count the same", got == n);
    got = n - 1;
    trace_rc("one less", libxl_osevent_beforepoll(ctx, &got, fds, &timeout, now_tv()));
    trace_if("count is what is wanted", got == n);
    memset(fds, 0x55, sizeof(fds));
    got = MANY;
    trace_rc("more room", libxl_osevent_beforepoll(ctx, &got, fds, &timeout, now_tv()));
    trace_if("count is what is wanted", got == n);
    trace_if("the rest is untouched", fds[n].fd == 0x55555555);
    libxl_evdisable_domain_death(ctx, evg);
    ctx_end(ctx);
}

static void case_timeouts(void)
{
    static const int given[] = { -1, -5, 0, 1, 1000, 2000000000 };
    libxl_ctx *ctx = ctx_new();

    for (unsigned i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        struct pollfd fds[MANY];
        int n = MANY, timeout = given[i];

        trace_rc("idle", libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now_tv()));
        trace("timeout %d becomes %d", given[i], timeout);
    }
    ctx_end(ctx);
}

static void case_entries(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    libxl_evgen_domain_death *evg;
    struct pollfd fds[MANY];
    int n = MANY, timeout = 1000;
    bool events = true, open_fds = true, in_time = true;

    if (libxl_evenable_domain_death(ctx, domid, 1, &evg))
        broken("evenable");
    trace_rc("beforepoll", libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now_tv()));
    for (int i = 0; i < n; i++) {
        events &= fds[i].events != 0;
        open_fds &= fcntl(fds[i].fd, F_GETFD) >= 0;
        for (int k = 0; k < i; k++)
            in_time &= fds[i].fd != fds[k].fd || !(fds[i].events & fds[k].events);
    }
    trace_if("each wants some event", events);
    trace_if("each is open", open_fds);
    trace_if("no event of an fd twice", in_time);
    trace_if("timeout not more than before", timeout >= 0 && timeout <= 1000);
    poll(fds, (nfds_t)n, 0);
    for (int i = 0; i < n; i++)
        events &= !(fds[i].revents & POLLNVAL);
    trace_if("none is invalid to poll", events);
    libxl_osevent_afterpoll(ctx, n, fds, now_tv());
    libxl_evdisable_domain_death(ctx, evg);
    ctx_end(ctx);
}

static void case_cloexec(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    libxl_evgen_domain_death *evg;
    struct pollfd fds[MANY];
    int n = MANY, timeout = -1;
    bool all = true;

    if (libxl_evenable_domain_death(ctx, domid, 1, &evg))
        broken("evenable");
    trace_rc("beforepoll", libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now_tv()));
    for (int i = 0; i < n; i++)
        all &= fcntl(fds[i].fd, F_GETFD) & FD_CLOEXEC;
    trace_if("all fds close on exec", all);
    libxl_evdisable_domain_death(ctx, evg);
    ctx_end(ctx);
}

static void case_nothing_ready(void)
{
    libxl_ctx *ctx = ctx_new();
    struct pollfd fds[MANY];
    int n, timeout;

    for (int i = 0; i < 20; i++) {
        n = MANY;
        timeout = 0;
        if (libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now_tv()))
            broken("beforepoll");
        for (int k = 0; k < n; k++)
            fds[k].revents = 0;
        libxl_osevent_afterpoll(ctx, n, fds, now_tv());
    }
    trace("20 turns with nothing ready");
    for (int i = 0; i < 3; i++) {
        n = MANY;
        timeout = 0;
        trace_rc("beforepoll without afterpoll",
                 libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now_tv()));
    }
    libxl_osevent_afterpoll(ctx, 0, NULL, now_tv());
    trace("afterpoll of no fds");
    queue_event(ctx, 1);
    trace_queue("still works", ctx, NO_DOMAIN);
    ctx_end(ctx);
}

/* revents that are not true: what is reported is looked at again. */
static void case_untrue(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    libxl_evgen_domain_death *evg;
    struct pollfd fds[MANY];
    int n, timeout;

    if (libxl_evenable_domain_death(ctx, domid, 1, &evg))
        broken("evenable");
    pump_for(ctx, 300);
    for (int i = 0; i < 5; i++) {
        n = MANY;
        timeout = 0;
        if (libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now_tv()))
            broken("beforepoll");
        for (int k = 0; k < n; k++)
            fds[k].revents = fds[k].events;
        libxl_osevent_afterpoll(ctx, n, fds, now_tv());
    }
    trace_queue("queue", ctx, domid);
    libxl_evdisable_domain_death(ctx, evg);
    ctx_end(ctx);
}

/* T8: an array from before an fd was given up. */
static void case_stale(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    libxl_evgen_domain_death *evg;
    struct pollfd fds[MANY];
    int n = MANY, timeout = 0, after;

    if (libxl_evenable_domain_death(ctx, domid, 1, &evg))
        broken("evenable");
    pump_for(ctx, 300);
    if (libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now_tv()))
        broken("beforepoll");
    libxl_evdisable_domain_death(ctx, evg);
    poll(fds, (nfds_t)n, 0);
    libxl_osevent_afterpoll(ctx, n, fds, now_tv());
    trace("afterpoll with an array from before evdisable");
    after = wanted(ctx);
    trace_if("fewer fds than before", after < n);
    trace_queue("queue", ctx, domid);
    ctx_end(ctx);
}

/* T1: the same, and the number belongs to somebody else by then. */
static void case_reused(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    libxl_evgen_domain_death *evg, *again;
    struct pollfd fds[MANY];
    int n = MANY, timeout = 0;

    if (libxl_evenable_domain_death(ctx, domid, 1, &evg))
        broken("evenable");
    pump_for(ctx, 300);
    if (libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now_tv()))
        broken("beforepoll");
    libxl_evdisable_domain_death(ctx, evg);
    if (libxl_evenable_domain_death(ctx, domid, 2, &again))
        broken("evenable");
    for (int i = 0; i < n; i++)
        fds[i].revents = POLLNVAL;
    libxl_osevent_afterpoll(ctx, n, fds, now_tv());
    trace("afterpoll with POLLNVAL for fds given up since");
    pump_for(ctx, 200);
    trace_queue("queue", ctx, domid);
    libxl_evdisable_domain_death(ctx, again);
    ctx_end(ctx);
}

static void case_two_contexts(void)
{
    libxl_ctx *a = ctx_new(), *b = ctx_new();
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);
    uint32_t domid = guest();

    ask("pause %u", domid);
    trace_rc("start in one", libxl_domain_suspend(a, domid, image_file(), 0, &how));
    pump_for(b, 300);
    trace_if("ended by the other's loop", e.times);
    trace_rc("abort in the other", libxl_ao_abort(b, &how));
    pump_asked(a, domid);
    trace_rc("abort", libxl_ao_abort(a, &how));
    trace_if("ends", pump(a, done_flag, &e.times, 30000));
    trace_rc("end", e.rc);
    ask("unpause %u", domid);
    ctx_end(a);
    ctx_end(b);
}

/* A timeout of the library's own shortens the application's. */
static void case_reduced(void)
{
    libxl_ctx *ctx = ctx_new();
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);
    uint32_t domid = guest();
    struct pollfd fds[MANY];
    int n = MANY, timeout = -1;

    ask("pause %u", domid);
    trace_rc("start", libxl_domain_suspend(ctx, domid, image_file(), 0, &how));
    pump_asked(ctx, domid);
    if (libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now_tv()))
        broken("beforepoll");
    trace_if("waits at most a minute for the guest", timeout > 0 && timeout <= 60000);
    n = MANY;
    timeout = 5;
    if (libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now_tv()))
        broken("beforepoll");
    trace("5 stays %d", timeout);
    trace_rc("abort", libxl_ao_abort(ctx, &how));
    trace_if("ends", pump(ctx, done_flag, &e.times, 30000));
    trace_rc("end", e.rc);
    ask("unpause %u", domid);
    ctx_end(ctx);
}

const struct conf_case conf_cases[] = {
    { "poll-size-query", case_size_query },
    { "poll-room", case_exact },
    { "poll-timeout-idle", case_timeouts },
    { "poll-entries", case_entries },
    { "poll-cloexec", case_cloexec },
    { "poll-nothing-ready", case_nothing_ready },
    { "poll-untrue-revents", case_untrue },
    { "poll-stale-array", case_stale },
    { "poll-fd-reused", case_reused },
    { "poll-two-contexts", case_two_contexts },
    { "poll-timeout-reduced", case_reduced },
    { NULL, NULL },
};
