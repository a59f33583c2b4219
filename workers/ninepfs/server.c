/* SPDX-License-Identifier: LGPL-2.1-only */
/* Life of a device's server and of its rings' threads. */
#include "workers/ninepfs/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "workers/ninepfs/fs.h"
#include "workers/ninepfs/lock.h"

static void node_gone(void *arg, struct p9_node *n)
{
    struct p9_server *s = arg;

    if (s->cfg.limits && s->cfg.limits->node_gone)
        s->cfg.limits->node_gone(s, n);
}

static int open_root(struct p9_server *s)
{
    struct stat st;
    int fd, rc;

    fd = p9_fs_path_fd(s, s->cfg.root_fd);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    if (!S_ISDIR(st.st_mode)) {
        close(fd);
        return -ENOTDIR;
    }
    return p9_node_get(&s->nodes, fd, &st, &s->root);
}

int p9_server_init(struct p9_server *s, const struct p9_config *cfg)
{
    int rc;

    memset(s, 0, sizeof(*s));
    s->cfg = *cfg;
    if (!s->cfg.max_fids)
        s->cfg.max_fids = P9_DEFAULT_FIDS;
    if (!s->cfg.max_nodes)
        s->cfg.max_nodes = P9_DEFAULT_NODES;
    if (!s->cfg.max_opens)
        s->cfg.max_opens = P9_DEFAULT_OPENS;
    if (!s->cfg.max_lock_owners)
        s->cfg.max_lock_owners = P9_DEFAULT_LOCK_OWNERS;
    s->msize_max = s->cfg.max_msize ? s->cfg.max_msize : UINT32_MAX;
    if (s->msize_max < P9_MSIZE_MIN)
        return -EINVAL;
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->stop_fd < 0)
        return -errno;
    umask(0);
    p9_dispatch_init(s);

    /* None of these can fail with glibc and these attributes. */
    p9_mutex_init(&s->lock);
    p9_mutex_init(&s->names_lock);
    pthread_cond_init(&s->changed, NULL);
    p9_nodes_init(&s->nodes, s->cfg.max_nodes);
    s->nodes.gone = node_gone;
    s->nodes.gone_arg = s;
    p9_fids_init(&s->fids, &s->nodes, s->cfg.max_fids, s->cfg.max_opens);
    p9_locks_init(&s->locks, s->cfg.max_lock_owners);
    rc = open_root(s);
    if (rc)
        p9_server_free(s);
    return rc;
}

int p9_server_add_ring(struct p9_server *s, struct p9_ring_intf *intf, void *data,
                       unsigned int order, const struct p9_ring_ops *ops, int event_fd,
                       int notify_fd)
{
    struct p9_req *q;
    int rc;

    if (s->nrings == P9_MAX_RINGS)
        return -ENOSPC;
    q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;
    rc = p9_ring_init(&q->ring, intf, data, order, ops, event_fd, notify_fd, s->stop_fd);
    if (rc) {
        free(q);
        return rc;
    }
    q->s = s;
    q->index = s->nrings;
    /* Half of a half: a reply fits while another one waits to be fetched. */
    if (s->msize_max > q->ring.size / 2)
        s->msize_max = q->ring.size / 2;
    atomic_store(&s->msize, s->msize_max);
    s->ring[s->nrings++] = q;
    return (int)q->index;
}

uint32_t p9_server_fds(const struct p9_server *s)
{
    /* One for each owner of locks; the stop eventfd; per ring what one request holds for a
     * moment: a descriptor that turns out to be of a known node, a new file and its O_PATH one,
     * a fid that is being replaced. */
    return s->cfg.max_nodes + s->cfg.max_opens + s->cfg.max_lock_owners + 1 + 4 * P9_MAX_RINGS;
}

/* ---------- threads */

static void ring_ended(struct p9_req *q, int rc)
{
    struct p9_server *s = q->s;
    const char *why = "stopped";

    if (rc == -EPROTO)
        why = "the frontend broke the ring's rules";
    else if (rc)
        why = "the ring's event channel failed";
    if (s->cfg.ring_ended)
        s->cfg.ring_ended(s->cfg.arg, q->index, rc, why);
    /* A ring that cannot go on ends the device: its guest has requests that nobody will answer. */
    if (rc)
        p9_server_stop(s);
}

static void *ring_main(void *arg)
{
    struct p9_req *q = arg;
    int rc;

    do {
        rc = p9_serve(q);
        if (!rc) {
            rc = q->ring.ops->wait(&q->ring);
            if (rc == 1)
                rc = -ECANCELED;
        }
    } while (rc >= 0);
    ring_ended(q, rc == -ECANCELED ? 0 : rc);
    return NULL;
}

int p9_server_start(struct p9_server *s)
{
    int rc;

    for (unsigned int i = 0; i < s->nrings; i++) {
        rc = pthread_create(&s->ring[i]->thread, NULL, ring_main, s->ring[i]);
        if (rc) {
            p9_server_stop(s);
            return -rc;
        }
        s->ring[i]->started = true;
    }
    return 0;
}

void p9_server_stop(struct p9_server *s)
{
    uint64_t one = 1;

    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    /* It stays readable: nobody reads it.  It can fail only when it is full, and then it is
     * readable. */
    if (write(s->stop_fd, &one, sizeof(one)) < 0)
        return;
}

void p9_server_free(struct p9_server *s)
{
    p9_server_stop(s);
    for (unsigned int i = 0; i < s->nrings; i++)
        if (s->ring[i]->started)
            pthread_join(s->ring[i]->thread, NULL);
    p9_fids_clunk_all(s);
    p9_node_put(&s->nodes, s->root);
    p9_locks_free(&s->locks);
    p9_fids_free(&s->fids);
    p9_nodes_free(&s->nodes);
    for (unsigned int i = 0; i < s->nrings; i++)
        free(s->ring[i]);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->names_lock);
    close(s->stop_fd);
}
