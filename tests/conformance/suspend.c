/* SPDX-License-Identifier: LGPL-2.1-only */
/* libxl_domain_suspend and libxl_domain_resume of a real guest. */
#include <endian.h>
#include <sys/socket.h>

#include "tests/conformance/conf.h"

#define END_MS 60000

/* What the stream begins and ends with: its header, and a record END, which is empty. */
static void trace_stream(int fd, off_t from)
{
    struct { uint64_t ident; uint32_t version, options; } head;
    uint32_t end[2];
    off_t size = lseek(fd, 0, SEEK_END);

    trace_if("the offset has moved to the end", lseek(fd, 0, SEEK_CUR) == size);
    if (pread(fd, &head, sizeof(head), from) != sizeof(head) ||
        pread(fd, end, sizeof(end), size - (off_t)sizeof(end)) != sizeof(end)) {
        trace("stream: too short");
        return;
    }
    trace("stream: ident %s, version %u, options %x",
          be64toh(head.ident) == 0x4c6962786c466d74ULL ? "LibxlFmt" : "another",
          be32toh(head.version), be32toh(head.options));
    trace_if("stream: ends with END", end[0] == 0 && end[1] == 0);
    trace_if("stream: holds the memory", size - from > (16 << 20));
}

static void resume(libxl_ctx *ctx, uint32_t domid)
{
    trace_rc("resume", libxl_domain_resume(ctx, domid, 1, NULL));
    trace_state("then", domid);
    ask("counts %u", domid);        /* it hears the next request only when it runs again */
}

static void case_callback(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);
    int fd = image_file();

    trace_rc("start", libxl_domain_suspend(ctx, domid, fd, 0, &how));
    trace("callbacks before any loop ran: %d", e.times);
    memset(&how, 0x55, sizeof(how));
    trace_if("ends", pump(ctx, done_flag, &e.times, END_MS));
    pump_for(ctx, 200);
    trace("times %d, rc %s", e.times, rc_name(e.rc));
    trace_if("with its context", e.ctx == ctx);
    trace_if("on this thread", pthread_equal(e.thread, pthread_self()));
    trace_state("after it", domid);
    trace_if("fd is still open", fcntl(fd, F_GETFD) >= 0);
    trace_stream(fd, 0);
    trace_queue("queue", ctx, domid);
    resume(ctx, domid);
    trace("goes on counting: %s", ask("counts %u", domid));
    ctx_end(ctx);
}

static void case_event(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    libxl_asyncop_how how = how_event(0xabc);
    libxl_event *ev;
    int fd = image_file();

    trace_rc("start", libxl_domain_suspend(ctx, domid, fd, LIBXL_SUSPEND_LIVE, &how));
    trace_rc("event_wait", libxl_event_wait(ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL));
    trace_event("got", ctx, ev, domid);
    trace_state("after it", domid);
    trace_stream(fd, 0);
    how = how_event(0xdef);
    trace_rc("resume", libxl_domain_resume(ctx, domid, 1, &how));
    trace_rc("event_wait", libxl_event_wait(ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL));
    trace_event("got", ctx, ev, domid);
    trace_state("then", domid);
    ctx_end(ctx);
}

static void case_sync(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    int fd = image_file();

    if (write(fd, "before", 6) != 6)
        broken("write");
    trace_rc("suspend", libxl_domain_suspend(ctx, domid, fd, 0, NULL));
    trace_state("after it", domid);
    trace_stream(fd, 6);
    trace_queue("queue", ctx, domid);
    trace("control/shutdown: %s", ask("control %u", domid));
    resume(ctx, domid);
    resume(ctx, domid);
    trace("goes on counting: %s", ask("counts %u", domid));
    ctx_end(ctx);
}

/* A pipe: somebody else reads. */
struct reader {
    int fd;
    int64_t bytes;
    char head[8];
};

static void *reads(void *arg)
{
    struct reader *r = arg;
    static char buf[1 << 16];
    ssize_t n;

    while ((n = read(r->fd, buf, sizeof(buf))) > 0) {
        if (!r->bytes && n >= 8)
            memcpy(r->head, buf, 8);
        r->bytes += n;
    }
    return NULL;
}

static void case_pipe(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    struct reader r = { 0 };
    pthread_t thread;
    int p[2];

    if (pipe2(p, O_CLOEXEC))
        broken("pipe");
    r.fd = p[0];
    pthread_create(&thread, NULL, reads, &r);
    trace_rc("suspend to a pipe", libxl_domain_suspend(ctx, domid, p[1], LIBXL_SUSPEND_LIVE, NULL));
    trace_if("fd is still open", fcntl(p[1], F_GETFD) >= 0);
    close(p[1]);
    pthread_join(thread, NULL);
    trace_if("the stream came", r.bytes > (16 << 20) && !memcmp(r.head, "LibxlFmt", 8));
    trace_state("after it", domid);
    resume(ctx, domid);
    ctx_end(ctx);
}

static void case_socket(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    struct reader r = { 0 };
    pthread_t thread;
    int s[2], rc;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s))
        broken("socketpair");
    r.fd = s[0];
    pthread_create(&thread, NULL, reads, &r);
    rc = libxl_domain_suspend(ctx, domid, s[1], LIBXL_SUSPEND_LIVE, NULL);
    trace_rc("suspend to a socket", rc);
    close(s[1]);
    pthread_join(thread, NULL);
    if (!rc)
        resume(ctx, domid);
    ctx_end(ctx);
}

static void with_flag(int flag)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    int fd = image_file(), rc;

    fcntl(fd, F_SETFL, flag);
    rc = libxl_domain_suspend(ctx, domid, fd, 0, NULL);
    trace_rc("suspend", rc);
    trace_if("flag as before", fcntl(fd, F_GETFL) & flag);
    if (!rc)
        resume(ctx, domid);
    ctx_end(ctx);
}

static void case_nonblock(void)
{
    with_flag(O_NONBLOCK);
}

static void case_append(void)
{
    with_flag(O_APPEND);
}

/* The rc of a suspend that cannot succeed: of the start or of the end, whichever it was. */
static void failing(const char *what, libxl_ctx *ctx, uint32_t domid, int fd, int flags)
{
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);
    int rc = libxl_domain_suspend(ctx, domid, fd, flags, &how);

    trace_rc(what, rc);
    if (!rc) {
        trace_if("ends", pump(ctx, done_flag, &e.times, END_MS));
        trace_rc("end", e.rc);
    }
    pump_for(ctx, 100);
    trace("callbacks: %d", e.times);
}

static void case_missing(void)
{
    libxl_ctx *ctx = ctx_new();
    int fd = image_file();

    failing("asynchronous", ctx, NO_DOMAIN, fd, 0);
    trace_rc("synchronous", libxl_domain_suspend(ctx, NO_DOMAIN, fd, 0, NULL));
    trace_if("nothing was written", lseek(fd, 0, SEEK_END) == 0);
    ctx_end(ctx);
}

static void case_bad_fd(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();

    failing("fd -1", ctx, domid, -1, 0);
    failing("fd not open", ctx, domid, 900, 0);
    trace_rc("synchronous", libxl_domain_suspend(ctx, domid, -1, 0, NULL));
    trace_state("after it", domid);
    ctx_end(ctx);
}

static void case_read_only(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    int fd = open("/dev/null", O_RDONLY);

    failing("read-only fd", ctx, domid, fd, LIBXL_SUSPEND_LIVE);
    trace_state("after it", domid);
    ctx_end(ctx);
}

static void case_no_reader(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    int p[2];

    if (pipe(p))
        broken("pipe");
    close(p[0]);
    failing("pipe without a reader", ctx, domid, p[1], LIBXL_SUSPEND_LIVE);
    trace_state("after it", domid);
    ctx_end(ctx);
}

/* The reader goes away in the middle. */
static void *reads_some(void *arg)
{
    int fd = *(int *)arg;
    char buf[4096];

    for (int i = 0; i < 100 && read(fd, buf, sizeof(buf)) > 0; i++)
        ;
    close(fd);
    return NULL;
}

static void case_reader_goes(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    pthread_t thread;
    int p[2];

    if (pipe2(p, O_CLOEXEC))
        broken("pipe");
    pthread_create(&thread, NULL, reads_some, &p[0]);
    failing("pipe whose reader goes away", ctx, domid, p[1], LIBXL_SUSPEND_LIVE);
    pthread_join(thread, NULL);
    trace_state("after it", domid);
    ctx_end(ctx);
}

static void case_debug(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    int fd = image_file();

    trace_rc("with DEBUG", libxl_domain_suspend(ctx, domid, fd, LIBXL_SUSPEND_DEBUG, NULL));
    trace_state("after it", domid);
    ctx_end(ctx);
}

static void case_resume_running(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);

    trace_rc("resume of a running domain", libxl_domain_resume(ctx, domid, 1, NULL));
    trace_rc("asynchronous", libxl_domain_resume(ctx, domid, 1, &how));
    trace_if("ends", pump(ctx, done_flag, &e.times, END_MS));
    trace_rc("end", e.rc);
    trace_state("after it", domid);
    trace("goes on counting: %s", ask("counts %u", domid));
    ctx_end(ctx);
}

static void case_resume_crashed(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = spare();

    trace_rc("not co-operative, never suspended", libxl_domain_resume(ctx, domid, 0, NULL));
    trace("shutdown: %s", ask("shutdown %u 0", domid));
    trace_rc("resume of one that has powered off", libxl_domain_resume(ctx, domid, 1, NULL));
    trace_state("after it", domid);
    trace("destroy: %s", ask("destroy %u", domid));
    ctx_end(ctx);
}

/* ---- abort */

static void case_abort_wait(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    struct ended e = { 0 }, other = { 0 };
    libxl_asyncop_how how = how_callback(&e), not_it = how_callback(&other), ev = how_event(0);
    int fd = image_file();

    ask("pause %u", domid);
    trace_rc("start", libxl_domain_suspend(ctx, domid, fd, 0, &how));
    pump_asked(ctx, domid);
    trace_rc("abort, another callback's", libxl_ao_abort(ctx, &not_it));
    trace_rc("abort, an event's", libxl_ao_abort(ctx, &ev));
    trace_rc("abort, a synchronous one", libxl_ao_abort(ctx, NULL));
    pump_for(ctx, 200);
    trace("callbacks: %d", e.times);
    trace_rc("abort", libxl_ao_abort(ctx, &how));
    trace_rc("abort again", libxl_ao_abort(ctx, &how));
    trace_if("ends", pump(ctx, done_flag, &e.times, END_MS));
    trace("times %d, rc %s", e.times, rc_name(e.rc));
    trace_rc("abort after the end", libxl_ao_abort(ctx, &how));
    trace("unpause: %s", ask("unpause %u", domid));
    trace("some time later: domain %s", ask("settled %u", domid));
    ctx_end(ctx);
}

/* A pipe that nobody reads is full at once: the operation stands still in the middle. */
static void stalled(int flags)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);
    struct pollfd full;
    int p[2];

    if (pipe2(p, O_CLOEXEC))
        broken("pipe");
    trace_rc("start", libxl_domain_suspend(ctx, domid, p[1], flags, &how));
    full = (struct pollfd){ .fd = p[1], .events = POLLOUT };
    for (int i = 0; i < 200 && (poll(&full, 1, 0), full.revents & POLLOUT); i++)
        pump_for(ctx, 100);
    pump_for(ctx, 500);
    trace("callbacks: %d", e.times);
    trace_state("in the middle", domid);
    trace_rc("abort", libxl_ao_abort(ctx, &how));
    trace_if("ends", pump(ctx, done_flag, &e.times, END_MS));
    trace("times %d, rc %s", e.times, rc_name(e.rc));
    trace_state("after it", domid);
    ctx_end(ctx);
}

static void case_abort_live(void)
{
    stalled(LIBXL_SUSPEND_LIVE);
}

static void case_abort_stream(void)
{
    stalled(0);
}

static void case_abort_at_once(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    struct ended e = { 0 };
    libxl_asyncop_how how = how_callback(&e);
    int fd = image_file();

    trace_rc("start", libxl_domain_suspend(ctx, domid, fd, 0, &how));
    trace_rc("abort before any loop ran", libxl_ao_abort(ctx, &how));
    trace_if("ends", pump(ctx, done_flag, &e.times, END_MS));
    trace("times %d, rc %s", e.times, rc_name(e.rc));
    ctx_end(ctx);
}

static void case_abort_event(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    libxl_asyncop_how how = how_event(8), other = how_event(9);
    libxl_event *ev;
    int fd = image_file();

    ask("pause %u", domid);
    trace_rc("start", libxl_domain_suspend(ctx, domid, fd, 0, &how));
    pump_asked(ctx, domid);
    trace_rc("abort, another number", libxl_ao_abort(ctx, &other));
    trace_rc("abort", libxl_ao_abort(ctx, &how));
    trace_rc("event_wait", libxl_event_wait(ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL));
    trace_event("got", ctx, ev, domid);
    trace("unpause: %s", ask("unpause %u", domid));
    ctx_end(ctx);
}

static void case_two_in_turn(void)
{
    libxl_ctx *ctx = ctx_new();
    uint32_t domid = guest();
    int before, fd = image_file();

    trace_rc("suspend", libxl_domain_suspend(ctx, domid, fd, 0, NULL));
    resume(ctx, domid);
    before = count_fds();
    if (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET))
        broken("truncate");
    trace_rc("again", libxl_domain_suspend(ctx, domid, fd, 0, NULL));
    resume(ctx, domid);
    trace_if("as many fds as before", count_fds() == before);
    trace_if("no child left", waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    trace("SIGCHLD: %s", sigchld_disposition());
    ctx_end(ctx);
}

const struct conf_case conf_cases[] = {
    { "suspend-callback", case_callback },
    { "suspend-event-live", case_event },
    { "suspend-sync-offset", case_sync },
    { "suspend-pipe", case_pipe },
    { "suspend-socket", case_socket },
    { "suspend-nonblock", case_nonblock },
    { "suspend-append", case_append },
    { "suspend-missing-domain", case_missing },
    { "suspend-bad-fd", case_bad_fd },
    { "suspend-read-only", case_read_only },
    { "suspend-no-reader", case_no_reader },
    { "suspend-reader-goes", case_reader_goes },
    { "suspend-debug", case_debug },
    { "suspend-in-turn", case_two_in_turn },
    { "resume-running", case_resume_running },
    { "resume-not-suspended", case_resume_crashed },
    { "abort-while-waiting", case_abort_wait },
    { "abort-live", case_abort_live },
    { "abort-in-stream", case_abort_stream },
    { "abort-at-once", case_abort_at_once },
    { "abort-event", case_abort_event },
    { NULL, NULL },
};
