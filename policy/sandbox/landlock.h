/* SPDX-License-Identifier: LGPL-2.1-only */
/* For lock.c: a landlock ruleset with one exception. */
#ifndef MOAT_SANDBOX_LANDLOCK_H
#define MOAT_SANDBOX_LANDLOCK_H

#include "policy/sandbox/sandbox.h"

/* LANDLOCK_ACCESS_FS_*, also those that the installed header may not know yet. */
#define LANDLOCK_WRITE_FILE (1u << 1)
#define LANDLOCK_READ_FILE (1u << 2)
#define LANDLOCK_READ_DIR (1u << 3)
#define LANDLOCK_REMOVE_FILE (1u << 5)
#define LANDLOCK_MAKE_REG (1u << 8)
#define LANDLOCK_REFER (1u << 13)
#define LANDLOCK_TRUNCATE (1u << 14)
#define LANDLOCK_IOCTL_DEV (1u << 15)

/* As sandbox_landlock_deny, but `allowed` stays possible beneath dirfd (-1: nothing does). */
int sandbox_landlock_only(int dirfd, uint64_t allowed, char why[128]);

#endif
