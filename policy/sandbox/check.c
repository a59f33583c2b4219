/* SPDX-License-Identifier: LGPL-2.1-only */
/* A process looks at itself from the kernel's side and refuses to go on when it is not locked. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/sandbox/sandbox.h"

/* The text after "\nKEY:\t", or NULL. */
static const char *field(const char *status, const char *key)
{
    char pattern[32];
    const char *p;

    snprintf(pattern, sizeof(pattern), "\n%s:", key);
    p = strstr(status, pattern);
    if (!p)
        return NULL;
    p += strlen(pattern);
    return p + strspn(p, "\t ");
}

static int expect(const char *status, const char *key, int base, uint64_t expected, char why[128])
{
    const char *p = field(status, key);
    char *end;
    uint64_t v;

    if (!p) {
        snprintf(why, 128, "not locked: /proc/self/status has no %s", key);
        return -EPERM;
    }
    errno = 0;
    v = strtoull(p, &end, base);
    if (errno || end == p || *end != '\n' || v != expected) {
        snprintf(why, 128, "not locked: %s is %.*s, expected %" PRIx64, key,
                 (int)strcspn(p, "\n"), p, expected);
        return -EPERM;
    }
    return 0;
}

/* Real, effective, saved and file system id, all four. */
static int expect_ids(const char *status, const char *key, const uint64_t *id, char why[128])
{
    const char *p = field(status, key);
    char *end;

    for (int i = 0; i < 4; i++) {
        uint64_t v = p ? strtoull(p, &end, 10) : UINT64_MAX;

        if (!p || end == p || (id && v != *id)) {
            snprintf(why, 128, "not locked: %s is %.*s", key, p ? (int)strcspn(p, "\n") : 0,
                     p ? p : "");
            return -EPERM;
        }
        p = end;
    }
    return 0;
}

int sandbox_check(int status_fd, uid_t uid, uint64_t caps, char why[128])
{
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    char status[8192];
    uint64_t id = uid;
    ssize_t n;
    int rc;

    n = pread(status_fd, status, sizeof(status) - 1, 0);
    if (n <= 0) {
        int e = n ? errno : ENODATA;

        snprintf(why, 128, "not locked: cannot read /proc/self/status: %s", strerror(e));
        return -e;
    }
    status[n] = 0;
    rc = expect(status, "Pid", 10, (uint64_t)getpid(), why);
    if (rc)
        goto out;
    rc = expect_ids(status, "Uid", &id, why);
    if (rc)
        goto out;
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        rc = expect(status, sets[i], 16, caps, why);
        if (rc)
            goto out;
    }
    rc = expect(status, "NoNewPrivs", 10, 1, why);
    if (rc)
        goto out;
    rc = expect(status, "Seccomp", 10, 2, why);
out:
    return rc;
}
