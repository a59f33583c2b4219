/* SPDX-License-Identifier: LGPL-2.1-only */
/* Loads a filter that was compiled at build time: no libseccomp in a process that locks itself. */
#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/sandbox/filter.h"

#include "policy_forker.h"
#include "policy_gate.h"
#include "policy_parent.h"
#include "policy_recorder.h"
#include "policy_save.h"
#include "policy_warden.h"

#define FILTER(name) \
    {#name, policy_##name, sizeof(policy_##name) / sizeof(policy_##name[0]), \
     {POLICY_SOURCES_##name}}
static const struct sandbox_filter filters[SANDBOX_KINDS] = {
    [SANDBOX_WARDEN] = FILTER(warden),
    [SANDBOX_RECORDER] = FILTER(recorder),
    [SANDBOX_GATE] = FILTER(gate),
    [SANDBOX_PARENT] = FILTER(parent),
    [SANDBOX_FORKER] = FILTER(forker),
    [SANDBOX_SAVE] = FILTER(save),
};
#undef FILTER

const struct sandbox_filter *sandbox_filter(enum sandbox_kind kind)
{
    return &filters[kind];
}

#ifdef POLICY_TRAP
/* Builds with `mkpolicy --trap`, for writing a policy: say which call it was, then die. */
static void say_call(int sig, siginfo_t *info, void *ucontext)
{
    char buf[96];
    int n = snprintf(buf, sizeof(buf), "moat: sandbox: process %ld: system call %d not allowed\n",
                     (long)syscall(SYS_getpid), info->si_syscall);

    if (write(2, buf, (size_t)n) < 0)
        _exit(98);
    _exit(99);
}

static void trap_mode(void)
{
    struct sigaction sa = {.sa_sigaction = say_call, .sa_flags = SA_SIGINFO};

    sigaction(SIGSYS, &sa, NULL);
}
#else
static void trap_mode(void)
{
}
#endif

int sandbox_seccomp(enum sandbox_kind kind, bool tsync, char why[128])
{
    const struct sandbox_filter *f;
    struct sock_fprog prog;
    long r;

    if ((unsigned)kind >= SANDBOX_KINDS) {
        snprintf(why, 128, "no such sandbox");
        return -EINVAL;
    }
    f = &filters[kind];
    prog = (struct sock_fprog){.len = f->n, .filter = (struct sock_filter *)(uintptr_t)f->code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
        int e = errno;

        snprintf(why, 128, "no_new_privs: %s", strerror(e));
        return -e;
    }
    trap_mode();
    r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, tsync ? SECCOMP_FILTER_FLAG_TSYNC : 0, &prog);
    if (r < 0) {
        int e = errno;

        snprintf(why, 128, "the kernel refuses the %s filter: %s", f->name, strerror(e));
        return -e;
    }
    if (r > 0) {
        /* TSYNC's way to say that a thread has another filter; nothing was loaded. */
        snprintf(why, 128, "thread %ld cannot take the %s filter", r, f->name);
        return -EBUSY;
    }
    return 0;
}
