/* SPDX-License-Identifier: LGPL-2.1-only */
/* From a forked supervisor to a resident program: nothing is inherited but what is listed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "policy/launch/fds.h"
#include "policy/launch/launch.h"
#include "policy/sandbox/sandbox.h"

#define HIGH 512                /* above every number in fds.h and every fd we open */
#define PLACES 16

char *launch_environment[] = {
#ifdef MOAT_SANITIZED
    /* leak checking wants ptrace; a report must be seen as a failure */
    (char *)"ASAN_OPTIONS=detect_leaks=0:exitcode=99", (char *)"UBSAN_OPTIONS=print_stacktrace=1",
#endif
    NULL,
};

pid_t launch_fork(void)
{
    pid_t pid = fork();
    sigset_t none;

    if (!pid) {
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        /* A terminal's signals (^C, a hang-up) are the supervisor's: the warden has to undo first,
         * and a destroy is not left half-way. */
        setsid();
    }
    return pid;
}

int launch_place(const int *pairs)
{
    unsigned n = 0;

    for (const int *p = pairs; p[0] >= 0; p += 2, n++)
        if (dup3(p[0], (int)(HIGH + n), O_CLOEXEC) < 0)
            return -errno;
    for (unsigned i = 0; i < n; i++)
        if (dup2((int)(HIGH + i), pairs[2 * i + 1]) < 0)
            return -errno;
    return close_range(HIGH, HIGH + n, 0) ? -errno : 0;
}

#ifdef MOAT_SANITIZED
int launch_sanitizer_root(const char *newroot)
{
    static const char *const from[] = {"/lib", "/lib64", "/usr", "/proc"};

    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        char to[128];

        snprintf(to, sizeof(to), "%s%s", newroot, from[i]);
        if (mkdir(to, 0755) || mount(from[i], to, NULL, MS_BIND | MS_REC, NULL))
            return -errno;
    }
    return 0;
}
#else
int launch_sanitizer_root(const char *newroot)
{
    return 0;
}
#endif

/* The same device numbers as the host's nodes, but the warden's own files: the host's stay 0600. */
static int make_nodes(const char *newroot, const struct launch_user *u)
{
    static const char *const nodes[] = {"privcmd", "hypercall", "evtchn", "gntdev"};
    char path[128], own[128];
    struct stat st;

    snprintf(path, sizeof(path), "%s/dev", newroot);
    if (mkdir(path, 0755))
        return -errno;
    snprintf(path, sizeof(path), "%s/dev/xen", newroot);
    if (mkdir(path, 0755))
        return -errno;
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        snprintf(path, sizeof(path), "/dev/xen/%s", nodes[i]);
        snprintf(own, sizeof(own), "%s%s", newroot, path);
        if (stat(path, &st) || !S_ISCHR(st.st_mode)) {
            /* the others serve what this release may not do; hv_open() says what it misses */
            if (!i)
                return -ENODEV;
            continue;
        }
        if (mknod(own, S_IFCHR | 0600, st.st_rdev) || chown(own, u->uid, u->gid))
            return -errno;
    }
    return 0;
}

static int setup_root(const char *newroot, void *u)
{
    const struct launch_role *role = u;
    int rc = launch_sanitizer_root(newroot);

    return rc || !role->devices ? rc : make_nodes(newroot, &role->user);
}

static void __attribute__((noreturn)) stop(const struct launch_role *role, const char *what)
{
    fprintf(stderr, "%s: not started: %s\n", role->name, what);
    _exit(1);
}

void launch_exec(const struct launch_role *role)
{
    struct sandbox_root root = {.dev = role->devices, .exec = false, .setup = setup_root,
                                .u = (void *)(uintptr_t)role};
    char *argv[5] = {(char *)(uintptr_t)role->name};
    int pairs[2 * PLACES + 1], keep[PLACES + 4] = {0, 1, 2}, n = 0, nkeep = 3;
    int status, program = HIGH + PLACES;
    char why[128];

    /* Its own status, while there is a /proc: later it looks at itself through it. */
    status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (status < 0)
        stop(role, "/proc/self/status cannot be opened");
    for (const int *p = role->fds; p[0] >= 0; p += 2) {
        pairs[n++] = p[0];
        pairs[n++] = p[1];
    }
    pairs[n++] = status;
    pairs[n++] = FD_STATUS;
    pairs[n] = -1;
    if (dup3(role->program, program, O_CLOEXEC) < 0 || launch_place(pairs))
        stop(role, strerror(errno));
    for (int i = 1; i < n; i += 2)
        keep[nkeep++] = pairs[i];
    keep[nkeep++] = program;
    sandbox_close_fds(keep, (unsigned)nkeep);
    if (sandbox_new_root(&root, why) ||
        sandbox_become(role->user.uid, role->user.gid, role->caps, why))
        stop(role, why);
    for (int i = 0; i < 3 && role->args[i]; i++)
        argv[i + 1] = (char *)(uintptr_t)role->args[i];
    execveat(program, "", argv, launch_environment, AT_EMPTY_PATH);
    stop(role, strerror(errno));
}
