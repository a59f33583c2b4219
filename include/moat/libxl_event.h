/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef MOAT_LIBXL_EVENT_H
#define MOAT_LIBXL_EVENT_H

/*
 * libxl's event interface, for programs that hold no privilege.
 *
 * Names, values and rules are those of libxl_event.h and libxl.h of Xen 4.17: a program written for
 * libxenlight's event interface builds against this header and links with -lmoat instead.  What is
 * done differently stands in doc/libxl.md, the rest in libmoat(3).  A process links one of the two
 * libraries, never both.
 *
 * Domain operations are requests to moatd over its socket (environment MOAT_SOCKET, else
 * /run/moat/moat.sock), decided by its rules and written to its audit log.
 *
 * Every function may be called from any thread, but not from a hook that is said to run with the
 * context locked.  A function returns 0 or an ERROR_* of moat/libxl_error.h unless it says
 * otherwise.
 */

#include <poll.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/types.h>
#include <xentoollog.h>

#include "moat/libxl_error.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define LIBXL_VERSION 0

typedef struct libxl__ctx libxl_ctx;
typedef uint32_t libxl_domid;
typedef struct { uint8_t uuid[16]; } libxl_uuid;

/* ------------------------------------------------------------------------------------- context */

/*
 * A context for events and operations.  version: LIBXL_VERSION, else ERROR_VERSION.  flags: 0.
 * lg: where messages go; it stays the caller's and must outlive the context; NULL: nowhere.  It is
 * used on any thread, by several at once, locked: it must not call the library for this ctx.
 * Nothing is connected, no signal is handled, no thread exists until an operation needs it.
 */
int libxl_ctx_alloc(libxl_ctx **pctx, int version, unsigned flags, xentoollog_logger *lg);
/* Ends event generation and frees; no operation may be in progress, no thread inside the library,
 * so it cannot be called from a callback of this ctx.  NULL is fine.  Returns 0. */
int libxl_ctx_free(libxl_ctx *ctx);

/* ------------------------------------------------------------------------------------- events */

typedef enum libxl_event_type {
    LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN = 1,
    LIBXL_EVENT_TYPE_DOMAIN_DEATH = 2,
    LIBXL_EVENT_TYPE_DISK_EJECT = 3,
    LIBXL_EVENT_TYPE_OPERATION_COMPLETE = 4,
    LIBXL_EVENT_TYPE_DOMAIN_CREATE_CONSOLE_AVAILABLE = 5,
} libxl_event_type;

typedef enum libxl_shutdown_reason {
    LIBXL_SHUTDOWN_REASON_UNKNOWN = -1,
    LIBXL_SHUTDOWN_REASON_POWEROFF = 0,
    LIBXL_SHUTDOWN_REASON_REBOOT = 1,
    LIBXL_SHUTDOWN_REASON_SUSPEND = 2,
    LIBXL_SHUTDOWN_REASON_CRASH = 3,
    LIBXL_SHUTDOWN_REASON_WATCHDOG = 4,
    LIBXL_SHUTDOWN_REASON_SOFT_RESET = 5,
} libxl_shutdown_reason;

typedef uint64_t libxl_ev_user;

typedef struct libxl_event {
    libxl_event_type type;
    libxl_domid domid;
    libxl_uuid domuuid;             /* zeros when it is not known */
    libxl_ev_user for_user;         /* as given when the event was asked for */
    union {
        struct { uint8_t shutdown_reason; } domain_shutdown;    /* a libxl_shutdown_reason */
        struct { int rc; } operation_complete;
    } u;
} libxl_event;

const char *libxl_event_type_to_string(libxl_event_type type);  /* NULL: no such type */
const char *libxl_error_to_string(libxl_error rc);              /* NULL: no such error */

#define LIBXL_EVENTMASK_ALL (~(uint64_t)0)

/* Asked with the context locked: looks, calls nothing.  Non-zero: this event is wanted. */
typedef int libxl_event_predicate(const libxl_event *ev, void *user);

/* The first queued event whose type has its bit (1 << type) in typemask and that the predicate
 * (NULL: any) accepts; the caller owns it.  ERROR_NOT_READY if there is none. */
int libxl_event_check(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
                      libxl_event_predicate *predicate, void *predicate_user);
/* The same, waiting for one as long as it takes. */
int libxl_event_wait(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
                     libxl_event_predicate *predicate, void *predicate_user);
void libxl_event_free(libxl_ctx *ctx, libxl_event *event);

typedef struct libxl_event_hooks {
    uint64_t event_occurs_mask;     /* types that go to event_occurs; the others are queued */
    /* Called unlocked, on whatever thread is inside the library; owns the event. */
    void (*event_occurs)(void *user, libxl_event *event);
    /* Events of this type (0: of all types) may have been lost and will go on being lost.  May run
     * locked: must not call the library.  NULL: a message, then exit(-1). */
    void (*disaster)(void *user, libxl_event_type type, const char *msg, int errnoval);
} libxl_event_hooks;

/* *hooks must stay as it is until the context is freed or other hooks (NULL: none) are given. */
void libxl_event_register_callbacks(libxl_ctx *ctx, const libxl_event_hooks *hooks, void *user);

typedef struct libxl__evgen_domain_death libxl_evgen_domain_death;

/*
 * Generates DOMAIN_SHUTDOWN when the domain shuts down, for whatever reason, and DOMAIN_DEATH when
 * it is gone, each once; at once if it is so already.  Asks moatd and waits for its answer, a few
 * milliseconds; ERROR_FAIL if it refuses or there is none.
 */
int libxl_evenable_domain_death(libxl_ctx *ctx, uint32_t domid, libxl_ev_user user,
                                libxl_evgen_domain_death **evgen_out);
/* Events that were generated already may still arrive. */
void libxl_evdisable_domain_death(libxl_ctx *ctx, libxl_evgen_domain_death *evgen);

/* ------------------------------------------------------- waiting: the application's main loop */

/*
 * For loops around poll(2).  Call before each poll with room for *nfds_io entries: *nfds_io becomes
 * the number wanted (ERROR_BUFFERFULL if that is more: the entries are then undefined),
 * *timeout_upd (milliseconds, negative: infinite) may be lowered.  (NULL, 0) asks for the number.
 * After poll give the entries back to afterpoll.  One thread at a time between the two.  now: as
 * from gettimeofday(2); the library keeps its own time and does not look at it.
 */
int libxl_osevent_beforepoll(libxl_ctx *ctx, int *nfds_io, struct pollfd *fds, int *timeout_upd,
                             struct timeval now);
void libxl_osevent_afterpoll(libxl_ctx *ctx, int nfds, const struct pollfd *fds,
                             struct timeval now);

/*
 * For loops that have registrations of their own.  All hooks are called with the context locked and
 * must not call the library; a failing one returns ERROR_OSEVENT_REG_FAIL or any positive value,
 * which the operation at hand then fails with.
 *
 * *for_app_out is NULL on entry to a register hook; what the hook leaves there comes back to modify
 * and deregister.  Of one fd there may be several registrations with different events (poll(2)'s;
 * 0: none for now).  Times are absolute, on the wall clock.  timeout_modify is only ever called
 * with a time of {0,0}: as soon as possible.  A timeout is deregistered by its occurrence;
 * timeout_deregister is not called.
 */
typedef struct libxl_osevent_hooks {
    int (*fd_register)(void *user, int fd, void **for_app_out, short events, void *for_libxl);
    int (*fd_modify)(void *user, int fd, void **for_app_update, short events);
    void (*fd_deregister)(void *user, int fd, void *for_app);
    int (*timeout_register)(void *user, void **for_app_out, struct timeval abs, void *for_libxl);
    int (*timeout_modify)(void *user, void **for_app_update, struct timeval abs);
    void (*timeout_deregister)(void *user, void *for_app);
} libxl_osevent_hooks;

/* Once per context, before anything else is done with it.  *hooks must stay as it is. */
void libxl_osevent_register_hooks(libxl_ctx *ctx, const libxl_osevent_hooks *hooks, void *user);

/* Any value that a hook was ever given as for_libxl is fine until the context is freed: what is
 * stale is ignored.  Not to be called from a hook. */
void libxl_osevent_occurred_fd(libxl_ctx *ctx, void *for_libxl, int fd, short events,
                               short revents);
void libxl_osevent_occurred_timeout(libxl_ctx *ctx, void *for_libxl);

/* ----------------------------------------------------------------------------------- children */

/*
 * Who waits for children and may handle SIGCHLD.  The context's own children (moat_child_fork) are
 * told exactly once in every mode; any number of contexts may have children, in any mixture of
 * modes, but _mainloop does not go with one that waits for every child of the process.
 */
typedef enum libxl_sigchld_owner {
    /* The library waits for its own children; SIGCHLD and other children are left alone.  With a
     * reaped_callback, while the context has children, it handles SIGCHLD and waits for every child
     * of the process: the application must not. */
    libxl_sigchld_owner_libxl,
    /* The application waits; the library does nothing before it is told, by _reaped or by
     * _sigchld_occurred. */
    libxl_sigchld_owner_mainloop,
    /* The library handles SIGCHLD and waits for every child of the process, from setmode on. */
    libxl_sigchld_owner_libxl_always,
    /* The library waits for its own children, and never for others. */
    libxl_sigchld_owner_libxl_always_selective_reap,
} libxl_sigchld_owner;

typedef struct libxl_childproc_hooks {
    libxl_sigchld_owner chldowner;
    /* Instead of fork(2), locked; returns what fork would and must come down to a fork(2) on the
     * same thread.  NULL: fork. */
    pid_t (*fork_replacement)(void *user);
    /* A child that no context knows was reaped: 0 if it is the application's, ERROR_UNKNOWN_CHILD
     * if it is not (which is logged); anything else is a disaster.  Unlocked.  NULL: always
     * unknown. */
    int (*reaped_callback)(pid_t pid, int status, void *user);
} libxl_childproc_hooks;

/*
 * hooks NULL: libxl_sigchld_owner_libxl and nothing else.  *hooks must stay as it is.  Only while
 * the context has no children, else nothing changes (which is logged).
 *
 * Where the library handles SIGCHLD, the application must have it at SIG_DFL or SIG_IGN; it gets
 * that back afterwards.  If it has a handler of its own, that stays, forks fail with ERROR_FAIL,
 * and setmode to _libxl_always is a disaster.  (A SIGCHLD that is ignored is handled while there
 * are children in all modes but _mainloop: the kernel would keep no status.)
 */
void libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *hooks, void *user);
/* The application has waited for this child, with this status.  0: it was this context's, and its
 * death has been told; else ERROR_UNKNOWN_CHILD.  For _mainloop only. */
int libxl_childproc_reaped(libxl_ctx *ctx, pid_t pid, int status);
/* The application had a SIGCHLD: the context waits for those of its own children that are dead, at
 * no cost for those that live.  For _mainloop only; not from a signal handler. */
void libxl_childproc_sigchld_occurred(libxl_ctx *ctx);

/* In a child of fork(2) that goes on without exec, first of all: ends all contexts of the process,
 * which the child must not use or free afterwards, closes the library's descriptors and gives
 * SIGCHLD back.  Any one of the contexts will do.  The child may then make new ones. */
void libxl_postfork_child_noexec(libxl_ctx *ctx);

/* Says in words how a child ended, to ctx's log; status as from waitpid(2). */
void libxl_report_child_exitstatus(libxl_ctx *ctx, xentoollog_level level, const char *what,
                                   pid_t pid, int status);

/* --------------------------------------------------------------------- asynchronous operations */

/* How the end of an operation is told: by callback (unlocked, on any thread, perhaps before the
 * function that starts it has returned), or, callback NULL, as an event OPERATION_COMPLETE with
 * for_user = for_event.  Copied.  NULL instead of a how: the function waits for the end. */
typedef struct libxl_asyncop_how {
    void (*callback)(libxl_ctx *ctx, int rc, void *for_callback);
    union {
        libxl_ev_user for_event;
        void *for_callback;
    } u;
} libxl_asyncop_how;

/* How progress is told.  The callback owns the event. */
typedef struct libxl_asyncprogress_how {
    void (*callback)(libxl_ctx *ctx, libxl_event *event, void *for_callback);
    libxl_ev_user for_event;
    void *for_callback;
} libxl_asyncprogress_how;

/* Asks for the end of the operation with this very how (NULL: a synchronous one); it still ends as
 * announced, with ERROR_ABORTED or, too late, with its result.  ERROR_NOTFOUND: there is none;
 * ERROR_ABORTED: it was asked for already. */
int libxl_ao_abort(libxl_ctx *ctx, const libxl_asyncop_how *how);

#define LIBXL_SUSPEND_DEBUG 1           /* not supported: ERROR_NI */
#define LIBXL_SUSPEND_LIVE 2

/*
 * Suspends the domain and writes its state to fd (a regular file or a pipe, open for writing) as
 * libxl's stream, version 2.  fd stays the caller's and must stay open until the end.  On success
 * the domain stays suspended: libxl_domain_resume() lets it go on.  On failure it goes on running,
 * if it still can.
 */
int libxl_domain_suspend(libxl_ctx *ctx, uint32_t domid, int fd, int flags,
                         const libxl_asyncop_how *ao_how);
/* A domain that is suspended goes on.  suspend_cancel: 1 (co-operative); 0 is ERROR_NI. */
int libxl_domain_resume(libxl_ctx *ctx, uint32_t domid, int suspend_cancel,
                        const libxl_asyncop_how *ao_how);

/* ------------------------------------------------------------------- only in moat, not in libxl */

/* A child of the application's that the context looks after, in whatever mode childproc is. */
typedef struct moat_child moat_child;
typedef void moat_child_exited(libxl_ctx *ctx, moat_child *child, pid_t pid, int status,
                               void *user);
/*
 * As fork(2): the pid, 0 in the child, or an ERROR_*, and then there is no child.  exited is called
 * exactly once, unlocked, with status as from waitpid(2), or 255 << 8 (and a disaster) if somebody
 * else waited for the child; *child is valid until it returns.  It may be called on another thread
 * before this function has returned, but not before *child is set.  child: may be NULL.  If the
 * context is freed before, the child is left to the application and exited is not called.
 *
 * The child process must exec or _exit, or call libxl_postfork_child_noexec() first of all.
 */
pid_t moat_child_fork(libxl_ctx *ctx, moat_child_exited *exited, void *user, moat_child **child);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
