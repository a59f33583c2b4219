/* SPDX-License-Identifier: LGPL-2.1-only */
/* moatd's event loop: start, the warden's channel, the end. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

#include "parent/jobs/job.h"
#include "parent/parent.h"
#include "policy/sandbox/sandbox.h"

static struct parent parent = {.warden = {.fd = -1}};

static void log_line(void *user, int level, const char *msg)
{
    int priority = level >= LIBXL__LOG_ERROR ? 3 : level >= LIBXL__LOG_WARN ? 4 : 6;

    fprintf(stderr, "<%d>moatd: %s\n", priority, msg);     /* <N> is the journal's */
}

static void disaster(void *user, libxl_event_type type, const char *msg, int errnoval)
{
    struct parent *p = user;

    fprintf(stderr, "<2>moatd: %s: %s; leaving, so that all is started anew\n", msg,
            strerror(errnoval));
    p->ended = true;
}

int parent_prepare(const struct parent_start *start)
{
    if (setenv("XENSTORED_PATH", start->xenstore_path, 1)) {
        perror("moatd: setenv");
        return 1;
    }
    parent.xsh = xs_open(0);
    if (!parent.xsh) {
        fprintf(stderr, "<2>moatd: cannot connect to the gate at %s: %s\n", start->xenstore_path,
                strerror(errno));
        return 1;
    }
    return 0;
}

static void warden_frame(libxl__egc *egc, struct parent *p, struct ipc_frame *f)
{
    struct msg_JOB m;
    struct job *j = job_find(p, f->job);

    if (f->type == MSG_JOB) {
        if (j || ipc_decode(f, &m)) {
            fprintf(stderr, "<3>moatd: warden: bad JOB %u %s\n", f->job, f->why);
            p->ended = true;
            return;
        }
        job_start(egc, p, f->job, &m, ipc_take_fd(f, 0), ipc_take_fd(f, 1));
    } else if (j) {
        job_warden_message(egc, j, f);
    }
    /* A message for a job that has just ended is late, not wrong. */
}

static void warden_readable(libxl__egc *egc, libxl__ev_fd *ev, int fd, short events, short revents)
{
    struct parent *p = (void *)((char *)ev - offsetof(struct parent, warden_ev));
    int rc;

    while (!p->ended && (rc = ipc_recv(&p->warden, &p->frame))) {
        if (rc < 0) {
            if (rc != -ECONNRESET)
                fprintf(stderr, "<3>moatd: warden: %s\n",
                        rc == -EPROTO ? p->frame.why : strerror(-rc));
            p->ended = true;
            return;
        }
        warden_frame(egc, p, &p->frame);
        ipc_close_fds(&p->frame);
    }
}

/*
 * libxenstore's reader thread must exist before the filter is loaded for all threads; it starts at
 * the first watch.  The gate lets @releaseDomain pass without any job.
 */
static int start_reader(struct xs_handle *xsh, char why[128])
{
    char **event;

    if (!xs_watch(xsh, "@releaseDomain", "lock") || xs_fileno(xsh) < 0 ||
        !xs_unwatch(xsh, "@releaseDomain", "lock")) {
        snprintf(why, 128, "xenstore: %s", strerror(errno));
        return -1;
    }
    while ((event = xs_check_watch(xsh)))   /* the first event of a watch comes by itself */
        free(event);
    return 0;
}

static int lock_myself(const struct parent_start *start)
{
    char why[128];

    /* Landlock is inherited by later threads only, the filter is for all of them (TSYNC): so the
     * reader is started between the two. */
    if (sandbox_rlimits(SANDBOX_PARENT, why) || sandbox_landlock_deny(why) ||
        start_reader(parent.xsh, why) || sandbox_seccomp(SANDBOX_PARENT, true, why) ||
        sandbox_check(start->status_fd, start->uid, 0, why)) {
        fprintf(stderr, "<2>moatd: not locked, so not going on: %s\n", why);
        return -1;
    }
    close(start->status_fd);
    return 0;
}

int parent_attach(struct parent *p, int warden_fd)
{
    static const moat_ctx_hooks hooks = {.log = log_line, .disaster = disaster};
    int rc;

    LIST_INIT(&p->jobs);
    p->ended = false;
    p->warden = (struct ipc_chan){.fd = warden_fd, .self = PARENT, .peer = WARDEN, .phase = PH_RUN,
                                  .takes_fds = true};
    libxl__ev_fd_init(&p->warden_ev);
    rc = moat_ctx_alloc(&p->ctx, &hooks, p);
    if (rc)
        return rc;
    moat_ctx_set_xs(p->ctx, p->xsh, p->xs_ops);
    EGC_INIT(p->ctx);
    rc = libxl__ev_fd_register(gc, &p->warden_ev, warden_readable, warden_fd, POLLIN);
    EGC_FREE;
    return rc;
}

int parent_main(const struct parent_start *start)
{
    struct parent *p = &parent;

    p->xs_ops = &moat_xs_libxenstore;
    if (lock_myself(start) || parent_attach(p, start->warden_fd))
        return 1;
    while (!p->ended)
        if (moat_loop_run_once(p->ctx, -1))
            return 1;
    /* The workers of running jobs die with this process; the warden undoes. */
    return 0;
}
