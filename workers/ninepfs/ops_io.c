/* SPDX-License-Identifier: LGPL-2.1-only */
/* Tread and Twrite: a file's bytes between the ring and the file, with no copy. */
#include <errno.h>
#include <sys/uio.h>

#include "workers/ninepfs/fs.h"

static int read_file(struct p9_req *q, struct p9_fid *f, uint64_t off, uint32_t count)
{
    struct iovec iov[2];
    ssize_t r;
    int n;

    if (off > INT64_MAX)
        return -EINVAL;
    n = p9_req_room(q, 4, count, iov);
    if (!n)
        return P9_NO_REPLY;
    r = preadv(f->fd, iov, n, (off_t)off);
    if (r < 0)
        return -errno;
    p9_wr32(&q->wr, (uint32_t)r);
    p9_req_data(q, (uint32_t)r);
    return 0;
}

static int op_read(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd);
    uint64_t off = p9_rd64(&q->rd);
    uint32_t count = p9_rd32(&q->rd);
    struct p9_fid *f;
    int rc = p9_req_end(q);

    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    count = p9_req_clamp(q, 4, count);
    if (f->ops && f->ops->read)
        rc = f->ops->read(q, f, off, count);
    else if (f->kind == P9_FID_FILE)
        rc = read_file(q, f, off, count);
    else
        rc = f->kind == P9_FID_DIR ? -EISDIR : -EBADF;
    p9_fid_put(q->s, f);
    return rc;
}

static int64_t write_file(struct p9_req *q, struct p9_fid *f, uint64_t off,
                          const struct iovec *iov, int n)
{
    struct p9_server *s = q->s;
    const struct p9_limits *limits = s->cfg.limits;
    struct p9_charge charge;
    int64_t r;
    int rc;

    if (off > INT64_MAX - (uint64_t)q->payload)
        return -EFBIG;
    if (limits) {
        rc = limits->reserve_write(s, &charge, f, off, q->payload);
        if (rc)
            return rc;
    }
    r = pwritev(f->fd, iov, n, (off_t)off);
    if (r < 0)
        r = -errno;
    if (limits)
        limits->settle(s, &charge, r >= 0, f->fd);
    if (r > 0 && s->cfg.model && s->cfg.model->wrote)
        s->cfg.model->wrote(s, f);
    return r;
}

static int op_write(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd);
    uint64_t off = p9_rd64(&q->rd);
    struct iovec iov[2];
    struct p9_fid *f;
    int64_t r = -EBADF;
    int rc, n;

    p9_rd32(&q->rd);                /* the count, compared with the message's size already */
    rc = p9_req_end(q);
    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    n = p9_req_payload(q, iov);
    if (f->ops && f->ops->write)
        r = f->ops->write(q, f, off, iov, n);
    else if (f->kind == P9_FID_FILE)
        r = write_file(q, f, off, iov, n);
    p9_fid_put(q->s, f);
    if (r < 0)
        return (int)r;
    p9_wr32(&q->wr, (uint32_t)r);
    return 0;
}

const struct p9_op p9_ops_io[] = {
    { P9_TREAD, P9_BOTH, op_read },
    { P9_TWRITE, P9_BOTH, op_write },
    { 0 },
};
