/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * bench_hello [ROUNDS]: from the SPAWN message to the worker's HELLO, with the real forker, sandbox and
 * program: clone3, exec, grant, landlock, seccomp, self-check.  Needs root and the installed programs
 * (tests/sim/simrun.sh has them).  Prints one line of JSON.
 */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ipc/ipc.h"
#include "policy/launch/launch.h"

#define ROUNDS_MAX 10000
#define WORKER_ID 994
#define ARENA (256u << 10)

static double took[ROUNDS_MAX];

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int memfile(void)
{
    int fd = memfd_create("bench", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, ARENA))
        err(1, "memfd");
    return fd;
}

static pid_t start_forker(struct ipc_chan *ch)
{
    struct launch l = { .worker = { WORKER_ID, WORKER_ID } };
    int pair[2];
    pid_t self = getpid(), pid;

    if (ipc_pair(pair))
        err(1, "ipc_pair");
    pid = fork();
    if (pid == 0)
        launch_forker(&l, pair[1], self);
    close(pair[1]);
    *ch = (struct ipc_chan){ .fd = pair[0], .self = WARDEN, .peer = FORKER, .phase = PH_RUN,
                             .takes_fds = true };
    return pid;
}

static double one(struct ipc_chan *forker, uint32_t job, const int files[4])
{
    static struct ipc_frame frame;
    struct msg_GRANT grant = { .domid = 1, .guest_type = GUEST_PVH, .guest_width = 64,
                               .arena_size = ARENA, .max_pages = 1 };
    struct msg_SPAWN spawn = { .kind = WORKER_SAVE };
    struct msg_SPAWNED spawned;
    struct msg_HELLO hello;
    struct ipc_chan parent = { .self = PARENT, .peer = WORKER, .phase = PH_OPEN };
    struct ipc_chan warden = { .self = WARDEN, .peer = WORKER, .phase = PH_RUN };
    double start = now(), end;
    int p[2], w[2], pidfd;

    if (ipc_pair(p) || ipc_pair(w))
        err(1, "ipc_pair");
    parent.fd = p[0];
    warden.fd = w[0];
    if (ipc_send(forker, MSG_SPAWN, job, &spawn, (const int[]){ p[1], w[1] }, 2) ||
        ipc_expect(forker, &frame, MSG_SPAWNED, &spawned, 5000) || spawned.errnum)
        errx(1, "the forker did not start a worker");
    pidfd = ipc_take_fd(&frame, 0);
    close(p[1]);
    close(w[1]);
    if (ipc_send(&warden, MSG_GRANT, job, &grant, files, 4) ||
        ipc_expect(&parent, &frame, MSG_HELLO, &hello, 5000))
        errx(1, "no HELLO from the worker: %s", frame.why);
    end = now();
    close(p[0]);
    close(w[0]);
    waitpid((pid_t)spawned.pid, NULL, 0);
    close(pidfd);
    return end - start;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 200;
    int files[4] = { memfile(), memfile(), memfile(), memfile() };
    struct ipc_chan forker;
    pid_t pid;

    if (!rounds || rounds > ROUNDS_MAX)
        errx(2, "usage: bench_hello [ROUNDS]");
    pid = start_forker(&forker);
    for (unsigned i = 0; i < rounds; i++)
        took[i] = one(&forker, i + 1, files);
    qsort(took, rounds, sizeof(took[0]), compare);
    printf("{\"bench\": \"fork_to_hello\", \"rounds\": %u, \"median_ms\": %.3f, \"p90_ms\": %.3f, "
           "\"max_ms\": %.3f}\n",
           rounds, took[rounds / 2], took[rounds * 9 / 10], took[rounds - 1]);
    close(forker.fd);
    waitpid(pid, NULL, 0);
    return 0;
}
