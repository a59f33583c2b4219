/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/ninepfs/server.h"

/* Every table of handlers, a line each. */
static const struct p9_op *const tables[] = {
    p9_ops_base,
    p9_ops_io,
    p9_ops_l,
    p9_ops_l2,
    p9_ops_xattr,
    p9_ops_lock,
};

p9_handler *p9_dispatch(uint8_t type, enum p9_dialect dialect)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        for (const struct p9_op *op = tables[i]; op->type; op++)
            if (op->type == type && (op->dialects & dialect))
                return op->fn;
    return NULL;
}
