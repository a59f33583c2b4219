/* SPDX-License-Identifier: LGPL-2.1-only */
/* What the supervisor's loop and its handlers of requests share. */
#ifndef MOAT_LAUNCH_SUPERVISOR_H
#define MOAT_LAUNCH_SUPERVISOR_H

#include "ipc/ipc.h"
#include "policy/launch/launch.h"

#define GRACE 5                 /* seconds from the first death to SIGKILL for the rest */
#define HELPERS 64

/* Short-lived children: destroying a domain, reading the rules. */
struct helper {
    pid_t pid;                  /* 0 = free */
    uint32_t domid, job;
    int table, daemon;          /* of a reader; -1 = a destroyer */
    bool stale;                 /* of a reader: a later one has been started */
    bool orphan;                /* the warden that asked has gone: nobody waits for the answer */
};

enum supervisor_state {
    RUNNING,
    ENDING,                     /* until all have gone, at last by SIGKILL */
    WAITING,                    /* before the next start */
};

struct supervisor {
    struct launch *l;
    struct launch_set set;
    struct helper helpers[HELPERS];
    enum supervisor_state state;
    bool stopping, ready;
    int64_t started, until;     /* seconds; until: ENDING: SIGKILL; WAITING: the next start */
    unsigned backoff;
    int signals;
};

/* supervisor.c: closes the warden's channel; after `grace` seconds the rest is killed. */
void supervisor_end(struct supervisor *s, unsigned grace);

/* requests.c */
void supervisor_from_warden(struct supervisor *s);
void supervisor_reload(struct supervisor *s);
void supervisor_reap_helpers(struct supervisor *s);

#endif
