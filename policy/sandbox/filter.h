/* SPDX-License-Identifier: LGPL-2.1-only */
/* The compiled-in filters, for the loader and for the test that prints and tries them. */
#ifndef MOAT_SANDBOX_FILTER_H
#define MOAT_SANDBOX_FILTER_H

#include <linux/filter.h>

#include "policy/sandbox/sandbox.h"

struct sandbox_filter {
    const char *name;
    const struct sock_filter *code;
    unsigned short n;
    const char *sources[8];     /* the policy files it was made from, relative to the top folder */
};

/* Never NULL for a valid kind. */
const struct sandbox_filter *sandbox_filter(enum sandbox_kind kind);

#endif
