/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A peer that writes its pages while the server reads them.  The input is a list of acts of 8 bytes:
 * bytes into `out`, indices, whole requests, a look; while a second thread goes on rewriting one
 * place of the pages.  Nothing is asked of the server but that it keeps within its memory, and can
 * be stopped.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/ninepfs/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The server's process lives in /proc/self/fd; libFuzzer's does not. */
static void back_home(void)
{
    static int home = -1;

    if (home < 0)
        home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fchdir(home))
        abort();
}

struct peer {
    uint8_t *at;
    uint8_t value;
    atomic_bool enough;
};

__attribute__((no_sanitize("address"))) static void *rewrite(void *arg)
{
    struct peer *p = arg;

    for (uint8_t i = 0; !atomic_load_explicit(&p->enough, memory_order_relaxed); i++)
        __atomic_store_n(p->at, i & 1 ? p->value : 0, __ATOMIC_RELAXED);
    return NULL;
}

static uint32_t le32(const uint8_t *d)
{
    return d[0] | d[1] << 8 | d[2] << 16 | (uint32_t)d[3] << 24;
}

static void request(struct p9c_ring *r, const uint8_t *d)
{
    static const uint8_t kinds[] = { P9_TVERSION, P9_TREAD, P9_TWRITE, P9_TWALK, P9_TLCREATE,
                                     P9_TCLUNK, P9_TREADDIR, P9_TFLUSH, P9_TXATTRCREATE };
    uint8_t t[64] = { 0 };
    uint32_t len = 7 + d[2] % 57;

    if (len > p9c_room(r))
        return;
    p9_poke32(t, d[3] & 1 ? len : le32(d + 4));
    t[4] = kinds[d[1] % sizeof(kinds)];
    t[5] = d[3];
    for (uint32_t i = 7; i < len; i++)
        t[i] = d[4 + i % 4] & (i % 3 ? 0xff : 0x03);
    p9c_put(r, t, len);
}

static void act(struct p9c *c, const uint8_t *d)
{
    struct p9c_ring *r = &c->ring[0];
    uint64_t one = 1;

    switch (d[0] % 6) {
    case 0:
        request(r, d);
        p9c_ring_bell(r);
        break;
    case 1:
        r->out[le32(d + 4) & (r->size - 1)] = d[1];
        break;
    case 2:
        __atomic_store_n(&r->intf->out_prod, d[1] & 1 ? le32(d + 4) : r->out_prod + d[2],
                         __ATOMIC_RELEASE);
        break;
    case 3:
        __atomic_store_n(&r->intf->in_cons,
                         d[1] & 1 ? le32(d + 4) : __atomic_load_n(&r->intf->in_prod,
                                                                  __ATOMIC_ACQUIRE),
                         __ATOMIC_RELEASE);
        break;
    case 4:
        ((uint8_t *)r->intf)[d[1]] = d[2];
        break;
    default:
        break;
    }
    if (write(r->to_server, &one, sizeof(one)) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct p9_config cfg = { .max_fids = 32, .max_nodes = 32, .max_opens = 8 };
    struct peer peer = { .value = 0 };
    pthread_t thread;
    struct p9c *c;
    uint32_t at;

    if (size < 12)
        return 0;
    back_home();
    c = p9c_start(&cfg, 1, 1, 1);
    if (p9c_version(c, "9P2000.L", 1 << 20) || p9c_attach(c, 0, 0))
        abort();
    at = le32(data) % (P9_RING_PAGE + 2 * c->ring[0].size);
    peer.at = (uint8_t *)c->ring[0].intf + at;
    peer.value = data[3];
    if (pthread_create(&thread, NULL, rewrite, &peer))
        abort();
    data += 4;
    size -= 4;
    for (int i = 0; i < 256 && size >= 8; i++, data += 8, size -= 8)
        act(c, data);
    atomic_store(&peer.enough, true);
    pthread_join(thread, NULL);
    p9c_stop(c);
    back_home();
    return 0;
}
