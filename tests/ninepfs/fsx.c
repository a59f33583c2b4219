/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A file under random reads, writes, truncates and reopens, each compared with a copy in memory.
 *
 *     fsx [-s SEED] [-n OPERATIONS] [-m BYTES] [-p PROCESSES] [-f] [-w] FOLDER [SAME-FOLDER]
 *
 * SAME-FOLDER is the same folder by another way (the export itself): the file is read there too.
 * -p: so many processes at once, each with a seed and a file of its own; with -f all in one file, each
 * in bytes of its own.  -w: through writable mappings, too.  The seed is printed, and without -s it
 * is a new one.  Exit status 1: bytes were wrong, with what was done last.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define LAST 12                     /* operations that are remembered */

struct options {
    uint64_t seed;
    unsigned int ops, procs;
    uint32_t max;
    bool fixed, map;
    const char *folder, *same;
};

struct run {
    const struct options *o;
    uint64_t state, seed;
    char path[512], same[512];
    int fd;
    off_t base;                     /* where our bytes begin */
    uint32_t size;                  /* how many there are */
    uint8_t *want, *buf;            /* o->max each */
    unsigned int op;
    char last[LAST][64];
};

static uint32_t any(struct run *r, uint32_t below)
{
    r->state = r->state * 6364136223846793005ULL + 1442695040888963407ULL;
    return below ? (uint32_t)(r->state >> 33) % below : 0;
}

static void note(struct run *r, const char *what, uint32_t off, uint32_t len)
{
    snprintf(r->last[r->op % LAST], sizeof(r->last[0]), "%u: %s at %u, %u bytes", r->op, what, off,
             len);
}

static void __attribute__((noreturn)) wrong(struct run *r, const char *what)
{
    int e = errno;

    printf("fsx: seed %llu, %s: %s", (unsigned long long)r->seed, r->path, what);
    if (e)
        printf(": %s", strerror(e));
    printf("\nfsx: size %u; last operations:\n", r->size);
    for (unsigned int i = 0; i < LAST; i++)
        if (r->last[(r->op + 1 + i) % LAST][0])
            printf("fsx:   %s\n", r->last[(r->op + 1 + i) % LAST]);
    fflush(stdout);
    _exit(1);
}

static void compare(struct run *r, const uint8_t *got, uint32_t off, uint32_t len, const char *where)
{
    char text[128];

    for (uint32_t i = 0; i < len; i++) {
        if (got[i] == r->want[off + i])
            continue;
        snprintf(text, sizeof(text), "%s: byte %u is %02x, not %02x", where, off + i, got[i],
                 r->want[off + i]);
        errno = 0;
        wrong(r, text);
    }
}

/* Lengths that like the borders of pages and messages. */
static uint32_t length(struct run *r, uint32_t most)
{
    static const uint32_t near[] = { 1, 512, PAGE, 2 * PAGE, 65536, 131072 - 24, 131072, 131072 * 2 };
    uint32_t n;

    switch (any(r, 4)) {
    case 0: n = any(r, 128); break;
    case 1: n = any(r, 3 * PAGE); break;
    case 2: n = near[any(r, 8)] + any(r, 5) - 2; break;
    default: n = any(r, r->o->max / 2); break;
    }
    if (n > 0x80000000u)
        n = 0;
    return n < most ? n : most;
}

static uint32_t place(struct run *r, uint32_t below)
{
    uint32_t off = any(r, below + 1);

    if (!any(r, 3))
        off &= ~(PAGE - 1);
    return off;
}

static void fill(struct run *r, uint32_t off, uint32_t len)
{
    uint64_t x = r->seed * 31 + r->op;

    for (uint32_t i = 0; i < len; i++) {
        if (!(i & 7))
            x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        r->want[off + i] = (uint8_t)(x >> (8 * (i & 7))) | 1;
    }
}

/* ---------- operations */

static void open_file(struct run *r, int flags)
{
    r->fd = open(r->path, O_RDWR | O_CLOEXEC | flags, 0644);
    if (r->fd < 0)
        wrong(r, "open");
}

static void grow(struct run *r, uint32_t to)
{
    if (to <= r->size)
        return;
    memset(r->want + r->size, 0, to - r->size);
    r->size = to;
}

static void op_write(struct run *r)
{
    uint32_t off = place(r, r->o->fixed ? r->size : r->o->max), len, done = 0;

    len = length(r, r->o->max - off);
    note(r, "write", off, len);
    grow(r, len ? off : 0);
    fill(r, off, len);
    if (len && off + len > r->size)
        r->size = off + len;
    while (done < len) {
        ssize_t n = pwrite(r->fd, r->want + off + done, len - done, r->base + off + done);

        if (n <= 0)
            wrong(r, "pwrite");
        done += (uint32_t)n;
    }
}

static void op_append(struct run *r)
{
    uint32_t off = r->size, len = length(r, r->o->max - off), done = 0;
    int fd = open(r->path, O_WRONLY | O_APPEND | O_CLOEXEC);

    note(r, "append", off, len);
    if (fd < 0)
        wrong(r, "open to append");
    fill(r, off, len);
    r->size += len;
    while (done < len) {
        ssize_t n = write(fd, r->want + off + done, len - done);

        if (n <= 0)
            wrong(r, "append");
        done += (uint32_t)n;
    }
    if (close(fd))
        wrong(r, "close");
}

static void read_from(struct run *r, int fd, uint32_t off, uint32_t len, const char *where)
{
    uint32_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, r->buf + done, len - done, r->base + off + done);

        if (n < 0)
            wrong(r, where);
        if (!n)
            break;
        done += (uint32_t)n;
    }
    errno = 0;
    if (done != len)
        wrong(r, "fewer bytes than were written");
    compare(r, r->buf, off, len, where);
}

static void op_read(struct run *r)
{
    uint32_t off = place(r, r->size), len = off < r->size ? length(r, r->size - off) : 0;

    note(r, "read", off, len);
    read_from(r, r->fd, off, len, "read");
}

static void op_truncate(struct run *r)
{
    uint32_t to = any(r, 8) ? place(r, r->o->max) : 0;

    note(r, "truncate", to, 0);
    grow(r, to);
    r->size = to;
    if (any(r, 2) ? ftruncate(r->fd, to) : truncate(r->path, to))
        wrong(r, "truncate");
}

/* Whole, here and by the other way. */
static void check_all(struct run *r)
{
    struct stat st;
    int fd;

    note(r, "compare", 0, r->size);
    if (fstat(r->fd, &st))
        wrong(r, "fstat");
    errno = 0;
    if (!r->o->fixed && st.st_size != (off_t)r->size)
        wrong(r, "fstat has another size");
    read_from(r, r->fd, 0, r->size, "whole file");
    if (!r->o->same)
        return;
    if (r->o->map && fsync(r->fd))
        wrong(r, "fsync");
    fd = open(r->same, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st))
        wrong(r, r->same);
    errno = 0;
    if (!r->o->fixed && st.st_size != (off_t)r->size)
        wrong(r, "another size in the export");
    read_from(r, fd, 0, r->size, "in the export");
    close(fd);
}

static void op_reopen(struct run *r)
{
    note(r, "reopen", 0, 0);
    if (any(r, 2) && fsync(r->fd))
        wrong(r, "fsync");
    if (close(r->fd))
        wrong(r, "close");
    open_file(r, 0);
    check_all(r);
}

static void op_map(struct run *r)
{
    uint32_t off, len, skip;
    uint8_t *p;

    if (!r->size)
        return;
    off = any(r, r->size);
    len = length(r, r->size - off);
    if (!len)
        return;
    note(r, "mapped write", off, len);
    skip = off % PAGE;
    p = mmap(NULL, len + skip, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, off - skip);
    if (p == MAP_FAILED)
        wrong(r, "mmap");
    compare(r, p + skip, off, len, "mapping");
    fill(r, off, len);
    memcpy(p + skip, r->want + off, len);
    if (msync(p, len + skip, MS_SYNC))
        wrong(r, "msync");
    if (munmap(p, len + skip))
        wrong(r, "munmap");
}

static void step(struct run *r)
{
    uint32_t what = any(r, 100);

    if (what < 38)
        op_write(r);
    else if (what < 72)
        op_read(r);
    else if (what < 76)
        op_reopen(r);
    else if (what < 86 && r->o->map)
        op_map(r);
    else if (r->o->fixed)
        op_read(r);
    else if (what < 92)
        op_append(r);
    else
        op_truncate(r);
}

static void run_one(const struct options *o, unsigned int i)
{
    struct run r = { .o = o, .seed = o->seed + i, .state = (o->seed + i) * 2654435761u + 1 };
    unsigned int file = o->fixed ? 0 : i;

    r.want = calloc(1, o->max);
    r.buf = malloc(o->max);
    if (!r.want || !r.buf)
        err(1, "memory");
    snprintf(r.path, sizeof(r.path), "%s/fsx.%u", o->folder, file);
    if (o->same)
        snprintf(r.same, sizeof(r.same), "%s/fsx.%u", o->same, file);
    if (o->fixed) {
        r.base = (off_t)i * o->max;
        r.size = o->max;
    }
    open_file(&r, o->fixed ? 0 : O_CREAT | O_TRUNC);
    for (r.op = 1; r.op <= o->ops; r.op++)
        step(&r);
    check_all(&r);
    if (close(r.fd) || (!o->fixed && unlink(r.path)))
        wrong(&r, "close, unlink");
    _exit(0);
}

static void make_shared(const struct options *o)
{
    char path[512];
    int fd;

    snprintf(path, sizeof(path), "%s/fsx.0", o->folder);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, (off_t)o->max * o->procs) || close(fd))
        err(1, "%s", path);
}

int main(int argc, char **argv)
{
    struct options o = { .ops = 300, .procs = 1, .max = 400000 };
    int c, status, bad = 0;

    if (getrandom(&o.seed, sizeof(o.seed), 0) != sizeof(o.seed))
        err(1, "getrandom");
    o.seed &= 0xffffffffu;
    while ((c = getopt(argc, argv, "s:n:m:p:fw")) >= 0)
        switch (c) {
        case 's': o.seed = strtoull(optarg, NULL, 10); break;
        case 'n': o.ops = (unsigned int)strtoul(optarg, NULL, 10); break;
        case 'm': o.max = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'p': o.procs = (unsigned int)strtoul(optarg, NULL, 10); break;
        case 'f': o.fixed = true; break;
        case 'w': o.map = true; break;
        default: return 2;
        }
    if (optind == argc || argc - optind > 2 || o.max < 2 || o.max > 1u << 28)
        errx(2, "usage: fsx [-s SEED] [-n OPS] [-m BYTES] [-p PROCESSES] [-f] [-w] FOLDER [SAME]");
    o.folder = argv[optind];
    o.same = argv[optind + 1];
    printf("fsx: seed %llu, %u processes, %u operations each\n", (unsigned long long)o.seed,
           o.procs, o.ops);
    fflush(stdout);
    if (o.fixed)
        make_shared(&o);
    for (unsigned int i = 0; i < o.procs; i++) {
        pid_t pid = fork();

        if (pid < 0)
            err(1, "fork");
        if (!pid)
            run_one(&o, i);
    }
    while (wait(&status) > 0)
        if (!WIFEXITED(status) || WEXITSTATUS(status))
            bad++;
    if (bad)
        printf("fsx: %d of %u processes failed\n", bad, o.procs);
    return bad != 0;
}
