/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * FILE of a save.  It is opened with the operator's own rights, has no name (O_TMPFILE) or a hidden
 * one until it is complete, and gets its name by one link or rename, followed by an fsync of the
 * folder.  A name that exists is replaced only then, and only if the operator said so.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parent/cli/cli.h"

static const char hidden_mark[] = ".moat-unfinished-";

static int ask_to_replace(const char *path)
{
    char answer[8] = "";

    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        cli_error("%s exists; --force replaces it once the new image is complete", path);
        return EXIT_FAILED;
    }
    fprintf(stderr, "%s exists; replace it once the new image is complete? [y/N] ", path);
    if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y')) {
        cli_error("nothing was touched");
        return EXIT_FAILED;
    }
    return 0;
}

static int split(struct savefile *sf, const char *path)
{
    char copy[4096], copy2[4096];
    const char *base;

    if (strlen(path) >= sizeof(copy)) {
        cli_error("the path of FILE is too long");
        return EXIT_USAGE;
    }
    strcpy(copy, path);
    strcpy(copy2, path);
    base = basename(copy2);
    if (!*path || path[strlen(path) - 1] == '/' || !strcmp(base, ".") || !strcmp(base, "..") ||
        strlen(base) > sizeof(sf->name) - 40) {
        cli_error("%s: not the name of a file", *path ? path : "\"\"");
        return EXIT_USAGE;
    }
    strcpy(sf->name, base);
    sf->dirfd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sf->dirfd < 0) {
        cli_error("%s: %s", copy, strerror(errno));
        return EXIT_FAILED;
    }
    return 0;
}

/* What hidden_name() makes, and nothing else: it is going to a terminal. */
static bool is_hidden_name(const char *name, const char *start)
{
    size_t len = strlen(start);

    return !strncmp(name, start, len) && strlen(name + len) == 8 &&
           strspn(name + len, "0123456789abcdef") == 8;
}

/* A killed run on a file system without O_TMPFILE leaves one of these: name it, touch nothing. */
static void name_leftovers(const struct savefile *sf)
{
    int fd = dup(sf->dirfd);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    char start[300];
    struct dirent *e;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    snprintf(start, sizeof(start), ".%s%s", sf->name, hidden_mark);
    rewinddir(d);
    while ((e = readdir(d)))
        if (is_hidden_name(e->d_name, start))
            cli_error("an earlier, interrupted save left %s here; remove it if no save is running",
                      e->d_name);
    closedir(d);
}

static int hidden_name(const struct savefile *sf, char *buf, size_t size)
{
    uint32_t r;

    if (getrandom(&r, sizeof(r), 0) != sizeof(r)) {
        cli_error("no random number: %s", strerror(errno));
        return EXIT_FAILED;
    }
    snprintf(buf, size, ".%s%s%08x", sf->name, hidden_mark, r);
    return 0;
}

static int create(struct savefile *sf, const char *path)
{
    int code;

    sf->fd = openat(sf->dirfd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (sf->fd >= 0)
        return 0;
    if (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT) {
        code = hidden_name(sf, sf->temporary, sizeof(sf->temporary));
        if (code)
            return code;
        sf->fd = openat(sf->dirfd, sf->temporary,
                        O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (sf->fd >= 0)
            return 0;
        sf->temporary[0] = 0;
    }
    cli_error("%s: cannot create a file there: %s", path, strerror(errno));
    return EXIT_FAILED;
}

/* FILE is there already: a regular file may be replaced, a pipe may be written to, nothing else. */
static int existing(struct savefile *sf, const char *path, const struct stat *st, bool force,
                    bool keeps)
{
    if (S_ISFIFO(st->st_mode) && keeps) {
        struct stat now;

        sf->fd = openat(sf->dirfd, sf->name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (sf->fd < 0 || fstat(sf->fd, &now)) {
            cli_error("%s: %s", path, strerror(errno));
            return EXIT_FAILED;
        }
        if (!S_ISFIFO(now.st_mode)) {
            cli_error("%s was a pipe and is something else now", path);
            return EXIT_FAILED;
        }
        sf->stream = true;
        sf->name[0] = 0;
        return 0;
    }
    if (S_ISFIFO(st->st_mode)) {
        cli_error("%s is a pipe: that needs -c or -p, for without them the domain is destroyed",
                  path);
        return EXIT_USAGE;
    }
    if (!S_ISREG(st->st_mode)) {
        cli_error("%s is no regular file", path);
        return EXIT_FAILED;
    }
    sf->replace = true;
    return force ? 0 : ask_to_replace(path);
}

static int standard_output(struct savefile *sf, bool keeps)
{
    struct stat st;

    if (!keeps) {
        cli_error("FILE - needs -c or -p, for without them the domain is destroyed");
        return EXIT_USAGE;
    }
    if (fstat(STDOUT_FILENO, &st) || !(S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode))) {
        cli_error("standard output is neither a pipe nor a file");
        return EXIT_USAGE;
    }
    sf->stream = S_ISFIFO(st.st_mode);
    sf->fd = dup(STDOUT_FILENO);
    return sf->fd < 0 ? EXIT_FAILED : 0;
}

int savefile_open(struct savefile *sf, const char *path, bool force, bool keeps)
{
    struct stat st;
    int code;

    *sf = (struct savefile){.fd = -1, .dirfd = -1};
    if (!strcmp(path, "-"))
        return standard_output(sf, keeps);
    code = split(sf, path);
    if (code)
        return code;
    name_leftovers(sf);
    if (!fstatat(sf->dirfd, sf->name, &st, AT_SYMLINK_NOFOLLOW)) {
        code = existing(sf, path, &st, force, keeps);
        if (code || sf->stream)
            return code;
    } else if (errno != ENOENT) {
        cli_error("%s: %s", path, strerror(errno));
        return EXIT_FAILED;
    }
    return create(sf, path);
}

/* NFS and others know no RENAME_NOREPLACE, but a second link, which does not replace either. */
static int rename_hidden(struct savefile *sf)
{
    if (sf->replace)
        return renameat(sf->dirfd, sf->temporary, sf->dirfd, sf->name);
    if (!renameat2(sf->dirfd, sf->temporary, sf->dirfd, sf->name, RENAME_NOREPLACE))
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (linkat(sf->dirfd, sf->temporary, sf->dirfd, sf->name, 0))
        return -1;
    if (unlinkat(sf->dirfd, sf->temporary, 0))
        cli_error("%s, a second name of %s, stays: %s", sf->temporary, sf->name, strerror(errno));
    return 0;
}

/* linkat cannot replace: a nameless file gets a hidden name first, then is renamed over the old. */
static int give_name(struct savefile *sf)
{
    char self[40];

    if (sf->temporary[0])
        return rename_hidden(sf);
    snprintf(self, sizeof(self), "/proc/self/fd/%d", sf->fd);
    if (!sf->replace)
        return linkat(AT_FDCWD, self, sf->dirfd, sf->name, AT_SYMLINK_FOLLOW);
    if (hidden_name(sf, sf->temporary, sizeof(sf->temporary)) ||
        linkat(AT_FDCWD, self, sf->dirfd, sf->temporary, AT_SYMLINK_FOLLOW)) {
        sf->temporary[0] = 0;
        return -1;
    }
    return renameat(sf->dirfd, sf->temporary, sf->dirfd, sf->name);
}

/* Where others may rename things, a hidden name can have become another file's. */
static bool is_ours(const struct savefile *sf)
{
    struct stat ours, named;

    return !fstat(sf->fd, &ours) &&
           !fstatat(sf->dirfd, sf->name, &named, AT_SYMLINK_NOFOLLOW) &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

int savefile_commit(struct savefile *sf)
{
    if (!sf->name[0])
        return 0;
    if (give_name(sf)) {
        cli_error("the image is complete but could not be named %s: %s; the domain goes on",
                  sf->name, errno == EEXIST ? "a file of that name has appeared meanwhile"
                                            : strerror(errno));
        return EXIT_FAILED;
    }
    sf->temporary[0] = 0;
    if (!is_ours(sf)) {
        cli_error("%s is not the image, somebody has exchanged it; the domain goes on", sf->name);
        return EXIT_FAILED;
    }
    if (fsync(sf->dirfd)) {
        cli_error("fsync of the folder: %s; the domain goes on, %s stays", strerror(errno),
                  sf->name);
        return EXIT_FAILED;
    }
    return 0;
}

void savefile_close(struct savefile *sf)
{
    if (sf->temporary[0] && sf->dirfd >= 0)
        unlinkat(sf->dirfd, sf->temporary, 0);
    if (sf->fd >= 0)
        close(sf->fd);
    if (sf->dirfd >= 0)
        close(sf->dirfd);
    *sf = (struct savefile){.fd = -1, .dirfd = -1};
}
