/* SPDX-License-Identifier: LGPL-2.1-only */
/* Changing a file's attributes: what Tsetattr and Twstat share. */
#ifndef MOAT_NINEPFS_ATTR_H
#define MOAT_NINEPFS_ATTR_H

#include "workers/ninepfs/fs.h"

/* The bits of Tsetattr (9P2000.L). */
enum {
    P9_ATTR_MODE = 0x001, P9_ATTR_UID = 0x002, P9_ATTR_GID = 0x004, P9_ATTR_SIZE = 0x008,
    P9_ATTR_ATIME = 0x010, P9_ATTR_MTIME = 0x020, P9_ATTR_CTIME = 0x040,
    P9_ATTR_ATIME_SET = 0x080, P9_ATTR_MTIME_SET = 0x100,
};

struct p9_change {
    uint32_t valid;                 /* bits above; unknown ones are ignored, as Linux does */
    uint32_t mode, uid, gid;        /* of mode only the lower 12 bits count */
    uint64_t size;
    struct timespec atime, mtime;   /* used with ATIME_SET, MTIME_SET; else it is now */
};

/*
 * Changes what is valid in c, in this order: size, owner, mode, times.  0 or the first error, what
 * came before it is done.  Works for files that have no name any more; the size is set through f's
 * own descriptor if that may write.  A set-uid bit goes with a new owner, as chown(2) has it.
 */
int p9_set_attr(struct p9_req *q, struct p9_fid *f, const struct p9_change *c);

#endif
