/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef MOAT_LIB_REQUEST_INTERNAL_H
#define MOAT_LIB_REQUEST_INTERNAL_H

/* What request.c (the life of a connection), frames.c (what comes over it) and ask.c (its
 * synchronous beginning) share; nobody else includes this. */

#include "lib/request.h"

const char *libxl__request_socket(void);
void libxl__request_log(libxl__request *r, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* 0 or -errno; see request.c */
int libxl__request_connect(libxl__request *r);
int libxl__request_intent(libxl__request *r);
void libxl__request_hang_up(libxl__request *r);
/* Say so in the log and return ERROR_FAIL. */
int libxl__request_unreachable(libxl__request *r, int err);
int libxl__request_silent(libxl__request *r, int ms);

/* Room and timers.  0 or ERROR_NOMEM (logged): stop it then. */
int libxl__request_prepare(libxl__request *r);
/* asked -> running */
void libxl__request_answered(libxl__request *r);
/* Stops r and tells its user. */
void libxl__request_finish(libxl__egc *egc, libxl__request *r, enum libxl__request_end end,
                           int rc);

/* The connection has something to read. */
libxl__ev_fd_callback libxl__request_readable;

/* One frame into r->frame: as ipc_recv(). */
int libxl__request_recv(libxl__request *r);
/* Words for why the frame in r->frame, decoded into *m, does not belong here, or NULL. */
const char *libxl__request_odd(libxl__request *r);
/* Log the end that moatd has told; their rc. */
int libxl__request_denied(libxl__request *r, struct msg_DENIED *m);
int libxl__request_told(libxl__request *r, struct msg_DONE *m);
/* Log that the connection has ended (rc from ipc_recv or ipc_decode); ERROR_FAIL. */
int libxl__request_broken(libxl__request *r, int err, const char *why);

#endif
