/* SPDX-License-Identifier: LGPL-2.1-only */
/* A logger for Xen's libraries that writes messages to the parent, and nothing else of its own. */
#ifndef MOAT_WORKERS_XEN_H
#define MOAT_WORKERS_XEN_H

#include <xentoollog.h>

/*
 * The process's only logger, not to be freed.  progress(): called for each progress report of the
 * library (what it does, done, total); may be NULL.  Both leave errno alone.
 */
xentoollog_logger *worker_logger(void (*progress)(const char *what, unsigned long done,
                                                  unsigned long total));

#endif
