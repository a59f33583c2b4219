# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 500
# What may go wrong during a save: after each of it the guest runs as before and can be saved live (so nothing
# logs its dirty pages any more), no file and no worker is left, and the audit log has one end for each begin.
. /box/lib.sh
. /box/moat.sh

start_moat() {
    moat_start - <<'END'
[daemon]
socket = /run/moat/moat.sock
audit = /var/log/moat/audit.jsonl
[limits]
suspend-deadline = 3
commit-deadline = 3
[rule backup]
operators = backupd
operations = list, save, jobs, cancel
domains = web*, db1
decision = allow
END
}
start_moat || done_testing

control_shutdown() {
    xenstore-read "/local/domain/$domid/control/shutdown" 2>/dev/null
}

job_state() {
    as backupd moat jobs | awk 'NR == 2 { print $6 }'
}

job_is() {
    [ "$(job_state)" = "$1" ]
}

# ended WHAT STATUS WORDS CAUSE: the command of $status and $output, and the end in the audit log.
ended() {
    is "$1: exit status" "$status" "$2"
    like "$1: says what happened" "$output" "$3"
    ok "$1: each begin has its end" wait_for 30 audit_settled
    like "$1: the end in the audit log" "$(grep '"what":"end"' "$audit_log" | tail -n 1)" "\"cause\":\"$4\",\"exit_code\":$2,"
}

# nothing_left WHAT: of workers, domains and files.
nothing_left() {
    ok "$1: no worker is left" wait_for 10 no_worker
    is "$1: no domain without a name is left" "$(xl list | grep -c '(null)')" 0
    is "$1: no file is left" "$(find "$images" -type f)" ""
}

# all_well WHAT: the guest is as it was.
all_well() {
    nothing_left "$1"
    ok "$1: the guest goes on" guest_goes_on "$guest"
    is "$1: it is the same domain" "$(xl domid "$guest")" "$domid"
    is "$1: nothing asks it to suspend" "$(control_shutdown)" ""
    ok "$1: it can be saved live" sh -c "set -o pipefail; as backupd moat save -c --live $guest - | cat >/dev/null"
}

# saving OPTIONS...: a save of $guest in the background, into $images/image; its worker is stopped as soon as
# there is one.
saving() {
    as backupd moat save "$@" "$guest" "$images/image" >"/tmp/$BOX_CASE/stalled" 2>&1 &
    moat_pid=$!
    wait_for 30 pidof save || fail "a worker appears" "$(cat "/tmp/$BOX_CASE/stalled")"
}

guest_create pvh -a sysrq_always_enabled "on_crash = \"preserve\"" || done_testing

# --- the disk

mkdir "$images/small"
mount -t tmpfs -o size=20m,mode=777 small "$images/small"
for options in "--live" ""; do
    # shellcheck disable=SC2086
    run as backupd moat save $options "$guest" "$images/small/image"
    ended "full disk${options:+, $options}" 1 "No space left on device" worker-failed
    is "full disk: all of it is free again" "$(df -k "$images/small" | awk 'NR == 2 { print $3 }')" 0
done
umount "$images/small"
rmdir "$images/small"
all_well "full disk"

# --- the guest

xl pause "$guest"
run as backupd moat save "$guest" "$images/image"
ended "a paused guest" 5 "did not answer the suspend request in time" guest-ignored
is "a paused guest: nothing asks it to suspend" "$(control_shutdown)" ""
like "a paused guest: it is still paused" "$(guest_state "$guest")" '^..p---$'
xl unpause "$guest"
all_well "a paused guest"

# --- the operator

stalled_save -c --live "$guest"
job=$(as backupd moat jobs | awk 'NR == 2 { print $1 }')
audit_mark
ok "cancel: is allowed to its operator" as backupd moat cancel "$job"
is "cancel: the audit log says whose it was" \
    "$(audit_since "\"what\":\"note\",\"uid\":1000,.*\"kind\":\"cancel\".*\"target\":$job,.*\"domid\":$domid,")" 1
stalled_over
ended "cancel" 1 "cancelled by an operator" cancelled
all_well "cancel"

stalled_save -c "$guest"
ok "cancel, suspended: the guest is" job_is suspended
count=$(guest_count "$guest")
ok "cancel, suspended: is allowed" as backupd moat cancel "$(as backupd moat jobs | awk 'NR == 2 { print $1 }')"
stalled_over
ended "cancel, suspended" 1 "cancelled by an operator" cancelled
at_most "cancel, suspended: the guest stood still" $(($(guest_count "$guest") - count)) 10
all_well "cancel, suspended"

stalled_save -c --live --deadline 2 "$guest"
stalled_over
ended "--deadline" 5 "the deadline of the operation passed" deadline
all_well "--deadline"

stalled_save -c "$guest"
kill -KILL "$moat_pid"
stalled_over
ok "moat killed: each begin has its end" wait_for 30 audit_settled
like "moat killed: the end in the audit log" "$(tail -n 1 "$audit_log")" '"what":"end".*"cause":"operator-gone","exit_code":1'
all_well "moat killed"

# After SAVED: the command is stopped before it can give the image its name. The guest is to be destroyed.
for then in CONT KILL; do
    saving
    kill -STOP "$moat_pid"
    ok "image not confirmed, $then: the save itself ends" wait_for 60 job_is saved
    [ $then = KILL ] && kill -KILL "$moat_pid"
    ok "image not confirmed, $then: in time, the job ends" wait_for 30 audit_settled
    [ $then = CONT ] && kill -CONT "$moat_pid"
    stalled_over
    said=$output
    if [ $then = CONT ]; then
        ended "image not confirmed, CONT" 5 "the image was not confirmed in time" commit-deadline
        like "image not confirmed, CONT: says that the image stays" "$said" "$images/image is complete and stays"
        ok "image not confirmed, CONT: and it is whole" verify_stream "$images/image"
        rm -f "$images/image"
    else
        like "image not confirmed, KILL: the end in the audit log" "$(tail -n 1 "$audit_log")" \
            '"what":"end".*"cause":"operator-gone","exit_code":1'
    fi
    all_well "image not confirmed, $then"
done

# --- the worker

for live in "--live" ""; do
    # shellcheck disable=SC2086
    stalled_save -c $live "$guest"
    kill -KILL "$(pidof save)"
    stalled_over
    ended "worker killed${live:+, $live}" 4 "the worker died of signal 9" worker-died
    all_well "worker killed${live:+, $live}"
done

echo precious >"$images/image"
chown backupd: "$images/image"
saving --force
kill -STOP "$(pidof save)"
is "worker stopped: FILE is the old one" "$(cat "$images/image")" precious
kill -KILL "$(pidof save)"
stalled_over
ended "worker killed in a save that replaces" 4 "the worker died of signal 9" worker-died
is "worker killed in a save that replaces: FILE is the old one" "$(cat "$images/image")" precious
rm -f "$images/image"
saving --deadline 3
kill -STOP "$(pidof save)"
stalled_over
ended "worker stopped" 5 "the deadline of the operation passed" deadline
all_well "worker stopped"

# --- moat itself

stalled_save -c --live "$guest"
kill -KILL "$moatd_pid"
stalled_over
is "supervisor killed: exit status" "$status" 1
like "supervisor killed: says so" "$output" "moatd closed the connection.*moat list"
wait_for 20 moat_all_gone || fail "supervisor killed: all others end" "$(ps)"
start_moat || done_testing
ok "supervisor killed: each begin has its end" wait_for 30 audit_settled
all_well "supervisor killed"

stalled_save -c "$guest"
ok "all killed, guest suspended: it is" job_is suspended
# shellcheck disable=SC2046
kill -KILL "$moatd_pid" $(pidof warden gate recorder moatd-parent moatd-forker save)
stalled_over
is "all killed: exit status" "$status" 1
wait_for 20 moat_all_gone || fail "all killed: all end" "$(ps)"
start_moat || done_testing
ok "all killed: each begin has its end" wait_for 30 audit_settled
like "all killed: the end in the audit log" "$(grep '"what":"end"' "$audit_log" | tail -n 1)" '"cause":"interrupted"'
all_well "all killed"

for role in warden gate recorder moatd-parent moatd-forker; do
    stalled_save -c "$guest"
    kill -KILL "$(pidof $role)"
    stalled_over
    is "$role killed: exit status" "$status" 1
    like "$role killed: says so" "$output" "moatd closed the connection.*moat list"
    ok "$role killed: moat serves again" wait_for 60 as backupd moat list
    ok "$role killed: each begin has its end" wait_for 30 audit_settled
    ok "$role killed: the guest goes on" guest_goes_on "$guest"
done
all_well "each process killed"

# --- xenstore

stalled_save -c --live "$guest"
kill -STOP "$(pidof xenstored)"
exits "xenstored stopped: nobody waits for it for long" 1 bounded 60 as backupd moat save -c db1 "$images/second"
like "xenstored stopped: which is said" "$output" "xenstore did not answer"
ok "xenstored stopped: a running save is not disturbed" job_is running
kill -CONT "$(pidof xenstored)"
ok "xenstored goes on: so does moat" wait_for 60 as backupd moat list
stalled_save_ends
is "xenstored goes on: the save that was running succeeds" "$status" 0
ok "xenstored goes on: and its image is whole" verify_stream "$images/image"
rm -f "$images/image"
ok "xenstored goes on: each begin has its end" wait_for 30 audit_settled
all_well "xenstored goes on"

# --- the guest's end

guest_crashed() {
    guest_state "$guest" | grep -q '^...sc-$'
}
stalled_save -c --live "$guest"
xl sysrq "$guest" c
if wait_for 20 guest_crashed; then
    stalled_over
    ended "the guest crashes" 1 "the guest shut down, crashed or was destroyed meanwhile" guest-died
    like "the guest crashes: it stays as xl wants it" "$(guest_state "$guest")" '^...sc-$'
else
    # Seen under emulation: the guest's kernel spins in its panic instead of telling Xen. Nothing has happened
    # then that moat could notice; what it must do at a guest's end is checked again below.
    diag "the guest spins in its panic (emulator): $(tail -n 3 "$(guest_log "$guest")")"
    xl destroy "$guest"
    stalled_over
    ended "the guest is destroyed in its panic" 1 "the guest shut down, crashed or was destroyed meanwhile" guest-died
fi
guest_destroy "$guest"
nothing_left "the guest crashes"

guest_create pvh -a "initcall_blacklist=xen_setup_shutdown_event" || done_testing
run as backupd moat save --live "$guest" "$images/image"
ended "a guest that ignores suspend" 5 "did not answer the suspend request in time" guest-ignored
ok "a guest that ignores suspend: goes on" guest_goes_on "$guest"
is "a guest that ignores suspend: nothing asks it any more" "$(control_shutdown)" ""
nothing_left "a guest that ignores suspend"

stalled_save -c --live "$guest"
xl destroy "$guest"
stalled_over
ended "xl destroys the guest" 1 "the guest shut down, crashed or was destroyed meanwhile" guest-died
ok "xl destroys the guest: it is gone" wait_for 30 guest_gone "$guest"
nothing_left "xl destroys the guest"

ok "the audit log holds" moat audit verify
ok "moat serves" as backupd moat list
moat_stop
done_testing
