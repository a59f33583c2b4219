/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A domain's userdata files as libxl keeps them: /var/lib/xen/userdata-KIND.DOMID.UUID.NAME, kind d
 * (data) or l (lock); libxl locks with flock(2), and unlocks by unlinking the lock file before the
 * close (tools/libs/light/libxl_internal.c).
 *
 * Safe if the caller lies, because domid and handle are numbers that are printed into a fixed
 * pattern below a folder of root's: no other path can come out, and only userdata is read or
 * removed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "policy/launch/launch.h"

#define LOCK_TRIES 40           /* x 50 ms: the warden waits for us meanwhile */
#define REUSE_SECONDS 60        /* libxl's LIBXL_DOMID_REUSE_TIMEOUT */

/* "DOMID.UUID" */
static void identity(char buf[64], uint32_t domid, const uint8_t h[16])
{
    snprintf(buf, 64, "%" PRIu32 ".%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
             "%02x%02x%02x%02x%02x%02x", domid, h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7],
             h[8], h[9], h[10], h[11], h[12], h[13], h[14], h[15]);
}

/* Is the file that we hold still the one with this name?  An unlocker has unlinked it otherwise. */
static bool still_there(int fd, const char *path)
{
    struct stat ours, named;

    return !fstat(fd, &ours) && !stat(path, &named) && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

/* Takes a lock of libxl's, waiting at most 2 s.  fd or -errno. */
static int lock(const char *path)
{
    const struct timespec pause = {.tv_nsec = 50000000};

    for (int i = 0; i < LOCK_TRIES; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
            return -errno;
        if (!flock(fd, LOCK_EX | LOCK_NB)) {
            if (still_there(fd, path))
                return fd;
            close(fd);
            continue;
        }
        close(fd);
        nanosleep(&pause, NULL);
    }
    return -ETIMEDOUT;
}

static void unlock(int fd, const char *path)
{
    unlink(path);
    close(fd);
}

static void lock_path(char buf[128], const char *id)
{
    snprintf(buf, 128, XEN_LIB_DIR "/userdata-l.%s.domain-userdata-lock", id);
}

int launch_open_config(uint32_t domid, const uint8_t handle[16])
{
    char id[64], path[128], locked[128];
    int lfd = -1, fd = -1, rc;
    struct stat st;

    identity(id, domid, handle);
    snprintf(path, sizeof(path), XEN_LIB_DIR "/userdata-d.%s.libxl-json", id);
    lock_path(locked, id);
    lfd = lock(locked);
    if (lfd < 0)
        return lfd;
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) {
        rc = -errno;
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        rc = -EINVAL;
        goto out;
    }
    rc = fd;
    fd = -1;
out:
    if (fd >= 0)
        close(fd);
    unlock(lfd, locked);
    return rc;
}

static int remove_all(const char *id)
{
    DIR *d = opendir(XEN_LIB_DIR);
    size_t len = strlen(id);
    struct dirent *e;
    int rc = 0;

    if (!d)
        return -errno;
    while ((e = readdir(d))) {
        const char *n = e->d_name;

        /* userdata-?.ID.* */
        if (strncmp(n, "userdata-", 9) || !n[9] || n[10] != '.' || strncmp(n + 11, id, len) ||
            n[11 + len] != '.')
            continue;
        if (unlinkat(dirfd(d), n, 0) && errno != ENOENT)
            rc = -errno;
    }
    closedir(d);
    return rc;
}

int launch_remove_userdata(uint32_t domid, const uint8_t handle[16])
{
    char id[64], locked[128];
    int lfd, rc;

    identity(id, domid, handle);
    lock_path(locked, id);
    lfd = lock(locked);
    if (lfd < 0)
        return lfd == -ENOENT ? 0 : lfd;    /* no folder, no userdata */
    rc = remove_all(id);
    unlock(lfd, locked);
    return rc;
}

/* The lines of domid-history that still count, and ours: "SECONDS DOMID", CLOCK_MONOTONIC. */
static int write_history(FILE *old, FILE *new, uint32_t domid)
{
    unsigned long long sec;
    unsigned other;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    while (old && fscanf(old, "%llu %u", &sec, &other) == 2)
        if ((unsigned long long)now.tv_sec - sec <= REUSE_SECONDS)
            fprintf(new, "%llu %u\n", sec, other);
    fprintf(new, "%jd %" PRIu32 "\n", (intmax_t)now.tv_sec, domid);
    return fflush(new) || ferror(new) ? -EIO : 0;
}

int launch_mark_domid(uint32_t domid)
{
    static const char path[] = XEN_RUN_DIR "/domid-history";
    static const char new_path[] = XEN_RUN_DIR "/domid-history.new";
    static const char locked[] = XEN_RUN_DIR "/domid-history.lock";
    FILE *old = NULL, *new = NULL;
    int lfd = lock(locked), rc;

    if (lfd < 0)
        return lfd;
    old = fopen(path, "re");
    new = fopen(new_path, "we");
    if (!new) {
        rc = -errno;
        goto out;
    }
    rc = write_history(old, new, domid);
    if (!rc && rename(new_path, path))
        rc = -errno;
out:
    if (old)
        fclose(old);
    if (new)
        fclose(new);
    unlock(lfd, locked);
    return rc;
}
