/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A file system of one's own: a tmpfs is filled, made read-only, moved over "/" and entered.  This
 * works where pivot_root(2) does not, that is when "/" is the initramfs.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/sandbox/sandbox.h"

static int failed(const char *what, char why[128])
{
    int e = errno;

    snprintf(why, 128, "new root: %s: %s", what, strerror(e));
    return -e;
}

/* Any folder does: the mount is moved away at once, and nobody else sees it. */
static const char *mount_point(void)
{
    static const char *const candidates[] = {"/run", "/mnt", "/tmp"};
    struct stat st;

    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
        if (!stat(candidates[i], &st) && S_ISDIR(st.st_mode))
            return candidates[i];
    errno = ENOENT;
    return NULL;
}

int sandbox_new_root(const struct sandbox_root *root, char why[128])
{
    unsigned long flags = MS_NOSUID | (root->exec ? 0 : MS_NOEXEC) | (root->dev ? 0 : MS_NODEV);
    const char *at = mount_point();
    int rc;

    if (!at)
        return failed("none of /run, /mnt, /tmp is a folder", why);
    if (unshare(CLONE_NEWNS))
        return failed("unshare", why);
    /* Slave: what we mount stays ours; what the host unmounts goes here too, not kept busy. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
        return failed("make mounts private", why);
    if (mount("moat", at, "tmpfs", flags, "mode=0755,size=256k,nr_inodes=64"))
        return failed("mount tmpfs", why);
    if (root->setup) {
        rc = root->setup(at, root->u);
        if (rc) {
            errno = -rc;
            return failed("fill", why);
        }
    }
    if (chdir(at))
        return failed("chdir", why);
    if (mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL))
        return failed("make read-only", why);
    if (mount(".", "/", NULL, MS_MOVE, NULL))
        return failed("move", why);
    if (chroot("."))
        return failed("chroot", why);
    if (chdir("/"))
        return failed("chdir", why);
    return 0;
}
