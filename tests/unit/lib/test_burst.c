/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * T15: a thousand children die at one moment; two contexts, each with a thread of its own, tell
 * each death exactly once, whoever owns SIGCHLD.  ROUNDS_BURST (3) rounds of each; SEED makes a run
 * repeat its choices.
 */
#include "tests/unit/lib/kids.h"

#include <stdatomic.h>

#if defined(MOAT_SANITIZED) || defined(__SANITIZE_THREAD__)
#define SLOWER 10                                       /* so many times fewer rounds */
#else
#define SLOWER 1
#endif
#define PER_CTX 500
#define STRANGERS 50                                    /* children of the application's, by fork */

struct burst_kid {
    pid_t pid, told_pid;
    int want, status;
    atomic_int deaths;
};

struct side {
    libxl_ctx *ctx;
    struct burst_kid kids[PER_CTX];
    pthread_t thread;
    unsigned seed;
    bool all_strangers;                                 /* stay until they are told, too */
};
static struct side sides[2];

static struct stranger {
    pid_t pid;
    int want, status;
    atomic_int deaths;
} strangers[STRANGERS];

static atomic_int dead, strangers_dead;
static atomic_int wrong;                                /* what a thread could not assert */
static atomic_bool give_up;
static pthread_barrier_t all_forked;
static int gate[2];                                     /* closed: everybody dies */

static void burst_exited(libxl_ctx *c, moat_child *child, pid_t pid, int status, void *user)
{
    struct burst_kid *k = user;

    (void)c, (void)child;
    k->told_pid = pid;
    k->status = status;
    atomic_fetch_add(&k->deaths, 1);
    atomic_fetch_add(&dead, 1);
}

static int burst_stranger(pid_t pid, int status, void *user)
{
    int i;

    (void)user;
    for (i = 0; i < STRANGERS && strangers[i].pid != pid; i++)
        ;
    if (i == STRANGERS) {
        atomic_fetch_add(&wrong, 1);
        return ERROR_UNKNOWN_CHILD;
    }
    strangers[i].status = status;
    atomic_fetch_add(&strangers[i].deaths, 1);
    atomic_fetch_add(&strangers_dead, 1);
    return 0;
}

/* ---------- children ---------- */

static int choose_end(unsigned x)
{
    return x / 8 % 8 ? (int)(x / 64 % 250) << 8 : SIGKILL;
}

/* One in eight dies before the burst. */
static void burst_child(unsigned x)
{
    int end = choose_end(x);
    char c;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(gate[1]);
    if (x % 8 && read(gate[0], &c, 1))
        _exit(255);
    if (WIFSIGNALED(end))
        kill(getpid(), WTERMSIG(end));
    _exit(WEXITSTATUS(end));
}

static void fork_strangers(unsigned *seed)
{
    int i;

    for (i = 0; i < STRANGERS; i++) {
        unsigned x = (unsigned)rand_r(seed);

        strangers[i] = (struct stranger){ .want = choose_end(x) };
        strangers[i].pid = fork();
        assert_true(strangers[i].pid >= 0);
        if (!strangers[i].pid)
            burst_child(x);
    }
}

/* ---------- the threads ---------- */

static bool side_done(const struct side *s)
{
    return (atomic_load(&dead) == 2 * PER_CTX &&
            (!s->all_strangers || atomic_load(&strangers_dead) == STRANGERS)) ||
           atomic_load(&give_up);
}

static void *side_thread(void *arg)
{
    struct side *s = arg;
    int i;

    for (i = 0; i < PER_CTX; i++) {
        struct burst_kid *k = &s->kids[i];
        unsigned x = (unsigned)rand_r(&s->seed);

        *k = (struct burst_kid){ .want = choose_end(x) };
        k->pid = moat_child_fork(s->ctx, burst_exited, k, NULL);
        if (!k->pid)
            burst_child(x);
        if (k->pid < 0)
            atomic_fetch_add(&wrong, 1);
    }
    pthread_barrier_wait(&all_forked);
    while (!side_done(s))
        loop_for(s->ctx, 1);
    return NULL;
}

/* ---------- modes ---------- */

static void reap_and_tell(void)
{
    int status, rc;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        rc = libxl_childproc_reaped(sides[0].ctx, pid, status);
        if (rc == ERROR_UNKNOWN_CHILD)
            rc = libxl_childproc_reaped(sides[1].ctx, pid, status);
        if (rc)
            burst_stranger(pid, status, NULL);
    }
}

static void tell_of_sigchld(void)
{
    libxl_childproc_sigchld_occurred(sides[0].ctx);
    libxl_childproc_sigchld_occurred(sides[1].ctx);
}

static const struct mode {
    libxl_childproc_hooks hooks;
    void (*on_sigchld)(void);                           /* the application owns it */
    bool all_strangers;
} modes[] = {
    { { libxl_sigchld_owner_libxl, NULL, NULL }, NULL, false },
    { { libxl_sigchld_owner_libxl, NULL, burst_stranger }, NULL, false },
    { { libxl_sigchld_owner_mainloop, NULL, NULL }, reap_and_tell, true },
    { { libxl_sigchld_owner_mainloop, NULL, NULL }, tell_of_sigchld, false },
    { { libxl_sigchld_owner_libxl_always, NULL, burst_stranger }, NULL, true },
    { { libxl_sigchld_owner_libxl_always_selective_reap, NULL, NULL }, NULL, false },
};

static void block_sigchld(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    assert_int_equal(pthread_sigmask(how, &set, NULL), 0);
}

/* The main thread's part, until all are dead and told. */
static void own_sigchld(const struct mode *m)
{
    const struct timespec moment = { .tv_nsec = 20 * 1000 * 1000 };
    int64_t end = mono_ms() + 120 * 1000;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    while (!side_done(&sides[0]) && mono_ms() < end) {
        if (!m->on_sigchld)
            sleep_ms(5);
        else if (sigtimedwait(&set, NULL, &moment) == SIGCHLD || !atomic_load(&dead))
            m->on_sigchld();
    }
    atomic_store(&give_up, true);
}

static void check_strangers(const struct mode *m)
{
    int i, status;

    for (i = 0; i < STRANGERS; i++) {
        struct stranger *s = &strangers[i];

        if (!atomic_load(&s->deaths) && !m->all_strangers)      /* nobody took it: it is here */
            assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
        else
            status = s->status;
        assert_in_range(atomic_load(&s->deaths), m->all_strangers, 1);
        assert_int_equal(status, s->want);
    }
}

static void check_side(struct side *s)
{
    int i;

    for (i = 0; i < PER_CTX; i++) {
        assert_int_equal(atomic_load(&s->kids[i].deaths), 1);
        assert_int_equal(s->kids[i].told_pid, s->kids[i].pid);
        assert_int_equal(s->kids[i].status, s->kids[i].want);
    }
}

static void burst(const struct mode *m, unsigned seed)
{
    int i;

    atomic_store(&dead, 0);
    atomic_store(&strangers_dead, 0);
    atomic_store(&wrong, 0);
    atomic_store(&give_up, false);
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    assert_int_equal(pthread_barrier_init(&all_forked, NULL, 3), 0);
    if (m->on_sigchld)
        block_sigchld(SIG_BLOCK);                       /* before there are threads */
    fork_strangers(&seed);
    for (i = 0; i < 2; i++) {
        sides[i].seed = (unsigned)rand_r(&seed);
        sides[i].all_strangers = m->all_strangers;
        libxl_childproc_setmode(sides[i].ctx, &m->hooks, NULL);
        assert_int_equal(pthread_create(&sides[i].thread, NULL, side_thread, &sides[i]), 0);
    }
    pthread_barrier_wait(&all_forked);
    close(gate[1]);
    own_sigchld(m);
    for (i = 0; i < 2; i++) {
        pthread_join(sides[i].thread, NULL);
        libxl_childproc_setmode(sides[i].ctx, NULL, NULL);
    }
    if (m->on_sigchld)
        block_sigchld(SIG_UNBLOCK);
    close(gate[0]);
    pthread_barrier_destroy(&all_forked);

    assert_int_equal(atomic_load(&wrong), 0);
    assert_int_equal(disasters, 0);
    check_side(&sides[0]);
    check_side(&sides[1]);
    check_strangers(m);
    assert_no_children();
    assert_ptr_equal(sigchld_handler(), SIG_DFL);
    assert_string_equal(last_log, "");
}

static unsigned env_number(const char *name, unsigned otherwise)
{
    const char *s = getenv(name);

    return s ? (unsigned)strtoul(s, NULL, 10) : otherwise;
}

static void bursts(const struct mode *m)
{
    unsigned round, rounds = (env_number("ROUNDS_BURST", 3) + SLOWER - 1) / SLOWER;
    unsigned seed = env_number("SEED", (unsigned)time(NULL));
    int64_t begin = mono_ms();
    struct rlimit lim;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
    if (lim.rlim_cur < 2 * PER_CTX + 100) {
        lim.rlim_cur = 2 * PER_CTX + 100;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
    }
    sides[0].ctx = ctx;
    assert_int_equal(libxl_ctx_alloc(&sides[1].ctx, LIBXL_VERSION, 0, &test_logger), 0);
    libxl_event_register_callbacks(sides[1].ctx, &survive_disasters, NULL);
    for (round = 0; round < rounds; round++) {
        printf("# round %u of %u, SEED=%u\n", round + 1, rounds, seed + round);
        fflush(stdout);
        burst(m, seed + round);
    }
    printf("# %u rounds of %d children: %lld ms\n", rounds, 2 * PER_CTX,
           (long long)(mono_ms() - begin));
    assert_int_equal(libxl_ctx_free(sides[1].ctx), 0);
}

#define EVERY_DEATH_ONCE(name, number) \
    static void t15_every_death_of_a_burst_is_told_once_##name(void **state) \
    { \
        (void)state; \
        bursts(&modes[number]); \
    }
EVERY_DEATH_ONCE(when_libxl_owns_sigchld, 0)
EVERY_DEATH_ONCE(when_libxl_waits_for_strangers_too, 1)
EVERY_DEATH_ONCE(when_the_mainloop_waits_and_tells, 2)
EVERY_DEATH_ONCE(when_the_mainloop_passes_sigchld_on, 3)
EVERY_DEATH_ONCE(when_libxl_always_owns_sigchld, 4)
EVERY_DEATH_ONCE(when_reaping_is_selective, 5)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIDS_TEST(t15_every_death_of_a_burst_is_told_once_when_libxl_owns_sigchld),
        KIDS_TEST(t15_every_death_of_a_burst_is_told_once_when_libxl_waits_for_strangers_too),
        KIDS_TEST(t15_every_death_of_a_burst_is_told_once_when_the_mainloop_waits_and_tells),
        KIDS_TEST(t15_every_death_of_a_burst_is_told_once_when_the_mainloop_passes_sigchld_on),
        KIDS_TEST(t15_every_death_of_a_burst_is_told_once_when_libxl_always_owns_sigchld),
        KIDS_TEST(t15_every_death_of_a_burst_is_told_once_when_reaping_is_selective),
    };

    return cmocka_run_group_tests_name("lib: burst", tests, NULL, NULL);
}
