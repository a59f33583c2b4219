/* SPDX-License-Identifier: LGPL-2.1-only */
/* Resource limits, one row per kind of process. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "policy/sandbox/sandbox.h"

#define MIB (1024ul * 1024)

struct limits {
    rlim_t nofile;
    rlim_t nproc;       /* of the uid, threads too */
    rlim_t fsize;
    rlim_t memlock;
    rlim_t data;        /* private writable memory: a worker must not drive the host out of it */
};

/*
 * NOFILE: warden and parent hold a handful of fds for each of 1,024 jobs, the forker a pidfd.
 * FSIZE: 0 where nothing is written but messages; the warden sizes arenas (files to the kernel).
 * The forker's limits are inherited by the workers, who can only lower them.
 */
static const struct limits table[SANDBOX_KINDS] = {
    [SANDBOX_WARDEN] = {8192, 0, 64 * MIB, 64 * MIB, 64 * MIB},
    [SANDBOX_RECORDER] = {64, 0, RLIM_INFINITY, 0, 64 * MIB},
    [SANDBOX_GATE] = {256, 0, 0, 0, 64 * MIB},
    /* NPROC: libxenstore's reader; a dying predecessor */
    [SANDBOX_PARENT] = {8192, 16, 0, 0, 256 * MIB},
    [SANDBOX_FORKER] = {4096, 1100, RLIM_INFINITY, 0, 512 * MIB},
    [SANDBOX_SAVE] = {64, 0, RLIM_INFINITY, 0, 512 * MIB},
};

/* A limit above the inherited one is cut down to that: raising needs a capability. */
static int set(int which, rlim_t value, const char *name, char why[128])
{
    struct rlimit old, new;

    if (getrlimit(which, &old))
        goto failed;
    new.rlim_cur = new.rlim_max = value < old.rlim_max ? value : old.rlim_max;
    if (setrlimit(which, &new))
        goto failed;
    return 0;
failed:
    snprintf(why, 128, "rlimit %s: %s", name, strerror(errno));
    return -errno;
}

int sandbox_rlimits(enum sandbox_kind kind, char why[128])
{
    const struct limits *l = &table[kind];
    rlim_t fsize = l->fsize;
    struct stat st;
    int rc;

    /* Messages that go to a file (a redirected stderr) are writes to a file as well. */
    if (!fsize && !fstat(2, &st) && S_ISREG(st.st_mode))
        fsize = 64 * MIB;
    rc = set(RLIMIT_NOFILE, l->nofile, "NOFILE", why);
    if (rc)
        goto out;
    rc = set(RLIMIT_NPROC, l->nproc, "NPROC", why);
    if (rc)
        goto out;
    rc = set(RLIMIT_FSIZE, fsize, "FSIZE", why);
    if (rc)
        goto out;
    rc = set(RLIMIT_MEMLOCK, l->memlock, "MEMLOCK", why);
    if (rc)
        goto out;
#ifndef MOAT_SANITIZED      /* whose shadow memory is terabytes of such memory */
    rc = set(RLIMIT_DATA, l->data, "DATA", why);
    if (rc)
        goto out;
#endif
    rc = set(RLIMIT_MSGQUEUE, 0, "MSGQUEUE", why);
    if (rc)
        goto out;
    /* No core: it would hold a guest's memory, or the rules of other operators. */
    rc = set(RLIMIT_CORE, 0, "CORE", why);
out:
    return rc;
}
