/* SPDX-License-Identifier: LGPL-2.1-only */
/* What simulated guests and toolstacks other than moat do to the simulated domains. */
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "tests/sim/simhost.h"

#define DIRTY_TICK_MS 5

struct sim_guest guests[SIM_DOMAINS];

struct sim_guest *guest_find(uint32_t domid)
{
    for (unsigned i = 0; i < SIM_DOMAINS; i++)
        if (guests[i].used && guests[i].spec.domid == domid)
            return &guests[i];
    return NULL;
}

static void new_uuid(struct sim_spec *s)
{
    static uint8_t generation;

    generation++;
    for (unsigned i = 0; i < sizeof(s->uuid); i++)
        s->uuid[i] = (uint8_t)(0x10 * (i % 16) + s->domid + generation * 7 * (i > 11));
    s->uuid[6] = (uint8_t)((s->uuid[6] & 0x0f) | 0x40);
    s->uuid[8] = (uint8_t)((s->uuid[8] & 0x3f) | 0x80);
}

int guest_create(const struct sim_spec *s)
{
    struct sim_spec spec = *s;
    struct sim_guest *g = NULL;
    int r;

    if (guest_find(s->domid))
        return -EEXIST;
    for (unsigned i = 1; i < SIM_DOMAINS && !g; i++)    /* slot 0 is domain 0's */
        if (!guests[i].used) {
            g = &guests[i];
            g->d = &host->domains[i];
        }
    if (!g)
        return -ENOSPC;
    if (!spec.has_uuid)
        new_uuid(&spec);
    r = domain_build(g, &spec);
    if (r)
        return r;
    g->used = true;
    g->dirtied_at = now_ms();
    store_domain_nodes(g);
    return 0;
}

static void release(struct sim_guest *g)
{
    domain_free(g);
    store_released();
}

int guest_destroy(struct sim_guest *g)
{
    if (atomic_load(&g->d->life) == SIM_DYING)
        return -ESRCH;
    atomic_store(&g->d->life, SIM_DYING);
    atomic_store(&g->d->logdirty, 0);
    g->requested = false;
    g->ack_at = g->suspend_at = 0;
    store_released();
    if (!g->pins)
        release(g);
    return 0;
}

void guest_unpin(struct sim_guest *g)
{
    if (g->pins && --g->pins == 0 && atomic_load(&g->d->life) == SIM_DYING)
        release(g);
}

/* force: as if nothing pinned the domid, which is what the pin is there to prevent. */
int guest_reuse(struct sim_guest *g, bool force)
{
    struct sim_spec spec = g->spec;
    unsigned pins = force ? g->pins : 0;
    int r;

    if (force)
        g->pins = 0;
    r = guest_destroy(g);
    if (r && r != -ESRCH)
        return r;
    spec.has_uuid = false;
    spec.behave = BEHAVE_NORMAL;
    r = guest_create(&spec);
    g = guest_find(spec.domid);
    if (!r && g)
        g->pins = pins;
    return r;
}

uint32_t guest_sum(const struct sim_guest *g)
{
    uLong sum = crc32(0, NULL, 0);

    for (uint64_t pfn = 0; pfn <= g->d->max_gpfn; pfn++) {
        if (!pfn_is_plain(g, pfn))
            continue;
        sum = crc32(sum, (const Bytef *)&pfn, sizeof(pfn));
        sum = crc32(sum, g->frames + pfn * SIM_PAGE, SIM_PAGE);
    }
    return (uint32_t)sum;
}

void guest_shutdown(struct sim_guest *g, unsigned reason)
{
    if (reason == SHUTDOWN_suspend) {
        g->suspends++;
        if (g->spec.sum)
            g->sum = guest_sum(g);
    }
    atomic_store(&g->d->shutdown, reason + 1);
    store_released();
}

void guest_control(struct sim_guest *g, const char *value)
{
    if (strcmp(value, "suspend")) {
        g->requested = false;
        g->ack_at = 0;
        return;
    }
    if (g->requested || atomic_load(&g->d->life) != SIM_LIVE || g->spec.behave == BEHAVE_IGNORE)
        return;
    g->requested = true;
    g->ack_at = now_ms() + g->spec.ack_ms + 1;
}

static bool running(const struct sim_guest *g)
{
    return atomic_load(&g->d->life) == SIM_LIVE && !atomic_load(&g->d->shutdown) &&
           !atomic_load(&g->d->pauses);
}

static void acknowledge(struct sim_guest *g)
{
    char path[64];

    g->ack_at = 0;
    g->requested = false;
    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", g->spec.domid);
    store_write(path, "");
    if (g->spec.behave != BEHAVE_STALL)
        g->suspend_at = now_ms() + g->spec.suspend_ms + 1;
}

static void suspend(struct sim_guest *g)
{
    g->suspend_at = 0;
    switch (g->spec.behave) {
    case BEHAVE_DIE:
        guest_destroy(g);
        break;
    case BEHAVE_REUSE:
        guest_reuse(g, true);
        break;
    case BEHAVE_CRASH:
        guest_shutdown(g, SHUTDOWN_crash);
        break;
    default:
        guest_shutdown(g, SHUTDOWN_suspend);
    }
}

/* The guest writes to pages of its own: memory first, then the bit, so that no write is missed. */
static void write_pages(struct sim_guest *g, uint64_t n)
{
    uint64_t span = g->spec.type == SIM_PV ? g->d->nr_pfns : (uint64_t)g->spec.mem << 8;

    for (; n; n--) {
        uint64_t pfn, *p;

        g->rng = g->rng * 6364136223846793005ull + 1442695040888963407ull;
        pfn = (g->rng >> 33) % span;
        if (pfn < g->first_free || !pfn_is_plain(g, pfn))
            continue;
        if (!running(g))
            return;
        p = (uint64_t *)(g->frames + pfn * SIM_PAGE);
        p[g->rng % 512] = ++g->writes;
        p[511] = g->rng;
        if (atomic_load(&g->d->logdirty) &&
            !(atomic_fetch_or(&g->d->dirty[pfn / 64], 1ull << (pfn % 64)) >> (pfn % 64) & 1))
            atomic_fetch_add(&g->d->dirty_count, 1);
    }
}

void guests_tick(void)
{
    uint64_t now = now_ms();

    for (unsigned i = 0; i < SIM_DOMAINS; i++) {
        struct sim_guest *g = &guests[i];

        if (!g->used)
            continue;
        if (g->spec.dirty && now - g->dirtied_at >= DIRTY_TICK_MS) {
            uint64_t ms = now - g->dirtied_at < 100 ? now - g->dirtied_at : 100;

            g->dirtied_at = now;
            write_pages(g, ms * g->spec.dirty / 1000);
        }
        /* A paused guest does nothing; what is due happens when it runs again. */
        if (g->ack_at && now >= g->ack_at && running(g))
            acknowledge(g);
        if (g->suspend_at && now >= g->suspend_at && running(g))
            suspend(g);
    }
}

int guests_timeout(void)
{
    uint64_t now = now_ms(), next = UINT64_MAX;

    for (unsigned i = 0; i < SIM_DOMAINS; i++) {
        const struct sim_guest *g = &guests[i];

        if (!g->used || atomic_load(&g->d->life) != SIM_LIVE)
            continue;
        if (g->spec.dirty && g->dirtied_at + DIRTY_TICK_MS < next)
            next = g->dirtied_at + DIRTY_TICK_MS;
        if (g->ack_at && g->ack_at < next)
            next = g->ack_at;
        if (g->suspend_at && g->suspend_at < next)
            next = g->suspend_at;
    }
    if (next == UINT64_MAX)
        return -1;
    return next > now ? (int)(next - now) : 1;
}
