/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Fids: the guest's numbers for files.  One table for the whole device.
 *
 * A fid never changes once it is in the table.  What changes a fid in the protocol (a walk onto
 * itself, an open, a create) makes a new one and puts it in the old one's place, if that is still
 * there.  So a ring that uses a fid sees it whole, whatever another ring does to its number; and a
 * failed request leaves the fid as it was, for it never touched it.  What a fid holds is released
 * with its last reference.
 *
 * The one exception is `link`, the name under which the file was reached: a rename changes it in
 * every fid that has it.
 */
#ifndef MOAT_NINEPFS_FID_H
#define MOAT_NINEPFS_FID_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "workers/ninepfs/node.h"

struct p9_server;
struct p9_req;
struct p9_fid;
struct p9_lock_use;

/* How a file was reached: for what the protocol does by fid and the kernel by name (Tremove,
 * Trename, Twstat, the name in a .u stat).  Shared by fids; never changes.  Only a hint: before
 * an act by it, the name is looked up again and compared with the node (p9_fs_link_check). */
struct p9_link {
    uint32_t refs;                  /* under the fid table's lock */
    struct p9_link *next_gone;      /* fid.c's, while it is being freed */
    struct p9_node *dir;
    char name[256];                 /* one component, terminated */
};

enum p9_fid_kind {
    P9_FID_PLAIN,                   /* walked to, not open */
    P9_FID_FILE,                    /* open: fd is the regular file */
    P9_FID_DIR,                     /* open: fd is the folder */
    P9_FID_OTHER,                   /* what `ops` says: an xattr's value */
};

/* For fids that are not a regular file.  Each may be NULL: the request is then refused (EINVAL
 * or EBADF). */
struct p9_fid_ops {
    /* Tread (off and count as in p9_op_read, count already clamped): make the whole reply. */
    int (*read)(struct p9_req *q, struct p9_fid *f, uint64_t off, uint32_t count);
    /* Twrite: the data are in iov[0..n), in memory that the peer may change.  Returns bytes
     * taken or -errno. */
    int64_t (*write)(struct p9_req *q, struct p9_fid *f, uint64_t off, const struct iovec *iov,
                     int n);
    /* Tclunk, while the number is out of the table already.  What it returns is the reply's
     * error. */
    int (*clunk)(struct p9_req *q, struct p9_fid *f);
    /* With the last reference: frees what `priv` holds. */
    void (*release)(struct p9_server *s, struct p9_fid *f);
};

struct p9_fid {
    uint32_t num;
    uint32_t uid;                   /* n_uname of its Tattach, P9_NONUNAME if it had none */
    enum p9_fid_kind kind;
    struct p9_node *node;           /* a reference of its own */
    int fd;                         /* open for I/O, or -1 */
    int flags;                      /* the O_ flags that it was opened with */
    bool remove_on_clunk;           /* .u ORCLOSE */
    const struct p9_fid_ops *ops;
    void *priv;                     /* of ops */
    /* A folder's position is one for all rings: taken for the lseek and getdents of one request,
     * with no other lock held.  It is the only lock that is held while the kernel reads a file
     * system. */
    pthread_mutex_t dir_lock;
    struct p9_lock_use *lock_uses;  /* lock.c's, under its lock */
    uint64_t dir_pos;               /* where the next getdents64 goes on; under dir_lock */

    /* under the table's lock */
    struct p9_link *link;           /* NULL: the root */
    uint32_t refs;
    bool counted_open;
    struct p9_fid *next;            /* in its bucket, or in the list of free ones */
    struct p9_fid *all_prev, *all_next;
};

#define P9_FID_DENSE   4096u        /* numbers below this are found by index: guests count from 0 */
#define P9_FID_BUCKETS 1024u

struct p9_fids {
    pthread_mutex_t lock;           /* a leaf, as the nodes' is; they are never held together */
    struct p9_nodes *nodes;
    struct p9_fid *dense[P9_FID_DENSE];
    struct p9_fid *bucket[P9_FID_BUCKETS];
    struct p9_fid *free;
    struct p9_fid *all;             /* every one that exists: a rename looks at them */
    uint32_t count, max;            /* fids that exist, in the table or only referred to */
    uint32_t opens, max_opens;      /* of these, open files and folders */
};

void p9_fids_init(struct p9_fids *t, struct p9_nodes *nodes, uint32_t max, uint32_t max_opens);
/* All fids must be gone (p9_fids_clunk_all, and no reference held). */
void p9_fids_free(struct p9_fids *t);

/*
 * A new fid that is in no table yet, with one reference (the caller's).  Takes over the caller's
 * reference to node; link gets one more (NULL allowed).  -EMFILE beyond the limit, -ENOMEM; then
 * node is still the caller's.
 */
int p9_fid_new(struct p9_fids *t, uint32_t num, struct p9_node *node, struct p9_link *link,
               struct p9_fid **fid);
/* A new one like `of`, not open: same node, link and uid, under the number num. */
int p9_fid_like(struct p9_fids *t, struct p9_fid *of, uint32_t num, struct p9_fid **fid);
/*
 * Room for one more open file, or -EMFILE: asked before the kernel is asked to open.  What was
 * granted goes back with p9_fids_open_cancel, or to a fid with p9_fid_opened, until its last
 * reference.
 */
int p9_fids_open_room(struct p9_fids *t);
void p9_fids_open_cancel(struct p9_fids *t);
/* f, which is in no table yet, is now open: takes over fd. */
void p9_fid_opened(struct p9_fids *t, struct p9_fid *f, int fd, enum p9_fid_kind kind, int flags);

/* Puts f into the table (which takes a reference of its own); -EBADF if the number is in use or
 * is NOFID. */
int p9_fid_insert(struct p9_fids *t, struct p9_fid *f);
/* Puts f in old's place; -EBADF if that is no longer there.  The table's reference to old goes. */
int p9_fid_replace(struct p9_server *s, struct p9_fid *old, struct p9_fid *f);
/* The fid of that number with a reference, or NULL. */
struct p9_fid *p9_fid_get(struct p9_fids *t, uint32_t num);
/* Takes it out of the table; the table's reference becomes the caller's.  NULL if there is none. */
struct p9_fid *p9_fid_take(struct p9_fids *t, uint32_t num);
/* NULL is allowed.  At the last one: ops->release, close, node and link. */
void p9_fid_put(struct p9_server *s, struct p9_fid *f);
/* Empties the table. */
void p9_fids_clunk_all(struct p9_server *s);

/* A link with one reference; takes one to dir.  name: one checked component.  NULL: no memory. */
struct p9_link *p9_link_new(struct p9_fids *t, struct p9_node *dir, const char *name);
/* A reference to f's present link; NULL for the root. */
struct p9_link *p9_fid_link(struct p9_fids *t, struct p9_fid *f);
void p9_link_put(struct p9_fids *t, struct p9_link *l);
/* After a rename: every fid with {dir, name} gets `to`. */
void p9_fids_renamed(struct p9_fids *t, const struct p9_node *dir, const char *name,
                     struct p9_link *to);

#endif
