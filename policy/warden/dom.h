/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What the warden itself reads of domains and does to them.  Every act takes domid *and* handle and
 * compares both right before: a domid alone is only a number.
 */
#ifndef MOAT_DOM_H
#define MOAT_DOM_H

#include <stdbool.h>
#include <stdint.h>

#define DOM_LIST_MAX 16             /* domains per dom_list() */

struct dom {
    uint32_t domid;
    uint8_t handle[16];
};

/* What getdomaininfo says, in our own terms: no header of Xen's is needed to use it. */
struct dom_info {
    struct dom id;
    uint32_t flags;                 /* XEN_DOMINF_* */
    uint32_t guest_type;            /* enum guest_type */
    bool dying, shutdown, paused, xenstore;
    uint32_t reason;                /* SHUTDOWN_*, when shut down */
    uint32_t vcpus, max_vcpu_id, ssidref, cpupool;
    uint64_t tot_pages, max_pages, outstanding_pages, shared_info_frame, cpu_ns;
};

/* 0; -ESRCH: there is no such domain; other -errno. */
int dom_info(uint32_t domid, struct dom_info *info);

/* As dom_info(), but -ESRCH also when the domid is another domain's by now. */
int dom_same(const struct dom *d, struct dom_info *info);

/* The domains from domid `first` on; returns how many (0 = no more) or -errno. */
int dom_list(uint32_t first, struct dom_info rows[DOM_LIST_MAX]);

/* A frame that the domain has populated, to pin it by.  0 or -errno. */
int dom_frame(const struct dom_info *info, uint64_t *frame);

int dom_has_vnuma(uint32_t domid);  /* 1, 0 or -errno */
int dom_max_pages(const struct dom_info *info, uint64_t *pages);    /* 0 or -errno */
int dom_width(const struct dom_info *info, uint32_t *width);        /* 64 or 32 bits; 0 or -errno */

/* True if shut down with reason suspend, which is what a save waits for and a resume needs. */
bool dom_suspended(const struct dom_info *info);

/* enum domain_state, and the SHUTDOWN_* reason of one that is shut down, else 0. */
uint32_t dom_state(const struct dom_info *info, uint32_t *reason);

/* Acts.  0 or -errno; -ESRCH: gone, or another domain. */
int dom_pause(const struct dom *d);
int dom_unpause(const struct dom *d);
int dom_logdirty_off(const struct dom *d);
int dom_resume(const struct dom *d);    /* the suspend call returns 1: "cancelled" */

#endif
