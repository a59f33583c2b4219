/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Nodes: one per file that a guest refers to, however many fids refer to it.
 *
 * A node holds an O_PATH descriptor.  It pins the inode, so {dev, ino} names one file for as long
 * as the node lives, whatever is renamed or removed meanwhile.  Nodes are found by {dev, ino}:
 * equal pointers are equal files.
 */
#ifndef MOAT_NINEPFS_NODE_H
#define MOAT_NINEPFS_NODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct p9_node {
    /* fixed while the node lives */
    int fd;                         /* O_PATH */
    dev_t dev;
    ino_t ino;
    mode_t type;                    /* S_IFMT bits as the host has them */
    /* under the table's lock */
    uint32_t refs;
    uint32_t opens;                 /* fids that have it open: limits.c deletes no such file */
    struct p9_node *next;           /* in its bucket, or in the list of free ones */
    /* limits.c's own, under its lock */
    int64_t counted;                /* bytes that are counted for it, if `known` */
    bool known, gone;               /* gone: it has no name any more */
};

#define P9_NODE_BUCKETS 1024u       /* a power of two */

struct p9_nodes {
    pthread_mutex_t lock;           /* a leaf: nothing is locked and no file is touched under it */
    struct p9_node *bucket[P9_NODE_BUCKETS];
    struct p9_node *free;
    uint32_t count, max;
    /* Called without locks just before the last reference's descriptor is closed.  May be NULL. */
    void (*gone)(void *arg, struct p9_node *n);
    void *gone_arg;
};

/* A lock that is held for a few lines: who finds it taken tries again before it sleeps. */
void p9_mutex_init(pthread_mutex_t *m);

void p9_nodes_init(struct p9_nodes *t, uint32_t max);
/* All nodes must be gone. */
void p9_nodes_free(struct p9_nodes *t);

/*
 * A reference to the node of the O_PATH descriptor fd, which this call always takes over.  st: what
 * fstat said of fd.  -EMFILE beyond the limit, -ENOMEM.
 */
int p9_node_get(struct p9_nodes *t, int fd, const struct stat *st, struct p9_node **node);
/* One more reference, for who holds one. */
struct p9_node *p9_node_ref(struct p9_nodes *t, struct p9_node *n);
/* NULL is allowed.  Closes the descriptor at the last one. */
void p9_node_put(struct p9_nodes *t, struct p9_node *n);

/* Counts openings: +1 or -1. */
void p9_node_opened(struct p9_nodes *t, struct p9_node *n, int by);
/* Is {dev, ino} a file that the guest has open?  For limits.c, which knows files that have no
 * node. */
int p9_node_is_open(struct p9_nodes *t, dev_t dev, ino_t ino);

#endif
