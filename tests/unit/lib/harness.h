/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef TESTS_LIB_HARNESS_H
#define TESTS_LIB_HARNESS_H

/* A public ctx for each test, and sources of events registered from inside.  Whatever the test
 * does, its end must find no descriptor left over. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/lib.h"
#include "tests/unit/fds.h"

static libxl_ctx *ctx;
static libxl__gc tgc[1];
static char last_log[1024];                     /* of WARN and above */
static int last_log_level;
static int fds_before;

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static inline void test_vmessage(xentoollog_logger *logger, xentoollog_level level, int errnoval,
                                 const char *context, const char *format, va_list al)
{
    (void)logger, (void)errnoval;
    assert_string_equal(context, "libmoat");
    if (level < XTL_WARN)
        return;
    pthread_mutex_lock(&log_lock);
    vsnprintf(last_log, sizeof(last_log), format, al);
    last_log_level = (int)level;
    pthread_mutex_unlock(&log_lock);
}
static xentoollog_logger test_logger = { .vmessage = test_vmessage };

static inline int set_up(void **state)
{
    (void)state;
    last_log[0] = '\0';
    last_log_level = 0;
    fds_before = count_fds();
    assert_int_equal(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &test_logger), 0);
    libxl__gc_init(tgc, ctx);
    assert_int_equal(count_fds(), fds_before);          /* an idle ctx holds none */
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    if (!ctx)
        return 0;
    libxl__gc_free_all(tgc);
    assert_int_equal(libxl_ctx_free(ctx), 0);
    assert_int_equal(count_fds(), fds_before);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define POISON(x) memset(&(x), 0xa5, sizeof(x))

static inline int64_t mono_ms(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline void sleep_ms(int ms)
{
    const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

    nanosleep(&t, NULL);
}

/* ---------- an fd that is ready when fed ---------- */

struct source {
    libxl__ev_fd ev;                                    /* first: callbacks cast */
    int r, w;
    int calls;
    short revents;
    void (*then)(libxl__egc *egc, struct source *s);
};

static inline void on_fd(libxl__egc *egc, libxl__ev_fd *ev, int fd, short events, short revents)
{
    struct source *s = (void *)ev;

    assert_int_equal(ctx->lock_depth, 1);
    assert_int_equal(fd, ev->fd);
    assert_int_equal(events, ev->events);
    assert_true(revents & (events | POLLERR | POLLHUP));
    s->calls++;
    s->revents = revents;
    if (s->then)
        s->then(egc, s);
}

static inline void open_pipe(struct source *s)
{
    int p[2];

    assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    *s = (struct source){ .r = p[0], .w = p[1] };
    libxl__ev_fd_init(&s->ev);
}

static inline void open_source(struct source *s, short events)
{
    open_pipe(s);
    assert_int_equal(libxl__ev_fd_register(tgc, &s->ev, on_fd, s->r, events), 0);
}

static inline void close_source(struct source *s)
{
    libxl__ev_fd_deregister(tgc, &s->ev);
    close(s->r);
    close(s->w);
}

static inline void feed(struct source *s)
{
    assert_int_equal(write(s->w, "x", 1), 1);
}

static inline void drain(libxl__egc *egc, struct source *s)
{
    char c;

    (void)egc;
    while (read(s->r, &c, 1) == 1)
        ;
}

/* ---------- an operation that ends when its pipe is fed, or is aborted, or in time ---------- */

struct op {
    libxl__ao *ao;
    struct source src;
    libxl__ev_time time;
    libxl__ao_abortable abrt;
    int told, rc;                                       /* by callback */
};

static inline void op_told(libxl_ctx *c, int rc, void *for_callback)
{
    struct op *op = for_callback;

    libxl__ctx_lock(c);
    assert_int_equal(c->lock_depth, 1);                 /* it was called unlocked */
    op->rc = rc;
    op->told++;
    libxl__ctx_unlock(c);
}

static inline void op_end(libxl__egc *egc, struct op *op, int rc)
{
    libxl__ev_fd_deregister(tgc, &op->src.ev);
    libxl__ev_time_deregister(tgc, &op->time);
    libxl__ao_abortable_deregister(&op->abrt);
    libxl__ao_complete(egc, op->ao, rc);
}

static inline void op_fed(libxl__egc *egc, struct source *s)
{
    op_end(egc, CONTAINER_OF(s, struct op, src), 0);
}

static inline void op_timed_out(libxl__egc *egc, libxl__ev_time *ev,
                                const struct timespec *requested_abs, int rc)
{
    (void)requested_abs;
    op_end(egc, CONTAINER_OF(ev, struct op, time), rc);
}

static inline void op_aborted(libxl__egc *egc, libxl__ao_abortable *abrt, int rc)
{
    op_end(egc, CONTAINER_OF(abrt, struct op, abrt), rc);
}

/* What an operation of the library's looks like.  ms < 0: it has no time. */
static inline int op_run(struct op *op, int ms, const libxl_asyncop_how *ao_how)
{
    int rc;

    AO_CREATE(ctx, 7, ao_how);
    op->ao = ao;
    libxl__ev_fd_init(&op->src.ev);
    libxl__ev_time_init(&op->time);
    libxl__ao_abortable_init(&op->abrt);
    op->abrt.ao = ao;
    op->abrt.callback = op_aborted;
    op->src.then = op_fed;
    rc = libxl__ao_abortable_register(&op->abrt);
    if (rc)
        goto out;
    rc = libxl__ev_time_register_rel(ao, &op->time, op_timed_out, ms);
    if (rc)
        goto out;
    rc = libxl__ev_fd_register(gc, &op->src.ev, on_fd, op->src.r, POLLIN);
    if (rc)
        goto out;
    return AO_INPROGRESS;

out:
    libxl__ev_time_deregister(gc, &op->time);
    libxl__ao_abortable_deregister(&op->abrt);
    return AO_CREATE_FAIL(rc);
}

static inline void op_open(struct op *op)
{
    *op = (struct op){ 0 };
    open_pipe(&op->src);
}

static inline void op_close(struct op *op)
{
    close(op->src.r);
    close(op->src.w);
}

/* Complete at once. */
static inline int op_instant(const libxl_asyncop_how *ao_how, int rc)
{
    AO_CREATE(ctx, 7, ao_how);
    libxl__ao_complete(egc, ao, rc);
    return AO_INPROGRESS;
}

/* ---------- an application around poll(2) ---------- */

#define POLLED_MAX 64
struct polled {
    struct pollfd fds[POLLED_MAX];
    int nfds, timeout;
};
static const struct timeval no_time;

static inline void before(struct polled *p)
{
    p->nfds = POLLED_MAX;
    p->timeout = -1;
    assert_int_equal(libxl_osevent_beforepoll(ctx, &p->nfds, p->fds, &p->timeout, no_time), 0);
    assert_in_range(p->nfds, 1, POLLED_MAX);
}

static inline int do_poll(struct polled *p, int limit_ms)
{
    int ms = p->timeout < 0 || p->timeout > limit_ms ? limit_ms : p->timeout;

    return poll(p->fds, (nfds_t)p->nfds, ms);
}

static inline void after(struct polled *p)
{
    libxl_osevent_afterpoll(ctx, p->nfds, p->fds, no_time);
}

static inline int poll_turn(int limit_ms)
{
    struct polled p;
    int n;

    before(&p);
    n = do_poll(&p, limit_ms);
    after(&p);
    return n;
}

static inline struct pollfd *polled_find(struct polled *p, int fd)
{
    int i;

    for (i = 0; i < p->nfds; i++)
        if (p->fds[i].fd == fd)
            return &p->fds[i];
    return NULL;
}

/* realloc(3) that works `allocs_left` times */
static int allocs_left;
static inline void *scarce_realloc(void *old, size_t bytes)
{
    return allocs_left-- > 0 ? realloc(old, bytes) : NULL;
}

#endif
