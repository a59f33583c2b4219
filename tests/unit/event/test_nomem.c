/* SPDX-License-Identifier: LGPL-2.1-only */
/* B8: each allocation fails once; the caller is told, and nothing is left registered or open. */
#include "tests/unit/event/harness.h"

#include <fcntl.h>

static struct op op;
static int p[2];
static int deaths;

/* Try `f` with 0, 1, 2.. allocations until it succeeds; at least one try must have failed. */
static void exhaust(int (*f)(void))
{
    int n, rc;

    for (n = 0; n < 50; n++) {
        int fds = count_fds();

        allocs_left = n;
        ctx->allocate = scarce_realloc;
        rc = f();
        ctx->allocate = realloc;
        if (!rc)
            break;
        assert_int_equal(rc, ERROR_NOMEM);
        assert_int_equal(count_fds(), fds);
    }
    assert_in_range(n, 1, 49);
}

static void fd_cb(libxl__egc *egc, libxl__ev_fd *ev, int fd, short events, short revents)
{
    (void)egc, (void)ev, (void)fd, (void)events, (void)revents;
}

static libxl__ev_fd efd;
static int try_fd(void)
{
    int rc = libxl__ev_fd_register(tgc, &efd, fd_cb, p[0], POLLIN);

    assert_int_equal(libxl__ev_fd_isregistered(&efd), !rc);
    return rc;
}

static void time_cb(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    (void)egc, (void)ev, (void)abs, (void)rc;
}

static libxl__ev_time etime;
static int try_time(void)
{
    int rc = libxl__ev_time_register_rel(op.ao, &etime, time_cb, 1000);

    assert_int_equal(libxl__ev_time_isregistered(&etime), !rc);
    return rc;
}

static void death_cb(libxl__egc *egc, libxl__ev_child *ev, pid_t pid, int status)
{
    (void)egc, (void)ev, (void)pid, (void)status;
    deaths++;
}

static libxl__ev_child child;
static int try_fork(void)
{
    pid_t pid = libxl__ev_child_fork(tgc, &child, death_cb);

    if (!pid)
        for (;;)
            pause();
    assert_int_equal(libxl__ev_child_inuse(&child), pid > 0);
    if (pid < 0)
        return pid;
    kill(pid, SIGKILL);
    return 0;
}

static pid_t orphan;
static int try_adopt(void)
{
    int rc = libxl__ev_child_adopt(tgc, &child, orphan, death_cb, NULL, NULL);

    assert_int_equal(libxl__ev_child_inuse(&child), !rc);
    return rc;
}

static libxl__ao *an_ao;
static int try_ao(void)
{
    libxl_asyncop_how how = { .callback = op_told, .u.for_callback = &op };

    an_ao = libxl__ao_create(ctx, 1, &how);
    return an_ao ? 0 : ERROR_NOMEM;
}

static int try_nested(void)
{
    an_ao = libxl__nested_ao_create(op.ao);
    return an_ao ? 0 : ERROR_NOMEM;
}

static int told;
static void progress_cb(libxl_ctx *c, libxl_event *ev, void *u)
{
    (void)u;
    libxl_event_free(c, ev);
    told++;
}

static int try_progress(void)
{
    libxl_asyncprogress_how how = { .callback = progress_cb };
    libxl_event *ev = libxl__event_new(ctx, LIBXL_EVENT_TYPE_DISK_EJECT, 1, 2);
    libxl__egc egc[1];
    int rc;

    if (!ev)
        return ERROR_NOMEM;
    libxl__egc_init(egc, ctx);
    rc = libxl__ao_progress_report(egc, op.ao, &how, ev);
    libxl__egc_cleanup(egc);
    assert_int_equal(told, !rc);
    return rc;
}

static int try_gc(void)
{
    if (!libxl__zalloc(tgc, 8) || !libxl__calloc(tgc, 8, 8) || !libxl__strdup(tgc, "s") ||
        !libxl__sprintf(tgc, "%d", 5))
        return ERROR_NOMEM;
    return 0;
}

static bool yes(struct xs_handle *h, const char *path, const char *token)
{
    (void)h, (void)path, (void)token;
    return true;
}

static int xs_fd(struct xs_handle *h)
{
    (void)h;
    return p[0];
}

static libxl__ev_xswatch xsw;
static int try_watch(void)
{
    int rc = libxl__ev_xswatch_register(tgc, &xsw, NULL, "/a");

    assert_int_equal(libxl__ev_xswatch_isregistered(&xsw), !rc);
    assert_int_equal(ctx->watch_used, !rc);
    return rc;
}

static void each_registration_survives_each_failing_allocation(void **state)
{
    static const moat_xs_ops ops = { yes, yes, NULL, xs_fd, NULL };

    (void)state;
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    op_start(&op);
    moat_ctx_set_xs(ctx, (void *)&p, &ops);

    exhaust(try_watch);
    libxl__ev_xswatch_deregister(tgc, &xsw);
    libxl__fd_free_table(ctx);                          /* so that it must grow once more */
    exhaust(try_fd);
    libxl__ev_fd_deregister(tgc, &efd);
    exhaust(try_time);
    libxl__ev_time_deregister(tgc, &etime);
    exhaust(try_nested);
    libxl__nested_ao_free(an_ao);
    exhaust(try_ao);
    libxl__ao_create_fail(an_ao);
    told = 0;
    exhaust(try_progress);
    exhaust(try_gc);
    op_complete(&op, 0);
    assert_int_equal(op.told, 1);
    close(p[0]);
    close(p[1]);
}

static void no_child_is_lost_when_memory_runs_out(void **state)
{
    struct op killer;

    (void)state;
    deaths = 0;
    exhaust(try_fork);
    turns_until(&deaths, 1);
    orphan = fork();
    if (!orphan)
        for (;;)
            pause();
    exhaust(try_adopt);

    op_start(&killer);
    ctx->allocate = scarce_realloc;                     /* killing and reaping need no memory */
    allocs_left = 0;
    libxl__ev_child_kill_deregister(killer.ao, &child, SIGKILL);
    op_complete(&killer, 0);
    turns_until(&killer.told, 1);
    assert_int_equal(deaths, 1);
    assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
}

static int try_ao_by_event(void)
{
    libxl_asyncop_how how = { .u.for_event = 5 };

    an_ao = libxl__ao_create(ctx, 1, &how);
    return an_ao ? 0 : ERROR_NOMEM;
}

static void telling_the_end_of_an_operation_needs_no_memory(void **state)
{
    struct op o;

    (void)state;
    exhaust(try_ao_by_event);
    o.ao = an_ao;
    assert_int_equal(libxl__ao_inprogress(o.ao), 0);
    ctx->allocate = scarce_realloc;
    allocs_left = 0;
    op_complete(&o, 0);
    assert_int_equal(last_event->for_user, 5);
    libxl_event_free(ctx, last_event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_registration_survives_each_failing_allocation),
        TEST(no_child_is_lost_when_memory_runs_out),
        TEST(telling_the_end_of_an_operation_needs_no_memory),
    };

    return cmocka_run_group_tests_name("event: out of memory", tests, NULL, NULL);
}
