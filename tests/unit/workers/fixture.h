/* SPDX-License-Identifier: LGPL-2.1-only */
/* Reads tests/unit/workers/fixtures; tests run from the repository's root. */
#ifndef MOAT_TEST_FIXTURE_H
#define MOAT_TEST_FIXTURE_H

#include <stddef.h>

struct fixture {
    char *text;     /* malloc()ed, with a NUL behind it that len does not count */
    size_t len;
};

/* Fails the test if the file is missing or empty. */
struct fixture fixture(const char *format, const char *kind);

#endif
