#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# Runs unit test programs, PARALLEL (4) at a time: most of them wait rather than work. What one prints comes in one
# piece. Exit status 1 if any failed.
set -u
if [ "${1:-}" = --one ]; then
    dir=$2
    out=$(mktemp -p "$dir")
    echo "# $3" >"$out"
    timeout "${UNIT_SECONDS:-300}" "$3" >>"$out" 2>&1 || echo "$3" >>"$dir/failed"
    flock "$dir/lock" cat "$out"
    exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
printf '%s\0' "$@" | xargs -0 -P "${PARALLEL:-4}" -n 1 "$0" --one "$dir"
[ ! -e "$dir/failed" ] || { echo "FAILED: $(tr '\n' ' ' <"$dir/failed")"; exit 1; }
