/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Record locks: Tlock, Tgetlock.
 *
 * POSIX locks belong to a process, not to an open file: a process that has a file open twice does
 * not shut itself out, and a child that inherited the file does not free its parent's lock.  So a
 * lock's owner here is {node, proc_id}, and each owner has an open file of its own on the host,
 * whose OFD locks it holds: the kernel does the rest, also towards other devices and the host's
 * processes.  client_id is not part of it: a device has one client, whose name may change.
 *
 * An owner lives while a fid through which it locked is there, or until it unlocks everything.
 */
#ifndef MOAT_NINEPFS_LOCK_H
#define MOAT_NINEPFS_LOCK_H

#include <pthread.h>
#include <stdint.h>

#define P9_LOCK_USES_MAX 8192u      /* a use is a fid and an owner */
#define P9_LOCK_BUCKETS  256u

struct p9_server;
struct p9_fid;
struct p9_lock_owner;

struct p9_locks {
    pthread_mutex_t lock;           /* a leaf */
    struct p9_lock_owner *bucket[P9_LOCK_BUCKETS];
    uint32_t owners, max;           /* each is a descriptor, which no other limit counts */
    uint32_t uses;
};

void p9_locks_init(struct p9_locks *t, uint32_t max);
/* All fids must be gone. */
void p9_locks_free(struct p9_locks *t);
/* f's last reference went: owners that no other fid uses lose their locks. */
void p9_locks_fid_gone(struct p9_server *s, struct p9_fid *f);

#endif
