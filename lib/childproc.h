/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef MOAT_LIB_CHILDPROC_H
#define MOAT_LIB_CHILDPROC_H

/* Children in libmoat: who waits for them (lib/childproc.c), and SIGCHLD (lib/sigchld.c). */

#include "lib/fork.h"
#include "parent/event/child.h"

/*
 * libxl_ctx_alloc's and libxl_ctx_free's part: the ctx joins the registry of contexts, its
 * descriptors become carefds (so: before it opens any), children are in the default mode.
 * 0, ERROR_NOMEM or ERROR_FAIL.
 */
int libxl__childproc_init(libxl_ctx *ctx);
/* Default mode again, no handler, no descriptor; children that still live are the application's
 * from here on, their deaths untold.  Leaves the registry. */
void libxl__childproc_fini(libxl_ctx *ctx);

struct libxl__sigchld_user;

struct libxl__childproc {
    const libxl_childproc_hooks *hooks;         /* never NULL */
    void *user;
    struct libxl__sigchld_user *sigchld;        /* NULL: this ctx needs no handler now */
    int efd;                                    /* written by the handler; -1: own children only */
    libxl__egc_item item;                       /* to reap every child that is dead .. */
    bool queued;                                /* .. in some thread's egc */
    LIST_HEAD(, moat_child) children;
};

/* lib/child.c: the ctx goes, and with it what is known of the application's own children. */
void libxl__moat_children_free(libxl_ctx *ctx);

/* ---- lib/childproc.c for lib/fork.c */

/* In a child, after fork. */
void libxl__reap_in_child(void);

/* ---- lib/sigchld.c: a SIGCHLD handler while somebody uses it */

/* From here on each SIGCHLD adds to the eventfd efd (non-blocking; -1: none, only have SIGCHLD
 * handled, so that the kernel keeps statuses).  0, ERROR_NOMEM or ERROR_FAIL (logged: SIGCHLD is
 * handled by the application). */
int libxl__sigchld_use(libxl_ctx *ctx, int efd, struct libxl__sigchld_user **out);
/* Afterwards the handler does not touch efd any more.  NULL: nothing. */
void libxl__sigchld_disuse(libxl_ctx *ctx, struct libxl__sigchld_user *u);
/* Does the kernel throw statuses away, as SIGCHLD stands? */
bool libxl__sigchld_ignored(void);
/* In a child after fork: nobody's eventfd is written to / nobody uses it, SIGCHLD as it was. */
void libxl__sigchld_in_child(void);
void libxl__sigchld_postfork(void);

#endif
