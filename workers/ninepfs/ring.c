/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/ninepfs/ring.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

_Static_assert(offsetof(struct p9_ring_intf, out_cons) == 64, "io/9pfs.h");
_Static_assert(offsetof(struct p9_ring_intf, ring_order) == 128, "io/9pfs.h");
_Static_assert(sizeof(struct p9_ring_intf) <= P9_RING_PAGE, "io/9pfs.h");

static uint32_t load(const uint32_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *at, uint32_t v)
{
    __atomic_store_n(at, v, __ATOMIC_RELEASE);
}

int p9_ring_init(struct p9_ring *r, struct p9_ring_intf *intf, void *data, unsigned int order,
                 const struct p9_ring_ops *ops, int event_fd, int notify_fd, int stop_fd)
{
    if (order < P9_RING_ORDER_MIN || order > P9_RING_ORDER_MAX)
        return -EINVAL;
    memset(r, 0, sizeof(*r));
    r->intf = intf;
    r->size = (P9_RING_PAGE << order) / 2;
    r->mask = r->size - 1;
    r->in = data;
    r->out = r->in + r->size;
    r->ops = ops;
    r->event_fd = event_fd;
    r->notify_fd = notify_fd;
    r->stop_fd = stop_fd;
    /* The one time that we believe the page about ourselves; what does not fit is refused, and
     * what fits only tells a frontend about its own bytes. */
    r->in_prod = load(&intf->in_prod);
    r->out_cons = load(&intf->out_cons);
    r->out_prod = load(&intf->out_prod);
    if (r->out_prod - r->out_cons > r->size || r->in_prod - load(&intf->in_cons) > r->size)
        return -EINVAL;
    return 0;
}

int p9_ring_queued(struct p9_ring *r, uint32_t *bytes)
{
    uint32_t prod = load(&r->intf->out_prod);

    if (prod - r->out_cons > r->size)
        return -EPROTO;
    r->out_prod = prod;
    *bytes = prod - r->out_cons;
    return 0;
}

/* len bytes at index `at` of the half at base: 1 or 2 pieces.  len <= size. */
static int pieces(const struct p9_ring *r, uint8_t *base, uint32_t at, uint32_t len,
                  struct iovec iov[2])
{
    uint32_t from = at & r->mask, first = r->size - from;

    if (first > len)
        first = len;
    iov[0].iov_base = base + from;
    iov[0].iov_len = first;
    iov[1].iov_base = base;
    iov[1].iov_len = len - first;
    return len > first ? 2 : 1;
}

void p9_ring_get(const struct p9_ring *r, uint32_t off, void *buf, uint32_t len)
{
    struct iovec iov[2];

    pieces(r, r->out, r->out_cons + off, len, iov);
    memcpy(buf, iov[0].iov_base, iov[0].iov_len);
    memcpy((uint8_t *)buf + iov[0].iov_len, iov[1].iov_base, iov[1].iov_len);
    /* From here on the copy is what is looked at: no compiler may go back to the page for it. */
    __asm__ volatile("" ::: "memory");
}

int p9_ring_out_iov(const struct p9_ring *r, uint32_t off, uint32_t len, struct iovec iov[2])
{
    return pieces(r, r->out, r->out_cons + off, len, iov);
}

void p9_ring_consume(struct p9_ring *r, uint32_t len)
{
    store(&r->out_cons, r->out_cons + len);
    store(&r->intf->out_cons, r->out_cons);
    r->rang = 1;
}

int p9_ring_reserve(struct p9_ring *r, uint32_t len)
{
    int rc;

    for (;;) {
        uint32_t used = r->in_prod - load(&r->intf->in_cons);

        if (used > r->size || len > r->size)
            return -EPROTO;
        if (r->size - used >= len)
            return 0;
        /* What is published already may be all that the peer waits for. */
        rc = p9_ring_notify(r);
        if (!rc)
            rc = r->ops->wait(r);
        if (rc)
            return rc;
    }
}

void p9_ring_put(struct p9_ring *r, uint32_t off, const void *buf, uint32_t len)
{
    struct iovec iov[2];

    pieces(r, r->in, r->in_prod + off, len, iov);
    memcpy(iov[0].iov_base, buf, iov[0].iov_len);
    memcpy(iov[1].iov_base, (const uint8_t *)buf + iov[0].iov_len, iov[1].iov_len);
}

int p9_ring_in_iov(const struct p9_ring *r, uint32_t off, uint32_t len, struct iovec iov[2])
{
    return pieces(r, r->in, r->in_prod + off, len, iov);
}

void p9_ring_publish(struct p9_ring *r, uint32_t len)
{
    store(&r->in_prod, r->in_prod + len);
    store(&r->intf->in_prod, r->in_prod);
    r->rang = 1;
}

int p9_ring_notify(struct p9_ring *r)
{
    if (!r->rang)
        return 0;
    r->rang = 0;
    return r->ops->notify(r);
}

uint32_t p9_ring_peek_prod(const struct p9_ring *r)
{
    return load(&r->intf->out_prod);
}

uint32_t p9_ring_done(const struct p9_ring *r)
{
    return load(&r->out_cons);
}

uint32_t p9_ring_published(const struct p9_ring *r)
{
    return load(&r->in_prod);
}

int p9_ring_taken(const struct p9_ring *r, uint32_t upto)
{
    return (int32_t)(load(&r->intf->in_cons) - upto) >= 0;
}

/* ---------- eventfds */

static int eventfd_wait(struct p9_ring *r)
{
    struct pollfd p[2] = {
        { .fd = r->event_fd, .events = POLLIN },
        { .fd = r->stop_fd, .events = POLLIN },
    };
    uint64_t n;

    while (poll(p, 2, -1) < 0)
        if (errno != EINTR)
            return -errno;
    if (p[1].revents)
        return 1;
    /* Non-blocking: a bell that somebody else answered is a bell that rang. */
    if (read(r->event_fd, &n, sizeof(n)) < 0 && errno != EAGAIN && errno != EINTR)
        return -errno;
    return 0;
}

static int eventfd_notify(struct p9_ring *r)
{
    uint64_t one = 1;

    /* EAGAIN: it has rung 2^64 - 2 times unheard, which is enough. */
    if (write(r->notify_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        return -errno;
    return 0;
}

const struct p9_ring_ops p9_ring_eventfd = { eventfd_wait, eventfd_notify };
