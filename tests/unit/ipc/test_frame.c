/* SPDX-License-Identifier: LGPL-2.1-only */
/* A frame that is wrong in any way ends the peer, and leaves no fd behind. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/ipc.h"

static struct ipc_chan tx, rx;
static struct ipc_frame frame;

static int setup(void **state)
{
    int fds[2];

    if (ipc_pair(fds))
        return -1;
    tx = (struct ipc_chan){.fd = fds[0], .self = PARENT, .peer = WORKER, .phase = PH_OPEN};
    rx = (struct ipc_chan){.fd = fds[1], .self = WORKER, .peer = PARENT, .phase = PH_OPEN};
    return 0;
}

static int teardown(void **state)
{
    close(tx.fd);
    close(rx.fd);
    return 0;
}

static int count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* A raw frame: header fields as given, then `len` bytes. */
static void raw(uint32_t length, uint16_t type, uint16_t fds, size_t len)
{
    uint8_t buf[IPC_FRAME_MAX + 64] = {0};
    uint32_t job = 7;

    memcpy(buf, &length, 4);
    memcpy(buf + 4, &type, 2);
    memcpy(buf + 6, &fds, 2);
    memcpy(buf + 8, &job, 4);
    assert_int_equal(send(tx.fd, buf, IPC_HEADER_SIZE + len, 0), IPC_HEADER_SIZE + len);
}

static void test_message_arrives_with_its_job(void **state)
{
    struct msg_START s = {.flags = 3, .target_kb = 196608}, out;

    assert_int_equal(ipc_recv(&rx, &frame), 0);
    assert_int_equal(ipc_send(&tx, MSG_START, 7, &s, NULL, 0), 0);
    assert_int_equal(ipc_recv(&rx, &frame), 1);
    assert_int_equal(frame.job, 7);
    assert_int_equal(ipc_decode(&frame, &out), 0);
    assert_int_equal(out.target_kb, 196608);
}

static void test_end_of_file_is_told(void **state)
{
    shutdown(tx.fd, SHUT_RDWR);
    assert_int_equal(ipc_recv(&rx, &frame), -ECONNRESET);
}

static void test_wrong_length_type_direction_phase_are_refused(void **state)
{
    raw(5, MSG_START, 0, 12);
    assert_int_equal(ipc_recv(&rx, &frame), -EPROTO);
    raw(0xffffffff, MSG_START, 0, 12);
    assert_int_equal(ipc_recv(&rx, &frame), -EPROTO);
    raw(0, 0x7777, 0, 0);
    assert_int_equal(ipc_recv(&rx, &frame), -EPROTO);
    assert_string_equal(frame.why, "unknown message type");
    raw(4, MSG_HELLO, 0, 4);
    assert_int_equal(ipc_recv(&rx, &frame), -EPROTO);
    assert_string_equal(frame.why, "message in the wrong direction");
    raw(4, MSG_SUSPENDED, 0, 4);
    assert_int_equal(ipc_recv(&rx, &frame), -EPROTO);
    assert_string_equal(frame.why, "message out of phase");
    assert_int_equal(send(tx.fd, "short", 5, 0), 5);
    assert_int_equal(ipc_recv(&rx, &frame), -EPROTO);
}

static void test_a_frame_larger_than_64_kib_is_refused(void **state)
{
    raw(IPC_FRAME_MAX, MSG_START, 0, IPC_FRAME_MAX);
    assert_int_equal(ipc_recv(&rx, &frame), -EPROTO);
}

static void send_with_fds(uint16_t type, uint16_t claimed, unsigned n)
{
    uint8_t buf[IPC_HEADER_SIZE + 4] = {4};
    char control[CMSG_SPACE(sizeof(int) * 16)] = {0};
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                        .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

    memcpy(buf + 4, &type, 2);
    memcpy(buf + 6, &claimed, 2);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * n);
    for (unsigned i = 0; i < n; i++)
        memcpy(CMSG_DATA(c) + i * sizeof(int), &(int){STDIN_FILENO}, sizeof(int));
    assert_true(sendmsg(tx.fd, &mh, 0) > 0);
}

static void send_intent_with_fd(void)
{
    struct ipc_chan op = {.fd = tx.fd, .self = OPERATOR, .peer = WARDEN};
    struct msg_INTENT in = {.version = IPC_VERSION, .kind = KIND_SAVE};
    int fd = STDIN_FILENO;

    assert_int_equal(ipc_send(&op, MSG_INTENT, 0, &in, &fd, 1), 0);
}

static void test_fds_are_dropped_where_none_are_taken(void **state)
{
    int before = count_fds();

    rx.phase = PH_RUN;
    send_with_fds(MSG_SUSPENDED, 0, 3);
    rx.phase = PH_ANY;
    assert_int_equal(ipc_recv(&rx, &frame), 1);     /* the frame itself is right */
    assert_int_equal(frame.nfds, 0);
    assert_int_equal(count_fds(), before);
}

static void test_declared_fds_may_be_dropped_knowingly(void **state)
{
    int before = count_fds();

    rx.phase = PH_ANY;
    send_with_fds(MSG_SUSPENDED, 1, 1);             /* takes no fds: too many */
    rx.drops_fds = true;
    assert_int_equal(ipc_recv(&rx, &frame), -EPROTO);
    rx = (struct ipc_chan){.fd = rx.fd, .self = WARDEN, .peer = OPERATOR, .phase = PH_OPEN,
                           .drops_fds = true};
    send_intent_with_fd();
    assert_int_equal(ipc_recv(&rx, &frame), 1);
    assert_int_equal(frame.declared, 1);
    assert_int_equal(frame.nfds, 0);
    assert_int_equal(count_fds(), before);
}

static void test_unexpected_fds_end_the_peer_and_are_closed(void **state)
{
    int before = count_fds();

    rx.takes_fds = true;
    rx.phase = PH_ANY;
    send_with_fds(MSG_SUSPENDED, 2, 2);
    assert_int_equal(ipc_recv(&rx, &frame), -EPROTO);
    send_with_fds(MSG_SUSPENDED, 16, 16);
    assert_int_equal(ipc_recv(&rx, &frame), -EPROTO);
    assert_int_equal(count_fds(), before);
}

static void test_expected_fds_arrive_close_on_exec(void **state)
{
    struct msg_TABLE dummy;
    struct ipc_chan a = {.fd = tx.fd, .self = SUPERVISOR, .peer = WARDEN, .phase = PH_RUN};
    struct ipc_chan b = {.fd = rx.fd, .self = WARDEN, .peer = SUPERVISOR, .phase = PH_RUN,
                         .takes_fds = true};
    int fd = STDIN_FILENO, got;

    assert_int_equal(ipc_send(&a, MSG_TABLE, 0, &dummy, NULL, 0), -EINVAL);
    assert_int_equal(ipc_send(&a, MSG_TABLE, 0, &dummy, &fd, 1), 0);
    assert_int_equal(ipc_recv(&b, &frame), 1);
    got = ipc_take_fd(&frame, 0);
    assert_true(got > 2);
    assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(ipc_take_fd(&frame, 0), -1);
    close(got);
}

static void test_the_sender_is_named_where_asked_for(void **state)
{
    struct msg_SUSPENDED s = {0};

    assert_int_equal(ipc_want_pid(&rx), 0);
    rx.phase = PH_RUN;
    assert_int_equal(ipc_send(&tx, MSG_SUSPENDED, 1, &s, NULL, 0), 0);
    assert_int_equal(ipc_recv(&rx, &frame), 1);
    assert_int_equal(frame.pid, getpid());
}

static void test_a_peer_that_does_not_read_gives_eagain_not_a_block(void **state)
{
    struct msg_START s = {0};
    int rc = 0, n = 0;

    while (n < 100000 && !(rc = ipc_send(&tx, MSG_START, 1, &s, NULL, 0)))
        n++;
    assert_int_equal(rc, -EAGAIN);
    assert_true(n > 10);
}

static void test_expect_times_out_and_refuses_another_answer(void **state)
{
    struct msg_SUSPENDED s = {0};
    struct msg_START st = {0};

    rx.phase = PH_ANY;
    assert_int_equal(ipc_expect(&rx, &frame, MSG_SUSPENDED, &s, 10), -ETIMEDOUT);
    ipc_send(&tx, MSG_START, 1, &st, NULL, 0);
    assert_int_equal(ipc_expect(&rx, &frame, MSG_SUSPENDED, &s, 1000), -EPROTO);
    ipc_send(&tx, MSG_SUSPENDED, 1, &s, NULL, 0);
    assert_int_equal(ipc_expect(&rx, &frame, MSG_SUSPENDED, &s, 1000), 0);
}

static void test_a_message_is_not_sent_in_the_wrong_direction(void **state)
{
    struct msg_HELLO h = {1};

    assert_int_equal(ipc_send(&tx, MSG_HELLO, 0, &h, NULL, 0), -EINVAL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_message_arrives_with_its_job),
        T(test_end_of_file_is_told),
        T(test_wrong_length_type_direction_phase_are_refused),
        T(test_a_frame_larger_than_64_kib_is_refused),
        T(test_fds_are_dropped_where_none_are_taken),
        T(test_declared_fds_may_be_dropped_knowingly),
        T(test_unexpected_fds_end_the_peer_and_are_closed),
        T(test_expected_fds_arrive_close_on_exec),
        T(test_the_sender_is_named_where_asked_for),
        T(test_a_peer_that_does_not_read_gives_eagain_not_a_block),
        T(test_expect_times_out_and_refuses_another_answer),
        T(test_a_message_is_not_sent_in_the_wrong_direction),
    };

    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
