/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The parent: moatd's unprivileged event loop.  policy/launch forks it and calls these two; it is
 * the one place where an arrow points up (launch -> parent), because the parent is not a program of
 * its own: forker and parent must be one process's children and parent (CLONE_PARENT).
 */
#ifndef MOAT_PARENT_H
#define MOAT_PARENT_H

#include <sys/types.h>

struct parent_start {
    int warden_fd;              /* channel to the warden; the parent owns it */
    int status_fd;              /* /proc/self/status of this process; the parent owns it */
    uid_t uid;                  /* moat */
    const char *xenstore_path;  /* socket of the gate for libxenstore */
};

/* Still root, file system still there: connects to the gate.  0, or 1 with a message on stderr. */
int parent_prepare(const struct parent_start *start);

/* Already without root and file system: locks itself, then serves until the warden's channel
 * closes.  The exit status of the process. */
int parent_main(const struct parent_start *start);

#endif
