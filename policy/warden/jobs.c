/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A job from its grant to its end.  The warden believes its own eyes only: the pidfd for the
 * worker's death, getdomaininfo for the guest, its own counters for what the worker had executed.
 * The grant (pin, arena) ends with the worker's death, never before: a living worker still has its
 * mappings.
 */
#include "policy/warden/warden.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DOMID_XEN 0x7ff2u
#define LOGDIRTY_MAX 2 /* libxenguest tries twice; each try is a line of the audit log */

struct job *job_by_number(uint32_t number)
{
    for (unsigned i = 0; i < JOBS_MAX; i++)
        if (w.jobs[i].state && w.jobs[i].number == number)
            return &w.jobs[i];
    return NULL;
}

struct job *job_by_domid(uint32_t domid)
{
    for (unsigned i = 0; i < JOBS_MAX; i++)
        if (w.jobs[i].state && w.jobs[i].dom.domid == domid)
            return &w.jobs[i];
    return NULL;
}

bool job_may(const struct job *j, const struct rules_peer *peer, uint32_t op)
{
    return rules_match(w.rules, peer, op, j->name).allow;
}

struct job *job_new(const struct dom *d)
{
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        struct job *j = &w.jobs[i];

        if (j->state)
            continue;
        *j = (struct job){.state = JOB_STARTING, .dom = *d, .pidfd = -1, .worker.fd = -1,
                          .op.fd = -1};
        j->begun = now_ms();
        return j;
    }
    return NULL;
}

void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void job_free(struct job *j)
{
    close_fd(&j->worker.fd);
    close_fd(&j->op.fd);
    close_fd(&j->pidfd);
    hv_unpin(&j->pin);
    j->state = JOB_FREE;
}

int job_xs_grant(struct job *j, uint32_t stage)
{
    struct msg_XS_GRANT m = {.kind = j->asker.intent.kind, .domid = j->dom.domid, .stage = stage};
    struct msg_XS_DONE done;
    int rc = ask(&w.gate, MSG_XS_GRANT, j->number, &m, MSG_XS_DONE, &done, NULL);

    return rc ? rc : -done.errnum;
}

/* The executor asks this before a row that changes the guest's host: noted, recorded, then done. */
static int before_act(struct call_ctx *ctx, enum hv_row row)
{
    struct job *j = ctx->user;

    if (row != HV_LOGDIRTY_ENABLE || j->failed || ctx->executed[row] >= LOGDIRTY_MAX)
        return -EPERM;
    undo_set(j->undo, UNDO_LOGDIRTY);
    return record_act(j->undo, ACT_LOGDIRTY);
}

/* What the worker will get.  safe if the worker lies, because it cannot say anything here: domid
 * and files come from the warden, the devices are restricted to the domid that the pin holds. */
static int open_grant(struct job *j, int fds[5], unsigned *nfds)
{
    struct msg_OPEN_CONFIG q = {.domid = j->dom.domid};
    struct msg_OPENED opened;
    int rc;

    memcpy(q.handle, j->dom.handle, sizeof(q.handle));
    rc = ask(&w.supervisor, MSG_OPEN_CONFIG, j->number, &q, MSG_OPENED, &opened, &fds[1]);
    if (rc || opened.errnum || fds[1] < 0) {
        snprintf(j->message, sizeof(j->message), "xl's configuration of domain %u cannot be opened",
                 j->dom.domid);
        return rc ? rc : opened.errnum ? -opened.errnum : -EIO;
    }
    fds[2] = w.arenas[j - w.jobs].fd;
    fds[3] = hv_privcmd_fd((uint16_t)j->dom.domid);
    *nfds = 4;
    if (fds[3] >= 0 && j->call.guest == GUEST_PV) {
        fds[4] = hv_privcmd_fd(DOMID_XEN);
        *nfds = 5;
    }
    if (fds[*nfds - 1] >= 0)
        return 0;
    snprintf(j->message, sizeof(j->message), "no privcmd for domain %u", j->dom.domid);
    return fds[*nfds - 1];
}

/* Starts the worker with its two channels; parent_end is the parent's side of the other one. */
static int spawn(struct job *j, int *parent_end)
{
    struct msg_SPAWN m = {.kind = WORKER_SAVE};
    struct msg_SPAWNED a = {0};
    int p[2] = {-1, -1}, c[2] = {-1, -1}, fds[2], rc;

    rc = ipc_pair(p);
    rc = rc ? rc : ipc_pair(c);
    j->worker = (struct ipc_chan){c[0], WARDEN, WORKER, PH_RUN, false, false};
    /* Before the worker exists, so that no frame of it comes without its pid. */
    rc = rc ? rc : ipc_want_pid(&j->worker);
    if (!rc) {
        fds[0] = p[1];
        fds[1] = c[1];
        tell(&w.forker, MSG_SPAWN, j->number, &m, fds, 2);
        rc = await(&w.forker, MSG_SPAWNED, &a, &j->pidfd);
        rc = rc ? rc : a.errnum || j->pidfd < 0 ? -(a.errnum ? a.errnum : EIO) : 0;
        j->pid = (pid_t)a.pid;
    }
    close_fd(&p[1]);
    close_fd(&c[1]);
    if (rc) {
        close_fd(&p[0]);
        snprintf(j->message, sizeof(j->message), "no worker could be started");
    }
    *parent_end = p[0];
    return rc;
}

static void send_grant(struct job *j, const struct dom_info *info, const int *fds, unsigned nfds)
{
    struct msg_GRANT m = {
        .domid = j->dom.domid,
        .guest_type = info->guest_type,
        .flags = j->asker.intent.flags,
        .arena_size = j->call.arena_size,
        .max_pages = j->call.limits.max_pages,
    };

    if (dom_width(info, &m.guest_width))
        m.guest_width = 64;
    /* A worker that is dead already is the parent's to report, like one that dies later. */
    ipc_send(&j->worker, MSG_GRANT, j->number, &m, fds, nfds);
}

static void send_job(struct job *j, const struct operator *o, int parent_end)
{
    const struct rules_limits *l = &w.rules->limits;
    struct msg_JOB m = {
        .kind = j->asker.intent.kind,
        .flags = j->asker.intent.flags,
        .domid = j->dom.domid,
        .guest_type = j->call.guest,
        .pid = (uint32_t)j->pid,
        .deadline = j->deadline,
        .suspend_deadline = l->suspend_deadline,
        .commit_deadline = l->commit_deadline,
    };
    const int fds[2] = {o->ch.fd, parent_end};

    memcpy(m.name, j->name, sizeof(m.name));
    j->by_parent = true;
    j->backstop =
        now_ms() + 1000ll * (j->deadline + 2 * l->suspend_deadline + l->commit_deadline + 30);
    tell(&w.parent, MSG_JOB, j->number, &m, fds, 2);
}

/* Memory for the job's calls; words and false when the domain is too large. */
static bool bounds(struct job *j, const struct dom_info *info)
{
    uint64_t pages = 0;
    size_t size = 0;
    int rc = dom_max_pages(info, &pages);

    if (!rc) {
        size = call_arena_size(pages, info->max_vcpu_id);
        rc = size ? hv_reserve(size) : -E2BIG;
    }
    j->call = (struct call_ctx){
        .domid = (uint16_t)j->dom.domid,
        .guest = (uint8_t)info->guest_type,
        .job = j->asker.intent.flags & INTENT_LIVE ? HV_JOB_LIVE : HV_JOB_COLD,
        .phase = HV_BEFORE,
        .arena = w.arenas[j - w.jobs].p,
        .arena_size = size,
        .limits = {.max_pages = pages, .max_vcpu_id = info->max_vcpu_id},
        .before = before_act,
        .user = j,
    };
    if (rc == -E2BIG)
        snprintf(j->message, sizeof(j->message),
                 "domain %u is too large: its frames go up to %llu, "
                 "and moat saves up to %llu",
                 j->dom.domid, (unsigned long long)pages, HV_BULK_MAX * 8ull);
    else if (rc)
        snprintf(j->message, sizeof(j->message), "memory for domain %u: %s", j->dom.domid,
                 strerrorname_np(-rc) ?: "?");
    return !rc;
}

/* From BEGIN on: whatever fails gets an END as well.  0 or -errno with j->message. */
static int begun(struct operator *o, struct job *j, const struct dom_info *info, int file)
{
    int fds[5] = {file, -1, -1, -1, -1}, parent_end = -1, rc;
    unsigned nfds = 0;

    rc = job_xs_grant(j, XS_STAGE_READ);
    if (rc)
        snprintf(j->message, sizeof(j->message), "the gate grants no xenstore paths");
    rc = rc ? rc : open_grant(j, fds, &nfds);
    rc = rc ? rc : spawn(j, &parent_end);
    if (!rc) {
        send_grant(j, info, fds, nfds);
        send_job(j, o, parent_end);
    }
    close_fd(&fds[1]);
    close_fd(&fds[3]);
    close_fd(&fds[4]);
    close_fd(&parent_end);
    return rc;
}

/* The job of an operator's intent; NULL: answered. */
static struct job *enter(struct operator *o, const struct dom_info *info, const char *name,
                         uint32_t line)
{
    struct job *j = job_new(&info->id);

    if (!j) {
        operator_deny(o, EXIT_FAILED, 0, &info->id, "%u jobs are running, and that is the limit",
                      JOBS_MAX);
        return NULL;
    }
    j->number = ++w.last_job;
    j->asker = o->asker;
    j->line = line;
    ipc_text(j->name, sizeof(j->name), name);
    return j;
}

/* Undo slot and BEGIN: no record, no action.  0 or -errno with j->message. */
static int note(struct job *j)
{
    int rc;

    j->undo = undo_claim(j->number, j->dom.domid, j->dom.handle);
    if (!j->undo) {
        snprintf(j->message, sizeof(j->message), "no undo slot is free");
        return -ENOSPC;
    }
    j->undo->uid = j->asker.peer.uid;
    j->undo->kind = j->asker.intent.kind;
    j->undo->flags = j->asker.intent.flags;
    rc = record_begin(j);
    if (rc) {
        undo_release(j->undo);
        snprintf(j->message, sizeof(j->message), "the audit log cannot be written (%s), so "
                 "nothing is done", strerrorname_np(-rc) ?: "?");
        return rc;
    }
    undo_inherit(j->undo);              /* what an earlier job's guest may still do late */
    return 0;
}

void job_begin(struct operator *o, const struct dom_info *info, struct hv_pin *pin,
               const char *name, uint32_t line, uint32_t deadline, int file)
{
    struct job *j = enter(o, info, name, line);
    struct msg_XS_DONE done;
    int rc;

    if (!j)
        return;
    j->deadline = deadline;
    rc = bounds(j, info) ? note(j) : -E2BIG;
    if (rc) {
        operator_deny(o, EXIT_FAILED, 0, &j->dom, "%s", j->message);
        job_free(j);
        return;
    }
    j->pin = *pin;
    pin->page = NULL;
    rc = begun(o, j, info, file);
    if (!rc) {
        /* The parent has the connection now; our copy is for COMMIT. */
        j->op = (struct ipc_chan){o->ch.fd, WARDEN, OPERATOR, PH_SAVED, false, false};
        o->ch.fd = -1;
        operator_close(o);
        return;
    }
    if (record_end(j, CAUSE_INTERNAL, -rc))
        warden_die("the recorder does not take the end of a job");
    undo_end(j->undo);
    ask(&w.gate, MSG_XS_REVOKE, j->number, NULL, MSG_XS_DONE, &done, NULL);
    operator_deny(o, EXIT_FAILED, 0, &j->dom, "%s (%s)", j->message, strerrorname_np(-rc) ?: "?");
    job_free(j);
}

/*
 * A job of one step: its slot says that the domain is suspended, and undoing that is what was asked
 * for.  So whatever ends this warden in the middle, the next one goes on, as with any other slot.
 * safe if the caller lies, because the intent has nothing but a domain, which the rules let this
 * operator resume and which is pinned, and resume() asks Xen itself whether it is suspended.
 */
void job_resume(struct operator *o, const struct dom_info *info, struct hv_pin *pin,
                const char *name, uint32_t line)
{
    struct job *j = enter(o, info, name, line);
    uint32_t cause;

    if (!j)
        return;
    if (note(j)) {
        operator_deny(o, EXIT_FAILED, 0, &j->dom, "%s", j->message);
        job_free(j);
        return;
    }
    j->pin = *pin;
    pin->page = NULL;
    /* A request to suspend that still stands would be answered right after. */
    undo_set(j->undo, UNDO_SHUTDOWN_WRITTEN | UNDO_SUSPENDED);
    undo_now(j->undo);
    cause = undo_resumed(j->undo);
    snprintf(j->message, sizeof(j->message), "domain %u (%s) %s", j->dom.domid, j->name,
             undo_resumed_words(cause));
    if (record_end(j, cause, 0))
        warden_die("the recorder does not take the end of a job");
    undo_end(j->undo);                  /* xenstored may not have been told yet: undo_tick() */
    operator_end(o, cause, j->message);
    job_free(j);
}

/* ---- the worker */

static void executed(struct job *j)
{
    uint32_t sum = 0;

    if (j->state == JOB_STARTING)
        j->state = JOB_RUNNING;
    if (j->call.saw & SAW_LOGDIRTY_OFF)
        undo_clear(j->undo, UNDO_LOGDIRTY);
    for (unsigned i = 0; i < REFUSALS; i++)
        sum += i == REFUSED_XENSTORE || i == REFUSED_STATE ? 0 : j->call.refused[i];
    if (sum > REFUSALS_MAX) {
        j->call.refused[REFUSED_FLOOD]++;
        job_fail(j, CAUSE_PROTOCOL);
    }
}

void job_worker_readable(struct job *j)
{
    static struct ipc_frame f;
    static struct msg_CALL call;
    struct msg_CALLED called;
    enum refusal why = REFUSED_NONE;
    int rc = ipc_recv(&j->worker, &f);

    if (!rc)
        return;
    if (rc == -ECONNRESET) {            /* it has closed it or is dying: the pidfd will tell */
        close_fd(&j->worker.fd);
        return;
    }
    /* The job follows from the channel; a number that says otherwise is a lie. */
    if (rc < 0 || f.job != j->number || ipc_decode(&f, &call))
        why = REFUSED_FRAME;
    else if (f.pid != j->pid)
        why = REFUSED_PID;
    if (why) {
        j->call.refused[why]++;
        job_fail(j, CAUSE_PROTOCOL);
        return;
    }
    if (f.type == MSG_FINISHED) {
        j->call.saw |= SAW_FINISHED;
        j->worker.phase = PH_CLOSED;    /* nothing is legal after it */
        return;
    }
    rc = call_execute(&j->call, &call, &called, &why);
    executed(j);
    if (j->failed)
        return;
    /* A worker waits for each answer: one that has no room for it has sent more than one call. */
    if ((rc && why == REFUSED_FRAME) ||
        ipc_send(&j->worker, MSG_CALLED, j->number, &called, NULL, 0) == -EAGAIN) {
        j->call.refused[rc ? REFUSED_NONE : REFUSED_FLOOD]++;
        job_fail(j, CAUSE_PROTOCOL);
    }
}

void job_worker_dead(struct job *j)
{
    j->dead = true;
    j->died = now_ms();
    j->call.saw |= SAW_DEATH;
    close_fd(&j->pidfd);
    /* Its last word may have come between poll's look at the channel and at the pidfd. */
    if (j->worker.fd >= 0)
        job_worker_readable(j);
    close_fd(&j->worker.fd);
    /* Sealed against shrinking: only its pages go, for the next job to find zeros. */
    fallocate(w.arenas[j - w.jobs].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HV_BULK_MAX);
}
