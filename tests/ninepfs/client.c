/* SPDX-License-Identifier: LGPL-2.1-only */
#include "tests/ninepfs/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CLIENT_MAX (1u << 20)

static void die(const char *what)
{
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    abort();
}

/* ---------- start and stop */

static void ring_ended(void *arg, unsigned int ring, int rc, const char *why)
{
    struct p9c *c = arg;
    uint64_t one = 1;

    __atomic_store_n(&c->ended[ring], rc ? rc : 1, __ATOMIC_RELEASE);
    if (write(c->ring[ring].to_us, &one, sizeof(one)) < 0)
        return;
}

static void make_ring(struct p9c *c, unsigned int i, unsigned int order)
{
    struct p9c_ring *r = &c->ring[i];
    size_t len = P9_RING_PAGE + ((size_t)P9_RING_PAGE << order);
    int fd = memfd_create("9pfs-ring", MFD_CLOEXEC);
    uint8_t *p;
    int n;

    if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
        die("memfd");
    p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        die("mmap");
    close(fd);
    r->intf = (struct p9_ring_intf *)p;
    r->intf->ring_order = order;
    r->size = (P9_RING_PAGE << order) / 2;
    r->in = p + P9_RING_PAGE;
    r->out = r->in + r->size;
    r->map_len = len;
    r->in_cons = r->out_prod = c->start_index;
    r->intf->in_cons = r->intf->in_prod = c->start_index;
    r->intf->out_cons = r->intf->out_prod = c->start_index;
    r->to_server = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->to_us = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->to_server < 0 || r->to_us < 0)
        die("eventfd");
    n = p9_server_add_ring(&c->server, r->intf, r->in, order, &p9_ring_eventfd, r->to_server,
                           r->to_us);
    if (n != (int)i) {
        errno = -n;
        die("p9_server_add_ring");
    }
}

struct p9c *p9c_start_at(const struct p9_config *cfg, unsigned int nrings, unsigned int order,
                         int threads, uint32_t index)
{
    const char *tmp = getenv("TMPDIR");
    struct p9c *c = calloc(1, sizeof(*c));
    struct p9_config conf = { 0 };
    int rc;

    if (!c)
        die("calloc");
    if (cfg)
        conf = *cfg;
    snprintf(c->root, sizeof(c->root), "%s/moat-9p.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(c->root))
        die(c->root);
    c->root_fd = open(c->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    c->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (c->root_fd < 0 || c->proc_fd < 0 || fchdir(c->proc_fd) < 0)
        die("folders");
    conf.root_fd = c->root_fd;
    conf.proc_fd = c->proc_fd;
    conf.ring_ended = ring_ended;
    conf.arg = c;
    rc = p9_server_init(&c->server, &conf);
    if (rc) {
        errno = -rc;
        die("p9_server_init");
    }
    c->start_index = index;
    c->timeout_ms = 10000;
    c->nrings = nrings;
    for (unsigned int i = 0; i < nrings; i++)
        make_ring(c, i, order);
    if (threads && (rc = p9_server_start(&c->server))) {
        errno = -rc;
        die("p9_server_start");
    }
    c->running = threads;
    return c;
}

struct p9c *p9c_start(const struct p9_config *cfg, unsigned int nrings, unsigned int order,
                      int threads)
{
    return p9c_start_at(cfg, nrings, order, threads, 0);
}

/* Everything below the folder, by the shell's own tool: tests leave odd things there. */
static void remove_tree(const char *path)
{
    char cmd[192];

    snprintf(cmd, sizeof(cmd), "chmod -R u+rwx '%s' 2>/dev/null; rm -rf '%s'", path, path);
    if (system(cmd))
        fprintf(stderr, "client: %s is left behind\n", path);
}

void p9c_stop(struct p9c *c)
{
    p9_server_free(&c->server);
    for (unsigned int i = 0; i < c->nrings; i++) {
        munmap(c->ring[i].intf, c->ring[i].map_len);
        close(c->ring[i].to_server);
        close(c->ring[i].to_us);
    }
    close(c->root_fd);
    close(c->proc_fd);
    remove_tree(c->root);
    free(c);
}

/* ---------- raw */

uint32_t p9c_room(struct p9c_ring *r)
{
    return r->size - (r->out_prod - __atomic_load_n(&r->intf->out_cons, __ATOMIC_ACQUIRE));
}

void p9c_put(struct p9c_ring *r, const void *buf, uint32_t len)
{
    uint32_t from = r->out_prod & (r->size - 1), first = r->size - from;

    if (first > len)
        first = len;
    memcpy(r->out + from, buf, first);
    memcpy(r->out, (const uint8_t *)buf + first, len - first);
    r->out_prod += len;
}

void p9c_ring_bell(struct p9c_ring *r)
{
    uint64_t one = 1;

    __atomic_store_n(&r->intf->out_prod, r->out_prod, __ATOMIC_RELEASE);
    if (write(r->to_server, &one, sizeof(one)) < 0 && errno != EAGAIN)
        die("eventfd");
}

static void get(struct p9c_ring *r, void *buf, uint32_t len)
{
    uint32_t from = r->in_cons & (r->size - 1), first = r->size - from;

    if (first > len)
        first = len;
    memcpy(buf, r->in + from, first);
    memcpy((uint8_t *)buf + first, r->in, len - first);
}

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int p9c_ended(struct p9c *c, unsigned int ring)
{
    return __atomic_load_n(&c->ended[ring], __ATOMIC_ACQUIRE);
}

uint32_t p9c_in_prod(const struct p9c_ring *r)
{
    return __atomic_load_n(&r->intf->in_prod, __ATOMIC_ACQUIRE);
}

/* Sleeps until the server rings, which may have been meanwhile.  False: too late. */
static bool wait_bell(struct p9c *c, unsigned int ring, int64_t until)
{
    struct p9c_ring *r = &c->ring[ring];
    struct pollfd p = { .fd = r->to_us, .events = POLLIN };
    int64_t left = until - now_ms();
    uint64_t n;

    if (!c->running) {
        int rc = p9_serve(c->server.ring[ring]);

        if (rc < 0) {
            __atomic_store_n(&c->ended[ring], rc, __ATOMIC_RELEASE);
            return false;
        }
        if (rc > 0)
            return true;
    }
    if (left < 0 || poll(&p, 1, (int)left) <= 0)
        return false;
    if (read(r->to_us, &n, sizeof(n)) < 0 && errno != EAGAIN)
        die("eventfd");
    return true;
}

int p9c_get(struct p9c *c, unsigned int ring, void *buf, uint32_t max)
{
    struct p9c_ring *r = &c->ring[ring];
    int64_t until = now_ms() + c->timeout_ms;

    for (;;) {
        uint32_t queued = p9c_in_prod(r) - r->in_cons;
        uint32_t size;

        if (queued > r->size || (queued && queued < P9_HDR))
            return -EPROTO;
        if (queued) {
            get(r, &size, sizeof(size));
            /* Replies are published whole. */
            if (size < P9_HDR || size > queued || size > max)
                return -EPROTO;
            get(r, buf, size);
            r->in_cons += size;
            __atomic_store_n(&r->intf->in_cons, r->in_cons, __ATOMIC_RELEASE);
            return (int)size;
        }
        if (p9c_ended(c, ring))
            return -EPIPE;
        if (!wait_bell(c, ring, until))
            return p9c_ended(c, ring) ? -EPIPE : -ETIMEDOUT;
    }
}

void p9c_bell_consumed(struct p9c_ring *r)
{
    uint64_t one = 1;

    if (write(r->to_server, &one, sizeof(one)) < 0 && errno != EAGAIN)
        die("eventfd");
}

/* ---------- calls */

void p9c_begin(struct p9c *c, uint8_t type)
{
    p9_wr_init(&c->wr, c->t, CLIENT_MAX);
    p9_wr32(&c->wr, 0);
    p9_wr8(&c->wr, type);
    p9_wr16(&c->wr, ++c->tag == P9_NOTAG ? ++c->tag : c->tag);
}

void p9c_str(struct p9c *c, const char *s)
{
    p9_wr_str(&c->wr, s, strlen(s));
}

uint16_t p9c_send(struct p9c *c, unsigned int ring)
{
    struct p9c_ring *r = &c->ring[ring];
    int64_t until = now_ms() + c->timeout_ms;

    p9_poke32(c->t, (uint32_t)c->wr.len);
    while (p9c_room(r) < c->wr.len)
        if (p9c_ended(c, ring) || !wait_bell(c, ring, until)) {
            errno = ETIMEDOUT;
            die("no room in the ring");
        }
    p9c_put(r, c->t, (uint32_t)c->wr.len);
    p9c_ring_bell(r);
    return c->tag;
}

int p9c_result(struct p9c *c, uint8_t type, uint16_t tag, struct p9_rd *rd)
{
    uint8_t got;
    int err;

    p9_rd_init(rd, c->r, c->r_len);
    p9_rd32(rd);
    got = p9_rd8(rd);
    if (p9_rd16(rd) != tag)
        return -EPROTO;
    if (got == P9_RERROR)
        p9_rd_str(rd);
    if (got == P9_RLERROR || got == P9_RERROR) {
        err = (int)p9_rd32(rd);
        return err > 0 && p9_rd_end(rd) ? -err : -EPROTO;
    }
    return got == type + 1 ? 0 : -EPROTO;
}

int p9c_call(struct p9c *c, unsigned int ring, struct p9_rd *rd)
{
    struct p9_rd own;
    uint16_t tag = p9c_send(c, ring);
    int n = p9c_get(c, ring, c->r, CLIENT_MAX);

    if (n < 0)
        return n;
    c->r_len = (uint32_t)n;
    return p9c_result(c, c->t[4], tag, rd ? rd : &own);
}

/* ---------- whole requests */

int p9c_version(struct p9c *c, const char *dialect, uint32_t msize)
{
    struct p9_rd rd;
    int rc;

    p9c_begin(c, P9_TVERSION);
    p9_wr32(&c->wr, msize);
    p9c_str(c, dialect);
    rc = p9c_call(c, 0, &rd);
    if (rc)
        return rc;
    c->msize = p9_rd32(&rd);
    return p9_str_is(p9_rd_str(&rd), dialect) && p9_rd_end(&rd) ? 0 : -EPROTONOSUPPORT;
}

int p9c_attach(struct p9c *c, uint32_t fid, uint32_t uid)
{
    p9c_begin(c, P9_TATTACH);
    p9_wr32(&c->wr, fid);
    p9_wr32(&c->wr, P9_NOFID);
    p9c_str(c, "nobody");
    p9c_str(c, "");
    p9_wr32(&c->wr, uid);
    return p9c_call(c, 0, NULL);
}

int p9c_walk(struct p9c *c, uint32_t fid, uint32_t newfid, const char *names)
{
    uint16_t n = 0;
    struct p9_rd rd;
    int rc;

    for (const char *p = names; *p; p += strcspn(p, "/"), p += *p == '/')
        n++;
    p9c_begin(c, P9_TWALK);
    p9_wr32(&c->wr, fid);
    p9_wr32(&c->wr, newfid);
    p9_wr16(&c->wr, n);
    for (const char *p = names; *p; p += strcspn(p, "/"), p += *p == '/')
        p9_wr_str(&c->wr, p, strcspn(p, "/"));
    rc = p9c_call(c, 0, &rd);
    if (rc)
        return rc;
    return p9_rd16(&rd) == n ? 0 : -ENOENT;
}

static int one_fid(struct p9c *c, uint8_t type, uint32_t fid)
{
    p9c_begin(c, type);
    p9_wr32(&c->wr, fid);
    return p9c_call(c, 0, NULL);
}

int p9c_clunk(struct p9c *c, uint32_t fid)
{
    return one_fid(c, P9_TCLUNK, fid);
}

int p9c_remove(struct p9c *c, uint32_t fid)
{
    return one_fid(c, P9_TREMOVE, fid);
}

int p9c_lopen(struct p9c *c, uint32_t fid, uint32_t flags)
{
    p9c_begin(c, P9_TLOPEN);
    p9_wr32(&c->wr, fid);
    p9_wr32(&c->wr, flags);
    return p9c_call(c, 0, NULL);
}

int p9c_lcreate(struct p9c *c, uint32_t fid, const char *name, uint32_t flags, uint32_t mode)
{
    p9c_begin(c, P9_TLCREATE);
    p9_wr32(&c->wr, fid);
    p9c_str(c, name);
    p9_wr32(&c->wr, flags);
    p9_wr32(&c->wr, mode);
    p9_wr32(&c->wr, 0);
    return p9c_call(c, 0, NULL);
}

int64_t p9c_read(struct p9c *c, uint32_t fid, uint64_t off, void *buf, uint32_t count)
{
    struct p9_rd rd;
    uint32_t n;
    int rc;

    p9c_begin(c, P9_TREAD);
    p9_wr32(&c->wr, fid);
    p9_wr64(&c->wr, off);
    p9_wr32(&c->wr, count);
    rc = p9c_call(c, 0, &rd);
    if (rc)
        return rc;
    n = p9_rd32(&rd);
    if (n != p9_rd_left(&rd) || n > count)
        return -EPROTO;
    memcpy(buf, rd.p, n);
    return n;
}

int64_t p9c_write(struct p9c *c, uint32_t fid, uint64_t off, const void *buf, uint32_t count)
{
    struct p9_rd rd;
    int rc;

    p9c_begin(c, P9_TWRITE);
    p9_wr32(&c->wr, fid);
    p9_wr64(&c->wr, off);
    p9_wr32(&c->wr, count);
    p9_wr_bytes(&c->wr, buf, count);
    rc = p9c_call(c, 0, &rd);
    return rc ? rc : (int64_t)p9_rd32(&rd);
}

static void rd_qid(struct p9_rd *rd, struct p9_qid *qid)
{
    qid->type = p9_rd8(rd);
    qid->version = p9_rd32(rd);
    qid->path = p9_rd64(rd);
}

static uint64_t rd_time(struct p9_rd *rd)
{
    uint64_t sec = p9_rd64(rd);

    p9_rd64(rd);
    return sec;
}

int p9c_getattr(struct p9c *c, uint32_t fid, struct p9c_attr *a)
{
    struct p9_rd rd;
    int rc;

    p9c_begin(c, P9_TGETATTR);
    p9_wr32(&c->wr, fid);
    p9_wr64(&c->wr, 0x7ff);
    rc = p9c_call(c, 0, &rd);
    if (rc)
        return rc;
    a->valid = p9_rd64(&rd);
    rd_qid(&rd, &a->qid);
    a->mode = p9_rd32(&rd);
    a->uid = p9_rd32(&rd);
    a->gid = p9_rd32(&rd);
    a->nlink = p9_rd64(&rd);
    a->rdev = p9_rd64(&rd);
    a->size = p9_rd64(&rd);
    a->blksize = p9_rd64(&rd);
    a->blocks = p9_rd64(&rd);
    a->atime = rd_time(&rd);
    a->mtime = rd_time(&rd);
    a->ctime = rd_time(&rd);
    a->btime = rd_time(&rd);
    p9_rd64(&rd);
    p9_rd64(&rd);
    return p9_rd_end(&rd) ? 0 : -EPROTO;
}
