/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * threads [--live] [--resume] DOMAIN-ID FILE DOMAIN-ID FILE: two saves at a time, each in a thread
 * and a context of its own, by calls that wait for the end (no ao_how).  A third thread waits for
 * what happens to the two domains, in the first of the contexts, beside the save there.
 */
#include "example.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct save saves[2];
static atomic_int running;

static void *save_thread(void *arg)
{
    struct save *s = arg;
    int rc;

    s->rc = libxl_domain_suspend(s->ctx, s->domid, s->fd, s->flags, NULL);
    s->saved = !s->rc;
    if (save_wants_resume(s)) {
        rc = libxl_domain_resume(s->ctx, s->domid, 1, NULL);
        s->resumed = !rc;
        if (!s->rc)
            s->rc = rc;
    }
    running--;
    return NULL;
}

/*
 * A suspended domain has shut down, for the reason "suspend".  Only an event wakes this thread: it
 * ends with the program.
 */
static void *death_thread(void *arg)
{
    libxl_ctx *ctx = arg;
    const uint64_t types = 1 << LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN |
                           1 << LIBXL_EVENT_TYPE_DOMAIN_DEATH;
    libxl_event *ev;

    while (!libxl_event_wait(ctx, &ev, types, NULL, NULL)) {
        if (ev->type == LIBXL_EVENT_TYPE_DOMAIN_DEATH)
            printf("domain %u: gone\n", ev->domid);
        else if (ev->u.domain_shutdown.shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND)
            printf("domain %u: suspended\n", ev->domid);
        else
            printf("domain %u: shut down, reason %d\n", ev->domid,
                   ev->u.domain_shutdown.shutdown_reason);
        libxl_event_free(ctx, ev);
    }
    return NULL;
}

/*
 * Of several contexts that may have children at the same time each must leave those of the others
 * alone, and so must the application.
 */
static const libxl_childproc_hooks childproc = {
    .chldowner = libxl_sigchld_owner_libxl_always_selective_reap,
};

static int start(pthread_t threads[2])
{
    libxl_evgen_domain_death *evgen;    /* needed only to disable it */
    pthread_t death;
    int i;

    for (i = 0; i < 2; i++) {
        if (save_open(&saves[i]))
            return ERROR_FAIL;
        libxl_childproc_setmode(saves[i].ctx, &childproc, NULL);
    }
    for (i = 0; i < 2; i++)
        if (libxl_evenable_domain_death(saves[0].ctx, saves[i].domid, i, &evgen))
            return ERROR_FAIL;
    if (pthread_create(&death, NULL, death_thread, saves[0].ctx))
        return ERROR_FAIL;
    pthread_detach(death);
    running = 2;
    for (i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, save_thread, &saves[i]))
            return ERROR_FAIL;
    return 0;
}

int main(int argc, char **argv)
{
    const struct timespec interval = { .tv_nsec = TICK_MS * 1000000L };
    struct ticker ticker = { 0 };
    pthread_t threads[2];
    sigset_t set;
    int i, status;

    save_options(saves, 2, argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* Blocked here, so in every thread: this one takes it when it looks. */
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (start(threads))
        return 1;

    while (running) {
        if (sigtimedwait(&set, NULL, &interval) == SIGINT)
            for (i = 0; i < 2; i++)
                libxl_ao_abort(saves[i].ctx, NULL);     /* NULL: the call that waits */
        ticker_tick(&ticker);
    }
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);

    status = save_close(&saves[1], &ticker);
    /* A thread is in the first context, so that one cannot be freed. */
    status |= save_report(&saves[0], &ticker);
    return status;
}
