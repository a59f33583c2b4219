/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * An operator is told when a domain shuts down and when it is gone.  Who may list a domain may
 * watch it.  The warden answers itself, from what getdomaininfo says: nobody can lie about it.
 *
 * A watch costs a place in a static table, and one getdomaininfo when xenstore says that some
 * domain ended.  At most one message of each is under way: a watcher that does not read is told the
 * state of the moment when it reads again, and holds up nobody.
 */
#include "policy/warden/warden.h"

#include <errno.h>
#include <string.h>

#define WATCHES_PER_UID 64
#define LOOK_MS 10000           /* all are looked at this often, whatever xenstore says */
#define LINES_MAX WATCHES_MAX   /* of the audit log at once, and then */
#define LINE_MS 500             /* one in this time: a record costs an fsync */
#define NOTE_MS 10000           /* between two lines about watches that have none */

struct watch watches[WATCHES_MAX];
static struct {
    bool look;                  /* some domain has changed */
    bool ruled;                 /* so have the rules */
    int64_t looked;
    /* A user who watches and goes in a loop must not fill the disk: beyond the bound only the
     * number of watches is recorded. */
    int64_t lines_since, noted;
    uint32_t lines, dropped;
} all;

static void end(struct watch *o)
{
    close_fd(&o->ch.fd);
    *o = (struct watch){.ch.fd = -1};
}

/* The last word.  After DOMAIN_GONE it waits for room; one who ended the watch has it or not. */
static void done(struct watch *o, const char *message)
{
    static struct msg_DONE m;

    m = (struct msg_DONE){.exit_code = EXIT_DONE, .worker_status = -1};
    ipc_text(m.message, sizeof(m.message), message);
    o->blocked = ipc_send(&o->ch, MSG_DONE, 0, &m, NULL, 0) == -EAGAIN;
    if (!o->blocked || o->state != DOMAIN_GONE)
        end(o);
}

static void say(struct watch *o, uint32_t state, uint32_t reason)
{
    struct msg_DOMAIN_STATE m = {.domid = o->dom.domid, .state = state, .reason = reason};
    int rc;

    memcpy(m.handle, o->dom.handle, sizeof(m.handle));
    rc = ipc_send(&o->ch, MSG_DOMAIN_STATE, 0, &m, NULL, 0);
    o->blocked = rc == -EAGAIN;
    if (rc && rc != -EAGAIN) {
        end(o);
        return;
    }
    if (rc)
        return;
    o->state = state;
    o->reason = reason;
    if (state == DOMAIN_GONE)
        done(o, "");
}

/* What has gone stays gone, also if a domain with the same handle gets the domid. */
static void look(struct watch *o)
{
    struct dom_info info;
    uint32_t state = DOMAIN_GONE, reason = 0;
    int rc = o->gone ? -ESRCH : dom_same(&o->dom, &info);

    if (rc && rc != -ESRCH)
        return;                     /* the hypervisor did not tell: again when all are looked at */
    if (!rc)
        state = dom_state(&info, &reason);
    o->gone = state == DOMAIN_GONE;
    o->blocked = false;
    if (o->state == DOMAIN_GONE)
        done(o, "");                /* there was no room for it */
    else if (state != o->state || reason != o->reason)
        say(o, state, reason);
}

/* Whatever the watcher says, or its end: it has heard enough.  Taken from the socket, for what is
 * left there when it is closed would cost the other end our last word. */
static void hear(struct watch *o)
{
    static struct ipc_frame f;

    if (!ipc_recv(&o->ch, &f))
        return;
    o->state = 0;
    done(o, "the watch was ended");
}

void watch_ready(struct watch *o, short revents)
{
    if (revents & ~POLLOUT)
        hear(o);
    else
        look(o);
}

void watches_changed(void)
{
    all.look = true;
}

void watches_ruled(void)
{
    all.ruled = true;
}

/* Closed without a word, as by a restart: whoever asks again is told why not. */
static void recheck(struct watch *o)
{
    if (!o->gone && !rules_match(w.rules, &o->peer, OP_LIST, o->name).allow)
        end(o);
}

int64_t watches_wait(void)
{
    for (unsigned i = 0; i < WATCHES_MAX; i++)
        if (watches[i].used)
            return all.look || all.ruled ? 0 : all.looked + LOOK_MS - now_ms();
    return INT64_MAX;
}

static bool may_record(void)
{
    int64_t now = now_ms(), refill = (now - all.lines_since) / LINE_MS;

    if (refill >= all.lines) {
        all.lines = 0;
        all.lines_since = now;
    } else {
        all.lines -= (uint32_t)refill;
        all.lines_since += refill * LINE_MS;
    }
    if (all.lines >= LINES_MAX) {
        all.dropped++;
        return false;
    }
    all.lines++;
    return true;
}

void watches_run(void)
{
    int64_t now = now_ms();
    uint32_t dropped = all.dropped;

    if (dropped && now - all.noted >= NOTE_MS) {
        all.dropped = 0;
        all.noted = now;
        record_note("watches that have no line of their own", REFUSED_FLOOD, dropped);
    }
    for (unsigned i = 0; i < WATCHES_MAX && all.ruled; i++)
        if (watches[i].used)
            recheck(&watches[i]);
    all.ruled = false;
    if (!all.look && now - all.looked < LOOK_MS)
        return;
    all.look = false;
    all.looked = now;
    for (unsigned i = 0; i < WATCHES_MAX; i++)
        if (watches[i].used)
            look(&watches[i]);
}

/* ---- who may */

/* Decimal text is a domid.  One that no domain can have stays one that none has. */
static bool decimal(const char *text, uint32_t *domid)
{
    uint64_t n = 0;

    for (unsigned i = 0; text[i]; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(text[i] - '0');
        n = n < UINT32_MAX ? n : UINT32_MAX;
    }
    *domid = (uint32_t)n;
    return true;
}

/* A free place, or NULL; *same: how many the user has. */
static struct watch *find_place(uid_t uid, unsigned *same)
{
    struct watch *free = NULL;

    *same = 0;
    for (unsigned i = 0; i < WATCHES_MAX; i++) {
        if (!watches[i].used)
            free = &watches[i];
        else if (watches[i].peer.uid == uid)
            (*same)++;
    }
    return *same < WATCHES_PER_UID ? free : NULL;
}

static struct watch *place(struct operator *o)
{
    unsigned same;
    struct watch *free = find_place(o->asker.peer.uid, &same);

    /* Who ends one watch and begins another may be heard about the second one first. */
    for (unsigned i = 0; i < WATCHES_MAX && !free; i++)
        if (watches[i].used)
            hear(&watches[i]);
    free = find_place(o->asker.peer.uid, &same);
    if (same >= WATCHES_PER_UID)
        operator_deny(o, EXIT_FAILED, 0, NULL, "you have %u watches already", same);
    else if (!free)
        operator_deny(o, EXIT_FAILED, 0, NULL, "there are %u watches already", WATCHES_MAX);
    return free;
}

/* The domain and its name.  False: answered.  A domid that no domain has, or whose domain is dying
 * and has lost its name: its handle stays zero. */
static bool resolve(struct operator *o, struct dom_info *info, char name[64], bool *gone)
{
    const char *asked = o->asker.intent.domain;
    struct msg_DESCRIBED d = {0};
    struct msg_DESCRIBE q = {0};
    uint32_t domid, facts;
    int rc;

    *gone = false;
    if (!decimal(asked, &domid))
        return intent_resolve(o, info, name, &facts);
    rc = dom_info(domid, info);
    if (!rc) {
        q.domid = domid;
        rc = ask(&w.gate, MSG_DESCRIBE, 0, &q, MSG_DESCRIBED, &d, NULL);
        rc = rc ? rc : d.errnum == ENOENT ? 0 : -d.errnum;
        *gone = !rc && info->dying && !d.name[0];
    } else if (rc == -ESRCH) {
        rc = 0;
        *gone = true;
    }
    if (rc)
        operator_deny(o, EXIT_FAILED, 0, NULL, "nothing can be told about domain %s (%s)", asked,
                      strerrorname_np(-rc) ?: "?");
    if (*gone)
        *info = (struct dom_info){.id.domid = domid, .dying = true};
    memcpy(name, d.name, sizeof(d.name));
    return !rc;
}

/*
 * safe if the caller lies, because a watch only tells what `moat list` would; the connection is
 * only ever closed or written to, and the domain is its handle, not its number.
 */
void watch_begin(struct operator *o)
{
    const char *asked = o->asker.intent.domain;
    struct rules_verdict v = {0};
    struct dom_info info;
    struct watch *new;
    char name[64];
    bool gone;

    /* Nobody whom no rule names learns whether a domain exists, or has xenstore searched for it. */
    if (!rules_any(w.rules, &o->asker.peer, OP_LIST)) {
        operator_deny(o, EXIT_DENIED, 0, NULL, "no rule lets you list '%s'", asked);
        return;
    }
    new = place(o);
    if (!new || !resolve(o, &info, name, &gone))
        return;
    if (!gone)
        v = rules_match(w.rules, &o->asker.peer, OP_LIST, name);
    if (!gone && !v.allow) {
        operator_deny(o, EXIT_DENIED, v.line, NULL, "no rule lets you list '%s'", asked);
        return;
    }
    if (may_record() &&
        record_asker(RECORD_NOTE, &o->asker, gone ? NULL : &info.id, v.line, "watch")) {
        operator_deny(o, EXIT_FAILED, 0, NULL,
                      "the audit log cannot be written, so nothing is done");
        return;
    }
    *new = (struct watch){.used = true, .ch = o->ch, .peer = o->asker.peer, .dom = info.id,
                          .gone = gone};
    ipc_text(new->name, sizeof(new->name), name);
    new->ch.takes_fds = false;
    new->ch.drops_fds = true;
    o->ch.fd = -1;                  /* it is the watch's now */
    operator_close(o);
    look(new);
}
