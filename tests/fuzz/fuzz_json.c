/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A domain's configuration with arbitrary bytes.  What is accepted can be read again, has its
 * bounds, and comes out the same: the image's configuration is a fixed point.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workers/save/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_values v = { .weight = -1, .cap = -1, .period = -1, .budget = -1 };
    char *first, *second, why[128] = "";
    uint32_t first_len, second_len;

    if (size) {
        v.keep_domid = data[0] & 1;
        v.target_kb = data[0] & 2 ? 0 : 65536;
        v.sched = data[0] & 4 ? "credit2" : NULL;
        v.weight = data[0] & 8 ? 256 : -1;
    }
    if (config_make((const char *)data, size, &v, &first, &first_len, why)) {
        assert(why[0] && memchr(why, 0, sizeof(why)));
        return 0;
    }
    assert(first_len <= CONFIG_MAX && first_len >= 3 && !first[first_len - 1]);
    v.target_kb = 0;        /* it was added to the video memory already */
    assert(!config_make(first, first_len, &v, &second, &second_len, why));
    assert(first_len == second_len && !memcmp(first, second, first_len));
    free(first);
    free(second);
    return 0;
}
