/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A hostile operator: speaks to moat.sock without the moat command.
 *
 *   operator save KIND PATH    INTENT of a checkpoint of "web" with FILE opened as KIND says;
 *                              prints what moatd answers
 *   operator talk NAME         one of the conversations below; prints "held ..." or "BREACH ..."
 *   operator connect N         N connections that say nothing, kept until its standard input ends
 *   operator list              the names for save (KIND PATH) and for talk
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc/ipc.h"

static struct ipc_frame frame;

static struct ipc_chan open_connection(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "/run/moat/moat.sock"};
    struct ipc_chan ch = {.self = OPERATOR, .peer = WARDEN | PARENT, .phase = PH_RUN};

    ch.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (ch.fd < 0 || connect(ch.fd, (struct sockaddr *)&sa, sizeof(sa))) {
        printf("BREACH cannot connect: %s\n", strerror(errno));
        exit(1);
    }
    return ch;
}

static struct msg_INTENT intent(uint32_t kind, const char *domain)
{
    struct msg_INTENT m = {.version = IPC_VERSION, .kind = kind};

    if (kind == KIND_SAVE)
        m.flags = INTENT_CHECKPOINT;
    ipc_text(m.domain, sizeof(m.domain), domain);
    return m;
}

static int raw(int fd, uint32_t length, uint16_t type, uint16_t count, const void *payload,
               size_t len, const int *fds, unsigned nfds)
{
    static uint8_t buf[1 << 18];
    const uint32_t job = 0;
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(250 * sizeof(int))];
    } control = {0};
    struct iovec iov = {buf, IPC_HEADER_SIZE + len};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *c;

    memcpy(buf, &length, 4);
    memcpy(buf + 4, &type, 2);
    memcpy(buf + 6, &count, 2);
    memcpy(buf + 8, &job, 4);
    memcpy(buf + IPC_HEADER_SIZE, payload, len);
    if (nfds) {
        mh.msg_control = control.buf;
        mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
    }
    return sendmsg(fd, &mh, MSG_NOSIGNAL) < 0 ? errno : 0;
}

/* The first DENIED, DONE or message `also`, or the end of the connection; 0 after ms without any. */
static uint32_t answer_or(struct ipc_chan *ch, uint32_t also, int ms)
{
    union {
        struct msg_DENIED denied;
        struct msg_DONE done;
    } m;
    struct pollfd p = {.fd = ch->fd, .events = POLLIN};

    for (;;) {
        int rc = poll(&p, 1, ms) == 1 ? ipc_recv(ch, &frame) : 0;

        if (rc == 0) {
            puts("silence");
            return 0;
        }
        if (rc < 0) {
            puts("closed");
            return 1;
        }
        if (frame.type == also)
            return also;
        if (frame.type != MSG_DENIED && frame.type != MSG_DONE)
            continue;
        if (ipc_decode(&frame, &m)) {
            puts("malformed");
            return 0;
        }
        if (frame.type == MSG_DENIED)
            printf("denied %u: %s\n", m.denied.exit_code, m.denied.message);
        else
            printf("done %u: %s\n", m.done.exit_code, m.done.message);
        return frame.type;
    }
}

/* ---- FILE */

static uint32_t answer(struct ipc_chan *ch, int ms)
{
    return answer_or(ch, 0, ms);
}

static int open_as(const char *kind, const char *path)
{
    int pair[2];

    if (!strcmp(kind, "none"))
        return -1;
    if (!strcmp(kind, "memfd"))
        return memfd_create("image", 0);
    if (!strcmp(kind, "sealed")) {
        int fd = memfd_create("image", MFD_ALLOW_SEALING);

        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE);
        return fd;
    }
    if (!strcmp(kind, "socket"))
        return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ? -1 : pair[0];
    if (!strcmp(kind, "pipe"))
        return pipe(pair) ? -1 : pair[1];
    if (!strcmp(kind, "moat"))
        return open_connection().fd;
    if (!strcmp(kind, "directory"))
        return open(path, O_RDONLY | O_DIRECTORY);
    if (!strcmp(kind, "path"))
        return open(path, O_PATH);
    if (!strcmp(kind, "read"))
        return open(path, O_RDONLY | O_CREAT, 0600);
    if (!strcmp(kind, "append"))
        return open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (!strcmp(kind, "fifo"))
        return open(path, O_RDWR);
    if (!strcmp(kind, "write"))
        return open(path, O_WRONLY | O_NONBLOCK);
    if (!strcmp(kind, "both"))
        return open(path, O_RDWR | O_CREAT, 0600);
    return -1;
}

static int save(const char *kind, const char *path)
{
    struct msg_INTENT m = intent(KIND_SAVE, "web");
    struct ipc_chan ch;
    int fd = open_as(kind, path);

    if (fd < 0 && strcmp(kind, "none")) {
        printf("unopened %s: %s\n", path, strerror(errno));
        return 0;
    }
    ch = open_connection();
    if (ipc_send(&ch, MSG_INTENT, 0, &m, &fd, fd >= 0))
        puts("closed");
    else
        answer(&ch, 20000);
    return 0;
}

/* ---- conversations; each prints its verdict */

static void must(bool good, const char *what)
{
    printf("%s %s\n", good ? "held" : "BREACH", what);
}

static void encoded(const struct msg_INTENT *m, uint32_t extra, int *fds, unsigned nfds,
                    uint16_t count)
{
    static uint8_t buf[65536];
    int len = ipc_encode(MSG_INTENT, m, buf, sizeof(buf));
    struct ipc_chan ch = open_connection();

    raw(ch.fd, (uint32_t)len + extra, MSG_INTENT, count, buf, (size_t)len + extra, fds, nfds);
    must(answer(&ch, 5000) == 1, "the connection is closed");
}

static void intent_with(uint32_t version, uint32_t kind, uint32_t flags, uint32_t deadline,
                        uint32_t target, const char *domain)
{
    struct msg_INTENT m = intent(kind, domain);
    struct ipc_chan ch = open_connection();

    m.version = version;
    m.flags = flags;
    m.deadline = deadline;
    m.target = target;
    if (ipc_send(&ch, MSG_INTENT, 0, &m, NULL, 0))
        must(false, "INTENT was not taken");
    must(answer(&ch, 5000) == MSG_DENIED, "denied");
}

static void talk_versions(void)
{
    intent_with(0, KIND_LIST, 0, 0, 0, "");
    intent_with(IPC_VERSION + 1, KIND_LIST, 0, 0, 0, "");
    intent_with(UINT32_MAX, KIND_SAVE, INTENT_CHECKPOINT, 0, 0, "web");
}

static void talk_kinds(void)
{
    intent_with(IPC_VERSION, 0, 0, 0, 0, "");
    intent_with(IPC_VERSION, KIND_WATCH + 1, 0, 0, 0, "web");
    intent_with(IPC_VERSION, KIND_RESUME, 0, 0, 0, "web");                  /* it runs */
    intent_with(IPC_VERSION, KIND_RESUME, 0, 0, 0, "");
    intent_with(IPC_VERSION, KIND_RESUME, INTENT_SUSPENDED, 0, 0, "web");
    intent_with(IPC_VERSION, KIND_RESUME, 0, 1, 0, "web");
    intent_with(IPC_VERSION, KIND_RESUME, 0, 0, 1, "web");
    intent_with(IPC_VERSION, UINT32_MAX, 0, 0, 0, "");
    intent_with(IPC_VERSION, KIND_LIST, UINT32_MAX, 0, 0, "");
    intent_with(IPC_VERSION, KIND_LIST, INTENT_LIVE, 0, 0, "");
    intent_with(IPC_VERSION, KIND_LIST, 0, 1, 0, "");
    intent_with(IPC_VERSION, KIND_JOBS, 0, 0, 0, "web");
    intent_with(IPC_VERSION, KIND_JOBS, 0, 0, 1, "");
    intent_with(IPC_VERSION, KIND_CANCEL, 0, 0, 0, "");
    intent_with(IPC_VERSION, KIND_CANCEL, 0, 0, UINT32_MAX, "");
    intent_with(IPC_VERSION, KIND_SAVE, INTENT_CHECKPOINT, 0, 0, "web");    /* without FILE */
    intent_with(IPC_VERSION, KIND_SAVE, 0x80000000, 0, 0, "web");
    intent_with(IPC_VERSION, KIND_SAVE, INTENT_CHECKPOINT | INTENT_PAUSE, 0, 0, "web");
    intent_with(IPC_VERSION, KIND_SAVE, INTENT_STREAM, 0, 0, "web");
    intent_with(IPC_VERSION, KIND_SAVE, INTENT_SUSPENDED | INTENT_CHECKPOINT, 0, 0, "web");
    intent_with(IPC_VERSION, KIND_SAVE, INTENT_SUSPENDED, 0, 0, "web");     /* without FILE */
}

/* The name is 64 bytes of printable text with a NUL; what is not is no INTENT. */
static void talk_names(void)
{
    static uint8_t buf[65536];
    struct msg_INTENT m = intent(KIND_SAVE, "web");
    int len = ipc_encode(MSG_INTENT, &m, buf, sizeof(buf));
    static const uint8_t bad[] = {0x1b, 0x7f, 0xff, '\n', 1};

    for (unsigned i = 0; i <= sizeof(bad); i++) {
        struct ipc_chan ch = open_connection();

        if (i < sizeof(bad))
            buf[len - 62] = bad[i];
        else
            memset(buf + len - 64, 'a', 64);
        raw(ch.fd, (uint32_t)len, MSG_INTENT, 0, buf, (size_t)len, NULL, 0);
        must(answer(&ch, 5000) == 1, "an unprintable or unended name closes the connection");
    }
}

static void talk_sizes(void)
{
    struct msg_INTENT m = intent(KIND_SAVE, "web");
    static uint8_t junk[200000];
    static const size_t sizes[] = {0, 1, 4, 100, 65535, 65536 - IPC_HEADER_SIZE, 65536, 150000};

    encoded(&m, 1, NULL, 0, 0);
    encoded(&m, 60000, NULL, 0, 0);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct ipc_chan ch = open_connection();

        raw(ch.fd, (uint32_t)sizes[i], MSG_INTENT, 0, junk, sizes[i], NULL, 0);
        must(answer(&ch, 5000) == 1, "a frame of another size closes the connection");
    }
    for (unsigned i = 0; i < 13; i++) {
        struct ipc_chan ch = open_connection();

        send(ch.fd, junk, i, MSG_NOSIGNAL);
        must(answer(&ch, 5000) == 1, "a frame without a header closes the connection");
    }
}

static void talk_fds(void)
{
    struct msg_INTENT m = intent(KIND_SAVE, "web");
    int fds[250];

    for (unsigned i = 0; i < 250; i++)
        fds[i] = 0;
    encoded(&m, 0, fds, 2, 2);
    encoded(&m, 0, fds, 2, 1);
    encoded(&m, 0, fds, 250, 1);
    encoded(&m, 0, fds, 250, 250);
    encoded(&m, 0, fds, 1, 0);
    encoded(&m, 0, NULL, 0, 1);
}

/* Messages of others, on a fresh connection. */
static void talk_types(void)
{
    static const uint16_t types[] = {MSG_COMMIT, MSG_JOB, MSG_SPAWN, MSG_DESTROY, MSG_TABLE,
                                     MSG_RECORD, MSG_GRANT, MSG_CALL, MSG_HELLO, MSG_DONE,
                                     MSG_OUTCOME, 0, 0xffff};
    static uint8_t zeroes[600];

    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct ipc_chan ch = open_connection();

        raw(ch.fd, types[i] == MSG_COMMIT ? 0 : 600, types[i], 0, zeroes,
            types[i] == MSG_COMMIT ? 0 : 600, NULL, 0);
        must(answer(&ch, 5000) == 1, "somebody else's message closes the connection");
    }
}

/* INTENT twice; COMMIT without SAVED: the job fails, nothing is destroyed. */
static void during_save(bool commit, const char *path)
{
    struct msg_INTENT m = intent(KIND_SAVE, "web");
    struct ipc_chan ch = open_connection();
    int fd = open(path, O_RDWR | O_CREAT, 0600);

    m.flags = 0;
    ipc_send(&ch, MSG_INTENT, 0, &m, &fd, 1);
    if (commit)
        raw(ch.fd, 0, MSG_COMMIT, 0, "", 0, NULL, 0);
    else
        ipc_send(&ch, MSG_INTENT, 0, &m, &fd, 1);
    must(answer(&ch, 20000) != MSG_DONE, "the operator has broken the protocol");
}

static void talk_intent_twice(void)
{
    during_save(false, "/home/admind/twice.img");
}

static void talk_commit_early(void)
{
    during_save(true, "/home/admind/early.img");
}

/*
 * Half-closes at every moment of a save in turn: it is told the end, and nothing is left of it.  The
 * frames after the half-close are what a broken library might try.
 */
static void talk_half_close(void)
{
    struct msg_INTENT m = intent(KIND_SAVE, "web");

    m.flags = INTENT_SUSPENDED;
    for (unsigned i = 0; i < 12; i++) {
        struct ipc_chan ch = open_connection();
        int fd = open("/home/admind/half.img", O_RDWR | O_CREAT, 0600);
        uint32_t type;

        ipc_send(&ch, MSG_INTENT, 0, &m, &fd, 1);
        close(fd);
        usleep(i * 4000);
        shutdown(ch.fd, SHUT_WR);
        must(ipc_send(&ch, MSG_COMMIT, 0, NULL, NULL, 0) == -EPIPE, "nothing can be said any more");
        type = answer(&ch, 20000);
        must(type == MSG_DONE || type == MSG_DENIED, "the end is told");
        close(ch.fd);
    }
    unlink("/home/admind/half.img");
}

/* Leaves the domain suspended, then has it go on, with what is not to be said in between. */
static void talk_suspend_resume(void)
{
    struct msg_INTENT m = intent(KIND_SAVE, "web");
    struct ipc_chan ch = open_connection();
    int fd = open("/home/admind/suspended.img", O_RDWR | O_CREAT, 0600);
    uint32_t type;

    m.flags = INTENT_SUSPENDED;
    ipc_send(&ch, MSG_INTENT, 0, &m, &fd, 1);
    close(fd);
    must(answer_or(&ch, MSG_SAVED, 20000) == MSG_SAVED, "saved");
    raw(ch.fd, 0, MSG_COMMIT, 0, "", 0, NULL, 0);
    raw(ch.fd, 0, MSG_COMMIT, 0, "", 0, NULL, 0);       /* twice, and an INTENT behind it */
    ipc_send(&ch, MSG_INTENT, 0, &m, NULL, 0);
    type = answer(&ch, 20000);
    must(type == MSG_DONE || type == 1, "done, or closed over what nobody wants to hear");
    intent_with(IPC_VERSION, KIND_SAVE, INTENT_SUSPENDED, 0, 0, "web");
    intent_with(IPC_VERSION, KIND_RESUME, 0, 0, 0, "no such");
    m = intent(KIND_RESUME, "web");
    for (unsigned i = 0; i < 3; i++) {      /* the first one counts */
        ch = open_connection();
        ipc_send(&ch, MSG_INTENT, 0, &m, NULL, 0);
        must(answer(&ch, 20000) == (i ? MSG_DENIED : MSG_DONE), "resumed once");
    }
    unlink("/home/admind/suspended.img");
}

/* Asks for lists and never reads one; the connections end by themselves. */
static void talk_never_read(void)
{
    struct msg_INTENT m = intent(KIND_LIST, "");
    struct ipc_chan ch[8];
    unsigned closed = 0;

    for (unsigned i = 0; i < 8; i++) {
        int small = 1;

        ch[i] = open_connection();
        setsockopt(ch[i].fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        ipc_send(&ch[i], MSG_INTENT, 0, &m, NULL, 0);
    }
    sleep(3);
    for (unsigned i = 0; i < 8; i++)
        closed += answer(&ch[i], 5000) != 0;
    must(closed == 8, "lists that nobody reads end");
}

static void talk_list_flood(void)
{
    struct msg_INTENT m = intent(KIND_LIST, "");

    for (unsigned i = 0; i < 1000; i++) {
        struct ipc_chan ch = open_connection();

        ipc_send(&ch, MSG_INTENT, 0, &m, NULL, 0);
        close(ch.fd);
    }
    must(true, "1000 lists");
}

static void talk_denied_flood(void)
{
    struct msg_INTENT m = intent(KIND_SAVE, "no-such-domain");
    int fd = open("/dev/null", O_WRONLY);

    for (unsigned i = 0; i < 1000; i++) {
        struct ipc_chan ch = open_connection();

        ipc_send(&ch, MSG_INTENT, 0, &m, &fd, 1);
        close(ch.fd);
    }
    must(true, "1000 refused saves");
}

/* ---- watches */

static struct ipc_chan watch(const char *domain)
{
    struct msg_INTENT m = intent(KIND_WATCH, domain);
    struct ipc_chan ch = open_connection();

    ipc_send(&ch, MSG_INTENT, 0, &m, NULL, 0);
    return ch;
}

/* What is left after the first state, or without one. */
static bool armed(struct ipc_chan *ch)
{
    struct pollfd p = {.fd = ch->fd, .events = POLLIN};

    return poll(&p, 1, 5000) == 1 && ipc_recv(ch, &frame) == 1 && frame.type == MSG_DOMAIN_STATE;
}

/* More than one user may have, kept and never read. */
static void talk_watch_hoard(void)
{
    unsigned good = 0;

    for (unsigned i = 0; i < 300; i++) {
        struct ipc_chan ch = watch("web");

        good += armed(&ch);
    }
    must(good == 64, "a user has 64 watches");
    sleep(2);
}

static void talk_watch_flood(void)
{
    for (unsigned i = 0; i < 1500; i++) {
        struct ipc_chan ch = watch(i & 1 ? "web" : "1");

        if (i % 3)
            armed(&ch);
        close(ch.fd);
    }
    must(true, "1500 watches, one after the other");
}

/* Everything that a watcher could say but nothing. */
static void talk_watch_says(void)
{
    static const uint16_t types[] = {MSG_INTENT, MSG_COMMIT, MSG_DOMAIN_STATE, MSG_XS_RELEASED,
                                     MSG_DONE, MSG_CALL, 0xffff};
    static uint8_t zeroes[600];
    int fds[250] = {0};

    for (unsigned i = 0; i < 2 * sizeof(types) / sizeof(types[0]); i++) {
        struct ipc_chan ch = watch("web");

        must(armed(&ch), "armed");
        raw(ch.fd, 600, types[i / 2], i & 1 ? 250 : 0, zeroes, 600, fds, i & 1 ? 250 : 0);
        must(answer(&ch, 5000) != 0, "a watcher that speaks has ended its watch");
    }
}

/* Domains that cannot be: gone or denied, never armed. */
static void talk_watch_nothing(void)
{
    static const char *const names[] = {"4294967295", "4294967297", "32752", "65535", "-1", "0x1",
                                        "01x", "%s%n", "/local/domain/1", "*", "web*", "1 "};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct ipc_chan ch = watch(names[i]);

        must(answer(&ch, 5000) > 1, names[i]);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} talks[] = {
    {"versions", talk_versions}, {"kinds", talk_kinds}, {"names", talk_names},
    {"sizes", talk_sizes}, {"fds", talk_fds}, {"types", talk_types},
    {"intent-twice", talk_intent_twice}, {"commit-early", talk_commit_early},
    {"half-close", talk_half_close}, {"suspend-resume", talk_suspend_resume},
    {"never-read", talk_never_read}, {"list-flood", talk_list_flood},
    {"denied-flood", talk_denied_flood}, {"watch-hoard", talk_watch_hoard},
    {"watch-flood", talk_watch_flood}, {"watch-says", talk_watch_says},
    {"watch-nothing", talk_watch_nothing},
};

/* Connections that say nothing.  Some are closed at once (too many): that is an answer. */
static int connections(unsigned n)
{
    unsigned made = 0;
    char byte;

    for (unsigned i = 0; i < n; i++) {
        struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "/run/moat/moat.sock"};
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);

        made += fd >= 0 && !connect(fd, (struct sockaddr *)&sa, sizeof(sa));
    }
    printf("%u of %u\n", made, n);
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "save"))
        return save(argv[2], argv[3]);
    if (argc == 3 && !strcmp(argv[1], "connect"))
        return connections((unsigned)atoi(argv[2]));
    for (unsigned i = 0; i < sizeof(talks) / sizeof(talks[0]); i++) {
        if (argc == 2 && !strcmp(argv[1], "list"))
            puts(talks[i].name);
        if (argc == 3 && !strcmp(argv[1], "talk") && !strcmp(argv[2], talks[i].name))
            talks[i].run();
    }
    return 0;
}
