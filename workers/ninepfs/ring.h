/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * One ring of a 9pfs device: a page of indices and two halves of data that the frontend also
 * writes.
 *
 * Source of the layout: Xen's public header io/9pfs.h and its text docs/misc/9pfs.pandoc.  `in`
 * carries replies, `out` requests.  Indices run freely through 32 bits; a half's size is a power of
 * two.
 *
 * The peer may write every byte of these pages at any time.  Therefore: our own two indices are
 * kept here and never read back; a peer's index is loaded once per step and checked before use;
 * bytes are copied out before anything looks at them, but for a file's data, which nobody looks at.
 *
 * A ring belongs to one thread.  The two exceptions are named below.
 */
#ifndef MOAT_NINEPFS_RING_H
#define MOAT_NINEPFS_RING_H

#include <stdint.h>
#include <sys/uio.h>

#define P9_RING_PAGE      4096u     /* also where the processor's pages are larger */
#define P9_RING_ORDER_MIN 1u
#define P9_RING_ORDER_MAX 9u        /* 512 references are what fits after ring_order */

/* The interface page. */
struct p9_ring_intf {
    uint32_t in_cons, in_prod;      /* frontend's, ours */
    uint8_t pad1[56];
    uint32_t out_cons, out_prod;    /* ours, frontend's */
    uint8_t pad2[56];
    uint32_t ring_order;            /* frontend's, read once by whoever maps the ring */
    uint32_t ref[512];
};

struct p9_ring;

/* How one sleeps and wakes the other: an event channel, or a pair of eventfds in tests. */
struct p9_ring_ops {
    /* Sleeps until the peer rang or stop_fd is readable.  0: look at the ring; 1: stop; else
     * -errno. A ring of the bell between the last look and this call must not be lost. */
    int (*wait)(struct p9_ring *r);
    /* Rings the peer's bell.  0 or -errno. */
    int (*notify)(struct p9_ring *r);
};

/* eventfds; event_fd is read, notify_fd written. */
extern const struct p9_ring_ops p9_ring_eventfd;
/* An event channel: both descriptors are one open /dev/xen/evtchn that has this one port, which is
 * set with p9_ring_set_port before the first wait. */
extern const struct p9_ring_ops p9_ring_evtchn;

struct p9_ring {
    struct p9_ring_intf *intf;
    uint8_t *in, *out;
    uint32_t size, mask;            /* of one half */
    uint32_t in_prod;               /* ours: published; other threads load it */
    uint32_t out_cons;              /* ours: up to here requests are done; other threads load it */
    uint32_t out_prod;              /* the peer's, as loaded and checked last */
    const struct p9_ring_ops *ops;
    int event_fd, notify_fd, stop_fd;   /* borrowed */
    uint32_t port;                  /* of an event channel */
    int masked;                     /* it rang and is silent until we wait again */
    int rang;                       /* published or consumed since the last notify */
};

/*
 * intf: the interface page; data: 1 << order pages, `in` first.  Both stay the caller's, who unmaps
 * them when the ring's thread is gone.  stop_fd becomes readable, and stays so, when the thread
 * shall end. Our indices start at what the page says, for a ring may be taken over: 0 after a
 * connect. Returns 0, or -EINVAL for an order out of range or indices that do not fit each other.
 */
int p9_ring_init(struct p9_ring *r, struct p9_ring_intf *intf, void *data, unsigned int order,
                 const struct p9_ring_ops *ops, int event_fd, int notify_fd, int stop_fd);

/* The local port of the event channel. */
static inline void p9_ring_set_port(struct p9_ring *r, uint32_t port)
{
    r->port = port;
}

/* Loads the peer's out_prod, once.  0, *bytes: queued and not yet consumed; -EPROTO: more than a
 * ring holds. */
int p9_ring_queued(struct p9_ring *r, uint32_t *bytes);
/* Copies len queued bytes from `off` after out_cons.  The caller knows that off + len are
 * queued. */
void p9_ring_get(const struct p9_ring *r, uint32_t off, void *buf, uint32_t len);
/* The same bytes where they are: at most 2 pieces; returns how many. */
int p9_ring_out_iov(const struct p9_ring *r, uint32_t off, uint32_t len, struct iovec iov[2]);
/* Gives len bytes back to the peer. */
void p9_ring_consume(struct p9_ring *r, uint32_t len);

/*
 * Sleeps until len bytes of `in` are free; rings the peer's bell before it sleeps.  len <= size.
 * 0; 1: stop; -EPROTO: indices that cannot be; else -errno of the transport.
 */
int p9_ring_reserve(struct p9_ring *r, uint32_t len);
/* Writes into what is reserved, `off` bytes after in_prod. */
void p9_ring_put(struct p9_ring *r, uint32_t off, const void *buf, uint32_t len);
int p9_ring_in_iov(const struct p9_ring *r, uint32_t off, uint32_t len, struct iovec iov[2]);
/* Makes len bytes visible in one step. */
void p9_ring_publish(struct p9_ring *r, uint32_t len);

/* Rings the bell if anything was published or consumed since the last time.  0 or -errno. */
int p9_ring_notify(struct p9_ring *r);

/* For other threads (Tflush): where the peer's queue ends now, and how far this ring has got. */
uint32_t p9_ring_peek_prod(const struct p9_ring *r);
uint32_t p9_ring_done(const struct p9_ring *r);
/* For other threads, too: up to where replies are published, and whether the peer has taken them
 * up to there (by what it says, which may be a lie). */
uint32_t p9_ring_published(const struct p9_ring *r);
int p9_ring_taken(const struct p9_ring *r, uint32_t upto);

#endif
