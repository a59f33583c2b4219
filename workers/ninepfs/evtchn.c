/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A ring's bell over an event channel.
 *
 * Source: Linux's xen/evtchn.h and drivers/xen/evtchn.c.  A read takes the numbers of the ports
 * that rang; each stays masked until its number is written back, and what rings meanwhile is
 * delivered then.  So the mask stays on while a batch is done: a peer that rings without end costs
 * one wake-up per batch, and a bell between the last look at the ring and the unmasking is not
 * lost.
 *
 * No library: the worker that uses this has the descriptor and a filter of system calls.  These are
 * poll, read, write and ioctl(IOCTL_EVTCHN_NOTIFY).
 */
#include "workers/ninepfs/ring.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/sys/evtchn.h>

/* 0 or -errno. */
static int unmask(struct p9_ring *r)
{
    ssize_t n;

    if (!r->masked)
        return 0;
    n = write(r->event_fd, &r->port, sizeof(r->port));
    if (n != sizeof(r->port))
        return n < 0 ? -errno : -EIO;
    r->masked = 0;
    return 0;
}

static int evtchn_wait(struct p9_ring *r)
{
    struct pollfd p[2] = {
        { .fd = r->event_fd, .events = POLLIN },
        { .fd = r->stop_fd, .events = POLLIN },
    };
    uint32_t port;
    ssize_t n;
    int rc = unmask(r);

    if (rc)
        return rc;
    while (poll(p, 2, -1) < 0)
        if (errno != EINTR)
            return -errno;
    if (p[1].revents)
        return 1;
    n = read(r->event_fd, &port, sizeof(port));
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    /* The descriptor has this one port: another number is a descriptor that is not ours. */
    if (n != sizeof(port) || port != r->port)
        return -EIO;
    r->masked = 1;
    return 0;
}

static int evtchn_notify(struct p9_ring *r)
{
    struct ioctl_evtchn_notify bell = { .port = r->port };

    return ioctl(r->notify_fd, IOCTL_EVTCHN_NOTIFY, &bell) < 0 ? -errno : 0;
}

const struct p9_ring_ops p9_ring_evtchn = { evtchn_wait, evtchn_notify };
