/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The operators' listening socket.  Anybody on the host may connect: the rules decide.  Until it
 * has said its INTENT a connection costs one of 64 slots for at most two seconds, and one uid
 * gets 8.  A user with subordinate uids has many: those whom no rule allows anything share half.
 */
#include "policy/warden/warden.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS 16                  /* per turn of the loop */
#define DENIALS 20                  /* recorded per window: a record costs an fsync */
#define DENIALS_MS 10000

struct operator operators[OPERATORS_MAX];
static struct {
    int64_t since;
    uint32_t recorded, dropped;
} denials;

void operator_close(struct operator *o)
{
    if (o->ch.fd >= 0)
        close(o->ch.fd);
    *o = (struct operator){.ch.fd = -1};
}

/* A user who asks for ever what is refused must not fill the disk: beyond the bound only the number
 * of refusals is recorded. */
static bool may_record_denial(void)
{
    int64_t now = now_ms();
    uint32_t dropped = denials.dropped;

    if (now - denials.since >= DENIALS_MS) {
        denials.since = now;
        denials.recorded = denials.dropped = 0;
        if (dropped)
            record_note("refused intents that have no line of their own", REFUSED_FLOOD, dropped);
    }
    if (denials.recorded >= DENIALS) {
        denials.dropped++;
        return false;
    }
    denials.recorded++;
    return true;
}

void operator_deny(struct operator *o, uint32_t exit_code, uint32_t line, const struct dom *d,
                   const char *fmt, ...)
{
    struct msg_DENIED m = {.exit_code = exit_code, .line = line};
    char text[sizeof(m.message)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    ipc_text(m.message, sizeof(m.message), text);
    if (exit_code != EXIT_USAGE && o->asker.intent.kind > KIND_LIST && may_record_denial())
        record_asker(RECORD_DENIED, &o->asker, d, line, text);
    ipc_send(&o->ch, MSG_DENIED, 0, &m, NULL, 0);
    operator_close(o);
}

void operator_end(struct operator *o, uint32_t cause, const char *message)
{
    static struct msg_DONE m;

    m = (struct msg_DONE){.exit_code = (uint32_t)ipc_cause_exit(cause), .rc = ipc_cause_rc(cause),
                          .worker_status = -1};
    ipc_text(m.message, sizeof(m.message), message);
    if (ipc_send(&o->ch, MSG_DONE, 0, &m, NULL, 0) == -EAGAIN && o->listing)
        return;                     /* list_more() comes here again when there is room */
    operator_close(o);
}

void operator_done(struct operator *o, const char *message)
{
    operator_end(o, CAUSE_NONE, message);
}

/* Who is at the other end, as the kernel noted at connect(); nothing that the peer says. */
static int credentials(int fd, struct asker *a)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
        return -errno;
    a->peer.uid = cred.uid;
    a->peer.gid = cred.gid;
    a->pid = cred.pid;
    len = sizeof(a->peer.gids);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, a->peer.gids, &len))
        return -errno;              /* ERANGE: more groups than a rule could be held against */
    a->peer.ngids = len / sizeof(gid_t);
    return 0;
}

static void accepted(int fd)
{
    struct operator *o = NULL, full = {.ch = {fd, WARDEN, OPERATOR, PH_OPEN, false, false}};
    struct asker a = {0};
    unsigned same = 0, strangers = 0;
    int rc = credentials(fd, &a);

    for (unsigned i = 0; i < OPERATORS_MAX; i++) {
        if (!operators[i].used)
            o = &operators[i];
        else if (operators[i].asker.peer.uid == a.peer.uid)
            same++;
        strangers += operators[i].used && operators[i].stranger;
    }
    full.asker = a;
    full.stranger = rc || !rules_any(w.rules, &a.peer, ~0u);
    if (rc || !o || same >= OPERATORS_PER_UID || (full.stranger && strangers >= STRANGERS_MAX)) {
        operator_deny(&full, EXIT_FAILED, 0, NULL, "%s",
                      rc ? "cannot tell who you are: at most 64 groups are supported"
                         : "too many connections wait for an answer; try again");
        return;
    }
    *o = full;
    o->used = true;
    /* Who receives an fd must close it, and closing a file of a FUSE daemon waits for that daemon:
     * so a FILE is received only from somebody whom some rule lets save. */
    o->ch.takes_fds = rules_any(w.rules, &a.peer, OP_SAVE | OP_CHECKPOINT);
    o->ch.drops_fds = true;
    o->until = now_ms() + INTENT_MS;
    operator_readable(o);           /* one who has spoken already does not count as waiting */
}

void operators_accept(void)
{
    for (unsigned i = 0; i < ACCEPTS; i++) {
        int fd = accept4(w.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
            return;
        accepted(fd);
    }
}

void operator_readable(struct operator *o)
{
    static struct ipc_frame f;
    int rc;

    if (o->listing) {               /* a list has nothing more to hear */
        operator_close(o);
        return;
    }
    rc = ipc_recv(&o->ch, &f);
    if (!rc)
        return;
    if (rc < 0 || ipc_decode(&f, &o->asker.intent)) {
        operator_close(o);
        return;
    }
    o->ch.phase = PH_RUN;           /* one connection is one command */
    intent_handle(o, ipc_take_fd(&f, 0), f.declared);
}

void operators_tick(void)
{
    int64_t now = now_ms();

    for (unsigned i = 0; i < OPERATORS_MAX; i++)
        if (operators[i].used && now > operators[i].until)
            operator_close(&operators[i]);
}
