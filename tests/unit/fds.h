/* SPDX-License-Identifier: LGPL-2.1-only */
/* For tests that promise to leave no descriptor behind. */
#ifndef MOAT_TEST_FDS_H
#define MOAT_TEST_FDS_H

#include <dirent.h>

/* How many descriptors this process has; the one that is needed to find out counts each time. */
static inline int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

#endif
