/* SPDX-License-Identifier: LGPL-2.1-only */
/* Contexts, and what may be said about them without any event. */
#include <stdarg.h>

#include "tests/conformance/conf.h"

static void case_version(void)
{
    libxl_ctx *ctx = (libxl_ctx *)1;

    trace_rc("ctx_alloc, another version", libxl_ctx_alloc(&ctx, LIBXL_VERSION + 1, 0, NULL));
    trace_if("no context", !ctx);
}

static void case_free_null(void)
{
    trace_rc("ctx_free(NULL)", libxl_ctx_free(NULL));
}

static void case_alloc_free(void)
{
    int before, i;

    ctx_end(ctx_new());         /* what is opened once and for all is open now */
    before = count_fds();
    for (i = 0; i < 3; i++)
        ctx_end(ctx_new());
    trace_if("as many fds as before", count_fds() == before);
    trace("SIGCHLD: %s", sigchld_disposition());
}

static void case_two(void)
{
    libxl_ctx *a = ctx_new(), *b = ctx_new();

    queue_event(a, 1);
    trace_if("event in its own context", queue_has(a, 1));
    trace_if("event in the other one", queue_has(b, 1));
    ctx_end(a);
    queue_event(b, 2);
    trace_queue("the other, after the first one's end", b, NO_DOMAIN);
    ctx_end(b);
}

static void case_free_queue(void)
{
    libxl_ctx *ctx = ctx_new();

    queue_event(ctx, 1);
    queue_event(ctx, 2);
    ctx_end(ctx);
}

static void case_idle(void)
{
    libxl_ctx *ctx = ctx_new();

    trace("SIGCHLD: %s", sigchld_disposition());
    trace_if("no child", waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    ctx_end(ctx);
}

static void case_event_names(void)
{
    for (int i = 0; i <= 6; i++) {
        const char *name = libxl_event_type_to_string((libxl_event_type)i);

        trace("event type %d: %s", i, name ? name : "NULL");
    }
}

static void case_error_names(void)
{
    for (int i = 1; i >= -33; i--) {
        const char *name = libxl_error_to_string((libxl_error)i);

        trace("error %d: %s", i, name ? name : "NULL");
    }
}

/* A logger that keeps the last message of weight. */
struct keeper {
    xentoollog_logger vtable;
    int n;
    xentoollog_level level;
    char text[256];
};

static void keeper_message(xentoollog_logger *lg, xentoollog_level level, int errnoval,
                           const char *context, const char *format, va_list al)
{
    struct keeper *k = (struct keeper *)lg;

    if (level < XTL_WARN)
        return;
    k->n++;
    k->level = level;
    vsnprintf(k->text, sizeof(k->text), format, al);
}

static void keeper_progress(xentoollog_logger *lg, const char *context, const char *what,
                            int percent, unsigned long done, unsigned long total)
{
}

static void keeper_destroy(xentoollog_logger *lg)
{
}

static void report(struct keeper *k, const char *what, int status)
{
    libxl_ctx *ctx;

    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &k->vtable))
        broken("no context");
    k->n = 0;
    libxl_report_child_exitstatus(ctx, XTL_ERROR, "worker", 12345, status);
    trace("%s: messages %d", what, k->n);
    trace("%s: level %s", what, xtl_level_to_string(k->level));
    trace_if("names the program", strstr(k->text, "worker") != NULL);
    trace_if("names the pid", strstr(k->text, "12345") != NULL);
    libxl_ctx_free(ctx);
}

static void case_child_words(void)
{
    struct keeper k = { { keeper_message, keeper_progress, keeper_destroy } };

    report(&k, "exit 3", 3 << 8);
    trace_if("says the status", strstr(k.text, "status 3") != NULL);
    report(&k, "killed", SIGKILL);
    trace_if("says the signal", strstr(k.text, strsignal(SIGKILL)) != NULL);
    report(&k, "unexpected exit 0", 0);
    report(&k, "strange", 0xffff);
}

static void case_free_event_null(void)
{
    libxl_ctx *ctx = ctx_new();

    libxl_event_free(ctx, NULL);
    trace("returns");
    ctx_end(ctx);
}

const struct conf_case conf_cases[] = {
    { "ctx-version", case_version },
    { "ctx-free-null", case_free_null },
    { "ctx-alloc-free", case_alloc_free },
    { "ctx-two", case_two },
    { "ctx-free-with-queue", case_free_queue },
    { "ctx-idle", case_idle },
    { "ctx-event-names", case_event_names },
    { "ctx-error-names", case_error_names },
    { "ctx-child-words", case_child_words },
    { "ctx-free-event-null", case_free_event_null },
    { NULL, NULL },
};
