/* SPDX-License-Identifier: LGPL-2.1-only */
/* 9P2000.u: folders as a row of stats, and the requests a Linux mount makes of its calls. */
#include "tests/unit/ninepfs/u.h"

#define BUF 65536u

/* The stats of one read, after row number `n`; returns the number behind.  names may be NULL. */
static int rows(const uint8_t *buf, size_t len, int n, struct u_stat *st,
                void (*each)(struct p9c *c, const struct u_stat *st), struct p9c *c)
{
    struct p9_rd rd;

    for (p9_rd_init(&rd, buf, len); !p9_rd_end(&rd); n++) {
        u_rd_stat(&rd, st);
        if (each)
            each(c, st);
    }
    return n;
}

static bool seen[2000];

static void mark(struct p9c *c, const struct u_stat *st)
{
    unsigned int i;

    if (sscanf(st->name, "file-%u", &i) != 1) {
        assert_true(!strcmp(st->name, ".") || !strcmp(st->name, ".."));
        return;
    }
    assert_true(i < 2000);
    assert_false(seen[i]);
    assert_int_equal(st->length, i % 10);
    seen[i] = true;
}

/* Reads with `count` until the end; returns rows. */
static int list(struct p9c *c, uint32_t fid, uint32_t count, uint32_t *reads)
{
    static uint8_t buf[BUF];
    static struct u_stat st;
    uint64_t off = 0;
    int64_t r;
    int n = 0;

    memset(seen, 0, sizeof(seen));
    for (*reads = 0;; ++*reads) {
        r = p9c_read(c, fid, off, buf, count);
        assert_true(r >= 0);
        if (!r)
            return n;
        n = rows(buf, (size_t)r, n, &st, mark, c);
        off += (uint64_t)r;
    }
}

static void every_entry_comes_once_and_whole(void **state)
{
    static const uint32_t counts[] = { 65000, 8192, 1000, 401, 150, 110 };
    struct p9c *c = start_u(NULL, 1, 6);
    uint32_t reads;
    char name[16];

    mkdirat(c->root_fd, "d", 0755);
    for (unsigned int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "d/file-%u", i);
        host_file(c, name, "0123456789" + 10 - i % 10);
    }
    assert_int_equal(p9c_walk(c, ROOT, 1, "d"), 0);
    assert_int_equal(u_open(c, 1, OREAD), 0);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        assert_int_equal(list(c, 1, counts[i], &reads), 502);
        assert_true(reads >= 500 * 80 / counts[i]);
        /* Reads are filled, not cut short. */
        assert_true(reads <= 1 + 502 * 100 / (counts[i] < 200 ? 100 : counts[i] - 100));
    }
    p9c_stop(c);
}

static void an_offset_is_zero_or_an_end_of_the_last_read(void **state)
{
    struct p9c *c = start_u(NULL, 1, 3);
    uint8_t a[400], b[400];
    char name[16];
    int64_t first, second;

    for (unsigned int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "file-%u", i);
        host_file(c, name, "");
    }
    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    assert_int_equal(u_open(c, 1, OREAD), 0);
    first = p9c_read(c, 1, 0, a, sizeof(a));
    assert_true(first > 0);
    assert_int_equal(p9c_read(c, 1, 1, b, sizeof(b)), -EINVAL);
    assert_int_equal(p9c_read(c, 1, (uint64_t)first + 1, b, sizeof(b)), -EINVAL);
    assert_int_equal(p9c_read(c, 1, UINT64_MAX, b, sizeof(b)), -EINVAL);
    second = p9c_read(c, 1, (uint64_t)first, a, sizeof(a));
    assert_true(second > 0);
    /* Once more, as after a flush: the same. */
    assert_int_equal(p9c_read(c, 1, (uint64_t)first, b, sizeof(b)), second);
    assert_memory_equal(a, b, second);
    /* Too little for an entry is not the end of the folder. */
    assert_int_equal(p9c_read(c, 1, 0, b, 60), -EINVAL);
    assert_int_equal(p9c_read(c, 1, 0, b, 0), -EINVAL);
    assert_int_equal(p9c_write(c, 1, 0, "x", 1), -EBADF);
    p9c_stop(c);
}

static void check_kind(struct p9c *c, const struct u_stat *st)
{
    struct stat root = host_stat(c, ".");

    if (!strcmp(st->name, "l")) {
        assert_int_equal(st->mode, P9_DMSYMLINK | 0777);
        assert_string_equal(st->ext, "target");
    } else if (!strcmp(st->name, "p")) {
        assert_int_equal(st->mode, P9_DMNAMEDPIPE | 0600);
    } else if (!strcmp(st->name, "d")) {
        assert_int_equal(st->mode & P9_DMDIR, P9_DMDIR);
        assert_int_equal(st->qid.type, P9_QTDIR);
    } else {
        /* Also "..": what lies above the export is nobody's business. */
        assert_true(!strcmp(st->name, ".") || !strcmp(st->name, ".."));
        assert_true(st->qid.path == root.st_ino);
        assert_int_equal(st->n_uid, root.st_uid);
    }
}

static void entries_are_looked_at_but_not_followed(void **state)
{
    struct p9c *c = start_u(NULL, 1, 3);
    static uint8_t buf[8000];
    static struct u_stat st;
    int64_t r;

    assert_int_equal(symlinkat("target", c->root_fd, "l"), 0);
    mkfifoat(c->root_fd, "p", 0600);
    mkdirat(c->root_fd, "d", 0755);
    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    assert_int_equal(u_open(c, 1, OREAD), 0);
    r = p9c_read(c, 1, 0, buf, sizeof(buf));
    assert_true(r > 0);
    assert_int_equal(rows(buf, (size_t)r, 0, &st, check_kind, c), 5);
    assert_int_equal(p9c_read(c, 1, (uint64_t)r, buf, sizeof(buf)), 0);
    p9c_stop(c);
}

static void a_folder_that_changes_meanwhile_is_read_to_its_end(void **state)
{
    struct p9c *c = start_u(NULL, 1, 3);
    static uint8_t buf[8000];
    static struct u_stat st;
    uint64_t off = 0;
    char name[16];
    int64_t r;

    for (unsigned int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "file-%u", i);
        host_file(c, name, "0123456789" + 10 - i % 10);
    }
    memset(seen, 0, sizeof(seen));
    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    assert_int_equal(u_open(c, 1, OREAD), 0);
    for (unsigned int i = 0; (r = p9c_read(c, 1, off, buf, 1000)) != 0; i++) {
        assert_true(r > 0);
        rows(buf, (size_t)r, 0, &st, mark, c);
        off += (uint64_t)r;
        snprintf(name, sizeof(name), "file-%u", i % 300);
        unlinkat(c->root_fd, name, 0);
        assert_true(i < 1000);
    }
    /* Those that nobody touched came. */
    for (unsigned int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "file-%u", i);
        if (host_has(c, name))
            assert_true(seen[i]);
    }
    p9c_stop(c);
}

/* ---------- a Linux mount, version=9p2000.u */

static void linux_creates_on_a_clone_and_walks_to_it(void **state)
{
    struct p9c *c = start_u(NULL, 2, 5);
    struct u_stat st;
    char fid_text[16];

    /* One more attach for each user. */
    assert_int_equal(p9c_attach(c, 1, 1000), 0);
    /* open(O_CREAT): absent, a clone, created, and walked to. */
    assert_int_equal(p9c_walk(c, 1, 2, "f"), -ENOENT);
    assert_int_equal(p9c_walk(c, 1, 2, ""), 0);
    assert_int_equal(u_create(c, 2, "f", 0644, ORDWR, ""), 0);
    assert_int_equal(p9c_walk(c, 1, 3, "f"), 0);
    assert_int_equal(u_stat(c, 3, &st), 0);
    assert_int_equal(p9c_write(c, 2, 0, "abc", 3), 3);
    /* ln, ln -s, mkdir, mkfifo: the clone is clunked at once. */
    snprintf(fid_text, sizeof(fid_text), "%d\n", 3);
    assert_int_equal(p9c_walk(c, 1, 4, ""), 0);
    assert_int_equal(u_create(c, 4, "g", P9_DMLINK, OREAD, fid_text), 0);
    assert_int_equal(p9c_clunk(c, 4), 0);
    assert_int_equal(p9c_walk(c, 1, 4, ""), 0);
    assert_int_equal(u_create(c, 4, "l", P9_DMSYMLINK | 0777, OREAD, "f"), 0);
    assert_int_equal(p9c_walk(c, 1, 5, "l"), 0);
    assert_int_equal(p9c_clunk(c, 4), 0);
    assert_int_equal(u_stat(c, 5, &st), 0);
    assert_string_equal(st.ext, "f");
    assert_int_equal(p9c_walk(c, 1, 4, ""), 0);
    assert_int_equal(u_create(c, 4, "d", P9_DMDIR | 0755, OREAD, ""), 0);
    assert_int_equal(p9c_clunk(c, 4), 0);
    /* unlink and rmdir: Tremove of a fid of their own, while others are open. */
    assert_int_equal(p9c_walk(c, 3, 6, ""), 0);
    assert_int_equal(p9c_remove(c, 6), 0);
    assert_int_equal(p9c_walk(c, 1, 6, "d"), 0);
    assert_int_equal(p9c_remove(c, 6), 0);
    assert_false(host_has(c, "f") || host_has(c, "d"));
    assert_int_equal(host_stat(c, "g").st_size, 3);
    assert_int_equal(p9c_write(c, 2, 3, "d", 1), 1);
    p9c_stop(c);
}

static void linux_moves_and_syncs_by_wstat(void **state)
{
    struct p9c *c = start_u(NULL, 2, 5);
    struct u_stat st = u_leave(), got;

    assert_int_equal(u_make(c, 1, "f", 0644, ""), 0);
    assert_int_equal(p9c_write(c, 1, 0, "abc", 3), 3);
    assert_int_equal(u_wstat(c, 1, &st), 0);                    /* fsync */
    assert_int_equal(p9c_walk(c, ROOT, 2, "f"), 0);
    strcpy(st.name, "g");
    assert_int_equal(u_wstat(c, 2, &st), 0);                    /* mv f g */
    st = u_leave();
    st.mode = 0600;
    assert_int_equal(u_wstat(c, 2, &st), 0);                    /* chmod, the mode with its type */
    st = u_leave();
    st.atime = st.mtime = 1600000000;
    assert_int_equal(u_wstat(c, 2, &st), 0);                    /* touch -d */
    assert_int_equal(u_stat(c, 1, &got), 0);
    assert_string_equal(got.name, "g");
    assert_int_equal(got.mode, 0600);
    assert_int_equal(got.mtime, 1600000000);
    assert_int_equal(got.atime, 1600000000);
    p9c_stop(c);
}

static void nothing_is_left_behind(void **state)
{
    int before = count_fds();

    for (int i = 0; i < 20; i++) {
        struct p9c *c = start_u(NULL, 2, 2);
        uint8_t buf[2000];
        uint32_t fid = 1;

        assert_int_equal(u_make(c, fid++, "d", P9_DMDIR | 0755, ""), 0);
        assert_int_equal(u_make(c, fid++, "f", 0644, ""), 0);
        assert_int_equal(u_make(c, fid++, "l", P9_DMSYMLINK, "x"), 0);
        assert_int_equal(u_make(c, fid++, "p", P9_DMNAMEDPIPE | 0600, ""), 0);
        assert_int_equal(u_make(c, fid++, "h", P9_DMLINK, "2"), 0);
        assert_int_equal(u_make(c, fid++, "f", 0644, ""), -EEXIST);
        assert_int_equal(p9c_walk(c, ROOT, fid, ""), 0);
        assert_int_equal(u_open(c, fid, OREAD), 0);
        assert_true(p9c_read(c, fid, 0, buf, sizeof(buf)) > 0);
        if (i % 2) {
            assert_int_equal(p9c_version(c, "9P2000.u", 8192), 0);
            assert_int_equal(c->server.fids.count, 0);
            assert_int_equal(c->server.fids.opens, 0);
            assert_int_equal(c->server.nodes.count, 1);
        }
        p9c_stop(c);
    }
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_comes_once_and_whole),
        cmocka_unit_test(an_offset_is_zero_or_an_end_of_the_last_read),
        cmocka_unit_test(entries_are_looked_at_but_not_followed),
        cmocka_unit_test(a_folder_that_changes_meanwhile_is_read_to_its_end),
        cmocka_unit_test(linux_creates_on_a_clone_and_walks_to_it),
        cmocka_unit_test(linux_moves_and_syncs_by_wstat),
        cmocka_unit_test(nothing_is_left_behind),
    };

    return cmocka_run_group_tests_name("9pfs: .u folders", tests, NULL, NULL);
}
