/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A test double of xenstored: the wire protocol of xs_wire.h on unix stream connections, a store in
 * memory, watches and transactions.  For tests only: permissions are accepted and not enforced, a
 * transaction fails with EAGAIN when anything at all was changed meanwhile, there are no quotas,
 * and it trusts its clients not to flood it.
 *
 * It never blocks and owns no loop: the embedding program polls simxs_pollfds() and then calls
 * simxs_handle().  Not thread-safe.
 */
#ifndef MOAT_SIM_XENSTORE_H
#define MOAT_SIM_XENSTORE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIMXS_CONNS 32

struct simxs;

/* What happened; called after the request was answered and outside of any iteration, so that the
 * callback may call the functions below.  type: XS_WRITE (also for a write of a transaction that
 * was committed, and for simxs_write), XS_RM, XS_RESUME, XS_INTRODUCE, XS_RELEASE; path: the node,
 * or the domid in decimal; value: NUL-terminated, NULL but for XS_WRITE. */
typedef void simxs_cb(void *u, uint32_t type, const char *path, const char *value);

struct simxs *simxs_new(void); /* aborts without memory */
void simxs_free(struct simxs *xs);
void simxs_on_change(struct simxs *xs, simxs_cb *cb, void *u);

/* A listening socket at this path (an old one is replaced).  0 or -errno. */
int simxs_listen(struct simxs *xs, const char *path);
/* One end of a stream socket pair becomes a client's connection; owned from now on.  0 or -errno.
 */
int simxs_add_conn(struct simxs *xs, int fd);

/* Fills at most max entries, returns how many; simxs_handle serves whatever is ready. */
unsigned simxs_pollfds(struct simxs *xs, struct pollfd *p, unsigned max);
void simxs_handle(struct simxs *xs);

/* The embedding program's own access: absolute paths; values are text. */
const char *simxs_read(struct simxs *xs, const char *path); /* NULL = none; until the next change */
void simxs_write(struct simxs *xs, const char *path, const char *value); /* makes parents, fires */
void simxs_rm(struct simxs *xs, const char *path);                       /* with all below, fires */
void simxs_fire(struct simxs *xs, const char *path); /* watches of e.g. "@releaseDomain" */

/* For tests of failures. */
void simxs_stall(struct simxs *xs, bool on);       /* does not read requests any more */
void simxs_conflict(struct simxs *xs, unsigned n); /* the next n commits fail with EAGAIN */
void simxs_drop(struct simxs *xs);                 /* closes all connections */
unsigned simxs_watches(const struct simxs *xs);    /* how many there are */
unsigned simxs_transactions(const struct simxs *xs);
unsigned simxs_requests(const struct simxs *xs, uint32_t type); /* how many were received */

#endif
