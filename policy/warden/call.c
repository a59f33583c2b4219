/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Executes a worker's hypercall by the table.  The worker's struct and buffers are copied once,
 * into the warden's own memory, and are checked there; Xen sees only that copy, with the warden's
 * addresses in it, the grant's domid and the compiled-in interface version.
 */
#include "policy/warden/call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/memory.h>
#include <xen/sched.h>

#include "policy/warden/hv.h"

#define DC(field) offsetof(struct xen_domctl, u.field)

/* Which row, and may this job use it now? */
static const struct hv_rowdef *admit(const struct call_ctx *ctx, const struct msg_CALL *in,
                                     enum refusal *why)
{
    const struct hv_rowdef *row = hvrow(in->row);

    *why = REFUSED_NO_ROW;
    if (!row || row->op != in->op)
        return NULL;
    if (!(ctx->job & HV_JOB_WORKERS) || !(row->jobs & ctx->job))
        return NULL;
    if (ctx->guest >= 8 || !(row->guests & 1u << ctx->guest) || !(row->phases & ctx->phase))
        return NULL;
    *why = REFUSED_NONE;
    return row;
}

/* The struct's fixed part, checked in hv.arg. */
static enum refusal check_arg(const struct call_ctx *ctx, const struct hv_rowdef *row)
{
    if (row->shape == HV_STRUCT && hvrow_field(hv.arg, 0, 4) != row->subop)
        return REFUSED_NO_ROW;
    if (row->version && hvrow_field(hv.arg, 4, 4) != row->version)
        return REFUSED_VERSION;
    if (row->domid_at >= 0 && hvrow_field(hv.arg, row->domid_at, 2) != ctx->domid)
        return REFUSED_DOMID;
    if (!hvrow_matches(row, hv.arg))
        return REFUSED_NO_ROW;
    return row->check ? row->check(&ctx->limits, hv.arg) : REFUSED_NONE;
}

/*
 * Where the buffers lie in hv.bulk (one behind the other) and, for one that is too large for the
 * frame, that the arena has room.  total: of all buffers; in_frame: IN bytes that the frame must
 * have.
 */
static enum refusal check_room(const struct call_ctx *ctx, const struct hv_rowdef *row,
                               const uint32_t sizes[HV_HANDLES], size_t *total, size_t *in_frame)
{
    unsigned i, large = 0;

    *total = *in_frame = 0;
    for (i = 0; i < HV_HANDLES; i++) {
        *total += sizes[i];
        if (hvrow_in_arena(sizes[i])) {
            if (++large > 1 || !ctx->arena || sizes[i] > ctx->arena_size)
                return REFUSED_SIZE;
        } else if (row->handles[i].dir & HV_IN) {
            *in_frame += sizes[i];
        }
    }
    return *total > hv.bulk_size ? REFUSED_SIZE : REFUSED_NONE;
}

/*
 * Fills hv.bulk and puts its addresses into the struct.  OUT buffers start as zeroes: what Xen
 * leaves out is not what another job left there.
 */
static void load(const struct call_ctx *ctx, const struct hv_rowdef *row, const struct msg_CALL *in,
                 const uint32_t sizes[HV_HANDLES])
{
    uint8_t *at = hv.bulk;
    const uint8_t *data = in->data.p;
    unsigned i;

    for (i = 0; i < HV_HANDLES; i++) {
        if (!sizes[i])
            continue;
        if (!(row->handles[i].dir & HV_IN)) {
            memset(at, 0, sizes[i]);
        } else if (hvrow_in_arena(sizes[i])) {
            memcpy(at, ctx->arena, sizes[i]);
        } else {
            memcpy(at, data, sizes[i]);
            data += sizes[i];
        }
        hvrow_set_handle(row, hv.arg, i, (uintptr_t)at);
        at += sizes[i];
    }
}

/* Passes the struct in hv.arg to Xen as the row says. */
static long hypercall(const struct hv_rowdef *row)
{
    uint64_t args[5] = { 0 };

    switch (row->shape) {
    case HV_STRUCT:
        args[0] = (uintptr_t)hv.arg;
        return hv_call(row->op, 1, args);
    case HV_CMD_STRUCT:
        args[0] = row->subop;
        args[1] = (uintptr_t)hv.arg;
        return hv_call(row->op, 2, args);
    default:
        args[0] = row->subop;
        return hv_call(row->op, 2, args);
    }
}

static bool suspended(void)
{
    uint32_t flags = hvrow_field(hv.arg, DC(getdomaininfo.flags), 4);

    return flags & XEN_DOMINF_shutdown &&
           (flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask) == SHUTDOWN_suspend;
}

/* Remembers sizes that later calls are bounded by, and what was seen to happen. */
static void learn(struct call_ctx *ctx, enum hv_row row, long ret, bool null)
{
    uint64_t value;

    switch (row) {
    case HV_GETDOMAININFO:
        if (suspended())
            ctx->saw |= SAW_SUSPEND;
        break;
    case HV_GETHVMCONTEXT:
        if (null)
            ctx->limits.hvm_context = hvrow_field(hv.arg, DC(hvmcontext.size), 4);
        else
            ctx->saw |= SAW_CONTEXT;
        break;
    case HV_GETVCPUCONTEXT:
        ctx->saw |= SAW_CONTEXT;
        break;
    case HV_GETVCPUEXTSTATE:
        value = hvrow_field(hv.arg, DC(vcpuextstate.size), 8);
        if (null && value > ctx->limits.extstate)
            ctx->limits.extstate = value < UINT32_MAX ? value : UINT32_MAX;
        break;
    case HV_MAXIMUM_RAM_PAGE:
        ctx->limits.max_mfn = ret;
        break;
    case HV_LOGDIRTY_ENABLE:
        ctx->saw = (ctx->saw | SAW_LOGDIRTY_ON) & ~SAW_LOGDIRTY_OFF;
        break;
    case HV_LOGDIRTY_OFF:
        ctx->saw |= SAW_LOGDIRTY_OFF;
        break;
    default:
        break;
    }
}

/*
 * The answer's data: OUT buffers in table order, those that fit behind one another as they lie in
 * hv.bulk (no row mixes IN-only with OUT buffers), a large one into the arena.
 */
static void unload(struct call_ctx *ctx, const struct hv_rowdef *row,
                   const uint32_t sizes[HV_HANDLES], struct msg_CALLED *out)
{
    const uint8_t *at = hv.bulk;
    unsigned i;

    for (i = 0; i < HV_HANDLES; at += sizes[i++]) {
        if (!sizes[i] || !(row->handles[i].dir & HV_OUT))
            continue;
        if (hvrow_in_arena(sizes[i])) {
            memcpy(ctx->arena, at, sizes[i]);
            continue;
        }
        if (!out->data.p)
            out->data.p = at;
        out->data.len += sizes[i];
    }
}

static int refuse(struct call_ctx *ctx, struct msg_CALLED *out, enum refusal why, int errnum)
{
    ctx->refused[why]++;
    *out = (struct msg_CALLED){ .ret = -1, .errnum = errnum };
    return -1;
}

/* Xen looks up the domid, and gives the next domain when this one is gone. */
static bool other_domain(const struct call_ctx *ctx, enum hv_row row)
{
    return row == HV_GETDOMAININFO &&
           (hvrow_field(hv.arg, DC(getdomaininfo.domain), 2) != ctx->domid ||
            hvrow_field(hv.arg, offsetof(struct xen_domctl, domain), 2) != ctx->domid);
}

int call_execute(struct call_ctx *ctx, const struct msg_CALL *in, struct msg_CALLED *out,
                 enum refusal *why)
{
    const struct hv_rowdef *row = admit(ctx, in, why);
    uint32_t sizes[HV_HANDLES];
    size_t total, in_frame;
    bool null;
    long ret;
    int rc;

    if (!row)
        return refuse(ctx, out, *why, EPERM);
    *why = in->arg.len != row->size || row->size > HV_ARG_SIZE ? REFUSED_SIZE : REFUSED_NONE;
    if (*why)
        return refuse(ctx, out, *why, EPERM);
    if (row->size)
        memcpy(hv.arg, in->arg.p, row->size);
    *why = check_arg(ctx, row);
    if (!*why)
        *why = hvrow_sizes(row, hv.arg, sizes);
    if (!*why)
        *why = check_room(ctx, row, sizes, &total, &in_frame);
    if (!*why && in->data.len != in_frame)
        *why = REFUSED_FRAME;
    if (*why)
        return refuse(ctx, out, *why, EPERM);
    null = row->handles[0].dir && !sizes[0];

    hvrow_clean(row, hv.arg);
    load(ctx, row, in, sizes);
    if (row->flags & HV_ACTS) {
        rc = ctx->before ? ctx->before(ctx, in->row) : -EPERM;
        if (rc) {
            *why = REFUSED_STATE;
            return refuse(ctx, out, *why, -rc);
        }
    }

    /* Safe if the worker lies, because every byte that Xen is given was checked or made here, and
     * the row says why the checked ones do no harm. */
    ret = hypercall(row);
    *out = (struct msg_CALLED){ .ret = ret, .errnum = ret < 0 ? errno : 0 };
    ctx->executed[in->row]++;
    if (ret >= 0 && other_domain(ctx, in->row)) {
        /* Nothing of the other domain's answer leaves this function. */
        *out = (struct msg_CALLED){ .ret = -1, .errnum = ESRCH };
        return 0;
    }
    /* Xen may say no to ending what never began; that ends it as well. */
    if (ret >= 0 || (in->row == HV_LOGDIRTY_OFF && !(ctx->saw & SAW_LOGDIRTY_ON)))
        learn(ctx, in->row, ret, null);
    hvrow_clean(row, hv.arg);
    out->arg = (struct ipc_bytes){ .p = row->size ? hv.arg : NULL, .len = row->size };
    unload(ctx, row, sizes, out);
    return 0;
}

long call_own(enum hv_row id)
{
    const struct hv_rowdef *row = hvrow(id);
    uint32_t subop;

    if (!row || !(row->jobs & HV_JOB_WARDEN) || !hvrow_matches(row, hv.arg)) {
        errno = EPERM;
        return -1;
    }
    if (row->shape == HV_STRUCT) {
        subop = row->subop;
        memcpy(hv.arg, &subop, sizeof(subop));
        memcpy(hv.arg + 4, &row->version, sizeof(row->version));
    }
    return hypercall(row);
}

/* A call that any version answers alike: the version is what Xen looks at first. */
static long probe(enum hv_row id, uint32_t version)
{
    const struct hv_rowdef *row = hvrow(id);

    memset(hv.arg, 0, HV_ARG_SIZE);
    memcpy(hv.arg, &row->subop, sizeof(row->subop));
    memcpy(hv.arg + 4, &version, sizeof(version));
    return hypercall(row);
}

#define VERSIONS_TRIED 256

static int check_one(enum hv_row id, const char *what, char why[128])
{
    uint32_t ours = hvrow(id)->version, theirs;
    int err;

    if (probe(id, ours) >= 0)
        return 0;
    err = errno;
    if (err != EACCES) {
        snprintf(why, 128, "Xen refuses a %s of this domain: %s; run moat in the control domain",
                 what, strerror(err));
        return -err;
    }
    for (theirs = 1; theirs < VERSIONS_TRIED; theirs++)
        if (theirs != ours && (probe(id, theirs) >= 0 || errno != EACCES))
            break;
    if (theirs < VERSIONS_TRIED)
        snprintf(why, 128, "%s interface: moat was built for version %#x, this Xen has %#x; "
                 "rebuild moat with its headers", what, ours, theirs);
    else
        snprintf(why, 128, "%s interface: moat was built for version %#x, this Xen has another; "
                 "rebuild moat with its headers", what, ours);
    return -EACCES;
}

int hv_check_version(char why[128])
{
    int rc;

    why[0] = 0;
    rc = check_one(HV_GETDOMAININFO, "domctl", why);    /* of domain 0 */
    return rc ? rc : check_one(HV_SCHED_ID, "sysctl", why);
}

uint64_t call_max_pages(enum guest_type guest, uint64_t pages)
{
    const uint64_t least = HV_BULK_START * 8ull, most = HV_BULK_MAX * 8ull;

    if (guest != GUEST_PV)
        return pages + 1;
    if (pages > most / 8)
        return pages > most ? pages : most;
    return pages * 8 > least ? pages * 8 : least;
}

size_t call_arena_size(uint64_t max_pages, uint32_t max_vcpu_id)
{
    uint64_t bitmap = (max_pages + 7) / 8;
    uint64_t context = ((uint64_t)max_vcpu_id + 1) * 16384 + 65536;
    uint64_t size = HV_BULK_START;

    if (max_pages > HV_BULK_MAX * 8ull || context > HV_BULK_MAX)
        return 0;
    if (bitmap > size)
        size = bitmap;
    if (context > size)
        size = context;
    return (size + 4095) & ~4095ull;
}
