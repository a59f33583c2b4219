/* SPDX-License-Identifier: LGPL-2.1-only */
/* The hostile worker's frame: which attack, in which mode, and how it reports. */
#include "tests/hostile/worker.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policy/launch/fds.h"
#include "workers/save/save.h"

#define __XEN_TOOLS__ 1
#include <xen/xen.h>

enum mode mode;
unsigned foreign[FOREIGN];
int spare_arena = -1;

static const struct {
    enum mode mode;
    const char *word;
} modes[] = {{LOCKED, "locked"}, {RAW, "raw"}, {EARLY, "early"}};

static const struct attack *const tables[] = {
    attacks_calls, attacks_frames, attacks_system, attacks_memory, attacks_image,
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

/* ---- reports */

static noreturn void report(const char *word, const char *fmt, va_list ap)
{
    char text[240];
    int n = snprintf(text, sizeof(text), "%s: ", word);

    vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
    worker_complete(-1, 0, 0, text);
    _exit(0);
}

void held(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report("held", fmt, ap);
}

void breach(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report("BREACH", fmt, ap);
}

void must_fail(long r, int errnum, const char *what)
{
    if (r >= 0)
        breach("%s succeeded: %ld", what, r);
    if (errnum && errno != errnum)
        breach("%s: %s instead of %s", what, strerrorname_np(errno), strerrorname_np(errnum));
}

void wait_for_end(void)
{
    const struct timespec second = {.tv_sec = 1};

    for (int i = 0; i < 60; i++)
        nanosleep(&second, NULL);
    breach("nobody ended the job for a minute");
}

/* ---- which attack */

static bool word_of(const char *text, const char *key, char value[64])
{
    char pattern[32];
    const char *p;
    size_t n;

    snprintf(pattern, sizeof(pattern), "\"%s\"", key);
    p = strstr(text, pattern);
    if (!p)
        return false;
    p += strlen(pattern);
    p += strspn(p, ": ");
    if (*p++ != '"')
        return false;
    n = strcspn(p, "\"");
    if (n >= 64)
        return false;
    memcpy(value, p, n);
    value[n] = 0;
    return true;
}

/* NULL: none, the job is an honest one. */
static const struct attack *chosen(void)
{
    static char text[16384];
    char name[64], word[64];
    ssize_t n = pread(worker.config, text, sizeof(text) - 1, 0);

    if (n <= 0 || !word_of(text, "attack", name))
        return NULL;
    if (!word_of(text, "mode", word))
        word[0] = 0;
    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(modes[i].word, word))
            mode = modes[i].mode;
    for (unsigned t = 0; t < TABLES; t++)
        for (const struct attack *a = tables[t]; a->name; a++)
            if (!strcmp(a->name, name) && a->modes & mode)
                return a;
    breach("no attack %s in mode %s", name, word);
}

static int list(void)
{
    for (unsigned t = 0; t < TABLES; t++)
        for (const struct attack *a = tables[t]; a->name; a++)
            for (unsigned m = 0; m < 3; m++)
                if (a->modes & modes[m].mode)
                    printf("%s\t%s\t%s\t%s\t%s\n", a->name, modes[m].word, a->expect,
                           a->options ? a->options : "", a->promise);
    return 0;
}

/* What a worker may have executed at most: hypercall and sub-op. */
static int rows(void)
{
    for (unsigned i = 1; i < HV_ROWS; i++)
        if (hvrow(i)->jobs & HV_JOB_WORKERS)
            printf("%u %u\n", hvrow(i)->op, hvrow(i)->subop);
    return 0;
}

/* ---- the grant and the lock, as in workers/common.c but in the mode's order */

static void take_grant(void)
{
    static struct ipc_frame frame;
    char why[128];

    if (ipc_recv(&worker.warden, &frame) != 1 || frame.type != MSG_GRANT)
        _exit(8);
    spare_arena = dup2(frame.fds[2], 40);
    if (worker_take_grant(&frame, why))
        _exit(9);
    worker.warden.takes_fds = false;
    worker.warden.phase = PH_RUN;
    for (unsigned i = 0; i < FOREIGN; i++)
        foreign[i] = (const unsigned[FOREIGN]){0, worker.grant.domid + 1, worker.grant.domid - 1,
            DOMID_SELF, DOMID_IO, DOMID_XEN, DOMID_INVALID, 0xffff}[i];
}

void say_hello(void)
{
    struct msg_HELLO hello = {.version = IPC_VERSION};

    worker_tell(MSG_HELLO, &hello);
    worker_await(&worker.parent, MSG_START, &worker.start);
    worker.parent.phase = PH_RUN;
}

static void lock(void)
{
    char why[128] = "";

    close(spare_arena);
    if (sandbox_lock(SANDBOX_SAVE, FD_STATUS, getuid(), 0, why))
        breach("not locked: %s", why);
    close(FD_STATUS);
}

static int honest(void)
{
    struct save_result result;

    lock();
    say_hello();
    save_run(&result);
    worker_complete(result.retval, result.errnum, result.bytes, result.message);
    return result.retval ? 1 : 0;
}

int main(int argc, char **argv)
{
    const struct attack *a;

    if (argc == 2 && !strcmp(argv[1], "list"))
        return list();
    if (argc == 2 && !strcmp(argv[1], "rows"))
        return rows();
    take_grant();
    a = chosen();
    if (!a)
        return honest();
    if (mode == LOCKED)
        lock();
    if (mode != EARLY)
        say_hello();
    a->run(a->arg);
    breach("%s came back", a->name);
}
