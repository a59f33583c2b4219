/* SPDX-License-Identifier: LGPL-2.1-only */
/* Operations in an application with a main loop of its own: one that refuses registrations, each one
 * after another, and one that forks. */
#include "tests/unit/lib/harness.h"
#include "tests/unit/lib/fake_moatd.h"

#define DOMID 7
#define REFUSAL 77                              /* an application's own code */

/* ---------- a main loop with registrations, of which number `fail_at` is refused */

static struct reg { int fd; short events; void *for_libxl; bool live; } fds[8], times[8];
static int calls, fail_at;

static struct reg *reg_new(struct reg *table)
{
    for (int i = 0; i < 8; i++)
        if (!table[i].live)
            return &table[i];
    fail_msg("no room for another registration");
    return NULL;
}

static bool refuse(void)
{
    return calls++ == fail_at;
}

static int fd_register(void *u, int fd, void **for_app, short events, void *for_libxl)
{
    struct reg *r = reg_new(fds);

    if (refuse())
        return REFUSAL;
    *r = (struct reg){ fd, events, for_libxl, true };
    *for_app = r;
    return 0;
}

static int fd_modify(void *u, int fd, void **for_app, short events)
{
    struct reg *r = *for_app;

    if (refuse())
        return REFUSAL;
    r->events = events;
    return 0;
}

static void fd_deregister(void *u, int fd, void *for_app)
{
    struct reg *r = for_app;

    assert_true(r->live);
    r->live = false;
}

static int timeout_register(void *u, void **for_app, struct timeval abs, void *for_libxl)
{
    struct reg *r = reg_new(times);

    if (refuse())
        return REFUSAL;
    *r = (struct reg){ .for_libxl = for_libxl, .live = true };
    *for_app = r;
    return 0;
}

/* "As soon as possible" */
static int timeout_modify(void *u, void **for_app, struct timeval abs)
{
    struct reg *r = *for_app;

    assert_int_equal(abs.tv_sec, 0);
    r->events = 1;
    return 0;
}

static const libxl_osevent_hooks hooks = {
    .fd_register = fd_register, .fd_modify = fd_modify, .fd_deregister = fd_deregister,
    .timeout_register = timeout_register, .timeout_modify = timeout_modify,
};

/* What is ready; timeouts only where libmoat asked for one at once. */
static void app_turn(void)
{
    for (int i = 0; i < 8; i++) {
        struct pollfd p = { .fd = fds[i].fd, .events = fds[i].events };

        if (fds[i].live && poll(&p, 1, 0) == 1)
            libxl_osevent_occurred_fd(ctx, fds[i].for_libxl, p.fd, p.events, p.revents);
    }
    for (int i = 0; i < 8; i++)
        if (times[i].live && times[i].events) {
            times[i].live = false;
            libxl_osevent_occurred_timeout(ctx, times[i].for_libxl);
        }
}

static int registered(void)
{
    int n = 0;

    for (int i = 0; i < 8; i++)
        n += fds[i].live;
    return n;
}

static int set_up_hooks(void **state)
{
    fake_listen(8);
    set_up(state);
    memset(fds, 0, sizeof(fds));
    memset(times, 0, sizeof(times));
    calls = 0;
    fail_at = -1;
    libxl_osevent_register_hooks(ctx, &hooks, NULL);
    return 0;
}

static int tear_down_hooks(void **state)
{
    fake_hang_up();
    assert_int_equal(registered(), 0);
    tear_down(state);
    fake_end();
    return 0;
}

static int told, told_rc;
static void completed(libxl_ctx *c, int rc, void *user)
{
    told++;
    told_rc = rc;
}

static int a_file(void)
{
    int fd = open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

static void a_loop_that_refuses_a_registration_gets_its_code_back(void **state)
{
    libxl_asyncop_how how = { .callback = completed };
    int n, rc = 1, file = a_file();

    told = 0;
    for (n = 0; n < 10 && rc; n++) {
        calls = 0;
        fail_at = n;
        rc = libxl_domain_suspend(ctx, DOMID, file, 0, &how);
        if (!rc)
            break;
        assert_int_equal(rc, REFUSAL);
        assert_int_equal(registered(), 0);
        app_turn();
        assert_int_equal(told, 0);
        peer.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer.fd >= 0)
            fake_hears_the_end();               /* and no INTENT */
        fake_hang_up();
    }
    assert_in_range(n, 2, 9);                   /* an fd and a timeout at least */
    fake_intent();
    fake_done(0, ERROR_FAIL, "no");
    app_turn();
    assert_int_equal(told, 1);
    assert_int_equal(told_rc, ERROR_FAIL);
    close(file);
}

static void an_operation_goes_its_way_in_a_loop_with_registrations(void **state)
{
    libxl_asyncop_how how = { .callback = completed };
    int file = a_file();

    told = 0;
    assert_int_equal(libxl_domain_suspend(ctx, DOMID, file, 0, &how), 0);
    fake_intent();
    fake_started(3, DOMID);
    fake_saved(3);
    app_turn();
    fake_hears_commit(3);
    assert_int_equal(told, 0);
    fake_done(3, 0, "suspended");
    app_turn();
    assert_int_equal(told, 1);
    assert_int_equal(told_rc, 0);
    assert_int_equal(registered(), 0);
    close(file);
}

static void an_abort_in_a_loop_that_refuses_a_timeout_still_ends(void **state)
{
    libxl_asyncop_how how = { .callback = completed };

    told = 0;
    assert_int_equal(libxl_domain_resume(ctx, DOMID, 1, &how), 0);
    fake_intent();
    fail_at = calls;
    assert_int_equal(libxl_ao_abort(ctx, &how), 0);
    assert_int_equal(told, 1);                  /* without a bound there is no waiting */
    assert_int_equal(told_rc, ERROR_ABORTED);
    fake_hears_the_end();
}

static void *answer(void *arg)
{
    struct msg_DOMAIN_STATE m = { .domid = DOMID, .state = DOMAIN_RUNNING, .handle = "uuid" };
    struct pollfd p = { .fd = listener, .events = POLLIN };
    struct msg_INTENT intent;

    if (poll(&p, 1, 5000) != 1)
        return NULL;
    peer = (struct ipc_chan){ .fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK),
                              .self = WARDEN, .peer = OPERATOR, .phase = PH_OPEN };
    if (!ipc_expect(&peer, &peer_frame, MSG_INTENT, &intent, 5000))
        ipc_send(&peer, MSG_DOMAIN_STATE, 0, &m, NULL, 0);
    return NULL;
}

static void event_generation_is_not_enabled_by_halves(void **state)
{
    libxl_evgen_domain_death *evgen = NULL;
    pthread_t t;
    int n, rc = 1;

    for (n = 0; n < 10 && rc; n++) {
        calls = 0;
        fail_at = n;
        assert_int_equal(pthread_create(&t, NULL, answer, NULL), 0);
        rc = libxl_evenable_domain_death(ctx, DOMID, 0, &evgen);
        assert_int_equal(pthread_join(t, NULL), 0);
        if (!rc)
            break;
        assert_int_equal(rc, REFUSAL);
        assert_null(evgen);
        assert_int_equal(registered(), 0);
        fake_hears_the_end();
        fake_hang_up();
    }
    assert_in_range(n, 2, 9);
    libxl_evdisable_domain_death(ctx, evgen);
    fake_hears_the_end();
}

static void the_end_of_the_context_ends_all_watches(void **state)
{
    libxl_evgen_domain_death *evgen[3];
    int conn[3];
    pthread_t t;
    char c;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&t, NULL, answer, NULL), 0);
        assert_int_equal(libxl_evenable_domain_death(ctx, DOMID, 0, &evgen[i]), 0);
        assert_int_equal(pthread_join(t, NULL), 0);
        conn[i] = peer.fd;
    }
    libxl_evdisable_domain_death(ctx, evgen[1]);
    assert_int_equal(libxl_ctx_free(ctx), 0);
    ctx = NULL;
    assert_int_equal(registered(), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(recv(conn[i], &c, 1, 0), 0);
        close(conn[i]);
    }
    peer.fd = -1;
}

/* Runs in a child; its exit status. */
static int in_child(int (*f)(void))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (!pid)
        _exit(f());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int conn_of_child;                       /* the number that the connection has */
static int goes_on_without_exec(void)
{
    libxl_postfork_child_noexec(ctx);
    return fcntl(conn_of_child, F_GETFD) != -1;
}

static void a_child_without_exec_keeps_no_connection_and_ends_none(void **state)
{
    libxl_asyncop_how how = { .callback = completed };

    told = 0;
    assert_int_equal(libxl_domain_resume(ctx, DOMID, 1, &how), 0);
    assert_int_equal(registered(), 1);
    conn_of_child = fds[0].fd;
    fake_intent();
    assert_int_equal(in_child(goes_on_without_exec), 0);
    fake_hears_nothing();
    fake_done(0, 0, "resumed");
    app_turn();
    assert_int_equal(told, 1);
    assert_int_equal(told_rc, 0);
}

static void moatd_hears_the_end_though_a_child_has_a_copy(void **state)
{
    libxl_asyncop_how how = { .callback = completed };
    int hold[2];
    pid_t pid;
    char c;

    told = 0;
    assert_int_equal(pipe(hold), 0);
    assert_int_equal(libxl_domain_resume(ctx, DOMID, 1, &how), 0);
    fake_intent();
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        close(hold[1]);
        _exit((int)read(hold[0], &c, 1));
    }
    fake_started(3, DOMID + 1);                 /* nonsense: the operation is given up */
    app_turn();
    assert_int_equal(told, 1);
    fake_hears_the_end();
    close(hold[0]);
    close(hold[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---------- threads ---------- */

#define THREADS 4
#define EACH 25

static void *serve_all(void *arg)
{
    static struct ipc_frame f;
    struct msg_INTENT m;

    for (int i = 0; i < THREADS * EACH; i++) {
        struct pollfd p = { .fd = listener, .events = POLLIN };
        struct msg_DONE done = { .exit_code = EXIT_FAILED, .worker_status = -1 };
        struct ipc_chan c = { .self = WARDEN, .peer = OPERATOR, .phase = PH_OPEN };

        if (poll(&p, 1, 10000) != 1)
            return NULL;
        c.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (ipc_expect(&c, &f, MSG_INTENT, &m, 5000))
            return NULL;
        done.rc = -(int)strtol(m.domain, NULL, 10);
        ipc_send(&c, MSG_DONE, 0, &done, NULL, 0);
        close(c.fd);
    }
    return arg;
}

/* Each of its operations ends with the code that was made for it. */
static void *resume_all(void *arg)
{
    static const int codes[] = { ERROR_FAIL, ERROR_NI, ERROR_INVAL, ERROR_GUEST_TIMEDOUT,
                                 ERROR_TIMEDOUT, ERROR_ABORTED };
    uintptr_t wrong = 0;

    for (int i = 0; i < EACH; i++) {
        int want = codes[i % 6];

        wrong += libxl_domain_resume(ctx, (uint32_t)-want, 1, NULL) != want;
    }
    return (void *)wrong;
}

static void synchronous_operations_in_threads_get_their_own_results(void **state)
{
    pthread_t server, t[THREADS];
    void *wrong, *served;

    assert_int_equal(pthread_create(&server, NULL, serve_all, ctx), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, resume_all, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(t[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_int_equal(pthread_join(server, &served), 0);
    assert_ptr_equal(served, ctx);
}

static int set_up_plain(void **state)
{
    fake_listen(8);
    return set_up(state);
}

#define PLAIN_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_plain, tear_down_hooks)
#define HOOK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_hooks, tear_down_hooks)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOOK_TEST(a_loop_that_refuses_a_registration_gets_its_code_back),
        HOOK_TEST(an_operation_goes_its_way_in_a_loop_with_registrations),
        HOOK_TEST(an_abort_in_a_loop_that_refuses_a_timeout_still_ends),
        HOOK_TEST(event_generation_is_not_enabled_by_halves),
        HOOK_TEST(the_end_of_the_context_ends_all_watches),
        HOOK_TEST(a_child_without_exec_keeps_no_connection_and_ends_none),
        HOOK_TEST(moatd_hears_the_end_though_a_child_has_a_copy),
        PLAIN_TEST(synchronous_operations_in_threads_get_their_own_results),
    };

    return cmocka_run_group_tests_name("lib: operations in applications", tests, NULL, NULL);
}
