/* SPDX-License-Identifier: LGPL-2.1-only */
/* Root, credentials, file descriptors, landlock, limits and the self-check, each in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/sandbox/landlock.h"
#include "policy/sandbox/sandbox.h"

#define TEST_UID 64123
#define AUDIT_WRITE (1ull << CAP_AUDIT_WRITE)

/* In a child an expectation that fails is its exit status: the line. */
#define NEED(x) \
    do { \
        if (!(x)) { \
            fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #x, why); \
            _exit(1); \
        } \
    } while (0)

static void in_child(void (*f)(char why[128]))
{
    char why[128] = "";
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid) {
        f(why);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void locked_save(char why[128])
{
    int status = open("/proc/self/status", O_RDONLY);

    NEED(!sandbox_become(TEST_UID, TEST_UID, 0, why));
    NEED(!sandbox_lock(SANDBOX_SAVE, status, TEST_UID, 0, why));
}

static void a_process_that_locked_itself_passes_its_check(void **state)
{
    in_child(locked_save);
}

static void locked_recorder(char why[128])
{
    int status = open("/proc/self/status", O_RDONLY);

    NEED(!sandbox_become(TEST_UID, TEST_UID, AUDIT_WRITE, why));
    NEED(!sandbox_lock(SANDBOX_RECORDER, status, TEST_UID, AUDIT_WRITE, why));
}

static void the_recorder_keeps_exactly_one_capability(void **state)
{
    in_child(locked_recorder);
}

/* Over an exec by a static program as the launcher does it. */
static void exec_keeps(char why[128])
{
    char *argv[] = {(char *)"grep", (char *)"-qE",
                    (char *)"^CapEff:.0000000020000000$", (char *)"/proc/self/status", NULL};

    NEED(!sandbox_become(TEST_UID, TEST_UID, AUDIT_WRITE, why));
    execve("/bin/grep", argv, NULL);
    NEED(false);
}

static void the_recorders_capability_survives_exec(void **state)
{
    in_child(exec_keeps);
}

static void without(char why[128])
{
    int status = open("/proc/self/status", O_RDONLY);
    int r;

    /* nothing was given up */
    NEED(sandbox_check(status, 0, 0, why));
    NEED(strstr(why, "not locked"));
    /* a uid that is not ours */
    NEED(sandbox_check(status, TEST_UID, 0, why));
    NEED(strstr(why, "Uid"));
    /* all but the filter */
    NEED(!sandbox_become(TEST_UID, TEST_UID, 0, why));
    NEED(sandbox_check(status, TEST_UID, 0, why));
    NEED(strstr(why, "Seccomp"));
    /* somebody else's status */
    r = open("/proc/1/status", O_RDONLY);
    NEED(sandbox_check(r, 0, 0, why));
    NEED(strstr(why, "Pid"));
    NEED(sandbox_check(-1, TEST_UID, 0, why));
}

static void a_process_that_is_not_locked_is_told_so(void **state)
{
    in_child(without);
}

static void too_much(char why[128])
{
    int status = open("/proc/self/status", O_RDONLY);

    NEED(!sandbox_become(TEST_UID, TEST_UID, AUDIT_WRITE, why));
    NEED(!sandbox_seccomp(SANDBOX_RECORDER, false, why));
    NEED(sandbox_check(status, TEST_UID, 0, why));
    NEED(strstr(why, "Cap"));
}

static void one_capability_too_many_fails_the_check(void **state)
{
    in_child(too_much);
}

static void no_way_back(char why[128])
{
    gid_t groups[4];

    NEED(!sandbox_become(TEST_UID, TEST_UID, 0, why));
    NEED(getgroups(4, groups) == 0);
    NEED(setresuid(0, 0, 0) && errno == EPERM);
    NEED(setresgid(0, 0, 0) && errno == EPERM);
    NEED(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0);
    NEED(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    NEED(access("/etc/shadow", R_OK) && errno == EACCES);
}

static void becoming_is_for_good(void **state)
{
    in_child(no_way_back);
}

/* uid 0 with a short list: what the supervisor does to itself. */
static void short_list(char why[128])
{
    const uint64_t caps = 1ull << CAP_KILL | 1ull << CAP_SETUID | 1ull << CAP_SETGID |
                          1ull << CAP_SETPCAP;
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2];
    int status;

    NEED(!sandbox_become(0, 0, caps, why));
    NEED(!syscall(SYS_capget, &h, d));
    NEED((d[0].effective | (uint64_t)d[1].effective << 32) == caps);
    NEED((d[0].permitted | (uint64_t)d[1].permitted << 32) == caps);
    NEED(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0);
    NEED(unshare(CLONE_NEWNS) && errno == EPERM);
    /* and from there to nothing */
    status = open("/proc/self/status", O_RDONLY);
    NEED(!sandbox_become(TEST_UID, TEST_UID, 0, why));
    NEED(!sandbox_seccomp(SANDBOX_GATE, false, why));
    NEED(!sandbox_check(status, TEST_UID, 0, why));
}

static void root_with_a_short_list_can_give_up_the_rest_later(void **state)
{
    in_child(short_list);
}

static int fill(const char *newroot, void *u)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/null", newroot);
    if (mknod(path, S_IFCHR | 0666, makedev(1, 3)))
        return -errno;
    *(int *)u = 1;
    return 0;
}

static void private_root(char why[128])
{
    int filled = 0, names = 0, fd;
    struct sandbox_root root = {.dev = true, .setup = fill, .u = &filled};
    struct dirent *e;
    DIR *d;

    NEED(!sandbox_new_root(&root, why));
    NEED(filled);
    d = opendir("/");
    NEED(d);
    while ((e = readdir(d)))
        if (e->d_name[0] != '.')
            names++;
    NEED(names == 1);
    NEED(access("/proc", F_OK) && access("/etc", F_OK) && access("/../etc", F_OK));
    NEED(mkdir("/x", 0700) && errno == EROFS);
    fd = open("/null", O_RDWR);
    NEED(fd >= 0);
    /* libcap-ng must not need /proc */
    NEED(!sandbox_become(TEST_UID, TEST_UID, 0, why));
    NEED(umount2("/", MNT_DETACH) && errno == EPERM);
}

static void a_new_root_holds_what_it_was_given_and_nothing_else(void **state)
{
    in_child(private_root);
}

static int refuse(const char *newroot, void *u)
{
    return -ENODEV;
}

static void bad_setup(char why[128])
{
    struct sandbox_root root = {.setup = refuse};

    NEED(sandbox_new_root(&root, why) == -ENODEV);
    NEED(strstr(why, "fill"));
}

static void a_root_that_cannot_be_filled_is_an_error(void **state)
{
    in_child(bad_setup);
}

static void no_files(char why[128])
{
    int dir = open("/tmp", O_RDONLY | O_DIRECTORY), s;

    NEED(dir >= 0);
    NEED(!sandbox_landlock_deny(why));
    NEED(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
    NEED(openat(dir, "x", O_CREAT | O_WRONLY, 0600) < 0 && errno == EACCES);
    /* a folder that was handed over is no way around it */
    NEED(openat(dir, ".", O_RDONLY | O_DIRECTORY) < 0 && errno == EACCES);
    s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    NEED(s >= 0);
}

static void landlock_leaves_no_file_not_even_below_an_open_folder(void **state)
{
    in_child(no_files);
}

static void one_folder(char why[128])
{
    char path[] = "/tmp/moat-lock-XXXXXX", name[64];
    int dir, fd;

    NEED(mkdtemp(path));
    dir = open(path, O_RDONLY | O_DIRECTORY);
    NEED(!sandbox_landlock_only(dir, LANDLOCK_READ_FILE | LANDLOCK_WRITE_FILE | LANDLOCK_MAKE_REG |
                                LANDLOCK_REMOVE_FILE | LANDLOCK_TRUNCATE, why));
    fd = openat(dir, "a.new", O_CREAT | O_TRUNC | O_RDWR, 0600);
    NEED(fd >= 0);
    NEED(!renameat(dir, "a.new", dir, "a"));
    snprintf(name, sizeof(name), "%s/../moat-other", path);
    NEED(open(name, O_CREAT | O_WRONLY, 0600) < 0 && errno == EACCES);
    NEED(!unlinkat(dir, "a", 0));
}

static void an_exception_for_one_folder_is_for_that_one(void **state)
{
    in_child(one_folder);
    assert_int_equal(system("rmdir /tmp/moat-lock-*"), 0);
}

static void only_kept(char why[128])
{
    const int keep[] = {9, 0, 2, 5, -1, 1};

    for (int fd = 3; fd < 40; fd++)
        dup2(0, fd);
    dup2(0, 900);
    sandbox_close_fds(keep, sizeof(keep) / sizeof(keep[0]));
    for (int fd = 0; fd < 1024; fd++) {
        bool kept = fd == 0 || fd == 1 || fd == 2 || fd == 5 || fd == 9;

        NEED((fcntl(fd, F_GETFD) >= 0) == kept);
    }
    sandbox_close_fds(NULL, 0);
    NEED(fcntl(0, F_GETFD) < 0);
}

static void every_fd_but_the_kept_ones_is_closed(void **state)
{
    in_child(only_kept);
}

static void limits(char why[128])
{
    struct rlimit l;

    NEED(!sandbox_become(TEST_UID, TEST_UID, 0, why));
    NEED(!sandbox_rlimits(SANDBOX_SAVE, why));
    NEED(!getrlimit(RLIMIT_CORE, &l) && l.rlim_max == 0);
    NEED(!getrlimit(RLIMIT_NPROC, &l) && l.rlim_max == 0);
    NEED(fork() < 0 && errno == EAGAIN);
    NEED(!getrlimit(RLIMIT_FSIZE, &l) && l.rlim_max == RLIM_INFINITY);
    l.rlim_cur = l.rlim_max = 100;
    NEED(setrlimit(RLIMIT_NPROC, &l) && errno == EPERM);
    NEED(!sandbox_rlimits(SANDBOX_GATE, why));
    NEED(!getrlimit(RLIMIT_FSIZE, &l) && l.rlim_max <= 64 << 20);
}

static void a_worker_has_no_core_and_no_child(void **state)
{
    in_child(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_locked_itself_passes_its_check),
        cmocka_unit_test(the_recorder_keeps_exactly_one_capability),
        cmocka_unit_test(the_recorders_capability_survives_exec),
        cmocka_unit_test(a_process_that_is_not_locked_is_told_so),
        cmocka_unit_test(one_capability_too_many_fails_the_check),
        cmocka_unit_test(becoming_is_for_good),
        cmocka_unit_test(root_with_a_short_list_can_give_up_the_rest_later),
        cmocka_unit_test(a_new_root_holds_what_it_was_given_and_nothing_else),
        cmocka_unit_test(a_root_that_cannot_be_filled_is_an_error),
        cmocka_unit_test(landlock_leaves_no_file_not_even_below_an_open_folder),
        cmocka_unit_test(an_exception_for_one_folder_is_for_that_one),
        cmocka_unit_test(every_fd_but_the_kept_ones_is_closed),
        cmocka_unit_test(a_worker_has_no_core_and_no_child),
    };

    if (geteuid()) {
        fprintf(stderr, "test_lock: must be run as root: it becomes another user\n");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
