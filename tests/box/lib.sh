# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh
#
# What a case of the box has at hand; it starts with ". /box/lib.sh" and ends with "done_testing".
# The description comes first in every assertion and names the promise that it guards.

set -u

box_number=0
box_failed=0
box_done=0
# A file, not a variable: guests made in a subshell (by ok, run or a pipe) are destroyed with the others.
# In the shell of shell.sh there is no runner to name the case.
: "${BOX_CASE:=shell}"
mkdir -p "/tmp/$BOX_CASE"
box_guests=/tmp/$BOX_CASE/.guests
: >"$box_guests"

# --- assertions ----------------------------------------------------------------------------------------

pass() {
    box_number=$((box_number + 1))
    echo "ok $box_number - $1"
}

# fail DESCRIPTION [LINE...]: each LINE (it may hold several) is printed as a diagnostic.
fail() {
    box_number=$((box_number + 1))
    box_failed=$((box_failed + 1))
    echo "not ok $box_number - $1"
    shift
    for line in "$@"; do
        printf '%s\n' "$line" | sed 's/^/#   /'
    done
    return 0
}

# run COMMAND...: runs it and sets $status and $output (stdout and stderr together).
run() {
    output=$("$@" 2>&1)
    status=$?
}

# ok DESCRIPTION COMMAND...: the command succeeds.
ok() {
    box_what=$1
    shift
    run "$@"
    if [ $status -eq 0 ]; then
        pass "$box_what"
    else
        fail "$box_what" "exit status $status of: $*" "$output"
    fi
}

# not_ok DESCRIPTION COMMAND...: the command fails (an exit status, not a signal).
not_ok() {
    box_what=$1
    shift
    run "$@"
    if [ $status -ne 0 ] && [ $status -lt 126 ]; then
        pass "$box_what"
    else
        fail "$box_what" "exit status $status of: $*" "$output"
    fi
}

# exits DESCRIPTION STATUS COMMAND...: the command ends with exactly that status.
exits() {
    box_what=$1
    box_wanted=$2
    shift 2
    run "$@"
    if [ "$status" -eq "$box_wanted" ]; then
        pass "$box_what"
    else
        fail "$box_what" "exit status $status, wanted $box_wanted, of: $*" "$output"
    fi
}

# is DESCRIPTION GOT WANTED
is() {
    if [ "$2" = "$3" ]; then
        pass "$1"
    else
        fail "$1" "got:    $2" "wanted: $3"
    fi
}

# like DESCRIPTION GOT REGEX: some line of GOT matches the extended regular expression.
like() {
    if printf '%s\n' "$2" | grep -Eq -e "$3"; then
        pass "$1"
    else
        fail "$1" "no line matches: $3" "$2"
    fi
}

# unlike DESCRIPTION GOT REGEX: no line of GOT does.
unlike() {
    if printf '%s\n' "$2" | grep -Eq -e "$3"; then
        fail "$1" "a line matches: $3" "$2"
    else
        pass "$1"
    fi
}

# at_least DESCRIPTION GOT MINIMUM, at_most DESCRIPTION GOT MAXIMUM: whole numbers.
at_least() {
    if [ -n "$2" ] && [ "$2" -ge "$3" ]; then pass "$1"; else fail "$1" "got $2, wanted at least $3"; fi
}

at_most() {
    if [ -n "$2" ] && [ "$2" -le "$3" ]; then pass "$1"; else fail "$1" "got $2, wanted at most $3"; fi
}

# skip DESCRIPTION REASON: something is missing here. With MUST_WORK=1 that is a failure.
skip() {
    if [ "${MUST_WORK:-0}" = 1 ]; then
        fail "$1" "missing, and MUST_WORK=1: $2"
    else
        box_number=$((box_number + 1))
        echo "ok $box_number - $1 # SKIP $2"
    fi
}

diag() {
    printf '%s\n' "$*" | sed 's/^/# /'
}

# The last line of a case: a case that ends before it has failed.
done_testing() {
    box_done=1
    echo "1..$box_number"
    [ $box_failed -eq 0 ]
    exit
}

# --- waiting, users, processes -------------------------------------------------------------------------

# wait_for SECONDS COMMAND...: polls until the command succeeds; 1 when it did not in time.
wait_for() {
    box_until=$(($(now_ms) + $1 * 1000))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(now_ms)" -lt $box_until ] || return 1
        usleep 50000
    done
}

# Milliseconds since the boot of dom0 (steps of 10).
now_ms() {
    read -r box_up _ </proc/uptime
    # The 1 keeps a leading zero of the fraction from meaning octal.
    echo $((${box_up%.*} * 1000 + (1${box_up#*.} - 100) * 10))
}

# as USER COMMAND...: /box/bin/as; exactly the groups of /etc/group, no capability.

# status_of PID: who a process is and what it may do, one "Key: value" per line, blanks made single.
status_of() {
    grep -E '^(Name|Uid|Gid|Groups|NoNewPrivs|Seccomp|Cap[A-Z][a-z]+):' "/proc/$1/status" |
        tr -s '\t ' ' ' | sed 's/ *$//'
}

# --- guests --------------------------------------------------------------------------------------------

# guest_create pvh|pv [-n NAME] [-a "KERNEL ARGUMENTS"] [CFG LINE...]: starts the test guest ("web" or "db1"),
# waits until it speaks, and sets $guest and $domid. It goes away with the case. Kernel arguments: guest.c;
# "initcall_blacklist=xen_setup_shutdown_event" makes a guest that ignores control/shutdown.
guest_create() {
    box_cfg=/guest/$1.cfg
    box_args=
    shift
    guest=$(sed -n 's/^name = "\(.*\)"/\1/p' "$box_cfg")
    while [ $# -gt 0 ]; do
        case $1 in
            -n) guest=$2; shift 2 ;;
            -a) box_args=$2; shift 2 ;;
            *) break ;;
        esac
    done
    sed -e "s/^name = .*/name = \"$guest\"/" -e "s/^cmdline = \"\(.*\)\"/cmdline = \"\1 $box_args\"/" \
        "$box_cfg" >"/tmp/guest-$guest.cfg"
    for line in "$@"; do
        echo "$line" >>"/tmp/guest-$guest.cfg"
    done
    echo "$guest" >>"$box_guests"
    for box_try in 1 2 3; do
        : >"$(guest_log "$guest")"
        if ! output=$(xl create "/tmp/guest-$guest.cfg" 2>&1); then
            fail "guest $guest is created" "$output"
            return 1
        fi
        # shellcheck disable=SC2034
        domid=$(xl domid "$guest")
        box_why=$(guest_wait "$guest" 100 grep -q '^guest: up' "$(guest_log "$guest")") && return 0
        # In the first instructions of its kernel the emulated processor loses one now and then (a triple fault
        # while it calibrates its clock): nobody but Xen has touched it yet, so it is started again.
        if [ "$box_try" = 3 ] || ! guest_gone "$guest"; then
            break
        fi
        diag "$guest: the guest has gone while it booted (emulation): once more"
    done
    fail "guest $guest says that it is up" "$box_why" "$(tail -n 30 "$(guest_log "$guest")")"
    return 1
}

# guest_wait NAME SECONDS COMMAND...: as wait_for, but not for a guest that is no longer there: under emulation
# one reboots or crashes now and then, which must not look like the failure of what the case is about. Its
# configuration has it destroyed then, for one that xl starts again would have another domid.
guest_wait() {
    box_waits_for=$1
    box_patience=$2
    shift 2
    box_deadline=$(($(now_ms) + box_patience * 1000))
    while [ "$(now_ms)" -lt $box_deadline ]; do
        wait_for 3 "$@" && return 0
        if guest_gone "$box_waits_for"; then
            # The command may have become true in its last moments.
            "$@" >/dev/null 2>&1 && return 0
            echo "$box_waits_for: the guest has gone (rebooted or crashed under emulation)"
            return 1
        fi
    done
    return 1
}

# guest_log NAME: the file into which xenconsoled writes what the guest says.
guest_log() {
    echo "/var/log/xen/console/guest-$1.log"
}

# guest_count NAME: the last count that it printed, 0 before the first.
guest_count() {
    box_count=$(tr -d '\r' <"$(guest_log "$1")" | sed -n 's/^guest: count \([0-9]*\)$/\1/p' | tail -n 1)
    echo "${box_count:-0}"
}

guest_counted() {
    [ "$(guest_count "$1")" -ge "$2" ]
}

# guest_wait_count NAME N [SECONDS]: waits until its count is at least N.
guest_wait_count() {
    guest_wait "$1" "${3:-20}" guest_counted "$1" "$2"
}

# guest_goes_on NAME [SECONDS]: it counts three further than now.
guest_goes_on() {
    guest_wait_count "$1" $(($(guest_count "$1") + 3)) "${2:-20}"
}

# guest_passes NAME: how often its page writer ("box.mode=write") found all pages right; fails on a corrupt one.
guest_passes() {
    box_log=$(guest_log "$1")
    grep '^guest: PAGE CORRUPT' "$box_log" && return 1
    box_count=$(tr -d '\r' <"$box_log" | sed -n 's/^guest: pages ok \([0-9]*\)$/\1/p' | tail -n 1)
    echo "${box_count:-0}"
}

# guest_state NAME: the letters of xl list, such as "-b----", "--p---"; empty when there is no such guest.
guest_state() {
    xl list 2>/dev/null | awk -v name="$1" '$1 == name { print $5 }'
}

guest_gone() {
    ! xl domid "$1" >/dev/null 2>&1
}

# guest_destroy NAME: ends it now and waits until Xen has forgotten it.
guest_destroy() {
    xl destroy "$1" >/dev/null 2>&1
    wait_for 30 guest_gone "$1"
}

# verify_stream FILE: Debian's verify-stream-v2 accepts it (an image of xl, with its header).
verify_stream() {
    PYTHONPATH=/usr/lib/xen-4.17/lib/python verify-stream-v2 -f xl -i "$1"
}

# box_put FILE [NAME]: hands a file out to the host: build/box/out/CASE/NAME. Small ones go over the serial port
# at once (20 KiB/s) and survive a crash of dom0; others lie on the disk until the machine is off.
box_put() {
    box_name=${2:-${1##*/}}
    if [ "$(wc -c <"$1")" -gt 65536 ]; then
        mkdir -p "/disk/.put/$BOX_CASE"
        cp "$1" "/disk/.put/$BOX_CASE/$box_name"
        return
    fi
    # Flushed line by line, for only a line up to PIPE_BUF stays in one piece beside other writers.
    base64 "$1" | awk -v head="@@box data $BOX_CASE $box_name " '
        BEGIN { print head; fflush() }
        { print head $0; fflush() }' >/run/box/out
}

box_cleanup() {
    box_status=$?
    trap - EXIT
    if [ $box_done -eq 0 ]; then
        fail "the case reaches its end" "exit status $box_status after assertion $box_number"
    fi
    while read -r box_name; do
        guest_gone "$box_name" || guest_destroy "$box_name" </dev/null
    done <"$box_guests"
    [ $box_failed -eq 0 ] && [ $box_done -eq 1 ]
    exit
}
trap box_cleanup EXIT
trap 'exit 143' TERM INT HUP
