/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * simhost: the host around moat, simulated.  See README.md.
 *
 *   simhost [--xenstored PATH] [--userdata DIR] [--domain SPEC]... [--no-domains]
 *
 * Without --domain there are a PVH guest `web` (domid 1) and a PV guest `db1` (domid 2).
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/simhost.h"

#define CLIENTS 32
#define STORE_FDS 128
#define ANSWER 60000

struct sim_host *host;
int host_fd = -1;
int m2p_fd = -1;
const char *userdata_dir;

static int listening = -1;
static struct sim_client clients[CLIENTS];

uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static void make_state(void)
{
    struct sim_domain *dom0;

    host_fd = memfd_create("sim-host", MFD_CLOEXEC);
    if (host_fd < 0 || ftruncate(host_fd, sizeof(*host)))
        err(1, "memfd");
    host = mmap(NULL, sizeof(*host), PROT_READ | PROT_WRITE, MAP_SHARED, host_fd, 0);
    if (host == MAP_FAILED)
        err(1, "mmap");
    host->magic = SIM_MAGIC;
    host->size = sizeof(*host);
    host->domctl_version = XEN_DOMCTL_INTERFACE_VERSION;
    host->sysctl_version = XEN_SYSCTL_INTERFACE_VERSION;
    host->version = SIM_VERSION;

    dom0 = &host->domains[0];
    dom0->domid = 0;
    dom0->type = SIM_PV;
    dom0->nr_vcpus = 1;
    dom0->tot_pages = dom0->max_pages = 1536u << 8;
    dom0->shared_info_frame = 1;
    dom0->weight = 256;
    dom0->born_ns = now_ms() * 1000000u;
    memcpy(dom0->name, "Domain-0", 9);
    atomic_store(&dom0->life, SIM_LIVE);
}

static void listen_control(void)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    const char *name = getenv("MOAT_SIM") ? getenv("MOAT_SIM") : SIM_NAME;

    if (strlen(name) + 1 > sizeof(sa.sun_path))
        errx(1, "MOAT_SIM is too long");
    memcpy(sa.sun_path + 1, name, strlen(name));
    listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listening < 0 ||
        bind(listening, (struct sockaddr *)&sa,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) ||
        listen(listening, CLIENTS))
        err(1, "control socket @%s", name);
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i].fd = -1;
}

static void accept_client(void)
{
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

    for (unsigned i = 0; fd >= 0 && i < CLIENTS; i++)
        if (clients[i].fd < 0) {
            clients[i].fd = fd;
            return;
        }
    if (fd >= 0)
        close(fd);
}

static void answer(int sock, const char *text, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd >= 0) {
        struct cmsghdr *c;

        msg.msg_control = control;
        msg.msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 && errno != EPIPE)
        warn("control answer");
}

static void serve_client(struct sim_client *c)
{
    static char line[8192], out[ANSWER];
    ssize_t n = recv(c->fd, line, sizeof(line) - 1, MSG_DONTWAIT);
    int fd;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        control_gone(c);
        return;
    }
    line[n] = 0;
    control_line(c, line, out, sizeof(out), &fd);
    answer(c->fd, out, fd);
}

static int shorter(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static void loop(void)
{
    struct pollfd fds[1 + CLIENTS + STORE_FDS];

    while (!quitting) {
        unsigned n = 0, nstore;

        fds[n++] = (struct pollfd){ .fd = listening, .events = POLLIN };
        for (unsigned i = 0; i < CLIENTS; i++)
            fds[n++] = (struct pollfd){ .fd = clients[i].fd, .events = POLLIN };
        nstore = store_fds(fds + n, STORE_FDS);
        if (poll(fds, n + nstore, shorter(guests_timeout(), store_timeout())) < 0 && errno != EINTR)
            err(1, "poll");
        store_run();
        guests_tick();
        for (unsigned i = 0; i < CLIENTS; i++)
            if (clients[i].fd >= 0 && fds[1 + i].fd == clients[i].fd && fds[1 + i].revents)
                serve_client(&clients[i]);
        if (fds[0].revents)
            accept_client();
    }
}

static void add_domain(const char *text)
{
    struct sim_spec s = { .mem = 64, .vcpus = 1, .fill = 60, .ack_ms = 2, .suspend_ms = 5 };
    const char *why;
    int r;

    if (spec_parse(&s, text, &why))
        errx(2, "--domain %s: %s", text, why);
    r = guest_create(&s);
    if (r)
        errx(1, "--domain %s: %s", text, strerror(-r));
}

static void start(const char *xenstored, const char *const *domains, unsigned ndomains)
{
    int r;

    make_state();
    r = memory_init();
    if (r)
        errx(1, "memory: %s", strerror(-r));
    if (xenstored) {
        r = store_open(xenstored);
        if (r)
            errx(1, "%s: %s", xenstored, strerror(-r));
        store_host_nodes();
    }
    for (unsigned i = 0; i < ndomains; i++)
        add_domain(domains[i]);
    listen_control();
}

int simhost_main(int argc, char **argv)
{
    static const struct option options[] = {
        { "xenstored", required_argument, NULL, 'x' }, { "userdata", required_argument, NULL, 'u' },
        { "domain", required_argument, NULL, 'd' },    { "no-domains", no_argument, NULL, 'n' },
        { 0 },
    };
    const char *domains[SIM_DOMAINS] = { "name=web,domid=1,type=pvh", "name=db1,domid=2,type=pv" };
    const char *xenstored = NULL;
    unsigned ndomains = 2;
    bool own = false;
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (o == 'x')
            xenstored = optarg;
        else if (o == 'u')
            userdata_dir = optarg;
        else if (o == 'd' || o == 'n') {
            ndomains = own ? ndomains : 0;
            own = true;
            if (o == 'd' && ndomains < SIM_DOMAINS - 1)
                domains[ndomains++] = optarg;
        } else {
            errx(2, "usage: simhost [--xenstored PATH] [--userdata DIR] [--domain SPEC]...");
        }
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    start(xenstored, domains, ndomains);
    puts("simhost: ready");
    fflush(stdout);
    loop();
    store_close();
    return 0;
}
