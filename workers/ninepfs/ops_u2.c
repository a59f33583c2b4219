/* SPDX-License-Identifier: LGPL-2.1-only */
/* 9P2000.u: stats: Tstat, Twstat, and folders, which are read as a row of stats. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "workers/ninepfs/attr.h"
#include "workers/ninepfs/dir.h"
#include "workers/ninepfs/names.h"
#include "workers/ninepfs/u.h"

#define LEAVE32 UINT32_MAX          /* in Twstat: leave it as it is */
#define LEAVE64 UINT64_MAX

/* ---------- a stat on the wire */

static uint32_t perm_of(mode_t mode)
{
    uint32_t perm = mode & 0777u;

    switch (mode & S_IFMT) {
    case S_IFDIR: perm |= P9_DMDIR; break;
    case S_IFLNK: perm |= P9_DMSYMLINK; break;
    case S_IFCHR:
    case S_IFBLK: perm |= P9_DMDEVICE; break;
    case S_IFIFO: perm |= P9_DMNAMEDPIPE; break;
    case S_IFSOCK: perm |= P9_DMSOCKET; break;
    }
    if (mode & S_ISUID)
        perm |= P9_DMSETUID;
    if (mode & S_ISGID)
        perm |= P9_DMSETGID;
    if (mode & S_ISVTX)
        perm |= P9_DMSETVTX;
    return perm;
}

static uint32_t seconds(const struct timespec *ts)
{
    if (ts->tv_sec < 0)
        return 0;
    return ts->tv_sec > UINT32_MAX ? UINT32_MAX : (uint32_t)ts->tv_sec;
}

/*
 * What the mode has no place for, of all but symbolic links.  A count of links is how Linux's
 * client learns them.
 */
static size_t extension(const struct stat *st, char *buf, size_t max)
{
    int n = 0;

    if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
        n = snprintf(buf, max, "%c %u %u", S_ISCHR(st->st_mode) ? 'c' : 'b', major(st->st_rdev),
                     minor(st->st_rdev));
    else if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))
        n = snprintf(buf, max, "HARDLINKCOUNT %lu", (unsigned long)st->st_nlink);
    return (size_t)n;
}

/* One stat.  ext: a symbolic link's target, else NULL. */
static void put_stat(struct p9_wr *wr, const struct stat *st, const char *name, const char *ext,
                     size_t ext_len)
{
    size_t name_len = strlen(name);
    struct p9_qid qid;
    char text[64];

    if (!ext) {
        ext = text;
        ext_len = extension(st, text, sizeof(text));
    }
    p9_qid_from(st, &qid);
    p9_wr16(wr, (uint16_t)(P9_U_STAT_FIXED + name_len + ext_len));
    p9_wr16(wr, 0);                 /* type, dev: for the client's kernel */
    p9_wr32(wr, 0);
    p9_wr_qid(wr, &qid);
    p9_wr32(wr, perm_of(st->st_mode));
    p9_wr32(wr, seconds(&st->st_atim));
    p9_wr32(wr, seconds(&st->st_mtim));
    p9_wr64(wr, (uint64_t)st->st_size);
    p9_wr_str(wr, name, name_len);
    p9_wr_str(wr, "", 0);           /* users are told by number, below */
    p9_wr_str(wr, "", 0);
    p9_wr_str(wr, "", 0);
    p9_wr_str(wr, ext, ext_len);
    p9_wr32(wr, st->st_uid);
    p9_wr32(wr, st->st_gid);
    p9_wr32(wr, P9_NONUNAME);       /* who changed it last: not known */
}

/* ---------- Tstat */

/* The stat of a file that there is a node of. */
static int put_node(struct p9_server *s, struct p9_wr *wr, struct p9_node *n, const char *name,
                    const struct stat *st)
{
    char target[P9_U_TARGET_MAX];
    int64_t len;

    if (!S_ISLNK(st->st_mode)) {
        put_stat(wr, st, name, NULL, 0);
        return 0;
    }
    len = p9_readlink(s, n, target, sizeof(target));
    if (len < 0)
        return (int)len;
    put_stat(wr, st, name, target, (size_t)len);
    return 0;
}

int p9_op_stat(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd);
    struct p9_server *s = q->s;
    struct p9_link *l;
    struct p9_fid *f;
    struct stat st;
    uint8_t *at = q->wr.buf + q->wr.len;
    int rc = p9_req_end(q);

    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    l = p9_fid_link(&s->fids, f);
    rc = f->kind == P9_FID_OTHER ? -EINVAL : p9_fs_stat(s, f->node, &st);
    if (!rc) {
        p9_wr16(&q->wr, 0);
        rc = put_node(s, &q->wr, f->node, l ? l->name : "/", &st);
        p9_poke16(at, (uint16_t)(q->wr.buf + q->wr.len - at - 2));
    }
    p9_link_put(&s->fids, l);
    p9_fid_put(s, f);
    return rc;
}

/* ---------- Twstat */

static int sync_file(struct p9_req *q, struct p9_fid *f)
{
    int fd = f->fd, rc;

    if (f->kind == P9_FID_OTHER)
        return -EINVAL;
    if (fd < 0) {
        /* Not open: what a device or a link holds is nobody's to write. */
        if (!S_ISREG(f->node->type) && !S_ISDIR(f->node->type))
            return 0;
        fd = p9_fs_open(q->s, f->node, O_RDONLY);
        if (fd < 0)
            return fd;
    }
    rc = fsync(fd) < 0 ? -errno : 0;
    if (fd != f->fd)
        close(fd);
    return rc;
}

/* What of the stat is to be changed.  name: empty if it stays. */
static void rd_stat(struct p9_rd *rd, struct p9_change *c, uint32_t *perm, struct p9_str *name)
{
    uint32_t atime, mtime;

    memset(c, 0, sizeof(*c));
    p9_rd16(rd);                    /* sizes: the message has one */
    p9_rd16(rd);
    p9_rd16(rd);                    /* type, dev, qid: nobody can change them */
    p9_rd32(rd);
    p9_rd8(rd);
    p9_rd32(rd);
    p9_rd64(rd);
    *perm = p9_rd32(rd);
    atime = p9_rd32(rd);
    mtime = p9_rd32(rd);
    c->size = p9_rd64(rd);
    *name = p9_rd_str(rd);
    p9_rd_str(rd);                  /* uid, gid, muid as texts, and the extension */
    p9_rd_str(rd);
    p9_rd_str(rd);
    p9_rd_str(rd);
    c->uid = p9_rd32(rd);
    c->gid = p9_rd32(rd);
    p9_rd32(rd);                    /* n_muid */

    c->mode = p9_u_mode(*perm);
    c->atime.tv_sec = atime;
    c->mtime.tv_sec = mtime;
    c->valid = (*perm != LEAVE32 ? P9_ATTR_MODE : 0) | (c->size != LEAVE64 ? P9_ATTR_SIZE : 0) |
               (c->uid != LEAVE32 ? P9_ATTR_UID : 0) | (c->gid != LEAVE32 ? P9_ATTR_GID : 0) |
               (atime != LEAVE32 ? P9_ATTR_ATIME | P9_ATTR_ATIME_SET : 0) |
               (mtime != LEAVE32 ? P9_ATTR_MTIME | P9_ATTR_MTIME_SET : 0);
}

int p9_op_wstat(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd), perm;
    char name[P9_NAME_MAX + 1];
    struct p9_change c;
    struct p9_str str;
    struct p9_fid *f;
    int rc;

    rd_stat(&q->rd, &c, &perm, &str);
    rc = p9_req_end(q);
    if (!rc && str.len)
        rc = p9_name(str, name);
    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    /* stat(5): the folder bit cannot be changed. */
    if ((c.valid & P9_ATTR_MODE) && !(perm & P9_DMDIR) != !S_ISDIR(f->node->type))
        rc = -EINVAL;
    else if (!c.valid && !str.len)
        rc = sync_file(q, f);
    /* First what fails most: then nothing is changed. */
    if (!rc && str.len)
        rc = f->kind == P9_FID_OTHER ? -EINVAL : p9_rename_fid(q, f, NULL, name);
    if (!rc && c.valid)
        rc = p9_set_attr(q, f, &c);
    p9_fid_put(q->s, f);
    return rc;
}

/* ---------- Tread of a folder */

/*
 * Offsets count bytes of stats; read(5) allows 0 and where the last read ended.  So does a repeated
 * read (after a Tflush, say): both ends of the last one are kept.
 */
struct cursor {
    pthread_mutex_t lock;
    struct place { uint64_t off, cookie; } from, to;
};

struct rows {
    struct p9_req *q;
    struct p9_fid *f;
    struct p9_wr wr;
    struct p9_node *parent;         /* of the folder; the root's is itself */
    uint64_t cookie;                /* behind the last row */
    unsigned int seen;
    bool full;                      /* the next row does not fit */
    int rc;                         /* or cannot be made now */
};

/* A link in the folder, as the host has it. */
static int put_link_at(struct rows *rows, const char *name, const struct stat *st)
{
    char target[P9_U_TARGET_MAX];
    ssize_t len = readlinkat(rows->f->node->fd, name, target, sizeof(target));

    if (len < 0)
        return -errno;
    put_stat(&rows->wr, st, name, target, (size_t)len);
    return 0;
}

static int put_row(struct rows *rows, const struct p9_dirent *d)
{
    struct p9_server *s = rows->q->s;
    struct p9_node *dir = rows->f->node, *n = NULL;
    struct stat st;
    int rc;

    if (!strcmp(d->name, ".") || !strcmp(d->name, "..")) {
        n = p9_node_ref(&s->nodes, d->name[1] ? rows->parent : dir);
        rc = p9_fs_stat(s, n, &st);
    } else if (s->cfg.model) {
        rc = p9_fs_lookup(s, dir, d->name, &n, &st);
        if (rc)
            return rc;
    } else {
        rc = p9_fs_stat_at(s, dir, d->name, &st);
    }
    if (!rc && n)
        rc = put_node(s, &rows->wr, n, d->name, &st);
    else if (!rc && S_ISLNK(st.st_mode))
        rc = put_link_at(rows, d->name, &st);
    else if (!rc)
        put_stat(&rows->wr, &st, d->name, NULL, 0);
    p9_node_put(&s->nodes, n);
    return rc;
}

/* A row: one stat, whole or not at all. */
static int row(void *arg, const struct p9_dirent *d)
{
    struct rows *rows = arg;
    size_t len = rows->wr.len;
    int rc = put_row(rows, d);

    if (rows->wr.bad) {
        rows->wr.bad = false;
        rows->wr.len = len;
        rows->full = true;
        return 1;
    }
    switch (rc) {
    case 0:
        break;
    /* Gone, or another kind meanwhile; another file system's root; not ours to look at. */
    case -ENOENT:
    case -EINVAL:
    case -EXDEV:
    case -EACCES:
        break;
    /* We have no room: what stands there is not left out for that. */
    default:
        rows->rc = rc;
        return 1;
    }
    rows->seen++;
    rows->cookie = d->next;
    return 0;
}

static int find_place(struct cursor *cur, uint64_t off, struct place *at)
{
    int rc = 0;

    pthread_mutex_lock(&cur->lock);
    if (!off)
        *at = (struct place){ 0, 0 };
    else if (off == cur->to.off)
        *at = cur->to;
    else if (off == cur->from.off)
        *at = cur->from;
    else
        rc = -EINVAL;
    pthread_mutex_unlock(&cur->lock);
    return rc;
}

static int read_rows(struct rows *rows, uint32_t count)
{
    struct p9_link *l = p9_fid_link(&rows->q->s->fids, rows->f);
    int rc = 0;

    rows->parent = l ? l->dir : rows->f->node;
    /* A stat is at least three times what the kernel says of the entry: little is read in vain. */
    rows->seen = 1;
    while (!rc && rows->seen && !rows->full && !rows->rc) {
        rows->seen = 0;
        rc = p9_dir_read(rows->q, rows->f, rows->cookie, (count - (uint32_t)rows->wr.len) / 3, row,
                         rows);
    }
    p9_link_put(&rows->q->s->fids, l);
    return rc;
}

static int dir_read(struct p9_req *q, struct p9_fid *f, uint64_t off, uint32_t count)
{
    struct rows rows = { .q = q, .f = f };
    struct cursor *cur = f->priv;
    struct place from;
    int rc = find_place(cur, off, &from);

    if (rc)
        return rc;
    if (count > sizeof(q->data))
        count = sizeof(q->data);
    p9_wr_init(&rows.wr, q->data, count);
    rows.cookie = from.cookie;
    rc = read_rows(&rows, count);
    /* That there is no row yet is not the end. */
    if (!rc && !rows.wr.len)
        rc = rows.full ? -EINVAL : rows.rc;
    if (rc)
        return rc;
    pthread_mutex_lock(&cur->lock);
    cur->from = from;
    cur->to = (struct place){ off + rows.wr.len, rows.cookie };
    pthread_mutex_unlock(&cur->lock);
    return p9_req_send(q, q->data, (uint32_t)rows.wr.len);
}

static void dir_release(struct p9_server *s, struct p9_fid *f)
{
    struct cursor *cur = f->priv;

    (void)s;
    pthread_mutex_destroy(&cur->lock);
    free(cur);
}

static const struct p9_fid_ops dir_ops = { .read = dir_read, .release = dir_release };

int p9_u_dir_begin(struct p9_fid *f)
{
    struct cursor *cur = calloc(1, sizeof(*cur));

    if (!cur || pthread_mutex_init(&cur->lock, NULL)) {
        free(cur);
        return -ENOMEM;
    }
    f->priv = cur;
    f->ops = &dir_ops;
    return 0;
}
