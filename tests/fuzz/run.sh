#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# run.sh SECONDS DICTIONARY PROGRAM...: each fuzz target for that long, from a kept corpus. A finding ends the run
# with its input in build/fuzz.
set -u
seconds=$1 dict=$2
shift 2
failed=
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for program; do
    name=${program##*/}
    corpus=build/fuzz/corpus/$name
    mkdir -p "$corpus"
    use=
    [ "$name" != fuzz_frame ] || use="-dict=$dict"
    # shellcheck disable=SC2086
    if ASAN_OPTIONS=detect_leaks=1 "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="build/fuzz/$name-" $use "$corpus" >"$log" 2>&1; then
        echo "ok - $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs in $seconds s without a finding"
    else
        tail -n 40 "$log"
        echo "not ok - $name: an input was found, see build/fuzz/$name-*"
        failed="$failed $name"
    fi
done
[ -z "$failed" ]
