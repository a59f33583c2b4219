/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Asking a guest to suspend (libxl: domain_suspend_callback_common), with two deadlines of
 * suspend-deadline seconds each:
 *
 *   1. SUSPEND to the warden (it records the act and opens the gate's path), then "suspend" into
 *      control/shutdown; the guest acknowledges by changing or removing the node;
 *   2. the domain shuts down with reason suspend.  @releaseDomain tells that something happened,
 *      STATE that it did: what the guest writes is never believed further than "ask again".
 *
 * A timeout is a failure of the job; clearing control/shutdown is the warden's, through the gate.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "parent/jobs/job.h"

static const char *shutdown_path(const struct job *j, char buf[64])
{
    snprintf(buf, 64, "/local/domain/%u/control/shutdown", j->info.domid);
    return buf;
}

void suspend_stop(libxl__gc *gc, struct job *j)
{
    libxl__ev_time_deregister(gc, &j->suspend_timer);
    libxl__ev_xswatch_deregister(gc, &j->shutdown_watch);
    libxl__ev_xswatch_deregister(gc, &j->release_watch);
}

static void ask_state(struct job *j)
{
    if (j->state_asked) {
        /* The answer on its way may be older than what made us ask. */
        j->state_stale = true;
        return;
    }
    j->state_asked = true;
    j->state_stale = false;
    job_tell_warden(j, MSG_STATE, NULL);
}

static void too_late(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    struct job *j = CONTAINER_OF_JOB(ev, suspend_timer);

    job_fail(egc, j, j->acknowledged ? CAUSE_GUEST_TIMEDOUT : CAUSE_GUEST_IGNORED, NULL);
}

static int start_timer(struct job *j)
{
    uint32_t s = j->info.suspend_deadline;

    libxl__ev_time_deregister(libxl__ao_gc(j->ao), &j->suspend_timer);
    return libxl__ev_time_register_rel(j->ao, &j->suspend_timer, too_late,
                                       s > 2000000 ? 2000000000 : (int)s * 1000);
}

/* The guest's own node: any value but our request is an acknowledgement, nothing more. */
static void shutdown_changed(libxl__egc *egc, libxl__ev_xswatch *w, const char *watch_path,
                             const char *event_path)
{
    struct job *j = CONTAINER_OF_JOB(w, shutdown_watch);
    unsigned len = 0;
    char *value = xs_read(j->p->xsh, XBT_NULL, watch_path, &len);
    EGC_GC;

    if (!value && errno != ENOENT) {
        job_fail(egc, j, CAUSE_XENSTORE, strerror(errno));
        return;
    }
    if (value && !strcmp(value, "suspend")) {
        free(value);
        return;
    }
    free(value);
    libxl__ev_xswatch_deregister(gc, &j->shutdown_watch);
    j->acknowledged = true;
    if (start_timer(j))
        job_fail(egc, j, CAUSE_INTERNAL, "no memory for a timer");
    else
        ask_state(j);
}

static void something_released(libxl__egc *egc, libxl__ev_xswatch *w, const char *watch_path,
                               const char *event_path)
{
    ask_state(CONTAINER_OF_JOB(w, release_watch));
}

void suspend_begin(libxl__egc *egc, struct job *j)
{
    j->state = JOB_SUSPENDING;
    j->worker.phase = PH_SUSPENDING;
    job_tell_warden(j, MSG_SUSPEND, NULL);
}

void suspend_allowed(libxl__egc *egc, struct job *j, int rc)
{
    char path[64];
    EGC_GC;

    if (j->state != JOB_SUSPENDING || j->cause)
        return;
    if (rc == ERROR_INVAL) {    /* the warden has not executed anything for this worker yet */
        job_fail(egc, j, CAUSE_PROTOCOL, "it wants the guest suspended before it has looked at it");
        return;
    }
    if (rc) {
        job_fail(egc, j, CAUSE_INTERNAL, "the warden could not prepare the suspend");
        return;
    }
    if (!xs_write(j->p->xsh, XBT_NULL, shutdown_path(j, path), "suspend", strlen("suspend"))) {
        job_fail(egc, j, CAUSE_XENSTORE, strerror(errno));
        return;
    }
    if (start_timer(j) ||
        libxl__ev_xswatch_register(gc, &j->shutdown_watch, shutdown_changed, path) ||
        libxl__ev_xswatch_register(gc, &j->release_watch, something_released, "@releaseDomain"))
        job_fail(egc, j, CAUSE_XENSTORE, "cannot watch the guest's answer");
}

void suspend_state(libxl__egc *egc, struct job *j, const struct msg_STATE_IS *m)
{
    struct msg_SUSPENDED s = {.rc = 0};
    EGC_GC;

    j->state_asked = false;
    if (j->state != JOB_SUSPENDING || j->cause)
        return;
    switch (m->state) {
    case DOMAIN_RUNNING:
        if (j->state_stale)
            ask_state(j);
        break;
    case DOMAIN_SUSPENDED:
        suspend_stop(gc, j);
        j->state = JOB_SUSPENDED;
        j->worker.phase = PH_SUSPENDED;
        job_tell_worker(egc, j, MSG_SUSPENDED, &s);
        break;
    default:
        job_fail(egc, j, CAUSE_GUEST_DIED, NULL);
    }
}
