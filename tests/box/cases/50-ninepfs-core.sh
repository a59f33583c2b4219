# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 400
# The 9pfs server's core under Linux's own client, over rings, grants and event channels of Xen: dom0 is its own
# frontend. The backend is a program of the tests (tests/ninepfs/xen_server.c); moatd has no part in this.
. /box/lib.sh

tools=/usr/libexec/moat-ninepfs
export=/disk/9p
mnt=/tmp/$BOX_CASE/mnt
log=/tmp/$BOX_CASE/server
server=

if [ ! -x $tools/xen_server ]; then
    skip "9pfs core" "$tools is not there: make stage-ninepfs"
    done_testing
fi
mkdir -p "$export" "$mnt"

# Nobody may touch a mount whose server has gone.
give_up() {
    [ ! -s "$log" ] || diag "$(tail -n 20 "$log")"
    umount -l "$mnt" 2>/dev/null
    [ -z "$server" ] || kill -9 "$server" 2>/dev/null
    done_testing
}

# serve DEVID ORDER: the tag is moatDEVID.
serve() {
    $tools/xen_server "$1" "moat$1" "$export" "$2" >"$log" 2>&1 &
    server=$!
    wait_for 30 grep -q '^connected' "$log" && return
    fail "ring order $2: the frontend connects"
    give_up
}

# mounted WHAT TAG OPTIONS
mounted() {
    bounded 20 mount -t 9p -o "trans=xen,$3" "$2" "$mnt" 2>/tmp/error && return
    fail "$1: the export is mounted" "$(cat /tmp/error)"
    give_up
}

unmounted() {
    bounded 20 umount "$mnt" && return
    fail "$1: the export is unmounted"
    give_up
}

# figures: what the server counts now.
figures() {
    was=$(grep -c '^figures' "$log")
    kill -USR1 $server
    wait_for 10 eval "[ \$(grep -c '^figures' $log) -gt $was ]"
    grep '^figures' "$log" | tail -n 1
}

# held FIGURES: fids, open files, nodes and descriptors.
held() {
    echo "$1" | sed -n 's/^figures: \(.* fds [0-9]*\) .*/\1/p'
}

# exercised WHAT L|u FILES: each check of exercise.c is a test.
exercised() {
    bounded 90 $tools/exercise "$mnt" "$export" "$2" "$3" >/tmp/checks 2>&1
    ended=$?
    while read -r line; do
        case $line in
            "ok "*) pass "$1: ${line#ok }" ;;
            *) fail "$1: ${line#not ok }" ;;
        esac
    done </tmp/checks
    [ $ended -eq 0 ] || fail "$1: all of it" "exit status $ended"
    [ $ended -ne 124 ] || give_up
}

fsx() {
    fsx_what=$1
    shift
    ok "$fsx_what" bounded 90 $tools/fsx "$@" "$mnt" "$export"
    diag "$(echo "$output" | head -n 1)"
    rm -f "$export"/fsx.*
}

sums() {
    (cd "$1" && find . -type f | sort | xargs sha256sum)
}

attributes() {
    (cd "$1" && find . ! -name . ! -type d | sort | xargs stat -c '%n %a %s %Y')
}

stopped() {
    kill $server
    wait $server
    is "$1: the server ends without a descriptor more than it began with" $? 0
    like "$1: it has given back rings and channels" "$(cat "$log")" '^closed: '
    server=
}

# Grants of dom0's that somebody has mapped, as Xen counts them.
mapped_grants() {
    xl dmesg -c >/dev/null
    xl debug-keys g
    xl dmesg | grep -c '^(XEN) \[0x'
}

# fits WHAT ORDER MSIZE
fits() {
    like "$1: both rings, of order $2" "$(cat "$log")" "^connected: 2 rings of order $2"
    like "$1: msize is what was asked for" "$(figures)" " msize $3 "
}

nothing_held() {
    is "$1: after the unmount nothing is held" "$(held "$(figures)")" "$idle"
}

dmesg -c >/dev/null
began=$(now_ms)
is "no grant is mapped yet" "$(mapped_grants)" 0

# Linux 6.1's frontend has a request that finds no room in the ring wait so that no event wakes it, only SIGKILL
# (wait_event_killable, but wake_up_interruptible). So never more processes at once here than a ring holds messages.

# --- order 9 first: a device with less caps the msize of all later ones in Linux

serve 1 9
idle=$(held "$(figures)")
for dialect in L u; do
    what=".$dialect, 512 KiB"
    mounted "$what" moat1 version=9p2000.$dialect,msize=524288
    fits "$what" 9 524288
    exercised "$what" $dialect 200
    fsx "$what: a file under random operations" -n 100 -m 3000000
    fsx "$what: two files at once" -p 2 -n 50 -m 1500000
    unmounted "$what"
    nothing_held "$what"
done
what=".u, 128 KiB"
mounted "$what" moat1 version=9p2000.u,msize=131072
fits "$what" 9 131072
exercised "$what" u 200
fsx "$what: eight files at once" -p 8 -n 30
unmounted "$what"
nothing_held "$what"
what=".L, 128 KiB"
mounted "$what" moat1 version=9p2000.L,msize=131072
fits "$what" 9 131072
exercised "$what" L 1000
fsx "$what: a file under random operations" -n 300
fsx "$what: eight files at once" -p 8 -n 40
fsx "$what: one file, eight processes" -p 8 -n 40 -f -m 50000
for _ in 1 2 3; do
    exits "$what: eight processes are killed at their work" 124 bounded 1 $tools/fsx -p 8 -n 1000000 "$mnt" "$export"
done
rm -f "$mnt"/fsx.*
fsx "$what: eight files at once after that" -p 8 -n 20
at_least "$what: the second ring worked, too" "$(figures | sed 's/.* ring1 \([0-9]*\) .*/\1/')" 100
tree=/usr/lib/python3.11
(cd $tree && tar c json email concurrent) >/tmp/tree.tar
mkdir -p /tmp/tree "$export/tree"
tar x -C /tmp/tree -f /tmp/tree.tar
ok "$what: a tree is unpacked" bounded 60 tar x -C "$mnt/tree" -f /tmp/tree.tar
sums /tmp/tree >/tmp/sums
at_least "$what: the tree has files" "$(wc -l </tmp/sums)" 50
is "$what: they have their contents in the export" "$(sums "$export/tree")" "$(cat /tmp/sums)"
is "$what: and by the mount" \
    "$(bounded 60 sh -c "cd $mnt/tree && find . -type f | sort | xargs sha256sum")" "$(cat /tmp/sums)"
is "$what: and their modes and times" "$(attributes "$export/tree")" "$(attributes /tmp/tree)"
ok "$what: the tree is removed" bounded 60 rm -r "$mnt/tree"
echo "for all" >"$mnt/shared"
chmod 644 "$mnt/shared"
is "$what: another user, with an attach of his own, reads a file" \
    "$(bounded 10 as backupd cat "$mnt/shared")" "for all"
rm "$mnt/shared"
unmounted "$what"
nothing_held "$what"
for _ in 1 2 3 4 5; do
    mounted "$what" moat1 version=9p2000.L,msize=131072
    echo again >"$mnt/again"
    exec 5<"$mnt/again"
    rm "$mnt/again"
    exec 5<&-
    unmounted "$what"
done
is "$what: nor after five more mounts" "$(held "$(figures)")" "$idle"
what=".L, kept pages"
mounted "$what" moat1 version=9p2000.L,msize=131072,cache=mmap
fsx "$what: a file under mapped writes, too" -n 200 -w
unmounted "$what"
nothing_held "$what"
diag "$(figures), $(($(now_ms) - began)) ms"
stopped "order 9"

# --- order 7, under the same device number: two messages fill a ring

serve 1 7
for dialect in L u; do
    what=".$dialect, 128 KiB, order 7"
    mounted "$what" moat1 version=9p2000.$dialect,msize=131072
    fits "$what" 7 131072
    fsx "$what: two files at once" -p 2 -n 80
    unmounted "$what"
    nothing_held "$what"
done
stopped "order 7"

# --- order 2: 4 KiB, so that messages wrap all the time

serve 2 2
what=".L, 4 KiB"
mounted "$what" moat2 version=9p2000.L,msize=4096
fits "$what" 2 4096
exercised "$what" L 100
fsx "$what: two files at once" -p 2 -n 80 -m 100000
unmounted "$what"
nothing_held "$what"
is "order 2: Xen counts the grants of two rings" "$(mapped_grants)" 10
stopped "order 2"
for _ in 1 2 3; do
    serve 2 2
    mounted "a new device" moat2 version=9p2000.L,msize=4096
    echo again >"$mnt/again"
    rm "$mnt/again"
    unmounted "a new device"
    stopped "a new device"
done

# --- what is left

is "no grant stays mapped" "$(mapped_grants)" 0
is "the frontend got all its pages back, and has nothing to complain of" \
    "$(dmesg | grep -E 'deferring|9p|xenbus|BUG|WARNING|Call Trace')" ""
rm -rf "$export"
diag "all of it: $(($(now_ms) - began)) ms"
done_testing
