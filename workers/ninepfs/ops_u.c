/* SPDX-License-Identifier: LGPL-2.1-only */
/* 9P2000.u: Topen and Tcreate, which also makes folders, links and special files. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "workers/ninepfs/dir.h"
#include "workers/ninepfs/names.h"
#include "workers/ninepfs/u.h"

static int flags_of(uint8_t mode)
{
    static const int access[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY };
    int flags = access[mode & 3];

    if (mode & P9_OTRUNC)
        flags |= O_TRUNC;
    if (mode & P9_OAPPEND)
        flags |= O_APPEND;
    return flags;
}

/* ---------- Topen */

/* nf becomes f, open.  There is room for one more open file. */
static int open_as(struct p9_req *q, struct p9_fid *f, struct p9_fid *nf, int flags)
{
    struct p9_server *s = q->s;
    int fd, rc = S_ISDIR(f->node->type) ? p9_u_dir_begin(nf) : 0;

    fd = rc ? rc : p9_open_node(q, f->node, flags);
    if (fd < 0) {
        p9_fids_open_cancel(&s->fids);
        return fd;
    }
    rc = p9_become(q, f, nf, fd, flags);
    if (!rc && (flags & O_TRUNC) && s->cfg.model && s->cfg.model->wrote)
        s->cfg.model->wrote(s, nf);
    return rc;
}

static int do_open(struct p9_req *q, struct p9_fid *f, uint8_t mode)
{
    struct p9_server *s = q->s;
    struct p9_fid *nf = NULL;
    int flags = flags_of(mode), rc;

    if (f->kind == P9_FID_PLAIN && S_ISDIR(f->node->type) && (flags & (O_ACCMODE | O_TRUNC)))
        return -EISDIR;
    rc = p9_may_open(q, f, flags, mode & P9_ORCLOSE);
    if (rc)
        return rc;
    rc = p9_fid_like(&s->fids, f, f->num, &nf);
    if (rc) {
        p9_fids_open_cancel(&s->fids);
        return rc;
    }
    nf->remove_on_clunk = mode & P9_ORCLOSE;
    rc = open_as(q, f, nf, flags);
    p9_fid_put(s, nf);
    return rc;
}

static int op_open(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd);
    uint8_t mode = p9_rd8(&q->rd);
    struct p9_fid *f;
    int rc = p9_req_end(q);

    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    rc = do_open(q, f, mode);
    p9_fid_put(q->s, f);
    return rc;
}

/* ---------- Tcreate */

struct create {
    struct p9_fid *dir;
    char name[P9_NAME_MAX + 1];
    uint32_t perm;
    uint8_t mode;
    char ext[P9_U_TARGET_MAX];
    uint32_t gid;
};

mode_t p9_u_mode(uint32_t perm)
{
    mode_t mode = perm & 0777u;

    if (perm & P9_DMSETUID)
        mode |= S_ISUID;
    if (perm & P9_DMSETGID)
        mode |= S_ISGID;
    if (perm & P9_DMSETVTX)
        mode |= S_ISVTX;
    return mode;
}

/* open(5): a new file has its folder's group.  Where owners are not kept nobody asks. */
static int group_of(struct p9_server *s, struct p9_fid *dir, uint32_t *gid)
{
    struct stat st;
    int rc;

    *gid = UINT32_MAX;
    if (!s->cfg.model)
        return 0;
    rc = p9_fs_stat(s, dir->node, &st);
    if (!rc)
        *gid = st.st_gid;
    return rc;
}

/* A decimal number up to `max` and one of the bytes in `end`, or -1; *p is behind it. */
static int64_t number(const char **p, const char *end, uint64_t max)
{
    const char *s = *p;
    uint64_t v = 0;

    if (*s < '0' || *s > '9')
        return -1;
    for (; *s >= '0' && *s <= '9'; s++) {
        v = v * 10 + (uint64_t)(*s - '0');
        if (v > max)
            return -1;
    }
    if (*s && !strchr(end, *s))
        return -1;
    *p = *s ? s + 1 : s;
    return (int64_t)v;
}

/* "c 4 64" or "b 8 0". */
static int device_of(const char *ext, mode_t *type, dev_t *rdev)
{
    const char *p = ext + 2;
    int64_t hi, lo;

    if ((ext[0] != 'c' && ext[0] != 'b') || ext[1] != ' ')
        return -EINVAL;
    hi = number(&p, " ", UINT32_MAX);
    lo = hi < 0 ? -1 : number(&p, "\n", UINT32_MAX);
    if (lo < 0 || *p)
        return -EINVAL;
    *type = ext[0] == 'c' ? S_IFCHR : S_IFBLK;
    *rdev = makedev((unsigned int)hi, (unsigned int)lo);
    return 0;
}

/* A second name for the file of the fid that the extension names. */
static int make_link(struct p9_req *q, struct create *c, struct p9_node **n)
{
    struct p9_server *s = q->s;
    const char *p = c->ext;
    int64_t num = number(&p, "\n", UINT32_MAX);
    struct p9_fid *of;
    int rc;

    if (num < 0 || *p)
        return -EINVAL;
    rc = p9_req_fid(q, (uint32_t)num, &of);
    if (rc)
        return rc;
    rc = p9_make_link(q, of->node, c->dir->node, c->name);
    if (!rc)
        *n = p9_node_ref(&s->nodes, of->node);
    p9_fid_put(s, of);
    return rc;
}

static int make_special(struct p9_req *q, struct create *c, struct p9_node **n)
{
    const char *target = NULL;
    mode_t type = S_IFDIR;
    dev_t rdev = 0;
    int rc = 0;

    if (c->perm & P9_DMLINK)
        return make_link(q, c, n);
    if (c->perm & P9_DMSYMLINK) {
        type = S_IFLNK;
        target = c->ext;
    } else if (c->perm & P9_DMDEVICE) {
        rc = device_of(c->ext, &type, &rdev);
    } else if (c->perm & P9_DMNAMEDPIPE) {
        type = S_IFIFO;
    } else if (c->perm & P9_DMSOCKET) {
        type = S_IFSOCK;
    }
    if (rc)
        return rc;
    return p9_make(q, c->dir, c->name, type | (target ? 0777u : p9_u_mode(c->perm)), rdev, c->gid,
                   target, n);
}

/* A fid for what was made, to take the folder's place.  Takes over n. */
static int fid_for(struct p9_req *q, const struct create *c, struct p9_node *n, struct p9_fid **fid)
{
    struct p9_server *s = q->s;
    struct p9_link *l = p9_link_new(&s->fids, c->dir->node, c->name);
    int rc = l ? p9_fid_new(&s->fids, c->dir->num, n, l, fid) : -ENOMEM;

    p9_link_put(&s->fids, l);
    if (rc) {
        p9_node_put(&s->nodes, n);
        return rc;
    }
    (*fid)->uid = c->dir->uid;
    (*fid)->remove_on_clunk = c->mode & P9_ORCLOSE;
    return 0;
}

/* What cannot be opened, or not by us: the fid stands at it, as after a walk. */
static int stand_at(struct p9_req *q, struct create *c, struct p9_fid *nf)
{
    struct p9_qid qid;
    int rc = p9_fs_qid(q->s, nf->node, &qid);

    if (!rc)
        rc = p9_fid_replace(q->s, c->dir, nf);
    if (rc)
        return rc;
    p9_wr_qid(&q->wr, &qid);
    p9_wr32(&q->wr, p9_req_iounit(q));
    return 0;
}

/* Its folder's permissions may keep us from listing what we made: then it is not opened. */
static int open_new_dir(struct p9_req *q, struct create *c, struct p9_fid *nf)
{
    struct p9_server *s = q->s;
    int fd, rc = p9_u_dir_begin(nf);

    if (!rc)
        rc = p9_fids_open_room(&s->fids);
    if (rc)
        return rc;
    fd = p9_fs_open(s, nf->node, O_RDONLY);
    if (fd >= 0)
        return p9_become(q, c->dir, nf, fd, O_RDONLY);
    p9_fids_open_cancel(&s->fids);
    return fd == -EACCES ? stand_at(q, c, nf) : fd;
}

/* An error after all: nothing was made.  n: what was, which keeps us from removing another file. */
static void undo(struct p9_req *q, const struct create *c, const struct p9_node *n)
{
    struct p9_link l = { .dir = c->dir->node };

    memcpy(l.name, c->name, sizeof(l.name));
    if (!p9_fs_link_check(q->s, &l, n, NULL))
        p9_fs_unlink(q->s, l.dir, l.name, S_ISDIR(n->type) ? AT_REMOVEDIR : 0);
}

static int create_special(struct p9_req *q, struct create *c)
{
    struct p9_server *s = q->s;
    bool folder = c->perm & P9_DMDIR;
    struct p9_node *n;
    struct p9_fid *nf;
    int rc;

    if (folder && (flags_of(c->mode) & O_ACCMODE))
        return -EISDIR;
    rc = make_special(q, c, &n);
    if (rc)
        return rc;
    rc = fid_for(q, c, p9_node_ref(&s->nodes, n), &nf);
    if (!rc) {
        rc = folder ? open_new_dir(q, c, nf) : stand_at(q, c, nf);
        p9_fid_put(s, nf);
    }
    if (rc)
        undo(q, c, n);
    p9_node_put(&s->nodes, n);
    return rc;
}

static int create_file(struct p9_req *q, struct create *c)
{
    struct p9_server *s = q->s;
    int flags = flags_of(c->mode), fd, rc = p9_fids_open_room(&s->fids);
    struct p9_node *n;
    struct p9_fid *nf;

    if (rc)
        return rc;
    fd = p9_make_file(q, c->dir, c->name, flags, p9_u_mode(c->perm), c->gid, true, &n);
    if (fd < 0) {
        p9_fids_open_cancel(&s->fids);
        return fd;
    }
    rc = fid_for(q, c, p9_node_ref(&s->nodes, n), &nf);
    if (rc) {
        close(fd);
        p9_fids_open_cancel(&s->fids);
    } else {
        rc = p9_become(q, c->dir, nf, fd, flags);
        p9_fid_put(s, nf);
    }
    if (rc)
        undo(q, c, n);
    p9_node_put(&s->nodes, n);
    return rc;
}

static int create(struct p9_req *q, struct create *c)
{
    const uint32_t special = P9_DMDIR | P9_DMSYMLINK | P9_DMLINK | P9_DMDEVICE | P9_DMNAMEDPIPE |
                             P9_DMSOCKET;
    uint32_t type = c->perm & special;
    int rc = p9_req_writable(q);

    if (!rc && c->dir->kind != P9_FID_PLAIN)
        rc = -EBADF;
    if (!rc && !S_ISDIR(c->dir->node->type))
        rc = -ENOTDIR;
    /* One type, if any. */
    if (!rc && (type & (type - 1)))
        rc = -EINVAL;
    if (!rc)
        rc = group_of(q->s, c->dir, &c->gid);
    if (rc)
        return rc;
    return type ? create_special(q, c) : create_file(q, c);
}

static int op_create(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd);
    struct p9_str name = p9_rd_str(&q->rd), ext;
    struct create c;
    int rc;

    c.perm = p9_rd32(&q->rd);
    c.mode = p9_rd8(&q->rd);
    ext = p9_rd_str(&q->rd);
    rc = p9_req_end(q);
    if (!rc)
        rc = p9_name(name, c.name);
    if (!rc)
        rc = p9_text(ext, c.ext, sizeof(c.ext));
    if (!rc)
        rc = p9_req_fid(q, num, &c.dir);
    if (rc)
        return rc;
    rc = create(q, &c);
    p9_fid_put(q->s, c.dir);
    return rc;
}

const struct p9_op p9_ops_u[] = {
    { P9_TOPEN, P9_U, op_open },
    { P9_TCREATE, P9_U, op_create },
    { P9_TSTAT, P9_U, p9_op_stat },
    { P9_TWSTAT, P9_U, p9_op_wstat },
    { 0 },
};
