/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * bench_inproc [--live] [--resume] DOMID FILE: Debian's xc_domain_save in one process over the
 * simulated host, without any separation: what `moat save` on the same host is compared with, and the
 * check that the simulation satisfies the unmodified library.  FILE becomes an xl image (header, a
 * minimal configuration, libxl stream), fsynced.  Prints one line of JSON.
 */
#include <endian.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenguest.h>

#include "policy/warden/hv.h"
#include "tests/sim/hv_sim.h"
#include "tests/sim/sim.h"
#include "workers/common.h"

struct worker worker;   /* foreignmemory_sim.c takes its files from it */

static uint32_t domid;
static bool live, resume, quiet = true;

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void ask(const char *word, const char *more)
{
    int r = sim_ask(hv_sim_sock(), NULL, 0, NULL, "%s %u%s", word, domid, more);

    if (r)
        errx(1, "simhost: %s %u%s: %s", word, domid, more, strerror(-r));
}

static int suspend(void *data)
{
    ask("shutdown", " 2");
    return 1;
}

static int logdirty(uint32_t dom, unsigned enable, void *data)
{
    return 0;
}

static void log_line(xentoollog_logger *l, xentoollog_level level, int errnoval,
                     const char *context, const char *format, va_list al)
{
    if (quiet && level < XTL_ERROR)
        return;
    vfprintf(stderr, format, al);
    fprintf(stderr, errnoval >= 0 ? ": %s\n" : "\n", strerror(errnoval));
}

static void log_progress(xentoollog_logger *l, const char *context, const char *doing, int percent,
                         unsigned long done, unsigned long total)
{
}

static void log_destroy(xentoollog_logger *l)
{
}

static void put(int fd, const void *p, size_t n)
{
    if (write(fd, p, n) != (ssize_t)n)
        err(1, "write");
}

/* xl's header and an empty configuration, libxl's header, the record that libxc's stream follows. */
static void put_headers(int fd)
{
    static const char magic[33] = "Xen saved domain, xl format\n \0 \r";
    const char config[] = "{}";
    const uint32_t xl[4] = { 0x01020304, 3, 0, sizeof(uint32_t) + sizeof(config) };
    const uint32_t config_len = sizeof(config);
    const uint64_t ident = htobe64(0x4c6962786c466d74ull);
    const uint32_t version[2] = { htobe32(2), 0 }, record[2] = { 1, 0 };

    put(fd, magic, 32);
    put(fd, xl, sizeof(xl));
    put(fd, &config_len, sizeof(config_len));
    put(fd, config, sizeof(config));
    put(fd, &ident, sizeof(ident));
    put(fd, version, sizeof(version));
    put(fd, record, sizeof(record));
}

static void attach(void)
{
    char why[128];

    if (hv_open(why))
        errx(1, "%s", why);
    sim_access_ok = NULL;   /* the library's buffers are anywhere in this process */
    worker.grant.domid = domid;
    worker.privcmd = hv_privcmd_fd((uint16_t)domid);
    worker.privcmd_xen = hv_privcmd_fd(DOMID_XEN);
    if (worker.privcmd < 0 || worker.privcmd_xen < 0)
        errx(1, "no domain %u", domid);
}

static void options(int argc, char **argv)
{
    static const struct option longs[] = {
        { "live", no_argument, NULL, 'l' }, { "resume", no_argument, NULL, 'r' },
        { "verbose", no_argument, NULL, 'v' }, { 0 },
    };
    int o;

    while ((o = getopt_long(argc, argv, "lrv", longs, NULL)) >= 0) {
        if (o == 'l')
            live = true;
        else if (o == 'r')
            resume = true;
        else if (o == 'v')
            quiet = false;
        else
            optind = argc;
    }
    if (argc - optind != 2)
        errx(2, "usage: bench_inproc [--live] [--resume] DOMID FILE");
    domid = (uint32_t)strtoul(argv[optind], NULL, 10);
}

int main(int argc, char **argv)
{
    xentoollog_logger logger = { log_line, log_progress, log_destroy };
    struct save_callbacks callbacks = { .suspend = suspend, .switch_qemu_logdirty = logdirty };
    const uint32_t end[2] = { 0, 0 };
    double start, synced, saved;
    xc_interface *xch;
    int fd, r;

    options(argc, argv);
    attach();
    fd = open(argv[optind + 1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    xch = xc_interface_open(&logger, &logger, 0);
    if (fd < 0 || !xch)
        err(1, "%s", fd < 0 ? argv[optind + 1] : "xc_interface_open");

    start = seconds();
    put_headers(fd);
    r = xc_domain_save(xch, fd, domid, live ? XCFLAGS_LIVE : 0, &callbacks, XC_STREAM_PLAIN, -1);
    if (r)
        err(1, "xc_domain_save");
    put(fd, end, sizeof(end));
    saved = seconds();
    if (fsync(fd))
        err(1, "fsync");
    synced = seconds();
    if (resume && xc_domain_resume(xch, domid, 1))
        err(1, "xc_domain_resume");
    printf("{\"bench\": \"inproc\", \"domid\": %u, \"live\": %s, \"bytes\": %lld, "
           "\"save_s\": %.4f, \"sync_s\": %.4f}\n",
           domid, live ? "true" : "false", (long long)lseek(fd, 0, SEEK_CUR), saved - start,
           synced - saved);
    xc_interface_close(xch);
    return 0;
}
