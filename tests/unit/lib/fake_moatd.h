/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef TESTS_LIB_FAKE_MOATD_H
#define TESTS_LIB_FAKE_MOATD_H

/* moatd's side of the socket, spoken by the test itself.  After a harness.h. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc/ipc.h"
#include "lib/request.h"

static int listener = -1;
static char sock_path[64];
static struct ipc_chan peer;        /* the connection that was accepted last */
static struct ipc_frame peer_frame;

static inline void fake_listen(int backlog)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };

    snprintf(sock_path, sizeof(sock_path), "/tmp/moat-lib-test.%d", (int)getpid());
    unlink(sock_path);
    strcpy(sa.sun_path, sock_path);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(listener, backlog), 0);
    setenv("MOAT_SOCKET", sock_path, 1);
    peer.fd = -1;
}

static inline void fake_hang_up(void)
{
    if (peer.fd >= 0)
        close(peer.fd);
    peer.fd = -1;
}

static inline void fake_end(void)
{
    fake_hang_up();
    if (listener >= 0)
        close(listener);
    listener = -1;
    unlink(sock_path);
}

static inline void fake_accept(void)
{
    peer = (struct ipc_chan){ .fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK),
                              .self = WARDEN | PARENT, .peer = OPERATOR, .phase = PH_OPEN,
                              .takes_fds = true };
    assert_true(peer.fd >= 0);
}

/* The INTENT of a new connection; its fd, if any, is closed again. */
static inline struct msg_INTENT fake_intent(void)
{
    struct msg_INTENT m;

    fake_accept();
    assert_int_equal(ipc_recv(&peer, &peer_frame), 1);
    assert_int_equal(peer_frame.type, MSG_INTENT);
    ipc_close_fds(&peer_frame);
    assert_int_equal(ipc_decode(&peer_frame, &m), 0);
    assert_int_equal(m.version, IPC_VERSION);
    return m;
}

static inline void fake_say(uint32_t type, uint32_t job, const void *m)
{
    assert_int_equal(ipc_send(&peer, type, job, m, NULL, 0), 0);
}

static inline void fake_started(uint32_t job, uint32_t domid)
{
    struct msg_STARTED m = { .job = job, .domid = domid, .name = "web" };

    fake_say(MSG_STARTED, job, &m);
}

static inline void fake_done(uint32_t job, int rc, const char *words)
{
    struct msg_DONE m = { .exit_code = rc ? EXIT_FAILED : EXIT_DONE, .rc = rc,
                          .worker_status = -1 };

    snprintf(m.message, sizeof(m.message), "%s", words);
    fake_say(MSG_DONE, job, &m);
}

static inline void fake_saved(uint32_t job)
{
    struct msg_SAVED m = { .bytes = 4096 };

    fake_say(MSG_SAVED, job, &m);
}

/* The operator has closed (or half-closed) and has said nothing more. */
static inline void fake_hears_the_end(void)
{
    char c;

    assert_int_equal(recv(peer.fd, &c, 1, 0), 0);
}

static inline void fake_hears_nothing(void)
{
    char c;

    assert_int_equal(recv(peer.fd, &c, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
}

static inline void fake_hears_commit(uint32_t job)
{
    peer.phase = PH_SAVED;
    assert_int_equal(ipc_recv(&peer, &peer_frame), 1);
    assert_int_equal(peer_frame.type, MSG_COMMIT);
    assert_int_equal(peer_frame.job, job);
}

#endif
