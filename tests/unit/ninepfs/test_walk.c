/* SPDX-License-Identifier: LGPL-2.1-only */
/* Attach, walk, clunk, remove: what a fid is, and what it stays when a request fails. */
#include "tests/unit/ninepfs/p9.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "workers/ninepfs/fs.h"
#include "workers/ninepfs/lock.h"

static void attach_takes_any_afid_and_name_and_several(void **state)
{
    struct p9c *c = start_l(NULL, 2, 2);
    struct p9c_attr a, b;

    /* As Mini-OS does it: afid 0, "root", n_uname 0. */
    p9c_begin(c, P9_TATTACH);
    p9_wr32(&c->wr, 1);
    p9_wr32(&c->wr, 0);
    p9c_str(c, "root");
    p9c_str(c, "root");
    p9_wr32(&c->wr, 0);
    assert_int_equal(p9c_call(c, 0, NULL), 0);
    assert_int_equal(p9c_attach(c, 2, 1000), 0);
    assert_int_equal(p9c_getattr(c, ROOT, &a), 0);
    assert_int_equal(p9c_getattr(c, 2, &b), 0);
    assert_true(a.qid.path == b.qid.path);
    assert_int_equal(a.qid.type, P9_QTDIR);
    /* A number in use is refused and stays what it is. */
    assert_int_equal(p9c_attach(c, 2, 1000), -EBADF);
    assert_int_equal(p9c_attach(c, P9_NOFID, 1000), -EBADF);
    assert_int_equal(p9c_getattr(c, 2, &b), 0);
    assert_int_equal(c->server.nodes.count, 1);
    p9c_stop(c);
}

static void auth_is_not_offered(void **state)
{
    struct p9c *c = start_l(NULL, 1, 1);

    p9c_begin(c, P9_TAUTH);
    p9_wr32(&c->wr, 1);
    p9c_str(c, "root");
    p9c_str(c, "");
    p9_wr32(&c->wr, 0);
    assert_int_equal(p9c_call(c, 0, NULL), -EOPNOTSUPP);
    p9c_stop(c);
}

static void a_walk_clones_steps_and_moves(void **state)
{
    struct p9c *c = start_l(NULL, 1, 3);
    struct p9c_attr a, b;

    mkdirat(c->root_fd, "d", 0755);
    mkdirat(c->root_fd, "d/e", 0755);
    host_file(c, "d/e/f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "d/e/f"), 0);
    assert_int_equal(p9c_getattr(c, 2, &a), 0);
    assert_int_equal(a.size, 4);
    /* One name per walk, onto itself. */
    assert_int_equal(p9c_walk(c, 1, 1, "d"), 0);
    assert_int_equal(p9c_walk(c, 1, 1, "e"), 0);
    assert_int_equal(p9c_walk(c, 1, 1, "f"), 0);
    assert_int_equal(p9c_getattr(c, 1, &b), 0);
    assert_true(a.qid.path == b.qid.path);
    /* Equal files share a node: root, d and e (as the links' folders), f. */
    assert_true(c->server.nodes.count <= 4);
    assert_int_equal(p9c_walk(c, ROOT, 2, "d"), -EBADF);
    assert_int_equal(p9c_walk(c, 77, 78, ""), -EBADF);
    assert_int_equal(p9c_walk(c, 2, 3, "x"), -ENOTDIR);
    p9c_stop(c);
}

static void a_failed_walk_leaves_the_fids_as_they_were(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct p9c_attr a, b;
    struct p9_rd rd;

    mkdirat(c->root_fd, "d", 0755);
    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(p9c_walk(c, 1, 1, "absent"), -ENOENT);
    assert_int_equal(p9c_getattr(c, 1, &b), 0);
    assert_true(a.qid.path == b.qid.path);
    /* Part of the way: the qids of that part, and no new fid. */
    p9c_begin(c, P9_TWALK);
    p9_wr32(&c->wr, 1);
    p9_wr32(&c->wr, 5);
    p9_wr16(&c->wr, 3);
    p9c_str(c, "d");
    p9c_str(c, "absent");
    p9c_str(c, "more");
    assert_int_equal(p9c_call(c, 0, &rd), 0);
    assert_int_equal(p9_rd16(&rd), 1);
    assert_int_equal(p9_rd_left(&rd), P9_QID_LEN);
    assert_int_equal(p9c_clunk(c, 5), -EBADF);
    /* The same with itself, then a create on the same fid, as Mini-OS does. */
    assert_int_equal(p9c_walk(c, 1, 1, "d/absent"), -ENOENT);
    assert_int_equal(p9c_lcreate(c, 1, "made", O_RDWR, 0644), 0);
    assert_int_equal(faccessat(c->root_fd, "made", F_OK, 0), 0);
    p9c_stop(c);
}

static void walks_of_16_names_pass_and_of_17_do_not(void **state)
{
    struct p9c *c = start_l(NULL, 1, 3);
    char path[256] = "";

    for (int i = 0; i < 17; i++) {
        strcat(path, i ? "/d" : "d");
        assert_int_equal(mkdirat(c->root_fd, path, 0755), 0);
    }
    assert_int_equal(p9c_walk(c, ROOT, 1, path), -EINVAL);
    path[strlen(path) - 2] = 0;
    assert_int_equal(p9c_walk(c, ROOT, 1, path), 0);
    p9c_stop(c);
}

static void names_that_are_no_component_are_refused(void **state)
{
    static const char *const bad[] = { "", ".", "..", "a/b", "/", "/etc", "../x", "d/.." };
    struct p9c *c = start_l(NULL, 1, 2);
    char name[300];

    mkdirat(c->root_fd, "d", 0755);
    assert_int_equal(p9c_walk(c, ROOT, 1, "d"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        p9c_begin(c, P9_TWALK);
        p9_wr32(&c->wr, 1);
        p9_wr32(&c->wr, 2);
        p9_wr16(&c->wr, 1);
        p9c_str(c, bad[i]);
        assert_int_equal(p9c_call(c, 0, NULL), -EINVAL);
        assert_int_equal(p9c_lcreate(c, 1, bad[i], O_RDWR, 0644), -EINVAL);
    }
    memset(name, 'n', sizeof(name));
    name[256] = 0;
    assert_int_equal(p9c_walk(c, 1, 2, name), -ENAMETOOLONG);
    p9c_begin(c, P9_TWALK);
    p9_wr32(&c->wr, 1);
    p9_wr32(&c->wr, 2);
    p9_wr16(&c->wr, 1);
    p9_wr_str(&c->wr, "d\0e", 3);
    assert_int_equal(p9c_call(c, 0, NULL), -EINVAL);
    p9c_stop(c);
}

static void links_are_nodes_and_never_followed(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct p9c_attr a;

    assert_int_equal(symlinkat("/etc", c->root_fd, "out"), 0);
    assert_int_equal(symlinkat("/etc/hostname", c->root_fd, "file"), 0);
    assert_int_equal(symlinkat("d", c->root_fd, "in"), 0);
    mkdirat(c->root_fd, "d", 0755);
    assert_int_equal(p9c_walk(c, ROOT, 1, "out"), 0);
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.mode & S_IFMT, S_IFLNK);
    assert_int_equal(a.qid.type, P9_QTSYMLINK);
    assert_int_equal(p9c_walk(c, ROOT, 2, "out/passwd"), -ENOENT);
    assert_int_equal(p9c_walk(c, 1, 2, "passwd"), -ENOTDIR);
    assert_int_equal(p9c_walk(c, ROOT, 2, "in/x"), -ENOENT);
    assert_int_equal(p9c_lopen(c, 1, O_RDONLY), -ELOOP);
    assert_int_equal(p9c_walk(c, ROOT, 3, "file"), 0);
    assert_int_equal(p9c_lopen(c, 3, O_RDWR), -ELOOP);
    /* A create onto a link opens nothing either. */
    assert_int_equal(p9c_walk(c, ROOT, 4, ""), 0);
    assert_int_equal(p9c_lcreate(c, 4, "file", O_RDWR, 0644), -ELOOP);
    p9c_stop(c);
}

static void fifos_sockets_and_devices_are_never_opened(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    static const char *const names[] = { "fifo", "sock", "dev" };
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct p9c_attr a;

    assert_int_equal(mkfifoat(c->root_fd, "fifo", 0666), 0);
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/sock", c->root);
    assert_int_equal(bind(s, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(s, 1), 0);
    if (mknodat(c->root_fd, "dev", S_IFCHR | 0666, 1 << 8 | 3) < 0)
        assert_int_equal(mkfifoat(c->root_fd, "dev", 0666), 0);     /* not root: one more FIFO */
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(p9c_walk(c, ROOT, 1, names[i]), 0);
        assert_int_equal(p9c_getattr(c, 1, &a), 0);
        assert_int_not_equal(a.mode & S_IFMT, S_IFREG);
        assert_int_equal(p9c_lopen(c, 1, O_RDONLY), -EPERM);
        assert_int_equal(p9c_lopen(c, 1, O_RDWR | O_NONBLOCK), -EPERM);
        assert_int_equal(p9c_walk(c, ROOT, 2, ""), 0);
        assert_int_equal(p9c_lcreate(c, 2, names[i], O_RDWR, 0644), -EPERM);
        assert_int_equal(p9c_clunk(c, 2), 0);
        /* And they can be removed. */
        assert_int_equal(p9c_remove(c, 1), 0);
        assert_int_equal(faccessat(c->root_fd, names[i], F_OK, AT_SYMLINK_NOFOLLOW), -1);
    }
    close(s);
    p9c_stop(c);
}

static void remove_always_clunks(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);

    mkdirat(c->root_fd, "d", 0755);
    host_file(c, "d/f", "x");
    assert_int_equal(p9c_walk(c, ROOT, 1, "d"), 0);
    assert_int_equal(p9c_remove(c, 1), -ENOTEMPTY);
    assert_int_equal(p9c_clunk(c, 1), -EBADF);
    assert_int_equal(p9c_walk(c, ROOT, 1, "d/f"), 0);
    assert_int_equal(p9c_remove(c, 1), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "d"), 0);
    assert_int_equal(p9c_remove(c, 1), 0);
    assert_int_equal(faccessat(c->root_fd, "d", F_OK, 0), -1);
    assert_int_equal(p9c_attach(c, 9, 0), 0);
    assert_int_equal(p9c_remove(c, 9), -EBUSY);
    p9c_stop(c);
}

static void remove_takes_the_file_that_was_walked_to_or_none(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    char text[16];

    host_file(c, "f", "old");
    host_file(c, "g", "new");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(renameat(c->root_fd, "g", c->root_fd, "f"), 0);
    assert_int_equal(p9c_remove(c, 1), -ENOENT);
    host_text(c, "f", text, sizeof(text));
    assert_string_equal(text, "new");
    p9c_stop(c);
}

static void a_rename_reaches_every_fid_of_the_name(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct p9_fids *fids = &c->server.fids;
    struct p9_node *dir;
    struct p9_link *to;

    mkdirat(c->root_fd, "d", 0755);
    host_file(c, "f", "x");
    host_file(c, "g", "x");
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(p9c_walk(c, ROOT, i, "f"), 0);
    assert_int_equal(p9c_walk(c, 1, 4, ""), 0);
    assert_int_equal(p9c_walk(c, ROOT, 5, "g"), 0);
    assert_int_equal(renameat(c->root_fd, "f", c->root_fd, "d/new"), 0);
    assert_int_equal(p9_fs_lookup(&c->server, c->server.root, "d", &dir, NULL), 0);
    to = p9_link_new(fids, dir, "new");
    p9_fids_renamed(fids, c->server.root, "f", to);
    p9_link_put(fids, to);
    p9_node_put(&c->server.nodes, dir);
    assert_int_equal(p9c_clunk(c, 1), 0);
    assert_int_equal(p9c_clunk(c, 2), 0);
    assert_int_equal(p9c_clunk(c, 3), 0);
    assert_int_equal(p9c_remove(c, 4), 0);
    assert_int_equal(faccessat(c->root_fd, "d/new", F_OK, 0), -1);
    assert_int_equal(p9c_remove(c, 5), 0);
    assert_int_equal(c->server.nodes.count, 1);
    p9c_stop(c);
}

static void fids_large_and_small_are_found(void **state)
{
    static const uint32_t nums[] = { 1, 4095, 4096, 4097, 65536, 0x7fffffff, 0xfffffffe,
                                     0x10001000, 0x20002000 };
    struct p9c *c = start_l(NULL, 1, 2);
    struct p9c_attr a;

    for (size_t i = 0; i < sizeof(nums) / sizeof(nums[0]); i++)
        assert_int_equal(p9c_walk(c, ROOT, nums[i], ""), 0);
    for (size_t i = 0; i < sizeof(nums) / sizeof(nums[0]); i++)
        assert_int_equal(p9c_walk(c, nums[i], nums[i], ""), 0);
    for (size_t i = 0; i < sizeof(nums) / sizeof(nums[0]); i++) {
        assert_int_equal(p9c_getattr(c, nums[i], &a), 0);
        assert_int_equal(p9c_clunk(c, nums[i]), 0);
        assert_int_equal(p9c_clunk(c, nums[i]), -EBADF);
    }
    assert_int_equal(c->server.fids.count, 1);
    p9c_stop(c);
}

static void fids_and_nodes_have_limits_of_their_own(void **state)
{
    struct p9_config cfg = { .max_fids = 20, .max_nodes = 5 };
    struct p9c *c = start_l(&cfg, 1, 2);
    char name[16];
    uint32_t i;

    for (i = 1; i < 40; i++)
        if (p9c_walk(c, ROOT, i, ""))
            break;
    assert_int_equal(i, 20);
    assert_int_equal(p9c_walk(c, ROOT, i, ""), -EMFILE);
    for (i = 1; i < 20; i++)
        assert_int_equal(p9c_clunk(c, i), 0);
    for (i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        host_file(c, name, "x");
    }
    for (i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        if (p9c_walk(c, ROOT, i + 1, name))
            break;
    }
    assert_int_equal(i, 4);
    assert_int_equal(p9c_walk(c, ROOT, i + 1, name), -EMFILE);
    assert_int_equal(p9c_clunk(c, 1), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, name), 0);
    p9c_stop(c);
}

/* With as many descriptors as p9_server_fds() says, every EMFILE is one of our limits. */
static void the_kernel_is_never_the_one_to_say_emfile(void **state)
{
    struct p9_config cfg = { .max_fids = 200, .max_nodes = 50, .max_opens = 40,
                              .max_lock_owners = 1 };
    struct p9c *c = start_l(&cfg, 1, 2);
    struct rlimit old, now;
    uint32_t fid = 1, opens = 0;
    int fd, top;

    for (int i = 0; i < 60; i++) {
        char name[16];

        snprintf(name, sizeof(name), "f%d", i);
        host_file(c, name, "x");
    }
    fd = dup(c->root_fd);
    close(fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    top = fd - 1 + (int)p9_server_fds(&c->server) - 1;   /* the lock owner is not there */
    now = old;
    now.rlim_cur = (rlim_t)top;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 60; i++) {
            char name[16];

            snprintf(name, sizeof(name), "f%d", i);
            if (!p9c_walk(c, ROOT, fid, name)) {
                opens += !p9c_lopen(c, fid, O_RDONLY);
                fid++;
            }
        }
    assert_int_equal(c->server.nodes.count, 50);
    assert_int_equal(opens, 40);
    assert_int_equal(c->server.fids.count, 3 * 49 + 1);
    /* And there is still room for what one request needs. */
    fd = dup(c->root_fd);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    p9c_stop(c);
}

static void nothing_is_left_behind(void **state)
{
    int before = count_fds();

    for (int i = 0; i < 50; i++) {
        struct p9c *c = start_l(NULL, 2, 1);

        host_file(c, "f", "x");
        for (uint32_t fid = 1; fid < 30; fid++) {
            assert_int_equal(p9c_walk(c, ROOT, fid, "f"), 0);
            if (fid % 2)
                assert_int_equal(p9c_lopen(c, fid, O_RDONLY), 0);
        }
        /* A new session closes all. */
        assert_int_equal(p9c_version(c, "9P2000.L", 8192), 0);
        assert_int_equal(c->server.fids.count, 0);
        assert_int_equal(c->server.fids.opens, 0);
        assert_int_equal(c->server.nodes.count, 1);
        assert_int_equal(p9c_clunk(c, 1), -EBADF);
        p9c_attach(c, 0, 0);
        for (uint32_t fid = 1; fid < 9; fid++)
            assert_int_equal(p9c_walk(c, ROOT, fid, "f"), 0);
        p9c_stop(c);
    }
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attach_takes_any_afid_and_name_and_several),
        cmocka_unit_test(auth_is_not_offered),
        cmocka_unit_test(a_walk_clones_steps_and_moves),
        cmocka_unit_test(a_failed_walk_leaves_the_fids_as_they_were),
        cmocka_unit_test(walks_of_16_names_pass_and_of_17_do_not),
        cmocka_unit_test(names_that_are_no_component_are_refused),
        cmocka_unit_test(links_are_nodes_and_never_followed),
        cmocka_unit_test(fifos_sockets_and_devices_are_never_opened),
        cmocka_unit_test(remove_always_clunks),
        cmocka_unit_test(remove_takes_the_file_that_was_walked_to_or_none),
        cmocka_unit_test(a_rename_reaches_every_fid_of_the_name),
        cmocka_unit_test(fids_large_and_small_are_found),
        cmocka_unit_test(fids_and_nodes_have_limits_of_their_own),
        cmocka_unit_test(the_kernel_is_never_the_one_to_say_emfile),
        cmocka_unit_test(nothing_is_left_behind),
    };

    return cmocka_run_group_tests_name("9pfs: walk", tests, NULL, NULL);
}
