/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * bench_p9 [REQUESTS]: the 9pfs server over the test transport, in a process of its own: requests per
 * second, its CPU time per request, and its system calls per request.
 *
 * Each kind of request is done twice: once untouched, for time and CPU; once with the server traced
 * by a third process, which counts its system calls and does nothing else.  Goals: 5 for a lone read
 * of 4 KiB, 2 + 1/N for each of N in flight.  Exits with 1 if a goal is missed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/ninepfs/client.h"

#define FLIGHT 16u
#define SMALL  4096u

static _Atomic uint64_t *calls;     /* shared with the tracer */
static char bytes[SMALL];

static void die(const char *what)
{
    fprintf(stderr, "bench_p9: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void must(int64_t rc, const char *what)
{
    if (rc >= 0)
        return;
    errno = (int)-rc;
    die(what);
}

/* ---------- the server's process */

static void serve(struct p9c *c, bool traced)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* /proc/self is who opened it. */
    c->server.cfg.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (c->server.cfg.proc_fd < 0 || fchdir(c->server.cfg.proc_fd) < 0)
        die("/proc/self/fd");
    if (traced) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            die("ptrace");
        raise(SIGSTOP);
    }
    must(p9_server_start(&c->server), "p9_server_start");
    for (;;)
        pause();
}

/* Counts until the server is gone. */
static void trace(struct p9c *c)
{
    struct __ptrace_syscall_info info;
    pid_t pid = fork(), who;
    int status, sig;

    if (pid < 0)
        die("fork");
    if (!pid)
        serve(c, true);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, pid, NULL,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE |
                   PTRACE_O_EXITKILL) < 0 ||
        ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0)
        die("ptrace");
    while ((who = waitpid(-1, &status, __WALL)) > 0) {
        if (!WIFSTOPPED(status))
            continue;
        sig = WSTOPSIG(status);
        if (sig == (SIGTRAP | 0x80) &&
            ptrace(PTRACE_GET_SYSCALL_INFO, who, (void *)sizeof(info), &info) > 0 &&
            info.op == PTRACE_SYSCALL_INFO_ENTRY)
            atomic_fetch_add(calls, 1);
        /* SIGSTOP is how a new thread begins. */
        if (sig == (SIGTRAP | 0x80) || sig == SIGTRAP || sig == SIGSTOP)
            sig = 0;
        ptrace(PTRACE_SYSCALL, who, NULL, sig);
    }
    _exit(0);
}

/* ---------- what is measured */

static bool traced_now;

/* A traced server is slow: without a rest it would find the next request there before it slept, and
 * look better than it is. */
static void rest(void)
{
    if (traced_now)
        usleep(500);
}

static uint32_t lone_read(struct p9c *c, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        rest();
        must(p9c_read(c, 1, (uint64_t)(i % 256) * SMALL, bytes, SMALL), "Tread");
    }
    return n;
}

static uint32_t lone_write(struct p9c *c, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        rest();
        must(p9c_write(c, 1, (uint64_t)(i % 256) * SMALL, bytes, SMALL), "Twrite");
    }
    return n;
}

static void put_io(struct p9c *c, uint8_t type, uint32_t i)
{
    p9c_begin(c, type);
    p9_wr32(&c->wr, 1);
    p9_wr64(&c->wr, (uint64_t)(i % 256) * SMALL);
    p9_wr32(&c->wr, SMALL);
    if (type == P9_TWRITE)
        p9_wr_bytes(&c->wr, bytes, SMALL);
    p9_poke32(c->t, (uint32_t)c->wr.len);
    p9c_put(&c->ring[0], c->t, (uint32_t)c->wr.len);
}

static uint32_t flight(struct p9c *c, uint8_t type, uint32_t n)
{
    uint32_t done = 0;

    for (; done < n; done += FLIGHT) {
        rest();
        for (uint32_t i = 0; i < FLIGHT; i++)
            put_io(c, type, done + i);
        p9c_ring_bell(&c->ring[0]);
        for (uint32_t i = 0; i < FLIGHT; i++) {
            must(p9c_get(c, 0, c->r, sizeof(c->r)), "reply");
            if (c->r[4] != type + 1) {
                errno = EIO;
                die("reply");
            }
        }
    }
    return done;
}

static uint32_t flight_read(struct p9c *c, uint32_t n)
{
    return flight(c, P9_TREAD, n);
}

static uint32_t flight_write(struct p9c *c, uint32_t n)
{
    return flight(c, P9_TWRITE, n);
}

/* What Linux sends for one stat(2): walk, getattr, clunk. */
static uint32_t stats(struct p9c *c, uint32_t n)
{
    struct p9c_attr a;

    for (uint32_t i = 0; i < n / 3; i++) {
        rest();
        must(p9c_walk(c, 0, 2, "f"), "Twalk");
        rest();
        must(p9c_getattr(c, 2, &a), "Tgetattr");
        rest();
        must(p9c_clunk(c, 2), "Tclunk");
    }
    return n / 3 * 3;
}

static uint32_t creates(struct p9c *c, uint32_t n)
{
    for (uint32_t i = 0; i < n / 4; i++) {
        rest();
        must(p9c_walk(c, 0, 2, ""), "Twalk");
        rest();
        must(p9c_lcreate(c, 2, "new", O_RDWR, 0644), "Tlcreate");
        rest();
        must(p9c_clunk(c, 2), "Tclunk");
        rest();
        p9c_begin(c, P9_TUNLINKAT);
        p9_wr32(&c->wr, 0);
        p9c_str(c, "new");
        p9_wr32(&c->wr, 0);
        must(p9c_call(c, 0, NULL), "Tunlinkat");
    }
    return n / 4 * 4;
}

static const struct kind {
    const char *name;
    uint32_t (*run)(struct p9c *c, uint32_t n);
    double goal;                    /* system calls per request; 0: none named */
} kinds[] = {
    { "read 4 KiB, alone", lone_read, 5 },
    { "read 4 KiB, 16 in flight", flight_read, 2 + 1.0 / FLIGHT },
    { "write 4 KiB, alone", lone_write, 0 },
    { "write 4 KiB, 16 in flight", flight_write, 2 + 1.0 / FLIGHT },
    { "stat (walk, getattr, clunk)", stats, 0 },
    { "create, clunk, unlink (4)", creates, 0 },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static double seconds(clockid_t clock)
{
    struct timespec ts;

    if (clock_gettime(clock, &ts) < 0)
        die("clock_gettime");
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct figures {
    double wall, cpu, calls;        /* per request */
};

static void measure(struct figures f[KINDS], uint32_t n, bool traced)
{
    struct p9c *c = p9c_start(NULL, 1, 9, 0);
    clockid_t cpu = CLOCK_MONOTONIC;
    double wall, used;
    uint64_t counted;
    uint32_t done;
    pid_t pid = fork();

    traced_now = traced;
    if (pid < 0)
        die("fork");
    if (!pid && traced)
        trace(c);
    if (!pid)
        serve(c, false);
    c->running = 1;
    if (!traced && clock_getcpuclockid(pid, &cpu))
        die("clock_getcpuclockid");
    must(p9c_version(c, "9P2000.L", 1 << 20), "Tversion");
    must(p9c_attach(c, 0, 0), "Tattach");
    must(p9c_walk(c, 0, 1, ""), "Twalk");
    must(p9c_lcreate(c, 1, "f", O_RDWR, 0644), "Tlcreate");
    lone_write(c, 256);
    for (size_t i = 0; i < KINDS; i++) {
        kinds[i].run(c, 64);
        wall = seconds(CLOCK_MONOTONIC);
        used = seconds(cpu);
        counted = atomic_load(calls);
        done = kinds[i].run(c, n);
        if (traced) {
            f[i].calls = (double)(atomic_load(calls) - counted) / done;
        } else {
            f[i].wall = (seconds(CLOCK_MONOTONIC) - wall) / done;
            f[i].cpu = (seconds(cpu) - used) / done;
        }
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    p9c_stop(c);
}

int main(int argc, char **argv)
{
    uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 20000;
    struct figures f[KINDS] = { 0 };
    int missed = 0;

    if (n < 64) {
        fprintf(stderr, "usage: bench_p9 [REQUESTS], 64 at least\n");
        return 2;
    }
    calls = mmap(NULL, sizeof(*calls), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (calls == MAP_FAILED)
        die("mmap");
    measure(f, n, false);
    measure(f, n / 10 < 64 ? 64 : n / 10, true);
    printf("9pfs server, %u requests of each kind\n", n);
    printf("%-28s %10s %10s %14s %6s\n", "", "requests/s", "CPU us", "system calls", "goal");
    for (size_t i = 0; i < KINDS; i++) {
        printf("%-28s %10.0f %10.2f %14.2f ", kinds[i].name, 1 / f[i].wall, f[i].cpu * 1e6,
               f[i].calls);
        if (kinds[i].goal > 0)
            printf("%6.2f%s\n", kinds[i].goal, f[i].calls > kinds[i].goal + 0.01 ? " missed" : "");
        else
            printf("%6s\n", "-");
        missed |= kinds[i].goal > 0 && f[i].calls > kinds[i].goal + 0.01;
    }
    return missed;
}
