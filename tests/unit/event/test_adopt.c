/* SPDX-License-Identifier: LGPL-2.1-only */
/* Children that another process made for us. */
#include "tests/unit/event/kids.h"

#include <linux/sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>

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

/* clone3(2) without a signal for its end: an ordinary wait would not see it. */
static void a_child_that_ends_without_a_signal_is_reaped_too(void **state)
{
    struct clone_args args = { .exit_signal = 0 };
    struct kid k;
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

    (void)state;
    if (!pid)
        _exit(6);
    assert_int_equal(adopt(&k, pid, NULL), 0);
    turns_until(&k.deaths, 1);
    assert_int_equal(WEXITSTATUS(k.status), 6);
    assert_int_equal(disasters, 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHILD_TEST(an_adopted_childs_death_is_told_exactly_once),
        CHILD_TEST(a_death_before_the_adoption_is_not_lost),
        CHILD_TEST(only_children_of_this_process_are_adopted_and_only_once),
        CHILD_TEST(a_child_that_ends_without_a_signal_is_reaped_too),
        CHILD_TEST(t15_a_burst_of_1000_adopted_children_is_told_exactly_once_each),
        CHILD_TEST(kill_deregister_of_an_adopted_child_asks_the_hook_and_sends_no_signal),
        CHILD_TEST(a_kill_hook_that_fails_is_logged_and_the_death_still_awaited),
    };

    return cmocka_run_group_tests_name("event: adopt", tests, NULL, NULL);
}
