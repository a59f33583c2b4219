/* SPDX-License-Identifier: LGPL-2.1-only */
/* Life cycle of a job: begin, the three channels, failure, outcome, end. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parent/jobs/job.h"

#define FAREWELL_MS 5000
#define UNREAD_MAX 4            /* frames of an operator that nobody wants to hear any more */

struct job *job_find(struct parent *p, uint32_t number)
{
    struct job *j;

    LIST_FOREACH(j, &p->jobs, entry)
        if (j->number == number)
            return j;
    return NULL;
}

/* ---- sending */

void job_tell_warden(struct job *j, uint32_t type, const void *msg)
{
    int rc = ipc_send(&j->p->warden, type, j->number, msg, NULL, 0);

    if (rc) {
        fprintf(stderr, "<3>moatd: warden: %s\n", strerror(-rc));
        j->p->ended = true;
    }
}

static void close_channel(libxl__gc *gc, struct ipc_chan *ch, libxl__ev_fd *ev)
{
    libxl__ev_fd_deregister(gc, ev);
    if (ch->fd >= 0)
        close(ch->fd);
    ch->fd = -1;
}

static void operator_lost(libxl__egc *egc, struct job *j)
{
    EGC_GC;

    close_channel(gc, &j->op, &j->op_ev);
    job_fail(egc, j, CAUSE_OPERATOR_GONE, NULL);
}

void job_tell_operator(libxl__egc *egc, struct job *j, uint32_t type, const void *msg,
                       bool may_drop)
{
    int rc;

    if (j->op.fd < 0)
        return;
    rc = ipc_send(&j->op, type, j->number, msg, NULL, 0);
    if (rc && !(rc == -EAGAIN && may_drop))
        operator_lost(egc, j);
}

void job_tell_worker(libxl__egc *egc, struct job *j, uint32_t type, const void *msg)
{
    int rc = j->worker.fd < 0 ? -EPIPE : ipc_send(&j->worker, type, j->number, msg, NULL, 0);

    /* A worker that is gone is told by its death; one that does not read is broken. */
    if (rc && rc != -EPIPE && rc != -ECONNRESET)
        job_fail(egc, j, CAUSE_PROTOCOL, "it does not read its channel");
}

/* ---- the end */

static void end_words(const struct job *j, const char *warden_says, char *buf, size_t size)
{
    const char *errno_words = j->complete.errnum > 0 && j->cause == CAUSE_WORKER_FAILED
        ? strerror(j->complete.errnum) : "";
    char how[64] = "";

    /* Nothing twice: the worker's words may hold errno's, the warden's be those of the cause. */
    if (*errno_words && strstr(j->message, errno_words))
        errno_words = "";
    if (!strcmp(warden_says, ipc_cause_words(j->cause)))
        warden_says = "";
    if (j->cause == CAUSE_WORKER_DIED && j->worker_status >= 0) {
        if (WIFSIGNALED(j->worker_status))
            snprintf(how, sizeof(how), " of signal %d%s", WTERMSIG(j->worker_status),
                     WTERMSIG(j->worker_status) == SIGSYS ? " (refused by its sandbox)" : "");
        else
            snprintf(how, sizeof(how), " with exit status %d%s", WEXITSTATUS(j->worker_status),
                     j->completed ? "" : " without saying how it ended");
    }
    snprintf(buf, size, "%s of %s: %s%s%s%s%s%s%s%s", ipc_kind_word(j->info.kind), j->info.name,
             ipc_cause_words(j->cause), how, *errno_words ? ": " : "", errno_words,
             j->message[0] ? ": " : "", j->message, warden_says[0] ? "; " : "", warden_says);
}

/* DONE, behind nothing: a COMMIT that came too late and that nobody has read would, at the close,
 * reach the operator as an error in DONE's place. */
static void farewell_operator(struct job *j, const struct msg_DONE *done)
{
    char unread;

    if (j->op.fd < 0)
        return;
    for (int i = 0; i < UNREAD_MAX && recv(j->op.fd, &unread, 1, MSG_DONTWAIT) >= 0; i++)
        ;
    ipc_send(&j->op, MSG_DONE, j->number, done, NULL, 0);
}

/* The last words to the operator; the ao's user (job_freed) then forgets the job. */
static void job_end(libxl__egc *egc, struct job *j, int rc, int errnum, const char *warden_says)
{
    EGC_GC;
    struct msg_DONE done = {
        .exit_code =
            (uint32_t)(rc && j->cause == CAUSE_NONE ? EXIT_FAILED : ipc_cause_exit(j->cause)),
        .phase = j->state,
        .rc = rc,
        .errnum = errnum,
        .worker_status = j->worker_status,
    };

    end_words(j, warden_says, done.message, sizeof(done.message));
    if (rc && !j->cause)
        snprintf(done.message, sizeof(done.message), "%s of %s: %s", ipc_kind_word(j->info.kind),
                 j->info.name,
                 warden_says[0] ? warden_says : "failed after the image was complete");
    farewell_operator(j, &done);
    suspend_stop(gc, j);
    libxl__ev_time_deregister(gc, &j->deadline);
    libxl__ev_time_deregister(gc, &j->farewell);
    libxl__ev_time_deregister(gc, &j->throttle);
    close_channel(gc, &j->op, &j->op_ev);
    close_channel(gc, &j->worker, &j->worker_ev);
    LIST_REMOVE(j, entry);
    libxl__ao_complete(egc, j->ao, rc);
}

void job_fail(libxl__egc *egc, struct job *j, enum job_cause cause, const char *detail)
{
    EGC_GC;
    struct msg_ABANDON abandon = {.cause = cause};
    struct msg_ABORT abort = {.cause = cause};

    if (j->cause || j->state == JOB_ENDING)
        return;
    j->cause = cause;
    if (detail)
        ipc_text(j->message, sizeof(j->message), detail);
    suspend_stop(gc, j);
    libxl__ev_time_deregister(gc, &j->deadline);
    if (j->state == JOB_SAVED) {
        j->state = JOB_ENDING;
        job_tell_warden(j, MSG_ABANDON, &abandon);
    } else if (!j->outcome_sent) {
        close_channel(gc, &j->worker, &j->worker_ev);
        job_tell_warden(j, MSG_ABORT, &abort);
    }
    /* With OUTCOME on its way the VERDICT decides; verdict() then sees the cause. */
}

/* ---- the worker */

static void lives_on(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    struct job *j = CONTAINER_OF_JOB(ev, farewell);

    job_fail(egc, j, CAUSE_PROTOCOL, "it has said its last word and lives on");
}

/* Its guest may be suspended meanwhile: that need not last until the job's deadline. */
void job_farewell(libxl__egc *egc, struct job *j)
{
    if (!libxl__ev_time_isregistered(&j->farewell) &&
        libxl__ev_time_register_rel(j->ao, &j->farewell, lives_on, FAREWELL_MS))
        job_fail(egc, j, CAUSE_INTERNAL, "no memory for a timer");
}

static void worker_eof(libxl__egc *egc, struct job *j)
{
    EGC_GC;

    close_channel(gc, &j->worker, &j->worker_ev);
    if (j->worker_status < 0)
        job_farewell(egc, j);
}

/* Reads what the worker has said.  all: it is dead, so there is an end. */
static void read_worker(libxl__egc *egc, struct job *j, bool all)
{
    struct ipc_frame *f = &j->p->frame;

    while (j->worker.fd >= 0) {
        int rc = ipc_recv(&j->worker, f);

        if (!rc)
            return;
        if (rc == -EPROTO) {
            job_fail(egc, j, CAUSE_PROTOCOL, f->why);
            return;
        }
        if (rc < 0) {
            worker_eof(egc, j);
            return;
        }
        if (f->job != j->number)
            job_fail(egc, j, CAUSE_PROTOCOL, "another worker's job number");
        else
            save_message(egc, j, f);
        if (!all && flow_throttle(egc, j))
            return;
    }
}

static void worker_readable(libxl__egc *egc, libxl__ev_fd *ev, int fd, short events, short revents)
{
    read_worker(egc, CONTAINER_OF_JOB(ev, worker_ev), false);
}

static void send_outcome(struct job *j)
{
    struct msg_OUTCOME m = {
        .cause = j->cause, .phase = j->state,
        .retval = j->completed ? j->complete.retval : -1,
        .errnum = j->completed ? j->complete.errnum : 0, .worker_status = j->worker_status,
    };

    j->outcome_sent = true;
    job_tell_warden(j, MSG_OUTCOME, &m);
}

static void worker_died(libxl__egc *egc, libxl__ev_child *ch, pid_t pid, int status)
{
    struct job *j = CONTAINER_OF_JOB(ch, child);
    EGC_GC;

    j->worker_status = status;
    libxl__ev_time_deregister(gc, &j->farewell);
    /* What it said before it died counts. */
    read_worker(egc, j, true);
    suspend_stop(gc, j);
    if (!j->cause && j->completed && j->complete.retval) {
        j->cause = CAUSE_WORKER_FAILED;
        ipc_text(j->message, sizeof(j->message), j->complete.message);
    } else if (!j->cause && (!j->completed || status)) {
        j->cause = CAUSE_WORKER_DIED;
    }
    close_channel(gc, &j->worker, &j->worker_ev);
    send_outcome(j);
}

/* ---- the operator */

/* Until SAVED an operator has nothing to say, so anything readable is its end.  It may be half an
 * end only: an operator that wants its job ended shuts its side down and waits for DONE.  From then
 * on it is the warden that listens: on this connection a COMMIT cannot be said by anybody but the
 * operator. */
static void operator_readable(libxl__egc *egc, libxl__ev_fd *ev, int fd, short events,
                              short revents)
{
    struct job *j = CONTAINER_OF_JOB(ev, op_ev);
    int rc = ipc_recv(&j->op, &j->p->frame);
    EGC_GC;

    if (rc == -ECONNRESET) {
        libxl__ev_fd_deregister(gc, &j->op_ev);
        job_fail(egc, j, CAUSE_OPERATOR_GONE, NULL);
    } else if (rc) {
        operator_lost(egc, j);
    }
}

/* ---- deadlines */

static void deadline_passed(libxl__egc *egc, libxl__ev_time *ev, const struct timespec *abs, int rc)
{
    struct job *j = CONTAINER_OF_JOB(ev, deadline);

    job_fail(egc, j, j->state == JOB_SAVED ? CAUSE_COMMIT_DEADLINE : CAUSE_DEADLINE, NULL);
}

static int seconds_to_ms(uint32_t seconds)
{
    return seconds > 2000000 ? 2000000000 : (int)seconds * 1000;
}

/* ---- the warden */

static void verdict(libxl__egc *egc, struct job *j, const struct msg_VERDICT *m)
{
    struct msg_SAVED saved = {.bytes = j->complete.bytes};
    struct msg_ABANDON abandon;
    int rc;
    EGC_GC;

    libxl__ev_time_deregister(gc, &j->deadline);
    if (m->rc) {
        rc = j->cause ? ipc_cause_rc(j->cause) : m->rc;
        if (!j->cause)
            j->cause = CAUSE_UNSEEN;
        job_end(egc, j, rc, j->complete.errnum, m->message);
        return;
    }
    if (j->cause) {
        /* Failed on this side (cancelled, say) while the warden was deciding. */
        abandon.cause = j->cause;
        j->state = JOB_ENDING;
        job_tell_warden(j, MSG_ABANDON, &abandon);
        return;
    }
    j->state = JOB_SAVED;
    libxl__ev_fd_deregister(gc, &j->op_ev);
    if (libxl__ev_time_register_rel(j->ao, &j->deadline, deadline_passed,
                                    seconds_to_ms(j->info.commit_deadline)))
        job_fail(egc, j, CAUSE_INTERNAL, "no memory for a timer");
    else
        job_tell_operator(egc, j, MSG_SAVED, &saved, false);
}

static void ended(libxl__egc *egc, struct job *j, const struct msg_ENDED *m)
{
    /* COMMIT may have come just before our ABANDON: then it is done, and that is what counts. */
    if (!m->rc)
        j->cause = CAUSE_NONE;
    j->state = JOB_ENDING;
    job_end(egc, j, m->rc ? m->rc : ipc_cause_rc(j->cause), m->errnum, m->message);
}

void job_warden_message(libxl__egc *egc, struct job *j, struct ipc_frame *f)
{
    union {
        struct msg_SUSPEND_OK suspend_ok;
        struct msg_STATE_IS state_is;
        struct msg_VERDICT verdict;
        struct msg_ENDED ended;
        struct msg_CANCEL cancel;
    } m;

    if (ipc_decode(f, &m)) {
        fprintf(stderr, "<3>moatd: warden: %s\n", f->why);
        j->p->ended = true;
        return;
    }
    switch (f->type) {
    case MSG_SUSPEND_OK: suspend_allowed(egc, j, m.suspend_ok.rc); break;
    case MSG_STATE_IS: suspend_state(egc, j, &m.state_is); break;
    case MSG_VERDICT: verdict(egc, j, &m.verdict); break;
    case MSG_ENDED: ended(egc, j, &m.ended); break;
    case MSG_CANCEL: job_fail(egc, j, m.cancel.cause, NULL); break;
    }
}

/* ---- the beginning */

static void job_freed(libxl_ctx *ctx, int rc, void *for_callback)
{
    /* The job's memory belongs to its ao, which is freed after this. */
}

/* The worker is the forker's to kill, on the warden's word: it has another uid. */
static int kill_worker(libxl__gc *gc, void *user, pid_t pid, int sig)
{
    struct job *j = user;
    struct msg_ABORT m = {.cause = j->cause ? j->cause : CAUSE_INTERNAL};

    job_tell_warden(j, MSG_ABORT, &m);
    return 0;
}

static int watch_everything(struct job *j)
{
    libxl__gc *gc = libxl__ao_gc(j->ao);
    int rc;

    rc = libxl__ev_child_adopt(gc, &j->child, (pid_t)j->info.pid, worker_died, kill_worker, j);
    if (rc)
        return rc;
    rc = libxl__ev_fd_register(gc, &j->worker_ev, worker_readable, j->worker.fd, POLLIN);
    if (rc)
        return rc;
    rc = libxl__ev_fd_register(gc, &j->op_ev, operator_readable, j->op.fd, POLLIN);
    if (rc)
        return rc;
    return libxl__ev_time_register_rel(j->ao, &j->deadline, deadline_passed,
                                       seconds_to_ms(j->info.deadline));
}

static struct job *job_new(struct parent *p, uint32_t number, const struct msg_JOB *info)
{
    libxl_asyncop_how how = {.callback = job_freed};
    libxl__ao *ao = libxl__ao_create(p->ctx, info->domid, &how);
    struct job *j = ao ? libxl__zalloc(libxl__ao_gc(ao), sizeof(*j)) : NULL;

    if (!j) {
        if (ao)
            libxl__ao_create_fail(ao);
        return NULL;
    }
    j->p = p;
    j->ao = ao;
    j->number = number;
    j->info = *info;
    j->state = JOB_STARTING;
    j->worker_status = -1;
    libxl__ev_fd_init(&j->op_ev);
    libxl__ev_fd_init(&j->worker_ev);
    libxl__ev_child_init(&j->child);
    libxl__ev_time_init(&j->deadline);
    libxl__ev_time_init(&j->farewell);
    libxl__ev_time_init(&j->throttle);
    libxl__ev_time_init(&j->suspend_timer);
    libxl__ev_xswatch_init(&j->shutdown_watch);
    libxl__ev_xswatch_init(&j->release_watch);
    LIST_INSERT_HEAD(&p->jobs, j, entry);
    return j;
}

void job_start(libxl__egc *egc, struct parent *p, uint32_t number, const struct msg_JOB *info,
               int op_fd, int worker_fd)
{
    struct msg_STARTED started = {.job = number, .domid = info->domid};
    struct job *j = job_new(p, number, info);

    if (!j) {
        fprintf(stderr, "<3>moatd: no memory for job %u\n", number);
        close(op_fd);
        close(worker_fd);
        p->ended = true;
        return;
    }
    j->op = (struct ipc_chan){.fd = op_fd, .self = PARENT, .peer = OPERATOR, .phase = PH_RUN};
    j->worker =
        (struct ipc_chan){.fd = worker_fd, .self = PARENT, .peer = WORKER, .phase = PH_OPEN};
    libxl__ao_inprogress(j->ao);
    if (watch_everything(j)) {
        job_fail(egc, j, CAUSE_INTERNAL, "the event loop cannot take another job");
        if (!libxl__ev_child_inuse(&j->child))
            send_outcome(j);
        return;
    }
    memcpy(started.name, info->name, sizeof(started.name));
    job_tell_operator(egc, j, MSG_STARTED, &started, false);
}
