/* SPDX-License-Identifier: LGPL-2.1-only */
/* Words for the values that messages carry. */
#include "ipc/ipc.h"
#include "moat/libxl_error.h"

/* The one table from what happened to what a caller is told: words, the command's exit code and
 * libxl's error code. */
static const struct {
    const char *words;
    int exit_code;
    int rc;
} causes[CAUSES] = {
    [CAUSE_NONE] = {"done", EXIT_DONE, 0},
    [CAUSE_DEADLINE] = {"the deadline of the operation passed", EXIT_TIMED_OUT, ERROR_TIMEDOUT},
    [CAUSE_GUEST_IGNORED] = {"the guest did not answer the suspend request in time",
                             EXIT_TIMED_OUT, ERROR_GUEST_TIMEDOUT},
    [CAUSE_GUEST_TIMEDOUT] = {"the guest acknowledged the suspend request but did not suspend in "
                              "time", EXIT_TIMED_OUT, ERROR_GUEST_TIMEDOUT},
    [CAUSE_GUEST_DIED] = {"the guest shut down, crashed or was destroyed meanwhile", EXIT_FAILED,
                          ERROR_DOMAIN_DESTROYED},
    [CAUSE_OPERATOR_GONE] = {"the operator ended it, or its connection was lost", EXIT_FAILED,
                             ERROR_ABORTED},
    [CAUSE_COMMIT_DEADLINE] = {"the image was not confirmed in time", EXIT_TIMED_OUT,
                               ERROR_TIMEDOUT},
    [CAUSE_CANCELLED] = {"cancelled by an operator", EXIT_FAILED, ERROR_ABORTED},
    [CAUSE_WORKER_FAILED] = {"the worker reported an error", EXIT_FAILED, ERROR_FAIL},
    [CAUSE_WORKER_DIED] = {"the worker died", EXIT_WORKER_DIED, ERROR_FAIL},
    [CAUSE_PROTOCOL] = {"the worker broke the protocol", EXIT_WORKER_DIED, ERROR_FAIL},
    [CAUSE_UNSEEN] = {"the worker claims success, but the warden did not see it do the work",
                      EXIT_WORKER_DIED, ERROR_FAIL},
    [CAUSE_XENSTORE] = {"xenstore did not answer", EXIT_FAILED, ERROR_FAIL},
    [CAUSE_INTERRUPTED] = {"moat was restarted meanwhile", EXIT_FAILED, ERROR_FAIL},
    [CAUSE_REFUSED] = {"refused", EXIT_DENIED, ERROR_FAIL},
    [CAUSE_INTERNAL] = {"moat lacks a resource", EXIT_FAILED, ERROR_FAIL},
};

const char *ipc_cause_words(uint32_t cause)
{
    return cause < CAUSES ? causes[cause].words : "unknown cause";
}

int ipc_cause_exit(uint32_t cause)
{
    return cause < CAUSES ? causes[cause].exit_code : EXIT_FAILED;
}

int ipc_cause_rc(uint32_t cause)
{
    return cause < CAUSES ? causes[cause].rc : ERROR_FAIL;
}

#define WORD(table, i) \
    ((i) < sizeof(table) / sizeof((table)[0]) && (table)[i] ? (table)[i] : "unknown")

const char *ipc_kind_word(uint32_t kind)
{
    static const char *const words[] = {
        [KIND_LIST] = "list", [KIND_SAVE] = "save", [KIND_JOBS] = "jobs", [KIND_CANCEL] = "cancel",
        [KIND_RESUME] = "resume", [KIND_WATCH] = "watch",
    };

    return WORD(words, kind);
}

const char *ipc_state_word(uint32_t state)
{
    static const char *const words[] = {
        [JOB_FREE] = "free", [JOB_STARTING] = "starting", [JOB_RUNNING] = "running",
        [JOB_SUSPENDING] = "suspending", [JOB_SUSPENDED] = "suspended", [JOB_SAVED] = "saved",
        [JOB_ENDING] = "ending",
    };

    return WORD(words, state);
}

const char *ipc_act_word(uint32_t act)
{
    static const char *const words[] = {
        [ACT_NONE] = "none", [ACT_SUSPEND] = "suspend", [ACT_RESUME] = "resume",
        [ACT_PAUSE] = "pause", [ACT_UNPAUSE] = "unpause", [ACT_DESTROY] = "destroy",
        [ACT_LOGDIRTY] = "log-dirty", [ACT_KILL] = "kill worker",
        [ACT_LEAVE] = "leave suspended",
    };

    return WORD(words, act);
}

const char *ipc_refusal_word(uint32_t refusal)
{
    static const char *const words[] = {
        [REFUSED_NONE] = "none", [REFUSED_NO_ROW] = "no row", [REFUSED_DOMID] = "wrong domid",
        [REFUSED_VERSION] = "wrong interface version", [REFUSED_SIZE] = "size",
        [REFUSED_VALUE] = "value", [REFUSED_FRAME] = "frame", [REFUSED_PID] = "wrong process",
        [REFUSED_FLOOD] = "flood", [REFUSED_XENSTORE] = "xenstore path",
        [REFUSED_STATE] = "job state",
    };

    return WORD(words, refusal);
}
