#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
#
# check.sh [TEST...]: run.sh, and where cases failed, these once more on a freshly booted machine. The emulated
# machine now and then loses a guest (it hangs, reboots or spins in a panic without moat's doing: README.md), more
# often on a busy host; a case that fails twice has failed. Both runs are printed, and the second is announced.
set -u
here=$(dirname "$0")
log=$(mktemp)
trap 'rm -f "$log"' EXIT

{ "$here/run.sh" "$@"; echo "box exit status $?"; } | tee "$log"
[ "$(tail -n 1 "$log")" != "box exit status 0" ] || exit 0
again=$(sed -n 's/^not ok [0-9]* - \([a-z][a-z-]*\): .*/\1/p' "$log" | sort -u)
if [ -z "$again" ]; then
    echo "box: it failed without naming a case"
    exit 1
fi
echo "box: SECOND RUN, on a fresh machine, of what failed:" $again
# shellcheck disable=SC2086
exec "$here/run.sh" $again
