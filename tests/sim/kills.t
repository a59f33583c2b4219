#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# kills.t [ROUNDS [ROLE...]]: (also ROUNDS=n) kill -9 of each process at ten points of a live save, without systemd. Whatever
# dies, the guest goes on as it was, nothing of the save stays behind, and the audit log has its end. TAP.
# KILL_POINTS: other points, in ms after the start of the command.
set -u
if [ -z "${SIM:-}" ]; then
    exec "$(dirname "$0")/simrun.sh" --no-moatd \
        --domain name=web,domid=1,type=pvh,mem=32,dirty=20000,ack-ms=60,suspend-ms=60,sum=1 -- "$0" "$@"
fi
. "$TOP/tests/sim/lib.sh"
home=/home/backupd
rounds=${1:-${ROUNDS:-1}}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- supervisor warden recorder gate parent forker worker moat

guest_is_as_before() {
    [ "$(field 1 life) $(field 1 shutdown) $(field 1 logdirty) $(field 1 pauses) $(field 1 pins)" = \
        "live - 0 0 0" ] && [ -z "$(simctl read /local/domain/1/control/shutdown)" ]
}

# begin records without an end, whatever their order
open_ends() {
    tr -d ' ' </var/log/moat/audit.jsonl | sed -n 's/.*"what":"\(begin\|end\)".*"job":\([0-9]*\).*/\1 \2/p' |
        sort | awk '$1 == "begin" { n++ } $1 == "end" { n-- } END { print n + 0 }'
}

restarted() {
    [ "$role" != supervisor ] || start_moatd
    wait_moatd
}

# A supervisor that has not restarted anything lately waits a second only.
fresh_moatd() {
    [ -z "$(pids_of supervisor)" ] || stop_moatd
    start_moatd
}

# One save, and after $2 ms a kill of the process $1.
attempt() {
    role=$1
    image=$home/$role-$2.img
    fresh_moatd || echo "Bail out! moatd does not start"
    as backupd "$MOAT" save -c --live web "$image" >"$SIM/save.log" 2>&1 &
    saver=$!
    sleep "$(printf '0.%03d' "$2")"
    victims=$(pids_of "$role")
    # shellcheck disable=SC2086  # pids
    [ -z "$victims" ] || kill -9 $victims
    wait $saver
    status=$?
    trouble=
    restarted || trouble="$trouble; moat does not serve again"
    wait_until 10 guest_is_as_before || trouble="$trouble; guest: $(simctl state 1)"
    [ -z "$(pids_of worker)" ] || wait_until 2 sh -c '! pgrep -x moat-save' || trouble="$trouble; a worker is left"
    if [ -e "$image" ]; then
        "$TOP/tests/sim/verify_stream.sh" "$image" >/dev/null 2>&1 ||
            trouble="$trouble; an incomplete file has the final name"
    elif [ $status -eq 0 ]; then
        trouble="$trouble; success, but no file"
    fi
    [ "$(find $home -type f ! -name '*.img' | wc -l)" -eq 0 ] || trouble="$trouble; a temporary file is left"
    [ -z "$trouble" ]
    ok $? "kill -9 of $role after $2 ms of a save${victims:+ (it ran)}"
    [ -z "$trouble" ] || {
        echo "exit status $status$trouble"
        cat "$SIM/save.log"
        tail -n 8 "$SIM/moatd.log"
    } | note
    rm -f "$image"
}

round=0
while [ $round -lt "$rounds" ]; do
    for role in "$@"; do
        for ms in ${KILL_POINTS:-0 10 20 40 70 100 140 180 230 300}; do
            attempt "$role" $ms
        done
    done
    round=$((round + 1))
done
is "$(open_ends)" 0 "every begin in the audit log has its end"
is "$(ps axo stat= | grep -c Z)" 0 "no zombie is left"
finish
