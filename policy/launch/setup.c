/* SPDX-License-Identifier: LGPL-2.1-only */
/* What only full root can do, once, before the supervisor cuts its own capabilities. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "paths.h"
#include "policy/launch/launch.h"
#include "policy/sandbox/sandbox.h"
#include "policy/warden/undo.h"

#define LOCK_SECONDS 30
#define UNDO_SIZE (UNDO_SLOTS * (off_t)sizeof(struct undo_slot))

__attribute__((format(printf, 1, 2))) static int fail(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fprintf(stderr, "moatd: ");
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    return -1;
}

static int user(const char *name, struct launch_user *u)
{
    struct passwd *pw = getpwnam(name);

    if (!pw)
        return fail("no user %s: run `make install` or systemd-sysusers", name);
    if (!pw->pw_uid || !pw->pw_gid)
        return fail("user %s is root: that cannot be meant", name);
    *u = (struct launch_user){pw->pw_uid, pw->pw_gid};
    return 0;
}

static int users(struct launch *l)
{
    return user("moat", &l->moat) || user("moat-warden", &l->warden) ||
           user("moat-gate", &l->gate) || user("moat-audit", &l->audit) ||
           user("moat-worker", &l->worker) ? -1 : 0;
}

/* The previous warden keeps the lock until it has undone what it could. */
static int take_lock(struct launch *l)
{
    const struct timespec pause = {.tv_nsec = 100000000};

    l->lock = open(MOAT_RUNDIR "/lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (l->lock < 0)
        return fail(MOAT_RUNDIR "/lock: %s", strerror(errno));
    for (int i = 0; flock(l->lock, LOCK_EX | LOCK_NB); i++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail(MOAT_RUNDIR "/lock: %s", strerror(errno));
        if (i == 10)
            fprintf(stderr, "moatd: waiting for a previous moatd's lock, " MOAT_RUNDIR "/lock\n");
        if (i == LOCK_SECONDS * 10)
            return fail("another moatd (or its warden) holds " MOAT_RUNDIR "/lock: stop it first");
        nanosleep(&pause, NULL);
    }
    return 0;
}

/* Not emptied: it says what a warden that was killed has left behind. */
static int open_undo(struct launch *l)
{
    struct stat st;

    l->undo = open(MOAT_RUNDIR "/undo", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (l->undo < 0 || fstat(l->undo, &st))
        return fail(MOAT_RUNDIR "/undo: %s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fail(MOAT_RUNDIR "/undo is no regular file: remove it");
    if (st.st_size != UNDO_SIZE) {
        if (st.st_size)
            fprintf(stderr, "moatd: " MOAT_RUNDIR "/undo has a wrong size: emptied\n");
        if (ftruncate(l->undo, 0) || ftruncate(l->undo, UNDO_SIZE))
            return fail(MOAT_RUNDIR "/undo: %s", strerror(errno));
    }
    if (fchmod(l->undo, 0600) || fchown(l->undo, l->warden.uid, l->warden.gid))
        return fail(MOAT_RUNDIR "/undo: %s", strerror(errno));
    return 0;
}

static int open_log(struct launch *l)
{
    char copy[sizeof(l->daemon.audit)];
    struct stat st;
    bool made;
    char *dir;

    memcpy(copy, l->daemon.audit, sizeof(copy));
    dir = dirname(copy);
    made = !mkdir(dir, 0750);
    /* O_PATH: the recorder opens what it needs below it with its own rights. */
    l->log = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC | (made ? O_NOFOLLOW : 0));
    /* By its descriptor: what stands at that path may have been exchanged since. */
    if (l->log < 0 || (made && fchownat(l->log, "", l->audit.uid, l->audit.gid, AT_EMPTY_PATH)) ||
        fstat(l->log, &st))
        return fail("the folder of the audit log, %s: %s", dir, strerror(errno));
    /* Not taken over silently: the key may name /var/log, or anything. */
    if (st.st_uid != l->audit.uid)
        return fail("the folder of the audit log, %s, does not belong to moat-audit: "
                    "`chown moat-audit:moat-audit %s` if that is right", dir, dir);
    return 0;
}

static int open_programs(struct launch *l)
{
    static const char *const paths[PROGRAM_WORKERS] = {
        [PROGRAM_RECORDER] = MOAT_LIBEXECDIR "/recorder",
        [PROGRAM_GATE] = MOAT_LIBEXECDIR "/gate",
        [PROGRAM_WARDEN] = MOAT_LIBEXECDIR "/warden",
    };

    for (int i = 0; i < PROGRAM_WORKERS; i++) {
        l->programs[i] = open(paths[i], O_PATH | O_CLOEXEC);
        if (l->programs[i] < 0)
            return fail("%s: %s: is moat installed?", paths[i], strerror(errno));
    }
    return 0;
}

static int bind_to(const char *path, int type)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd, rc;

    if (strlen(path) >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    strcpy(sa.sun_path, path);
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if ((unlink(path) && errno != ENOENT) || bind(fd, (struct sockaddr *)&sa, sizeof(sa))) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

static int open_listener(struct launch *l)
{
    const char *path = l->daemon.socket;
    struct stat st;

    if (!lstat(path, &st) && !S_ISSOCK(st.st_mode))
        return fail("%s is there and no socket: remove it, or choose another 'socket' in %s", path,
                    l->config);
    l->listener = bind_to(path, SOCK_SEQPACKET);
    if (l->listener < 0)
        return fail("operators' socket %s: %s", path, strerror(-l->listener));
    /* Everybody may connect: the rules decide, not the file mode. */
    if (chmod(path, 0666) || listen(l->listener, 128))
        return fail("operators' socket %s: %s", path, strerror(errno));
    return 0;
}

int launch_private_listener(const char *path)
{
    int fd = bind_to(path, SOCK_STREAM);

    if (fd >= 0 && listen(fd, 4)) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    return fd;
}

static int connect_to(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd, rc;

    if (strlen(path) >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    strcpy(sa.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

/* The socket in dom0, else the device: a driver domain has no xenstored. */
int launch_xenstore(int fds[2])
{
    const char *path = getenv("XENSTORED_PATH") ?: XENSTORED_SOCKET;

    fds[0] = fds[1] = -1;
    for (int i = 0; i < 2; i++) {
        int fd = connect_to(path);

        if (fd == -ENOENT) {
            fd = open(XENBUS_NODE, O_RDWR | O_CLOEXEC);
            fd = fd < 0 ? -ENOENT : fd;
        }
        if (fd < 0) {
            fail("xenstore: %s: %s: is xenstored running?", path, strerror(-fd));
            if (i)
                close(fds[0]);
            fds[0] = -1;
            return fd;
        }
        fds[i] = fd;
    }
    return 0;
}

static int folders(void)
{
    umask(022);
    if ((mkdir(MOAT_RUNDIR, 0755) && errno != EEXIST) || chmod(MOAT_RUNDIR, 0755) ||
        chown(MOAT_RUNDIR, 0, 0))
        return fail(MOAT_RUNDIR ": %s", strerror(errno));
    if ((mkdir(MOAT_RUNDIR "/private", 0700) && errno != EEXIST) ||
        chmod(MOAT_RUNDIR "/private", 0700) || chown(MOAT_RUNDIR "/private", 0, 0))
        return fail(MOAT_RUNDIR "/private: %s", strerror(errno));
    return 0;
}

static int host(struct launch *l)
{
    struct stat st;
    ssize_t n = -1;
    int fd;

    if (stat("/dev/xen/privcmd", &st) || !S_ISCHR(st.st_mode))
        return fail("no /dev/xen/privcmd: not a Xen host with a loaded xen-privcmd module");
    fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, l->boot_id, sizeof(l->boot_id) - 1);
        close(fd);
    }
    if (n <= 0)
        return fail("/proc/sys/kernel/random/boot_id: cannot read: is /proc mounted?");
    l->boot_id[strcspn(l->boot_id, "\n")] = 0;
    return 0;
}

static int first_rules(struct launch *l)
{
    int table = -1, daemon = -1, status;
    pid_t pid = launch_read_rules(l, &table, &daemon);

    if (pid < 0)
        return fail("%s: cannot start a reader: %s", l->config, strerror(-pid));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (launch_take_rules(status, table, daemon, &l->daemon))
        return fail("%s: not started, because the rules could not be read", l->config);
    l->table = table;
    return 0;
}

int launch_setup(struct launch *l)
{
    if (geteuid())
        return fail("must be started as root (it gives up what it does not need)");
    return host(l) || users(l) || folders() || take_lock(l) || open_programs(l) || first_rules(l) ||
           open_undo(l) || open_log(l) || open_listener(l) ? -1 : 0;
}

/* What the supervisor needs for the rest of its life; its children give up the rest. */
static const uint64_t needed =
    1ull << CAP_SYS_ADMIN |     /* because each resident gets a root of its own (mounts) */
    1ull << CAP_SYS_CHROOT |    /* because that root is entered with chroot(2) */
    1ull << CAP_MKNOD |         /* because the warden's device nodes are made in its root */
    1ull << CAP_CHOWN |         /* because they are given to moat-warden */
    1ull << CAP_SETUID |        /* because residents become their users */
    1ull << CAP_SETGID |        /* likewise */
    1ull << CAP_SETPCAP |       /* because residents empty their bounding sets */
    1ull << CAP_KILL |          /* because residents that do not end are killed */
    1ull << CAP_AUDIT_WRITE;    /* because the recorder gets it from here */

int launch_cut(void)
{
    char why[128];

    return sandbox_become(0, 0, needed, why) ? fail("%s", why) : 0;
}
