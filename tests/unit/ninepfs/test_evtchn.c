/* SPDX-License-Identifier: LGPL-2.1-only */
/* The bell over an event channel, with a socket in its place: it gives port numbers and takes them
 * back. */
#include "tests/unit/ninepfs/p9.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

struct bell {
    struct p9_ring r;
    int kernel;                     /* the other end */
};

static void open_bell(struct bell *b, uint32_t port)
{
    int sv[2];

    memset(b, 0, sizeof(*b));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
    b->r.ops = &p9_ring_evtchn;
    b->r.event_fd = b->r.notify_fd = sv[0];
    b->kernel = sv[1];
    b->r.stop_fd = eventfd(0, EFD_CLOEXEC);
    assert_true(b->r.stop_fd >= 0);
    p9_ring_set_port(&b->r, port);
}

static void close_bell(struct bell *b)
{
    close(b->r.event_fd);
    close(b->r.stop_fd);
    close(b->kernel);
}

static void rings(struct bell *b, uint32_t port)
{
    assert_int_equal(write(b->kernel, &port, sizeof(port)), sizeof(port));
}

/* The port that was unmasked; 0: none was. */
static uint32_t unmasked(struct bell *b)
{
    uint32_t port;
    ssize_t n = read(b->kernel, &port, sizeof(port));

    if (n < 0) {
        assert_int_equal(errno, EAGAIN);
        return 0;
    }
    assert_int_equal(n, sizeof(port));
    return port;
}

static void a_port_is_unmasked_only_when_the_ring_is_waited_for_again(void **state)
{
    struct bell b;

    open_bell(&b, 77);
    rings(&b, 77);
    assert_int_equal(b.r.ops->wait(&b.r), 0);
    assert_int_equal(unmasked(&b), 0);
    rings(&b, 77);
    assert_int_equal(b.r.ops->wait(&b.r), 0);
    assert_int_equal(unmasked(&b), 77);
    assert_int_equal(unmasked(&b), 0);
    close_bell(&b);
}

static void a_stop_comes_before_a_bell(void **state)
{
    uint64_t one = 1;
    struct bell b;

    open_bell(&b, 5);
    rings(&b, 5);
    assert_int_equal(write(b.r.stop_fd, &one, sizeof(one)), sizeof(one));
    assert_int_equal(b.r.ops->wait(&b.r), 1);
    assert_int_equal(b.r.ops->wait(&b.r), 1);
    close_bell(&b);
}

static void another_port_or_a_closed_channel_ends_the_ring(void **state)
{
    struct bell b;

    open_bell(&b, 5);
    rings(&b, 6);
    assert_int_equal(b.r.ops->wait(&b.r), -EIO);
    close(b.kernel);
    assert_int_equal(b.r.ops->wait(&b.r), -EIO);
    b.kernel = -1;
    close_bell(&b);
}

static void a_bell_that_cannot_be_rung_says_so(void **state)
{
    struct bell b;

    open_bell(&b, 5);
    assert_true(b.r.ops->notify(&b.r) < 0);
    close_bell(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_is_unmasked_only_when_the_ring_is_waited_for_again),
        cmocka_unit_test(a_stop_comes_before_a_bell),
        cmocka_unit_test(another_port_or_a_closed_channel_ends_the_ring),
        cmocka_unit_test(a_bell_that_cannot_be_rung_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
