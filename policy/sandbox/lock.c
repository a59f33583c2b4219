/* SPDX-License-Identifier: LGPL-2.1-only */
/* The usual order in which a process of moat locks itself, and what each kind keeps. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "policy/sandbox/landlock.h"

/* The warden opens its private nodes anew for each job; its root has nothing else, and nothing is
 * made or removed there. */
static int landlock_warden(char why[128])
{
    int fd = open("/dev/xen", O_PATH | O_DIRECTORY | O_CLOEXEC), rc;

    rc = sandbox_landlock_only(fd, LANDLOCK_READ_FILE | LANDLOCK_WRITE_FILE | LANDLOCK_IOCTL_DEV,
                               why);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int landlock_for(enum sandbox_kind kind, char why[128])
{
    switch (kind) {
    case SANDBOX_WARDEN:
        return landlock_warden(why);
    case SANDBOX_FORKER:
        /* It executes programs: its mount namespace, where nothing else is, limits it. */
        return 0;
    default:
        return sandbox_landlock_deny(why);
    }
}

int sandbox_lock(enum sandbox_kind kind, int status_fd, uid_t uid, uint64_t caps, char why[128])
{
    int rc;

    rc = sandbox_rlimits(kind, why);
    if (rc)
        goto out;
    rc = landlock_for(kind, why);
    if (rc)
        goto out;
    /* The parent has libxenstore's reader as a second thread by now. */
    rc = sandbox_seccomp(kind, kind == SANDBOX_PARENT, why);
    if (rc)
        goto out;
    rc = sandbox_check(status_fd, uid, caps, why);
out:
    return rc;
}
