/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Removes what a domain leaves in xenstore, as libxl does (tools/libs/light:
 * libxl__devices_destroy, libxl__initiate_device_generic_remove, libxl__device_destroy,
 * devices_destroy_cb): backends are asked to close and waited for, then backend folders with the
 * parents that this empties, then /vm/UUID, /local/domain/D and /libxl/D.  One step each
 * GATE_POLL_MS, so that other traffic goes on.
 *
 * /libxl/D is readable and writable for dom0 alone: what stands there is the toolstack's word.  Its
 * paths are still checked, for a removal cannot be taken back.
 */
#include <stdlib.h>

#include "policy/gate/gate.h"

#define DOM0 "/local/domain/0/"
#define CLOSING 5 /* XenbusState */
#define CLOSED 6

/* /local/domain/<num>/backend/<type>/<domid>/<devid>, nothing more and nothing else. */
bool gate_destroy_backend(const char *path, uint32_t domid, bool *console)
{
    unsigned b, d, dev;
    char type[32], again[GATE_PATH];

    if (sscanf(path, "/local/domain/%9u/backend/%31[a-z0-9_-]/%9u/%9u", &b, type, &d, &dev) != 4)
        return false;
    snprintf(again, sizeof(again), "/local/domain/%u/backend/%s/%u/%u", b, type, d, dev);
    *console = !strcmp(type, "console") || !strcmp(type, "vuart");
    return !strcmp(again, path) && d == domid && b < GATE_FIRST_RESERVED;
}

/* 0 = closed or gone, 1 = has been told to close.  A backend in a driver domain is closed when that
 * domain has removed its folder; one in dom0 when it says so. */
static int close_in_tx(struct gate *g, uint32_t tx, const char *be)
{
    char state[GATE_PATH + 8], online[GATE_PATH + 8];
    int r, now;

    snprintf(state, sizeof(state), "%s/state", be);
    snprintf(online, sizeof(online), "%s/online", be);
    r = gate_ask(g, XS_READ, tx, state, NULL, 0);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    now = atoi(gate_conn_payload(&g->own));
    if (now == CLOSED)
        return strncmp(be, DOM0, sizeof(DOM0) - 1) != 0;
    if (now == CLOSING)
        return 1;
    r = gate_ask(g, XS_WRITE, tx, online, "0", 1);
    if (r >= 0)
        r = gate_ask(g, XS_WRITE, tx, state, "5", 1);
    return r < 0 ? r : 1;
}

/* Removes the folder and then, while that leaves them empty, .../TYPE/D, .../TYPE and .../backend.
 */
static int remove_in_tx(struct gate *g, uint32_t tx, const char *be)
{
    char path[GATE_PATH];
    int r = gate_ask(g, XS_RM, tx, be, NULL, 0);

    snprintf(path, sizeof(path), "%s", be);
    for (int i = 0; i < 3 && (r >= 0 || r == -ENOENT); i++) {
        *strrchr(path, '/') = 0;
        r = gate_ask(g, XS_DIRECTORY, tx, path, NULL, 0);
        if (r > 0)
            return 0;
        if (r == 0)
            r = gate_ask(g, XS_RM, tx, path, NULL, 0);
    }
    return r == -ENOENT ? 0 : r;
}

/* Closes or removes every backend of the domain.  How many are not closed yet, or -errno. */
static int walk(struct gate *g, struct gate_destroy *d, bool removal)
{
    static char kinds[2048], devs[XENSTORE_PAYLOAD_MAX];
    char dir[GATE_PATH], be[GATE_PATH];
    int nk, nd, r, pending = 0;
    bool console;

    snprintf(dir, sizeof(dir), "/libxl/%u/device", d->domid);
    nk = gate_ask_list(g, dir, kinds, sizeof(kinds));
    for (const char *k = kinds; k < kinds + nk; k += strlen(k) + 1) {
        snprintf(dir, sizeof(dir), "/libxl/%u/device/%.64s", d->domid, k);
        nd = gate_ask_list(g, dir, devs, sizeof(devs));
        for (const char *v = devs; v < devs + nd; v += strlen(v) + 1) {
            snprintf(be, sizeof(be), "/libxl/%u/device/%.64s/%.64s/backend", d->domid, k, v);
            r = gate_ask(g, XS_READ, 0, be, NULL, 0);
            if (r == -ENOENT || r == 0) /* a device without a backend */
                continue;
            if (r < 0)
                return r;
            snprintf(be, sizeof(be), "%s", gate_conn_payload(&g->own));
            if (!gate_destroy_backend(be, d->domid, &console)) {
                d->err = EPERM; /* not a path to write to or remove: left alone, and said */
                continue;
            }
            if (console && !removal) /* has no state to wait for */
                continue;
            r = gate_ask_in_tx(g, removal ? remove_in_tx : close_in_tx, be);
            if (r == -EAGAIN && !removal) /* its backend writes all the time: again in a moment */
                r = 1;
            if (r < 0)
                return r;
            pending += r;
        }
        if (nd < 0 && nd != -ENOENT)
            return nd;
    }
    return nk < 0 && nk != -ENOENT ? nk : pending;
}

/* A domid is only a number: the trees must still be those of the domain with this handle. */
static int same_domain(struct gate *g, const struct gate_destroy *d)
{
    char path[GATE_PATH];
    int r;

    snprintf(path, sizeof(path), "/local/domain/%u/vm", d->domid);
    r = gate_ask(g, XS_READ, 0, path, NULL, 0);
    return r == -ENOENT ? 0 : r < 0 ? r : strcmp(gate_conn_payload(&g->own), d->vm) ? -ESTALE : 0;
}

/* Safe if the warden errs: nothing but this domid's own trees, of the domain it meant, goes. */
static int remove_trees(struct gate *g, const struct gate_destroy *d)
{
    static const char *const trees[] = {"/local/domain", "/libxl"};
    char path[GATE_PATH];
    int r = gate_ask(g, XS_RM, 0, d->vm, NULL, 0), rc = r < 0 && r != -ENOENT ? r : 0;

    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%u", trees[i], d->domid);
        r = gate_ask(g, XS_RM, 0, path, NULL, 0);
        rc = r < 0 && r != -ENOENT ? r : rc;
    }
    return rc;
}

int gate_destroy_begin(struct gate *g, uint32_t job, const struct msg_XS_DESTROY *m)
{
    const uint8_t *h = m->handle;
    struct gate_destroy *d = g->destroys;

    if (!m->domid || m->domid >= GATE_FIRST_RESERVED)
        return -EINVAL;
    while (d < g->destroys + GATE_JOBS && d->used)
        d++;
    if (d == g->destroys + GATE_JOBS)
        return -ENOSPC;
    *d = (struct gate_destroy){.used = true, .job = job, .domid = m->domid, .next = gate_now()};
    d->deadline = d->next + GATE_CLOSE_MS;
    snprintf(d->vm, sizeof(d->vm),
             "/vm/%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
             "%02x%02x%02x%02x%02x%02x",
             h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11], h[12], h[13],
             h[14], h[15]);
    return 0;
}

bool gate_destroy_step(struct gate *g, struct gate_destroy *d)
{
    int r, gone;

    gate_ask_begin(g);
    r = same_domain(g, d);
    if (r == 0)
        r = walk(g, d, false);
    if (r > 0 && gate_now() < d->deadline) {
        d->next = gate_now() + GATE_POLL_MS;
        return false;
    }
    if (r > 0)
        d->err = ETIMEDOUT;
    if (r >= 0) {
        r = walk(g, d, true);
        gone = remove_trees(g, d);
        r = r < 0 ? r : gone;
    }
    if (r < 0)
        d->err = -r;
    return true;
}
