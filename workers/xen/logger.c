/* SPDX-License-Identifier: LGPL-2.1-only */
/* The library's log lines and progress, as messages to the parent.  No stdio stream: a stream asks
 * whether it is a terminal, and a worker has no ioctl for that. */
#include "workers/xen/xen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <xencall.h>
#include <xendevicemodel.h>

#include "workers/common.h"

/*
 * Archives are searched in order: who links this file for its logger gets our xencall and
 * devicemodel with it, before libxenctrl asks for them.
 */
static const void *const ours[] __attribute__((used)) = { xencall_open, xendevicemodel_open };

static void (*on_progress)(const char *what, unsigned long done, unsigned long total);

static void vmessage(xentoollog_logger *logger, xentoollog_level level, int errnoval,
                     const char *context, const char *format, va_list al)
{
    int saved = errno, n;
    char text[512];

    if (level < XTL_DETAIL)
        goto out;
    n = snprintf(text, sizeof(text), "%s: ", context ? context : "xen");
    if (n < 0 || n >= (int)sizeof(text))
        goto out;
    vsnprintf(text + n, sizeof(text) - n, format, al);
    n = strlen(text);
    if (errnoval >= 0 && n < (int)sizeof(text))
        snprintf(text + n, sizeof(text) - n, ": %s", strerror(errnoval));
    worker_log(level, text);
out:
    errno = saved;
}

static void progress(xentoollog_logger *logger, const char *context, const char *what, int percent,
                     unsigned long done, unsigned long total)
{
    int saved = errno;

    if (on_progress)
        on_progress(what ? what : "", done, total);
    errno = saved;
}

static void destroy(xentoollog_logger *logger)
{
}

xentoollog_logger *worker_logger(void (*report)(const char *what, unsigned long done,
                                                unsigned long total))
{
    static xentoollog_logger logger = { vmessage, progress, destroy };

    on_progress = report;
    return &logger;
}
