/* SPDX-License-Identifier: LGPL-2.1-only */
/* The recorder's loop.  One record at a time: the warden waits for each answer before it acts. */
#include "policy/audit/recorder.h"

#include "policy/audit/chain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void complain(const char *what, int rc, const char *why)
{
    fprintf(stderr, "moat-audit: %s: %s%s%s\n", what, strerror(-rc), why[0] ? ": " : "", why);
}

/* To the journal, where whoever replaces log and state together has to change it, too. */
static void witness(const struct audit_log *log, uint32_t job)
{
    char hex[AUDIT_HEX_SIZE];

    audit_hex(log->state.hash, hex);
    fprintf(stderr, "moat-audit: job %u ended, line %llu hash %s\n", job,
            (unsigned long long)log->state.sequence, hex);
}

/*
 * Appends what the warden says.  Safe if the warden lies, because the line says what the warden
 * said, in fixed-size fields that are escaped on the way, and a line can only be added.
 */
static int serve_one(struct audit_log *log, const struct ipc_chan *ch, const struct msg_RECORD *r,
                     uint32_t job)
{
    struct msg_RECORDED answer = { 0 };
    int rc = audit_append(log, r, &answer.sequence);

    if (rc) {
        answer.errnum = -rc;
        complain("a record could not be written, the operation is refused", rc,
                 rc == -ENOSPC ? "make room in the log's file system" : "");
    } else if (r->what == RECORD_END) {
        witness(log, r->job);
    }
    rc = ipc_send(ch, MSG_RECORDED, job, &answer, NULL, 0);
    if (rc)
        complain("cannot answer the warden", rc, "");
    else if (log->broken)
        rc = -EIO;
    return rc;
}

int recorder_run(struct audit_log *log, int warden_fd)
{
    static struct ipc_frame frame;
    static struct msg_RECORD r;
    struct ipc_chan ch = { .fd = warden_fd, .self = RECORDER, .peer = WARDEN, .phase = PH_ANY };
    int rc;

    for (;;) {
        rc = ipc_expect(&ch, &frame, MSG_RECORD, &r, -1);
        if (rc == -ECONNRESET)
            return 0;
        if (rc) {
            complain("the warden's channel", rc, rc == -EPROTO ? frame.why : "");
            return 1;
        }
        rc = serve_one(log, &ch, &r, frame.job);
        if (rc == -EPIPE)
            return 0;
        if (rc)
            return 1;
    }
}
