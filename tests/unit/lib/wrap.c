/* SPDX-License-Identifier: LGPL-2.1-only */
/* Every allocation of what is tested, by whatever name. */

#include <errno.h>
#include <stddef.h>

#include "tests/unit/lib/wrap.h"

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

_Thread_local int allocations_left = -1;

static int none_left(void)
{
    if (allocations_left < 0)
        return 0;
    if (allocations_left--)
        return 0;
    allocations_left = 0;
    errno = ENOMEM;
    return 1;
}

void *__wrap_malloc(size_t bytes)
{
    return none_left() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return none_left() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return none_left() ? NULL : __real_realloc(old, bytes);
}
