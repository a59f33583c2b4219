/* SPDX-License-Identifier: LGPL-2.1-only */
/* Reading folders, and what .L and .u opening share. */
#ifndef MOAT_NINEPFS_DIR_H
#define MOAT_NINEPFS_DIR_H

#include "workers/ninepfs/server.h"

struct p9_dirent {
    uint64_t ino;                   /* of ".." in the export's root: the root's own */
    uint64_t next;                  /* cookie of the entry that follows */
    uint8_t type;                   /* DT_ */
    const char *name;               /* "." and ".." too */
};

/*
 * Calls `each` for the entries from cookie `from` on, until it returns non-zero (which is not an
 * error: that entry comes again), the folder ends, or about `room` bytes of the kernel's records
 * were read (at least one). Holds f->dir_lock meanwhile.  0 or -errno.  Uses q->scratch.
 */
int p9_dir_read(struct p9_req *q, struct p9_fid *f, uint64_t from, uint32_t room,
                int (*each)(void *arg, const struct p9_dirent *d), void *arg);

int p9_op_readdir(struct p9_req *q);

/* What every opening checks before it acts.  Then there is room for one more open file, which
 * p9_become takes or p9_fids_open_cancel gives back. */
int p9_may_open(struct p9_req *q, const struct p9_fid *f, int flags, bool creates);
/* f, with fd open, takes old's place, and the reply is written.  fd and the room granted belong to
 * f, whatever this returns. */
int p9_become(struct p9_req *q, struct p9_fid *old, struct p9_fid *f, int fd, int flags);
/* Opens a node with the limits' accounts kept (O_TRUNC): the fd or -errno. */
int p9_open_node(struct p9_req *q, struct p9_node *n, int flags);
/*
 * Makes a regular file in dir and opens it; without excl an existing one is opened as p9_open_node
 * does.  The fd, and in *n a reference to its node; or -errno, and then nothing was made.
 */
int p9_make_file(struct p9_req *q, struct p9_fid *dir, const char *name, int flags, uint32_t mode,
                 uint32_t gid, bool excl, struct p9_node **n);

#endif
