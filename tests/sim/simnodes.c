/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What a real host has of a domain outside Xen: xenstore nodes as xl leaves them, and the userdata
 * file with its configuration.
 */
#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/sim/simhost.h"

/* node(g, "%s/name", value...): the first %s of a path is a tree, the value follows. */
__attribute__((format(printf, 3, 4)))
static void node(const char *tree, const char *name, const char *fmt, ...)
{
    char path[256], value[512];
    va_list ap;

    snprintf(path, sizeof(path), "%s/%s", tree, name);
    va_start(ap, fmt);
    vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    store_write(path, value);
}

void store_host_nodes(void)
{
    store_write("/tool/xenstored", "");
    node("/local/domain/0", "domid", "0");
    node("/local/domain/0", "name", "Domain-0");
    node("/local/domain/0/control", "shutdown", "%s", "");
    node("/vm/00000000-0000-0000-0000-000000000000", "name", "Domain-0");
}

/* One device: frontend, backend and libxl's own copy, both ends connected. */
static void device(const struct sim_guest *g, const char *kind, const char *folder, unsigned devid)
{
    char fe[128], be[128], lx[128];

    snprintf(fe, sizeof(fe), "/local/domain/%u/device/%s/%u", g->spec.domid, folder, devid);
    snprintf(be, sizeof(be), "/local/domain/0/backend/%s/%u/%u", kind, g->spec.domid, devid);
    snprintf(lx, sizeof(lx), "/libxl/%u/device/%s/%u", g->spec.domid, folder, devid);
    node(fe, "backend", "%s", be);
    node(fe, "backend-id", "0");
    node(fe, "state", "4");
    node(be, "frontend", "%s", fe);
    node(be, "frontend-id", "%u", g->spec.domid);
    node(be, "online", "1");
    node(be, "state", "4");
    node(lx, "frontend", "%s", fe);
    node(lx, "backend", "%s", be);
    node(lx, "frontend-id", "%u", g->spec.domid);
}

static void console(const struct sim_guest *g, const char *dom)
{
    char be[128], lx[128], fe[128];

    snprintf(fe, sizeof(fe), "%s/console", dom);
    snprintf(be, sizeof(be), "/local/domain/0/backend/console/%u/0", g->spec.domid);
    snprintf(lx, sizeof(lx), "/libxl/%u/device/console/0", g->spec.domid);
    node(fe, "backend", "%s", be);
    node(fe, "backend-id", "0");
    node(fe, "type", "xenconsoled");
    node(fe, "output", "pty");
    node(fe, "limit", "1048576");
    node(be, "frontend", "%s", fe);
    node(be, "frontend-id", "%u", g->spec.domid);
    node(be, "online", "1");
    node(be, "state", "1");
    node(be, "protocol", "vt100");
    node(lx, "frontend", "%s", fe);
    node(lx, "backend", "%s", be);
    node(lx, "frontend-id", "%u", g->spec.domid);
}

static const char *type_word(const struct sim_guest *g)
{
    return g->spec.type == SIM_PV ? "pv" : g->spec.type == SIM_PVH ? "pvh" : "hvm";
}

static void userdata(const struct sim_guest *g)
{
    uint32_t kb = g->spec.mem << 10;
    char path[512], uuid[37];
    FILE *f;

    uuid_text(g->d->handle, uuid);
    snprintf(path, sizeof(path), "%s/userdata-d.%u.%s.libxl-json", userdata_dir, g->spec.domid, uuid);
    f = fopen(path, "we");
    if (!f) {
        warn("%s", path);
        return;
    }
    if (fchmod(fileno(f), 0600))
        warn("%s", path);
    fprintf(f, "{\n    \"c_info\": {\n        \"type\": \"%s\",\n        \"name\": \"%s\",\n"
            "        \"uuid\": \"%s\",\n        \"run_hotplug_scripts\": \"True\",\n"
            "        \"domid\": %u\n    },\n", type_word(g), g->spec.name, uuid, g->spec.domid);
    fprintf(f, "    \"b_info\": {\n        \"max_vcpus\": %u,\n        \"avail_vcpus\": [\n"
            "            0\n        ],\n        \"max_memkb\": %u,\n        \"target_memkb\": %u,\n"
            "        \"shadow_memkb\": 3072,\n        \"sched_params\": {\n\n        },\n"
            "        \"claim_mode\": \"True\",\n        \"kernel\": \"/guest/vmlinuz\",\n"
            "        \"cmdline\": \"console=hvc0 loglevel=4\",\n"
            "        \"ramdisk\": \"/guest/initrd\",\n        \"type.%s\": {\n\n        },\n"
            "        \"arch_arm\": {\n\n        },\n        \"arch_x86\": {\n\n        }\n    },\n",
            g->spec.vcpus, kb, kb, type_word(g));
    fprintf(f, "    \"on_reboot\": \"restart\",\n    \"on_soft_reset\": \"soft_reset\"\n}\n");
    fclose(f);
}

void store_domain_nodes(const struct sim_guest *g)
{
    char dom[64], vm[64], lx[64], uuid[37];
    uint32_t kb = g->spec.mem << 10;

    uuid_text(g->d->handle, uuid);
    snprintf(dom, sizeof(dom), "/local/domain/%u", g->spec.domid);
    snprintf(vm, sizeof(vm), "/vm/%s", uuid);
    snprintf(lx, sizeof(lx), "/libxl/%u", g->spec.domid);
    node(dom, "vm", "%s", vm);
    node(dom, "name", "%s", g->spec.name);
    node(dom, "domid", "%u", g->spec.domid);
    for (uint32_t i = 0; i < g->spec.vcpus; i++) {
        char cpu[32];

        snprintf(cpu, sizeof(cpu), "cpu/%u/availability", i);
        node(dom, cpu, "online");
    }
    node(dom, "memory/static-max", "%u", kb);
    node(dom, "memory/target", "%u", kb);
    node(dom, "memory/videoram", "0");
    node(dom, "device/suspend/event-channel", "%s", "");
    node(dom, "control/shutdown", "%s", "");
    node(dom, "control/feature-suspend", "1");
    node(dom, "control/feature-poweroff", "1");
    node(dom, "control/platform-feature-multiprocessor-suspend", "1");
    node(dom, "control/platform-feature-xs_reset_watches", "1");
    node(dom, "data", "%s", "");
    node(dom, "store/port", "1");
    node(dom, "store/ring-ref", "%llu", (unsigned long long)g->d->params[HVM_PARAM_STORE_PFN]);
    node(vm, "uuid", "%s", uuid);
    node(vm, "name", "%s", g->spec.name);
    node(vm, "image/ostype", g->spec.type == SIM_PV ? "linux" : "hvm");
    node(vm, "start_time", "1700000000.00");
    node(lx, "type", "%s", type_word(g));
    console(g, dom);
    device(g, "vbd", "vbd", 51712);
    device(g, "vif", "vif", 0);
    if (g->spec.pci)
        device(g, "pci", "pci", 0);
    if (g->spec.ninepfs)
        device(g, "xen_9pfs", "9pfs", 0);
    if (g->spec.dm)
        node(dom, "image/device-model-pid", "4242");
    if (userdata_dir)
        userdata(g);
}
