/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef MOAT_EVENT_CORE_H
#define MOAT_EVENT_CORE_H

/* What the files of the event core share; nobody else includes this (but for its unit tests). */

#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "parent/event/event_internal.h"

struct libxl__fd_slot;
struct libxl__child;
struct libxl__watch_slot;
struct libxl__child_ops;
struct libxl__childproc;

#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p) - offsetof(type, member)))

#define CHILD_BUCKETS 1024                      /* chains of 10 for 10,000 children */

/* libmoat's list of the descriptors that it opens, see lib/fork.h; ctx->care is NULL in moatd. */
struct libxl__care_ops {
    void (*begin)(void);
    int (*record)(int fd);
    void (*close)(int fd);
};

struct libxl__ctx {
    pthread_mutex_t lock;
    unsigned lock_depth;                        /* guarded by lock */
    moat_ctx_hooks hooks;
    void *user;
    void *(*allocate)(void *old, size_t bytes); /* realloc(3); tests put one here that fails */
    moat_loop_stats stats;

    int epfd;                                   /* -1 in a forked child: then the ctx is dead */
    uint64_t turn;
    struct libxl__fd_slot **fds;                /* indexed by fd */
    size_t fds_size, fds_used;
    uint32_t fd_gen;
    TAILQ_HEAD(, libxl__fd_slot) fds_always;    /* regular files: epoll refuses them */

    libxl__ev_time **heap;
    size_t heap_len, heap_size;
    size_t timers;                              /* with the infinite ones */
    uint64_t time_seq;

    struct xs_handle *xsh;
    const moat_xs_ops *xs_ops;
    struct libxl__watch_slot *watch_slots;
    int watch_nslots, watch_free, watch_used;
    uint32_t watch_counter;
    libxl__ev_fd watch_efd;
    bool xs_more;                               /* the last drain stopped at its bound */

    LIST_HEAD(, libxl__child) children[CHILD_BUCKETS];  /* by pid */
    unsigned nchildren;
    int child_epfd;                             /* their pidfds; -1 while there are none */
    libxl__ev_fd child_efd;
    const struct libxl__child_ops *child_ops;   /* libmoat's modes (child.h); NULL in moatd */
    struct libxl__childproc *childproc;

    const struct libxl__care_ops *care;
    LIST_ENTRY(libxl__ctx) in_process;          /* libmoat's list of contexts */

    LIST_HEAD(, libxl__ao) aos;                 /* in progress, not nested */
    LIST_HEAD(, libxl__evgen_domain_death) deaths;      /* lib/death.c */
};

struct libxl__ao {
    libxl__gc gc;
    libxl__egc_item item;
    libxl__ao *nested_root;                     /* NULL: this is an operation by itself */
    unsigned refs;                              /* initiator, progress of the op, abort, reports */
    bool sync, in_initiator, aborting, complete, told;
    int rc;
    unsigned reports, killed;                   /* the user is not told before these are gone */
    unsigned nested;                            /* it cannot complete before these are */
    uint32_t domid;
    libxl_asyncop_how how;
    libxl_event *end;                           /* made in advance if the end is told by one */
    LIST_HEAD(, libxl__ao_abortable) abortables;
    LIST_ENTRY(libxl__ao) entry;
};

static inline void libxl__assert_locked_once(libxl_ctx *ctx)
{
    assert(ctx->lock_depth == 1);
}

/* realloc(3) that zeroes nothing and fails politely; free(3) frees. */
void *libxl__realloc(libxl_ctx *ctx, void *old, size_t bytes);
void *libxl__new(libxl_ctx *ctx, size_t bytes);

/* Deliver one epoll result / those files that are always ready. */
void libxl__fd_occurred(libxl__egc *egc, uint64_t epoll_data);
void libxl__fd_always(libxl__egc *egc);
void libxl__fd_free_table(libxl_ctx *ctx);

int libxl__time_poll_ms(libxl_ctx *ctx, int limit_ms);
void libxl__time_occurred(libxl__egc *egc);

void libxl__xswatch_drain(libxl__egc *egc);
void libxl__child_ctx_init(libxl_ctx *ctx);
void libxl__child_orphan_all(libxl_ctx *ctx);

/* What opens a descriptor for a ctx does so between these two, and close()s it with the third. */
static inline void libxl__care_begin(libxl_ctx *ctx)
{
    if (ctx->care)
        ctx->care->begin();
}
static inline int libxl__care_record(libxl_ctx *ctx, int fd)
{
    return ctx->care ? ctx->care->record(fd) : fd;
}
void libxl__care_close(libxl_ctx *ctx, int fd);

static inline libxl__ao *libxl__ao_root(libxl__ao *ao)
{
    return ao->nested_root ? ao->nested_root : ao;
}
void libxl__ao_ref(libxl__ao *ao);
void libxl__ao_unref(libxl__ao *ao);
/* Something that held back the telling of ao's completion may be gone. */
void libxl__ao_check_complete(libxl__egc *egc, libxl__ao *ao);

#endif
