/* SPDX-License-Identifier: LGPL-2.1-only */
/* 9P2000.u: Twstat: modes, times, lengths, renames, fsync. */
#include "tests/unit/ninepfs/u.h"

static void a_wstat_that_changes_nothing_syncs(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct u_stat st = u_leave();
    struct stat before, after;

    host_file(c, "f", "x");
    mkfifoat(c->root_fd, "p", 0600);
    before = host_stat(c, "f");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_int_equal(u_open(c, 1, ORDWR), 0);
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "p"), 0);
    assert_int_equal(u_wstat(c, 2, &st), 0);
    assert_int_equal(u_wstat(c, ROOT, &st), 0);
    after = host_stat(c, "f");
    assert_memory_equal(&before.st_ctim, &after.st_ctim, sizeof(after.st_ctim));
    assert_int_equal(u_wstat(c, 99, &st), -EBADF);
    p9c_stop(c);
}

static void a_wstat_changes_what_it_names_only(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct u_stat st;
    struct stat host;

    host_file(c, "f", "0123456789");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    st = u_leave();
    st.mode = 0640;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_int_equal(host_stat(c, "f").st_mode, S_IFREG | 0640);

    st = u_leave();
    st.mtime = 1000000000;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    host = host_stat(c, "f");
    assert_int_equal(host.st_mtime, 1000000000);
    assert_int_not_equal(host.st_atime, 1000000000);
    st.mtime = UINT32_MAX;
    st.atime = 0xfffffffe;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    host = host_stat(c, "f");
    assert_int_equal(host.st_mtime, 1000000000);
    assert_int_equal(host.st_mode, S_IFREG | 0640);

    st = u_leave();
    st.length = 4;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_int_equal(host_stat(c, "f").st_size, 4);
    st.length = 5000000000;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_int_equal(host_stat(c, "f").st_size, 5000000000);
    st.length = UINT64_MAX - 1;
    assert_int_equal(u_wstat(c, 1, &st), -EINVAL);
    /* As Linux's truncate does: a length and a time. */
    st.length = 0;
    st.mtime = 1234567890;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    host = host_stat(c, "f");
    assert_int_equal(host.st_size, 0);
    assert_int_equal(host.st_mtime, 1234567890);
    p9c_stop(c);
}

static void the_folder_bit_and_a_folders_length_stay(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct u_stat st = u_leave();

    host_file(c, "f", "x");
    mkdirat(c->root_fd, "d", 0755);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "d"), 0);
    st.mode = P9_DMDIR | 0700;
    assert_int_equal(u_wstat(c, 1, &st), -EINVAL);
    assert_int_equal(u_wstat(c, 2, &st), 0);
    assert_int_equal(host_stat(c, "d").st_mode, S_IFDIR | 0700);
    st.mode = 0700;
    assert_int_equal(u_wstat(c, 2, &st), -EINVAL);
    st = u_leave();
    st.length = 0;
    assert_int_equal(u_wstat(c, 2, &st), -EISDIR);
    p9c_stop(c);
}

static void a_rename_stays_in_its_folder_and_fids_follow(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct u_stat st = u_leave(), got;

    mkdirat(c->root_fd, "d", 0755);
    host_file(c, "d/f", "one");
    host_file(c, "d/g", "two!");
    assert_int_equal(p9c_walk(c, ROOT, 1, "d/f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "d/f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 3, "d/g"), 0);
    strcpy(st.name, "h");
    strcpy(st.muid, "nobody");
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_true(host_has(c, "d/h") && !host_has(c, "d/f"));
    assert_int_equal(u_stat(c, 2, &got), 0);
    assert_string_equal(got.name, "h");
    /* Over a file that is there, as rename(2) has it. */
    strcpy(st.name, "g");
    assert_int_equal(u_wstat(c, 2, &st), 0);
    assert_int_equal(host_stat(c, "d/g").st_size, 3);
    assert_false(host_has(c, "d/h"));
    /* The file that went is still what its fid is; it has no name to go by. */
    assert_int_equal(u_stat(c, 3, &got), 0);
    assert_int_equal(got.length, 4);
    strcpy(st.name, "i");
    assert_int_equal(u_wstat(c, 3, &st), -ENOENT);
    assert_int_equal(p9c_remove(c, 3), -ENOENT);
    assert_true(host_has(c, "d/g"));

    strcpy(st.name, "x/y");
    assert_int_equal(u_wstat(c, 1, &st), -EINVAL);
    strcpy(st.name, "..");
    assert_int_equal(u_wstat(c, 1, &st), -EINVAL);
    strcpy(st.name, "r");
    assert_int_equal(u_wstat(c, ROOT, &st), -EBUSY);
    /* And it can be removed by any of them. */
    assert_int_equal(p9c_remove(c, 1), 0);
    assert_false(host_has(c, "d/g"));
    p9c_stop(c);
}

static void a_file_without_a_name_can_be_changed(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct u_stat st = u_leave(), got;

    assert_int_equal(u_make(c, 1, "f", 0600, ""), 0);
    assert_int_equal(p9c_write(c, 1, 0, "0123456789", 10), 10);
    assert_int_equal(p9c_walk(c, ROOT, 2, "f"), 0);
    assert_int_equal(p9c_remove(c, 2), 0);
    assert_false(host_has(c, "f"));
    st.length = 3;
    st.mode = 0644;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_int_equal(u_stat(c, 1, &got), 0);
    assert_int_equal(got.length, 3);
    assert_int_equal(got.mode, 0644);
    assert_int_equal(p9c_write(c, 1, 3, "x", 1), 1);
    p9c_stop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wstat_that_changes_nothing_syncs),
        cmocka_unit_test(a_wstat_changes_what_it_names_only),
        cmocka_unit_test(the_folder_bit_and_a_folders_length_stay),
        cmocka_unit_test(a_rename_stays_in_its_folder_and_fids_follow),
        cmocka_unit_test(a_file_without_a_name_can_be_changed),
    };

    return cmocka_run_group_tests_name("9pfs: .u wstat", tests, NULL, NULL);
}
