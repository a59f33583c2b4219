/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The gate's own questions, for the warden, on the second upstream connection.
 *
 * They block, one at a time, at most GATE_ASK_MS for one request of the warden's; see gate.h for
 * why.
 */
#include <stdlib.h>

#include "policy/gate/gate.h"

void gate_ask_begin(struct gate *g)
{
    g->ask_deadline = gate_now() + GATE_ASK_MS;
}

/* The value goes behind the path and its NUL. */
int gate_ask(struct gate *g, uint32_t type, uint32_t tx, const char *path, const char *value,
             size_t len)
{
    return gate_conn_ask(g, &g->own, &(struct xsd_sockmsg){.type = type, .tx_id = tx}, path,
                         strlen(path) + 1, value, len, g->ask_deadline);
}

/* A directory too large for one message, part by part; again from the start when it changes. */
static int list_parts(struct gate *g, const char *path, char *list, size_t size)
{
    char offset[12], gen[24] = "";
    const char *v = gate_conn_payload(&g->own);
    size_t off = 0, n;
    int len;

    for (;;) {
        snprintf(offset, sizeof(offset), "%zu", off);
        len = gate_ask(g, XS_DIRECTORY_PART, 0, path, offset, strlen(offset) + 1);
        if (len < 0)
            return len == -ENOSYS ? -E2BIG : len;
        n = strnlen(v, len) + 1;
        if (n >= (size_t)len || n > sizeof(gen))
            return -EIO;
        if (off && strcmp(gen, v)) {
            off = 0;
            continue;
        }
        memcpy(gen, v, n);
        if (off + len - n > size)
            return -E2BIG;
        memcpy(list + off, v + n, len - n);
        off += len - n;
        if (list[off - 1] || off < 2 || !list[off - 2]) /* the empty name that ends the list */
            return off - 1;
    }
}

/* The names in a directory, each with its NUL; their length together. */
int gate_ask_list(struct gate *g, const char *path, char *list, size_t size)
{
    int len = gate_ask(g, XS_DIRECTORY, 0, path, NULL, 0);

    if (len == -E2BIG)
        return list_parts(g, path, list, size);
    if (len < 0)
        return len;
    if ((size_t)len > size)
        return -E2BIG;
    if (len && gate_conn_payload(&g->own)[len - 1])
        return -EIO;
    memcpy(list, gate_conn_payload(&g->own), len);
    return len;
}

/* A node that a guest writes all the time conflicts all the time: it must not hold up everybody
 * until the bound for one request.  -EAGAIN then, and the warden asks again later. */
int gate_ask_in_tx(struct gate *g, int (*fn)(struct gate *, uint32_t tx, const char *path),
                   const char *path)
{
    uint32_t tx;
    unsigned tries = 0;
    int r, end;

    do {
        r = gate_ask(g, XS_TRANSACTION_START, 0, "", NULL, 0);
        if (r < 0)
            return r;
        tx = strtoul(gate_conn_payload(&g->own), NULL, 10);
        r = fn(g, tx, path);
        end = gate_ask(g, XS_TRANSACTION_END, tx, r < 0 ? "F" : "T", NULL, 0);
    } while (end == -EAGAIN && ++tries < GATE_TX_TRIES);
    return r >= 0 && end < 0 ? end : r;
}

int gate_ask_resolve(struct gate *g, const char *name, struct msg_RESOLVED *found)
{
    static char list[64 << 10]; /* 32,752 domids do not fit; 10,000 do */
    char path[GATE_PATH];
    unsigned long domid;
    char *end;
    int len = gate_ask_list(g, "/local/domain", list, sizeof(list)), r;

    for (const char *p = list; p < list + len; p += strlen(p) + 1) {
        domid = strtoul(p, &end, 10);
        if (*end || end == p || domid >= GATE_FIRST_RESERVED)
            continue;
        snprintf(path, sizeof(path), "/local/domain/%lu/name", domid);
        r = gate_ask(g, XS_READ, 0, path, NULL, 0);
        if (r < 0 && r != -ENOENT)
            return r;
        if (r < 0 || (size_t)r != strlen(name) || memcmp(gate_conn_payload(&g->own), name, r))
            continue;
        if (found->count < 8)
            memcpy(found->domids + 4 * found->count, &(uint32_t){domid}, 4);
        found->count++;
    }
    return len < 0 ? len : 0;
}

/* Safe if the guest lies: all four paths are the toolstack's, a guest can at most read them. */
int gate_ask_describe(struct gate *g, uint32_t domid, struct msg_DESCRIBED *d)
{
    static const struct {
        const char *tree, *node;
        uint32_t fact;
    } facts[] = {
        {"/libxl", "device/pci", XSFACT_PCI},
        {"/libxl", "device/9pfs", XSFACT_9PFS},
        {"/local/domain", "image/device-model-pid", XSFACT_DEVICE_MODEL},
    };
    char path[GATE_PATH];
    int r;

    for (unsigned i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        snprintf(path, sizeof(path), "%s/%u/%s", facts[i].tree, domid, facts[i].node);
        r = gate_ask(g, XS_DIRECTORY, 0, path, NULL, 0);
        if (r < 0 && r != -ENOENT && r != -E2BIG)
            return r;
        d->facts |= r == -ENOENT ? 0 : facts[i].fact;
    }
    snprintf(path, sizeof(path), "/local/domain/%u/name", domid);
    r = gate_ask(g, XS_READ, 0, path, NULL, 0);
    if (r >= 0)
        ipc_text(d->name, sizeof(d->name), gate_conn_payload(&g->own));
    return r < 0 ? r : 0;
}

/* In a transaction, so that a guest that acknowledges just now is not overwritten; a guest does its
 * reading and acknowledging in one as well, so either it has taken note or it never will.
 * 1 = withdrawn. */
static int clear_shutdown(struct gate *g, uint32_t tx, const char *path)
{
    int r = gate_ask(g, XS_READ, tx, path, NULL, 0);

    if (r < 0 || strcmp(gate_conn_payload(&g->own), "suspend"))
        return r == -ENOENT || r >= 0 ? 0 : r;
    r = gate_ask(g, XS_WRITE, tx, path, "", 0);
    return r < 0 ? r : 1;
}

int gate_ask_undo(struct gate *g, uint32_t domid, uint32_t what, uint32_t *withdrawn)
{
    char path[GATE_PATH], dec[12];
    int r = 0, resumed = 0;

    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", domid);
    snprintf(dec, sizeof(dec), "%u", domid);
    if (what & XSUNDO_SHUTDOWN)
        r = gate_ask_in_tx(g, clear_shutdown, path);
    if (what & XSUNDO_RESUME)
        resumed = gate_ask(g, XS_RESUME, 0, dec, NULL, 0);
    *withdrawn = r > 0;
    return r < 0 ? r : resumed < 0 ? resumed : 0;
}
