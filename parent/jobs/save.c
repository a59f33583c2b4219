/* SPDX-License-Identifier: LGPL-2.1-only */
/* A save worker's messages, and what the operator hears of them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "parent/jobs/job.h"

#define NOTES_MAX 256       /* log lines of one job that reach the operator */

/* memory/target in KiB, as xl puts it into the image's configuration.  Only dom0 can write it. */
static int read_target(struct job *j, uint64_t *kb)
{
    char path[64], *value, *end;
    unsigned len = 0;

    snprintf(path, sizeof(path), "/local/domain/%u/memory/target", j->info.domid);
    value = xs_read(j->p->xsh, XBT_NULL, path, &len);
    if (!value)
        return -errno;
    errno = 0;
    *kb = strtoull(value, &end, 10);
    if (errno || end == value || *end) {
        free(value);
        return -EINVAL;
    }
    free(value);
    return 0;
}

static void start(libxl__egc *egc, struct job *j, const struct msg_HELLO *m)
{
    struct msg_START s = {.flags = j->info.flags};
    char words[96];
    int rc;

    if (m->version != IPC_VERSION) {
        snprintf(words, sizeof(words), "it speaks protocol %u, not %u: install all of moat anew",
                 m->version, IPC_VERSION);
        job_fail(egc, j, CAUSE_PROTOCOL, words);
        return;
    }
    rc = read_target(j, &s.target_kb);
    if (rc) {
        snprintf(words, sizeof(words), "memory/target of domain %u: %s", j->info.domid,
                 strerror(-rc));
        job_fail(egc, j, CAUSE_XENSTORE, words);
        return;
    }
    j->state = JOB_RUNNING;
    j->worker.phase = PH_RUN;
    job_tell_worker(egc, j, MSG_START, &s);
}

static void progress(libxl__egc *egc, struct job *j, const struct msg_WORKER_PROGRESS *m)
{
    struct msg_PROGRESS p = {.stage = m->stage, .iteration = m->iteration, .done = m->done,
                             .total = m->total};

    job_tell_operator(egc, j, MSG_PROGRESS, &p, true);
}

/* Whatever the library says is text from a process that reads guest memory: escaped and few. */
static void note(libxl__egc *egc, struct job *j, const struct msg_WORKER_LOG *m)
{
    struct msg_NOTE n = {.level = m->level > LIBXL__LOG_CRITICAL ? LIBXL__LOG_CRITICAL : m->level};

    if (j->notes++ >= NOTES_MAX)
        return;
    ipc_text(n.text, sizeof(n.text), m->text);
    job_tell_operator(egc, j, MSG_NOTE, &n, true);
}

static void complete(libxl__egc *egc, struct job *j, const struct msg_COMPLETE *m)
{
    j->complete = *m;
    j->completed = true;
    j->worker.phase = PH_CLOSED;
    job_farewell(egc, j);       /* its death tells the rest */
}

void save_message(libxl__egc *egc, struct job *j, struct ipc_frame *f)
{
    union {
        struct msg_HELLO hello;
        struct msg_WORKER_PROGRESS progress;
        struct msg_WORKER_LOG log;
        struct msg_COMPLETE complete;
    } m;

    if (ipc_decode(f, &m)) {
        job_fail(egc, j, CAUSE_PROTOCOL, f->why);
        return;
    }
    switch (f->type) {
    case MSG_HELLO: start(egc, j, &m.hello); break;
    case MSG_SUSPEND_GUEST: suspend_begin(egc, j); break;
    case MSG_WORKER_PROGRESS: progress(egc, j, &m.progress); break;
    case MSG_WORKER_LOG: note(egc, j, &m.log); break;
    case MSG_COMPLETE: complete(egc, j, &m.complete); break;
    }
}
