/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef TESTS_EVENT_KIDS_H
#define TESTS_EVENT_KIDS_H

/* Children that notice how often their deaths are told. */

#include "tests/unit/event/harness.h"

struct kid {
    libxl__ev_child ev;                                 /* first: callbacks cast */
    pid_t pid;
    int deaths, status;
    int kills, kill_rc;
};
static int deaths;                                      /* of all kids */

static inline void on_death(libxl__egc *egc, libxl__ev_child *ev, pid_t pid, int status)
{
    struct kid *k = (void *)ev;

    assert_int_equal(ctx->lock_depth, 1);
    assert_ptr_equal(egc->gc.owner, ctx);
    assert_false(libxl__ev_child_inuse(ev));
    assert_int_equal(pid, k->pid);
    k->deaths++;
    k->status = status;
    deaths++;
}

static inline int child_set_up(void **state)
{
    deaths = 0;
    return set_up(state);
}

static inline int child_tear_down(void **state)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
    assert_int_equal(errno, ECHILD);                    /* no zombie, no leftover */
    return tear_down(state);
}

/* A child that exits with `status`, at once or (-1) when it is killed. */
static inline void fork_kid(struct kid *k, int status)
{
    POISON(*k);
    k->deaths = k->kills = k->kill_rc = 0;
    k->pid = libxl__ev_child_fork(tgc, &k->ev, on_death);
    if (!k->pid) {
        if (status < 0)
            for (;;)
                pause();
        _exit(status);
    }
    assert_true(k->pid > 0);
    assert_true(libxl__ev_child_inuse(&k->ev));
}

/* It is dead, and nobody has waited for it. */
static inline void wait_until_dead_but_unreaped(pid_t pid)
{
    siginfo_t si;

    assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT | __WALL), 0);
}

#define BURST 1000
#define CHILD_TEST(f) cmocka_unit_test_setup_teardown(f, child_set_up, child_tear_down)

#endif
