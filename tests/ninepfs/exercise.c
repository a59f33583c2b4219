/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What a client's kernel can do with a mounted export, checked there and in the export itself.
 *
 *     exercise MOUNT EXPORT L|u FILES
 *
 * EXPORT is the same folder without 9p between.  One line per check on stdout: "ok WHAT", or
 * "not ok WHAT: WHY".  FILES is how many files the check of many files makes.  Both folders are
 * left empty.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *mnt, *export;
static bool dialect_l;
static unsigned int files;
static char why[512];

/* `why` says what; the check is over. */
#define MUST(cond, ...) \
    do { \
        if (!(cond)) { \
            failed(__LINE__, #cond, __VA_ARGS__); \
            return false; \
        } \
    } while (0)

static void __attribute__((format(printf, 3, 4))) failed(int line, const char *cond,
                                                         const char *fmt, ...)
{
    int e = errno, n;
    va_list ap;

    n = snprintf(why, sizeof(why), "line %d, %s, errno %d (%s) ", line, cond, e, strerror(e));
    va_start(ap, fmt);
    vsnprintf(why + n, sizeof(why) - (size_t)n, fmt, ap);
    va_end(ap);
}

/* Paths by the mount and by the export; each of a few buffers in turn. */
static const char *path(const char *dir, const char *name)
{
    static char buf[8][512];
    static unsigned int i;
    char *p = buf[i++ % 8];

    snprintf(p, sizeof(buf[0]), "%s/%s", dir, name);
    return p;
}
#define M(name) path(mnt, name)
#define E(name) path(export, name)

static void pattern(uint8_t *p, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (uint8_t)(seed >> 24);
    }
}

static bool write_file(const char *name, const void *data, size_t len, int flags)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    size_t done = 0;

    MUST(fd >= 0, "%s", name);
    while (done < len) {
        ssize_t n = write(fd, (const uint8_t *)data + done, len - done);

        MUST(n > 0, "%s at %zu of %zu", name, done, len);
        done += (size_t)n;
    }
    MUST(!close(fd), "%s", name);
    return true;
}

static bool holds_fd(int fd, const char *name, const void *data, size_t len)
{
    uint8_t *got = malloc(len + 1);
    size_t done = 0;
    ssize_t n;

    if (!got)
        err(1, "malloc");
    while ((n = pread(fd, got + done, len + 1 - done, (off_t)done)) > 0)
        done += (size_t)n;
    if (n < 0 || done != len || memcmp(got, data, len)) {
        failed(__LINE__, "contents", "%s: %zu bytes of %zu", name, done, len);
        free(got);
        return false;
    }
    free(got);
    return true;
}

static bool holds(const char *name, const void *data, size_t len)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    bool good;

    MUST(fd >= 0, "%s", name);
    good = holds_fd(fd, name, data, len);
    close(fd);
    return good;
}

static bool both_hold(const char *name, const void *data, size_t len)
{
    return holds(M(name), data, len) && holds(E(name), data, len);
}

static bool absent(const char *name)
{
    struct stat st;

    MUST(lstat(M(name), &st) && errno == ENOENT, "%s", name);
    MUST(lstat(E(name), &st) && errno == ENOENT, "%s in the export", name);
    return true;
}

/* ---------- contents */

static bool sizes(void)
{
    static const uint32_t size[] = {
        0, 1, 7, 4095, 4096, 4097, 8192, 65535, 65536, 131072 - 25, 131072 - 24, 131072 - 23,
        131072 - 11, 131071, 131072, 131073, 262143, 262144, 262145, 524288 - 25, 524288 - 24,
        524288 - 23, 524288 - 11, 524287, 524288, 524289, 1048575, 1048577,
    };
    uint8_t *data = malloc(1 << 21);

    if (!data)
        err(1, "malloc");
    for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
        pattern(data, size[i], size[i] + 1);
        if (!write_file(M("sized"), data, size[i], O_TRUNC) || !both_hold("sized", data, size[i]))
            return false;
    }
    free(data);
    MUST(!unlink(M("sized")), "%s", "");
    return true;
}

static bool holes(void)
{
    const size_t end = 3 << 20;
    uint8_t *want = calloc(1, end);
    struct stat st;
    int fd = open(M("holes"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    if (!want)
        err(1, "calloc");
    MUST(fd >= 0, "%s", "");
    pattern(want + 1000003, 5000, 3);
    memcpy(want + end - 4, "tail", 4);
    MUST(pwrite(fd, want + 1000003, 5000, 1000003) == 5000, "%s", "");
    MUST(pwrite(fd, "tail", 4, (off_t)end - 4) == 4, "%s", "");
    MUST(!fstat(fd, &st) && st.st_size == (off_t)end, "size %lld", (long long)st.st_size);
    MUST(!close(fd), "%s", "");
    if (!both_hold("holes", want, end))
        return false;
    MUST(!stat(E("holes"), &st) && st.st_blocks < 200, "%lld blocks", (long long)st.st_blocks);
    free(want);
    MUST(!unlink(M("holes")), "%s", "");
    return true;
}

static bool appends(void)
{
    char want[600];
    size_t len = 0;

    for (int i = 0; i < 20; i++) {
        char line[32];
        int n = snprintf(line, sizeof(line), "line %d of this file\n", i);

        if (!write_file(M("log"), line, (size_t)n, O_APPEND))
            return false;
        memcpy(want + len, line, (size_t)n);
        len += (size_t)n;
    }
    if (!both_hold("log", want, len))
        return false;
    MUST(!unlink(M("log")), "%s", "");
    return true;
}

static bool truncates(void)
{
    uint8_t data[20000] = { 0 };
    struct stat st;
    int fd;

    pattern(data, 10000, 5);
    if (!write_file(M("cut"), data, 10000, 0))
        return false;
    MUST(!truncate(M("cut"), 5001), "%s", "down");
    if (!both_hold("cut", data, 5001))
        return false;
    memset(data + 5001, 0, sizeof(data) - 5001);
    fd = open(M("cut"), O_RDWR | O_CLOEXEC);
    MUST(fd >= 0 && !ftruncate(fd, sizeof(data)), "%s", "up");
    MUST(!close(fd), "%s", "");
    if (!both_hold("cut", data, sizeof(data)))
        return false;
    if (!write_file(M("cut"), "", 0, O_TRUNC))
        return false;
    MUST(!stat(E("cut"), &st) && st.st_size == 0, "%s", "O_TRUNC");
    MUST(!unlink(M("cut")), "%s", "");
    return true;
}

/* ---------- names */

static bool many(void)
{
    unsigned int seen = 0;
    struct dirent *de;
    char name[64], *found = calloc(1, files);
    DIR *dir;

    if (!found)
        err(1, "calloc");
    MUST(!mkdir(M("many"), 0755), "%s", "");
    for (unsigned int i = 0; i < files; i++) {
        int fd;

        snprintf(name, sizeof(name), "many/file-with-a-name-%u", i);
        fd = open(M(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        MUST(fd >= 0 && !close(fd), "%s", name);
    }
    dir = opendir(M("many"));
    MUST(dir, "%s", "");
    while (errno = 0, (de = readdir(dir))) {
        unsigned int i;

        if (de->d_name[0] == '.')
            continue;
        MUST(sscanf(de->d_name, "file-with-a-name-%u", &i) == 1 && i < files, "%s", de->d_name);
        MUST(!found[i], "%s is listed twice", de->d_name);
        MUST(de->d_type == DT_REG || de->d_type == DT_UNKNOWN, "%s", de->d_name);
        found[i] = 1;
        seen++;
    }
    MUST(!errno, "%s", "readdir");
    closedir(dir);
    MUST(seen == files, "%u of %u listed", seen, files);
    for (unsigned int i = 0; i < files; i++) {
        snprintf(name, sizeof(name), "many/file-with-a-name-%u", i);
        MUST(!unlink(M(name)), "%s", name);
    }
    MUST(!rmdir(M("many")), "%s", "");
    free(found);
    return absent("many");
}

static bool rename_over_open(void)
{
    int old, new;

    if (!write_file(M("old"), "old contents", 12, 0) || !write_file(M("new"), "new", 3, 0))
        return false;
    old = open(M("old"), O_RDWR | O_CLOEXEC);
    new = open(M("new"), O_RDWR | O_CLOEXEC);
    MUST(old >= 0 && new >= 0, "%s", "");
    MUST(!rename(M("new"), M("old")), "%s", "");
    if (!holds_fd(old, "the replaced file", "old contents", 12) ||
        !holds_fd(new, "the renamed file", "new", 3))
        return false;
    MUST(pwrite(new, "NEW!", 4, 0) == 4, "%s", "");
    MUST(pwrite(old, "gone", 4, 0) == 4, "%s", "");
    if (!both_hold("old", "NEW!", 4) || !absent("new"))
        return false;
    MUST(!close(old) && !close(new), "%s", "");
    MUST(!unlink(M("old")), "%s", "");
    return true;
}

static bool unlink_open(void)
{
    struct stat st;
    int fd;

    if (!write_file(M("open"), "0123456789", 10, 0))
        return false;
    fd = open(M("open"), O_RDWR | O_CLOEXEC);
    MUST(fd >= 0 && !unlink(M("open")), "%s", "");
    if (!absent("open") || !holds_fd(fd, "unlinked", "0123456789", 10))
        return false;
    MUST(pwrite(fd, "abc", 3, 10) == 3, "%s", "");
    MUST(!ftruncate(fd, 12), "%s", "ftruncate");
    if (!holds_fd(fd, "unlinked", "0123456789ab", 12))
        return false;
    MUST(!fstat(fd, &st) && st.st_size == 12, "size %lld", (long long)st.st_size);
    MUST(!fchmod(fd, 0600), "%s", "fchmod");
    /* Its name again, for another file. */
    if (!write_file(M("open"), "other", 5, O_EXCL))
        return false;
    if (!holds_fd(fd, "unlinked", "0123456789ab", 12) || !both_hold("open", "other", 5))
        return false;
    MUST(!close(fd) && !unlink(M("open")), "%s", "");
    return true;
}

static bool folders(void)
{
    static const char *const deep[] = { "a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/e" };
    struct stat st;

    for (int i = 0; i < 5; i++)
        MUST(!mkdir(M(deep[i]), 0755), "%s", deep[i]);
    MUST(mkdir(M("a/b"), 0755) && errno == EEXIST, "%s", "");
    MUST(!stat(E("a/b/c/d/e"), &st) && S_ISDIR(st.st_mode), "%s", "");
    MUST(rmdir(M("a/b")) && errno == ENOTEMPTY, "%s", "");
    MUST(unlink(M("a/b/c/d/e")) && (errno == EISDIR || errno == EPERM), "%s", "");
    MUST(!rename(M("a/b/c/d/e"), M("a/b/c/d/f")), "%s", "");
    MUST(!stat(E("a/b/c/d/f"), &st), "%s", "");
    MUST(!rmdir(M("a/b/c/d/f")), "%s", "");
    for (int i = 3; i >= 0; i--)
        MUST(!rmdir(M(deep[i])), "%s", deep[i]);
    return absent("a");
}

static bool rename_across(void)
{
    MUST(!mkdir(M("from"), 0755) && !mkdir(M("to"), 0755), "%s", "");
    if (!write_file(M("from/f"), "moved", 5, 0))
        return false;
    if (dialect_l) {
        MUST(!rename(M("from/f"), M("to/g")), "%s", "");
        if (!both_hold("to/g", "moved", 5) || !absent("from/f"))
            return false;
        MUST(!unlink(M("to/g")), "%s", "");
    } else {
        /* Linux's client does not ask in this dialect. */
        MUST(rename(M("from/f"), M("to/g")) && errno == EXDEV, "%s", "");
        MUST(!unlink(M("from/f")), "%s", "");
    }
    MUST(!rmdir(M("from")) && !rmdir(M("to")), "%s", "");
    return true;
}

static bool symlinks(void)
{
    char target[128];
    struct stat st;

    if (!write_file(M("file"), "through", 7, 0))
        return false;
    MUST(!symlink("file", M("link")), "%s", "");
    MUST(readlink(M("link"), target, sizeof(target)) == 4 && !memcmp(target, "file", 4), "%s", "");
    MUST(readlink(E("link"), target, sizeof(target)) == 4 && !memcmp(target, "file", 4), "%s", "");
    if (!both_hold("link", "through", 7))
        return false;
    MUST(!symlink("/no/such/folder/at all", M("dangling")), "%s", "");
    MUST(!lstat(M("dangling"), &st) && S_ISLNK(st.st_mode), "%o", st.st_mode);
    MUST(stat(M("dangling"), &st) && errno == ENOENT, "%s", "");
    MUST(!unlink(M("link")) && !unlink(M("dangling")) && !unlink(M("file")), "%s", "");
    return true;
}

static bool hard_links(void)
{
    struct stat a, b;

    if (!write_file(M("one"), "same", 4, 0))
        return false;
    MUST(!link(M("one"), M("two")), "%s", "");
    MUST(!stat(E("one"), &a) && !stat(E("two"), &b), "%s", "");
    MUST(a.st_ino == b.st_ino && a.st_nlink == 2, "%u links", (unsigned int)a.st_nlink);
    if (!write_file(M("two"), "both", 4, O_TRUNC) || !both_hold("one", "both", 4))
        return false;
    MUST(!unlink(M("one")), "%s", "");
    if (!both_hold("two", "both", 4))
        return false;
    MUST(!unlink(M("two")), "%s", "");
    return true;
}

static bool special_files(void)
{
    struct stat st;

    MUST(!mkfifo(M("fifo"), 0644), "%s", "");
    MUST(!lstat(E("fifo"), &st) && S_ISFIFO(st.st_mode), "%o", st.st_mode);
    MUST(!lstat(M("fifo"), &st) && S_ISFIFO(st.st_mode), "%o", st.st_mode);
    MUST(!unlink(M("fifo")), "%s", "");
    return true;
}

/* ---------- attributes */

static bool modes(void)
{
    struct timespec times[2] = { { 1000000000, 0 }, { 1234567890, 0 } };
    struct stat st;

    if (!write_file(M("modes"), "x", 1, 0))
        return false;
    for (mode_t mode = 0400; mode <= 0777; mode += 0111) {
        MUST(!chmod(M("modes"), mode), "%o", mode);
        MUST(!stat(E("modes"), &st) && (st.st_mode & 07777) == mode, "%o", st.st_mode);
        MUST(!stat(M("modes"), &st) && (st.st_mode & 07777) == mode, "%o", st.st_mode);
    }
    MUST(!utimensat(AT_FDCWD, M("modes"), times, 0), "%s", "");
    MUST(!stat(E("modes"), &st) && st.st_mtime == 1234567890 && st.st_atime == 1000000000,
         "mtime %lld", (long long)st.st_mtime);
    MUST(!stat(M("modes"), &st) && st.st_mtime == 1234567890, "mtime %lld",
         (long long)st.st_mtime);
    MUST(!utimensat(AT_FDCWD, M("modes"), NULL, 0), "%s", "");
    MUST(!stat(E("modes"), &st) && st.st_mtime > 1600000000, "mtime %lld",
         (long long)st.st_mtime);
    MUST(!unlink(M("modes")), "%s", "");
    return true;
}

static bool space(void)
{
    struct statfs m, e;

    MUST(!statfs(mnt, &m) && !statfs(export, &e), "%s", "");
    MUST(m.f_bsize && (uint64_t)m.f_blocks * (uint64_t)m.f_bsize ==
         (uint64_t)e.f_blocks * (uint64_t)e.f_bsize, "%llu blocks of %ld",
         (unsigned long long)m.f_blocks, (long)m.f_bsize);
    MUST(m.f_files == e.f_files && m.f_namelen == e.f_namelen, "%s", "");
    return true;
}

static bool xattrs(void)
{
    static uint8_t large[3000], got[4096];
    char list[256];
    ssize_t n;

    pattern(large, sizeof(large), 9);
    if (!write_file(M("attrs"), "x", 1, 0))
        return false;
    MUST(!setxattr(M("attrs"), "user.small", "value", 5, 0), "%s", "");
    MUST(!setxattr(M("attrs"), "user.large", large, sizeof(large), XATTR_CREATE), "%s", "");
    MUST(!setxattr(M("attrs"), "user.empty", "", 0, 0), "%s", "");
    MUST(setxattr(M("attrs"), "user.small", "v", 1, XATTR_CREATE) && errno == EEXIST, "%s", "");
    MUST(getxattr(E("attrs"), "user.small", got, sizeof(got)) == 5 && !memcmp(got, "value", 5),
         "%s", "");
    n = getxattr(M("attrs"), "user.large", got, sizeof(got));
    MUST(n == sizeof(large) && !memcmp(got, large, sizeof(large)), "%zd", n);
    MUST(getxattr(M("attrs"), "user.empty", got, sizeof(got)) == 0, "%s", "");
    MUST(getxattr(M("attrs"), "user.none", got, sizeof(got)) < 0 && errno == ENODATA, "%s", "");
    MUST(getxattr(M("attrs"), "user.large", got, 10) < 0 && errno == ERANGE, "%s", "");
    n = listxattr(M("attrs"), list, sizeof(list));
    MUST(n == 33, "the list has %zd bytes", n);
    MUST(!removexattr(M("attrs"), "user.small"), "%s", "");
    MUST(getxattr(E("attrs"), "user.small", got, sizeof(got)) < 0 && errno == ENODATA, "%s", "");
    MUST(!unlink(M("attrs")), "%s", "");
    return true;
}

/* ---------- locks */

/* In a process of its own; 0: got it.  Otherwise the errno. */
static int other_locks(short type, off_t start, bool whole)
{
    struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 10 };
    int status, fd, r;
    pid_t pid = fork();

    if (!pid) {
        fd = open(M("locked"), O_RDWR | O_CLOEXEC);
        r = whole ? flock(fd, (type == F_RDLCK ? LOCK_SH : LOCK_EX) | LOCK_NB)
                  : fcntl(fd, F_SETLK, &fl);
        _exit(r ? errno : 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static bool busy(int e)
{
    return e == EAGAIN || e == EACCES;
}

/* Only in .L: in the other dialect Linux's client grants every record lock and asks nobody. */
static bool record_locks(void)
{
    struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 50 };
    int fd, host;

    if (!write_file(M("locked"), "x", 1, 0))
        return false;
    fd = open(M("locked"), O_RDWR | O_CLOEXEC);
    MUST(fd >= 0 && !fcntl(fd, F_SETLK, &fl), "%s", "");
    MUST(busy(other_locks(F_WRLCK, 140, false)), "%s", "overlap");
    MUST(busy(other_locks(F_RDLCK, 140, false)), "%s", "overlap");
    MUST(other_locks(F_WRLCK, 150, false) == 0, "%s", "beside it");
    host = open(E("locked"), O_RDWR | O_CLOEXEC);
    MUST(host >= 0, "%s", "");
    MUST(fcntl(host, F_SETLK, &fl) && busy(errno), "%s", "in the export");
    MUST(!close(host), "%s", "");
    fl.l_type = F_UNLCK;
    MUST(!fcntl(fd, F_SETLK, &fl), "%s", "");
    MUST(other_locks(F_WRLCK, 140, false) == 0, "%s", "after unlock");
    fl.l_type = F_RDLCK;
    MUST(!fcntl(fd, F_SETLK, &fl), "%s", "");
    MUST(other_locks(F_RDLCK, 140, false) == 0, "%s", "two readers");
    MUST(busy(other_locks(F_WRLCK, 140, false)), "%s", "a reader and a writer");
    MUST(!close(fd), "%s", "");
    MUST(other_locks(F_WRLCK, 140, false) == 0, "%s", "after close");
    MUST(!unlink(M("locked")), "%s", "");
    return true;
}

static bool flocks(void)
{
    int fd;

    if (!write_file(M("locked"), "x", 1, 0))
        return false;
    fd = open(M("locked"), O_RDWR | O_CLOEXEC);
    MUST(fd >= 0 && !flock(fd, LOCK_EX), "%s", "flock");
    MUST(busy(other_locks(F_RDLCK, 0, true)), "%s", "flock, shared");
    MUST(busy(other_locks(F_WRLCK, 0, true)), "%s", "flock, exclusive");
    MUST(!flock(fd, LOCK_SH), "%s", "flock, downgrade");
    MUST(other_locks(F_RDLCK, 0, true) == 0, "%s", "flock, two readers");
    MUST(!flock(fd, LOCK_UN), "%s", "flock");
    MUST(other_locks(F_WRLCK, 0, true) == 0, "%s", "flock, after unlock");
    MUST(!close(fd) && !unlink(M("locked")), "%s", "");
    return true;
}

/* F_SETLKW: one that is told "blocked" asks again, and gets it. */
static bool waits_for_lock(void)
{
    struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
    int fd, status;
    pid_t pid;

    if (!write_file(M("waited"), "x", 1, 0))
        return false;
    fd = open(M("waited"), O_RDWR | O_CLOEXEC);
    MUST(fd >= 0 && !fcntl(fd, F_SETLK, &fl), "%s", "");
    pid = fork();
    if (!pid) {
        int own = open(M("waited"), O_RDWR | O_CLOEXEC);

        alarm(10);
        _exit(fcntl(own, F_SETLKW, &fl) ? errno : 0);
    }
    usleep(200000);
    MUST(waitpid(pid, &status, WNOHANG) == 0, "%s", "it did not wait");
    fl.l_type = F_UNLCK;
    MUST(!fcntl(fd, F_SETLK, &fl), "%s", "");
    MUST(waitpid(pid, &status, 0) == pid && status == 0, "status %x", (unsigned int)status);
    MUST(!close(fd) && !unlink(M("waited")), "%s", "");
    return true;
}

/* ---------- mappings */

/* A mount that keeps no pages has read-only shared mappings, and private ones. */
static bool mappings(void)
{
    static uint8_t data[300000];
    uint8_t *p;
    int fd;

    pattern(data, sizeof(data), 11);
    if (!write_file(M("mapped"), data, sizeof(data), 0))
        return false;
    fd = open(M("mapped"), O_RDWR | O_CLOEXEC);
    MUST(fd >= 0, "%s", "");
    p = mmap(NULL, sizeof(data), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    MUST(p != MAP_FAILED, "%s", "");
    MUST(!memcmp(p, data, sizeof(data)), "%s", "private");
    p[5000] ^= 0xff;
    MUST(!munmap(p, sizeof(data)) && !close(fd), "%s", "");
    if (!both_hold("mapped", data, sizeof(data)))
        return false;
    MUST(!unlink(M("mapped")), "%s", "");
    return true;
}

static bool empty(void)
{
    DIR *dir = opendir(export);
    struct dirent *de;

    MUST(dir, "%s", "");
    while ((de = readdir(dir)))
        MUST(!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."), "%s is left", de->d_name);
    closedir(dir);
    return true;
}

static const struct check {
    const char *name;
    bool (*fn)(void);
    bool only_l;
} checks[] = {
    { "files of sizes around pages and messages hold what was written", sizes, false },
    { "a file with holes reads as zeros there and takes no room", holes, false },
    { "appends go to the end", appends, false },
    { "truncating down, up and to nothing", truncates, false },
    { "many files are made, listed once each and removed", many, false },
    { "a rename over an open file leaves both files as they were", rename_over_open, false },
    { "an open file works on when its name is gone", unlink_open, false },
    { "folders, deep ones and full ones", folders, false },
    { "a rename into another folder", rename_across, false },
    { "symbolic links are data", symlinks, false },
    { "hard links are one file", hard_links, false },
    { "a FIFO is made and removed", special_files, false },
    { "modes and times are kept", modes, false },
    { "df says what the export has", space, true },
    { "extended attributes", xattrs, true },
    { "record locks, against other processes and the host", record_locks, true },
    { "a lock that is waited for is got", waits_for_lock, true },
    { "flock, against other processes", flocks, false },
    { "mappings read what the file holds", mappings, false },
    { "nothing is left in the export", empty, false },
};

int main(int argc, char **argv)
{
    int bad = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 5)
        errx(2, "usage: exercise MOUNT EXPORT L|u FILES");
    mnt = argv[1];
    export = argv[2];
    dialect_l = !strcmp(argv[3], "L");
    files = (unsigned int)atoi(argv[4]);
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (checks[i].only_l && !dialect_l)
            continue;
        errno = 0;
        if (checks[i].fn()) {
            printf("ok %s\n", checks[i].name);
        } else {
            printf("not ok %s: %s\n", checks[i].name, why);
            bad++;
        }
    }
    return bad != 0;
}
