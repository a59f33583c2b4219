/* SPDX-License-Identifier: LGPL-2.1-only */
/* Talking to simhost: one packet of text each way, file descriptors beside the answer. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/sim/sim.h"

#define LINE_MAX_SIZE 4096

int sim_connect(void)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    const char *name = secure_getenv("MOAT_SIM");
    int r, fd;

    if (!name)
        name = SIM_NAME;
    if (strlen(name) + 1 > sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    memcpy(sa.sun_path + 1, name, strlen(name));
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    r = connect(fd, (struct sockaddr *)&sa,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
    if (r) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

/* Receives one packet into line, its fd, if any, into *fd.  Length or -errno. */
static ssize_t receive(int sock, char *line, size_t size, int *fd)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = { .iov_base = line, .iov_len = size - 1 };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
    };
    struct cmsghdr *c;
    ssize_t n;

    do
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n == 0)
        return -ECONNRESET;
    line[n] = 0;
    c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(c), sizeof(*fd));
    return n;
}

int sim_ask(int sock, char *reply, size_t size, int *fd, const char *fmt, ...)
{
    char line[LINE_MAX_SIZE], *buf = reply ? reply : line, *text = buf;
    int got = -1, len, errnum = EPROTO;
    ssize_t n;
    va_list ap;

    va_start(ap, fmt);
    len = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (len < 0 || (size_t)len >= sizeof(line))
        return -E2BIG;
    if (send(sock, line, (size_t)len, MSG_NOSIGNAL) != len)
        return -errno;
    n = receive(sock, buf, reply ? size : sizeof(line), &got);
    if (n < 0)
        return (int)n;

    if (!strncmp(buf, "ok", 2)) {
        errnum = 0;
        text += 2;
    } else if (!strncmp(buf, "error ", 6)) {
        errnum = (int)strtol(buf + 6, &text, 10);
    }
    text += *text == ' ';
    memmove(buf, text, strlen(text) + 1);
    if (fd && !errnum)
        *fd = got;
    else if (got >= 0)
        close(got);
    return -errnum;
}

struct sim_host *sim_attach(int sock)
{
    struct sim_host *h;
    int fd = -1, r;

    r = sim_ask(sock, NULL, 0, &fd, "host");
    if (r || fd < 0) {
        errno = r ? -r : EPROTO;
        return NULL;
    }
    h = mmap(NULL, sizeof(*h), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (h == MAP_FAILED)
        return NULL;
    if (h->magic != SIM_MAGIC || h->size != sizeof(*h)) {
        munmap(h, sizeof(*h));
        errno = ESTALE;
        return NULL;
    }
    return h;
}
