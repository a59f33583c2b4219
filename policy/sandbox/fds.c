/* SPDX-License-Identifier: LGPL-2.1-only */
/* Closes what a child must not inherit. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/sandbox/sandbox.h"

void sandbox_close_fds(const int *keep, unsigned n)
{
    unsigned from = 0;

    for (;;) {
        unsigned next = ~0u;

        for (unsigned i = 0; i < n; i++)
            if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
                next = (unsigned)keep[i];
        if (next == ~0u)
            break;
        if (next > from && close_range(from, next - 1, 0))
            abort();
        from = next + 1;
    }
    /* A descriptor left open is a right left behind: rather die than go on. */
    if (close_range(from, ~0u, 0))
        abort();
}
