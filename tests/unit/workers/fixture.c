/* SPDX-License-Identifier: LGPL-2.1-only */
#include "tests/unit/workers/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct fixture fixture(const char *format, const char *kind)
{
    struct fixture f = { calloc(1, 65536), 0 };
    const char *place = strstr(format, "%s");
    char path[256];
    FILE *in;

    assert_non_null(f.text);
    assert_non_null(place);
    snprintf(path, sizeof(path), "tests/unit/workers/fixtures/%.*s%s%s", (int)(place - format),
             format, kind, place + 2);
    in = fopen(path, "re");
    if (!in)
        fail_msg("%s is missing; tests run from the repository's root", path);
    f.len = fread(f.text, 1, 65535, in);
    fclose(in);
    assert_true(f.len > 0 && f.len < 65535);
    return f;
}
