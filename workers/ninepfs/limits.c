/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The accounts.  A ring has one request at a time, so at most as many files as there are rings are
 * being changed: each has a row while it is.  A row knows what of its file is counted already; the
 * last request that leaves it asks the kernel what the file takes now and counts the difference.
 * While others are at the same file its count only rises: their reservations were reckoned from
 * what was allocated when they began.
 *
 * Locks: quota->lock is a leaf.  quota->reap is held while files are deleted, outside of everything
 * but a folder's dir_lock.
 */
#include "workers/ninepfs/limits.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "workers/ninepfs/fs.h"

#define BLOCK 4096u
#define TREE_LIVES 1                /* seconds for which a look through the export is believed */

struct row {
    dev_t dev;
    ino_t ino;
    uint32_t users;                 /* 0: free */
    uint32_t ticket;                /* of who asked the kernel last */
    bool known;
    int64_t counted;
};

struct p9_quota {
    struct p9_quota_config cfg;
    int root_fd;
    pthread_mutex_t lock;
    int64_t space, files;           /* in use */
    int64_t space_kept, files_kept; /* reserved */
    struct row row[P9_MAX_RINGS + 1];   /* one more for what is deleted for a request */

    pthread_mutex_t reap;
    struct p9_tree *tree;           /* under reap */
    time_t tree_time;
    uint32_t tree_at;               /* files before it were dealt with */
};

static struct p9_quota *quota_of(struct p9_server *s)
{
    return s->cfg.limits_arg;
}

static uint64_t blocks_up(uint64_t n)
{
    return (n + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
}

static int64_t space_of(const struct stat *st)
{
    return (int64_t)st->st_blocks * 512;
}

/* ---------- rows; under the lock */

static struct row *row_find(struct p9_quota *q, const struct p9_node *n)
{
    for (size_t i = 0; i < P9_MAX_RINGS + 1; i++)
        if (q->row[i].users && q->row[i].dev == n->dev && q->row[i].ino == n->ino)
            return &q->row[i];
    return NULL;
}

static struct row *row_enter(struct p9_quota *q, const struct p9_node *n)
{
    struct row *r = row_find(q, n);

    for (size_t i = 0; !r && i < P9_MAX_RINGS + 1; i++)
        if (!q->row[i].users) {
            r = &q->row[i];
            memset(r, 0, sizeof(*r));
            r->dev = n->dev;
            r->ino = n->ino;
        }
    assert(r);                      /* a ring is in one, and who deletes in another */
    r->users++;
    return r;
}

/* Enters the file's row and says what it is now.  0 or -errno (then it has left again). */
static int enter(struct p9_quota *q, const struct p9_node *n, struct stat *st)
{
    struct row *r;
    int rc;

    pthread_mutex_lock(&q->lock);
    r = row_enter(q, n);
    pthread_mutex_unlock(&q->lock);
    rc = fstat(n->fd, st) < 0 ? -errno : 0;
    pthread_mutex_lock(&q->lock);
    if (rc) {
        r->users--;
    } else if (!r->known) {
        /* Nobody in this row has changed the file yet: who does so was here before. */
        r->known = true;
        r->counted = n->known ? n->counted : space_of(st);
    }
    pthread_mutex_unlock(&q->lock);
    return rc;
}

/* Counts what the file takes now and leaves its row. `gone`: it may have lost its last name. */
static void leave(struct p9_quota *q, struct p9_node *n, bool gone)
{
    struct row *r;
    struct stat st;
    uint32_t ticket;
    int64_t now;
    bool ok;

    pthread_mutex_lock(&q->lock);
    r = row_find(q, n);
    do {
        ticket = ++r->ticket;
        pthread_mutex_unlock(&q->lock);
        ok = !fstat(n->fd, &st);
        pthread_mutex_lock(&q->lock);
        /* Alone, but somebody was here since: what we saw may be older than what he did. */
    } while (r->users == 1 && ticket != r->ticket);
    now = ok ? space_of(&st) : r->counted;
    if (r->users > 1 && now < r->counted)
        now = r->counted;
    q->space += now - r->counted;
    r->counted = now;
    /* Kept, for a file system may take more later: a block map when it writes out. */
    n->counted = now;
    n->known = true;
    /* A folder has one name; not all file systems count it down. */
    if (gone && ok && !n->gone && (!st.st_nlink || S_ISDIR(st.st_mode))) {
        n->gone = true;
        q->files--;
    }
    r->users--;
    pthread_mutex_unlock(&q->lock);
}

/* ---------- room */

static int64_t missing(int64_t used, int64_t kept, uint64_t max, uint64_t want)
{
    if (!max || !want)
        return 0;
    if (want > (uint64_t)INT64_MAX / 4 || max > (uint64_t)INT64_MAX / 4)
        return want > max ? INT64_MAX / 2 : 0;
    return used + kept + (int64_t)want - (int64_t)max;
}

/* Under the lock: 0, and it is reserved; or -ENOSPC. */
static int keep(struct p9_quota *q, uint64_t space, uint32_t files, int64_t *lack_space,
                int64_t *lack_files)
{
    *lack_space = missing(q->space, q->space_kept, q->cfg.max_space, space);
    *lack_files = missing(q->files, q->files_kept, q->cfg.max_files, files);
    if (*lack_space > 0 || *lack_files > 0)
        return -ENOSPC;
    q->space_kept += (int64_t)space;
    q->files_kept += files;
    return 0;
}

static int try_keep(struct p9_quota *q, uint64_t space, uint32_t files, int64_t *lack_space,
                    int64_t *lack_files)
{
    int rc;

    pthread_mutex_lock(&q->lock);
    rc = keep(q, space, files, lack_space, lack_files);
    pthread_mutex_unlock(&q->lock);
    return rc;
}

/* ---------- auto-delete; under reap */

static bool may_delete(struct p9_server *s, const struct p9_tree_file *f,
                       const struct p9_node *but)
{
    return f->ino && !(but && but->dev == f->dev && but->ino == f->ino) &&
           !p9_node_is_open(&s->nodes, f->dev, f->ino);
}

/* Is the file still the one that was seen?  Its node, the caller's; or -errno. */
static int same_file(struct p9_server *s, const struct p9_tree_file *f, int dir,
                     struct p9_node **n)
{
    struct stat st;
    int rc, fd = openat(dir, f->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    rc = fstat(fd, &st) < 0 ? -errno : 0;
    if (!rc && (st.st_dev != f->dev || st.st_ino != f->ino || !S_ISREG(st.st_mode) ||
                st.st_nlink != 1 || st.st_mtim.tv_sec != f->mtime.tv_sec ||
                st.st_mtim.tv_nsec != f->mtime.tv_nsec))
        rc = -ESTALE;
    if (rc) {
        close(fd);
        return rc;
    }
    return p9_node_get(&s->nodes, fd, &st, n);
}

/* A fid that is not open may hold the file's bytes: nobody can have use of them any more. */
static void drop_bytes(struct p9_server *s, struct p9_node *n)
{
    struct stat st;
    int fd;

    if (p9_node_is_open(&s->nodes, n->dev, n->ino) || enter(quota_of(s), n, &st))
        return;
    if (st.st_nlink || !st.st_blocks) {
        leave(quota_of(s), n, false);
        return;
    }
    fd = p9_fs_open(s, n, O_WRONLY | O_TRUNC);
    if (fd >= 0)
        close(fd);
    leave(quota_of(s), n, false);
}

static int delete_one(struct p9_server *s, struct p9_tree_file *f)
{
    struct p9_quota *q = quota_of(s);
    struct p9_node *n = NULL;
    struct stat st;
    int rc, dir = p9_tree_open(q->root_fd, f->dir);

    if (dir < 0)
        return dir;
    p9_fs_names_lock(s);
    rc = same_file(s, f, dir, &n);
    if (!rc && unlinkat(dir, f->name, 0) < 0)
        rc = -errno;
    if (!rc)
        rc = enter(q, n, &st);
    if (!rc)
        leave(q, n, true);
    p9_fs_names_unlock(s);
    if (!rc)
        drop_bytes(s, n);
    p9_node_put(&s->nodes, n);
    close(dir);
    /* Done with, whatever came of it. */
    q->tree->plain--;
    q->tree->plain_space -= f->space;
    f->ino = 0;
    f->space = 0;
    return rc;
}

static time_t now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

static int look_again(struct p9_quota *q)
{
    int rc;

    if (q->tree)
        p9_tree_free(q->tree);
    else if (!(q->tree = malloc(sizeof(*q->tree))))
        return -ENOMEM;
    rc = p9_tree_scan(q->tree, q->root_fd, q->cfg.max_scan);
    if (rc) {
        free(q->tree);
        q->tree = NULL;
    }
    q->tree_time = now_s();
    q->tree_at = 0;
    return rc;
}

/* Would all that may be deleted make room?  What was not remembered by name may be, too. */
static bool suffices(struct p9_server *s, const struct p9_node *but, int64_t space, int64_t files)
{
    struct p9_quota *q = quota_of(s);
    uint64_t other = q->tree->plain_space, count = q->tree->plain;
    int64_t have_space = 0, have_files = 0;

    for (uint32_t i = 0; i < q->tree->noldest; i++) {
        const struct p9_tree_file *f = &q->tree->oldest[i];

        if (!f->ino)
            continue;
        other -= f->space;
        count--;
        if (!may_delete(s, f, but))
            continue;
        have_space += (int64_t)f->space;
        have_files++;
    }
    return have_space + (int64_t)other >= space && have_files + (int64_t)count >= files;
}

/* Deletes until there is room; 0: it is reserved. */
static int make_room(struct p9_server *s, const struct p9_node *but, uint64_t space,
                     uint32_t files)
{
    struct p9_quota *q = quota_of(s);
    int64_t lack_space, lack_files;
    bool fresh = false, progress = true;
    int rc;

    if ((q->cfg.max_space && space > q->cfg.max_space) ||
        (q->cfg.max_files && files > q->cfg.max_files))
        return -ENOSPC;
    while ((rc = try_keep(q, space, files, &lack_space, &lack_files))) {
        bool old = !q->tree || q->tree_at == q->tree->noldest ||
                   now_s() - q->tree_time > TREE_LIVES;

        if (old || (!fresh && !suffices(s, but, lack_space, lack_files))) {
            /* A look after which nothing could be deleted was the last. */
            if (!progress || look_again(q) || !suffices(s, but, lack_space, lack_files))
                return rc;
            progress = false;
        }
        fresh = true;
        for (; q->tree_at < q->tree->noldest; q->tree_at++)
            if (may_delete(s, &q->tree->oldest[q->tree_at], but))
                break;
        if (q->tree_at < q->tree->noldest)
            progress |= !delete_one(s, &q->tree->oldest[q->tree_at++]);
    }
    return rc;
}

/* ---------- what others call */

static int room(struct p9_server *s, struct p9_charge *c, uint64_t space, uint32_t files)
{
    struct p9_quota *q = quota_of(s);
    int64_t lack_space, lack_files;
    int rc = try_keep(q, space, files, &lack_space, &lack_files);

    if (rc && q->cfg.auto_delete) {
        pthread_mutex_lock(&q->reap);
        /* Files that were open at the last look may not be any more. */
        q->tree_at = 0;
        rc = make_room(s, files ? NULL : c->node, space, files);
        pthread_mutex_unlock(&q->reap);
    }
    c->space = (int64_t)space;
    c->files = files;
    return rc;
}

static int reserve(struct p9_server *s, struct p9_charge *c, struct p9_node *node, uint64_t space,
                   uint32_t files)
{
    struct stat st;
    int rc;

    c->node = node;
    rc = enter(quota_of(s), node, &st);
    if (rc)
        return rc;
    c->before = (uint64_t)space_of(&st);
    rc = room(s, c, space, files);
    if (rc)
        leave(quota_of(s), node, false);
    return rc;
}

/* The most that a write can take. */
static uint64_t write_takes(const struct stat *st, bool append, uint64_t off, uint64_t len)
{
    uint64_t size = (uint64_t)st->st_size, has = (uint64_t)st->st_blocks * 512, end, all, range;

    if (!len)
        return 0;
    if (append) {
        /* Others may append meanwhile: where ours will lie is not known. */
        if (size % BLOCK || len % BLOCK)
            return blocks_up(len) + BLOCK;
        return len;
    }
    end = blocks_up(off + len);
    range = end - (off & ~(uint64_t)(BLOCK - 1));
    all = end > blocks_up(size) ? end : blocks_up(size);
    /* No more than fills all holes. */
    all = all > has ? all - has : 0;
    return range < all ? range : all;
}

static int reserve_write(struct p9_server *s, struct p9_charge *c, struct p9_fid *f, uint64_t off,
                         uint64_t len)
{
    struct stat st;
    int rc;

    c->node = f->node;
    rc = enter(quota_of(s), f->node, &st);
    if (rc)
        return rc;
    c->before = (uint64_t)space_of(&st);
    rc = room(s, c, write_takes(&st, f->flags & O_APPEND, off, len), 0);
    if (rc)
        leave(quota_of(s), f->node, false);
    return rc;
}

static void settle(struct p9_server *s, struct p9_charge *c, bool ok, int fd)
{
    struct p9_quota *q = quota_of(s);
    int64_t made = 0;
    struct stat st;

    /* What was made is beside c->node, its folder.  A file that somebody has written to by now has
     * been counted by him. */
    if (ok && c->files && !fstat(fd, &st) &&
        (c->space || !S_ISREG(st.st_mode) || !st.st_size))
        made = space_of(&st);
    leave(q, c->node, false);
    pthread_mutex_lock(&q->lock);
    q->space_kept -= c->space;
    q->files_kept -= c->files;
    q->space += made;
    if (ok)
        q->files += c->files;
    pthread_mutex_unlock(&q->lock);
}

static void removed(struct p9_server *s, struct p9_node *n, const struct stat *before)
{
    struct stat st;

    (void)before;
    if (!enter(quota_of(s), n, &st))
        leave(quota_of(s), n, true);
}

static void node_gone(struct p9_server *s, struct p9_node *n)
{
    struct p9_quota *q = quota_of(s);
    struct stat st;
    bool ok;

    if (!n->known)
        return;
    ok = !fstat(n->fd, &st);
    pthread_mutex_lock(&q->lock);
    if (n->gone)
        q->space -= n->counted;
    else if (ok && !row_find(q, n))
        q->space += space_of(&st) - n->counted;
    pthread_mutex_unlock(&q->lock);
}

static uint64_t left_of(uint64_t max, int64_t used)
{
    if (used < 0)
        used = 0;
    return max > (uint64_t)used ? max - (uint64_t)used : 0;
}

static void quota_statfs(struct p9_server *s, struct statfs *sf)
{
    struct p9_quota *q = quota_of(s);
    uint64_t bsize = sf->f_bsize > 0 ? (uint64_t)sf->f_bsize : BLOCK, left;

    pthread_mutex_lock(&q->lock);
    if (q->cfg.max_space) {
        left = left_of(q->cfg.max_space, q->space + q->space_kept) / bsize;
        sf->f_blocks = q->cfg.max_space / bsize;
        if (sf->f_bavail > left)
            sf->f_bavail = left;
        if (sf->f_bfree > left)
            sf->f_bfree = left;
    }
    if (q->cfg.max_files) {
        left = left_of(q->cfg.max_files, q->files + q->files_kept);
        /* Some file systems count no inodes and say 0 of 0. */
        if (sf->f_ffree > left || !sf->f_files)
            sf->f_ffree = left;
        sf->f_files = q->cfg.max_files;
    }
    pthread_mutex_unlock(&q->lock);
}

const struct p9_limits p9_quota_limits = {
    .reserve = reserve, .reserve_write = reserve_write, .settle = settle, .removed = removed,
    .node_gone = node_gone, .statfs = quota_statfs,
};

/* ---------- life */

int p9_quota_new(const struct p9_quota_config *cfg, int root_fd, struct p9_quota **quota)
{
    struct p9_quota *q = calloc(1, sizeof(*q));
    int rc;

    if (!q)
        return -ENOMEM;
    q->cfg = *cfg;
    if (!q->cfg.max_scan)
        q->cfg.max_scan = 1u << 20;
    q->root_fd = root_fd;
    p9_mutex_init(&q->lock);
    p9_mutex_init(&q->reap);
    rc = look_again(q);
    if (rc) {
        p9_quota_free(q);
        return rc;
    }
    q->space = (int64_t)q->tree->space;
    q->files = (int64_t)q->tree->files;
    p9_tree_free(q->tree);
    free(q->tree);
    q->tree = NULL;
    *quota = q;
    return 0;
}

void p9_quota_free(struct p9_quota *q)
{
    if (!q)
        return;
    if (q->tree) {
        p9_tree_free(q->tree);
        free(q->tree);
    }
    pthread_mutex_destroy(&q->lock);
    pthread_mutex_destroy(&q->reap);
    free(q);
}

void p9_quota_usage(struct p9_quota *q, int64_t *space, int64_t *files)
{
    pthread_mutex_lock(&q->lock);
    *space = q->space;
    *files = q->files;
    pthread_mutex_unlock(&q->lock);
}
