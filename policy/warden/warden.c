/* SPDX-License-Identifier: LGPL-2.1-only */
/* Start-up, the loop, and the end: one for all. */
#include "policy/warden/warden.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "policy/launch/fds.h"
#include "policy/sandbox/sandbox.h"

#define TABLE_MS 30000
#define SEND_MS 2000
#define TICK_MS 1000
#define GATE_NOTES 100              /* refusals of the gate that get a line of their own */

struct warden w = {
    .supervisor = {FD_WARDEN_SUPERVISOR, WARDEN, SUPERVISOR, PH_ANY, true, false},
    .recorder = {FD_WARDEN_RECORDER, WARDEN, RECORDER, PH_ANY, false, false},
    .gate = {FD_WARDEN_GATE, WARDEN, GATE, PH_ANY, false, false},
    .parent = {FD_WARDEN_PARENT, WARDEN, PARENT, PH_ANY, false, false},
    .forker = {FD_WARDEN_FORKER, WARDEN, FORKER, PH_ANY, true, false},
    .listener = FD_WARDEN_LISTEN,
};

int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

noreturn void warden_die(const char *why)
{
    if (why)
        fprintf(stderr, "moat-warden: %s\n", why);
    if (!w.dying) {
        w.dying = true;
        for (unsigned i = 0; i < JOBS_MAX; i++)
            if (w.jobs[i].state && w.jobs[i].undo)
                undo_now(w.jobs[i].undo);   /* the next warden records the end */
    }
    exit(why ? 1 : 0);
}

static const char *peer_name(uint32_t peer)
{
    switch (peer) {
    case SUPERVISOR: return "supervisor";
    case RECORDER: return "recorder";
    case GATE: return "gate";
    case PARENT: return "parent";
    default: return "forker";
    }
}

/* A resident process is as good as dead.  Comes back only when we are dying ourselves. */
static int dead(struct ipc_chan *ch, const char *how, int rc)
{
    char why[128];

    ch->phase = 0;                  /* not asked again */
    if (w.dying)
        return rc ? rc : -EPIPE;
    snprintf(why, sizeof(why), "the %s %s (%s): undoing and starting again", peer_name(ch->peer),
             how, strerrorname_np(-rc) ?: "?");
    warden_die(why);
}

static int wait_for(const struct ipc_chan *ch, short events, int64_t end)
{
    struct pollfd p = {.fd = ch->fd, .events = events};

    for (;;) {
        int64_t left = end - now_ms();
        struct timespec ts = {left / 1000, left % 1000 * 1000000};
        int r = left > 0 ? ppoll(&p, 1, &ts, NULL) : 0;

        if (r > 0)
            return 0;
        if (!r)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

void tell(struct ipc_chan *ch, uint32_t type, uint32_t job, const void *msg, const int *fds,
          unsigned nfds)
{
    int64_t end = now_ms() + SEND_MS;
    int rc = -EPIPE;

    while (ch->phase) {
        rc = ipc_send(ch, type, job, msg, fds, nfds);
        if (!rc)
            return;
        if (rc != -EAGAIN || (rc = wait_for(ch, POLLOUT, end)))
            break;
    }
    dead(ch, "does not take messages", rc);
}

/* ---- the rules */

/* safe if the sender lies, because a table that is not sealed, not of this size or out of bounds is
 * not taken: nobody can change it after the check. */
static int take_table(int fd)
{
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    int have = fcntl(fd, F_GET_SEALS);
    struct stat st;
    void *p;

    if (have < 0 || (have & seals) != seals || fstat(fd, &st) ||
        st.st_size != sizeof(struct rules_table))
        return -EINVAL;
    p = mmap(NULL, sizeof(struct rules_table), PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    if (!rules_table_ok(p)) {
        munmap(p, sizeof(struct rules_table));
        return -EINVAL;
    }
    if (w.rules)
        munmap((void *)(uintptr_t)w.rules, sizeof(struct rules_table));
    w.rules = p;
    return 0;
}

/* ---- messages that come unasked; they only note what came, so that they may come at any time */

static void gate_refused(uint32_t job, const struct msg_XS_REFUSED *m)
{
    static unsigned notes;
    struct job *j = job_by_number(job);
    char text[160];

    if (j)
        j->call.refused[REFUSED_XENSTORE] += m->count;
    if (notes++ >= GATE_NOTES)
        return;
    snprintf(text, sizeof(text), "the gate refused the parent: %s", m->path);
    record_note(text, REFUSED_XENSTORE, m->count);
}

static bool unasked(const struct ipc_chan *ch, struct ipc_frame *f)
{
    union {
        struct msg_XS_REFUSED refused;
        struct msg_XS_DESTROYED xs;
        struct msg_DESTROYED domain;
    } m;
    int fd, rc;

    if (f->type != MSG_XS_REFUSED && f->type != MSG_XS_DESTROYED && f->type != MSG_DESTROYED &&
        f->type != MSG_TABLE && f->type != MSG_XS_RELEASED)
        return false;
    if (f->type == MSG_TABLE) {
        fd = ipc_take_fd(f, 0);
        rc = take_table(fd);
        close_fd(&fd);
        if (!rc)
            watches_ruled();
        else
            fprintf(stderr,
                    "moat-warden: a table of rules was refused: not sealed or out of bounds\n");
        record_note(rc ? "a table of rules was refused" : "a table of rules was taken",
                    rc ? REFUSED_VALUE : REFUSED_NONE, rc ? 1 : 0);
        return true;
    }
    if (ipc_decode(f, &m))
        return false;
    if (f->type == MSG_XS_RELEASED) {
        w.released = true;
        watches_changed();
    } else if (f->type == MSG_XS_REFUSED)
        gate_refused(f->job, &m.refused);
    else if (f->type == MSG_XS_DESTROYED)
        job_xs_destroyed(f->job, &m.xs);
    else
        job_destroyed(f->job, &m.domain);
    return true;
}

/* ---- questions */

int await(struct ipc_chan *ch, uint32_t answer_type, void *answer, int *fd)
{
    static struct ipc_frame f;
    int64_t end = now_ms() + (w.dying ? ANSWER_MS / 10 : ANSWER_MS);
    int rc = -EPIPE;

    while (ch->phase) {
        rc = wait_for(ch, POLLIN, end);
        if (rc)
            break;
        rc = ipc_recv(ch, &f);
        if (!rc || (rc > 0 && f.type != answer_type && unasked(ch, &f)))
            continue;
        if (rc < 0)
            break;
        rc = f.type == answer_type ? ipc_decode(&f, answer) : -EPROTO;
        if (!rc && fd)
            *fd = ipc_take_fd(&f, 0);
        ipc_close_fds(&f);
        if (!rc)
            return 0;
        break;
    }
    return dead(ch, "does not answer", rc);
}

int ask(struct ipc_chan *ch, uint32_t type, uint32_t job, const void *msg, uint32_t answer_type,
        void *answer, int *fd)
{
    tell(ch, type, job, msg, NULL, 0);
    return await(ch, answer_type, answer, fd);
}

/* ---- the loop */

static void resident_readable(struct ipc_chan *ch)
{
    static struct ipc_frame f;
    int rc = ipc_recv(ch, &f);

    if (!rc)
        return;
    if (rc == -ECONNRESET) {
        fprintf(stderr, "moat-warden: the %s is gone: undoing\n", peer_name(ch->peer));
        warden_die(NULL);
    }
    if (rc < 0)
        dead(ch, f.why, rc);
    if (ch == &w.parent)
        parent_message(&f);
    else if (!unasked(ch, &f))
        dead(ch, "says what nobody asked", -EPROTO);
}

#define RESIDENTS 5
static struct ipc_chan *const residents[RESIDENTS] = {
    &w.supervisor, &w.recorder, &w.gate, &w.forker, &w.parent,
};
/* Fixed places: residents, listener, operators; of each job its worker, pidfd and operator; the
 * watches.  fd -1 is skipped. */
static struct pollfd polled[RESIDENTS + 1 + OPERATORS_MAX + 3 * JOBS_MAX + WATCHES_MAX];

/* Returns how long to wait at most, in ms. */
static int64_t prepare(void)
{
    struct pollfd *p = polled;
    bool timed = false;
    int64_t wait;

    for (unsigned i = 0; i < RESIDENTS; i++)
        *p++ = (struct pollfd){.fd = residents[i]->fd, .events = POLLIN};
    *p++ = (struct pollfd){.fd = w.listener, .events = POLLIN};
    for (unsigned i = 0; i < OPERATORS_MAX; i++) {
        const struct operator *o = &operators[i];

        *p++ = (struct pollfd){.fd = o->used ? o->ch.fd : -1,
                               .events = o->listing ? POLLIN | POLLOUT : POLLIN};
        timed |= o->used;
    }
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        const struct job *j = &w.jobs[i];

        *p++ = (struct pollfd){.fd = j->state ? j->worker.fd : -1, .events = POLLIN};
        *p++ = (struct pollfd){.fd = j->state ? j->pidfd : -1, .events = POLLIN};
        *p++ = (struct pollfd){.fd = j->state == JOB_SAVED ? j->op.fd : -1, .events = POLLIN};
        timed |= j->state != JOB_FREE;
    }
    for (unsigned i = 0; i < WATCHES_MAX; i++)
        *p++ = (struct pollfd){.fd = watches[i].used ? watches[i].ch.fd : -1,
                               .events = watches[i].blocked ? POLLIN | POLLOUT : POLLIN};
    for (unsigned i = 0; i < UNDO_SLOTS && !timed; i++)
        timed = undo_at(i)->job;
    wait = watches_wait();
    return wait < 0 ? 0 : timed && wait > TICK_MS ? TICK_MS : wait;
}

/* One frame of each who has one: nobody can keep the others waiting. */
static void serve(void)
{
    const struct pollfd *p = polled;

    for (unsigned i = 0; i < RESIDENTS; i++, p++)
        if (p->revents)
            resident_readable(residents[i]);
    if (p++->revents)
        operators_accept();
    for (unsigned i = 0; i < OPERATORS_MAX; i++, p++) {
        if (!p->revents || !operators[i].used || operators[i].ch.fd != p->fd)
            continue;
        if (p->revents & ~POLLOUT)
            operator_readable(&operators[i]);
        else
            list_more(&operators[i]);
    }
    for (unsigned i = 0; i < JOBS_MAX; i++, p += 3) {
        struct job *j = &w.jobs[i];

        if (p[0].revents && j->state && j->worker.fd == p[0].fd)
            job_worker_readable(j);
        if (p[1].revents && j->state && j->pidfd == p[1].fd)
            job_worker_dead(j);
        if (p[2].revents && j->state == JOB_SAVED && j->op.fd == p[2].fd)
            job_operator_readable(j);
    }
    for (unsigned i = 0; i < WATCHES_MAX; i++, p++)
        if (p->revents && watches[i].used && watches[i].ch.fd == p->fd)
            watch_ready(&watches[i], p->revents);
    for (unsigned i = 0; i < JOBS_MAX; i++)
        if (w.jobs[i].state)
            job_step(&w.jobs[i]);
}

static noreturn void loop(void)
{
    int64_t last = 0;

    for (;;) {
        const int64_t wait = prepare();
        const struct timespec ts = {wait / 1000, wait % 1000 * 1000000};

        if (ppoll(polled, sizeof(polled) / sizeof(polled[0]), wait < INT64_MAX ? &ts : NULL,
                  NULL) >= 0)
            serve();
        else if (errno != EINTR)
            warden_die("ppoll failed");
        watches_run();
        if (w.released) {               /* a guest that suspends late need not wait for the tick */
            w.released = false;
            undo_tick();
        }
        if (now_ms() - last >= TICK_MS) {
            last = now_ms();
            w.refused -= w.refused > 0;     /* what crosses on the way must not add up over years */
            operators_tick();
            jobs_tick();
            undo_tick();
        }
    }
}

/* ---- start-up: everything that needs memory or a file happens here */

static int arenas(void)
{
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        int fd = memfd_create("moat-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        void *p;

        if (fd < 0)
            return -errno;
        /* The worker can neither shrink it under us nor seal it against us. */
        if (ftruncate(fd, HV_BULK_MAX) ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
            return -errno;
        p = mmap(NULL, HV_BULK_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            return -errno;
        w.arenas[i].fd = fd;
        w.arenas[i].p = p;
    }
    return 0;
}

/* The first table of rules. */
static int first_table(void)
{
    int64_t end = now_ms() + TABLE_MS;
    static struct ipc_frame f;
    int rc;

    while (!w.rules) {
        rc = wait_for(&w.supervisor, POLLIN, end);
        rc = rc ? rc : ipc_recv(&w.supervisor, &f);
        if (rc < 0 || (rc > 0 && !unasked(&w.supervisor, &f)))
            return rc < 0 ? rc : -EPROTO;
    }
    return 0;
}

static int start(char why[128])
{
    int rc;

    rc = hv_open(why);
    if (rc)
        return rc;
    rc = hv_check_version(why);
    if (rc)
        return rc;
    snprintf(why, 128, "arenas");
    rc = arenas();
    if (rc)
        return rc;
    snprintf(why, 128, "the undo file");
    rc = undo_open(FD_WARDEN_UNDO);
    if (rc)
        return rc;
    snprintf(why, 128, "no table of rules came from the supervisor");
    rc = first_table();
    if (rc)
        return rc;
    return sandbox_lock(SANDBOX_WARDEN, FD_STATUS, getuid(), 0, why);
}

int warden_main(void)
{
    char why[128] = "";
    unsigned dropped;
    int rc;

    for (unsigned i = 0; i < JOBS_MAX; i++)
        w.jobs[i].worker.fd = w.jobs[i].op.fd = w.jobs[i].pidfd = -1;
    for (unsigned i = 0; i < OPERATORS_MAX; i++)
        operators[i].ch.fd = -1;
    for (unsigned i = 0; i < WATCHES_MAX; i++)
        watches[i].ch.fd = -1;
    rc = start(why);
    if (rc) {
        fprintf(stderr, "moat-warden: %s (%s)\n", why, strerrorname_np(-rc) ?: "?");
        return 1;
    }
    dropped = undo_check(&w.last_job);
    if (dropped)
        record_note("slots of the undo file were out of bounds and dropped", REFUSED_VALUE,
                    dropped);
    undo_leftovers();
    tell(&w.supervisor, MSG_READY, 0, NULL, NULL, 0);
    loop();
}
