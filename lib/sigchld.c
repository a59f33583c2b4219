/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * One SIGCHLD handler for the process, installed while it has users.
 *
 * A user is a ctx; the handler adds one to its eventfd.  The list of users is read by a handler
 * that may run at any moment, on any thread, several at once, also on the thread that is changing
 * the list; so it is read without a lock:
 *
 *   - Entries are put in front of the list and never taken out or freed, only left unused (fd -1)
 *     and used again: there are as many as there ever were contexts with a handler at one time.  So
 *     every walk through the list is safe.
 *   - The handler writes to an entry's fd only between busy++ and busy--, and reads fd (again) in
 *     between.  Who gives an entry up sets fd to -1, waits until busy is 0, and only then may close
 *     the fd: no handler writes to a number that means something else by then.  A handler that
 *     comes later finds -1 before it says busy, so new signals do not prolong the wait.
 *
 * No deadlock: the handler takes no lock, does not wait (an eventfd is non-blocking; one that is
 * full is readable, which is all that matters) and cannot be interrupted (all signals are blocked),
 * so busy becomes 0 whoever waits.  If the handler interrupts the very thread that waits, or
 * changes the list, it runs to its end first.
 *
 * No death is missed: a user is in the list before its handler is in place, and its eventfd begins
 * as readable; so what died before is looked for too.
 */

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/childproc.h"

struct libxl__sigchld_user {
    struct libxl__sigchld_user *next;           /* never changes */
    atomic_int fd;
    atomic_int busy;
    bool used;                                  /* guarded by the registry's lock */
};

static _Atomic(struct libxl__sigchld_user *) list;
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_POINTER_LOCK_FREE == 2,
               "a signal handler uses them");

/* Guarded by the registry's lock. */
static unsigned users;
static bool installed;
static struct sigaction before;

static void on_sigchld(int sig)
{
    struct libxl__sigchld_user *u;
    const uint64_t one = 1;
    int fd, errnoval = errno;
    ssize_t r = 0;

    for (u = atomic_load(&list); u; u = u->next) {
        if (atomic_load(&u->fd) < 0)
            continue;
        atomic_fetch_add(&u->busy, 1);
        fd = atomic_load(&u->fd);
        if (fd >= 0)                            /* EAGAIN: it could not be more readable */
            r = write(fd, &one, sizeof(one));
        atomic_fetch_sub(&u->busy, 1);
    }
    (void)r;
    errno = errnoval;
}

static bool is_ours(const struct sigaction *sa)
{
    return !(sa->sa_flags & SA_SIGINFO) && sa->sa_handler == on_sigchld;
}

/* No handler of the application's, which ours would silence. */
static bool is_free(const struct sigaction *sa)
{
    return !(sa->sa_flags & SA_SIGINFO) &&
           (sa->sa_handler == SIG_DFL || sa->sa_handler == SIG_IGN);
}

/* 0, EBUSY: the application handles it, or another errno.  Nothing here may log: the registry is
 * locked, and the application's logger may fork. */
static int install(void)
{
    struct sigaction sa = { .sa_handler = on_sigchld, .sa_flags = SA_RESTART | SA_NOCLDSTOP };

    sigfillset(&sa.sa_mask);
    if (sigaction(SIGCHLD, NULL, &before))
        return errno;
    if (!is_free(&before))
        return EBUSY;
    if (sigaction(SIGCHLD, &sa, NULL))
        return errno;
    installed = true;
    return 0;
}

static int log_not_installed(libxl_ctx *ctx, int errnoval)
{
    if (errnoval == EBUSY)
        libxl__log(ctx, LIBXL__LOG_CRITICAL, 0, "SIGCHLD has a handler that is not libmoat's: use "
                   "libxl_sigchld_owner_mainloop, or the default owner without a reaped_callback");
    else
        libxl__log(ctx, LIBXL__LOG_CRITICAL, errnoval, "SIGCHLD cannot be handled");
    return ERROR_FAIL;
}

/* false: somebody has put another handler there, which stays. */
static bool uninstall(void)
{
    struct sigaction now;

    installed = false;
    if (sigaction(SIGCHLD, NULL, &now) || !is_ours(&now))
        return false;
    sigaction(SIGCHLD, &before, NULL);
    return true;
}

bool libxl__sigchld_ignored(void)
{
    struct sigaction now;

    if (sigaction(SIGCHLD, NULL, &now))
        return false;
    return now.sa_flags & SA_NOCLDWAIT ||
           (!(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_IGN);
}

/* fd -1, and no handler is about to write to the old one. */
static void quiesce(struct libxl__sigchld_user *u)
{
    const struct timespec moment = { .tv_nsec = 10 * 1000 };

    atomic_store(&u->fd, -1);
    while (atomic_load(&u->busy))
        nanosleep(&moment, NULL);
}

int libxl__sigchld_use(libxl_ctx *ctx, int efd, struct libxl__sigchld_user **out)
{
    struct libxl__sigchld_user *u;
    int rc = 0, errnoval = 0;

    libxl__registry_lock();
    for (u = atomic_load(&list); u && u->used; u = u->next)
        ;
    if (!u) {
        u = libxl__new(ctx, sizeof(*u));
        if (!u) {
            rc = ERROR_NOMEM;
            goto out;
        }
        atomic_init(&u->fd, -1);
        atomic_init(&u->busy, 0);
        u->next = atomic_load(&list);
        atomic_store(&list, u);
    }
    atomic_store(&u->fd, efd);
    if (!installed)
        errnoval = install();
    if (errnoval) {
        quiesce(u);
        goto out;
    }
    u->used = true;
    users++;
    *out = u;
out:
    libxl__registry_unlock();
    return errnoval ? log_not_installed(ctx, errnoval) : rc;
}

void libxl__sigchld_disuse(libxl_ctx *ctx, struct libxl__sigchld_user *u)
{
    bool as_it_was = true;

    if (!u)
        return;
    libxl__registry_lock();
    if (!--users)
        as_it_was = uninstall();
    quiesce(u);
    u->used = false;
    libxl__registry_unlock();
    if (!as_it_was)
        libxl__log(ctx, LIBXL__LOG_CRITICAL, 0, "SIGCHLD's handler was replaced while libmoat "
                   "used it; the new one stays");
}

/* The eventfds are shared with the parent, which has no use for the deaths of grandchildren.
 * busy: handlers were running on threads that this process does not have. */
void libxl__sigchld_in_child(void)
{
    struct libxl__sigchld_user *u;

    for (u = atomic_load(&list); u; u = u->next) {
        atomic_store(&u->fd, -1);
        atomic_store(&u->busy, 0);
    }
}

void libxl__sigchld_postfork(void)
{
    struct libxl__sigchld_user *u;

    for (u = atomic_load(&list); u; u = u->next) {
        atomic_store(&u->fd, -1);
        atomic_store(&u->busy, 0);
        u->used = false;
    }
    users = 0;
    if (installed)
        (void)uninstall();
}
