# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 900
# kill -9 of each process of moat at points spread over the save of a real guest. BOX_ENV="ROUNDS=5 POINTS=10
# SEED=n" sets how often, and repeats the points of a run.
. /box/lib.sh
. /box/moat.sh

ROUNDS=${ROUNDS:-1} POINTS=${POINTS:-1}
SEED=${SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
echo "# seed $SEED: BOX_ENV=SEED=$SEED repeats it"
image=$images/image
moat_start || done_testing
guest_create pvh -a "box.mode=write box.mib=8" || done_testing

serves() {
    as backupd moat list >/dev/null 2>&1
}

no_resident() {
    ! pidof warden gate recorder save moatd-parent moatd-forker >/dev/null 2>&1
}

# point K N: milliseconds into the save, in the Kth of its POINTS parts; N makes the points of a run differ.
point() {
    awk -v seed="$SEED" -v k="$1" -v n="$2" -v points="$POINTS" -v took="$took" 'BEGIN {
        srand(seed + n); print int((k + rand()) / points * took) }'
}

# runs WHAT: the guest is as it was, and nothing is left of the save.
runs() {
    ok "$1: the guest goes on" guest_goes_on "$guest" 40
    is "$1: it is the same domain" "$(xl domid "$guest")" "$domid"
    unlike "$1: it is not paused" "$(guest_state "$guest")" p
    is "$1: nothing asks it to suspend" "$(xenstore-read "/local/domain/$domid/control/shutdown" 2>/dev/null)" ""
    ok "$1: its pages are whole" guest_passes "$guest"
}

# killed ROLE MS OPTIONS...: the kill, and what must hold after it.
killed() {
    role=$1 at=$2
    shift 2
    what="kill -9 of $role at $at ms of $took ms, save $*"
    rm -f "$image"
    as backupd moat save "$@" "$guest" "$image" >/tmp/killed.out 2>&1 &
    moat_pid=$!
    usleep $((at * 1000))
    case $role in
        moat) pid=$moat_pid ;;
        *) pid=$(pid_of "$role") ;;
    esac
    # shellcheck disable=SC2086
    kill -9 $pid 2>/dev/null || diag "$what: $role is not there"
    wait $moat_pid
    if [ "$role" = supervisor ]; then
        ok "$what: the others leave with the supervisor" wait_for 30 no_resident
        moat_start || return
    fi
    ok "$what: moat serves" wait_for 40 serves
    ok "$what: no worker is left" wait_for 20 no_worker
    ok "$what: each begin has its end" wait_for 30 audit_settled
    is "$what: no domain without a name is left" "$(xl list | grep -c '(null)')" 0
    is "$what: no hidden file" "$(find "$images" -name '.*' ! -path "$images")" ""
    if [ -e "$image" ]; then
        ok "$what: the file under the final name is complete" verify_stream "$image"
    fi
}

run as backupd moat save -c "$guest" "$image"
is "a save without any death succeeds" "$status" 0
begin=$(now_ms)
as backupd moat save -c --live --force "$guest" "$image" 2>/dev/null
took=$(($(now_ms) - begin))

n=0
round=0
while [ $round -lt "$ROUNDS" ]; do
    for role in supervisor warden recorder gate parent forker save moat; do
        k=0
        while [ $k -lt "$POINTS" ]; do
            options=-c
            [ $((n % 2)) -eq 0 ] || options="-c --live"
            # shellcheck disable=SC2086
            killed $role "$(point $k $n)" $options
            runs "$what"
            k=$((k + 1)) n=$((n + 1))
        done
    done
    round=$((round + 1))
done

# A save that destroys: the guest runs, or is gone completely and its image is whole.
uuid=$(uuid_of "$guest")
gone=$domid
killed warden $((took * 98 / 100))
if [ -n "$(guest_state "$guest")" ]; then
    runs "$what"
else
    is "$what: nothing of the domain is left" "$(leftovers "$gone" "$uuid")" ""
    ok "$what: and its image has the name" test -e "$image"
fi
[ -z "$(guest_state "$guest")" ] ||
    ok "after all that the guest can be saved live" as backupd moat save -c --live --force "$guest" "$image"
ok "the audit log verifies" moat audit verify
moat_stop
done_testing
