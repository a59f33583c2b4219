/* SPDX-License-Identifier: LGPL-2.1-only */
/* Children forked here, and killing them for an operation. */
#include "tests/unit/event/kids.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

static void init_makes_poisoned_memory_idle(void **state)
{
    libxl__ev_child ev;

    (void)state;
    POISON(ev);
    libxl__ev_child_init(&ev);
    assert_false(libxl__ev_child_inuse(&ev));
}

static void a_forked_childs_death_is_told_exactly_once_with_its_status(void **state)
{
    struct kid k, killed;

    (void)state;
    fork_kid(&k, 42);
    wait_until_dead_but_unreaped(k.pid);
    assert_int_equal(k.deaths, 0);                      /* only from the loop */
    turns_until(&k.deaths, 1);
    assert_true(WIFEXITED(k.status) && WEXITSTATUS(k.status) == 42);
    turn();
    assert_int_equal(k.deaths, 1);

    fork_kid(&killed, -1);
    assert_int_equal(kill(killed.pid, SIGUSR1), 0);     /* signalling one's child is allowed */
    turns_until(&killed.deaths, 1);
    assert_true(WIFSIGNALED(killed.status) && WTERMSIG(killed.status) == SIGUSR1);
}

static void the_forked_child_has_a_dead_ctx_that_cannot_harm_the_parents(void **state)
{
    struct kid k;
    libxl__ev_fd ev;
    int p[2], bad;

    (void)state;
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(libxl__ev_fd_register(tgc, &ev, NULL, p[0], POLLIN), 0);
    k.deaths = 0;
    k.pid = libxl__ev_child_fork(tgc, &k.ev, on_death);
    if (!k.pid) {
        bad = ctx->epfd != -1 || ctx->lock_depth != 1;
        _exit(bad);
    }
    turns_until(&k.deaths, 1);
    assert_int_equal(k.status, 0);
    libxl__ev_fd_deregister(tgc, &ev);
    assert_string_equal(last_log, "");                  /* it was still in the epoll set */
    close(p[0]);
    close(p[1]);
}

static void b4_a_child_that_cannot_be_watched_is_not_left_alive(void **state)
{
    struct rlimit old, lim;
    struct kid k;
    int spare;

    (void)state;
    spare = open("/dev/null", O_RDONLY | O_CLOEXEC);    /* the lowest free number is above it */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    lim = old;
    lim.rlim_cur = (rlim_t)spare + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
    POISON(k);
    k.pid = libxl__ev_child_fork(tgc, &k.ev, on_death);
    if (!k.pid)
        for (;;)
            pause();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    close(spare);
    assert_int_equal(k.pid, ERROR_FAIL);
    assert_false(libxl__ev_child_inuse(&k.ev));
}

/* The same with a descriptor for the set, but none for the pidfd: the fork has been by then. */
static void b4_a_child_that_gets_no_pidfd_is_killed_and_reaped(void **state)
{
    struct rlimit old, lim;
    struct kid k;
    int spare, last, fds = count_fds();

    (void)state;
    spare = dup(0);
    for (last = spare; fcntl(last + 1, F_GETFD) >= 0; last++)
        ;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    lim = old;
    lim.rlim_cur = (rlim_t)last + 2;                 /* one number is free */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
    POISON(k);
    k.pid = libxl__ev_child_fork(tgc, &k.ev, on_death);
    if (!k.pid)
        for (;;)
            pause();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(k.pid, ERROR_FAIL);
    assert_non_null(strstr(last_log, "no pidfd"));
    assert_false(libxl__ev_child_inuse(&k.ev));
    assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
    assert_int_equal(ctx->child_epfd, -1);
    close(spare);
    assert_in_range(count_fds(), fds, fds);
}

/* The living cost a turn nothing: they are in a set of their own, which reports the dead. */
static void one_registration_serves_all_children_and_goes_with_the_last(void **state)
{
    struct kid *kids = calloc(300, sizeof(*kids));
    moat_loop_stats before, after;
    int i;

    (void)state;
    allow_fds(400);
    for (i = 0; i < 300; i++)
        fork_kid(&kids[i], -1);
    assert_int_equal(ctx->fds_used, 1);
    turn();
    for (i = 0; i < 300; i++) {
        before = moat_loop_get_stats(ctx);
        kill(kids[i].pid, SIGKILL);
        turns_until(&kids[i].deaths, 1);
        after = moat_loop_get_stats(ctx);
        assert_int_equal(after.fd_callbacks - before.fd_callbacks, 1);
        assert_int_equal(after.fds_ready - before.fds_ready, 1);
    }
    assert_int_equal(ctx->fds_used, 0);
    assert_int_equal(ctx->child_epfd, -1);
    free(kids);
}

/* A child that is traced is dead before it can be waited for; its death is told when it can. */
static void a_child_that_is_dead_but_held_by_a_tracer_is_told_when_it_is_let_go(void **state)
{
    struct kid k;
    pid_t tracer;
    int go[2], done[2], i;
    char c;

    (void)state;
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(done, O_CLOEXEC), 0);
    POISON(k);
    k.deaths = 0;
    k.pid = libxl__ev_child_fork(tgc, &k.ev, on_death);
    if (!k.pid) {
        prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
        if (write(done[1], "x", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    assert_int_equal(read(done[0], &c, 1), 1);
    tracer = fork();
    if (!tracer) {
        if (ptrace(PTRACE_SEIZE, k.pid, NULL, NULL) || write(done[1], "x", 1) != 1)
            _exit(1);
        if (read(go[0], &c, 1) != 1)
            _exit(2);
        _exit(0);                                       /* lets go of it */
    }
    assert_int_equal(read(done[0], &c, 1), 1);
    kill(k.pid, SIGKILL);
    for (i = 0; i < 20; i++)
        assert_int_equal(moat_loop_run_once(ctx, 10), 0);
    assert_int_equal(k.deaths, 0);
    assert_int_equal(write(go[1], "x", 1), 1);
    turns_until(&k.deaths, 1);
    assert_int_equal(k.status, SIGKILL);
    assert_int_equal(disasters, 0);
    assert_int_equal(waitpid(tracer, &i, 0), tracer);
    assert_int_equal(i, 0);
    close(go[0]);
    close(go[1]);
    close(done[0]);
    close(done[1]);
}

static void foreign_children_are_never_reaped(void **state)
{
    struct kid k;
    pid_t other = fork();
    int status;

    (void)state;
    if (!other)
        _exit(3);
    fork_kid(&k, 4);
    turns_until(&k.deaths, 1);
    turn();
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(WEXITSTATUS(status), 3);
}

static void a_status_that_somebody_else_took_is_a_disaster_but_not_silence(void **state)
{
    struct kid k;

    (void)state;
    fork_kid(&k, 0);
    assert_int_equal(waitpid(k.pid, NULL, 0), k.pid);
    turns_until(&k.deaths, 1);
    assert_int_equal(k.status, 255 << 8);
    assert_int_equal(disasters, 1);
}

static void t15_a_burst_of_1000_forked_children_is_told_exactly_once_each(void **state)
{
    struct kid *kids = calloc(BURST, sizeof(*kids));
    int i;

    (void)state;
    allow_fds(BURST + 100);
    for (i = 0; i < BURST; i++)
        fork_kid(&kids[i], i % 256);
    turns_until(&deaths, BURST);
    turn();
    for (i = 0; i < BURST; i++) {
        assert_int_equal(kids[i].deaths, 1);
        assert_int_equal(kids[i].status, (i % 256) << 8);
    }
    assert_int_equal(disasters, 0);
    free(kids);
}

static void kill_deregister_holds_completion_back_until_the_child_is_reaped(void **state)
{
    struct kid k;
    struct op op;

    (void)state;
    op_start(&op);
    fork_kid(&k, -1);
    libxl__ev_child_kill_deregister(op.ao, &k.ev, SIGKILL);
    assert_false(libxl__ev_child_inuse(&k.ev));
    libxl__ev_child_kill_deregister(op.ao, &k.ev, SIGKILL);     /* Idle: nothing */
    op_complete(&op, ERROR_TIMEDOUT);
    assert_int_equal(op.told, 0);
    turns_until(&op.told, 1);
    assert_int_equal(op.rc, ERROR_TIMEDOUT);
    assert_int_equal(k.deaths, 0);                              /* its callback never comes */
}

static void kill_deregister_through_a_nested_ao_outlives_it(void **state)
{
    struct kid k;
    struct op op;
    libxl__ao *nested;

    (void)state;
    op_start(&op);
    nested = libxl__nested_ao_create(op.ao);
    fork_kid(&k, -1);
    libxl__ev_child_kill_deregister(nested, &k.ev, SIGKILL);
    libxl__nested_ao_free(nested);
    op_complete(&op, 0);
    assert_int_equal(op.told, 0);
    turns_until(&op.told, 1);
}

/* T21: a composed operation: a child and a deadline; the first result is the one that counts. */
struct helper_op {
    struct op op;
    libxl__ev_child ch;
    libxl__ev_time deadline;
    int rc, ends;
};

static void helper_end(libxl__egc *egc, struct helper_op *h, int rc)
{
    if (!h->rc)
        h->rc = rc;
    libxl__ev_time_deregister(tgc, &h->deadline);
    if (libxl__ev_child_inuse(&h->ch)) {
        kill(h->ch.pid, SIGKILL);
        return;
    }
    h->ends++;
    libxl__ao_complete(egc, h->op.ao, h->rc);
}

static void helper_died(libxl__egc *egc, libxl__ev_child *ch, pid_t pid, int status)
{
    (void)pid;
    helper_end(egc, CONTAINER_OF(ch, struct helper_op, ch), status ? ERROR_FAIL : 0);
}

static void helper_late(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    (void)abs;
    helper_end(egc, CONTAINER_OF(ev, struct helper_op, deadline), rc);
}

static void helper_start(struct helper_op *h, int deadline_ms)
{
    pid_t pid;

    POISON(*h);
    h->rc = h->ends = 0;
    op_start(&h->op);
    pid = libxl__ev_child_fork(tgc, &h->ch, helper_died);
    if (!pid)
        for (;;)
            pause();
    assert_true(pid > 0);
    assert_int_equal(libxl__ev_time_register_rel(h->op.ao, &h->deadline, helper_late, deadline_ms),
                     0);
}

static void t21_an_aborted_operation_ends_aborted_whatever_its_child_says(void **state)
{
    struct helper_op h;

    (void)state;
    helper_start(&h, 1000000);
    assert_int_equal(op_abort(&h.op), 0);
    assert_int_equal(h.op.told, 0);
    turns_until(&h.op.told, 1);
    assert_int_equal(h.op.rc, ERROR_ABORTED);
    assert_int_equal(h.ends, 1);

    helper_start(&h, 1);
    turns_until(&h.op.told, 1);
    assert_int_equal(h.op.rc, ERROR_TIMEDOUT);
    assert_int_equal(h.ends, 1);
}

static void a_freed_ctx_leaves_its_children_to_the_process(void **state)
{
    struct kid k;
    int status;

    (void)state;
    fork_kid(&k, 5);
    libxl__child_orphan_all(ctx);
    assert_false(libxl__ev_child_inuse(&k.ev));
    turn();
    assert_int_equal(waitpid(k.pid, &status, 0), k.pid);
    assert_int_equal(WEXITSTATUS(status), 5);
    assert_int_equal(k.deaths, 0);
}

static void no_sigchld_handler_is_ever_installed(void **state)
{
    struct sigaction sa;
    struct kid k;

    (void)state;
    fork_kid(&k, 0);
    assert_int_equal(sigaction(SIGCHLD, NULL, &sa), 0);
    assert_true(sa.sa_handler == SIG_DFL);
    turns_until(&k.deaths, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHILD_TEST(init_makes_poisoned_memory_idle),
        CHILD_TEST(a_forked_childs_death_is_told_exactly_once_with_its_status),
        CHILD_TEST(the_forked_child_has_a_dead_ctx_that_cannot_harm_the_parents),
        CHILD_TEST(b4_a_child_that_cannot_be_watched_is_not_left_alive),
        CHILD_TEST(b4_a_child_that_gets_no_pidfd_is_killed_and_reaped),
        CHILD_TEST(one_registration_serves_all_children_and_goes_with_the_last),
        CHILD_TEST(a_child_that_is_dead_but_held_by_a_tracer_is_told_when_it_is_let_go),
        CHILD_TEST(foreign_children_are_never_reaped),
        CHILD_TEST(a_status_that_somebody_else_took_is_a_disaster_but_not_silence),
        CHILD_TEST(t15_a_burst_of_1000_forked_children_is_told_exactly_once_each),
        CHILD_TEST(kill_deregister_holds_completion_back_until_the_child_is_reaped),
        CHILD_TEST(kill_deregister_through_a_nested_ao_outlives_it),
        CHILD_TEST(t21_an_aborted_operation_ends_aborted_whatever_its_child_says),
        CHILD_TEST(a_freed_ctx_leaves_its_children_to_the_process),
        CHILD_TEST(no_sigchld_handler_is_ever_installed),
    };

    return cmocka_run_group_tests_name("event: child", tests, NULL, NULL);
}
