/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/ninepfs/attr.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* ---------- size */

static int cut(struct p9_server *s, struct p9_fid *f, uint64_t size)
{
    bool own = f->kind == P9_FID_FILE && (f->flags & O_ACCMODE) != O_RDONLY;
    int rc, fd = own ? f->fd : p9_fs_open(s, f->node, O_WRONLY);

    if (fd < 0)
        return fd;
    rc = ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
    if (!own)
        close(fd);
    return rc;
}

static int set_size(struct p9_server *s, struct p9_fid *f, uint64_t size)
{
    const struct p9_limits *limits = s->cfg.limits;
    struct p9_charge charge;
    int rc;

    if (!S_ISREG(f->node->type))
        return S_ISDIR(f->node->type) ? -EISDIR : -EINVAL;
    if (size > INT64_MAX)
        return -EINVAL;
    if (limits) {
        rc = limits->reserve_write(s, &charge, f, size, 0);
        if (rc)
            return rc;
    }
    rc = cut(s, f, size);
    if (limits)
        limits->settle(s, &charge, !rc, f->node->fd);
    if (!rc && s->cfg.model && s->cfg.model->wrote)
        s->cfg.model->wrote(s, f);
    return rc;
}

/* ---------- owner, mode */

/*
 * With no ids: what chown(2) does besides: ctime is now, and a set-uid bit goes.
 */
static int touch_owner(struct p9_node *n)
{
    return fchownat(n->fd, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int set_owner(struct p9_server *s, struct p9_node *n, const struct p9_change *c)
{
    uid_t uid = c->valid & P9_ATTR_UID ? c->uid : (uid_t)-1;
    gid_t gid = c->valid & P9_ATTR_GID ? c->gid : (gid_t)-1;
    int rc;

    if (s->cfg.model && s->cfg.model->chown)
        return s->cfg.model->chown(s, n, uid, gid);
    /* Files stay the server's: owners are not kept, and a guest that sets them goes on. */
    rc = touch_owner(n);
    return rc == -EPERM ? 0 : rc;
}

static int set_mode(struct p9_server *s, struct p9_node *n, mode_t mode)
{
    char num[P9_FD_NAME];

    mode &= 07777u;
    if (s->cfg.model && s->cfg.model->chmod)
        return s->cfg.model->chmod(s, n, mode);
    /* Linux gives links no modes; older kernels change the link and then fail. */
    if (S_ISLNK(n->type))
        return -EOPNOTSUPP;
    /* The link that is followed is our own descriptor's, so this is the very inode. */
    p9_fs_fd_name(n->fd, num);
    if (fchmodat(s->cfg.proc_fd, num, p9_fs_mode(s, mode, S_ISDIR(n->type)), 0) < 0)
        return -errno;
    return 0;
}

/* ---------- times */

/* nsec has two values with a meaning of their own (UTIME_NOW, UTIME_OMIT), which are not the
 * guest's to use. */
static bool time_bad(const struct p9_change *c, uint32_t bits, const struct timespec *ts)
{
    return (c->valid & bits) == bits && (ts->tv_nsec < 0 || ts->tv_nsec > 999999999);
}

static struct timespec time_for(const struct p9_change *c, uint32_t bit, uint32_t set,
                                const struct timespec *ts)
{
    struct timespec omit = { .tv_nsec = UTIME_OMIT }, now = { .tv_nsec = UTIME_NOW };

    if (!(c->valid & bit))
        return omit;
    return c->valid & set ? *ts : now;
}

static int set_times(struct p9_node *n, const struct p9_change *c)
{
    struct timespec ts[2] = {
        time_for(c, P9_ATTR_ATIME, P9_ATTR_ATIME_SET, &c->atime),
        time_for(c, P9_ATTR_MTIME, P9_ATTR_MTIME_SET, &c->mtime),
    };

    /* A new size has brought a new mtime. */
    if ((c->valid & P9_ATTR_SIZE) && ts[1].tv_nsec == UTIME_NOW)
        ts[1].tv_nsec = UTIME_OMIT;
    if (ts[0].tv_nsec == UTIME_OMIT && ts[1].tv_nsec == UTIME_OMIT)
        return 0;
    return utimensat(n->fd, "", ts, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* ---------- all */

#define KNOWN 0x1ffu

int p9_set_attr(struct p9_req *q, struct p9_fid *f, const struct p9_change *c)
{
    struct p9_node *n = f->node;
    int rc = p9_req_writable(q);

    if (!rc && (f->kind == P9_FID_OTHER ||
                time_bad(c, P9_ATTR_ATIME | P9_ATTR_ATIME_SET, &c->atime) ||
                time_bad(c, P9_ATTR_MTIME | P9_ATTR_MTIME_SET, &c->mtime)))
        rc = -EINVAL;
    if (!rc && (c->valid & P9_ATTR_SIZE))
        rc = set_size(q->s, f, c->size);
    if (!rc && (c->valid & (P9_ATTR_UID | P9_ATTR_GID)))
        rc = set_owner(q->s, n, c);
    if (!rc && (c->valid & P9_ATTR_MODE))
        rc = set_mode(q->s, n, c->mode);
    if (!rc)
        rc = set_times(n, c);
    /* Everything above sets ctime too.  Alone it is what a Linux guest makes of chown(-1, -1). */
    if (!rc && (c->valid & KNOWN) == P9_ATTR_CTIME)
        rc = touch_owner(n);
    return rc;
}
