/* SPDX-License-Identifier: LGPL-2.1-only */
/* Children of fork(2) that go on without exec, and the descriptors that they must not keep. */
#include "tests/unit/lib/kids.h"

#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

static const libxl_childproc_hooks always = { libxl_sigchld_owner_libxl_always, NULL, NULL };

static libxl_ctx *new_ctx(void)
{
    libxl_ctx *c;

    assert_int_equal(libxl_ctx_alloc(&c, LIBXL_VERSION, 0, &test_logger), 0);
    return c;
}

/* In the child a failed assertion is its exit status: the number of the line. */
#define CHILD_ASSERT(e) do { if (!(e)) _exit(__LINE__ % 251 + 1); } while (0)

/* Run f in a child of fork(2); a child that hangs is killed and fails. */
static void in_child(void (*f)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(30);
        f();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---------- libxl_postfork_child_noexec ---------- */

static libxl_ctx *second;
static int fds_idle;                                    /* with no ctx in use */

static void a_new_life(void)
{
    struct kid k;

    libxl_postfork_child_noexec(second);
    CHILD_ASSERT(count_fds() == fds_idle);
    CHILD_ASSERT(sigchld_handler() == SIG_DFL);
    libxl_postfork_child_noexec(ctx);                   /* once more does no harm */
    raise(SIGCHLD);

    CHILD_ASSERT(!libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &test_logger));
    libxl_childproc_setmode(ctx, &always, NULL);
    CHILD_ASSERT(sigchld_handler() != SIG_DFL);
    CHILD_ASSERT(try_kid(ctx, &k, 5) > 0);
    loop_until(ctx, &k.deaths, 1);
    CHILD_ASSERT(k.status == 5 << 8);
    libxl_ctx_free(ctx);
    CHILD_ASSERT(count_fds() == fds_idle);
    CHILD_ASSERT(sigchld_handler() == SIG_DFL);
}

static void t17_postfork_ends_all_contexts_and_the_child_may_have_new_ones(void **state)
{
    struct kid a, b;
    uint64_t n;

    (void)state;
    fds_idle = count_fds();
    second = new_ctx();
    libxl_childproc_setmode(ctx, &always, NULL);
    libxl_childproc_setmode(second, &always, NULL);
    fork_kid(ctx, &a, -1);
    fork_kid(second, &b, -1);
    loop_for(ctx, 3);
    loop_for(second, 3);
    assert_true(count_fds() > fds_idle);
    assert_int_equal(read(ctx->childproc->efd, &n, sizeof(n)), -1);

    in_child(a_new_life);
    /* Its raise(SIGCHLD) was not told to us: what the eventfd has is the child's own death. */
    assert_int_equal(read(ctx->childproc->efd, &n, sizeof(n)), sizeof(n));
    assert_int_equal(n, 1);

    kill(a.pid, SIGKILL);
    kill(b.pid, SIGKILL);
    loop_until(ctx, &a.deaths, 1);
    loop_until(second, &b.deaths, 1);
    assert_int_equal(libxl_ctx_free(second), 0);
}

/* Another thread may hold any lock at the moment of the fork. */
static atomic_bool busy;
static void *use_everything(void *arg)
{
    libxl_ctx *c = arg;

    while (atomic_load(&busy)) {
        libxl_ctx *tmp = new_ctx();

        libxl_childproc_setmode(tmp, &always, NULL);
        libxl__ctx_lock(c);
        kill(getpid(), SIGCHLD);
        libxl_ctx_free(tmp);
        libxl__ctx_unlock(c);
    }
    return NULL;
}

static void only_postfork(void)
{
    libxl_postfork_child_noexec(ctx);
    CHILD_ASSERT(count_fds() == fds_idle);
    CHILD_ASSERT(sigchld_handler() == SIG_DFL);
}

static void t17_postfork_works_whatever_other_threads_were_doing(void **state)
{
    pthread_t t;
    int i;

    (void)state;
    fds_idle = count_fds();
    second = new_ctx();
    atomic_store(&busy, true);
    assert_int_equal(pthread_create(&t, NULL, use_everything, second), 0);
    for (i = 0; i < 100; i++)
        in_child(only_postfork);
    atomic_store(&busy, false);
    pthread_join(t, NULL);
    assert_int_equal(libxl_ctx_free(second), 0);
}

/* A child that does not say it is one hears SIGCHLD in the parent's handler; that goes nowhere. */
static void only_raise(void)
{
    int i;

    for (i = 0; i < 10; i++)
        raise(SIGCHLD);
}

static void a_childs_sigchld_is_not_the_parents(void **state)
{
    uint64_t n;

    (void)state;
    libxl_childproc_setmode(ctx, &always, NULL);
    assert_int_equal(read(ctx->childproc->efd, &n, sizeof(n)), sizeof(n));
    in_child(only_raise);
    assert_int_equal(read(ctx->childproc->efd, &n, sizeof(n)), sizeof(n));
    assert_int_equal(n, 1);
    libxl_childproc_setmode(ctx, NULL, NULL);
}

/* ---------- a child that the library forked ---------- */

static void a_child_of_the_librarys_may_go_on_without_exec_too(void **state)
{
    struct kid k, other;

    (void)state;
    fds_idle = count_fds();
    second = ctx;
    fork_kid(ctx, &other, -1);
    k = (struct kid){ .status = -1 };
    k.pid = moat_child_fork(ctx, kid_exited, &k, &k.child);
    if (!k.pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(30);
        a_new_life();
        _exit(0);
    }
    loop_until(ctx, &k.deaths, 1);
    assert_int_equal(k.status, 0);
    kill(other.pid, SIGKILL);
    loop_until(ctx, &other.deaths, 1);
}

/* ---------- carefds ---------- */

static void every_descriptor_of_the_librarys_is_close_on_exec(void **state)
{
    struct kid k;
    int fd, seen = 0;

    (void)state;
    libxl_childproc_setmode(ctx, &always, NULL);
    fork_kid(ctx, &k, -1);
    loop_for(ctx, 1);
    for (fd = 3; fd < 256; fd++) {
        char link[64], path[32];
        ssize_t len;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        len = readlink(path, link, sizeof(link) - 1);
        if (len < 0)
            continue;
        link[len] = '\0';
        if (strncmp(link, "anon_inode:", 11))
            continue;
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        seen++;
    }
    assert_in_range(seen, 3, 20);                       /* epoll set, eventfd, pidfd at least */
    kill(k.pid, SIGKILL);
    loop_until(ctx, &k.deaths, 1);
}

static int has_timerfd(void)
{
    char link[64], path[32];
    ssize_t len;
    int fd;

    for (fd = 0; fd < 64; fd++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        len = readlink(path, link, sizeof(link) - 1);
        if (len < 0)
            continue;
        link[len] = '\0';
        if (!strcmp(link, "anon_inode:[timerfd]"))
            return 1;
    }
    return 0;
}

static void no_timerfd(void)
{
    libxl_postfork_child_noexec(ctx);
    CHILD_ASSERT(!has_timerfd());
}

static atomic_int opened;
static void *open_and_close(void *arg)
{
    int fd;

    (void)arg;
    while (atomic_load(&busy)) {
        libxl__carefd_begin();
        fd = libxl__carefd_record(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
        if (fd >= 0)
            atomic_fetch_add(&opened, 1);
        libxl__carefd_close(fd);
    }
    return NULL;
}

static void t18_no_fork_comes_between_a_carefd_and_its_entry(void **state)
{
    pthread_t t;
    int i;

    (void)state;
    atomic_store(&busy, true);
    assert_int_equal(pthread_create(&t, NULL, open_and_close, NULL), 0);
    for (i = 0; i < 300; i++)
        in_child(no_timerfd);
    atomic_store(&busy, false);
    pthread_join(t, NULL);
    assert_true(atomic_load(&opened) > 0);
}

static void *no_memory(void *old, size_t bytes)
{
    (void)old, (void)bytes;
    return NULL;
}

/* An fd higher than any before needs memory for its entry. */
static void carefds_fail_whole_and_release_the_lock(void **state)
{
    struct rlimit old, lim;
    int p[2], fds = count_fds(), high;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    lim = old;
    lim.rlim_cur = lim.rlim_max < 20000 ? lim.rlim_max : 20000;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
    high = (int)lim.rlim_cur - 10;

    libxl__carefds_allocate = no_memory;
    libxl__carefd_begin();
    errno = 0;
    assert_int_equal(libxl__carefd_record(fcntl(0, F_DUPFD_CLOEXEC, high)), -1);
    assert_int_equal(errno, ENOMEM);
    libxl__carefd_begin();                              /* T18: it is not held any more */
    p[0] = dup(0);
    p[1] = fcntl(0, F_DUPFD_CLOEXEC, high);
    assert_int_equal(libxl__carefd_record_pair(0, p), -1);
    assert_int_equal(errno, ENOMEM);
    libxl__carefds_allocate = realloc;

    libxl__carefd_begin();
    errno = EMFILE;
    assert_int_equal(libxl__carefd_record(-1), -1);
    assert_int_equal(errno, EMFILE);
    libxl__carefd_begin();
    errno = EMFILE;
    assert_int_equal(libxl__carefd_record_pair(-1, p), -1);
    assert_int_equal(errno, EMFILE);
    assert_int_equal(count_fds(), fds);

    libxl__carefd_begin();
    assert_int_equal(libxl__carefd_record_pair(pipe2(p, O_CLOEXEC), p), 0);
    libxl__carefd_close(p[0]);
    libxl__carefd_close(p[1]);
    libxl__carefd_close(-1);
    assert_int_equal(count_fds(), fds);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIDS_TEST(t17_postfork_ends_all_contexts_and_the_child_may_have_new_ones),
        KIDS_TEST(t17_postfork_works_whatever_other_threads_were_doing),
        KIDS_TEST(a_childs_sigchld_is_not_the_parents),
        KIDS_TEST(a_child_of_the_librarys_may_go_on_without_exec_too),
        KIDS_TEST(every_descriptor_of_the_librarys_is_close_on_exec),
        KIDS_TEST(t18_no_fork_comes_between_a_carefd_and_its_entry),
        KIDS_TEST(carefds_fail_whole_and_release_the_lock),
    };

    return cmocka_run_group_tests_name("lib: fork", tests, NULL, NULL);
}
