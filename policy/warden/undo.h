/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * /run/moat/undo: what has been done to which domain and is not undone yet, in a shared mapping
 * that outlives the warden.  A bit is set before its act and cleared after its undoing, so that
 * whatever kills the warden between the two, the next one knows.  The file lives as long as the
 * host's uptime, which is as long as the domains: it needs no disk.
 */
#ifndef MOAT_UNDO_H
#define MOAT_UNDO_H

#include <stdint.h>

#define UNDO_SLOTS 1024

#define UNDO_LOGDIRTY 0x1u         /* log-dirty mode was switched on */
#define UNDO_SHUTDOWN_WRITTEN 0x2u /* control/shutdown may say "suspend" */
#define UNDO_SUSPENDED 0x4u        /* the guest may have suspended, or do so late */
#define UNDO_PAUSED 0x8u           /* paused by us */
#define UNDO_DESTROY_BEGUN 0x10u   /* the operator has committed: go on destroying, never resume */
#define UNDO_XS_RESUME 0x20u       /* resumed, but xenstored may still take it for shut down */
#define UNDO_LEFT 0x40u        /* the operator has confirmed: it stays suspended, never resume */
#define UNDO_BITS 0x7fu

struct undo_slot {
    uint32_t job;       /* number, 0 = free */
    uint32_t last;      /* the last job number that used this slot */
    uint32_t domid;
    uint8_t handle[16];
    uint32_t bits;      /* UNDO_* */
    uint32_t until; /* job over, but its guest may suspend late: CLOCK_MONOTONIC seconds, 0 = no */
    uint32_t uid;       /* of the operator, for the record */
    uint32_t kind;      /* INTENT's */
    uint32_t flags;     /* INTENT's */
    uint32_t pad[4];
};
_Static_assert(sizeof(struct undo_slot) == 64, "a slot is a cache line");

/* Maps the file (made by the supervisor, at least UNDO_SLOTS slots long).  0 or -errno. */
int undo_open(int fd);

/*
 * Drops slots that no warden can have written (domid, bits): the file is input like any other.
 * Returns how many were dropped; *last is the highest job number in it.
 */
unsigned undo_check(uint32_t *last);

struct undo_slot *undo_at(unsigned i);                                      /* i < UNDO_SLOTS */
struct undo_slot *undo_claim(uint32_t job, uint32_t domid, const uint8_t handle[16]); /* or NULL */
void undo_set(struct undo_slot *s, uint32_t bits);
void undo_clear(struct undo_slot *s, uint32_t bits);
void undo_release(struct undo_slot *s);

#endif
