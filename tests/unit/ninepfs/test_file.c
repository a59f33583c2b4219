/* SPDX-License-Identifier: LGPL-2.1-only */
/* 9P2000.L: open, create, read, write, folders, attributes, statfs, fsync. */
#include "tests/unit/ninepfs/p9.h"

#include <sys/statfs.h>

static void what_is_written_is_read_and_is_in_the_file(void **state)
{
    struct p9c *c = start_l(NULL, 1, 7);
    size_t len = 1 << 20, at;
    uint8_t *data = malloc(len), *back = malloc(len);
    int fd;

    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    assert_int_equal(p9c_lcreate(c, ROOT, "f", O_RDWR, 0640), 0);
    for (at = 0; at < len;) {
        uint32_t n = len - at < c->msize - 23 ? (uint32_t)(len - at) : c->msize - 23;

        assert_int_equal(p9c_write(c, ROOT, at, data + at, n), n);
        at += n;
    }
    for (at = 0; at < len;) {
        int64_t n = p9c_read(c, ROOT, at, back + at, 100000);

        assert_true(n > 0);
        at += (size_t)n;
    }
    assert_memory_equal(data, back, len);
    assert_int_equal(p9c_read(c, ROOT, len, back, 100), 0);
    assert_int_equal(p9c_read(c, ROOT, len - 3, back, 100), 3);
    fd = openat(c->root_fd, "f", O_RDONLY | O_CLOEXEC);
    memset(back, 0, len);
    assert_int_equal(read(fd, back, len), len);
    assert_memory_equal(data, back, len);
    close(fd);
    free(data);
    free(back);
    p9c_stop(c);
}

static void counts_are_clamped_and_offsets_checked(void **state)
{
    struct p9c *c = start_l(NULL, 1, 1);
    struct p9_rd rd;
    char text[4096];

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 0;
    host_file(c, "f", text);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(p9c_lopen(c, 1, O_RDWR), 0);
    p9c_begin(c, P9_TREAD);
    p9_wr32(&c->wr, 1);
    p9_wr64(&c->wr, 0);
    p9_wr32(&c->wr, 0xffffffff);
    assert_int_equal(p9c_call(c, 0, &rd), 0);
    assert_int_equal(p9_rd32(&rd), c->msize - 11);
    assert_int_equal(c->r_len, c->msize);
    assert_int_equal(p9c_read(c, 1, UINT64_MAX, text, 10), -EINVAL);
    assert_int_equal(p9c_read(c, 1, (uint64_t)INT64_MAX + 1, text, 10), -EINVAL);
    assert_int_equal(p9c_write(c, 1, UINT64_MAX - 4, text, 10), -EFBIG);
    assert_int_equal(p9c_write(c, 1, INT64_MAX, text, 10), -EFBIG);
    assert_int_equal(p9c_read(c, 1, 0, text, 0), 0);
    assert_int_equal(p9c_write(c, 1, 0, text, 0), 0);
    /* A count that is not what the message carries. */
    p9c_begin(c, P9_TWRITE);
    p9_wr32(&c->wr, 1);
    p9_wr64(&c->wr, 0);
    p9_wr32(&c->wr, 100);
    p9_wr_bytes(&c->wr, text, 10);
    assert_int_equal(p9c_call(c, 0, NULL), -EPROTO);
    p9c_stop(c);
}

static void access_modes_and_kinds_are_kept(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    char b[8];

    host_file(c, "f", "text");
    mkdirat(c->root_fd, "d", 0755);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(p9c_read(c, 1, 0, b, 4), -EBADF);
    assert_int_equal(p9c_write(c, 1, 0, b, 4), -EBADF);
    assert_int_equal(p9c_lopen(c, 1, O_RDONLY), 0);
    assert_int_equal(p9c_lopen(c, 1, O_RDONLY), -EBADF);
    assert_int_equal(p9c_write(c, 1, 0, b, 4), -EBADF);
    assert_int_equal(p9c_read(c, 1, 0, b, 4), 4);
    assert_int_equal(p9c_walk(c, 1, 1, ""), -EBUSY);
    assert_int_equal(p9c_walk(c, ROOT, 2, "d"), 0);
    assert_int_equal(p9c_lopen(c, 2, O_RDWR), -EISDIR);
    assert_int_equal(p9c_lopen(c, 2, O_RDONLY | O_DIRECTORY), 0);
    assert_int_equal(p9c_read(c, 2, 0, b, 4), -EISDIR);
    assert_int_equal(p9c_write(c, 2, 0, b, 4), -EBADF);
    assert_int_equal(p9c_walk(c, ROOT, 3, "f"), 0);
    assert_int_equal(p9c_lopen(c, 3, O_RDONLY | O_DIRECTORY), -ENOTDIR);
    assert_int_equal(p9c_lopen(c, 3, O_WRONLY | O_TRUNC), 0);
    assert_int_equal(p9c_read(c, 1, 0, b, 4), 0);
    assert_int_equal(p9c_walk(c, ROOT, 4, "f"), 0);
    assert_int_equal(p9c_lopen(c, 4, O_WRONLY | 02000), 0);     /* O_APPEND */
    assert_int_equal(p9c_write(c, 4, 0, "ab", 2), 2);
    assert_int_equal(p9c_write(c, 4, 0, "cd", 2), 2);
    assert_int_equal(p9c_read(c, 1, 0, b, 8), 4);
    assert_memory_equal(b, "abcd", 4);
    p9c_stop(c);
}

static void create_makes_opens_and_refuses(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct p9c_attr a;
    char text[16];

    host_file(c, "there", "text");
    mkdirat(c->root_fd, "d", 0755);
    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    assert_int_equal(p9c_lcreate(c, 1, "there", O_RDWR | O_EXCL, 0644), -EEXIST);
    assert_int_equal(p9c_lcreate(c, 1, "d", O_RDWR, 0644), -EISDIR);
    /* The failed ones left the fid the folder that it was. */
    assert_int_equal(p9c_lcreate(c, 1, "there", O_RDWR, 0600), 0);
    assert_int_equal(p9c_read(c, 1, 0, text, 4), 4);
    assert_int_equal(p9c_lcreate(c, 1, "x", O_RDWR, 0600), -EBADF);
    assert_int_equal(p9c_walk(c, ROOT, 2, ""), 0);
    assert_int_equal(p9c_lcreate(c, 2, "there", O_RDWR | 01000, 0600), 0);
    assert_int_equal(p9c_read(c, 2, 0, text, 4), 0);
    /* The mode is the guest's, but for what would lend the server's uid. */
    assert_int_equal(p9c_walk(c, ROOT, 3, ""), 0);
    assert_int_equal(p9c_lcreate(c, 3, "new", O_WRONLY, 06753), 0);
    assert_int_equal(p9c_getattr(c, 3, &a), 0);
    assert_int_equal(a.mode, S_IFREG | 0753);
    assert_int_equal(p9c_walk(c, ROOT, 4, "there"), 0);
    assert_int_equal(p9c_lcreate(c, 4, "x", O_RDWR, 0600), -ENOTDIR);
    p9c_stop(c);
}

static void a_file_without_a_name_lives_until_its_last_fid(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct p9c_attr a;
    char b[8];

    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    assert_int_equal(p9c_lcreate(c, 1, "f", O_RDWR, 0644), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "f"), 0);
    assert_int_equal(p9c_remove(c, 2), 0);
    assert_int_equal(p9c_write(c, 1, 0, "data", 4), 4);
    assert_int_equal(p9c_read(c, 1, 0, b, 4), 4);
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.size, 4);
    assert_int_equal(a.nlink, 0);
    /* A clone, and an opening of it. */
    assert_int_equal(p9c_walk(c, 1, 3, ""), 0);
    assert_int_equal(p9c_clunk(c, 1), 0);
    assert_int_equal(p9c_lopen(c, 3, O_RDONLY), 0);
    assert_int_equal(p9c_read(c, 3, 0, b, 4), 4);
    p9c_stop(c);
}

static void opens_are_counted_not_fids(void **state)
{
    struct p9_config cfg = { .max_opens = 5 };
    struct p9c *c = start_l(&cfg, 1, 2);
    int rc = 0;

    host_file(c, "f", "x");
    for (uint32_t i = 1; i <= 40; i++)
        assert_int_equal(p9c_walk(c, ROOT, i, "f"), 0);
    for (uint32_t i = 1; i <= 5; i++)
        assert_int_equal(p9c_lopen(c, i, O_RDONLY), 0);
    assert_int_equal(p9c_lopen(c, 6, O_RDONLY), -EMFILE);
    assert_int_equal(p9c_walk(c, ROOT, 50, ""), 0);
    assert_int_equal(p9c_lcreate(c, 50, "new", O_RDWR, 0644), -EMFILE);
    assert_int_equal(faccessat(c->root_fd, "new", F_OK, 0), -1);
    assert_int_equal(p9c_clunk(c, 1), 0);
    /* An opening that fails gives its room back. */
    for (int i = 0; i < 20; i++)
        rc |= p9c_lopen(c, 50, O_RDWR);
    assert_true(rc < 0);
    assert_int_equal(p9c_lcreate(c, 50, "new", O_RDWR, 0644), 0);
    assert_int_equal(c->server.fids.opens, 5);
    p9c_stop(c);
}

static void a_read_only_export_changes_nothing(void **state)
{
    struct p9_config cfg = { .read_only = true };
    struct p9c *c = start_l(&cfg, 1, 2);
    char b[8];

    host_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(p9c_lopen(c, 1, O_RDWR), -EROFS);
    assert_int_equal(p9c_lopen(c, 1, O_RDONLY | 01000), -EROFS);
    assert_int_equal(p9c_lopen(c, 1, O_RDONLY), 0);
    assert_int_equal(p9c_read(c, 1, 0, b, 4), 4);
    assert_int_equal(p9c_remove(c, 1), -EROFS);
    assert_int_equal(p9c_clunk(c, 1), -EBADF);
    assert_int_equal(p9c_walk(c, ROOT, 2, ""), 0);
    assert_int_equal(p9c_lcreate(c, 2, "new", O_RDWR, 0644), -EROFS);
    p9c_stop(c);
}

/* All names by Treaddir, with replies of at most count bytes; how many; each once. */
static int list(struct p9c *c, uint32_t fid, uint32_t count, int *seen, int max)
{
    uint64_t off = 0;
    int total = 0;

    for (;;) {
        struct p9_rd rd;
        uint32_t len;

        p9c_begin(c, P9_TREADDIR);
        p9_wr32(&c->wr, fid);
        p9_wr64(&c->wr, off);
        p9_wr32(&c->wr, count);
        assert_int_equal(p9c_call(c, 0, &rd), 0);
        len = p9_rd32(&rd);
        assert_true(len <= count);
        assert_int_equal(len, p9_rd_left(&rd));
        if (!len)
            return total;
        while (p9_rd_left(&rd)) {
            uint8_t qtype = p9_rd8(&rd), type;
            struct p9_str name;
            char num[16] = "";

            p9_rd32(&rd);
            p9_rd64(&rd);
            off = p9_rd64(&rd);
            type = p9_rd8(&rd);
            name = p9_rd_str(&rd);
            assert_int_equal(qtype, type == DT_DIR ? P9_QTDIR : type == DT_LNK ? P9_QTSYMLINK : 0);
            total++;
            if (name.s[0] == 'n' && name.len < sizeof(num)) {
                memcpy(num, name.s + 1, name.len - 1u);
                assert_in_range(atoi(num), 0, max - 1);
                seen[atoi(num)]++;
            }
        }
        assert_false(rd.bad);
    }
}

static void a_folder_is_listed_once_whatever_the_count(void **state)
{
    static const uint32_t counts[] = { 300, 512, 1000, 4096, 65536, 0xffffffff };
    enum { N = 700 };
    struct p9c *c = start_l(NULL, 1, 6);
    int seen[N];
    char name[260];

    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        host_file(c, name, "");
    }
    memset(name, 'x', 255);
    name[255] = 0;
    host_file(c, name, "");
    assert_int_equal(p9c_lopen(c, ROOT, O_RDONLY), 0);
    for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
        memset(seen, 0, sizeof(seen));
        assert_int_equal(list(c, ROOT, counts[k], seen, N), N + 3);     /* ".", "..", the long one */
        for (int i = 0; i < N; i++)
            assert_int_equal(seen[i], 1);
    }
    p9c_stop(c);
}

static void a_count_for_no_entry_is_no_end(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);

    assert_int_equal(p9c_lopen(c, ROOT, O_RDONLY), 0);
    p9c_begin(c, P9_TREADDIR);
    p9_wr32(&c->wr, ROOT);
    p9_wr64(&c->wr, 0);
    p9_wr32(&c->wr, 5);
    assert_int_equal(p9c_call(c, 0, NULL), -EINVAL);
    p9c_begin(c, P9_TREADDIR);
    p9_wr32(&c->wr, ROOT);
    p9_wr64(&c->wr, UINT64_MAX);
    p9_wr32(&c->wr, 500);
    assert_int_equal(p9c_call(c, 0, NULL), -EINVAL);
    p9c_stop(c);
}

static void above_the_root_there_is_the_root(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct p9c_attr a;
    struct p9_rd rd;
    int dots = 0;

    assert_int_equal(p9c_getattr(c, ROOT, &a), 0);
    assert_int_equal(p9c_lopen(c, ROOT, O_RDONLY), 0);
    p9c_begin(c, P9_TREADDIR);
    p9_wr32(&c->wr, ROOT);
    p9_wr64(&c->wr, 0);
    p9_wr32(&c->wr, 1000);
    assert_int_equal(p9c_call(c, 0, &rd), 0);
    p9_rd32(&rd);
    while (p9_rd_left(&rd)) {
        p9_rd8(&rd);
        p9_rd32(&rd);
        assert_true(p9_rd64(&rd) == a.qid.path);
        p9_rd64(&rd);
        p9_rd8(&rd);
        p9_rd_str(&rd);
        dots++;
    }
    assert_int_equal(dots, 2);
    p9c_stop(c);
}

static void attributes_are_the_files(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct p9c_attr a;
    struct stat st;

    host_file(c, "f", "12345");
    assert_int_equal(fchmodat(c->root_fd, "f", 0751, 0), 0);
    assert_int_equal(linkat(c->root_fd, "f", c->root_fd, "g", 0), 0);
    assert_int_equal(fstatat(c->root_fd, "f", &st, 0), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "g"), 0);
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.valid & 0x7ff, 0x7ff);
    assert_int_equal(a.mode, st.st_mode);
    assert_int_equal(a.uid, st.st_uid);
    assert_int_equal(a.nlink, 2);
    assert_int_equal(a.size, 5);
    assert_int_equal(a.blocks, st.st_blocks);
    assert_int_equal(a.mtime, st.st_mtime);
    assert_true(a.qid.path == st.st_ino);
    p9c_stop(c);
}

static void statfs_and_fsync_answer(void **state)
{
    struct p9c *c = start_l(NULL, 1, 2);
    struct statfs sf;
    struct p9_rd rd;

    assert_int_equal(fstatfs(c->root_fd, &sf), 0);
    p9c_begin(c, P9_TSTATFS);
    p9_wr32(&c->wr, ROOT);
    assert_int_equal(p9c_call(c, 0, &rd), 0);
    p9_rd32(&rd);
    assert_int_equal(p9_rd32(&rd), sf.f_bsize);
    assert_int_equal(p9_rd64(&rd), sf.f_blocks);
    p9_rd64(&rd);
    p9_rd64(&rd);
    assert_int_equal(p9_rd64(&rd), sf.f_files);
    p9_rd64(&rd);
    p9_rd64(&rd);
    assert_int_equal(p9_rd32(&rd), 255);
    assert_true(p9_rd_end(&rd));
    /* With and without the datasync field; not on what is not open. */
    for (int with = 0; with < 2; with++) {
        p9c_begin(c, P9_TFSYNC);
        p9_wr32(&c->wr, ROOT);
        if (with)
            p9_wr32(&c->wr, 1);
        assert_int_equal(p9c_call(c, 0, NULL), -EBADF);
    }
    assert_int_equal(p9c_lcreate(c, ROOT, "f", O_RDWR, 0600), 0);
    for (int with = 0; with < 2; with++) {
        p9c_begin(c, P9_TFSYNC);
        p9_wr32(&c->wr, ROOT);
        if (with)
            p9_wr32(&c->wr, 1);
        assert_int_equal(p9c_call(c, 0, NULL), 0);
    }
    p9c_stop(c);
}

static void iounit_is_sane_for_every_msize(void **state)
{
    struct p9c *c = p9c_start(NULL, 1, 9, 1);

    for (uint32_t msize = 2048; msize <= 1 << 20; msize += msize / 3) {
        struct p9_rd rd;
        uint32_t iounit;

        assert_int_equal(p9c_version(c, "9P2000.L", msize), 0);
        assert_int_equal(p9c_attach(c, 0, 0), 0);
        p9c_begin(c, P9_TLOPEN);
        p9_wr32(&c->wr, 0);
        p9_wr32(&c->wr, O_RDONLY);
        assert_int_equal(p9c_call(c, 0, &rd), 0);
        p9_rd8(&rd);
        p9_rd32(&rd);
        p9_rd64(&rd);
        iounit = p9_rd32(&rd);
        assert_true(p9_rd_end(&rd));
        assert_in_range(iounit, 1, c->msize - 24);
        assert_true(iounit < 4096 || iounit % 4096 == 0);
    }
    p9c_stop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_and_is_in_the_file),
        cmocka_unit_test(counts_are_clamped_and_offsets_checked),
        cmocka_unit_test(access_modes_and_kinds_are_kept),
        cmocka_unit_test(create_makes_opens_and_refuses),
        cmocka_unit_test(a_file_without_a_name_lives_until_its_last_fid),
        cmocka_unit_test(opens_are_counted_not_fids),
        cmocka_unit_test(a_read_only_export_changes_nothing),
        cmocka_unit_test(a_folder_is_listed_once_whatever_the_count),
        cmocka_unit_test(a_count_for_no_entry_is_no_end),
        cmocka_unit_test(above_the_root_there_is_the_root),
        cmocka_unit_test(attributes_are_the_files),
        cmocka_unit_test(statfs_and_fsync_answer),
        cmocka_unit_test(iounit_is_sane_for_every_msize),
    };

    return cmocka_run_group_tests_name("9pfs: files", tests, NULL, NULL);
}
