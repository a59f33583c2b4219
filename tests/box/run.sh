#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
#
# run.sh [--list] [--plain] [TEST...]: boot one Xen host, run the cases in its dom0, print TAP. With --plain what
# a case prints beside its assertions comes as it is, for people (the demo), without "# ".
#
# TEST is a case of tests/box/cases by its name, with or without the number ("save", "10-save"), or a path to a
# script from elsewhere; without any, all cases run in order. The tree that is installed into dom0 is
# build/stage; it may be absent. Exit status: 0 every test passed, 1 something failed, 2 the box could
# not be built or the command line is wrong. The environment is described in README.md.
set -eu

# shellcheck source=tests/box/qemu.sh
. "$(dirname "$0")/qemu.sh"

usage() {
    sed -n '4,11s/^# \{0,1\}//p' "$0"
}

all_cases() {
    for path in "$box_src"/cases/[0-9]*.sh; do
        echo "$path"
    done
}

find_case() {
    for path in "$1" "$box_src/cases/$1" "$box_src/cases/$1.sh" "$box_src"/cases/[0-9]*-"$1.sh"; do
        if [ -f "$path" ]; then
            echo "$path"
            return
        fi
    done
    echo "box: no test '$1'; there are:" >&2
    all_cases | sed 's/.*\//    /; s/\.sh$//' >&2
    exit 2
}

# A case may ask for more time than the default: "# box: seconds 300" in its head.
seconds_of() {
    own=$(sed -n '1,20s/^# box: seconds \([0-9]*\)$/\1/p' "$1" | head -n 1)
    echo "${own:-${BOX_CASE_SECONDS:-120}}"
}

case ${1:-} in
    --list) all_cases | sed 's/.*\///; s/\.sh$//'; exit 0 ;;
    --plain) export BOX_PLAIN=1; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
esac

cases=
if [ $# -eq 0 ]; then
    cases=$(all_cases)
else
    for name in "$@"; do
        cases="$cases $(find_case "$name")"
    done
fi

box_claim_out
find "$out" -mindepth 1 -maxdepth 1 ! -name .lock -exec rm -rf {} +
"$box_src/base.sh" >/dev/null
box_overlay
mkdir -p "$tree/box/cases"
total=60
for path in $cases; do
    name=${path##*/}
    name=${name%.sh}
    [ ! -e "$tree/box/cases/$name.sh" ] || box_die "two tests are called $name"
    cp "$path" "$tree/box/cases/$name.sh"
    seconds=$(seconds_of "$path")
    total=$((total + seconds))
    echo "$name $seconds" >>"$tree/box/plan"
done
[ $total -ge 600 ] || total=600
cp "$tree/box/plan" "$out/plan"
box_machine

status=0
box_qemu "file:$out/console.log" python3 "$box_src/collect.py" "$out" "${BOX_TIMEOUT:-$total}" "${BOX_BOOT_SECONDS:-120}" || status=$?
if debugfs -R "stat /.put" "$out/disk.img" 2>/dev/null | grep -q directory; then
    mkdir -p "$out/put"
    debugfs -R "rdump /.put $out/put" "$out/disk.img" >/dev/null 2>&1 || :
    cp -r "$out/put/.put/." "$out/" && rm -rf "$out/put"
fi
# After a failure the disk may tell more (debugfs reads it); otherwise the two take much room.
rm -f "$out/initrd"
[ $status -ne 0 ] || [ "${BOX_KEEP:-0}" = 1 ] || rm -f "$out/disk.img"
exit $status
