/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * recorder LOGNAME BOOT_ID
 * fds: 3 warden, 4 the log's folder, 9 /proc/self/status.  Opens both files, locks itself, serves.
 */
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "policy/audit/recorder.h"
#include "policy/launch/fds.h"
#include "policy/sandbox/sandbox.h"

int main(int argc, char **argv)
{
    static struct audit_log log;
    char key[65], why[128];
    int rc;

    if (argc != 3) {
        fprintf(stderr, "moat-audit: started by moatd only: recorder LOGNAME BOOT_ID\n");
        return 1;
    }
    if (sodium_init() < 0) {
        fprintf(stderr, "moat-audit: cannot initialise libsodium\n");
        return 1;
    }
    /* a full quota must be an error of one record, not the end of the process */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    snprintf(log.boot_id, sizeof(log.boot_id), "%s", argv[2]);
    rc = audit_open(&log, FD_LOG, argv[1], key, why);
    if (rc) {
        fprintf(stderr, "moat-audit: %s: %s\n", argv[1], why);
        return 1;
    }
    if (key[0])
        fprintf(stderr, "moat-audit: new log; key to keep off this host: %s\n", key);
    sodium_memzero(key, sizeof(key));
    rc = sandbox_lock(SANDBOX_RECORDER, FD_STATUS, getuid(), 1ull << CAP_AUDIT_WRITE, why);
    if (rc) {
        fprintf(stderr, "moat-audit: not locked: %s\n", why);
        return 1;
    }
    close(FD_LOG);
    return recorder_run(&log, FD_RECORDER_WARDEN);
}
