/* SPDX-License-Identifier: LGPL-2.1-only */
/* The slots of /run/moat/undo.  Stores are ordered: whoever reads after a crash sees them in turn.
 */
#include "policy/warden/undo.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static struct undo_slot *slots;

int undo_open(int fd)
{
    const size_t size = UNDO_SLOTS * sizeof(struct undo_slot);
    struct stat st;
    void *p;

    if (fstat(fd, &st))
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)size)
        return -EINVAL;
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    slots = p;
    return 0;
}

unsigned undo_check(uint32_t *last)
{
    unsigned dropped = 0;

    *last = 0;
    for (unsigned i = 0; i < UNDO_SLOTS; i++) {
        struct undo_slot *s = &slots[i];

        if (s->job && (s->domid == 0 || s->domid >= 0x7ff0 || s->bits & ~UNDO_BITS)) {
            memset(s, 0, sizeof(*s));
            dropped++;
        }
        if (s->last > *last)
            *last = s->last;
    }
    return dropped;
}

struct undo_slot *undo_at(unsigned i)
{
    return &slots[i];
}

struct undo_slot *undo_claim(uint32_t job, uint32_t domid, const uint8_t handle[16])
{
    for (unsigned i = 0; i < UNDO_SLOTS; i++) {
        struct undo_slot *s = &slots[i];

        if (s->job)
            continue;
        *s = (struct undo_slot){.last = job, .domid = domid};
        memcpy(s->handle, handle, sizeof(s->handle));
        __atomic_store_n(&s->job, job, __ATOMIC_SEQ_CST);   /* last: now the slot counts */
        return s;
    }
    return NULL;
}

void undo_set(struct undo_slot *s, uint32_t bits)
{
    __atomic_fetch_or(&s->bits, bits, __ATOMIC_SEQ_CST);
}

void undo_clear(struct undo_slot *s, uint32_t bits)
{
    __atomic_fetch_and(&s->bits, ~bits, __ATOMIC_SEQ_CST);
}

void undo_release(struct undo_slot *s)
{
    __atomic_store_n(&s->job, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&s->bits, 0, __ATOMIC_SEQ_CST);
    s->until = 0;
}
