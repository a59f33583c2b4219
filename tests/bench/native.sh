#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
#
# native.sh [ROUNDS]: what separation costs, measured natively over the simulated host (tests/sim): fork to
# HELLO, and `moat save -c` of a 192 MiB guest against the same library calls in one process (native.py).
# Before that, what the 9pfs server does for a request (bench_p9.c; its files in memory where there is /dev/shm).
# Root only; needs `make sim`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ -n "${TMPDIR:-}" ] || [ ! -w /dev/shm ] || TMPDIR=/dev/shm
TMPDIR=${TMPDIR:-/tmp} "${SIM_BUILD:-$here/../../build}/sim/bench_p9"
guest=mem=192,ack-ms=0,suspend-ms=0
exec "$here/../sim/simrun.sh" --domain "name=web,domid=1,type=pvh,$guest" \
    --domain "name=db1,domid=2,type=pv,$guest" -- python3 "$here/native.py" "$@"
