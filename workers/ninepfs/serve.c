/* SPDX-License-Identifier: LGPL-2.1-only */
/* One request: out of the ring, to its handler, its reply into the ring. */
#include <errno.h>
#include <string.h>

#include "workers/ninepfs/server.h"

#define WRITE_FIXED 16u             /* of a Twrite: fid[4] offset[8] count[4] */

static uint32_t msize_of(const struct p9_req *q)
{
    return atomic_load_explicit(&q->s->msize, memory_order_relaxed);
}

static enum p9_dialect dialect_of(const struct p9_req *q)
{
    return atomic_load_explicit(&q->s->dialect, memory_order_relaxed);
}

/* ---------- what handlers use */

int p9_req_end(struct p9_req *q)
{
    return p9_rd_end(&q->rd) ? 0 : -EPROTO;
}

int p9_req_fid(struct p9_req *q, uint32_t num, struct p9_fid **f)
{
    *f = p9_fid_get(&q->s->fids, num);
    return *f ? 0 : -EBADF;
}

int p9_req_name(struct p9_req *q, char buf[P9_NAME_MAX + 1])
{
    struct p9_str s = p9_rd_str(&q->rd);

    return q->rd.bad ? -EPROTO : p9_name(s, buf);
}

int p9_req_writable(const struct p9_req *q)
{
    return q->s->cfg.read_only ? -EROFS : 0;
}

uint32_t p9_req_clamp(const struct p9_req *q, uint32_t fixed, uint32_t count)
{
    /* msize is 2048 at least, and fixed a few bytes. */
    uint32_t most = msize_of(q) - P9_HDR - fixed;

    return count < most ? count : most;
}

uint32_t p9_req_iounit(const struct p9_req *q)
{
    uint32_t most = msize_of(q) - P9_IOHDR;

    return most >= 4096 ? most & ~4095u : most;
}

int p9_req_room(struct p9_req *q, uint32_t fixed, uint32_t count, struct iovec iov[2])
{
    int rc = p9_ring_reserve(&q->ring, P9_HDR + fixed + count);

    if (rc) {
        q->lost = rc;
        return 0;
    }
    q->reserved = P9_HDR + fixed + count;
    return p9_ring_in_iov(&q->ring, P9_HDR + fixed, count, iov);
}

void p9_req_data(struct p9_req *q, uint32_t len)
{
    q->data_len = len;
}

int p9_req_send(struct p9_req *q, const void *data, uint32_t len)
{
    struct iovec iov[2];

    if (p9_req_clamp(q, 4, len) < len)
        return -EMSGSIZE;
    if (!p9_req_room(q, 4, len, iov))
        return P9_NO_REPLY;
    p9_ring_put(&q->ring, P9_HDR + 4, data, len);
    p9_wr32(&q->wr, len);
    p9_req_data(q, len);
    return 0;
}

int p9_req_payload(struct p9_req *q, struct iovec iov[2])
{
    return p9_ring_out_iov(&q->ring, P9_HDR + WRITE_FIXED, q->payload, iov);
}

/* ---------- replies */

static void start_reply(struct p9_req *q)
{
    p9_wr_init(&q->wr, q->reply + P9_HDR, sizeof(q->reply) - P9_HDR);
    q->data_len = 0;
}

static uint8_t error_reply(struct p9_req *q, int rc)
{
    const char *name;

    atomic_fetch_add_explicit(&q->errors, 1, memory_order_relaxed);
    start_reply(q);
    if (rc >= 0 || rc < -511)
        rc = -EIO;
    if (dialect_of(q) != P9_U) {
        p9_wr32(&q->wr, (uint32_t)-rc);
        return P9_RLERROR;
    }
    name = strerrordesc_np(-rc);
    if (!name)
        name = "error";
    p9_wr_str(&q->wr, name, strlen(name));
    p9_wr32(&q->wr, (uint32_t)-rc);
    return P9_RERROR;
}

/* 0, or what ended the ring. */
static int send_reply(struct p9_req *q, int rc)
{
    uint8_t type = (uint8_t)(q->type + 1);
    uint32_t len;

    if (!rc && (q->wr.bad || P9_HDR + q->wr.len + q->data_len > msize_of(q)))
        rc = -EMSGSIZE;
    if (rc)
        type = error_reply(q, rc);
    len = (uint32_t)(P9_HDR + q->wr.len + q->data_len);
    if (q->reserved < len) {
        rc = p9_ring_reserve(&q->ring, len);
        if (rc)
            return rc;
    }
    p9_poke32(q->reply, len);
    q->reply[4] = type;
    p9_poke16(q->reply + 5, q->tag);
    p9_ring_put(&q->ring, 0, q->reply, (uint32_t)(P9_HDR + q->wr.len));
    p9_ring_publish(&q->ring, len);
    atomic_fetch_add_explicit(&q->bytes_out, len, memory_order_relaxed);
    return 0;
}

/* ---------- requests */

/* Copies what handlers may look at.  0, or the guest's error. */
static int fetch(struct p9_req *q)
{
    uint32_t body = q->size - P9_HDR, fixed = body;
    struct p9_rd count;

    if (q->type == P9_TWRITE && body > WRITE_FIXED)
        fixed = WRITE_FIXED;
    if (fixed > sizeof(q->body))
        return -EMSGSIZE;
    p9_ring_get(&q->ring, P9_HDR, q->body, fixed);
    p9_rd_init(&q->rd, q->body, fixed);
    q->payload = body - fixed;
    if (q->type == P9_TWRITE && fixed == WRITE_FIXED) {
        p9_rd_init(&count, q->body + 12, 4);
        if (p9_rd32(&count) != q->payload)
            return -EPROTO;
    }
    return 0;
}

static int handle(struct p9_req *q)
{
    enum p9_dialect dialect = dialect_of(q);
    p9_handler *fn = q->s->handler[dialect][q->type];
    int rc = fetch(q);

    if (rc)
        return rc;
    if (fn)
        return fn(q);
    return dialect ? -EOPNOTSUPP : -EPROTO;
}

/* The header of the next message, if it is all there.  1; 0: not yet; -EPROTO. */
static int next(struct p9_req *q, uint32_t queued)
{
    uint8_t hdr[P9_HDR];
    struct p9_rd rd;

    if (queued < P9_HDR)
        return 0;
    p9_ring_get(&q->ring, 0, hdr, sizeof(hdr));
    p9_rd_init(&rd, hdr, sizeof(hdr));
    q->size = p9_rd32(&rd);
    q->type = p9_rd8(&rd);
    q->tag = p9_rd16(&rd);
    /* msize is at most half of what a half of the ring holds: a whole message fits, so one that
     * comes in pieces is waited for where it is. */
    if (q->size < P9_HDR || q->size > msize_of(q))
        return -EPROTO;
    return q->size <= queued;
}

/* Requests that may take long: the replies before them in the batch get their bell first. */
static bool may_take_long(uint8_t type)
{
    switch (type) {
    case P9_TVERSION:
    case P9_TFLUSH:                 /* wait for other rings */
    case P9_TFSYNC:
    case P9_TWSTAT:                 /* .u: fsync, too */
    case P9_TREMOVE:
    case P9_TUNLINKAT:              /* of a large file */
        return true;
    default:
        return false;
    }
}

static int one(struct p9_req *q)
{
    int rc = 0;

    if (may_take_long(q->type))
        rc = p9_ring_notify(&q->ring);
    if (rc)
        return rc;
    rc = p9_session_begin(q);
    if (rc == 2)
        return 1;
    if (rc) {
        p9_ring_consume(&q->ring, q->size);
        return 0;
    }
    q->reserved = 0;
    q->lost = 0;
    start_reply(q);
    rc = handle(q);
    if (q->lost)
        rc = q->lost;
    else if (rc != P9_NO_REPLY)
        rc = send_reply(q, rc);
    else
        rc = 0;
    if (!rc) {
        p9_ring_consume(&q->ring, q->size);
        atomic_fetch_add_explicit(&q->ops, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&q->bytes_in, q->size, memory_order_relaxed);
    }
    p9_session_end(q);
    return rc;
}

int p9_serve(struct p9_req *q)
{
    uint32_t queued;
    int n = 0, rc = p9_ring_queued(&q->ring, &queued), notified;

    /* What arrives while we are at it is the next batch: this one's replies do not wait for it. */
    while (!rc && (rc = next(q, queued)) > 0) {
        rc = one(q);
        if (rc > 0)
            return -ECANCELED;
        queued -= q->size;
        n++;
    }
    notified = p9_ring_notify(&q->ring);
    if (rc < 0)
        return rc;
    return notified ? notified : n;
}
