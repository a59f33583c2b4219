/* SPDX-License-Identifier: LGPL-2.1-only */
/* libxl's files of a domain: opened, removed and noted as libxl itself would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>

#include "policy/launch/launch.h"
#include "tests/unit/launch/launch_test.h"

#define ID "7.01020304-0506-0708-090a-0b0c0d0e0f10"
#define DATA XEN_LIB_DIR "/userdata-d." ID ".libxl-json"
#define LOCK XEN_LIB_DIR "/userdata-l." ID ".domain-userdata-lock"

static const uint8_t handle[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static int host(void **state)
{
    private_host();
    return 0;
}

static int clean(void **state)
{
    unlink(DATA);
    unlink(LOCK);
    return 0;
}

static void the_config_is_opened_read_only(void **state)
{
    char buf[16] = "";
    int fd;

    write_text(DATA, "{}");
    fd = launch_open_config(7, handle);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, buf, sizeof(buf)), 2);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(access(LOCK, F_OK), -1);   /* unlocked as libxl unlocks: by unlink */
    close(fd);
}

static void another_domain_has_no_config(void **state)
{
    const uint8_t other[16] = {1};

    write_text(DATA, "{}");
    assert_int_equal(launch_open_config(8, handle), -ENOENT);
    assert_int_equal(launch_open_config(7, other), -ENOENT);
}

static void what_is_no_regular_file_is_refused(void **state)
{
    assert_int_equal(symlink("/etc/passwd", DATA), 0);
    assert_int_equal(launch_open_config(7, handle), -ELOOP);
    unlink(DATA);
    assert_int_equal(mkfifo(DATA, 0600), 0);
    assert_int_equal(launch_open_config(7, handle), -EINVAL);
    unlink(DATA);
    assert_int_equal(symlink("/etc/passwd", LOCK), 0);
    write_text(DATA, "{}");
    assert_int_equal(launch_open_config(7, handle), -ELOOP);
}

static void a_held_lock_is_respected_and_waited_for_2_s(void **state)
{
    struct timespec a, b;
    int fd = open(LOCK, O_RDWR | O_CREAT, 0600);

    write_text(DATA, "{}");
    assert_int_equal(flock(fd, LOCK_EX), 0);
    clock_gettime(CLOCK_MONOTONIC, &a);
    assert_int_equal(launch_open_config(7, handle), -ETIMEDOUT);
    clock_gettime(CLOCK_MONOTONIC, &b);
    assert_in_range(b.tv_sec - a.tv_sec, 1, 4);
    assert_int_equal(access(LOCK, F_OK), 0);    /* it is not ours to remove */
    close(fd);
    fd = launch_open_config(7, handle);
    assert_true(fd >= 0);
    close(fd);
}

static void only_this_domains_userdata_is_removed(void **state)
{
    static const char *const stay[] = {
        XEN_LIB_DIR "/userdata-d.70.01020304-0506-0708-090a-0b0c0d0e0f10.libxl-json",
        XEN_LIB_DIR "/userdata-d.7.11020304-0506-0708-090a-0b0c0d0e0f10.libxl-json",
        XEN_LIB_DIR "/userdata-dd." ID ".libxl-json", XEN_LIB_DIR "/userdata-d." ID,
        XEN_LIB_DIR "/xenstored.db",
    };

    for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++)
        write_text(stay[i], "x");
    write_text(DATA, "{}");
    write_text(XEN_LIB_DIR "/userdata-n." ID ".xl", "x");
    assert_int_equal(launch_remove_userdata(7, handle), 0);
    assert_int_equal(access(DATA, F_OK), -1);
    assert_int_equal(access(XEN_LIB_DIR "/userdata-n." ID ".xl", F_OK), -1);
    assert_int_equal(access(LOCK, F_OK), -1);
    for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++)
        assert_int_equal(unlink(stay[i]), 0);
    assert_int_equal(launch_remove_userdata(7, handle), 0);     /* again: nothing to do */
}

static void a_destroyed_domid_is_noted_as_libxl_notes_it(void **state)
{
    char text[128], expected[128];
    struct timespec now;
    FILE *f;
    size_t n;

    clock_gettime(CLOCK_MONOTONIC, &now);
    /* one that is still recent, one that is not (if the host has been up for so long) */
    snprintf(text, sizeof(text), "%lld 5\n%lld 6\n", (long long)now.tv_sec - 100,
             (long long)now.tv_sec - 10);
    write_text(XEN_RUN_DIR "/domid-history", now.tv_sec > 100 ? text : strchr(text, '\n') + 1);
    assert_int_equal(launch_mark_domid(7), 0);
    f = fopen(XEN_RUN_DIR "/domid-history", "r");
    assert_non_null(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = 0;
    fclose(f);
    snprintf(expected, sizeof(expected), "%lld 6\n%lld 7\n", (long long)now.tv_sec - 10,
             (long long)now.tv_sec);
    assert_string_equal(text, expected);
    assert_int_equal(access(XEN_RUN_DIR "/domid-history.new", F_OK), -1);
    assert_int_equal(access(XEN_RUN_DIR "/domid-history.lock", F_OK), -1);
}

/* In place of the domctl: what the helper does around it. */
static int domctl_result;
int launch_destroy_domain(uint32_t domid, const uint8_t h[16])
{
    return domid == 7 && !memcmp(h, handle, 16) ? domctl_result : -EBADMSG;
}

static int destroy_status(uint32_t domid)
{
    int status;
    pid_t pid = launch_destroy(domid, handle);

    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_helper_destroys_and_then_cleans_up(void **state)
{
    write_text(DATA, "{}");
    domctl_result = 0;
    assert_int_equal(destroy_status(7), 0);
    assert_int_equal(access(DATA, F_OK), -1);
}

static void a_domain_that_cannot_be_destroyed_keeps_its_files(void **state)
{
    write_text(DATA, "{}");
    domctl_result = -EPERM;
    assert_int_equal(destroy_status(7), EPERM);
    assert_int_equal(access(DATA, F_OK), 0);
}

static void dom0_and_reserved_domids_are_never_destroyed(void **state)
{
    assert_int_equal(launch_destroy(0, handle), -EINVAL);
    for (uint32_t domid = 0x7ff0; domid < 0x8000; domid++)
        assert_int_equal(launch_destroy(domid, handle), -EINVAL);
    assert_int_equal(launch_destroy(UINT32_MAX, handle), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_config_is_opened_read_only, clean),
        cmocka_unit_test_teardown(another_domain_has_no_config, clean),
        cmocka_unit_test_teardown(what_is_no_regular_file_is_refused, clean),
        cmocka_unit_test_teardown(a_held_lock_is_respected_and_waited_for_2_s, clean),
        cmocka_unit_test_teardown(only_this_domains_userdata_is_removed, clean),
        cmocka_unit_test_teardown(a_destroyed_domid_is_noted_as_libxl_notes_it, clean),
        cmocka_unit_test_teardown(the_helper_destroys_and_then_cleans_up, clean),
        cmocka_unit_test_teardown(a_domain_that_cannot_be_destroyed_keeps_its_files, clean),
        cmocka_unit_test_teardown(dom0_and_reserved_domids_are_never_destroyed, clean),
    };

    if (geteuid()) {
        fprintf(stderr, "test_files: must be run as root\n");
        return 1;
    }
    return cmocka_run_group_tests(tests, host, NULL);
}
