/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/ninepfs/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* ---------- making */

static mode_t type_of(mode_t mode)
{
    return mode & S_IFMT ? mode & S_IFMT : S_IFREG;
}

/* On the host.  *noted: the security model has kept the rest itself. */
static int make_host(struct p9_server *s, struct p9_node *dir, const char *name,
                     const struct stat *want, const char *target, bool *noted)
{
    const struct p9_model *m = s->cfg.model;
    mode_t type = want->st_mode & S_IFMT, mode = want->st_mode & 07777u;
    int r;

    switch (type) {
    case S_IFDIR:
        r = mkdirat(dir->fd, name, p9_fs_mode(s, mode, true));
        break;
    case S_IFLNK:
        *noted = m && m->symlink;
        if (*noted)
            return m->symlink(s, dir, name, target, want);
        r = symlinkat(target, dir->fd, name);
        break;
    case S_IFREG:
        r = mknodat(dir->fd, name, S_IFREG | p9_fs_mode(s, mode, false), 0);
        break;
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
        *noted = m && m->mknod;
        if (*noted)
            return m->mknod(s, dir, name, want);
        /* A device would be the host's own, whatever the guest makes of it.  FIFOs and sockets
         * are only names: fs.c never opens one. */
        if (type == S_IFCHR || type == S_IFBLK)
            return -EPERM;
        r = mknodat(dir->fd, name, type | p9_fs_mode(s, mode, false), 0);
        break;
    default:
        return -EINVAL;
    }
    return r < 0 ? -errno : 0;
}

/* The node of what was just made, its owner and mode noted. */
static int adopt(struct p9_req *q, struct p9_fid *dir, const char *name, const struct stat *want,
                 bool noted, struct p9_node **n)
{
    struct p9_server *s = q->s;
    int rc = p9_fs_lookup(s, dir->node, name, n, NULL);

    if (rc || noted)
        return rc;
    rc = p9_fs_created(q, dir, (*n)->fd, want->st_mode, want->st_rdev, want->st_gid);
    if (rc)
        p9_node_put(&s->nodes, *n);
    return rc;
}

int p9_make(struct p9_req *q, struct p9_fid *dir, const char *name, mode_t mode, dev_t rdev,
            uint32_t gid, const char *target, struct p9_node **n)
{
    struct stat want = {
        .st_mode = type_of(mode) | (mode & 07777u),
        .st_uid = dir->uid,
        .st_gid = gid,
        .st_rdev = rdev,
    };
    struct p9_server *s = q->s;
    const struct p9_limits *limits = s->cfg.limits;
    struct p9_charge charge;
    bool noted = false;
    int rc = p9_req_writable(q);

    /* A folder takes a block at once, a link's target may; a file takes nothing until it is
     * written. */
    if (!rc && limits)
        rc = limits->reserve(s, &charge, dir->node,
                             S_ISDIR(want.st_mode) || S_ISLNK(want.st_mode) ? 4096 : 0, 1);
    if (rc)
        return rc;
    p9_fs_names_lock(s);
    rc = make_host(s, dir->node, name, &want, target, &noted);
    if (!rc) {
        rc = adopt(q, dir, name, &want, noted, n);
        if (rc)
            unlinkat(dir->node->fd, name, S_ISDIR(want.st_mode) ? AT_REMOVEDIR : 0);
    }
    p9_fs_names_unlock(s);
    if (limits)
        limits->settle(s, &charge, !rc, rc ? -1 : (*n)->fd);
    return rc;
}

int p9_make_link(struct p9_req *q, struct p9_node *file, struct p9_node *dir, const char *name)
{
    char num[P9_FD_NAME];
    int rc = p9_req_writable(q);

    if (rc)
        return rc;
    /* Safe if the guest lies, because the link that is followed is our own descriptor's: the source
     * is the very inode, whatever stands at its old name now.  The kernel follows no second one. */
    p9_fs_fd_name(file->fd, num);
    p9_fs_names_lock(q->s);
    if (linkat(q->s->cfg.proc_fd, num, dir->fd, name, AT_SYMLINK_FOLLOW) < 0)
        rc = -errno;
    p9_fs_names_unlock(q->s);
    return rc;
}

/* ---------- moving */

/* What a rename removes, for who counts files: the node and its stat, or NULL. */
static int find_victim(struct p9_server *s, struct p9_node *odir, const char *oname,
                       struct p9_node *ndir, const char *nname, struct p9_node **victim,
                       struct stat *st)
{
    struct stat source;
    int rc = p9_fs_lookup(s, ndir, nname, victim, NULL);

    if (rc) {
        *victim = NULL;
        return rc == -ENOENT ? 0 : rc;
    }
    rc = fstat((*victim)->fd, st) < 0 ? -errno : 0;
    if (!rc)
        rc = p9_fs_stat_at(s, odir, oname, &source);
    /* Two names of one file: rename(2) does nothing. */
    if (rc || (source.st_dev == st->st_dev && source.st_ino == st->st_ino)) {
        p9_node_put(&s->nodes, *victim);
        *victim = NULL;
    }
    return rc;
}

int p9_rename(struct p9_req *q, struct p9_node *odir, const char *oname, struct p9_node *ndir,
              const char *nname)
{
    struct p9_server *s = q->s;
    const struct p9_limits *limits = s->cfg.limits;
    struct p9_node *victim = NULL;
    struct p9_link *to;
    struct stat st;
    int rc = p9_req_writable(q);

    if (rc)
        return rc;
    /* Before the act, for afterwards nothing may fail. */
    to = p9_link_new(&s->fids, ndir, nname);
    if (!to)
        return -ENOMEM;
    p9_fs_names_lock(s);
    if (limits && limits->removed)
        rc = find_victim(s, odir, oname, ndir, nname, &victim, &st);
    if (!rc && renameat(odir->fd, oname, ndir->fd, nname) < 0)
        rc = -errno;
    if (!rc) {
        p9_fids_renamed(&s->fids, odir, oname, to);
        if (victim)
            limits->removed(s, victim, &st);
    }
    p9_fs_names_unlock(s);
    p9_node_put(&s->nodes, victim);
    p9_link_put(&s->fids, to);
    return rc;
}

int p9_rename_fid(struct p9_req *q, struct p9_fid *f, struct p9_node *ndir, const char *nname)
{
    struct p9_server *s = q->s;
    struct p9_link *l = p9_fid_link(&s->fids, f);
    int rc;

    if (!l)
        return -EBUSY;
    rc = p9_fs_link_check(s, l, f->node, NULL);
    if (!rc)
        rc = p9_rename(q, l->dir, l->name, ndir ? ndir : l->dir, nname);
    p9_link_put(&s->fids, l);
    return rc;
}

/* ---------- reading */

int64_t p9_readlink(struct p9_server *s, struct p9_node *n, char *buf, size_t max)
{
    const struct p9_model *m = s->cfg.model;
    ssize_t r;

    if (m && m->readlink)
        return m->readlink(s, n, buf, max);
    if (!S_ISLNK(n->type))
        return -EINVAL;
    r = readlinkat(n->fd, "", buf, max);
    return r < 0 ? -errno : r;
}
