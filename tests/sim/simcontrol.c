/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The control protocol of simhost: what hv_sim.c and destroy_sim.c ask for, and what tests ask and
 * change with simctl.  README.md lists the words.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/simhost.h"

#define WORDS 8

bool quitting;

struct request {
    struct sim_client *client;
    unsigned n;
    char *words[WORDS];
    struct sim_guest *guest;    /* of words[1], for the words that need one */
    char *out;
    size_t size;
    int *fd;
};

__attribute__((format(printf, 2, 3)))
static int ok(struct request *q, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(q->out, q->size, "ok ");

    va_start(ap, fmt);
    vsnprintf(q->out + n, q->size - (size_t)n, fmt, ap);
    va_end(ap);
    return 0;
}

static unsigned long number(const char *word)
{
    return word ? strtoul(word, NULL, 0) : 0;
}

/* ---- what the replacements of moat's own parts use */

static int do_host(struct request *q)
{
    *q->fd = host_fd;
    return ok(q, "%zu", sizeof(*host));
}

static int do_mem(struct request *q)
{
    if (number(q->words[1]) == DOMID_XEN) {
        *q->fd = m2p_fd;
        return 0;
    }
    q->guest = guest_find((uint32_t)number(q->words[1]));
    if (!q->guest)
        return -ESRCH;
    *q->fd = q->guest->memfd_ro;
    return 0;
}

static int do_pin(struct request *q)
{
    struct sim_client *c = q->client;

    if (c->npins == CLIENT_PINS)
        return -ENOSPC;
    c->pins[c->npins++] = (uint16_t)q->guest->spec.domid;
    q->guest->pins++;
    return 0;
}

static int do_unpin(struct request *q)
{
    struct sim_client *c = q->client;

    for (unsigned i = 0; i < c->npins; i++)
        if (c->pins[i] == q->guest->spec.domid) {
            c->pins[i] = c->pins[--c->npins];
            guest_unpin(q->guest);
            return 0;
        }
    return -ENOENT;
}

void control_gone(struct sim_client *c)
{
    for (unsigned i = 0; i < c->npins; i++) {
        struct sim_guest *g = guest_find(c->pins[i]);

        if (g)
            guest_unpin(g);
    }
    close(c->fd);
    c->npins = 0;
    c->fd = -1;
}

/* destroy DOMID [UUID]: the domctl, if the handle still fits. */
static int do_destroy(struct request *q)
{
    uint8_t uuid[16];

    if (q->n > 2 && (uuid_parse(q->words[2], uuid) || memcmp(uuid, q->guest->d->handle, 16)))
        return -ESRCH;
    return guest_destroy(q->guest);
}

/* ---- what tests use */

static int do_list(struct request *q)
{
    size_t n = 3;

    ok(q, "%s", "");
    for (unsigned i = 0; i < SIM_DOMAINS && n < q->size; i++)
        if (guests[i].used)
            n += (size_t)snprintf(q->out + n, q->size - n, "%u %s\n", guests[i].spec.domid,
                                  guests[i].spec.name);
    return 0;
}

static int do_state(struct request *q)
{
    const struct sim_guest *g = q->guest;
    const struct sim_domain *d = g->d;
    uint32_t shutdown = atomic_load(&d->shutdown);
    char path[64], uuid[37], reason[16] = "-";
    const char *control;

    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", g->spec.domid);
    control = store_read(path);
    uuid_text(d->handle, uuid);
    if (shutdown)
        snprintf(reason, sizeof(reason), "%u", shutdown - 1);
    return ok(q, "domid=%u name=%s uuid=%s life=%s pauses=%u shutdown=%s logdirty=%u resumes=%u "
              "suspends=%llu pins=%u writes=%llu eax=%llu control=%s",
              g->spec.domid, g->spec.name, uuid,
              atomic_load(&d->life) == SIM_LIVE ? "live" : "dying", atomic_load(&d->pauses), reason,
              atomic_load(&d->logdirty), atomic_load(&d->resumes),
              (unsigned long long)g->suspends, g->pins, (unsigned long long)g->writes,
              (unsigned long long)d->vcpus[0].context.user_regs.rax, control ? control : "(none)");
}

static int do_behave(struct request *q)
{
    int b = behaviour_parse(q->n > 2 ? q->words[2] : "");

    if (b < 0)
        return b;
    q->guest->spec.behave = (uint32_t)b;
    return 0;
}

static int do_set(struct request *q)
{
    const char *why;

    if (q->n < 3)
        return -EINVAL;
    if (spec_parse(&q->guest->spec, q->words[2], &why)) {
        snprintf(q->out, q->size, "error %d %s", EINVAL, why);
        return -EINVAL;
    }
    q->guest->dirtied_at = now_ms();
    return 0;
}

static int do_create(struct request *q)
{
    struct sim_spec s = { .mem = 64, .vcpus = 1, .fill = 60, .ack_ms = 2, .suspend_ms = 5 };
    const char *why;

    if (q->n < 2 || spec_parse(&s, q->words[1], &why))
        return -EINVAL;
    return guest_create(&s);
}

static int do_reuse(struct request *q)
{
    return guest_reuse(q->guest, q->n > 2 && !strcmp(q->words[2], "force"));
}

/* shutdown DOMID REASON: 0 poweroff, 1 reboot, 2 suspend, 3 crash */
static int do_shutdown(struct request *q)
{
    guest_shutdown(q->guest, (unsigned)number(q->n > 2 ? q->words[2] : "3"));
    return 0;
}

static int do_pause(struct request *q)
{
    atomic_fetch_add(&q->guest->d->pauses, 1);
    return 0;
}

static int do_sum(struct request *q)
{
    return ok(q, "%08x", q->guest->spec.sum ? q->guest->sum : guest_sum(q->guest));
}

static int do_counts(struct request *q)
{
    uint64_t calls = atomic_load(&host->calls);
    uint64_t first = calls > SIM_TRACE ? calls - SIM_TRACE : 0;
    uint64_t wanted = q->n > 1 ? number(q->words[1]) : UINT64_MAX;
    size_t n = 3;

    if (calls - first > wanted)
        first = calls - wanted;
    ok(q, "%s", "");
    /* trace N: the last N calls, as many as fit; counts: how many there were */
    if (q->words[0][0] == 'c')
        return ok(q, "%llu", (unsigned long long)calls);
    for (uint64_t i = first; i < calls && n + 64 < q->size; i++) {
        const struct sim_call *c = &host->trace[i % SIM_TRACE];

        n += (size_t)snprintf(q->out + n, q->size - n, "%u %u %u %u %d\n", c->op, c->cmd, c->domid,
                              c->detail, c->ret);
    }
    return 0;
}

static int do_fail(struct request *q)
{
    if (q->n < 5)
        return -EINVAL;
    atomic_store(&host->fail_op, (uint32_t)number(q->words[1]));
    atomic_store(&host->fail_cmd, (uint32_t)number(q->words[2]));
    atomic_store(&host->fail_errno, (uint32_t)number(q->words[3]));
    atomic_store(&host->fail_count, (uint32_t)number(q->words[4]));
    return 0;
}

static int do_version(struct request *q)
{
    if (q->n < 3)
        return -EINVAL;
    host->domctl_version = (uint32_t)number(q->words[1]);
    host->sysctl_version = (uint32_t)number(q->words[2]);
    return 0;
}

static int do_read(struct request *q)
{
    const char *value = q->n > 1 ? store_read(q->words[1]) : NULL;

    return value ? ok(q, "%s", value) : -ENOENT;
}

static int do_write(struct request *q)
{
    return q->n > 1 ? store_write(q->words[1], q->n > 2 ? q->words[2] : "") : -EINVAL;
}

static int do_rm(struct request *q)
{
    return q->n > 1 ? store_remove(q->words[1]) : -EINVAL;
}

static int do_xenstored(struct request *q)
{
    return store_command(q->n > 1 ? q->words[1] : "");
}

static int do_quit(struct request *q)
{
    quitting = true;
    return 0;
}

static const struct {
    const char *word;
    bool guest;
    int (*run)(struct request *q);
} commands[] = {
    { "host", false, do_host },         { "mem", false, do_mem },
    { "pin", true, do_pin },            { "unpin", true, do_unpin },
    { "destroy", true, do_destroy },    { "list", false, do_list },
    { "state", true, do_state },        { "behave", true, do_behave },
    { "set", true, do_set },            { "create", false, do_create },
    { "reuse", true, do_reuse },        { "shutdown", true, do_shutdown },
    { "pause", true, do_pause },        { "sum", true, do_sum },
    { "counts", false, do_counts },     { "trace", false, do_counts },
    { "fail", false, do_fail },         { "version", false, do_version },
    { "read", false, do_read },         { "write", false, do_write },
    { "rm", false, do_rm },             { "xenstored", false, do_xenstored },
    { "quit", false, do_quit },
};

void control_line(struct sim_client *c, char *line, char *out, size_t size, int *fd)
{
    struct request q = { .client = c, .out = out, .size = size, .fd = fd };
    char *save = NULL;
    int r = -ENOSYS;

    *fd = -1;
    snprintf(out, size, "ok");
    for (char *w = strtok_r(line, " ", &save); w && q.n < WORDS; w = strtok_r(NULL, " ", &save))
        q.words[q.n++] = w;
    for (size_t i = 0; q.n && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(q.words[0], commands[i].word))
            continue;
        if (commands[i].guest) {
            q.guest = q.n > 1 ? guest_find((uint32_t)number(q.words[1])) : NULL;
            if (!q.guest) {
                r = -ESRCH;
                break;
            }
        }
        r = commands[i].run(&q);
        break;
    }
    if (r && strncmp(out, "error", 5))
        snprintf(out, size, "error %d %s", -r, strerror(-r));
}
