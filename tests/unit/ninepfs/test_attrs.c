/* SPDX-License-Identifier: LGPL-2.1-only */
/* Tsetattr: size, mode, owner, times, each as Linux's client asks for it. */
#include "tests/unit/ninepfs/calls.h"

#include <cap-ng.h>
#include <time.h>

enum {
    MODE = 0x01, UID = 0x02, GID = 0x04, SIZE = 0x08, ATIME = 0x10, MTIME = 0x20, CTIME = 0x40,
    ATIME_SET = 0x80, MTIME_SET = 0x100,
};

/* Without the privileges that keep set-id bits over writes and open what the mode denies: so the
 * server will run.  Its threads inherit it, the fixture is run before they start. */
static int as_the_server(void **state)
{
    capng_get_caps_process();
    if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_FSETID))
        return 0;
    capng_updatev(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_FSETID, CAP_DAC_OVERRIDE,
                  CAP_DAC_READ_SEARCH, -1);
    if (capng_apply(CAPNG_SELECT_CAPS)) {
        print_error("cannot drop capabilities\n");
        return -1;
    }
    return 0;
}

static void host_mode(struct p9c *c, const char *name, mode_t mode)
{
    assert_int_equal(fchmodat(c->root_fd, name, mode, 0), 0);
}

static mode_t mode_of(struct p9c *c, const char *name)
{
    struct stat st;

    assert_int_equal(host_stat(c, name, &st), 0);
    return st.st_mode & 07777;
}

static int64_t size_of(struct p9c *c, const char *name)
{
    struct stat st;

    assert_int_equal(host_stat(c, name, &st), 0);
    return st.st_size;
}

/* ---------- size */

static void the_size_is_set_by_name_and_by_open_file(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct setattr a = { .valid = SIZE | MTIME | CTIME, .size = 2 };
    char text[8] = { 0 };

    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(size_of(c, "f"), 2);
    a.size = 5;                     /* grown with zeros */
    assert_int_equal(c_setattr(c, 1, &a), 0);
    guest_open(c, 2, "f", O_RDWR);
    assert_int_equal(p9c_read(c, 2, 0, text, 8), 5);
    assert_memory_equal(text, "te\0\0\0", 5);
    /* ftruncate(2) asks no more for the mode, for the file is open. */
    host_mode(c, "f", 0);
    a.size = 1;
    assert_int_equal(c_setattr(c, 2, &a), 0);
    assert_int_equal(size_of(c, "f"), 1);
    /* A file opened for reading is cut by another opening. */
    host_mode(c, "f", 0644);
    guest_open(c, 3, "f", O_RDONLY);
    a.size = 0;
    assert_int_equal(c_setattr(c, 3, &a), 0);
    assert_int_equal(size_of(c, "f"), 0);
    p9c_stop(c);
}

static void the_size_is_of_regular_files_and_possible(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct setattr a = { .valid = SIZE, .size = 0 };

    guest_file(c, "f", "text");
    assert_int_equal(c_mknod(c, ROOT, "fifo", S_IFIFO | 0666, 0, 0), 0);
    assert_int_equal(c_symlink(c, ROOT, "s", "f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "fifo"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 3, "s"), 0);
    assert_int_equal(c_setattr(c, ROOT, &a), -EISDIR);
    assert_int_equal(c_setattr(c, 2, &a), -EINVAL);
    assert_int_equal(c_setattr(c, 3, &a), -EINVAL);
    a.size = UINT64_MAX;
    assert_int_equal(c_setattr(c, 1, &a), -EINVAL);
    a.size = 1ull << 63;
    assert_int_equal(c_setattr(c, 1, &a), -EINVAL);
    a.size = INT64_MAX;
    assert_int_equal(c_setattr(c, 1, &a), -EFBIG);
    assert_int_equal(size_of(c, "f"), 4);
    assert_int_equal(c_setattr(c, 99, &a), -EBADF);
    p9c_stop(c);
}

/* ---------- mode */

static void the_mode_is_set_on_everything_but_links(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    /* Linux sends the type along, and CTIME. */
    struct setattr a = { .valid = MODE | CTIME, .mode = S_IFREG | 0640 };

    guest_file(c, "f", "text");
    assert_int_equal(c_mknod(c, ROOT, "fifo", S_IFIFO | 0666, 0, 0), 0);
    assert_int_equal(c_mkdir(c, ROOT, "d", 0755), 0);
    assert_int_equal(c_symlink(c, ROOT, "s", "f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "fifo"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 3, "d"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 4, "s"), 0);
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(mode_of(c, "f"), 0640);
    a.mode = 0600;
    assert_int_equal(c_setattr(c, 2, &a), 0);
    assert_int_equal(mode_of(c, "fifo"), 0600);
    a.mode = S_IFDIR | 01777;
    assert_int_equal(c_setattr(c, 3, &a), 0);
    assert_int_equal(mode_of(c, "d"), 01777);
    /* Not the link's target's either. */
    a.mode = 0777;
    assert_int_equal(c_setattr(c, 4, &a), -EOPNOTSUPP);
    assert_int_equal(mode_of(c, "f"), 0640);
    /* A file that is renamed or gone is still that file. */
    assert_int_equal(renameat(c->root_fd, "f", c->root_fd, "g"), 0);
    host_file(c, "f", "other");
    a.mode = 0604;
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(mode_of(c, "g"), 0604);
    assert_int_equal(mode_of(c, "f"), 0644);
    assert_int_equal(c_unlinkat(c, ROOT, "g", 0), 0);
    assert_int_equal(c_setattr(c, 1, &a), 0);
    p9c_stop(c);
}

static void set_id_bits_do_not_come_to_the_host(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct setattr a = { .valid = MODE, .mode = 06755 };

    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(mode_of(c, "f"), 0755);
    p9c_stop(c);
}

static void set_uid_goes_with_a_write_a_cut_and_an_owner(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct setattr cut = { .valid = SIZE, .size = 1 };
    struct setattr own = { .valid = UID | GID | CTIME, .uid = 1000, .gid = 1000 };
    struct p9c_attr at;

    guest_file(c, "f", "text");
    guest_open(c, 1, "f", O_RDWR);
    assert_int_equal(p9c_walk(c, ROOT, 2, "f"), 0);
    host_mode(c, "f", 04755);
    assert_int_equal(p9c_getattr(c, 1, &at), 0);
    assert_int_equal(at.mode, S_IFREG | 04755);
    assert_int_equal(p9c_write(c, 1, 0, "x", 1), 1);
    assert_int_equal(mode_of(c, "f"), 0755);
    host_mode(c, "f", 04755);
    assert_int_equal(c_setattr(c, 1, &cut), 0);
    assert_int_equal(mode_of(c, "f"), 0755);
    host_mode(c, "f", 04755);
    assert_int_equal(c_setattr(c, 2, &cut), 0);
    assert_int_equal(mode_of(c, "f"), 0755);
    host_mode(c, "f", 04755);
    assert_int_equal(c_setattr(c, 2, &own), 0);
    assert_int_equal(mode_of(c, "f"), 0755);
    p9c_stop(c);
}

/* ---------- owner */

static void owners_are_accepted_and_not_kept(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct setattr a = { .valid = UID | GID, .uid = 12345, .gid = 12345 };
    struct stat st;

    guest_file(c, "f", "text");
    assert_int_equal(c_symlink(c, ROOT, "s", "f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "s"), 0);
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(c_setattr(c, 2, &a), 0);
    assert_int_equal(c_setattr(c, ROOT, &a), 0);
    assert_int_equal(host_stat(c, "f", &st), 0);
    assert_int_equal(st.st_uid, getuid());
    assert_int_equal(st.st_gid, getgid());
    p9c_stop(c);
}

/* ---------- times */

static void times_are_given_or_now_or_left(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct setattr a = {
        .valid = ATIME | MTIME | ATIME_SET | MTIME_SET,
        .atime = { 1000, 123456789 },
        .mtime = { 2000, 999999999 },
    };
    struct stat st;
    time_t now = time(NULL);

    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(host_stat(c, "f", &st), 0);
    assert_int_equal(st.st_atim.tv_sec, 1000);
    assert_int_equal(st.st_atim.tv_nsec, 123456789);
    assert_int_equal(st.st_mtim.tv_sec, 2000);
    assert_int_equal(st.st_mtim.tv_nsec, 999999999);
    /* One given, the other left; SET without its time's own bit says nothing. */
    a.valid = ATIME | ATIME_SET | MTIME_SET;
    a.atime[0] = (uint64_t)-5;      /* before 1970 */
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(host_stat(c, "f", &st), 0);
    assert_int_equal(st.st_atim.tv_sec, -5);
    assert_int_equal(st.st_mtim.tv_sec, 2000);
    /* Without SET the time in the message says nothing. */
    a.valid = MTIME;
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(host_stat(c, "f", &st), 0);
    assert_int_equal(st.st_atim.tv_sec, -5);
    assert_true(st.st_mtim.tv_sec >= now);
    /* With a size: the size's own mtime, or the one that is given. */
    a.valid = SIZE | MTIME | MTIME_SET;
    a.size = 1;
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(host_stat(c, "f", &st), 0);
    assert_int_equal(st.st_mtim.tv_sec, 2000);
    a.valid = SIZE | MTIME | CTIME;
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(host_stat(c, "f", &st), 0);
    assert_true(st.st_mtim.tv_sec >= now);
    /* A link's own times. */
    assert_int_equal(c_symlink(c, ROOT, "s", "f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "s"), 0);
    a.valid = MTIME | MTIME_SET;
    a.mtime[0] = 3000;
    assert_int_equal(c_setattr(c, 2, &a), 0);
    assert_int_equal(host_stat(c, "s", &st), 0);
    assert_int_equal(st.st_mtim.tv_sec, 3000);
    assert_int_equal(host_stat(c, "f", &st), 0);
    assert_true(st.st_mtim.tv_sec >= now);
    p9c_stop(c);
}

static void nanoseconds_with_a_meaning_for_the_kernel_are_refused(void **state)
{
    static const uint64_t bad[] = {
        1000000000, UTIME_NOW, UTIME_OMIT, UINT64_MAX, 1ull << 63, 1ull << 32,
    };
    struct p9c *c = start_l(NULL, 1, 2);
    struct setattr a = { .valid = SIZE | ATIME | MTIME | ATIME_SET | MTIME_SET };

    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        a.atime[1] = bad[i];
        a.mtime[1] = 0;
        assert_int_equal(c_setattr(c, 1, &a), -EINVAL);
        a.atime[1] = 0;
        a.mtime[1] = bad[i];
        assert_int_equal(c_setattr(c, 1, &a), -EINVAL);
    }
    /* Looked at before anything is done. */
    assert_int_equal(size_of(c, "f"), 4);
    p9c_stop(c);
}

static void ctime_alone_is_now_and_changes_nothing_else(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct setattr a = { .valid = CTIME };
    struct timespec pause = { .tv_nsec = 20000000 };
    struct stat before, after;

    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(host_stat(c, "f", &before), 0);
    nanosleep(&pause, NULL);
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(host_stat(c, "f", &after), 0);
    assert_true(after.st_ctim.tv_sec > before.st_ctim.tv_sec ||
                after.st_ctim.tv_nsec > before.st_ctim.tv_nsec);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
    assert_int_equal(after.st_uid, before.st_uid);
    /* Nothing at all, and bits that no Linux knows yet: nothing. */
    before = after;
    a.valid = 0;
    assert_int_equal(c_setattr(c, 1, &a), 0);
    a.valid = 0xfffffe00;
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(host_stat(c, "f", &after), 0);
    assert_memory_equal(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim));
    p9c_stop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_size_is_set_by_name_and_by_open_file),
        cmocka_unit_test(the_size_is_of_regular_files_and_possible),
        cmocka_unit_test(the_mode_is_set_on_everything_but_links),
        cmocka_unit_test(set_id_bits_do_not_come_to_the_host),
        cmocka_unit_test(set_uid_goes_with_a_write_a_cut_and_an_owner),
        cmocka_unit_test(owners_are_accepted_and_not_kept),
        cmocka_unit_test(times_are_given_or_now_or_left),
        cmocka_unit_test(nanoseconds_with_a_meaning_for_the_kernel_are_refused),
        cmocka_unit_test(ctime_alone_is_now_and_changes_nothing_else),
    };

    return cmocka_run_group_tests_name("9pfs: attributes", tests, as_the_server, NULL);
}
