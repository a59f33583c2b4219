#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# adapters.t: the examples: saves from inside six kinds of main loop, by an operator without any privilege. TAP.
set -u
if [ -z "${SIM:-}" ]; then
    exec "$(dirname "$0")/simrun.sh" --domain name=web,domid=1,type=pvh,mem=64,sum=1 \
        --domain name=db1,domid=2,type=pv,mem=32,sum=1 -- "$0" "$@"
fi
. "$TOP/tests/sim/lib.sh"
home=/home/admind

# Where an operator can read them; they look for the library at ../lib.
mkdir "$SIM/examples" "$SIM/lib"
cp "$BUILD"/examples/* "$SIM/examples/" 2>/dev/null
cp "$BUILD"/lib/libmoat.so.0* "$SIM/lib/"

run() {         # run USER PROGRAM ARG...: what it prints in $out, its messages in $SIM/err, exit status in $st
    user=$1 program=$2
    shift 2
    out=$(cd / && as "$user" "$SIM/examples/$program" "$@" 2>"$SIM/err") && st=0 || st=$?
    [ "$st" -eq 0 ] || note <"$SIM/err"
}

image_ok() {    # image_ok FILE DOMID WHAT
    is "$(head -c 8 "$1")" LibxlFmt "$3: the file is libxl's stream and nothing else"
    is "$("$TOP/tests/sim/imagesum.py" "$1" 2>&1)" "$(simctl sum "$2")" "$3: with the guest's memory of its suspend"
}

runs() {        # runs DOMID WHAT: the guest runs, and nothing of ours is left on it
    is "$(field "$1" shutdown) $(field "$1" logdirty) $(field "$1" pauses) $(field "$1" pins)" "- 0 0 0" "$2"
}

no_worker() {
    [ -z "$(pids_of worker)" ]
}

under_way() {
    [ "$(field 1 logdirty)" = 1 ]
}

gap() {
    printf '%s\n' "$out" | sed -n 's/.*longest gap \([0-9]*\) ms$/\1/p' | sort -n | tail -n 1
}

not_held_up() {
    [ "$(gap)" -lt 1000 ] || { echo "longest gap $(gap) ms" | note; false; }
    ok $? "$program: its main loop is never held up"
}

for program in poll libevent glib sd-event sigchld; do
    for live in "" --live; do
        run admind "$program" $live --resume 1 "$home/$program"
        is "$st" 0 "$program $live: the save succeeds"
        like "$out" '^domain 1: saved, resumed;' "$program $live: and says so"
        like "$(cat "$SIM/err")" 'progress: .* 100%' "$program $live: progress came"
        image_ok "$home/$program" 1 "$program $live"
        runs 1 "$program $live: the guest runs again"
        not_held_up
    done
done
run admind sigchld --resume 2 "$home/pv"
like "$out" '^children: [1-9][0-9]* own, 1 the library.s, 0 wrong$' "sigchld: every child was told to whose it was"

for program in poll libevent glib sd-event sigchld; do
    # A pipe that nobody reads holds the save up.
    mkfifo "$SIM/pipe"
    chmod 666 "$SIM/pipe"
    exec 5<>"$SIM/pipe"
    (cd / && exec as admind "$SIM/examples/$program" --live --resume 1 "$SIM/pipe") >"$SIM/out" 2>"$SIM/err" 5>&- &
    pid=$!
    wait_until 15 under_way
    ok $? "$program: a save into a pipe is under way"
    kill -INT $pid
    wait $pid && st=0 || st=$?
    exec 5>&-
    out=$(cat "$SIM/out")
    is "$st" 1 "$program: aborted is a failure"
    like "$out" '^domain 1: not saved, .*\(-22\);' "$program: which it names"
    not_held_up
    wait_until 15 no_worker
    ok $? "$program: the worker ends"
    runs 1 "$program: the guest was not harmed"
    rm "$SIM/pipe"
done

run admind threads --resume 1 "$home/one" 2 "$home/two"
is "$st" 0 "threads: both saves succeed"
for domid in 1 2; do
    like "$out" "^domain $domid: saved, resumed;" "threads: domain $domid was saved"
    like "$out" "^domain $domid: suspended\$" "threads: the third thread saw it suspended"
    runs $domid "threads: domain $domid runs again"
done
image_ok "$home/one" 1 "threads: the first"
image_ok "$home/two" 2 "threads: the second"
not_held_up

mkfifo "$SIM/pipe"
chmod 666 "$SIM/pipe"
exec 5<>"$SIM/pipe"
(cd / && exec as admind "$SIM/examples/threads" --live --resume 1 "$SIM/pipe" 2 "$home/two") >"$SIM/out" 2>"$SIM/err" 5>&- &
pid=$!
wait_until 15 grep -q '^domain 2: suspended' "$SIM/out"
ok $? "threads: one save stands still, the other goes on"
wait_until 15 grep -q '^Threads:.3$' "/proc/$pid/status"
ok $? "threads: its thread ends"
kill -INT $pid
wait $pid && st=0 || st=$?
exec 5>&-
out=$(cat "$SIM/out")
is "$st" 1 "threads: aborted is a failure"
like "$out" '^domain 1: not saved, .*\(-22\);' "threads: of the one save"
like "$out" '^domain 2: saved, resumed;' "threads: and not of the other"
wait_until 15 no_worker
runs 1 "threads: the guest whose save was aborted was not harmed"
rm "$SIM/pipe"

run admind poll 1 "$home/last"
is "$st" 0 "poll: a save without --resume succeeds"
is "$(field 1 shutdown)" 2 "poll: and leaves the domain suspended"
run mallory glib --resume 2 /home/mallory/denied
is "$st" 1 "glib: an operator without a rule gets nothing"
is "$(wc -c </home/mallory/denied)" 0 "glib: not a byte"
runs 2 "glib: and does nothing to the domain"
"$MOAT" audit verify >/dev/null 2>&1
ok $? "the audit log verifies"
finish
