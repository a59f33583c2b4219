/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/ninepfs/node.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned int bucket_of(dev_t dev, ino_t ino)
{
    return (unsigned int)(((uint64_t)ino * 0x9e3779b97f4a7c15u ^ dev) >> 32) % P9_NODE_BUCKETS;
}

void p9_mutex_init(pthread_mutex_t *m)
{
    pthread_mutexattr_t a;

    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(m, &a);
    pthread_mutexattr_destroy(&a);
}

void p9_nodes_init(struct p9_nodes *t, uint32_t max)
{
    memset(t, 0, sizeof(*t));
    t->max = max;
    p9_mutex_init(&t->lock);
}

void p9_nodes_free(struct p9_nodes *t)
{
    struct p9_node *n;

    assert(!t->count);
    while ((n = t->free)) {
        t->free = n->next;
        free(n);
    }
    pthread_mutex_destroy(&t->lock);
}

static struct p9_node *find(struct p9_nodes *t, dev_t dev, ino_t ino)
{
    struct p9_node *n;

    for (n = t->bucket[bucket_of(dev, ino)]; n; n = n->next)
        if (n->ino == ino && n->dev == dev)
            break;
    return n;
}

/* A node for {dev, ino} that takes over fd; under the lock. */
static int add(struct p9_nodes *t, int fd, const struct stat *st, struct p9_node **node)
{
    struct p9_node **head = &t->bucket[bucket_of(st->st_dev, st->st_ino)];
    struct p9_node *n = t->free;

    if (t->count >= t->max)
        return -EMFILE;
    if (n)
        t->free = n->next;
    else if (!(n = malloc(sizeof(*n))))
        return -ENOMEM;
    memset(n, 0, sizeof(*n));
    n->fd = fd;
    n->dev = st->st_dev;
    n->ino = st->st_ino;
    n->type = st->st_mode & S_IFMT;
    n->refs = 1;
    n->next = *head;
    *head = n;
    t->count++;
    *node = n;
    return 0;
}

int p9_node_get(struct p9_nodes *t, int fd, const struct stat *st, struct p9_node **node)
{
    struct p9_node *n;
    int rc = 0;

    pthread_mutex_lock(&t->lock);
    n = find(t, st->st_dev, st->st_ino);
    if (n) {
        n->refs++;
        *node = n;
    } else {
        rc = add(t, fd, st, node);
    }
    pthread_mutex_unlock(&t->lock);
    if (n || rc)
        close(fd);
    return rc;
}

struct p9_node *p9_node_ref(struct p9_nodes *t, struct p9_node *n)
{
    pthread_mutex_lock(&t->lock);
    n->refs++;
    pthread_mutex_unlock(&t->lock);
    return n;
}

void p9_node_put(struct p9_nodes *t, struct p9_node *n)
{
    struct p9_node **at;
    bool last;
    int fd;

    if (!n)
        return;
    pthread_mutex_lock(&t->lock);
    last = !--n->refs;
    if (last) {
        for (at = &t->bucket[bucket_of(n->dev, n->ino)]; *at != n; at = &(*at)->next)
            ;
        *at = n->next;
    }
    pthread_mutex_unlock(&t->lock);
    if (!last)
        return;
    /* Nobody finds it any more.  Who looks up the same file meanwhile makes a node of its own: both
     * descriptors hold the same inode. */
    if (t->gone)
        t->gone(t->gone_arg, n);
    fd = n->fd;
    close(fd);
    /* Counted until its descriptor is closed, for max is about descriptors. */
    pthread_mutex_lock(&t->lock);
    n->next = t->free;
    t->free = n;
    t->count--;
    pthread_mutex_unlock(&t->lock);
}

void p9_node_opened(struct p9_nodes *t, struct p9_node *n, int by)
{
    pthread_mutex_lock(&t->lock);
    n->opens += (uint32_t)by;
    pthread_mutex_unlock(&t->lock);
}

int p9_node_is_open(struct p9_nodes *t, dev_t dev, ino_t ino)
{
    struct p9_node *n;
    int open;

    pthread_mutex_lock(&t->lock);
    n = find(t, dev, ino);
    open = n && n->opens;
    pthread_mutex_unlock(&t->lock);
    return open;
}
