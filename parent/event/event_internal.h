/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef MOAT_EVENT_INTERNAL_H
#define MOAT_EVENT_INTERNAL_H

/*
 * The event core: libxl's internal event API, written anew on epoll, pidfds and a timer heap.
 *
 * STATES.  A thing to wait for is a struct of the caller's, a libxl__ev_KIND, in one of three
 * states:
 *
 *     Undefined   any bytes            --init-->        Idle
 *     Idle        owns nothing         --register-->    Active, or still Idle if rc != 0
 *     Active      linked into the ctx  --deregister-->  Idle
 *
 *   - init takes Undefined and Idle.  Memory that is merely zeroed is Undefined.
 *   - register takes Undefined and Idle (it initialises first) and never calls the callback itself.
 *   - modify (fd only) takes Active; if it fails nothing has changed.
 *   - deregister takes Idle and Active; it is idempotent and legal inside any callback, for the
 *     thing called back and for every other one.  Afterwards the callback is never called.
 *   - An Active struct must stay where it is.  Deregister an fd before closing it.
 *   - One-shot kinds (time, child, immediate) are Idle again when their callback is entered.
 *
 * LOCK.  One recursive mutex per ctx.  All functions here take it themselves, but for two that say
 * so.  The core calls back with the lock held exactly once.  Events are waited for without it.
 *
 * ORDER.  An egc belongs to one thread on its way through the core: it lives from entry to exit.
 * What must reach the user of the core (completion of an ao, progress, events) is queued in the egc
 * and delivered at its cleanup, without the lock, in the order in which the code asked for it; such
 * a callback may call anything.  Callbacks of ev_immediate run then too, but locked.
 *
 * OPERATIONS.  An ao is one asynchronous operation and owns its memory (its gc).  It ends by
 * exactly one libxl__ao_complete.  Its user is told once its progress reports have been delivered
 * and the children it killed are reaped.  An abort calls each registered abortable once (timers are
 * abortables); from then on new ones are refused with ERROR_ABORTED, so the operation comes to an
 * end, usually with rc ERROR_ABORTED.
 *
 * FORK.  Everything here is close-on-exec.  A fork without exec leaves the child a dead ctx.
 *
 * MEMORY.  Out of memory is ERROR_NOMEM or NULL, never the end of the process.
 *
 * TIME is CLOCK_MONOTONIC throughout; the wall clock is not consulted.
 */

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <time.h>

#include "moat/libxl_event.h"

typedef struct libxl__gc libxl__gc;
typedef struct libxl__egc libxl__egc;
typedef struct libxl__ao libxl__ao;
typedef struct libxl__ev_fd libxl__ev_fd;
typedef struct libxl__ev_time libxl__ev_time;
typedef struct libxl__ev_xswatch libxl__ev_xswatch;
typedef struct libxl__ev_child libxl__ev_child;
typedef struct libxl__ev_immediate libxl__ev_immediate;
typedef struct libxl__ao_abortable libxl__ao_abortable;

/* ------------------------------------------------------------------ ctx, log and memory (ctx.c) */

/* xentoollog's numbers */
enum { LIBXL__LOG_DEBUG = 1, LIBXL__LOG_INFO = 5, LIBXL__LOG_WARN = 7, LIBXL__LOG_ERROR = 8,
       LIBXL__LOG_CRITICAL = 9 };

/* What the owner of a ctx supplies; each member may be NULL. */
typedef struct moat_ctx_hooks {
    /* May be called with the lock held: must not call the core. */
    void (*log)(void *user, int level, const char *msg);
    /* Something was lost that cannot be had again (a child's status, the xenstore connection).
     * May be called with the lock held: must not call the core. */
    void (*disaster)(void *user, libxl_event_type type, const char *msg, int errnoval);
    /* Takes over ev; delivered from an egc's cleanup, unlocked. */
    void (*event_occurs)(void *user, libxl_event *ev);
    /* How far an operation is; each thing that is done begins with done 0.  total 0: not known.
     * Called with the lock held: must not call the core. */
    void (*progress)(void *user, const char *doing, uint64_t done, uint64_t total);
} moat_ctx_hooks;

/* *hooks is copied.  0, ERROR_NOMEM or ERROR_FAIL. */
int moat_ctx_alloc(libxl_ctx **out, const moat_ctx_hooks *hooks, void *user);
/* Nothing may be registered any more, and no ao in progress (asserted); children that still live
 * are left to the caller.  NULL is fine. */
void moat_ctx_free(libxl_ctx *ctx);

void libxl__ctx_lock(libxl_ctx *ctx);
void libxl__ctx_unlock(libxl_ctx *ctx);

void libxl__log(libxl_ctx *ctx, int level, int errnoval, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* type: of the events that are lost, 0 = all. */
void libxl__disaster(libxl_ctx *ctx, libxl_event_type type, int errnoval, const char *msg);

/* A libxl_event of the given kind, to be freed with libxl_event_free(); NULL if out of memory. */
libxl_event *libxl__event_new(libxl_ctx *ctx, libxl_event_type type, uint32_t domid,
                              libxl_ev_user for_user);

/* A gc remembers allocations and frees them all at once. */
struct libxl__gc {
    libxl_ctx *owner;
    struct libxl__gc_block *blocks;
};

void libxl__gc_init(libxl__gc *gc, libxl_ctx *ctx);
void libxl__gc_free_all(libxl__gc *gc);
static inline libxl_ctx *libxl__gc_owner(libxl__gc *gc) { return gc->owner; }
/* Zeroed memory that lives as long as gc; NULL if there is none. */
void *libxl__zalloc(libxl__gc *gc, size_t bytes);
void *libxl__calloc(libxl__gc *gc, size_t count, size_t bytes);
char *libxl__strdup(libxl__gc *gc, const char *s);
char *libxl__sprintf(libxl__gc *gc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ------------------------------------------------------------------------------- egc (egc.c) */

/* Something to be delivered to the user of the core from an egc's cleanup, unlocked. */
typedef struct libxl__egc_item libxl__egc_item;
struct libxl__egc_item {
    STAILQ_ENTRY(libxl__egc_item) entry;
    void (*deliver)(libxl__egc *egc, libxl__egc_item *item);
};

struct libxl__egc {
    libxl__gc gc;
    STAILQ_HEAD(, libxl__ev_immediate) immediates;
    STAILQ_HEAD(, libxl__egc_item) items;
};

void libxl__egc_init(libxl__egc *egc, libxl_ctx *ctx);
/* Runs what is queued, and what that queues, then frees the gc.  Not to be called locked. */
void libxl__egc_cleanup(libxl__egc *egc);

/* A callback as soon as the present one has returned to the core: locked, never nested. */
typedef void libxl__ev_immediate_callback(libxl__egc *egc, libxl__ev_immediate *ei);
struct libxl__ev_immediate {
    libxl__ev_immediate_callback *callback;         /* set by the user before register */
    STAILQ_ENTRY(libxl__ev_immediate) entry;
};
void libxl__ev_immediate_register(libxl__egc *egc, libxl__ev_immediate *ei);

/* ---------------------------------------------------------------------------------- fd (fd.c) */

/*
 * `revents` holds at least one of `events`, POLLERR or POLLHUP (the last two are always reported),
 * and is true at the time of the call: the fd was polled for this very delivery.  A callback should
 * do all the I/O it can: with other main loops readiness may be told once only.
 */
typedef void libxl__ev_fd_callback(libxl__egc *egc, libxl__ev_fd *ev, int fd, short events,
                                   short revents);
struct libxl__ev_fd {
    int fd;                                         /* -1: Idle.  Read-only for the user. */
    short events;                                   /* likewise */
    libxl__ev_fd_callback *func;
    uint64_t turn;
    void *nexus;                                    /* what the application's loop knows it by */
    LIST_ENTRY(libxl__ev_fd) entry;
};

void libxl__ev_fd_init(libxl__ev_fd *ev);
/* events as for poll(2); 0 means "not now".  Several ev_fd may share one fd if none of their events
 * overlap (else ERROR_INVAL).  Files that poll(2) calls always ready are accepted. */
int libxl__ev_fd_register(libxl__gc *gc, libxl__ev_fd *ev, libxl__ev_fd_callback *func, int fd,
                          short events);
int libxl__ev_fd_modify(libxl__gc *gc, libxl__ev_fd *ev, short events);
void libxl__ev_fd_deregister(libxl__gc *gc, libxl__ev_fd *ev);
static inline int libxl__ev_fd_isregistered(const libxl__ev_fd *ev) { return ev->fd >= 0; }

/* ---------------------------------------------------------------------- ao (ao.c, abort.c) */

/*
 * The initiating function does: create; then either create_fail (nothing was started, nobody will
 * be told) or start things and, as its last act, inprogress, and return what that returns.
 * ao_how NULL makes the operation synchronous: inprogress then runs the loop until it is complete
 * and returns its rc; it needs the lock held exactly once (AO_CREATE sees to it).
 * Otherwise *ao_how is copied, inprogress returns 0 (the operation may be complete by then).
 * create returns NULL if out of memory, or if ao_how asks for an event and there is no hook for it.
 */
libxl__ao *libxl__ao_create(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how);
void libxl__ao_create_fail(libxl__ao *ao);
int libxl__ao_inprogress(libxl__ao *ao);

/* An ao that is no operation, for timers that belong to none or must outlast an abort: it never
 * ends by itself, nobody can abort it.  NULL if out of memory.  Free it when nothing is registered
 * with it any more (asserted). */
libxl__ao *libxl__ao_create_hidden(libxl_ctx *ctx);
void libxl__ao_free_hidden(libxl__ao *ao);

/* Exactly once; all abortables must be deregistered before the ao's user is told. */
void libxl__ao_complete(libxl__egc *egc, libxl__ao *ao, int rc);

libxl__gc *libxl__ao_gc(libxl__ao *ao);
libxl_ctx *libxl__ao_ctx(libxl__ao *ao);
uint32_t libxl__ao_domid(const libxl__ao *ao);

/* from_app NULL: reports are discarded. */
void libxl__ao_progress_gethow(libxl_asyncprogress_how *in_state,
                               const libxl_asyncprogress_how *from_app);
/* Takes over ev, also when it fails (ERROR_NOMEM).  ev->for_user is set from how. */
int libxl__ao_progress_report(libxl__egc *egc, libxl__ao *ao, const libxl_asyncprogress_how *how,
                              libxl_event *ev);

/* A part of an operation with memory of its own; it aborts with its parent and cannot be completed.
 * Free it before completing the operation (asserted). */
libxl__ao *libxl__nested_ao_create(libxl__ao *parent);
void libxl__nested_ao_free(libxl__ao *child);

/* Something that an abort of ao must stop.  The callback comes once, Idle, from within the
 * abort call; it gets rc ERROR_ABORTED. */
typedef void libxl__ao_abortable_callback(libxl__egc *egc, libxl__ao_abortable *abrt, int rc);
struct libxl__ao_abortable {
    libxl__ao *ao;                                  /* set by the user before register */
    libxl__ao_abortable_callback *callback;         /* likewise */
    bool registered;
    LIST_ENTRY(libxl__ao_abortable) entry;
};
void libxl__ao_abortable_init(libxl__ao_abortable *abrt);
/* Takes Idle only: init, set ao and callback, register.  ERROR_ABORTED if ao is aborting. */
int libxl__ao_abortable_register(libxl__ao_abortable *abrt);
void libxl__ao_abortable_deregister(libxl__ao_abortable *abrt);
static inline int libxl__ao_abortable_isregistered(const libxl__ao_abortable *abrt)
{
    return abrt->registered;
}

/* 0 or ERROR_ABORTED: for operations to ask at a convenient point. */
int libxl__ao_aborting(libxl__ao *ao);
/* Ask for the end of ao.  0; ERROR_ABORTED if asked before; ERROR_NOTFOUND if it is complete.
 * Call it with the lock held exactly once (as in any callback). */
int libxl__ao_abort(libxl__egc *egc, libxl__ao *ao);

/* ------------------------------------------------------------------------------ time (time.c) */

/* rc: ERROR_TIMEDOUT or ERROR_ABORTED.  *requested_abs: on CLOCK_MONOTONIC, {0,0} if infinite. */
typedef void libxl__ev_time_callback(libxl__egc *egc, libxl__ev_time *ev,
                                     const struct timespec *requested_abs, int rc);
struct libxl__ev_time {
    libxl__ev_time_callback *func;                  /* NULL: Idle */
    bool infinite;
    struct timespec abs;
    int64_t due_ns;
    uint64_t seq;                                   /* equal times fire in order of registration */
    size_t heap_at;
    void *nexus;                                    /* what the application's loop knows it by */
    libxl__ao_abortable abrt;
};

void libxl__ev_time_init(libxl__ev_time *ev);
/* ms < 0: never, but it can be aborted.  A timer that belongs to no job needs an ao all the same: a
 * daemon keeps one that lasts as long as itself. */
int libxl__ev_time_register_rel(libxl__ao *ao, libxl__ev_time *ev, libxl__ev_time_callback *func,
                                int ms);
/* abs on CLOCK_MONOTONIC; a time in the past fires in the next turn. */
int libxl__ev_time_register_abs(libxl__ao *ao, libxl__ev_time *ev, libxl__ev_time_callback *func,
                                struct timespec abs);
void libxl__ev_time_deregister(libxl__gc *gc, libxl__ev_time *ev);
static inline int libxl__ev_time_isregistered(const libxl__ev_time *ev) { return ev->func != NULL; }

/* ------------------------------------------------------------------------ xswatch (xswatch.c) */

struct xs_handle;

/* libxenstore's functions of the same names; moat_xs_libxenstore has the real ones. */
typedef struct moat_xs_ops {
    bool (*watch)(struct xs_handle *h, const char *path, const char *token);
    bool (*unwatch)(struct xs_handle *h, const char *path, const char *token);
    char **(*check_watch)(struct xs_handle *h);
    int (*fileno)(struct xs_handle *h);
    void (*destroy_postfork)(struct xs_handle *h);
} moat_xs_ops;
extern const moat_xs_ops moat_xs_libxenstore;

/*
 * Give the ctx a xenstore connection; it stays the caller's, who closes it after moat_ctx_free.
 * libxenstore starts a thread and makes a pipe at the first xs_watch and xs_fileno: a process that
 * locks itself calls both once before.
 */
void moat_ctx_set_xs(libxl_ctx *ctx, struct xs_handle *xsh, const moat_xs_ops *ops);

/* The node event_path, which is watch_path or below it, may have changed; one call comes soon
 * after registration.  Both strings last until the callback returns. */
typedef void libxl__ev_xswatch_callback(libxl__egc *egc, libxl__ev_xswatch *w,
                                        const char *watch_path, const char *event_path);
struct libxl__ev_xswatch {
    char *path;                                     /* NULL: Idle */
    int slotnum;
    uint32_t counterval;
    libxl__ev_xswatch_callback *callback;
};

void libxl__ev_xswatch_init(libxl__ev_xswatch *w);
/* path is copied; it may be a special node (@releaseDomain): nothing is read here. */
int libxl__ev_xswatch_register(libxl__gc *gc, libxl__ev_xswatch *w,
                               libxl__ev_xswatch_callback *func, const char *path);
void libxl__ev_xswatch_deregister(libxl__gc *gc, libxl__ev_xswatch *w);
static inline int libxl__ev_xswatch_isregistered(const libxl__ev_xswatch *w) { return !!w->path; }

/* ---------------------------------------------------------------------------- child (child.c) */

/* The child is reaped; status as from waitpid(2), 255 << 8 if somebody else took it. */
typedef void libxl__ev_child_callback(libxl__egc *egc, libxl__ev_child *ch, pid_t pid, int status);
/* Kill a child that this process may not kill itself.  Returns an rc, which is logged: the
 * child's death is awaited in any case.  Called with the lock held. */
typedef int libxl__ev_child_kill(libxl__gc *gc, void *user, pid_t pid, int sig);
struct libxl__ev_child {
    pid_t pid;                                      /* -1: Idle.  Signal it, never wait for it. */
    libxl__ev_child_callback *callback;
    struct libxl__child *rec;
};

void libxl__ev_child_init(libxl__ev_child *ch);
/*
 * As fork(2): the pid, 0 in the child, or an rc (negative).  Either the child's death will be told
 * exactly once, or there is no child.  The child has a dead ctx: it may log, exec and _exit.
 */
pid_t libxl__ev_child_fork(libxl__gc *gc, libxl__ev_child *ch, libxl__ev_child_callback *death);
/*
 * Take charge of a child of this process that another process made (CLONE_PARENT).  It may be dead
 * already.  ERROR_UNKNOWN_CHILD: pid is no child of ours, or has been reaped.  ERROR_INVAL: it is
 * somebody's already.  kill, if not NULL, is used instead of a signal and gets kill_user.
 */
int libxl__ev_child_adopt(libxl__gc *gc, libxl__ev_child *ch, pid_t pid,
                          libxl__ev_child_callback *death, libxl__ev_child_kill *kill,
                          void *kill_user);
/* A child cannot be deregistered, only: killed and forgotten.  ch is Idle at once; its callback
 * never comes; ao's user is not told of its completion before the child is reaped. */
void libxl__ev_child_kill_deregister(libxl__ao *ao, libxl__ev_child *ch, int sig);
static inline int libxl__ev_child_inuse(const libxl__ev_child *ch) { return ch->pid >= 0; }

/* ------------------------------------------------------------------------------ loop (loop.c) */

/*
 * One turn: wait for at most timeout_ms (< 0: as long as it takes), deliver what is ready, clean
 * up.  Call it without the lock; one thread at a time.  0, also when a signal cut the wait short;
 * ERROR_FAIL if waiting is impossible (logged): do not call it again.
 */
int moat_loop_run_once(libxl_ctx *ctx, int timeout_ms);

/* Work done since the ctx was made, for tests and measurements. */
typedef struct moat_loop_stats {
    uint64_t turns, fds_ready, fd_polls, fd_callbacks, timer_callbacks, heap_moves, xs_events;
    uint64_t child_steps;                           /* in looking up pids */
} moat_loop_stats;
moat_loop_stats moat_loop_get_stats(libxl_ctx *ctx);

/* ---------------------------------------------------------------------------------- shorthand */

/* These use or define the names ctx, gc, egc and ao, as everywhere in libxl. */
#define CTX (libxl__gc_owner(gc))
#define CTX_LOCK libxl__ctx_lock(CTX)
#define CTX_UNLOCK libxl__ctx_unlock(CTX)

#define LOGEV(level, errnoval, ...) libxl__log(CTX, LIBXL__LOG_##level, (errnoval), __VA_ARGS__)
#define LOGE(level, ...) LOGEV(level, errno, __VA_ARGS__)
#define LOG(level, ...) LOGEV(level, 0, __VA_ARGS__)

#define GCNEW(p) ((p) = libxl__zalloc(gc, sizeof(*(p))))
#define EGC_GC libxl__gc *const gc __attribute__((unused)) = &egc->gc
#define AO_GC libxl__gc *const gc __attribute__((unused)) = libxl__ao_gc(ao)
#define STATE_AO_GC(op_ao) libxl__ao *const ao = (op_ao); AO_GC

/* A thread's way into the core and out of it; not for code that was handed an egc. */
#define EGC_INIT(ctx) \
    libxl__egc egc[1]; \
    libxl__egc_init(egc, (ctx)); \
    EGC_GC
#define EGC_FREE libxl__egc_cleanup(egc)

/* The frame of an initiating function that is called unlocked and without an egc:
 *     AO_CREATE(ctx, domid, ao_how); ...; return AO_INPROGRESS; or: return AO_CREATE_FAIL(rc); */
#define AO_CREATE(ctx, domid, ao_how) \
    libxl__ctx_lock(ctx); \
    libxl__ao *ao = libxl__ao_create((ctx), (domid), (ao_how)); \
    if (!ao) { \
        libxl__ctx_unlock(ctx); \
        return ERROR_NOMEM; \
    } \
    libxl__egc egc[1]; \
    libxl__egc_init(egc, (ctx)); \
    AO_GC

#define AO_INPROGRESS ({ \
        libxl_ctx *ao__ctx = CTX; \
        libxl__ctx_unlock(ao__ctx); \
        EGC_FREE; \
        libxl__ctx_lock(ao__ctx); \
        int ao__rc = libxl__ao_inprogress(ao); \
        libxl__ctx_unlock(ao__ctx); \
        ao__rc; \
    })

#define AO_CREATE_FAIL(rc) ({ \
        libxl_ctx *ao__ctx = CTX; \
        int ao__rc = (rc); \
        libxl__ao_create_fail(ao); \
        libxl__ctx_unlock(ao__ctx); \
        EGC_FREE; \
        ao__rc; \
    })

#endif
