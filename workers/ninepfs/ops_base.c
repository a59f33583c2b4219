/* SPDX-License-Identifier: LGPL-2.1-only */
/* What both dialects share about fids: auth, attach, walk, clunk, remove. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "workers/ninepfs/fs.h"

static int op_auth(struct p9_req *q)
{
    /* No authentication: a device is its frontend's domain. */
    return -EOPNOTSUPP;
}

static int op_attach(struct p9_req *q)
{
    struct p9_server *s = q->s;
    uint32_t num = p9_rd32(&q->rd), uid;
    struct p9_fid *f;
    struct p9_qid qid;
    int rc;

    /* afid, uname and aname decide nothing: frontends send 0 or NOFID, "nobody" or "root", once
     * per user. */
    p9_rd32(&q->rd);
    p9_rd_str(&q->rd);
    p9_rd_str(&q->rd);
    uid = p9_rd32(&q->rd);
    rc = p9_req_end(q);
    if (rc)
        return rc;
    rc = p9_fs_qid(s, s->root, &qid);
    if (rc)
        return rc;
    rc = p9_fid_new(&s->fids, num, p9_node_ref(&s->nodes, s->root), NULL, &f);
    if (rc) {
        p9_node_put(&s->nodes, s->root);
        return rc;
    }
    f->uid = uid;
    rc = p9_fid_insert(&s->fids, f);
    p9_fid_put(s, f);
    if (!rc)
        p9_wr_qid(&q->wr, &qid);
    return rc;
}

/* ---------- Twalk */

struct walk {
    struct p9_node *node, *dir;     /* where it is; the folder before, NULL if it has not moved */
    char name[P9_NAME_MAX + 1];     /* of node in dir */
    uint16_t done;
};

/* One step.  On an error the walk stays where it is. */
static int step(struct p9_req *q, struct walk *w, struct p9_str to)
{
    struct p9_server *s = q->s;
    char name[P9_NAME_MAX + 1];
    struct p9_node *n;
    struct p9_qid qid;
    struct stat st;
    int rc = p9_name(to, name);

    if (!rc)
        rc = p9_fs_lookup(s, w->node, name, &n, &st);
    if (rc)
        return rc;
    p9_node_put(&s->nodes, w->dir);
    w->dir = w->node;
    w->node = n;
    memcpy(w->name, name, sizeof(name));
    w->done++;
    p9_qid_from(&st, &qid);
    p9_wr_qid(&q->wr, &qid);
    return 0;
}

/* newfid becomes what the walk came to; takes over w->node if that succeeds. */
static int arrive(struct p9_req *q, struct p9_fid *f, uint32_t newfid, struct walk *w)
{
    struct p9_server *s = q->s;
    struct p9_fid *nf;
    struct p9_link *l = NULL;
    int rc;

    if (w->dir) {
        l = p9_link_new(&s->fids, w->dir, w->name);
        if (!l)
            return -ENOMEM;
    } else {
        l = p9_fid_link(&s->fids, f);
    }
    rc = p9_fid_new(&s->fids, newfid, w->node, l, &nf);
    p9_link_put(&s->fids, l);
    if (rc)
        return rc;
    w->node = NULL;
    nf->uid = f->uid;
    rc = newfid == f->num ? p9_fid_replace(s, f, nf) : p9_fid_insert(&s->fids, nf);
    p9_fid_put(s, nf);
    return rc;
}

static int walk(struct p9_req *q, struct p9_fid *f, uint32_t newfid, const struct p9_str *names,
                uint16_t n)
{
    struct p9_server *s = q->s;
    struct walk w = { .node = p9_node_ref(&s->nodes, f->node) };
    uint8_t *count = q->wr.buf + q->wr.len;
    int rc = 0;

    p9_wr16(&q->wr, 0);
    while (!rc && w.done < n)
        rc = step(q, &w, names[w.done]);
    /* A walk that came to a part of the way says so, and leaves newfid alone. */
    if (!rc)
        rc = arrive(q, f, newfid, &w);
    else if (w.done)
        rc = 0;
    p9_poke16(count, w.done);
    p9_node_put(&s->nodes, w.node);
    p9_node_put(&s->nodes, w.dir);
    return rc;
}

static int op_walk(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd), newfid = p9_rd32(&q->rd);
    uint16_t n = p9_rd16(&q->rd);
    struct p9_str names[P9_MAXWELEM];
    struct p9_fid *f, *in_use;
    int rc;

    if (n > P9_MAXWELEM)
        return -EINVAL;
    for (uint16_t i = 0; i < n; i++)
        names[i] = p9_rd_str(&q->rd);
    rc = p9_req_end(q);
    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    if (newfid != num) {
        in_use = p9_fid_get(&q->s->fids, newfid);
        p9_fid_put(q->s, in_use);
        if (in_use)
            rc = -EBADF;
    } else if (f->kind != P9_FID_PLAIN) {
        rc = -EBUSY;
    }
    if (!rc && f->kind == P9_FID_OTHER)
        rc = -EINVAL;
    if (!rc)
        rc = walk(q, f, newfid, names, n);
    p9_fid_put(q->s, f);
    return rc;
}

/* ---------- Tclunk, Tremove */

/* Removes the file that f was walked to, by the name it was reached by. */
static int remove_fid(struct p9_req *q, struct p9_fid *f)
{
    struct p9_server *s = q->s;
    struct p9_link *l;
    int rc = p9_req_writable(q);

    if (rc)
        return rc;
    l = p9_fid_link(&s->fids, f);
    if (!l)
        return -EBUSY;              /* the root */
    rc = p9_fs_link_check(s, l, f->node, NULL);
    if (!rc)
        rc = p9_fs_unlink(s, l->dir, l->name, S_ISDIR(f->node->type) ? AT_REMOVEDIR : 0);
    p9_link_put(&s->fids, l);
    return rc;
}

static int op_clunk(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd);
    struct p9_fid *f;
    int rc = p9_req_end(q);

    if (rc)
        return rc;
    f = p9_fid_take(&q->s->fids, num);
    if (!f)
        return -EBADF;
    if (f->ops && f->ops->clunk)
        rc = f->ops->clunk(q, f);
    if (f->remove_on_clunk)
        remove_fid(q, f);           /* open(9p): whether that worked is not told */
    p9_fid_put(q->s, f);
    return rc;
}

static int op_remove(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd);
    struct p9_fid *f;
    int rc = p9_req_end(q);

    if (rc)
        return rc;
    /* remove(9p): the fid is clunked even if the file cannot be removed. */
    f = p9_fid_take(&q->s->fids, num);
    if (!f)
        return -EBADF;
    rc = f->kind == P9_FID_OTHER ? -EINVAL : remove_fid(q, f);
    p9_fid_put(q->s, f);
    return rc;
}

const struct p9_op p9_ops_base[] = {
    { P9_TVERSION, P9_BOTH, p9_op_version },
    { P9_TAUTH, P9_BOTH, op_auth },
    { P9_TATTACH, P9_BOTH, op_attach },
    { P9_TFLUSH, P9_BOTH, p9_op_flush },
    { P9_TWALK, P9_BOTH, op_walk },
    { P9_TCLUNK, P9_BOTH, op_clunk },
    { P9_TREMOVE, P9_BOTH, op_remove },
    { 0 },
};
