/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * How jobs end: cancelled, failed, judged, confirmed, destroyed.  A job that failed has failed for
 * good, whatever its worker or the parent says later, and one that the operator confirmed goes on
 * to its end, also under the next warden.
 */
#include "policy/warden/warden.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define OUTCOME_MS 5000             /* from OUTCOME to the pidfd saying the same */
#define REPORT_MS 30000             /* from the worker's death to OUTCOME */
#define TREES_MS 600000             /* the gate has bounds of its own, well below */
#define DESTROY_MS 3600000          /* a domain of terabytes takes minutes */

void job_cancel(struct job *j, uint32_t cause)
{
    struct msg_CANCEL m = {.cause = cause};

    if (j->cancelled || j->failed || j->state == JOB_ENDING)
        return;
    j->cancelled = cause;
    j->cancelled_at = now_ms();
    tell(&w.parent, MSG_CANCEL, j->number, &m, NULL, 0);
}

/* For good: the worker is killed and everything undone now; the end comes with the worker's death.
 * safe if the caller lies, because it is the caller's own job that fails. */
void job_fail(struct job *j, uint32_t cause)
{
    const bool said = j->cancelled;
    struct msg_CANCEL m = {.cause = cause};

    if (j->failed || j->state >= JOB_SAVED)
        return;
    j->failed = true;
    j->cause = cause;
    if (!said) {
        j->cancelled = cause;
        j->cancelled_at = now_ms();
    }
    close_fd(&j->worker.fd);
    if (!j->dead) {
        record_act(j->undo, ACT_KILL);
        tell(&w.forker, MSG_KILL_WORKER, j->number, NULL, NULL, 0);
    }
    undo_now(j->undo);
    if (!said)
        tell(&w.parent, MSG_CANCEL, j->number, &m, NULL, 0);
}

/* Undo, END, free, and the parent's answer; only when the worker is dead. */
void job_finish(struct job *j, uint32_t cause, int errnum)
{
    struct msg_VERDICT verdict = {.rc = ipc_cause_rc(cause)};
    struct msg_ENDED ended = {.rc = ipc_cause_rc(cause), .errnum = errnum};
    const bool saved = j->state >= JOB_SAVED;
    struct msg_XS_DONE done;

    undo_now(j->undo);
    if (cause && !j->message[0])
        ipc_text(j->message, sizeof(j->message), ipc_cause_words(cause));
    if (record_end(j, cause, errnum))
        warden_die("the recorder does not take the end of a job");
    undo_end(j->undo);                  /* at once: a slot that stays gets another end */
    ask(&w.gate, MSG_XS_REVOKE, j->number, NULL, MSG_XS_DONE, &done, NULL);
    ipc_text(verdict.message, sizeof(verdict.message), j->message);
    ipc_text(ended.message, sizeof(ended.message), j->message);
    job_free(j);                        /* before the answer: the domain is free for the next job */
    if (!j->by_parent)
        return;
    if (saved)
        tell(&w.parent, MSG_ENDED, j->number, &ended, NULL, 0);
    else if (j->has_outcome)
        tell(&w.parent, MSG_VERDICT, j->number, &verdict, NULL, 0);
}

/* What the parent reports counts only where it is worse than what the warden saw. */
static uint32_t judge(struct job *j)
{
    const uint32_t need = SAW_SUSPEND | SAW_CONTEXT | SAW_FINISHED | SAW_DEATH;
    const uint32_t saw = j->call.saw;
    struct dom_info info;

    if (j->failed)
        return j->cause;
    if (j->outcome.cause)
        return j->outcome.cause < CAUSES ? j->outcome.cause : CAUSE_INTERNAL;
    if (j->outcome.retval)
        return CAUSE_WORKER_FAILED;
    if (j->outcome.worker_status)
        return CAUSE_WORKER_DIED;
    if ((saw & need) != need || (saw & SAW_LOGDIRTY_ON && !(saw & SAW_LOGDIRTY_OFF)) ||
        j->undo->bits & UNDO_LOGDIRTY || j->state != JOB_SUSPENDED)
        return CAUSE_UNSEEN;
    return dom_same(&j->dom, &info) || !dom_suspended(&info) ? CAUSE_GUEST_DIED : CAUSE_NONE;
}

static void verdict(struct job *j)
{
    struct msg_VERDICT ok = {.rc = 0};
    uint32_t cause = judge(j);

    if (cause) {
        job_finish(j, cause, j->outcome.errnum);
        return;
    }
    j->state = JOB_SAVED;
    j->backstop = now_ms() + 1000ll * (w.rules->limits.commit_deadline + 30);
    tell(&w.parent, MSG_VERDICT, j->number, &ok, NULL, 0);
}

/* ---- destroying: devices and trees first, then the domain, then its userdata, as libxl does */

/* safe if the caller lies, because the state is JOB_SAVED only after the warden's own verdict, and
 * gate and supervisor get the handle to compare as well. */
void job_destroy(struct job *j)
{
    struct msg_XS_DESTROY m = {.domid = j->dom.domid};

    memcpy(m.handle, j->dom.handle, sizeof(m.handle));
    j->state = JOB_ENDING;
    j->backstop = now_ms() + TREES_MS;
    tell(&w.gate, MSG_XS_DESTROY, j->number, &m, NULL, 0);
}

static void destroy_domain(struct job *j)
{
    struct msg_DESTROY m = {.domid = j->dom.domid};

    memcpy(m.handle, j->dom.handle, sizeof(m.handle));
    j->step = STEP_DOMAIN;
    j->backstop = now_ms() + DESTROY_MS;
    hv_unpin(&j->pin);                  /* our page would keep it as a "(null)" domain */
    tell(&w.supervisor, MSG_DESTROY, j->number, &m, NULL, 0);
}

static void xs_destroyed(struct job *j, int errnum)
{
    j->step = STEP_XENSTORE_GONE;
    if (errnum)
        snprintf(j->message, sizeof(j->message), errnum == ETIMEDOUT
                 ? "a backend did not close and was removed by force"
                 : "not all of the domain could be removed from xenstore");
}

static void domain_destroyed(struct job *j, int errnum)
{
    j->step = STEP_GONE;
    j->errnum = errnum == ESRCH ? 0 : errnum;
    if (j->errnum)
        snprintf(j->message, sizeof(j->message),
                 "the image is complete, but domain %u could not be "
                 "destroyed: %s",
                 j->dom.domid, strerrorname_np(j->errnum) ?: "?");
}

void job_xs_destroyed(uint32_t number, const struct msg_XS_DESTROYED *m)
{
    struct job *j = job_by_number(number);

    if (j && j->state == JOB_ENDING && j->step == STEP_XENSTORE && m->domid == j->dom.domid)
        xs_destroyed(j, m->errnum);
}

void job_destroyed(uint32_t number, const struct msg_DESTROYED *m)
{
    struct job *j = job_by_number(number);

    if (j && j->state == JOB_ENDING && j->step == STEP_DOMAIN && m->domid == j->dom.domid)
        domain_destroyed(j, m->errnum);
}

bool job_adopt_destroy(struct undo_slot *s)
{
    struct dom d = {.domid = s->domid};
    struct dom_info info;
    struct job *j;
    uint64_t frame;

    memcpy(d.handle, s->handle, sizeof(d.handle));
    j = job_new(&d);
    if (!j)
        return false;
    j->number = s->job;
    j->undo = s;
    j->dead = true;
    j->asker.peer.uid = s->uid;
    j->asker.intent.kind = s->kind;
    j->asker.intent.flags = s->flags;
    j->cause = CAUSE_INTERRUPTED;
    ipc_text(j->message, sizeof(j->message), "confirmed before the restart: destroyed after it");
    if (!dom_same(&d, &info) && !dom_frame(&info, &frame))
        hv_pin(&j->pin, (uint16_t)d.domid, frame);
    if (!dom_same(&d, &info)) {
        job_destroy(j);
    } else {                            /* its trees went first; userdata may be left */
        j->state = JOB_ENDING;
        destroy_domain(j);
    }
    return true;
}

/* ---- COMMIT */

/* The image is good from here on: what fails now is said with that. */
static void not_released(struct job *j, const char *what)
{
    snprintf(j->message, sizeof(j->message), "the image is complete, but domain %u could not be %s",
             j->dom.domid, what);
    job_finish(j, CAUSE_INTERNAL, EIO);
}

/*
 * The act is that from here on nothing is undone.  Until UNDO_LEFT is set a dead warden's successor
 * resumes the guest, after it never: also when END is not in the log yet, for then the operator's
 * DONE may be on its way.  That successor records the end, which says that the domain is suspended.
 */
static void leave_suspended(struct job *j)
{
    if (record_act(j->undo, ACT_LEAVE)) {
        not_released(j, "left suspended: the audit log cannot be written");
        return;
    }
    undo_set(j->undo, UNDO_LEFT);
    ipc_text(j->message, sizeof(j->message), "the domain stays suspended");
    job_finish(j, CAUSE_NONE, 0);
}

/* safe if the caller lies, because only the warden's own verdict makes JOB_SAVED, only the
 * operator's own process can be heard on this connection, and the domain is the one that was
 * pinned, handle and all. */
static void committed(struct job *j)
{
    struct dom_info info;

    if (dom_same(&j->dom, &info) || !dom_suspended(&info)) {
        job_finish(j, CAUSE_GUEST_DIED, ESRCH);
        return;
    }
    if (j->asker.intent.flags & INTENT_SUSPENDED) {
        leave_suspended(j);
        return;
    }
    if (!(j->asker.intent.flags & (INTENT_CHECKPOINT | INTENT_PAUSE))) {
        if (record_act(j->undo, ACT_DESTROY)) {
            not_released(j, "destroyed: the audit log cannot be written");
            return;
        }
        undo_set(j->undo, UNDO_DESTROY_BEGUN);
        job_destroy(j);
        return;
    }
    if (j->asker.intent.flags & INTENT_PAUSE) {
        undo_set(j->undo, UNDO_PAUSED);
        if (record_act(j->undo, ACT_PAUSE) || dom_pause(&j->dom)) {
            not_released(j, "paused");
            return;
        }
        undo_clear(j->undo, UNDO_PAUSED);   /* resumed below, it stays paused: that was asked for */
    }
    undo_now(j->undo);
    if (j->undo->bits)
        not_released(j, "resumed");
    else
        job_finish(j, CAUSE_NONE, 0);
}

void job_operator_readable(struct job *j)
{
    static struct ipc_frame f;
    int rc = ipc_recv(&j->op, &f);

    if (!rc)
        return;
    if (rc < 0) {                       /* gone, or it says something else */
        job_finish(j, CAUSE_OPERATOR_GONE, 0);
        return;
    }
    close_fd(&j->op.fd);                /* nothing more is heard from it */
    committed(j);
}

/* ---- time */

void job_step(struct job *j)
{
    if (j->state == JOB_ENDING && j->step == STEP_XENSTORE_GONE)
        destroy_domain(j);
    else if (j->state == JOB_ENDING && j->step == STEP_GONE)
        job_finish(j, j->cause ? j->cause : j->errnum ? CAUSE_INTERNAL : CAUSE_NONE, j->errnum);
    else if (j->state < JOB_SAVED && j->dead && j->has_outcome)
        verdict(j);
}

/* A guest that is gone or has shut down otherwise cannot be saved any more. */
static bool guest_died(const struct job *j)
{
    struct dom_info info;
    int r = dom_same(&j->dom, &info);

    return r == -ESRCH || (!r && (info.dying || (info.shutdown && !dom_suspended(&info))));
}

static void tick(struct job *j, int64_t now)
{
    int64_t last = j->died > j->cancelled_at ? j->died : j->cancelled_at;

    if (j->state == JOB_ENDING) {
        if (now > j->backstop && j->step == STEP_XENSTORE)
            xs_destroyed(j, ETIMEDOUT);
        else if (now > j->backstop && j->step == STEP_DOMAIN)
            domain_destroyed(j, ETIMEDOUT);
        return;
    }
    if (now > j->backstop)
        job_cancel(j, j->state == JOB_SAVED ? CAUSE_COMMIT_DEADLINE : CAUSE_DEADLINE);
    if (!j->failed && guest_died(j))
        job_cancel(j, CAUSE_GUEST_DIED);
    if (j->has_outcome && !j->dead && now > j->outcome_at + OUTCOME_MS)
        job_fail(j, CAUSE_PROTOCOL);
    if (j->dead && !j->has_outcome && now > j->died + REPORT_MS)
        job_fail(j, CAUSE_WORKER_DIED);
    if (j->cancelled && now > j->cancelled_at + GRACE_MS) {
        if (j->state == JOB_SAVED) {
            job_finish(j, j->cancelled, 0);
            return;
        }
        job_fail(j, j->cancelled);
    }
    /* The parent says nothing: the end is recorded without it. */
    if (j->failed && j->dead && !j->has_outcome && now > last + GRACE_MS)
        job_finish(j, j->cause, 0);
}

void jobs_tick(void)
{
    for (unsigned i = 0; i < JOBS_MAX; i++)
        if (w.jobs[i].state)
            tick(&w.jobs[i], now_ms());
}
