/* SPDX-License-Identifier: LGPL-2.1-only */
/* Destroying a domain can take minutes: a helper process does it, with no capability. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "policy/launch/launch.h"
#include "policy/sandbox/sandbox.h"

/* libxl's order: first the domid is marked as used, so that no domain gets it before its traces are
 * gone; the userdata goes last, for it is what a second try needs. */
static int destroy(uint32_t domid, const uint8_t handle[16])
{
    int rc, rc2;

    rc = launch_mark_domid(domid);
    if (rc)
        fprintf(stderr, "moatd: domain %u: cannot note the domid as used: %s\n", domid,
                strerror(-rc));
    rc = launch_destroy_domain(domid, handle);
    if (rc) {
        fprintf(stderr, "moatd: domain %u: cannot destroy: %s\n", domid, strerror(-rc));
        return rc;
    }
    rc2 = launch_remove_userdata(domid, handle);
    if (rc2)
        fprintf(stderr, "moatd: domain %u: cannot remove its files in " XEN_LIB_DIR ": %s\n", domid,
                strerror(-rc2));
    return rc2;
}

pid_t launch_destroy(uint32_t domid, const uint8_t handle[16])
{
    static const int keep[] = {0, 1, 2};
    char why[128];
    pid_t pid;
    int rc;

    /* Never dom0, whoever asks; the same for what is no domid. */
    if (!domid || domid >= 0x7ff0)
        return -EINVAL;
    pid = launch_fork();
    if (pid)
        return pid < 0 ? -errno : pid;
    prctl(PR_SET_NAME, "moatd-destroy");
    sandbox_close_fds(keep, 3);
    /* uid 0 stays: /dev/xen/privcmd and libxl's files are root's and 0600. */
    if (sandbox_become(0, 0, 0, why)) {
        fprintf(stderr, "moatd: destroy: %s\n", why);
        _exit(EPERM);
    }
    rc = destroy(domid, handle);
    _exit(-rc > 0 && -rc < 126 ? -rc : rc ? EIO : 0);
}
