/* SPDX-License-Identifier: LGPL-2.1-only */
/* The loop: the warden's requests first, then the parent's, each only while there is room. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policy/gate/gate.h"

static struct gate gate;

static void say(struct gate *g, uint32_t type, uint32_t job, const void *msg)
{
    int r = ipc_send(&g->warden, type, job, msg, NULL, 0);

    if (r < 0) /* it waits for this answer, so that its queue cannot be full */
        gate_die(r == -EPIPE ? 0 : 1, "the warden takes no answer: %s", strerror(-r));
}

static void done(struct gate *g, int rc, uint32_t withdrawn)
{
    struct msg_XS_DONE m = {.errnum = rc < 0 ? -rc : 0, .withdrawn = withdrawn};

    say(g, MSG_XS_DONE, g->frame.job, &m);
}

/* ---- what the warden asks for */

static int grant(struct gate *g, const struct msg_XS_GRANT *m)
{
    int r = gate_grant(&g->table, g->frame.job, m->kind, m->domid, m->stage);

    gate_forward_recheck(g, g->frame.job);
    return r;
}

static int take_back(struct gate *g)
{
    gate_revoke(&g->table, g->frame.job);
    gate_forward_recheck(g, g->frame.job);
    return 0;
}

/* An undo that the parent could overwrite would be none: the right to write goes first. */
static int undo(struct gate *g, const struct msg_XS_UNDO *m, uint32_t *withdrawn)
{
    struct gate_job *j = g->frame.job ? gate_find(&g->table, g->frame.job) : NULL;

    if (!m->domid || m->domid >= GATE_FIRST_RESERVED)
        return -EINVAL;
    if (j)
        j->stage = XS_STAGE_READ;
    gate_forward_recheck(g, g->frame.job);
    return gate_ask_undo(g, m->domid, m->what, withdrawn);
}

static void destroyed(struct gate *g, uint32_t job, uint32_t domid, int err)
{
    say(g, MSG_XS_DESTROYED, job, &(struct msg_XS_DESTROYED){.domid = domid, .errnum = err});
}

static void on_request(struct gate *g)
{
    union {
        struct msg_RESOLVE resolve;
        struct msg_DESCRIBE describe;
        struct msg_XS_GRANT grant;
        struct msg_XS_UNDO undo;
        struct msg_XS_DESTROY destroy;
    } m;
    struct msg_RESOLVED resolved = {0};
    struct msg_DESCRIBED described = {0};
    uint32_t withdrawn = 0;
    int r;

    if (ipc_decode(&g->frame, &m))
        gate_die(1, "the warden's message: %s", g->frame.why);
    gate_ask_begin(g);
    switch (g->frame.type) {
    case MSG_RESOLVE:
        resolved.errnum = -gate_ask_resolve(g, m.resolve.name, &resolved);
        return say(g, MSG_RESOLVED, g->frame.job, &resolved);
    case MSG_DESCRIBE:
        described.errnum = -gate_ask_describe(g, m.describe.domid, &described);
        return say(g, MSG_DESCRIBED, g->frame.job, &described);
    case MSG_XS_GRANT: return done(g, grant(g, &m.grant), 0);
    case MSG_XS_REVOKE: return done(g, take_back(g), 0);
    case MSG_XS_UNDO:
        r = undo(g, &m.undo, &withdrawn);
        return done(g, r, withdrawn);
    case MSG_XS_DESTROY:
        r = gate_destroy_begin(g, g->frame.job, &m.destroy);
        if (r < 0)
            destroyed(g, g->frame.job, m.destroy.domid, -r);
    }
}

static void on_warden(struct gate *g)
{
    int r = ipc_recv(&g->warden, &g->frame);

    if (r == -ECONNRESET)
        gate_die(0, "the warden has ended");
    if (r < 0)
        gate_die(1, "the warden's channel: %s %s", strerror(-r), r == -EPROTO ? g->frame.why : "");
    if (r)
        on_request(g);
}

/* ---- connections */

/* Safe if somebody else connects: the kernel says whose socket it is (at this, the server's end, it
 * names the process that connected), and the first connection of the right uid closes the door. */
static void on_connect(struct gate *g)
{
    struct ucred uc = {.uid = -1};
    socklen_t len = sizeof(uc);
    int fd = accept4(g->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &uc, &len) ||
        (uc.uid != g->parent_uid && uc.uid != 0)) {
        close(fd);
        return;
    }
    g->parent.fd = fd;
    close(g->listener);
    g->listener = -1;
}

static void on_parent(struct gate *g)
{
    int r = gate_conn_read(&g->parent);

    if (r == -ECONNRESET)
        gate_die(0, "the parent has closed its xenstore connection");
    if (r < 0)
        gate_die(1, "the parent's xenstore connection: %s", strerror(-r));
    if (r) {
        gate_forward_parent(g);
        g->parent.got = 0;
    }
}

/* Between requests upstream tells events, and `own` at most an answer that came too late. */
static void on_xenstored(struct gate *g, struct conn *c)
{
    int r = gate_conn_read(c);

    if (r < 0)
        gate_die(1, "xenstored is gone: %s", strerror(-r));
    if (r && c == &g->upstream && c->hdr.type == XS_WATCH_EVENT)
        gate_forward_event(g);
    if (r)
        c->got = 0;
}

/* ---- time */

/* Runs what is due; ms until the next. */
static int on_time(struct gate *g)
{
    struct msg_XS_REFUSED m = {.count = g->refused};
    int64_t now = gate_now(), next = now + 60000;

    for (struct gate_destroy *d = g->destroys; d < g->destroys + GATE_JOBS; d++) {
        if (d->used && d->next <= now && gate_destroy_step(g, d)) {
            d->used = false;
            destroyed(g, d->job, d->domid, d->err);
        }
        if (d->used && d->next < next)
            next = d->next;
    }
    if (g->refused && g->refused_next <= now) {
        memcpy(m.path, g->refused_path, sizeof(m.path));
        if (!ipc_send(&g->warden, MSG_XS_REFUSED, 0, &m, NULL, 0))
            g->refused = 0;
        g->refused_next = now + 1000;
    }
    if (g->refused && g->refused_next < next)
        next = g->refused_next;
    now = gate_now();
    return next > now ? next - now : 0;
}

/*
 * The warden's channel is polled for POLLOUT, which a Unix socket has while at most a quarter of
 * its buffer is used: however long the warden is busy elsewhere, these messages leave room for the
 * answers that it will wait for.
 */
static void tell_released(struct gate *g)
{
    if (ipc_send(&g->warden, MSG_XS_RELEASED, 0, NULL, NULL, 0))
        return; /* told in the next turn, or the warden is gone */
    g->released = false;
    g->released_next = gate_now() + GATE_RELEASED_MS;
}

static void turn(struct gate *g)
{
    struct pollfd p[4] = {
        {.fd = g->warden.fd, .events = POLLIN},
        {.fd = g->own.fd, .events = POLLIN},
        {.fd = g->upstream.fd, .events = POLLIN},
        {.fd = g->listener, .events = POLLIN},
    };
    int timeout = on_time(g);
    int64_t quiet = g->released ? g->released_next - gate_now() : 0;

    if (quiet > 0)
        timeout = quiet < timeout ? (int)quiet : timeout;
    else if (g->released)
        p[0].events |= POLLOUT;
    if (g->listener < 0) {
        gate_forward_events(g);
        gate_conn_flush(&g->parent);
        p[3].fd = g->parent.fd;
        p[3].events = (gate_forward_ready(g) ? POLLIN : 0) | (g->parent.len ? POLLOUT : 0);
    }
    if (poll(p, 4, timeout) <= 0)
        return;
    if (p[0].revents & POLLOUT)
        tell_released(g);
    if (p[0].revents & ~POLLOUT)
        return on_warden(g); /* what it takes away holds before the parent's next request */
    if (p[1].revents)
        on_xenstored(g, &g->own);
    if (p[2].revents)
        on_xenstored(g, &g->upstream);
    if (p[3].revents && g->listener >= 0)
        on_connect(g);
    else if (p[3].revents & (POLLIN | POLLHUP | POLLERR) && gate_forward_ready(g))
        on_parent(g);
}

void gate_open(int warden, int listener, int upstream, int own, uid_t parent_uid)
{
    gate.warden = (struct ipc_chan){.fd = warden, .self = GATE, .peer = WARDEN, .phase = PH_RUN};
    gate.listener = listener;
    gate.parent_uid = parent_uid;
    gate.parent.fd = -1;
    gate.upstream.fd = upstream;
    gate.own.fd = own;
    signal(SIGPIPE, SIG_IGN);
    if (fcntl(upstream, F_SETFL, O_NONBLOCK) || fcntl(own, F_SETFL, O_NONBLOCK) ||
        fcntl(listener, F_SETFL, O_NONBLOCK))
        gate_die(1, "fcntl: %s", strerror(errno));
}

void gate_serve(void)
{
    gate_forward_start(&gate);
    for (;;)
        turn(&gate);
}
