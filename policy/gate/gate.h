/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The gate: the one process with a xenstore connection.  It forwards what a grant covers between
 * the parent's libxenstore and xenstored, and answers the warden's questions on a second
 * connection.
 *
 * It branches on headers and on the paths of requests; a value that is to be written is compared
 * with the few words that its grant allows, all others pass unread.  Single-threaded, no heap,
 * every table has a bound.  One request at a time, whoever makes it, waits for xenstored's answer:
 * nothing is ever under way while the warden takes a grant back, and a peer that floods or does not
 * read fills its own socket.  xenstored is as trusted as the gate and answers in well under a
 * millisecond; when it does not answer for GATE_ASK_MS, nothing in the toolstack would move anyway.
 */
#ifndef MOAT_GATE_H
#define MOAT_GATE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <xen/io/xs_wire.h>

#include "ipc/ipc.h"

#define GATE_MSG (sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX)
#define GATE_JOBS 1024 /* as many as there are undo slots */
#define GATE_WATCHES 256
#define GATE_TXS 16
#define GATE_JOB_WATCHES 4 /* per job, and for the standing grants together */
#define GATE_JOB_TXS 2
#define GATE_PATH 256 /* longest path that is granted or that the gate makes */
#define GATE_TOKEN 64
#define GATE_ASK_MS 5000    /* for one request or question to be answered */
#define GATE_TX_TRIES 32    /* of one transaction that conflicts */
#define GATE_CLOSE_MS 10000 /* for backends to close, as libxl's LIBXL_DESTROY_TIMEOUT */
#define GATE_POLL_MS 50
#define GATE_RELEASED_MS 10 /* between two XS_RELEASED */
#define GATE_FIRST_RESERVED 0x7ff0

struct conn { /* one xenstore connection, either role */
    int fd;
    uint32_t got;      /* bytes of the message that is being read */
    uint32_t off, len; /* unsent bytes: out[off .. off + len) */
    uint32_t asked;    /* req_id of the last request */
    union {
        struct xsd_sockmsg hdr;
        char in[GATE_MSG + 1]; /* gate_conn_read puts a NUL behind the payload */
    };
    char out[4 * GATE_MSG];
};

struct gate_table {
    unsigned njobs;
    struct gate_job {
        uint32_t job; /* 0 = free */
        uint32_t kind, domid, stage;
        char dec[12]; /* domid */
    } jobs[GATE_JOBS];
};

struct gate_request { /* a payload, cut at its NULs; pointers into it */
    const char *path, *token, *value;
    uint32_t value_len;
    uint32_t job; /* whose grant covers it, 0 = a standing one */
};

struct gate_watch {
    bool used, pending; /* pending: an event that the parent has not got yet */
    uint32_t job;
    char path[GATE_PATH], token[GATE_TOKEN];
};

struct gate_tx {
    bool used;
    uint32_t id, job; /* job: 0 until its first request */
};

struct gate_destroy {
    bool used;
    int err;
    uint32_t job, domid;
    char vm[48]; /* /vm/UUID */
    int64_t deadline, next;
};

struct gate {
    struct ipc_chan warden;
    struct ipc_frame frame;
    int listener;
    uid_t parent_uid;
    struct conn parent, upstream, own;
    struct gate_table table;
    struct gate_watch watches[GATE_WATCHES];
    struct gate_tx txs[GATE_TXS];
    struct gate_destroy destroys[GATE_JOBS];
    int64_t ask_deadline;
    uint32_t refused; /* not yet told to the warden */
    int64_t refused_next;
    char refused_path[128];
    bool released; /* a domain was shut down or is gone; not yet told to the warden */
    int64_t released_next;
};

/* gate.c.  gate_open takes the fds over, with system calls that the sandbox takes away; besides
 * root parent_uid may connect to `listener`.  gate_serve does not return but exits: 0 when the
 * warden or the parent ended in good order, 1 otherwise. */
void gate_open(int warden, int listener, int upstream, int own, uid_t parent_uid);
_Noreturn void gate_serve(void);

/* wire.c */
int64_t gate_now(void); /* CLOCK_MONOTONIC, ms */
_Noreturn void gate_die(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int gate_conn_read(
    struct conn *c); /* 1 = a message in c->in (then set got = 0); 0 = not yet; -errno */
char *gate_conn_payload(struct conn *c); /* of that message, with a NUL behind it */
size_t gate_conn_room(const struct conn *c);
void gate_conn_put(struct conn *c, const struct xsd_sockmsg *hdr, const void *a, size_t alen,
                   const void *b, size_t blen); /* the caller has checked gate_conn_room */
void gate_conn_flush(struct conn *c);
/* Sends, waits, leaves the answer in c->in: its length, -errno of an XS_ERROR, or -ETIMEDOUT. */
int gate_conn_ask(struct gate *g, struct conn *c, const struct xsd_sockmsg *hdr, const void *a,
                  size_t alen, const void *b, size_t blen, int64_t deadline);

/* grants.c */
bool gate_split(uint32_t type, const char *payload, uint32_t len, struct gate_request *rq);
bool gate_covers(const struct gate_table *t, uint32_t type, struct gate_request *rq);
int gate_grant(struct gate_table *t, uint32_t job, uint32_t kind, uint32_t domid, uint32_t stage);
void gate_revoke(struct gate_table *t, uint32_t job);
struct gate_job *gate_find(struct gate_table *t, uint32_t job);

/* forward.c */
void gate_forward_start(struct gate *g);       /* the gate's own watch of @releaseDomain */
bool gate_forward_ready(const struct gate *g); /* may one more message of the parent be read? */
void gate_forward_parent(struct gate *g);      /* handles the message in parent.in */
void gate_forward_event(struct gate *g);       /* handles the XS_WATCH_EVENT in upstream.in */
void gate_forward_events(
    struct gate *g); /* tells the parent what is pending, while there is room */
void gate_forward_recheck(struct gate *g,
                          uint32_t job); /* ends what no grant of the job covers now */

/* ask.c: all return 0 or a length, or -errno as xenstore said it, or -ETIMEDOUT */
void gate_ask_begin(struct gate *g); /* starts the bound for the questions that follow */
int gate_ask(struct gate *g, uint32_t type, uint32_t tx, const char *path, const char *value,
             size_t len);
int gate_ask_list(struct gate *g, const char *path, char *list, size_t size);
int gate_ask_in_tx(
    struct gate *g, int (*fn)(struct gate *, uint32_t tx, const char *path),
    const char *path); /* what fn says; again while it conflicts; commits unless fn fails */
int gate_ask_resolve(struct gate *g, const char *name, struct msg_RESOLVED *found);
int gate_ask_describe(struct gate *g, uint32_t domid, struct msg_DESCRIBED *d);
int gate_ask_undo(struct gate *g, uint32_t domid, uint32_t what, uint32_t *withdrawn);

/* destroy.c */
int gate_destroy_begin(struct gate *g, uint32_t job, const struct msg_XS_DESTROY *m);
bool gate_destroy_step(struct gate *g, struct gate_destroy *d); /* true = ended with d->err */
bool gate_destroy_backend(const char *path, uint32_t domid, bool *console);

#endif
