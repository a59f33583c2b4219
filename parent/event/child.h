/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef MOAT_EVENT_CHILD_H
#define MOAT_EVENT_CHILD_H

/* The inside of child.c, for libmoat's modes (lib/childproc.c) and unit tests. */

#include "parent/event/core.h"

struct libxl__child {
    LIST_ENTRY(libxl__child) entry;
    pid_t pid;
    int pidfd;
    libxl__ev_child *ev;                        /* NULL: killed and forgotten, .. */
    libxl__ao *killer;                          /* .. for the sake of this operation */
    libxl__ev_child_kill *kill;
    void *kill_user;
    /* libmoat's, guarded by its reap lock. */
    LIST_ENTRY(libxl__child) known;
    bool is_known;
    bool taken;                                 /* another context reaped it: this is its status */
    int status;
};

/*
 * What libmoat does besides for a ctx's children; ctx->child_ops is NULL in moatd.  Called with the
 * ctx's lock held.
 */
struct libxl__child_ops {
    /* Does the library wait by itself, or does the application tell it when (_mainloop)? */
    bool (*waits)(libxl_ctx *ctx);
    /* A child is about to exist.  child_epfd is open and may be added to, with data.u64 = 0.
     * Other than 0: there will be no child. */
    int (*begin)(libxl_ctx *ctx);
    /* There is no child any more.  false: keep child_epfd all the same. */
    bool (*end)(libxl_ctx *ctx);
    /* What was added to child_epfd with data.u64 = 0 is ready. */
    void (*signalled)(libxl__egc *egc);
    /* fork(2), or instead of it. */
    pid_t (*fork)(libxl_ctx *ctx);
    /* Around fork and known, and around waitpid and forget: a ctx that waits for any child at all
     * must never meet one that is unknown but ours, or known but not ours any more. */
    void (*reap_lock)(void);
    void (*reap_unlock)(void);
    void (*known)(struct libxl__child *rec);
    void (*forget)(struct libxl__child *rec);   /* idempotent */
    /* waitpid(2) says ECHILD for a child of ours. */
    enum libxl__child_lost { CHILD_LOST, CHILD_TAKEN, CHILD_TO_BE_TOLD }
        (*lost)(libxl_ctx *ctx, struct libxl__child *rec, int *status);
};

struct libxl__child *libxl__child_find(libxl_ctx *ctx, pid_t pid);
/* rec's child is reaped: tell, and forget it. */
void libxl__child_dead(libxl__egc *egc, struct libxl__child *rec, int status);
/* Reap and tell those of the ctx's children that are dead; nobody else's. */
void libxl__child_reap_own(libxl__egc *egc);
/* Have what is needed while there are children / have it no longer if nobody needs it. */
int libxl__child_watch(libxl_ctx *ctx);
void libxl__child_unwatch_if_idle(libxl_ctx *ctx);

#endif
