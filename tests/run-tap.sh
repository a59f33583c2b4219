#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# Runs TAP scripts, PARALLEL (4) at a time, shows failures and a count. What failed is run once more, announced and
# alone: what only fails beside others has been disturbed. Exit status 1 if any test failed then, if a script ended
# badly or ran no test.
set -u
reports='(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:'     # count, also if seen once only
one() {
    dir=$1 t=$2 status=0
    out=$(mktemp -p "$dir")
    timeout "${TAP_SECONDS:-600}" "$t" >"$out" 2>&1 || status=$?
    ! grep -qE "$reports" "$out" || echo "$t" >>"$dir/reported"
    good=$(grep -c '^ok ' "$out")
    bad=$(grep -c '^not ok ' "$out")
    skipped=$(grep -c '^ok .*# SKIP' "$out")
    # With MUST_WORK=1 what could not be tested has failed.
    [ "${MUST_WORK:-0}" != 1 ] || bad=$((bad + skipped))
    exec 9>"$dir/lock"
    flock 9
    echo "# $t"
    if [ "$status" -ne 0 ] || [ "$bad" -ne 0 ] || [ "$good" -eq 0 ]; then
        cat "$out"
        echo "$t" >>"$dir/failed"
    elif [ "${VERBOSE:-0}" = 1 ]; then
        cat "$out"
    fi
    grep '^# seed' "$out"
    echo "# $t: $((good - skipped)) passed, $skipped skipped, $bad failed, exit status $status"
}
if [ "${1:-}" = --one ]; then
    one "$2" "$3"
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
