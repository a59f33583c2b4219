/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * glib [--live] [--resume] DOMAIN-ID FILE: a save from GLib's main loop.
 *
 * Each registration of libxl's is a GSource.  GLib holds a reference to a source while it is
 * dispatched and never dispatches one that was destroyed, which is all the care that hooks need.
 * They run with the context locked: none of them calls libxl.
 */
#include "example.h"

#include <glib-unix.h>
#include <glib.h>
#include <signal.h>

G_STATIC_ASSERT(G_IO_IN == POLLIN && G_IO_OUT == POLLOUT && G_IO_PRI == POLLPRI);
G_STATIC_ASSERT(G_IO_ERR == POLLERR && G_IO_HUP == POLLHUP && G_IO_NVAL == POLLNVAL);

struct loop {
    GMainContext *context;
    GMainLoop *main;
    libxl_ctx *ctx;
};

/* ---------------------------------------------------------------------- fds */

struct watch {
    GSource source;
    libxl_ctx *ctx;
    void *for_libxl;
    int fd;
    short events;
    gpointer tag;               /* NULL: not polled */
};

static gboolean watch_dispatch(GSource *source, GSourceFunc callback, gpointer user)
{
    struct watch *w = (struct watch *)source;
    short revents;

    if (!w->tag)
        return G_SOURCE_CONTINUE;
    revents = (short)g_source_query_unix_fd(source, w->tag);
    if (revents)
        libxl_osevent_occurred_fd(w->ctx, w->for_libxl, w->fd, w->events, revents);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs watch_funcs = { .dispatch = watch_dispatch };

/* events may be 0 (none for now), and a POLLHUP nobody asked for must not make the loop spin. */
static void watch_set(struct watch *w, short events)
{
    w->events = events;
    if (!events && w->tag) {
        g_source_remove_unix_fd(&w->source, w->tag);
        w->tag = NULL;
    } else if (events && w->tag) {
        g_source_modify_unix_fd(&w->source, w->tag, (GIOCondition)events);
    } else if (events) {
        w->tag = g_source_add_unix_fd(&w->source, w->fd, (GIOCondition)events);
    }
}

/* There may be several registrations for one fd: each is a source of its own. */
static int fd_register(void *user, int fd, void **for_app_out, short events, void *for_libxl)
{
    struct loop *loop = user;
    struct watch *w = (struct watch *)g_source_new(&watch_funcs, sizeof(*w));

    w->ctx = loop->ctx;
    w->for_libxl = for_libxl;
    w->fd = fd;
    w->tag = NULL;
    watch_set(w, events);
    g_source_attach(&w->source, loop->context);
    *for_app_out = w;
    return 0;
}

static int fd_modify(void *user, int fd, void **for_app_update, short events)
{
    watch_set(*for_app_update, events);
    return 0;
}

static void fd_deregister(void *user, int fd, void *for_app)
{
    struct watch *w = for_app;

    g_source_destroy(&w->source);
    g_source_unref(&w->source);
}

/* ---------------------------------------------------------------------- times */

struct timer {
    GSource source;
    libxl_ctx *ctx;
    void *for_libxl;
};

/* Exactly once for each registration.  Until the call returns libxl may still modify the timer: its
 * memory is GLib's until the dispatch is over, and it will not fire again whatever is set. */
static gboolean timer_dispatch(GSource *source, GSourceFunc callback, gpointer user)
{
    struct timer *t = (struct timer *)source;

    libxl_osevent_occurred_timeout(t->ctx, t->for_libxl);
    return G_SOURCE_REMOVE;
}

static GSourceFuncs timer_funcs = { .dispatch = timer_dispatch };

/* abs is absolute and on the wall clock; GLib's time is the monotonic one. */
static int timeout_register(void *user, void **for_app_out, struct timeval abs, void *for_libxl)
{
    struct loop *loop = user;
    struct timer *t = (struct timer *)g_source_new(&timer_funcs, sizeof(*t));
    gint64 in = (gint64)abs.tv_sec * G_USEC_PER_SEC + abs.tv_usec - g_get_real_time();

    t->ctx = loop->ctx;
    t->for_libxl = for_libxl;
    g_source_set_ready_time(&t->source, g_get_monotonic_time() + MAX(in, 0));
    g_source_attach(&t->source, loop->context);
    g_source_unref(&t->source);         /* the loop's alone, until it has fired */
    *for_app_out = t;
    return 0;
}

/* Always with the time {0,0}: libxl has no use for it any more and waits for it to occur, soon. */
static int timeout_modify(void *user, void **for_app_update, struct timeval abs)
{
    struct timer *t = *for_app_update;

    g_source_set_ready_time(&t->source, 0);
    return 0;
}

/* For completeness: libxl never calls it. */
static void timeout_deregister(void *user, void *for_app)
{
    struct timer *t = for_app;

    g_source_destroy(&t->source);
}

static const libxl_osevent_hooks hooks = {
    .fd_register = fd_register,
    .fd_modify = fd_modify,
    .fd_deregister = fd_deregister,
    .timeout_register = timeout_register,
    .timeout_modify = timeout_modify,
    .timeout_deregister = timeout_deregister,
};

/* ---------------------------------------------------------------------- the program */

static gboolean on_sigint(gpointer user)
{
    save_abort(user);
    return G_SOURCE_CONTINUE;
}

static gboolean on_tick(gpointer user)
{
    ticker_tick(user);
    return G_SOURCE_CONTINUE;
}

static void ended(struct save *s)
{
    struct loop *loop = s->loop;

    g_main_loop_quit(loop->main);
}

static void attach(GSource *source, GSourceFunc callback, gpointer user, GMainContext *context)
{
    g_source_set_callback(source, callback, user, NULL);
    g_source_attach(source, context);
    g_source_unref(source);
}

int main(int argc, char **argv)
{
    struct ticker ticker = { 0 };
    struct loop loop = { 0 };
    struct save s;
    int status;

    save_options(&s, 1, argc, argv);
    if (save_open(&s))
        return 1;
    loop.ctx = s.ctx;
    loop.context = g_main_context_new();
    loop.main = g_main_loop_new(loop.context, FALSE);
    s.loop = &loop;
    s.ended = ended;
    attach(g_timeout_source_new(TICK_MS), on_tick, &ticker, loop.context);
    attach(g_unix_signal_source_new(SIGINT), on_sigint, &s, loop.context);

    /* Before anything else is done with the context. */
    libxl_osevent_register_hooks(s.ctx, &hooks, &loop);
    save_start(&s);
    if (!s.over)        /* GLib forgets a quit from before the loop */
        g_main_loop_run(loop.main);

    status = save_close(&s, &ticker);
    /* Also destroys the times that libxl gave up and that had not fired yet. */
    g_main_loop_unref(loop.main);
    g_main_context_unref(loop.context);
    return status;
}
