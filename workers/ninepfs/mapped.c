/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Security model "mapped-xattr": owners, modes and special files of the guest's are kept in
 * attributes of ordinary files of the server's.
 *
 * The same attributes as QEMU's model of that name has, so that an export can change between the
 * two: user.virtfs.uid, .gid, .mode (32 bits each; the mode with its type) and .rdev (64 bits, as
 * glibc makes a dev_t), little endian.  Files are 0600 on the host, folders 0700.  A symbolic link
 * is a file whose text is the target; a device, FIFO or socket is an empty file.  Source: QEMU's
 * documentation and behaviour (hw/9pfs, "mapped-xattr").
 *
 * What attributes say is believed only as far as it fits the host's file: a folder is a folder
 * whatever they say, and nothing else is one.  Somebody else may have written them.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "workers/ninepfs/fs.h"

#define PREFIX     "user.virtfs."
#define ATTR_UID   PREFIX "uid"
#define ATTR_GID   PREFIX "gid"
#define ATTR_MODE  PREFIX "mode"
#define ATTR_RDEV  PREFIX "rdev"
#define FILE_MODE  0600u
#define DIR_MODE   0700u

/* ---------- attributes
 *
 * Of a descriptor that may be O_PATH, so by its name: the working folder is /proc/self/fd.
 */

/* 1; 0 if there is none, or none of that size; -errno. */
static int get(const char *fd, const char *attr, void *buf, size_t len)
{
    uint64_t v = 0;
    ssize_t r = getxattr(fd, attr, &v, sizeof(v));

    if (r == (ssize_t)len) {
        memcpy(buf, &v, len);
        return 1;
    }
    if (r >= 0 || errno == ERANGE)
        return 0;
    /* The host's own links and FIFOs have none; nor has a file system without attributes. */
    switch (errno) {
    case ENODATA:
    case EOPNOTSUPP:
    case EPERM:
    case EACCES:
        return 0;
    }
    return -errno;
}

static int get32(const char *fd, const char *attr, uint32_t *v)
{
    int rc = get(fd, attr, v, sizeof(*v));

    if (rc > 0)
        *v = le32toh(*v);
    return rc;
}

static int set32(const char *fd, const char *attr, uint32_t v)
{
    v = htole32(v);
    return setxattr(fd, attr, &v, sizeof(v), 0) < 0 ? -errno : 0;
}

static int set64(const char *fd, const char *attr, uint64_t v)
{
    v = htole64(v);
    return setxattr(fd, attr, &v, sizeof(v), 0) < 0 ? -errno : 0;
}

/* ---------- seeing */

static bool special(mode_t mode)
{
    return S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
}

/* Of the host's type and the attribute's mode. */
static mode_t believed(mode_t host, uint32_t mode)
{
    mode_t type = host & S_IFMT;

    if (type == S_IFREG && (special(mode) || S_ISLNK(mode)))
        type = mode & S_IFMT;
    return type | (mode & 07777u);
}

static int seen_mode(const char *fd, struct stat *st)
{
    uint32_t mode;
    uint64_t rdev;
    int rc = get32(fd, ATTR_MODE, &mode);

    if (rc <= 0)
        return rc;
    st->st_mode = believed(st->st_mode, mode);
    if (!S_ISCHR(st->st_mode) && !S_ISBLK(st->st_mode))
        return 0;
    rc = get(fd, ATTR_RDEV, &rdev, sizeof(rdev));
    if (rc > 0)
        st->st_rdev = le64toh(rdev);
    return rc < 0 ? rc : 0;
}

static int mapped_seen(struct p9_server *s, int fd, struct stat *st)
{
    char name[P9_FD_NAME];
    uint32_t id;
    int rc;

    (void)s;
    /* Others cannot have user attributes. */
    if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
        return 0;
    p9_fs_fd_name(fd, name);
    rc = get32(name, ATTR_UID, &id);
    if (rc > 0)
        st->st_uid = id;
    if (rc >= 0)
        rc = get32(name, ATTR_GID, &id);
    if (rc > 0)
        st->st_gid = id;
    return rc < 0 ? rc : seen_mode(name, st);
}

/* ---------- keeping */

static mode_t mapped_host_mode(mode_t mode)
{
    return S_ISDIR(mode) ? DIR_MODE : FILE_MODE;
}

/* (uid_t)-1: the guest did not say. */
static int keep_owner(const char *fd, uid_t uid, gid_t gid)
{
    int rc = uid == (uid_t)-1 ? 0 : set32(fd, ATTR_UID, uid);

    if (!rc && gid != (gid_t)-1)
        rc = set32(fd, ATTR_GID, gid);
    return rc;
}

static int mapped_created(struct p9_server *s, int fd, const struct stat *want)
{
    char name[P9_FD_NAME];
    int rc;

    (void)s;
    p9_fs_fd_name(fd, name);
    rc = keep_owner(name, want->st_uid, want->st_gid);
    if (!rc)
        rc = set32(name, ATTR_MODE, want->st_mode);
    if (!rc && (S_ISCHR(want->st_mode) || S_ISBLK(want->st_mode)))
        rc = set64(name, ATTR_RDEV, want->st_rdev);
    return rc;
}

static int mapped_chmod(struct p9_server *s, struct p9_node *n, mode_t mode)
{
    char name[P9_FD_NAME];
    struct stat st = { .st_mode = n->type };
    int rc;

    (void)s;
    p9_fs_fd_name(n->fd, name);
    rc = seen_mode(name, &st);
    /* The type stays: it is in the same attribute. */
    return rc ? rc : set32(name, ATTR_MODE, (st.st_mode & S_IFMT) | (mode & 07777u));
}

/* What chown and writing do to a program that lends its owner's rights.  ctime is now. */
static int drop_set_id(const char *name, mode_t host)
{
    struct stat st = { .st_mode = host };
    mode_t mode;
    int rc = seen_mode(name, &st);

    if (rc || !S_ISREG(st.st_mode))
        return rc;
    mode = st.st_mode & ~(mode_t)S_ISUID;
    if (mode & S_IXGRP)
        mode &= ~(mode_t)S_ISGID;
    return mode == st.st_mode ? 0 : set32(name, ATTR_MODE, mode);
}

static int mapped_chown(struct p9_server *s, struct p9_node *n, uid_t uid, gid_t gid)
{
    char name[P9_FD_NAME];
    int rc;

    (void)s;
    p9_fs_fd_name(n->fd, name);
    rc = drop_set_id(name, n->type);
    return rc ? rc : keep_owner(name, uid, gid);
}

static int mapped_wrote(struct p9_server *s, struct p9_fid *f)
{
    char name[P9_FD_NAME];

    (void)s;
    p9_fs_fd_name(f->node->fd, name);
    return drop_set_id(name, f->node->type);
}

/* ---------- links and special files */

/* A new file with `len` bytes in it, and what the guest wants it to be. */
static int make(struct p9_server *s, struct p9_node *dir, const char *name, const char *text,
                size_t len, const struct stat *want)
{
    int fd = p9_fs_create(s, dir, name, O_WRONLY, FILE_MODE), rc = 0;
    ssize_t r;

    if (fd < 0)
        return fd;
    if (len) {
        r = pwrite(fd, text, len, 0);
        if (r != (ssize_t)len)
            rc = r < 0 ? -errno : -ENOSPC;
    }
    if (!rc)
        rc = mapped_created(s, fd, want);
    close(fd);
    if (rc)
        unlinkat(dir->fd, name, 0);
    return rc;
}

static int mapped_symlink(struct p9_server *s, struct p9_node *dir, const char *name,
                          const char *target, const struct stat *want)
{
    size_t len = strlen(target);

    return len ? make(s, dir, name, target, len, want) : -ENOENT;
}

static int mapped_mknod(struct p9_server *s, struct p9_node *dir, const char *name,
                        const struct stat *want)
{
    return make(s, dir, name, NULL, 0, want);
}

static int64_t mapped_readlink(struct p9_server *s, struct p9_node *n, char *buf, size_t max)
{
    char name[P9_FD_NAME];
    struct stat st = { .st_mode = n->type };
    ssize_t r;
    int fd, rc;

    /* The host's own. */
    if (S_ISLNK(n->type)) {
        r = readlinkat(n->fd, "", buf, max);
        return r < 0 ? -errno : r;
    }
    if (!S_ISREG(n->type))
        return -EINVAL;
    p9_fs_fd_name(n->fd, name);
    rc = seen_mode(name, &st);
    if (rc)
        return rc;
    if (!S_ISLNK(st.st_mode))
        return -EINVAL;
    /* p9_fs_open refuses what the guest sees as a link; the host's file is a regular one. */
    fd = openat(s->cfg.proc_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    r = pread(fd, buf, max, 0);
    if (r < 0)
        r = -errno;
    close(fd);
    return r;
}

static bool mapped_hides(const char *attr)
{
    return !strncmp(attr, PREFIX, sizeof(PREFIX) - 1);
}

const struct p9_model p9_model_mapped = {
    .name = "mapped-xattr",
    .seen = mapped_seen,
    .host_mode = mapped_host_mode,
    .created = mapped_created,
    .chmod = mapped_chmod,
    .chown = mapped_chown,
    .wrote = mapped_wrote,
    .symlink = mapped_symlink,
    .readlink = mapped_readlink,
    .mknod = mapped_mknod,
    .acl_prefix = PREFIX,           /* "user.virtfs.system.posix_acl_access" */
    .hides = mapped_hides,
    .dirent_type_differs = true,
};
