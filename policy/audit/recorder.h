/* SPDX-License-Identifier: LGPL-2.1-only */
/* The recorder: RECORD in, one durable line, RECORDED out. */
#ifndef MOAT_RECORDER_H
#define MOAT_RECORDER_H

#include "policy/audit/audit.h"

/* Serves the warden until end of file.  Exit status: 0 orderly, 1 otherwise (said on stderr). */
int recorder_run(struct audit_log *log, int warden_fd);

#endif
