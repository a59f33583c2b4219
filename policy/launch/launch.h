/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * moatd as the service's main process: it opens what only root can open, starts the resident
 * processes, answers two fixed-size requests of the warden, and starts all again when one dies.
 */
#ifndef MOAT_LAUNCH_H
#define MOAT_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "policy/rules/rules.h"

/* Where libxl keeps what belongs to a domain (tools/libs/light: libxl_dom.c, libxl_domain.c). */
#define XEN_LIB_DIR "/var/lib/xen"
#define XEN_RUN_DIR "/var/run/xen"
#define XENSTORED_SOCKET "/run/xenstored/socket"
#define XENBUS_NODE "/dev/xen/xenbus"

struct launch_user {
    uid_t uid;
    gid_t gid;
};

enum launch_program {
    PROGRAM_RECORDER,
    PROGRAM_GATE,
    PROGRAM_WARDEN,
    PROGRAM_WORKERS,            /* from here on the forker opens them, in its own root */
};

/* Opened once, before the capabilities are cut; all fds are close-on-exec. */
struct launch {
    const char *config;
    struct launch_user moat, warden, gate, audit, worker;
    int programs[PROGRAM_WORKERS];
    int lock;                   /* RUNDIR/lock, flock'ed */
    int undo;                   /* RUNDIR/undo */
    int log;                    /* folder of the audit log */
    int listener;               /* operators' socket */
    int table;                  /* sealed memfd with the rules that count */
    struct rules_daemon daemon;
    char boot_id[40];
};

/* One set of resident processes.  The forker is the parent's child and has no entry. */
enum launch_resident {
    RESIDENT_RECORDER,
    RESIDENT_GATE,
    RESIDENT_PARENT,
    RESIDENT_WARDEN,
    RESIDENTS,
};
struct launch_set {
    pid_t pid[RESIDENTS];       /* 0 = none */
    int warden;                 /* our end of its channel, -1 = closed */
};

/* setup.c: users, folders, lock, undo file, programs, operators' socket; waits at most 30 s for the
 * lock.  0, or -1 with a message on stderr. */
int launch_setup(struct launch *l);
/* Gives up every capability that is not on the supervisor's list.  0 or -1 with a message. */
int launch_cut(void);
/* Two connections to xenstore.  0 or -errno with a message. */
int launch_xenstore(int fds[2]);
/* A listening stream socket at `path`, in a folder that root alone can enter. fd or -errno */
int launch_private_listener(const char *path);

/* config.c: starts a child without rights that reads the rules into two memfds.  pid or -errno. */
pid_t launch_read_rules(const struct launch *l, int *table, int *daemon);
/* Its wait status and memfds: seals and checks.  0: the table stays the caller's, *d is filled; or
 * -1 (the reason has been said): both are closed. */
int launch_take_rules(int status, int table, int daemon, struct rules_daemon *d);

/* spawn.c: starts all residents and sends the rules.  0, or -1 with a message; what had been
 * started is in *s to be killed. */
int launch_start(const struct launch *l, struct launch_set *s);
const char *launch_resident_name(unsigned i);

/* exec.c: fork(2) without what the supervisor does to its signals. */
pid_t launch_fork(void);
/* In the child: puts fds at their numbers, makes the root, becomes the user, executes. */
struct launch_role {
    const char *name;           /* argv[0] and the word in messages */
    int program;
    struct launch_user user;
    uint64_t caps;
    bool devices;               /* the warden's private nodes */
    const int *fds;             /* pairs: from, number; ended by -1 */
    const char *args[3];        /* argv[1].., NULL-terminated */
};
void launch_exec(const struct launch_role *role) __attribute__((noreturn));
/* Moves fds to their numbers (pairs: from, to; ended by -1) without treading on one another and
 * clears close-on-exec.  0 or -errno. */
int launch_place(const int *pairs);
/* Environment of everything that is executed. */
extern char *launch_environment[];
/* Folders that programs under sanitizers need (their loader, /proc); nothing in a normal build. */
int launch_sanitizer_root(const char *newroot);

/* forker.c: starts and kills workers until the warden's channel ends.  The exit status. */
struct launch_worker_kind {
    const char *program, *argv0;
};
extern const struct launch_worker_kind launch_worker_kinds[];
int launch_forker_serve(int warden, const int *programs);
/* forker_start.c: the forker's whole life, in a process that is still root. */
void launch_forker(const struct launch *l, int warden, pid_t parent) __attribute__((noreturn));
/* In the worker, before exec: its fds in their places, nothing else. */
void launch_become_worker(int program, const char *argv0, const int fds[2])
    __attribute__((noreturn));

/* files.c: the userdata of a domain; domid and handle are all that comes from outside. */
/* Opens its libxl-json read-only under libxl's lock (at most 2 s).  fd or -errno. */
int launch_open_config(uint32_t domid, const uint8_t handle[16]);
/* Removes all of it.  0 or -errno. */
int launch_remove_userdata(uint32_t domid, const uint8_t handle[16]);
/* Notes the domid as used just now, so that libxl does not give it to another domain yet. */
int launch_mark_domid(uint32_t domid);

/* destroy.c: starts the short-lived helper.  Its exit status is an errno.  pid or -errno. */
pid_t launch_destroy(uint32_t domid, const uint8_t handle[16]);
/* destroy_xen.c (replaced at link time by a simulation): the domctl.  0 = destroyed, or no such
 * domain any more; -errno. */
int launch_destroy_domain(uint32_t domid, const uint8_t handle[16]);

/* notify.c: sd_notify(3) without the library; silent when nobody listens. */
void launch_notify(const char *state);

/* supervisor.c: until the service is stopped.  The exit status of the process. */
int launch_supervise(struct launch *l);

#endif
