/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Making, linking, moving and reading names: what both dialects do with folders' entries.
 *
 * A name is one checked component (p9_name).  All return 0 or -errno, the kernel's where the kernel
 * refused; on an error nothing has changed.  All refuse on a read-only export but the reading of a
 * link.
 */
#ifndef MOAT_NINEPFS_NAMES_H
#define MOAT_NINEPFS_NAMES_H

#include "workers/ninepfs/fs.h"

/*
 * A new folder, symbolic link, FIFO, socket, empty file or device, by the type in `mode` (none: a
 * file).  Devices are -EPERM unless the security model keeps them as data.  target: of a symbolic
 * link, as bytes that nobody here interprets; else NULL.  The node is the caller's.
 */
int p9_make(struct p9_req *q, struct p9_fid *dir, const char *name, mode_t mode, dev_t rdev,
            uint32_t gid, const char *target, struct p9_node **n);

/* One more name for the file; works however often it was renamed.  -ENOENT if it has none left. */
int p9_make_link(struct p9_req *q, struct p9_node *file, struct p9_node *dir, const char *name);

/* What stood at the new name goes, as rename(2) has it.  Fids of the old name follow. */
int p9_rename(struct p9_req *q, struct p9_node *odir, const char *oname, struct p9_node *ndir,
              const char *nname);
/* The file that f refers to, by the name it was reached by; ndir NULL: it stays in its folder.
 * -EBUSY for the root, -ENOENT if that name is another file's by now. */
int p9_rename_fid(struct p9_req *q, struct p9_fid *f, struct p9_node *ndir, const char *nname);

/* The target into buf, not terminated; its length or -errno.  -EINVAL if it is no symbolic link. */
int64_t p9_readlink(struct p9_server *s, struct p9_node *n, char *buf, size_t max);

#endif
