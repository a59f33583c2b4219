/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A client shaped like Mini-OS's 9pfront: its tags, fids, walks and sizes, and what it makes of
 * replies.  A xenstore-stubdom keeps its state with it.
 */
#include "tests/unit/ninepfs/u.h"

#define N_TAGS 64u

struct mini {
    struct p9c *c;
    uint32_t msize;
    uint64_t fids;                  /* free ones */
    char ename[128];                /* of the last Rerror */
};

/* It compares a reply's tag and number; the field of an error is a positive number. */
static int call(struct mini *m, struct p9_rd *rd)
{
    uint8_t type = m->c->t[4];
    uint16_t tag = (uint16_t)(m->c->t[5] | m->c->t[6] << 8);
    int n, err;

    assert_true(tag < N_TAGS);
    p9c_send(m->c, 0);
    n = p9c_get(m->c, 0, m->c->r, sizeof(m->c->r));
    assert_true(n >= 7);
    p9_rd_init(rd, m->c->r, (size_t)n);
    p9_rd32(rd);
    if (p9_rd8(rd) == P9_RERROR) {
        assert_int_equal(p9_rd16(rd), tag);
        rd_text(rd, m->ename, sizeof(m->ename));
        err = (int)p9_rd32(rd);
        assert_true(p9_rd_end(rd));
        assert_true(err > 0);
        return err;
    }
    assert_int_equal(m->c->r[4], type + 1);
    assert_int_equal(p9_rd16(rd), tag);
    return 0;
}

/* One request at a time: always the first free tag. */
static void begin(struct mini *m, uint8_t type)
{
    m->c->tag = UINT16_MAX;
    p9c_begin(m->c, type);
    assert_int_equal(m->c->t[5] | m->c->t[6], 0);
}

static int mini_walk(struct mini *m, uint32_t fid, uint32_t newfid, const char *name)
{
    struct p9_rd rd;
    int rc;

    begin(m, P9_TWALK);
    p9_wr32(&m->c->wr, fid);
    p9_wr32(&m->c->wr, newfid);
    p9_wr16(&m->c->wr, *name ? 1 : 0);
    if (*name)
        p9c_str(m->c, name);
    rc = call(m, &rd);
    if (rc)
        return rc;
    assert_int_equal(p9_rd16(&rd), *name ? 1 : 0);
    assert_int_equal(p9_rd_left(&rd), *name ? P9_QID_LEN : 0);
    return 0;
}

static int one(struct mini *m, uint8_t type, uint32_t fid, struct p9_rd *rd)
{
    begin(m, type);
    p9_wr32(&m->c->wr, fid);
    return call(m, rd);
}

static int mini_close(struct mini *m, uint32_t fid)
{
    struct p9_rd rd;

    m->fids |= 1ull << (fid - 1);
    return one(m, P9_TCLUNK, fid, &rd);
}

/* An empty walk from the root first, then name by name onto itself; then open or create. */
static int mini_open(struct mini *m, const char *path, int flags, uint32_t mode, uint32_t *fid)
{
    uint8_t omode = (uint8_t)((flags & O_ACCMODE) | (flags & O_TRUNC ? P9_OTRUNC : 0));
    char names[128], *save = NULL, *name;
    struct p9_rd rd;
    int rc;

    *fid = (uint32_t)__builtin_ffsll((long long)m->fids);
    assert_true(*fid > 0);
    m->fids &= ~(1ull << (*fid - 1));
    snprintf(names, sizeof(names), "%s", path);
    rc = mini_walk(m, ROOT, *fid, "");
    assert_int_equal(rc, 0);
    for (name = strtok_r(names, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
        rc = mini_walk(m, *fid, *fid, name);
        if (!rc)
            continue;
        if (!(flags & O_CREAT) || strtok_r(NULL, "/", &save)) {
            mini_close(m, *fid);
            return rc;
        }
        begin(m, P9_TCREATE);
        p9_wr32(&m->c->wr, *fid);
        p9c_str(m->c, name);
        p9_wr32(&m->c->wr, mode);
        p9_wr8(&m->c->wr, omode);
        p9c_str(m->c, "");
        rc = call(m, &rd);
        if (!rc)
            assert_int_equal(p9_rd_left(&rd), P9_QID_LEN + 4);
        else
            mini_close(m, *fid);
        return rc;
    }
    begin(m, P9_TOPEN);
    p9_wr32(&m->c->wr, *fid);
    p9_wr8(&m->c->wr, omode);
    rc = call(m, &rd);
    if (!rc)
        assert_int_equal(p9_rd_left(&rd), P9_QID_LEN + 4);
    else
        mini_close(m, *fid);
    return rc;
}

static uint32_t mini_read(struct mini *m, uint32_t fid, uint64_t off, uint8_t *buf, uint32_t len)
{
    uint32_t max = m->msize - 11, count, got = 0;
    struct p9_rd rd;

    while (len) {
        count = len < max ? len : max;
        begin(m, P9_TREAD);
        p9_wr32(&m->c->wr, fid);
        p9_wr64(&m->c->wr, off);
        p9_wr32(&m->c->wr, count);
        assert_int_equal(call(m, &rd), 0);
        count = p9_rd32(&rd);
        assert_int_equal(count, p9_rd_left(&rd));
        assert_true(count <= len);
        if (!count)
            break;
        memcpy(buf, rd.p, count);
        got += count;
        off += count;
        buf += count;
        len -= count;
    }
    return got;
}

static uint32_t mini_write(struct mini *m, uint32_t fid, uint64_t off, const uint8_t *buf,
                           uint32_t len)
{
    uint32_t max = m->msize - 23, count, put = 0;
    struct p9_rd rd;

    while (len) {
        count = len < max ? len : max;
        begin(m, P9_TWRITE);
        p9_wr32(&m->c->wr, fid);
        p9_wr64(&m->c->wr, off);
        p9_wr32(&m->c->wr, count);
        p9_wr_bytes(&m->c->wr, buf, count);
        assert_int_equal(call(m, &rd), 0);
        count = p9_rd32(&rd);
        assert_true(count > 0 && p9_rd_end(&rd));
        put += count;
        off += count;
        buf += count;
        len -= count;
    }
    return put;
}

static uint64_t mini_length(struct mini *m, uint32_t fid)
{
    struct u_stat st;
    struct p9_rd rd;
    uint16_t n;

    assert_int_equal(one(m, P9_TSTAT, fid, &rd), 0);
    n = p9_rd16(&rd);
    assert_int_equal(n, p9_rd_left(&rd));
    u_rd_stat(&rd, &st);
    assert_true(p9_rd_end(&rd));
    return st.length;
}

/* Tversion with an ordinary tag, 0; an exact answer; an attach with afid 0. */
static void connect_as(struct mini *m, uint32_t index)
{
    struct p9_rd rd;
    char version[32];

    m->c = p9c_start_at(NULL, 1, 4, 1, index);
    m->fids = UINT64_MAX;
    begin(m, P9_TVERSION);
    p9_wr32(&m->c->wr, m->c->ring[0].size / 2);
    p9c_str(m->c, "9P2000.u");
    assert_int_equal(call(m, &rd), 0);
    m->msize = p9_rd32(&rd);
    rd_text(&rd, version, sizeof(version));
    assert_true(p9_rd_end(&rd));
    assert_string_equal(version, "9P2000.u");
    assert_int_equal(m->msize, 16384);

    begin(m, P9_TATTACH);
    p9_wr32(&m->c->wr, ROOT);
    p9_wr32(&m->c->wr, 0);
    p9c_str(m->c, "root");
    p9c_str(m->c, "root");
    p9_wr32(&m->c->wr, 0);
    assert_int_equal(call(m, &rd), 0);
    assert_int_equal(p9_rd_left(&rd), P9_QID_LEN);
}

static void a_file_is_created_on_the_fid_of_the_failed_walk(void **state)
{
    struct mini m;
    uint32_t fid, again;
    uint8_t buf[8];

    connect_as(&m, 0);
    mkdirat(m.c->root_fd, "d", 0755);
    assert_int_equal(mini_open(&m, "top", O_RDWR | O_CREAT, 0600, &fid), 0);
    assert_int_equal(mini_write(&m, fid, 0, (const uint8_t *)"one", 3), 3);
    assert_int_equal(mini_close(&m, fid), 0);
    assert_int_equal(mini_open(&m, "d/f", O_RDWR | O_CREAT, 0600, &fid), 0);
    assert_int_equal(mini_write(&m, fid, 0, (const uint8_t *)"two", 3), 3);
    assert_int_equal(mini_close(&m, fid), 0);
    assert_int_equal(host_stat(m.c, "d/f").st_mode, S_IFREG | 0600);
    /* Existing now: the same call opens it. */
    assert_int_equal(mini_open(&m, "d/f", O_RDONLY | O_CREAT, 0600, &again), 0);
    assert_int_equal(again, fid);
    assert_int_equal(mini_read(&m, again, 0, buf, sizeof(buf)), 3);
    assert_memory_equal(buf, "two", 3);
    assert_int_equal(mini_close(&m, again), 0);
    p9c_stop(m.c);
}

static void an_absent_name_is_an_error_with_text_and_number(void **state)
{
    struct mini m;
    uint32_t fid, next;

    connect_as(&m, 0);
    host_file(m.c, "file", "x");
    assert_int_equal(mini_open(&m, "absent", O_RDONLY, 0, &fid), ENOENT);
    assert_string_equal(m.ename, strerror(ENOENT));
    assert_int_equal(mini_open(&m, "no/such/dir", O_RDWR | O_CREAT, 0600, &fid), ENOENT);
    assert_int_equal(mini_open(&m, "file/x", O_RDWR, 0600, &fid), ENOTDIR);
    assert_int_equal(mini_open(&m, "file/x", O_RDWR | O_CREAT, 0600, &fid), ENOTDIR);
    /* Nothing of it stays: the fid is free again. */
    assert_int_equal(mini_open(&m, "file", O_RDONLY, 0, &next), 0);
    assert_int_equal(next, fid);
    assert_int_equal(mini_close(&m, next), 0);
    assert_int_equal(m.c->server.fids.count, 1);
    p9c_stop(m.c);
}

static void data_go_in_requests_of_msize_and_come_back(void **state)
{
    static uint8_t out[100000], in[100000];
    struct mini m;
    uint32_t fid;

    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 7 + i / 253);
    /* So that indices pass 2^32 on the way. */
    connect_as(&m, 0u - 50000u);
    assert_int_equal(mini_open(&m, "f", O_RDWR | O_CREAT, 0600, &fid), 0);
    assert_int_equal(mini_write(&m, fid, 0, out, sizeof(out)), sizeof(out));
    assert_int_equal(mini_length(&m, fid), sizeof(out));
    assert_int_equal(mini_read(&m, fid, 0, in, sizeof(in)), sizeof(in));
    assert_memory_equal(in, out, sizeof(out));
    assert_int_equal(mini_read(&m, fid, sizeof(out) - 5, in, sizeof(in)), 5);
    assert_int_equal(mini_close(&m, fid), 0);
    assert_int_equal(host_stat(m.c, "f").st_size, sizeof(out));
    p9c_stop(m.c);
}

static void appending_asks_for_the_length_first(void **state)
{
    struct mini m;
    uint32_t fid;
    char text[32];

    connect_as(&m, 0);
    host_file(m.c, "log", "0");
    assert_int_equal(mini_open(&m, "log", O_WRONLY, 0, &fid), 0);
    for (int i = 1; i < 10; i++) {
        uint8_t digit = (uint8_t)('0' + i);

        assert_int_equal(mini_write(&m, fid, mini_length(&m, fid), &digit, 1), 1);
    }
    assert_int_equal(mini_close(&m, fid), 0);
    host_text(m.c, "log", text, sizeof(text));
    assert_string_equal(text, "0123456789");
    assert_int_equal(mini_open(&m, "log", O_RDWR | O_TRUNC, 0, &fid), 0);
    assert_int_equal(mini_length(&m, fid), 0);
    assert_int_equal(mini_close(&m, fid), 0);
    p9c_stop(m.c);
}

static void sixty_three_files_are_open_at_once(void **state)
{
    struct mini m;
    uint32_t fid, i;
    char name[16];

    connect_as(&m, 0);
    for (i = 1; i < 64; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        assert_int_equal(mini_open(&m, name, O_RDWR | O_CREAT, 0600, &fid), 0);
        assert_int_equal(fid, i);
        assert_int_equal(mini_write(&m, fid, 0, (const uint8_t *)name, 2), 2);
    }
    assert_int_equal(m.c->server.fids.opens, 63);
    for (i = 1; i < 64; i++)
        assert_int_equal(mini_close(&m, i), 0);
    assert_int_equal(m.c->server.fids.opens, 0);
    p9c_stop(m.c);
}

static void another_version_is_answered_with_unknown(void **state)
{
    struct p9c *c = p9c_start(NULL, 1, 4, 1);
    struct p9_rd rd;

    p9c_begin(c, P9_TVERSION);
    p9_wr32(&c->wr, 16384);
    p9c_str(c, "9P2000.uX");
    assert_int_equal(p9c_call(c, 0, &rd), 0);
    p9_rd32(&rd);
    assert_true(p9_str_is(p9_rd_str(&rd), "unknown"));
    p9c_stop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_created_on_the_fid_of_the_failed_walk),
        cmocka_unit_test(an_absent_name_is_an_error_with_text_and_number),
        cmocka_unit_test(data_go_in_requests_of_msize_and_come_back),
        cmocka_unit_test(appending_asks_for_the_length_first),
        cmocka_unit_test(sixty_three_files_are_open_at_once),
        cmocka_unit_test(another_version_is_answered_with_unknown),
    };

    return cmocka_run_group_tests_name("9pfs: Mini-OS", tests, NULL, NULL);
}
