/* SPDX-License-Identifier: LGPL-2.1-only */
#include "tests/unit/event/harness.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>

struct kid {
    libxl__ev_child ev;                                 /* first: callbacks cast */
    pid_t pid;
    int deaths, status;
    int kills, kill_rc;
};
static int deaths;                                      /* of all kids */

static void on_death(libxl__egc *egc, libxl__ev_child *ev, pid_t pid, int status)
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

static int child_set_up(void **state)
{
    deaths = 0;
    return set_up(state);
}

static int child_tear_down(void **state)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
    assert_int_equal(errno, ECHILD);                    /* no zombie, no leftover */
    return tear_down(state);
}

/* A child that exits with `status`, at once or (-1) when it is killed. */
static void fork_kid(struct kid *k, int status)
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

/* ---------- a process that makes children for us ---------- */

static pid_t forker;
static int forker_fd;

static void forker_main(int fd)
{
    int status;
    pid_t pid;

    while (read(fd, &status, sizeof(status)) == sizeof(status)) {
        struct clone_args args = { .flags = CLONE_PARENT };

        pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (!pid) {
            if (status < 0)
                for (;;)
                    pause();
            _exit(status);
        }
        if (write(fd, &pid, sizeof(pid)) != sizeof(pid))
            break;
    }
    _exit(0);
}

static void start_forker(void)
{
    int sv[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
    forker = fork();
    assert_true(forker >= 0);
    if (!forker) {
        close(sv[0]);
        forker_main(sv[1]);
    }
    close(sv[1]);
    forker_fd = sv[0];
}

static void stop_forker(void)
{
    close(forker_fd);
    assert_int_equal(waitpid(forker, NULL, 0), forker);
}

static pid_t ask_forker(int status)
{
    pid_t pid;

    assert_int_equal(write(forker_fd, &status, sizeof(status)), sizeof(status));
    assert_int_equal(read(forker_fd, &pid, sizeof(pid)), sizeof(pid));
    assert_true(pid > 0);
    return pid;
}

static void wait_until_dead_but_unreaped(pid_t pid)
{
    siginfo_t si;

    assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT | __WALL), 0);
}

static int kill_hook(libxl__gc *g, void *user, pid_t pid, int sig)
{
    struct kid *k = user;

    assert_ptr_equal(libxl__gc_owner(g), ctx);
    assert_int_equal(pid, k->pid);
    assert_int_equal(sig, SIGTERM);
    k->kills++;
    return k->kill_rc;
}

static int adopt(struct kid *k, pid_t pid, libxl__ev_child_kill *hook)
{
    POISON(*k);
    k->deaths = k->kills = k->kill_rc = 0;
    k->pid = pid;
    return libxl__ev_child_adopt(tgc, &k->ev, pid, on_death, hook, k);
}

/* ---------- tests ---------- */

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

static void an_adopted_childs_death_is_told_exactly_once(void **state)
{
    struct kid k;

    (void)state;
    start_forker();
    assert_int_equal(adopt(&k, ask_forker(-1), NULL), 0);
    assert_int_equal(k.ev.pid, k.pid);
    turn();
    assert_int_equal(k.deaths, 0);
    assert_int_equal(kill(k.pid, SIGKILL), 0);
    turns_until(&k.deaths, 1);
    assert_int_equal(WTERMSIG(k.status), SIGKILL);
    stop_forker();
}

static void a_death_before_the_adoption_is_not_lost(void **state)
{
    struct kid k, other;
    pid_t pid;

    (void)state;
    start_forker();
    pid = ask_forker(9);
    wait_until_dead_but_unreaped(pid);
    fork_kid(&other, 0);
    turns_until(&other.deaths, 1);                      /* the loop runs with an unknown zombie */
    turn();
    assert_int_equal(adopt(&k, pid, NULL), 0);
    assert_int_equal(k.deaths, 0);
    turns_until(&k.deaths, 1);
    assert_int_equal(WEXITSTATUS(k.status), 9);
    stop_forker();
}

static void only_children_of_this_process_are_adopted_and_only_once(void **state)
{
    struct kid k, again;
    pid_t pid;

    (void)state;
    start_forker();
    assert_int_equal(adopt(&k, 1, NULL), ERROR_UNKNOWN_CHILD);
    assert_int_equal(adopt(&k, getpid(), NULL), ERROR_UNKNOWN_CHILD);
    assert_int_equal(adopt(&k, 0, NULL), ERROR_INVAL);
    assert_int_equal(adopt(&k, -1, NULL), ERROR_INVAL);
    assert_false(libxl__ev_child_inuse(&k.ev));
    pid = ask_forker(-1);
    assert_int_equal(adopt(&k, pid, NULL), 0);
    assert_int_equal(adopt(&again, pid, NULL), ERROR_INVAL);
    kill(pid, SIGKILL);
    turns_until(&k.deaths, 1);
    assert_int_equal(adopt(&again, pid, NULL), ERROR_UNKNOWN_CHILD);
    stop_forker();
}

#define BURST 1000

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

static void t15_a_burst_of_1000_adopted_children_is_told_exactly_once_each(void **state)
{
    struct kid *kids = calloc(BURST, sizeof(*kids));
    int i;

    (void)state;
    allow_fds(BURST + 100);
    start_forker();
    for (i = 0; i < BURST; i++)
        assert_int_equal(adopt(&kids[i], ask_forker(i % 256), NULL), 0);
    turns_until(&deaths, BURST);
    turn();
    for (i = 0; i < BURST; i++) {
        assert_int_equal(kids[i].deaths, 1);
        assert_int_equal(kids[i].status, (i % 256) << 8);
    }
    assert_int_equal(disasters, 0);
    stop_forker();
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

static void kill_deregister_of_an_adopted_child_asks_the_hook_and_sends_no_signal(void **state)
{
    struct kid k;
    struct op op;
    siginfo_t si;

    (void)state;
    start_forker();
    op_start(&op);
    assert_int_equal(adopt(&k, ask_forker(-1), kill_hook), 0);
    libxl__ev_child_kill_deregister(op.ao, &k.ev, SIGTERM);
    assert_int_equal(k.kills, 1);
    op_complete(&op, 0);
    turn();
    assert_int_equal(op.told, 0);
    si.si_pid = 0;
    assert_int_equal(waitid(P_PID, (id_t)k.pid, &si, WEXITED | WNOWAIT | WNOHANG | __WALL), 0);
    assert_int_equal(si.si_pid, 0);                             /* it lives */
    kill(k.pid, SIGKILL);                                       /* as the other process would */
    turns_until(&op.told, 1);
    assert_int_equal(k.kills, 1);
    assert_int_equal(k.deaths, 0);
    stop_forker();
}

static void a_kill_hook_that_fails_is_logged_and_the_death_still_awaited(void **state)
{
    struct kid k;
    struct op op;

    (void)state;
    start_forker();
    op_start(&op);
    assert_int_equal(adopt(&k, ask_forker(-1), kill_hook), 0);
    k.kill_rc = ERROR_BUFFERFULL;
    libxl__ev_child_kill_deregister(op.ao, &k.ev, SIGTERM);
    assert_non_null(strstr(last_log, "cannot have child"));
    op_complete(&op, 0);
    turn();
    assert_int_equal(op.told, 0);
    kill(k.pid, SIGKILL);
    turns_until(&op.told, 1);
    stop_forker();
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

#define CHILD_TEST(f) cmocka_unit_test_setup_teardown(f, child_set_up, child_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHILD_TEST(init_makes_poisoned_memory_idle),
        CHILD_TEST(a_forked_childs_death_is_told_exactly_once_with_its_status),
        CHILD_TEST(the_forked_child_has_a_dead_ctx_that_cannot_harm_the_parents),
        CHILD_TEST(b4_a_child_that_cannot_be_watched_is_not_left_alive),
        CHILD_TEST(foreign_children_are_never_reaped),
        CHILD_TEST(a_status_that_somebody_else_took_is_a_disaster_but_not_silence),
        CHILD_TEST(an_adopted_childs_death_is_told_exactly_once),
        CHILD_TEST(a_death_before_the_adoption_is_not_lost),
        CHILD_TEST(only_children_of_this_process_are_adopted_and_only_once),
        CHILD_TEST(t15_a_burst_of_1000_forked_children_is_told_exactly_once_each),
        CHILD_TEST(t15_a_burst_of_1000_adopted_children_is_told_exactly_once_each),
        CHILD_TEST(kill_deregister_holds_completion_back_until_the_child_is_reaped),
        CHILD_TEST(kill_deregister_through_a_nested_ao_outlives_it),
        CHILD_TEST(kill_deregister_of_an_adopted_child_asks_the_hook_and_sends_no_signal),
        CHILD_TEST(a_kill_hook_that_fails_is_logged_and_the_death_still_awaited),
        CHILD_TEST(t21_an_aborted_operation_ends_aborted_whatever_its_child_says),
        CHILD_TEST(a_freed_ctx_leaves_its_children_to_the_process),
        CHILD_TEST(no_sigchld_handler_is_ever_installed),
    };

    return cmocka_run_group_tests_name("event: child", tests, NULL, NULL);
}
