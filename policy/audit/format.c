/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A record as JSON members.  The recorder has no heap: a bounded writer that remembers when it ran
 * full, and says so once at the end.  Output is printable ASCII whatever the record holds.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include "policy/audit/audit.h"

struct out {
    char *buf;
    size_t size;
    size_t len;
    bool full;
    bool first;     /* no comma before the next member */
};

__attribute__((format(printf, 2, 3)))
static void put(struct out *o, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (o->full)
        return;
    va_start(ap, fmt);
    n = vsnprintf(o->buf + o->len, o->size - o->len, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= o->size - o->len)
        o->full = true;
    else
        o->len += (size_t)n;
}

/* max: size of the field; a field without NUL ends there. */
static void put_string(struct out *o, const char *s, size_t max)
{
    put(o, "\"");
    for (size_t i = 0; i < max && s[i]; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c < ' ' || c > '~' || c == '"' || c == '\\')
            put(o, "\\u%04x", c);
        else
            put(o, "%c", c);
    }
    put(o, "\"");
}

static void name(struct out *o, const char *key)
{
    put(o, "%s", o->first ? "" : ",");
    put_string(o, key, 64);
    put(o, ":");
    o->first = false;
}

static void open_object(struct out *o, const char *key)
{
    name(o, key);
    put(o, "{");
    o->first = true;
}

static void close_object(struct out *o)
{
    put(o, "}");
    o->first = false;
}

static void member_u32(struct out *o, const char *key, uint32_t value)
{
    name(o, key);
    put(o, "%u", value);
}

static void member_i32(struct out *o, const char *key, int32_t value)
{
    name(o, key);
    put(o, "%d", value);
}

static void member_string(struct out *o, const char *key, const char *s, size_t max)
{
    name(o, key);
    put_string(o, s, max);
}

/* Field of a record, left out when it is empty. */
static void member_text(struct out *o, const char *key, const char *s, size_t max)
{
    if (s[0])
        member_string(o, key, s, max);
}

/* ---- words */

struct bit_word {
    uint32_t bit;
    const char *word;
};

static const struct bit_word intent_flags[] = {
    { INTENT_CHECKPOINT, "checkpoint" },
    { INTENT_PAUSE, "pause" },
    { INTENT_PRESERVE_DOMID, "preserve-domid" },
    { INTENT_LIVE, "live" },
    { INTENT_SUSPENDED, "suspended" },
    { INTENT_LONG, "long" },
    { INTENT_STREAM, "stream" },
};

static const struct bit_word saw_bits[] = {
    { SAW_SUSPEND, "suspend" },
    { SAW_LOGDIRTY_ON, "log-dirty-on" },
    { SAW_LOGDIRTY_OFF, "log-dirty-off" },
    { SAW_CONTEXT, "context" },
    { SAW_DEATH, "death" },
    { SAW_FINISHED, "finished" },
};

/* Short words for programs; ipc_cause_words() has the clauses for people. */
static const char *const cause_words[CAUSES] = {
    [CAUSE_NONE] = "done",
    [CAUSE_DEADLINE] = "deadline",
    [CAUSE_GUEST_IGNORED] = "guest-ignored",
    [CAUSE_GUEST_TIMEDOUT] = "guest-timed-out",
    [CAUSE_GUEST_DIED] = "guest-died",
    [CAUSE_OPERATOR_GONE] = "operator-gone",
    [CAUSE_COMMIT_DEADLINE] = "commit-deadline",
    [CAUSE_CANCELLED] = "cancelled",
    [CAUSE_WORKER_FAILED] = "worker-failed",
    [CAUSE_WORKER_DIED] = "worker-died",
    [CAUSE_PROTOCOL] = "protocol",
    [CAUSE_UNSEEN] = "unseen",
    [CAUSE_XENSTORE] = "xenstore",
    [CAUSE_INTERRUPTED] = "interrupted",
    [CAUSE_REFUSED] = "refused",
    [CAUSE_INTERNAL] = "internal",
};

/* Row names by enum hv_row, which begins with HV_NO_ROW: `executed` is indexed by it. */
static const char *const row_names[64] = {
    "NO_ROW",
#define HVROW(ID, ...) #ID,
#include "policy/warden/hypercalls.def"
#undef HVROW
};

/* The bits' words as an array; what has no word as one hexadecimal string. */
static void member_bits(struct out *o, const char *key, uint32_t bits, const struct bit_word *words,
                        size_t n)
{
    const char *comma = "";

    name(o, key);
    put(o, "[");
    for (size_t i = 0; i < n; i++) {
        if (!(bits & words[i].bit))
            continue;
        put(o, "%s\"%s\"", comma, words[i].word);
        comma = ",";
        bits &= ~words[i].bit;
    }
    if (bits)
        put(o, "%s\"0x%x\"", comma, bits);
    put(o, "]");
}

/* A word of the project's, or the number where it has none. */
static void member_word(struct out *o, const char *key, uint32_t value, const char *word)
{
    if (word && strcmp(word, "unknown") != 0)
        member_string(o, key, word, 64);
    else
        member_u32(o, key, value);
}

static uint32_t get_u32(const uint8_t *raw, size_t i)
{
    const uint8_t *p = raw + 4 * i;

    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* {"word":count, ...} of 64 counters; zeros are left out. */
static void member_counts(struct out *o, const char *key, const uint8_t raw[256],
                          const char *(*word)(uint32_t i))
{
    open_object(o, key);
    for (uint32_t i = 0; i < 64; i++) {
        uint32_t n = get_u32(raw, i);
        const char *w = word(i);
        char number[16];

        if (!n)
            continue;
        snprintf(number, sizeof(number), "%u", i);
        member_u32(o, w && strcmp(w, "unknown") != 0 ? w : number, n);
    }
    close_object(o);
}

static bool any(const uint8_t raw[256])
{
    for (size_t i = 0; i < 64; i++)
        if (get_u32(raw, i))
            return true;
    return false;
}

static const char *row_word(uint32_t i)
{
    return i < 64 ? row_names[i] : NULL;
}

/* ---- the kinds of record */

static void put_domain(struct out *o, const struct msg_RECORD *r)
{
    const uint8_t *h = r->handle;

    if (r->domid == UINT32_MAX)
        return;
    member_u32(o, "domid", r->domid);
    name(o, "handle");
    put(o, "\"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\"", h[0], h[1],
        h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11], h[12], h[13], h[14], h[15]);
    member_text(o, "name", r->name, sizeof(r->name));
}

static void put_peer(struct out *o, const struct msg_RECORD *r)
{
    uint32_t ngids = r->ngids < 16 ? r->ngids : 16;

    member_u32(o, "uid", r->uid);
    member_u32(o, "gid", r->gid);
    name(o, "gids");
    put(o, "[");
    for (uint32_t i = 0; i < ngids; i++)
        put(o, "%s%u", i ? "," : "", get_u32(r->gids, i));
    put(o, "]");
    if (r->ngids > 16)
        member_u32(o, "ngids", r->ngids);
    name(o, "loginuid");
    if (r->loginuid == UINT32_MAX)
        put(o, "null");
    else
        put(o, "%u", r->loginuid);
    member_u32(o, "pid", r->pid);
}

static void put_intent(struct out *o, const struct msg_RECORD *r)
{
    open_object(o, "intent");
    member_word(o, "kind", r->kind, ipc_kind_word(r->kind));
    member_bits(o, "flags", r->flags, intent_flags,
                sizeof(intent_flags) / sizeof(intent_flags[0]));
    member_u32(o, "deadline", r->deadline);
    member_u32(o, "target", r->target);
    member_string(o, "asked", r->asked, sizeof(r->asked));
    close_object(o);
}

static void put_worker(struct out *o, int32_t status)
{
    name(o, "worker");
    if (status == -1) {
        put(o, "null");
        return;
    }
    put(o, "{");
    o->first = true;
    if (WIFEXITED(status))
        member_i32(o, "exit", WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        member_i32(o, "signal", WTERMSIG(status));
    else
        member_i32(o, "status", status);
    close_object(o);
}

static void put_end(struct out *o, const struct msg_RECORD *r)
{
    member_u32(o, "job", r->job);
    put_domain(o, r);
    member_word(o, "cause", r->cause, r->cause < CAUSES ? cause_words[r->cause] : NULL);
    member_u32(o, "exit_code", r->exit_code);
    member_i32(o, "rc", r->rc);
    member_i32(o, "errno", r->errnum);
    put_worker(o, r->worker_status);
    member_bits(o, "saw", r->saw, saw_bits, sizeof(saw_bits) / sizeof(saw_bits[0]));
    member_text(o, "message", r->message, sizeof(r->message));
    member_counts(o, "executed", r->executed, row_word);
    member_counts(o, "refused", r->refused, ipc_refusal_word);
}

static void put_decision(struct out *o, const struct msg_RECORD *r)
{
    put_peer(o, r);
    put_intent(o, r);
    put_domain(o, r);
    member_u32(o, "rule", r->line);
    if (r->job)
        member_u32(o, "job", r->job);
    member_text(o, "message", r->message, sizeof(r->message));
}

static void put_act(struct out *o, const struct msg_RECORD *r)
{
    member_u32(o, "job", r->job);
    member_word(o, "act", r->act, ipc_act_word(r->act));
    put_domain(o, r);
    member_text(o, "message", r->message, sizeof(r->message));
}

int audit_format(const struct msg_RECORD *r, char *buf, size_t size)
{
    struct out o = { .buf = buf, .size = size, .first = true, .full = size == 0 };

    switch (r->what) {
    case RECORD_BEGIN:
        member_string(&o, "what", "begin", 16);
        put_decision(&o, r);
        break;
    case RECORD_DENIED:
        member_string(&o, "what", "denied", 16);
        put_decision(&o, r);
        break;
    case RECORD_ACT:
        member_string(&o, "what", "act", 16);
        put_act(&o, r);
        break;
    case RECORD_END:
        member_string(&o, "what", "end", 16);
        put_end(&o, r);
        break;
    case RECORD_NOTE:
        member_string(&o, "what", "note", 16);
        /* An operator's, a cancel: whose, and of what. */
        if (r->uid != UINT32_MAX) {
            put_peer(&o, r);
            put_intent(&o, r);
            put_domain(&o, r);
        }
        member_string(&o, "message", r->message, sizeof(r->message));
        if (any(r->refused))
            member_counts(&o, "refused", r->refused, ipc_refusal_word);
        break;
    default:
        return -EINVAL;
    }
    return o.full ? -EINVAL : (int)o.len;
}
