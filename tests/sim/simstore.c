/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The simulated xenstored inside simhost: what other parties do there.  Guests read control/shutdown,
 * backend drivers close when they are told to; a domain's end fires @releaseDomain.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xs_wire.h>

#include "tests/sim/simhost.h"
#include "tests/sim/xenstore.h"

#define BACKENDS 64
#define CLOSE_MS 20         /* a backend driver takes a moment */

static struct simxs *xs;
static char socket_path[108];
static bool backends_stuck;
static struct {
    char path[128];         /* its state node, "" = free */
    uint64_t at;
} closing[BACKENDS];

/* .../backend/TYPE/DOMID/DEVID/state became 5: the driver answers with 6. */
static void backend_closes(const char *path)
{
    for (unsigned i = 0; i < BACKENDS; i++)
        if (!closing[i].path[0] && strlen(path) < sizeof(closing[i].path)) {
            memcpy(closing[i].path, path, strlen(path) + 1);
            closing[i].at = now_ms() + CLOSE_MS;
            return;
        }
}

static void changed(void *u, uint32_t type, const char *path, const char *value)
{
    unsigned domid;
    int end = 0;

    if (type != XS_WRITE || !value)
        return;
    if (sscanf(path, "/local/domain/%u/control/shutdown%n", &domid, &end) == 1 && end && !path[end]) {
        struct sim_guest *g = guest_find(domid);

        if (g)
            guest_control(g, value);
        return;
    }
    end = 0;
    if (sscanf(path, "/local/domain/%*u/backend/%*[^/]/%*u/%*u/state%n", &end) == 0 && end &&
        !path[end] && !strcmp(value, "5") && !backends_stuck)
        backend_closes(path);
}

int store_open(const char *path)
{
    int r;

    if (strlen(path) >= sizeof(socket_path))
        return -ENAMETOOLONG;
    if (path != socket_path)
        memcpy(socket_path, path, strlen(path) + 1);
    xs = simxs_new();
    simxs_on_change(xs, changed, NULL);
    r = simxs_listen(xs, socket_path);
    if (r)
        store_close();
    return r;
}

void store_close(void)
{
    if (xs)
        simxs_free(xs);
    xs = NULL;
    memset(closing, 0, sizeof(closing));
}

/* stop, start, stall, go, drop, stuck, unstuck */
int store_command(const char *word)
{
    int r;

    if (!strcmp(word, "stop")) {
        store_close();
        return 0;
    }
    if (!strcmp(word, "start")) {
        r = xs || !socket_path[0] ? -EBUSY : store_open(socket_path);
        if (r)
            return r;
        store_host_nodes();
        for (unsigned i = 0; i < SIM_DOMAINS; i++)
            if (guests[i].used)
                store_domain_nodes(&guests[i]);
        return 0;
    }
    if (!strcmp(word, "stuck") || !strcmp(word, "unstuck")) {
        backends_stuck = *word == 's';
        return 0;
    }
    if (!xs)
        return -ENOTCONN;
    if (!strcmp(word, "stall") || !strcmp(word, "go"))
        simxs_stall(xs, *word == 's');
    else if (!strcmp(word, "drop"))
        simxs_drop(xs);
    else
        return -EINVAL;
    return 0;
}

unsigned store_fds(struct pollfd *fds, unsigned max)
{
    return xs ? simxs_pollfds(xs, fds, max) : 0;
}

void store_run(void)
{
    uint64_t now = now_ms();

    if (xs)
        simxs_handle(xs);
    for (unsigned i = 0; xs && i < BACKENDS; i++)
        if (closing[i].path[0] && now >= closing[i].at) {
            if (simxs_read(xs, closing[i].path))
                simxs_write(xs, closing[i].path, "6");
            closing[i].path[0] = 0;
        }
}

int store_timeout(void)
{
    uint64_t now = now_ms(), next = UINT64_MAX;

    for (unsigned i = 0; i < BACKENDS; i++)
        if (closing[i].path[0] && closing[i].at < next)
            next = closing[i].at;
    if (next == UINT64_MAX)
        return -1;
    return next > now ? (int)(next - now) : 0;
}

void store_released(void)
{
    if (xs)
        simxs_fire(xs, "@releaseDomain");
}

const char *store_read(const char *path)
{
    return xs ? simxs_read(xs, path) : NULL;
}

int store_write(const char *path, const char *value)
{
    if (!xs)
        return -ENOTCONN;
    simxs_write(xs, path, value);
    return 0;
}

int store_remove(const char *path)
{
    if (!xs)
        return -ENOTCONN;
    simxs_rm(xs, path);
    return 0;
}
