/* SPDX-License-Identifier: LGPL-2.1-only */
/* Runs the save worker's work in a child and plays its warden and its parent. */
#ifndef MOAT_TEST_WORKER_RUN_H
#define MOAT_TEST_WORKER_RUN_H

#include "tests/unit/workers/fake_xen.h"

enum mischief {             /* what the warden or the parent does wrong */
    FINE,
    WARDEN_SHORT_DATA,      /* answers with a byte too little */
    WARDEN_BAD_ERRNO,       /* an error without an errno */
    WARDEN_GOES,            /* closes its channel at the first call */
    WARDEN_OTHER_JOB,       /* answers another job */
    PARENT_GOES,            /* closes its channel instead of an answer to SUSPEND_GUEST */
    PARENT_STARTS_AGAIN,    /* sends START instead of SUSPENDED */
};

struct worker_run {
    /* set before */
    uint32_t flags;         /* INTENT_* */
    int file;               /* FILE, closed by worker_run(); -1 = a new memfd */
    uint32_t offset;        /* of FILE when it is handed over, if it is the memfd */
    int suspend_rc;         /* the parent's answer to SUSPEND_GUEST */
    uint64_t fsize;         /* RLIMIT_FSIZE of the worker, 0 = none */
    enum mischief mischief;
    /* what came of it */
    struct call_ctx ctx;
    bool completed;
    bool finished;
    struct msg_COMPLETE complete;
    int status;             /* wait status */
    unsigned suspends, progresses, logs, refusals;
    uint32_t stages;        /* bits 1 << enum save_stage */
    uint32_t last_done, last_total;
    unsigned befores;
    uint8_t *image;         /* malloc()ed if FILE was the memfd */
    size_t image_len;
};

void worker_run(struct worker_run *r);

#endif
