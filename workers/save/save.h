/* SPDX-License-Identifier: LGPL-2.1-only */
/* The save worker's work: from START to the last byte. */
#ifndef MOAT_SAVE_SAVE_H
#define MOAT_SAVE_SAVE_H

#include <stdint.h>

struct save_result {
    int retval;             /* 0, or -1 */
    int errnum;             /* errno of the cause, 0 = it has none (the guest did not suspend) */
    uint64_t bytes;         /* of the image, from FILE's offset on; 0 if it went into a pipe */
    char message[256];      /* what failed, empty on success */
};

/* Saves the domain of `worker`.  Everything it needs was granted; FILE is fsynced on success. */
void save_run(struct save_result *result);

#endif
