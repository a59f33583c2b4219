# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 400
# The examples: a save of a running guest from inside other main loops, by an operator without any privilege.
# BOX_ENV=ADAPTERS=libxl runs the same programs over Debian's libxenlight instead, which has to be root.
. /box/lib.sh
. /box/moat.sh

programs=/usr/libexec/moat-examples
out=/tmp/$BOX_CASE/out

if [ "${ADAPTERS:-moat}" = libxl ]; then
    programs=$programs/libxl
    operator=
    writer=libxl-save-helper
else
    operator="as backupd"
    writer=save
    moat_start - <<'END' || done_testing
[limits]
suspend-deadline = 60
[rule backup]
operators = backupd
operations = list, save, resume
domains = web*
decision = allow
END
fi

gap() {
    sed -n 's/.*longest gap \([0-9]*\) ms$/\1/p' | sort -n | tail -n 1
}

# example PROGRAM ARG...
example() {
    program=$1
    shift
    rm -f "$images"/*
    began=$(now_ms)
    # shellcheck disable=SC2086
    exits "$program: the save succeeds" 0 bounded 100 $operator "$programs/$program" "$@"
    diag "$program: $(($(now_ms) - began)) ms, longest gap between ticks $(printf '%s\n' "$output" | gap) ms"
    printf '%s\n' "$output" >"$out"
    at_most "$program: its main loop is never held up (ms)" "$(gap <"$out")" 2000
}

# saved_and_goes_on PROGRAM NAME DOMID FILE
saved_and_goes_on() {
    like "$1: domain $3 was saved and resumed" "$(cat "$out")" "^domain $3: saved, resumed;"
    is "$1: the file is libxl's stream" "$(head -c 8 "$4")" LibxlFmt
    at_least "$1: with the guest's memory in it (MiB)" "$(($(wc -c <"$4") >> 20))" 16
    ok "$1: the guest goes on counting" guest_wait_count "$2" $(($(guest_count "$2") + 1))
}

writer_stalls() {
    grep -q pipe_write "/proc/$(pidof $writer)/wchan" 2>/dev/null ||
        grep -q '^1 ' "/proc/$(pidof $writer)/syscall" 2>/dev/null
}

ended() {
    [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"
}

guest_create pvh -n web1 'memory = 96' || done_testing
first=$domid
# Boots while the other one is saved.
guest_create pvh -n web2 'memory = 96' &
web2=$!
for program in poll libevent glib sd-event sigchld; do
    example $program --resume "$first" "$images/$program"
    saved_and_goes_on $program web1 "$first" "$images/$program"
done
like "sigchld: it had children of its own all the while" "$(cat "$out")" '^children: ([5-9]|[0-9]{2,}) own, 1 the library.s, 0 wrong$'

mkfifo "$images/pipe"
chown backupd: "$images/pipe"
exec 5<>"$images/pipe"
# shellcheck disable=SC2086
$operator "$programs/libevent" --resume "$first" "$images/pipe" >"$out" 2>&1 5>&- &
pid=$!
ok "libevent: a save that nobody reads stands still" wait_for 30 writer_stalls
kill -INT $pid
ok "libevent: Ctrl-C ends it" wait_for 30 ended $pid
wait $pid
is "libevent: which is a failure" $? 1
exec 5>&-
like "libevent: and says that it was aborted" "$(cat "$out")" "^domain $first: not saved.* \(-22\);"
ok "libevent: the guest goes on" guest_goes_on web1

if ! wait "$web2"; then
    fail "the second guest is up"
    done_testing
fi
second=$(xl domid web2)
example threads --resume "$first" "$images/one" "$second" "$images/two"
saved_and_goes_on threads web1 "$first" "$images/one"
saved_and_goes_on threads web2 "$second" "$images/two"
like "threads: the third thread saw the first suspend" "$(cat "$out")" "^domain $first: suspended"
like "threads: and the second" "$(cat "$out")" "^domain $second: suspended"

if [ -n "$operator" ]; then
    wait_for 20 audit_settled
    ok "each operation has its end in the audit log" audit_settled
    moat_stop
fi
done_testing
