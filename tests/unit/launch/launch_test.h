/* SPDX-License-Identifier: LGPL-2.1-only */
/* A private mount namespace in which moatd's fixed paths are the test's own. */
#ifndef MOAT_LAUNCH_TEST_H
#define MOAT_LAUNCH_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static inline void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static inline void tmpfs_on(const char *path)
{
    assert_true(!mkdir(path, 0755) || errno == EEXIST);
    assert_int_equal(mount("test", path, "tmpfs", 0, "mode=0755"), 0);
}

/* /run, /var/lib, /var/run and /var/log/moat are empty from here on, for this process only. */
static inline void private_host(void)
{
    struct stat st;

    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    tmpfs_on("/run");
    tmpfs_on("/var/lib");
    assert_int_equal(mkdir("/var/lib/xen", 0755), 0);
    if (!lstat("/var/run", &st) && !S_ISLNK(st.st_mode))
        tmpfs_on("/var/run");
    assert_int_equal(mkdir("/var/run/xen", 0755), 0);
}

#endif
