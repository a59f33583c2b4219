#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# Runs TAP scripts one after the other, shows failures and a count; exit status 1 if any test failed, if a
# script ended badly or ran no test.
set -u
failed=
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for t; do
    echo "# $t"
    status=0
    timeout "${TAP_SECONDS:-600}" "$t" >"$out" 2>&1 || status=$?
    good=$(grep -c '^ok ' "$out")
    bad=$(grep -c '^not ok ' "$out")
    skipped=$(grep -c '^ok .*# SKIP' "$out")
    # With MUST_WORK=1 what could not be tested has failed.
    [ "${MUST_WORK:-0}" != 1 ] || bad=$((bad + skipped))
    if [ "$status" -ne 0 ] || [ "$bad" -ne 0 ] || [ "$good" -eq 0 ]; then
        cat "$out"
        failed="$failed $t"
    elif [ "${VERBOSE:-0}" = 1 ]; then
        cat "$out"
    fi
    grep '^# seed' "$out" || true
    echo "# $t: $((good - skipped)) passed, $skipped skipped, $bad failed, exit status $status"
done
[ -z "$failed" ] || { echo "FAILED:$failed"; exit 1; }
