/* SPDX-License-Identifier: LGPL-2.1-only */
/* max-space, max-files, max-open-files, auto-delete. */
#include "tests/unit/ninepfs/calls.h"

#include <pthread.h>
#include <sys/statfs.h>
#include <time.h>

#include "workers/ninepfs/limits.h"

#define KIB 1024u
#define REMOVEDIR 0x200u

/* A server with these limits; the files are made before it looks. */
struct lim {
    struct p9c *c;
    struct p9_quota *quota;
    int64_t base;                   /* what the empty export takes */
};

static struct lim start_with(const struct p9_quota_config *qc, const char *const *files,
                             unsigned int rings)
{
    struct p9_config cfg = { .limits = &p9_quota_limits };
    struct p9_quota_config conf = *qc;
    struct lim l;
    struct stat st;

    l.c = p9c_start(&cfg, rings, 4, 0);
    assert_int_equal(fstat(l.c->root_fd, &st), 0);
    l.base = (int64_t)st.st_blocks * 512;
    if (conf.max_space)
        conf.max_space += (uint64_t)l.base;
    for (; files && *files; files++)
        host_file(l.c, *files, "x");
    assert_int_equal(p9_quota_new(&conf, l.c->root_fd, &l.quota), 0);
    l.c->server.cfg.limits_arg = l.quota;
    assert_int_equal(p9_server_start(&l.c->server), 0);
    l.c->running = 1;
    assert_int_equal(p9c_version(l.c, "9P2000.L", 1 << 20), 0);
    assert_int_equal(p9c_attach(l.c, ROOT, 0), 0);
    return l;
}

/* The accounts say what a new look through the export says. */
static void expect_exact(struct lim *l)
{
    static struct p9_tree t;
    int64_t space, files;

    p9_quota_usage(l->quota, &space, &files);
    assert_int_equal(p9_tree_scan(&t, l->c->root_fd, 1 << 20), 0);
    assert_int_equal(files, t.files);
    assert_int_equal(space, t.space);
    p9_tree_free(&t);
}

static void stop(struct lim *l)
{
    p9c_stop(l->c);
    p9_quota_free(l->quota);
}

static int64_t used(struct lim *l)
{
    int64_t space, files;

    p9_quota_usage(l->quota, &space, &files);
    return space - l->base;
}

static int new_file(struct lim *l, uint32_t fid, const char *name)
{
    int rc;

    assert_int_equal(p9c_walk(l->c, ROOT, fid, ""), 0);
    rc = p9c_lcreate(l->c, fid, name, O_RDWR, 0644);
    if (rc)
        assert_int_equal(p9c_clunk(l->c, fid), 0);
    return rc;
}

static char bytes[64 * KIB];

static void space_is_enforced_to_the_block(void **state)
{
    struct p9_quota_config qc = { .max_space = 64 * KIB };
    struct lim l = start_with(&qc, NULL, 1);
    struct setattr cut = { .valid = 0x08, .size = 4096 };

    assert_int_equal(new_file(&l, 1, "a"), 0);
    assert_int_equal(p9c_write(l.c, 1, 0, bytes, 8192), 8192);
    assert_int_equal(p9c_write(l.c, 1, 8192, bytes, 8192), 8192);
    assert_int_equal(used(&l), 16 * KIB);
    /* What is there already costs nothing again. */
    assert_int_equal(p9c_write(l.c, 1, 100, bytes, 5000), 5000);
    for (int i = 2; i < 8; i++)
        assert_int_equal(p9c_write(l.c, 1, (uint64_t)i * 8192, bytes, 8192), 8192);
    assert_int_equal(used(&l), 64 * KIB);
    assert_int_equal(p9c_write(l.c, 1, 64 * KIB, bytes, 1), -ENOSPC);
    assert_int_equal(p9c_write(l.c, 1, 64 * KIB - 1, bytes, 1), 1);
    expect_exact(&l);
    assert_int_equal(c_setattr(l.c, 1, &cut), 0);
    assert_int_equal(used(&l), 4096);
    assert_int_equal(p9c_write(l.c, 1, 4096, bytes, 8192), 8192);
    expect_exact(&l);
    stop(&l);
}

static void a_hole_costs_nothing_until_it_is_filled(void **state)
{
    struct p9_quota_config qc = { .max_space = 16 * KIB };
    struct lim l = start_with(&qc, NULL, 1);
    struct setattr grow = { .valid = 0x08, .size = 1 << 20 };

    assert_int_equal(new_file(&l, 1, "a"), 0);
    assert_int_equal(c_setattr(l.c, 1, &grow), 0);
    assert_int_equal(used(&l), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(p9c_write(l.c, 1, (uint64_t)i * 65536, bytes, 100), 100);
    assert_int_equal(used(&l), 16 * KIB);
    assert_int_equal(p9c_write(l.c, 1, 5 * 65536, bytes, 1), -ENOSPC);
    expect_exact(&l);
    stop(&l);
}

/* Ten pieces are more than ext4 keeps in an inode: the block for their map comes when they are
 * written out. */
static void what_a_file_system_takes_later_is_counted(void **state)
{
    struct p9_quota_config qc = { .max_space = 1 << 20 };
    struct lim l = start_with(&qc, NULL, 1);

    assert_int_equal(new_file(&l, 1, "a"), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(p9c_write(l.c, 1, (uint64_t)i * 16384, bytes, 100), 100);
    assert_int_equal(syncfs(l.c->root_fd), 0);
    assert_int_equal(p9c_clunk(l.c, 1), 0);
    expect_exact(&l);
    stop(&l);
}

static void appends_are_counted_where_they_land(void **state)
{
    struct p9_quota_config qc = { .max_space = 16 * KIB };
    struct lim l = start_with(&qc, NULL, 1);

    assert_int_equal(p9c_walk(l.c, ROOT, 1, ""), 0);
    assert_int_equal(p9c_lcreate(l.c, 1, "a", O_WRONLY | 02000, 0644), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(p9c_write(l.c, 1, 0, bytes, 4096), 4096);
    assert_int_equal(used(&l), 16 * KIB);
    assert_int_equal(p9c_write(l.c, 1, 0, bytes, 4096), -ENOSPC);
    expect_exact(&l);
    stop(&l);
}

static void files_are_counted_with_folders_and_links_once(void **state)
{
    static const char *const there[] = { "h1", "h2", NULL };
    struct p9_quota_config qc = { .max_files = 5 };
    struct lim l = start_with(&qc, there, 1);

    assert_int_equal(c_mkdir(l.c, ROOT, "d", 0755), 0);
    assert_int_equal(c_symlink(l.c, ROOT, "s", "h1"), 0);
    assert_int_equal(new_file(&l, 1, "f"), 0);
    assert_int_equal(new_file(&l, 2, "g"), -ENOSPC);
    assert_int_equal(c_mkdir(l.c, ROOT, "e", 0755), -ENOSPC);
    assert_int_equal(c_mknod(l.c, ROOT, "p", S_IFIFO | 0644, 0, 0), -ENOSPC);
    /* More names of a file are no more files, and the file goes with its last name. */
    assert_int_equal(c_link(l.c, ROOT, 1, "f2"), 0);
    assert_int_equal(c_unlinkat(l.c, ROOT, "f", 0), 0);
    assert_int_equal(new_file(&l, 2, "g"), -ENOSPC);
    assert_int_equal(c_unlinkat(l.c, ROOT, "f2", 0), 0);
    assert_int_equal(new_file(&l, 2, "g"), 0);
    expect_exact(&l);
    /* What a rename replaces, and a folder. */
    assert_int_equal(c_renameat(l.c, ROOT, "h1", ROOT, "h2"), 0);
    assert_int_equal(c_unlinkat(l.c, ROOT, "d", REMOVEDIR), 0);
    expect_exact(&l);
    assert_int_equal(c_mkdir(l.c, ROOT, "e", 0755), 0);
    assert_int_equal(c_mkdir(l.c, ROOT, "e", 0755), -EEXIST);
    assert_int_equal(c_mkdir(l.c, ROOT, "e2", 0755), 0);
    assert_int_equal(c_mkdir(l.c, ROOT, "e3", 0755), -ENOSPC);
    expect_exact(&l);
    stop(&l);
}

static void a_file_without_a_name_costs_until_its_last_fid(void **state)
{
    struct p9_quota_config qc = { .max_space = 16 * KIB };
    struct lim l = start_with(&qc, NULL, 1);

    assert_int_equal(new_file(&l, 1, "a"), 0);
    assert_int_equal(p9c_write(l.c, 1, 0, bytes, 8192), 8192);
    assert_int_equal(c_unlinkat(l.c, ROOT, "a", 0), 0);
    assert_int_equal(p9c_write(l.c, 1, 8192, bytes, 8192), 8192);
    assert_int_equal(used(&l), 16 * KIB);
    assert_int_equal(new_file(&l, 2, "b"), 0);
    assert_int_equal(p9c_write(l.c, 2, 0, bytes, 1), -ENOSPC);
    assert_int_equal(p9c_clunk(l.c, 1), 0);
    assert_int_equal(used(&l), 0);
    assert_int_equal(p9c_write(l.c, 2, 0, bytes, 1), 1);
    expect_exact(&l);
    stop(&l);
}

static void df_in_the_guest_says_the_quota(void **state)
{
    struct p9_quota_config qc = { .max_space = 64 * KIB, .max_files = 10 };
    struct lim l = start_with(&qc, NULL, 1);
    uint64_t blocks, bfree, bavail, files, ffree;
    struct p9_rd rd;
    uint32_t bsize;

    assert_int_equal(new_file(&l, 1, "a"), 0);
    assert_int_equal(p9c_write(l.c, 1, 0, bytes, 8192), 8192);
    p9c_begin(l.c, P9_TSTATFS);
    p9_wr32(&l.c->wr, ROOT);
    assert_int_equal(p9c_call(l.c, 0, &rd), 0);
    p9_rd32(&rd);
    bsize = p9_rd32(&rd);
    blocks = p9_rd64(&rd);
    bfree = p9_rd64(&rd);
    bavail = p9_rd64(&rd);
    files = p9_rd64(&rd);
    ffree = p9_rd64(&rd);
    assert_int_equal(blocks, (64 * KIB + (uint64_t)l.base) / bsize);
    assert_int_equal(bfree * bsize, 56 * KIB);
    assert_int_equal(bavail * bsize, 56 * KIB);
    assert_int_equal(files, 10);
    assert_int_equal(ffree, 9);
    stop(&l);
}

static void a_look_through_the_export_is_bounded(void **state)
{
    struct p9_quota_config qc = { .max_files = 100, .max_scan = 3 };
    struct p9c *c = p9c_start(NULL, 1, 1, 1);
    struct p9_quota *q;

    host_file(c, "a", "");
    host_file(c, "b", "");
    host_file(c, "c", "");
    assert_int_equal(p9_quota_new(&qc, c->root_fd, &q), 0);
    p9_quota_free(q);
    host_file(c, "d", "");
    assert_int_equal(p9_quota_new(&qc, c->root_fd, &q), -EOVERFLOW);
    p9c_stop(c);
}

static void folders_deeper_than_any_path_are_counted(void **state)
{
    struct p9_quota_config qc = { .max_files = 10000 };
    struct p9c *c = p9c_start(NULL, 1, 1, 1);
    char name[201];
    int64_t space, files;
    int fd = dup(c->root_fd), to;
    struct p9_quota *q;

    memset(name, 'n', 200);
    name[200] = 0;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(mkdirat(fd, name, 0755), 0);
        to = openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(to >= 0);
        close(fd);
        fd = to;
    }
    close(fd);
    assert_int_equal(p9_quota_new(&qc, c->root_fd, &q), 0);
    p9_quota_usage(q, &space, &files);
    assert_int_equal(files, 100);
    p9_quota_free(q);
    p9c_stop(c);
}

static void links_out_of_the_export_are_not_followed(void **state)
{
    struct p9_quota_config qc = { .max_files = 10 };
    struct p9c *c = p9c_start(NULL, 1, 1, 1);
    int64_t space, files;
    struct p9_quota *q;

    assert_int_equal(symlinkat("/usr", c->root_fd, "l"), 0);
    assert_int_equal(mkfifoat(c->root_fd, "p", 0644), 0);
    assert_int_equal(p9_quota_new(&qc, c->root_fd, &q), 0);
    p9_quota_usage(q, &space, &files);
    assert_int_equal(files, 2);
    p9_quota_free(q);
    p9c_stop(c);
}

/* ---------- max-open-files */

/* Linux renames with clones of fids that are not open. */
static void a_rename_works_at_the_limit_of_open_files(void **state)
{
    struct p9_config cfg = { .max_opens = 5 };
    struct p9c *c = start_l(&cfg, 1, 2);

    host_file(c, "f", "x");
    for (uint32_t i = 1; i <= 5; i++)
        guest_open(c, i, "f", O_RDONLY);
    assert_int_equal(p9c_walk(c, ROOT, 6, "f"), 0);
    assert_int_equal(p9c_lopen(c, 6, O_RDONLY), -EMFILE);
    assert_int_equal(c_renameat(c, ROOT, "f", ROOT, "g"), 0);
    assert_int_equal(p9c_clunk(c, 1), 0);
    assert_int_equal(p9c_lopen(c, 6, O_RDONLY), 0);
    p9c_stop(c);
}

/* ---------- auto-delete */

static void set_age(struct lim *l, const char *name, time_t mtime)
{
    struct timespec ts[2] = { { .tv_sec = mtime }, { .tv_sec = mtime } };

    assert_int_equal(utimensat(l->c->root_fd, name, ts, AT_SYMLINK_NOFOLLOW), 0);
}

static void the_oldest_file_goes_first(void **state)
{
    static const char *const there[] = { "new", "old", "older", NULL };
    struct p9_quota_config qc = { .max_files = 4, .auto_delete = true };
    struct lim l = start_with(&qc, there, 1);

    set_age(&l, "new", 3000);
    set_age(&l, "old", 2000);
    set_age(&l, "older", 1000);
    assert_int_equal(new_file(&l, 1, "a"), 0);
    assert_true(host_has(l.c, "older"));
    assert_int_equal(new_file(&l, 2, "b"), 0);
    assert_false(host_has(l.c, "older"));
    assert_true(host_has(l.c, "old"));
    assert_int_equal(c_mkdir(l.c, ROOT, "d", 0755), 0);
    assert_false(host_has(l.c, "old"));
    assert_true(host_has(l.c, "new") && host_has(l.c, "a") && host_has(l.c, "b"));
    expect_exact(&l);
    stop(&l);
}

static void no_open_file_no_folder_and_no_link_is_deleted(void **state)
{
    static const char *const there[] = { "open", NULL };
    struct p9_quota_config qc = { .max_files = 4, .auto_delete = true };
    struct lim l = start_with(&qc, there, 1);

    assert_int_equal(mkdirat(l.c->root_fd, "dir", 0755), 0);
    assert_int_equal(c_symlink(l.c, ROOT, "link", "/"), 0);
    assert_int_equal(c_mknod(l.c, ROOT, "fifo", S_IFIFO | 0644, 0, 0), 0);
    assert_int_equal(c_mkdir(l.c, ROOT, "d2", 0755), 0);
    guest_open(l.c, 1, "open", O_RDONLY);
    set_age(&l, "open", 1);
    set_age(&l, "link", 1);
    set_age(&l, "fifo", 1);
    assert_int_equal(new_file(&l, 2, "a"), -ENOSPC);
    assert_true(host_has(l.c, "open") && host_has(l.c, "link") && host_has(l.c, "fifo"));
    assert_int_equal(p9c_clunk(l.c, 1), 0);
    assert_int_equal(new_file(&l, 2, "a"), 0);
    assert_false(host_has(l.c, "open"));
    assert_true(host_has(l.c, "dir") && host_has(l.c, "d2"));
    stop(&l);
}

static void a_write_that_cannot_fit_deletes_nothing(void **state)
{
    struct p9_quota_config qc = { .max_space = 32 * KIB, .auto_delete = true };
    struct lim l = start_with(&qc, NULL, 1);
    char name[16];

    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        assert_int_equal(new_file(&l, 1, name), 0);
        assert_int_equal(p9c_write(l.c, 1, 0, bytes, 8192), 8192);
        assert_int_equal(p9c_clunk(l.c, 1), 0);
    }
    guest_open(l.c, 2, "f0", O_RDWR);
    assert_int_equal(used(&l), 24 * KIB);
    /* f0 stays (it is open), so 24 KiB are the most that there is. */
    assert_int_equal(p9c_write(l.c, 2, 8192, bytes, 8192), 8192);
    assert_true(host_has(l.c, "f1") && host_has(l.c, "f2"));
    assert_int_equal(p9c_write(l.c, 2, 1 << 20, bytes, 15000), 15000);
    expect_exact(&l);
    assert_false(host_has(l.c, "f1") && host_has(l.c, "f2"));
    stop(&l);

    l = start_with(&qc, NULL, 1);
    assert_int_equal(new_file(&l, 1, "open"), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(p9c_write(l.c, 1, (uint64_t)i * 8192, bytes, 8192), 8192);
    guest_file(l.c, "small", "x");
    assert_int_equal(p9c_write(l.c, 1, 1 << 20, bytes, 12288), -ENOSPC);
    assert_true(host_has(l.c, "small"));
    expect_exact(&l);
    stop(&l);
}

static void what_a_fid_holds_is_freed_all_the_same(void **state)
{
    struct p9_quota_config qc = { .max_space = 16 * KIB, .auto_delete = true };
    struct lim l = start_with(&qc, NULL, 1);

    assert_int_equal(new_file(&l, 1, "a"), 0);
    assert_int_equal(p9c_write(l.c, 1, 0, bytes, 8192), 8192);
    assert_int_equal(p9c_walk(l.c, ROOT, 2, "a"), 0);
    assert_int_equal(p9c_clunk(l.c, 1), 0);
    assert_int_equal(new_file(&l, 3, "b"), 0);
    assert_int_equal(p9c_write(l.c, 3, 0, bytes, 8192), 8192);
    assert_int_equal(p9c_write(l.c, 3, 8192, bytes, 8192), 8192);
    assert_false(host_has(l.c, "a"));
    assert_int_equal(used(&l), 16 * KIB);
    assert_int_equal(p9c_clunk(l.c, 2), 0);
    expect_exact(&l);
    stop(&l);
}

/* ---------- several rings */

#define ROUNDS 1500

static void send_one(struct p9c *c, unsigned int ring, unsigned int r)
{
    static const char *const name[] = { "a", "b", "c", "d", "e", "f", "g", "h" };
    uint32_t fid = 10 + r / 8 % 4;
    static const uint8_t types[] = { P9_TWRITE, P9_TWRITE, P9_TMKNOD, P9_TUNLINKAT, P9_TRENAMEAT,
                                     P9_TSETATTR, P9_TLINK, P9_TMKDIR };
    uint8_t type = types[r % 8];

    p9c_begin(c, type);
    if (type == P9_TWRITE) {
        p9_wr32(&c->wr, fid);
        p9_wr64(&c->wr, r / 32 % 4 * 4096u);
        p9_wr32(&c->wr, 6000);
        p9_wr_bytes(&c->wr, bytes, 6000);
    } else if (type == P9_TSETATTR) {
        p9_wr32(&c->wr, fid);
        p9_wr32(&c->wr, 0x08);
        for (int i = 0; i < 3; i++)
            p9_wr32(&c->wr, 0);
        p9_wr64(&c->wr, r / 32 % 4 * 4096u);
        for (int i = 0; i < 4; i++)
            p9_wr64(&c->wr, 0);
    } else {
        p9_wr32(&c->wr, ROOT);
        if (type == P9_TLINK)
            p9_wr32(&c->wr, fid);
        p9c_str(c, name[r / 32 % 8]);
        if (type == P9_TRENAMEAT) {
            p9_wr32(&c->wr, ROOT);
            p9c_str(c, name[r / 256 % 8]);
        } else if (type == P9_TUNLINKAT) {
            p9_wr32(&c->wr, r / 256 % 4 ? 0 : REMOVEDIR);
        } else if (type == P9_TMKNOD || type == P9_TMKDIR) {
            p9_wr32(&c->wr, type == P9_TMKDIR ? 0755 : S_IFREG | 0644);
            for (int i = type == P9_TMKDIR ? 2 : 0; i < 3; i++)
                p9_wr32(&c->wr, 0);
        }
    }
    if (type == P9_TMKDIR)
        p9_wr32(&c->wr, 0);
    p9c_send(c, ring);
}

static void rings_together_never_pass_a_limit(bool auto_delete)
{
    struct p9_quota_config qc = { .max_space = 60 * KIB, .max_files = 8,
                                  .auto_delete = auto_delete };
    struct lim l = start_with(&qc, NULL, 4);
    unsigned int seed = 7, refused = 0, done = 0;
    char name[16];
    int64_t space, files;

    for (uint32_t i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "w%u", i);
        assert_int_equal(new_file(&l, 10 + i, name), 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        for (unsigned int ring = 0; ring < 4; ring++) {
            seed = seed * 1103515245 + 12345;
            send_one(l.c, ring, seed >> 12);
        }
        for (unsigned int ring = 0; ring < 4; ring++) {
            assert_true(p9c_get(l.c, ring, l.c->r, sizeof(l.c->r)) >= (int)P9_HDR);
            if (l.c->r[4] == P9_RLERROR)
                refused += l.c->r[7] == ENOSPC;
            else
                done++;
            p9_quota_usage(l.quota, &space, &files);
            assert_true(files <= 8);
            assert_true(space - l.base <= (int64_t)(60 * KIB));
        }
    }
    assert_true(done > ROUNDS / 4 && (auto_delete || refused > 0));
    assert_int_equal(syncfs(l.c->root_fd), 0);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(p9c_clunk(l.c, 10 + i), 0);
    /* What is written out from here on is not ours to see. */
    expect_exact(&l);
    stop(&l);
}

static void rings_together_stay_within_and_the_sums_are_exact(void **state)
{
    rings_together_never_pass_a_limit(false);
}

static void the_same_while_the_oldest_files_go(void **state)
{
    rings_together_never_pass_a_limit(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(space_is_enforced_to_the_block),
        cmocka_unit_test(a_hole_costs_nothing_until_it_is_filled),
        cmocka_unit_test(what_a_file_system_takes_later_is_counted),
        cmocka_unit_test(appends_are_counted_where_they_land),
        cmocka_unit_test(files_are_counted_with_folders_and_links_once),
        cmocka_unit_test(a_file_without_a_name_costs_until_its_last_fid),
        cmocka_unit_test(df_in_the_guest_says_the_quota),
        cmocka_unit_test(a_look_through_the_export_is_bounded),
        cmocka_unit_test(folders_deeper_than_any_path_are_counted),
        cmocka_unit_test(links_out_of_the_export_are_not_followed),
        cmocka_unit_test(a_rename_works_at_the_limit_of_open_files),
        cmocka_unit_test(the_oldest_file_goes_first),
        cmocka_unit_test(no_open_file_no_folder_and_no_link_is_deleted),
        cmocka_unit_test(a_write_that_cannot_fit_deletes_nothing),
        cmocka_unit_test(what_a_fid_holds_is_freed_all_the_same),
        cmocka_unit_test(rings_together_stay_within_and_the_sums_are_exact),
        cmocka_unit_test(the_same_while_the_oldest_files_go),
    };

    return cmocka_run_group_tests_name("9pfs: limits", tests, NULL, NULL);
}
