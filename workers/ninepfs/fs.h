/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What is done to files: by descriptors and single names, never by paths.
 *
 * A name is looked up with openat2 in its folder's descriptor, O_PATH, no symbolic link followed,
 * no mount crossed. Only a regular file or a folder is ever opened for I/O, and only after its type
 * was seen on the O_PATH descriptor: a FIFO, socket or device in the export has attributes and can
 * be renamed or removed, and that is all.
 *
 * Functions return 0 or -errno unless they say otherwise.
 */
#ifndef MOAT_NINEPFS_FS_H
#define MOAT_NINEPFS_FS_H

#include <stdint.h>
#include <sys/stat.h>

#include "workers/ninepfs/server.h"

/*
 * A security model: how the guest's owners, modes and types are kept.  NULL in the config is
 * "none": what the host has is what the guest sees, owners cannot be changed (the request succeeds
 * and does nothing). fd is an O_PATH or open descriptor of the file in question.
 */
struct p9_model {
    const char *name;
    /* Makes of the host's st what the guest sees: mode (with its type), uid, gid, rdev. */
    int (*seen)(struct p9_server *s, int fd, struct stat *st);
    /* What mode the host's file gets when the guest wants `mode`, which has S_IFDIR or S_IFREG. */
    mode_t (*host_mode)(mode_t mode);
    /* A file was just made for the guest: keep these.  An error makes the caller remove it
     * again. */
    int (*created)(struct p9_server *s, int fd, const struct stat *want);
    int (*chmod)(struct p9_server *s, struct p9_node *n, mode_t mode);
    /* (uid_t)-1, (gid_t)-1: as it is. */
    int (*chown)(struct p9_server *s, struct p9_node *n, uid_t uid, gid_t gid);
    /* Data were written or cut: a set-uid bit goes. */
    int (*wrote)(struct p9_server *s, struct p9_fid *f);
    /* Symbolic links and devices, where the host's are not used.  NULL: the host's. */
    int (*symlink)(struct p9_server *s, struct p9_node *dir, const char *name, const char *target,
                   const struct stat *want);
    int64_t (*readlink)(struct p9_server *s, struct p9_node *n, char *buf, size_t max);
    int (*mknod)(struct p9_server *s, struct p9_node *dir, const char *name,
                 const struct stat *want);
    /* Where ACLs are kept: what is put before the guest's name of one ("user.virtfs.").  NULL: the
     * guest has none. */
    const char *acl_prefix;
    /* Is this attribute the model's own, and hidden from the guest? */
    bool (*hides)(const char *xattr);
    /* Does readdir's type need a stat of each entry? */
    bool dirent_type_differs;
};

extern const struct p9_model p9_model_mapped;   /* "mapped-xattr", mapped.c */

/* The node that `name` (one checked component) is in dir.  The host's type stands in (*n)->type; st
 * (may be NULL) is what the guest sees. */
int p9_fs_lookup(struct p9_server *s, struct p9_node *dir, const char *name, struct p9_node **n,
                 struct stat *st);
/* The same, without keeping it: what fstatat says, no link followed. */
int p9_fs_stat_at(struct p9_server *s, struct p9_node *dir, const char *name, struct stat *st);
/* An O_PATH descriptor of the same file as fd. */
int p9_fs_path_fd(struct p9_server *s, int fd);

/* What the guest sees of the node; works for files that have no name any more. */
int p9_fs_stat(struct p9_server *s, struct p9_node *n, struct stat *st);
/* With the birth time; *has_btime says if there is one. */
int p9_fs_statx(struct p9_server *s, struct p9_node *n, struct stat *st, struct timespec *btime,
                bool *has_btime);
int p9_fs_qid(struct p9_server *s, struct p9_node *n, struct p9_qid *qid);

/*
 * A descriptor for I/O on the node's file; -EPERM for what is neither a regular file nor a folder.
 * flags: access mode, O_TRUNC, O_APPEND, O_SYNC, O_DSYNC, O_DIRECTORY count, others are ignored.
 */
int p9_fs_open(struct p9_server *s, struct p9_node *n, int flags);
/* Makes and opens a new regular file; -EEXIST if the name exists, whatever it is.  The fd, or
 * -errno. */
int p9_fs_create(struct p9_server *s, struct p9_node *dir, const char *name, int flags,
                 mode_t mode);
/* The O_ flags of fs_open from those of a .L request (Linux's generic numbers on every machine). */
int p9_fs_flags_from_l(uint32_t flags);
/* The mode that the host's file gets: no set-uid bit, no set-gid bit on files; then the model's
 * view. */
mode_t p9_fs_mode(struct p9_server *s, mode_t mode, bool folder);
/* Reports a new file to the model.  `q` gives uid and gid.  On an error nothing has changed. */
int p9_fs_created(struct p9_req *q, const struct p9_fid *dir, int fd, mode_t mode, dev_t rdev,
                  uint32_t gid);

/* Does the name still lead to the node?  -ENOENT if not.  st (may be NULL): the host's. */
int p9_fs_link_check(struct p9_server *s, const struct p9_link *l, const struct p9_node *n,
                     struct stat *st);
/* Where files are counted, what a name stands for must not change between the look at it and the
 * act: held while a name is made, moved or removed.  Nothing where they are not. */
void p9_fs_names_lock(struct p9_server *s);
void p9_fs_names_unlock(struct p9_server *s);
/* unlinkat with the limits' accounts kept.  -ENOTEMPTY, -EISDIR, -ENOTDIR as the kernel says. */
int p9_fs_unlink(struct p9_server *s, struct p9_node *dir, const char *name, int at_flags);

/* "NN" for calls relative to proc_fd. */
#define P9_FD_NAME 12
void p9_fs_fd_name(int fd, char buf[P9_FD_NAME]);

#endif
