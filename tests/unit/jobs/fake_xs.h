/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef MOAT_FAKE_XS_H
#define MOAT_FAKE_XS_H

#include "parent/event/event_internal.h"

#define FAKE_WATCHES 16

struct fake_watch {
    char *path, *token;
};
extern struct fake_xs {
    int fd;
    int fails;                  /* errno of every read and write */
    int writes;
    char shutdown[64], target[64];
    struct fake_watch watches[FAKE_WATCHES];
    unsigned nwatches;
    int fired;
    bool pending;
} fake_xs;
extern const moat_xs_ops fake_xs_ops;

void fake_xs_reset(void);
void fake_xs_fire(const char *path);    /* the path of a live watch */

#endif
