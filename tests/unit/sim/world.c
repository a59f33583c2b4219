/* SPDX-License-Identifier: LGPL-2.1-only */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/simhost.h"
#include "tests/unit/sim/world.h"
#include "workers/common.h"

struct worker worker;   /* foreignmemory_sim.c takes its files from it */

static pid_t host_pid;
static char xenstored[64];

int world_start(void **state)
{
    char name[32], why[128], *argv[] = {
        "simhost", "--xenstored", xenstored, "--domain", "name=web,domid=1,type=pvh,mem=16,sum=1",
        "--domain", "name=db1,domid=2,type=pv,mem=16,vcpus=2,balloon=9", NULL,
    };
    int r = -1;

    snprintf(name, sizeof(name), "moat-sim-%d", getpid());
    snprintf(xenstored, sizeof(xenstored), "/tmp/moat-sim-%d", getpid());
    setenv("MOAT_SIM", name, 1);
    host_pid = fork();
    if (host_pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(1);
        _exit(simhost_main(7, argv));
    }
    for (int i = 0; i < 500 && r; i++) {
        r = hv_open(why);
        if (r)
            usleep(10000);
    }
    if (r)
        fprintf(stderr, "%s\n", why);
    return r;
}

int world_stop(void **state)
{
    kill(host_pid, SIGKILL);
    waitpid(host_pid, NULL, 0);
    unlink(xenstored);
    return 0;
}

int ctl(char *reply, size_t size, const char *fmt, ...)
{
    char line[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    return sim_ask(hv_sim_sock(), reply, size, NULL, "%s", line);
}

bool wait_state(unsigned domid, const char *text)
{
    char reply[1024];

    for (int i = 0; i < 500; i++) {
        if (!ctl(reply, sizeof(reply), "state %u", domid) && strstr(reply, text))
            return true;
        usleep(10000);
    }
    return false;
}

struct xen_domctl *domctl(uint32_t cmd, uint16_t domid)
{
    struct xen_domctl *d = (struct xen_domctl *)hv.arg;

    memset(d, 0, sizeof(*d));
    d->cmd = cmd;
    d->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    d->domain = domid;
    return d;
}

long run(void)
{
    const uint64_t args[5] = { (uintptr_t)hv.arg };
    long ret = hv_call(__HYPERVISOR_domctl, 1, args);

    return ret < 0 ? -errno : ret;
}
