/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Which requests are being done, on all rings: Tversion ends them, Tflush waits for one.
 *
 * Nobody waits in a circle.  A Tversion waits for the requests of other rings; the only requests
 * that wait for another one are Tflushes, and those a Tversion drops.  A Tflush that waits is
 * itself dropped by a Tflush of its own tag.  Everything that waits here ends with `stopping`.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "workers/ninepfs/server.h"

/* Is the message that q stands at flushed?  Marks that it has passed go.  Under the lock. */
static bool was_flushed(struct p9_req *q)
{
    uint32_t at = q->ring.out_cons, keep = 0;
    bool hit = false;

    for (uint32_t i = 0; i < q->nflushed; i++) {
        struct p9_flushed m = q->flushed[i];

        if ((int32_t)(m.upto - at) <= 0)
            continue;
        if (!hit && m.tag == q->tag) {
            hit = true;
            continue;
        }
        q->flushed[keep++] = m;
    }
    q->nflushed = keep;
    return hit;
}

int p9_session_begin(struct p9_req *q)
{
    struct p9_server *s = q->s;
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    /* A Tversion waits for its turn in its handler. */
    while (q->type != P9_TVERSION && s->resetting && !s->stopping) {
        /* A bell that cannot be rung ends the ring at its next use. */
        p9_ring_notify(&q->ring);
        pthread_cond_wait(&s->changed, &s->lock);
    }
    if (s->stopping) {
        rc = 2;
    } else if (was_flushed(q)) {
        rc = 1;
    } else {
        q->active = q->type != P9_TVERSION;
        q->active_tag = q->tag;
        q->active_type = q->type;
        q->dropped = false;
        q->seq++;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void p9_session_end(struct p9_req *q)
{
    pthread_mutex_lock(&q->s->lock);
    q->active = false;
    if (q->s->waiters)
        pthread_cond_broadcast(&q->s->changed);
    pthread_mutex_unlock(&q->s->lock);
}

/* ---------- Tversion */

static bool others_active(const struct p9_req *q)
{
    for (unsigned int i = 0; i < q->s->nrings; i++)
        if (q->s->ring[i] != q && q->s->ring[i]->active)
            return true;
    return false;
}

/* From here until reset_end this is the only request of the device.  False: stop. */
static bool reset_begin(struct p9_req *q)
{
    struct p9_server *s = q->s;
    bool ok;

    pthread_mutex_lock(&s->lock);
    s->waiters++;
    while (s->resetting && !s->stopping)
        pthread_cond_wait(&s->changed, &s->lock);
    ok = !s->stopping;
    if (ok) {
        s->resetting = true;
        for (unsigned int i = 0; i < s->nrings; i++)
            s->ring[i]->dropped = true;
        pthread_cond_broadcast(&s->changed);
        while (others_active(q) && !s->stopping)
            pthread_cond_wait(&s->changed, &s->lock);
        ok = !s->stopping;
        if (!ok)
            s->resetting = false;
    }
    s->waiters--;
    pthread_mutex_unlock(&s->lock);
    return ok;
}

static void reset_end(struct p9_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->resetting = false;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

int p9_op_version(struct p9_req *q)
{
    struct p9_server *s = q->s;
    uint32_t msize = p9_rd32(&q->rd);
    struct p9_str v = p9_rd_str(&q->rd);
    enum p9_dialect dialect = P9_NONE;
    const char *name = "unknown";
    int rc = p9_req_end(q);

    if (rc)
        return rc;
    if (msize < P9_MSIZE_MIN)
        return -EMSGSIZE;
    if (p9_str_is(v, "9P2000.L"))
        dialect = P9_L, name = "9P2000.L";
    else if (p9_str_is(v, "9P2000.u"))
        dialect = P9_U, name = "9P2000.u";
    if (msize > s->msize_max)
        msize = s->msize_max;

    if (!reset_begin(q)) {
        q->lost = 1;
        return P9_NO_REPLY;
    }
    p9_fids_clunk_all(s);
    atomic_store(&s->dialect, dialect);
    /* No session: the next Tversion may be of any size again. */
    atomic_store(&s->msize, dialect ? msize : s->msize_max);
    reset_end(s);

    p9_wr32(&q->wr, msize);
    p9_wr_str(&q->wr, name, strlen(name));
    return 0;
}

/* ---------- Tflush */

/* The request may still be unread in that ring: it will be dropped there.  Under the lock. */
static void mark(struct p9_req *other, uint16_t tag)
{
    uint32_t upto = p9_ring_peek_prod(&other->ring), done = p9_ring_done(&other->ring);

    /* Only a hint that the frontend wrote: what cannot be is that ring's own error to find. */
    if (upto == done || upto - done > other->ring.size)
        return;
    if (other->nflushed == P9_FLUSHED_MAX) {
        memmove(&other->flushed[0], &other->flushed[1],
                sizeof(other->flushed) - sizeof(other->flushed[0]));
        other->nflushed--;
    }
    other->flushed[other->nflushed].tag = tag;
    other->flushed[other->nflushed].upto = upto;
    other->nflushed++;
}

/* Waits until that ring is done with the request that has the tag now, or this Tflush is
 * dropped. */
static void wait_for(struct p9_req *q, struct p9_req *other)
{
    struct p9_server *s = q->s;
    uint64_t seq = other->seq;

    if (other->active_type == P9_TFLUSH) {
        other->dropped = true;
        pthread_cond_broadcast(&s->changed);
    }
    s->waiters++;
    while (other->active && other->seq == seq && !q->dropped && !s->stopping)
        pthread_cond_wait(&s->changed, &s->lock);
    s->waiters--;
}

#define TAKEN_MS 1000               /* a peer that takes no replies harms itself */

/*
 * Rings are read by the peer in any order.  An Rflush frees the old tag: were it read before an old
 * reply that waits in another ring, that reply would be taken for the next request's of the tag
 * (Linux looks only at the tag).  So what is published elsewhere is taken first.
 */
static void wait_taken(struct p9_req *q)
{
    struct p9_server *s = q->s;
    struct pollfd stop = { .fd = s->stop_fd, .events = POLLIN };
    int ms = 0;

    for (unsigned int i = 0; i < s->nrings; i++) {
        struct p9_ring *ring = &s->ring[i]->ring;
        uint32_t upto = p9_ring_published(ring);

        if (s->ring[i] == q || p9_ring_taken(ring, upto))
            continue;
        /* Its own bell may come only at its batch's end.  Should it fail, that thread will see. */
        ring->ops->notify(ring);
        while (ms < TAKEN_MS && !p9_ring_taken(ring, upto)) {
            if (poll(&stop, 1, 1) > 0) {
                q->lost = 1;
                return;
            }
            ms++;
        }
    }
}

int p9_op_flush(struct p9_req *q)
{
    struct p9_server *s = q->s;
    uint16_t oldtag = p9_rd16(&q->rd);
    bool found = false, dropped;
    int rc = p9_req_end(q);

    if (rc)
        return rc;
    pthread_mutex_lock(&s->lock);
    /* On this ring everything before is answered. */
    for (unsigned int i = 0; i < s->nrings && !found; i++) {
        struct p9_req *other = s->ring[i];

        if (other == q || !other->active || other->active_tag != oldtag)
            continue;
        found = true;
        wait_for(q, other);
    }
    for (unsigned int i = 0; i < s->nrings && !found; i++)
        if (s->ring[i] != q)
            mark(s->ring[i], oldtag);
    dropped = q->dropped;
    if (s->stopping)
        q->lost = 1;
    pthread_mutex_unlock(&s->lock);
    if (!dropped && !q->lost)
        wait_taken(q);
    return dropped || q->lost ? P9_NO_REPLY : 0;
}
