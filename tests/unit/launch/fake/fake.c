/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Stands in for every program that moatd starts, so that launching can be tested without Xen: built
 * statically by the test, installed as warden, gate, recorder and save.  Each writes what it finds
 * about itself to a file descriptor or stderr, line by line, and then behaves as its name says.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/ipc.h"
#include "policy/launch/fds.h"

extern char **environ;
static int out = 2;
static const char *me;

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    char buf[600];
    va_list ap;
    int n = snprintf(buf, sizeof(buf), "@%s ", me);

    va_start(ap, format);
    n += vsnprintf(buf + n, sizeof(buf) - (size_t)n, format, ap);
    va_end(ap);
    if (out == 2)
        buf[n++] = '\n';
    if (write(out, buf, (size_t)n) != n)
        exit(1);
}

/* A field of our own status, with commas for blanks. */
static const char *field(const char *status, const char *key, char buf[64])
{
    const char *p = strstr(status, key);

    snprintf(buf, 64, "%.*s", p ? (int)strcspn(p + strlen(key) + 1, "\n") : 0,
             p ? p + strlen(key) + 1 : "");
    for (char *s = buf; *s; s++)
        if (*s == '\t' || *s == ' ')
            *s = ',';
    return buf;
}

static int reaches(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY);

    return fd >= 0 && !close(fd);
}

/* Which fds are open, which user, which root; with no call that a worker may not make. */
static void describe(int argc, char **argv)
{
    char fds[256] = "", args[256] = "", status[4096] = "", uid[64], gid[64], groups[64], bnd[64];
    unsigned env = 0;
    ssize_t r = pread(FD_STATUS, status, sizeof(status) - 1, 0);

    for (int fd = 0; fd < 2048; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            snprintf(fds + strlen(fds), sizeof(fds) - strlen(fds), "%d,", fd);
    for (int i = 1; i < argc; i++)
        snprintf(args + strlen(args), sizeof(args) - strlen(args), "%s,", argv[i]);
    while (environ[env])
        env++;
    tell("fds=%s args=%s env=%u uid=%s gid=%s groups=%s bnd=%s status=%d proc=%d etc=%d", fds, args,
         env, field(status, "\nUid:", uid), field(status, "\nGid:", gid),
         field(status, "\nGroups:", groups), field(status, "\nCapBnd:", bnd), r > 0,
         reaches("/proc"), reaches("/etc"));
}

static int gate(void)
{
    struct pollfd p[2] = {{.fd = FD_GATE_WARDEN, .events = POLLIN},
                          {.fd = FD_GATE_LISTEN, .events = POLLIN}};
    struct {
        uint32_t type, req, tx, len;
    } h;
    char body[4096];

    for (;;) {
        if (poll(p, 2, -1) < 0)
            return 1;
        if (p[0].revents)
            return 0;
        if (!p[1].revents)
            continue;
        if (p[1].fd == FD_GATE_LISTEN) {
            p[1].fd = accept(FD_GATE_LISTEN, NULL, NULL);
            continue;
        }
        /* xenstore: header, body, in several writes; WATCH and UNWATCH are answered "OK" */
        if (recv(p[1].fd, &h, sizeof(h), MSG_WAITALL) != sizeof(h) || h.len > sizeof(body) ||
            (h.len && recv(p[1].fd, body, h.len, MSG_WAITALL) != (ssize_t)h.len)) {
            p[1].fd = -1;
            continue;
        }
        tell("xenstore request %u %s", h.type, body);
        h.len = 3;
        if (write(p[1].fd, &h, sizeof(h)) != sizeof(h) || write(p[1].fd, "OK", 3) != 3)
            return 1;
    }
}

/* Obeys one-word commands that a test sends through the operators' socket. */
static void command(char *word)
{
    struct ipc_chan sup = {.fd = FD_WARDEN_SUPERVISOR, .self = WARDEN, .peer = SUPERVISOR,
                           .phase = PH_RUN, .takes_fds = true};
    struct ipc_chan forker = {.fd = FD_WARDEN_FORKER, .self = WARDEN, .peer = FORKER,
                              .phase = PH_RUN, .takes_fds = true};
    static struct ipc_frame f;
    struct msg_OPEN_CONFIG q = {.domid = 7, .handle = {0xaa, 0xbb}};
    struct msg_OPENED opened;
    struct msg_DESTROY d = {.domid = 7, .handle = {0xaa, 0xbb}};
    struct msg_DESTROYED destroyed;
    struct msg_SPAWN spawn = {.kind = WORKER_SAVE};
    struct msg_SPAWNED spawned;
    char text[64] = "";
    int rc;

    if (!strcmp(word, "open")) {
        rc = ipc_send(&sup, MSG_OPEN_CONFIG, 3, &q, NULL, 0);
        rc = rc ? rc : ipc_expect(&sup, &f, MSG_OPENED, &opened, 9000);
        int fd = ipc_take_fd(&f, 0);

        if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
            text[0] = 0;
        tell("opened rc=%d errnum=%d job=%u text=%s mode=%x", rc, opened.errnum, f.job, text,
             fd >= 0 ? (unsigned)fcntl(fd, F_GETFL) & O_ACCMODE : 9);
    } else if (!strcmp(word, "destroy") || !strcmp(word, "destroy0")) {
        d.domid = word[7] ? 0 : 7;
        rc = ipc_send(&sup, MSG_DESTROY, 4, &d, NULL, 0);
        rc = rc ? rc : ipc_expect(&sup, &f, MSG_DESTROYED, &destroyed, 9000);
        tell("destroyed rc=%d domid=%u errnum=%d", rc, destroyed.domid, destroyed.errnum);
    } else if (!strcmp(word, "spawn")) {
        int a[2], b[2], fds[2];

        ipc_pair(a);
        ipc_pair(b);
        fds[0] = a[1];
        fds[1] = b[1];
        rc = ipc_send(&forker, MSG_SPAWN, 5, &spawn, fds, 2);
        rc = rc ? rc : ipc_expect(&forker, &f, MSG_SPAWNED, &spawned, 9000);
        tell("spawned rc=%d errnum=%d pid=%u pidfd=%d", rc, spawned.errnum, spawned.pid,
             ipc_take_fd(&f, 0) >= 0);
        close(a[1]);
        close(b[1]);
        for (;;) {
            struct pollfd p = {.fd = a[0], .events = POLLIN};
            char said[600] = "";

            if (poll(&p, 1, 2000) <= 0 || recv(a[0], said, sizeof(said) - 1, 0) <= 0)
                break;
            tell("worker: %s", said);
            if (strstr(said, "blocking="))
                break;
        }
        /* both ends stay open: the worker waits */
    } else if (!strcmp(word, "kill")) {
        rc = ipc_send(&forker, MSG_KILL_WORKER, 5, NULL, NULL, 0);
        tell("killed rc=%d", rc);
    } else if (!strcmp(word, "garbage")) {
        if (write(FD_WARDEN_SUPERVISOR, "garbage", 7) != 7)
            exit(1);
    } else if (!strcmp(word, "exit")) {
        exit(3);
    }
}

static int warden(void)
{
    struct ipc_chan sup = {.fd = FD_WARDEN_SUPERVISOR, .self = WARDEN, .peer = SUPERVISOR,
                           .phase = PH_RUN, .takes_fds = true};
    static struct ipc_frame f;
    struct stat undo, node;
    int rc = ipc_recv(&sup, &f), fd, devs;

    for (int i = 0; i < 100 && !rc; i++) {
        usleep(50000);
        rc = ipc_recv(&sup, &f);
    }
    fd = ipc_take_fd(&f, 0);
    fstat(FD_WARDEN_UNDO, &undo);
    devs = !stat("/dev/xen/privcmd", &node);
    tell("table=%d seals=%x undo=%ld node=%d owner=%d opens=%d", rc == 1 && f.type == MSG_TABLE,
         (unsigned)fcntl(fd, F_GET_SEALS), (long)undo.st_size, devs, node.st_uid == getuid(),
         open("/dev/xen/privcmd", O_RDWR) >= 0);
    ipc_send(&sup, MSG_READY, 0, NULL, NULL, 0);
    for (;;) {
        struct pollfd p[] = {{.fd = FD_WARDEN_SUPERVISOR, .events = POLLIN},
                             {.fd = FD_WARDEN_LISTEN, .events = POLLIN},
                             {.fd = FD_WARDEN_RECORDER}, {.fd = FD_WARDEN_GATE},
                             {.fd = FD_WARDEN_PARENT}, {.fd = FD_WARDEN_FORKER}};
        char word[32] = "";

        if (poll(p, 6, -1) < 0)
            return 1;
        for (int i = 2; i < 6; i++)
            if (p[i].revents)
                return 1;
        if (p[0].revents) {
            rc = ipc_recv(&sup, &f);
            if (rc < 0)
                return 0;
            tell("message %s", ipc_type_name(f.type));
            ipc_close_fds(&f);
        }
        if (p[1].revents) {
            fd = accept(FD_WARDEN_LISTEN, NULL, NULL);
            if (recv(fd, word, sizeof(word) - 1, 0) > 0)
                command(word);
            close(fd);
        }
    }
}

int main(int argc, char **argv)
{
    char byte;

    me = argc ? argv[0] : "?";
    prctl(PR_SET_NAME, me);
    if (!strcmp(me, "moat-save"))
        out = FD_WORKER_PARENT;
    describe(argc, argv);
    if (!strcmp(me, "moat-warden"))
        return warden();
    if (!strcmp(me, "moat-gate"))
        return gate();
    if (!strcmp(me, "moat-save")) {
        /* /proc must be out of reach, by path and by whatever the forker held */
        for (int fd = 0; fd < 64; fd++)
            if (openat(fd, "1/status", O_RDONLY) >= 0)
                tell("reaches /proc through %d", fd);
        tell("blocking=%d root=%d", !(fcntl(3, F_GETFL) & O_NONBLOCK), reaches("/"));
    }
    /* until the channel ends; the recorder's does not block */
    for (;;) {
        struct pollfd p = {.fd = strcmp(me, "moat-save") ? FD_RECORDER_WARDEN : FD_WORKER_WARDEN,
                           .events = POLLIN};

        if (poll(&p, 1, -1) < 0 || recv(p.fd, &byte, 1, 0) <= 0)
            return 0;
    }
}
