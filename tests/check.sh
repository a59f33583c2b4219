#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# check.sh [full]: every test. Without "full" each runs at least once, within 25 minutes on 2 cores (only of the
# conformance cases some twenty are left out: tests/conformance/slow.txt); with it the rounds are those that the
# issues ask for and there is no limit of time. Goes on after a failure, so that one run
# tells all; the exit status and the last lines tell which parts failed.
set -u
mode=${1:-}
if [ "$mode" = full ]; then
    export ROUNDS="${ROUNDS:-5}" ROUNDS_BURST="${ROUNDS_BURST:-100}" POINTS="${POINTS:-10}"
    export UNIT_SECONDS=3600 TAP_SECONDS=7200 BOX_ENV="CONF_ALL=1 ${BOX_ENV:-}"
    fuzz_seconds=${SECS:-120}
else
    fuzz_seconds=${SECS:-4}
fi
failed=
report=
part() {
    name=$1
    shift
    echo "==== $name"
    begin=$(date +%s)
    verdict=passed
    "$@" || { verdict=FAILED; failed="$failed $name"; }
    line="$name: $verdict, $(($(date +%s) - begin)) s"
    echo "==== $line"
    report="$report
  $line"
}
mk="make --no-print-directory"
part build $mk -j2 all sim unit
part lint $mk lint check-protocol
part unit $mk check-unit
part sim $mk check-sim
part hostile $mk check-hostile
part asan $mk -j2 check-asan
part tsan $mk -j2 check-tsan
part fuzz $mk -j2 fuzz SECS="$fuzz_seconds"
part box $mk check-box
echo "==== summary$report"
[ -z "$failed" ] || { echo "FAILED:$failed"; exit 1; }
echo "all parts passed"
