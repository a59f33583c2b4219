/* SPDX-License-Identifier: LGPL-2.1-only */
/* moat list and moat jobs: rows of what the operator's rules let it see, in portions, so that a
 * host with many domains or an operator that reads slowly holds up nobody. */
#include "policy/warden/warden.h"

#include <errno.h>
#include <string.h>

/* 1: sent; 0: may not be seen; -errno: not sent. */
static int row(struct operator *o, const struct dom_info *info)
{
    struct msg_DESCRIBE q = {.domid = info->id.domid};
    struct msg_DESCRIBED d = {0};
    struct msg_DOMAIN_ROW m = {
        .domid = info->id.domid,
        .vcpus = info->vcpus,
        .flags = info->flags,
        .ssidref = info->ssidref,
        .memory_kb = (info->tot_pages + info->outstanding_pages) * 4,
        .max_memory_kb = info->max_pages * 4,
        .cpu_ns = info->cpu_ns,
        .cpupool = info->cpupool,
        .guest_type = info->guest_type,
    };
    int rc = ask(&w.gate, MSG_DESCRIBE, 0, &q, MSG_DESCRIBED, &d, NULL);

    if (rc || !rules_match(w.rules, &o->asker.peer, OP_LIST, d.name).allow)
        return 0;
    memcpy(m.handle, info->id.handle, sizeof(m.handle));
    memcpy(m.name, d.name, sizeof(m.name));
    rc = ipc_send(&o->ch, MSG_DOMAIN_ROW, 0, &m, NULL, 0);
    return rc ? rc : 1;
}

/* The next portion; called again when the operator has read enough to take more. */
void list_more(struct operator *o)
{
    struct dom_info rows[DOM_LIST_MAX];
    /* Nobody whom no rule names has xenstore searched for an empty list. */
    int n = rules_any(w.rules, &o->asker.peer, OP_LIST) ? dom_list(o->next, rows) : 0, rc;

    if (!o->listing)
        o->until = now_ms() + LIST_MS;
    o->listing = true;
    for (int i = 0; i < n; i++) {
        rc = row(o, &rows[i]);
        if (rc == -EAGAIN)
            return;
        if (rc < 0) {
            operator_close(o);
            return;
        }
        o->next = rows[i].id.domid + 1;
    }
    if (n < 0)
        operator_deny(o, EXIT_FAILED, 0, NULL, "the hypervisor did not tell about its domains (%s)",
                      strerrorname_np(-n) ?: "?");
    else if (n < DOM_LIST_MAX)
        operator_done(o, "");
}

void list_one(struct operator *o)
{
    struct dom_info info;
    uint32_t facts;
    char name[64];
    const bool any = rules_any(w.rules, &o->asker.peer, OP_LIST);
    int rc;

    if (any && !intent_resolve(o, &info, name, &facts))
        return;
    rc = any ? row(o, &info) : 0;
    if (rc < 0)
        operator_close(o);
    else if (!rc)
        operator_deny(o, EXIT_DENIED, 0, NULL, "no rule lets you list '%s'",
                      o->asker.intent.domain);
    else
        operator_done(o, "");
}

void list_jobs(struct operator *o)
{
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        const struct job *j = &w.jobs[i];
        struct msg_JOB_ROW m = {
            .job = j->number,
            .kind = j->asker.intent.kind,
            .flags = j->asker.intent.flags,
            .domid = j->dom.domid,
            .uid = j->asker.peer.uid,
            .state = j->state,
            .seconds = (uint32_t)((now_ms() - j->begun) / 1000),
        };

        if (!j->state || !job_may(j, &o->asker.peer, OP_JOBS))
            continue;
        memcpy(m.name, j->name, sizeof(m.name));
        if (ipc_send(&o->ch, MSG_JOB_ROW, 0, &m, NULL, 0)) {
            operator_close(o);
            return;
        }
    }
    operator_done(o, "");
}
