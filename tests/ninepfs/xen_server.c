/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The 9pfs server on real rings, for the box: a backend in dom0 whose frontend is dom0 itself.
 * Never installed: it is root, and toolstack, backend and worker in one process.
 *
 *     xen_server DEVID TAG FOLDER MAX-ORDER
 *
 * It makes both folders in xenstore, waits for the frontend, and serves until it gets SIGTERM or
 * the frontend closes; then it takes everything away.  It says what it does, a line each, on
 * stdout; SIGUSR1 asks for figures.  Exit status 1: something failed, or descriptors were left over.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>

#include "workers/ninepfs/server.h"

#define FRONT_DOMID 0u
#define RINGS_MAX   4u
#define BOOT_MS     20000

/* io/xenbus.h */
enum { INITIALISING = 1, INIT_WAIT, INITIALISED, CONNECTED, CLOSING, CLOSED };

struct ring {
    void *intf, *data;
    unsigned int order;
    xenevtchn_handle *xce;
    evtchn_port_t port;
};

struct device {
    struct xs_handle *xs;
    xengnttab_handle *xgt;
    char front[64], back[64];       /* folders in xenstore */
    unsigned int max_order;
    int sig_fd, root_fd, proc_fd;
    struct ring ring[RINGS_MAX];
    unsigned int nrings;
    struct p9_server server;
};

/* ---------- xenstore */

static void put(struct device *d, xs_transaction_t t, const char *dir, const char *key,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static void put(struct device *d, xs_transaction_t t, const char *dir, const char *key,
                const char *fmt, ...)
{
    char path[128], value[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    snprintf(path, sizeof(path), "%s/%s", dir, key);
    if (!xs_write(d->xs, t, path, value, (unsigned int)strlen(value)))
        err(1, "xenstore: %s", path);
}

/* A number that the frontend wrote: decimal digits only, lo..hi.  -1: nothing of the kind. */
static int64_t number(struct device *d, const char *key, int64_t lo, int64_t hi)
{
    char path[128], *value;
    unsigned int len;
    int64_t n = 0;

    snprintf(path, sizeof(path), "%s/%s", d->front, key);
    value = xs_read(d->xs, XBT_NULL, path, &len);
    if (!value)
        return -1;
    if (!len || len > 10)
        n = -1;
    for (unsigned int i = 0; n >= 0 && i < len; i++)
        n = value[i] >= '0' && value[i] <= '9' ? n * 10 + value[i] - '0' : -1;
    free(value);
    return n >= lo && n <= hi ? n : -1;
}

static int64_t numbered(struct device *d, const char *key, unsigned int i, int64_t hi)
{
    char name[32];

    snprintf(name, sizeof(name), "%s%u", key, i);
    return number(d, name, 0, hi);
}

/* All nodes in one transaction: a frontend that is told of either folder finds both. */
static void make_nodes(struct device *d, const char *devid, const char *tag, const char *path)
{
    xs_transaction_t t;

    snprintf(d->front, sizeof(d->front), "/local/domain/0/device/9pfs/%s", devid);
    snprintf(d->back, sizeof(d->back), "/local/domain/0/backend/9pfs/0/%s", devid);
    do {
        t = xs_transaction_start(d->xs);
        if (!t)
            err(1, "xenstore: transaction");
        put(d, t, d->back, "frontend", "%s", d->front);
        put(d, t, d->back, "frontend-id", "%u", FRONT_DOMID);
        put(d, t, d->back, "online", "1");
        put(d, t, d->back, "path", "%s", path);
        put(d, t, d->back, "security_model", "none");
        put(d, t, d->back, "versions", "1");
        put(d, t, d->back, "max-rings", "%u", RINGS_MAX);
        put(d, t, d->back, "max-ring-page-order", "%u", d->max_order);
        put(d, t, d->back, "state", "%d", INIT_WAIT);
        put(d, t, d->front, "backend", "%s", d->back);
        put(d, t, d->front, "backend-id", "0");
        put(d, t, d->front, "tag", "%s", tag);
        put(d, t, d->front, "state", "%d", INITIALISING);
    } while (!xs_transaction_end(d->xs, t, false) && errno == EAGAIN);
}

static int64_t front_state(struct device *d)
{
    return number(d, "state", INITIALISING, CLOSED);
}

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void say_figures(struct device *d);

/* Sleeps until xenstore or a signal has something.  True: it was told to end. */
static bool sleep_once(struct device *d, int timeout_ms)
{
    struct pollfd p[2] = {
        { .fd = xs_fileno(d->xs), .events = POLLIN },
        { .fd = d->sig_fd, .events = POLLIN },
    };
    struct signalfd_siginfo si;
    unsigned int n;
    char **event;

    if (poll(p, 2, timeout_ms) < 0)
        err(1, "poll");
    if (p[0].revents) {
        event = xs_read_watch(d->xs, &n);
        if (!event)
            err(1, "xenstore: watch");
        free(event);
    }
    if (!p[1].revents)
        return false;
    if (read(d->sig_fd, &si, sizeof(si)) != sizeof(si))
        err(1, "signalfd");
    if (si.ssi_signo != SIGUSR1)
        return true;
    say_figures(d);
    return false;
}

static void await_front(struct device *d, int64_t state)
{
    int64_t until = now_ms() + BOOT_MS, is;

    while ((is = front_state(d)) != state) {
        if (now_ms() > until)
            errx(1, "the frontend is in state %lld, not %lld", (long long)is, (long long)state);
        if (sleep_once(d, 500))
            errx(1, "told to end while the frontend connects");
    }
}

/* ---------- rings */

static void map_ring(struct device *d, unsigned int i)
{
    struct ring *r = &d->ring[i];
    int64_t ref = numbered(d, "ring-ref", i, UINT32_MAX);
    int64_t port = numbered(d, "event-channel-", i, 131071);
    uint32_t refs[512], order;
    const struct p9_ring_intf *intf;
    int local;

    if (ref < 0 || port < 0)
        errx(1, "ring %u: no reference or event channel", i);
    r->intf = xengnttab_map_grant_ref(d->xgt, FRONT_DOMID, (uint32_t)ref, PROT_READ | PROT_WRITE);
    if (!r->intf)
        err(1, "ring %u: interface page", i);
    /* Each read once. */
    intf = r->intf;
    order = __atomic_load_n(&intf->ring_order, __ATOMIC_ACQUIRE);
    if (order < P9_RING_ORDER_MIN || order > d->max_order)
        errx(1, "ring %u: order %u", i, order);
    for (uint32_t k = 0; k < 1u << order; k++)
        refs[k] = __atomic_load_n(&intf->ref[k], __ATOMIC_RELAXED);
    r->order = order;
    r->data = xengnttab_map_domain_grant_refs(d->xgt, 1u << order, FRONT_DOMID, refs,
                                              PROT_READ | PROT_WRITE);
    if (!r->data)
        err(1, "ring %u: data pages", i);
    r->xce = xenevtchn_open(NULL, 0);
    if (!r->xce)
        err(1, "ring %u: evtchn", i);
    local = xenevtchn_bind_interdomain(r->xce, FRONT_DOMID, (evtchn_port_t)port);
    if (local < 0)
        err(1, "ring %u: port %lld", i, (long long)port);
    r->port = (evtchn_port_t)local;
}

static void unmap_ring(struct device *d, struct ring *r)
{
    if (xengnttab_unmap(d->xgt, r->data, 1u << r->order) || xengnttab_unmap(d->xgt, r->intf, 1))
        err(1, "unmap");
    if (xenevtchn_unbind(r->xce, r->port))
        err(1, "unbind");
    xenevtchn_close(r->xce);
}

static void ring_ended(void *arg, unsigned int ring, int rc, const char *why)
{
    printf("ring %u ended: %s (%d)\n", ring, why, rc);
}

static void connect_rings(struct device *d)
{
    int64_t nrings = number(d, "num-rings", 1, RINGS_MAX);
    struct p9_config cfg = {
        .root_fd = d->root_fd, .proc_fd = d->proc_fd, .ring_ended = ring_ended, .arg = d,
    };
    struct rlimit lim;
    int rc, fd;

    if (nrings < 0 || number(d, "version", 1, 1) < 0)
        errx(1, "num-rings or version");
    d->nrings = (unsigned int)nrings;
    rc = p9_server_init(&d->server, &cfg);
    if (rc)
        errx(1, "p9_server_init: %s", strerror(-rc));
    lim.rlim_cur = lim.rlim_max = p9_server_fds(&d->server) + 32;
    if (setrlimit(RLIMIT_NOFILE, &lim))
        err(1, "setrlimit");
    for (unsigned int i = 0; i < d->nrings; i++) {
        map_ring(d, i);
        fd = xenevtchn_fd(d->ring[i].xce);
        rc = p9_server_add_ring(&d->server, d->ring[i].intf, d->ring[i].data, d->ring[i].order,
                                &p9_ring_evtchn, fd, fd);
        if (rc < 0)
            errx(1, "p9_server_add_ring: %s", strerror(-rc));
        p9_ring_set_port(&d->server.ring[i]->ring, d->ring[i].port);
    }
    rc = p9_server_start(&d->server);
    if (rc)
        errx(1, "p9_server_start: %s", strerror(-rc));
}

/* ---------- figures */

static unsigned int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned int n = 0;

    if (!dir)
        err(1, "/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 3;                   /* ".", ".." and the one that lists */
}

static void say_figures(struct device *d)
{
    struct p9_server *s = &d->server;
    uint64_t errors = 0;

    pthread_mutex_lock(&s->fids.lock);
    printf("figures: fids %u opens %u", s->fids.count, s->fids.opens);
    pthread_mutex_unlock(&s->fids.lock);
    pthread_mutex_lock(&s->nodes.lock);
    printf(" nodes %u", s->nodes.count);
    pthread_mutex_unlock(&s->nodes.lock);
    printf(" fds %u msize %u", count_fds(), atomic_load(&s->msize));
    for (unsigned int i = 0; i < d->nrings; i++) {
        printf(" ring%u %llu", i, (unsigned long long)atomic_load(&s->ring[i]->ops));
        errors += atomic_load(&s->ring[i]->errors);
    }
    printf(" errors %llu\n", (unsigned long long)errors);
}

/* ---------- life */

static void prepare(struct device *d, const char *folder)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        err(1, "sigprocmask");
    d->sig_fd = signalfd(-1, &set, SFD_CLOEXEC);
    d->root_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    d->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (d->sig_fd < 0 || d->root_fd < 0 || d->proc_fd < 0 || fchdir(d->proc_fd))
        err(1, "%s", folder);
    d->xs = xs_open(0);
    d->xgt = xengnttab_open(NULL, 0);
    if (!d->xs || !d->xgt)
        err(1, "xenstore or gntdev");
}

static void close_device(struct device *d)
{
    char watched[80];

    for (unsigned int i = 0; i < d->nrings; i++)
        unmap_ring(d, &d->ring[i]);
    /* Only now: a frontend that closes takes its pages back. */
    put(d, XBT_NULL, d->back, "state", "%d", CLOSING);
    await_front(d, CLOSED);
    put(d, XBT_NULL, d->back, "state", "%d", CLOSED);
    snprintf(watched, sizeof(watched), "%s/state", d->front);
    xs_unwatch(d->xs, watched, "front");
    if (!xs_rm(d->xs, XBT_NULL, d->front) || !xs_rm(d->xs, XBT_NULL, d->back))
        err(1, "xenstore: removing the device");
}

int main(int argc, char **argv)
{
    static struct device d;
    unsigned int before, after;
    char watched[80];
    int64_t state;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 5 || (d.max_order = (unsigned int)atoi(argv[4])) < P9_RING_ORDER_MIN ||
        d.max_order > P9_RING_ORDER_MAX)
        errx(2, "usage: %s DEVID TAG FOLDER MAX-ORDER", argv[0]);
    prepare(&d, argv[3]);
    make_nodes(&d, argv[1], argv[2], argv[3]);
    snprintf(watched, sizeof(watched), "%s/state", d.front);
    if (!xs_watch(d.xs, watched, "front"))
        err(1, "xenstore: watch");
    xs_fileno(d.xs);                /* makes its pipe with the first call */
    before = count_fds();
    await_front(&d, INITIALISED);
    connect_rings(&d);
    put(&d, XBT_NULL, d.back, "state", "%d", CONNECTED);
    await_front(&d, CONNECTED);
    printf("connected: %u rings of order %u\n", d.nrings, d.ring[0].order);
    while (!sleep_once(&d, 1000)) {
        state = front_state(&d);
        if (state != CONNECTED) {
            printf("the frontend went to state %lld\n", (long long)state);
            break;
        }
    }
    say_figures(&d);
    p9_server_free(&d.server);
    close_device(&d);
    after = count_fds();
    printf("closed: %u descriptors, %u before\n", after, before);
    return after != before;
}
