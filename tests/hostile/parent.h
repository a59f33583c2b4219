/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The hostile parent: moatd whose parent is the honest one, taken over at one moment.  It is linked
 * with --wrap=ipc_send: when the honest code sends the attack's message for the first time, the
 * attack runs first and says whether that message is still sent.  Which attack: MOAT_ATTACK.
 *
 * It reports on stderr, which is moatd's log: "hostile: held ..." or "hostile: BREACH ...".
 */
#ifndef MOAT_HOSTILE_PARENT_H
#define MOAT_HOSTILE_PARENT_H

#include <xenstore.h>

#include "ipc/ipc.h"

struct moment {
    const struct ipc_chan *ch;      /* where the honest message goes */
    uint32_t job;
    const void *msg;
};

struct lie {
    const char *name;
    uint32_t at;                    /* enum ipc_type */
    bool (*tell)(const struct moment *m, long arg); /* true: the honest message is sent as well */
    long arg;
    const char *expect;             /* see parent.t */
    const char *options;            /* of moat save */
    const char *promise;
};
extern const struct lie lies_messages[], lies_world[];  /* end with a NULL name */

/* The parent's end of the warden's channel, as the honest code has it, and libxenstore's. */
extern struct ipc_chan to_warden;
extern struct xs_handle *xenstore;

void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int real_send(const struct ipc_chan *ch, uint32_t type, uint32_t job, const void *msg);
/* Header and payload whatever the definition says, with fds. */
int raw_send(int fd, uint32_t length, uint16_t type, uint16_t fds, uint32_t job,
             const void *payload, size_t len, const int *send_fds, unsigned nfds);

#endif
