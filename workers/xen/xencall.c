/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * libxencall for a process that cannot make hypercalls: each call is one message to the warden, by
 * the table policy/warden/hypercalls.def.  These definitions take the place of libxencall's; a
 * library that needs one that is not here does not link.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define __XEN_TOOLS__ 1
#include <xencall.h>
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>

#include "policy/warden/hv.h"
#include "policy/warden/hvrow.h"
#include "workers/common.h"
#include "workers/xen/xen.h"

#define PAGE 4096u

struct xencall_handle {
    int unused;
};
static struct xencall_handle handle;

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    return &handle;
}

int xencall_close(xencall_handle *xcall)
{
    return 0;
}

/* The warden copies: any memory will do. */
void *xencall_alloc_buffer_pages(xencall_handle *xcall, size_t nr_pages)
{
    void *p = mmap(NULL, nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0);

    return p == MAP_FAILED ? NULL : p;
}

void xencall_free_buffer_pages(xencall_handle *xcall, void *p, size_t nr_pages)
{
    if (p)
        munmap(p, nr_pages * PAGE);
}

void *xencall_alloc_buffer(xencall_handle *xcall, size_t size)
{
    return calloc(1, size);
}

void xencall_free_buffer(xencall_handle *xcall, void *p)
{
    free(p);
}

int xencall_buffers_never_fault(xencall_handle *xcall)
{
    return 1;
}

/* ---- one call */

struct call {
    enum hv_row id;
    const struct hv_rowdef *row;
    uint8_t *arg;                       /* the library's struct */
    uint32_t sizes[HV_HANDLES];
    uint8_t copy[HV_ARG_SIZE];          /* what the warden is sent: no pointer of ours in it */
    uint8_t data[HV_HANDLES * ARENA_MIN];
    size_t len;
};

static void *buffer(const struct call *c, unsigned i)
{
    return (void *)(uintptr_t)hvrow_handle(c->row, c->arg, i);
}

/* IN buffers in table order.  No row of a worker reads a buffer that is too large for the frame. */
static int pack(struct call *c)
{
    unsigned i;

    if (c->row->size)
        memcpy(c->copy, c->arg, c->row->size);
    if (hvrow_sizes(c->row, c->copy, c->sizes))
        return -EINVAL;
    hvrow_clean(c->row, c->copy);
    c->len = 0;
    for (i = 0; i < HV_HANDLES; i++) {
        if (!c->sizes[i])
            continue;
        hvrow_set_handle(c->row, c->copy, i, 1);    /* "not NULL" is all that the warden reads */
        if (!(c->row->handles[i].dir & HV_IN))
            continue;
        if (hvrow_in_arena(c->sizes[i]))
            return -E2BIG;
        memcpy(c->data + c->len, buffer(c, i), c->sizes[i]);
        c->len += c->sizes[i];
    }
    return 0;
}

/* What the answer's data must be, to the byte: the warden is trusted, a bug of it is not. */
static size_t expected(const struct call *c)
{
    size_t len = 0;
    unsigned i;

    for (i = 0; i < HV_HANDLES; i++)
        if (c->row->handles[i].dir & HV_OUT && !hvrow_in_arena(c->sizes[i]))
            len += c->sizes[i];
    return len;
}

static int unpack(struct call *c, const struct msg_CALLED *out)
{
    const uint8_t *data = out->data.p;
    uint64_t old[HV_HANDLES];
    unsigned i;

    if (out->arg.len != c->row->size || out->data.len != expected(c))
        return -EPROTO;
    for (i = 0; i < HV_HANDLES; i++) {
        if (c->row->handles[i].dir)
            old[i] = hvrow_handle(c->row, c->arg, i);
        if (!(c->row->handles[i].dir & HV_OUT) || !c->sizes[i])
            continue;
        if (hvrow_in_arena(c->sizes[i])) {
            if (c->sizes[i] > worker.grant.arena_size)
                return -EPROTO;
            memcpy(buffer(c, i), worker.arena, c->sizes[i]);
        } else {
            memcpy(buffer(c, i), data, c->sizes[i]);
            data += c->sizes[i];
        }
    }
    if (c->row->used)
        memcpy(c->arg, out->arg.p, c->row->used);
    for (i = 0; i < HV_HANDLES; i++)
        if (c->row->handles[i].dir)
            hvrow_set_handle(c->row, c->arg, i, old[i]);
    return 0;
}

static int first_errno[HV_ROWS];

int worker_first_errno(enum hv_row row)
{
    return first_errno[row];
}

/* A frame that is malformed, of another job or of another type has ended the process already. */
static int transact(struct call *c)
{
    struct msg_CALL in = {
        .op = c->row->op, .row = c->id,
        .arg = { c->copy, c->row->size }, .data = { c->data, c->len },
    };
    struct msg_CALLED out;

    if (ipc_send(&worker.warden, MSG_CALL, worker.job, &in, NULL, 0))
        _Exit(1);
    worker_await(&worker.warden, MSG_CALLED, &out);
    if (out.ret < 0 && (out.errnum <= 0 || out.errnum > 4095))
        _Exit(1);
    /* Without the struct it is a refusal; with it Xen's own answer, also when that is no. */
    if ((out.ret >= 0 || out.arg.len) && unpack(c, &out))
        _Exit(1);
    if (out.ret < 0) {
        if (!first_errno[c->id])
            first_errno[c->id] = out.errnum;
        errno = out.errnum;
        return -1;
    }
    first_errno[c->id] = 0;
    return out.ret;
}

static int call(unsigned op, uint32_t subop, void *arg, size_t size)
{
    static struct call c;       /* a worker is single-threaded */
    char text[96];
    int rc;

    c.id = hvrow_classify(op, subop, arg, size);
    c.row = hvrow(c.id);
    c.arg = arg;
    if (!c.row) {
        snprintf(text, sizeof(text), "hypercall %u without a row: sub-op %u", op,
                 size && arg && size != HVROW_ANY_SIZE ? *(uint32_t *)arg : subop);
        worker_log(XTL_ERROR, text);
        errno = ENOSYS;
        return -1;
    }
    rc = pack(&c);
    if (rc) {
        errno = -rc;
        return -1;
    }
    return transact(&c);
}

/* libxenctrl wraps each memory_op into a multicall of one entry, for a result of 64 bits. */
static int multicall(multicall_entry_t *entry, uint64_t n)
{
    int ret;

    if (n != 1 || entry->op != __HYPERVISOR_memory_op) {
        errno = ENOSYS;
        return -1;
    }
    ret = call(__HYPERVISOR_memory_op, entry->args[0], (void *)entry->args[1], HVROW_ANY_SIZE);
    entry->result = ret < 0 ? (xen_ulong_t)-errno : (xen_ulong_t)ret;
    return 0;
}

int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg1)
{
    switch (op) {
    case __HYPERVISOR_domctl:
        return call(op, 0, (void *)arg1, sizeof(struct xen_domctl));
    case __HYPERVISOR_sysctl:
        return call(op, 0, (void *)arg1, sizeof(struct xen_sysctl));
    default:
        errno = ENOSYS;
        return -1;
    }
}

int xencall2(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
    switch (op) {
    case __HYPERVISOR_multicall:
        return multicall((void *)arg1, arg2);
    case __HYPERVISOR_hvm_op:
    case __HYPERVISOR_xen_version:
    case __HYPERVISOR_memory_op:
        return call(op, arg1, (void *)arg2, HVROW_ANY_SIZE);
    default:
        errno = ENOSYS;
        return -1;
    }
}

/* No row has three or four arguments. */
int xencall3(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3)
{
    errno = ENOSYS;
    return -1;
}

int xencall4(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4)
{
    errno = ENOSYS;
    return -1;
}
