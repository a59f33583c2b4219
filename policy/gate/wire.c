/* SPDX-License-Identifier: LGPL-2.1-only */
/* Buffers of one xenstore connection: whole messages in, bounded bytes out. */
#include <poll.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "policy/gate/gate.h"

int64_t gate_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void gate_die(int status, const char *fmt, ...)
{
    char line[256] = "moat-gate: "; /* no stdio: it would allocate */
    size_t n = strlen(line);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
    va_end(ap);
    strcat(line, "\n");
    if (write(2, line, strlen(line)) < 0)
        status = 1;
    _exit(status);
}

int gate_conn_read(struct conn *c)
{
    size_t want;
    ssize_t r;

    for (;;) {
        want = sizeof(c->hdr);
        if (c->got >= want) {
            if (c->hdr.len > XENSTORE_PAYLOAD_MAX)
                return -EPROTO;
            want += c->hdr.len;
        }
        if (c->got == want) {
            c->in[want] = 0;
            return 1;
        }
        r = read(c->fd, c->in + c->got, want - c->got);
        if (r > 0)
            c->got += r;
        else if (r == 0)
            return -ECONNRESET;
        else if (errno != EINTR)
            return errno == EAGAIN ? 0 : -errno;
    }
}

char *gate_conn_payload(struct conn *c)
{
    return c->in + sizeof(c->hdr);
}

size_t gate_conn_room(const struct conn *c)
{
    return sizeof(c->out) - c->len;
}

static void append(struct conn *c, const void *p, size_t len)
{
    if (len > gate_conn_room(c))
        gate_die(1,
                 "a queue overflows: a bound is wrong"); /* never: callers check gate_conn_room */
    if (c->off + c->len + len > sizeof(c->out)) {
        memmove(c->out, c->out + c->off, c->len);
        c->off = 0;
    }
    if (len)
        memcpy(c->out + c->off + c->len, p, len);
    c->len += len;
}

void gate_conn_put(struct conn *c, const struct xsd_sockmsg *hdr, const void *a, size_t alen,
                   const void *b, size_t blen)
{
    struct xsd_sockmsg h = *hdr;

    h.len = alen + blen;
    append(c, &h, sizeof(h));
    append(c, a, alen);
    append(c, b, blen);
}

void gate_conn_flush(struct conn *c)
{
    ssize_t r;

    while (c->len) {
        r = write(c->fd, c->out + c->off, c->len);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0) /* a dead peer shows as end of file at the next read */
            return;
        c->off += r;
        c->len -= r;
    }
    c->off = 0;
}

static int error_of(const char *word)
{
    for (unsigned i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
        if (!strcmp(word, xsd_errors[i].errstring))
            return -xsd_errors[i].errnum;
    return -EIO;
}

int gate_conn_ask(struct gate *g, struct conn *c, const struct xsd_sockmsg *hdr, const void *a,
                  size_t alen, const void *b, size_t blen, int64_t deadline)
{
    struct xsd_sockmsg h = *hdr;
    struct pollfd p = {.fd = c->fd};
    int64_t left;
    int r;

    if (alen + blen > XENSTORE_PAYLOAD_MAX || gate_conn_room(c) < GATE_MSG)
        return -E2BIG;
    h.req_id = ++c->asked;
    gate_conn_put(c, &h, a, alen, b, blen);
    for (;;) {
        gate_conn_flush(c);
        while ((r = gate_conn_read(c)) > 0) {
            c->got = 0;
            if (c->hdr.type == XS_WATCH_EVENT)
                gate_forward_event(g);
            else if (c->hdr.req_id == c->asked) /* else an answer that came too late */
                goto answered;
        }
        if (r < 0)
            gate_die(1, "xenstored is gone: %s", strerror(-r));
        p.events = POLLIN | (c->len ? POLLOUT : 0);
        left = deadline - gate_now();
        if (left <= 0)
            return -ETIMEDOUT;
        poll(&p, 1, left);
    }
answered:
    if (c->hdr.type == XS_ERROR)
        return error_of(gate_conn_payload(c));
    return c->hdr.type == h.type ? (int)c->hdr.len : -EIO;
}
