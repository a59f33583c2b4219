/* SPDX-License-Identifier: LGPL-2.1-only */
/* The loop of programs that leave their thread to the core. */

#include <errno.h>
#include <sys/epoll.h>

#include "parent/event/core.h"

#define READY_PER_TURN 128                      /* the rest is found in the next turn */

int libxl__loop_wait_ms(libxl_ctx *ctx, int timeout_ms)
{
    if (ctx->xs_more || !TAILQ_EMPTY(&ctx->fds_always))
        return 0;
    return libxl__time_poll_ms(ctx, timeout_ms);
}

void libxl__loop_deliver(libxl__egc *egc, const struct epoll_event *ready, int n)
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
    int n, ms, epfd, rc;

    EGC_INIT(ctx);
    CTX_LOCK;
    libxl__assert_locked_once(ctx);
    ms = libxl__loop_wait_ms(ctx, timeout_ms);
    rc = libxl__ctx_epoll(ctx);
    epfd = ctx->epfd;
    CTX_UNLOCK;
    if (rc)
        goto out;

    n = epoll_wait(epfd, ready, READY_PER_TURN, ms);

    CTX_LOCK;
    if (n < 0 && errno != EINTR) {
        LOGE(CRITICAL, "cannot wait for events");
        rc = ERROR_FAIL;
    }
    libxl__loop_deliver(egc, ready, n > 0 ? n : 0);
    CTX_UNLOCK;
out:
    EGC_FREE;
    return rc;
}

int libxl__loop_deliver_ready(libxl__egc *egc)
{
    struct epoll_event ready[READY_PER_TURN];
    int n, rc = 0;
    EGC_GC;

    n = CTX->epfd < 0 ? 0 : epoll_wait(CTX->epfd, ready, READY_PER_TURN, 0);
    if (n < 0 && errno != EINTR) {
        LOGE(CRITICAL, "cannot wait for events");
        rc = ERROR_FAIL;
    }
    libxl__loop_deliver(egc, ready, n > 0 ? n : 0);
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
