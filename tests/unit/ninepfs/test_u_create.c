/* SPDX-License-Identifier: LGPL-2.1-only */
/* 9P2000.u: Tcreate, which also makes folders, links and special files. */
#include "tests/unit/ninepfs/u.h"

static void a_new_file_is_open_with_its_mode(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct u_stat st;
    char buf[8];

    assert_int_equal(u_make(c, 1, "f", 0751, ""), 0);
    assert_int_equal(p9c_write(c, 1, 0, "abc", 3), 3);
    assert_int_equal(p9c_read(c, 1, 1, buf, 8), 2);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_string_equal(st.name, "f");
    assert_int_equal(st.length, 3);
    assert_int_equal(host_stat(c, "f").st_mode, S_IFREG | 0751);
    /* More than the mode lets others do. */
    assert_int_equal(u_make(c, 2, "ro", 0444, ""), 0);
    assert_int_equal(p9c_write(c, 2, 0, "abc", 3), 3);
    /* Gone with its fid, if that is asked for. */
    assert_int_equal(p9c_walk(c, ROOT, 3, ""), 0);
    assert_int_equal(u_create(c, 3, "tmp", 0600, ORDWR | P9_ORCLOSE, ""), 0);
    assert_true(host_has(c, "tmp"));
    assert_int_equal(p9c_clunk(c, 3), 0);
    assert_false(host_has(c, "tmp"));
    p9c_stop(c);
}

static void a_failed_create_leaves_the_fid_at_its_folder(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct u_stat st;
    uint32_t fids;

    host_file(c, "f", "text");
    assert_int_equal(symlinkat("/tmp/none", c->root_fd, "l"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    fids = c->server.fids.count;
    assert_int_equal(u_create(c, 1, "f", 0644, ORDWR | P9_OTRUNC, ""), -EEXIST);
    assert_int_equal(u_create(c, 1, "l", 0644, ORDWR, ""), -EEXIST);
    assert_int_equal(u_create(c, 1, "f", P9_DMDIR | 0755, OREAD, ""), -EEXIST);
    assert_int_equal(u_create(c, 1, "f", P9_DMSYMLINK | 0777, OREAD, "x"), -EEXIST);
    assert_int_equal(u_create(c, 1, "a/b", 0644, ORDWR, ""), -EINVAL);
    assert_int_equal(u_create(c, 1, "..", 0644, ORDWR, ""), -EINVAL);
    assert_int_equal(u_create(c, 1, "", 0644, ORDWR, ""), -EINVAL);
    assert_int_equal(u_create(c, 1, "d", P9_DMDIR | 0755, ORDWR, ""), -EISDIR);
    assert_false(host_has(c, "d"));
    assert_int_equal(host_stat(c, "f").st_size, 4);
    assert_int_equal(c->server.fids.count, fids);
    assert_int_equal(c->server.fids.opens, 0);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_string_equal(st.name, "/");
    assert_int_equal(u_create(c, 1, "g", 0644, ORDWR, ""), 0);
    /* Now it is a file. */
    assert_int_equal(u_create(c, 1, "h", 0644, ORDWR, ""), -EBADF);
    assert_int_equal(p9c_walk(c, ROOT, 2, "f"), 0);
    assert_int_equal(u_create(c, 2, "h", 0644, ORDWR, ""), -ENOTDIR);
    p9c_stop(c);
}

static void folders_are_created_and_open(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct u_stat st;
    char buf[1000];

    assert_int_equal(u_make(c, 1, "d", P9_DMDIR | 0750, ""), 0);
    assert_int_equal(host_stat(c, "d").st_mode, S_IFDIR | 0750);
    assert_true(p9c_read(c, 1, 0, buf, sizeof(buf)) > 0);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_string_equal(st.name, "d");
    assert_int_equal(p9c_walk(c, ROOT, 2, "d"), 0);
    assert_int_equal(u_create(c, 2, "f", 0600, ORDWR, ""), 0);
    assert_true(host_has(c, "d/f"));
    /* Whether or not we may list it. */
    assert_int_equal(u_make(c, 3, "closed", P9_DMDIR, ""), 0);
    assert_int_equal(host_stat(c, "closed").st_mode, S_IFDIR);
    assert_int_equal(p9c_clunk(c, 3), 0);
    p9c_stop(c);
}

static void links_pipes_and_sockets_are_created_but_not_opened(void **state)
{
    struct p9c *c = start_u(NULL, 1, 3);
    char target[4200], buf[64];
    struct u_stat st;

    assert_int_equal(u_make(c, 1, "l", P9_DMSYMLINK | 0777, "../any/where"), 0);
    assert_int_equal(readlinkat(c->root_fd, "l", buf, sizeof(buf)), 12);
    assert_memory_equal(buf, "../any/where", 12);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_string_equal(st.ext, "../any/where");
    assert_string_equal(st.name, "l");
    assert_int_equal(p9c_read(c, 1, 0, buf, 4), -EBADF);

    assert_int_equal(u_make(c, 2, "p", P9_DMNAMEDPIPE | 0620, ""), 0);
    assert_int_equal(host_stat(c, "p").st_mode, S_IFIFO | 0620);
    assert_int_equal(u_make(c, 3, "s", P9_DMSOCKET | 0600, ""), 0);
    assert_int_equal(host_stat(c, "s").st_mode, S_IFSOCK | 0600);
    assert_int_equal(c->server.fids.opens, 0);

    /* The longest target there is, and one more. */
    memset(target, 't', sizeof(target));
    target[4095] = 0;
    assert_int_equal(u_make(c, 4, "long", P9_DMSYMLINK | 0777, target), 0);
    assert_int_equal(u_stat(c, 4, &st), 0);
    assert_string_equal(st.ext, target);
    target[4095] = 't';
    target[4096] = 0;
    assert_int_equal(u_make(c, 5, "longer", P9_DMSYMLINK | 0777, target), -ENAMETOOLONG);
    assert_int_equal(u_create(c, 5, "empty", P9_DMSYMLINK | 0777, OREAD, ""), -ENOENT);
    p9c_stop(c);
}

static void a_hard_link_names_the_fid_of_its_file(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    char fid_text[16];
    struct u_stat st;

    host_file(c, "f", "x");
    mkdirat(c->root_fd, "d", 0755);
    assert_int_equal(p9c_walk(c, ROOT, 7, "f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 8, "d"), 0);
    /* As Linux writes it. */
    snprintf(fid_text, sizeof(fid_text), "%d\n", 7);
    assert_int_equal(u_make(c, 1, "g", P9_DMLINK | 0777, fid_text), 0);
    assert_int_equal(host_stat(c, "g").st_ino, host_stat(c, "f").st_ino);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_string_equal(st.name, "g");
    assert_string_equal(st.ext, "HARDLINKCOUNT 2");
    assert_int_equal(u_make(c, 2, "h", P9_DMLINK, "7"), 0);
    assert_int_equal(u_make(c, 3, "i", P9_DMLINK, "99"), -EBADF);
    assert_int_equal(u_create(c, 3, "i", P9_DMLINK, OREAD, "8"), -EPERM);   /* a folder */
    assert_int_equal(u_create(c, 3, "i", P9_DMLINK, OREAD, "f"), -EINVAL);
    assert_int_equal(u_create(c, 3, "i", P9_DMLINK, OREAD, "-1"), -EINVAL);
    assert_int_equal(u_create(c, 3, "i", P9_DMLINK, OREAD, "4294967303"), -EINVAL);
    assert_int_equal(u_create(c, 3, "i", P9_DMLINK, OREAD, ""), -EINVAL);
    assert_false(host_has(c, "i"));
    p9c_stop(c);
}

static void devices_are_refused_and_so_is_nonsense(void **state)
{
    static const char *const bad[] = { "", "c", "c ", "c 1", "c 1 ", "c 1 3 5", "x 1 3", "c -1 3",
                                       "c 1 99999999999", "c1 3", "c 1 3x" };
    struct p9c *c = start_u(NULL, 1, 2);

    assert_int_equal(u_make(c, 1, "dev", P9_DMDEVICE | 0600, "c 1 3"), -EPERM);
    assert_int_equal(u_create(c, 1, "dev", P9_DMDEVICE | 0600, OREAD, "b 8 0\n"), -EPERM);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(u_create(c, 1, "dev", P9_DMDEVICE | 0600, OREAD, bad[i]), -EINVAL);
    assert_int_equal(u_create(c, 1, "dev", P9_DMDIR | P9_DMSYMLINK, OREAD, "x"), -EINVAL);
    assert_int_equal(u_create(c, 1, "dev", P9_DMSOCKET | P9_DMNAMEDPIPE, OREAD, ""), -EINVAL);
    assert_false(host_has(c, "dev"));
    p9c_stop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_file_is_open_with_its_mode),
        cmocka_unit_test(a_failed_create_leaves_the_fid_at_its_folder),
        cmocka_unit_test(folders_are_created_and_open),
        cmocka_unit_test(links_pipes_and_sockets_are_created_but_not_opened),
        cmocka_unit_test(a_hard_link_names_the_fid_of_its_file),
        cmocka_unit_test(devices_are_refused_and_so_is_nonsense),
    };

    return cmocka_run_group_tests_name("9pfs: .u create", tests, NULL, NULL);
}
