/* SPDX-License-Identifier: LGPL-2.1-only */
/* Children: who reaps whom, and SIGCHLD. */
#include "tests/conformance/conf.h"

/* A child of the application's that ends with that status, at once or when it is told to. */
static pid_t child(int status)
{
    pid_t pid = fork();

    if (!pid)
        _exit(status);
    if (pid < 0)
        broken("fork: %s", strerror(errno));
    return pid;
}

/* It has ended and is a zombie or was reaped. */
static void ended_child(pid_t pid)
{
    siginfo_t si;

    for (int i = 0; i < 500; i++) {
        memset(&si, 0, sizeof(si));
        if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT | WNOHANG) || si.si_pid)
            return;
        usleep(10000);
    }
    broken("a child does not end");
}

static void trace_child(const char *what, pid_t pid)
{
    int status;
    pid_t got = waitpid(pid, &status, WNOHANG);

    if (got == pid)
        trace("%s: ours to reap, status %x", what, status);
    else
        trace("%s: %s", what, got < 0 && errno == ECHILD ? "reaped by the library" : "still runs");
}

struct reaped {
    int n, rc;
    pid_t pid;
    int status;
};

static int reaped_cb(pid_t pid, int status, void *user)
{
    struct reaped *r = user;

    r->n++;
    r->pid = pid;
    r->status = status;
    return r->rc;
}

static void owner(libxl_sigchld_owner o)
{
    libxl_ctx *ctx = ctx_new();
    struct reaped r = { 0 };
    libxl_childproc_hooks hooks = { .chldowner = o, .reaped_callback = reaped_cb };
    pid_t pid;

    trace("SIGCHLD before: %s", sigchld_disposition());
    libxl_childproc_setmode(ctx, &hooks, &r);
    trace("SIGCHLD in this mode: %s", sigchld_disposition());
    pid = child(3);
    ended_child(pid);
    pump(ctx, done_flag, &r.n, 1000);
    pump_for(ctx, 100);
    trace("reaped_callback: %d", r.n);
    if (r.n) {
        trace_if("with the pid", r.pid == pid);
        trace("with status %x", r.status);
    }
    trace_child("the child", pid);
    libxl_childproc_setmode(ctx, NULL, NULL);
    trace("SIGCHLD after setmode(NULL): %s", sigchld_disposition());
    libxl_childproc_setmode(ctx, &hooks, &r);
    ctx_end(ctx);
    trace("SIGCHLD after ctx_free: %s", sigchld_disposition());
}

static void case_libxl(void)
{
    owner(libxl_sigchld_owner_libxl);
}

static void case_mainloop(void)
{
    owner(libxl_sigchld_owner_mainloop);
}

static void case_always(void)
{
    owner(libxl_sigchld_owner_libxl_always);
}

static void case_selective(void)
{
    owner(libxl_sigchld_owner_libxl_always_selective_reap);
}

/* Children that ended before the mode was set. */
static void case_before(void)
{
    libxl_ctx *ctx = ctx_new();
    struct reaped r = { 0 };
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_libxl_always,
                                    .reaped_callback = reaped_cb };
    pid_t pid = child(4);

    ended_child(pid);
    libxl_childproc_setmode(ctx, &hooks, &r);
    pump(ctx, done_flag, &r.n, 500);
    trace("reaped_callback for one that had ended before: %d", r.n);
    ended_child(child(5));
    pump(ctx, done_flag, &r.n, 5000);
    pump_for(ctx, 100);
    trace("after another one: %d", r.n);
    trace_child("the first", pid);
    ctx_end(ctx);
}

static bool twenty(void *arg)
{
    return ((struct reaped *)arg)->n >= 20;
}

static void case_burst(void)
{
    libxl_ctx *ctx = ctx_new();
    struct reaped r = { 0 };
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_libxl_always,
                                    .reaped_callback = reaped_cb };

    libxl_childproc_setmode(ctx, &hooks, &r);
    for (int i = 0; i < 20; i++)
        child(i);
    trace_if("all twenty are reported", pump(ctx, twenty, &r, 10000));
    pump_for(ctx, 100);
    trace("times: %d", r.n);
    ctx_end(ctx);
}

static void case_unknown(void)
{
    libxl_ctx *ctx = ctx_new();
    struct reaped r = { .rc = ERROR_UNKNOWN_CHILD };
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_libxl_always,
                                    .reaped_callback = reaped_cb };
    pid_t pid;

    libxl_childproc_setmode(ctx, &hooks, &r);
    pid = child(3);
    pump(ctx, done_flag, &r.n, 5000);
    trace("reaped_callback: %d", r.n);
    trace_child("the child of nobody", pid);
    queue_event(ctx, 1);
    trace_queue("goes on", ctx, NO_DOMAIN);
    ctx_end(ctx);
}

static void case_no_callback(void)
{
    libxl_ctx *ctx = ctx_new();
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_libxl_always };
    pid_t pid;

    libxl_childproc_setmode(ctx, &hooks, NULL);
    pid = child(3);
    ended_child(pid);
    pump_for(ctx, 500);
    trace_child("without reaped_callback", pid);
    ctx_end(ctx);
}

static int disasters;

static void disaster(void *user, libxl_event_type type, const char *msg, int errnoval)
{
    disasters++;
    trace("disaster: type %d, errno %d", (int)type, errnoval);
    trace_if("with words", msg && *msg);
}

static void case_disaster(void)
{
    libxl_ctx *ctx = ctx_new();
    struct reaped r = { .rc = ERROR_NOMEM };
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_libxl_always,
                                    .reaped_callback = reaped_cb };
    libxl_event_hooks events = { .disaster = disaster };

    libxl_event_register_callbacks(ctx, &events, NULL);
    libxl_childproc_setmode(ctx, &hooks, &r);
    child(3);
    pump(ctx, done_flag, &r.n, 5000);
    pump_for(ctx, 100);
    trace("reaped_callback %d, disasters %d", r.n, disasters);
    ctx_end(ctx);
}

static void case_disaster_fatal(void)
{
    libxl_ctx *ctx = ctx_new();
    struct reaped r = { .rc = ERROR_NOMEM };
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_libxl_always,
                                    .reaped_callback = reaped_cb };

    libxl_childproc_setmode(ctx, &hooks, &r);
    child(3);
    trace("no disaster function");
    pump(ctx, done_flag, &r.n, 5000);
    pump_for(ctx, 100);
    trace("goes on");
}

static void case_foreign(void)
{
    libxl_ctx *ctx = ctx_new();
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_mainloop };
    pid_t pid;
    int status;

    libxl_childproc_setmode(ctx, &hooks, NULL);
    pid = child(1);
    waitpid(pid, &status, 0);
    trace_rc("childproc_reaped, our own child", libxl_childproc_reaped(ctx, pid, status));
    trace_rc("childproc_reaped, nobody's pid", libxl_childproc_reaped(ctx, 999999, 0));
    libxl_childproc_sigchld_occurred(ctx);
    pid = child(2);
    ended_child(pid);
    libxl_childproc_sigchld_occurred(ctx);
    pump_for(ctx, 100);
    trace_child("sigchld_occurred leaves our child alone", pid);
    ctx_end(ctx);
}

/* Calls that belong to the mode mainloop, in another one. */
static void case_wrong_mode(void)
{
    libxl_ctx *ctx = ctx_new();

    trace_rc("childproc_reaped in the default mode", libxl_childproc_reaped(ctx, 999999, 0));
}

static void case_wrong_mode_sigchld(void)
{
    libxl_ctx *ctx = ctx_new();

    libxl_childproc_sigchld_occurred(ctx);
    trace("sigchld_occurred in the default mode returns");
    ctx_end(ctx);
}

static void on_sigchld(int sig)
{
}

static void case_own_handler(void)
{
    struct sigaction sa = { .sa_handler = on_sigchld };
    libxl_ctx *ctx = ctx_new();
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_libxl_always_selective_reap };

    sigaction(SIGCHLD, &sa, NULL);
    libxl_childproc_setmode(ctx, &hooks, NULL);
    trace("selective_reap over a handler of the application's");
    sigaction(SIGCHLD, NULL, &sa);
    trace_if("the application's is still there", sa.sa_handler == on_sigchld);
}

static void case_two_selective(void)
{
    libxl_ctx *a = ctx_new(), *b = ctx_new();
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_libxl_always_selective_reap };
    pid_t pid;

    libxl_childproc_setmode(a, &hooks, NULL);
    libxl_childproc_setmode(b, &hooks, NULL);
    trace("SIGCHLD with two: %s", sigchld_disposition());
    pid = child(9);
    ended_child(pid);
    pump_for(a, 200);
    pump_for(b, 200);
    trace_child("a child of the application's", pid);
    ctx_end(a);
    trace("SIGCHLD with one: %s", sigchld_disposition());
    ctx_end(b);
    trace("SIGCHLD with none: %s", sigchld_disposition());
}

/* A child that goes on without exec. */
static void case_postfork(void)
{
    libxl_ctx *a = ctx_new(), *b = ctx_new();
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_libxl_always_selective_reap };
    int status;
    pid_t pid;

    libxl_childproc_setmode(a, &hooks, NULL);
    libxl_childproc_setmode(b, &hooks, NULL);
    queue_event(a, 1);
    pid = fork();
    if (!pid) {
        libxl_ctx *mine;

        libxl_postfork_child_noexec(b);
        if (strcmp(sigchld_disposition(), "default"))
            _exit(1);
        if (libxl_ctx_alloc(&mine, LIBXL_VERSION, 0, (xentoollog_logger *)
                            xtl_createlogger_stdiostream(stderr, XTL_ERROR, 0)))
            _exit(2);
        if (libxl_domain_resume(mine, NO_DOMAIN, 1, NULL) != ERROR_FAIL)
            _exit(3);
        _exit(libxl_ctx_free(mine) ? 4 : 0);
    }
    if (waitpid(pid, &status, 0) != pid)
        broken("waitpid");
    trace("child: default SIGCHLD, a context of its own, an operation: status %x", status);
    trace_queue("parent's queue", a, NO_DOMAIN);
    queue_event(b, 2);
    trace_queue("parent's other context", b, NO_DOMAIN);
    trace("SIGCHLD in the parent: %s", sigchld_disposition());
    ctx_end(a);
    ctx_end(b);
}

/* ---- the library's own children, if it has any, while a guest is suspended */

static int forks;

static pid_t fork_hook(void *user)
{
    forks++;
    return fork();
}

/* SIGCHLD and reaping are the application's. */
static int sigchld_pipe[2];

static void sigchld_to_pipe(int sig)
{
    int e = errno;
    ssize_t r = write(sigchld_pipe[1], "", 1);

    (void)r;
    errno = e;
}

static bool reap_all(void *arg)
{
    struct ended *e = arg;
    char buf[16];
    int status;
    pid_t pid;

    while (read(sigchld_pipe[0], buf, sizeof(buf)) > 0)
        ;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        int rc = libxl_childproc_reaped(e->ctx, pid, status);

        if (rc)
            trace_rc("childproc_reaped of the library's child", rc);
    }
    return e->times;
}

static void case_mainloop_suspend(void)
{
    libxl_ctx *ctx = ctx_new();
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_mainloop,
                                    .fork_replacement = fork_hook };
    struct sigaction sa = { .sa_handler = sigchld_to_pipe, .sa_flags = SA_RESTART };
    uint32_t domid = guest();
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);

    if (pipe2(sigchld_pipe, O_NONBLOCK | O_CLOEXEC))
        broken("pipe");
    sigaction(SIGCHLD, &sa, NULL);
    libxl_childproc_setmode(ctx, &hooks, NULL);
    e.ctx = ctx;
    trace_rc("start", libxl_domain_suspend(ctx, domid, image_file(), 0, &how));
    trace_if("ends", pump(ctx, reap_all, &e, 60000));
    trace("times %d, rc %s", e.times, rc_name(e.rc));
    trace_rc("resume", libxl_domain_resume(ctx, domid, 1, NULL));
    trace_if("no child left", waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    trace("fork_replacement: %s", forks ? "called" : "not called");
    sigaction(SIGCHLD, NULL, &sa);
    trace_if("the application's handler is still there", sa.sa_handler == sigchld_to_pipe);
    ctx_end(ctx);
}

static void case_selective_suspend(void)
{
    libxl_ctx *ctx = ctx_new();
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_libxl_always_selective_reap };
    uint32_t domid = guest();
    pid_t pid;

    libxl_childproc_setmode(ctx, &hooks, NULL);
    pid = child(6);
    ended_child(pid);
    trace_rc("suspend", libxl_domain_suspend(ctx, domid, image_file(), 0, NULL));
    trace_rc("resume", libxl_domain_resume(ctx, domid, 1, NULL));
    trace_child("a child of the application's", pid);
    ctx_end(ctx);
}

const struct conf_case conf_cases[] = {
    { "child-owner-libxl", case_libxl },
    { "child-owner-mainloop", case_mainloop },
    { "child-owner-always", case_always },
    { "child-owner-selective", case_selective },
    { "child-ended-before", case_before },
    { "child-burst", case_burst },
    { "child-unknown", case_unknown },
    { "child-no-callback", case_no_callback },
    { "child-disaster", case_disaster },
    { "child-disaster-fatal", case_disaster_fatal },
    { "child-foreign-pid", case_foreign },
    { "child-reaped-wrong-mode", case_wrong_mode },
    { "child-sigchld-wrong-mode", case_wrong_mode_sigchld },
    { "child-own-handler", case_own_handler },
    { "child-two-selective", case_two_selective },
    { "child-postfork", case_postfork },
    { "child-suspend-mainloop", case_mainloop_suspend },
    { "child-suspend-selective", case_selective_suspend },
    { NULL, NULL },
};
