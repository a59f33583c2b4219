#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# lib.t: programs linked with libmoat, shared and static, as unprivileged operators: suspend, resume, the death of a
# domain, abort, refusals, a moatd that goes away. TAP.
set -u
if [ -z "${SIM:-}" ]; then
    exec "$(dirname "$0")/simrun.sh" --domain name=web,domid=1,type=pvh,mem=16,sum=1 \
        --domain name=db1,domid=2,type=pv,mem=16,sum=1 -- "$0" "$@"
fi
. "$TOP/tests/sim/lib.sh"
home=/home/admind
app=lib_app

run() {         # run USER ARG...: a program of libmoat's; what it says in $out, exit status in $st
    user=$1
    shift
    out=$(cd / && as "$user" "$app" "$@" 2>&1) && st=0 || st=$?
}

tells() {       # tells STATUS WHAT PATTERN...: the last run ended so, and said each of these
    is "$st" "$1" "$2: exit $1"
    what=$2
    shift 2
    for pattern; do
        like "$out" "$pattern" "$what: says $pattern"
    done
}

now() {         # now DOMID REASON WHAT: how it is shut down (-: it is not), and nothing of ours is left on it
    is "$(field "$1" shutdown) $(field "$1" logdirty) $(field "$1" pauses) $(field "$1" pins)" "$2 0 0 0" "$3"
}

# Domain D had taken note of a request to suspend when its operation ended, so it may suspend late; then moatd
# resumes it.  settled D RESUMES: that is over ($2: how often it was resumed before), and no worker is left.
settled() {
    wait_until 4 sh -c ". '$TOP/tests/sim/lib.sh'; [ \"\$(field $1 resumes)\" != $2 ]"
    wait_until 15 sh -c ". '$TOP/tests/sim/lib.sh'; [ -z \"\$(pids_of worker)\" ] && [ \"\$(field $1 shutdown)\" = - ]"
}

# In the background: USER ARG..., what it says in $SIM/app; pid in $pid.
start() {
    : >"$SIM/app"
    user=$1
    shift
    (cd / && exec as "$user" "$app" "$@") >"$SIM/app" 2>&1 &
    pid=$!
}

ends() {        # waits for it: as run
    wait "$pid" && st=0 || st=$?
    out=$(cat "$SIM/app")
}

said() {        # said SECONDS PATTERN
    wait_until "$1" grep -Eq -- "$2" "$SIM/app"
}

image_ok() {    # image_ok FILE DOMID WHAT
    "$TOP/tests/sim/verify_stream.sh" -b "$1" >"$SIM/verify" 2>&1
    ok $? "$3: verify-stream-v2 accepts the stream"
    is "$("$TOP/tests/sim/imagesum.py" "$1" 2>&1)" "$(simctl sum "$2")" "$3: it is the guest's memory"
}

# ---- it suspends and resumes, in every form, with either library

round() {       # round WHAT DOMID IMAGE SUSPEND-OPTIONS RESUME-OPTIONS: twice is as good as once
    # shellcheck disable=SC2086
    run admind suspend "$2" "$3" $4
    tells 0 "suspend, $1" '^suspend rc=0' '^free rc=0' 'log info: .*stays suspended'
    now "$2" 2 "suspend, $1: it stays suspended, nothing of ours is left on it"
    image_ok "$3" "$2" "suspend, $1"
    # shellcheck disable=SC2086
    run admind resume "$2" $5
    tells 0 "resume, $1" '^resume rc=0' 'log info: .*goes on'
    now "$2" - "resume, $1: it runs"
}

for app in lib_app lib_app_static; do
    round "$app, callback" 1 $home/a.img live ""
    tells 0 "resume, $app, callback" '^callback rc=0'
    round "$app, event" 2 $home/b.img event event
    tells 0 "resume, $app, event" '^event operation_complete domid=2 for_user=4711 rc=0'
    round "$app, synchronous" 1 $home/c.img sync sync
done
app=lib_app
run admind suspend 1 $home/a.img live
tells 0 "progress of a live save" '^progress .*: Memory, round 1 0%' '^progress .*: Memory, round 1 100%' \
    '^callback rc=0'
is "$(printf '%s\n' "$out" | grep -c '^callback')" 1 "completion is told once"

# ---- what is refused

run admind suspend 1 $home/x.img
tells 1 "suspend of a suspended domain" '^suspend rc=0' 'log error: .*refuses: .*shut down already' '^callback rc=-3'
run admind resume 1 cancel=0
tells 1 "resume without co-operation" '^resume rc=-4'
run admind resume 1
tells 0 "resume" '^callback rc=0'
run admind resume 1
tells 1 "resume of a domain that runs" '^resume rc=0' 'refuses: .*not suspended' '^callback rc=-3'
now 1 - "a resume that is refused does nothing"
run admind suspend 77 $home/x.img
tells 1 "suspend of no domain" 'refuses: no domain 77' '^callback rc=-3'
run admind suspend 1 /dev/null
tells 1 "suspend to a device" 'neither a regular file nor a pipe' '^suspend rc=-6'
run mallory suspend 1 /home/mallory/x.img
tells 1 "a user whom no rule allows it: suspend" '^suspend rc=0' 'refuses: .*no rule allows it' '^callback rc=-3'
run mallory resume 1
tells 1 "a user whom no rule allows it: resume" 'refuses: .*no rule allows it' '^callback rc=-3'
run mallory watch 1
tells 1 "a user whom no rule allows it: watch" 'refuses: ' '^watch rc=-3'
now 1 - "nothing of that touched the domain"

# ---- a pipe

# shellcheck disable=SC2016
as admind sh -c '"$0" suspend 1 - 2>"$1/pipe.log" | cat >"$1/pipe.img"' lib_app $home
image_ok $home/pipe.img 1 "suspend into a pipe"
out=$(cat $home/pipe.log) st=0
tells 0 "suspend into a pipe" '^callback rc=0'
run admind resume 1
rm -f $home/*

# ---- abort

simctl set 1 suspend-ms=900
resumes=$(field 1 resumes)
run admind suspend 1 $home/x.img abort=300
tells 1 "abort while the guest suspends" '^abort rc=0' '^callback rc=-22'
is "$(printf '%s\n' "$out" | grep -c '^callback')" 1 "an abort is told once"
settled 1 "$resumes"
ok $? "abort: the domain goes on, no worker is left"
now 1 - "abort: nothing of ours is left on it, also when it had acknowledged and suspends late"
simctl set 1 suspend-ms=5
simctl behave 1 ignore
run admind suspend 1 $home/x.img live
tells 1 "a guest that does not suspend" '^callback rc=-8'
simctl behave 1 normal
now 1 - "a guest that does not suspend runs on"

# ---- death and shutdown

start admind watch 1
said 10 '^watch rc=0'
sleep 0.2
is "$(grep -c '^event' "$SIM/app")" 0 "nothing is told of a domain that runs"
run admind suspend 1 $home/w.img
said 10 '^event domain_shutdown domid=1 for_user=4711 reason=2'
ok $? "a watch tells that the domain is suspended"
run admind resume 1
simctl shutdown 2 3
run admind watch 2 seconds=4
tells 0 "a domain that has crashed already" '^event domain_shutdown domid=2 for_user=4711 reason=3' 'not finished'
simctl destroy 1
ends
tells 0 "a domain is destroyed" '^event domain_death domid=1 for_user=4711' '^free rc=0'
is "$(grep -c '^event' "$SIM/app")" 2 "each event came once"
run admind watch 1
tells 0 "a domain that is gone already" '^watch rc=0' '^event domain_death domid=1'

# ---- moatd goes

simctl create name=web,domid=3,type=pvh,mem=16,sum=1
for role in parent warden supervisor; do
    simctl set 3 suspend-ms=900
    resumes=$(field 3 resumes)
    start admind suspend 3 $home/$role.img
    said 10 '^progress'
    # shellcheck disable=SC2046  # pids
    kill -9 $(pids_of $role)
    ends
    tells 1 "kill -9 of $role in the middle of a suspend" '^callback rc=-3' "look at the domain's state"
    [ $role != supervisor ] || start_moatd
    wait_moatd
    ok $? "moatd serves again after kill -9 of $role"
    settled 3 "$resumes"
    now 3 - "kill -9 of $role: the domain goes on"
    simctl set 3 suspend-ms=5
done
start admind watch 3
said 10 '^watch rc=0'
# shellcheck disable=SC2046
kill -9 $(pids_of warden)
simctl destroy 3
said 20 '^event domain_death domid=3'
ok $? "a domain that is destroyed while moatd restarts is told as dead"
ends
is "$(grep -c '^event domain_death' "$SIM/app")" 1 "that is told once"
simctl create name=web,domid=4,type=pvh,mem=16
wait_moatd
start admind watch 4 count=60
said 10 '^watch rc=0'
# shellcheck disable=SC2046
kill -9 $(pids_of parent)
wait_moatd
simctl destroy 4
ends
tells 0 "60 watches outlive a moatd" '^event domain_death domid=4 for_user=4711' '^event domain_death domid=4 for_user=4770'
is "$(grep '^event' "$SIM/app" | sort -u | wc -l)/$(grep -c '^event' "$SIM/app")" 60/60 "each of 60 watches tells once"
stop_moatd
run admind resume 2
tells 1 "no moatd" 'log error: .*cannot reach moatd at /run/moat/moat.sock' '^resume rc=-3'
is "$(printf '%s\n' "$out" | grep -c '^callback')" 0 "an operation that could not begin has no callback"
start_moatd

run() {
    out=$(as root "$MOAT" "$@" 2>&1) && st=0 || st=$?
}
run audit verify
is "$st" 0 "the audit log is whole"
finish
