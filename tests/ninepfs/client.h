/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A 9P client over the test transport: the server's own ring code over shared memory and eventfds,
 * with this program as the frontend.  For tests, hostile peers and the bench.
 *
 * Two levels.  Raw: bytes into a ring, frames out of it.  Calls: build a T-message with the c_
 * functions, p9c_call() it, read the reply's fields with a struct p9_rd.
 */
#ifndef MOAT_TESTS_NINEPFS_CLIENT_H
#define MOAT_TESTS_NINEPFS_CLIENT_H

#include <stdint.h>

#include "workers/ninepfs/server.h"

struct p9c_ring {
    struct p9_ring_intf *intf;      /* a memfd's pages, shared with the server */
    uint8_t *in, *out;
    uint32_t size;
    int to_server, to_us;           /* eventfds */
    size_t map_len;
    uint32_t in_cons, out_prod;     /* ours */
};

struct p9c {
    struct p9_server server;
    int root_fd, proc_fd;
    char root[64];                  /* the export's path, a new folder below /tmp or $TMPDIR */
    struct p9c_ring ring[P9_MAX_RINGS];
    unsigned int nrings;
    int running;
    uint16_t tag;
    uint32_t msize;                 /* of the last Rversion */
    uint32_t start_index;
    int timeout_ms;                 /* of a wait for a reply; 10000 */
    /* the request being built, the last reply */
    uint8_t t[1 << 20], r[1 << 20];
    struct p9_wr wr;
    uint32_t r_len;
    int ended[P9_MAX_RINGS];        /* see p9c_ended */
};

/* A server of a new empty folder, with that many rings of 1 << order pages.  cfg may be NULL;
 * its root_fd and proc_fd are filled in.  Threads run unless the caller wants to call p9_serve()
 * himself (threads 0). */
struct p9c *p9c_start(const struct p9_config *cfg, unsigned int nrings, unsigned int order, int threads);
/* The same, with all indices at `index`: to wrap early. */
struct p9c *p9c_start_at(const struct p9_config *cfg, unsigned int nrings, unsigned int order,
                         int threads, uint32_t index);
/* Stops it, removes the folder. */
void p9c_stop(struct p9c *c);

/* ---------- raw */
/* Free bytes of `out`; puts without publishing; publishes and rings. */
uint32_t p9c_room(struct p9c_ring *r);
void p9c_put(struct p9c_ring *r, const void *buf, uint32_t len);
void p9c_ring_bell(struct p9c_ring *r);
/* Waits for one whole reply; its length, or -ETIMEDOUT, -EPROTO (a size that cannot be). */
int p9c_get(struct p9c *c, unsigned int ring, void *buf, uint32_t max);

/* 0: the ring's thread lives; 1: it was stopped; -errno: it could not go on. */
int p9c_ended(struct p9c *c, unsigned int ring);
uint32_t p9c_in_prod(const struct p9c_ring *r);
/* Says that we consumed: for a server that waits for room in `in`. */
void p9c_bell_consumed(struct p9c_ring *r);

/* ---------- calls; the request is sent on ring `ring`, its tag is c->tag (which counts up) */
/* Begins a T-message; fields follow with p9_wr*(&c->wr, ..). */
void p9c_begin(struct p9c *c, uint8_t type);
void p9c_str(struct p9c *c, const char *s);
/* Sends without waiting; returns the tag. */
uint16_t p9c_send(struct p9c *c, unsigned int ring);
/* Sends, waits.  0, with rd at the reply's fields; -errno of an error reply (Rlerror's or
 * Rerror's); -EPROTO for a reply with another tag or number. */
int p9c_call(struct p9c *c, unsigned int ring, struct p9_rd *rd);

/* What the reply in c->r[0..r_len) to a request of that number and tag says; as p9c_call. */
int p9c_result(struct p9c *c, uint8_t type, uint16_t tag, struct p9_rd *rd);

/* ---------- whole requests on ring 0: 0 or -errno */
int p9c_version(struct p9c *c, const char *dialect, uint32_t msize);     /* checks the answer's word */
int p9c_attach(struct p9c *c, uint32_t fid, uint32_t uid);
/* names: "a/b/c", or "" to clone.  -ENOENT also for a walk that came to a part of the way. */
int p9c_walk(struct p9c *c, uint32_t fid, uint32_t newfid, const char *names);
int p9c_clunk(struct p9c *c, uint32_t fid);
int p9c_remove(struct p9c *c, uint32_t fid);
int p9c_lopen(struct p9c *c, uint32_t fid, uint32_t flags);
int p9c_lcreate(struct p9c *c, uint32_t fid, const char *name, uint32_t flags, uint32_t mode);
/* Bytes, or -errno. */
int64_t p9c_read(struct p9c *c, uint32_t fid, uint64_t off, void *buf, uint32_t count);
int64_t p9c_write(struct p9c *c, uint32_t fid, uint64_t off, const void *buf, uint32_t count);
struct p9c_attr {
    uint64_t valid;
    struct p9_qid qid;
    uint32_t mode, uid, gid;
    uint64_t nlink, rdev, size, blksize, blocks;
    uint64_t atime, mtime, ctime, btime;
};
int p9c_getattr(struct p9c *c, uint32_t fid, struct p9c_attr *a);


#endif
