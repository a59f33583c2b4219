/* SPDX-License-Identifier: LGPL-2.1-only */
/* The hostile parent's frame, and its lies in messages. */
#include "tests/hostile/parent.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "parent/parent.h"

struct ipc_chan to_warden = {.fd = -1, .self = PARENT, .peer = WARDEN, .phase = PH_ANY};
struct xs_handle *xenstore;

static const struct lie *chosen;
static bool told;
static unsigned swallow;    /* so many ENDED, answers to a lie, are kept from the honest code */

void say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("hostile: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* ---- the wraps */

int __real_ipc_send(const struct ipc_chan *ch, uint32_t type, uint32_t job, const void *msg,
                    const int *fds, unsigned nfds);
int __wrap_ipc_send(const struct ipc_chan *ch, uint32_t type, uint32_t job, const void *msg,
                    const int *fds, unsigned nfds);
int __real_ipc_recv(const struct ipc_chan *ch, struct ipc_frame *frame);
int __wrap_ipc_recv(const struct ipc_chan *ch, struct ipc_frame *frame);
struct xs_handle *__real_xs_open(unsigned long flags);
struct xs_handle *__wrap_xs_open(unsigned long flags);
int __real_parent_main(const struct parent_start *start);
int __wrap_parent_main(const struct parent_start *start);

int real_send(const struct ipc_chan *ch, uint32_t type, uint32_t job, const void *msg)
{
    return __real_ipc_send(ch, type, job, msg, NULL, 0);
}

struct xs_handle *__wrap_xs_open(unsigned long flags)
{
    xenstore = __real_xs_open(flags);
    return xenstore;
}

int __wrap_ipc_send(const struct ipc_chan *ch, uint32_t type, uint32_t job, const void *msg,
                    const int *fds, unsigned nfds)
{
    const struct moment m = {ch, job, msg};

    if (chosen && !told && ch->self == PARENT && type == chosen->at) {
        told = true;
        if (!chosen->tell(&m, chosen->arg))
            return 0;
    }
    return __real_ipc_send(ch, type, job, msg, fds, nfds);
}

int __wrap_ipc_recv(const struct ipc_chan *ch, struct ipc_frame *frame)
{
    int rc;

    do
        rc = __real_ipc_recv(ch, frame);
    while (rc == 1 && ch->self == PARENT && frame->type == MSG_ENDED && swallow && swallow--);
    return rc;
}

int __wrap_parent_main(const struct parent_start *start)
{
    static const struct lie *const tables[] = {lies_messages, lies_world};
    const char *name = getenv("MOAT_ATTACK");

    to_warden.fd = start->warden_fd;
    for (unsigned t = 0; t < 2; t++)
        for (const struct lie *l = tables[t]; name && l->name; l++)
            if (!strcmp(l->name, name))
                chosen = l;
    if (name && !chosen)
        say("BREACH: no attack %s", name);
    return __real_parent_main(start);
}

static void __attribute__((constructor)) list(void)
{
    if (!getenv("MOAT_ATTACKS"))
        return;
    for (const struct lie *l = lies_messages; l->name; l++)
        printf("%s\t%s\t%s\t%s\n", l->name, l->expect, l->options ? l->options : "", l->promise);
    for (const struct lie *l = lies_world; l->name; l++)
        printf("%s\t%s\t%s\t%s\n", l->name, l->expect, l->options ? l->options : "", l->promise);
    fflush(stdout);
    _exit(0);
}

int raw_send(int fd, uint32_t length, uint16_t type, uint16_t fds, uint32_t job,
             const void *payload, size_t len, const int *send_fds, unsigned nfds)
{
    static uint8_t buf[1 << 17];
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(16 * sizeof(int))];
    } control = {0};
    struct iovec iov = {buf, IPC_HEADER_SIZE + len};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *c;

    memcpy(buf, &length, 4);
    memcpy(buf + 4, &type, 2);
    memcpy(buf + 6, &fds, 2);
    memcpy(buf + 8, &job, 4);
    if (len)
        memcpy(buf + IPC_HEADER_SIZE, payload, len);
    if (nfds) {
        mh.msg_control = control.buf;
        mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(c), send_fds, nfds * sizeof(int));
    }
    else    /* its filter may have no sendmsg */
        return send(fd, buf, iov.iov_len, MSG_NOSIGNAL) < 0 ? errno : 0;
    return sendmsg(fd, &mh, MSG_NOSIGNAL) < 0 ? errno : 0;
}

/* ---- lies in messages to the warden */

static bool send_one(const struct moment *m, long type)
{
    real_send(&to_warden, (uint32_t)type, m->job, NULL);
    return true;
}

static bool send_abandon(const struct moment *m, long cause)
{
    const struct msg_ABANDON abandon = {.cause = (uint32_t)cause};

    swallow = 1;
    real_send(&to_warden, MSG_ABANDON, m->job, &abandon);
    return true;
}

/* Everything about jobs that there are not, or that are somebody else's. */
static bool other_jobs(const struct moment *m, long arg)
{
    const uint32_t jobs[] = {0, m->job - 1, m->job + 1, m->job + 64, 0x80000000, 0xffffffff};
    const struct msg_OUTCOME success = {.cause = CAUSE_NONE, .phase = JOB_SUSPENDED};
    const struct msg_ABORT abort = {.cause = CAUSE_CANCELLED};
    const struct msg_ABANDON abandon = {.cause = CAUSE_NONE};

    for (unsigned i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
        real_send(&to_warden, MSG_SUSPEND, jobs[i], NULL);
        real_send(&to_warden, MSG_STATE, jobs[i], NULL);
        real_send(&to_warden, MSG_ABORT, jobs[i], &abort);
        real_send(&to_warden, MSG_OUTCOME, jobs[i], &success);
        real_send(&to_warden, MSG_ABANDON, jobs[i], &abandon);
    }
    return true;
}

static bool success_now(const struct moment *m, long arg)
{
    const struct msg_OUTCOME success = {.cause = CAUSE_NONE, .phase = JOB_SUSPENDED};

    real_send(&to_warden, MSG_OUTCOME, m->job, &success);
    return true;
}

/* What the honest code would report as a failure becomes a success. */
static bool success_instead(const struct moment *m, long arg)
{
    const struct msg_OUTCOME success = {.cause = CAUSE_NONE, .phase = JOB_SUSPENDED};

    real_send(&to_warden, MSG_OUTCOME, m->job, &success);
    return false;
}

static bool outcome_with(const struct moment *m, long status)
{
    const struct msg_OUTCOME lie = {.cause = status < 0 ? 999 : CAUSE_NONE, .phase = 77,
                                    .worker_status = (int32_t)status, .errnum = -1};

    real_send(&to_warden, MSG_OUTCOME, m->job, &lie);
    return false;
}

static bool nothing(const struct moment *m, long arg)
{
    return false;
}

static bool flood(const struct moment *m, long type)
{
    for (unsigned i = 0; i < 200000; i++)
        if (real_send(&to_warden, (uint32_t)type, m->job, NULL) == -EPIPE)
            break;
    return true;
}

/* Frames that no honest parent sends. */
static bool malformed(const struct moment *m, long how)
{
    static const uint8_t zeroes[70000];

    switch (how) {
    case 0: send(to_warden.fd, "moat", 4, MSG_NOSIGNAL); break;
    case 1: raw_send(to_warden.fd, 99, MSG_STATE, 0, m->job, NULL, 0, NULL, 0); break;
    case 2: raw_send(to_warden.fd, 0, 0xffff, 0, m->job, NULL, 0, NULL, 0); break;
    case 3: raw_send(to_warden.fd, 64, MSG_SUSPEND, 0, m->job, zeroes, 64, NULL, 0); break;
    case 4: raw_send(to_warden.fd, sizeof(zeroes), MSG_OUTCOME, 0, m->job, zeroes, sizeof(zeroes),
                     NULL, 0); break;
    case 5: send(to_warden.fd, "", 0, MSG_NOSIGNAL); break;
    }
    return true;
}

/* Messages of others: an INTENT of its own, a hypercall, a worker, a domain to destroy. */
static bool somebody_elses(const struct moment *m, long type)
{
    static uint8_t payload[2048];
    uint32_t len = 0;

    if (type == MSG_INTENT) {
        struct msg_INTENT intent = {.version = IPC_VERSION, .kind = KIND_SAVE, .domain = "db1"};

        len = (uint32_t)ipc_encode(MSG_INTENT, &intent, payload, sizeof(payload));
    } else if (type == MSG_DESTROY) {
        struct msg_DESTROY destroy = {.domid = 2};

        len = (uint32_t)ipc_encode(MSG_DESTROY, &destroy, payload, sizeof(payload));
    } else if (type == MSG_SPAWN) {
        struct msg_SPAWN spawn = {.kind = WORKER_SAVE};

        len = (uint32_t)ipc_encode(MSG_SPAWN, &spawn, payload, sizeof(payload));
    }
    raw_send(to_warden.fd, len, (uint16_t)type, 0, m->job, payload, len, NULL, 0);
    return true;
}

/* The fd of another channel, where no fd belongs. */
static bool with_fds(const struct moment *m, long announced)
{
    const int fds[3] = {m->ch->fd, to_warden.fd, 2};

    raw_send(to_warden.fd, 0, MSG_STATE, (uint16_t)announced, m->job, NULL, 0, fds, 3);
    return true;
}

/* The operator is told that the image is complete when nothing of it is there. */
static bool saved_too_early(const struct moment *m, long arg)
{
    const struct msg_SAVED saved = {.bytes = 4096};

    real_send(m->ch, MSG_SAVED, m->job, &saved);
    return true;
}

/* COMMIT on the connection that it shares with the warden: it goes to the operator instead. */
static bool commit_to_operator(const struct moment *m, long arg)
{
    raw_send(m->ch->fd, 0, MSG_COMMIT, 0, m->job, NULL, 0, NULL, 0);
    return false;
}

/* Reads the operator's COMMIT before the warden can: nobody is told, and the guest is resumed. */
static bool steal_commit(const struct moment *m, long arg)
{
    static uint8_t buf[64];

    real_send(m->ch, MSG_SAVED, m->job, m->msg);
    for (unsigned i = 0; i < 2000000; i++)
        if (recv(m->ch->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
            break;
    return false;
}

static bool abandon_as_success(const struct moment *m, long arg)
{
    const struct msg_ABANDON abandon = {.cause = CAUSE_NONE};

    real_send(&to_warden, MSG_ABANDON, m->job, &abandon);
    return false;
}

/* ---- lies to the worker */

static bool start_with(const struct moment *m, long flags)
{
    const struct msg_START start = {.flags = (uint32_t)flags, .target_kb = UINT64_MAX};

    real_send(m->ch, MSG_START, m->job, &start);
    return false;
}

/* The worker is told that the guest is suspended when it runs. */
static bool not_suspended(const struct moment *m, long arg)
{
    const struct msg_SUSPENDED lie = {.rc = 0};

    real_send(m->ch, MSG_SUSPENDED, m->job, &lie);
    return true;
}

const struct lie lies_messages[] = {
    {"other-jobs", MSG_STARTED, other_jobs, 0, "done", NULL,
     "messages about jobs that are not its own do nothing"},
    {"other-jobs-suspended", MSG_STATE, other_jobs, 0, "done gone", "destroy",
     "also while a guest is being suspended"},
    {"commit-at-start", MSG_STARTED, somebody_elses, MSG_COMMIT, "interrupted", "destroy",
     "the parent cannot confirm before anything was saved"},
    {"commit-before-verdict", MSG_OUTCOME, somebody_elses, MSG_COMMIT, "interrupted", "destroy",
     "nor before the verdict"},
    {"commit-in-place", MSG_SAVED, somebody_elses, MSG_COMMIT, "interrupted", "destroy",
     "nor in the place of its operator"},
    {"commit-to-operator", MSG_SAVED, commit_to_operator, 0, "operator-gone", "destroy",
     "nor on the connection of its operator"},
    {"commit-stolen", MSG_SAVED, steal_commit, 0, "done gone|commit-deadline", "destroy",
     "a COMMIT that is stolen is none"},
    {"abandon-before-verdict", MSG_OUTCOME, send_abandon, CAUSE_CANCELLED, "done job-state", NULL,
     "ABANDON before the verdict does nothing"},
    {"suspend-at-start", MSG_STARTED, send_one, MSG_SUSPEND, "done job-state", NULL,
     "SUSPEND before the worker has begun is refused"},
    {"suspend-twice", MSG_SUSPEND, send_one, MSG_SUSPEND, "* job-state", NULL,
     "a second SUSPEND is refused"},
    {"success-at-start", MSG_STARTED, success_now, 0, "*", "destroy",
     "success while the worker lives is none"},
    {"success-before-suspend", MSG_SUSPEND, success_now, 0, "*", "destroy",
     "success before the suspend is none"},
    {"success-of-dead-worker", MSG_OUTCOME, success_instead, 0, "unseen", "destroy killed",
     "success of a worker that was killed is none"},
    {"failure-of-success", MSG_OUTCOME, outcome_with, 9, "worker-died", "destroy",
     "the failure of what succeeded fails that job only"},
    {"outcome-nonsense", MSG_OUTCOME, outcome_with, -1, "internal", "destroy",
     "numbers out of bounds fail that job only"},
    {"state-flood", MSG_STATE, flood, MSG_STATE, "*", NULL,
     "a flood of questions costs the parent its jobs at most"},
    {"refusal-flood", MSG_STATE, flood, MSG_SUSPEND, "interrupted", NULL,
     "a flood of refusals ends the parent"},
    {"frame-short", MSG_STATE, malformed, 0, "interrupted", NULL, "no header"},
    {"frame-length", MSG_STATE, malformed, 1, "interrupted", NULL, "a wrong length"},
    {"frame-unknown", MSG_STATE, malformed, 2, "interrupted", NULL, "an unknown type"},
    {"frame-trailing", MSG_STARTED, malformed, 3, "interrupted", NULL, "bytes behind the message"},
    {"frame-large", MSG_STATE, malformed, 4, "interrupted", NULL, "more than 64 KiB"},
    {"frame-empty", MSG_STATE, malformed, 5, "interrupted", NULL, "an empty packet"},
    {"forged-intent", MSG_STARTED, somebody_elses, MSG_INTENT, "interrupted", NULL,
     "the parent cannot submit an INTENT"},
    {"forged-call", MSG_STARTED, somebody_elses, MSG_CALL, "interrupted", NULL,
     "nor a hypercall"},
    {"forged-destroy", MSG_STARTED, somebody_elses, MSG_DESTROY, "interrupted", NULL,
     "nor the end of a domain"},
    {"forged-spawn", MSG_STARTED, somebody_elses, MSG_SPAWN, "interrupted", NULL, "nor a worker"},
    {"fds-announced", MSG_STATE, with_fds, 3, "interrupted", NULL,
     "fds where none belong end the parent"},
    {"fds-hidden", MSG_STATE, with_fds, 0, "interrupted", NULL,
     "nor can it hide them"},
    {"saved-too-early", MSG_STARTED, saved_too_early, 0, "*", "destroy",
     "an operator who is told of success too early does not lose the domain"},
    {"abandon-as-success", MSG_SAVED, abandon_as_success, 0, "internal", "destroy",
     "ABANDON is a failure whatever its cause says"},
    {"start-flags", MSG_START, start_with, 0, "worker-failed", "-p",
     "START that is not what was granted fails the job"},
    {"not-suspended", MSG_START, not_suspended, 0, "*", "destroy",
     "SUSPENDED before it was asked for fails the job"},
    /* The same of a save after which the domain is to stay suspended. */
    {"left-commit-at-start", MSG_STARTED, somebody_elses, MSG_COMMIT, "interrupted", "suspended",
     "the parent cannot leave a domain suspended before anything was saved"},
    {"left-commit-before-verdict", MSG_OUTCOME, somebody_elses, MSG_COMMIT, "interrupted",
     "suspended", "nor before the verdict"},
    {"left-commit-in-place", MSG_SAVED, somebody_elses, MSG_COMMIT, "interrupted", "suspended",
     "nor in the place of its operator"},
    {"left-commit-to-operator", MSG_SAVED, commit_to_operator, 0, "operator-gone", "suspended",
     "nor on the connection of its operator"},
    {"left-commit-stolen", MSG_SAVED, steal_commit, 0, "done left|commit-deadline", "suspended",
     "a stolen COMMIT leaves nothing suspended"},
    {"left-abandon-as-success", MSG_SAVED, abandon_as_success, 0, "internal", "suspended",
     "nor does an ABANDON that claims success"},
    {"left-success-before-suspend", MSG_SUSPEND, success_now, 0, "*", "suspended",
     "nor success before the suspend"},
    {"left-success-of-dead-worker", MSG_OUTCOME, success_instead, 0, "unseen", "suspended killed",
     "nor success of a worker that was killed"},
    {"left-saved-too-early", MSG_STARTED, saved_too_early, 0, "*", "suspended",
     "nor SAVED before the verdict"},
    {"left-other-jobs", MSG_STATE, other_jobs, 0, "done left", "suspended",
     "messages about jobs that are not its own change nothing of it"},
    {"outcome-lost", MSG_STARTED, nothing, 0, "done", NULL,
     "a parent that tells its operator nothing spoils nothing"},
    {0},
};
