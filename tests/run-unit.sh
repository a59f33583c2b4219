#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# Runs unit test programs, PARALLEL (4) at a time: most of them wait rather than work. What one prints comes in one
# piece. What failed is run once more, announced and alone: what only fails beside others has been disturbed. Exit
# status 1 if any failed then.
set -u
reports='(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:'     # count, also if seen once only
if [ "${1:-}" = --one ]; then
    dir=$2
    out=$(mktemp -p "$dir")
    echo "# $3" >"$out"
    timeout "${UNIT_SECONDS:-300}" "$3" >>"$out" 2>&1 || echo "$3" >>"$dir/failed"
    ! grep -qE "$reports" "$out" || echo "$3" >>"$dir/reported"
    flock "$dir/lock" cat "$out"
    exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
printf '%s\0' "$@" | xargs -0 -P "${PARALLEL:-4}" -n 1 "$0" --one "$dir"
[ ! -e "$dir/reported" ] || { echo "FAILED: $(tr '\n' ' ' <"$dir/reported")"; exit 1; }
[ -e "$dir/failed" ] || exit 0
mv "$dir/failed" "$dir/again"
echo "AGAIN, one after the other: $(tr '\n' ' ' <"$dir/again")"
tr '\n' '\0' <"$dir/again" | xargs -0 -n 1 "$0" --one "$dir"
[ ! -e "$dir/failed" ] || { echo "FAILED: $(tr '\n' ' ' <"$dir/failed")"; exit 1; }
