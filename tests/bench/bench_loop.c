/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * bench_loop [ROUNDS]: what a turn of the event core costs with much or little registered and one fd
 * ready, and what registering and cancelling costs.  The peer does the same by the means of a plain
 * loop: an array for poll(2), a sorted list of timers.  With beforepoll and afterpoll the application
 * has that array, as the interface demands: there the peer shows what the two calls add to it.  Both
 * in turn, medians of ROUNDS (7).  Prints a table and a line of JSON for each row.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "parent/event/event_internal.h"

#define ROUNDS_MAX 101
#define FDS_MAX 10000
#define TIMERS_MAX 100000
#define ROWS_MAX 32
#define LATER_MS 100000000              /* a timer that is not due in a measurement */

static int rounds = 7;
static libxl_ctx *ctx;
static libxl__gc gc[1];
static int fds[FDS_MAX], ready_fd;      /* fds: idle for ever */
static uint64_t seen;

static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int new_eventfd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        err(1, "eventfd");
    return fd;
}

static void make_ready(void)
{
    uint64_t one = 1;

    if (write(ready_fd, &one, sizeof(one)) != sizeof(one))
        err(1, "write");
}

static void take(int fd)
{
    uint64_t n;

    if (read(fd, &n, sizeof(n)) != sizeof(n))
        err(1, "read");
    seen += n;
}

static uint32_t random_ms(void)
{
    static uint32_t x = 12345;

    x = x * 1103515245 + 12345;
    return LATER_MS + (x >> 8);
}

/* ---------- the core ---------- */

static libxl__ev_fd ev_fds[FDS_MAX + 1];
static libxl__ev_time ev_times[TIMERS_MAX + 1];
static libxl__ao *ao;

static void on_fd(libxl__egc *egc, libxl__ev_fd *ev, int fd, short events, short revents)
{
    take(fd);
}

static void on_time(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    errx(1, "a timer fired");
}

static void core_fd(int at, int fd)
{
    if (libxl__ev_fd_register(gc, &ev_fds[at], on_fd, fd, POLLIN))
        errx(1, "registration failed");
}

static void core_time(int at)
{
    if (libxl__ev_time_register_rel(ao, &ev_times[at], on_time, (int)random_ms()))
        errx(1, "registration failed");
}

static void never(libxl_ctx *c, int rc, void *for_callback)
{
    errx(1, "an operation ended that merely lends its timers a home");
}

static void core_begin(int n_fds, int n_timers)
{
    static const moat_ctx_hooks hooks;
    static const libxl_asyncop_how how = { .callback = never };

    if (moat_ctx_alloc(&ctx, &hooks, NULL))
        errx(1, "no context");
    libxl__gc_init(gc, ctx);
    ao = libxl__ao_create(ctx, 0, &how);
    if (!ao)
        errx(1, "no operation");
    for (int i = 0; i < n_fds; i++)
        core_fd(i, fds[i]);
    for (int i = 0; i < n_timers; i++)
        core_time(i);
    core_fd(n_fds, ready_fd);
}

static void core_end(int n_fds, int n_timers)
{
    for (int i = 0; i < n_timers; i++)
        libxl__ev_time_deregister(gc, &ev_times[i]);
    for (int i = 0; i <= n_fds; i++)
        libxl__ev_fd_deregister(gc, &ev_fds[i]);
    libxl__ao_create_fail(ao);
    libxl__gc_free_all(gc);
    moat_ctx_free(ctx);
}

static double core_turns(int n)
{
    double begin = now_ns();
    uint64_t before = seen;

    for (int i = 0; i < n; i++) {
        make_ready();
        if (moat_loop_run_once(ctx, -1))
            errx(1, "the loop failed");
    }
    if (seen - before != (uint64_t)n)
        errx(1, "%d turns saw %ju events", n, (uintmax_t)(seen - before));
    return (now_ns() - begin) / n;
}

static double core_fd_cycles(int at, int fd, int n)
{
    double begin = now_ns();

    for (int i = 0; i < n; i++) {
        core_fd(at, fd);
        libxl__ev_fd_deregister(gc, &ev_fds[at]);
    }
    return (now_ns() - begin) / n;
}

static double core_time_cycles(int at, int n)
{
    double begin = now_ns();

    for (int i = 0; i < n; i++) {
        core_time(at);
        libxl__ev_time_deregister(gc, &ev_times[at]);
    }
    return (now_ns() - begin) / n;
}

/* ---------- the same core through the public interface of poll loops ---------- */

static void api_begin(int n_fds)
{
    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL))
        errx(1, "no context");
    libxl__gc_init(gc, ctx);
    for (int i = 0; i < n_fds; i++)
        core_fd(i, fds[i]);
    core_fd(n_fds, ready_fd);
}

static void api_end(int n_fds)
{
    for (int i = 0; i <= n_fds; i++)
        libxl__ev_fd_deregister(gc, &ev_fds[i]);
    libxl__gc_free_all(gc);
    libxl_ctx_free(ctx);
}

static double api_turns(int n)
{
    static struct pollfd array[FDS_MAX + 10];
    const struct timeval now = { 0, 0 };        /* not looked at */
    double begin = now_ns();
    uint64_t before = seen;

    for (int i = 0; i < n; i++) {
        int count = FDS_MAX + 10, timeout = -1;

        make_ready();
        if (libxl_osevent_beforepoll(ctx, &count, array, &timeout, now))
            errx(1, "beforepoll failed");
        if (poll(array, (nfds_t)count, timeout) < 0)
            err(1, "poll");
        libxl_osevent_afterpoll(ctx, count, array, now);
    }
    if (seen - before != (uint64_t)n)
        errx(1, "%d turns saw %ju events", n, (uintmax_t)(seen - before));
    return (now_ns() - begin) / n;
}

/* ---------- the peer: an array and a sorted list ---------- */

struct timer {
    uint64_t due;
    TAILQ_ENTRY(timer) entry;
};
static TAILQ_HEAD(, timer) timers = TAILQ_HEAD_INITIALIZER(timers);
static struct timer all_timers[TIMERS_MAX + 1];
static struct pollfd polled[FDS_MAX + 1];
static int n_polled;

static void peer_time(struct timer *t)
{
    struct timer *other;

    t->due = random_ms();
    TAILQ_FOREACH(other, &timers, entry) {
        if (other->due > t->due) {
            TAILQ_INSERT_BEFORE(other, t, entry);
            return;
        }
    }
    TAILQ_INSERT_TAIL(&timers, t, entry);
}

static int earlier(const void *a, const void *b)
{
    uint64_t x = ((const struct timer *)a)->due, y = ((const struct timer *)b)->due;

    return (x > y) - (x < y);
}

/* Sorted in advance: to insert 100,000 one by one takes minutes. */
static void peer_begin(int n_fds, int n_timers)
{
    TAILQ_INIT(&timers);
    for (int i = 0; i < n_timers; i++)
        all_timers[i].due = random_ms();
    qsort(all_timers, (size_t)n_timers, sizeof(*all_timers), earlier);
    for (int i = 0; i < n_timers; i++)
        TAILQ_INSERT_TAIL(&timers, &all_timers[i], entry);
    for (int i = 0; i < n_fds; i++)
        polled[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
    polled[n_fds] = (struct pollfd){ .fd = ready_fd, .events = POLLIN };
    n_polled = n_fds + 1;
}

static double peer_turns(int n)
{
    double begin = now_ns();

    for (int i = 0; i < n; i++) {
        const struct timer *first = TAILQ_FIRST(&timers);

        make_ready();
        if (poll(polled, (nfds_t)n_polled, first ? LATER_MS : -1) < 0)
            err(1, "poll");
        for (int at = 0; at < n_polled; at++)
            if (polled[at].revents)
                take(polled[at].fd);
    }
    return (now_ns() - begin) / n;
}

static double peer_time_cycles(struct timer *t, int n)
{
    double begin = now_ns();

    for (int i = 0; i < n; i++) {
        peer_time(t);
        TAILQ_REMOVE(&timers, t, entry);
    }
    return (now_ns() - begin) / n;
}

/* ---------- rows ---------- */

static char rows[ROWS_MAX][256];
static int n_rows;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, (size_t)rounds, sizeof(*v), by_value);
    return v[rounds / 2];
}

static void row(const char *what, int n_fds, int n_timers, const char *peer, double *ours,
                double *theirs)
{
    double a = median(ours), b = median(theirs);

    printf("%-24s %6d fds %7d timers %12.0f ns %12.0f ns %8.4f  (%s)\n", what, n_fds, n_timers, a,
           b, a / b, peer);
    if (n_rows < ROWS_MAX)
        snprintf(rows[n_rows++], sizeof(rows[0]), "{\"bench\": \"loop\", \"what\": \"%s\", "
                 "\"fds\": %d, \"timers\": %d, \"rounds\": %d, \"moat_ns\": %.0f, \"peer\": "
                 "\"%s\", \"peer_ns\": %.0f, \"ratio\": %.4f}", what, n_fds, n_timers, rounds, a,
                 peer, b, a / b);
}

/* few: how often the peer does what takes it long. */
static void turns(int n_fds, int n_timers, int few)
{
    double ours[ROUNDS_MAX], theirs[ROUNDS_MAX];

    core_begin(n_fds, n_timers);
    peer_begin(n_fds, n_timers);
    core_turns(100);
    peer_turns(10);
    for (int i = 0; i < rounds; i++) {
        ours[i] = core_turns(10000);
        theirs[i] = peer_turns(few);
    }
    row("turn, one ready", n_fds, n_timers, "poll array", ours, theirs);
    core_end(n_fds, n_timers);
}

static void poll_turns(int n_fds, int few)
{
    double ours[ROUNDS_MAX], theirs[ROUNDS_MAX];

    api_begin(n_fds);
    peer_begin(n_fds, 0);
    api_turns(10);
    peer_turns(10);
    for (int i = 0; i < rounds; i++) {
        ours[i] = api_turns(few);
        theirs[i] = peer_turns(few);
    }
    row("beforepoll .. afterpoll", n_fds, 0, "poll array", ours, theirs);
    api_end(n_fds);
}

static void fd_registrations(int n_fds, double *with_ten)
{
    double ours[ROUNDS_MAX];
    int fd = new_eventfd();

    core_begin(n_fds - 1, 0);
    core_fd_cycles(n_fds, fd, 100);
    for (int i = 0; i < rounds; i++)
        ours[i] = core_fd_cycles(n_fds, fd, 10000);
    if (n_fds == 10)
        memcpy(with_ten, ours, sizeof(ours));
    row("fd, register + cancel", n_fds, 0, "itself with 10", ours, with_ten);
    core_end(n_fds - 1, 0);
    close(fd);
}

static void time_registrations(int n_timers, int few)
{
    double ours[ROUNDS_MAX], theirs[ROUNDS_MAX];

    core_begin(10, n_timers);
    peer_begin(10, n_timers);
    core_time_cycles(n_timers, 100);
    for (int i = 0; i < rounds; i++) {
        ours[i] = core_time_cycles(n_timers, 100000);
        theirs[i] = peer_time_cycles(&all_timers[n_timers], few);
    }
    row("timer, register + cancel", 10, n_timers, "sorted list", ours, theirs);
    core_end(10, n_timers);
}

int main(int argc, char **argv)
{
    struct rlimit lim = { FDS_MAX + 100, FDS_MAX + 100 };       /* needs root, perhaps */
    double with_ten[ROUNDS_MAX];
    int i;

    if (argc > 1)
        rounds = atoi(argv[1]);
    if (rounds < 5 || rounds > ROUNDS_MAX)
        errx(2, "ROUNDS is from 5 to %d", ROUNDS_MAX);
    if (setrlimit(RLIMIT_NOFILE, &lim))
        err(1, "%d descriptors", FDS_MAX + 100);
    for (i = 0; i < FDS_MAX; i++)
        fds[i] = new_eventfd();
    ready_fd = new_eventfd();

    printf("%-24s %10s %14s %15s %15s %8s\n", "event core, medians", "", "", "moat", "peer",
           "ratio");
    turns(10, 0, 10000);
    turns(1000, 0, 1000);
    turns(10000, 0, 100);
    turns(10, 100, 10000);
    turns(10, 100000, 10000);
    turns(10000, 100000, 100);
    poll_turns(10, 10000);
    poll_turns(1000, 1000);
    poll_turns(10000, 100);
    fd_registrations(10, with_ten);
    fd_registrations(1000, with_ten);
    fd_registrations(10000, with_ten);
    time_registrations(100, 100000);
    time_registrations(100000, 30);
    for (i = 0; i < n_rows; i++)
        puts(rows[i]);
    return 0;
}
