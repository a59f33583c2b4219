/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * policy/warden/hv.h over the simulated host: hypercalls are executed in this address space on the
 * shared state; device fds and pins come from simhost.  Opened before the caller locks itself; later
 * only send, recvmsg, mmap and munmap are used.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "policy/warden/call.h"
#include "policy/warden/hv.h"
#include "tests/sim/hv_sim.h"
#include "tests/sim/sim.h"

#define RETRIES 1000
#define PINS 128
#define XEN_ERESTART 85

struct hv hv;

static int sock = -1;
static struct sim_host *host;
static struct {
    void *page;
    uint16_t domid;
} pins[PINS];

/* As in Xen, a handle must point to memory that was made for hypercalls. */
static bool in_buffers(const void *p, size_t len)
{
    const uint8_t *b = p;

    if (b >= hv.arg && b <= hv.arg + HV_ARG_SIZE)
        return len <= (size_t)(hv.arg + HV_ARG_SIZE - b);
    if (b >= hv.bulk && b <= hv.bulk + hv.bulk_size)
        return len <= (size_t)(hv.bulk + hv.bulk_size - b);
    return false;
}

static void *buffer(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

int hv_open(char why[128])
{
    sock = sim_connect();
    if (sock < 0) {
        snprintf(why, 128, "no simulated host: %s; start tests/sim/simrun.sh", strerror(-sock));
        return sock;
    }
    host = sim_attach(sock);
    if (!host) {
        snprintf(why, 128, "the simulated host's state: %s", strerror(errno));
        return -errno;
    }
    hv.arg = buffer(HV_ARG_SIZE);
    hv.bulk = buffer(HV_BULK_START);
    if (!hv.arg || !hv.bulk) {
        snprintf(why, 128, "no memory for hypercall buffers");
        return -ENOMEM;
    }
    hv.bulk_size = HV_BULK_START;
    sim_access_ok = in_buffers;
    return hv_check_version(why);
}

int hv_reserve(size_t size)
{
    void *p;

    if (size <= hv.bulk_size)
        return 0;
    if (size > HV_BULK_MAX)
        return -ENOMEM;
    p = buffer(size);
    if (!p)
        return -ENOMEM;
    munmap(hv.bulk, hv.bulk_size);
    hv.bulk = p;
    hv.bulk_size = size;
    return 0;
}

long hv_call(unsigned op, unsigned nargs, const uint64_t args[5])
{
    uint64_t used[5] = { 0 };
    long ret = -ENOSYS;

    if (!host || nargs > 5) {
        errno = EINVAL;
        return -1;
    }
    memcpy(used, args, nargs * sizeof(used[0]));
    for (unsigned i = 0; i < RETRIES; i++) {
        ret = sim_hypercall(host, op, used);
        if (ret != -EAGAIN && ret != -EINTR && ret != -XEN_ERESTART)
            break;
    }
    if (ret < 0) {
        errno = (int)-ret;
        return -1;
    }
    return ret;
}

int hv_privcmd_fd(uint16_t domid)
{
    int fd = -1, r;

    r = sim_ask(sock, NULL, 0, &fd, "mem %u", domid);
    if (r)
        return r;
    return fd >= 0 ? fd : -EBADMSG;
}

int hv_pin(struct hv_pin *pin, uint16_t domid, uint64_t frame)
{
    unsigned slot = 0;
    int fd, r;

    while (slot < PINS && pins[slot].page)
        slot++;
    if (slot == PINS)
        return -ENOSPC;
    fd = hv_privcmd_fd(domid);
    if (fd < 0)
        return fd;
    r = sim_map_frame(fd, frame, &pin->page);
    close(fd);
    if (r)
        return r;
    r = sim_ask(sock, NULL, 0, NULL, "pin %u", domid);
    if (r) {
        munmap(pin->page, SIM_PAGE);
        pin->page = NULL;
        return r;
    }
    pins[slot].page = pin->page;
    pins[slot].domid = domid;
    return 0;
}

void hv_unpin(struct hv_pin *pin)
{
    for (unsigned i = 0; i < PINS; i++)
        if (pin->page && pins[i].page == pin->page) {
            sim_ask(sock, NULL, 0, NULL, "unpin %u", pins[i].domid);
            munmap(pin->page, SIM_PAGE);
            pins[i].page = NULL;
            break;
        }
    pin->page = NULL;
}

struct sim_host *hv_sim_host(void)
{
    return host;
}

int hv_sim_sock(void)
{
    return sock;
}
