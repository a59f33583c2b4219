/* SPDX-License-Identifier: LGPL-2.1-only */
/* Inside simhost: domains as it sees them, guests' behaviour, xenstore.  See sim.h for the rest. */
#ifndef MOAT_SIMHOST_H
#define MOAT_SIMHOST_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/hv_sim.h"
#include "tests/sim/sim.h"

enum sim_behaviour {
    BEHAVE_NORMAL,      /* acknowledges the request, then suspends */
    BEHAVE_IGNORE,      /* never acknowledges */
    BEHAVE_STALL,       /* acknowledges, never suspends */
    BEHAVE_DIE,         /* acknowledges, then the domain is destroyed */
    BEHAVE_CRASH,       /* acknowledges, then shuts down for another reason */
    BEHAVE_REUSE,       /* acknowledges, then is destroyed and its domid is another domain's */
    BEHAVIOURS,
};

/* What --domain and `create` can say of a domain; see simspec.c for the words. */
struct sim_spec {
    char name[64];
    uint32_t domid;
    uint32_t type;              /* enum sim_type */
    uint32_t mem;               /* MiB */
    uint32_t vcpus;
    uint32_t fill;              /* per cent of pages with a pattern, the others are zero */
    uint32_t dirty;             /* pages per second that the guest writes */
    uint32_t ack_ms;            /* from the request to its acknowledgement */
    uint32_t suspend_ms;        /* from there to the suspend */
    uint32_t behave;            /* enum sim_behaviour */
    uint32_t balloon;           /* pages that are not there */
    uint32_t vnuma, pci, ninepfs, dm, sum;
    uint8_t uuid[16];
    bool has_uuid;
};

struct sim_guest {
    bool used;
    struct sim_spec spec;
    struct sim_domain *d;       /* in the shared state */
    int memfd, memfd_ro;
    uint8_t *file;              /* the whole memory file, writable */
    uint8_t *frames;            /* file + SIM_HEAD pages: its first frame */
    uint64_t first_free;        /* PV: lower pfns hold p2m and page tables */
    unsigned pins;              /* mappings of clients that keep the domid */
    bool requested;             /* control/shutdown said "suspend" and was not yet answered */
    uint64_t ack_at, suspend_at;/* ms, 0 = nothing planned */
    uint64_t dirtied_at;
    uint64_t suspends;
    uint64_t writes;            /* pages written since birth */
    uint64_t rng;
    uint32_t sum;               /* crc32 of the memory at the last suspend */
};

extern struct sim_host *host;
extern struct sim_guest guests[SIM_DOMAINS];
extern int host_fd;
extern int m2p_fd;              /* read-only */
extern const char *userdata_dir;

uint64_t now_ms(void);
int simhost_main(int argc, char **argv);

/* simspec.c: "name=web,domid=1,type=pvh,mem=64,..."; 0 or -EINVAL with *why set. */
int spec_parse(struct sim_spec *s, const char *text, const char **why);
const char *behaviour_word(unsigned b);
int behaviour_parse(const char *word);
void uuid_text(const uint8_t uuid[16], char out[37]);
int uuid_parse(const char *text, uint8_t uuid[16]);

/* simdom.c: the domain's memory and state.  0 or -errno. */
int memory_init(void);
int domain_build(struct sim_guest *g, const struct sim_spec *s);
void domain_free(struct sim_guest *g);
bool pfn_is_plain(const struct sim_guest *g, uint64_t pfn);

/* simguest.c: what guests and toolstacks do. */
struct sim_guest *guest_find(uint32_t domid);
int guest_create(const struct sim_spec *s);
/* The domctl alone; the domid is free when nobody has a page mapped. */
int guest_destroy(struct sim_guest *g);
void guest_shutdown(struct sim_guest *g, unsigned reason);
void guest_unpin(struct sim_guest *g);
int guest_reuse(struct sim_guest *g, bool force);
void guest_control(struct sim_guest *g, const char *value);   /* control/shutdown was written */
void guests_tick(void);
int guests_timeout(void);       /* ms until guests_tick has something to do, -1 = nothing */
uint32_t guest_sum(const struct sim_guest *g);

/* simstore.c: the simulated xenstored.  0 or -errno. */
int store_open(const char *path);
void store_close(void);
int store_command(const char *word);    /* stop, start, stall, go, drop, stuck, unstuck */
unsigned store_fds(struct pollfd *fds, unsigned max);
void store_run(void);
int store_timeout(void);
void store_released(void);              /* a domain shut down, is dying or gone */
const char *store_read(const char *path);
int store_write(const char *path, const char *value);
int store_remove(const char *path);

/* simnodes.c: what a real host has of itself and of a domain, in xenstore and as userdata. */
void store_host_nodes(void);
void store_domain_nodes(const struct sim_guest *g);

/* simcontrol.c: the control protocol, one line per packet. */
#define CLIENT_PINS 128
struct sim_client {
    int fd;                         /* -1 = free */
    unsigned npins;
    uint16_t pins[CLIENT_PINS];     /* domids; dropped with the connection */
};

/* Answers one line into out; *fd: a descriptor to send beside it (not to be closed), else -1. */
void control_line(struct sim_client *c, char *line, char *out, size_t size, int *fd);
void control_gone(struct sim_client *c);
extern bool quitting;

#endif
