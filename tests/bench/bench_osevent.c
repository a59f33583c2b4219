/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * bench_osevent DOMID: one round of what the public interface lets one measure, compiled once for each
 * library: a turn of a loop around poll(2) with so many domains' deaths enabled and nothing ready, and
 * enabling with disabling.  Prints lines "WHAT COUNT NANOSECONDS".
 *
 * libxenlight runs as root with its own xenstore connection, libmoat as an operator.  Whatever goes
 * wrong later than in a call (a disaster) is none of this program's concern: libxl tells one because
 * the simulated host has no hypercalls for it, at the single event that each enabling begins with.
 */
#ifdef CONF_LIBXL
#include <libxl.h>
#include <libxl_event.h>
#define LIBRARY "libxl"
#else
#include <moat/libxl_event.h>
#define LIBRARY "moat"
#endif

#include <err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#define DEATHS_MAX 16
#define TURNS 20000
#define CYCLES 100

static libxl_ctx *ctx;
static libxl_evgen_domain_death *deaths[DEATHS_MAX];

static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void disaster(void *user, libxl_event_type type, const char *msg, int errnoval)
{
    (void)user, (void)type, (void)msg, (void)errnoval;
}

static void turn(int ms)
{
    struct pollfd fds[64];
    struct timeval now;
    int n = 64, timeout = ms;

    gettimeofday(&now, NULL);
    if (libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now))
        errx(1, LIBRARY ": beforepoll failed");
    if (poll(fds, (nfds_t)n, ms) < 0)
        err(1, "poll");
    gettimeofday(&now, NULL);
    libxl_osevent_afterpoll(ctx, n, fds, now);
}

/* The answers to what was enabled are dealt with. */
static void settle(void)
{
    double until = now_ns() + 2e8;

    while (now_ns() < until)
        turn(20);
}

static void enable(uint32_t domid, int at)
{
    int rc = libxl_evenable_domain_death(ctx, domid, 0, &deaths[at]);

    if (rc)
        errx(1, LIBRARY ": evenable_domain_death number %d: rc %d", at + 1, rc);
}

static void turns(uint32_t domid, int count)
{
    double begin;
    int i;

    for (i = 0; i < count; i++)
        enable(domid, i);
    settle();
    begin = now_ns();
    for (i = 0; i < TURNS; i++)
        turn(0);
    printf("turn %d %.0f\n", count, (now_ns() - begin) / TURNS);
    for (i = 0; i < count; i++)
        libxl_evdisable_domain_death(ctx, deaths[i]);
}

static void cycles(uint32_t domid)
{
    double begin = now_ns();

    for (int i = 0; i < CYCLES; i++) {
        enable(domid, 0);
        libxl_evdisable_domain_death(ctx, deaths[0]);
    }
    printf("enable 1 %.0f\n", (now_ns() - begin) / CYCLES);
}

int main(int argc, char **argv)
{
    static const libxl_event_hooks hooks = { .disaster = disaster };
    xentoollog_logger_stdiostream *log = xtl_createlogger_stdiostream(stderr, XTL_PROGRESS, 0);
    uint32_t domid;

    if (argc != 2)
        errx(2, "usage: %s DOMID", argv[0]);
    domid = (uint32_t)strtoul(argv[1], NULL, 10);
    if (!log || libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, (xentoollog_logger *)log))
        errx(1, LIBRARY ": no context");
    libxl_event_register_callbacks(ctx, &hooks, NULL);
    turns(domid, 0);
    turns(domid, 1);
    turns(domid, 10);
    cycles(domid);
    libxl_ctx_free(ctx);
    xtl_logger_destroy((xentoollog_logger *)log);
    return 0;
}
