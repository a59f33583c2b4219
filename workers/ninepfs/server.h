/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The 9pfs server of one device: rings that share fids, msize and dialect; one thread per ring,
 * which does one request after the other.
 *
 * Locks.  Each is held for a few lines, never across a system call on a file, and none while
 * another one of this list is taken: s->lock (session and requests in flight), fids.lock,
 * nodes.lock, limits' own.  dir_lock of an open folder comes before all of them (fid.h).  Where
 * files are counted, two more are held across system calls: names_lock (fs.h), and before it that
 * of who deletes files to make room (limits.c).
 */
#ifndef MOAT_NINEPFS_SERVER_H
#define MOAT_NINEPFS_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/statfs.h>

#include "workers/ninepfs/fid.h"
#include "workers/ninepfs/lock.h"
#include "workers/ninepfs/node.h"
#include "workers/ninepfs/ring.h"
#include "workers/ninepfs/wire.h"

#define P9_MAX_RINGS 8u
#define P9_FLUSHED_MAX 256u         /* then the oldest is forgotten */
#define P9_DATA_MAX  65536u         /* a folder's or an xattr's bytes in one reply */

enum p9_dialect {
    P9_NONE = 0,                    /* no Tversion yet */
    P9_L = 1,
    P9_U = 2,
    P9_BOTH = P9_L | P9_U,
};

struct p9_config {
    int root_fd;                    /* the export, O_PATH or readable; borrowed */
    int proc_fd;                    /* /proc/self/fd of this process, O_PATH; borrowed.  The
                                     * working folder too, for calls without an at form. */
    bool read_only;
    const struct p9_model *model;   /* NULL: security model "none" */
    const struct p9_limits *limits; /* NULL: no max-space, no max-files */
    void *limits_arg;
    uint32_t max_msize;             /* 0: what the rings allow */
    uint32_t max_fids;              /* 0: a default, as for the others */
    uint32_t max_nodes;             /* O_PATH descriptors */
    uint32_t max_opens;             /* open files and folders: max-open-files */
    uint32_t max_lock_owners;       /* processes with record locks, per file; descriptors too */
    /* A ring has ended (or could not go on): once per ring, in its thread.  rc 0: it was told
     * to. */
    void (*ring_ended)(void *arg, unsigned int ring, int rc, const char *why);
    void *arg;
};
#define P9_DEFAULT_FIDS  16384u
#define P9_DEFAULT_NODES 8192u
#define P9_DEFAULT_OPENS 1024u
#define P9_DEFAULT_LOCK_OWNERS 1024u

struct p9_server;
struct p9_req;
typedef int p9_handler(struct p9_req *q);   /* see below */

/*
 * What limits.c does for the others.  Each may be called by several threads at once.  Nothing here
 * is needed for max_opens, which the fid table counts.
 */
struct p9_charge {
    int64_t space, files;           /* reserved beforehand, in bytes and files */
    struct p9_node *node;           /* what it is for; may be NULL */
    uint64_t before;                /* st_blocks * 512 of the node when it was reserved */
};
struct p9_limits {
    /* Before an act that may take at most `space` more bytes and makes `files` files.  0:
     * reserved, c is filled in; -ENOSPC, -EDQUOT: the guest's error, nothing is reserved. */
    int (*reserve)(struct p9_server *s, struct p9_charge *c, struct p9_node *node, uint64_t space,
                   uint32_t files);
    /* Before a write of len bytes at off (append: at the end), or a truncate to `off` with len
     * 0. */
    int (*reserve_write)(struct p9_server *s, struct p9_charge *c, struct p9_fid *f, uint64_t off,
                         uint64_t len);
    /* After the act: ok or not; fd (O_PATH or open, or -1) is the file as it is now. */
    void (*settle)(struct p9_server *s, struct p9_charge *c, bool ok, int fd);
    /* A name went: node is the file it named (its inode may live on: links, open files). */
    void (*removed)(struct p9_server *s, struct p9_node *node, const struct stat *before);
    /* The last reference to a node, its descriptor still open. */
    void (*node_gone)(struct p9_server *s, struct p9_node *node);
    /* What df in the guest shall say. */
    void (*statfs)(struct p9_server *s, struct statfs *sf);
};

/* One per ring: its thread, and the request that this thread is at. */
struct p9_req {
    struct p9_server *s;
    struct p9_ring ring;
    unsigned int index;
    pthread_t thread;
    bool started;

    /* the request */
    uint8_t type;
    uint16_t tag;
    uint32_t size;
    struct p9_rd rd;                /* behind the header; of a Twrite its fixed fields only */
    uint32_t payload;               /* Twrite: data behind the fixed fields, still in the ring */
    struct p9_wr wr;                /* the reply, behind its header */
    uint32_t data_len;              /* data that follow wr's bytes, already in the ring */
    uint32_t reserved;              /* bytes of `in` that are reserved */
    int lost;                       /* the ring ended in the middle: 1 stop, or -errno */

    /* under s->lock */
    bool active;                    /* a request is being done */
    bool dropped;                   /* nobody waits for its reply any more */
    uint16_t active_tag;
    uint8_t active_type;
    uint64_t seq;                   /* counts requests */
    uint32_t nflushed;
    struct p9_flushed {             /* Tflush came before this ring has read the request: */
        uint16_t tag;               /* the first one of this tag */
        uint32_t upto;              /* before this index is not done */
    } flushed[P9_FLUSHED_MAX];

    /* counted by the thread, read by anyone */
    _Atomic uint64_t ops, bytes_in, bytes_out, errors;

    uint8_t body[P9_BODY_MAX];
    uint8_t reply[P9_BODY_MAX];     /* header, then wr's bytes */
    uint8_t data[P9_DATA_MAX] __attribute__((aligned(8)));    /* for whom builds large replies */
    uint8_t scratch[P9_DATA_MAX] __attribute__((aligned(8))); /* getdents64 and the like */
};

struct p9_server {
    struct p9_config cfg;
    struct p9_node *root;
    struct p9_nodes nodes;
    struct p9_fids fids;
    struct p9_locks locks;
    _Atomic uint32_t xattr_bytes;   /* xattr.c: what its copies take */
    int stop_fd;                    /* an eventfd that every ring waits for */
    unsigned int nrings;
    struct p9_req *ring[P9_MAX_RINGS];

    _Atomic uint32_t msize;         /* negotiated; until then what the rings allow */
    _Atomic uint32_t dialect;       /* enum p9_dialect */
    uint32_t msize_max;

    pthread_mutex_t lock;
    pthread_cond_t changed;         /* a request ended, a session began, stop */
    bool resetting;                 /* a Tversion waits for the other rings, or is being done */
    bool stopping;
    unsigned int waiters;           /* threads that wait for a request's end */
    pthread_mutex_t names_lock;     /* p9_fs_names_lock */
    p9_handler *handler[P9_U + 1][256];
};

/* ---------- life */

/* 0 or -errno.  The descriptors in cfg must outlive the server.  Sets the process's umask to 0:
 * modes are the guest's, and its kernel has applied its own. */
int p9_server_init(struct p9_server *s, const struct p9_config *cfg);
/* Before p9_server_start.  Arguments as for p9_ring_init.  Returns the ring's number or -errno. */
int p9_server_add_ring(struct p9_server *s, struct p9_ring_intf *intf, void *data,
                       unsigned int order, const struct p9_ring_ops *ops, int event_fd,
                       int notify_fd);
int p9_server_start(struct p9_server *s);
/* The descriptors that a server with this config and that many rings may hold, beside what its
 * caller had: RLIMIT_NOFILE is to allow them, for the guest is to be told EMFILE by us and not
 * by the kernel. */
uint32_t p9_server_fds(const struct p9_server *s);
/* From any thread; does not wait.  A thread that sits in a slow system call ends after it. */
void p9_server_stop(struct p9_server *s);
/* Waits for the threads, closes every fid. */
void p9_server_free(struct p9_server *s);

/* The life of a request, in session.c.  Begin: 0; 1: it was flushed, drop it; 2: stop. */
int p9_session_begin(struct p9_req *q);
void p9_session_end(struct p9_req *q);
int p9_op_version(struct p9_req *q);
int p9_op_flush(struct p9_req *q);

/* Does what is queued now, without sleeping for more, and rings the bell once.  The number of
 * requests done; 0: nothing (whole) was there; -errno: the ring cannot go on.  For the ring's
 * own thread, or tests without one. */
int p9_serve(struct p9_req *q);

/* ---------- what handlers use */

/*
 * A handler reads q->rd, writes q->wr and returns 0; the header, the reply's number and its size
 * are added. -errno: an error reply instead, whatever stands in wr.  P9_NO_REPLY: none.
 */
#define P9_NO_REPLY 1

struct p9_op {
    uint8_t type;
    uint8_t dialects;
    p9_handler *fn;
};

/* Each file of handlers has a table that ends with type 0; dispatch.c lists the tables. */
extern const struct p9_op p9_ops_base[], p9_ops_io[], p9_ops_l[];
extern const struct p9_op p9_ops_l2[], p9_ops_xattr[], p9_ops_lock[], p9_ops_u[];
/* Fills in s->handler.  NULL there: not known in that dialect (EOPNOTSUPP). */
void p9_dispatch_init(struct p9_server *s);

/* All fields read: 0, else -EPROTO (the guest's EPROTO). */
int p9_req_end(struct p9_req *q);
/* The fid of that number with a reference in *f, or -EBADF.  p9_fid_put() it. */
int p9_req_fid(struct p9_req *q, uint32_t num, struct p9_fid **f);
/* Reads a name: 0 or -errno (p9_name). */
int p9_req_name(struct p9_req *q, char buf[P9_NAME_MAX + 1]);
/* 0, or -EROFS where the export is read-only. */
int p9_req_writable(const struct p9_req *q);
/* The most data bytes that a reply with `fixed` bytes between header and data can carry. */
uint32_t p9_req_clamp(const struct p9_req *q, uint32_t fixed, uint32_t count);
/* (msize - 24) in whole 4 KiB; never 0. */
uint32_t p9_req_iounit(const struct p9_req *q);

/*
 * Data straight into the ring: reserves room for a reply of `fixed` bytes and `count` data bytes
 * and says where the data go (1 or 2 pieces).  0: the ring has ended, return P9_NO_REPLY.
 * Afterwards the handler writes exactly `fixed` bytes to wr and says with p9_req_data how many data
 * bytes follow.
 */
int p9_req_room(struct p9_req *q, uint32_t fixed, uint32_t count, struct iovec iov[2]);
void p9_req_data(struct p9_req *q, uint32_t len);
/* The common case: count[4] data[count], from private memory.  Returns what the handler returns. */
int p9_req_send(struct p9_req *q, const void *data, uint32_t len);
/* Where a Twrite's data are.  Their bytes may change while they are looked at. */
int p9_req_payload(struct p9_req *q, struct iovec iov[2]);

static inline bool p9_is_u(const struct p9_req *q)
{
    return atomic_load_explicit(&q->s->dialect, memory_order_relaxed) == P9_U;
}

#endif
