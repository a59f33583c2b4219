/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What the warden may ask of the supervisor: two requests of a domid and a handle.  Both are
 * numbers; files.c and destroy_xen.c say why they can do no harm when they lie.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/launch/supervisor.h"

static struct ipc_chan channel(const struct supervisor *s)
{
    return (struct ipc_chan){.fd = s->set.warden, .self = SUPERVISOR, .peer = WARDEN,
                             .phase = PH_RUN};
}

static void answer(struct supervisor *s, uint32_t type, uint32_t job, const void *msg, int *fd)
{
    struct ipc_chan ch = channel(s);
    int rc = ch.fd < 0 ? 0 : ipc_send(&ch, type, job, msg, fd, fd ? 1 : 0);

    if (rc) {
        fprintf(stderr, "moatd: warden: %s\n", strerror(-rc));
        supervisor_end(s, GRACE);
    }
}

static struct helper *free_helper(struct supervisor *s)
{
    for (unsigned i = 0; i < HELPERS; i++)
        if (!s->helpers[i].pid)
            return &s->helpers[i];
    return NULL;
}

static void open_config(struct supervisor *s, struct ipc_frame *f)
{
    struct msg_OPEN_CONFIG m;
    struct msg_OPENED a = {0};
    int fd;

    if (ipc_decode(f, &m)) {
        supervisor_end(s, GRACE);
        return;
    }
    fd = launch_open_config(m.domid, m.handle);
    a.errnum = fd < 0 ? -fd : 0;
    answer(s, MSG_OPENED, f->job, &a, fd < 0 ? NULL : &fd);
    if (fd >= 0)
        close(fd);
}

static void destroy(struct supervisor *s, struct ipc_frame *f)
{
    struct helper *h = free_helper(s);
    struct msg_DESTROY m;
    pid_t pid;

    if (ipc_decode(f, &m)) {
        supervisor_end(s, GRACE);
        return;
    }
    pid = h ? launch_destroy(m.domid, m.handle) : -EAGAIN;
    if (pid < 0) {
        struct msg_DESTROYED a = {.domid = m.domid, .errnum = -pid};

        answer(s, MSG_DESTROYED, f->job, &a, NULL);
        return;
    }
    *h = (struct helper){.pid = pid, .domid = m.domid, .job = f->job, .table = -1, .daemon = -1};
}

void supervisor_from_warden(struct supervisor *s)
{
    struct ipc_chan ch = channel(s);
    static struct ipc_frame f;
    int rc = ipc_recv(&ch, &f);

    if (rc == -EPROTO)
        fprintf(stderr, "moatd: warden: %s\n", f.why);
    if (rc < 0) {
        supervisor_end(s, GRACE);
    } else if (rc && f.type == MSG_OPEN_CONFIG) {
        open_config(s, &f);
    } else if (rc && f.type == MSG_DESTROY) {
        destroy(s, &f);
    } else if (rc && f.type == MSG_READY && !s->ready) {
        s->ready = true;
        launch_notify("READY=1\nSTATUS=accepting operators");
        fprintf(stderr, "moatd: ready\n");
    }
}

void supervisor_reload(struct supervisor *s)
{
    struct helper *h = free_helper(s);
    int table = -1, daemon = -1;
    pid_t pid = h ? launch_read_rules(s->l, &table, &daemon) : -EAGAIN;

    if (pid < 0)
        fprintf(stderr, "moatd: reload: %s\n", strerror(-pid));
    else
        *h = (struct helper){.pid = pid, .table = table, .daemon = daemon};
    /* Of several readers the last one counts, whichever is done last. */
    for (unsigned i = 0; pid > 0 && i < HELPERS; i++)
        if (&s->helpers[i] != h && s->helpers[i].table >= 0)
            s->helpers[i].stale = true;
}

static void take_rules(struct supervisor *s, const struct helper *h, int status)
{
    struct rules_daemon d;

    if (h->stale) {
        close(h->table);
        close(h->daemon);
        return;
    }
    if (launch_take_rules(status, h->table, h->daemon, &d)) {
        fprintf(stderr, "moatd: %s: the old rules stay\n", s->l->config);
        return;
    }
    if (strcmp(d.socket, s->l->daemon.socket) || strcmp(d.audit, s->l->daemon.audit))
        fprintf(stderr, "moatd: %s: [daemon] has changed: that counts after a restart\n",
                s->l->config);
    close(s->l->table);
    s->l->table = h->table;
    answer(s, MSG_TABLE, 0, NULL, &s->l->table);
    fprintf(stderr, "moatd: %s: read again\n", s->l->config);
}

static void destroyed(struct supervisor *s, const struct helper *h, int status)
{
    struct msg_DESTROYED a = {.domid = h->domid};

    a.errnum = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    if (!h->orphan)
        answer(s, MSG_DESTROYED, h->job, &a, NULL);
}

void supervisor_reap_helpers(struct supervisor *s)
{
    int status;

    for (unsigned i = 0; i < HELPERS; i++) {
        struct helper h = s->helpers[i];

        if (!h.pid || waitpid(h.pid, &status, WNOHANG) != h.pid)
            continue;
        s->helpers[i].pid = 0;
        if (h.table >= 0)
            take_rules(s, &h, status);
        else
            destroyed(s, &h, status);
    }
}
