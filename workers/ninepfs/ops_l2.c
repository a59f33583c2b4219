/* SPDX-License-Identifier: LGPL-2.1-only */
/* 9P2000.L: names and attributes that change. */
#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "workers/ninepfs/attr.h"
#include "workers/ninepfs/names.h"

#define L_REMOVEDIR 0x200u          /* the one flag of Tunlinkat */
#define TARGET_MAX  4096u           /* of a symbolic link, with the byte that ends it */

/* ---------- Tsetattr */

static struct timespec rd_time(struct p9_rd *rd)
{
    uint64_t sec = p9_rd64(rd), nsec = p9_rd64(rd);
    struct timespec ts = { .tv_sec = (time_t)sec, .tv_nsec = nsec > 999999999 ? -1 : (long)nsec };

    return ts;
}

static int op_setattr(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd);
    struct p9_change c;
    struct p9_fid *f;
    int rc;

    c.valid = p9_rd32(&q->rd);
    c.mode = p9_rd32(&q->rd);
    c.uid = p9_rd32(&q->rd);
    c.gid = p9_rd32(&q->rd);
    c.size = p9_rd64(&q->rd);
    c.atime = rd_time(&q->rd);
    c.mtime = rd_time(&q->rd);
    rc = p9_req_end(q);
    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    rc = p9_set_attr(q, f, &c);
    p9_fid_put(q->s, f);
    return rc;
}

/* ---------- making */

/* dfid[4] name[s] are read: makes it and answers with its qid. */
static int make(struct p9_req *q, uint32_t dfid, struct p9_str str, uint32_t mode, dev_t rdev,
                uint32_t gid, const char *target)
{
    char name[P9_NAME_MAX + 1];
    struct p9_node *n;
    struct p9_fid *dir;
    struct p9_qid qid;
    int rc = p9_req_end(q);

    if (!rc)
        rc = p9_name(str, name);
    if (!rc)
        rc = p9_req_fid(q, dfid, &dir);
    if (rc)
        return rc;
    rc = p9_make(q, dir, name, mode, rdev, gid, target, &n);
    p9_fid_put(q->s, dir);
    if (rc)
        return rc;
    rc = p9_fs_qid(q->s, n, &qid);
    if (!rc)
        p9_wr_qid(&q->wr, &qid);
    p9_node_put(&q->s->nodes, n);
    return rc;
}

static int op_mkdir(struct p9_req *q)
{
    uint32_t dfid = p9_rd32(&q->rd), mode, gid;
    struct p9_str name = p9_rd_str(&q->rd);

    mode = p9_rd32(&q->rd);
    gid = p9_rd32(&q->rd);
    return make(q, dfid, name, S_IFDIR | (mode & 07777u), 0, gid, NULL);
}

static int op_symlink(struct p9_req *q)
{
    uint32_t dfid = p9_rd32(&q->rd), gid;
    struct p9_str name = p9_rd_str(&q->rd), to = p9_rd_str(&q->rd);
    char target[TARGET_MAX];
    int rc;

    gid = p9_rd32(&q->rd);
    rc = p9_req_end(q);
    if (!rc)
        rc = p9_text(to, target, sizeof(target));
    if (!rc && !to.len)
        rc = -ENOENT;               /* as symlink(2) */
    return rc ? rc : make(q, dfid, name, S_IFLNK | 0777u, 0, gid, target);
}

static int op_mknod(struct p9_req *q)
{
    uint32_t dfid = p9_rd32(&q->rd), mode, hi, lo, gid;
    struct p9_str name = p9_rd_str(&q->rd);

    mode = p9_rd32(&q->rd);
    hi = p9_rd32(&q->rd);
    lo = p9_rd32(&q->rd);
    gid = p9_rd32(&q->rd);
    /* As mknod(2): folders and links have requests of their own. */
    if ((mode & S_IFMT) == S_IFDIR)
        return -EPERM;
    if ((mode & S_IFMT) == S_IFLNK)
        return -EINVAL;
    return make(q, dfid, name, mode & (S_IFMT | 07777u), makedev(hi, lo), gid, NULL);
}

static int op_link(struct p9_req *q)
{
    uint32_t dfid = p9_rd32(&q->rd), num = p9_rd32(&q->rd);
    struct p9_str str = p9_rd_str(&q->rd);
    char name[P9_NAME_MAX + 1];
    struct p9_fid *dir, *f = NULL;
    int rc = p9_req_end(q);

    if (!rc)
        rc = p9_name(str, name);
    if (!rc)
        rc = p9_req_fid(q, dfid, &dir);
    if (rc)
        return rc;
    rc = p9_req_fid(q, num, &f);
    if (!rc)
        rc = p9_make_link(q, f->node, dir->node, name);
    p9_fid_put(q->s, f);
    p9_fid_put(q->s, dir);
    return rc;
}

/* ---------- moving, removing */

static int op_rename(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd), dfid = p9_rd32(&q->rd);
    struct p9_str str = p9_rd_str(&q->rd);
    char name[P9_NAME_MAX + 1];
    struct p9_fid *f, *dir = NULL;
    int rc = p9_req_end(q);

    if (!rc)
        rc = p9_name(str, name);
    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    rc = p9_req_fid(q, dfid, &dir);
    if (!rc)
        rc = p9_rename_fid(q, f, dir->node, name);
    p9_fid_put(q->s, dir);
    p9_fid_put(q->s, f);
    return rc;
}

static int op_renameat(struct p9_req *q)
{
    uint32_t ofid = p9_rd32(&q->rd), nfid;
    struct p9_str ostr = p9_rd_str(&q->rd), nstr;
    char oname[P9_NAME_MAX + 1], nname[P9_NAME_MAX + 1];
    struct p9_fid *odir, *ndir = NULL;
    int rc;

    nfid = p9_rd32(&q->rd);
    nstr = p9_rd_str(&q->rd);
    rc = p9_req_end(q);
    if (!rc)
        rc = p9_name(ostr, oname);
    if (!rc)
        rc = p9_name(nstr, nname);
    if (!rc)
        rc = p9_req_fid(q, ofid, &odir);
    if (rc)
        return rc;
    rc = p9_req_fid(q, nfid, &ndir);
    if (!rc)
        rc = p9_rename(q, odir->node, oname, ndir->node, nname);
    p9_fid_put(q->s, ndir);
    p9_fid_put(q->s, odir);
    return rc;
}

static int op_unlinkat(struct p9_req *q)
{
    uint32_t dfid = p9_rd32(&q->rd), flags;
    struct p9_str str = p9_rd_str(&q->rd);
    char name[P9_NAME_MAX + 1];
    struct p9_fid *dir;
    int rc;

    flags = p9_rd32(&q->rd);
    rc = p9_req_end(q);
    if (!rc)
        rc = p9_req_writable(q);
    if (!rc && (flags & ~L_REMOVEDIR))
        rc = -EINVAL;
    if (!rc)
        rc = p9_name(str, name);
    if (!rc)
        rc = p9_req_fid(q, dfid, &dir);
    if (rc)
        return rc;
    rc = p9_fs_unlink(q->s, dir->node, name, flags ? AT_REMOVEDIR : 0);
    p9_fid_put(q->s, dir);
    return rc;
}

/* ---------- Treadlink */

static int op_readlink(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd);
    struct p9_fid *f;
    int64_t r;
    int rc = p9_req_end(q);

    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    r = p9_readlink(q->s, f->node, (char *)q->scratch, TARGET_MAX);
    p9_fid_put(q->s, f);
    if (r < 0)
        return (int)r;
    p9_wr_str(&q->wr, (const char *)q->scratch, (size_t)r);
    return 0;
}

const struct p9_op p9_ops_l2[] = {
    { P9_TSETATTR, P9_L, op_setattr },
    { P9_TMKDIR, P9_L, op_mkdir },
    { P9_TSYMLINK, P9_L, op_symlink },
    { P9_TMKNOD, P9_L, op_mknod },
    { P9_TLINK, P9_L, op_link },
    { P9_TRENAME, P9_L, op_rename },
    { P9_TRENAMEAT, P9_L, op_renameat },
    { P9_TUNLINKAT, P9_L, op_unlinkat },
    { P9_TREADLINK, P9_L, op_readlink },
    { 0 },
};
