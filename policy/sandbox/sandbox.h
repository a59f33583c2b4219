/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What a process does to itself.  Everything here only takes away; every function either succeeds
 * or says why not, and a caller that is not locked must not go on.
 */
#ifndef MOAT_SANDBOX_H
#define MOAT_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One per policy file policy/sandbox/NAME.policy.  The order is that of the table in seccomp.c. */
enum sandbox_kind {
    SANDBOX_WARDEN,
    SANDBOX_RECORDER,
    SANDBOX_GATE,
    SANDBOX_PARENT,
    SANDBOX_FORKER,
    SANDBOX_SAVE,
    SANDBOX_KINDS,
};

/* Fixed resource limits of one kind (rlimits.c has the table). */
int sandbox_rlimits(enum sandbox_kind kind, char why[128]);

/* Landlock: no file system access at all for this thread and its later children; abi 0 kernels are
 * refused (Linux >= 6.1 has it) unless the kernel was built without: then -EOPNOTSUPP and why. */
int sandbox_landlock_deny(char why[128]);

/* no_new_privs, then the kind's compiled-in filter.  tsync: for all threads of the process. */
int sandbox_seccomp(enum sandbox_kind kind, bool tsync, char why[128]);

/*
 * Reads /proc/self/status, which must have been opened before the file system went away
 * (status_fd, read with pread), and refuses to go on unless: all uids are `uid`; CapEff, CapPrm,
 * CapInh, CapAmb and CapBnd are exactly `caps` (a bit mask; 0 for all but the recorder);
 * NoNewPrivs 1; Seccomp 2.
 */
int sandbox_check(int status_fd, uid_t uid, uint64_t caps, char why[128]);

/* The usual order for a process that holds its fds already: rlimits, landlock, seccomp, check. */
int sandbox_lock(enum sandbox_kind kind, int status_fd, uid_t uid, uint64_t caps, char why[128]);

/* ---- used by policy/launch, still as root */

/* Closes every fd but those in keep[n] (sorted or not). */
void sandbox_close_fds(const int *keep, unsigned n);

/* A private mount namespace whose root is an empty tmpfs (mode 0755, nosuid, noexec unless exec,
 * nodev unless dev); works where pivot_root does not (initramfs): tmpfs, MS_MOVE, chroot.
 * setup(root_fd, u) fills it before it becomes read-only and "/". */
struct sandbox_root {
    bool dev;                                       /* device nodes will be made */
    bool exec;                                      /* programs will be bound */
    int (*setup)(const char *newroot, void *u);     /* 0 or -errno; may be NULL */
    void *u;
};
int sandbox_new_root(const struct sandbox_root *root, char why[128]);

/* Groups {}, gid, uid, all capability sets down to caps (libcap-ng), no_new_privs. */
int sandbox_become(uid_t uid, gid_t gid, uint64_t caps, char why[128]);

#endif
