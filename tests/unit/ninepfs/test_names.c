/* SPDX-License-Identifier: LGPL-2.1-only */
/* Making, linking, moving and removing names, also those of files that are open. */
#include "tests/unit/ninepfs/calls.h"

#define REMOVEDIR 0x200u

/* ---------- making */

static void mkdir_makes_and_answers_as_the_kernel(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct p9c_attr a;
    struct stat st;

    assert_int_equal(c_mkdir(c, ROOT, "d", 0750), 0);
    assert_int_equal(host_stat(c, "d", &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0750);
    /* All of the guest's bits count: its own umask was applied. */
    assert_int_equal(c_mkdir(c, ROOT, "sticky", S_IFDIR | 01777), 0);
    assert_int_equal(host_stat(c, "sticky", &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 01777);
    assert_int_equal(p9c_walk(c, ROOT, 1, "d"), 0);
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.qid.type, P9_QTDIR);
    assert_int_equal(c_mkdir(c, 1, "e", 0700), 0);
    assert_true(host_has(c, "d/e"));
    assert_int_equal(c_mkdir(c, 1, "e", 0700), -EEXIST);
    host_file(c, "f", "");
    assert_int_equal(c_mkdir(c, ROOT, "f", 0700), -EEXIST);
    assert_int_equal(p9c_walk(c, ROOT, 2, "f"), 0);
    assert_int_equal(c_mkdir(c, 2, "x", 0700), -ENOTDIR);
    assert_int_equal(c_mkdir(c, 77, "x", 0700), -EBADF);
    /* A folder that is gone, still held. */
    assert_int_equal(c_unlinkat(c, 1, "e", REMOVEDIR), 0);
    assert_int_equal(c_unlinkat(c, ROOT, "d", REMOVEDIR), 0);
    assert_int_equal(c_mkdir(c, 1, "x", 0700), -ENOENT);
    p9c_stop(c);
}

static void mknod_makes_fifos_sockets_and_files_and_no_devices(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct p9c_attr a;
    struct stat st;

    assert_int_equal(c_mknod(c, ROOT, "fifo", S_IFIFO | 0640, 0, 0), 0);
    assert_int_equal(host_stat(c, "fifo", &st), 0);
    assert_int_equal(st.st_mode, S_IFIFO | 0640);
    assert_int_equal(c_mknod(c, ROOT, "sock", S_IFSOCK | 0755, 0, 0), 0);
    assert_int_equal(host_stat(c, "sock", &st), 0);
    assert_int_equal(st.st_mode, S_IFSOCK | 0755);
    /* As Linux's client makes every file that it does not open at once. */
    assert_int_equal(c_mknod(c, ROOT, "file", S_IFREG | 0644, 0, 0), 0);
    assert_int_equal(c_mknod(c, ROOT, "file2", 0600, 0, 0), 0);
    assert_int_equal(host_stat(c, "file2", &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(c_mknod(c, ROOT, "file", S_IFREG | 0644, 0, 0), -EEXIST);
    /* Attributes work on what cannot be opened. */
    assert_int_equal(p9c_walk(c, ROOT, 1, "fifo"), 0);
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.mode, S_IFIFO | 0640);
    assert_int_equal(p9c_lopen(c, 1, O_RDONLY), -EPERM);

    assert_int_equal(c_mknod(c, ROOT, "null", S_IFCHR | 0666, 1, 3), -EPERM);
    assert_int_equal(c_mknod(c, ROOT, "disk", S_IFBLK | 0666, 8, 0), -EPERM);
    /* Linux lets anybody make this one, with which overlayfs hides names. */
    assert_int_equal(c_mknod(c, ROOT, "whiteout", S_IFCHR, 0, 0), -EPERM);
    assert_int_equal(c_mknod(c, ROOT, "dir", S_IFDIR | 0755, 0, 0), -EPERM);
    assert_int_equal(c_mknod(c, ROOT, "link", S_IFLNK | 0777, 0, 0), -EINVAL);
    assert_int_equal(c_mknod(c, ROOT, "what", S_IFMT | 0777, 0, 0), -EINVAL);
    assert_false(host_has(c, "null") || host_has(c, "disk") || host_has(c, "whiteout") ||
                 host_has(c, "dir") || host_has(c, "link") || host_has(c, "what"));
    p9c_stop(c);
}

static void no_set_id_file_comes_to_the_host(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct stat st;

    assert_int_equal(c_mknod(c, ROOT, "f", S_IFREG | 06755, 0, 0), 0);
    assert_int_equal(host_stat(c, "f", &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0755);
    p9c_stop(c);
}

static void links_are_data(void **state)
{
    struct p9c *c = start_l(NULL, 1, 3);
    char long_target[4097], buf[4097];
    struct p9c_attr a;

    assert_int_equal(c_symlink(c, ROOT, "out", "/etc/passwd"), 0);
    assert_int_equal(c_symlink(c, ROOT, "up", "../../.."), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "out"), 0);
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.qid.type, P9_QTSYMLINK);
    assert_int_equal(a.mode & S_IFMT, S_IFLNK);
    assert_int_equal(c_readlink(c, 1, buf, sizeof(buf)), 0);
    assert_string_equal(buf, "/etc/passwd");
    assert_int_equal(p9c_lopen(c, 1, O_RDONLY), -ELOOP);
    /* Nothing is ever made below one. */
    assert_int_equal(p9c_walk(c, ROOT, 2, "up"), 0);
    assert_int_equal(c_mkdir(c, 2, "x", 0755), -ENOTDIR);
    assert_int_equal(c_symlink(c, 2, "x", "y"), -ENOTDIR);
    assert_int_equal(c_symlink(c, ROOT, "out", "y"), -EEXIST);
    /* Nor through one that leads nowhere yet. */
    assert_int_equal(c_symlink(c, ROOT, "dangling", "made"), 0);
    assert_int_equal(c_mknod(c, ROOT, "dangling", S_IFREG | 0644, 0, 0), -EEXIST);
    assert_int_equal(c_mkdir(c, ROOT, "dangling", 0755), -EEXIST);
    assert_int_equal(p9c_walk(c, ROOT, 5, ""), 0);
    assert_true(p9c_lcreate(c, 5, "dangling", O_RDWR, 0644) < 0);
    assert_int_equal(p9c_clunk(c, 5), 0);
    assert_false(host_has(c, "made"));

    memset(long_target, 'a', sizeof(long_target));
    long_target[4095] = 0;
    assert_int_equal(c_symlink(c, ROOT, "long", long_target), 0);
    assert_int_equal(p9c_walk(c, ROOT, 3, "long"), 0);
    assert_int_equal(c_readlink(c, 3, buf, sizeof(buf)), 0);
    assert_string_equal(buf, long_target);
    long_target[4095] = 'a';
    long_target[4096] = 0;
    assert_int_equal(c_symlink(c, ROOT, "longer", long_target), -ENAMETOOLONG);
    assert_int_equal(c_symlink(c, ROOT, "empty", ""), -ENOENT);
    host_file(c, "f", "");
    assert_int_equal(p9c_walk(c, ROOT, 4, "f"), 0);
    assert_int_equal(c_readlink(c, 4, buf, sizeof(buf)), -EINVAL);
    assert_int_equal(c_readlink(c, ROOT, buf, sizeof(buf)), -EINVAL);
    p9c_stop(c);
}

/* ---------- links */

static void a_link_is_to_the_file_not_to_its_name(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct p9c_attr a;
    char text[16];

    guest_file(c, "a", "right");
    assert_int_equal(p9c_walk(c, ROOT, 1, "a"), 0);
    /* Somebody on the host puts another file there. */
    assert_int_equal(renameat(c->root_fd, "a", c->root_fd, "b"), 0);
    host_file(c, "a", "wrong");
    assert_int_equal(c_link(c, ROOT, 1, "l"), 0);
    host_text(c, "l", text, sizeof(text));
    assert_string_equal(text, "right");
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.nlink, 2);
    assert_int_equal(c_link(c, ROOT, 1, "l"), -EEXIST);
    assert_int_equal(c_link(c, ROOT, ROOT, "root"), -EPERM);
    /* Links to links. */
    assert_int_equal(c_symlink(c, ROOT, "s", "/etc/passwd"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "s"), 0);
    assert_int_equal(c_link(c, ROOT, 2, "s2"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 3, "s2"), 0);
    assert_int_equal(p9c_getattr(c, 3, &a), 0);
    assert_int_equal(a.mode & S_IFMT, S_IFLNK);
    assert_int_equal(a.nlink, 2);
    /* A file without a name does not come back. */
    assert_int_equal(c_unlinkat(c, ROOT, "b", 0), 0);
    assert_int_equal(c_unlinkat(c, ROOT, "l", 0), 0);
    assert_int_equal(c_link(c, ROOT, 1, "l"), -ENOENT);
    assert_int_equal(c_link(c, 1, 2, "x"), -ENOTDIR);
    assert_int_equal(c_link(c, ROOT, 99, "x"), -EBADF);
    assert_int_equal(c_link(c, 99, 2, "x"), -EBADF);
    p9c_stop(c);
}

/* ---------- moving */

static void a_renamed_file_is_the_same_through_every_fid(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    char text[16] = { 0 };

    assert_int_equal(c_mkdir(c, ROOT, "d", 0755), 0);
    guest_file(c, "a", "one");
    assert_int_equal(p9c_walk(c, ROOT, 1, "d"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "a"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 3, "a"), 0);
    guest_open(c, 4, "a", O_RDWR);
    assert_int_equal(c_renameat(c, ROOT, "a", 1, "b"), 0);
    assert_true(!host_has(c, "a") && host_has(c, "d/b"));
    assert_int_equal(p9c_write(c, 4, 0, "two", 3), 3);
    assert_int_equal(p9c_read(c, 4, 0, text, 3), 3);
    assert_string_equal(text, "two");
    /* By fid: both know the new name, also after a second time. */
    assert_int_equal(c_rename(c, 2, ROOT, "c"), 0);
    assert_true(host_has(c, "c"));
    assert_int_equal(c_rename(c, 3, 1, "e"), 0);
    assert_true(host_has(c, "d/e") && !host_has(c, "c"));
    host_text(c, "d/e", text, sizeof(text));
    assert_string_equal(text, "two");
    assert_int_equal(p9c_remove(c, 3), 0);
    assert_false(host_has(c, "d/e"));
    assert_int_equal(c_rename(c, 2, ROOT, "x"), -ENOENT);
    assert_int_equal(c_rename(c, ROOT, ROOT, "x"), -EBUSY);
    p9c_stop(c);
}

static void rename_over_an_open_file_leaves_it_to_who_has_it(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    char text[16] = { 0 };
    struct p9c_attr a;

    guest_file(c, "new", "new");
    guest_file(c, "old", "old");
    guest_open(c, 1, "old", O_RDWR);
    guest_open(c, 2, "new", O_RDONLY);
    assert_int_equal(c_renameat(c, ROOT, "new", ROOT, "old"), 0);
    assert_int_equal(p9c_read(c, 1, 0, text, 3), 3);
    assert_string_equal(text, "old");
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.nlink, 0);
    assert_int_equal(p9c_write(c, 1, 3, "er", 2), 2);
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.size, 5);
    assert_int_equal(p9c_read(c, 2, 0, text, 3), 3);
    assert_string_equal(text, "new");
    /* By its fid the old one has no name that could be taken for its own. */
    assert_int_equal(c_rename(c, 1, ROOT, "x"), -ENOENT);
    assert_int_equal(p9c_remove(c, 1), -ENOENT);
    host_text(c, "old", text, sizeof(text));
    assert_string_equal(text, "new");
    p9c_stop(c);
}

static void renames_are_refused_as_the_kernel_does(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);

    assert_int_equal(c_mkdir(c, ROOT, "d", 0755), 0);
    assert_int_equal(c_mkdir(c, ROOT, "full", 0755), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "d"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "full"), 0);
    assert_int_equal(c_mkdir(c, 2, "x", 0755), 0);
    guest_file(c, "f", "text");
    assert_int_equal(c_renameat(c, ROOT, "d", 1, "in"), -EINVAL);
    assert_int_equal(c_renameat(c, ROOT, "d", ROOT, "full"), -ENOTEMPTY);
    assert_int_equal(c_renameat(c, ROOT, "d", ROOT, "f"), -ENOTDIR);
    assert_int_equal(c_renameat(c, ROOT, "f", ROOT, "d"), -EISDIR);
    assert_int_equal(c_renameat(c, ROOT, "none", ROOT, "x"), -ENOENT);
    assert_int_equal(c_renameat(c, ROOT, "f", 99, "x"), -EBADF);
    assert_int_equal(c_renameat(c, 99, "f", ROOT, "x"), -EBADF);
    assert_int_equal(p9c_walk(c, ROOT, 3, "f"), 0);
    assert_int_equal(c_renameat(c, ROOT, "f", 3, "x"), -ENOTDIR);
    assert_int_equal(c_renameat(c, 3, "f", ROOT, "x"), -ENOTDIR);
    assert_int_equal(c_renameat(c, ROOT, "f", ROOT, "f"), 0);
    /* An empty folder goes under another one. */
    assert_int_equal(c_unlinkat(c, 2, "x", REMOVEDIR), 0);
    assert_int_equal(c_renameat(c, ROOT, "d", ROOT, "full"), 0);
    assert_true(!host_has(c, "d") && host_has(c, "full") && host_has(c, "f"));
    /* A folder's fid goes on in it. */
    assert_int_equal(c_mkdir(c, 1, "y", 0755), 0);
    assert_true(host_has(c, "full/y"));
    p9c_stop(c);
}

/* ---------- removing */

static void an_unlinked_open_file_lives_on(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct setattr cut = { .valid = 0x08, .size = 2 };
    char text[16] = { 0 };
    struct p9c_attr a;

    guest_file(c, "f", "text");
    guest_open(c, 1, "f", O_RDWR);
    assert_int_equal(p9c_walk(c, ROOT, 2, "f"), 0);
    assert_int_equal(c_unlinkat(c, ROOT, "f", 0), 0);
    assert_false(host_has(c, "f"));
    assert_int_equal(p9c_read(c, 1, 0, text, 4), 4);
    assert_string_equal(text, "text");
    assert_int_equal(c_setattr(c, 1, &cut), 0);
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.size, 2);
    assert_int_equal(a.nlink, 0);
    /* Also through a fid that was only walked to. */
    cut.size = 1;
    assert_int_equal(c_setattr(c, 2, &cut), 0);
    assert_int_equal(p9c_lopen(c, 2, O_RDONLY), 0);
    assert_int_equal(p9c_read(c, 2, 0, text, 4), 1);
    /* The name can be given anew, and is not the old fids'. */
    guest_file(c, "f", "another");
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.size, 1);
    assert_int_equal(p9c_remove(c, 1), -ENOENT);
    assert_true(host_has(c, "f"));
    p9c_stop(c);
}

static void unlinkat_answers_as_the_kernel(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);

    guest_file(c, "f", "");
    assert_int_equal(c_mkdir(c, ROOT, "d", 0755), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "d"), 0);
    assert_int_equal(c_mkdir(c, 1, "e", 0755), 0);
    assert_int_equal(c_unlinkat(c, ROOT, "d", 0), -EISDIR);
    assert_int_equal(c_unlinkat(c, ROOT, "d", REMOVEDIR), -ENOTEMPTY);
    assert_int_equal(c_unlinkat(c, ROOT, "f", REMOVEDIR), -ENOTDIR);
    assert_int_equal(c_unlinkat(c, ROOT, "none", 0), -ENOENT);
    assert_int_equal(c_unlinkat(c, ROOT, "f", 1), -EINVAL);
    assert_int_equal(c_unlinkat(c, ROOT, "f", REMOVEDIR | 0x1000), -EINVAL);
    assert_true(host_has(c, "f") && host_has(c, "d/e"));
    assert_int_equal(c_unlinkat(c, 1, "e", REMOVEDIR), 0);
    assert_int_equal(c_unlinkat(c, ROOT, "d", REMOVEDIR), 0);
    assert_int_equal(c_unlinkat(c, ROOT, "f", 0), 0);
    assert_int_equal(c_mknod(c, ROOT, "fifo", S_IFIFO | 0600, 0, 0), 0);
    assert_int_equal(c_unlinkat(c, ROOT, "fifo", 0), 0);
    assert_false(host_has(c, "f") || host_has(c, "d") || host_has(c, "fifo"));
    p9c_stop(c);
}

static void nothing_is_left_behind(void **state)
{
    int before = count_fds();
    struct p9c *c = start_l(NULL, 2, 2);
    char name[32];

    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "d%d", i);
        assert_int_equal(c_mkdir(c, ROOT, name, 0755), 0);
        assert_int_equal(c_mkdir(c, ROOT, name, 0755), -EEXIST);
        assert_int_equal(p9c_walk(c, ROOT, 1, name), 0);
        assert_int_equal(c_rename(c, 1, ROOT, "moved"), 0);
        assert_int_equal(p9c_remove(c, 1), 0);
    }
    assert_int_equal(c->server.nodes.count, 1);
    assert_int_equal(c->server.fids.count, 1);
    p9c_stop(c);
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mkdir_makes_and_answers_as_the_kernel),
        cmocka_unit_test(mknod_makes_fifos_sockets_and_files_and_no_devices),
        cmocka_unit_test(no_set_id_file_comes_to_the_host),
        cmocka_unit_test(links_are_data),
        cmocka_unit_test(a_link_is_to_the_file_not_to_its_name),
        cmocka_unit_test(a_renamed_file_is_the_same_through_every_fid),
        cmocka_unit_test(rename_over_an_open_file_leaves_it_to_who_has_it),
        cmocka_unit_test(renames_are_refused_as_the_kernel_does),
        cmocka_unit_test(an_unlinked_open_file_lives_on),
        cmocka_unit_test(unlinkat_answers_as_the_kernel),
        cmocka_unit_test(nothing_is_left_behind),
    };

    return cmocka_run_group_tests_name("9pfs: names", tests, NULL, NULL);
}
