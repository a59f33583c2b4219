/* SPDX-License-Identifier: LGPL-2.1-only */
/* The hostile parent's attacks on xenstore through the gate, on the kernel and on its operators. */
#include "tests/hostile/parent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static void held_or_not(bool worked, const char *what, const char *path)
{
    if (worked)
        say("BREACH: %s %s", what, path);
    else if (errno != EACCES)
        say("BREACH: %s %s: %s instead of EACCES", what, path, strerrorname_np(errno));
}

/* Domain 1 is the job's.  What a grant covers is left out, all else is refused. */
static bool writes(const struct moment *m, long before_suspend)
{
    static const char *const values[] = {"poweroff", "reboot", "halt", "suspend\n", "suspendx",
                                         "s"};
    static const char *const paths[] = {
        "/local/domain/2/control/shutdown", "/local/domain/3/control/shutdown",
        "/local/domain/0/control/shutdown", "/local/domain/11/control/shutdown",
        "/local/domain/01/control/shutdown", "/local/domain/1/control/shutdown/",
        "/local/domain/1//control/shutdown", "/local/domain/1/control/shutdown/x",
        "/local/domain/1/control/../control/shutdown", "control/shutdown",
        "/local/domain/1/control",
        "/local/domain/1/name", "/local/domain/1/memory/target", "/local/domain/1/device/vbd",
        "/local/domain/0/backend/vbd/1/51712/params", "/libxl/1/type", "/vm", "/tool/xenstored",
        "/", "@releaseDomain", "",
    };

    for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        held_or_not(xs_write(xenstore, XBT_NULL, "/local/domain/1/control/shutdown", values[i],
                             (unsigned)strlen(values[i])), "write", values[i]);
    if (before_suspend)
        held_or_not(xs_write(xenstore, XBT_NULL, "/local/domain/1/control/shutdown", "suspend", 7),
                    "write before SUSPEND", "suspend");
    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        held_or_not(xs_write(xenstore, XBT_NULL, paths[i], "suspend", 7), "write", paths[i]);
    say("held: writes");
    return true;
}

static bool reads(const struct moment *m, long arg)
{
    static const char *const paths[] = {
        "/local/domain/2/memory/target", "/local/domain/2/control/shutdown", "/local/domain/1/name",
        "/local/domain/1/data", "/local/domain/1/console/ring-ref", "/local/domain", "/vm",
        "/libxl/1/type", "/tool", "/", "/local/domain/1/memory/target/..",
    };
    unsigned n, len;

    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        void *value = xs_read(xenstore, XBT_NULL, paths[i], &len);
        char **names;

        held_or_not(value, "read", paths[i]);
        free(value);
        names = xs_directory(xenstore, XBT_NULL, paths[i], &n);
        held_or_not(names, "directory", paths[i]);
        free(names);
    }
    say("held: reads");
    return true;
}

/* What a toolstack can do and the parent cannot. */
static bool requests(const struct moment *m, long arg)
{
    struct xs_permissions all = {.id = 1, .perms = XS_PERM_READ | XS_PERM_WRITE};
    static const char path[] = "/local/domain/1/control/shutdown";
    char *where;

    held_or_not(xs_rm(xenstore, XBT_NULL, path), "rm", path);
    held_or_not(xs_rm(xenstore, XBT_NULL, "/local/domain/2"), "rm", "/local/domain/2");
    held_or_not(xs_mkdir(xenstore, XBT_NULL, "/local/domain/9"), "mkdir", "/local/domain/9");
    held_or_not(xs_set_permissions(xenstore, XBT_NULL, path, &all, 1), "set_permissions", path);
    held_or_not(xs_set_permissions(xenstore, XBT_NULL, "/", &all, 1), "set_permissions", "/");
    held_or_not(xs_introduce_domain(xenstore, 9, 1, 1), "introduce", "9");
    held_or_not(xs_release_domain(xenstore, 2), "release", "2");
    held_or_not(xs_release_domain(xenstore, 1), "release", "1");
    held_or_not(xs_resume_domain(xenstore, 1), "resume", "1");
    held_or_not(xs_set_target(xenstore, 1, 2), "set_target", "1 2");
    where = xs_get_domain_path(xenstore, 1);
    held_or_not(where, "get_domain_path", "1");
    free(where);
    held_or_not(xs_is_domain_introduced(xenstore, 2), "is_introduced", "2");
    held_or_not(xs_watch(xenstore, "/", "t"), "watch", "/");
    held_or_not(xs_watch(xenstore, "@introduceDomain", "t"), "watch", "@introduceDomain");
    held_or_not(xs_watch(xenstore, "/local/domain/2/control/shutdown", "t"), "watch", "2");
    say("held: requests");
    return true;
}

/* Transactions and watches without end: bounded, and refused beyond. */
static bool xenstore_flood(const struct moment *m, long arg)
{
    static const char path[] = "/local/domain/1/control/shutdown";
    unsigned watches = 0, transactions = 0;
    char token[32];

    for (unsigned i = 0; i < 3000; i++) {
        snprintf(token, sizeof(token), "flood%u", i);
        watches += xs_watch(xenstore, path, token);
    }
    for (unsigned i = 0; i < 3000; i++) {
        xs_transaction_t t = xs_transaction_start(xenstore);
        unsigned len;

        if (t != XBT_NULL) {
            transactions++;
            free(xs_read(xenstore, t, path, &len));
        }
    }
    if (watches > 64 || transactions > 64)
        say("BREACH: %u watches, %u transactions", watches, transactions);
    say("held: %u watches, %u transactions", watches, transactions);
    return true;
}

/* A value that was changed in a transaction of the job, committed when the job has gone on. */
static bool transaction_write(const struct moment *m, long arg)
{
    xs_transaction_t t = xs_transaction_start(xenstore);

    if (t == XBT_NULL) {
        say("held: no transaction: %s", strerrorname_np(errno));
        return true;
    }
    held_or_not(xs_write(xenstore, t, "/local/domain/1/control/shutdown", "poweroff", 8),
                "write in a transaction", "poweroff");
    held_or_not(xs_write(xenstore, t, "/local/domain/2/control/shutdown", "suspend", 7),
                "write in a transaction", "2");
    xs_transaction_end(xenstore, t, false);
    say("held: transaction");
    return true;
}

/* ---- the kernel */

static bool forbidden(const struct moment *m, long nr)
{
    static const char path[] = "/bin/sh";
    long first = nr == SYS_kill || nr == SYS_ptrace || nr == SYS_socket ? 1 : (long)(uintptr_t)path;
    long r = syscall(nr, first, nr == SYS_kill ? SIGKILL : 5, 0, 0, 0, 0);

    say("BREACH: system call %ld came back: %ld %s", nr, r, r < 0 ? strerrorname_np(errno) : "");
    return true;
}

/* openat and readlink answer ENOENT, for libc asks; nothing is ever opened. */
static bool open_files(const struct moment *m, long arg)
{
    static const char *const paths[] = {"/", ".", "/etc/passwd", "/proc/self/status",
                                        "/dev/xen/privcmd", "/run/moat/moat.sock",
                                        "/var/log/moat/audit.jsonl"};

    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (openat(AT_FDCWD, paths[i], O_RDONLY) >= 0 || errno != ENOENT)
            say("BREACH: openat %s: %s", paths[i], strerrorname_np(errno));
    for (int fd = 0; fd < 64; fd++)
        if (openat(fd, ".", O_RDONLY) >= 0)
            say("BREACH: openat relative to %d", fd);
    say("held: openat");
    return true;
}

/* ---- its operators and itself */

static bool drop_operator(const struct moment *m, long arg)
{
    close(m->ch->fd);
    return true;
}

static bool noise_to_operator(const struct moment *m, long arg)
{
    static const uint8_t junk[4096] = {1, 2, 3, 0xff};

    send(m->ch->fd, junk, sizeof(junk), MSG_NOSIGNAL);
    return true;
}

static bool ends(const struct moment *m, long status)
{
    _exit((int)status);
}

static bool sends_warden_channel(const struct moment *m, long arg)
{
    const int fds[1] = {to_warden.fd};

    /* To the worker, which has no room for fds: it must not get a channel that is not its own. */
    raw_send(m->ch->fd, 12, MSG_START, 1, m->job, "\0\0\0\0\0\0\0\0\0\0\0", 12, fds, 1);
    return false;
}

#define NO(name) \
    {"sys-" #name, MSG_STATE, forbidden, SYS_##name, "interrupted", NULL, #name " is refused"}

const struct lie lies_world[] = {
    {"xenstore-writes", MSG_STATE, writes, 0, "* xenstore", NULL,
     "no value but suspend, no path but the job's can be written"},
    {"xenstore-writes-early", MSG_START, writes, 1, "* xenstore", NULL,
     "nor can suspend be asked for before the warden has recorded it"},
    {"xenstore-reads", MSG_START, reads, 0, "done xenstore", NULL,
     "nothing but the job's two values can be read"},
    {"xenstore-requests", MSG_START, requests, 0, "done xenstore", NULL,
     "no other kind of request passes the gate"},
    {"xenstore-flood", MSG_START, xenstore_flood, 0, "*", NULL,
     "watches and transactions are bounded"},
    {"xenstore-transaction", MSG_STATE, transaction_write, 0, "* xenstore", NULL,
     "a transaction is no way round the gate"},
    {"open", MSG_STARTED, open_files, 0, "done", NULL, "the parent cannot open anything"},
    NO(socket), NO(connect), NO(kill), NO(ptrace), NO(execve), NO(clone), NO(clone3),
    NO(memfd_create), NO(setuid), NO(mount), NO(process_vm_readv), NO(pidfd_getfd),
    NO(pidfd_send_signal), NO(ioctl),
    {"drops-operator", MSG_STARTED, drop_operator, 0, "operator-gone|interrupted", "destroy",
     "an operator whose connection is cut keeps the domain"},
    {"noise-to-operator", MSG_STARTED, noise_to_operator, 0, "*", "destroy",
     "an operator who is sent nonsense ends the command and keeps the domain"},
    {"dies-at-suspend", MSG_STATE, ends, 0, "interrupted", "destroy",
     "a parent that leaves in the middle of a suspend: the warden undoes"},
    {"dies-at-saved", MSG_SAVED, ends, 1, "interrupted", "destroy",
     "a parent that leaves before SAVED: the warden undoes"},
    {"fd-to-worker", MSG_START, sends_warden_channel, 0, "*", NULL,
     "a worker takes no fd from the parent"},
    {0},
};
