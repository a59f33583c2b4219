/* SPDX-License-Identifier: LGPL-2.1-only */
/* `gate UID`: fds as in policy/launch/fds.h; UID is the parent's. */
#include <stdlib.h>
#include <unistd.h>

#include "policy/gate/gate.h"
#include "policy/launch/fds.h"
#include "policy/sandbox/sandbox.h"

int main(int argc, char **argv)
{
    char why[128], *end;
    uid_t uid;

    if (argc != 2)
        gate_die(1, "usage: gate UID-OF-THE-PARENT; moatd starts it");
    uid = strtoul(argv[1], &end, 10);
    if (*end || end == argv[1])
        gate_die(1, "%s is no uid", argv[1]);
    gate_open(FD_GATE_WARDEN, FD_GATE_LISTEN, FD_GATE_UPSTREAM, FD_GATE_OWN, uid);
    if (sandbox_lock(SANDBOX_GATE, FD_STATUS, getuid(), 0, why))
        gate_die(1, "not locked: %s", why);
    gate_serve();
}
