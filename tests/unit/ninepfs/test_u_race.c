/* SPDX-License-Identifier: LGPL-2.1-only */
/* 9P2000.u: two rings that do the same to one fid at once. */
#include "tests/unit/ninepfs/u.h"

#define ROUNDS 200

static void tread(struct p9c *c, uint32_t fid, uint64_t off, uint32_t count)
{
    p9c_begin(c, P9_TREAD);
    p9_wr32(&c->wr, fid);
    p9_wr64(&c->wr, off);
    p9_wr32(&c->wr, count);
}

static void tcreate(struct p9c *c, uint32_t fid, const char *name, uint32_t perm, uint8_t mode)
{
    p9c_begin(c, P9_TCREATE);
    p9_wr32(&c->wr, fid);
    p9c_str(c, name);
    p9_wr32(&c->wr, perm);
    p9_wr8(&c->wr, mode);
    p9c_str(c, "");
}

/* The reply of that ring. */
static int answer(struct p9c *c, unsigned int ring, uint8_t type, uint16_t tag)
{
    struct p9_rd rd;
    int n = p9c_get(c, ring, c->r, sizeof(c->r));

    assert_true(n > 0);
    c->r_len = (uint32_t)n;
    return p9c_result(c, type, tag, &rd);
}

static void two_rings_list_one_folder(void **state)
{
    struct p9c *c = start_u(NULL, 2, 4);
    static uint8_t first[8000];
    char name[16];
    uint32_t len;

    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        host_file(c, name, "x");
    }
    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    assert_int_equal(u_open(c, 1, OREAD), 0);
    for (int i = 0; i < ROUNDS; i++) {
        uint16_t tag[2];

        for (unsigned int ring = 0; ring < 2; ring++) {
            tread(c, 1, 0, 6000);
            tag[ring] = p9c_send(c, ring);
        }
        assert_int_equal(answer(c, 0, P9_TREAD, tag[0]), 0);
        assert_true(c->r_len > 3000 && c->r_len < sizeof(first));
        len = c->r_len;
        memcpy(first, c->r, len);
        assert_int_equal(answer(c, 1, P9_TREAD, tag[1]), 0);
        /* The same but for the tag. */
        assert_int_equal(c->r_len, len);
        assert_memory_equal(c->r + 7, first + 7, len - 7);
    }
    p9c_stop(c);
}

static void of_two_openings_of_a_fid_one_succeeds(void **state)
{
    struct p9c *c = start_u(NULL, 2, 4);

    host_file(c, "f", "x");
    for (int i = 0; i < ROUNDS; i++) {
        uint16_t tag[2];
        int rc[2];

        assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
        for (unsigned int ring = 0; ring < 2; ring++) {
            p9c_begin(c, P9_TOPEN);
            p9_wr32(&c->wr, 1);
            p9_wr8(&c->wr, ORDWR);
            tag[ring] = p9c_send(c, ring);
        }
        rc[0] = answer(c, 0, P9_TOPEN, tag[0]);
        rc[1] = answer(c, 1, P9_TOPEN, tag[1]);
        assert_true((rc[0] == 0 && rc[1] == -EBADF) || (rc[1] == 0 && rc[0] == -EBADF));
        assert_int_equal(c->server.fids.opens, 1);
        assert_int_equal(p9c_clunk(c, 1), 0);
        assert_int_equal(c->server.fids.opens, 0);
    }
    p9c_stop(c);
}

/* A fid can become one file only: what the loser made is gone again. */
static void of_two_creates_on_a_fid_one_leaves_a_file(void **state)
{
    static const uint32_t perms[] = { 0644, P9_DMDIR | 0755, P9_DMNAMEDPIPE | 0600 };
    struct p9c *c = start_u(NULL, 2, 4);

    for (int i = 0; i < ROUNDS; i++) {
        uint32_t perm = perms[i % 3];
        uint8_t mode = perm & P9_DMDIR ? OREAD : ORDWR;
        uint16_t tag[2];
        int rc[2];

        assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
        tcreate(c, 1, "a", perm, mode);
        tag[0] = p9c_send(c, 0);
        tcreate(c, 1, "b", perm, mode);
        tag[1] = p9c_send(c, 1);
        rc[0] = answer(c, 0, P9_TCREATE, tag[0]);
        rc[1] = answer(c, 1, P9_TCREATE, tag[1]);
        assert_true((rc[0] == 0) != (rc[1] == 0));
        assert_int_equal(host_has(c, "a"), rc[0] == 0);
        assert_int_equal(host_has(c, "b"), rc[1] == 0);
        assert_int_equal(p9c_remove(c, 1), 0);
        assert_int_equal(c->server.fids.opens, 0);
        assert_int_equal(c->server.fids.count, 1);
    }
    p9c_stop(c);
}

/* The fid goes, and its file, while it is looked at: an answer or an error, and nothing stays. */
static void a_clunk_meets_every_request(void **state)
{
    struct p9c *c = start_u(NULL, 2, 4);

    for (int i = 0; i < ROUNDS; i++) {
        uint16_t tag[2];
        uint8_t type;
        int rc;

        assert_int_equal(u_make(c, 1, i % 2 ? "f" : "d", i % 2 ? 0644 : P9_DMDIR | 0755, ""), 0);
        if (i % 3) {
            tread(c, 1, 0, 1000);
        } else {
            p9c_begin(c, P9_TSTAT);
            p9_wr32(&c->wr, 1);
        }
        type = c->t[4];
        tag[0] = p9c_send(c, 0);
        p9c_begin(c, P9_TREMOVE);
        p9_wr32(&c->wr, 1);
        tag[1] = p9c_send(c, 1);
        rc = answer(c, 0, type, tag[0]);
        /* A folder that is gone cannot be listed: the kernel's word. */
        if (rc && !(rc == -ENOENT && type == P9_TREAD && !(i % 2)))
            assert_int_equal(rc, -EBADF);
        assert_int_equal(answer(c, 1, P9_TREMOVE, tag[1]), 0);
        assert_int_equal(p9c_walk(c, ROOT, 1, "f"), -ENOENT);
        assert_int_equal(p9c_walk(c, ROOT, 1, "d"), -ENOENT);
    }
    assert_int_equal(c->server.fids.opens, 0);
    p9c_stop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_rings_list_one_folder),
        cmocka_unit_test(of_two_openings_of_a_fid_one_succeeds),
        cmocka_unit_test(of_two_creates_on_a_fid_one_leaves_a_file),
        cmocka_unit_test(a_clunk_meets_every_request),
    };

    return cmocka_run_group_tests_name("9pfs: .u races", tests, NULL, NULL);
}
