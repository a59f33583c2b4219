/* SPDX-License-Identifier: LGPL-2.1-only */
/* Records: filled from what the warden itself knows, durable before the caller goes on. */
#include "policy/warden/warden.h"

#include <errno.h>
#include <string.h>

#define GIDS_KEPT 16

static struct msg_RECORD r;

static void start(uint32_t what)
{
    memset(&r, 0, sizeof(r));
    r.what = what;
    r.loginuid = ~0u; /* /proc/PID/loginuid: there is no /proc here, and a pid can be reused */
    r.domid = ~0u;
    r.worker_status = -1;
    r.uid = r.gid = ~0u;
}

static void put_asker(const struct asker *a)
{
    uint32_t gids[GIDS_KEPT] = {0};

    r.uid = a->peer.uid;
    r.gid = a->peer.gid;
    r.pid = (uint32_t)a->pid;
    r.ngids = a->peer.ngids;
    for (unsigned i = 0; i < GIDS_KEPT && i < a->peer.ngids; i++)
        gids[i] = a->peer.gids[i];
    memcpy(r.gids, gids, sizeof(r.gids));
    r.kind = a->intent.kind;
    r.flags = a->intent.flags;
    r.deadline = a->intent.deadline;
    r.target = a->intent.target;
    ipc_text(r.asked, sizeof(r.asked), a->intent.domain);
}

static void put_dom(const struct dom *d)
{
    r.domid = d->domid;
    memcpy(r.handle, d->handle, sizeof(r.handle));
}

static void put_job(const struct job *j)
{
    r.job = j->number;
    put_asker(&j->asker);
    put_dom(&j->dom);
    ipc_text(r.name, sizeof(r.name), j->name);
    r.line = j->line;
    r.saw = j->call.saw;
    memcpy(r.executed, j->call.executed, sizeof(r.executed));
    memcpy(r.refused, j->call.refused, sizeof(r.refused));
}

static void put_slot(const struct undo_slot *s)
{
    struct dom d = {.domid = s->domid};

    memcpy(d.handle, s->handle, sizeof(d.handle));
    put_dom(&d);
    r.job = s->job;
    r.uid = s->uid;
    r.kind = s->kind;
    r.flags = s->flags;
}

static int finish(const char *message)
{
    struct msg_RECORDED done;
    int rc;

    ipc_text(r.message, sizeof(r.message), message);
    rc = ask(&w.recorder, MSG_RECORD, r.job, &r, MSG_RECORDED, &done, NULL);
    if (!rc && done.errnum)
        rc = done.errnum > 0 ? -done.errnum : -EIO;
    return rc;
}

int record_begin(const struct job *j)
{
    start(RECORD_BEGIN);
    put_job(j);
    return finish("");
}

int record_end(const struct job *j, uint32_t cause, int errnum)
{
    start(RECORD_END);
    put_job(j);
    r.cause = cause;
    r.exit_code = (uint32_t)ipc_cause_exit(cause);
    r.rc = ipc_cause_rc(cause);
    r.errnum = errnum;
    r.worker_status = j->has_outcome ? j->outcome.worker_status : -1;
    return finish(j->message);
}

int record_act(const struct undo_slot *s, uint32_t act)
{
    const struct job *j = job_by_number(s->job);

    start(RECORD_ACT);
    if (j)
        put_job(j);
    else
        put_slot(s);
    r.act = act;
    return finish("");
}

int record_interrupted(const struct undo_slot *s, const char *message)
{
    start(RECORD_END);
    put_slot(s);
    r.cause = CAUSE_INTERRUPTED;
    r.exit_code = (uint32_t)ipc_cause_exit(CAUSE_INTERRUPTED);
    r.rc = ipc_cause_rc(CAUSE_INTERRUPTED);
    return finish(message);
}

int record_asker(uint32_t what, const struct asker *a, const struct dom *d, uint32_t line,
                 const char *message)
{
    start(what);
    put_asker(a);
    if (d)
        put_dom(d);
    r.line = line;
    return finish(message);
}

int record_note(const char *message, uint32_t refusal, uint32_t count)
{
    uint32_t refused[64] = {0};

    start(RECORD_NOTE);
    refused[refusal] = count;
    memcpy(r.refused, refused, sizeof(r.refused));
    return finish(message);
}
