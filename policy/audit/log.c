/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The log on disk.  Order of an append: line, fsync, state, fdatasync.  A crash in between leaves
 * one of three things behind the line that the state covers, and audit_open() tells them apart:
 * nothing; a piece of a line (cut off); one whole line with the MAC of the state's key (adopted).
 */
#include "policy/audit/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TAIL_SIZE (3 * AUDIT_LINE_MAX)

static void say(char why[128], const char *text)
{
    snprintf(why, 128, "%s", text);
}

/* All of it at this place, or -errno (0 bytes written counts as a full disk). */
static int write_all(int fd, const void *buf, size_t len, uint64_t offset)
{
    const char *p = buf;

    while (len) {
        ssize_t n = pwrite(fd, p, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        p += n;
        offset += (size_t)n;
        len -= (size_t)n;
    }
    return 0;
}

/* As much as there is, up to len.  Bytes or -errno. */
static ssize_t read_all(int fd, void *buf, size_t len, uint64_t offset)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* ---- state */

/*
 * The new state becomes durable before the old slot is overwritten, so at every moment one slot is
 * valid.  Overwriting needs no sync of its own: it is against readers of the running system; a
 * crash can bring the old slot back, and the newer one wins.
 */
static int store_state(struct audit_log *log, const struct audit_state *s)
{
    static const uint8_t zero[AUDIT_SLOT_SIZE];
    uint8_t slot[AUDIT_SLOT_SIZE];
    uint64_t at = (s->sequence & 1) * AUDIT_SLOT_SIZE;
    int rc;

    audit_put_state(s, slot);
    rc = write_all(log->state_fd, slot, sizeof(slot), at);
    sodium_memzero(slot, sizeof(slot));
    if (rc)
        return rc;
    if (fdatasync(log->state_fd) < 0)
        return -errno;
    return write_all(log->state_fd, zero, sizeof(zero), AUDIT_SLOT_SIZE - at);
}

/* 1: read; 0: there is no valid slot; -errno. */
static int load_state(struct audit_log *log)
{
    uint8_t file[AUDIT_STATE_SIZE];
    ssize_t n = read_all(log->state_fd, file, sizeof(file), 0);
    int rc = n < 0 ? (int)n : audit_get_state(file, (size_t)n, &log->state);

    sodium_memzero(file, sizeof(file));
    return rc;
}

/* ---- append */

static int take_back(struct audit_log *log, int rc)
{
    if (ftruncate(log->fd, (off_t)log->size) < 0 || fsync(log->fd) < 0)
        log->broken = true;
    return rc;
}

static void stamp(const struct audit_log *log, char *buf, size_t size)
{
    struct timespec now = { 0 }, mono = { 0 };
    char time[64];

    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_MONOTONIC, &mono);
    audit_time(&now, time);
    snprintf(buf, size, "\"time\":\"%s\",\"mono_ns\":%lld,\"boot\":\"%s\",", time,
             mono.tv_sec * 1000000000LL + mono.tv_nsec, log->boot_id);
}

int audit_append(struct audit_log *log, const struct msg_RECORD *r, uint64_t *sequence)
{
    char members[AUDIT_LINE_MAX], line[AUDIT_LINE_MAX];
    struct audit_state next = log->state;
    struct audit_line l;
    size_t at;
    int len, rc;

    if (log->broken)
        return -EIO;
    stamp(log, members, sizeof(members));
    at = strlen(members);
    rc = audit_format(r, members + at, sizeof(members) - at);
    if (rc < 0)
        goto out;
    len = audit_make_line(&log->state, members, line, &l);
    if (len < 0) {
        rc = len;
        goto out;
    }
    rc = write_all(log->fd, line, (size_t)len, log->size);
    if (rc == 0 && fsync(log->fd) < 0)
        rc = -errno;
    if (rc) {
        rc = take_back(log, rc);
        goto out;
    }
    audit_advance(&next, &l, true);
    rc = store_state(log, &next);
    if (rc) {
        /* either slot may be the one that a reader finds: only reading them again can tell */
        log->broken = true;
        goto out;
    }
    log->state = next;
    log->size += (uint64_t)len;
    *sequence = next.sequence;
out:
    sodium_memzero(&next, sizeof(next));
    return rc;
}

static int append_note(struct audit_log *log, const char *text)
{
    struct msg_RECORD r = { .what = RECORD_NOTE, .domid = UINT32_MAX };
    uint64_t sequence;

    ipc_text(r.message, sizeof(r.message), text);
    return audit_append(log, &r, &sequence);
}

/* ---- open */

/*
 * Finds the line that the state covers near the end: its end as an offset into buf, or -1.  For an
 * empty chain that is the beginning of the file.
 */
static ssize_t covered_end(const struct audit_state *s, const char *buf, size_t len, bool whole)
{
    const char *end = buf + len;
    const char *p = buf;
    ssize_t found = -1;

    if (s->sequence == 0)
        return whole ? 0 : -1;
    if (!whole) {
        p = memchr(buf, '\n', len);
        p = p ? p + 1 : end;
    }
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        struct audit_line l;

        if (!nl)
            break;
        if (!audit_split(p, (size_t)(nl - p), &l) && l.sequence == s->sequence &&
            memcmp(l.hash, s->hash, AUDIT_HASH_SIZE) == 0)
            found = nl + 1 - buf;
        p = nl + 1;
    }
    return found;
}

/* The tail is what a crash can leave: no newline in it, or blocks that were never written. */
static bool is_torn(const char *tail, size_t len)
{
    return len < AUDIT_LINE_MAX && (!memchr(tail, '\n', len) || memchr(tail, '\0', len));
}

/* Whole line behind the covered one: it must be ours.  1 = adopted, 0 = not ours, -errno. */
static int adopt(struct audit_log *log, const char *tail, size_t len)
{
    struct audit_line l;
    const char *nl = memchr(tail, '\n', len);

    if (!nl || nl + 1 != tail + len || audit_split(tail, len - 1, &l) ||
        audit_follows(&log->state, tail, &l, true))
        return 0;
    audit_advance(&log->state, &l, true);
    log->size += len;
    return store_state(log, &log->state) ?: 1;
}

static int mend_tail(struct audit_log *log, const char *tail, size_t len, char why[128])
{
    char note[128];
    int rc;

    if (is_torn(tail, len)) {
        if (ftruncate(log->fd, (off_t)log->size) < 0 || fsync(log->fd) < 0)
            return -errno;
        snprintf(note, sizeof(note), "%zu bytes of a half-written line were cut off: a crash while "
                 "it was written, nobody acted on it", len);
        return append_note(log, note);
    }
    rc = adopt(log, tail, len);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        snprintf(why, 128, "what follows line %llu was not written by moat: see moat audit verify",
                 (unsigned long long)log->state.sequence);
        return -EBADMSG;
    }
    snprintf(note, sizeof(note), "line %llu was whole but not in the state: a crash while it was "
             "written, nobody acted on it", (unsigned long long)log->state.sequence);
    return append_note(log, note);
}

/* Compares the log's end with the state, mends what a crash explains. */
static int check_tail(struct audit_log *log, uint64_t size, char why[128])
{
    char buf[TAIL_SIZE];
    uint64_t start = size > sizeof(buf) ? size - sizeof(buf) : 0;
    ssize_t len = read_all(log->fd, buf, sizeof(buf), start);
    ssize_t end;

    if (len < 0)
        return (int)len;
    end = covered_end(&log->state, buf, (size_t)len, start == 0);
    if (end < 0) {
        snprintf(why, 128, "the log does not end with line %llu as the state says (cut, changed or "
                 "added to): see moat audit verify", (unsigned long long)log->state.sequence);
        return -EBADMSG;
    }
    log->size = start + (uint64_t)end;
    if (end == len)
        return 0;
    return mend_tail(log, buf + end, (size_t)(len - end), why);
}

/* A new log: K_0 is made and durable before anything is written. */
static int create_state(struct audit_log *log)
{
    memset(&log->state, 0, sizeof(log->state));
    randombytes_buf(log->state.key, AUDIT_KEY_SIZE);
    if (ftruncate(log->state_fd, AUDIT_STATE_SIZE) < 0)
        return -errno;
    return store_state(log, &log->state);
}

/* A started process may lack some of fd 0 to 2: a message for stderr must never reach the log. */
static int above_stderr(int fd)
{
    int r = fd;

    if (fd >= 0 && fd <= STDERR_FILENO) {
        r = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        close(fd);
    }
    return r;
}

static int open_one(const struct audit_log *log, const char *name, int flags, mode_t mode)
{
    int fd = above_stderr(openat(log->dirfd, name,
                                 flags | O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, mode));
    struct stat st;
    int rc;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0) {
        rc = -errno;
    } else if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
        rc = -EMLINK;
    } else if ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0) {
        rc = -errno;    /* the umask, or somebody widened it */
    } else {
        return fd;
    }
    close(fd);
    return rc;
}

/* The folder's entries must be as durable as the files. */
static int sync_folder(const struct audit_log *log)
{
    int fd = openat(log->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0)
        return -errno;
    if (fsync(fd) < 0)
        rc = -errno;
    close(fd);
    return rc;
}

/* Opens both files and takes the lock; *size is the log's from then on. */
static int open_files(struct audit_log *log, uint64_t *size, char why[128])
{
    char state_name[sizeof(log->name) + sizeof(".state")];
    struct stat st;
    int rc;

    snprintf(state_name, sizeof(state_name), "%s.state", log->name);
    log->fd = open_one(log, log->name, O_CREAT, 0640);
    if (log->fd < 0) {
        snprintf(why, 128, "cannot open the log: %s", strerror(-log->fd));
        return log->fd;
    }
    if (fstat(log->fd, &st) < 0)
        return -errno;
    /* a log with lines has a state already: a missing one must not be made up */
    log->state_fd = open_one(log, state_name, st.st_size ? 0 : O_CREAT, 0600);
    if (log->state_fd == -ENOENT) {
        say(why, "the log has lines but its state is gone: see moat audit verify");
        return -EBADMSG;
    }
    if (log->state_fd < 0) {
        snprintf(why, 128, "cannot open the log's state: %s", strerror(-log->state_fd));
        return log->state_fd;
    }
    /* the state, not the log: whoever may read a file can hold its lock for ever */
    if (flock(log->state_fd, LOCK_EX | LOCK_NB) < 0) {
        rc = -errno;
        say(why, rc == -EWOULDBLOCK ? "another recorder is writing this log" :
            "cannot lock the log's state");
        return rc;
    }
    if (fstat(log->fd, &st) < 0)
        return -errno;
    *size = (uint64_t)st.st_size;
    rc = sync_folder(log);
    if (rc)
        snprintf(why, 128, "cannot sync the log's folder: %s", strerror(-rc));
    return rc;
}

static void read_boot_id(struct audit_log *log)
{
    int fd;
    ssize_t n;

    if (!log->boot_id[0]) {
        fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, log->boot_id, 36);
        if (fd >= 0)
            close(fd);
        log->boot_id[n == 36 ? 36 : 0] = '\0';
    }
    /* it stands in the lines as it is */
    if (strlen(log->boot_id) != 36 || strspn(log->boot_id, "0123456789abcdef-") != 36)
        strcpy(log->boot_id, "unknown");
}

int audit_open(struct audit_log *log, int dirfd, const char *name, char new_key[65], char why[128])
{
    uint64_t size = 0;
    int rc;

    log->dirfd = dirfd;
    log->fd = log->state_fd = -1;
    log->size = 0;
    log->broken = false;
    new_key[0] = why[0] = '\0';
    if (strlen(name) + sizeof(".state") > sizeof(log->name) || strchr(name, '/') || !name[0] ||
        strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        say(why, "the log's name is too long or no plain file name");
        return -EINVAL;
    }
    snprintf(log->name, sizeof(log->name), "%s", name);
    read_boot_id(log);
    rc = open_files(log, &size, why);
    if (rc)
        goto out;
    rc = load_state(log);
    if (rc < 0) {
        say(why, "cannot read the log's state");
        goto out;
    }
    if (rc == 0 && size) {
        say(why, "the log has lines but its state is damaged: see moat audit verify");
        rc = -EBADMSG;
        goto out;
    }
    rc = rc == 0 ? create_state(log) : check_tail(log, size, why);
    if (rc == 0 && log->state.sequence == 0)
        audit_hex(log->state.key, new_key);
out:
    if (rc) {
        if (!why[0])
            snprintf(why, 128, "%s", strerror(-rc));
        audit_close(log);
    }
    return rc;
}

void audit_close(struct audit_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    if (log->state_fd >= 0)
        close(log->state_fd);
    log->fd = log->state_fd = -1;
    sodium_memzero(&log->state, sizeof(log->state));
}
