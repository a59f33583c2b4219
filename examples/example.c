/* SPDX-License-Identifier: LGPL-2.1-only */
#include "example.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---------------------------------------------------------------------- the timer */

static int64_t monotonic_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void ticker_tick(struct ticker *t)
{
    int64_t now = monotonic_us();

    if (t->last && now - t->last > t->longest)
        t->longest = now - t->last;
    t->last = now;
    t->count++;
}

int ticker_due(struct ticker *t)
{
    int64_t left;

    if (!t->last || monotonic_us() - t->last >= TICK_MS * 1000)
        ticker_tick(t);
    left = t->last + TICK_MS * 1000 - monotonic_us();
    return left > 0 ? (int)((left + 999) / 1000) : 0;
}

/* ---------------------------------------------------------------------- the options */

static void usage(const char *program, int n)
{
    fprintf(stderr, "usage: %s [--live] [--resume]", program);
    while (n--)
        fprintf(stderr, " DOMAIN-ID FILE");
    fprintf(stderr, "\n");
    exit(2);
}

void save_options(struct save *s, int n, int argc, char **argv)
{
    static const struct option options[] = {
        { "live", no_argument, NULL, 'l' },
        { "resume", no_argument, NULL, 'r' },
        { NULL },
    };
    bool resume = false;
    int c, i, flags = 0;
    char *end;
    unsigned long domid;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'l')
            flags |= LIBXL_SUSPEND_LIVE;
        else if (c == 'r')
            resume = true;
        else
            usage(argv[0], n);
    }
    if (argc - optind != 2 * n)
        usage(argv[0], n);
    for (i = 0; i < n; i++) {
        errno = 0;
        domid = strtoul(argv[optind + 2 * i], &end, 10);
        if (errno || *end || end == argv[optind + 2 * i] || domid > UINT16_MAX)
            usage(argv[0], n);
        s[i] = (struct save){
            .domid = (uint32_t)domid, .file = argv[optind + 2 * i + 1], .fd = -1,
            .flags = flags, .resume = resume,
        };
    }
}

/* ---------------------------------------------------------------------- the operation */

int save_open(struct save *s)
{
    int rc;

    s->fd = open(s->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (s->fd < 0) {
        perror(s->file);
        return ERROR_FAIL;
    }
    /* Messages and the progress of the save go to stderr. */
    s->log = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_PROGRESS, 0);
    if (!s->log)
        return ERROR_NOMEM;
    rc = libxl_ctx_alloc(&s->ctx, LIBXL_VERSION, 0, s->log);
    if (rc)
        fprintf(stderr, "no context: rc %d\n", rc);
    return rc;
}

static void over(struct save *s, int rc)
{
    s->rc = rc;
    s->over = true;
    if (s->ended)
        s->ended(s);
}

bool save_wants_resume(const struct save *s)
{
#ifdef EXAMPLE_LIBXL
    return s->resume;
#else
    return s->resume && s->saved;
#endif
}

static void resume_done(libxl_ctx *ctx, int rc, void *user)
{
    struct save *s = user;

    s->resumed = !rc;
    over(s, s->rc ? s->rc : rc);
}

/* A completion callback runs unlocked: it may start the next operation. */
static void suspend_done(libxl_ctx *ctx, int rc, void *user)
{
    struct save *s = user;

    s->rc = rc;
    s->saved = !rc;
    if (!save_wants_resume(s)) {
        over(s, rc);
        return;
    }
    s->how = (libxl_asyncop_how){ .callback = resume_done, .u.for_callback = s };
    rc = libxl_domain_resume(ctx, s->domid, 1, &s->how);
    if (rc)     /* not started, so the callback will not come */
        over(s, s->rc ? s->rc : rc);
}

void save_start(struct save *s)
{
    int rc;

    s->how = (libxl_asyncop_how){ .callback = suspend_done, .u.for_callback = s };
    /* 0 means: started.  The callback may have come already. */
    rc = libxl_domain_suspend(s->ctx, s->domid, s->fd, s->flags, &s->how);
    if (rc)
        over(s, rc);
}

void save_abort(struct save *s)
{
    int rc = s->over ? ERROR_NOTFOUND : libxl_ao_abort(s->ctx, &s->how);

    /* Not found: it has just ended.  Aborted: asked for already. */
    if (rc && rc != ERROR_NOTFOUND && rc != ERROR_ABORTED)
        fprintf(stderr, "cannot abort: rc %d\n", rc);
}

int save_report(const struct save *s, const struct ticker *t)
{
    const char *error = s->rc ? libxl_error_to_string(s->rc) : NULL;

    printf("domain %u: %s%s", s->domid, s->saved ? "saved" : "not saved",
           s->resumed ? ", resumed" : s->saved ? ", suspended" : "");
    if (s->rc)
        printf(", %s (%d)", error ? error : "error", s->rc);
    printf("; %u ticks, longest gap %lld ms\n", t->count, (long long)t->longest / 1000);
    return s->rc ? 1 : 0;
}

int save_close(struct save *s, const struct ticker *t)
{
    int status = save_report(s, t);

    libxl_ctx_free(s->ctx);
    xtl_logger_destroy(s->log);
    if (close(s->fd)) {
        perror(s->file);
        status = 1;
    }
    return status;
}
