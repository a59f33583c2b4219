/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A job in the parent: one asynchronous operation (ao) that drives one worker for one operator.
 *
 * Who decides what: the warden gave the job and knows the domain; the parent orders the events
 * (worker's messages, xenstore, deadlines, the operator) and reports what it saw; whether that is a
 * success, and every act on the domain, is the warden's.  So nothing here is undone by the parent:
 * a failure is ABORT, and the warden undoes.
 *
 *     starting --HELLO--> running --SUSPEND_GUEST--> suspending --> suspended --worker's death-->
 *     [OUTCOME] --VERDICT 0--> saved --ENDED--> done
 *
 * Between `saved` and ENDED the operator speaks to the warden, not to us.  From every state before
 * `saved` a failure leads to [ABORT], the worker's death, [OUTCOME], VERDICT, done; from `saved` it
 * leads to [ABANDON], ENDED, done.
 */
#ifndef MOAT_PARENT_JOB_H
#define MOAT_PARENT_JOB_H

#include <sys/queue.h>

#include "ipc/ipc.h"
#include "parent/event/event_internal.h"

struct job;
LIST_HEAD(job_list, job);

struct parent {
    libxl_ctx *ctx;
    struct ipc_chan warden;
    libxl__ev_fd warden_ev;
    struct xs_handle *xsh;
    const moat_xs_ops *xs_ops;
    struct job_list jobs;
    struct ipc_frame frame;         /* the one being handled: a job never keeps it */
    bool ended;                     /* the warden's channel is gone: leave */
};

struct job {
    LIST_ENTRY(job) entry;
    struct parent *p;
    libxl__ao *ao;
    uint32_t number;
    struct msg_JOB info;
    enum job_state state;
    enum job_cause cause;           /* why it failed; the first one counts */
    char message[256];              /* words to go with the cause; escaped */

    struct ipc_chan op, worker;     /* fd -1 when lost or closed */
    libxl__ev_fd op_ev, worker_ev;
    libxl__ev_child child;
    libxl__ev_time deadline;        /* of the whole operation, then from SAVED to COMMIT */
    libxl__ev_time farewell;        /* from its last word, or its closed channel, to its death */
    bool outcome_sent;

    struct msg_COMPLETE complete;
    bool completed;
    int worker_status;              /* wait status, -1 = not reaped */

    /* jobs/flow.c: a worker that floods is not read for a while */
    unsigned frames;
    int64_t window_ms;
    libxl__ev_time throttle;
    unsigned notes;

    /* jobs/suspend.c */
    libxl__ev_xswatch shutdown_watch, release_watch;
    libxl__ev_time suspend_timer;
    bool acknowledged;
    bool state_asked, state_stale;  /* STATE is on its way; something happened since */
};

/* From the member of a job that a callback is given. */
#define CONTAINER_OF_JOB(ev, member) \
    ((struct job *)(void *)((char *)(ev) - offsetof(struct job, member)))

/* ---- parent.c */

/* A ctx on p->xsh and p->xs_ops that listens to the warden.  0 or a libxl error code. */
int parent_attach(struct parent *p, int warden_fd);

/* ---- job.c: life cycle */

/* From JOB; takes the fds.  On failure the warden is told and the fds are closed. */
void job_start(libxl__egc *egc, struct parent *p, uint32_t number, const struct msg_JOB *info,
               int op_fd, int worker_fd);
/* A message of the warden for this job. */
void job_warden_message(libxl__egc *egc, struct job *j, struct ipc_frame *f);
/* The job has failed for this cause, unless it has failed already or is past COMMIT.  detail: words
 * for the operator, or NULL. */
void job_fail(libxl__egc *egc, struct job *j, enum job_cause cause, const char *detail);
struct job *job_find(struct parent *p, uint32_t number);
/* The worker has nothing more to say: it has FAREWELL_MS to die. */
void job_farewell(libxl__egc *egc, struct job *j);

/* Sends to the warden about this job; a warden that cannot take it is as good as gone. */
void job_tell_warden(struct job *j, uint32_t type, const void *msg);
/* To the operator; one who does not read loses the connection, or this message if `may_drop`. */
void job_tell_operator(libxl__egc *egc, struct job *j, uint32_t type, const void *msg,
                       bool may_drop);
void job_tell_worker(libxl__egc *egc, struct job *j, uint32_t type, const void *msg);

/* ---- save.c: the messages of a save worker */
void save_message(libxl__egc *egc, struct job *j, struct ipc_frame *f);

/* ---- suspend.c: the handshake with the guest */
void suspend_begin(libxl__egc *egc, struct job *j);
void suspend_allowed(libxl__egc *egc, struct job *j, int rc);
void suspend_state(libxl__egc *egc, struct job *j, const struct msg_STATE_IS *m);
void suspend_stop(libxl__gc *gc, struct job *j);

/* ---- flow.c */
/* Counts one frame of the worker; true: enough for now, stop reading (a timer resumes it). */
bool flow_throttle(libxl__egc *egc, struct job *j);

#endif
