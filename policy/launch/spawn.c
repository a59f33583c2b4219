/* SPDX-License-Identifier: LGPL-2.1-only */
/* The roles: which resident process gets which channel, user, root and right. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ipc/ipc.h"
/* The one arrow upwards: the parent is no program of its own, see parent/parent.h. */
#include "parent/parent.h"
#include "paths.h"
#include "policy/launch/fds.h"
#include "policy/launch/launch.h"
#include "policy/sandbox/sandbox.h"

#define XS_SOCKET MOAT_RUNDIR "/private/xenstore"

/* Every channel has the warden at one end. */
enum channel { SUPERVISOR_CH, RECORDER_CH, GATE_CH, PARENT_CH, FORKER_CH, CHANNELS };
struct plan {
    const struct launch *l;
    int ch[CHANNELS][2];        /* [0] = the warden's end */
    int xs_listener;            /* the parent's libxenstore connects to it */
    int upstream[2];            /* xenstore */
};

const char *launch_resident_name(unsigned i)
{
    static const char *const names[RESIDENTS] = {
        [RESIDENT_RECORDER] = "moat-audit",
        [RESIDENT_GATE] = "moat-gate",
        [RESIDENT_PARENT] = "moatd-parent",
        [RESIDENT_WARDEN] = "moat-warden",
    };

    return i < RESIDENTS ? names[i] : "?";
}

static void __attribute__((noreturn)) recorder(const struct plan *p)
{
    const struct launch *l = p->l;
    const char *file = strrchr(l->daemon.audit, '/') + 1;
    const int fds[] = {p->ch[RECORDER_CH][1], FD_RECORDER_WARDEN, l->log, FD_LOG, -1};
    const struct launch_role role = {
        .name = "moat-audit", .program = l->programs[PROGRAM_RECORDER], .user = l->audit,
        /* For the kernel's audit records, and for nothing else in all of moat. */
        .caps = 1ull << CAP_AUDIT_WRITE, .fds = fds, .args = {file, l->boot_id},
    };

    launch_exec(&role);
}

static void __attribute__((noreturn)) gate(const struct plan *p)
{
    const struct launch *l = p->l;
    const int fds[] = {p->ch[GATE_CH][1], FD_GATE_WARDEN, p->xs_listener, FD_GATE_LISTEN,
                       p->upstream[0], FD_GATE_UPSTREAM, p->upstream[1], FD_GATE_OWN, -1};
    char uid[16];
    const struct launch_role role = {
        .name = "moat-gate", .program = l->programs[PROGRAM_GATE], .user = l->gate, .fds = fds,
        .args = {uid},
    };

    snprintf(uid, sizeof(uid), "%u", l->moat.uid);
    launch_exec(&role);
}

static void __attribute__((noreturn)) warden(const struct plan *p)
{
    const struct launch *l = p->l;
    const int fds[] = {
        p->ch[SUPERVISOR_CH][0], FD_WARDEN_SUPERVISOR, p->ch[RECORDER_CH][0], FD_WARDEN_RECORDER,
        p->ch[GATE_CH][0], FD_WARDEN_GATE, p->ch[PARENT_CH][0], FD_WARDEN_PARENT,
        p->ch[FORKER_CH][0], FD_WARDEN_FORKER, l->listener, FD_WARDEN_LISTEN,
        l->undo, FD_WARDEN_UNDO, l->lock, FD_WARDEN_LOCK, -1,
    };
    const struct launch_role role = {
        .name = "moat-warden", .program = l->programs[PROGRAM_WARDEN], .user = l->warden,
        .devices = true, .fds = fds,
    };

    launch_exec(&role);
}

static void __attribute__((noreturn)) parent_failed(const char *why)
{
    fprintf(stderr, "moatd-parent: not started: %s\n", why);
    _exit(1);
}

/* Still root: forks the forker, connects to the gate; then gives up everything and serves. */
static void __attribute__((noreturn)) parent(const struct plan *p)
{
    const struct launch *l = p->l;
    const struct sandbox_root empty = {0};
    struct parent_start start = {.warden_fd = p->ch[PARENT_CH][1], .uid = l->moat.uid,
                                 .xenstore_path = XS_SOCKET};
    int keep[] = {0, 1, 2, start.warden_fd, -1};
    pid_t me = getpid(), pid;
    char why[128] = "";

    prctl(PR_SET_NAME, "moatd-parent");
    pid = fork();
    if (pid < 0)
        parent_failed(strerror(errno));
    if (!pid)
        launch_forker(l, p->ch[FORKER_CH][1], me);
    start.status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    keep[4] = start.status_fd;
    if (start.status_fd < 0)
        parent_failed("/proc/self/status");
    sandbox_close_fds(keep, 5);
    /* The one connection to the gate's socket; the first is the only one it takes. */
    if (parent_prepare(&start))
        _exit(1);
    unlink(XS_SOCKET);
    if (sandbox_new_root(&empty, why) || sandbox_become(l->moat.uid, l->moat.gid, 0, why))
        parent_failed(why);
    _exit(parent_main(&start));
}

static int start(struct launch_set *s, unsigned which, const struct plan *p,
                 void (*role)(const struct plan *))
{
    pid_t pid = launch_fork();

    if (pid < 0)
        return -errno;
    if (!pid)
        role(p);
    s->pid[which] = pid;
    return 0;
}

static void close_all(int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

static int prepare(struct plan *p)
{
    int rc;

    for (int i = 0; i < CHANNELS; i++) {
        rc = ipc_pair(p->ch[i]);
        if (rc)
            return rc;
    }
    p->xs_listener = launch_private_listener(XS_SOCKET);
    if (p->xs_listener < 0)
        return p->xs_listener;
    return launch_xenstore(p->upstream);
}

int launch_start(const struct launch *l, struct launch_set *s)
{
    struct plan p = {.l = l, .xs_listener = -1, .upstream = {-1, -1}};
    struct ipc_chan to_warden = {.self = SUPERVISOR, .peer = WARDEN, .phase = PH_RUN};
    int rc;

    memset(p.ch, 0xff, sizeof(p.ch));
    rc = prepare(&p);
    if (rc)
        goto out;
    /* The warden last: it speaks first. */
    rc = start(s, RESIDENT_RECORDER, &p, recorder);
    if (!rc)
        rc = start(s, RESIDENT_GATE, &p, gate);
    if (!rc)
        rc = start(s, RESIDENT_PARENT, &p, parent);
    if (!rc)
        rc = start(s, RESIDENT_WARDEN, &p, warden);
    if (rc)
        goto out;
    to_warden.fd = p.ch[SUPERVISOR_CH][1];
    rc = ipc_send(&to_warden, MSG_TABLE, 0, NULL, &l->table, 1);
    if (rc)
        goto out;
    s->warden = p.ch[SUPERVISOR_CH][1];
    p.ch[SUPERVISOR_CH][1] = -1;
out:
    if (rc)
        fprintf(stderr, "moatd: cannot start the resident processes: %s\n", strerror(-rc));
    close_all(&p.ch[0][0], 2 * CHANNELS);
    close_all(&p.xs_listener, 1);
    close_all(p.upstream, 2);
    return rc ? -1 : 0;
}
