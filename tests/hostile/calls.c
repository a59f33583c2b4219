/* SPDX-License-Identifier: LGPL-2.1-only */
/* What the attacks have in common: hypercalls by message, frames by hand. */
#include "tests/hostile/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>

#define DC(field) offsetof(struct xen_domctl, u.field)

const struct answer *call(uint32_t op, uint32_t row, const void *arg, uint32_t len,
                          const void *data, uint32_t data_len)
{
    static struct answer a;
    struct msg_CALL in = {.op = op, .row = row, .arg = {arg, len}, .data = {data, data_len}};
    struct msg_CALLED out;

    if (ipc_send(&worker.warden, MSG_CALL, worker.job, &in, NULL, 0))
        wait_for_end();
    worker_await(&worker.warden, MSG_CALLED, &out);
    a = (struct answer){.ret = out.ret, .errnum = out.errnum, .arg_len = out.arg.len,
                        .data_len = out.data.len};
    if (out.arg.len)
        memcpy(a.arg, out.arg.p, out.arg.len);
    if (out.data.len)
        memcpy(a.data, out.data.p, out.data.len);
    return &a;
}

bool refused(const struct answer *a)
{
    return a->ret == -1 && a->errnum == EPERM && !a->arg_len && !a->data_len;
}

void put(uint8_t *arg, size_t at, unsigned width, uint64_t value)
{
    memcpy(arg + at, &value, width);
}

uint32_t fill(uint32_t row, uint8_t arg[512])
{
    const struct hv_rowdef *r = hvrow(row);

    memset(arg, 0, 512);
    if (!r)
        return 0;
    if (r->shape == HV_STRUCT) {
        put(arg, 0, 4, r->subop);
        put(arg, 4, 4, r->version);
    }
    if (r->domid_at >= 0)
        put(arg, (size_t)r->domid_at, 2, worker.grant.domid);
    for (unsigned i = 0; i < 2; i++)
        if (r->fields[i].width)
            put(arg, r->fields[i].at, r->fields[i].width, r->fields[i].value);
    for (unsigned i = 0; i < HV_HANDLES; i++) {
        if (!r->handles[i].dir)
            continue;
        put(arg, r->handles[i].at, 8, 1);
        if (r->handles[i].count_width)
            put(arg, r->handles[i].count_at, r->handles[i].count_width, 1);
    }
    if (row == HV_SCHED_GETINFO)
        put(arg, DC(scheduler_op.sched_id), 4, XEN_SCHEDULER_CREDIT2);
    if (row == HV_HVM_GET_PARAM)
        put(arg, offsetof(struct xen_hvm_param, index), 4, HVM_PARAM_STORE_PFN);
    return r->size;
}

const struct answer *call_row(uint32_t row, const uint8_t *arg)
{
    static const uint8_t zeroes[2 * ARENA_MIN];
    const struct hv_rowdef *r = hvrow(row);
    uint32_t sizes[HV_HANDLES] = {0}, in = 0;

    if (!r)
        breach("no row %u", row);
    if (!hvrow_sizes(r, arg, sizes))
        for (unsigned i = 0; i < HV_HANDLES; i++)
            if (r->handles[i].dir & HV_IN && sizes[i] <= ARENA_MIN)
                in += sizes[i];
    return call(r->op, row, r->size ? arg : NULL, r->size, zeroes, in);
}

void suspend_guest(void)
{
    struct msg_SUSPENDED answer;
    uint8_t arg[512];

    /* The warden takes a job for running from its first call on. */
    fill(HV_GETDOMAININFO, arg);
    call_row(HV_GETDOMAININFO, arg);
    worker_tell(MSG_SUSPEND_GUEST, NULL);
    worker_await(&worker.parent, MSG_SUSPENDED, &answer);
    if (answer.rc)
        held("the guest was not suspended");
}

void closing_rows(void)
{
    uint8_t arg[512];
    uint32_t size;

    fill(HV_GETHVMCONTEXT, arg);
    put(arg, DC(hvmcontext.buffer), 8, 0);
    size = (uint32_t)hvrow_field(call_row(HV_GETHVMCONTEXT, arg)->arg, DC(hvmcontext.size), 4);
    fill(HV_GETHVMCONTEXT, arg);
    put(arg, DC(hvmcontext.size), 4, size);
    if (call_row(HV_GETHVMCONTEXT, arg)->ret < 0)
        breach("an honest gethvmcontext was refused");
    fill(HV_LOGDIRTY_OFF, arg);
    call_row(HV_LOGDIRTY_OFF, arg);
}

int send_bytes(int fd, const void *buf, size_t len)
{
    return send(fd, buf, len, MSG_NOSIGNAL) < 0 ? errno : 0;
}

int send_frame_raw(int fd, uint32_t length, uint16_t type, uint16_t fds, uint32_t job,
                   const void *payload, size_t len)
{
    static uint8_t buf[1 << 17];

    put(buf, 0, 4, length);
    put(buf, 4, 2, type);
    put(buf, 6, 2, fds);
    put(buf, 8, 4, job);
    if (len)
        memcpy(buf + IPC_HEADER_SIZE, payload, len);
    return send_bytes(fd, buf, IPC_HEADER_SIZE + len);
}
