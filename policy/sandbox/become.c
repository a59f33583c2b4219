/* SPDX-License-Identifier: LGPL-2.1-only */
/* From root to a system user that holds `caps` and nothing else, for good. */
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "policy/sandbox/sandbox.h"

static int failed(const char *what, char why[128])
{
    int e = errno ? errno : EPERM;

    snprintf(why, 128, "become: %s: %s", what, strerror(e));
    return -e;
}

static void wanted(uint64_t caps, capng_act_t act, capng_type_t sets)
{
    for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (caps & (1ull << cap))
            capng_update(act, sets, cap);
}

/* Over an exec the capabilities of a user other than root survive as ambient ones only. */
static int raise_ambient(uint64_t caps, char why[128])
{
    for (unsigned long cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (caps & (1ull << cap) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0))
            return failed("ambient capability", why);
    return 0;
}

int sandbox_become(uid_t uid, gid_t gid, uint64_t caps, char why[128])
{
    errno = 0;
    capng_clear(CAPNG_SELECT_ALL);
    wanted(caps, CAPNG_ADD, CAPNG_BOUNDING_SET);
    /* From here on uid 0 is a uid like any other: an exec gives it nothing. */
    if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0))
        return failed("securebits", why);
    /* The bounding set first: emptying it needs CAP_SETPCAP, which is given up below. */
    if (capng_apply(CAPNG_SELECT_BOUNDS))
        return failed("bounding set", why);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
        return failed("ambient set", why);
    if (uid && caps && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
        return failed("keep capabilities", why);
    if (setgroups(0, NULL))
        return failed("groups", why);
    if (setresgid(gid, gid, gid))
        return failed("gid", why);
    if (setresuid(uid, uid, uid))
        return failed("uid", why);

    wanted(caps, CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED);
    if (uid)
        wanted(caps, CAPNG_ADD, CAPNG_INHERITABLE);
    if (capng_apply(CAPNG_SELECT_CAPS))
        return failed("capabilities", why);
    if (uid) {
        int rc = raise_ambient(caps, why);

        if (rc)
            return rc;
    }
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0))
        return failed("keep capabilities", why);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return failed("no_new_privs", why);
    return 0;
}
