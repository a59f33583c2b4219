/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * lib_app COMMAND ARG...: a program as its author would write it for libxl, around poll(2), linked
 * with libmoat.  What happens is printed, one line each; exit status 0 if the operation ended with
 * rc 0, else 1; 2: usage.
 *
 *     suspend DOMID FILE [live] [sync] [event] [abort=MS]
 *     resume DOMID [sync] [event] [cancel=0]
 *     watch DOMID [seconds=N] [count=N] until it is dead, or N seconds are over; N watches of it
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <moat/libxl_event.h>

#define FOR_EVENT 4711

static libxl_ctx *ctx;
static bool finished;
static int result;
static bool sync_form, event_form, live;
static int abort_ms = -1, cancel = 1, seconds = 60, count = 1;

/* ---------- what is printed */

static void log_line(xentoollog_logger *l, xentoollog_level level, int errnoval,
                     const char *context, const char *format, va_list al)
{
    if (level <= XTL_DEBUG)
        return;
    printf("log %s: ", xtl_level_to_string(level));
    vprintf(format, al);
    printf("\n");
}

static void show_progress(xentoollog_logger *l, const char *context, const char *doing,
                          int percent, unsigned long done, unsigned long total)
{
    printf("progress %s: %s %d%%\n", context, doing, percent);
}

static xentoollog_logger logger = { .vmessage = log_line, .progress = show_progress };

static void completed(libxl_ctx *c, int rc, void *for_callback)
{
    printf("callback rc=%d\n", rc);
    if (for_callback != &result || c != ctx || finished)
        printf("wrong callback\n");
    result = rc;
    finished = true;
}

static void event_occurs(void *user, libxl_event *ev)
{
    printf("event %s domid=%u for_user=%" PRIu64, libxl_event_type_to_string(ev->type), ev->domid,
           ev->for_user);
    if (ev->type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN)
        printf(" reason=%u", ev->u.domain_shutdown.shutdown_reason);
    if (ev->type == LIBXL_EVENT_TYPE_OPERATION_COMPLETE) {
        printf(" rc=%d", ev->u.operation_complete.rc);
        result = ev->u.operation_complete.rc;
        finished = true;
    }
    if (ev->type == LIBXL_EVENT_TYPE_DOMAIN_DEATH)
        finished = !--count;
    printf("\n");
    libxl_event_free(ctx, ev);
}

static void disaster(void *user, libxl_event_type type, const char *msg, int errnoval)
{
    printf("disaster %d: %s\n", (int)type, msg);
    result = 1;
    finished = true;
}

static const libxl_event_hooks hooks = { LIBXL_EVENTMASK_ALL, event_occurs, disaster };

/* ---------- the main loop */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void turn(int timeout)
{
    struct pollfd fds[64];
    struct timeval now;
    int n = 64, rc;

    gettimeofday(&now, NULL);
    rc = libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now);
    if (rc) {
        printf("beforepoll rc=%d\n", rc);
        exit(1);
    }
    if (poll(fds, (nfds_t)n, timeout) < 0 && errno != EINTR)
        exit(1);
    gettimeofday(&now, NULL);
    libxl_osevent_afterpoll(ctx, n, fds, now);
}

static void run_until_finished(const libxl_asyncop_how *how)
{
    int64_t begin = now_ms();

    while (!finished && now_ms() - begin < seconds * 1000) {
        turn(20);
        if (abort_ms >= 0 && now_ms() - begin >= abort_ms) {
            printf("abort rc=%d\n", libxl_ao_abort(ctx, how));
            abort_ms = -1;
        }
    }
}

/* ---------- the commands */

static int operation(const char *command, uint32_t domid, int fd)
{
    libxl_asyncop_how how = { .callback = completed, .u.for_callback = &result };
    int rc;

    if (event_form)
        how = (libxl_asyncop_how){ .u.for_event = FOR_EVENT };
    if (!strcmp(command, "suspend"))
        rc = libxl_domain_suspend(ctx, domid, fd, live ? LIBXL_SUSPEND_LIVE : 0,
                                  sync_form ? NULL : &how);
    else
        rc = libxl_domain_resume(ctx, domid, cancel, sync_form ? NULL : &how);
    printf("%s rc=%d\n", command, rc);
    if (rc || sync_form)
        return rc;
    run_until_finished(&how);
    if (!finished)
        printf("not finished\n");
    return finished ? result : 1;
}

static int watch(uint32_t domid)
{
    libxl_evgen_domain_death *evgen;
    int i, rc = 0;

    for (i = 0; i < count; i++) {
        rc = libxl_evenable_domain_death(ctx, domid, FOR_EVENT + (libxl_ev_user)i, &evgen);
        if (rc)
            break;
    }
    printf("watch rc=%d\n", rc);
    if (rc)
        return rc;
    run_until_finished(NULL);
    if (!finished)
        printf("not finished\n");
    return result;
}

static void option(const char *word)
{
    sscanf(word, "abort=%d", &abort_ms);
    sscanf(word, "cancel=%d", &cancel);
    sscanf(word, "seconds=%d", &seconds);
    sscanf(word, "count=%d", &count);
    sync_form |= !strcmp(word, "sync");
    event_form |= !strcmp(word, "event");
    live |= !strcmp(word, "live");
}

int main(int argc, char **argv)
{
    bool to_file = argc > 3 && !strcmp(argv[1], "suspend");
    int fd = -1, i, rc;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 3)
        return 2;
    for (i = to_file ? 4 : 3; i < argc; i++)
        option(argv[i]);
    if (to_file) {
        fd = strcmp(argv[3], "-") ? open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0600) : 1;
        if (fd < 0) {
            perror(argv[3]);
            return 2;
        }
        if (fd == 1)
            stdout = stderr;
    }
    rc = libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &logger);
    if (rc)
        return 2;
    libxl_event_register_callbacks(ctx, &hooks, NULL);
    rc = strcmp(argv[1], "watch") ? operation(argv[1], (uint32_t)atoi(argv[2]), fd)
                                  : watch((uint32_t)atoi(argv[2]));
    printf("free rc=%d\n", libxl_ctx_free(ctx));
    return rc ? 1 : 0;
}
