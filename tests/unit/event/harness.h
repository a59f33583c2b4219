/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef TESTS_EVENT_HARNESS_H
#define TESTS_EVENT_HARNESS_H

/* A ctx for each test.  Whatever the test does, its end must find no descriptor left over. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parent/event/core.h"
#include "tests/unit/fds.h"

static libxl_ctx *ctx;
static libxl__gc tgc[1];
static char last_log[1024];
static int disasters;
static libxl_event *last_event;
static int fds_before;

static inline void take_log(void *user, int level, const char *msg)
{
    assert_ptr_equal(user, tgc);
    if (level > LIBXL__LOG_DEBUG)
        snprintf(last_log, sizeof(last_log), "%s", msg);
}

static inline void take_disaster(void *user, libxl_event_type type, const char *msg, int errnoval)
{
    (void)user, (void)msg, (void)errnoval;
    disasters++;
}

static inline void take_event(void *user, libxl_event *ev)
{
    (void)user;
    assert_int_equal(ctx->lock_depth, 0);
    last_event = ev;
}

static inline int set_up(void **state)
{
    static const moat_ctx_hooks hooks = { take_log, take_disaster, take_event };

    (void)state;
    last_log[0] = '\0';
    disasters = 0;
    last_event = NULL;
    fds_before = count_fds();
    assert_int_equal(moat_ctx_alloc(&ctx, &hooks, tgc), 0);
    libxl__gc_init(tgc, ctx);
    assert_int_equal(count_fds(), fds_before + 1);      /* the epoll descriptor, nothing else */
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    assert_int_equal(count_fds(), fds_before + 1);
    libxl__gc_free_all(tgc);
    moat_ctx_free(ctx);
    assert_int_equal(count_fds(), fds_before);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static inline void turn(void)
{
    assert_int_equal(moat_loop_run_once(ctx, 0), 0);
}

/* Turns until *done reaches `want`; a test that would wait for ever fails instead. */
static inline void turns_until(const int *done, int want)
{
    int i;

    for (i = 0; *done < want && i < 2000; i++)
        assert_int_equal(moat_loop_run_once(ctx, 5000), 0);
    assert_int_equal(*done, want);
}

/* realloc(3) that works `allocs_left` times */
static int allocs_left;
static inline void *scarce_realloc(void *old, size_t bytes)
{
    return allocs_left-- > 0 ? realloc(old, bytes) : NULL;
}

#define POISON(x) memset(&(x), 0xa5, sizeof(x))

/* An operation that merely lends its ao. */
struct op {
    libxl__ao *ao;
    int told, rc;
};

static inline void op_told(libxl_ctx *c, int rc, void *for_callback)
{
    struct op *op = for_callback;

    assert_int_equal(c->lock_depth, 0);
    op->told++;
    op->rc = rc;
}

static inline void op_start(struct op *op)
{
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = op };

    *op = (struct op){ .ao = libxl__ao_create(ctx, 7, &how) };
    assert_non_null(op->ao);
    assert_int_equal(libxl__ao_inprogress(op->ao), 0);
}

static inline void op_complete(struct op *op, int rc)
{
    libxl__egc egc[1];

    libxl__egc_init(egc, ctx);
    libxl__ao_complete(egc, op->ao, rc);
    libxl__egc_cleanup(egc);
}

static inline int op_abort(struct op *op)
{
    libxl__egc egc[1];
    int rc;

    libxl__egc_init(egc, ctx);
    libxl__ctx_lock(ctx);
    rc = libxl__ao_abort(egc, op->ao);
    libxl__ctx_unlock(ctx);
    libxl__egc_cleanup(egc);
    return rc;
}

static inline void allow_fds(rlim_t n)
{
    struct rlimit lim;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
    if (lim.rlim_cur >= n)
        return;
    lim.rlim_cur = n;
    if (lim.rlim_max < n)
        lim.rlim_max = n;                               /* needs root */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

#endif
