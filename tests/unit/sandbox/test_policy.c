/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Rule by rule: for every policy, every system call number is made by a child under the compiled-in
 * filter, and what the kernel does is compared with what the text of the policy says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "policy/sandbox/dump.h"
#include "policy/sandbox/filter.h"
#include "tests/unit/sandbox/policy_text.h"

#define LAST_CALL 480
#define ARCH_X32 0x40000000

static struct text_policy policies[SANDBOX_KINDS];

static int read_policies(void **state)
{
    for (int k = 0; k < SANDBOX_KINDS; k++) {
        const struct sandbox_filter *f = sandbox_filter(k);

        for (unsigned i = 0; i < 8 && f->sources[i]; i++)
            text_read(&policies[k], f->sources[i], i > 0);
    }
    return 0;
}

/*
 * Makes one call in a child under the filter.  Returns VERDICT_KILL, else the errno with which the
 * call ended (0 = it succeeded, or ended the child in its own way).
 */
static int try_call(enum sandbox_kind kind, long nr, const uint64_t a[6])
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid) {
        struct rlimit none = {0, 0};
        char why[128];
        long r;

        setrlimit(RLIMIT_CORE, &none);
        /* cmocka's handlers would go on with the next test in this child */
        signal(SIGSEGV, SIG_DFL);
        signal(SIGILL, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        alarm(20);
        if (sandbox_seccomp(kind, false, why))
            _exit(120);
        r = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
        /* _exit() is exit_group, which every policy allows */
        _exit(r < 0 && errno < 120 ? errno : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return VERDICT_KILL;
    if (WIFEXITED(status)) {
        assert_int_not_equal(WEXITSTATUS(status), 120);
        return WEXITSTATUS(status);
    }
    /* rt_sigreturn with garbage, for one: not the filter's doing */
    assert_int_not_equal(WTERMSIG(status), SIGALRM);
    return 0;
}

/*
 * uretprobe and uprobe: the kernel (from 6.14 and 6.18) lets these two past every filter, and
 * refuses them itself when they do not come from a trampoline that it made.
 */
static bool past_every_filter(long nr)
{
    return nr == 335 || nr == 336;
}

static void compare(enum sandbox_kind kind, long nr, const uint64_t args[6])
{
    int expected = text_verdict(&policies[kind], (int)nr, args);
    int seen = try_call(kind, nr, args);
    bool same;

    if (past_every_filter(nr))
        return;
    same = expected == VERDICT_KILL ? seen == VERDICT_KILL :
           expected > 0 ? seen == expected : seen != VERDICT_KILL;

    if (!same)
        print_error("%s: call %ld (%s) %lx %lx %lx %lx: policy says %d, kernel did %d\n",
                    sandbox_filter(kind)->name, nr, text_call_name((unsigned)nr) ?: "?",
                    (long)args[0], (long)args[1], (long)args[2], (long)args[3], expected, seen);
    assert_true(same);
}

static void every_call(enum sandbox_kind kind)
{
    static const uint64_t minus[6] = {-1ull, -1ull, -1ull, -1ull, -1ull, -1ull};
    static const uint64_t zero[6];

    for (long nr = 0; nr <= LAST_CALL; nr++) {
        compare(kind, nr, minus);
        /* with zeroes, fork-likes and pause-likes would succeed where they are allowed */
        if (text_verdict(&policies[kind], (int)nr, zero) == VERDICT_KILL)
            compare(kind, nr, zero);
    }
}

/* For each conditional rule: arguments that fit, also with garbage above, and that do not. */
static void every_condition(enum sandbox_kind kind)
{
    const struct text_policy *p = &policies[kind];

    for (unsigned i = 0; i < p->n; i++) {
        const struct text_rule *r = &p->rules[i];
        uint64_t fits[6], high[6];

        if (r->nr < 0 || !r->nconds)
            continue;
        memset(fits, 0xff, sizeof(fits));
        for (unsigned c = 0; c < r->nconds; c++) {
            fits[r->conds[c].arg] &= ~(uint64_t)UINT32_MAX | ~r->conds[c].mask;
            fits[r->conds[c].arg] |= r->conds[c].value;
        }
        memcpy(high, fits, sizeof(high));
        for (unsigned c = 0; c < r->nconds; c++) {
            fits[r->conds[c].arg] &= UINT32_MAX;
            high[r->conds[c].arg] |= 0xdeadbeef00000000;
        }
        assert_int_not_equal(text_verdict(p, r->nr, fits), VERDICT_KILL);
        /* mapping with these arguments must not hurt the child: fd -1, length -1 */
        compare(kind, r->nr, fits);
        compare(kind, r->nr, high);
        for (unsigned c = 0; c < r->nconds; c++)
            for (unsigned bit = 0; bit < 32; bit++) {
                uint64_t other[6];

                memcpy(other, fits, sizeof(other));
                other[r->conds[c].arg] ^= 1ull << bit;
                /* what another line allows was tried there */
                if (text_verdict(p, r->nr, other) == VERDICT_KILL)
                    compare(kind, r->nr, other);
            }
    }
}

#define EACH_KIND(name, K) \
    static void name##_every_call_number_does_what_the_policy_says(void **state) \
    { \
        every_call(K); \
    } \
    static void name##_every_argument_rule_holds_in_32_bits(void **state) \
    { \
        every_condition(K); \
    }
EACH_KIND(warden, SANDBOX_WARDEN)
EACH_KIND(recorder, SANDBOX_RECORDER)
EACH_KIND(gate, SANDBOX_GATE)
EACH_KIND(parent, SANDBOX_PARENT)
EACH_KIND(forker, SANDBOX_FORKER)
EACH_KIND(save, SANDBOX_SAVE)

static void x32_numbers_are_killed(void **state)
{
    static const uint64_t zero[6];

    for (int k = 0; k < SANDBOX_KINDS; k++) {
        assert_int_equal(try_call(k, ARCH_X32 | SYS_getpid, zero), VERDICT_KILL);
        assert_int_equal(try_call(k, ARCH_X32 | SYS_write, zero), VERDICT_KILL);
        assert_int_equal(try_call(k, -1, zero), VERDICT_KILL);
    }
}

/* Call 20 is writev natively and getpid by int 0x80. */
static void the_i386_entry_is_killed(void **state)
{
    for (int k = 0; k < SANDBOX_KINDS; k++) {
        int status;
        pid_t pid = fork();

        if (!pid) {
            struct rlimit none = {0, 0};
            char why[128];
            long r = 20;

            setrlimit(RLIMIT_CORE, &none);
            if (sandbox_seccomp(k, false, why))
                _exit(120);
            __asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
            _exit(r > 0 ? 0 : 121);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
}

static void expect_kill(enum sandbox_kind kind, long nr, uint64_t a0, uint64_t a1, uint64_t a2,
                        uint64_t a3)
{
    uint64_t args[6] = {a0, a1, a2, a3, -1ull, 0};

    assert_int_equal(try_call(kind, nr, args), VERDICT_KILL);
}

/* By name, whatever somebody writes into the policy: what must not be possible. */
static void a_save_worker_cannot_do_what_the_design_forbids(void **state)
{
    const enum sandbox_kind k = SANDBOX_SAVE;
    const uint64_t high = 0x100000000;

    expect_kill(k, SYS_ioctl, 3, IOCTL_PRIVCMD_DM_OP, 0, 0);
    expect_kill(k, SYS_ioctl, 3, IOCTL_PRIVCMD_MMAP_RESOURCE, 0, 0);
    expect_kill(k, SYS_ioctl, 3, IOCTL_PRIVCMD_RESTRICT, 0, 0);
    expect_kill(k, SYS_ioctl, 3, IOCTL_PRIVCMD_HYPERCALL, 0, 0);
    expect_kill(k, SYS_ioctl, 3, IOCTL_PRIVCMD_MMAPBATCH, 0, 0);
    expect_kill(k, SYS_ioctl, 3, IOCTL_PRIVCMD_DM_OP | high, 0, 0);
    expect_kill(k, SYS_ioctl, 3, TIOCSTI, 0, 0);
    expect_kill(k, SYS_ioctl, 3, IOCTL_GNTDEV_MAP_GRANT_REF, 0, 0);
#ifndef MOAT_SANITIZED     /* tests/asan.policy allows these */
    for (int flags = 0; flags < 64; flags++)
        expect_kill(k, SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, (uint64_t)flags);
    expect_kill(k, SYS_open, -1ull, 0, 0, 0);
    expect_kill(k, SYS_openat, -1ull, 0, 0, 0);
    expect_kill(k, SYS_tgkill, -1ull, -1ull, 0, 0);
    expect_kill(k, SYS_prctl, -1ull, 0, 0, 0);
    expect_kill(k, SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
    expect_kill(k, SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    expect_kill(k, SYS_mprotect, 0, 4096, PROT_READ | PROT_EXEC, 0);
#endif
    for (const char *const *name = (const char *const[]){"sendmsg", "recvmsg", "execve",
         "execveat", "socket", "connect", "clone", "clone3", "fork", "vfork", "kill",
         "fcntl", "setsockopt", "seccomp", "unlink", "memfd_create", NULL};
         *name; name++) {
        uint32_t nr = 0;

        assert_true(text_find(text_calls, sizeof(text_calls) / sizeof(text_calls[0]), *name, &nr));
        expect_kill(k, (long)nr, -1ull, -1ull, -1ull, -1ull);
    }
    expect_kill(k, SYS_ptrace, 0, 0, 0, 0);
    expect_kill(k, SYS_process_vm_readv, 0, 0, 0, 0);
    expect_kill(k, SYS_io_uring_setup, 1, 0, 0, 0);
    expect_kill(k, SYS_sendmmsg, -1ull, 0, 0, 0);
}

/* The high-word trick: the kernel looks at 32 bits of an ioctl's number, so must the filter. */
static void an_ioctl_number_with_garbage_above_is_the_same_number(void **state)
{
    const uint64_t args[6] = {-1ull, IOCTL_PRIVCMD_MMAPBATCH_V2 | 0xffffffff00000000, 0, 0, 0, 0};

    assert_int_equal(try_call(SANDBOX_SAVE, SYS_ioctl, args), EBADF);
}

/* A worker's filter lies above the forker's: what that one forbids stays forbidden. */
static void the_forker_allows_what_its_workers_need(void **state)
{
    const struct text_policy *w = &policies[SANDBOX_SAVE];

    for (unsigned i = 0; i < w->n; i++) {
        uint64_t args[6] = {0};

        if (w->rules[i].nr < 0)
            continue;
        for (unsigned c = 0; c < w->rules[i].nconds; c++)
            args[w->rules[i].conds[c].arg] |= w->rules[i].conds[c].value;
        if (text_verdict(&policies[SANDBOX_FORKER], w->rules[i].nr, args) == VERDICT_KILL)
            print_error("save may %s, the forker not\n",
                        text_call_name((unsigned)w->rules[i].nr));
        assert_int_not_equal(text_verdict(&policies[SANDBOX_FORKER], w->rules[i].nr, args),
                             VERDICT_KILL);
    }
}

static void a_change_of_a_filter_shows_in_its_golden_file(void **state)
{
    for (int k = 0; k < SANDBOX_KINDS; k++) {
        const struct sandbox_filter *f = sandbox_filter(k);
        char *now = NULL, *then, path[128];
        size_t size = 0, n;
        FILE *out, *in;

        if (f->sources[1]) {
            /* A build with a supplement has another filter, and nobody installs it. */
            assert_null(strstr(f->sources[1], "policy/sandbox"));
            continue;
        }
        out = open_memstream(&now, &size);
        sandbox_dump(out, f->code, f->n, text_call_name);
        fclose(out);
        snprintf(path, sizeof(path), "policy/sandbox/golden/%s.txt", f->name);
        in = fopen(path, "r");
        assert_non_null(in);
        then = calloc(1, size + 2);
        n = fread(then, 1, size + 1, in);
        fclose(in);
        if (n != size || memcmp(now, then, size))
            print_error("%s differs: if the change is meant, copy build/gen/policy_%s.txt there\n",
                        path, f->name);
        assert_int_equal(n, size);
        assert_memory_equal(now, then, size);
        free(now);
        free(then);
    }
}

int main(void)
{
#define BOTH(name) \
    cmocka_unit_test(name##_every_call_number_does_what_the_policy_says), \
    cmocka_unit_test(name##_every_argument_rule_holds_in_32_bits)
    const struct CMUnitTest tests[] = {
        BOTH(warden), BOTH(recorder), BOTH(gate), BOTH(parent), BOTH(forker), BOTH(save),
        cmocka_unit_test(x32_numbers_are_killed),
        cmocka_unit_test(the_i386_entry_is_killed),
        cmocka_unit_test(a_save_worker_cannot_do_what_the_design_forbids),
        cmocka_unit_test(an_ioctl_number_with_garbage_above_is_the_same_number),
        cmocka_unit_test(the_forker_allows_what_its_workers_need),
        cmocka_unit_test(a_change_of_a_filter_shows_in_its_golden_file),
    };

    return cmocka_run_group_tests(tests, read_policies, NULL);
}
