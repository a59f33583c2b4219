/* SPDX-License-Identifier: LGPL-2.1-only */
/* The ring: wraps, fragments, batches, rooms, and a peer that writes what it likes. */
#include "tests/unit/ninepfs/p9.h"

#include <poll.h>
#include <sys/eventfd.h>

/* A Tversion as bytes. */
static uint32_t tversion(uint8_t buf[64])
{
    struct p9_wr wr;

    p9_wr_init(&wr, buf, 64);
    p9_wr32(&wr, 7 + 4 + 2 + 8);
    p9_wr8(&wr, P9_TVERSION);
    p9_wr16(&wr, P9_NOTAG);
    p9_wr32(&wr, 8192);
    p9_wr_str(&wr, "9P2000.L", 8);
    return (uint32_t)wr.len;
}

static void the_layout_is_that_of_io_9pfs_h(void **state)
{
    assert_int_equal(offsetof(struct p9_ring_intf, in_cons), 0);
    assert_int_equal(offsetof(struct p9_ring_intf, in_prod), 4);
    assert_int_equal(offsetof(struct p9_ring_intf, out_cons), 64);
    assert_int_equal(offsetof(struct p9_ring_intf, out_prod), 68);
    assert_int_equal(offsetof(struct p9_ring_intf, ring_order), 128);
    assert_int_equal(offsetof(struct p9_ring_intf, ref), 132);
}

static void orders_out_of_range_are_refused(void **state)
{
    struct p9_ring r;
    static struct p9_ring_intf intf;
    static const unsigned int bad[] = { 0, 10, 31, 32, 1000, 0xffffffffu };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(p9_ring_init(&r, &intf, &intf, bad[i], &p9_ring_eventfd, -1, -1, -1),
                         -EINVAL);
    intf.out_prod = 4097;
    assert_int_equal(p9_ring_init(&r, &intf, &intf, 1, &p9_ring_eventfd, -1, -1, -1), -EINVAL);
    intf.out_prod = 4096;
    assert_int_equal(p9_ring_init(&r, &intf, &intf, 1, &p9_ring_eventfd, -1, -1, -1), 0);
}

/* Every offset at which the header, a field or the payload can wrap, and the indices past 2^32. */
static void messages_wrap_anywhere(void **state)
{
    char text[64], back[64];

    for (uint32_t i = 0; i < 96; i++) {
        struct p9c *c = p9c_start_at(NULL, 1, 1, 0, 0xfffff000u - 48 + i);

        memset(text, 'a' + (int)(i % 26), sizeof(text));
        assert_int_equal(p9c_version(c, "9P2000.L", 8192), 0);
        assert_int_equal(c->msize, 2048);
        assert_int_equal(p9c_attach(c, 0, 0), 0);
        assert_int_equal(p9c_lcreate(c, 0, "f", O_RDWR, 0644), 0);
        for (int k = 0; k < 4; k++) {
            assert_int_equal(p9c_write(c, 0, 0, text, sizeof(text)), sizeof(text));
            assert_int_equal(p9c_read(c, 0, 0, back, sizeof(back)), sizeof(back));
            assert_memory_equal(text, back, sizeof(text));
        }
        p9c_stop(c);
    }
}

static void a_request_may_come_byte_by_byte(void **state)
{
    struct p9c *c = p9c_start(NULL, 1, 1, 1);
    struct p9_rd rd;
    uint8_t t[64];
    uint32_t len = tversion(t);
    struct pollfd p = { .fd = c->ring[0].to_us, .events = POLLIN };

    for (uint32_t i = 0; i < len; i++) {
        assert_int_equal(poll(&p, 1, 1), 0);
        p9c_put(&c->ring[0], t + i, 1);
        p9c_ring_bell(&c->ring[0]);
    }
    c->r_len = (uint32_t)p9c_get(c, 0, c->r, sizeof(c->r));
    assert_int_equal(p9c_result(c, P9_TVERSION, P9_NOTAG, &rd), 0);
    p9c_stop(c);
}

static void many_requests_are_one_batch_with_one_bell(void **state)
{
    struct p9c *c = p9c_start(NULL, 1, 1, 0);
    uint64_t bells;

    assert_int_equal(p9c_version(c, "9P2000.L", 8192), 0);
    assert_int_equal(p9c_attach(c, 0, 0), 0);
    while (read(c->ring[0].to_us, &bells, sizeof(bells)) > 0)
        ;
    for (int i = 0; i < 20; i++) {
        p9c_begin(c, P9_TGETATTR);
        p9_wr32(&c->wr, 0);
        p9_wr64(&c->wr, 0);
        p9c_send(c, 0);
    }
    assert_int_equal(p9_serve(c->server.ring[0]), 20);
    assert_int_equal(read(c->ring[0].to_us, &bells, sizeof(bells)), sizeof(bells));
    assert_int_equal(bells, 1);
    for (int i = 0; i < 20; i++)
        assert_true(p9c_get(c, 0, c->r, sizeof(c->r)) > 0);
    assert_int_equal(p9_serve(c->server.ring[0]), 0);
    p9c_stop(c);
}

/* A front that asks and asks and never drains: its thread sleeps until there is room, and can be stopped. */
static void a_front_that_does_not_drain_only_waits(void **state)
{
    struct p9c *c = start_l(NULL, 1, 1);
    struct p9_rd rd;
    int sent = 0, got = 0;

    /* 160 bytes of reply for 19 of request: `in` is full long before `out`. */
    for (; sent < 60; sent++) {
        p9c_begin(c, P9_TGETATTR);
        p9_wr32(&c->wr, 0);
        p9_wr64(&c->wr, 0x7ff);
        p9c_send(c, 0);
    }
    usleep(20000);
    assert_true(p9c_in_prod(&c->ring[0]) - c->ring[0].in_cons <= c->ring[0].size);
    assert_true(p9c_room(&c->ring[0]) < c->ring[0].size);
    while (got < sent) {
        c->r_len = (uint32_t)p9c_get(c, 0, c->r, sizeof(c->r));
        got++;
        assert_int_equal(p9c_result(c, P9_TGETATTR, (uint16_t)(c->tag - sent + got), &rd), 0);
        p9c_bell_consumed(&c->ring[0]);
    }
    for (int i = 0; i < 60; i++) {
        p9c_begin(c, P9_TGETATTR);
        p9_wr32(&c->wr, 0);
        p9_wr64(&c->wr, 0x7ff);
        p9c_send(c, 0);
    }
    usleep(20000);
    p9c_stop(c);                    /* comes back */
}

/* What ends the ring, from a peer that has just done Tversion.  -errno with which it ended. */
static int ended_by(void (*act)(struct p9c *c))
{
    struct p9c *c = start_l(NULL, 2, 1);
    int rc;

    act(c);
    rc = p9c_get(c, 0, c->r, sizeof(c->r));
    assert_int_equal(rc, -EPIPE);
    rc = p9c_ended(c, 0);
    /* The device ends, not one of its rings. */
    assert_int_equal(p9c_get(c, 1, c->r, sizeof(c->r)), -EPIPE);
    p9c_stop(c);
    return rc;
}

static void send_size(struct p9c *c, uint32_t size)
{
    uint8_t t[P9_HDR] = { 0, 0, 0, 0, P9_TCLUNK, 1, 0 };

    p9_poke32(t, size);
    p9c_put(&c->ring[0], t, sizeof(t));
    p9c_ring_bell(&c->ring[0]);
}

static void size_0(struct p9c *c) { send_size(c, 0); }
static void size_6(struct p9c *c) { send_size(c, 6); }
static void size_msize_1(struct p9c *c) { send_size(c, 2049); }
static void size_max(struct p9c *c) { send_size(c, 0xffffffffu); }

static void prod_too_far(struct p9c *c)
{
    c->ring[0].out_prod += c->ring[0].size + 1;
    p9c_ring_bell(&c->ring[0]);
}

static void prod_back(struct p9c *c)
{
    c->ring[0].out_prod--;
    p9c_ring_bell(&c->ring[0]);
}

static void cons_too_far(struct p9c *c)
{
    c->ring[0].intf->in_cons = c->ring[0].in_cons + 1;
    p9c_begin(c, P9_TCLUNK);
    p9_wr32(&c->wr, 99);
    p9c_send(c, 0);
}

static void impossible_sizes_and_indices_end_the_device(void **state)
{
    assert_int_equal(ended_by(size_0), -EPROTO);
    assert_int_equal(ended_by(size_6), -EPROTO);
    assert_int_equal(ended_by(size_msize_1), -EPROTO);
    assert_int_equal(ended_by(size_max), -EPROTO);
    assert_int_equal(ended_by(prod_too_far), -EPROTO);
    assert_int_equal(ended_by(prod_back), -EPROTO);
    assert_int_equal(ended_by(cons_too_far), -EPROTO);
}

/* Our own indices in the page are the peer's to overwrite, and never read back. */
static void own_indices_are_not_believed(void **state)
{
    struct p9c *c = start_l(NULL, 1, 1);
    uint32_t in_prod;

    c->ring[0].intf->out_cons = 0x12345678;
    in_prod = c->ring[0].intf->in_prod;
    c->ring[0].intf->in_prod = 0x87654321;
    p9c_begin(c, P9_TCLUNK);
    p9_wr32(&c->wr, 0);
    p9c_put(&c->ring[0], c->t, 0);
    p9_poke32(c->t, (uint32_t)c->wr.len);
    p9c_put(&c->ring[0], c->t, (uint32_t)c->wr.len);
    p9c_ring_bell(&c->ring[0]);
    for (int i = 0; i < 2000; i++) {
        if (p9c_in_prod(&c->ring[0]) == in_prod + P9_HDR)
            break;
        usleep(1000);
    }
    assert_int_equal(p9c_in_prod(&c->ring[0]), in_prod + P9_HDR);
    p9c_stop(c);
}

static void rings_of_each_order_carry_their_msize(void **state)
{
    for (unsigned int order = P9_RING_ORDER_MIN; order <= P9_RING_ORDER_MAX; order++) {
        struct p9c *c = start_l(NULL, 1, order);
        uint32_t count, half = 4096u << (order - 1);
        char *buf;

        assert_int_equal(c->msize, half / 2);
        count = c->msize - 23;
        buf = malloc(count);
        for (uint32_t i = 0; i < count; i++)
            buf[i] = (char)(i * 7 + order);
        assert_int_equal(p9c_lcreate(c, 0, "f", O_RDWR, 0644), 0);
        for (int k = 0; k < 5; k++) {
            assert_int_equal(p9c_write(c, 0, 0, buf, count), count);
            memset(c->r, 0, 64);
            assert_int_equal(p9c_read(c, 0, 0, c->t, count), count);
            assert_memory_equal(c->t, buf, count);
        }
        free(buf);
        p9c_stop(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layout_is_that_of_io_9pfs_h),
        cmocka_unit_test(orders_out_of_range_are_refused),
        cmocka_unit_test(messages_wrap_anywhere),
        cmocka_unit_test(a_request_may_come_byte_by_byte),
        cmocka_unit_test(many_requests_are_one_batch_with_one_bell),
        cmocka_unit_test(a_front_that_does_not_drain_only_waits),
        cmocka_unit_test(impossible_sizes_and_indices_end_the_device),
        cmocka_unit_test(own_indices_are_not_believed),
        cmocka_unit_test(rings_of_each_order_carry_their_msize),
    };

    return cmocka_run_group_tests_name("9pfs: ring", tests, NULL, NULL);
}
