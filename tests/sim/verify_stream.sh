#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
#
# verify_stream.sh [-v] [-b] FILE: does Debian's own verify-stream-v2 accept this xl image (-b: this bare
# libxl stream)? The tool comes from the package xen-utils-4.17, downloaded and unpacked into build/box,
# not installed.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
xen=$top/build/box/root/usr/lib/xen-4.17

[ -f "$xen/bin/verify-stream-v2" ] || "$top/tests/box/fetch.sh" >&2
verbose='' format=xl
[ "${1:-}" = -v ] && { verbose=-v; shift; }
[ "${1:-}" = -b ] && { format=libxl; shift; }
[ $# -eq 1 ] || { echo "usage: verify_stream.sh [-v] [-b] FILE" >&2; exit 2; }
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$xen/lib/python exec python3 "$xen/bin/verify-stream-v2" \
    $verbose -f $format -i "$1"
