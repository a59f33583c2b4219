/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef MOAT_LIB_REQUEST_H
#define MOAT_LIB_REQUEST_H

/*
 * A request to moatd: one connection, one operation, driven by the ctx's own loop.
 *
 *     Idle --start--> reaching --INTENT is sent--> asked --first frame--> running --end--> Idle
 *
 * `reaching` lasts as long as moatd's backlog is full, or as many requests of this ctx as moatd
 * likes are without an answer; usually it is over within start.  Closing the connection makes moatd
 * undo what it has not finished; a half-close asks it to undo and to say so (abort).  What moatd
 * sends is checked as if it were hostile: a frame that does not belong there ends the request.
 *
 * All functions here want the ctx's lock held, but for libxl__request_ask().
 */

#include "ipc/ipc.h"
#include "parent/event/event_internal.h"

typedef struct libxl__request libxl__request;

union libxl__request_message {
    struct msg_PROGRESS progress;
    struct msg_SAVED saved;
    struct msg_DOMAIN_STATE state;
    struct msg_STARTED started;
    struct msg_NOTE note;
    struct msg_DENIED denied;
    struct msg_DONE done;
};

enum libxl__request_end {
    REQUEST_DONE,                   /* moatd has said how it went */
    REQUEST_DENIED,                 /* the rules do not allow it; nothing was touched */
    REQUEST_REFUSED,                /* nor this time, for another reason */
    REQUEST_LOST,                   /* no answer, no connection any more, or nonsense */
};

/* PROGRESS, SAVED or DOMAIN_STATE has come.  May stop the request.  Returns words for what is wrong
 * with the message, which is then the end of the request, or NULL. */
typedef const char *libxl__request_callback(libxl__egc *egc, libxl__request *r, uint32_t type,
                                            const union libxl__request_message *m);
/* The request is over, Idle, and logged.  Exactly once for each start that returned 0, unless it is
 * stopped before. */
typedef void libxl__request_done(libxl__egc *egc, libxl__request *r, enum libxl__request_end end,
                                 int rc);

struct libxl__request {
    /* set by the user before start */
    libxl_ctx *ctx;
    libxl__ao *ao;                  /* an abort of it aborts the request; NULL: nothing does */
    const char *what;               /* for the log, "suspend of domain 5"; outlives the request */
    uint32_t domid;
    uint32_t kind, flags;           /* of INTENT */
    int file;                       /* INTENT's fd, stays the user's; -1: none */
    libxl__request_callback *message;
    libxl__request_done *done;

    /* read-only for the user */
    uint32_t job;                   /* 0: not started */

    /* private */
    enum { REQUEST_IDLE, REQUEST_REACHING, REQUEST_ASKED, REQUEST_RUNNING } state;
    bool aborting, committed;
    struct ipc_chan ch;
    struct ipc_frame *frame;
    libxl__ao *clock;               /* the timers': an abort of the operation leaves them alone */
    libxl__ev_fd efd;
    libxl__ev_time bound;           /* for the first frame; for the end of an abort */
    libxl__ev_time again;           /* reaching: try again; running: read on */
    libxl__ao_abortable abrt;
};

/* How long to wait, in ms.  Tests make them shorter. */
struct libxl__request_times {
    int backlog;                    /* between two attempts to get into moatd's backlog */
    int answer;                     /* for the first frame of an operation */
    int abort;                      /* for moatd to end what was aborted */
    int watch;                      /* for the answer to evenable, in all */
    int reconnect;                  /* between two attempts to find a moatd that was lost */
    unsigned reconnects;            /* that many, then its events are lost */
};
extern struct libxl__request_times libxl__request_times;

/* All members that the user sets are kept. */
void libxl__request_init(libxl__request *r);
/* On error (logged) Idle, and nothing was sent: ERROR_FAIL: no moatd; ERROR_NOMEM; what an
 * application's hook returned; ERROR_ABORTED. */
int libxl__request_start(libxl__egc *egc, libxl__request *r);
/* Tells moatd to go on: it has said SAVED. */
const char *libxl__request_commit(libxl__request *r);
/* Closes the connection.  Idempotent; done is not called. */
void libxl__request_stop(libxl__gc *gc, libxl__request *r);

/*
 * The same begun synchronously, and without the lock: waits for a first frame of type DOMAIN_STATE
 * for at most times.watch, leaves it in *m.  On error (logged) Idle.  After 0 the user either
 * attaches it, which makes it `running` (on error Idle), or stops it.
 */
int libxl__request_ask(libxl__request *r, struct msg_DOMAIN_STATE *m);
int libxl__request_attach(libxl__egc *egc, libxl__request *r);

/* libxl's code for what moatd says: the table of doc/libxl.md. */
int libxl__request_rc_denied(const struct msg_DENIED *m);
int libxl__request_rc_done(const struct msg_DONE *m);

/* death.c: ends all event generation of the ctx, at its end. */
void libxl__evgens_free(libxl__gc *gc);

#endif
