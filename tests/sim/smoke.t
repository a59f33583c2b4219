#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# smoke.t: the whole of moat over the simulated host, once through. TAP.
set -u
if [ -z "${SIM:-}" ]; then
    exec "$(dirname "$0")/simrun.sh" --domain name=web,domid=1,type=pvh,dirty=4000,sum=1 \
        --domain name=db1,domid=2,type=pv,mem=32,sum=1 \
        --domain name=web2,domid=3,type=pvh,mem=16,behave=ignore,sum=1 -- "$0" "$@"
fi
. "$TOP/tests/sim/lib.sh"
home=/home/backupd

image_ok() {    # image_ok DOMID FILE WHAT
    is "$("$TOP/tests/sim/imagesum.py" "$2" 2>&1)" "$(simctl sum "$1")" \
        "$3: the image is the guest's memory of the moment of its suspend"
    "$TOP/tests/sim/verify_stream.sh" "$2" 2>&1 | note
    "$TOP/tests/sim/verify_stream.sh" "$2" >/dev/null 2>&1
    ok $? "$3: Debian's verify-stream-v2 accepts it"
}

run() {         # run USER ARG...: output in $out, exit status in $st
    user=$1
    shift
    out=$(as "$user" "$MOAT" "$@" 2>&1) && st=0 || st=$?
}

run backupd list
is "$st" 0 "list succeeds"
like "$out" '^web +1 ' "list shows a domain with a rule"
run mallory list
is "$(printf '%s\n' "$out" | grep -c -e web -e db1)" 0 "list shows nothing without a rule"

for case in "web 1 --live" "web 1" "db1 2 --live" "db1 2"; do
    set -- $case
    run backupd save -c ${3:-} "$1" "$home/$1${3:-}.img"
    is "$st" 0 "save -c ${3:-} $1 succeeds"
    [ "$st" -eq 0 ] || printf '%s\n' "$out" | note
    image_ok "$2" "$home/$1${3:-}.img" "save -c ${3:-} $1"
    is "$(field "$2" shutdown)/$(field "$2" logdirty)/$(field "$2" pauses)/$(field "$2" pins)" -/0/0/0 \
        "save -c ${3:-} $1: the guest runs, no log-dirty, no pin"
done

run backupd save -p web "$home/paused.img"
is "$st:$(field 1 pauses):$(field 1 shutdown)" 0:1:- "save -p leaves the guest paused"

run backupd save db1 "$home/denied.img"
is "$st" 3 "a save that destroys is denied to who may only checkpoint"
run mallory save -c web /home/mallory/x.img
is "$st" 3 "an operator without a rule is denied"
is "$(ls /home/mallory "$home" | grep -c -e denied -e x.img)" 0 "a denied save leaves no file"

run admind save -c web2 /home/admind/ignored.img
is "$st" 5 "a guest that ignores the request is a timeout"
is "$(simctl read /local/domain/3/control/shutdown)" "" "the ignored request is withdrawn"
is "$(ls -A /home/admind | wc -l)" 0 "a failed save leaves no file"

run admind save db1 /home/admind/db1.img
is "$st" 0 "a save without -c or -p succeeds"
[ "$st" -eq 0 ] || printf '%s\n' "$out" | note
"$TOP/tests/sim/verify_stream.sh" /home/admind/db1.img >/dev/null 2>&1
ok $? "its image is accepted"
simctl state 2 >/dev/null 2>&1
is $? 1 "the saved domain is gone from Xen"
left=0
for node in /local/domain/2/name /libxl/2/type /local/domain/0/backend/vbd/2/51712/state; do
    simctl read $node >/dev/null 2>&1 && left=$((left + 1))
done
is $left 0 "nothing of it is left in xenstore"
is "$(ls /var/lib/xen | grep -c 'userdata-d\.2\.')" 0 "nothing of it is left in /var/lib/xen"

out=$("$MOAT" audit verify 2>&1) && st=0 || st=$?
is "$st" 0 "the audit log verifies"
[ "$st" -eq 0 ] || printf '%s\n' "$out" | note
is "$(pgrep -c -x save)" 0 "no worker is left"
finish
