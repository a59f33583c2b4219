/* SPDX-License-Identifier: LGPL-2.1-only */
/* Any payload of any type: decoding never overruns, and what decodes encodes to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t msg[IPC_FRAME_MAX / 8];
    static uint8_t again[IPC_FRAME_MAX];
    static char text[4096];
    const struct ipc_message *all;
    unsigned n;
    int len;

    if (size < 1)
        return 0;
    all = ipc_messages(&n);
    all += data[0] % n;
    if (ipc_decode_buf(all, data + 1, size - 1, msg, NULL))
        return 0;
    ipc_print(all->type, msg, text, sizeof(text));
    len = ipc_encode(all->type, msg, again, sizeof(again));
    if (len != (int)size - 1 || memcmp(again, data + 1, size - 1))
        abort();
    return 0;
}
