#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# suspend.t: a save after which the domain stays suspended, as libxl_domain_suspend() promises it; moat resume;
# operators that end their own save by half-closing the connection. TAP.
set -u
if [ -z "${SIM:-}" ]; then
    exec "$(dirname "$0")/simrun.sh" --no-moatd --domain name=web,domid=1,type=pvh,mem=32,sum=1 \
        --domain name=db1,domid=2,type=pv,mem=16,sum=1 -- "$0" "$@"
fi
. "$TOP/tests/sim/lib.sh"
home=/home/admind
log=/var/log/moat/audit.jsonl

asks() {        # asks ARG...: admind, by the protocol itself; what came in $out, exit status in $st
    out=$(cd "$home" && as admind python3 "$TOP/tests/sim/asks.py" "$@" 2>&1) && st=0 || st=$?
}

run() {         # run USER ARG...
    user=$1
    shift
    out=$(as "$user" "$MOAT" "$@" 2>&1) && st=0 || st=$?
}

# domain N REASON WHAT: its shutdown reason (2: suspend, '-': it runs), and nothing else of moat's is left on it
domain() {
    is "$(field "$1" shutdown) $(field "$1" logdirty) $(field "$1" pauses) $(field "$1" pins)" "$2 0 0 0" "$3"
}

story() {       # story JOB: the audit log's lines of it: what, act or outcome
    tr -d ' ' <$log | grep "\"job\":$1[,}]" |
        sed 's/.*"what":"\([a-z]*\)".*/\1 &/; s/^act .*"act":"\([^"]*\)".*/\1/; s/^\(begin\|end\) .*/\1/' |
        tr '\n' ' '
}

job() {         # the job of the last asks
    printf '%s\n' "$out" | sed -n 's/^STARTED //p'
}

start_moatd || exit 1

# ---- it stays suspended

for case in "web 1 --live" "web 1" "db1 2 --live" "db1 2"; do
    # shellcheck disable=SC2086
    set -- $case
    what="suspend ${3:-} $1"
    image=$home/$1${3:-}.stream
    # shellcheck disable=SC2086
    asks --suspended ${3:-} save "$1" "$image"
    is "$st" 0 "$what succeeds"
    [ "$st" -eq 0 ] || printf '%s\n' "$out" | note
    like "$out" '^DONE 0 0 save of .*stays suspended' "$what: the answer says that the domain stays suspended"
    domain "$2" 2 "$what: it is shut down with reason suspend, log-dirty is off, nothing is pinned"
    is "$(simctl read "/local/domain/$2/control/shutdown")" "" "$what: no request stands in xenstore"
    is "$(head -c 8 "$image")" LibxlFmt "$what: FILE begins with libxl's stream"
    "$TOP/tests/sim/verify_stream.sh" -b "$image" >"$SIM/verify" 2>&1
    ok $? "$what: verify-stream-v2 accepts it"
    note <"$SIM/verify"
    is "$("$TOP/tests/sim/imagesum.py" "$image" 2>&1)" "$(simctl sum "$2")" "$what: it is the guest's memory"
    is "$(printf '%s\n' "$out" | sed -n 's/^SAVED //p')" "$(stat -c %s "$image")" "$what: SAVED tells its size"
    like "$(story "$(job)")" '^begin (log-dirty )?suspend leavesuspended end $' \
        "$what: begin, suspend, leave suspended and end are in the log"
    like "$(grep '"what": *"end"' $log | tail -n 1)" 'the domain stays suspended' "$what: its end says it"
    run admind resume "$1"
    is "$st" 0 "moat resume after $what"
    [ "$st" -eq 0 ] || printf '%s\n' "$out" | note
    domain "$2" - "moat resume after $what: it runs"
done

asks --suspended --offset 4096 save web "$home/offset.stream"
is "$(tail -c +4097 "$home/offset.stream" | head -c 8)" LibxlFmt "the stream begins at FILE's offset"
is "$(printf '%s\n' "$out" | sed -n 's/^SAVED //p')" "$(($(stat -c %s "$home/offset.stream") - 4096))" \
    "bytes are counted from there"

# ---- nobody undoes it afterwards

stop_moatd
start_moatd
sleep 1.2
domain 1 2 "after a restart it is still suspended"
run admind save -c web "$home/x.img"
is "$st" 1 "a domain that is suspended cannot be saved"

# ---- resume

run backupd resume web
is "$st" 3 "resume without a rule is denied"
domain 1 2 "and changes nothing"
run mallory resume nosuch
is "$st" 3 "nobody without a rule learns which domains there are"
run admind --json resume web
is "$st" 0 "resume --json"
printf '%s\n' "$out" | python3 -c 'import json, sys; assert json.load(sys.stdin)["rc"] == 0' 2>&1 | note
domain 1 - "it runs"
run admind resume web
is "$st" 1 "resume of a running domain is refused"
like "$out" 'it is not suspended' "and says why"
simctl shutdown 2 3 >/dev/null
run admind resume db1
is "$st" 1 "resume of a crashed domain is refused"
like "$out" 'shut down, but not suspended' "and says why"
run admind resume 99
is "$st" 1 "resume of no domain"
resumed=$(tr -d ' ' <$log | grep '"kind":"resume"' | sed -n 's/.*"what":"begin".*"job":\([0-9]*\).*/\1/p' | tail -n 1)
is "$(story "$resumed")" "begin resume end " "a resume is begin, act and end in the log"

# ---- into a pipe

mkfifo -m 600 "$home/pipe"
chown admind "$home/pipe"
cat "$home/pipe" >"$SIM/piped" &
asks --suspended save web "$home/pipe"
wait $!
is "$st" 0 "suspend into a pipe succeeds"
"$TOP/tests/sim/verify_stream.sh" -b "$SIM/piped" >/dev/null 2>&1
ok $? "verify-stream-v2 accepts what came out of it"
domain 1 2 "the domain stays suspended"
run admind resume web

# ---- an operator that ends its own save

for when in INTENT STARTED CONFIG MEMORY STATE SYNC SAVED; do
    for flags in "--suspended" "--suspended --live" ""; do
        simctl set 1 suspend-ms=60,dirty=2000 >/dev/null
        # shellcheck disable=SC2086
        asks $flags --half-close $when save web "$home/aborted"
        rm -f "$home/aborted"
        like "$out" '^DONE 1 -22 save of web: the operator ended it' \
            "half-close at $when of save $flags: DONE comes, aborted"
        wait_until 3 sh -c '! pgrep -x save'
        # A guest that had taken note of the request suspends late, and is resumed for it.
        sleep 0.2
        wait_until 5 sh -c "simctl state 1 | grep -q 'shutdown=-'"
        domain 1 - "half-close at $when of save $flags: the guest runs"
    done
done
for when in STARTED SAVED; do
    asks --suspended --leave $when save web "$home/aborted"
    rm -f "$home/aborted"
    wait_until 5 sh -c "simctl state 1 | grep -q 'shutdown=-'"
    sleep 0.3
    domain 1 - "an operator that dies at $when: the guest runs"
done

# ---- kill -9 of moat around COMMIT: resumed, or left suspended with an end that says so; never half

fresh() {
    [ -z "$(pids_of supervisor)" ] || stop_moatd
    start_moatd
    run admind resume web
}

# left: how often the log says that a domain was left suspended
left() {
    grep -c '"act": *"leave suspended"' $log
}

# killed ROLE MS: kill -9 so long before COMMIT is due; MS = act: as soon as the act is in the log
killed() {
    was=$(left)
    fresh
    : >"$SIM/killed"
    (
        cd "$home" && as admind python3 "$TOP/tests/sim/asks.py" --suspended --wait SAVED 0.4 save web \
            "$home/killed" >"$SIM/killed" 2>&1
    ) &
    asker=$!
    victims=$(pids_of "$1")
    wait_until 5 grep -q SAVED "$SIM/killed"
    if [ "$2" = act ]; then
        while [ "$(left)" = "$was" ]; do :; done
    else
        sleep "$(printf '0.%03d' $((400 - $2)))"
    fi
    # shellcheck disable=SC2046
    kill -9 $victims
    wait $asker
    wait_moatd
    state=$(field 1 shutdown)
    end=$(tr -d ' ' <$log | grep "\"job\":$(sed -n 's/^STARTED //p' "$SIM/killed")[,}]" | grep '"what":"end"' |
        tail -n 1)
    trouble=
    case $state:$end in
        -:*stayssuspended*) trouble="it runs, but its end says suspended" ;;
        2:*stayssuspended*) ;;
        2:*) trouble="suspended, but its end does not say so" ;;
        -:?*) ;;
        *) trouble="state $state, or no end" ;;
    esac
    ! grep -q '^DONE 0' "$SIM/killed" || [ "$state" = 2 ] || trouble="DONE 0, but the guest runs"
    ! grep -q '^DONE [1-9]' "$SIM/killed" || [ "$state" = - ] || trouble="DONE says failed, but it is suspended"
    [ -z "$trouble" ]
    ok $? "kill -9 of $1 at $2 (ms before COMMIT is due, or the act; shutdown reason then: $state)"
    [ -z "$trouble" ] || { echo "$trouble; $end"; cat "$SIM/killed"; } | note
    rm -f "$home/killed"
}

for at in 100 85 70 60 40 act act act; do
    killed warden $at
done
for role in recorder gate parent; do
    for at in 80 60 act; do
        killed $role $at
    done
done

out=$("$MOAT" audit verify 2>&1) && st=0 || st=$?
is "$st" 0 "the audit log verifies"
[ "$st" -eq 0 ] || printf '%s\n' "$out" | note
is "$(pgrep -c -x save)" 0 "no worker is left"
finish
