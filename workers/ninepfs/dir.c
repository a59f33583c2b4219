/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/ninepfs/dir.h"

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workers/ninepfs/fs.h"

struct record {                     /* getdents64(2) */
    uint64_t ino;
    int64_t off;
    uint16_t len;
    uint8_t type;
    char name[];
};
#define RECORD_MAX 280u             /* a name of 255 bytes, rounded up */
#define NOWHERE    UINT64_MAX       /* no cookie: the next read seeks */

/* The kernel's next records into q->scratch, from cookie `from`.  Bytes or -errno. */
static int fetch(struct p9_req *q, struct p9_fid *f, uint64_t from, uint32_t room)
{
    long r;

    if (from > INT64_MAX)
        return -EINVAL;
    if (room < RECORD_MAX)
        room = RECORD_MAX;
    if (room > sizeof(q->scratch))
        room = sizeof(q->scratch);
    if (f->dir_pos != from && lseek(f->fd, (off_t)from, SEEK_SET) < 0)
        return -errno;
    f->dir_pos = NOWHERE;
    r = syscall(SYS_getdents64, f->fd, q->scratch, room);
    if (!r)
        f->dir_pos = from;
    return r < 0 ? -errno : (int)r;
}

static void fill(struct p9_req *q, struct p9_fid *f, const struct record *r, struct p9_dirent *d)
{
    struct stat st;

    d->ino = r->ino;
    d->next = (uint64_t)r->off;
    d->type = r->type;
    d->name = r->name;
    /* What lies above the export is nobody's business. */
    if (f->node == q->s->root && !strcmp(r->name, ".."))
        d->ino = f->node->ino;
    if (d->type == DT_UNKNOWN && !p9_fs_stat_at(q->s, f->node, r->name, &st))
        d->type = IFTODT(st.st_mode);
}

int p9_dir_read(struct p9_req *q, struct p9_fid *f, uint64_t from, uint32_t room,
                int (*each)(void *arg, const struct p9_dirent *d), void *arg)
{
    int stop = 0, at = 0, n;

    pthread_mutex_lock(&f->dir_lock);
    n = fetch(q, f, from, room);
    while (n > 0 && at < n && !stop) {
        const struct record *r = (const void *)(q->scratch + at);
        struct p9_dirent d;

        fill(q, f, r, &d);
        stop = each(arg, &d);
        at += r->len;
        if (!stop && at == n)
            f->dir_pos = d.next;
    }
    pthread_mutex_unlock(&f->dir_lock);
    return n < 0 ? n : 0;
}

/* ---------- Treaddir */

struct listing {
    struct p9_req *q;
    struct p9_fid *f;
    struct p9_wr wr;
    bool full;
};

/* Where a model keeps types elsewhere, the entry must be looked at. */
static uint8_t guest_type(struct listing *l, const struct p9_dirent *d)
{
    struct p9_server *s = l->q->s;
    struct p9_node *n;
    struct stat st;

    if (!s->cfg.model || !s->cfg.model->dirent_type_differs || d->type != DT_REG)
        return d->type;
    if (p9_fs_lookup(s, l->f->node, d->name, &n, &st))
        return DT_UNKNOWN;
    p9_node_put(&s->nodes, n);
    return IFTODT(st.st_mode);
}

static int list(void *arg, const struct p9_dirent *d)
{
    struct listing *l = arg;
    size_t len = strlen(d->name);
    uint8_t type;
    struct p9_qid qid = { .path = d->ino };

    if (l->wr.max - l->wr.len < P9_QID_LEN + 8 + 1 + 2 + len) {
        l->full = true;
        return 1;
    }
    type = guest_type(l, d);
    qid.type = type == DT_DIR ? P9_QTDIR : type == DT_LNK ? P9_QTSYMLINK : 0;
    p9_wr_qid(&l->wr, &qid);
    p9_wr64(&l->wr, d->next);
    p9_wr8(&l->wr, type);
    p9_wr_str(&l->wr, d->name, len);
    return 0;
}

int p9_op_readdir(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd);
    uint64_t off = p9_rd64(&q->rd);
    uint32_t count = p9_rd32(&q->rd);
    struct listing l = { .q = q };
    int rc = p9_req_end(q);

    if (!rc)
        rc = p9_req_fid(q, num, &l.f);
    if (rc)
        return rc;
    count = p9_req_clamp(q, 4, count);
    if (count > sizeof(q->data))
        count = sizeof(q->data);
    p9_wr_init(&l.wr, q->data, count);
    /* An entry takes at most 7/6 of the kernel's record: with this, all that is read fits. */
    rc = l.f->kind == P9_FID_DIR ? p9_dir_read(q, l.f, off, count / 7 * 6, list, &l) : -ENOTDIR;
    /* Nothing fits is not the end. */
    if (!rc && l.full && !l.wr.len)
        rc = -EINVAL;
    p9_fid_put(q->s, l.f);
    return rc ? rc : p9_req_send(q, q->data, (uint32_t)l.wr.len);
}
