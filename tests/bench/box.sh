# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 560
# `moat save` against `xl save` on real Xen, in turn, of the same guests in one run, to a disk and to a
# tmpfs: medians of 5, and the resident memory of each process. Run it with
# tests/box/run.sh tests/bench/box.sh; build/box/out/box/results.json is what it found.
. /box/lib.sh
. /box/moat.sh

rounds=${BENCH_ROUNDS:-5}
results=/tmp/results
: >$results

# sorted numbers on stdin: the middle one
median() {
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# measure COMMAND...: milliseconds into $ms, status of the command
measure() {
    before=$(now_ms)
    run "$@"
    ms=$(($(now_ms) - before))
    return "$status"
}

xl_save() {
    xl save -c "$guest" "$place/xl.img"
}

# What moat does: an image that is not on the disk is no image. xl leaves that to chance.
xl_save_synced() {
    xl save -c "$guest" "$place/xl.img" && dd if=/dev/null of="$place/xl.img" conv=notrunc,fsync
}

moat_save() {
    # shellcheck disable=SC2086
    as backupd moat save -c $live "$guest" "$place/moat/image"
}

one_way() {     # one_way NAME COMMAND FILE: one round, its time into /tmp/NAME
    if measure "$2"; then
        echo "$ms" >>"/tmp/$1"
    else
        fail "$1 saves $guest" "$output"
    fi
    rm -f "$3"
}

compare() {     # compare KIND PLACE [--live]
    place=$2 live=${3:-}
    what="$1 to $place${live:+, live}"
    mkdir -p "$place/moat"
    chown backupd: "$place/moat"
    rm -f /tmp/xl /tmp/synced /tmp/moat
    i=0
    # The first round is not counted: it fills caches.
    while [ $i -le "$rounds" ]; do
        one_way xl xl_save "$place/xl.img"
        one_way synced xl_save_synced "$place/xl.img"
        one_way moat moat_save "$place/moat/image"
        [ $i -gt 0 ] || rm -f /tmp/xl /tmp/synced /tmp/moat
        i=$((i + 1))
    done
    is "$what: every save succeeded" "$(cat /tmp/xl /tmp/synced /tmp/moat | wc -l)" $((3 * rounds))
    [ -s /tmp/xl ] && [ -s /tmp/synced ] && [ -s /tmp/moat ] || return
    xl_ms=$(median </tmp/xl)
    synced_ms=$(median </tmp/synced)
    moat_ms=$(median </tmp/moat)
    ratio=$(awk -v a="$moat_ms" -v b="$xl_ms" 'BEGIN { printf "%.3f", a / b }')
    fair=$(awk -v a="$moat_ms" -v b="$synced_ms" 'BEGIN { printf "%.3f", a / b }')
    diag "$what: xl save -c $xl_ms ms (and fsync $synced_ms ms), moat save -c $moat_ms ms:" \
        "ratio $ratio, to xl with fsync $fair, medians of $rounds"
    echo "{\"bench\": \"save_box\", \"guest\": \"$1\", \"to\": \"$place\", \"live\": \"$live\"," \
        "\"rounds\": $rounds, \"xl_ms\": $xl_ms, \"xl_fsync_ms\": $synced_ms, \"moat_ms\": $moat_ms," \
        "\"ratio\": $ratio, \"ratio_to_fsync\": $fair}" >>$results
    # The promise is about the work, so it is held to where both do the same: xl never flushes, so that to a
    # disk the fair peer is xl with an fsync; and it knows no precopy. Those ratios are figures.
    case $place$live in
        /tmp/*) at_most "$what: moat save takes no longer than xl save (per mille)" $((1000 * moat_ms / xl_ms)) 1000 ;;
    esac
}

# Role, resident memory now and at most, in KiB, of each process that is there. Rss is counted page by page; VmRSS
# and VmHWM are what each CPU has reported so far, too little by up to a few hundred pages: 4 KiB for a recorder.
memory() {
    for role in supervisor parent forker warden gate recorder save; do
        for pid in $(pid_of $role); do
            awk -v role="$role" '/^VmHWM:/ { most = $2 } /^Rss:/ { now = $2 }
                END { if (now) print role, now, (most > now ? most : now) }' \
                "/proc/$pid/status" "/proc/$pid/smaps_rollup" 2>/dev/null
        done
    done
}

memory_during_a_save() {
    moat_save >/tmp/save.log 2>&1 &
    saver=$!
    : >/tmp/memory
    while kill -0 $saver 2>/dev/null; do
        memory >>/tmp/memory
        usleep 200000
    done
    wait $saver
    ok "a save succeeds while it is watched" test $? -eq 0
    rm -f "$place/moat/image"
    sort -u /tmp/memory | awk '{ if ($2 > now[$1]) now[$1] = $2; if ($3 > most[$1]) most[$1] = $3 }
        END { for (r in most) print r, now[r], most[r] }' | sort >/tmp/memory.most
    while read -r role rss most; do
        diag "resident, one save running: $role $rss KiB (at most $most KiB)"
        echo "{\"bench\": \"memory_box\", \"process\": \"$role\", \"rss_kib\": $rss, \"most_kib\": $most}" >>$results
        [ "$role" = save ] || at_most "$role stays within 5 MiB" "$most" 5120
    done </tmp/memory.most
    is "all seven processes were seen" "$(wc -l </tmp/memory.most)" 7
}

moat_start || done_testing
for kind in pvh pv; do
    guest_create $kind || continue
    compare $kind /disk
    compare $kind /tmp/tmpfs
    # Log-dirty mode of a PV guest is shadow paging, which a hypervisor may lack.
    if [ $kind = pvh ] || xl info | grep -q '^virt_caps.* shadow'; then
        compare $kind /disk --live
    else
        diag "$kind, live: this Xen has no shadow paging"
    fi
    [ $kind = pv ] || memory_during_a_save
    guest_destroy "$guest"
done
moat_stop
box_put $results results.json
done_testing
