/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef MOAT_LIB_FORK_H
#define MOAT_LIB_FORK_H

/*
 * Contexts and descriptors across fork(2), for the whole process.
 *
 * Every descriptor that the library opens is close-on-exec from its making, so a child that execs
 * needs nothing.  For a child that goes on without (libxl_postfork_child_noexec) the library keeps
 * a list of them, its "carefds".  No fork can come between the opening of one and its entry:
 *
 *     libxl__carefd_begin();
 *     fd = libxl__carefd_record(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
 *     if (fd < 0) ...errno
 *     ...
 *     libxl__carefd_close(fd);
 *
 * Between begin and record: one call that makes a descriptor and does not wait.  Every fork of the
 * process waits for it, and begin does not nest.
 *
 * Locks, outermost first: a ctx's lock, the reap lock (lib/childproc.h), the registry's (here;
 * begin takes it, so does fork(2) by pthread_atfork).  Nothing is locked inside the last one, and
 * nothing is logged: a logger is the application's, and may fork.
 */

#include "parent/event/core.h"

void libxl__carefd_begin(void);
/* Ends what begin began, in any case.  fd is the result of the opening call: entered and returned;
 * if it is negative, or there is no memory (it is closed then), -1 with errno. */
int libxl__carefd_record(int fd);
/* For two descriptors at once (pipe, socketpair): 0 or -1 with errno, both closed then.  r: result
 * of the opening call. */
int libxl__carefd_record_pair(int r, const int fds[2]);
/* Deregister its ev_fd first.  Negative: nothing.  errno is preserved. */
void libxl__carefd_close(int fd);

/* realloc(3); tests put one here that fails. */
extern void *(*libxl__carefds_allocate)(void *old, size_t bytes);

/* For core.h's ctx->care. */
extern const struct libxl__care_ops libxl__carefd_ops;

/* A ctx joins and leaves the list of those that a fork ends.  join: 0 or ERROR_FAIL. */
int libxl__fork_ctx_join(libxl_ctx *ctx);
void libxl__fork_ctx_leave(libxl_ctx *ctx);

/* The registry's lock itself, for lib/sigchld.c. */
void libxl__registry_lock(void);
void libxl__registry_unlock(void);

/* In a child, which has one thread: what fork(2)'s handlers do, unless they have done it.  A
 * fork_replacement may have found a way around them. */
void libxl__fork_in_child(void);

#endif
