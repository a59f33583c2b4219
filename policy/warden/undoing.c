/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Undoing what a slot of /run/moat/undo says, for a job that failed, for one whose warden died, and
 * for a guest that suspends after everybody gave up on it.  It depends on no worker and no parent.
 * Undoing goes on when a record cannot be written: a suspended guest is the greater harm, and the
 * job's `begin` covers it.
 */
#include "policy/warden/warden.h"

#include <errno.h>
#include <string.h>

#define LATE_S 120      /* a guest that acknowledged may suspend this long after we gave up */

static struct dom slot_dom(const struct undo_slot *s)
{
    struct dom d = {.domid = s->domid};

    memcpy(d.handle, s->handle, sizeof(d.handle));
    return d;
}

/* withdrawn: the guest had not taken note of the request and never will. */
static int xs_undo(const struct undo_slot *s, uint32_t what, bool *withdrawn)
{
    struct msg_XS_UNDO m = {.domid = s->domid, .what = what};
    struct msg_XS_DONE done;
    int rc = ask(&w.gate, MSG_XS_UNDO, s->job, &m, MSG_XS_DONE, &done, NULL);

    *withdrawn = !rc && !done.errnum && done.withdrawn;
    return rc ? rc : -done.errnum;
}

/* safe if the caller lies, because the bits only name acts of a warden, the handle must still fit,
 * and Xen itself must say that the domain is suspended. */
static void resume(struct undo_slot *s, const struct dom *d)
{
    struct job *j = job_by_number(s->job);
    struct dom_info info;

    if (dom_same(d, &info) || !dom_suspended(&info))
        return;
    record_act(s, ACT_RESUME);
    undo_set(s, UNDO_XS_RESUME);
    if (dom_resume(d))
        return;
    watches_changed();              /* xenstore tells nobody */
    if (j)
        j->call.phase = HV_BEFORE;
    undo_clear(s, UNDO_SUSPENDED);
}

void undo_now(struct undo_slot *s)
{
    const struct dom d = slot_dom(s);
    struct dom_info info;
    bool withdrawn = false, ignored;
    int r = dom_same(&d, &info);

    if (s->bits & (UNDO_DESTROY_BEGUN | UNDO_LEFT))
        return;
    if (r == -ESRCH || (!r && info.dying)) {
        undo_clear(s, UNDO_BITS);       /* nothing is left that could be put right */
        return;
    }
    if (s->bits & UNDO_LOGDIRTY && !dom_logdirty_off(&d))
        undo_clear(s, UNDO_LOGDIRTY);
    if (s->bits & UNDO_SHUTDOWN_WRITTEN && !xs_undo(s, XSUNDO_SHUTDOWN, &withdrawn))
        undo_clear(s, UNDO_SHUTDOWN_WRITTEN);
    /* Nothing of ours can suspend it any more: a suspend from now on is somebody else's, xl's say,
     * and must not be undone by us.  But one that is suspended already has done so for us, also
     * when it never took note of the request: that is the guest's to write. */
    if (withdrawn && !dom_same(&d, &info) && !dom_suspended(&info))
        undo_clear(s, UNDO_SUSPENDED);
    if (s->bits & UNDO_SUSPENDED)
        resume(s, &d);
    /* A bit of its own: the gate may be what has died.  Left out, xenstored would not tell of the
     * domain's next suspend. */
    if (s->bits & UNDO_XS_RESUME && !(s->bits & UNDO_SUSPENDED) &&
        !xs_undo(s, XSUNDO_RESUME, &ignored))
        undo_clear(s, UNDO_XS_RESUME);
    if (s->bits & UNDO_PAUSED) {
        record_act(s, ACT_UNPAUSE);
        if (!dom_unpause(&d))
            undo_clear(s, UNDO_PAUSED);
    }
}

void undo_end(struct undo_slot *s)
{
    if (s->bits & (UNDO_DESTROY_BEGUN | UNDO_LEFT))
        undo_clear(s, UNDO_BITS);
    if (s->bits)
        s->until = (uint32_t)(now_ms() / 1000) + LATE_S;
    else
        undo_release(s);
}

/* The new slot has the bits before the old one goes: a crash between the two undoes twice, which
 * does no harm. */
void undo_inherit(struct undo_slot *to)
{
    for (unsigned i = 0; i < UNDO_SLOTS; i++) {
        struct undo_slot *s = undo_at(i);

        if (s == to || !s->job || !s->until || s->domid != to->domid)
            continue;
        if (!memcmp(s->handle, to->handle, sizeof(s->handle)))
            undo_set(to, s->bits);
        undo_release(s);
    }
}

void undo_tick(void)
{
    uint32_t now = (uint32_t)(now_ms() / 1000);

    for (unsigned i = 0; i < UNDO_SLOTS; i++) {
        struct undo_slot *s = undo_at(i);
        const struct job *j = s->job ? job_by_number(s->job) : NULL;

        if (!s->job || (j ? !j->failed || !s->bits : !s->until))
            continue;
        undo_now(s);
        if (!j && (!s->bits || now > s->until))
            undo_release(s);
    }
}

/* It is not tried again behind the operator's back, and a suspend from now on is somebody else's.
 */
uint32_t undo_resumed(struct undo_slot *s)
{
    const struct dom d = slot_dom(s);
    struct dom_info info;
    int r = dom_same(&d, &info);

    if (r == -ESRCH || (!r && info.dying)) {
        undo_clear(s, UNDO_BITS);
        return CAUSE_GUEST_DIED;
    }
    if (!(s->bits & UNDO_SUSPENDED) || (!r && !dom_suspended(&info))) {
        undo_clear(s, UNDO_SUSPENDED);
        return CAUSE_NONE;
    }
    undo_clear(s, UNDO_SUSPENDED | UNDO_XS_RESUME);
    return CAUSE_INTERNAL;
}

const char *undo_resumed_words(uint32_t cause)
{
    return cause == CAUSE_NONE ? "goes on" : cause == CAUSE_GUEST_DIED ? "is gone" :
           "could not be resumed";
}

/* What the end of a job says whose warden died: what is so now, for nobody knows how far it came.
 * bits: before the undoing. */
static const char *words_of(struct undo_slot *s, uint32_t bits)
{
    const struct dom d = slot_dom(s);
    struct dom_info info;

    if (bits & UNDO_LEFT)
        return !dom_same(&d, &info) && dom_suspended(&info)
            ? "confirmed before the restart: the domain stays suspended"
            : "confirmed before the restart: the domain was left suspended, and is so no longer";
    if (s->kind != KIND_RESUME)
        return s->bits ? "not all could be undone yet" : "undone";
    if (!bits)
        return "done as far as its acts say";
    switch (undo_resumed(s)) {
    case CAUSE_NONE: return "the domain goes on";
    case CAUSE_GUEST_DIED: return "the domain is gone";
    default: return "the domain could not be resumed";
    }
}

void undo_leftovers(void)
{
    uint32_t bits;

    for (unsigned i = 0; i < UNDO_SLOTS; i++) {
        struct undo_slot *s = undo_at(i);

        if (!s->job || s->until)        /* `until`: its end is recorded, undo_tick() goes on */
            continue;
        if (s->bits & UNDO_DESTROY_BEGUN && job_adopt_destroy(s))
            continue;
        bits = s->bits;
        undo_now(s);
        if (record_interrupted(s, words_of(s, bits)))
            warden_die("the recorder does not take the end of an interrupted job");
        undo_end(s);
    }
}
