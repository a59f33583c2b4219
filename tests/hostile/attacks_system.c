/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * System calls that a worker does not have.  LOCKED: its own filter; RAW: the forker's, which every
 * program in a worker's place inherits.
 */
#include "tests/hostile/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/launch/fds.h"

/* Arguments that would do harm where the kernel looked at them. */
static void one(long nr)
{
    static const char path[] = "/etc/passwd";
    long r = syscall(nr, (long)(uintptr_t)path, 0, 0, 0, 0, 0);

    breach("system call %ld came back: %ld %s", nr, r, r < 0 ? strerrorname_np(errno) : "");
}

/* Those whose first argument is a number: of a process, a command, an address family. */
static void numbered(long nr)
{
    long first = nr == SYS_kill || nr == SYS_ptrace ? 1 : nr == SYS_socket ? 2 : 0;
    long r = syscall(nr, first, 1, 9, 0, 0, 0);

    breach("system call %ld came back: %ld %s", nr, r, r < 0 ? strerrorname_np(errno) : "");
}

static void map_exec(long arg)
{
    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    breach("executable memory");
}

static void protect_exec(long arg)
{
    mprotect((void *)((uintptr_t)&protect_exec & ~4095ul), 4096,
             PROT_READ | PROT_WRITE | PROT_EXEC);
    breach("writable code");
}

static void stop_self(long arg)
{
    raise(SIGSTOP);
    breach("SIGSTOP to itself came back");
}

static void set_owner(long arg)
{
    fcntl(FD_WORKER_PARENT, F_SETOWN, 1);
    breach("F_SETOWN came back");
}

static void raise_limit(long arg)
{
    const struct rlimit more = {1 << 20, 1 << 20};

    must_fail(setrlimit(RLIMIT_NOFILE, &more), EPERM, "more files");
    must_fail(setrlimit(RLIMIT_NPROC, &more), EPERM, "more processes");
    held("limits stay");
}

static void signal_by_pidfd(long arg)
{
    must_fail(syscall(SYS_pidfd_send_signal, FD_WORKER_PARENT, SIGKILL, NULL, 0), EBADF,
              "a signal");
    held("there is no pidfd");
}

/* A program may be executed: the only ones there are the workers'.  It comes without a grant. */
static void execute(long arg)
{
    char *argv[] = {(char *)(uintptr_t)"moat-save", NULL}, *none[] = {NULL};
    int fd = openat(AT_FDCWD, "/save", O_PATH);

    if (fd < 0)
        held("no program: %s", strerrorname_np(errno));
    syscall(SYS_execveat, fd, "", argv, none, AT_EMPTY_PATH);
    held("no program: %s", strerrorname_np(errno));
}

/* The 32-bit entry, and numbers of the x32 ABI: other numbers, other checks, or none. */
static void int80(long nr)
{
    long r;

    __asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(0), "c"(0), "d"(0) : "memory", "r8", "r9",
                     "r10", "r11");
    breach("int 0x80 came back: %ld", r);
}

static void x32(long nr)
{
    long r = syscall(0x40000000 | nr, 0, 0, 0, 0, 0, 0);

    breach("x32 came back: %ld", r);
}

#define GONE(name, how) \
    {"sys-" #name, how, SYS_##name, LOCKED | RAW, "signal 31", NULL, #name " is refused"}
/* What the forker needs itself, or a program that starts. */
#define LATER(name, how) \
    {"sys-" #name, how, SYS_##name, LOCKED, "signal 31", NULL, #name " is refused after the lock"}

const struct attack attacks_system[] = {
    GONE(open, one), GONE(creat, one), GONE(openat2, numbered), LATER(openat, numbered),
    GONE(execve, one), LATER(execveat, numbered), GONE(fork, numbered), GONE(vfork, numbered),
    GONE(clone, numbered), LATER(clone3, numbered), GONE(kill, numbered), GONE(tgkill, numbered),
    GONE(rt_sigqueueinfo, numbered), GONE(ptrace, numbered), GONE(process_vm_readv, numbered),
    GONE(process_vm_writev, numbered), GONE(process_madvise, numbered), GONE(kcmp, numbered),
    GONE(pidfd_open, numbered), GONE(pidfd_getfd, numbered), LATER(pidfd_send_signal, numbered),
    GONE(socket, numbered), GONE(socketpair, numbered), GONE(connect, numbered),
    GONE(bind, numbered), GONE(listen, numbered), GONE(accept4, numbered),
    GONE(setsockopt, numbered), LATER(sendmsg, numbered), GONE(sendmmsg, numbered),
    LATER(recvmsg, numbered), GONE(io_uring_setup, numbered), GONE(io_uring_enter, numbered),
    GONE(io_setup, numbered), GONE(userfaultfd, numbered), GONE(bpf, numbered),
    GONE(perf_event_open, numbered), GONE(memfd_create, one), GONE(memfd_secret, numbered),
    GONE(shmget, numbered), GONE(mount, one), GONE(umount2, one), GONE(pivot_root, one),
    GONE(chroot, one), GONE(chdir, one), GONE(unshare, numbered), GONE(setns, numbered),
    GONE(unlink, one), GONE(linkat, numbered), GONE(symlink, one), GONE(rename, one),
    GONE(mkdir, one), GONE(mknod, one), GONE(truncate, one), GONE(fchmod, numbered),
    GONE(fchown, numbered), GONE(setxattr, one), GONE(fallocate, numbered),
    GONE(ftruncate, numbered),
    GONE(copy_file_range, numbered), GONE(sendfile, numbered), GONE(splice, numbered),
    GONE(vmsplice, numbered), GONE(name_to_handle_at, numbered), GONE(open_by_handle_at, numbered),
    GONE(inotify_init1, numbered), GONE(fanotify_init, numbered), GONE(signalfd4, numbered),
    GONE(timer_create, numbered), GONE(setuid, numbered), GONE(setgroups, numbered),
    GONE(capset, numbered), GONE(keyctl, numbered), GONE(add_key, one), GONE(personality, numbered),
    GONE(modify_ldt, numbered), GONE(iopl, numbered), GONE(ioperm, numbered),
    GONE(reboot, numbered),
    GONE(kexec_load, numbered), GONE(init_module, one), GONE(finit_module, numbered),
    GONE(sched_setaffinity, numbered), GONE(setpriority, numbered), GONE(syslog, numbered),
    LATER(prctl, numbered), LATER(prlimit64, numbered), LATER(seccomp, numbered),
    LATER(fcntl, numbered), LATER(dup2, numbered), LATER(mprotect, numbered),
    LATER(rt_sigaction, numbered), LATER(arch_prctl, numbered),
    {"exec-memory", map_exec, 0, LOCKED | RAW, "signal 31", NULL, "no executable memory"},
    {"exec-mprotect", protect_exec, 0, LOCKED | RAW, "signal 31", NULL, "no writable code"},
    {"stop-itself", stop_self, 0, LOCKED | RAW, "signal 31", NULL, "a worker cannot stop itself"},
    {"set-owner", set_owner, 0, LOCKED | RAW, "signal 31", NULL, "no signal by way of F_SETOWN"},
    {"raise-limits", raise_limit, 0, RAW, "worker-failed", NULL, "limits cannot be raised"},
    {"signal-by-pidfd", signal_by_pidfd, 0, RAW, "worker-failed", NULL,
     "no signal without a pidfd"},
    {"execute-itself", execute, 0, RAW, "worker-failed|worker-died|deadline", "--deadline 2",
     "another program in the worker's place has no more than it"},
    {"int80-getpid", int80, 20, LOCKED | RAW, "signal 31|signal 11", NULL,
     "the 32-bit entry is refused"},
    {"int80-fork", int80, 2, LOCKED | RAW, "signal 31|signal 11", NULL, "also for fork"},
    {"int80-read", int80, 3, LOCKED, "signal 31|signal 11", NULL,
     "also for a number that is allowed"},
    {"x32-getpid", x32, SYS_getpid, LOCKED | RAW, "signal 31", NULL, "x32 numbers are refused"},
    {"x32-open", x32, SYS_open, LOCKED | RAW, "signal 31", NULL, "also for open"},
    {0},
};
