/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * bounded SECONDS COMMAND [ARG...]: run COMMAND as the leader of its own session and end its whole process
 * group (TERM, 5 s later KILL) when it takes longer. Exit status: COMMAND's, 128 + signal, or 124 for too late.
 */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TOO_LATE 124
#define FAILED 125
#define GRACE_SECONDS 5

/* True once a child has ended, false after that many seconds. */
static int child_ended_within(const sigset_t *sigchld, time_t seconds)
{
    struct timespec start, now, left;

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        left.tv_sec = seconds - (now.tv_sec - start.tv_sec);
        left.tv_nsec = 0;
        if (left.tv_sec <= 0)
            return 0;
        if (sigtimedwait(sigchld, NULL, &left) == SIGCHLD)
            return 1;
        if (errno != EINTR && errno != EAGAIN)
            err(FAILED, "sigtimedwait");
    }
}

int main(int argc, char **argv)
{
    sigset_t sigchld, old;
    int status, late = 0;
    long seconds;
    pid_t pid;

    if (argc < 3 || (seconds = atol(argv[1])) <= 0)
        errx(FAILED, "usage: bounded SECONDS COMMAND [ARG...]");
    sigemptyset(&sigchld);
    sigaddset(&sigchld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &sigchld, &old);
    pid = fork();
    if (pid < 0)
        err(FAILED, "fork");
    if (pid == 0) {
        setsid();
        sigprocmask(SIG_SETMASK, &old, NULL);
        execvp(argv[2], argv + 2);
        err(127, "%s", argv[2]);
    }
    if (!child_ended_within(&sigchld, seconds)) {
        late = 1;
        kill(-pid, SIGTERM);
        child_ended_within(&sigchld, GRACE_SECONDS);
    }
    /* What the command left in the background goes too; in time or not, it may not outlive its test. */
    kill(-pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid)
        err(FAILED, "waitpid");
    if (late)
        return TOO_LATE;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
