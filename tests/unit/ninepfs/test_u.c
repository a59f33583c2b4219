/* SPDX-License-Identifier: LGPL-2.1-only */
/* 9P2000.u: errors, stat, open, what a read-only export and model "none" refuse. */
#include "tests/unit/ninepfs/u.h"

#include <sys/sysmacros.h>

/* ---------- errors and dialects */

static void an_error_has_a_text_and_a_number(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct p9_rd rd;
    char text[64];

    assert_int_equal(p9c_walk(c, ROOT, 1, "absent"), -ENOENT);
    p9_rd_init(&rd, c->r, c->r_len);
    assert_int_equal(p9_rd32(&rd), c->r_len);
    assert_int_equal(p9_rd8(&rd), P9_RERROR);
    assert_int_equal(p9_rd16(&rd), c->tag);
    rd_text(&rd, text, sizeof(text));
    assert_string_equal(text, strerror(ENOENT));
    assert_int_equal(p9_rd32(&rd), ENOENT);
    assert_true(p9_rd_end(&rd));
    p9c_stop(c);
}

static void each_dialect_has_its_own_requests(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct p9c_attr a;
    struct u_stat st;

    assert_int_equal(p9c_lopen(c, ROOT, O_RDONLY), -EOPNOTSUPP);
    assert_int_equal(p9c_lcreate(c, ROOT, "f", O_RDWR, 0644), -EOPNOTSUPP);
    assert_int_equal(p9c_getattr(c, ROOT, &a), -EOPNOTSUPP);
    assert_int_equal(p9c_version(c, "9P2000.L", 8192), 0);
    assert_int_equal(p9c_attach(c, ROOT, 0), 0);
    assert_int_equal(u_open(c, ROOT, OREAD), -EOPNOTSUPP);
    assert_int_equal(u_create(c, ROOT, "f", 0644, ORDWR, ""), -EOPNOTSUPP);
    assert_int_equal(u_stat(c, ROOT, &st), -EOPNOTSUPP);
    st = u_leave();
    assert_int_equal(u_wstat(c, ROOT, &st), -EOPNOTSUPP);
    p9c_stop(c);
}

static void messages_too_short_or_too_long_are_refused(void **state)
{
    static const uint8_t types[] = { P9_TOPEN, P9_TCREATE, P9_TSTAT, P9_TWSTAT };
    struct p9c *c = start_u(NULL, 1, 2);
    struct u_stat st;

    for (size_t i = 0; i < sizeof(types); i++) {
        p9c_begin(c, types[i]);
        assert_int_equal(p9c_call(c, 0, NULL), -EPROTO);
        p9c_begin(c, types[i]);
        p9_wr32(&c->wr, ROOT);
        for (int n = 0; n < 100; n++)
            p9_wr32(&c->wr, 0);
        assert_int_equal(p9c_call(c, 0, NULL), -EPROTO);
    }
    assert_int_equal(u_stat(c, ROOT, &st), 0);
    p9c_stop(c);
}

/* ---------- Tstat */

static void a_stat_has_the_size_it_says(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct stat host;
    struct u_stat st;

    /* u_rd_stat checks sizes: 61 and the strings. */
    assert_int_equal(u_stat(c, ROOT, &st), 0);
    assert_string_equal(st.name, "/");
    assert_int_equal(st.mode & P9_DMDIR, P9_DMDIR);
    assert_int_equal(st.qid.type, P9_QTDIR);

    host_file(c, "f", "hello");
    assert_int_equal(fchmodat(c->root_fd, "f", 0751, 0), 0);
    host = host_stat(c, "f");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_string_equal(st.name, "f");
    assert_int_equal(st.length, 5);
    assert_int_equal(st.mode, 0751);
    assert_int_equal(st.mtime, host.st_mtime);
    assert_int_equal(st.atime, host.st_atime);
    assert_true(st.qid.path == host.st_ino);
    assert_int_equal(st.n_uid, host.st_uid);
    assert_int_equal(st.n_gid, host.st_gid);
    assert_string_equal(st.ext, "HARDLINKCOUNT 1");
    assert_int_equal(linkat(c->root_fd, "f", c->root_fd, "g", 0), 0);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_string_equal(st.ext, "HARDLINKCOUNT 2");
    /* The fid is the file, not the name. */
    assert_int_equal(unlinkat(c->root_fd, "f", 0), 0);
    assert_int_equal(unlinkat(c->root_fd, "g", 0), 0);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_int_equal(st.length, 5);
    p9c_stop(c);
}

static void the_type_stands_in_the_upper_bits(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct u_stat st;

    assert_int_equal(symlinkat("some/where", c->root_fd, "l"), 0);
    assert_int_equal(mkfifoat(c->root_fd, "p", 0640), 0);
    assert_int_equal(mknodat(c->root_fd, "s", S_IFSOCK | 0600, 0), 0);
    assert_int_equal(mkdirat(c->root_fd, "d", 0700), 0);
    assert_int_equal(fchmodat(c->root_fd, "d", 03755, 0), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "l"), 0);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_int_equal(st.mode, P9_DMSYMLINK | 0777);
    assert_int_equal(st.qid.type, P9_QTSYMLINK);
    assert_string_equal(st.ext, "some/where");
    assert_int_equal(p9c_walk(c, ROOT, 2, "p"), 0);
    assert_int_equal(u_stat(c, 2, &st), 0);
    assert_int_equal(st.mode, P9_DMNAMEDPIPE | 0640);
    assert_int_equal(p9c_walk(c, ROOT, 3, "s"), 0);
    assert_int_equal(u_stat(c, 3, &st), 0);
    assert_int_equal(st.mode, P9_DMSOCKET | 0600);
    assert_int_equal(p9c_walk(c, ROOT, 4, "d"), 0);
    assert_int_equal(u_stat(c, 4, &st), 0);
    assert_int_equal(st.mode, P9_DMDIR | P9_DMSETGID | P9_DMSETVTX | 0755);
    if (!mknodat(c->root_fd, "dev", S_IFCHR | 0600, makedev(1, 3))) {
        assert_int_equal(p9c_walk(c, ROOT, 5, "dev"), 0);
        assert_int_equal(u_stat(c, 5, &st), 0);
        assert_int_equal(st.mode, P9_DMDEVICE | 0600);
        assert_string_equal(st.ext, "c 1 3");
    } else {
        print_message("not root: no device was looked at\n");
    }
    p9c_stop(c);
}

/* ---------- Topen */

static void open_modes_are_what_they_say(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    char buf[16];

    host_file(c, "f", "0123456789");
    for (uint8_t mode = 0; mode < 4; mode++) {
        bool reads = mode != OWRITE, writes = mode == OWRITE || mode == ORDWR;

        assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
        assert_int_equal(p9c_read(c, 1, 0, buf, 4), -EBADF);
        assert_int_equal(u_open(c, 1, mode), 0);
        assert_int_equal(u_open(c, 1, mode), -EBADF);
        assert_int_equal(p9c_read(c, 1, 4, buf, 16), reads ? 6 : -EBADF);
        assert_int_equal(p9c_write(c, 1, 0, "x", 1), writes ? 1 : -EBADF);
        assert_int_equal(p9c_clunk(c, 1), 0);
    }
    p9c_stop(c);
}

static void truncating_appending_and_removing_opens_do_so(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    char text[32];

    host_file(c, "f", "0123456789");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(u_open(c, 1, OWRITE | P9_OTRUNC), 0);
    assert_int_equal(host_stat(c, "f").st_size, 0);
    assert_int_equal(p9c_write(c, 1, 0, "ab", 2), 2);
    assert_int_equal(p9c_clunk(c, 1), 0);

    /* `>>`: at the end, whatever the offset says. */
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(u_open(c, 1, OWRITE | P9_OAPPEND), 0);
    host_file(c, "f", "abcd");
    assert_int_equal(p9c_write(c, 1, 2, "e", 1), 1);
    assert_int_equal(p9c_write(c, 1, 0, "f", 1), 1);
    assert_int_equal(p9c_clunk(c, 1), 0);
    host_text(c, "f", text, sizeof(text));
    assert_string_equal(text, "abcdef");

    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(u_open(c, 1, OREAD | P9_ORCLOSE), 0);
    assert_true(host_has(c, "f"));
    assert_int_equal(p9c_clunk(c, 1), 0);
    assert_false(host_has(c, "f"));
    p9c_stop(c);
}

static void what_cannot_be_opened_is_refused_and_the_fid_stays(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct u_stat st;

    mkdirat(c->root_fd, "d", 0755);
    mkfifoat(c->root_fd, "p", 0666);
    assert_int_equal(symlinkat("/etc/passwd", c->root_fd, "l"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "d"), 0);
    assert_int_equal(u_open(c, 1, OWRITE), -EISDIR);
    assert_int_equal(u_open(c, 1, ORDWR), -EISDIR);
    assert_int_equal(u_open(c, 1, OREAD | P9_OTRUNC), -EISDIR);
    assert_int_equal(u_open(c, 1, OREAD), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "p"), 0);
    assert_int_equal(u_open(c, 2, OREAD), -EPERM);
    assert_int_equal(p9c_walk(c, ROOT, 3, "l"), 0);
    assert_int_equal(u_open(c, 3, OREAD), -ELOOP);
    assert_int_equal(u_stat(c, 3, &st), 0);
    assert_int_equal(u_open(c, 99, OREAD), -EBADF);
    assert_int_equal(c->server.fids.opens, 1);
    p9c_stop(c);
}

static void a_limit_counts_openings(void **state)
{
    struct p9_config cfg = { .max_opens = 2 };
    struct p9c *c = start_u(&cfg, 1, 2);

    host_file(c, "f", "x");
    for (uint32_t fid = 1; fid < 5; fid++)
        assert_int_equal(p9c_walk(c, ROOT, fid, fid == 4 ? "" : "f"), 0);
    assert_int_equal(u_open(c, 1, OREAD), 0);
    assert_int_equal(u_open(c, 2, OREAD), 0);
    assert_int_equal(u_open(c, 3, OREAD), -EMFILE);
    /* What cannot be opened is not made. */
    assert_int_equal(u_create(c, 4, "g", 0644, ORDWR, ""), -EMFILE);
    assert_false(host_has(c, "g"));
    assert_int_equal(u_create(c, 4, "d", P9_DMDIR | 0755, OREAD, ""), -EMFILE);
    assert_false(host_has(c, "d"));
    assert_int_equal(p9c_clunk(c, 1), 0);
    assert_int_equal(u_open(c, 3, OREAD), 0);
    assert_int_equal(p9c_clunk(c, 3), 0);
    assert_int_equal(u_create(c, 4, "g", 0644, ORDWR, ""), 0);
    assert_int_equal(c->server.fids.opens, 2);
    p9c_stop(c);
}

/* ---------- model "none", read-only */

static void in_model_none_files_stay_the_servers(void **state)
{
    struct p9c *c = start_u(NULL, 1, 2);
    struct u_stat st = u_leave();
    struct stat host;

    assert_int_equal(p9c_attach(c, 9, 4242), 0);
    assert_int_equal(u_create(c, 9, "f", P9_DMSETUID | P9_DMSETGID | 0755, ORDWR, ""), 0);
    st.n_uid = 1000;
    st.n_gid = 1000;
    assert_int_equal(u_wstat(c, 9, &st), 0);
    host = host_stat(c, "f");
    assert_int_equal(host.st_uid, geteuid());
    assert_int_equal(host.st_gid, getegid());
    /* Nobody on the host gets the server's rights by a file of the guest's. */
    assert_int_equal(host.st_mode, S_IFREG | 0755);
    st = u_leave();
    st.mode = P9_DMSETUID | 0711;
    assert_int_equal(u_wstat(c, 9, &st), 0);
    assert_int_equal(host_stat(c, "f").st_mode, S_IFREG | 0711);
    p9c_stop(c);
}

static void a_read_only_export_is_only_read(void **state)
{
    struct p9_config cfg = { .read_only = true };
    struct p9c *c = start_u(&cfg, 1, 2);
    struct u_stat st = u_leave();
    char buf[8];

    host_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(u_open(c, 1, OWRITE), -EROFS);
    assert_int_equal(u_open(c, 1, OREAD | P9_OTRUNC), -EROFS);
    assert_int_equal(u_open(c, 1, OREAD | P9_ORCLOSE), -EROFS);
    assert_int_equal(u_wstat(c, 1, &st), 0);
    strcpy(st.name, "g");
    assert_int_equal(u_wstat(c, 1, &st), -EROFS);
    st = u_leave();
    st.mode = 0;
    assert_int_equal(u_wstat(c, 1, &st), -EROFS);
    assert_int_equal(u_make(c, 2, "g", 0644, ""), -EROFS);
    assert_int_equal(u_create(c, 2, "g", P9_DMDIR | 0755, OREAD, ""), -EROFS);
    assert_int_equal(u_create(c, 2, "g", P9_DMSYMLINK, OREAD, "x"), -EROFS);
    assert_int_equal(u_create(c, 2, "g", P9_DMLINK, OREAD, "1"), -EROFS);
    assert_int_equal(u_open(c, 1, OREAD), 0);
    assert_int_equal(p9c_read(c, 1, 0, buf, 8), 4);
    assert_int_equal(p9c_remove(c, 1), -EROFS);
    assert_true(host_has(c, "f"));
    p9c_stop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_has_a_text_and_a_number),
        cmocka_unit_test(each_dialect_has_its_own_requests),
        cmocka_unit_test(messages_too_short_or_too_long_are_refused),
        cmocka_unit_test(a_stat_has_the_size_it_says),
        cmocka_unit_test(the_type_stands_in_the_upper_bits),
        cmocka_unit_test(open_modes_are_what_they_say),
        cmocka_unit_test(truncating_appending_and_removing_opens_do_so),
        cmocka_unit_test(what_cannot_be_opened_is_refused_and_the_fid_stays),
        cmocka_unit_test(a_limit_counts_openings),
        cmocka_unit_test(in_model_none_files_stay_the_servers),
        cmocka_unit_test(a_read_only_export_is_only_read),
    };

    return cmocka_run_group_tests_name("9pfs: .u", tests, NULL, NULL);
}
