/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/ninepfs/fid.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/ninepfs/server.h"

void p9_fids_init(struct p9_fids *t, struct p9_nodes *nodes, uint32_t max, uint32_t max_opens)
{
    memset(t, 0, sizeof(*t));
    t->nodes = nodes;
    t->max = max;
    t->max_opens = max_opens;
    p9_mutex_init(&t->lock);
}

void p9_fids_free(struct p9_fids *t)
{
    struct p9_fid *f;

    assert(!t->count);
    while ((f = t->free)) {
        t->free = f->next;
        pthread_mutex_destroy(&f->dir_lock);
        free(f);
    }
    pthread_mutex_destroy(&t->lock);
}

/* ---------- links */

struct p9_link *p9_link_new(struct p9_fids *t, struct p9_node *dir, const char *name)
{
    size_t len = strlen(name);
    struct p9_link *l;

    if (len > P9_NAME_MAX || !(l = malloc(sizeof(*l))))
        return NULL;
    l->refs = 1;
    l->dir = p9_node_ref(t->nodes, dir);
    memcpy(l->name, name, len + 1);
    return l;
}

struct p9_link *p9_fid_link(struct p9_fids *t, struct p9_fid *f)
{
    struct p9_link *l;

    pthread_mutex_lock(&t->lock);
    l = f->link;
    if (l)
        l->refs++;
    pthread_mutex_unlock(&t->lock);
    return l;
}

void p9_link_put(struct p9_fids *t, struct p9_link *l)
{
    bool last;

    if (!l)
        return;
    pthread_mutex_lock(&t->lock);
    last = !--l->refs;
    pthread_mutex_unlock(&t->lock);
    if (last) {
        p9_node_put(t->nodes, l->dir);
        free(l);
    }
}

/* Gives f the link `to` if it has {dir, name}.  Returns the old link if that was its last
 * reference. */
static struct p9_link *relink(struct p9_fid *f, const struct p9_node *dir, const char *name,
                              struct p9_link *to)
{
    struct p9_link *old = f->link;

    if (!old || old == to || old->dir != dir || strcmp(old->name, name))
        return NULL;
    to->refs++;
    f->link = to;
    return --old->refs ? NULL : old;
}

void p9_fids_renamed(struct p9_fids *t, const struct p9_node *dir, const char *name,
                     struct p9_link *to)
{
    /* A link is let go after the lock; all that can come free here share {dir, name}, so they
     * are chained by a field that nobody else looks at any more. */
    struct p9_link *gone = NULL, *old;
    struct p9_fid *f;

    pthread_mutex_lock(&t->lock);
    for (f = t->all; f; f = f->all_next) {
        old = relink(f, dir, name, to);
        if (old) {
            old->next_gone = gone;
            gone = old;
        }
    }
    pthread_mutex_unlock(&t->lock);
    while ((old = gone)) {
        gone = old->next_gone;
        p9_node_put(t->nodes, old->dir);
        free(old);
    }
}

/* ---------- fids */

/* One from the free list or a new one; count goes up.  Under the lock. */
static int fid_alloc(struct p9_fids *t, struct p9_fid **fid)
{
    struct p9_fid *f = t->free;

    if (t->count >= t->max)
        return -EMFILE;
    if (f) {
        t->free = f->next;
    } else {
        f = calloc(1, sizeof(*f));
        if (!f || pthread_mutex_init(&f->dir_lock, NULL)) {
            free(f);
            return -ENOMEM;
        }
    }
    f->all_prev = NULL;
    f->all_next = t->all;
    if (t->all)
        t->all->all_prev = f;
    t->all = f;
    t->count++;
    *fid = f;
    return 0;
}

int p9_fid_new(struct p9_fids *t, uint32_t num, struct p9_node *node, struct p9_link *link,
               struct p9_fid **fid)
{
    struct p9_fid *f;
    int rc;

    pthread_mutex_lock(&t->lock);
    rc = fid_alloc(t, &f);
    if (!rc) {
        f->num = num;
        f->uid = P9_NONUNAME;
        f->kind = P9_FID_PLAIN;
        f->node = node;
        f->fd = -1;
        f->flags = 0;
        f->remove_on_clunk = false;
        f->ops = NULL;
        f->priv = NULL;
        f->dir_pos = 0;
        f->lock_uses = NULL;
        f->link = link;
        if (link)
            link->refs++;
        f->refs = 1;
        f->counted_open = false;
        f->next = NULL;
        *fid = f;
    }
    pthread_mutex_unlock(&t->lock);
    return rc;
}

int p9_fid_like(struct p9_fids *t, struct p9_fid *of, uint32_t num, struct p9_fid **fid)
{
    struct p9_link *l = p9_fid_link(t, of);
    int rc;

    p9_node_ref(t->nodes, of->node);
    rc = p9_fid_new(t, num, of->node, l, fid);
    if (rc)
        p9_node_put(t->nodes, of->node);
    else
        (*fid)->uid = of->uid;
    p9_link_put(t, l);
    return rc;
}

int p9_fids_open_room(struct p9_fids *t)
{
    int rc = 0;

    pthread_mutex_lock(&t->lock);
    if (t->opens >= t->max_opens)
        rc = -EMFILE;
    else
        t->opens++;
    pthread_mutex_unlock(&t->lock);
    return rc;
}

void p9_fids_open_cancel(struct p9_fids *t)
{
    pthread_mutex_lock(&t->lock);
    t->opens--;
    pthread_mutex_unlock(&t->lock);
}

void p9_fid_opened(struct p9_fids *t, struct p9_fid *f, int fd, enum p9_fid_kind kind, int flags)
{
    f->fd = fd;
    f->kind = kind;
    f->flags = flags;
    f->counted_open = true;
    p9_node_opened(t->nodes, f->node, 1);
}

/* Where the table's pointer to `num` is, or would be: *place is NULL if there is none.  Under
 * the lock. */
static struct p9_fid **place_of(struct p9_fids *t, uint32_t num)
{
    struct p9_fid **at;

    if (num < P9_FID_DENSE)
        return &t->dense[num];
    for (at = &t->bucket[(num * 0x9e3779b1u >> 16) % P9_FID_BUCKETS]; *at; at = &(*at)->next)
        if ((*at)->num == num)
            break;
    return at;
}

int p9_fid_insert(struct p9_fids *t, struct p9_fid *f)
{
    struct p9_fid **at;
    int rc = -EBADF;

    pthread_mutex_lock(&t->lock);
    at = place_of(t, f->num);
    if (!*at && f->num != P9_NOFID) {
        f->next = NULL;
        f->refs++;
        *at = f;
        rc = 0;
    }
    pthread_mutex_unlock(&t->lock);
    return rc;
}

int p9_fid_replace(struct p9_server *s, struct p9_fid *old, struct p9_fid *f)
{
    struct p9_fids *t = &s->fids;
    struct p9_fid **at;
    int rc = -EBADF;

    pthread_mutex_lock(&t->lock);
    at = place_of(t, old->num);
    if (*at == old && f->num == old->num) {
        f->next = old->next;
        old->next = NULL;
        f->refs++;
        *at = f;
        rc = 0;
    }
    pthread_mutex_unlock(&t->lock);
    if (!rc)
        p9_fid_put(s, old);
    return rc;
}

struct p9_fid *p9_fid_get(struct p9_fids *t, uint32_t num)
{
    struct p9_fid *f;

    pthread_mutex_lock(&t->lock);
    f = *place_of(t, num);
    if (f)
        f->refs++;
    pthread_mutex_unlock(&t->lock);
    return f;
}

struct p9_fid *p9_fid_take(struct p9_fids *t, uint32_t num)
{
    struct p9_fid **at, *f;

    pthread_mutex_lock(&t->lock);
    at = place_of(t, num);
    f = *at;
    if (f) {
        *at = f->next;
        f->next = NULL;
    }
    pthread_mutex_unlock(&t->lock);
    return f;
}

void p9_fid_put(struct p9_server *s, struct p9_fid *f)
{
    struct p9_fids *t = &s->fids;
    bool last;

    if (!f)
        return;
    pthread_mutex_lock(&t->lock);
    last = !--f->refs;
    if (last) {
        /* No rename finds it from here on. */
        if (f->all_prev)
            f->all_prev->all_next = f->all_next;
        else
            t->all = f->all_next;
        if (f->all_next)
            f->all_next->all_prev = f->all_prev;
    }
    pthread_mutex_unlock(&t->lock);
    if (!last)
        return;

    if (f->kind == P9_FID_FILE)
        p9_locks_fid_gone(s, f);
    if (f->ops && f->ops->release)
        f->ops->release(s, f);
    if (f->fd >= 0)
        close(f->fd);
    if (f->counted_open)
        p9_node_opened(t->nodes, f->node, -1);
    p9_node_put(t->nodes, f->node);
    p9_link_put(t, f->link);

    pthread_mutex_lock(&t->lock);
    if (f->counted_open)
        t->opens--;
    t->count--;
    f->next = t->free;
    t->free = f;
    pthread_mutex_unlock(&t->lock);
}

void p9_fids_clunk_all(struct p9_server *s)
{
    struct p9_fids *t = &s->fids;
    struct p9_fid *f;

    for (uint32_t i = 0; i < P9_FID_DENSE; i++)
        p9_fid_put(s, p9_fid_take(t, i));
    for (uint32_t i = 0; i < P9_FID_BUCKETS; i++) {
        for (;;) {
            pthread_mutex_lock(&t->lock);
            f = t->bucket[i];
            if (f) {
                t->bucket[i] = f->next;
                f->next = NULL;
            }
            pthread_mutex_unlock(&t->lock);
            if (!f)
                break;
            p9_fid_put(s, f);
        }
    }
}
