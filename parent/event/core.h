/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef MOAT_EVENT_CORE_H
#define MOAT_EVENT_CORE_H

/* What the files of the event core share; nobody else includes this (but for its unit tests). */

#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "parent/event/event_internal.h"

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

/*
 * What libmoat adds to the core so that several threads, and main loops that are not ours, can wait
 * for what is registered; ctx->os is NULL in moatd.  All are called with the lock held; nexus
 * members are theirs.
 */
struct libxl__os_ops {
    /* Other than 0: that is the result of the register or modify, and nothing has changed. */
    int (*fd_register)(libxl_ctx *ctx, libxl__ev_fd *ev, int fd, short events);
    int (*fd_modify)(libxl_ctx *ctx, libxl__ev_fd *ev, short events);
    void (*fd_deregister)(libxl_ctx *ctx, libxl__ev_fd *ev);
    /* That was the last one. */
    void (*fd_none)(libxl_ctx *ctx);
    int (*time_register)(libxl_ctx *ctx, libxl__ev_time *ev);
    void (*time_deregister)(libxl_ctx *ctx, libxl__ev_time *ev);
    /* The first timer is now another one, and earlier. */
    void (*first_timer)(libxl_ctx *ctx);
    /* Run the loop until ao->told; the lock is held exactly once. */
    void (*ao_wait)(libxl_ctx *ctx, libxl__ao *ao);
    /* A synchronous ao has become told. */
    void (*ao_told)(libxl_ctx *ctx, libxl__ao *ao);
    /* Takes ev, if it is for a queue and not for a callback: at once, for what this thread delivers
     * first may wait for it.  Else false. */
    bool (*event_queued)(libxl_ctx *ctx, libxl_event *ev);
};

/* An fd that at least one ev_fd is registered for. */
struct libxl__fd_slot {
    int fd;
    uint32_t gen;                               /* tells it from an earlier use of the number */
    short mask;                                 /* what the kernel watches; 0: it does not */
    bool always;                                /* epoll refused: in ctx->fds_always if mask */
    LIST_HEAD(, libxl__ev_fd) evs;
    TAILQ_ENTRY(libxl__fd_slot) entry;          /* in fds_always */
    TAILQ_ENTRY(libxl__fd_slot) watched;        /* in fds_watched if mask */
};

/* An event and its place in a queue, so that queueing it cannot fail. */
struct libxl__event_box {
    STAILQ_ENTRY(libxl__event_box) entry;
    libxl_event event;
};

struct libxl__ctx {
    pthread_mutex_t lock;
    unsigned lock_depth;                        /* guarded by lock */
    moat_ctx_hooks hooks;
    void *user;
    void *(*allocate)(void *old, size_t bytes); /* realloc(3); tests put one here that fails */
    moat_loop_stats stats;

    const struct libxl__os_ops *os;             /* NULL: nobody but moat_loop_run_once waits */

    int epfd;                                   /* -1: none yet, or in a forked child, gone */
    uint64_t turn;
    struct libxl__fd_slot **fds;                /* indexed by fd */
    size_t fds_size, fds_used;
    uint32_t fd_gen;
    TAILQ_HEAD(, libxl__fd_slot) fds_always;    /* regular files: epoll refuses them */
    TAILQ_HEAD(, libxl__fd_slot) fds_watched;   /* those with events that are wanted, .. */
    size_t nwatched;                            /* .. and how many */

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
    unsigned unanswered;                        /* lib/request.c */
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
    void *waiter;                               /* of a synchronous one, for ctx->os */
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

/* moat_ctx_alloc without a descriptor: that comes when it is first needed. */
int libxl__ctx_new(libxl_ctx **out, const moat_ctx_hooks *hooks, void *user);
/* Have an epoll descriptor.  0, ERROR_NOMEM or ERROR_FAIL (logged). */
int libxl__ctx_epoll(libxl_ctx *ctx);

/* Deliver one epoll result / those files that are always ready. */
void libxl__fd_occurred(libxl__egc *egc, uint64_t epoll_data);
void libxl__fd_always(libxl__egc *egc);
/* To the ev_fds of fd, if it is still gen, that want any of revents: each at most once per turn. */
void libxl__fd_deliver(libxl__egc *egc, int fd, uint32_t gen, short revents);
/* To this one, if it wants any of revents. */
void libxl__fd_deliver_one(libxl__egc *egc, libxl__ev_fd *ev, short revents);
void libxl__fd_free_table(libxl_ctx *ctx);

int libxl__time_poll_ms(libxl_ctx *ctx, int limit_ms);
/* All that are due / this one, whenever it is due. */
void libxl__time_occurred(libxl__egc *egc);
void libxl__time_fire(libxl__egc *egc, libxl__ev_time *ev);
/* Until it is due; 0 or less: it is. */
int64_t libxl__time_left_ns(const libxl__ev_time *ev);

/* One turn in parts: how long to wait at most; then, locked, deliver what was found ready. */
int libxl__loop_wait_ms(libxl_ctx *ctx, int limit_ms);
struct epoll_event;
void libxl__loop_deliver(libxl__egc *egc, const struct epoll_event *ready, int n);
/* What is ready now, without waiting.  0 or ERROR_FAIL (logged). */
int libxl__loop_deliver_ready(libxl__egc *egc);

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

/* Locked.  true: ev has found its queue; else an egc item is to tell it. */
static inline bool libxl__event_queued(libxl_ctx *ctx, libxl_event *ev)
{
    return ctx->os && ctx->os->event_queued(ctx, ev);
}

static inline libxl__ao *libxl__ao_root(libxl__ao *ao)
{
    return ao->nested_root ? ao->nested_root : ao;
}
void libxl__ao_ref(libxl__ao *ao);
void libxl__ao_unref(libxl__ao *ao);
/* Something that held back the telling of ao's completion may be gone. */
void libxl__ao_check_complete(libxl__egc *egc, libxl__ao *ao);

#endif
