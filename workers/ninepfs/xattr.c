/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Extended attributes: Txattrwalk, Txattrcreate.
 *
 * A walk takes a copy of the value (or of the list of names) into its new fid, so what is read is
 * of one moment and of the size that was told, whoever changes the attribute meanwhile.  A create
 * collects the value in its fid; the clunk sets the attribute, and its answer is the outcome.
 *
 * Guests have the "user." names, and ACLs where the security model keeps them.  Names of other
 * kinds ("trusted.", "security.") mean something to the host's kernel: they do not exist here.
 *
 * Linux's Txattrcreate has no word for removal.  What it sends for removexattr(2) is the flag
 * XATTR_REPLACE and no bytes, and for an ACL no bytes.  No bytes without that flag are an empty
 * value.
 */
#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "workers/ninepfs/fs.h"

#define COPIES_MAX (4u << 20)       /* bytes that the copies of a device may take together */

_Static_assert(P9_DATA_MAX >= XATTR_SIZE_MAX && P9_DATA_MAX >= XATTR_LIST_MAX,
               "a value and a list fit a thread's buffers");

struct copy {
    uint32_t size;
    uint8_t *bytes;                 /* behind this struct */
    /* of Txattrcreate */
    char name[XATTR_NAME_MAX + 1];  /* the host's */
    bool acl;
    int flags;
    pthread_mutex_t lock;
    uint32_t have;                  /* bytes that came, without a hole; under the lock */
    bool closed;                    /* the clunk has begun; under the lock */
};

/* ---------- copies */

static int copy_new(struct p9_server *s, uint32_t size, struct copy **copy)
{
    uint32_t all = (uint32_t)sizeof(struct copy) + size;
    struct copy *c;

    if (atomic_fetch_add(&s->xattr_bytes, all) + all > COPIES_MAX || !(c = calloc(1, all))) {
        atomic_fetch_sub(&s->xattr_bytes, all);
        return -ENOMEM;
    }
    pthread_mutex_init(&c->lock, NULL);
    c->size = size;
    c->bytes = (uint8_t *)(c + 1);
    *copy = c;
    return 0;
}

static void copy_free(struct p9_server *s, struct copy *c)
{
    pthread_mutex_destroy(&c->lock);
    atomic_fetch_sub(&s->xattr_bytes, (uint32_t)sizeof(*c) + c->size);
    free(c);
}

static void release(struct p9_server *s, struct p9_fid *f)
{
    copy_free(s, f->priv);
}

/* A fid num for f's file that holds c; takes c over, also on an error. */
static int copy_fid(struct p9_server *s, struct p9_fid *f, uint32_t num, struct copy *c,
                    const struct p9_fid_ops *ops, struct p9_fid **fid)
{
    int rc = p9_fid_like(&s->fids, f, num, fid);

    if (rc) {
        copy_free(s, c);
        return rc;
    }
    (*fid)->kind = P9_FID_OTHER;
    (*fid)->ops = ops;
    (*fid)->priv = c;
    return 0;
}

/* ---------- names */

static bool is_user(const char *name)
{
    return !strncmp(name, "user.", 5);
}

static bool is_acl(const char *name)
{
    return !strcmp(name, "system.posix_acl_access") || !strcmp(name, "system.posix_acl_default");
}

/* The host's name for the guest's.  -EOPNOTSUPP: there are none of that kind; -EACCES: not the
 * guest's. */
static int host_name(struct p9_server *s, const char *name, char host[XATTR_NAME_MAX + 1])
{
    const struct p9_model *m = s->cfg.model;
    int n;

    if (is_user(name)) {
        if (m && m->hides && m->hides(name))
            return -EACCES;
        n = snprintf(host, XATTR_NAME_MAX + 1, "%s", name);
    } else if (m && m->acl_prefix && is_acl(name)) {
        n = snprintf(host, XATTR_NAME_MAX + 1, "%s%s", m->acl_prefix, name);
    } else {
        return -EOPNOTSUPP;
    }
    return n > XATTR_NAME_MAX ? -ERANGE : 0;
}

/* What the guest sees of the host's name, a part of it; NULL: nothing. */
static const char *guest_name(struct p9_server *s, const char *host)
{
    const struct p9_model *m = s->cfg.model;
    size_t len = m && m->acl_prefix ? strlen(m->acl_prefix) : 0;

    if (len && !strncmp(host, m->acl_prefix, len) && is_acl(host + len))
        return host + len;
    if (!is_user(host) || (m && m->hides && m->hides(host)))
        return NULL;
    return host;
}

static int rd_name(struct p9_req *q, struct p9_str str, char name[XATTR_NAME_MAX + 1])
{
    int rc = p9_req_end(q);

    if (!rc)
        rc = p9_text(str, name, XATTR_NAME_MAX + 1);
    return rc == -ENAMETOOLONG ? -ERANGE : rc;  /* as getxattr(2) */
}

/* ---------- Txattrwalk */

/* The value into q->data: its length or -errno.  One call: there is no size that could be of
 * another moment.  All names here are relative to the working folder, the process's /proc/self/fd:
 * the one link that is followed is our own descriptor's. */
static ssize_t get_value(struct p9_req *q, struct p9_node *n, const char *name)
{
    char num[P9_FD_NAME], host[XATTR_NAME_MAX + 1];
    ssize_t r = host_name(q->s, name, host);

    if (r)
        return r == -EACCES ? -ENODATA : r;
    p9_fs_fd_name(n->fd, num);
    r = getxattr(num, host, q->data, sizeof(q->data));
    return r < 0 ? -errno : r;
}

static ssize_t get_list(struct p9_req *q, struct p9_node *n)
{
    const char *at = (const char *)q->scratch, *end, *name;
    char num[P9_FD_NAME];
    size_t len = 0, part;
    ssize_t r;

    p9_fs_fd_name(n->fd, num);
    r = listxattr(num, (char *)q->scratch, sizeof(q->scratch));
    if (r < 0)
        return -errno;
    for (end = at + r; at < end; at += strlen(at) + 1) {
        name = guest_name(q->s, at);
        if (!name)
            continue;
        part = strlen(name) + 1;    /* no longer than the host's: it fits */
        memcpy(q->data + len, name, part);
        len += part;
    }
    return (ssize_t)len;
}

static int read_copy(struct p9_req *q, struct p9_fid *f, uint64_t off, uint32_t count)
{
    const struct copy *c = f->priv;
    uint32_t left = off < c->size ? c->size - (uint32_t)off : 0;

    return p9_req_send(q, c->bytes + (c->size - left), count < left ? count : left);
}

static const struct p9_fid_ops read_ops = { .read = read_copy, .release = release };

static int xattrwalk(struct p9_req *q, struct p9_fid *f, uint32_t newfid, const char *name)
{
    struct p9_server *s = q->s;
    struct p9_fid *nf;
    struct copy *c;
    ssize_t r;
    int rc;

    r = name[0] ? get_value(q, f->node, name) : get_list(q, f->node);
    rc = r < 0 ? (int)r : copy_new(s, (uint32_t)r, &c);
    if (rc)
        return rc;
    memcpy(c->bytes, q->data, (size_t)r);
    rc = copy_fid(s, f, newfid, c, &read_ops, &nf);
    if (rc)
        return rc;
    rc = p9_fid_insert(&s->fids, nf);
    p9_fid_put(s, nf);
    if (!rc)
        p9_wr64(&q->wr, (uint64_t)r);
    return rc;
}

static int op_xattrwalk(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd), newfid = p9_rd32(&q->rd);
    struct p9_str str = p9_rd_str(&q->rd);
    char name[XATTR_NAME_MAX + 1];
    struct p9_fid *f;
    int rc = rd_name(q, str, name);

    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    rc = f->kind == P9_FID_OTHER ? -EINVAL : xattrwalk(q, f, newfid, name);
    p9_fid_put(q->s, f);
    return rc;
}

/* ---------- Txattrcreate */

static int64_t write_copy(struct p9_req *q, struct p9_fid *f, uint64_t off,
                          const struct iovec *iov, int n)
{
    struct copy *c = f->priv;
    int64_t rc = q->payload;

    pthread_mutex_lock(&c->lock);
    if (c->closed)
        rc = -EBADF;
    else if (off > c->have)
        rc = -EINVAL;
    else if (q->payload > c->size - (uint32_t)off)
        rc = -ENOSPC;
    for (int i = 0; rc >= 0 && i < n; i++) {
        memcpy(c->bytes + off, iov[i].iov_base, iov[i].iov_len);
        off += iov[i].iov_len;
    }
    if (rc >= 0 && off > c->have)
        c->have = (uint32_t)off;
    pthread_mutex_unlock(&c->lock);
    return rc;
}

static int set_value(struct p9_node *n, const struct copy *c)
{
    char num[P9_FD_NAME];
    int r;

    p9_fs_fd_name(n->fd, num);
    if (c->size || !(c->acl || c->flags == XATTR_REPLACE))
        return setxattr(num, c->name, c->bytes, c->size, c->flags) < 0 ? -errno : 0;
    r = removexattr(num, c->name) < 0 ? -errno : 0;
    return c->acl && r == -ENODATA ? 0 : r;     /* as for ACLs on the host */
}

static int clunk_copy(struct p9_req *q, struct p9_fid *f)
{
    const struct p9_limits *limits = q->s->cfg.limits;
    struct p9_charge charge;
    struct copy *c = f->priv;
    int rc;

    /* From here on nobody writes, so nothing is locked while the kernel works. */
    pthread_mutex_lock(&c->lock);
    c->closed = true;
    rc = c->have < c->size ? -EINVAL : 0;
    pthread_mutex_unlock(&c->lock);
    if (!rc && limits)
        rc = limits->reserve(q->s, &charge, f->node, ((uint64_t)c->size | 4095) + 1, 0);
    if (rc)
        return rc;
    rc = set_value(f->node, c);
    if (limits)
        limits->settle(q->s, &charge, !rc, f->node->fd);
    return rc;
}

static const struct p9_fid_ops write_ops = {
    .write = write_copy,
    .clunk = clunk_copy,
    .release = release,
};

static int xattrcreate(struct p9_req *q, struct p9_fid *f, const char *name, uint64_t size,
                       uint32_t flags)
{
    struct p9_server *s = q->s;
    char host[XATTR_NAME_MAX + 1];
    struct p9_fid *nf;
    struct copy *c;
    int rc = host_name(s, name, host);

    if (rc)
        return rc;
    if (flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    if (size > XATTR_SIZE_MAX)
        return -E2BIG;
    rc = copy_new(s, (uint32_t)size, &c);
    if (rc)
        return rc;
    memcpy(c->name, host, sizeof(host));
    c->acl = is_acl(name);
    c->flags = (int)flags;
    rc = copy_fid(s, f, f->num, c, &write_ops, &nf);
    if (rc)
        return rc;
    rc = p9_fid_replace(s, f, nf);
    p9_fid_put(s, nf);
    return rc;
}

static int op_xattrcreate(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd), flags;
    struct p9_str str = p9_rd_str(&q->rd);
    uint64_t size = p9_rd64(&q->rd);
    char name[XATTR_NAME_MAX + 1];
    struct p9_fid *f;
    int rc;

    flags = p9_rd32(&q->rd);
    rc = rd_name(q, str, name);
    if (!rc)
        rc = p9_req_writable(q);
    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    rc = f->kind == P9_FID_PLAIN ? xattrcreate(q, f, name, size, flags) : -EINVAL;
    p9_fid_put(q->s, f);
    return rc;
}

const struct p9_op p9_ops_xattr[] = {
    { P9_TXATTRWALK, P9_L, op_xattrwalk },
    { P9_TXATTRCREATE, P9_L, op_xattrcreate },
    { 0 },
};
