/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Builds simulated domains: memory with a pattern and, for PV, real page tables, p2m and M2P, so that
 * the unmodified libxenguest walks and normalises them as those of a running Linux guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/simhost.h"

#define GFN_SHARED_INFO 0xfe700u    /* where Linux maps it in a PVH guest */
#define GFN_SPECIAL 0xfeff8u        /* libxc's special pages, eight of them */
#define GFN_STORE 0xfeffcu
#define GFN_IDENT_PT 0xfeffeu
#define GFN_CONSOLE 0xfefffu

#define PTE_TABLE 0x67ull           /* present, writable, user, accessed, dirty */
#define PTE_PAGE 0x63ull
#define DIRECT_MAP_SLOT 273u        /* 0xffff888000000000 */
#define P2M_SLOT 402u               /* 0xffffc90000000000 */
#define P2M_VADDR 0xffffc90000000000ull
#define XEN_SLOT 256u               /* Xen's own, cleared in an image */

enum { PFN_START_INFO, PFN_STORE, PFN_CONSOLE, PFN_GDT, PFN_L4, PFN_FIRST_FREE };

#define FIRST_MFN 0x8000u

static uint64_t *m2p;

/* The lowest run of machine frames that no PV domain has. */
static uint64_t free_mfns(uint64_t n)
{
    uint64_t mfn = FIRST_MFN;

    for (unsigned i = 0; i < SIM_DOMAINS; i++) {
        const struct sim_domain *d = guests[i].d;

        if (!guests[i].used || d->type != SIM_PV || mfn + n <= d->first_frame ||
            mfn >= d->first_frame + d->nr_frames)
            continue;
        mfn = d->first_frame + d->nr_frames;
        i = (unsigned)-1;   /* from the start: an earlier one may overlap now */
    }
    return mfn;
}

static int memory_file(const char *name, uint64_t frames, int *rw, int *ro, uint8_t **map)
{
    size_t size = (size_t)(SIM_HEAD + frames) * SIM_PAGE;
    char path[64];

    *rw = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *p;

    if (*rw < 0 || ftruncate(*rw, (off_t)size))
        return -errno;
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, *rw, 0);
    if (p == MAP_FAILED)
        return -errno;
    *map = p;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", *rw);
    /* As an O_RDONLY privcmd: no writable shared mapping, not by mprotect either. */
    *ro = open(path, O_RDONLY | O_CLOEXEC);
    return *ro < 0 ? -errno : 0;
}

static void mark(uint8_t *file, uint64_t i)
{
    file[SIM_PAGE + i / 8] |= (uint8_t)(1u << (i % 8));
}

static void head(uint8_t *file, uint64_t first, uint64_t frames, uint32_t domid)
{
    struct sim_mem *m = (struct sim_mem *)file;

    *m = (struct sim_mem){
        .magic = SIM_MAGIC, .first_frame = first, .nr_frames = frames, .domid = domid,
    };
}

int memory_init(void)
{
    uint64_t frames = SIM_MACHINE_FRAMES * sizeof(uint64_t) / SIM_PAGE;
    uint8_t *file;
    int rw = -1, r;

    r = memory_file("sim-m2p", frames, &rw, &m2p_fd, &file);
    if (r)
        return r;
    head(file, SIM_M2P_FRAME, frames, DOMID_XEN);
    for (uint64_t i = 0; i < frames; i++)
        mark(file, i);
    m2p = (uint64_t *)(file + (size_t)SIM_HEAD * SIM_PAGE);
    memset(m2p, 0x55, SIM_MACHINE_FRAMES * sizeof(*m2p));   /* INVALID_M2P_ENTRY */
    close(rw);
    return 0;
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* The domain has this page; it is patterned or zero. */
static void populate(struct sim_guest *g, uint64_t pfn, bool pattern)
{
    uint64_t x = (pfn + 1) * 0x9e3779b97f4a7c15ull ^ g->d->domid, *p;

    g->d->populated[pfn / 64] |= 1ull << (pfn % 64);
    mark(g->file, pfn);
    if (!pattern)
        return;
    p = (uint64_t *)(g->frames + pfn * SIM_PAGE);
    for (unsigned i = 0; i < SIM_PAGE / sizeof(*p); i++)
        p[i] = next_random(&x);
}

static bool patterned(const struct sim_guest *g, uint64_t pfn)
{
    return (pfn * 2654435761u >> 8) % 100 < g->spec.fill;
}

static int build_pvh(struct sim_guest *g)
{
    struct sim_domain *d = g->d;
    uint64_t pages = (uint64_t)g->spec.mem << 8;

    if (pages > 0xe0000)
        return -E2BIG;
    d->first_frame = 0;
    d->nr_frames = GFN_CONSOLE + 1;
    d->max_gpfn = GFN_CONSOLE;
    d->shared_info_frame = GFN_SHARED_INFO;
    d->tot_pages = pages - g->spec.balloon + 8;

    int r = memory_file("sim-pvh", d->nr_frames, &g->memfd, &g->memfd_ro, &g->file);
    if (r)
        return r;
    g->frames = g->file + (size_t)SIM_HEAD * SIM_PAGE;
    head(g->file, 0, d->nr_frames, d->domid);
    for (uint64_t pfn = 0; pfn < pages - g->spec.balloon; pfn++)
        populate(g, pfn, patterned(g, pfn));
    for (uint64_t pfn = GFN_SPECIAL; pfn <= GFN_CONSOLE; pfn++)
        populate(g, pfn, false);
    populate(g, GFN_SHARED_INFO, false);

    d->params[HVM_PARAM_CALLBACK_IRQ] = 2ull << 56 | 0xf3;
    d->params[HVM_PARAM_STORE_PFN] = GFN_STORE;
    d->params[HVM_PARAM_STORE_EVTCHN] = 1;
    d->params[HVM_PARAM_CONSOLE_PFN] = GFN_CONSOLE;
    d->params[HVM_PARAM_CONSOLE_EVTCHN] = 2;
    d->params[HVM_PARAM_IDENT_PT] = (uint64_t)GFN_IDENT_PT << 12;
    d->params[HVM_PARAM_PAGING_RING_PFN] = GFN_SPECIAL;
    d->params[HVM_PARAM_MONITOR_RING_PFN] = GFN_SPECIAL + 1;
    d->params[HVM_PARAM_SHARING_RING_PFN] = GFN_SPECIAL + 2;
    d->params[HVM_PARAM_TIMER_MODE] = 1;

    /* A header as Xen's, the rest is opaque to everybody but Xen. */
    d->context_size = 4096 + 1024 * d->nr_vcpus;
    for (uint32_t i = 0; i < d->context_size; i++)
        d->context[i] = (uint8_t)(i * 31 + d->domid);
    memcpy(d->context, "\0\0\0\x18\0\0\0\0\x86\x12\x38\x54", 12);
    return 0;
}

static uint64_t *page(struct sim_guest *g, uint64_t pfn)
{
    return (uint64_t *)(g->frames + pfn * SIM_PAGE);
}

/* Takes the next free pfn as a zeroed page of this type (XEN_DOMCTL_PFINFO_* >> 28). */
static uint64_t take(struct sim_guest *g, uint64_t *next, uint8_t type)
{
    uint64_t pfn = (*next)++;

    memset(page(g, pfn), 0, SIM_PAGE);
    g->d->types[pfn] = type;
    return pfn;
}

static uint64_t mfn_of(const struct sim_guest *g, uint64_t pfn)
{
    return g->d->first_frame + pfn;
}

static uint64_t pte(const struct sim_guest *g, uint64_t pfn, uint64_t flags)
{
    return mfn_of(g, pfn) << 12 | flags;
}

/* Maps n pages named by pfn_at(i) from the start of one L4 slot. At most 1 GiB. */
static void map_range(struct sim_guest *g, uint64_t *next, unsigned slot, uint64_t n,
                      const uint64_t *pfns)
{
    uint64_t l3 = take(g, next, 3), l2 = take(g, next, 2), l1 = 0;

    page(g, PFN_L4)[slot] = pte(g, l3, PTE_TABLE);
    page(g, l3)[0] = pte(g, l2, PTE_TABLE);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t pfn = pfns ? pfns[i] : i;

        if (i % 512 == 0) {
            l1 = take(g, next, 1);
            page(g, l2)[i / 512] = pte(g, l1, PTE_TABLE);
        }
        if (g->d->populated[pfn / 64] >> (pfn % 64) & 1)
            page(g, l1)[i % 512] = pte(g, pfn, PTE_PAGE);
    }
}

/* The p2m as a virtually mapped list, as Linux has it since 4.x, and the shared info naming it. */
static int build_p2m(struct sim_guest *g, uint64_t *next)
{
    struct sim_domain *d = g->d;
    uint64_t n = (d->nr_pfns + 511) / 512, *list = calloc(n, sizeof(*list));
    shared_info_t *si = (shared_info_t *)page(g, d->nr_pfns);

    if (!list)
        return -ENOMEM;
    for (uint64_t i = 0; i < n; i++) {
        list[i] = take(g, next, 0);
        for (uint64_t j = 0; j < 512; j++) {
            uint64_t pfn = i * 512 + j;
            bool there = pfn < d->nr_pfns && d->populated[pfn / 64] >> (pfn % 64) & 1;

            page(g, list[i])[j] = there ? mfn_of(g, pfn) : ~0ull;
        }
        d->types[list[i]] = 0;
    }
    map_range(g, next, P2M_SLOT, n, list);
    free(list);

    memset(si, 0, SIM_PAGE);
    si->arch.max_pfn = d->nr_pfns;
    si->arch.pfn_to_mfn_frame_list_list = ~0ul;
    si->arch.p2m_cr3 = mfn_of(g, PFN_L4) << 12;
    si->arch.p2m_vaddr = P2M_VADDR;
    return 0;
}

static void build_vcpus(struct sim_guest *g)
{
    for (uint32_t i = 0; i < g->d->nr_vcpus; i++) {
        struct sim_vcpu *v = &g->d->vcpus[i];

        v->online = 1;
        for (size_t j = 0; j < sizeof(v->context.fpu_ctxt); j++)
            v->context.fpu_ctxt.x[j] = (char)(j + i);
        v->context.flags = VGCF_i387_valid | VGCF_in_kernel | VGCF_online;
        v->context.user_regs.rip = 0xffffffff81001000ull;
        v->context.user_regs.rsp = 0xffffffff82003e00ull;
        if (g->spec.type != SIM_PV)
            continue;
        v->context.user_regs.rdx = i ? 0 : mfn_of(g, PFN_START_INFO);
        v->context.gdt_frames[0] = mfn_of(g, PFN_GDT);
        v->context.gdt_ents = 16;
        v->context.ctrlreg[0] = 0x80050033;
        v->context.ctrlreg[3] = mfn_of(g, PFN_L4) << 12;
        v->context.kernel_ss = 0xe02b;
        v->context.vm_assist = 1ul << VMASST_TYPE_pae_extended_cr3;
        v->ext.syscall32_callback_eip = 0xffffffff81002000ull;
        v->ext.sysenter_callback_eip = 0xffffffff81003000ull;
        v->xfeatures = 7;
        v->xsave_size = 16 + 832;
        for (uint32_t j = 0; j < v->xsave_size; j++)
            v->xsave[j] = (uint8_t)(j + i);
        v->nr_msrs = 1;
        v->msrs[0] = (xen_domctl_vcpu_msr_t){ .index = 0xc0000103, .value = i };
    }
}

static int build_pv(struct sim_guest *g)
{
    struct sim_domain *d = g->d;
    uint64_t pages = (uint64_t)g->spec.mem << 8, next = PFN_FIRST_FREE, nr_tables, first;
    int r;

    nr_tables = pages / 256 + 32;   /* p2m, its page tables, the direct map's */
    first = free_mfns(pages + 1);
    if (pages > SIM_PV_PFNS || pages < nr_tables + g->spec.balloon + 64 ||
        first + pages + 1 > SIM_MACHINE_FRAMES)
        return -E2BIG;
    d->nr_pfns = (uint32_t)pages;
    d->first_frame = first;
    d->nr_frames = pages + 1;
    d->shared_info_frame = first + pages;
    d->max_gpfn = pages - 1;
    d->tot_pages = pages - g->spec.balloon;

    r = memory_file("sim-pv", d->nr_frames, &g->memfd, &g->memfd_ro, &g->file);
    if (r)
        return r;
    g->frames = g->file + (size_t)SIM_HEAD * SIM_PAGE;
    head(g->file, d->first_frame, d->nr_frames, d->domid);
    for (uint64_t pfn = 0; pfn < pages - g->spec.balloon; pfn++) {
        populate(g, pfn, patterned(g, pfn));
        m2p[mfn_of(g, pfn)] = pfn;
    }
    populate(g, pages, false);

    memset(page(g, PFN_L4), 0, SIM_PAGE);
    d->types[PFN_L4] = 4 | 8;   /* pinned */
    page(g, PFN_L4)[XEN_SLOT] = (uint64_t)SIM_M2P_FRAME << 12 | PTE_TABLE;
    r = build_p2m(g, &next);
    if (r)
        return r;
    map_range(g, &next, DIRECT_MAP_SLOT, pages, NULL);
    g->first_free = next;
    return 0;
}

bool pfn_is_plain(const struct sim_guest *g, uint64_t pfn)
{
    const struct sim_domain *d = g->d;

    if (pfn >= SIM_GFNS || !(d->populated[pfn / 64] >> (pfn % 64) & 1))
        return false;
    if (d->type != SIM_PV)
        return pfn != GFN_SHARED_INFO;
    return pfn < d->nr_pfns && d->types[pfn] == 0;
}

int domain_build(struct sim_guest *g, const struct sim_spec *s)
{
    struct sim_domain *d = g->d;
    struct timespec ts;
    int r;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    g->spec = *s;
    g->memfd = g->memfd_ro = -1;
    memset(d, 0, sizeof(*d));
    d->domid = s->domid;
    d->type = s->type;
    d->nr_vcpus = s->vcpus;
    d->vnuma = s->vnuma;
    d->max_pages = ((uint64_t)s->mem << 8) + 256;
    d->weight = 256;
    d->tsc_mode = s->type == SIM_PV ? 2 : 0;
    d->tsc_khz = 2400000;
    d->born_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
    memcpy(d->handle, s->uuid, sizeof(d->handle));
    memcpy(d->name, s->name, sizeof(d->name));

    r = s->type == SIM_PV ? build_pv(g) : build_pvh(g);
    if (r) {
        domain_free(g);
        return r;
    }
    build_vcpus(g);
    g->rng = 0x2545f4914f6cdd1dull ^ d->domid;
    atomic_store(&d->life, SIM_LIVE);
    return 0;
}

void domain_free(struct sim_guest *g)
{
    struct sim_domain *d = g->d;

    atomic_store(&d->life, SIM_FREE);
    if (d->type == SIM_PV && d->first_frame)
        for (uint64_t i = 0; i < d->nr_frames; i++)
            m2p[d->first_frame + i] = 0x5555555555555555ull;
    if (g->file)
        munmap(g->file, (size_t)(SIM_HEAD + d->nr_frames) * SIM_PAGE);
    if (g->memfd >= 0)
        close(g->memfd);
    if (g->memfd_ro >= 0)
        close(g->memfd_ro);
    memset(g, 0, sizeof(*g));
}
