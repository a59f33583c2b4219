/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Inside the warden: one thread, one ppoll loop, static structs, no heap.  Questions to resident
 * processes are synchronous with a bound; one that does not answer counts as dead, and one for all:
 * everything is undone and the warden exits.
 */
#ifndef MOAT_WARDEN_H
#define MOAT_WARDEN_H

#include <poll.h>
#include <stdnoreturn.h>

#include "ipc/ipc.h"
#include "policy/rules/rules.h"
#include "policy/warden/call.h"
#include "policy/warden/dom.h"
#include "policy/warden/hv.h"
#include "policy/warden/undo.h"

#define JOBS_MAX 64
#define OPERATORS_MAX 64            /* connections that no job has taken over */
#define OPERATORS_PER_UID 8
#define WATCHES_MAX 256
#define STRANGERS_MAX 32            /* connections of all together whom no rule allows anything */
#define INTENT_MS 2000              /* a connection has this long to say what it wants */
#define LIST_MS 10000               /* and this long to read a list */
#define ANSWER_MS 10000             /* a resident process has this long to answer */
#define GRACE_MS 10000              /* from CANCEL to the warden doing it itself */
#define REFUSALS_MAX 1000           /* of one job's calls, or of the parent's messages */

/* Who asks, and what: enough to record it. */
struct asker {
    struct rules_peer peer;
    pid_t pid;
    struct msg_INTENT intent;
};

enum destroy_step {
    STEP_XENSTORE = 0,              /* XS_DESTROY was sent */
    STEP_XENSTORE_GONE,
    STEP_DOMAIN,                    /* DESTROY was sent */
    STEP_GONE,
};

struct job {
    uint32_t state;                 /* enum job_state */
    uint32_t number;
    struct asker asker;
    struct dom dom;
    char name[64];
    uint32_t line;                  /* of the rule that allowed it */
    uint32_t deadline;              /* seconds */
    struct undo_slot *undo;
    struct hv_pin pin;
    struct call_ctx call;           /* the executor's part: SAW_* bits, counters, arena */
    struct ipc_chan worker;         /* fd -1 once nothing more is read from it */
    struct ipc_chan op; /* the operator, shared with the parent; heard in JOB_SAVED only */
    pid_t pid;
    int pidfd;                      /* -1 once the death was seen */
    bool dead;                      /* the warden saw the worker's death */
    bool by_parent;                 /* the parent knows the job; not so for a continued destroy */
    bool failed;                    /* for good; `cause` says why; worker killed, undone */
    uint32_t cause;                 /* enum job_cause */
    uint32_t cancelled;             /* enum job_cause of a CANCEL, 0 = none */
    bool has_outcome;
    struct msg_OUTCOME outcome;
    uint32_t step;                  /* of JOB_ENDING */
    int errnum;                     /* of the destroy */
    char message[192];
    /* CLOCK_MONOTONIC ms */
    int64_t begun, died, outcome_at, cancelled_at, backstop;
};

extern struct warden {
    struct ipc_chan supervisor, recorder, gate, parent, forker;
    int listener;
    const struct rules_table *rules;
    struct job jobs[JOBS_MAX];
    struct {
        int fd;
        uint8_t *p;
    } arenas[JOBS_MAX];             /* one per slot of jobs[], HV_BULK_MAX bytes, sealed */
    uint32_t last_job;
    uint32_t refused; /* messages of the parent, in a state where they are not legal; decays */
    bool released;                  /* the gate says that some domain was shut down or is gone */
    bool dying;
} w;

/* warden.c */
int warden_main(void);
int64_t now_ms(void);
/* Undoes what it can and exits 1 (0 for an orderly end: why == NULL). */
noreturn void warden_die(const char *why);
/* Question and answer, in ANSWER_MS; fd: the answer's, may be NULL.  Come back without an answer
 * (-errno) only while the warden is dying already. */
int ask(struct ipc_chan *ch, uint32_t type, uint32_t job, const void *msg, uint32_t answer_type,
        void *answer, int *fd);
int await(struct ipc_chan *ch, uint32_t answer_type, void *answer, int *fd);
/* A message without an answer; a resident that does not take it within 2 s counts as dead. */
void tell(struct ipc_chan *ch, uint32_t type, uint32_t job, const void *msg, const int *fds,
          unsigned nfds);

/* record.c: 0 = durable, -errno = not. */
int record_begin(const struct job *j);
int record_end(const struct job *j, uint32_t cause, int errnum);
int record_act(const struct undo_slot *s, uint32_t act);
int record_interrupted(const struct undo_slot *s, const char *message);
int record_asker(uint32_t what, const struct asker *a, const struct dom *d, uint32_t line,
                 const char *message);
int record_note(const char *message, uint32_t refusal, uint32_t count);

/* operators.c */
struct operator {
    bool used, listing, stranger;
    struct ipc_chan ch;
    struct asker asker;
    int64_t until;
    uint32_t next;                  /* next domid of a list */
};
extern struct operator operators[OPERATORS_MAX];
void operators_accept(void);
void operator_readable(struct operator *o);
void operators_tick(void);
void operator_close(struct operator *o);
/* Answers DENIED, records the decision where it is one, closes.  line: of moat.conf, 0 = none. */
void operator_deny(struct operator *o, uint32_t exit_code, uint32_t line, const struct dom *d,
                   const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void operator_done(struct operator *o, const char *message);
void operator_end(struct operator *o, uint32_t cause, const char *message);   /* DONE, closes */

/* intent.c, list.c: the connection is answered, or handed to a job, or stays as a list. */
/* file: FILE, which is closed here; -1 with has_file: it was not received, since no rule lets them.
 */
void intent_handle(struct operator *o, int file, bool has_file);
bool intent_resolve(struct operator *o, struct dom_info *info, char name[64], uint32_t *facts);
void list_more(struct operator *o);
void list_one(struct operator *o);
void list_jobs(struct operator *o);

/* watch.c: the connection is answered, or stays as a watch. */
struct watch {
    bool used;
    bool gone;                      /* the domain, for good */
    bool blocked;                   /* the watcher does not read: there is something to be told */
    struct ipc_chan ch;
    struct rules_peer peer;
    char name[64];                  /* by which a rule allowed it */
    struct dom dom;                 /* handle zero: there was no such domain */
    uint32_t state, reason;         /* as last told, 0 = not yet */
};
extern struct watch watches[WATCHES_MAX];
void watch_begin(struct operator *o);
void watch_ready(struct watch *o, short revents);   /* poll()'s */
void watches_changed(void);         /* some domain was shut down, resumed or is gone */
void watches_ruled(void);           /* there is a new table of rules */
void watches_run(void);             /* each turn of the loop */
int64_t watches_wait(void);         /* ms until watches_run() has something to do */

/* jobs.c */
void close_fd(int *fd);
struct job *job_by_number(uint32_t number);
struct job *job_by_domid(uint32_t domid);
bool job_may(const struct job *j, const struct rules_peer *peer, uint32_t op);
struct job *job_new(const struct dom *d);
void job_free(struct job *j);
int job_xs_grant(struct job *j, uint32_t stage);
/* Takes the pin when it begins; file stays the caller's.  The operator is answered or handed over.
 */
void job_begin(struct operator *o, const struct dom_info *info, struct hv_pin *pin,
               const char *name, uint32_t line, uint32_t deadline, int file);
/* As job_begin(), but it is over when this comes back: no worker, no parent. */
void job_resume(struct operator *o, const struct dom_info *info, struct hv_pin *pin,
                const char *name, uint32_t line);
void job_worker_readable(struct job *j);
void job_worker_dead(struct job *j);

/* ending.c */
void job_cancel(struct job *j, uint32_t cause);
void job_fail(struct job *j, uint32_t cause);
void job_finish(struct job *j, uint32_t cause, int errnum);
void job_destroy(struct job *j);
bool job_adopt_destroy(struct undo_slot *s);    /* of an earlier warden; false: no room */
void job_xs_destroyed(uint32_t number, const struct msg_XS_DESTROYED *m);
void job_destroyed(uint32_t number, const struct msg_DESTROYED *m);
void job_operator_readable(struct job *j);      /* COMMIT, or the operator is gone */
void job_step(struct job *j);
void jobs_tick(void);

/* parent.c: what the parent says, each message checked against the job's state. */
void parent_message(struct ipc_frame *f);

/* undoing.c */
/* Undoes what the slot says; what remains (a guest that may suspend late) stays in its bits. */
void undo_now(struct undo_slot *s);
void undo_end(struct undo_slot *s);             /* the job is over and recorded */
void undo_inherit(struct undo_slot *to);        /* a new job takes over what is left */
/* After undo_now() of a slot of KIND_RESUME: an enum job_cause, and words for the domain's name. */
uint32_t undo_resumed(struct undo_slot *s);
const char *undo_resumed_words(uint32_t cause);
void undo_tick(void);
void undo_leftovers(void);

#endif
