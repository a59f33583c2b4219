/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A worker's CALL with arbitrary bytes: whatever it says, the hypervisor is only asked for what a
 * row says, about the granted domain, with buffers inside the warden's.
 *
 * Input: row, op, job, guest, phase (a byte each), bytes of arg (u16), arg, then data.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/warden/call.h"
#include "policy/warden/hv.h"

#define DOMID 7
#define BULK 65536u
#define ARENA 32768u

struct hv hv;
static const struct hv_rowdef *asked;   /* the row that the call claims */
static unsigned calls;

/* Behaves as badly as a hypervisor can: it fills each OUT buffer to its end. */
static void check_handles(const uint8_t *arg)
{
    uint32_t sizes[HV_HANDLES];

    assert(hvrow_sizes(asked, arg, sizes) == REFUSED_NONE);
    for (unsigned i = 0; i < HV_HANDLES; i++) {
        uint64_t at = asked->handles[i].dir ? hvrow_handle(asked, arg, i) : 0;

        if (!at)
            continue;
        assert(at >= (uintptr_t)hv.bulk && at + sizes[i] <= (uintptr_t)hv.bulk + hv.bulk_size);
        if (asked->handles[i].dir & HV_OUT)
            memset((void *)(uintptr_t)at, 0xB5, sizes[i]);
    }
}

long hv_call(unsigned op, unsigned nargs, const uint64_t args[5])
{
    calls++;
    assert(asked && op == asked->op && asked->jobs & HV_JOB_WORKERS);
    if (asked->shape == HV_STRUCT) {
        assert(nargs == 1 && args[0] == (uintptr_t)hv.arg);
        assert(hvrow_field(hv.arg, 0, 4) == asked->subop);
    } else {
        assert(nargs == 2 && args[0] == asked->subop);
        assert(args[1] == (asked->shape == HV_CMD_NULL ? 0 : (uintptr_t)hv.arg));
    }
    if (asked->version)
        assert(hvrow_field(hv.arg, 4, 4) == asked->version);
    if (asked->domid_at >= 0)
        assert(hvrow_field(hv.arg, (unsigned)asked->domid_at, 2) == DOMID);
    for (unsigned i = asked->used; i < asked->size; i++)
        assert(!hv.arg[i]);
    check_handles(hv.arg);
    errno = EBUSY;
    return calls % 3 ? 0 : -1;
}

static int before(struct call_ctx *ctx, enum hv_row row)
{
    return calls % 2 ? 0 : -EIO;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *arena;
    struct call_ctx ctx = { .domid = DOMID, .arena_size = ARENA, .before = before,
                            .limits = { 1u << 20, 3, 40000, 4096, 1u << 20 } };
    struct msg_CALL in = { 0 };
    struct msg_CALLED out;
    enum refusal why = REFUSALS;
    uint16_t len;
    int rc;

    if (!hv.arg) {
        hv = (struct hv){ malloc(HV_ARG_SIZE), malloc(BULK), BULK };
        arena = malloc(ARENA);
        assert(hv.arg && hv.bulk && arena);
    }
    if (size < 7)
        return 0;
    memcpy(&len, data + 5, 2);
    in.row = data[0];
    in.op = data[1];
    ctx.job = data[2] & HV_JOB_WORKERS;
    ctx.guest = data[3];
    ctx.phase = data[4] & (HV_BEFORE | HV_AFTER);
    ctx.arena = arena;
    data += 7;
    size -= 7;
    in.arg = (struct ipc_bytes){ data, len <= size ? len : (uint32_t)size };
    in.data = (struct ipc_bytes){ data + in.arg.len, (uint32_t)size - in.arg.len };
    asked = hvrow(in.row);
    rc = call_execute(&ctx, &in, &out, &why);
    if (rc) {
        assert(why > REFUSED_NONE && why < REFUSALS && ctx.refused[why] == 1 && out.ret == -1);
    } else {
        assert(why == REFUSED_NONE && ctx.executed[in.row] == 1);
        assert(out.data.len <= 2 * ARENA_MIN && out.arg.len <= HV_ARG_SIZE);
        for (unsigned i = 0; i < HV_HANDLES; i++)
            if (out.arg.len && asked->handles[i].dir)
                assert(!hvrow_handle(asked, out.arg.p, i));
    }
    return 0;
}
