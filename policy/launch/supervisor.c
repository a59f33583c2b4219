/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The supervisor's loop: the warden's requests, signals, and deaths.  One for all: when a resident
 * dies, all are ended and started again.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policy/launch/supervisor.h"

#define STOP_GRACE 20           /* as GRACE, when the service is stopped: the warden undoes */
#define BACKOFF_MAX 30
#define HEALTHY 60              /* seconds after which the next failure counts as the first */

static int64_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

/* The warden sees the end of its channel, undoes and goes; the others see the end of theirs. */
void supervisor_end(struct supervisor *s, unsigned grace)
{
    if (s->set.warden >= 0)
        close(s->set.warden);
    s->set.warden = -1;
    for (unsigned i = 0; i < HELPERS; i++)
        s->helpers[i].orphan = true;
    if (s->state == ENDING)
        return;
    s->state = ENDING;
    s->until = now() + grace;
}

static void start_all(struct supervisor *s)
{
    s->state = RUNNING;
    s->ready = false;
    s->started = now();
    if (launch_start(s->l, &s->set))
        supervisor_end(s, 0);
}

static void stop(struct supervisor *s)
{
    launch_notify("STOPPING=1");
    s->stopping = true;
    supervisor_end(s, STOP_GRACE);
}

static void log_death(const struct supervisor *s, unsigned i, int status)
{
    const char *name = launch_resident_name(i);

    if (WIFSIGNALED(status))
        fprintf(stderr, "moatd: %s: ended by signal %d%s\n", name, WTERMSIG(status),
                WTERMSIG(status) == SIGSYS ? " (its sandbox)" : "");
    else if (WEXITSTATUS(status) || s->state == RUNNING)
        fprintf(stderr, "moatd: %s: ended with status %d\n", name, WEXITSTATUS(status));
}

/* How many residents are left. */
static unsigned reap(struct supervisor *s)
{
    unsigned left = 0;
    int status;

    for (unsigned i = 0; i < RESIDENTS; i++) {
        pid_t *pid = &s->set.pid[i];

        if (*pid && waitpid(*pid, &status, WNOHANG) == *pid) {
            *pid = 0;
            log_death(s, i, status);
            supervisor_end(s, GRACE);
        }
        left += *pid != 0;
    }
    return left;
}

/* Our own children, not yet reaped: their pids are theirs. */
static void kill_rest(struct supervisor *s)
{
    for (unsigned i = 0; i < RESIDENTS; i++)
        if (s->set.pid[i]) {
            fprintf(stderr, "moatd: %s: does not end: killed\n", launch_resident_name(i));
            kill(s->set.pid[i], SIGKILL);
        }
    s->until = now() + BACKOFF_MAX;     /* then said again */
}

/* All have gone: when to start again. */
static void plan_start(struct supervisor *s)
{
    s->backoff = now() - s->started >= HEALTHY || !s->backoff ? 1 :
                 s->backoff * 2 < BACKOFF_MAX ? s->backoff * 2 : BACKOFF_MAX;
    s->state = WAITING;
    s->until = now() + s->backoff;
    fprintf(stderr, "moatd: starting again in %u s\n", s->backoff);
}

static void from_signals(struct supervisor *s)
{
    struct signalfd_siginfo si;

    while (read(s->signals, &si, sizeof(si)) == sizeof(si)) {
        if (si.ssi_signo == SIGHUP)
            supervisor_reload(s);
        else if (si.ssi_signo != SIGCHLD && !s->stopping)
            stop(s);
    }
}

/* One state's step.  False when the service has ended. */
static bool step(struct supervisor *s, unsigned left)
{
    if (s->state == ENDING && !left) {
        if (s->stopping)
            return false;
        plan_start(s);
    } else if (s->state == ENDING && now() >= s->until) {
        kill_rest(s);
    } else if (s->state == WAITING && s->stopping) {
        return false;
    } else if (s->state == WAITING && now() >= s->until) {
        start_all(s);
    }
    return true;
}

static int watch_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int launch_supervise(struct launch *l)
{
    static struct supervisor s;

    s.l = l;
    s.set.warden = -1;
    s.signals = watch_signals();
    if (s.signals < 0) {
        perror("moatd: signals");
        return EXIT_FAILED;
    }
    start_all(&s);
    for (;;) {
        struct pollfd p[2] = {{.fd = s.signals, .events = POLLIN},
                              {.fd = s.set.warden, .events = POLLIN}};

        if (!step(&s, reap(&s)))
            break;
        supervisor_reap_helpers(&s);
        p[1].fd = s.set.warden;
        if (poll(p, 2, s.state == RUNNING ? -1 : 1000) < 0 && errno != EINTR) {
            perror("moatd: poll");
            return EXIT_FAILED;
        }
        if (p[0].revents)
            from_signals(&s);
        if (p[1].revents && s.set.warden >= 0)
            supervisor_from_warden(&s);
    }
    unlink(l->daemon.socket);
    return EXIT_DONE;
}
