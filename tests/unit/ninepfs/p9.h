/* SPDX-License-Identifier: LGPL-2.1-only */
/* What the tests of the 9pfs server share. */
#ifndef MOAT_TESTS_UNIT_NINEPFS_P9_H
#define MOAT_TESTS_UNIT_NINEPFS_P9_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/ninepfs/client.h"
#include "tests/unit/fds.h"

#define ROOT 0u                     /* the fid that start_l attaches */

/* A server in .L with the root attached. */
static inline struct p9c *start_l(const struct p9_config *cfg, unsigned int rings,
                                  unsigned int order)
{
    struct p9c *c = p9c_start(cfg, rings, order, 1);

    assert_int_equal(p9c_version(c, "9P2000.L", 1 << 20), 0);
    assert_int_equal(p9c_attach(c, ROOT, 0), 0);
    return c;
}

/* A file of the host's below the export, with a text in it. */
static inline void host_file(struct p9c *c, const char *name, const char *text)
{
    int fd = openat(c->root_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static inline void host_text(struct p9c *c, const char *name, char *buf, size_t max)
{
    int fd = openat(c->root_fd, name, O_RDONLY | O_CLOEXEC);
    ssize_t r;

    assert_true(fd >= 0);
    r = read(fd, buf, max - 1);
    assert_true(r >= 0);
    buf[r] = 0;
    close(fd);
}

#endif
