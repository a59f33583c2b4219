/* SPDX-License-Identifier: LGPL-2.1-only */
/* The real gate in a process of its own, between a test that plays warden and parent and a
 * simulated xenstored in a thread. */
#ifndef MOAT_TEST_GATE_WORLD_H
#define MOAT_TEST_GATE_WORLD_H

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xen/io/xs_wire.h>
#include <xenstore.h>

#include "ipc/ipc.h"
#include "tests/sim/xenstore.h"

struct world {
    uint32_t withdrawn;         /* of the last warden_undo() */
    pid_t gate;
    struct ipc_chan warden; /* the test's end */
    char path[64];          /* where the gate listens */
    struct xs_handle *xs;   /* the parent's libxenstore, or NULL */
    int raw;                /* the parent's connection without a library, or -1 */
    struct simxs *sim;
    pthread_mutex_t lock; /* around sim */
    pthread_t thread;
    volatile bool stop;
    unsigned refused_messages; /* XS_REFUSED seen by warden_ask */
    uint64_t refused;          /* sum of their counts */
    char refused_path[128];
    unsigned released; /* XS_RELEASED seen by warden_ask */
    struct ipc_frame frame;
};

enum client { CLIENT_NONE, CLIENT_LIB, CLIENT_RAW };

struct world *world_new(enum client client);
void world_free(struct world *w);
int world_exit(struct world *w); /* waits for the gate's end: its exit status, -1 after 5 s */
int world_connect(const struct world *w);

/* the store, under the lock */
void store_put(struct world *w, const char *path, const char *value);
bool store_is(struct world *w, const char *path, const char *value); /* value NULL: no such node */
unsigned store_watches(struct world *w); /* but the gate's own */
void store_released(struct world *w);    /* a domain was shut down or is gone */
unsigned store_txs(struct world *w);
unsigned store_requests(struct world *w, uint32_t type);

/* the warden */
void warden_ask(struct world *w, uint32_t type, uint32_t job, const void *msg, uint32_t answer_type,
                void *answer);
int warden_grant(struct world *w, uint32_t job, uint32_t domid, uint32_t stage);
int warden_revoke(struct world *w, uint32_t job);
int warden_undo(struct world *w, uint32_t job, uint32_t domid, uint32_t what);

/* the parent; 0 or errno */
int parent_read(struct world *w, xs_transaction_t t, const char *path, const char *expected);
int parent_write(struct world *w, xs_transaction_t t, const char *path, const char *value);
bool parent_event(struct world *w, const char *path, const char *token, int timeout_ms);

/* raw: sends one message; receives one, returns its type (payload NUL-terminated), -1 at the end */
void raw_send(struct world *w, uint32_t type, uint32_t req_id, uint32_t tx, const void *p,
              size_t n);
int raw_recv(struct world *w, struct xsd_sockmsg *h, char payload[XENSTORE_PAYLOAD_MAX + 1]);
int raw_errno(struct world *w, uint32_t type, uint32_t tx, const void *p,
              size_t n); /* 0 = passed */

int64_t now_ms(void);

#endif
