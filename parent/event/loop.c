/* SPDX-License-Identifier: LGPL-2.1-only */
/* The loop of programs that leave their thread to the core. */

#include <errno.h>
#include <sys/epoll.h>

#include "parent/event/core.h"

#define READY_PER_TURN 128                      /* the rest is found in the next turn */

static int wait_ms(libxl_ctx *ctx, int timeout_ms)
{
    if (ctx->xs_more || !TAILQ_EMPTY(&ctx->fds_always))
        return 0;
    return libxl__time_poll_ms(ctx, timeout_ms);
}

static void deliver(libxl__egc *egc, const struct epoll_event *ready, int n)
{
    EGC_GC;
    bool xs_more = CTX->xs_more;                /* left over from an earlier turn */
    int i;

    CTX->turn++;
    CTX->stats.turns++;
    for (i = 0; i < n; i++)
        libxl__fd_occurred(egc, ready[i].data.u64);
    libxl__fd_always(egc);
    if (xs_more && CTX->xs_more)
        libxl__xswatch_drain(egc);
    libxl__time_occurred(egc);
}

int moat_loop_run_once(libxl_ctx *ctx, int timeout_ms)
{
    struct epoll_event ready[READY_PER_TURN];
    int n, ms, rc = 0;

    EGC_INIT(ctx);
    CTX_LOCK;
    libxl__assert_locked_once(ctx);
    ms = wait_ms(ctx, timeout_ms);
    CTX_UNLOCK;

    n = epoll_wait(ctx->epfd, ready, READY_PER_TURN, ms);

    CTX_LOCK;
    if (n < 0 && errno != EINTR) {
        LOGE(CRITICAL, "cannot wait for events");
        rc = ERROR_FAIL;
    }
    deliver(egc, ready, n > 0 ? n : 0);
    CTX_UNLOCK;
    EGC_FREE;
    return rc;
}

moat_loop_stats moat_loop_get_stats(libxl_ctx *ctx)
{
    moat_loop_stats s;

    libxl__ctx_lock(ctx);
    s = ctx->stats;
    libxl__ctx_unlock(ctx);
    return s;
}
