/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef TESTS_LIB_KIDS_H
#define TESTS_LIB_KIDS_H

/* An application's children, which notice how often their deaths are told, and strangers. */

#include "tests/unit/lib/harness.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include "lib/childproc.h"

struct kid {
    moat_child *child;
    pid_t pid;
    int deaths, status;
};

static inline void kid_exited(libxl_ctx *c, moat_child *child, pid_t pid, int status, void *user)
{
    struct kid *k = user;

    libxl__ctx_lock(c);
    assert_int_equal(c->lock_depth, 1);                 /* it was called unlocked */
    libxl__ctx_unlock(c);
    assert_int_equal(pid, k->pid);
    assert_ptr_equal(child, k->child);
    k->deaths++;
    k->status = status;
}

static inline void kid_main(int status)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);                   /* a test that fails leaves none behind */
    if (status < 0)
        for (;;)
            pause();
    _exit(status);
}

/* A child that exits with `status`, at once or (-1) when it is killed.  Its pid or an rc. */
static inline pid_t try_kid(libxl_ctx *c, struct kid *k, int status)
{
    *k = (struct kid){ .status = -1 };
    k->pid = moat_child_fork(c, kid_exited, k, &k->child);
    if (!k->pid)
        kid_main(status);
    assert_int_equal(k->child != NULL, k->pid > 0);
    return k->pid;
}

static inline void fork_kid(libxl_ctx *c, struct kid *k, int status)
{
    assert_true(try_kid(c, k, status) > 0);
}

static inline pid_t fork_stranger(int status)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid)
        kid_main(status);
    return pid;
}

static inline void wait_until_dead_but_unreaped(pid_t pid)
{
    siginfo_t si;

    assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
}

static inline void assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
    assert_int_equal(errno, ECHILD);
}

/* The ctx's loop until *done reaches `want`; a test that would wait for ever fails instead. */
static inline void loop_until(libxl_ctx *c, const int *done, int want)
{
    struct pollfd fds[POLLED_MAX];
    int i, nfds, timeout;

    for (i = 0; *done < want && i < 3000; i++) {
        nfds = POLLED_MAX;
        timeout = 10;
        assert_int_equal(libxl_osevent_beforepoll(c, &nfds, fds, &timeout, no_time), 0);
        poll(fds, (nfds_t)nfds, timeout);
        libxl_osevent_afterpoll(c, nfds, fds, no_time);
    }
    assert_int_equal(*done, want);
}

/* Turns in which nothing must happen. */
static inline void loop_for(libxl_ctx *c, int turns)
{
    struct pollfd fds[POLLED_MAX];
    int nfds, timeout;

    while (turns--) {
        nfds = POLLED_MAX;
        timeout = 5;
        assert_int_equal(libxl_osevent_beforepoll(c, &nfds, fds, &timeout, no_time), 0);
        poll(fds, (nfds_t)nfds, timeout);
        libxl_osevent_afterpoll(c, nfds, fds, no_time);
    }
}

static inline void (*sigchld_handler(void))(int)
{
    struct sigaction sa;

    assert_int_equal(sigaction(SIGCHLD, NULL, &sa), 0);
    return sa.sa_handler;
}

static int disasters;
static char disaster_msg[256];
static inline void take_disaster(void *user, libxl_event_type type, const char *msg, int errnoval)
{
    (void)user, (void)type, (void)errnoval;
    disasters++;
    snprintf(disaster_msg, sizeof(disaster_msg), "%s", msg);
}
static const libxl_event_hooks survive_disasters = { .disaster = take_disaster };

static inline int kids_set_up(void **state)
{
    disasters = 0;
    signal(SIGCHLD, SIG_DFL);
    assert_int_equal(set_up(state), 0);
    libxl_event_register_callbacks(ctx, &survive_disasters, NULL);
    return 0;
}

static inline int kids_tear_down(void **state)
{
    assert_int_equal(tear_down(state), 0);
    assert_ptr_equal(sigchld_handler(), SIG_DFL);       /* no handler outlives its need */
    assert_no_children();
    return 0;
}

#define KIDS_TEST(f) cmocka_unit_test_setup_teardown(f, kids_set_up, kids_tear_down)

#endif
