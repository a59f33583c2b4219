/* SPDX-License-Identifier: LGPL-2.1-only */
#include <dirent.h>
#include <stdarg.h>

#include "tests/conformance/conf.h"

#define ASK_FD 3
#define ANSWER_FD 4

static xentoollog_logger *logger;

void trace(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

void trace_if(const char *what, bool yes)
{
    trace("%s: %s", what, yes ? "yes" : "no");
}

const char *rc_name(int rc)
{
    static char other[32];

    switch (rc) {
#define NAME(x) case ERROR_##x: return #x
    case 0: return "0";
    NAME(NONSPECIFIC); NAME(VERSION); NAME(FAIL); NAME(NI); NAME(NOMEM); NAME(INVAL); NAME(BADFAIL);
    NAME(GUEST_TIMEDOUT); NAME(TIMEDOUT); NAME(NOT_READY); NAME(OSEVENT_REG_FAIL); NAME(BUFFERFULL);
    NAME(UNKNOWN_CHILD); NAME(LOCK_FAIL); NAME(DOMAIN_NOTFOUND); NAME(ABORTED); NAME(NOTFOUND);
#undef NAME
    }
    snprintf(other, sizeof(other), "%d", rc);
    return other;
}

void trace_rc(const char *what, int rc)
{
    trace("%s: rc %s", what, rc_name(rc));
}

void broken(const char *fmt, ...)
{
    va_list ap;

    printf("broken: ");
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
    _exit(99);
}

void leave(void)
{
    fflush(stdout);
    _exit(0);
}

const char *ask(const char *fmt, ...)
{
    static char answer[256];
    size_t have = 0;
    va_list ap;

    va_start(ap, fmt);
    vdprintf(ASK_FD, fmt, ap);
    va_end(ap);
    if (write(ASK_FD, "\n", 1) != 1)
        broken("nobody to ask: %s", strerror(errno));
    while (have < sizeof(answer) - 1) {
        ssize_t r = read(ANSWER_FD, answer + have, 1);

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            broken("no answer");
        if (answer[have] == '\n')
            break;
        have++;
    }
    answer[have] = 0;
    return answer;
}

static uint32_t domid_from(const char *answer, const char *what)
{
    char *end;
    unsigned long n = strtoul(answer, &end, 10);

    if (end == answer || *end)
        broken("no %s: %s", what, answer);
    return (uint32_t)n;
}

uint32_t guest(void)
{
    return domid_from(ask("guest"), "guest");
}

uint32_t spare(void)
{
    return domid_from(ask("spare"), "spare domain");
}

void trace_state(const char *what, uint32_t domid)
{
    trace("%s: domain %s", what, ask("state %u", domid));
}

bool guest_asked(uint32_t domid)
{
    return !strcmp(ask("control %u", domid), "suspend");
}

libxl_ctx *ctx_new(void)
{
    libxl_ctx *ctx = NULL;

    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, logger))
        broken("no context");
    return ctx;
}

void ctx_end(libxl_ctx *ctx)
{
    trace_rc("ctx_free", libxl_ctx_free(ctx));
}

int image_file(void)
{
    int fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    if (fd < 0)
        broken("no file: %s", strerror(errno));
    return fd;
}

int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 3;           /* "." and ".." and the folder's own */
}

int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

struct timeval now_tv(void)
{
    struct timeval tv;

    gettimeofday(&tv, NULL);
    return tv;
}

const char *sigchld_disposition(void)
{
    struct sigaction sa;

    sigaction(SIGCHLD, NULL, &sa);
    if (sa.sa_flags & SA_SIGINFO)
        return "a handler";
    if (sa.sa_handler == SIG_DFL)
        return "default";
    return sa.sa_handler == SIG_IGN ? "ignored" : "a handler";
}

int main(int argc, char **argv)
{
    const struct conf_case *c = conf_cases;

    if (argc != 2)
        return 2;
    if (!strcmp(argv[1], "--list")) {
        for (; c->name; c++)
            puts(c->name);
        return 0;
    }
    while (c->name && strcmp(c->name, argv[1]))
        c++;
    if (!c->name)
        return 2;
    fcntl(ASK_FD, F_SETFD, FD_CLOEXEC);
    fcntl(ANSWER_FD, F_SETFD, FD_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    logger = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_DETAIL,
                                                               XTL_STDIOSTREAM_HIDE_PROGRESS);
    if (!logger)
        return 2;
    c->run();
    fflush(stdout);
    return 0;
}
