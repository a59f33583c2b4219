/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The simulated host: what tests/sim puts in the place of Xen, xenstored and the guests.
 *
 * `simhost` owns it.  Its state is one shared memfd (struct sim_host): hv_sim.c maps it and answers
 * hypercalls from it in the caller's address space, so that it survives the death of every process
 * of moat.  Each domain's memory is a memfd of its own (struct sim_mem).  Both are handed out over
 * an abstract SOCK_SEQPACKET socket that speaks one line of text per packet; see README.md.
 *
 * A test double: nothing here is linked into a program that is installed.
 */
#ifndef MOAT_SIM_H
#define MOAT_SIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xenctrl.h>
#include <xen/hvm/params.h>

#define SIM_NAME "moat-sim"         /* abstract socket; the environment's MOAT_SIM replaces it */
#define SIM_MAGIC 0x74616f4d6d6953ull

#define SIM_DOMAINS 32
#define SIM_VCPUS 8
#define SIM_GFNS (1u << 20)         /* no domain has a gfn or pfn as high as this */
#define SIM_PV_PFNS (1u << 17)      /* nor a PV domain a pfn as high as this */
#define SIM_MACHINE_FRAMES (1u << 20)
#define SIM_M2P_FRAME 0x200000u     /* first frame of the M2P, mapped through DOMID_XEN */
#define SIM_M2P_CHUNK 512u          /* frames per entry of machphys_mfn_list: 2 MiB */
#define SIM_CONTEXT_MAX 16384
#define SIM_XSAVE_MAX 1024
#define SIM_MSRS_MAX 8
#define SIM_LEAVES 51               /* what get_cpu_policy of a domain fills in */
#define SIM_LEAVES_MAX 120          /* CPUID_MAX_SERIALISED_LEAVES of 4.17 */
#define SIM_CPU_MSRS 2
#define SIM_TRACE 8192

#define SIM_VERSION ((4 << 16) | 17)

enum sim_life {
    SIM_FREE,
    SIM_LIVE,
    SIM_DYING,                      /* destroyed, but a mapping keeps the domid */
};

enum sim_type {
    SIM_PVH = 1,                    /* values of enum guest_type */
    SIM_PV = 2,
    SIM_HVM = 3,
};

struct sim_vcpu {
    uint8_t online;
    uint32_t xsave_size;            /* 0 = none */
    uint64_t xfeatures;
    uint32_t nr_msrs;
    xen_domctl_vcpu_msr_t msrs[SIM_MSRS_MAX];
    struct xen_domctl_ext_vcpucontext ext;
    uint8_t xsave[SIM_XSAVE_MAX];
    vcpu_guest_context_x86_64_t context;
};

struct sim_domain {
    _Atomic uint32_t life;          /* enum sim_life */
    uint32_t domid;
    uint32_t type;                  /* enum sim_type */
    uint32_t nr_vcpus;
    uint8_t handle[16];
    char name[64];

    _Atomic uint32_t pauses;        /* of the toolstack: a count, as in Xen */
    _Atomic uint32_t shutdown;      /* 0 = runs, else 1 + SHUTDOWN_* */
    _Atomic uint32_t logdirty;      /* 1 = on */
    _Atomic uint32_t resumes;       /* how often DOMCTL_resumedomain was executed */
    _Atomic uint32_t dirty_count;   /* since the last CLEAN */

    uint64_t born_ns;               /* CLOCK_MONOTONIC */
    uint64_t tot_pages;
    uint64_t max_pages;
    uint64_t max_gpfn;
    uint64_t shared_info_frame;
    uint64_t first_frame;           /* of its memory: 0 for PVH, an mfn for PV */
    uint64_t nr_frames;
    uint32_t nr_pfns;               /* PV: entries of the p2m */
    uint32_t vnuma;                 /* 1 = has vNUMA */
    uint32_t tsc_mode;
    uint32_t tsc_khz;
    uint16_t weight;                /* credit2 */
    uint16_t cap;
    uint32_t context_size;
    uint64_t params[HVM_NR_PARAMS];

    struct sim_vcpu vcpus[SIM_VCPUS];
    uint8_t context[SIM_CONTEXT_MAX];
    uint8_t types[SIM_PV_PFNS];     /* PV: DOMCTL_PFINFO_* >> 28 per pfn */
    uint64_t populated[SIM_GFNS / 64];
    _Atomic uint64_t dirty[SIM_GFNS / 64];
};

/* One executed hypercall, for tests of their order. */
struct sim_call {
    uint16_t op;
    uint16_t cmd;
    uint32_t domid;
    int32_t ret;
    uint32_t detail;                /* shadow op, HVM parameter, number of frames, vcpu */
};

struct sim_host {
    uint64_t magic;
    uint64_t size;                  /* of this struct: a stale program refuses to go on */
    uint32_t domctl_version;        /* what this hypervisor speaks */
    uint32_t sysctl_version;
    uint32_t version;               /* xen_version */

    /* Fault injection: the next fail_count calls of this op and cmd end with this errno. */
    _Atomic uint32_t fail_count;
    _Atomic uint32_t fail_op;
    _Atomic uint32_t fail_cmd;
    _Atomic uint32_t fail_errno;

    _Atomic uint64_t calls;
    struct sim_call trace[SIM_TRACE];   /* ring: number n is at n % SIM_TRACE */
    struct sim_domain domains[SIM_DOMAINS];
};

/*
 * A file with frames in it: at offset 0 this page, then a bitmap of the frames that exist, and from
 * SIM_HEAD pages on the frames themselves.  Clients get it read-only.
 */
#define SIM_HEAD 40
struct sim_mem {
    uint64_t magic;
    uint64_t first_frame;
    uint64_t nr_frames;
    uint32_t domid;
};
_Static_assert((SIM_HEAD - 1) * 4096u * 8 >= SIM_GFNS, "the bitmap must fit before the frames");

/* ---- the hypervisor's side (xen_domctl.c, xen_misc.c): pure functions over the state */

/* Whether a hypercall may use these bytes; NULL = any. */
extern bool (*sim_access_ok)(const void *p, size_t len);

/* Executes one hypercall as domain 0.  >= 0 or -errno. */
long sim_hypercall(struct sim_host *h, unsigned op, const uint64_t args[5]);

/* The same for a domctl that was already counted and found accessible. */
long sim_domctl(struct sim_host *h, struct xen_domctl *d, struct sim_call *call);
void sim_getdomaininfo(const struct sim_domain *d, xen_domctl_getdomaininfo_t *info);

/* The live or dying domain with this domid, or NULL. */
struct sim_domain *sim_find(struct sim_host *h, uint32_t domid);
bool sim_usable(const void *p, size_t len);

/* ---- clients (simclient.c) */

/* Connects to the host of this environment.  fd or -errno. */
int sim_connect(void);

/*
 * Sends one line and waits for the answer: "ok ..." or "error ERRNO text".  The text after the first
 * word goes to reply (may be NULL), a file descriptor that came with it to *fd (may be NULL).
 * 0 or -errno.
 */
int sim_ask(int sock, char *reply, size_t size, int *fd, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Maps the host's state.  NULL with errno. */
struct sim_host *sim_attach(int sock);

#endif
