/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The fixed file descriptor numbers that each program is started with.  Everything else is closed;
 * 0 and 1 are /dev/null, 2 is the journal (for workers /dev/null as well).
 */
#ifndef MOAT_LAUNCH_FDS_H
#define MOAT_LAUNCH_FDS_H

/* every static program: its own /proc/self/status, opened before the file system went away */
#define FD_STATUS 9

/* recorder */
#define FD_RECORDER_WARDEN 3    /* channel */
#define FD_LOG 4                /* the log's folder */

/* gate */
#define FD_GATE_WARDEN 3        /* channel */
#define FD_GATE_LISTEN 4        /* stream socket that the parent's libxenstore connects to */
#define FD_GATE_UPSTREAM 5      /* connection to xenstored for the parent's traffic */
#define FD_GATE_OWN 6           /* connection to xenstored for the gate's own questions */

/* warden */
#define FD_WARDEN_SUPERVISOR 3  /* channels */
#define FD_WARDEN_RECORDER 4
#define FD_WARDEN_GATE 5
#define FD_WARDEN_PARENT 6
#define FD_WARDEN_FORKER 7
#define FD_WARDEN_LISTEN 8      /* operators' socket */
#define FD_WARDEN_UNDO 10       /* MOAT_RUNDIR/undo, mapped shared */
#define FD_WARDEN_LOCK 11       /* MOAT_RUNDIR/lock, kept open only: locked while a warden lives */

/* worker */
#define FD_WORKER_PARENT 3      /* channels; these block */
#define FD_WORKER_WARDEN 4

#endif
