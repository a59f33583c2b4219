/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * 9P2000.u: what its files of handlers share.
 *
 * Sources: the 9P2000 manual pages (stat(5), open(5), read(5)), the 9P2000.u document.  Permissions
 * carry the type of a file in their upper bits; what has no place elsewhere is said in a text, the
 * "extension".
 */
#ifndef MOAT_NINEPFS_U_H
#define MOAT_NINEPFS_U_H

#include "workers/ninepfs/fs.h"

enum {
    P9_DMDIR = 0x80000000u, P9_DMSYMLINK = 0x02000000u, P9_DMLINK = 0x01000000u,
    P9_DMDEVICE = 0x00800000u, P9_DMNAMEDPIPE = 0x00200000u, P9_DMSOCKET = 0x00100000u,
    P9_DMSETUID = 0x00080000u, P9_DMSETGID = 0x00040000u, P9_DMSETVTX = 0x00010000u,
};

/* Of Topen's and Tcreate's mode; 3, "execute", reads. */
enum { P9_OTRUNC = 0x10, P9_ORCLOSE = 0x40, P9_OAPPEND = 0x80 };

#define P9_U_STAT_FIXED 61u         /* a stat's size value is this and the length of its strings */
#define P9_U_TARGET_MAX 4096u

/* The lower 12 bits of a mode. */
mode_t p9_u_mode(uint32_t perm);

/* Makes of f, which is in no table yet, a folder that Tread lists.  -ENOMEM. */
int p9_u_dir_begin(struct p9_fid *f);

int p9_op_stat(struct p9_req *q);
int p9_op_wstat(struct p9_req *q);

#endif
