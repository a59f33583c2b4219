/* SPDX-License-Identifier: LGPL-2.1-only */
/* A logger for Xen's libraries that writes messages to the parent; what became of hypercalls. */
#ifndef MOAT_WORKERS_XEN_H
#define MOAT_WORKERS_XEN_H

#include <xentoollog.h>

#include "policy/warden/hvrow.h"

/*
 * The process's only logger, not to be freed.  progress(): called for each progress report of the
 * library (what it does, done, total); may be NULL.  Both leave errno alone.
 */
xentoollog_logger *worker_logger(void (*progress)(const char *what, unsigned long done,
                                                  unsigned long total));

/*
 * The errno of the first call of this row that failed since one succeeded, 0 = none did.
 * libxenguest tries other calls after some failures and then reports the last errno, not the cause.
 */
int worker_first_errno(enum hv_row row);

#endif
