/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * /init of the test guest. It says on its console that it lives:
 *
 *   guest: up mode M                once, after the kernel started it
 *   guest: count N                  every 200 ms, N = 1, 2, ...
 *   guest: pages ok G               mode "write": pass G over all pages found each as the pass before left it
 *   guest: PAGE CORRUPT i ...       a page was not
 *
 * The kernel's command line chooses: box.mode=count (the default), box.mode=write, box.mib=N (how much
 * memory is rewritten, 16), box.ms=N (between two counts).
 *
 * Every page carries its number, its generation, a sum and a body that follows from the first two. The
 * generation that a page must have is known to the program, not to the page: a page restored from before or
 * after the moment of the image is found, however whole it is in itself.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 4096
#define BODY_WORDS (PAGE_BYTES / 8 - 3)
#define PAGES_PER_STEP 64

struct page {
    uint64_t index;
    uint64_t generation;
    uint64_t sum;
    uint64_t body[BODY_WORDS];
};

static long option(const char *cmdline, const char *name, long otherwise)
{
    const char *at = strstr(cmdline, name);

    return at ? strtol(at + strlen(name), NULL, 10) : otherwise;
}

static long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000L + t.tv_nsec / 1000000L;
}

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return *state ^ (*state >> 29);
}

static void fill(struct page *p, uint64_t index, uint64_t generation)
{
    uint64_t state = index << 32 ^ generation, sum = 0;

    p->index = index;
    p->generation = generation;
    for (int i = 0; i < BODY_WORDS; i++) {
        p->body[i] = next(&state);
        sum += p->body[i];
    }
    p->sum = sum;
}

static int holds(const struct page *p, uint64_t index, uint64_t generation)
{
    uint64_t state = index << 32 ^ generation, sum = 0;

    if (p->index != index || p->generation != generation)
        return 0;
    for (int i = 0; i < BODY_WORDS; i++) {
        uint64_t word = next(&state);

        if (p->body[i] != word)
            return 0;
        sum += word;
    }
    return p->sum == sum;
}

/* Checks and rewrites a few pages, from *at on; the pass ends and *generation grows behind the last page. */
static void write_step(struct page *pages, uint64_t nr, uint64_t *at, uint64_t *generation)
{
    for (int i = 0; i < PAGES_PER_STEP; i++) {
        struct page *p = &pages[*at];

        if (!holds(p, *at, *generation))
            printf("guest: PAGE CORRUPT %llu of %llu: generation %llu, wanted %llu, number %llu\n",
                   (unsigned long long)*at, (unsigned long long)nr,
                   (unsigned long long)p->generation, (unsigned long long)*generation,
                   (unsigned long long)p->index);
        fill(p, *at, *generation + 1);
        if (++*at == nr) {
            *at = 0;
            ++*generation;
            printf("guest: pages ok %llu\n", (unsigned long long)*generation);
        }
    }
}

static void read_cmdline(char *to, size_t size)
{
    FILE *f = fopen("/proc/cmdline", "re");

    if (!f || !fgets(to, size, f))
        err(1, "/proc/cmdline");
    fclose(f);
}

static struct page *make_pages(uint64_t nr)
{
    struct page *pages = mmap(NULL, nr * PAGE_BYTES, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (pages == MAP_FAILED)
        err(1, "mmap %llu pages", (unsigned long long)nr);
    for (uint64_t i = 0; i < nr; i++)
        fill(&pages[i], i, 0);
    return pages;
}

int main(void)
{
    char cmdline[4096];
    struct page *pages = NULL;
    uint64_t nr = 0, at = 0, generation = 0, count = 0;
    long every, next_count;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (mount("proc", "/proc", "proc", 0, NULL) || mount("dev", "/dev", "devtmpfs", 0, NULL))
        err(1, "mount");
    read_cmdline(cmdline, sizeof(cmdline));
    every = option(cmdline, "box.ms=", 200);
    if (strstr(cmdline, "box.mode=write")) {
        nr = (uint64_t)option(cmdline, "box.mib=", 16) * (1048576 / PAGE_BYTES);
        pages = make_pages(nr);
    }
    printf("guest: up mode %s\n", pages ? "write" : "count");
    next_count = now_ms() + every;
    for (;;) {
        long left = next_count - now_ms();

        if (left <= 0) {
            printf("guest: count %llu\n", (unsigned long long)++count);
            next_count = now_ms() + every;
        } else if (pages) {
            write_step(pages, nr, &at, &generation);
        } else {
            usleep(left * 1000);
        }
    }
}
