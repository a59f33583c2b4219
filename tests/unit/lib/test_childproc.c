/* SPDX-License-Identifier: LGPL-2.1-only */
/* The four owners of SIGCHLD, one process and few children; test_burst.c has the many. */
#include "tests/unit/lib/kids.h"

#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

/* ---------- what the application is told of strangers ---------- */

static int stranger_rc, strangers, stranger_status;
static pid_t stranger_pid;

static int take_stranger(pid_t pid, int status, void *user)
{
    assert_ptr_equal(user, &strangers);
    libxl__ctx_lock(ctx);
    assert_int_equal(ctx->lock_depth, 1);
    libxl__ctx_unlock(ctx);
    strangers++;
    stranger_pid = pid;
    stranger_status = status;
    return stranger_rc;
}

static const libxl_childproc_hooks
    with_callback = { libxl_sigchld_owner_libxl, NULL, take_stranger },
    mainloop = { libxl_sigchld_owner_mainloop, NULL, NULL },
    always = { libxl_sigchld_owner_libxl_always, NULL, take_stranger },
    always_alone = { libxl_sigchld_owner_libxl_always, NULL, NULL },
    selective = { libxl_sigchld_owner_libxl_always_selective_reap, NULL, take_stranger };

static void setmode(const libxl_childproc_hooks *hooks)
{
    libxl_childproc_setmode(ctx, hooks, &strangers);
    strangers = 0;
    stranger_rc = 0;
}

/* ---------- every mode ---------- */

static void a_child_of_the_applications_is_told_once_unlocked_with_its_status(void **state)
{
    struct kid k, killed;

    (void)state;
    fork_kid(ctx, &k, 42);
    wait_until_dead_but_unreaped(k.pid);
    assert_int_equal(k.deaths, 0);
    loop_until(ctx, &k.deaths, 1);
    assert_int_equal(k.status, 42 << 8);
    fork_kid(ctx, &killed, -1);
    loop_for(ctx, 3);
    assert_int_equal(killed.deaths, 0);
    kill(killed.pid, SIGKILL);
    loop_until(ctx, &killed.deaths, 1);
    assert_int_equal(killed.status, SIGKILL);
    loop_for(ctx, 3);
    assert_int_equal(k.deaths + killed.deaths, 2);
}

static void t19_children_need_one_registration_and_none_when_they_are_gone(void **state)
{
    static struct kid kids[200];
    int i, fds = count_fds();

    (void)state;
    for (i = 0; i < 200; i++)
        fork_kid(ctx, &kids[i], -1);
    assert_int_equal(ctx->fds_used, 1);
    for (i = 0; i < 200; i++) {
        kill(kids[i].pid, SIGKILL);
        loop_until(ctx, &kids[i].deaths, 1);
    }
    assert_int_equal(ctx->fds_used, 0);
    assert_int_equal(ctx->child_epfd, -1);
    assert_in_range(count_fds(), fds, fds + 2);         /* the loop's own */
}

static void by_default_neither_sigchld_nor_strangers_are_touched(void **state)
{
    const libxl_childproc_hooks *modes[] = { NULL, &selective, &mainloop };
    struct kid k;
    pid_t stranger;
    int i, status;

    (void)state;
    for (i = 0; i < 3; i++) {
        setmode(modes[i]);
        stranger = fork_stranger(3);
        wait_until_dead_but_unreaped(stranger);
        fork_kid(ctx, &k, 4);
        assert_ptr_equal(sigchld_handler(), SIG_DFL);
        wait_until_dead_but_unreaped(k.pid);
        if (modes[i] == &mainloop)
            libxl_childproc_sigchld_occurred(ctx);
        else
            loop_until(ctx, &k.deaths, 1);
        loop_for(ctx, 2);
        assert_int_equal(k.deaths, 1);
        assert_int_equal(waitpid(stranger, &status, 0), stranger);
        assert_int_equal(status, 3 << 8);
        assert_int_equal(strangers, 0);
    }
}

static void a_status_that_somebody_else_took_is_a_disaster_but_not_silence(void **state)
{
    const libxl_childproc_hooks *modes[] = { NULL, &with_callback, &always, &selective };
    struct kid k;
    int i;

    (void)state;
    for (i = 0; i < 4; i++) {
        setmode(modes[i]);
        fork_kid(ctx, &k, 0);
        assert_int_equal(waitpid(k.pid, NULL, 0), k.pid);
        loop_until(ctx, &k.deaths, 1);
        assert_int_equal(k.status, 255 << 8);
        assert_int_equal(disasters, i + 1);
    }
}

/* A parent may hand SIG_IGN down by exec; the kernel would then keep no status for us to see. */
static void sigchld_ignored_is_handled_while_there_are_children_and_ignored_again(void **state)
{
    const libxl_childproc_hooks *modes[] = { NULL, &with_callback, &selective };
    struct kid k;
    int i;

    (void)state;
    for (i = 0; i < 3; i++) {
        setmode(modes[i]);
        signal(SIGCHLD, SIG_IGN);
        fork_kid(ctx, &k, 7);
        loop_until(ctx, &k.deaths, 1);
        assert_int_equal(k.status, 7 << 8);
        assert_int_equal(disasters, 0);
        assert_ptr_equal(sigchld_handler(), SIG_IGN);
        signal(SIGCHLD, SIG_DFL);
    }
}

/* ---------- reaped_callback ---------- */

/* In both modes that wait for all: a stranger dies while a child lives. */
static void each_waiting_for_all(void (*check)(pid_t stranger))
{
    const libxl_childproc_hooks *modes[] = { &with_callback, &always };
    struct kid k;
    pid_t stranger;
    int i, rc = stranger_rc;

    for (i = 0; i < 2; i++) {
        setmode(modes[i]);
        stranger_rc = rc;
        disasters = 0;
        fork_kid(ctx, &k, -1);
        assert_ptr_not_equal(sigchld_handler(), SIG_DFL);
        stranger = fork_stranger(9);
        loop_until(ctx, &strangers, 1);
        assert_int_equal(stranger_pid, stranger);
        assert_int_equal(stranger_status, 9 << 8);
        check(stranger);
        loop_for(ctx, 2);
        assert_int_equal(strangers, 1);
        kill(k.pid, SIGKILL);
        loop_until(ctx, &k.deaths, 1);
        setmode(NULL);
        assert_ptr_equal(sigchld_handler(), SIG_DFL);
    }
}

static void check_silence(pid_t stranger)
{
    (void)stranger;
    assert_string_equal(last_log, "");
    assert_int_equal(disasters, 0);
}

static void t16_a_stranger_that_the_application_knows_is_its_own_affair(void **state)
{
    (void)state;
    stranger_rc = 0;
    each_waiting_for_all(check_silence);
}

static void check_logged(pid_t stranger)
{
    char words[64];

    snprintf(words, sizeof(words), "unknown child [%d] exited with error status 9", (int)stranger);
    assert_string_equal(last_log, words);
    assert_int_equal(disasters, 0);
}

static void t16_a_stranger_that_the_application_does_not_know_is_logged(void **state)
{
    (void)state;
    stranger_rc = ERROR_UNKNOWN_CHILD;
    each_waiting_for_all(check_logged);
}

static void check_disaster(pid_t stranger)
{
    (void)stranger;
    assert_int_equal(disasters, 1);
    assert_non_null(strstr(disaster_msg, "reaped_callback"));
}

static void t16_any_other_result_of_reaped_callback_is_a_disaster(void **state)
{
    (void)state;
    stranger_rc = ERROR_FAIL;
    each_waiting_for_all(check_disaster);
}

static void always_reaps_strangers_with_no_children_of_its_own_and_the_dead_of_before(void **state)
{
    pid_t early = fork_stranger(1), late;

    (void)state;
    wait_until_dead_but_unreaped(early);
    setmode(&always);
    loop_until(ctx, &strangers, 1);
    assert_int_equal(stranger_pid, early);
    late = fork_stranger(2);
    loop_until(ctx, &strangers, 2);
    assert_int_equal(stranger_pid, late);
    setmode(&always_alone);                             /* no callback: logged */
    late = fork_stranger(5);
    wait_until_dead_but_unreaped(late);
    loop_for(ctx, 3);
    assert_non_null(strstr(last_log, "unknown child ["));
    setmode(NULL);
    assert_ptr_equal(sigchld_handler(), SIG_DFL);
    assert_int_equal(ctx->fds_used, 0);
}

/* Waiting for any child takes another context's too: its status gets there all the same. */
static void contexts_that_wait_for_all_do_not_eat_each_others_children(void **state)
{
    struct kid mine, theirs;
    libxl_ctx *other;

    (void)state;
    assert_int_equal(libxl_ctx_alloc(&other, LIBXL_VERSION, 0, &test_logger), 0);
    setmode(&with_callback);
    fork_kid(ctx, &mine, -1);
    fork_kid(other, &theirs, 6);
    wait_until_dead_but_unreaped(theirs.pid);
    loop_for(ctx, 3);
    assert_int_equal(waitpid(theirs.pid, NULL, WNOHANG), -1);   /* ours did take it .. */
    assert_int_equal(strangers, 0);
    loop_until(other, &theirs.deaths, 1);
    assert_int_equal(theirs.status, 6 << 8);                    /* .. and handed it over */
    kill(mine.pid, SIGKILL);
    loop_until(ctx, &mine.deaths, 1);
    assert_int_equal(libxl_ctx_free(other), 0);
    assert_string_equal(last_log, "");
}

/* Between ctx's wait for a child of other's and other's hearing of it, its pid may become that of
 * another child of the process: then that one is not waited for in its stead. */
static void a_pid_that_was_used_again_is_not_taken_for_the_child_that_had_it(void **state)
{
    struct epoll_event ee = { .events = EPOLLIN | EPOLLONESHOT };
    struct libxl__child *rec;
    struct kid mine, theirs;
    pid_t stranger;
    libxl_ctx *other;
    int status;

    (void)state;
    assert_int_equal(libxl_ctx_alloc(&other, LIBXL_VERSION, 0, &test_logger), 0);
    setmode(&with_callback);
    fork_kid(ctx, &mine, -1);
    fork_kid(other, &theirs, 6);
    wait_until_dead_but_unreaped(theirs.pid);
    loop_for(ctx, 3);
    rec = libxl__child_find(other, theirs.pid);
    assert_true(rec->taken);

    /* No test can wait for the kernel to come round to a pid: the record gets the new one's. */
    stranger = fork_stranger(9);
    wait_until_dead_but_unreaped(stranger);
    LIST_REMOVE(rec, entry);
    rec->pid = theirs.pid = stranger;
    LIST_INSERT_HEAD(&other->children[(unsigned)stranger % CHILD_BUCKETS], rec, entry);
    ee.data.u64 = (uint32_t)stranger;
    assert_int_equal(epoll_ctl(other->child_epfd, EPOLL_CTL_MOD, rec->pidfd, &ee), 0);

    loop_until(other, &theirs.deaths, 1);
    assert_int_equal(theirs.status, 6 << 8);
    assert_int_equal(waitpid(stranger, &status, WNOHANG), stranger);
    assert_int_equal(status, 9 << 8);
    kill(mine.pid, SIGKILL);
    loop_until(ctx, &mine.deaths, 1);
    assert_int_equal(libxl_ctx_free(other), 0);
}

/* ---------- mainloop ---------- */

static void mainloop_waits_for_nothing_by_itself_and_believes_what_it_is_told(void **state)
{
    struct kid a, b;
    pid_t stranger;
    int status;

    (void)state;
    setmode(&mainloop);
    fork_kid(ctx, &a, 11);
    fork_kid(ctx, &b, 12);
    wait_until_dead_but_unreaped(a.pid);
    wait_until_dead_but_unreaped(b.pid);
    loop_for(ctx, 3);
    assert_int_equal(a.deaths + b.deaths, 0);
    assert_int_equal(ctx->fds_used, 0);

    assert_int_equal(waitpid(a.pid, &status, 0), a.pid);
    assert_int_equal(libxl_childproc_reaped(ctx, a.pid, status), 0);
    assert_int_equal(a.deaths, 1);                      /* before the call returned */
    assert_int_equal(a.status, 11 << 8);
    assert_int_equal(libxl_childproc_reaped(ctx, a.pid, status), ERROR_UNKNOWN_CHILD);

    stranger = fork_stranger(0);
    assert_int_equal(waitpid(stranger, &status, 0), stranger);
    assert_int_equal(libxl_childproc_reaped(ctx, stranger, status), ERROR_UNKNOWN_CHILD);
    assert_int_equal(libxl_childproc_reaped(ctx, -1, 0), ERROR_UNKNOWN_CHILD);
    assert_int_equal(libxl_childproc_reaped(ctx, 0, 0), ERROR_UNKNOWN_CHILD);
    assert_int_equal(b.deaths, 0);
    libxl_childproc_sigchld_occurred(ctx);
    assert_int_equal(b.deaths, 1);
    assert_int_equal(b.status, 12 << 8);
}

static void what_is_for_the_mainloop_is_refused_in_other_modes(void **state)
{
    const libxl_childproc_hooks *modes[] = { NULL, &with_callback, &always, &selective };
    struct kid k;
    int i;

    (void)state;
    for (i = 0; i < 4; i++) {
        setmode(modes[i]);
        fork_kid(ctx, &k, 3);
        wait_until_dead_but_unreaped(k.pid);
        assert_int_equal(libxl_childproc_reaped(ctx, k.pid, 0), ERROR_UNKNOWN_CHILD);
        assert_int_equal(last_log_level, XTL_CRITICAL);
        last_log_level = 0;
        libxl_childproc_sigchld_occurred(ctx);
        assert_int_equal(last_log_level, XTL_CRITICAL);
        assert_int_equal(k.deaths, 0);
        loop_until(ctx, &k.deaths, 1);
        assert_int_equal(k.status, 3 << 8);
    }
    setmode(NULL);
}

static void sigchld_occurred_leaves_alone_what_was_reaped_but_not_yet_said_to_be(void **state)
{
    struct kid a, b;
    int status;

    (void)state;
    setmode(&mainloop);
    fork_kid(ctx, &a, 1);
    fork_kid(ctx, &b, -1);
    assert_int_equal(waitpid(a.pid, &status, 0), a.pid);
    libxl_childproc_sigchld_occurred(ctx);              /* as another thread might */
    libxl_childproc_sigchld_occurred(ctx);
    assert_int_equal(a.deaths + b.deaths + disasters, 0);
    assert_int_equal(libxl_childproc_reaped(ctx, a.pid, status), 0);
    assert_int_equal(a.status, 1 << 8);
    kill(b.pid, SIGKILL);
    wait_until_dead_but_unreaped(b.pid);
    libxl_childproc_sigchld_occurred(ctx);
    assert_int_equal(b.status, SIGKILL);
}

static int reaped_early_status;
static pid_t fork_and_reap(void *user)
{
    pid_t pid = fork();

    (void)user;
    if (pid > 0)
        assert_int_equal(waitpid(pid, &reaped_early_status, 0), pid);
    return pid;
}

/* Another thread of the application's may wait for any child while the fork is not over. */
static void a_child_that_is_reaped_before_its_fork_returns_is_told_when_the_mainloop_says_so(
    void **state)
{
    const libxl_childproc_hooks hooks = { libxl_sigchld_owner_mainloop, fork_and_reap, NULL },
                                thief = { libxl_sigchld_owner_libxl, fork_and_reap, NULL };
    struct kid k;

    (void)state;
    setmode(&hooks);
    fork_kid(ctx, &k, 21);
    libxl_childproc_sigchld_occurred(ctx);
    assert_int_equal(k.deaths, 0);
    assert_int_equal(libxl_childproc_reaped(ctx, k.pid, reaped_early_status), 0);
    assert_int_equal(k.deaths, 1);
    assert_int_equal(k.status, 21 << 8);

    setmode(&thief);                                    /* here nobody would ever say so */
    assert_int_equal(try_kid(ctx, &k, 0), ERROR_UNKNOWN_CHILD);
    assert_non_null(strstr(last_log, "waited for by somebody else"));
    assert_int_equal(ctx->child_epfd, -1);
    setmode(NULL);
}

/* ---------- setmode ---------- */

static void setmode_with_children_or_with_an_unknown_owner_changes_nothing(void **state)
{
    const libxl_childproc_hooks nonsense = { .chldowner = (libxl_sigchld_owner)17 };
    struct kid k;

    (void)state;
    fork_kid(ctx, &k, -1);
    setmode(&mainloop);
    assert_int_equal(last_log_level, XTL_CRITICAL);
    assert_non_null(strstr(last_log, "while there are 1 children"));
    kill(k.pid, SIGKILL);
    loop_until(ctx, &k.deaths, 1);                      /* so it is not _mainloop */
    setmode(&nonsense);
    assert_non_null(strstr(last_log, "no owner 17"));
    fork_kid(ctx, &k, 0);
    loop_until(ctx, &k.deaths, 1);
}

static void own_handler(int sig)
{
    (void)sig;
}

static void a_handler_of_the_applications_is_never_replaced(void **state)
{
    struct kid k;

    (void)state;
    signal(SIGCHLD, own_handler);
    fork_kid(ctx, &k, 0);                               /* the default mode needs none */
    loop_until(ctx, &k.deaths, 1);
    assert_int_equal(disasters, 0);

    setmode(&with_callback);
    assert_int_equal(disasters, 0);
    assert_int_equal(try_kid(ctx, &k, -1), ERROR_FAIL);
    assert_no_children();
    assert_non_null(strstr(last_log, "SIGCHLD has a handler"));

    setmode(&always);
    assert_int_equal(disasters, 1);
    assert_int_equal(try_kid(ctx, &k, -1), ERROR_FAIL);
    assert_no_children();
    assert_ptr_equal(sigchld_handler(), own_handler);
    assert_int_equal(ctx->fds_used, 0);
    setmode(NULL);
    assert_ptr_equal(sigchld_handler(), own_handler);
    signal(SIGCHLD, SIG_DFL);
}

/* An application's log may go through a program that it starts for each line. */
static int lines_forked;
static void log_by_fork(xentoollog_logger *logger, xentoollog_level level, int errnoval,
                        const char *context, const char *format, va_list al)
{
    pid_t pid = fork();

    (void)logger, (void)level, (void)errnoval, (void)context, (void)format, (void)al;
    if (!pid)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    lines_forked++;
}

static void forked_too_long(int sig)
{
    static const char msg[] = "a logger that forks waits for ever\n";

    (void)sig;
    (void)!write(2, msg, sizeof(msg) - 1);
    _exit(1);
}

static void a_logger_may_fork(void **state)
{
    struct kid k;

    (void)state;
    signal(SIGALRM, forked_too_long);
    alarm(20);
    signal(SIGCHLD, own_handler);
    setmode(&with_callback);
    test_logger.vmessage = log_by_fork;
    lines_forked = 0;
    assert_int_equal(try_kid(ctx, &k, -1), ERROR_FAIL);         /* SIGCHLD is not ours to handle */
    assert_true(lines_forked > 0);

    signal(SIGCHLD, SIG_DFL);
    fork_kid(ctx, &k, -1);
    signal(SIGCHLD, own_handler);                               /* behind our back */
    lines_forked = 0;
    kill(k.pid, SIGKILL);
    loop_until(ctx, &k.deaths, 1);
    assert_true(lines_forked > 0);
    test_logger.vmessage = test_vmessage;
    signal(SIGCHLD, SIG_DFL);
    alarm(0);
}

static int replacements, replacement_fails;
static pid_t replacement(void *user)
{
    assert_ptr_equal(user, &strangers);
    assert_int_equal(ctx->lock_depth > 0, 1);           /* locked */
    replacements++;
    if (replacement_fails) {
        errno = EAGAIN;
        return -1;
    }
    return fork();
}

static void fork_replacement_forks_in_every_mode(void **state)
{
    libxl_childproc_hooks hooks = { .fork_replacement = replacement };
    struct kid k;
    int i;

    (void)state;
    for (i = 0; i < 4; i++) {
        hooks.chldowner = (libxl_sigchld_owner)i;
        setmode(&hooks);
        replacements = replacement_fails = 0;
        fork_kid(ctx, &k, 33);
        assert_int_equal(replacements, 1);
        if (i == libxl_sigchld_owner_mainloop) {
            wait_until_dead_but_unreaped(k.pid);
            libxl_childproc_sigchld_occurred(ctx);
        }
        loop_until(ctx, &k.deaths, 1);
        assert_int_equal(k.status, 33 << 8);
        replacement_fails = 1;
        assert_int_equal(try_kid(ctx, &k, -1), ERROR_FAIL);
        assert_int_equal(replacements, 2);
        assert_no_children();
    }
    setmode(NULL);
}

/* ---------- the handler ---------- */

static void t15_the_handler_preserves_errno_and_does_not_block_on_a_full_eventfd(void **state)
{
    const uint64_t most = UINT64_MAX - 1;
    struct kid k;
    uint64_t n;

    (void)state;
    setmode(&with_callback);
    fork_kid(ctx, &k, -1);
    assert_int_equal(read(ctx->childproc->efd, &n, sizeof(n)), sizeof(n));
    assert_int_equal(write(ctx->childproc->efd, &most, sizeof(most)), sizeof(most));
    alarm(30);                                          /* for a handler that blocks */
    errno = 4711;
    raise(SIGCHLD);
    assert_int_equal(errno, 4711);
    alarm(0);
    fork_stranger(0);
    loop_until(ctx, &strangers, 1);
    kill(k.pid, SIGKILL);
    loop_until(ctx, &k.deaths, 1);
}

static atomic_bool hammer;
static void *hammer_sigchld(void *arg)
{
    (void)arg;
    while (atomic_load(&hammer))
        kill(getpid(), SIGCHLD);
    return NULL;
}

/* Handlers run on any thread while the list of users changes; an eventfd that was given up and
 * opened again for something else is not written to. */
static void t15_the_handler_may_interrupt_changes_to_its_list_of_users(void **state)
{
    libxl_ctx *other;
    pthread_t t;
    uint64_t n;
    int i, fd, other_use;

    (void)state;
    assert_int_equal(libxl_ctx_alloc(&other, LIBXL_VERSION, 0, &test_logger), 0);
    libxl_childproc_setmode(other, &always_alone, NULL);        /* a handler is there all along */
    atomic_store(&hammer, true);
    assert_int_equal(pthread_create(&t, NULL, hammer_sigchld, NULL), 0);
    for (i = 0; i < 3000; i++) {
        setmode(&always_alone);
        fd = ctx->childproc->efd;
        setmode(NULL);
        other_use = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (other_use != fd)
            assert_int_equal(dup3(other_use, fd, O_CLOEXEC), fd);
        sched_yield();
        assert_int_equal(read(fd, &n, sizeof(n)), -1);
        close(fd);
        if (other_use != fd)
            close(other_use);
    }
    atomic_store(&hammer, false);
    pthread_join(t, NULL);
    assert_int_equal(libxl_ctx_free(other), 0);
}

static void t15_a_context_may_go_while_another_keeps_children_and_handler(void **state)
{
    struct kid mine, theirs;
    libxl_ctx *other;
    int status;

    (void)state;
    assert_int_equal(libxl_ctx_alloc(&other, LIBXL_VERSION, 0, &test_logger), 0);
    libxl_childproc_setmode(other, &with_callback, &strangers);
    setmode(&with_callback);
    fork_kid(ctx, &mine, -1);
    fork_kid(other, &theirs, -1);
    assert_int_equal(libxl_ctx_free(other), 0);
    assert_ptr_not_equal(sigchld_handler(), SIG_DFL);
    kill(theirs.pid, SIGKILL);                          /* left to the application */
    loop_until(ctx, &strangers, 1);
    assert_int_equal(stranger_pid, theirs.pid);
    assert_int_equal(theirs.deaths, 0);
    kill(mine.pid, SIGTERM);
    loop_until(ctx, &mine.deaths, 1);

    fork_kid(ctx, &mine, 8);                            /* and with nobody who waits for all */
    setmode(NULL);
    assert_int_equal(libxl_ctx_free(ctx), 0);
    ctx = NULL;
    assert_int_equal(waitpid(mine.pid, &status, 0), mine.pid);
    assert_int_equal(status, 8 << 8);
    assert_int_equal(mine.deaths, 0);
}

/* ---------- a main loop with registrations of its own ---------- */

static struct {
    int fd, registered, deregistered, fails;
    short events;
    void *for_libxl;
} reg;

static int hook_register(void *user, int fd, void **for_app_out, short events, void *for_libxl)
{
    (void)user;
    if (reg.fails)
        return reg.fails;
    reg.registered++;
    reg.fd = fd;
    reg.events = events;
    reg.for_libxl = for_libxl;
    *for_app_out = &reg;
    return 0;
}

static int hook_modify(void *user, int fd, void **for_app_update, short events)
{
    (void)user, (void)fd, (void)for_app_update;
    reg.events = events;
    return 0;
}

static void hook_deregister(void *user, int fd, void *for_app)
{
    (void)user, (void)for_app;
    assert_int_equal(fd, reg.fd);
    reg.deregistered++;
}

static void a_main_loop_with_hooks_sees_one_registration_for_all_children(void **state)
{
    static const libxl_osevent_hooks os_hooks = { .fd_register = hook_register,
                                                  .fd_modify = hook_modify,
                                                  .fd_deregister = hook_deregister };
    const libxl_childproc_hooks *modes[] = { NULL, &with_callback, &selective };
    struct kid kids[3];
    struct pollfd p;
    int i, m;

    (void)state;
    libxl_osevent_register_hooks(ctx, &os_hooks, NULL);
    for (m = 0; m < 3; m++) {
        setmode(modes[m]);
        memset(&reg, 0, sizeof(reg));
        for (i = 0; i < 3; i++)
            fork_kid(ctx, &kids[i], i);
        assert_int_equal(reg.registered, 1);
        for (i = 0; i < 3; i++)
            wait_until_dead_but_unreaped(kids[i].pid);
        while (!reg.deregistered) {
            p = (struct pollfd){ .fd = reg.fd, .events = reg.events };
            assert_int_equal(poll(&p, 1, 10000), 1);
            libxl_osevent_occurred_fd(ctx, reg.for_libxl, reg.fd, reg.events, p.revents);
        }
        for (i = 0; i < 3; i++)
            assert_int_equal(kids[i].deaths, 1);
        assert_int_equal(reg.registered, 1);
        assert_int_equal(reg.deregistered, 1);
    }
    reg.fails = 17;                                     /* not a pid */
    assert_int_equal(try_kid(ctx, &kids[0], -1), ERROR_OSEVENT_REG_FAIL);
    reg.fails = ERROR_OSEVENT_REG_FAIL;
    assert_int_equal(try_kid(ctx, &kids[0], -1), ERROR_OSEVENT_REG_FAIL);
    assert_no_children();
    setmode(&always);
    assert_int_equal(disasters, 1);
    assert_ptr_equal(sigchld_handler(), SIG_DFL);
    setmode(NULL);
}

/* ---------- what fails ---------- */

/* From here on the lowest number that is free is `n`. */
#define FULL 40
static int fillers[FULL], nfillers;
static void fill_up_to(int n)
{
    nfillers = 0;
    do
        fillers[nfillers] = dup(0);
    while (fillers[nfillers++] < n);
    close(fillers[--nfillers]);
}

static void close_fillers(void)
{
    while (nfillers)
        close(fillers[--nfillers]);
}

/* B4: each mode, each descriptor that cannot be had: no child, nothing left open. */
static void b4_a_child_that_cannot_be_watched_is_not_left_alive(void **state)
{
    const libxl_childproc_hooks *modes[] = { NULL, &with_callback, &mainloop, &selective };
    struct rlimit old, lim;
    struct kid k;
    int i, allowed, fds;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    for (i = 0; i < 4; i++) {
        setmode(modes[i]);
        fill_up_to(FULL);
        fds = count_fds();
        for (allowed = 0; ; allowed++) {
            lim = old;
            lim.rlim_cur = (rlim_t)(FULL + allowed);
            assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
            try_kid(ctx, &k, -1);
            assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
            if (k.pid > 0)
                break;
            assert_int_equal(k.pid, ERROR_FAIL);
            assert_no_children();
            assert_int_equal(count_fds(), fds);
            assert_ptr_equal(sigchld_handler(), SIG_DFL);
        }
        /* the children's, the child's own; the loop's, unless the application reaps; one to be
         * woken by a handler that reaps */
        assert_int_equal(allowed, modes[i] == &with_callback ? 4 : modes[i] == &mainloop ? 2 : 3);
        kill(k.pid, SIGKILL);
        wait_until_dead_but_unreaped(k.pid);
        if (modes[i] == &mainloop)
            libxl_childproc_sigchld_occurred(ctx);
        close_fillers();                                /* what the loop opens may stay open */
        loop_until(ctx, &k.deaths, 1);
    }
    setmode(NULL);
}

static void b8_out_of_memory_anywhere_means_no_child(void **state)
{
    const libxl_childproc_hooks *modes[] = { NULL, &with_callback, &mainloop, &selective };
    struct kid k;
    int i, n, fds;

    (void)state;
    fork_kid(ctx, &k, 0);
    loop_until(ctx, &k.deaths, 1);
    for (i = 0; i < 4; i++) {
        setmode(modes[i]);
        fds = count_fds();
        for (n = 0; n < 50; n++) {
            allocs_left = n;
            ctx->allocate = scarce_realloc;
            try_kid(ctx, &k, -1);
            ctx->allocate = realloc;
            if (k.pid > 0)
                break;
            assert_int_equal(k.pid, ERROR_NOMEM);
            assert_no_children();
            assert_int_equal(count_fds(), fds);
        }
        assert_in_range(n, 1, 49);
        ctx->allocate = scarce_realloc;                 /* deaths need none */
        allocs_left = 0;
        kill(k.pid, SIGKILL);
        wait_until_dead_but_unreaped(k.pid);
        if (modes[i] == &mainloop)
            libxl_childproc_sigchld_occurred(ctx);
        loop_until(ctx, &k.deaths, 1);
        ctx->allocate = realloc;
    }
    setmode(NULL);
}

/* ---------- words ---------- */

static void the_end_of_a_child_is_said_in_words(void **state)
{
    (void)state;
    libxl_report_child_exitstatus(ctx, XTL_WARN, "frob", 12, 0);
    assert_string_equal(last_log, "frob [12] exited with status zero");
    libxl_report_child_exitstatus(ctx, XTL_ERROR, "frob", 12, 3 << 8);
    assert_string_equal(last_log, "frob [12] exited with error status 3");
    assert_int_equal(last_log_level, XTL_ERROR);
    libxl_report_child_exitstatus(ctx, XTL_WARN, "frob", 12, SIGSEGV | 0x80);
    assert_string_equal(last_log, "frob [12] was killed by signal 11 (Segmentation fault), with a "
                        "core dump");
    libxl_report_child_exitstatus(ctx, XTL_WARN, "fr\nob", 12, SIGTERM);
    assert_string_equal(last_log, "fr?ob [12] was killed by signal 15 (Terminated)");
    libxl_report_child_exitstatus(ctx, XTL_WARN, "frob", 12, 0x137f);
    assert_string_equal(last_log, "frob [12] ended with the unknown wait status 0x137f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIDS_TEST(a_child_of_the_applications_is_told_once_unlocked_with_its_status),
        KIDS_TEST(t19_children_need_one_registration_and_none_when_they_are_gone),
        KIDS_TEST(by_default_neither_sigchld_nor_strangers_are_touched),
        KIDS_TEST(a_status_that_somebody_else_took_is_a_disaster_but_not_silence),
        KIDS_TEST(sigchld_ignored_is_handled_while_there_are_children_and_ignored_again),
        KIDS_TEST(t16_a_stranger_that_the_application_knows_is_its_own_affair),
        KIDS_TEST(t16_a_stranger_that_the_application_does_not_know_is_logged),
        KIDS_TEST(t16_any_other_result_of_reaped_callback_is_a_disaster),
        KIDS_TEST(always_reaps_strangers_with_no_children_of_its_own_and_the_dead_of_before),
        KIDS_TEST(contexts_that_wait_for_all_do_not_eat_each_others_children),
        KIDS_TEST(a_pid_that_was_used_again_is_not_taken_for_the_child_that_had_it),
        KIDS_TEST(mainloop_waits_for_nothing_by_itself_and_believes_what_it_is_told),
        KIDS_TEST(what_is_for_the_mainloop_is_refused_in_other_modes),
        KIDS_TEST(sigchld_occurred_leaves_alone_what_was_reaped_but_not_yet_said_to_be),
        KIDS_TEST(
            a_child_that_is_reaped_before_its_fork_returns_is_told_when_the_mainloop_says_so),
        KIDS_TEST(setmode_with_children_or_with_an_unknown_owner_changes_nothing),
        KIDS_TEST(a_handler_of_the_applications_is_never_replaced),
        KIDS_TEST(a_logger_may_fork),
        KIDS_TEST(fork_replacement_forks_in_every_mode),
        KIDS_TEST(t15_the_handler_preserves_errno_and_does_not_block_on_a_full_eventfd),
        KIDS_TEST(t15_the_handler_may_interrupt_changes_to_its_list_of_users),
        KIDS_TEST(t15_a_context_may_go_while_another_keeps_children_and_handler),
        KIDS_TEST(a_main_loop_with_hooks_sees_one_registration_for_all_children),
        KIDS_TEST(b4_a_child_that_cannot_be_watched_is_not_left_alive),
        KIDS_TEST(b8_out_of_memory_anywhere_means_no_child),
        KIDS_TEST(the_end_of_a_child_is_said_in_words),
    };

    return cmocka_run_group_tests_name("lib: childproc", tests, NULL, NULL);
}
