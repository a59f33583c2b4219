/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * FILE of a save: no name until it is complete, nothing replaced that was not meant.  A file system
 * without O_TMPFILE, or without RENAME_NOREPLACE (NFS), is made by wrapping the system calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parent/cli/cli.h"

struct cli_options cli;

static bool no_tmpfile, no_noreplace, no_link;

int __real_openat(int dirfd, const char *path, int flags, ...);
int __wrap_openat(int dirfd, const char *path, int flags, ...);
int __real_renameat2(int from, const char *old, int to, const char *new, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags);
int __real_linkat(int from, const char *old, int to, const char *new, int flags);
int __wrap_linkat(int from, const char *old, int to, const char *new, int flags);

int __wrap_openat(int dirfd, const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list ap;

    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {
        va_start(ap, flags);
        mode = va_arg(ap, mode_t);
        va_end(ap);
    }
    if (no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return __real_openat(dirfd, path, flags, mode);
}

int __wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    if (no_noreplace && flags) {
        errno = EINVAL;
        return -1;
    }
    return __real_renameat2(from, old, to, new, flags);
}

int __wrap_linkat(int from, const char *old, int to, const char *new, int flags)
{
    if (no_link) {
        errno = EPERM;
        return -1;
    }
    return __real_linkat(from, old, to, new, flags);
}

/* ---- a folder of our own, and what is said on stderr */

struct fixture {
    char dir[32], file[64], said[4096];
    int err;            /* the real stderr */
    FILE *out;          /* what stands in its place */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    strcpy(f->dir, "/tmp/moat-cli-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->file, sizeof(f->file), "%s/image", f->dir);
    f->out = tmpfile();
    f->err = dup(2);
    if (!f->out || f->err < 0)
        return -1;
    no_tmpfile = no_noreplace = no_link = false;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    DIR *d = opendir(f->dir);
    struct dirent *e;

    while ((e = readdir(d)))
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    close(f->err);
    fclose(f->out);
    rmdir(f->dir);
    free(f);
    return 0;
}

static int opened(struct fixture *f, struct savefile *sf, const char *path, bool force, bool keeps)
{
    ssize_t n;
    int code;

    fflush(stderr);
    assert_int_equal(ftruncate(fileno(f->out), 0), 0);
    assert_int_equal(lseek(fileno(f->out), 0, SEEK_SET), 0);
    assert_int_equal(dup2(fileno(f->out), 2), 2);
    code = savefile_open(sf, path, force, keeps);
    fflush(stderr);
    assert_int_equal(dup2(f->err, 2), 2);
    n = pread(fileno(f->out), f->said, sizeof(f->said) - 1, 0);
    f->said[n > 0 ? n : 0] = 0;
    return code;
}

static void fill(const struct savefile *sf, const char *text)
{
    assert_int_equal(write(sf->fd, text, strlen(text)), strlen(text));
}

static void make(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void holds(const char *path, const char *text)
{
    char buf[64] = "";
    int fd = open(path, O_RDONLY | O_NOFOLLOW);

    assert_true(fd >= 0);
    assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
    close(fd);
    assert_string_equal(buf, text);
}

static unsigned entries(const char *dir)
{
    DIR *d = opendir(dir);
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

/* ---- tests, each on file systems of three kinds */

static void nothing_has_a_name_before_its_commit(void **state)
{
    struct fixture *f = *state;
    struct savefile sf;
    struct stat st;

    assert_int_equal(opened(f, &sf, f->file, false, false), 0);
    fill(&sf, "image");
    assert_int_equal(entries(f->dir), no_tmpfile ? 1 : 0);
    assert_int_equal(access(f->file, F_OK), -1);
    assert_int_equal(savefile_commit(&sf), 0);
    savefile_close(&sf);
    holds(f->file, "image");
    assert_int_equal(entries(f->dir), 1);
    assert_int_equal(stat(f->file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void without_a_commit_nothing_stays(void **state)
{
    struct fixture *f = *state;
    struct savefile sf;

    make(f->file, "old");
    assert_int_equal(opened(f, &sf, f->file, true, false), 0);
    fill(&sf, "half");
    savefile_close(&sf);
    holds(f->file, "old");
    assert_int_equal(entries(f->dir), 1);
}

static void force_replaces_the_name_at_the_end(void **state)
{
    struct fixture *f = *state;
    char other[80];
    struct savefile sf;

    make(f->file, "old");
    snprintf(other, sizeof(other), "%s.link", f->file);
    assert_int_equal(link(f->file, other), 0);
    assert_int_equal(opened(f, &sf, f->file, true, false), 0);
    fill(&sf, "new");
    holds(f->file, "old");
    assert_int_equal(savefile_commit(&sf), 0);
    savefile_close(&sf);
    holds(f->file, "new");
    holds(other, "old");        /* the name was moved, the file was not written to */
    assert_int_equal(entries(f->dir), 2);
}

static void a_file_that_appears_meanwhile_stays(void **state)
{
    struct fixture *f = *state;
    struct savefile sf;

    assert_int_equal(opened(f, &sf, f->file, false, false), 0);
    fill(&sf, "new");
    make(f->file, "somebody else's");
    assert_int_equal(savefile_commit(&sf), EXIT_FAILED);
    savefile_close(&sf);
    holds(f->file, "somebody else's");
    assert_int_equal(entries(f->dir), 1);
}

static void a_link_that_appears_meanwhile_is_not_followed(void **state)
{
    struct fixture *f = *state;
    char victim[80];
    struct savefile sf;

    snprintf(victim, sizeof(victim), "%s/victim", f->dir);
    assert_int_equal(opened(f, &sf, f->file, false, false), 0);
    fill(&sf, "new");
    assert_int_equal(symlink("victim", f->file), 0);
    assert_int_equal(savefile_commit(&sf), EXIT_FAILED);
    savefile_close(&sf);
    assert_int_equal(access(victim, F_OK), -1);
}

static void a_folder_that_is_renamed_meanwhile_is_followed(void **state)
{
    struct fixture *f = *state;
    char moved[48], file[64];
    struct savefile sf;

    snprintf(moved, sizeof(moved), "%s.moved", f->dir);
    snprintf(file, sizeof(file), "%s/image", moved);
    assert_int_equal(opened(f, &sf, f->file, false, false), 0);
    fill(&sf, "image");
    assert_int_equal(rename(f->dir, moved), 0);
    assert_int_equal(savefile_commit(&sf), 0);
    savefile_close(&sf);
    holds(file, "image");
    assert_int_equal(rename(moved, f->dir), 0);
}

/* Without COMMIT the domain is not destroyed. */
static void a_hidden_name_that_was_exchanged_is_noticed(void **state)
{
    struct fixture *f = *state;
    char hidden[400];
    struct savefile sf;

    assert_int_equal(opened(f, &sf, f->file, false, false), 0);
    fill(&sf, "image");
    snprintf(hidden, sizeof(hidden), "%s/%s", f->dir, sf.temporary);
    assert_int_equal(unlink(hidden), 0);
    make(hidden, "somebody else's");
    assert_int_equal(savefile_commit(&sf), EXIT_FAILED);
    savefile_close(&sf);
}

static int setup_hidden(void **state)
{
    int r = setup(state);

    no_tmpfile = true;
    return r;
}

static int setup_nfs(void **state)
{
    int r = setup(state);

    no_tmpfile = no_noreplace = true;
    return r;
}

/* Neither a link nor RENAME_NOREPLACE: it fails, and nothing was replaced or left behind. */
static void a_file_system_that_can_neither_fails_cleanly(void **state)
{
    struct fixture *f = *state;
    struct savefile sf;

    no_link = true;
    assert_int_equal(opened(f, &sf, f->file, false, false), 0);
    fill(&sf, "new");
    assert_int_equal(savefile_commit(&sf), EXIT_FAILED);
    savefile_close(&sf);
    assert_int_equal(entries(f->dir), 0);
}

/* ---- what FILE may be */

static void an_existing_file_needs_force(void **state)
{
    struct fixture *f = *state;
    int in = dup(0), null = open("/dev/null", O_RDONLY);
    struct savefile sf;

    assert_int_equal(dup2(null, 0), 0);         /* nobody to ask */
    make(f->file, "old");
    assert_int_equal(opened(f, &sf, f->file, false, false), EXIT_FAILED);
    assert_non_null(strstr(f->said, "--force"));
    savefile_close(&sf);
    holds(f->file, "old");
    assert_int_equal(dup2(in, 0), 0);
    close(in);
    close(null);
}

static void refused(struct fixture *f, const char *path, bool keeps, int code, const char *words)
{
    struct savefile sf;

    assert_int_equal(opened(f, &sf, path, true, keeps), code);
    if (!strstr(f->said, words))
        fail_msg("%s: said \"%s\", not \"%s\"", path, f->said, words);
    savefile_close(&sf);
}

static void what_is_no_file_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[400];

    refused(f, "/dev/null", true, EXIT_FAILED, "no regular file");
    refused(f, f->dir, true, EXIT_FAILED, "no regular file");
    refused(f, "/", true, EXIT_USAGE, "not the name of a file");
    refused(f, "", true, EXIT_USAGE, "not the name of a file");
    refused(f, "..", true, EXIT_USAGE, "not the name of a file");
    snprintf(path, sizeof(path), "%s/", f->file);
    refused(f, path, true, EXIT_USAGE, "not the name of a file");
    snprintf(path, sizeof(path), "%s/none/image", f->dir);
    refused(f, path, true, EXIT_FAILED, "No such file");
    snprintf(path, sizeof(path), "%s/%0220d", f->dir, 0);
    refused(f, path, true, EXIT_USAGE, "not the name of a file");
    assert_int_equal(symlink("/etc/passwd", f->file), 0);
    refused(f, f->file, true, EXIT_FAILED, "no regular file");
    /* A file of proc is a regular one; nothing can be made beside it, and it is not opened. */
    refused(f, "/proc/self/comm", true, EXIT_FAILED, "cannot create");
}

static void a_pipe_is_for_domains_that_stay(void **state)
{
    struct fixture *f = *state;
    struct savefile sf;
    int reader;

    assert_int_equal(mkfifo(f->file, 0600), 0);
    refused(f, f->file, false, EXIT_USAGE, "needs -c or -p");
    reader = open(f->file, O_RDONLY | O_NONBLOCK);
    assert_int_equal(opened(f, &sf, f->file, false, true), 0);
    assert_true(sf.stream);
    assert_int_equal(savefile_commit(&sf), 0);
    savefile_close(&sf);
    close(reader);
    assert_int_equal(entries(f->dir), 1);
}

static void standard_output_is_for_domains_that_stay(void **state)
{
    struct fixture *f = *state;
    int out = dup(1), p[2], file, null = open("/dev/null", O_WRONLY);
    struct savefile sf;

    refused(f, "-", false, EXIT_USAGE, "needs -c or -p");
    fflush(stdout);
    assert_int_equal(dup2(null, 1), 1);
    refused(f, "-", true, EXIT_USAGE, "neither a pipe nor a file");
    assert_int_equal(pipe(p), 0);
    assert_int_equal(dup2(p[1], 1), 1);
    assert_int_equal(opened(f, &sf, "-", false, true), 0);
    assert_true(sf.stream);
    assert_int_equal(savefile_commit(&sf), 0);
    savefile_close(&sf);
    file = open(f->file, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(dup2(file, 1), 1);
    assert_int_equal(opened(f, &sf, "-", false, true), 0);
    assert_false(sf.stream);
    savefile_close(&sf);
    assert_int_equal(dup2(out, 1), 1);
    for (unsigned i = 0; i < 2; i++)
        close(p[i]);
    close(file);
    close(out);
    close(null);
    assert_int_equal(entries(f->dir), 1);       /* and is not removed */
}

static void leftovers_are_named(void **state)
{
    struct fixture *f = *state;
    struct savefile sf;
    char path[128];

    snprintf(path, sizeof(path), "%s/.image.moat-unfinished-0123abcd", f->dir);
    make(path, "half");
    snprintf(path, sizeof(path), "%s/.image.moat-unfinished-\33[2J", f->dir);
    make(path, "a trap");
    snprintf(path, sizeof(path), "%s/.other.moat-unfinished-0123abcd", f->dir);
    make(path, "half");
    assert_int_equal(opened(f, &sf, f->file, false, false), 0);
    assert_non_null(strstr(f->said, ".image.moat-unfinished-0123abcd"));
    assert_null(strstr(f->said, ".other."));
    assert_null(strchr(f->said, '\33'));        /* others can write to /tmp, not to a terminal */
    savefile_close(&sf);
    assert_int_equal(entries(f->dir), 3);
}

#define ON(test, fs) {#test " on " #fs, test, fs, teardown, NULL}
#define ON_ALL(test) ON(test, setup), ON(test, setup_hidden), ON(test, setup_nfs)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(nothing_has_a_name_before_its_commit),
        ON_ALL(without_a_commit_nothing_stays),
        ON_ALL(force_replaces_the_name_at_the_end),
        ON_ALL(a_file_that_appears_meanwhile_stays),
        ON_ALL(a_link_that_appears_meanwhile_is_not_followed),
        ON_ALL(a_folder_that_is_renamed_meanwhile_is_followed),
        ON(a_hidden_name_that_was_exchanged_is_noticed, setup_hidden),
        ON(a_hidden_name_that_was_exchanged_is_noticed, setup_nfs),
        ON(a_file_system_that_can_neither_fails_cleanly, setup_nfs),
        ON(an_existing_file_needs_force, setup),
        ON(what_is_no_file_is_refused, setup),
        ON(a_pipe_is_for_domains_that_stay, setup),
        ON(standard_output_is_for_domains_that_stay, setup),
        ON(leftovers_are_named, setup_hidden),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
