/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The image in the order of `xl save`: file header, JSON, libxl header, libxc's stream, END.  Of a
 * domain that stays suspended it is what libxl_domain_suspend() writes: from the libxl header on.
 * libxenguest runs unmodified and writes FILE itself.
 */
#include "workers/save/save.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenguest.h>

#include "workers/common.h"
#include "workers/save/config.h"
#include "workers/save/stream.h"
#include "workers/xen/xen.h"

#define PROGRESS_NS 100000000ll /* at most ten messages a second */

struct save {
    xc_interface *xch;
    struct save_result *result;
    bool refused;               /* the parent could not suspend the guest */
    off_t begin;                /* FILE's offset when it was handed over */
};
static bool suspended;

/* ---- progress */

static void tell_stage(uint32_t stage, uint32_t iteration, uint64_t done, uint64_t total)
{
    struct msg_WORKER_PROGRESS msg = { .stage = stage, .iteration = iteration, .done = done,
                                       .total = total };

    worker_tell(MSG_WORKER_PROGRESS, &msg);
}

/* "Frames" and "Frames iteration N" come with numbers.  The state follows the last frames. */
static void on_progress(const char *what, unsigned long done, unsigned long total)
{
    const unsigned long memory = worker.start.target_kb / 4;
    static int64_t last;
    static unsigned iteration;
    unsigned long most = total;
    struct timespec ts;
    int64_t now;
    unsigned n;

    if (strncmp(what, "Frames", 6))
        return;
    n = !strncmp(what, "Frames iteration ", 17) ? strtoul(what + 17, NULL, 10) : 0;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    now = ts.tv_sec * 1000000000ll + ts.tv_nsec;
    if (last && now - last < PROGRESS_NS && done < total && n == iteration)
        return;
    last = now;
    iteration = n;
    /* The first round counts all frame numbers up to the last, a PVH guest's below 4 GiB: told is
     * the memory that the guest has. */
    if (!n && memory && memory < total)
        most = memory;
    tell_stage(STAGE_MEMORY, n, done < most ? done : most, most);
    if (suspended && total && done >= total)
        tell_stage(STAGE_STATE, 0, 0, 0);
}

/* ---- what xc_domain_save() calls back */

/* libxenguest takes 0 for failure here. */
static int on_suspend(void *data)
{
    struct save *s = data;
    struct msg_SUSPENDED answer;

    worker_tell(MSG_SUSPEND_GUEST, NULL);
    worker_await(&worker.parent, MSG_SUSPENDED, &answer);
    s->refused = answer.rc != 0;
    suspended = !s->refused;
    return suspended;
}

/* PV and PVH guests have no device model that would log dirty pages as well. */
static int on_qemu_logdirty(uint32_t domid, unsigned enable, void *data)
{
    return 0;
}

/* ---- the parts of the image */

static int fail(struct save *s, int rc, const char *what)
{
    struct save_result *r = s->result;

    r->retval = -1;
    r->errnum = -rc;
    snprintf(r->message, sizeof(r->message), "%s: %s", what, strerror(-rc));
    return rc;
}

/* A domain may live in a cpu pool with another scheduler than the host's first: ask for each. */
static int sched_params(struct save *s, struct config_values *v)
{
    static const char *const names[] = {
        [XEN_SCHEDULER_CREDIT] = "credit", [XEN_SCHEDULER_CREDIT2] = "credit2",
        [XEN_SCHEDULER_ARINC653] = "arinc653", [XEN_SCHEDULER_RTDS] = "rtds",
        [XEN_SCHEDULER_NULL] = "null",
    };
    struct xen_domctl_sched_credit credit;
    struct xen_domctl_sched_credit2 credit2;
    struct xen_domctl_sched_rtds rtds;
    uint32_t domid = worker.grant.domid;
    int id;

    if (!xc_sched_credit2_domain_get(s->xch, domid, &credit2)) {
        v->sched = names[XEN_SCHEDULER_CREDIT2];
        v->weight = credit2.weight;
        v->cap = credit2.cap;
    } else if (!xc_sched_credit_domain_get(s->xch, domid, &credit)) {
        v->sched = names[XEN_SCHEDULER_CREDIT];
        v->weight = credit.weight;
        v->cap = credit.cap;
    } else if (!xc_sched_rtds_domain_get(s->xch, domid, &rtds)) {
        v->sched = names[XEN_SCHEDULER_RTDS];
        v->period = rtds.period;
        v->budget = rtds.budget;
    } else {
        if (xc_sched_id(s->xch, &id))
            return fail(s, -errno, "cannot read the domain's scheduler parameters");
        if (id > 0 && id < (int)(sizeof(names) / sizeof(names[0])))
            v->sched = names[id];       /* one without parameters */
    }
    return 0;
}

static int write_config(struct save *s)
{
    struct config_values v = {
        .target_kb = worker.start.target_kb,
        .keep_domid = worker.grant.flags & INTENT_PRESERVE_DOMID,
        .domid = worker.grant.domid,
        .weight = -1, .cap = -1, .period = -1, .budget = -1,
    };
    uint8_t header[STREAM_FILE_HEADER];
    char *text = NULL, *json = NULL, why[128] = "";
    uint32_t json_len;
    size_t len;
    int rc;

    rc = sched_params(s, &v);
    if (rc)
        goto out;
    rc = config_read(worker.config, &text, &len, why);
    if (!rc)
        rc = config_make(text, len, &v, &json, &json_len, why);
    if (rc) {
        s->result->retval = -1;
        s->result->errnum = -rc;
        snprintf(s->result->message, sizeof(s->result->message), "%s", why);
        goto out;
    }
    stream_file_header(header, json_len);
    rc = stream_write(worker.file, header, sizeof(header));
    if (!rc)
        rc = stream_write(worker.file, json, json_len);
    if (rc)
        fail(s, rc, "writing the configuration");
out:
    free(text);
    free(json);
    return rc;
}

static int write_domain(struct save *s)
{
    struct save_callbacks cb = {
        .suspend = on_suspend, .switch_qemu_logdirty = on_qemu_logdirty, .data = s,
    };
    uint32_t flags = worker.grant.flags & INTENT_LIVE ? XCFLAGS_LIVE : 0;
    uint8_t header[STREAM_LIBXL_HEADER];
    int rc;

    stream_libxl_header(header);
    rc = stream_write(worker.file, header, sizeof(header));
    if (rc)
        return fail(s, rc, "writing the header");
    errno = 0;
    if (!xc_domain_save(s->xch, worker.file, worker.grant.domid, flags, &cb, XC_STREAM_PLAIN, -1))
        return 0;
    rc = errno ? -errno : -EIO;     /* libxenguest keeps the errno of what failed first */
    if (worker_first_errno(HV_LOGDIRTY_ENABLE))     /* but for this one, which it tries twice */
        return fail(s, -worker_first_errno(HV_LOGDIRTY_ENABLE),
                    "Xen cannot log this domain's dirty pages (for PV it must be built with shadow "
                    "paging); save without --live");
    if (!s->refused)
        return fail(s, rc, "saving the domain");
    s->result->retval = -1;         /* the parent knows why */
    snprintf(s->result->message, sizeof(s->result->message), "the guest was not suspended");
    return -ECANCELED;
}

static int finish(struct save *s)
{
    uint8_t end[STREAM_END];
    off_t size;
    int rc;

    stream_end(end);
    rc = stream_write(worker.file, end, sizeof(end));
    if (rc)
        return fail(s, rc, "writing the end of the image");
    if (worker.grant.flags & INTENT_STREAM)
        return 0;
    tell_stage(STAGE_SYNC, 0, 0, 0);
    if (fsync(worker.file))
        return fail(s, -errno, "fsync of the image");
    size = lseek(worker.file, 0, SEEK_CUR);
    s->result->bytes = size > s->begin ? size - s->begin : 0;
    return 0;
}

void save_run(struct save_result *result)
{
    struct save s = { .result = result };
    int rc;

    memset(result, 0, sizeof(*result));
    s.xch = xc_interface_open(worker_logger(on_progress), NULL, XC_OPENFLAG_NON_REENTRANT);
    if (!s.xch) {
        fail(&s, errno ? -errno : -ENOMEM, "opening libxenctrl");
        return;
    }
    tell_stage(STAGE_CONFIG, 0, 0, 0);
    s.begin = lseek(worker.file, 0, SEEK_CUR);  /* of a pipe it has no meaning */
    rc = worker.grant.flags & INTENT_SUSPENDED ? 0 : write_config(&s);
    if (!rc)
        rc = write_domain(&s);
    if (!rc)
        finish(&s);
    xc_interface_close(s.xch);
}
