/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What the parent says.  It can only speak of jobs that it was given, each message is legal in some
 * states of the job and counted in the others, and nothing that it claims replaces what the warden
 * saw itself.  A refused question gets an answer all the same: an honest parent whose message
 * crossed ours on the way must not wait for ever.
 */
#include "policy/warden/warden.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FAIL (-3)               /* libxl's ERROR_FAIL */
#define INVAL (-6)              /* libxl's ERROR_INVAL: the question was out of place */

static void refuse(struct job *j, const struct ipc_frame *f)
{
    struct msg_SUSPEND_OK suspend = {.rc = INVAL};
    struct msg_STATE_IS state = {.state = DOMAIN_GONE};
    struct msg_VERDICT verdict = {.rc = FAIL, .message = "not legal in the job's state"};
    struct msg_ENDED ended = {.rc = FAIL, .message = "not legal in the job's state"};

    /* An ABANDON that crossed the operator's COMMIT comes late; the end itself is its answer. */
    if (j)
        j->call.refused[REFUSED_STATE]++;
    if (++w.refused > REFUSALS_MAX)
        warden_die("the parent keeps sending what is not legal");
    if (f->type == MSG_SUSPEND)
        tell(&w.parent, MSG_SUSPEND_OK, f->job, &suspend, NULL, 0);
    else if (f->type == MSG_STATE)
        tell(&w.parent, MSG_STATE_IS, f->job, &state, NULL, 0);
    else if (f->type == MSG_OUTCOME)
        tell(&w.parent, MSG_VERDICT, f->job, &verdict, NULL, 0);
    else if (f->type == MSG_ABANDON && (!j || j->state != JOB_ENDING))
        tell(&w.parent, MSG_ENDED, f->job, &ended, NULL, 0);
}

/* safe if the caller lies, because suspending is what the operator's save asked for: the worst is a
 * guest that is suspended and, by the undo slot, resumed. */
static void suspend(struct job *j)
{
    struct msg_SUSPEND_OK m = {.rc = FAIL};

    if (!record_act(j->undo, ACT_SUSPEND)) {
        undo_set(j->undo, UNDO_SHUTDOWN_WRITTEN | UNDO_SUSPENDED);
        if (!job_xs_grant(j, XS_STAGE_SUSPEND)) {
            j->state = JOB_SUSPENDING;
            m.rc = 0;
        }
    }
    tell(&w.parent, MSG_SUSPEND_OK, j->number, &m, NULL, 0);
}

static void state(struct job *j)
{
    struct msg_STATE_IS m = {.state = DOMAIN_GONE};
    struct dom_info info;

    if (!dom_same(&j->dom, &info))
        m.state = dom_state(&info, &m.reason);
    if (m.state == DOMAIN_SUSPENDED && j->state == JOB_SUSPENDING) {
        j->call.saw |= SAW_SUSPEND;
        j->call.phase = HV_AFTER;
        j->state = JOB_SUSPENDED;
    }
    tell(&w.parent, MSG_STATE_IS, j->number, &m, NULL, 0);
}

static void outcome(struct job *j, const struct msg_OUTCOME *m)
{
    j->has_outcome = true;
    j->outcome = *m;
    j->outcome_at = now_ms();       /* job_step() goes on when the pidfd says that it is dead */
}

/* The states in which a message is legal, as bits 1 << enum job_state.  OUTCOME, once: also of a
 * job that has failed. */
static uint32_t legal(uint32_t type)
{
    const uint32_t runs = 1u << JOB_STARTING | 1u << JOB_RUNNING;
    const uint32_t suspended = 1u << JOB_SUSPENDING | 1u << JOB_SUSPENDED;

    switch (type) {
    case MSG_SUSPEND: return 1u << JOB_RUNNING;
    case MSG_STATE: return runs | suspended;
    case MSG_ABORT:
    case MSG_OUTCOME: return runs | suspended;
    case MSG_ABANDON: return 1u << JOB_SAVED;
    default: return 0;
    }
}

void parent_message(struct ipc_frame *f)
{
    struct job *j = job_by_number(f->job);
    union {
        struct msg_ABORT abort;
        struct msg_ABANDON abandon;
        struct msg_OUTCOME outcome;
    } m;

    if (ipc_decode(f, &m))
        warden_die("the parent sent a malformed message");
    if (!j || !j->by_parent || !(legal(f->type) & 1u << j->state) ||
        (j->has_outcome && f->type != MSG_ABANDON) ||
        (j->failed && f->type == MSG_SUSPEND)) {
        refuse(j, f);
        return;
    }
    switch (f->type) {
    case MSG_SUSPEND:
        suspend(j);
        break;
    case MSG_STATE:
        state(j);
        break;
    case MSG_ABORT:
        if (!j->cancelled)          /* no CANCEL back: it says so itself */
            j->cancelled_at = now_ms();
        j->cancelled = m.abort.cause && m.abort.cause < CAUSES ? m.abort.cause : CAUSE_INTERNAL;
        job_fail(j, j->cancelled);
        break;
    case MSG_OUTCOME:
        outcome(j, &m.outcome);
        break;
    case MSG_ABANDON:
        job_finish(j, m.abandon.cause && m.abandon.cause < CAUSES ? m.abandon.cause
                   : CAUSE_INTERNAL, 0);
        break;
    }
}
