/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/ninepfs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* One component, in this folder, on this file system, and no link of any kind on the way. */
#define RESOLVE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)

/*
 * Safe if the guest lies about the name: names are checked to be one component, and the kernel
 * refuses to leave the folder, to follow a link or to cross a mount.
 */
static int open_at(int dir, const char *name, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned int)flags | O_NOFOLLOW | O_CLOEXEC,
        .mode = mode,
        .resolve = RESOLVE,
    };
    long r = syscall(SYS_openat2, dir, name, &how, sizeof(how));

    return r < 0 ? -errno : (int)r;
}

void p9_fs_fd_name(int fd, char buf[P9_FD_NAME])
{
    char digits[P9_FD_NAME];
    int n = 0, i = 0;

    do
        digits[n++] = (char)('0' + fd % 10);
    while ((fd /= 10));
    while (n)
        buf[i++] = digits[--n];
    buf[i] = 0;
}

/* Another descriptor of what fd refers to: the one magic link that we follow is our own. */
static int reopen(struct p9_server *s, int fd, int flags)
{
    char name[P9_FD_NAME];
    int r;

    p9_fs_fd_name(fd, name);
    r = openat(s->cfg.proc_fd, name, flags | O_CLOEXEC);
    return r < 0 ? -errno : r;
}

int p9_fs_path_fd(struct p9_server *s, int fd)
{
    return reopen(s, fd, O_PATH);
}

/* ---------- looking */

static int seen(struct p9_server *s, int fd, struct stat *st)
{
    return s->cfg.model && s->cfg.model->seen ? s->cfg.model->seen(s, fd, st) : 0;
}

int p9_fs_lookup(struct p9_server *s, struct p9_node *dir, const char *name, struct p9_node **n,
                 struct stat *st)
{
    struct stat host;
    int fd, rc;

    if (!S_ISDIR(dir->type))
        return -ENOTDIR;
    fd = open_at(dir->fd, name, O_PATH, 0);
    if (fd < 0)
        return fd;
    if (fstat(fd, &host) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    rc = p9_node_get(&s->nodes, fd, &host, n);
    if (rc || !st)
        return rc;
    *st = host;
    rc = seen(s, (*n)->fd, st);
    if (rc)
        p9_node_put(&s->nodes, *n);
    return rc;
}

int p9_fs_stat_at(struct p9_server *s, struct p9_node *dir, const char *name, struct stat *st)
{
    return fstatat(dir->fd, name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int p9_fs_stat(struct p9_server *s, struct p9_node *n, struct stat *st)
{
    if (fstat(n->fd, st) < 0)
        return -errno;
    return seen(s, n->fd, st);
}

static struct timespec ts_of(const struct statx_timestamp *t)
{
    struct timespec ts = { .tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec };

    return ts;
}

int p9_fs_statx(struct p9_server *s, struct p9_node *n, struct stat *st, struct timespec *btime,
                bool *has_btime)
{
    struct statx x;

    if (statx(n->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &x) < 0)
        return -errno;
    memset(st, 0, sizeof(*st));
    st->st_dev = makedev(x.stx_dev_major, x.stx_dev_minor);
    st->st_ino = x.stx_ino;
    st->st_mode = x.stx_mode;
    st->st_nlink = x.stx_nlink;
    st->st_uid = x.stx_uid;
    st->st_gid = x.stx_gid;
    st->st_rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor);
    st->st_size = (off_t)x.stx_size;
    st->st_blksize = x.stx_blksize;
    st->st_blocks = (blkcnt_t)x.stx_blocks;
    st->st_atim = ts_of(&x.stx_atime);
    st->st_mtim = ts_of(&x.stx_mtime);
    st->st_ctim = ts_of(&x.stx_ctime);
    *has_btime = x.stx_mask & STATX_BTIME;
    *btime = ts_of(&x.stx_btime);
    return seen(s, n->fd, st);
}

int p9_fs_qid(struct p9_server *s, struct p9_node *n, struct p9_qid *qid)
{
    struct stat st;
    int rc = p9_fs_stat(s, n, &st);

    if (!rc)
        p9_qid_from(&st, qid);
    return rc;
}

/* ---------- opening */

#define OPEN_FLAGS (O_ACCMODE | O_TRUNC | O_APPEND | O_SYNC | O_DSYNC | O_DIRECTORY)

int p9_fs_open(struct p9_server *s, struct p9_node *n, int flags)
{
    struct stat st;
    int rc;

    /* Safe if the guest lies, because the type is the inode's that the node pins: opening a FIFO
     * would block us, a device would have effects on the host. */
    if (!S_ISREG(n->type) && !S_ISDIR(n->type))
        return S_ISLNK(n->type) ? -ELOOP : -EPERM;
    /* What the guest sees as a device or a link is kept in a regular file by some models. */
    if (s->cfg.model && S_ISREG(n->type)) {
        rc = p9_fs_stat(s, n, &st);
        if (rc)
            return rc;
        if (!S_ISREG(st.st_mode))
            return S_ISLNK(st.st_mode) ? -ELOOP : -EPERM;
    }
    return reopen(s, n->fd, (flags & OPEN_FLAGS) | O_NOCTTY | O_NONBLOCK);
}

int p9_fs_create(struct p9_server *s, struct p9_node *dir, const char *name, int flags, mode_t mode)
{
    if (!S_ISDIR(dir->type))
        return -ENOTDIR;
    flags &= OPEN_FLAGS & ~(O_TRUNC | O_DIRECTORY);
    return open_at(dir->fd, name, flags | O_CREAT | O_EXCL | O_NOCTTY | O_NONBLOCK,
                   p9_fs_mode(s, mode, false));
}

int p9_fs_flags_from_l(uint32_t l)
{
    int flags = (int)(l & 3);

    if (flags == 3)                 /* Linux: neither; opened like O_RDWR is checked */
        flags = O_RDWR;
    if (l & 01000)
        flags |= O_TRUNC;
    if (l & 02000)
        flags |= O_APPEND;
    if (l & 010000)
        flags |= O_DSYNC;
    if (l & 04000000)
        flags |= O_SYNC;
    if (l & 0200000)
        flags |= O_DIRECTORY;
    return flags;
}

mode_t p9_fs_mode(struct p9_server *s, mode_t mode, bool folder)
{
    if (s->cfg.model && s->cfg.model->host_mode)
        return s->cfg.model->host_mode((mode & 07777u) | (folder ? S_IFDIR : S_IFREG));
    /* A set-uid file of the guest's would lend the server's uid to whoever runs it on the host. */
    return mode & (folder ? 03777u : 01777u);
}

int p9_fs_created(struct p9_req *q, const struct p9_fid *dir, int fd, mode_t mode, dev_t rdev,
                  uint32_t gid)
{
    const struct p9_model *m = q->s->cfg.model;
    struct stat want = { .st_mode = mode, .st_uid = dir->uid, .st_gid = gid, .st_rdev = rdev };

    return m && m->created ? m->created(q->s, fd, &want) : 0;
}

/* ---------- names of fids */

int p9_fs_link_check(struct p9_server *s, const struct p9_link *l, const struct p9_node *n,
                     struct stat *st)
{
    struct stat host;
    int rc = p9_fs_stat_at(s, l->dir, l->name, &host);

    if (rc)
        return rc;
    if (host.st_dev != n->dev || host.st_ino != n->ino)
        return -ENOENT;
    if (st)
        *st = host;
    return 0;
}

void p9_fs_names_lock(struct p9_server *s)
{
    if (s->cfg.limits && s->cfg.limits->removed)
        pthread_mutex_lock(&s->names_lock);
}

void p9_fs_names_unlock(struct p9_server *s)
{
    if (s->cfg.limits && s->cfg.limits->removed)
        pthread_mutex_unlock(&s->names_lock);
}

int p9_fs_unlink(struct p9_server *s, struct p9_node *dir, const char *name, int at_flags)
{
    const struct p9_limits *limits = s->cfg.limits;
    struct p9_node *n = NULL;
    struct stat st;
    int rc;

    p9_fs_names_lock(s);
    if (limits && limits->removed) {
        /* Held across the act, so that it is known what went. */
        rc = p9_fs_lookup(s, dir, name, &n, NULL);
        if (!rc && fstat(n->fd, &st) < 0)
            rc = -errno;
        if (rc)
            goto out;
    }
    rc = unlinkat(dir->fd, name, at_flags & AT_REMOVEDIR) < 0 ? -errno : 0;
    if (!rc && n)
        limits->removed(s, n, &st);
out:
    p9_fs_names_unlock(s);
    p9_node_put(&s->nodes, n);
    return rc;
}
