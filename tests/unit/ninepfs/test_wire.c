/* SPDX-License-Identifier: LGPL-2.1-only */
/* Fields on the wire: bounds, names, qids. */
#include "tests/unit/ninepfs/p9.h"

static struct p9_str str(const char *s)
{
    struct p9_str r = { s, (uint16_t)strlen(s) };

    return r;
}

static void fields_come_back_as_they_were_written(void **state)
{
    struct p9_qid qid = { 0x80, 0x01020304, 0x1122334455667788u };
    uint8_t buf[64];
    struct p9_wr wr;
    struct p9_rd rd;
    struct p9_str s;

    p9_wr_init(&wr, buf, sizeof(buf));
    p9_wr8(&wr, 0xfe);
    p9_wr16(&wr, 0x1234);
    p9_wr32(&wr, 0x89abcdef);
    p9_wr64(&wr, 0x0123456789abcdefu);
    p9_wr_str(&wr, "name", 4);
    p9_wr_qid(&wr, &qid);
    assert_false(wr.bad);
    assert_int_equal(wr.len, 1 + 2 + 4 + 8 + 6 + 13);
    assert_int_equal(buf[1], 0x34);     /* little endian */

    p9_rd_init(&rd, buf, wr.len);
    assert_int_equal(p9_rd8(&rd), 0xfe);
    assert_int_equal(p9_rd16(&rd), 0x1234);
    assert_int_equal(p9_rd32(&rd), 0x89abcdef);
    assert_true(p9_rd64(&rd) == 0x0123456789abcdefu);
    s = p9_rd_str(&rd);
    assert_true(p9_str_is(s, "name"));
    assert_int_equal(p9_rd_left(&rd), 13);
    assert_false(p9_rd_end(&rd));
    p9_rd8(&rd);
    p9_rd32(&rd);
    assert_true(p9_rd64(&rd) == qid.path);
    assert_true(p9_rd_end(&rd));
}

static void a_reader_never_passes_the_end(void **state)
{
    uint8_t *buf;
    struct p9_rd rd;

    /* Of exactly that size, so that a sanitizer sees a byte too far. */
    for (size_t len = 0; len < 16; len++) {
        buf = malloc(len ? len : 1);
        memset(buf, 0xff, len);
        p9_rd_init(&rd, buf, len);
        assert_true(len >= 8 || !p9_rd64(&rd));
        if (len < 8)
            assert_true(rd.bad);
        p9_rd_init(&rd, buf, len);
        assert_int_equal(p9_rd_str(&rd).len, 0);
        assert_true(rd.bad);
        assert_int_equal(p9_rd8(&rd), 0);
        assert_int_equal(p9_rd_left(&rd), 0);
        assert_false(p9_rd_end(&rd));
        free(buf);
    }
}

static void a_writer_leaves_out_what_does_not_fit(void **state)
{
    uint8_t buf[8];
    struct p9_wr wr;

    memset(buf, 0x5a, sizeof(buf));
    p9_wr_init(&wr, buf, 5);
    p9_wr32(&wr, 1);
    p9_wr_str(&wr, "", 0);
    assert_true(wr.bad);
    assert_int_equal(wr.len, 4);
    assert_int_equal(buf[4], 0x5a);
    p9_wr8(&wr, 1);
    assert_int_equal(wr.len, 4);
}

static void names_are_one_component(void **state)
{
    static const char *const bad[] = { "", ".", "..", "/", "a/b", "/a", "a/", "../a", "a/.." };
    char name[P9_NAME_MAX + 1], text[400];
    struct p9_str nul = { "a\0b", 3 };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(p9_name(str(bad[i]), name), -EINVAL);
    assert_int_equal(p9_name(nul, name), -EINVAL);
    assert_int_equal(p9_name(str("..."), name), 0);
    assert_string_equal(name, "...");
    memset(text, 'n', sizeof(text));
    text[255] = 0;
    assert_int_equal(p9_name(str(text), name), 0);
    assert_int_equal(strlen(name), 255);
    text[255] = 'n';
    text[256] = 0;
    assert_int_equal(p9_name(str(text), name), -ENAMETOOLONG);
}

static void a_qid_tells_folders_links_and_changes(void **state)
{
    struct stat st = { .st_mode = S_IFDIR | 0755, .st_ino = 77 };
    struct p9_qid a, b;

    p9_qid_from(&st, &a);
    assert_int_equal(a.type, P9_QTDIR);
    assert_int_equal(a.path, 77);
    st.st_mode = S_IFLNK | 0777;
    p9_qid_from(&st, &a);
    assert_int_equal(a.type, P9_QTSYMLINK);
    st.st_mode = S_IFREG;
    st.st_size = 1;
    p9_qid_from(&st, &a);
    st.st_size = 2;
    p9_qid_from(&st, &b);
    assert_int_equal(a.type, 0);
    assert_int_not_equal(a.version, b.version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_come_back_as_they_were_written),
        cmocka_unit_test(a_reader_never_passes_the_end),
        cmocka_unit_test(a_writer_leaves_out_what_does_not_fit),
        cmocka_unit_test(names_are_one_component),
        cmocka_unit_test(a_qid_tells_folders_links_and_changes),
    };

    return cmocka_run_group_tests_name("9pfs: wire", tests, NULL, NULL);
}
