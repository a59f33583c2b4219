/* SPDX-License-Identifier: LGPL-2.1-only */
/* Tversion and Tflush across rings; one ring letting go what another one uses. */
#include "tests/unit/ninepfs/p9.h"

#include <poll.h>
#include <pthread.h>

#define R_GETATTR 160u              /* bytes of a reply: 25 fill a ring of order 1 */

static uint16_t send_getattr(struct p9c *c, unsigned int ring)
{
    p9c_begin(c, P9_TGETATTR);
    p9_wr32(&c->wr, ROOT);
    p9_wr64(&c->wr, 0x7ff);
    return p9c_send(c, ring);
}

static uint16_t send_flush(struct p9c *c, unsigned int ring, uint16_t oldtag)
{
    p9c_begin(c, P9_TFLUSH);
    p9_wr16(&c->wr, oldtag);
    return p9c_send(c, ring);
}

/* The tag of the next reply, 0 if none comes in time. */
static uint16_t next_tag(struct p9c *c, unsigned int ring, uint8_t *type)
{
    int n = p9c_get(c, ring, c->r, sizeof(c->r));

    if (n < 0)
        return 0;
    *type = c->r[4];
    return (uint16_t)(c->r[5] | c->r[6] << 8);
}

/* Makes ring 0's thread wait for room with a request in its hands; its tag. */
static uint16_t block_ring_0(struct p9c *c)
{
    uint16_t tag = 0;

    for (int i = 0; i < 26; i++)
        tag = send_getattr(c, 0);
    for (int i = 0; i < 5000; i++) {
        if (p9c_in_prod(&c->ring[0]) - c->ring[0].in_cons == 25 * R_GETATTR)
            break;
        usleep(1000);
    }
    assert_int_equal(p9c_in_prod(&c->ring[0]) - c->ring[0].in_cons, 25 * R_GETATTR);
    usleep(10000);
    return tag;
}

static void drain_25(struct p9c *c)
{
    uint8_t type;

    for (int i = 0; i < 25; i++)
        assert_int_not_equal(next_tag(c, 0, &type), 0);
    p9c_bell_consumed(&c->ring[0]);
}

/* Until n threads wait for the end of another one's request. */
static void until_waiters(struct p9c *c, unsigned int n)
{
    unsigned int now = 0;

    for (int i = 0; i < 5000; i++) {
        pthread_mutex_lock(&c->server.lock);
        now = c->server.waiters;
        pthread_mutex_unlock(&c->server.lock);
        if (now == n)
            break;
        usleep(1000);
    }
    assert_int_equal(now, n);
}

static bool quiet(struct p9c *c, unsigned int ring)
{
    c->timeout_ms = 50;
    bool r = p9c_get(c, ring, c->r, sizeof(c->r)) == -ETIMEDOUT;
    c->timeout_ms = 10000;
    return r;
}

static void a_flush_of_what_is_answered_is_answered(void **state)
{
    struct p9c *c = start_l(NULL, 2, 1);
    uint8_t type;
    uint16_t tag;

    for (unsigned int ring = 0; ring < 2; ring++) {
        tag = send_flush(c, ring, 0x1234);
        assert_int_equal(next_tag(c, ring, &type), tag);
        assert_int_equal(type, P9_TFLUSH + 1);
        tag = send_flush(c, ring, P9_NOTAG);
        assert_int_equal(next_tag(c, ring, &type), tag);
        /* Its own tag. */
        tag = send_flush(c, ring, (uint16_t)(c->tag + 1));
        assert_int_equal(next_tag(c, ring, &type), tag);
    }
    p9c_stop(c);
}

static void rflush_comes_after_the_reply_of_the_other_ring(void **state)
{
    struct p9c *c = start_l(NULL, 2, 1);
    uint16_t old = block_ring_0(c), flush;
    uint8_t type;

    flush = send_flush(c, 1, old);
    assert_true(quiet(c, 1));
    drain_25(c);
    assert_int_equal(next_tag(c, 0, &type), old);
    assert_int_equal(type, P9_TGETATTR + 1);
    assert_int_equal(next_tag(c, 1, &type), flush);
    assert_int_equal(type, P9_TFLUSH + 1);
    p9c_stop(c);
}

/* Otherwise a guest that reads ring 1 first uses the tag again, and takes the old reply for the new
 * one. */
static void rflush_comes_after_the_old_reply_is_taken_from_the_other_ring(void **state)
{
    struct p9c *c = start_l(NULL, 2, 1);
    uint16_t old = send_getattr(c, 0), flush;
    uint8_t type;

    for (int i = 0; i < 5000 && p9c_in_prod(&c->ring[0]) == c->ring[0].in_cons; i++)
        usleep(1000);
    flush = send_flush(c, 1, old);
    assert_true(quiet(c, 1));
    assert_int_equal(next_tag(c, 0, &type), old);
    assert_int_equal(next_tag(c, 1, &type), flush);
    assert_int_equal(type, P9_TFLUSH + 1);

    /* Who never takes it is answered all the same. */
    old = send_getattr(c, 0);
    flush = send_flush(c, 1, old);
    assert_int_equal(next_tag(c, 1, &type), flush);
    p9c_stop(c);
}

/* What was answered before a Tflush, in the same batch, is not held back while that waits. */
static void replies_before_a_flush_that_waits_have_their_bell(void **state)
{
    struct p9c *c = start_l(NULL, 2, 1);
    uint16_t old = block_ring_0(c), tag, flush;
    struct pollfd p = { .fd = c->ring[1].to_us, .events = POLLIN };
    uint8_t type;

    p9c_begin(c, P9_TGETATTR);
    p9_wr32(&c->wr, ROOT);
    p9_wr64(&c->wr, 0x7ff);
    p9_poke32(c->t, (uint32_t)c->wr.len);
    tag = c->tag;
    p9c_put(&c->ring[1], c->t, (uint32_t)c->wr.len);
    flush = send_flush(c, 1, old);
    until_waiters(c, 1);
    assert_int_equal(poll(&p, 1, 0), 1);
    assert_int_equal(next_tag(c, 1, &type), tag);
    assert_true(quiet(c, 1));
    drain_25(c);
    assert_int_equal(next_tag(c, 1, &type), flush);
    p9c_stop(c);
}

static void a_request_flushed_before_it_was_read_is_dropped(void **state)
{
    struct p9c *c = start_l(NULL, 2, 1);
    uint16_t old = block_ring_0(c), dropped, kept, again, flush;
    uint8_t type;

    dropped = send_getattr(c, 0);
    kept = send_getattr(c, 0);
    flush = send_flush(c, 1, dropped);
    assert_int_equal(next_tag(c, 1, &type), flush);
    /* The tag is free again, and what comes with it now is done. */
    c->tag = (uint16_t)(dropped - 1);
    again = send_getattr(c, 0);
    assert_int_equal(again, dropped);
    drain_25(c);
    assert_int_equal(next_tag(c, 0, &type), old);
    assert_int_equal(next_tag(c, 0, &type), kept);
    assert_int_equal(next_tag(c, 0, &type), again);
    assert_true(quiet(c, 0));
    p9c_stop(c);
}

static void a_flush_that_waits_is_dropped_by_its_own_flush(void **state)
{
    struct p9c *c = start_l(NULL, 3, 1);
    uint16_t old = block_ring_0(c), first, second;
    uint8_t type;

    first = send_flush(c, 1, old);
    until_waiters(c, 1);
    second = send_flush(c, 2, first);
    assert_int_equal(next_tag(c, 2, &type), second);
    assert_true(quiet(c, 1));
    drain_25(c);
    assert_int_equal(next_tag(c, 0, &type), old);
    assert_true(quiet(c, 1));
    p9c_stop(c);
}

/* Two that flush each other, one through a queue: nobody waits for ever. */
static void flushes_in_a_circle_end(void **state)
{
    struct p9c *c = start_l(NULL, 2, 1);
    int answered = 0;

    for (int i = 0; i < 200; i++) {
        uint16_t a = (uint16_t)(c->tag + 1), b = (uint16_t)(a + 1);
        uint8_t type;

        c->tag = (uint16_t)(a - 1);
        send_flush(c, 0, b);
        send_flush(c, 1, a);
        c->timeout_ms = 3000;
        /* A third request shows that both rings are alive. */
        for (unsigned int r = 0; r < 2; r++) {
            uint16_t tag = send_getattr(c, r), got;

            while ((got = next_tag(c, r, &type)) != tag) {
                assert_int_not_equal(got, 0);
                answered++;
            }
        }
    }
    assert_true(answered > 0);
    p9c_stop(c);
}

static void a_new_session_waits_for_the_other_rings(void **state)
{
    struct p9c *c = start_l(NULL, 2, 1);
    uint16_t old = block_ring_0(c), tag;
    uint8_t type;

    p9c_begin(c, P9_TVERSION);
    p9_wr32(&c->wr, 8192);
    p9c_str(c, "9P2000.u");
    tag = p9c_send(c, 1);
    assert_true(quiet(c, 1));
    drain_25(c);
    assert_int_equal(next_tag(c, 0, &type), old);
    assert_int_equal(next_tag(c, 1, &type), tag);
    assert_int_equal(type, P9_TVERSION + 1);
    assert_int_equal(c->server.fids.count, 0);
    p9c_stop(c);
}

static void a_new_session_drops_flushes_that_wait(void **state)
{
    struct p9c *c = start_l(NULL, 3, 1);
    uint16_t old = block_ring_0(c);
    uint8_t type;

    send_flush(c, 1, old);
    until_waiters(c, 1);
    p9c_begin(c, P9_TVERSION);
    p9_wr32(&c->wr, 8192);
    p9c_str(c, "9P2000.L");
    p9c_send(c, 2);
    assert_true(quiet(c, 1));
    until_waiters(c, 1);            /* the Tversion alone */
    drain_25(c);
    assert_int_equal(next_tag(c, 0, &type), old);
    assert_int_not_equal(next_tag(c, 2, &type), 0);
    assert_int_equal(type, P9_TVERSION + 1);
    assert_true(quiet(c, 1));
    p9c_stop(c);
}

static void stop_ends_every_kind_of_waiting(void **state)
{
    for (int kind = 0; kind < 3; kind++) {
        struct p9c *c = start_l(NULL, 3, 1);
        uint16_t old = block_ring_0(c);

        if (kind == 1) {
            send_flush(c, 1, old);
            until_waiters(c, 1);
        }
        if (kind == 2) {
            p9c_begin(c, P9_TVERSION);
            p9_wr32(&c->wr, 8192);
            p9c_str(c, "9P2000.L");
            p9c_send(c, 1);
            until_waiters(c, 1);
            send_getattr(c, 2);     /* waits for the Tversion */
        }
        usleep(20000);
        p9c_stop(c);
    }
}

static void version_says_what_it_knows(void **state)
{
    struct p9c *c = p9c_start(NULL, 1, 3, 1);
    struct p9_rd rd;

    /* Before a session nothing else is done. */
    assert_int_equal(p9c_attach(c, 0, 0), -EPROTO);
    assert_int_equal(p9c_version(c, "9P2000", 8192), -EPROTONOSUPPORT);
    p9c_begin(c, P9_TVERSION);
    p9_wr32(&c->wr, 8192);
    p9c_str(c, "9P2000.Lx");
    assert_int_equal(p9c_call(c, 0, &rd), 0);
    p9_rd32(&rd);
    assert_true(p9_str_is(p9_rd_str(&rd), "unknown"));
    assert_int_equal(p9c_attach(c, 0, 0), -EPROTO);
    assert_int_equal(p9c_version(c, "9P2000.L", 100), -EMSGSIZE);
    assert_int_equal(p9c_version(c, "9P2000.L", 0xffffffff), 0);
    assert_int_equal(c->msize, 8192);
    assert_int_equal(p9c_version(c, "9P2000.u", 4000), 0);
    assert_int_equal(c->msize, 4000);
    assert_int_equal(p9c_attach(c, 0, 0), 0);
    /* .u: an error has words and a number; .L requests do not exist. */
    p9c_begin(c, P9_TGETATTR);
    p9_wr32(&c->wr, 0);
    p9_wr64(&c->wr, 0);
    assert_int_equal(p9c_call(c, 0, &rd), -EOPNOTSUPP);
    assert_int_equal(c->r[4], P9_RERROR);
    p9c_stop(c);
}

static void malformed_requests_are_the_guests_error(void **state)
{
    static const uint8_t types[] = { 0, 1, 6, 7, 13, 107, 110, 200, 255 };
    struct p9c *c = start_l(NULL, 1, 5);

    for (size_t i = 0; i < sizeof(types); i++) {
        struct p9_rd rd;

        p9c_begin(c, types[i]);
        p9c_send(c, 0);
        c->r_len = (uint32_t)p9c_get(c, 0, c->r, sizeof(c->r));
        assert_true(p9c_result(c, types[i], c->tag, &rd) < 0);
    }
    /* Every known request with every shorter and one longer body: an answer each, and the ring lives. */
    for (unsigned int type = 0; type < 128; type++) {
        if (type == P9_TVERSION || !strcmp(p9_type_name((uint8_t)type), "?"))
            continue;
        for (uint32_t len = 0; len < 80; len++) {
            p9c_begin(c, (uint8_t)type);
            for (uint32_t k = 0; k < len; k++)
                p9_wr8(&c->wr, 0xff);
            p9c_send(c, 0);
            assert_true(p9c_get(c, 0, c->r, sizeof(c->r)) > 0);
        }
    }
    /* Longer than any request that is no write. */
    p9c_begin(c, P9_TCLUNK);
    for (uint32_t k = 0; k < 10000; k++)
        p9_wr8(&c->wr, 0);
    assert_int_equal(p9c_call(c, 0, NULL), -EMSGSIZE);
    assert_int_equal(p9c_attach(c, 77, 0), 0);
    p9c_stop(c);
}

/* ---------- one ring lets go what another one uses */

static int call_on(struct p9c *c, unsigned int ring, uint8_t type, uint32_t fid)
{
    p9c_begin(c, type);
    p9_wr32(&c->wr, fid);
    return p9c_call(c, ring, NULL);
}

static void a_file_in_use_outlives_its_number(void **state)
{
    struct p9c *c = start_l(NULL, 2, 1);
    char text[512], b[8];
    struct p9_rd rd;
    uint16_t tag;
    uint8_t type;

    memset(text, 'o', sizeof(text));
    text[511] = 0;
    host_file(c, "old", text);
    host_file(c, "new", "new");
    assert_int_equal(p9c_walk(c, ROOT, 5, "old"), 0);
    assert_int_equal(p9c_lopen(c, 5, O_RDONLY), 0);
    for (int i = 0; i < 25; i++)
        send_getattr(c, 0);
    p9c_begin(c, P9_TREAD);
    p9_wr32(&c->wr, 5);
    p9_wr64(&c->wr, 0);
    p9_wr32(&c->wr, 500);
    tag = p9c_send(c, 0);
    for (int i = 0; i < 5000 && p9c_room(&c->ring[0]) != c->ring[0].size - 23; i++)
        usleep(1000);
    usleep(10000);                  /* waits for room now, the file in its hands */
    assert_int_equal(call_on(c, 1, P9_TCLUNK, 5), 0);
    assert_int_equal(call_on(c, 1, P9_TCLUNK, 5), -EBADF);
    /* The number is another file's now. */
    p9c_begin(c, P9_TWALK);
    p9_wr32(&c->wr, ROOT);
    p9_wr32(&c->wr, 5);
    p9_wr16(&c->wr, 1);
    p9c_str(c, "new");
    assert_int_equal(p9c_call(c, 1, NULL), 0);
    assert_int_equal(c->server.fids.opens, 1);
    drain_25(c);
    assert_int_equal(next_tag(c, 0, &type), tag);
    c->r_len = 500 + 11;
    assert_int_equal(p9c_result(c, P9_TREAD, tag, &rd), 0);
    assert_int_equal(p9_rd32(&rd), 500);
    assert_memory_equal(rd.p, text, 500);
    assert_int_equal(p9c_lopen(c, 5, O_RDONLY), 0);
    assert_int_equal(p9c_read(c, 5, 0, b, 8), 3);
    assert_int_equal(c->server.fids.opens, 1);
    p9c_stop(c);
}

/* ---------- many rings on the same fids */

struct hammer {
    struct p9c *c;
    unsigned int ring;
    unsigned int seed;
};

static int raw_call(struct p9c *c, unsigned int ring, struct p9_wr *wr, uint8_t *r, uint32_t max)
{
    p9_poke32(wr->buf, (uint32_t)wr->len);
    p9c_put(&c->ring[ring], wr->buf, (uint32_t)wr->len);
    p9c_ring_bell(&c->ring[ring]);
    return p9c_get(c, ring, r, max);
}

/* Random walks, opens, reads, creates, removes and clunks on ten fids that all threads share. */
static void *hammer(void *arg)
{
    static const uint8_t types[] = { P9_TWALK, P9_TWALK, P9_TLOPEN, P9_TREAD, P9_TGETATTR, P9_TCLUNK,
                                     P9_TREADDIR, P9_TLCREATE, P9_TWRITE, P9_TREMOVE, P9_TFLUSH };
    struct hammer *h = arg;
    uint8_t t[256], r[4096];
    struct p9_wr wr;

    for (int i = 0; i < 3000; i++) {
        uint8_t type = types[rand_r(&h->seed) % sizeof(types)];
        uint32_t fid = 1 + (uint32_t)rand_r(&h->seed) % 10, to = 1 + (uint32_t)rand_r(&h->seed) % 10;
        char name[16];
        int n;

        snprintf(name, sizeof(name), "f%d", rand_r(&h->seed) % 5);
        p9_wr_init(&wr, t, sizeof(t));
        p9_wr32(&wr, 0);
        p9_wr8(&wr, type);
        p9_wr16(&wr, (uint16_t)h->ring);
        if (type == P9_TFLUSH) {
            p9_wr16(&wr, (uint16_t)(4 + rand_r(&h->seed) % 4));    /* no live one: that has no answer */
        } else {
            p9_wr32(&wr, type == P9_TWALK && to % 3 ? ROOT : fid);
        }
        switch (type) {
        case P9_TWALK:
            p9_wr32(&wr, to);
            p9_wr16(&wr, to & 1);
            if (to & 1)
                p9_wr_str(&wr, name, strlen(name));
            break;
        case P9_TLOPEN:
            p9_wr32(&wr, to & 2 ? O_RDWR : O_RDONLY);
            break;
        case P9_TREAD:
        case P9_TREADDIR:
            p9_wr64(&wr, 0);
            p9_wr32(&wr, 1000);
            break;
        case P9_TGETATTR:
            p9_wr64(&wr, 0);
            break;
        case P9_TLCREATE:
            p9_wr_str(&wr, name, strlen(name));
            p9_wr32(&wr, O_RDWR);
            p9_wr32(&wr, 0644);
            p9_wr32(&wr, 0);
            break;
        case P9_TWRITE:
            p9_wr64(&wr, 0);
            p9_wr32(&wr, 4);
            p9_wr32(&wr, 0);
            break;
        default:
            break;
        }
        n = raw_call(h->c, h->ring, &wr, r, sizeof(r));
        if (n < 0)
            return (void *)(intptr_t)n;
    }
    return NULL;
}

static void rings_share_fids_without_harm(void **state)
{
    int before = count_fds();
    struct p9c *c = start_l(NULL, 4, 2);
    struct hammer h[4];
    pthread_t t[4];
    void *rc;

    for (int i = 0; i < 5; i++) {
        char name[16];

        snprintf(name, sizeof(name), "f%d", i);
        host_file(c, name, "text");
    }
    for (unsigned int i = 0; i < 4; i++) {
        h[i] = (struct hammer){ c, i, i * 7 + 1 };
        pthread_create(&t[i], NULL, hammer, &h[i]);
    }
    for (unsigned int i = 0; i < 4; i++) {
        pthread_join(t[i], &rc);
        assert_int_equal((intptr_t)rc, 0);
    }
    assert_int_equal(p9c_version(c, "9P2000.L", 8192), 0);
    assert_int_equal(c->server.fids.count, 0);
    assert_int_equal(c->server.fids.opens, 0);
    assert_int_equal(c->server.nodes.count, 1);
    p9c_stop(c);
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_says_what_it_knows),
        cmocka_unit_test(malformed_requests_are_the_guests_error),
        cmocka_unit_test(a_flush_of_what_is_answered_is_answered),
        cmocka_unit_test(rflush_comes_after_the_reply_of_the_other_ring),
        cmocka_unit_test(rflush_comes_after_the_old_reply_is_taken_from_the_other_ring),
        cmocka_unit_test(replies_before_a_flush_that_waits_have_their_bell),
        cmocka_unit_test(a_request_flushed_before_it_was_read_is_dropped),
        cmocka_unit_test(a_flush_that_waits_is_dropped_by_its_own_flush),
        cmocka_unit_test(flushes_in_a_circle_end),
        cmocka_unit_test(a_new_session_waits_for_the_other_rings),
        cmocka_unit_test(a_new_session_drops_flushes_that_wait),
        cmocka_unit_test(stop_ends_every_kind_of_waiting),
        cmocka_unit_test(a_file_in_use_outlives_its_number),
        cmocka_unit_test(rings_share_fids_without_harm),
    };

    return cmocka_run_group_tests_name("9pfs: sessions", tests, NULL, NULL);
}
