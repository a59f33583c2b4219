/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef MOAT_LIB_LIB_H
#define MOAT_LIB_LIB_H

/* What the files of libmoat's public face share.  The core knows nothing of it but the tables of
 * functions in its ctx. */

#include "parent/event/core.h"

/*
 * One who waits for a ctx in poll(2), and how to wake him: a thread that sleeps in the library, or
 * the application between beforepoll and afterpoll.  Nothing here outlives the waiting, so that a
 * ctx in which nobody waits holds no descriptor for it.  See poller.c.
 */
struct libxl__poller {
    LIST_ENTRY(libxl__poller) entry;            /* in api->sleepers, a thread's only */
    int efd;                                    /* eventfd; -1: none */
    bool sleeping;                              /* else it looks at everything before it sleeps */
    bool poked;                                 /* efd was written to, and not yet read */
    bool for_events;                            /* waits for the queue of events */
    bool blind;                                 /* no eventfd could be had, which was logged */
};

void libxl__poller_init(struct libxl__poller *p);
/* 0, or ERROR_NOMEM or ERROR_FAIL (logged): efd is -1 then. */
int libxl__poller_open(libxl_ctx *ctx, struct libxl__poller *p);
void libxl__poller_close(libxl_ctx *ctx, struct libxl__poller *p);
void libxl__poller_poke(libxl_ctx *ctx, struct libxl__poller *p);
void libxl__poller_drain(struct libxl__poller *p);
/* Sleep until there is something to do, and do it.  Called and left with the lock held exactly
 * once; it is released meanwhile, so conditions are to be looked at again after each turn.
 * 0 or ERROR_FAIL (logged): nothing can be waited for just now. */
int libxl__poller_turn(libxl_ctx *ctx, struct libxl__poller *p);

/* Registrations with the application's loop, see hooks.c. */
struct libxl__nexus;
TAILQ_HEAD(libxl__nexus_list, libxl__nexus);

/* libmoat's part of a ctx, guarded by its lock. */
struct libxl__api {
    libxl_ctx *ctx;
    xentoollog_logger *lg;                      /* NULL: nobody listens */

    /* events.c */
    const libxl_event_hooks *event_hooks;
    void *event_user;
    STAILQ_HEAD(, libxl__event_box) queue;

    /* poller.c, osevent.c */
    LIST_HEAD(, libxl__poller) sleepers;
    struct libxl__poller app;
    struct libxl__polled *polled;               /* what the latest beforepoll gave out */
    size_t npolled, polled_room;

    /* hooks.c */
    const libxl_osevent_hooks *os_hooks;        /* NULL: the application polls, or nobody */
    void *os_user;
    unsigned in_hook;                           /* one of the application's runs just now */
    struct libxl__nexus_list nexuses, fd_spare, time_spare;
};

static inline struct libxl__api *libxl__api(libxl_ctx *ctx)
{
    return ctx->user;
}

/* events.c: the core's hooks */
void libxl__api_event_occurs(void *user, libxl_event *event);
bool libxl__api_event_queued(libxl_ctx *ctx, libxl_event *event);
void libxl__api_disaster(void *user, libxl_event_type type, const char *msg, int errnoval);
void libxl__events_free(libxl_ctx *ctx);

/* poller.c */
void libxl__poller_idle(libxl_ctx *ctx);        /* perhaps: closes what nobody needs just now */
void libxl__poller_first_timer(libxl_ctx *ctx);
void libxl__poller_events(libxl_ctx *ctx);      /* one was queued */
void libxl__poller_ao_wait(libxl_ctx *ctx, libxl__ao *ao);
void libxl__poller_ao_told(libxl_ctx *ctx, libxl__ao *ao);

/* osevent.c */
void libxl__osevent_free(libxl_ctx *ctx);

/* hooks.c */
int libxl__hooks_fd_register(libxl_ctx *ctx, libxl__ev_fd *ev, int fd, short events);
int libxl__hooks_fd_modify(libxl_ctx *ctx, libxl__ev_fd *ev, short events);
void libxl__hooks_fd_deregister(libxl_ctx *ctx, libxl__ev_fd *ev);
int libxl__hooks_time_register(libxl_ctx *ctx, libxl__ev_time *ev);
void libxl__hooks_time_deregister(libxl_ctx *ctx, libxl__ev_time *ev);
void libxl__hooks_free(libxl_ctx *ctx);

#endif
