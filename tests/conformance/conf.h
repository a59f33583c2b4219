/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef CONFORMANCE_CONF_H
#define CONFORMANCE_CONF_H

/*
 * What every program of the comparison has at hand.  A program is a table of cases; each case runs
 * in a process of its own and prints its trace: one line per fact, of facts that the interface
 * promises.  A line that begins with "broken:" says that the case itself could not be played, and
 * fails it.
 */

#include "tests/conformance/compat.h"

struct conf_case {
    const char *name;
    void (*run)(void);
};
/* Of each program; ends with a NULL name. */
extern const struct conf_case conf_cases[];

/* One line of the trace. */
void trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "WHAT: yes" or "WHAT: no". */
void trace_if(const char *what, bool yes);
/* "WHAT: rc NAME": libxl's names for its codes, figures for others. */
void trace_rc(const char *what, int rc);
const char *rc_name(int rc);
/* The case cannot go on. */
void broken(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Without exit handlers: for cases that leave threads waiting in the library. */
void leave(void) __attribute__((noreturn));

/*
 * Asks the runner, which is root, for what a program of an operator cannot do.  The answer is valid
 * until the next question.  Questions: run.py.
 */
const char *ask(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The long-lived guest, running; a fresh domain that is paused and has never run. */
uint32_t guest(void);
uint32_t spare(void);
/* "WHAT: domain running", "... suspended", ... */
void trace_state(const char *what, uint32_t domid);

/* The guest has been asked to suspend (and has not heard it, for it is paused): the operation
 * stands at the same point with both libraries. */
bool guest_asked(uint32_t domid);

/* A domid that no domain has. */
#define NO_DOMAIN 32000

libxl_ctx *ctx_new(void);
void ctx_end(libxl_ctx *ctx);
/* A file without a name, for an image. */
int image_file(void);
int count_fds(void);
int64_t now_ms(void);
struct timeval now_tv(void);
const char *sigchld_disposition(void);

/* ---- main loops */

typedef bool done_fn(void *arg);
/* A loop around poll, as an application's, until done (or ms have passed: false). */
bool pump(libxl_ctx *ctx, done_fn *done, void *arg, int ms);
/* For so long, whatever happens. */
void pump_for(libxl_ctx *ctx, int ms);
bool done_flag(void *arg);          /* arg: an int that becomes non-zero */
void pump_asked(libxl_ctx *ctx, uint32_t domid);    /* until guest_asked() */

/* ---- events and ends of operations */

/* An event of the type operation_complete is in the queue when it returns. */
void queue_event(libxl_ctx *ctx, uint64_t for_user);
bool queue_has(libxl_ctx *ctx, uint64_t for_user);
/* "WHAT: event TYPE domid yes for_user N ..."; frees it. */
void trace_event(const char *what, libxl_ctx *ctx, libxl_event *ev, uint32_t domid);
/* What is queued, in order, until NOT_READY. */
void trace_queue(const char *what, libxl_ctx *ctx, uint32_t domid);

/* The end of an operation in callback form. */
struct ended {
    int times, rc;
    libxl_ctx *ctx;
    pthread_t thread;
};
void ended_cb(libxl_ctx *ctx, int rc, void *ended);
libxl_asyncop_how how_callback(struct ended *e);
libxl_asyncop_how how_event(uint64_t for_event);

/* ---- an application with registrations of its own (osevent hooks) */

#define APP_MAX 64
struct app_fd {
    int fd;
    short events;
    void *for_libxl;
    bool on;
};
struct app_time {
    struct timeval abs;
    void *for_libxl;
    bool on;
};
struct app {
    libxl_ctx *ctx;
    struct app_fd fds[APP_MAX];
    struct app_time times[APP_MAX];
    int n_fds, n_times;             /* how many there ever were */
    int registered, deregistered, modified;
    bool not_null, not_mine, not_zero, time_deregistered, in_hook;
    /* The n-th registration (from 1; 0: none) fails with that rc. */
    int fail_fd_at, fail_time_at, fail_rc;
    int failed;
};
void app_hooks(struct app *app, libxl_ctx *ctx);
bool app_pump(struct app *app, done_fn *done, void *arg, int ms);
int app_fds_on(const struct app *app);
int app_times_on(const struct app *app);
/* Whether the library kept the rules of the hooks. */
void app_trace(struct app *app);

#endif
