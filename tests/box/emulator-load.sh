# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC1091,SC2154
# box: seconds 300
# The emulated machine computes correctly while dom0 and several guests share its CPUs. When this fails, the box is
# broken and no other result counts (README.md, "Known traps").
. /box/lib.sh

guest_create pvh -a box.mode=write || done_testing
guest_create pv -a box.mode=write || done_testing
guest_create pvh -n idle || done_testing

# Three short programs per round, each of which uses the registers that a faulty switch loses.
rounds=0
wrong=0
end=$(($(now_ms) + 15000))
while [ "$(now_ms)" -lt $end ]; do
    rounds=$((rounds + 1))
    [ "$(echo hello | tr h H | sed s/H/J/)" = Jello ] || wrong=$((wrong + 1))
done
diag "$rounds rounds; passes of web: $(guest_passes web), of db1: $(guest_passes db1)"
is "no program of dom0 gives a wrong result" "$wrong" 0
unlike "none is killed" "$(dmesg)" 'segfault|traps:'
for name in web db1 idle; do
    ok "$name still runs" guest_goes_on "$name"
    ok "$name finds its memory as it left it" guest_passes "$name"
    unlike "$name's kernel has no complaint" "$(cat "$(guest_log "$name")")" 'Oops|panic|BUG|TASK|segfault|traps:'
done
done_testing
