/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * hypercalls.def as data, and pure functions over it.  The worker marshals by them and the warden
 * checks by its own compiled-in copy of them; nothing here makes a hypercall, allocates or logs.
 */
#ifndef MOAT_HVROW_H
#define MOAT_HVROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/ipc.h"

#define HVROW(id, ...) HV_##id,
enum hv_row {
    HV_NO_ROW = 0,
#include "policy/warden/hypercalls.def"
    HV_ROWS,
};
#undef HVROW
#define HV_ROWS_MAX 64  /* RECORD.executed has this many counters */
_Static_assert(HV_ROWS <= HV_ROWS_MAX, "RECORD counts at most 64 rows");

/* What kind of job a row may be used by. */
#define HV_JOB_COLD   0x1u  /* worker of a save without precopy */
#define HV_JOB_LIVE   0x2u  /* worker of a live save */
#define HV_JOB_WARDEN 0x4u  /* the warden itself */
#define HV_JOB_HELPER 0x8u  /* the supervisor's destroyer */
#define HV_JOB_WORKERS (HV_JOB_COLD | HV_JOB_LIVE)

/* Whether the warden itself has seen the domain shut down for suspend. */
#define HV_BEFORE 0x1u
#define HV_AFTER  0x2u

#define HV_ACTS 0x1u        /* flags: changes the guest or its host */

#define HV_IN  0x1u         /* Xen reads the buffer */
#define HV_OUT 0x2u         /* Xen writes the buffer */
#define HV_HANDLES 2

/* How the arguments are passed. */
enum hv_shape {
    HV_STRUCT = 1,          /* op(&struct), the sub-op is its first u32 */
    HV_CMD_STRUCT,          /* op(cmd, &struct) */
    HV_CMD_NULL,            /* op(cmd, NULL) */
};

struct hv_equal {
    uint16_t at;            /* offset in the struct */
    uint8_t width;          /* bytes, 0 = no constraint */
    uint32_t value;
};

struct hv_handle {
    uint16_t at;            /* offset of the 64-bit handle */
    uint8_t dir;            /* HV_IN | HV_OUT, 0 = the row has no such handle */
    bool maybe_null;        /* a NULL handle asks for the size */
    bool bits;              /* bytes = ceil(count / 8) */
    uint8_t count_width;    /* 0 = fixed: bytes = unit */
    uint16_t count_at;
    uint32_t unit;          /* bytes per count */
    uint32_t bound;         /* bytes at most */
};

/* What a job's hypercalls are bounded by; kept by the warden per job. */
struct hv_limits {
    uint64_t max_pages;     /* set by the warden: pages of a dirty bitmap at most */
    uint32_t max_vcpu_id;   /* set by the warden, from getdomaininfo */
    uint32_t hvm_context;   /* what Xen last named, 0 = not asked yet */
    uint32_t extstate;      /* likewise, the largest of all vcpus */
    uint64_t max_mfn;       /* likewise, from MAXIMUM_RAM_PAGE */
};

struct hv_rowdef {
    const char *name;
    const char *safe;               /* "safe if the worker lies, because ..." */
    enum refusal (*check)(const struct hv_limits *limits, const uint8_t *arg);
    uint32_t op;                    /* hypercall number */
    uint32_t subop;
    uint32_t version;               /* at offset 4 of an HV_STRUCT, 0 = the struct has none */
    uint16_t size;                  /* of the struct, exact */
    uint16_t used;                  /* bytes that mean something; the rest is zeroed */
    int16_t domid_at;               /* -1 = no domid */
    uint8_t shape;                  /* enum hv_shape */
    uint8_t jobs;                   /* HV_JOB_* */
    uint8_t guests;                 /* bits 1 << enum guest_type */
    uint8_t phases;                 /* HV_BEFORE | HV_AFTER */
    uint8_t flags;                  /* HV_ACTS */
    struct hv_equal fields[2];
    struct hv_handle handles[HV_HANDLES];
};

/* The row, or NULL for HV_NO_ROW and numbers outside the table. */
const struct hv_rowdef *hvrow(uint32_t row);

/* Name of a row for logs, never NULL. */
const char *hvrow_name(uint32_t row);

#define HVROW_ANY_SIZE SIZE_MAX

/*
 * The worker's row for this call, HV_NO_ROW if there is none.  arg: the struct of `size` bytes,
 * NULL where the call has none; HVROW_ANY_SIZE: as many as the row says (the caller's
 * own struct, whose size follows from op and subop).  subop: the first argument of HV_CMD_* calls,
 * else ignored.  The warden's own rows are never found.
 */
enum hv_row hvrow_classify(uint32_t op, uint32_t subop, const void *arg, size_t size);

/*
 * Bytes of each nested buffer, computed from the counts in the struct; 0 for a handle that the row
 * does not have or that is NULL.  REFUSED_NONE; REFUSED_SIZE above the bound, or 0 bytes where the
 * handle is not NULL; REFUSED_VALUE for NULL where the row needs a buffer.
 */
enum refusal hvrow_sizes(const struct hv_rowdef *row, const uint8_t *arg,
                         uint32_t sizes[HV_HANDLES]);

/* True if the struct has the values that the row's `fields` column demands. */
bool hvrow_matches(const struct hv_rowdef *row, const uint8_t *arg);

/* Reads and writes the handle number i; the row must have it. */
uint64_t hvrow_handle(const struct hv_rowdef *row, const uint8_t *arg, unsigned i);
void hvrow_set_handle(const struct hv_rowdef *row, uint8_t *arg, unsigned i, uint64_t value);

/* Sets all handles of the row to 0 and clears the bytes that it does not use. */
void hvrow_clean(const struct hv_rowdef *row, uint8_t *arg);

/* Unaligned little-endian field of 1 to 8 bytes. */
uint64_t hvrow_field(const uint8_t *arg, unsigned at, unsigned width);

/* True if the buffer travels in the arena, not in the frame. At most one per call, at offset 0. */
static inline bool hvrow_in_arena(uint32_t size)
{
    return size > ARENA_MIN;
}

#endif
