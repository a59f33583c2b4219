/* SPDX-License-Identifier: LGPL-2.1-only */
/* Requests about names that no guest should make, or not at once; what limits are told of all. */
#include "tests/unit/ninepfs/calls.h"

#include <pthread.h>
#include <stdatomic.h>

#include "workers/ninepfs/fs.h"

#define REMOVEDIR 0x200u

/* ---------- hostile */

/* Every request that takes a name, with this one. */
static void expect_refused(struct p9c *c, const char *name, size_t len, int err)
{
    static const struct { uint8_t type; int words; } named[] = {
        { P9_TMKDIR, 2 }, { P9_TMKNOD, 4 }, { P9_TUNLINKAT, 1 }, { P9_TLCREATE, 3 },
    };
    uint32_t words[4] = { 0 };

    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
        assert_int_equal(send_named(c, named[i].type, 1, name, len, words, named[i].words), err);
    /* Behind one or two fields. */
    for (int which = 0; which < 5; which++) {
        p9c_begin(c, which == 0 ? P9_TLINK : which == 1 ? P9_TRENAME :
                     which == 2 ? P9_TSYMLINK : P9_TRENAMEAT);
        p9_wr32(&c->wr, which < 2 ? 2 : 1);
        if (which < 2)
            p9_wr32(&c->wr, which ? 1 : 2);
        if (which == 4)
            p9c_str(c, "f");
        else
            p9_wr_str(&c->wr, name, len);
        if (which == 2)
            p9c_str(c, "target");
        if (which >= 2)
            p9_wr32(&c->wr, 1);
        if (which == 3)
            p9c_str(c, "f2");
        if (which == 4)
            p9_wr_str(&c->wr, name, len);
        assert_int_equal(p9c_call(c, 0, NULL), err);
    }
}

static void names_of_more_than_a_component_are_refused_everywhere(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    char name[300];
    struct stat before, after;

    assert_int_equal(c_mkdir(c, ROOT, "d", 0755), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "d"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 3, "d"), 0);
    assert_int_equal(p9c_lcreate(c, 3, "f", O_RDWR, 0600), 0);
    assert_int_equal(p9c_walk(c, 1, 2, "f"), 0);
    assert_int_equal(host_stat(c, ".", &before), 0);
    expect_refused(c, "", 0, -EINVAL);
    expect_refused(c, ".", 1, -EINVAL);
    expect_refused(c, "..", 2, -EINVAL);
    expect_refused(c, "/", 1, -EINVAL);
    expect_refused(c, "../x", 4, -EINVAL);
    expect_refused(c, "a/b", 3, -EINVAL);
    expect_refused(c, "f\0x", 3, -EINVAL);
    memset(name, 'n', sizeof(name));
    expect_refused(c, name, 256, -ENAMETOOLONG);
    assert_int_equal(host_stat(c, ".", &after), 0);
    assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    assert_int_equal(before.st_nlink, after.st_nlink);
    /* What is odd, but one component, passes: 255 bytes, spaces, no UTF-8, dots. */
    name[255] = 0;
    assert_int_equal(c_mkdir(c, 1, name, 0755), 0);
    assert_int_equal(c_mkdir(c, 1, "...", 0755), 0);
    assert_int_equal(c_mkdir(c, 1, " \n\xff\xfe", 0755), 0);
    assert_int_equal(c_unlinkat(c, 1, " \n\xff\xfe", REMOVEDIR), 0);
    p9c_stop(c);
}

static void cut_and_overlong_requests_change_nothing(void **state)
{
    static const uint8_t types[] = {
        P9_TSETATTR, P9_TMKDIR, P9_TSYMLINK, P9_TMKNOD, P9_TLINK, P9_TRENAME, P9_TRENAMEAT,
        P9_TUNLINKAT, P9_TREADLINK, P9_TXATTRWALK, P9_TXATTRCREATE, P9_TLOCK, P9_TGETLOCK,
    };
    struct p9c *c = start_l(NULL, 1, 2);
    DIR *d;
    int n = 0;

    for (size_t i = 0; i < sizeof(types); i++) {
        /* Zeros: fid 0, empty names; always short of something, or too long. */
        for (uint32_t len = 0; len < 120; len++) {
            p9c_begin(c, types[i]);
            for (uint32_t k = 0; k < len; k++)
                p9_wr8(&c->wr, 0);
            if (types[i] == P9_TSETATTR && len == 60)
                continue;           /* whole, and asks for nothing */
            assert_true(p9c_call(c, 0, NULL) < 0);
        }
        p9c_begin(c, types[i]);
        for (int k = 0; k < 100; k++)
            p9_wr8(&c->wr, 0xff);
        assert_int_equal(p9c_call(c, 0, NULL), -EPROTO);
    }
    d = fdopendir(openat(c->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    assert_int_equal(n, 2);
    p9c_stop(c);
}

static void a_read_only_export_is_not_changed(void **state)
{
    struct p9_config cfg = { .read_only = true };
    struct p9c *c = start_l(&cfg, 1, 2);
    struct setattr a = { .valid = 0x01, .mode = 0600 };
    char text[16];

    host_file(c, "f", "text");
    assert_int_equal(symlinkat("target", c->root_fd, "s"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "s"), 0);
    assert_int_equal(c_mkdir(c, ROOT, "x", 0755), -EROFS);
    assert_int_equal(c_mknod(c, ROOT, "x", S_IFIFO | 0644, 0, 0), -EROFS);
    assert_int_equal(c_symlink(c, ROOT, "x", "y"), -EROFS);
    assert_int_equal(c_link(c, ROOT, 1, "x"), -EROFS);
    assert_int_equal(c_rename(c, 1, ROOT, "x"), -EROFS);
    assert_int_equal(c_renameat(c, ROOT, "f", ROOT, "x"), -EROFS);
    assert_int_equal(c_unlinkat(c, ROOT, "f", 0), -EROFS);
    assert_int_equal(c_setattr(c, 1, &a), -EROFS);
    assert_int_equal(c_readlink(c, 2, text, sizeof(text)), 0);
    assert_string_equal(text, "target");
    assert_true(host_has(c, "f") && !host_has(c, "x"));
    p9c_stop(c);
}

/* ---------- what limits are told */

static struct {
    int reserved, files, settled, done, removed;
    bool full;
    ino_t removed_ino;
} told;

static int t_reserve(struct p9_server *s, struct p9_charge *c, struct p9_node *n, uint64_t space,
                     uint32_t files)
{
    if (told.full)
        return -ENOSPC;
    told.reserved++;
    told.files += (int)files;
    return 0;
}

static int t_reserve_write(struct p9_server *s, struct p9_charge *c, struct p9_fid *f,
                           uint64_t off, uint64_t len)
{
    return t_reserve(s, c, f->node, off + len, 0);
}

static void t_settle(struct p9_server *s, struct p9_charge *c, bool ok, int fd)
{
    struct stat st;

    told.settled++;
    told.done += ok;
    /* The file as it is now can be looked at. */
    if (ok)
        assert_int_equal(fstat(fd, &st), 0);
}

static void t_removed(struct p9_server *s, struct p9_node *n, const struct stat *before)
{
    assert_true(n->ino == before->st_ino);
    told.removed++;
    told.removed_ino = n->ino;
}

static const struct p9_limits t_limits = {
    .reserve = t_reserve, .reserve_write = t_reserve_write, .settle = t_settle,
    .removed = t_removed,
};

static void expect_told(int files, int done, int removed)
{
    assert_int_equal(told.files, files);
    assert_int_equal(told.done, done);
    assert_int_equal(told.removed, removed);
    assert_int_equal(told.settled, told.reserved);
}

static void limits_hear_of_all_that_comes_and_goes(void **state)
{
    struct p9_config cfg = { .limits = &t_limits };
    struct setattr grow = { .valid = 0x08, .size = 10000 };
    struct stat st;
    struct p9c *c;

    memset(&told, 0, sizeof(told));
    c = start_l(&cfg, 1, 2);
    assert_int_equal(c_mkdir(c, ROOT, "d", 0755), 0);
    assert_int_equal(c_mknod(c, ROOT, "f", S_IFREG | 0644, 0, 0), 0);
    assert_int_equal(c_symlink(c, ROOT, "s", "f"), 0);
    expect_told(3, 3, 0);
    /* What fails is given back. */
    assert_int_equal(c_mkdir(c, ROOT, "d", 0755), -EEXIST);
    assert_int_equal(c_mknod(c, ROOT, "dev", S_IFCHR | 0644, 1, 3), -EPERM);
    expect_told(5, 3, 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(c_setattr(c, 1, &grow), 0);
    expect_told(5, 4, 0);
    /* A second name of a file is none, and a rename onto it does nothing. */
    assert_int_equal(c_link(c, ROOT, 1, "f2"), 0);
    assert_int_equal(c_renameat(c, ROOT, "f", ROOT, "f2"), 0);
    expect_told(5, 4, 0);
    /* What a rename replaces goes. */
    assert_int_equal(host_stat(c, "s", &st), 0);
    assert_int_equal(c_renameat(c, ROOT, "f2", ROOT, "s"), 0);
    expect_told(5, 4, 1);
    assert_true(told.removed_ino == st.st_ino);
    assert_int_equal(c_renameat(c, ROOT, "s", ROOT, "d"), -EISDIR);
    assert_int_equal(c_renameat(c, ROOT, "s", ROOT, "t"), 0);
    expect_told(5, 4, 1);
    assert_int_equal(c_unlinkat(c, ROOT, "t", 0), 0);
    assert_int_equal(c_unlinkat(c, ROOT, "d", REMOVEDIR), 0);
    expect_told(5, 4, 3);
    /* No room: nothing is made or grown. */
    told.full = true;
    assert_int_equal(c_mkdir(c, ROOT, "d", 0755), -ENOSPC);
    assert_int_equal(c_symlink(c, ROOT, "s", "f"), -ENOSPC);
    assert_int_equal(c_mknod(c, ROOT, "x", S_IFIFO | 0644, 0, 0), -ENOSPC);
    grow.size = 20000;
    assert_int_equal(c_setattr(c, 1, &grow), -ENOSPC);
    assert_false(host_has(c, "d") || host_has(c, "s") || host_has(c, "x"));
    assert_int_equal(host_stat(c, "f", &st), 0);
    assert_int_equal(st.st_size, 10000);
    expect_told(5, 4, 3);
    p9c_stop(c);
}

/* ---------- somebody on the host swaps a folder and a link */

struct swap {
    struct p9c *c;
    atomic_bool enough;
};

static void *swap_main(void *arg)
{
    struct swap *s = arg;

    while (!atomic_load(&s->enough))
        if (renameat2(s->c->root_fd, "d", s->c->root_fd, "l", RENAME_EXCHANGE) < 0)
            break;
    return NULL;
}

/* What a guest may try below "d", whatever that is now; how many tries came to a folder. */
static int try_all(struct p9c *c)
{
    struct setattr mode = { .valid = 0x01, .mode = 0777 }, cut = { .valid = 0x08, .size = 0 };
    int came = 0;

    if (!p9c_walk(c, ROOT, 1, "d")) {
        came += !c_mkdir(c, 1, "x", 0755);
        c_unlinkat(c, 1, "x", REMOVEDIR);
        c_mknod(c, 1, "y", S_IFREG | 0644, 0, 0);
        c_renameat(c, 1, "y", 1, "z");
        c_unlinkat(c, 1, "z", 0);
        c_symlink(c, 1, "s", "t");
        c_unlinkat(c, 1, "s", 0);
        c_setattr(c, 1, &mode);
        p9c_clunk(c, 1);
    }
    if (!p9c_walk(c, ROOT, 1, "d/f")) {
        c_setattr(c, 1, &mode);
        c_setattr(c, 1, &cut);
        p9c_remove(c, 1);
    }
    return came;
}

static void nothing_outside_is_touched_while_links_are_swapped(void **state)
{
    struct swap s = { .c = start_l(NULL, 1, 2) };
    struct p9c *c = s.c;
    char out[64], file[80], text[16];
    struct stat dir, st, dir2, st2;
    pthread_t thread;
    int fd, came = 0, tries = 0;

    snprintf(out, sizeof(out), "%.40s.out", c->root);
    snprintf(file, sizeof(file), "%s/f", out);
    assert_int_equal(mkdir(out, 0700), 0);
    fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "outside", 7), 7);
    assert_int_equal(stat(out, &dir), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(mkdirat(c->root_fd, "d", 0755), 0);
    assert_int_equal(symlinkat(out, c->root_fd, "l"), 0);

    assert_int_equal(pthread_create(&thread, NULL, swap_main, &s), 0);
    for (tries = 0; tries < 20000 && (tries < 500 || came < 50 || came > tries - 50); tries++)
        came += try_all(c);
    atomic_store(&s.enough, true);
    pthread_join(thread, NULL);
    /* Both were met. */
    assert_true(came > 0 && came < tries);
    assert_int_equal(stat(out, &dir2), 0);
    assert_int_equal(fstat(fd, &st2), 0);
    assert_memory_equal(&dir.st_mtim, &dir2.st_mtim, sizeof(dir.st_mtim));
    assert_memory_equal(&dir.st_ctim, &dir2.st_ctim, sizeof(dir.st_ctim));
    assert_memory_equal(&st.st_ctim, &st2.st_ctim, sizeof(st.st_ctim));
    assert_int_equal(pread(fd, text, sizeof(text), 0), 7);
    close(fd);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(out), 0);
    p9c_stop(c);
}

/* ---------- two rings at once */

/* One request of a kind chosen by i, about few names, so that the rings meet. */
static void send_some(struct p9c *c, unsigned int ring, unsigned int i)
{
    static const uint8_t types[] = { P9_TRENAMEAT, P9_TRENAME, P9_TLINK, P9_TUNLINKAT, P9_TMKNOD };
    const char *a = i / 5 % 2 ? "a" : "b", *b = i / 10 % 2 ? "a" : "c";
    uint8_t type = types[i % 5];

    p9c_begin(c, type);
    p9_wr32(&c->wr, type == P9_TRENAME ? 1 + i / 20 % 2 : ROOT);
    if (type == P9_TRENAME || type == P9_TLINK)
        p9_wr32(&c->wr, type == P9_TRENAME ? ROOT : 1 + i / 20 % 2);
    p9c_str(c, a);
    if (type == P9_TRENAMEAT) {
        p9_wr32(&c->wr, ROOT);
        p9c_str(c, b);
    } else if (type == P9_TUNLINKAT) {
        p9_wr32(&c->wr, 0);
    } else if (type == P9_TMKNOD) {
        p9_wr32(&c->wr, S_IFREG | 0644);
        p9_wr32(&c->wr, 0);
        p9_wr32(&c->wr, 0);
        p9_wr32(&c->wr, 0);
    }
    p9c_send(c, ring);
}

static void rings_that_move_the_same_names_harm_nothing(void **state)
{
    struct p9c *c = start_l(NULL, 2, 2);
    struct setattr cut = { .valid = 0x08, .size = 1 };
    unsigned int seed = 1, done = 0;
    struct p9c_attr at;
    struct p9_rd rd;
    int n, rc;

    guest_file(c, "a", "one");
    guest_file(c, "b", "two");
    assert_int_equal(p9c_walk(c, ROOT, 1, "a"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "b"), 0);
    for (int i = 0; i < 3000; i++) {
        for (unsigned int ring = 0; ring < 2; ring++) {
            seed = seed * 1103515245 + 12345;
            send_some(c, ring, seed >> 16);
        }
        for (unsigned int ring = 0; ring < 2; ring++) {
            n = p9c_get(c, ring, c->r, sizeof(c->r));
            assert_true(n >= (int)P9_HDR);
            if (c->r[4] != P9_RLERROR) {
                done++;
                continue;
            }
            p9_rd_init(&rd, c->r + P9_HDR, (size_t)n - P9_HDR);
            rc = (int)p9_rd32(&rd);
            assert_true(rc == ENOENT || rc == EEXIST);
        }
    }
    assert_true(done > 500);
    /* Each fid is still its file, whatever it is called by now. */
    assert_int_equal(c_setattr(c, 1, &cut), 0);
    assert_int_equal(p9c_getattr(c, 1, &at), 0);
    assert_int_equal(at.size, 1);
    assert_int_equal(p9c_getattr(c, 2, &at), 0);
    assert_int_equal(at.size, 3);
    assert_int_equal(p9c_clunk(c, 1), 0);
    assert_int_equal(p9c_clunk(c, 2), 0);
    assert_int_equal(c->server.nodes.count, 1);
    assert_int_equal(c->server.fids.count, 1);
    p9c_stop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_more_than_a_component_are_refused_everywhere),
        cmocka_unit_test(cut_and_overlong_requests_change_nothing),
        cmocka_unit_test(a_read_only_export_is_not_changed),
        cmocka_unit_test(limits_hear_of_all_that_comes_and_goes),
        cmocka_unit_test(nothing_outside_is_touched_while_links_are_swapped),
        cmocka_unit_test(rings_that_move_the_same_names_harm_nothing),
    };

    return cmocka_run_group_tests_name("9pfs: names, hostile", tests, NULL, NULL);
}
