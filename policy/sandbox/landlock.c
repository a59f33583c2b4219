/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Landlock by its three system calls: everything that this kernel's version can deny is denied.
 * Numbers are those of linux/landlock.h; a newer kernel than the header is asked for more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/sandbox/landlock.h"

#define CREATE_VERSION 1u       /* LANDLOCK_CREATE_RULESET_VERSION */
#define RULE_PATH_BENEATH 1     /* LANDLOCK_RULE_PATH_BENEATH */

struct ruleset_attr {
    uint64_t fs;                /* LANDLOCK_ACCESS_FS_* */
    uint64_t net;               /* ABI 4: bind and connect of TCP */
    uint64_t scoped;            /* ABI 6: abstract sockets and signals of other domains */
};

struct path_beneath_attr {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

static int failed(const char *what, char why[128])
{
    int e = errno;

    snprintf(why, 128, "landlock: %s: %s", what, strerror(e));
    return -e;
}

/* What each version of the interface added; struct sizes likewise. */
static size_t handled(long abi, struct ruleset_attr *attr)
{
    *attr = (struct ruleset_attr){.fs = (1u << 13) - 1};
    if (abi >= 2)
        attr->fs |= LANDLOCK_REFER;
    if (abi >= 3)
        attr->fs |= LANDLOCK_TRUNCATE;
    if (abi >= 5)
        attr->fs |= LANDLOCK_IOCTL_DEV;
    if (abi >= 4)
        attr->net = 3;
    if (abi >= 6)
        attr->scoped = 3;
    return abi >= 6 ? sizeof(*attr) : abi >= 4 ? 16 : 8;
}

static int add_rule(int ruleset, int dirfd, uint64_t allowed, char why[128])
{
    struct path_beneath_attr beneath = {.allowed = allowed, .parent_fd = dirfd};

    if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &beneath, 0))
        return failed("cannot allow the one folder", why);
    return 0;
}

int sandbox_landlock_only(int dirfd, uint64_t allowed, char why[128])
{
    struct ruleset_attr attr;
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    int ruleset = -1, rc;

    if (abi < 1) {
        bool without = abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP);

        snprintf(why, 128, "landlock: this kernel has none%s",
                 without ? ": build it in, or add landlock to lsm=" : "");
        return -EOPNOTSUPP;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return failed("no_new_privs", why);
    size_t size = handled(abi, &attr);

    ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (ruleset < 0)
        return failed("cannot make a ruleset", why);
    if (dirfd >= 0) {
        rc = add_rule(ruleset, dirfd, allowed & attr.fs, why);
        if (rc)
            goto out;
    }
    if (syscall(SYS_landlock_restrict_self, ruleset, 0)) {
        rc = failed("cannot restrict", why);
        goto out;
    }
    rc = 0;
out:
    close(ruleset);
    return rc;
}

int sandbox_landlock_deny(char why[128])
{
    return sandbox_landlock_only(-1, 0, why);
}
