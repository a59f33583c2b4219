/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What an operator wants, and whether it may.  Everything is refused here, before anything is
 * touched: usage, domain, rule, guest, FILE, limits, in this order, so that the words of a refusal
 * tell nobody about a domain more than its rules allow.
 */
#include "policy/warden/warden.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define OWN_DOMID 0 /* hypercalls on others are the control domain's, and that is domain 0 */
#define FIRST_RESERVED 0x7ff0u

/* Words for what is wrong with an INTENT by itself, or NULL. */
static const char *usage(const struct msg_INTENT *in, bool has_file)
{
    const uint32_t save = INTENT_CHECKPOINT | INTENT_PAUSE | INTENT_PRESERVE_DOMID | INTENT_LIVE |
                          INTENT_STREAM | INTENT_SUSPENDED;
    const uint32_t stays = INTENT_CHECKPOINT | INTENT_PAUSE;
    const bool of_domain = in->kind == KIND_SAVE || in->kind == KIND_RESUME ||
                           in->kind == KIND_WATCH;
    const uint32_t allowed = in->kind == KIND_SAVE ? save : in->kind == KIND_LIST ? INTENT_LONG : 0;

    if (in->kind < KIND_LIST || in->kind > KIND_WATCH)
        return "unknown kind of command";
    if (in->flags & ~allowed)
        return "this command does not take these options";
    if ((in->flags & stays) == stays)
        return "-c and -p exclude each other";
    if (in->flags & INTENT_SUSPENDED && in->flags & (stays | INTENT_PRESERVE_DOMID))
        return "a domain that is to stay suspended is saved without -c, -p and -D";
    if (in->flags & INTENT_STREAM && !(in->flags & (stays | INTENT_SUSPENDED)))
        return "saving into a pipe needs -c or -p: a pipe cannot be confirmed before the domain "
               "goes";
    if (has_file != (in->kind == KIND_SAVE))
        return has_file ? "this command takes no FILE" : "save needs a FILE";
    if (!!in->domain[0] != of_domain && in->kind != KIND_LIST)
        return in->domain[0] ? "this command takes no domain" : "this command needs a domain";
    if (!!in->target != (in->kind == KIND_CANCEL))
        return in->target ? "this command takes no job" : "cancel needs a job";
    if (in->deadline && in->kind != KIND_SAVE)
        return "this command takes no deadline";
    return NULL;
}

/*
 * Words for what is wrong with FILE, or NULL.  Without COMMIT nothing is destroyed, but COMMIT
 * comes after an image "written" to a pseudo file as well: so what keeps nothing is refused.
 */
static const char *file_bad(int fd, uint32_t flags)
{
    static const uint32_t keep_nothing[] = {
        PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC,
        TRACEFS_MAGIC, BPF_FS_MAGIC, XENFS_SUPER_MAGIC, SECURITYFS_MAGIC, SELINUX_MAGIC,
        SMACK_MAGIC, EFIVARFS_MAGIC, PSTOREFS_MAGIC, BINFMTFS_MAGIC, NSFS_MAGIC, SOCKFS_MAGIC,
        ANON_INODE_FS_MAGIC, PIPEFS_MAGIC, DEVPTS_SUPER_MAGIC, HUGETLBFS_MAGIC,
        RDTGROUP_SUPER_MAGIC, AAFS_MAGIC, USBDEVICE_SUPER_MAGIC, 0x62656570 /* configfs */,
        0x19800202 /* mqueue */, 0x65735543 /* fusectl */, 0x67596969 /* rpc_pipefs */,
    };
    const bool stream = flags & INTENT_STREAM;
    int fl = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    struct statfs fs;
    struct statx st;

    if (fl < 0 || fl & O_PATH || ((fl & O_ACCMODE) != O_WRONLY && (fl & O_ACCMODE) != O_RDWR))
        return "FILE is not open for writing";
    if (fl & O_APPEND)
        return "FILE is open for appending";
    /* What is cached will do: a network or FUSE file system is not asked. */
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st))
        return "FILE cannot be examined";
    if (stream)
        return S_ISFIFO(st.stx_mode) ? NULL : "FILE is not a pipe";
    if (!S_ISREG(st.stx_mode))
        return "FILE is not a regular file; save into a pipe with -c or -p and '-'";
    if (fstatfs(fd, &fs))
        return "the file system of FILE cannot be examined";
    for (unsigned i = 0; i < sizeof(keep_nothing) / sizeof(keep_nothing[0]); i++)
        if ((uint32_t)fs.f_type == keep_nothing[i])
            return "FILE is on a file system that keeps nothing";
    return NULL;
}

/* Decimal text is a domid, as for xl.  False: it is a name. */
static bool number(const char *text, uint32_t *n)
{
    *n = 0;
    for (unsigned i = 0; text[i]; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *n = *n >= FIRST_RESERVED ? FIRST_RESERVED : *n * 10 + (uint32_t)(text[i] - '0');
    }
    return true;
}

static int describe(uint32_t domid, struct msg_DESCRIBED *d)
{
    struct msg_DESCRIBE q = {.domid = domid};
    int rc = ask(&w.gate, MSG_DESCRIBE, 0, &q, MSG_DESCRIBED, d, NULL);

    return rc ? rc : d->errnum == ENOENT ? 0 : -d->errnum;
}

/* The one living domain of this name; refuses (and returns false) for none and for several. */
static bool by_name(struct operator *o, struct dom_info *info)
{
    const char *name = o->asker.intent.domain;
    struct msg_RESOLVE q = {0};
    struct msg_RESOLVED a = {0};
    struct dom_info one;
    uint32_t domids[8], first[2] = {0}, alive = 0;

    ipc_text(q.name, sizeof(q.name), name);
    if (ask(&w.gate, MSG_RESOLVE, 0, &q, MSG_RESOLVED, &a, NULL) || a.errnum) {
        operator_deny(o, EXIT_FAILED, 0, NULL, "xenstore did not answer (%s)",
                      strerrorname_np(a.errnum) ?: "?");
        return false;
    }
    memcpy(domids, a.domids, sizeof(domids));
    for (unsigned i = 0; i < a.count && i < 8; i++)
        if (!dom_info(domids[i], &one)) {
            if (alive < 2)
                first[alive] = domids[i];
            if (!alive++)
                *info = one;
        }
    if (alive == 1 && a.count <= 8)
        return true;
    if (!alive)
        operator_deny(o, EXIT_FAILED, 0, NULL, "no domain '%s'; moat list shows them", name);
    else
        operator_deny(o, EXIT_FAILED, 0, NULL,
                      "'%s' is the name of more than one domain (%u, %u%s):"
                      " say the domid",
                      name, first[0], first[1], alive > 2 ? ", ..." : "");
    return false;
}

bool intent_resolve(struct operator *o, struct dom_info *info, char name[64], uint32_t *facts)
{
    const char *asked = o->asker.intent.domain;
    struct msg_DESCRIBED d = {0};
    uint32_t domid;
    int rc;

    if (number(asked, &domid)) {
        rc = dom_info(domid, info);
        if (rc) {
            operator_deny(o, EXIT_FAILED, 0, NULL,
                          rc == -ESRCH ? "no domain %s; moat list shows them"
                                       : "the hypervisor did not tell about domain %s",
                          asked);
            return false;
        }
    } else if (!by_name(o, info)) {
        return false;
    }
    rc = describe(info->id.domid, &d);
    if (rc) {
        operator_deny(o, EXIT_FAILED, 0, NULL, "xenstore did not answer (%s)",
                      strerrorname_np(-rc) ?: "?");
        return false;
    }
    memcpy(name, d.name, 64);
    *facts = d.facts;
    return true;
}

/* Words for a guest that cannot be saved, or NULL. */
static const char *guest_bad(const struct dom_info *info, uint32_t facts)
{
    int vnuma;

    if (info->dying)
        return "it is being destroyed";
    if (info->shutdown)
        return "it is shut down already and cannot answer a suspend request";
    if (info->guest_type == GUEST_HVM || facts & XSFACT_DEVICE_MODEL)
        return "it has a device model, whose state moat cannot save yet; use xl save";
    if (facts & XSFACT_PCI)
        return "it has a PCI device; detach it first";
    if (facts & XSFACT_9PFS)
        return "it has a 9pfs device, whose frontend cannot resume; detach it first";
    vnuma = dom_has_vnuma(info->id.domid);
    if (vnuma)
        return vnuma < 0 ? "the hypervisor did not tell about its vNUMA"
                         : "it has virtual NUMA nodes";
    return NULL;
}

/* Words for a domain that cannot be resumed, or NULL.  A guest that is resumed without having asked
 * to be suspended finds eax of its vcpu 0 changed. */
static const char *resume_bad(const struct dom_info *info, uint32_t facts)
{
    if (info->dying)
        return "it is being destroyed";
    if (info->guest_type == GUEST_HVM || facts & XSFACT_DEVICE_MODEL)
        return "it has a device model, which moat cannot resume yet";
    if (!info->shutdown)
        return info->paused ? "it is paused, not suspended; xl unpause lets it go on"
                            : "it is not suspended";
    return dom_suspended(info) ? NULL : "it is shut down, but not suspended";
}

/* Words for a domain that nobody saves or resumes, whatever the rules say, or NULL. */
static const char *never(const struct dom_info *info)
{
    if (info->id.domid == 0 || info->id.domid == OWN_DOMID || info->id.domid >= FIRST_RESERVED)
        return "it is the control domain";
    return info->xenstore ? "it is the xenstore domain" : NULL;
}

static uint32_t jobs_of(uid_t uid)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < JOBS_MAX; i++)
        n += w.jobs[i].state && w.jobs[i].by_parent && w.jobs[i].asker.peer.uid == uid;
    return n;
}

static uint32_t save_op(const struct msg_INTENT *in)
{
    return in->flags & (INTENT_CHECKPOINT | INTENT_PAUSE) ? OP_CHECKPOINT : OP_SAVE;
}

/* In their own words: the name that belongs to a domid is not theirs to learn. */
static void no_rule(struct operator *o, uint32_t op, uint32_t line, const struct dom_info *info)
{
    operator_deny(o, EXIT_DENIED, line, &info->id, "%s of '%s': %s", rules_op_word(op),
                  o->asker.intent.domain, line ? "denied by the rule" : "no rule allows it");
}

/* Rule, guest, FILE, limits.  True: not refused.  False: answered. */
static bool save_may(struct operator *o, const struct dom_info *info, const char *name,
                     uint32_t facts, int file, uint32_t *line)
{
    const struct rules_limits *l = &w.rules->limits;
    const uint32_t op = save_op(&o->asker.intent);
    struct rules_verdict v = rules_match(w.rules, &o->asker.peer, op, name);
    const struct job *other = job_by_domid(info->id.domid);
    const char *bad;

    *line = v.line;
    if (!v.allow) {
        no_rule(o, op, v.line, info);
        return false;
    }
    bad = never(info);
    bad = bad ? bad : guest_bad(info, facts);
    if (bad) {
        operator_deny(o, EXIT_FAILED, 0, &info->id, "domain %u (%s) cannot be saved: %s",
                      info->id.domid, name, bad);
        return false;
    }
    bad = file_bad(file, o->asker.intent.flags);
    if (bad) {
        operator_deny(o, EXIT_FAILED, 0, &info->id, "%s", bad);
        return false;
    }
    if (other)
        operator_deny(o, EXIT_FAILED, 0, &info->id, "domain %u (%s) is being saved by job %u",
                      info->id.domid, name, other->number);
    else if (jobs_of(o->asker.peer.uid) >= l->jobs_per_operator)
        operator_deny(o, EXIT_FAILED, 0, &info->id,
                      "you have %u jobs already, and jobs-per-operator "
                      "is %u",
                      jobs_of(o->asker.peer.uid), l->jobs_per_operator);
    else if (o->asker.intent.deadline > l->save_deadline)
        operator_deny(o, EXIT_FAILED, 0, &info->id, "a deadline of %u s is more than save-deadline "
                      "allows (%u s)", o->asker.intent.deadline, l->save_deadline);
    else
        return true;
    return false;
}

/*
 * Pins before it decides: from the pin on the domid cannot become another domain's, so what
 * getdomaininfo and xenstore say after it is about the domain that the job will touch.  False:
 * answered, nothing is pinned.
 */
static bool hold(struct operator *o, struct hv_pin *pin, struct dom_info *info, char name[64],
                 uint32_t *facts)
{
    struct msg_DESCRIBED d = {0};
    uint32_t ignored;
    uint64_t frame;
    int rc;

    if (!intent_resolve(o, info, name, facts))
        return false;
    if (never(info) || info->dying || info->guest_type == GUEST_HVM)
        return true;                /* refused below, in words of its own */
    rc = dom_frame(info, &frame);
    /* safe if the caller lies, because one page is mapped read-only and nobody is told of it */
    rc = rc ? rc : hv_pin(pin, (uint16_t)info->id.domid, frame);
    rc = rc ? rc : dom_info(info->id.domid, info);
    rc = rc ? rc : describe(info->id.domid, &d);
    if (!rc && !number(o->asker.intent.domain, &ignored) &&
        strcmp(d.name, o->asker.intent.domain))
        rc = -ESRCH;
    if (rc) {
        operator_deny(o, EXIT_FAILED, 0, &info->id,
                      "domain %s cannot be held on to (%s): is it being created or destroyed?",
                      o->asker.intent.domain, strerrorname_np(-rc) ?: "?");
        hv_unpin(pin);
        return false;
    }
    memcpy(name, d.name, 64);
    *facts = d.facts;
    return true;
}

/* Nobody whom no rule names learns whether a domain exists, or has xenstore searched for it. */
static bool is_stranger(struct operator *o, uint32_t ops, uint32_t op)
{
    if (rules_any(w.rules, &o->asker.peer, ops))
        return false;
    operator_deny(o, EXIT_DENIED, 0, NULL, "%s of '%s': no rule allows it", rules_op_word(op),
                  o->asker.intent.domain);
    return true;
}

static void save(struct operator *o, int file)
{
    struct hv_pin pin = {0};
    struct dom_info info;
    char name[64];
    uint32_t facts, line, deadline;

    if (is_stranger(o, OP_SAVE | OP_CHECKPOINT, save_op(&o->asker.intent)) ||
        !hold(o, &pin, &info, name, &facts))
        return;
    deadline = o->asker.intent.deadline ? o->asker.intent.deadline : w.rules->limits.save_deadline;
    if (save_may(o, &info, name, facts, file, &line))
        job_begin(o, &info, &pin, name, line, deadline, file);
    hv_unpin(&pin);         /* of a refusal: job_begin() has taken it otherwise */
}

static void resume(struct operator *o)
{
    struct hv_pin pin = {0};
    struct rules_verdict v;
    struct dom_info info;
    const struct job *other;
    const char *bad;
    char name[64];
    uint32_t facts;

    if (is_stranger(o, OP_RESUME, OP_RESUME) || !hold(o, &pin, &info, name, &facts))
        return;
    v = rules_match(w.rules, &o->asker.peer, OP_RESUME, name);
    if (!v.allow) {
        no_rule(o, OP_RESUME, v.line, &info);
        goto out;
    }
    bad = never(&info);
    bad = bad ? bad : resume_bad(&info, facts);
    other = job_by_domid(info.id.domid);
    if (bad)
        operator_deny(o, EXIT_FAILED, 0, &info.id, "domain %u (%s) cannot be resumed: %s",
                      info.id.domid, name, bad);
    else if (other)
        operator_deny(o, EXIT_FAILED, 0, &info.id, "domain %u (%s) is being saved by job %u",
                      info.id.domid, name, other->number);
    else
        job_resume(o, &info, &pin, name, v.line);
out:
    hv_unpin(&pin);
}

static void cancel(struct operator *o)
{
    struct job *j = job_by_number(o->asker.intent.target);

    /* The same words for a job that is not there and one that is not theirs: neither is told. */
    if (!j || !j->by_parent || !job_may(j, &o->asker.peer, OP_CANCEL)) {
        operator_deny(o, EXIT_DENIED, 0, NULL,
                      "no job %u that you may cancel; moat jobs shows them",
                      o->asker.intent.target);
        return;
    }
    if (j->state == JOB_ENDING) {
        operator_deny(o, EXIT_FAILED, 0, &j->dom,
                      "job %u was confirmed: its domain is being destroyed", j->number);
        return;
    }
    if (record_asker(RECORD_NOTE, &o->asker, &j->dom, 0, "cancel")) {
        operator_deny(o, EXIT_FAILED, 0, NULL,
                      "the audit log cannot be written, so nothing is done");
        return;
    }
    job_cancel(j, CAUSE_CANCELLED);
    operator_done(o, "cancelled");
}

void intent_handle(struct operator *o, int file, bool has_file)
{
    const struct msg_INTENT *in = &o->asker.intent;
    const char *bad = usage(in, has_file);

    if (in->version != IPC_VERSION)
        operator_deny(o, EXIT_USAGE, 0, NULL, "this moat speaks version %u, the daemon version %u: "
                      "install one release of both", in->version, IPC_VERSION);
    else if (bad)
        operator_deny(o, EXIT_USAGE, 0, NULL, "%s", bad);
    else if (in->kind == KIND_SAVE)
        save(o, file);
    else if (in->kind == KIND_RESUME)
        resume(o);
    else if (in->kind == KIND_CANCEL)
        cancel(o);
    else if (in->kind == KIND_JOBS)
        list_jobs(o);
    else if (in->kind == KIND_WATCH)
        watch_begin(o);
    else if (in->domain[0])
        list_one(o);
    else
        list_more(o);
    if (file >= 0)
        close(file);
}
