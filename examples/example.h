/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef EXAMPLE_H
#define EXAMPLE_H

/*
 * What the examples have in common: all that is not about the main loop.  One save of one domain,
 * as a chain of callbacks: suspend, then (--resume) resume, then ended().
 */

#include <stdbool.h>
#include <stdint.h>

/* The same sources build against libxenlight: names, values and rules are libxl's. */
#ifdef EXAMPLE_LIBXL
#include <libxl.h>
#include <libxl_event.h>
#else
#include <moat/libxl_event.h>
#endif

#define TICK_MS 50

/* A timer of the application's own.  It shows whether anything ever holds up the main loop. */
struct ticker {
    unsigned count;
    int64_t last, longest;              /* microseconds; last 0: has not ticked yet */
};

void ticker_tick(struct ticker *t);
/* For loops without timers: ticks if it is time; milliseconds until the next tick. */
int ticker_due(struct ticker *t);

struct save {
    libxl_ctx *ctx;
    xentoollog_logger *log;
    uint32_t domid;
    const char *file;
    int fd;
    int flags;                          /* LIBXL_SUSPEND_* */
    bool resume;

    libxl_asyncop_how how;              /* of what is in progress: its name for libxl_ao_abort() */
    void (*ended)(struct save *s);      /* called once, at the very end; may be NULL */
    void *loop;                         /* for ended */

    bool saved, resumed, over;
    int rc;                             /* the first failure */
};

/* Reads "[--live] [--resume]" and n times "DOMAIN-ID FILE"; exits with 2 at anything else. */
void save_options(struct save *s, int n, int argc, char **argv);
/* Opens the file and allocates a context that logs to stderr.  Returns an ERROR_*. */
int save_open(struct save *s);
/* Whatever happens, ended() is called, perhaps before this returns. */
void save_start(struct save *s);
/* After the save.  moatd lets a domain go on whose save has failed; libxl leaves it as it is then,
 * perhaps suspended. */
bool save_wants_resume(const struct save *s);
/* Ctrl-C.  The operation then ends as any other, with ERROR_ABORTED if it was not too late. */
void save_abort(struct save *s);
/* Prints the result.  Returns the exit status of a program: 0 or 1. */
int save_report(const struct save *s, const struct ticker *t);
/* The same, and frees everything.  What the main loop still has of the context is void. */
int save_close(struct save *s, const struct ticker *t);

#endif
