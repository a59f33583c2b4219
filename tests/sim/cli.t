#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# cli.t: the command as its operators meet it: exit codes, JSON, odd FILEs and streams, interruptions. TAP.
set -u
if [ -z "${SIM:-}" ]; then
    exec "$(dirname "$0")/simrun.sh" --domain name=web,domid=1,type=pvh,mem=16,sum=1 \
        --domain name=db1,domid=2,type=pv,mem=16 --domain name=web2,domid=3,type=pvh,mem=16,behave=ignore \
        -- "$0" "$@"
fi
. "$TOP/tests/sim/lib.sh"
home=/home/backupd
cd / || exit 1

run() {         # run USER ARG...: standard output in $out, the rest in $err, exit status in $st
    user=$1
    shift
    out=$(as "$user" "$MOAT" "$@" 2>"$SIM/err" </dev/null) && st=0 || st=$?
    err=$(cat "$SIM/err")
}

exits() {       # exits CODE WHAT USER ARG...
    want=$1 what=$2
    shift 2
    run "$@"
    is "$st" "$want" "exit $want: $what"
}

json() {        # json WHAT: $out is JSON, one text
    printf '%s\n' "$out" | python3 -c 'import json, sys; json.load(sys.stdin)' 2>"$SIM/json"
    ok $? "JSON: $1"
    note <"$SIM/json"
}

image_ok() {    # image_ok FILE WHAT: the guest's memory, and nothing but a stream
    is "$("$TOP/tests/sim/imagesum.py" "$1" 2>&1)" "$(simctl sum 1)" "$2: the image is the guest's memory"
    "$TOP/tests/sim/verify_stream.sh" "$1" >/dev/null 2>&1
    ok $? "$2: verify-stream-v2 accepts it"
}

# ---- usage errors: 2, and something to go by on stderr

while read -r args; do
    # shellcheck disable=SC2086
    run backupd $args
    is "$st" 2 "exit 2: moat $args"
    like "$err" '^(usage: |moat: )' "moat $args says why"
    is "$out" "" "moat $args says nothing on standard output"
done <<EOF

nonsense
--nonsense list
list --nonsense
save
save web
save web $home/a $home/b
save -c -p web $home/a
save --deadline 0 web $home/a
save --deadline 1x web $home/a
save web $home/
save web -
save /0123456789012345678901234567890123456789012345678901234567890123 $home/a
jobs 1
cancel
resume
resume web web2
resume --force web
cancel 0
cancel web
cancel 4294967296
audit
audit verify a b
audit verify --key 12 /var/log/moat/audit.jsonl
audit show --job x
policy
policy check a b
policy explain backupd list
policy explain backupd nonsense web
policy explain nobody-here list web
version 1
help nonsense
EOF
is "$(ls -A "$home")" "" "none of that left a file"

# ---- options may stand anywhere, and words that look like options may be names

exits 0 "an option after the operands" backupd save web "$home/order.img" -c
exits 0 "--json after the command" backupd jobs --json
json "jobs --json"
exits 1 "a domain behind --" backupd save -c -- -web "$home/x.img"
for command in list save jobs cancel resume audit policy version help; do
    exits 0 "help $command" backupd help $command
done

# ---- the codes

exits 1 "no such domain in the list" backupd list nonsense
exits 3 "denied" backupd save web "$home/denied.img"
exits 3 "resume denied" backupd resume web
exits 1 "resume of a domain that runs" admind resume web
like "$err" 'it is not suspended' "it says so"
exits 5 "timed out" backupd save -c web2 "$home/late.img"
exits 1 "FILE exists" backupd save -c web "$home/order.img"
like "$err" '--force' "FILE exists: says what to do"
exits 1 "the folder is not there" backupd save -c web "$home/none/x.img"
exits 1 "the folder is another's" backupd save -c web /home/admind/x.img
exits 1 "FILE is a device" backupd save -c web /dev/null
exits 1 "no moatd" backupd --socket /run/none list
like "$err" '/run/none.*No such file' "no moatd: says where"
exits 3 "explain: deny" backupd policy explain mallory save web
exits 0 "explain: allow" backupd policy explain backupd checkpoint web
ln -s /dev/null "$home/link"
exits 1 "FILE is a link" backupd save -c --force web "$home/link"
rm "$home/link"

simctl set 1 suspend-ms=900
(
    wait_until 10 sh -c ". '$TOP/tests/sim/lib.sh'; [ -n \"\$(pids_of worker)\" ]"
    kill -9 "$(pids_of worker)"
) &
exits 4 "the worker died" backupd save -c web "$home/died.img"
simctl set 1 suspend-ms=5
wait
is "$(ls -A "$home")" order.img "failures leave no file"

# ---- JSON is JSON

run backupd --json list
json list
run backupd --json list nonsense
json "list of nothing"
run backupd list -l
json "list -l"
run backupd --json version
json version
run backupd --json policy check
json "policy check"
run backupd --json policy explain backupd save web
json "policy explain"
run root --json audit verify
json "audit verify"
run root audit verify --json
json "audit verify, the option last"
run backupd --json cancel 99
json "cancel of no job"
run admind --json resume web
json "a resume that is refused"
simctl shutdown 1 2 >/dev/null
run admind --json resume web
json "a resume"
run backupd --json save web "$home/x.img"
json "a save that is denied"
run backupd --json save -c web2 "$home/x.img"
json "a save that fails"
run backupd --json save -c web "$home/json.img"
json "a save"
run root --json audit show
is "$(printf '%s\n' "$out" | python3 -c '
import json, sys
print(sum(1 for line in sys.stdin if not isinstance(json.loads(line), dict)))' 2>&1)" 0 \
    "JSON: every line of audit show"

# ---- streams that are closed or full

exits 0 "all is well before" backupd list
as backupd sh -c "'$MOAT' list >/dev/full" 2>/dev/null
is $? 1 "a table that got lost is a failure"
as backupd sh -c "'$MOAT' list >&-" 2>/dev/null
is $? 1 "a table without a standard output is a failure"
as backupd sh -c "'$MOAT' list | head -n 1" >/dev/null 2>"$SIM/err"
is "$(cat "$SIM/err")" "" "a reader that has enough is no error"
for closed in '>&- 2>&-' '<&- >&- 2>&-' '<&-' '2>&-' '2>/dev/full'; do
    as backupd sh -c "exec $closed; exec '$MOAT' save --force -c web $home/closed.img" 2>/dev/null
    is $? 0 "a save with $closed"
    image_ok "$home/closed.img" "$closed"
done
as backupd sh -c "'$MOAT' save -c web - 2>/dev/null | cat >$home/pipe.img"
image_ok "$home/pipe.img" "a save into a pipe"
as backupd sh -c "'$MOAT' --json save -c web - 2>/dev/null >$home/stdout.img"
image_ok "$home/stdout.img" "a save to standard output, which is a file, with --json"
rm -f "$home"/*

# ---- SIGINT, SIGTERM, SIGKILL during a save: no file, and the guest goes on

simctl set 1 suspend-ms=900
for signal in INT TERM KILL; do
    # a shell's background jobs ignore SIGINT
    env --default-signal=INT as backupd "$MOAT" save -c web "$home/killed.img" 2>"$SIM/err" &
    wait_until 5 sh -c ". '$TOP/tests/sim/lib.sh'; [ -n \"\$(pids_of worker)\" ]"
    sleep 0.2
    kill -$signal "$(pids_of moat)"
    wait $! && st=0 || st=$?
    if [ $signal != KILL ]; then
        is "$st" 1 "SIG$signal: exit status 1"
        like "$(cat "$SIM/err")" 'ending the save, its domain goes on' "SIG$signal: says what it does"
        like "$(cat "$SIM/err")" 'save of web: the operator ended it' "SIG$signal: and how it ended"
        # One that had taken note of the request suspends late, and is resumed for it.
        wait_until 3 sh -c ". '$TOP/tests/sim/lib.sh'; [ \"\$(field 1 shutdown)\" = - ]"
        ok $? "SIG$signal: the guest runs soon after the command has ended"
    fi
    wait_until 10 sh -c ". '$TOP/tests/sim/lib.sh'; [ -z \"\$(pids_of worker)\" ]"
    wait_until 10 sh -c ". '$TOP/tests/sim/lib.sh'; [ \"\$(field 1 shutdown)\" = - ]"
    is "$(ls -A "$home"):$(field 1 shutdown):$(field 1 pauses):$(field 1 logdirty)" ":-:0:0" \
        "SIG$signal: no file, the guest runs"
done

# A moatd that does not answer: the first signal waits for it, the second does not.
env --default-signal=INT as backupd "$MOAT" save -c web "$home/killed.img" 2>"$SIM/err" &
wait_until 5 sh -c ". '$TOP/tests/sim/lib.sh'; [ -n \"\$(pids_of worker)\" ]"
parent=$(pids_of parent)
kill -STOP "$parent"
kill -INT "$(pids_of moat)"
sleep 0.5
like "$(pids_of moat)" '^[0-9]+$' "one SIGINT waits for the end"
kill -TERM "$(pids_of moat)"
wait $! && st=0 || st=$?
is "$st" 143 "the next signal does not"
kill -CONT "$parent"
wait_until 10 sh -c ". '$TOP/tests/sim/lib.sh'; [ -z \"\$(pids_of worker)\" ]"
wait_until 10 sh -c ". '$TOP/tests/sim/lib.sh'; [ \"\$(field 1 shutdown)\" = - ]"
is "$(ls -A "$home"):$(field 1 shutdown)" ":-" "no file, the guest runs"
simctl set 1 suspend-ms=5

# Before a busy moatd has taken the connection nothing has begun: the first signal leaves.
python3 - >/dev/null <<'PY' &
import socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind("/run/moat/busy.sock")
s.listen(0)
c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
c.connect("/run/moat/busy.sock")
time.sleep(20)
PY
busy=$!
wait_until 5 test -S /run/moat/busy.sock
chmod 666 /run/moat/busy.sock
sleep 0.2
env --default-signal=INT as backupd "$MOAT" --socket /run/moat/busy.sock save -c web "$home/busy.img" 2>"$SIM/err" &
command=$!
wait_until 5 sh -c ". '$TOP/tests/sim/lib.sh'; [ -n \"\$(pids_of moat)\" ]"
sleep 0.3
kill -INT "$(pids_of moat)"
wait_until 3 sh -c "! kill -0 $command"
ok $? "a save that has not begun ends at the first SIGINT"
kill "$command" $busy 2>/dev/null
wait $command && st=0 || st=$?
is "$st" 130 "as if there were no handler"
is "$(cat "$SIM/err"):$(ls -A "$home")" ":" "without a word, without a file"

# After COMMIT the save cannot be ended: ^C does not say that the domain goes on.
simctl create name=web9,domid=9,type=pvh,mem=4
simctl xenstored stuck
env --default-signal=INT as admind "$MOAT" save web9 /home/admind/late.img 2>"$SIM/err" &
command=$!
wait_until 10 test -e /home/admind/late.img
sleep 0.3
kill -INT "$(pids_of moat)"
wait_until 2 grep -q 'cannot be ended any more' "$SIM/err"
ok $? "SIGINT while the domain is destroyed: it is too late, and that is said"
simctl xenstored unstuck
wait $command && st=0 || st=$?
is "$st" 0 "the save succeeds"
like "$(cat "$SIM/err")" 'the domain is destroyed' "and says so"
is "$(grep -c 'goes on' "$SIM/err")" 0 "nothing says that the domain goes on"
wait_until 5 sh -c '! simctl state 9'
ok $? "it is gone"

# ---- FILE where others write: what stands there by the end is not replaced

mkdir -m 1777 /home/shared
simctl set 1 suspend-ms=600
as backupd "$MOAT" save -c web /home/shared/race.img 2>"$SIM/err" &
sleep 0.3
as mallory ln -s "$home/order" /home/shared/race.img
wait $! && st=0 || st=$?
is "$st" 1 "a link that appears under FILE's name fails the save"
like "$(cat "$SIM/err")" 'appeared meanwhile; the domain goes on' "it says so"
is "$(ls -A "$home" /home/shared | tr -s '\n' ' ')" "$home: /home/shared: race.img " "and nothing else is there"
simctl set 1 suspend-ms=5

# ---- ^C where moatd was started by hand: the terminal's signal is the supervisor's alone

stop_moatd
env --default-signal=INT setsid moatd >>"$SIM/moatd.log" 2>&1 &
wait_moatd
simctl set 1 ack-ms=1800
as backupd "$MOAT" save -c --live web "$home/stopped.img" 2>/dev/null &
wait_until 5 sh -c ". '$TOP/tests/sim/lib.sh'; [ \"\$(field 1 logdirty)\" = 1 ]"
ok $? "a live save waits for its guest"
python3 -c 'import os, sys; os.killpg(int(sys.argv[1]), 2)' "$(pids_of supervisor)"
wait_until 15 sh -c ". '$TOP/tests/sim/lib.sh'; [ -z \"\$(pids_of supervisor)\$(pids_of warden)\" ]"
ok $? "moatd ends"
is "$(field 1 shutdown):$(field 1 pauses):$(field 1 logdirty):$(simctl read /local/domain/1/control/shutdown)" \
    "-:0:0:" "the warden has undone everything first"
wait
is "$(ls -A "$home")" "" "no file"
simctl set 1 ack-ms=2
start_moatd

exits 0 "all is well at the end" root audit verify
finish
