/* SPDX-License-Identifier: LGPL-2.1-only */
/* Contexts: the core's, with what applications need besides. */

#include <stdlib.h>

#include "lib/childproc.h"
#include "lib/lib.h"
#include "lib/request.h"

_Static_assert(LIBXL__LOG_DEBUG == (int)XTL_DEBUG && LIBXL__LOG_INFO == (int)XTL_INFO &&
               LIBXL__LOG_WARN == (int)XTL_WARN && LIBXL__LOG_ERROR == (int)XTL_ERROR &&
               LIBXL__LOG_CRITICAL == (int)XTL_CRITICAL, "the core's levels are xentoollog's");

static void log_line(void *user, int level, const char *msg)
{
    struct libxl__api *api = user;

    if (api->lg)
        xtl_log(api->lg, (xentoollog_level)level, -1, "libmoat", "%s", msg);
}

static void log_progress(void *user, const char *doing, uint64_t done, uint64_t total)
{
    struct libxl__api *api = user;

    /* The numbers are moatd's, and its worker's: xtl_progress() divides by (total + 99) / 100. */
    for (; total > UINT64_MAX / 2; total /= 2)
        done /= 2;
    if (api->lg)
        xtl_progress(api->lg, "libmoat", doing, done, total);
}

static const moat_ctx_hooks core_hooks = {
    .log = log_line,
    .progress = log_progress,
    .disaster = libxl__api_disaster,
    .event_occurs = libxl__api_event_occurs,
};

static const struct libxl__os_ops os_ops = {
    .fd_register = libxl__hooks_fd_register,
    .fd_modify = libxl__hooks_fd_modify,
    .fd_deregister = libxl__hooks_fd_deregister,
    .fd_none = libxl__poller_idle,
    .time_register = libxl__hooks_time_register,
    .time_deregister = libxl__hooks_time_deregister,
    .first_timer = libxl__poller_first_timer,
    .ao_wait = libxl__poller_ao_wait,
    .ao_told = libxl__poller_ao_told,
    .event_queued = libxl__api_event_queued,
};

int libxl_ctx_alloc(libxl_ctx **pctx, int version, unsigned flags, xentoollog_logger *lg)
{
    struct libxl__api *api;
    int rc;

    (void)flags;
    *pctx = NULL;
    if (version != LIBXL_VERSION)
        return ERROR_VERSION;
    api = calloc(1, sizeof(*api));
    if (!api)
        return ERROR_NOMEM;
    api->lg = lg;
    STAILQ_INIT(&api->queue);
    LIST_INIT(&api->sleepers);
    libxl__poller_init(&api->app);
    TAILQ_INIT(&api->nexuses);
    TAILQ_INIT(&api->fd_spare);
    TAILQ_INIT(&api->time_spare);
    rc = libxl__ctx_new(&api->ctx, &core_hooks, api);
    if (rc)
        goto out;
    api->ctx->os = &os_ops;
    rc = libxl__childproc_init(api->ctx);
    if (rc)
        goto out;
    *pctx = api->ctx;
    return 0;

out:
    moat_ctx_free(api->ctx);
    free(api);
    return rc;
}

/* What generates events goes first, then what it could have left behind.  moat_ctx_free insists on
 * there being no operation and no registration left. */
int libxl_ctx_free(libxl_ctx *ctx)
{
    struct libxl__api *api;
    libxl__gc gc[1];

    if (!ctx)
        return 0;
    api = libxl__api(ctx);
    libxl__gc_init(gc, ctx);
    libxl__evgens_free(gc);
    libxl__gc_free_all(gc);
    libxl__childproc_fini(ctx);
    libxl__events_free(ctx);
    libxl__osevent_free(ctx);
    libxl__hooks_free(ctx);
    moat_ctx_free(ctx);
    free(api);
    return 0;
}
