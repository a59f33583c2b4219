/* SPDX-License-Identifier: LGPL-2.1-only */
#include "tests/unit/event/harness.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

/* The program's own epoll_wait: how long would the loop sleep? */
static int last_sleep_ms;
int epoll_wait(int epfd, struct epoll_event *ev, int max, int ms)
{
    last_sleep_ms = ms;
    return (int)syscall(SYS_epoll_pwait, epfd, ev, max, ms > 1000 || ms < 0 ? 1000 : ms, NULL, 0);
}

/* A xenstore that holds nothing but watches and the events that a test makes up. */
struct xs_handle {
    int pipe[2];
    struct { char path[64], token[24]; } watches[32], events[512];
    int nwatches, nevents, broken;
    int watch_errno, unwatch_errno, watch_calls;
    bool destroyed;
};
static struct xs_handle xs;

static bool fake_watch(struct xs_handle *h, const char *path, const char *token)
{
    h->watch_calls++;
    errno = h->watch_errno;
    if (errno)
        return false;
    assert_true(strlen(path) < 64);
    strcpy(h->watches[h->nwatches].path, path);
    strcpy(h->watches[h->nwatches++].token, token);
    return true;
}

static bool fake_unwatch(struct xs_handle *h, const char *path, const char *token)
{
    int i;

    errno = h->unwatch_errno;
    if (errno)
        return false;
    for (i = 0; i < h->nwatches; i++) {
        if (strcmp(h->watches[i].path, path) || strcmp(h->watches[i].token, token))
            continue;
        h->watches[i] = h->watches[--h->nwatches];
        return true;
    }
    fail_msg("no such watch: %s %s", path, token);
    return false;
}

static char **fake_check_watch(struct xs_handle *h)
{
    size_t lp, lt;
    char **v, c;

    if (!h->nevents) {
        while (read(h->pipe[0], &c, 1) == 1)
            ;
        errno = h->broken ? h->broken : EAGAIN;
        return NULL;
    }
    lp = strlen(h->events[0].path) + 1;
    lt = strlen(h->events[0].token) + 1;
    v = malloc(2 * sizeof(char *) + lp + lt);           /* one block, as libxenstore's */
    v[0] = memcpy(v + 2, h->events[0].path, lp);
    v[1] = memcpy(v[0] + lp, h->events[0].token, lt);
    memmove(h->events, h->events + 1, (size_t)--h->nevents * sizeof(h->events[0]));
    return v;
}

static int fake_fileno(struct xs_handle *h)
{
    return h->pipe[0];
}

static void fake_destroy_postfork(struct xs_handle *h)
{
    h->destroyed = true;
}

static const moat_xs_ops fake_ops = { fake_watch, fake_unwatch, fake_check_watch, fake_fileno,
                                      fake_destroy_postfork };

static void event(const char *path, const char *token)
{
    assert_true(xs.nevents < 512);
    snprintf(xs.events[xs.nevents].path, 64, "%s", path);
    snprintf(xs.events[xs.nevents++].token, 24, "%s", token);
    assert_int_equal(write(xs.pipe[1], "e", 1), 1);
}

struct watch {
    libxl__ev_xswatch w;                                /* first: callbacks cast */
    int calls;
    char path[64];
    void (*then)(struct watch *w);
};
static struct watch A, B;

static void on_watch(libxl__egc *egc, libxl__ev_xswatch *w, const char *watch_path,
                     const char *event_path)
{
    struct watch *x = (void *)w;
    char copy[64];

    assert_int_equal(ctx->lock_depth, 1);
    assert_ptr_equal(egc->gc.owner, ctx);
    snprintf(copy, sizeof(copy), "%s", watch_path);
    assert_string_equal(copy, w->path);
    x->calls++;
    snprintf(x->path, sizeof(x->path), "%s", event_path);
    if (x->then)
        x->then(x);
    assert_string_equal(copy, watch_path);              /* good until we return */
}

static void watch(struct watch *x, const char *path)
{
    POISON(x->w);
    x->calls = 0;
    x->then = NULL;
    assert_int_equal(libxl__ev_xswatch_register(tgc, &x->w, on_watch, path), 0);
    assert_true(libxl__ev_xswatch_isregistered(&x->w));
}

static char *token_of(const char *path)
{
    int i;

    for (i = 0; i < xs.nwatches; i++)
        if (!strcmp(xs.watches[i].path, path))
            return xs.watches[i].token;
    fail_msg("no watch on %s", path);
    return NULL;
}

static int fds_unused;

static int xs_set_up(void **state)
{
    memset(&xs, 0, sizeof(xs));
    assert_int_equal(pipe2(xs.pipe, O_CLOEXEC | O_NONBLOCK), 0);
    set_up(state);
    moat_ctx_set_xs(ctx, &xs, &fake_ops);
    fds_unused = (int)ctx->fds_used;
    return 0;
}

static int xs_tear_down(void **state)
{
    libxl__ev_xswatch_deregister(tgc, &A.w);
    libxl__ev_xswatch_deregister(tgc, &B.w);
    assert_int_equal(xs.nwatches, 0);
    assert_int_equal(ctx->fds_used, fds_unused);        /* no watch: the fd is not listened to */
    tear_down(state);
    close(xs.pipe[0]);
    close(xs.pipe[1]);
    return 0;
}

static void init_makes_poisoned_memory_idle(void **state)
{
    (void)state;
    POISON(A);
    libxl__ev_xswatch_init(&A.w);
    assert_false(libxl__ev_xswatch_isregistered(&A.w));
    libxl__ev_xswatch_deregister(tgc, &A.w);
    libxl__ev_xswatch_deregister(tgc, &A.w);
}

static void events_at_and_below_the_path_are_told_in_order(void **state)
{
    (void)state;
    watch(&A, "/local/domain/3");
    assert_string_equal(token_of("/local/domain/3"), "0/0");
    event("/local/domain/3", "0/0");
    turn();
    assert_int_equal(A.calls, 1);
    assert_string_equal(A.path, "/local/domain/3");
    event("/local/domain/3/control/shutdown", "0/0");
    event("/local/domain/3/x", "0/0");
    turn();
    assert_int_equal(A.calls, 3);
    assert_string_equal(A.path, "/local/domain/3/x");
}

static void a_path_that_merely_starts_alike_is_dropped(void **state)
{
    (void)state;
    watch(&A, "/a/b");
    event("/a/bc", token_of("/a/b"));
    event("/a", token_of("/a/b"));
    event("/a/", token_of("/a/b"));
    event("", token_of("/a/b"));
    turn();
    assert_int_equal(A.calls, 0);
    event("/a/b/c", token_of("/a/b"));
    turn();
    assert_int_equal(A.calls, 1);
    watch(&B, "/");
    event("/anything", token_of("/"));
    turn();
    assert_int_equal(B.calls, 1);
}

static void special_nodes_are_watched_by_name(void **state)
{
    (void)state;
    watch(&A, "@releaseDomain");
    event("@releaseDomain", token_of("@releaseDomain"));
    turn();
    assert_int_equal(A.calls, 1);
    event("@introduceDomain", token_of("@releaseDomain"));
    turn();
    assert_int_equal(A.calls, 1);
}

static void stale_and_foreign_tokens_are_dropped(void **state)
{
    const char *const bad[] = { "", "0", "0/", "/0", "1/0", "-1/0", "99999/0", "0/0 ", " 0/0",
                                "0/1", "00/0", "0/00", "0/0x0", "+0/0", "4294967296/0", "0/0/0",
                                "moat" };
    size_t i;

    (void)state;
    watch(&A, "/a");
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        event("/a", bad[i]);
    turn();
    assert_int_equal(A.calls, 0);
    assert_int_equal(moat_loop_get_stats(ctx).xs_events, i);
    event("/a", "0/0");
    turn();
    assert_int_equal(A.calls, 1);
}

static void a_reused_slot_does_not_get_its_predecessors_events(void **state)
{
    char old[24];

    (void)state;
    watch(&A, "/a");
    strcpy(old, token_of("/a"));
    event("/a", old);                                   /* on its way when.. */
    libxl__ev_xswatch_deregister(tgc, &A.w);
    watch(&B, "/a");                                    /* ..another takes the slot and the path */
    assert_int_equal(atoi(token_of("/a")), atoi(old));
    assert_string_not_equal(token_of("/a"), old);
    turn();
    assert_int_equal(B.calls, 0);
    event("/a", token_of("/a"));
    turn();
    assert_int_equal(B.calls, 1);
}

static void deregister_both(struct watch *w)
{
    (void)w;
    libxl__ev_xswatch_deregister(tgc, &A.w);
    libxl__ev_xswatch_deregister(tgc, &B.w);
}

static void deregister_the_other(struct watch *w)
{
    libxl__ev_xswatch_deregister(tgc, w == &A ? &B.w : &A.w);
}

static void a_callback_may_deregister_any_watch(void **state)
{
    (void)state;
    watch(&A, "/a");
    watch(&B, "/b");
    A.then = deregister_the_other;
    event("/a", token_of("/a"));
    event("/b", token_of("/b"));
    turn();
    assert_true(A.calls == 1 && B.calls == 0);
    A.then = NULL;
    watch(&B, "/b");
    event("/b", token_of("/b"));
    event("/a", token_of("/a"));
    B.then = deregister_both;
    turn();
    assert_int_equal(B.calls, 1);
    assert_int_equal(A.calls, 1);
}

static void a_refused_watch_leaves_nothing_behind(void **state)
{
    (void)state;
    xs.watch_errno = EACCES;
    POISON(A.w);
    assert_int_equal(libxl__ev_xswatch_register(tgc, &A.w, on_watch, "/x\ny"), ERROR_FAIL);
    assert_false(libxl__ev_xswatch_isregistered(&A.w));
    assert_non_null(strstr(last_log, "Permission denied"));
    assert_non_null(strstr(last_log, "/x?y"));          /* no control byte reaches a log */
    assert_int_equal(ctx->fds_used, fds_unused);
    xs.watch_errno = 0;
    watch(&A, "/x");
    assert_string_equal(token_of("/x"), "0/1");
}

static void a_refused_unwatch_still_ends_the_callbacks(void **state)
{
    (void)state;
    watch(&A, "/a");
    watch(&B, "/b");
    xs.unwatch_errno = EIO;
    libxl__ev_xswatch_deregister(tgc, &A.w);
    xs.unwatch_errno = 0;
    event("/a", token_of("/a"));
    turn();
    assert_int_equal(A.calls, 0);
    fake_unwatch(&xs, "/a", token_of("/a"));
}

static void bad_paths_and_a_missing_connection_are_errors(void **state)
{
    char longest[4000];

    (void)state;
    memset(longest, 'a', sizeof(longest));
    longest[3073] = '\0';
    assert_int_equal(libxl__ev_xswatch_register(tgc, &A.w, on_watch, ""), ERROR_INVAL);
    assert_int_equal(libxl__ev_xswatch_register(tgc, &A.w, on_watch, longest), ERROR_INVAL);
    moat_ctx_set_xs(ctx, NULL, NULL);
    assert_int_equal(libxl__ev_xswatch_register(tgc, &A.w, on_watch, "/a"), ERROR_FAIL);
    assert_int_equal(xs.watch_calls, 0);
    moat_ctx_set_xs(ctx, &xs, &fake_ops);
}

static void a_flood_of_watch_events_does_not_keep_timers_waiting(void **state)
{
    int i;

    (void)state;
    watch(&A, "/a");
    for (i = 0; i < 200; i++)
        event("/a", "0/0");
    turn();
    assert_int_equal(A.calls, 64);                      /* not all: timers had their turn */
    assert_int_equal(moat_loop_run_once(ctx, -1), 0);   /* does not sleep while some are left */
    assert_int_equal(A.calls, 128);
    for (i = 0; i < 4; i++)
        turn();
    assert_int_equal(A.calls, 200);
}

static void the_rest_of_a_flood_is_found_without_the_fd(void **state)
{
    int i;
    char c;

    (void)state;
    watch(&A, "/a");
    for (i = 0; i < 100; i++)
        event("/a", "0/0");
    turn();
    while (read(xs.pipe[0], &c, 1) == 1)                /* libxenstore may quieten it early */
        ;
    assert_int_equal(moat_loop_run_once(ctx, 2000), 0);
    assert_int_equal(last_sleep_ms, 0);
    assert_int_equal(A.calls, 100);
    assert_int_equal(moat_loop_run_once(ctx, 1), 0);
    assert_int_equal(last_sleep_ms, 1);
}

static void a_broken_connection_is_a_disaster_told_once(void **state)
{
    (void)state;
    watch(&A, "/a");
    event("/a", "0/0");
    xs.broken = EBADF;
    turn();
    assert_int_equal(A.calls, 1);
    assert_int_equal(disasters, 1);
    assert_int_equal(write(xs.pipe[1], "e", 1), 1);
    turn();
    assert_int_equal(disasters, 1);
}

static void died(libxl__egc *egc, libxl__ev_child *ch, pid_t pid, int status)
{
    (void)egc, (void)ch, (void)pid;
    A.calls = status == 0 ? 77 : -1;
}

static void a_forked_child_gives_up_the_connection(void **state)
{
    libxl__ev_child ch;
    pid_t pid;
    int i;

    (void)state;
    watch(&A, "/a");
    pid = libxl__ev_child_fork(tgc, &ch, died);
    if (!pid)
        _exit(xs.destroyed && !ctx->xsh ? 0 : 1);
    for (i = 0; !A.calls && i < 10; i++)
        assert_int_equal(moat_loop_run_once(ctx, 5000), 0);
    assert_int_equal(A.calls, 77);
    assert_false(xs.destroyed);
}

static void many_watches_have_tokens_of_their_own(void **state)
{
    struct watch w[30];
    char path[16];
    int i;

    (void)state;
    for (i = 0; i < 30; i++) {
        snprintf(path, sizeof(path), "/w/%d", i);
        watch(&w[i], path);
    }
    for (i = 29; i >= 0; i--) {
        snprintf(path, sizeof(path), "/w/%d", i);
        event(path, token_of(path));
    }
    turn();
    for (i = 0; i < 30; i++) {
        assert_int_equal(w[i].calls, 1);
        libxl__ev_xswatch_deregister(tgc, &w[i].w);
    }
}

#define XS_TEST(f) cmocka_unit_test_setup_teardown(f, xs_set_up, xs_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        XS_TEST(init_makes_poisoned_memory_idle),
        XS_TEST(events_at_and_below_the_path_are_told_in_order),
        XS_TEST(a_path_that_merely_starts_alike_is_dropped),
        XS_TEST(special_nodes_are_watched_by_name),
        XS_TEST(stale_and_foreign_tokens_are_dropped),
        XS_TEST(a_reused_slot_does_not_get_its_predecessors_events),
        XS_TEST(a_callback_may_deregister_any_watch),
        XS_TEST(a_refused_watch_leaves_nothing_behind),
        XS_TEST(a_refused_unwatch_still_ends_the_callbacks),
        XS_TEST(bad_paths_and_a_missing_connection_are_errors),
        XS_TEST(a_flood_of_watch_events_does_not_keep_timers_waiting),
        XS_TEST(the_rest_of_a_flood_is_found_without_the_fd),
        XS_TEST(a_broken_connection_is_a_disaster_told_once),
        XS_TEST(a_forked_child_gives_up_the_connection),
        XS_TEST(many_watches_have_tokens_of_their_own),
    };

    libxl__ev_xswatch_init(&A.w);
    libxl__ev_xswatch_init(&B.w);
    return cmocka_run_group_tests_name("event: xswatch", tests, NULL, NULL);
}
