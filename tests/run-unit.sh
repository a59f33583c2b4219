#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# Runs unit test programs one after the other; exit status 1 if any failed.
set -u
failed=
for t; do
    echo "# $t"
    timeout 300 "$t" 2>&1 || failed="$failed $t"
done
[ -z "$failed" ] || { echo "FAILED:$failed"; exit 1; }
