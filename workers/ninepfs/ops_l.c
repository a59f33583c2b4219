/* SPDX-License-Identifier: LGPL-2.1-only */
/* 9P2000.L: attributes, opening, creating, statfs, fsync. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "workers/ninepfs/dir.h"
#include "workers/ninepfs/fs.h"

#define STATS_BASIC 0x7ffu          /* P9_STATS_BASIC: mode .. blocks */
#define STATS_BTIME 0x800u
#define V9FS_MAGIC  0x01021997u
#define L_EXCL      0200u           /* of Tlcreate's flags */

static void put_time(struct p9_wr *wr, const struct timespec *ts)
{
    p9_wr64(wr, (uint64_t)ts->tv_sec);
    p9_wr64(wr, (uint64_t)ts->tv_nsec);
}

/* As Linux's guests decode a device number (new_decode_dev). */
static uint64_t wire_dev(dev_t dev)
{
    uint32_t hi = major(dev), lo = minor(dev);

    return (lo & 0xff) | (uint64_t)hi << 8 | (uint64_t)(lo & ~0xffu) << 12;
}

static int op_getattr(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd);
    struct timespec btime;
    bool has_btime;
    struct p9_wr *wr = &q->wr;
    struct p9_fid *f;
    struct p9_qid qid;
    struct stat st;
    int rc;

    p9_rd64(&q->rd);                /* what is asked for: all of it costs the same */
    rc = p9_req_end(q);
    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    rc = p9_fs_statx(q->s, f->node, &st, &btime, &has_btime);
    p9_fid_put(q->s, f);
    if (rc)
        return rc;
    p9_qid_from(&st, &qid);
    p9_wr64(wr, STATS_BASIC | (has_btime ? STATS_BTIME : 0));
    p9_wr_qid(wr, &qid);
    p9_wr32(wr, st.st_mode);
    p9_wr32(wr, st.st_uid);
    p9_wr32(wr, st.st_gid);
    p9_wr64(wr, st.st_nlink);
    p9_wr64(wr, wire_dev(st.st_rdev));
    p9_wr64(wr, (uint64_t)st.st_size);
    p9_wr64(wr, p9_req_iounit(q));  /* the best unit is what one message carries */
    p9_wr64(wr, (uint64_t)st.st_blocks);
    put_time(wr, &st.st_atim);
    put_time(wr, &st.st_mtim);
    put_time(wr, &st.st_ctim);
    if (!has_btime)
        memset(&btime, 0, sizeof(btime));
    put_time(wr, &btime);
    p9_wr64(wr, 0);                 /* gen, data_version: not in the mask */
    p9_wr64(wr, 0);
    return 0;
}

/* ---------- opening */

int p9_may_open(struct p9_req *q, const struct p9_fid *f, int flags, bool creates)
{
    int rc = 0;

    if (f->kind != P9_FID_PLAIN)
        return -EBADF;
    if (creates || (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC))
        rc = p9_req_writable(q);
    return rc ? rc : p9_fids_open_room(&q->s->fids);
}

int p9_open_node(struct p9_req *q, struct p9_node *n, int flags)
{
    struct p9_server *s = q->s;
    const struct p9_limits *limits = s->cfg.limits;
    struct p9_charge charge;
    int fd;

    if (!limits || !(flags & O_TRUNC))
        return p9_fs_open(s, n, flags);
    /* Takes nothing, may give back: so that it is counted again. */
    fd = limits->reserve(s, &charge, n, 0, 0);
    if (fd)
        return fd;
    fd = p9_fs_open(s, n, flags);
    limits->settle(s, &charge, fd >= 0, n->fd);
    return fd;
}

int p9_become(struct p9_req *q, struct p9_fid *old, struct p9_fid *f, int fd, int flags)
{
    struct p9_server *s = q->s;
    bool folder = S_ISDIR(f->node->type);
    struct p9_qid qid;
    int rc;

    p9_fid_opened(&s->fids, f, fd, folder ? P9_FID_DIR : P9_FID_FILE, flags);
    rc = p9_fs_qid(s, f->node, &qid);
    if (!rc)
        rc = p9_fid_replace(s, old, f);
    if (rc)
        return rc;
    p9_wr_qid(&q->wr, &qid);
    p9_wr32(&q->wr, p9_req_iounit(q));
    return 0;
}

static int lopen(struct p9_req *q, struct p9_fid *f, int flags)
{
    struct p9_server *s = q->s;
    struct p9_fid *nf = NULL;
    int fd = -1, rc = p9_may_open(q, f, flags, false);

    if (rc)
        return rc;
    rc = p9_fid_like(&s->fids, f, f->num, &nf);
    if (!rc) {
        fd = p9_open_node(q, f->node, flags);
        rc = fd < 0 ? fd : 0;
    }
    if (rc)
        p9_fids_open_cancel(&s->fids);
    else
        rc = p9_become(q, f, nf, fd, flags);
    if (!rc && (flags & O_TRUNC) && s->cfg.model && s->cfg.model->wrote)
        s->cfg.model->wrote(s, nf);
    p9_fid_put(s, nf);
    return rc;
}

static int op_lopen(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd), flags = p9_rd32(&q->rd);
    struct p9_fid *f;
    int rc = p9_req_end(q);

    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    rc = lopen(q, f, p9_fs_flags_from_l(flags));
    p9_fid_put(q->s, f);
    return rc;
}

/* ---------- creating */

/* The node of the file that was just made, its owner and mode noted. */
static int adopt(struct p9_req *q, struct p9_fid *dir, int fd, uint32_t mode, uint32_t gid,
                 struct p9_node **n)
{
    struct p9_server *s = q->s;
    struct stat st;
    int path, rc = p9_fs_created(q, dir, fd, S_IFREG | (mode & 07777u), 0, gid);

    if (rc)
        return rc;
    path = p9_fs_path_fd(s, fd);
    if (path < 0)
        return path;
    if (fstat(path, &st) < 0) {
        rc = -errno;
        close(path);
        return rc;
    }
    return p9_node_get(&s->nodes, path, &st, n);
}

/* A new file: its open descriptor or -errno; on an error there is no such file. */
static int make(struct p9_req *q, struct p9_fid *dir, const char *name, int flags, uint32_t mode,
                uint32_t gid, struct p9_node **n)
{
    struct p9_server *s = q->s;
    const struct p9_limits *limits = s->cfg.limits;
    struct p9_charge charge;
    int fd, rc = 0;

    if (limits)
        rc = limits->reserve(s, &charge, dir->node, 0, 1);
    if (rc)
        return rc;
    p9_fs_names_lock(s);
    fd = p9_fs_create(s, dir->node, name, flags, mode);
    p9_fs_names_unlock(s);
    if (fd >= 0) {
        rc = adopt(q, dir, fd, mode, gid, n);
        if (rc) {
            unlinkat(dir->node->fd, name, 0);
            close(fd);
            fd = rc;
        }
    }
    if (limits)
        limits->settle(s, &charge, fd >= 0, fd);
    return fd;
}

int p9_make_file(struct p9_req *q, struct p9_fid *dir, const char *name, int flags, uint32_t mode,
                 uint32_t gid, bool excl, struct p9_node **n)
{
    int fd = -EEXIST;

    /* Another ring, or the host, may make or remove the name between the two. */
    for (int tries = 0; tries < 4; tries++) {
        fd = make(q, dir, name, flags, mode, gid, n);
        if (fd != -EEXIST || excl)
            return fd;
        fd = p9_fs_lookup(q->s, dir->node, name, n, NULL);
        if (fd == -ENOENT)
            continue;
        if (fd)
            return fd;
        fd = p9_open_node(q, *n, flags);
        if (fd < 0)
            p9_node_put(&q->s->nodes, *n);
        return fd;
    }
    return fd;
}

/* The open file `n` under `name` takes the place of the folder's fid.  Takes over n and fd. */
static int move_to(struct p9_req *q, struct p9_fid *dir, const char *name, struct p9_node *n,
                   int fd, int flags)
{
    struct p9_server *s = q->s;
    struct p9_fid *nf = NULL;
    struct p9_link *l = p9_link_new(&s->fids, dir->node, name);
    int rc = l ? p9_fid_new(&s->fids, dir->num, n, l, &nf) : -ENOMEM;

    p9_link_put(&s->fids, l);
    if (rc) {
        close(fd);
        p9_node_put(&s->nodes, n);
        p9_fids_open_cancel(&s->fids);
        return rc;
    }
    nf->uid = dir->uid;
    rc = p9_become(q, dir, nf, fd, flags);
    p9_fid_put(s, nf);
    return rc;
}

static int op_lcreate(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd), l_flags, mode, gid;
    struct p9_str str = p9_rd_str(&q->rd);
    char name[P9_NAME_MAX + 1];
    struct p9_node *n;
    struct p9_fid *f;
    int flags, fd, rc;

    l_flags = p9_rd32(&q->rd);
    mode = p9_rd32(&q->rd);
    gid = p9_rd32(&q->rd);
    rc = p9_req_end(q);
    if (!rc)
        rc = p9_name(str, name);
    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    flags = p9_fs_flags_from_l(l_flags);
    rc = p9_may_open(q, f, flags, true);
    if (rc)
        goto out;
    fd = p9_make_file(q, f, name, flags, mode, gid, l_flags & L_EXCL, &n);
    if (fd < 0) {
        p9_fids_open_cancel(&q->s->fids);
        rc = fd;
        goto out;
    }
    rc = move_to(q, f, name, n, fd, flags);
out:
    p9_fid_put(q->s, f);
    return rc;
}

/* ---------- Tstatfs, Tfsync */

static int op_statfs(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd);
    struct p9_server *s = q->s;
    struct p9_wr *wr = &q->wr;
    struct statfs sf;
    struct p9_fid *f;
    uint64_t fsid;
    int rc = p9_req_end(q);

    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    rc = fstatfs(f->node->fd, &sf) < 0 ? -errno : 0;
    p9_fid_put(s, f);
    if (rc)
        return rc;
    if (s->cfg.limits && s->cfg.limits->statfs)
        s->cfg.limits->statfs(s, &sf);
    memcpy(&fsid, &sf.f_fsid, sizeof(fsid));
    p9_wr32(wr, V9FS_MAGIC);
    p9_wr32(wr, (uint32_t)sf.f_bsize);
    p9_wr64(wr, sf.f_blocks);
    p9_wr64(wr, sf.f_bfree);
    p9_wr64(wr, sf.f_bavail);
    p9_wr64(wr, sf.f_files);
    p9_wr64(wr, sf.f_ffree);
    p9_wr64(wr, fsid);
    p9_wr32(wr, P9_NAME_MAX);
    return 0;
}

static int op_fsync(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd), datasync = 0;
    struct p9_fid *f;
    int r, rc;

    /* The first version of the protocol had no such field. */
    if (p9_rd_left(&q->rd))
        datasync = p9_rd32(&q->rd);
    rc = p9_req_end(q);
    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    rc = -EBADF;
    if (f->kind == P9_FID_FILE || f->kind == P9_FID_DIR) {
        r = datasync ? fdatasync(f->fd) : fsync(f->fd);
        rc = r < 0 ? -errno : 0;
    }
    p9_fid_put(q->s, f);
    return rc;
}

const struct p9_op p9_ops_l[] = {
    { P9_TSTATFS, P9_L, op_statfs },
    { P9_TLOPEN, P9_L, op_lopen },
    { P9_TLCREATE, P9_L, op_lcreate },
    { P9_TGETATTR, P9_L, op_getattr },
    { P9_TREADDIR, P9_L, p9_op_readdir },
    { P9_TFSYNC, P9_L, op_fsync },
    { 0 },
};
