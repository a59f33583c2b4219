/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/ninepfs/server.h"

/* Every table of handlers, a line each. */
static const struct p9_op *const tables[] = {
    p9_ops_base,
    p9_ops_io,
    p9_ops_l,
    p9_ops_u,
    p9_ops_l2,
    p9_ops_xattr,
    p9_ops_lock,
};

void p9_dispatch_init(struct p9_server *s)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        for (const struct p9_op *op = tables[i]; op->type; op++)
            for (unsigned int dialect = P9_L; dialect <= P9_U; dialect++)
                if (op->dialects & dialect)
                    s->handler[dialect][op->type] = op->fn;
    s->handler[P9_NONE][P9_TVERSION] = p9_op_version;
}
