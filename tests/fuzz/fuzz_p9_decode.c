/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Any sequence of 9P requests, in either dialect, of which the first bytes of the input choose which
 * fields stand where.  Replies are whole, of the request's tag, and within msize; the server ends
 * only for what cannot have been meant.
 *
 * Input: dialect[1], then requests: type[1] len[2] body[len].
 */
#include <errno.h>
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

#define REQUESTS 64

/* Bytes of a reply that was asked for; 0: the ring has ended. */
static int exchange(struct p9c *c, uint8_t type, const uint8_t *body, size_t len)
{
    uint16_t tag;
    int n;

    p9c_begin(c, type);
    p9_wr_bytes(&c->wr, body, len);
    tag = p9c_send(c, 0);
    c->timeout_ms = 0;
    n = p9c_get(c, 0, c->r, sizeof(c->r));
    c->timeout_ms = 10000;
    if (n == -EPIPE)
        return 0;
    /* Rflush of a Tflush for itself and the like: no reply is none too many, but never a bad one. */
    if (n == -ETIMEDOUT)
        return 1;
    if (n < (int)P9_HDR || c->r[5] != (uint8_t)tag || c->r[6] != (uint8_t)(tag >> 8))
        abort();
    if (c->r[4] != type + 1 && c->r[4] != P9_RLERROR && c->r[4] != P9_RERROR)
        abort();
    if ((uint32_t)n > atomic_load(&c->server.msize))
        abort();
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct p9_config cfg = { .max_fids = 32, .max_nodes = 32, .max_opens = 8 };
    struct p9c *c;
    size_t len;

    if (!size)
        return 0;
    back_home();
    c = p9c_start(&cfg, 1, 2, 0);
    if (p9c_version(c, data[0] & 1 ? "9P2000.u" : "9P2000.L", 1 << 20) || p9c_attach(c, 0, 0))
        abort();
    if (!(data[0] & 1) && (p9c_walk(c, 0, 1, "") || p9c_lcreate(c, 1, "f", 2, 0644)))
        abort();
    data++;
    size--;
    for (int i = 0; i < REQUESTS && size >= 3; i++) {
        len = data[1] | (size_t)(data[2] & 0x0f) << 8;
        if (len > size - 3)
            len = size - 3;
        if (len + P9_HDR > atomic_load(&c->server.msize))
            len = atomic_load(&c->server.msize) - P9_HDR;
        if (!exchange(c, data[0], data + 3, len))
            abort();
        data += 3 + len;
        size -= 3 + len;
    }
    p9c_stop(c);
    back_home();
    return 0;
}
