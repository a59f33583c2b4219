/* SPDX-License-Identifier: LGPL-2.1-only */
/* A worker that says more than a save ever has to say is read slowly: its own socket fills up and
 * it waits, while the other jobs go on. */
#include <poll.h>

#include "parent/jobs/job.h"

#define WINDOW_MS 1000
#define WINDOW_FRAMES 400
#define PAUSE_MS 200

static void read_again(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    struct job *j = CONTAINER_OF_JOB(ev, throttle);
    EGC_GC;

    if (libxl__ev_fd_isregistered(&j->worker_ev))
        libxl__ev_fd_modify(gc, &j->worker_ev, POLLIN);
}

bool flow_throttle(libxl__egc *egc, struct job *j)
{
    int64_t now = ipc_now_ms();
    EGC_GC;

    if (now - j->window_ms >= WINDOW_MS) {
        j->window_ms = now;
        j->frames = 0;
    }
    if (++j->frames < WINDOW_FRAMES || !libxl__ev_fd_isregistered(&j->worker_ev) ||
        libxl__ev_time_isregistered(&j->throttle))
        return false;
    if (libxl__ev_time_register_rel(j->ao, &j->throttle, read_again, PAUSE_MS))
        return false;
    libxl__ev_fd_modify(gc, &j->worker_ev, 0);
    return true;
}
