/* SPDX-License-Identifier: LGPL-2.1-only */
/* The real xenstore; in a file of its own, so that programs without one need not link it. */

#include <xenstore.h>

#include "parent/event/event_internal.h"

const moat_xs_ops moat_xs_libxenstore = {
    .watch = xs_watch,
    .unwatch = xs_unwatch,
    .check_watch = xs_check_watch,
    .fileno = xs_fileno,
    .destroy_postfork = xs_daemon_destroy_postfork,
};
