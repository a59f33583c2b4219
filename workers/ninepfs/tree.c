/* SPDX-License-Identifier: LGPL-2.1-only */
/* A look through the whole export: what it takes, and which files are the oldest. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workers/ninepfs/limits.h"

#define RESOLVE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)
#define PIECE 3072u                 /* of a path; a name more fits into PATH_MAX */

/* Safe if the guest lies: the path is made of names that the kernel told, and it refuses to leave
 * the folder, to follow a link or to cross a mount, whatever stands there by now. */
static int open_below(int dir, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned int)flags | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE,
    };
    long r = syscall(SYS_openat2, dir, path, &how, sizeof(how));

    return r < 0 ? -errno : (int)r;
}

/* A step from *fd, which is closed unless it is the root. */
static int step(int root_fd, int fd, const char *path)
{
    int to = open_below(fd, path, O_PATH | O_DIRECTORY);

    if (fd != root_fd)
        close(fd);
    return to;
}

/* A guest's folders may lie deeper than any path is long: so in pieces. */
static int open_chain(int root_fd, const struct p9_tree_dir **chain, size_t n)
{
    char path[PIECE + 2 * (P9_NAME_MAX + 1)];
    size_t len = 0, name;
    int fd = root_fd;

    while (n--) {
        name = strlen(chain[n]->name);
        if (len)
            path[len++] = '/';
        memcpy(path + len, chain[n]->name, name + 1);
        len += name;
        if (n && len < PIECE)
            continue;
        fd = step(root_fd, fd, path);
        if (fd < 0)
            return fd;
        len = 0;
    }
    return fd;
}

int p9_tree_open(int root_fd, const struct p9_tree_dir *d)
{
    const struct p9_tree_dir **chain;
    size_t n = 0, i = 0;
    int fd;

    for (const struct p9_tree_dir *p = d; p->parent; p = p->parent)
        n++;
    if (!n)
        return open_below(root_fd, ".", O_PATH | O_DIRECTORY);
    chain = malloc(n * sizeof(*chain));
    if (!chain)
        return -ENOMEM;
    for (const struct p9_tree_dir *p = d; p->parent; p = p->parent)
        chain[i++] = p;
    fd = open_chain(root_fd, chain, n);
    free(chain);
    return fd;
}

static struct p9_tree_dir *dir_new(struct p9_tree_dir *parent, const char *name)
{
    size_t len = strlen(name) + 1;
    struct p9_tree_dir *d = malloc(sizeof(*d) + len);

    if (!d)
        return NULL;
    d->parent = parent;
    d->next = NULL;
    memcpy(d->name, name, len);
    return d;
}

void p9_tree_free(struct p9_tree *t)
{
    struct p9_tree_dir *d;

    for (uint32_t i = 0; i < t->noldest; i++)
        free(t->oldest[i].name);
    t->noldest = 0;
    while ((d = t->dirs)) {
        t->dirs = d->next;
        free(d);
    }
}

/* ---------- the oldest files: a heap with the newest of them on top */

static int by_age(const void *a, const void *b)
{
    const struct p9_tree_file *x = a, *y = b;

    if (x->mtime.tv_sec != y->mtime.tv_sec)
        return x->mtime.tv_sec < y->mtime.tv_sec ? -1 : 1;
    if (x->mtime.tv_nsec != y->mtime.tv_nsec)
        return x->mtime.tv_nsec < y->mtime.tv_nsec ? -1 : 1;
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static void swap(struct p9_tree_file *a, struct p9_tree_file *b)
{
    struct p9_tree_file was = *a;

    *a = *b;
    *b = was;
}

static void sift_down(struct p9_tree *t)
{
    struct p9_tree_file *h = t->oldest;
    uint32_t i = 0, child;

    while ((child = 2 * i + 1) < t->noldest) {
        if (child + 1 < t->noldest && by_age(&h[child], &h[child + 1]) < 0)
            child++;
        if (by_age(&h[i], &h[child]) >= 0)
            break;
        swap(&h[i], &h[child]);
        i = child;
    }
}

static int remember(struct p9_tree *t, struct p9_tree_dir *dir, const char *name,
                    const struct stat *st)
{
    struct p9_tree_file f = {
        .mtime = st->st_mtim, .dev = st->st_dev, .ino = st->st_ino, .dir = dir,
        .space = (uint64_t)st->st_blocks * 512,
    };
    uint32_t i;

    t->plain++;
    t->plain_space += f.space;
    if (t->noldest == P9_TREE_OLDEST && by_age(&f, &t->oldest[0]) >= 0)
        return 0;
    f.name = strdup(name);
    if (!f.name)
        return -ENOMEM;
    if (t->noldest == P9_TREE_OLDEST) {
        free(t->oldest[0].name);
        t->oldest[0] = f;
        sift_down(t);
        return 0;
    }
    i = t->noldest++;
    t->oldest[i] = f;
    for (; i && by_age(&t->oldest[(i - 1) / 2], &t->oldest[i]) < 0; i = (i - 1) / 2)
        swap(&t->oldest[(i - 1) / 2], &t->oldest[i]);
    return 0;
}

/* ---------- looking */

/* Files of several names, by inode: each counts once. */
struct seen {
    uint64_t *ino;                  /* a hash set; 0: free */
    size_t size, n;
};

static bool put_ino(struct seen *s, uint64_t ino)
{
    size_t i = (ino * 0x9e3779b97f4a7c15u >> 20) & (s->size - 1);

    for (; s->ino[i]; i = (i + 1) & (s->size - 1))
        if (s->ino[i] == ino)
            return false;
    s->ino[i] = ino;
    s->n++;
    return true;
}

/* 1: the first time; 0: seen before; -ENOMEM. */
static int first_time(struct seen *s, uint64_t ino)
{
    struct seen more = { .size = s->size ? s->size * 2 : 256 };

    if (2 * s->n >= s->size) {
        more.ino = calloc(more.size, sizeof(*more.ino));
        if (!more.ino)
            return -ENOMEM;
        for (size_t i = 0; i < s->size; i++)
            if (s->ino[i])
                put_ino(&more, s->ino[i]);
        free(s->ino);
        *s = more;
    }
    return put_ino(s, ino);
}

struct look {
    struct p9_tree *t;
    struct p9_tree_dir **tail;
    struct seen seen;
    uint64_t left;
    dev_t dev;
};

static int meet(struct look *l, struct p9_tree_dir *dir, const char *name, const struct stat *st)
{
    struct p9_tree *t = l->t;
    struct p9_tree_dir *d;
    int rc;

    if (st->st_dev != l->dev)
        return 0;
    if (!S_ISDIR(st->st_mode) && st->st_nlink > 1) {
        rc = first_time(&l->seen, st->st_ino);
        if (rc <= 0)
            return rc;
    }
    t->files++;
    t->space += (uint64_t)st->st_blocks * 512;
    if (S_ISDIR(st->st_mode)) {
        d = dir_new(dir, name);
        if (!d)
            return -ENOMEM;
        *l->tail = d;
        l->tail = &d->next;
    } else if (S_ISREG(st->st_mode) && st->st_nlink == 1) {
        return remember(t, dir, name, st);
    }
    return 0;
}

static int look_into(struct look *l, struct p9_tree_dir *dir, int path_fd)
{
    int rc = 0, fd = open_below(path_fd, ".", O_RDONLY | O_DIRECTORY);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;
    struct stat st;

    if (!stream) {
        rc = fd < 0 ? fd : -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (!rc) {
        errno = 0;
        e = readdir(stream);
        if (!e) {
            rc = -errno;
            break;
        }
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (!l->left--)
            rc = -EOVERFLOW;
        else if (!fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            rc = meet(l, dir, e->d_name, &st);
        else if (errno != ENOENT)
            rc = -errno;
    }
    closedir(stream);
    return rc;
}

int p9_tree_scan(struct p9_tree *t, int root_fd, uint64_t max)
{
    struct look l = { .t = t, .left = max };
    struct stat st;
    int fd, rc = 0;

    memset(t, 0, sizeof(*t));
    if (fstat(root_fd, &st) < 0)
        return -errno;
    l.dev = st.st_dev;
    t->space = (uint64_t)st.st_blocks * 512;
    t->dirs = dir_new(NULL, "");
    if (!t->dirs)
        return -ENOMEM;
    l.tail = &t->dirs->next;
    for (struct p9_tree_dir *d = t->dirs; d && !rc; d = d->next) {
        fd = p9_tree_open(root_fd, d);
        if (fd >= 0) {
            rc = look_into(&l, d, fd);
            close(fd);
        } else {
            rc = fd;
        }
        /* Removed or moved meanwhile, or not ours to read: what is in it cannot be counted. */
        if (d->parent && (rc == -ENOENT || rc == -EACCES || rc == -ENOTDIR || rc == -ELOOP))
            rc = 0;
    }
    free(l.seen.ino);
    if (rc)
        p9_tree_free(t);
    else
        qsort(t->oldest, t->noldest, sizeof(t->oldest[0]), by_age);
    return rc;
}
