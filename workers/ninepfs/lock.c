/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/ninepfs/lock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/ninepfs/fs.h"

/* 9P2000.L's numbers. */
enum { L_RDLCK = 0, L_WRLCK = 1, L_UNLCK = 2 };
enum { L_SUCCESS = 0, L_BLOCKED = 1 };
enum { L_BLOCK = 1, L_RECLAIM = 2 };

struct p9_lock_owner {
    const struct p9_node *node;     /* held by the fids that use it, and by requests' fids */
    uint32_t pid;
    int fd;
    /* under the lock */
    struct p9_lock_owner *next;
    struct p9_lock_use *uses;
    uint32_t busy;                  /* requests that are at it */
    uint64_t turn;                  /* counts them */
};

/* That an owner locked through a fid. In two lists, each with the pointer that points to it. */
struct p9_lock_use {
    struct p9_lock_owner *owner;
    struct p9_fid *fid;
    struct p9_lock_use *of_fid, **of_fid_at;
    struct p9_lock_use *of_owner, **of_owner_at;
};

void p9_locks_init(struct p9_locks *t, uint32_t max)
{
    memset(t, 0, sizeof(*t));
    t->max = max;
    /* Cannot fail with glibc and default attributes. */
    pthread_mutex_init(&t->lock, NULL);
}

void p9_locks_free(struct p9_locks *t)
{
    assert(!t->owners && !t->uses);
    pthread_mutex_destroy(&t->lock);
}

/* ---------- owners; all but get and put under the lock */

static struct p9_lock_owner **place_of(struct p9_locks *t, const struct p9_node *n, uint32_t pid)
{
    uint64_t hash = ((uint64_t)(uintptr_t)n >> 4 ^ (uint64_t)pid << 32) * 0x9e3779b97f4a7c15u;
    struct p9_lock_owner **at = &t->bucket[(hash >> 40) % P9_LOCK_BUCKETS];

    while (*at && ((*at)->node != n || (*at)->pid != pid))
        at = &(*at)->next;
    return at;
}

static void use_free(struct p9_locks *t, struct p9_lock_use *u)
{
    *u->of_fid_at = u->of_fid;
    if (u->of_fid)
        u->of_fid->of_fid_at = u->of_fid_at;
    *u->of_owner_at = u->of_owner;
    if (u->of_owner)
        u->of_owner->of_owner_at = u->of_owner_at;
    t->uses--;
    free(u);
}

static int use_add(struct p9_locks *t, struct p9_fid *f, struct p9_lock_owner *o)
{
    struct p9_lock_use *u;

    for (u = o->uses; u; u = u->of_owner)
        if (u->fid == f)
            return 0;
    if (t->uses >= P9_LOCK_USES_MAX || !(u = malloc(sizeof(*u))))
        return -ENOLCK;
    u->owner = o;
    u->fid = f;
    u->of_fid = f->lock_uses;
    u->of_fid_at = &f->lock_uses;
    if (u->of_fid)
        u->of_fid->of_fid_at = &u->of_fid;
    f->lock_uses = u;
    u->of_owner = o->uses;
    u->of_owner_at = &o->uses;
    if (u->of_owner)
        u->of_owner->of_owner_at = &u->of_owner;
    o->uses = u;
    t->uses++;
    return 0;
}

/* Out of the table, if nobody needs it: the caller closes and frees it without the lock. */
static struct p9_lock_owner *unhook(struct p9_locks *t, struct p9_lock_owner *o)
{
    if (o->uses || o->busy)
        return NULL;
    *place_of(t, o->node, o->pid) = o->next;
    t->owners--;
    return o;
}

static void owner_free(struct p9_lock_owner *o)
{
    if (!o)
        return;
    close(o->fd);
    free(o);
}

/* A descriptor whose locks are one owner's: an opening of its own. */
static int open_own(struct p9_server *s, struct p9_fid *f)
{
    int fd = -EROFS;

    /* For either kind of lock, whatever f may do: flock(2) has it so. */
    if (!s->cfg.read_only)
        fd = p9_fs_open(s, f->node, O_RDWR);
    if (fd < 0)
        fd = p9_fs_open(s, f->node, f->flags & O_ACCMODE);
    /* Not even that any more: then owners that lock through f are one for the host. */
    if (fd < 0) {
        fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
        fd = fd < 0 ? -errno : fd;
    }
    return fd;
}

static int owner_new(struct p9_server *s, struct p9_fid *f, uint32_t pid,
                     struct p9_lock_owner **owner)
{
    struct p9_lock_owner *o = calloc(1, sizeof(*o));
    int rc;

    if (!o)
        return -ENOLCK;
    o->node = f->node;
    o->pid = pid;
    o->fd = open_own(s, f);
    if (o->fd < 0) {
        rc = o->fd;
        free(o);
        return rc;
    }
    *owner = o;
    return 0;
}

/* The owner there is; or `new`, which is then in the table; or NULL.  Busy, with its turn. */
static struct p9_lock_owner *owner_get(struct p9_locks *t, struct p9_node *n, uint32_t pid,
                                       struct p9_lock_owner *new, uint64_t *turn)
{
    struct p9_lock_owner **at, *o;

    pthread_mutex_lock(&t->lock);
    at = place_of(t, n, pid);
    if (!*at && new && t->owners < t->max) {
        *at = new;
        t->owners++;
    }
    o = *at;
    if (o) {
        o->busy++;
        *turn = ++o->turn;
    }
    pthread_mutex_unlock(&t->lock);
    return o;
}

/*
 * empty: at this turn the owner had no locks.  It goes, if no turn came later.  One that came
 * before and set a lock meanwhile is not answered yet, so it may as well have been first.
 */
static void owner_put(struct p9_locks *t, struct p9_lock_owner *o, bool empty, uint64_t turn)
{
    pthread_mutex_lock(&t->lock);
    o->busy--;
    while (empty && !o->busy && o->turn == turn && o->uses)
        use_free(t, o->uses);
    o = unhook(t, o);
    pthread_mutex_unlock(&t->lock);
    owner_free(o);
}

void p9_locks_fid_gone(struct p9_server *s, struct p9_fid *f)
{
    struct p9_locks *t = &s->locks;
    struct p9_lock_owner *o, *gone = NULL;

    pthread_mutex_lock(&t->lock);
    while (f->lock_uses) {
        o = f->lock_uses->owner;
        use_free(t, f->lock_uses);
        o = unhook(t, o);
        if (o) {
            o->next = gone;
            gone = o;
        }
    }
    pthread_mutex_unlock(&t->lock);
    while ((o = gone)) {
        gone = o->next;
        owner_free(o);
    }
}

/* ---------- Tlock */

static int to_flock(uint8_t type, uint64_t start, uint64_t len, struct flock *fl)
{
    static const short types[] = { [L_RDLCK] = F_RDLCK, [L_WRLCK] = F_WRLCK, [L_UNLCK] = F_UNLCK };

    if (type > L_UNLCK || start > INT64_MAX || len > INT64_MAX)
        return -EINVAL;
    if (len && len - 1 > INT64_MAX - start)
        return -EOVERFLOW;
    memset(fl, 0, sizeof(*fl));     /* OFD locks want l_pid 0 */
    fl->l_type = types[type];
    fl->l_whence = SEEK_SET;
    fl->l_start = (off_t)start;
    fl->l_len = (off_t)len;
    return 0;
}

/* 0 or L_BLOCKED, or -errno. */
static int set_lock(int fd, const struct flock *fl)
{
    if (fcntl(fd, F_OFD_SETLK, fl) == 0)
        return L_SUCCESS;
    if (errno == EAGAIN || errno == EACCES)
        return L_BLOCKED;
    /* The file cannot be opened for writing here, so it cannot be locked for it. */
    return errno == EBADF ? -ENOLCK : -errno;
}

static int unlock(struct p9_locks *t, struct p9_fid *f, uint32_t pid, const struct flock *fl)
{
    struct p9_lock_owner *o;
    uint64_t turn;
    bool all;
    int rc;

    o = owner_get(t, f->node, pid, NULL, &turn);
    if (!o)
        return L_SUCCESS;           /* Linux sends one at each close of a file with locks */
    rc = set_lock(o->fd, fl);
    all = !fl->l_start && (!fl->l_len || fl->l_len == INT64_MAX);
    owner_put(t, o, !rc && all, turn);
    return rc;
}

static int lock(struct p9_server *s, struct p9_fid *f, uint32_t pid, const struct flock *fl)
{
    struct p9_locks *t = &s->locks;
    struct p9_lock_owner *o, *new = NULL;
    uint64_t turn;
    int rc;

    o = owner_get(t, f->node, pid, NULL, &turn);
    if (!o) {
        rc = owner_new(s, f, pid, &new);
        if (rc)
            return rc;
        o = owner_get(t, f->node, pid, new, &turn);
        /* Another ring was faster, or there are too many. */
        if (o != new) {
            owner_free(new);
            new = NULL;
        }
        if (!o)
            return -ENOLCK;
    }
    pthread_mutex_lock(&t->lock);
    rc = use_add(t, f, o);
    pthread_mutex_unlock(&t->lock);
    if (!rc)
        rc = set_lock(o->fd, fl);
    owner_put(t, o, rc && o == new, turn);
    return rc;
}

static int op_lock(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd), flags, pid;
    uint8_t type = p9_rd8(&q->rd);
    uint64_t start, len;
    struct flock fl;
    struct p9_fid *f;
    int rc;

    flags = p9_rd32(&q->rd);
    start = p9_rd64(&q->rd);
    len = p9_rd64(&q->rd);
    pid = p9_rd32(&q->rd);
    p9_rd_str(&q->rd);
    rc = p9_req_end(q);
    if (!rc)
        rc = flags & ~(uint32_t)(L_BLOCK | L_RECLAIM) ? -EINVAL : to_flock(type, start, len, &fl);
    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    /* A guest that would wait is told "blocked", and asks again: a ring never sleeps for a lock. */
    if (f->kind != P9_FID_FILE)
        rc = -EBADF;
    else if (type == L_UNLCK)
        rc = unlock(&q->s->locks, f, pid, &fl);
    else
        rc = lock(q->s, f, pid, &fl);
    p9_fid_put(q->s, f);
    if (rc < 0)
        return rc;
    p9_wr8(&q->wr, (uint8_t)rc);
    return 0;
}

/* ---------- Tgetlock */

static int test_lock(struct p9_locks *t, struct p9_fid *f, uint32_t pid, struct flock *fl)
{
    uint64_t turn;
    struct p9_lock_owner *o = owner_get(t, f->node, pid, NULL, &turn);
    int r = fcntl(o ? o->fd : f->fd, F_OFD_GETLK, fl), rc = r < 0 ? -errno : 0;

    if (o)
        owner_put(t, o, false, turn);
    return rc;
}

static int op_getlock(struct p9_req *q)
{
    uint32_t num = p9_rd32(&q->rd), pid;
    uint8_t type = p9_rd8(&q->rd);
    uint64_t start = p9_rd64(&q->rd), len = p9_rd64(&q->rd);
    struct p9_str client;
    struct flock fl;
    struct p9_fid *f;
    int rc;

    pid = p9_rd32(&q->rd);
    client = p9_rd_str(&q->rd);
    rc = p9_req_end(q);
    if (!rc)
        rc = type == L_UNLCK ? -EINVAL : to_flock(type, start, len, &fl);
    if (!rc)
        rc = p9_req_fid(q, num, &f);
    if (rc)
        return rc;
    rc = f->kind == P9_FID_FILE ? test_lock(&q->s->locks, f, pid, &fl) : -EBADF;
    p9_fid_put(q->s, f);
    if (rc)
        return rc;
    if (fl.l_type == F_UNLCK) {
        p9_wr8(&q->wr, L_UNLCK);
        p9_wr64(&q->wr, start);
        p9_wr64(&q->wr, len);
        p9_wr32(&q->wr, pid);
        p9_wr_str(&q->wr, client.s, client.len);
        return 0;
    }
    /* Whose it is is not told: it may be a process of the host's. */
    p9_wr8(&q->wr, fl.l_type == F_RDLCK ? L_RDLCK : L_WRLCK);
    p9_wr64(&q->wr, (uint64_t)fl.l_start);
    p9_wr64(&q->wr, (uint64_t)fl.l_len);
    p9_wr32(&q->wr, 0);
    p9_wr_str(&q->wr, "", 0);
    return 0;
}

const struct p9_op p9_ops_lock[] = {
    { P9_TLOCK, P9_L, op_lock },
    { P9_TGETLOCK, P9_L, op_getlock },
    { 0 },
};
