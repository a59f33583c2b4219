/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * max-space, max-files and auto-delete of one device.  max-open-files is the fid table's.
 *
 * Space is what the kernel says that files take (st_blocks), each file once however many names it
 * has, the export's own folder included; files are what lies below that folder, folders too.  What
 * a request may take at most is reserved before it is done, what it took is counted afterwards, so
 * requests of several rings never go beyond a limit together.  Two things can: what a file system
 * takes for itself (a file's block map, a folder that grows) is only counted afterwards; and what
 * others do in the export is not seen before the next start.  A file without a name counts until
 * its last fid is gone; files of a hole count nothing for it.
 */
#ifndef MOAT_NINEPFS_LIMITS_H
#define MOAT_NINEPFS_LIMITS_H

#include "workers/ninepfs/server.h"

struct p9_quota;

struct p9_quota_config {
    uint64_t max_space;             /* bytes; 0: no limit */
    uint64_t max_files;             /* 0: no limit */
    /* Where a limit would be passed: deletes the file with the oldest mtime that the guest has not
     * open, and again until there is room.  Nothing is deleted if that would not suffice. */
    bool auto_delete;
    uint64_t max_scan;              /* entries that a look through the export may meet; 0: 2^20 */
};

/* Looks through the export: 0 or -errno; -EOVERFLOW for more than max_scan entries.  root_fd:
 * borrowed, as in struct p9_config. */
int p9_quota_new(const struct p9_quota_config *cfg, int root_fd, struct p9_quota **quota);
/* After p9_server_free.  NULL is allowed. */
void p9_quota_free(struct p9_quota *quota);
/* For p9_config.limits; the quota is its limits_arg. */
extern const struct p9_limits p9_quota_limits;

/* What is used now, without what is reserved. */
void p9_quota_usage(struct p9_quota *quota, int64_t *space, int64_t *files);

/* ---------- limits.c and tree.c between them */

/* A folder that a look through the export met; by its chain it is found again. */
struct p9_tree_dir {
    struct p9_tree_dir *parent, *next;
    char name[];
};
struct p9_tree_file {
    struct timespec mtime;
    dev_t dev;
    ino_t ino;
    uint64_t space;
    struct p9_tree_dir *dir;
    char *name;
};
#define P9_TREE_OLDEST 1024u        /* files of which one look remembers the names */

struct p9_tree {
    uint64_t space, files;
    /* Regular files with one name, and what they take. */
    uint64_t plain, plain_space;
    struct p9_tree_dir *dirs;
    struct p9_tree_file oldest[P9_TREE_OLDEST]; /* the oldest first */
    uint32_t noldest;
};

/* Crosses no mount and follows no link.  0 or -errno; the tree is to be freed after 0 only. */
int p9_tree_scan(struct p9_tree *t, int root_fd, uint64_t max);
/* The folder's descriptor (O_PATH), or -errno: it may be gone. */
int p9_tree_open(int root_fd, const struct p9_tree_dir *d);
void p9_tree_free(struct p9_tree *t);

#endif
