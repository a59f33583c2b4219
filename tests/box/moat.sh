# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
#
# What the cases about moat have at hand, after lib.sh: a configuration, moatd, images, what must be
# left of a domain.

moat_log=/tmp/$BOX_CASE/moatd.log
images=/disk/$BOX_CASE
audit_log=/var/log/moat/audit.jsonl
mkdir -p "$images"
chown backupd: "$images"

# moat_start [-|keep]: the configuration from standard input, the one that is there, or the usual one; then
# moatd; waits until it serves.
moat_start() {
    mkdir -p /etc/moat
    if [ "${1:-}" = keep ]; then
        :
    elif [ "${1:-}" = - ]; then
        cat >/etc/moat/moat.conf
    else
        cat >/etc/moat/moat.conf <<'END'
[daemon]
socket = /run/moat/moat.sock
audit = /var/log/moat/audit.jsonl
[limits]
suspend-deadline = 60
[rule backup]
operators = backupd
operations = list, save, jobs, cancel
domains = web*, db1
decision = allow
END
    fi
    moatd >>"$moat_log" 2>&1 &
    moatd_pid=$!
    wait_for 20 as backupd moat list && return 0
    fail "moatd starts" "$(cat "$moat_log")"
    return 1
}

# Ends moatd in order and waits for all of its processes.
moat_stop() {
    kill -TERM "$moatd_pid" 2>/dev/null
    wait_for 20 moat_all_gone || fail "moatd ends when asked to" "$(ps)"
}

# However a case ends, the next one finds no moatd.
moat_cleanup() {
    [ -n "${moatd_pid:-}" ] && kill -TERM "$moatd_pid" 2>/dev/null
    # shellcheck disable=SC2046
    kill -CONT $(pidof save warden gate recorder xenstored) 2>/dev/null
    wait_for 20 moat_all_gone && return
    # shellcheck disable=SC2046
    kill -KILL $(pidof moatd warden gate recorder save moatd-parent moatd-forker) 2>/dev/null
}
trap 'moat_case_status=$?; moat_cleanup; (exit $moat_case_status); box_cleanup' EXIT

moat_all_gone() {
    ! pidof moatd warden gate recorder save moatd-parent moatd-forker >/dev/null 2>&1
}

# pid_of ROLE: of supervisor, parent, forker, warden, gate, recorder, save.
pid_of() {
    case $1 in
        supervisor) echo "$moatd_pid" ;;
        parent) pidof moatd-parent ;;
        forker) pidof moatd-forker ;;
        *) pidof "$1" ;;
    esac
}

# image_json FILE: the configuration inside an image of xl's format.
image_json() {
    python3 - "$1" <<'END'
import struct, sys
f = open(sys.argv[1], "rb")
magic = f.read(32)
order, mandatory, optional, length = struct.unpack("=IIII", f.read(16))
size, = struct.unpack("=I", f.read(4))
sys.stdout.write(f.read(size).decode())
END
}

# leftovers DOMID UUID: whatever still tells of a domain that should be gone, one per line.
leftovers() {
    for path in "/local/domain/$1" "/libxl/$1" "/vm/$2"; do
        xenstore-exists "$path" 2>/dev/null && echo "xenstore: $path"
    done
    for type in $(xenstore-list /local/domain/0/backend 2>/dev/null); do
        xenstore-exists "/local/domain/0/backend/$type/$1" 2>/dev/null &&
            echo "xenstore: /local/domain/0/backend/$type/$1"
    done
    find /var/lib/xen -name "*.$1.$2.*" 2>/dev/null
    xl list 2>/dev/null | awk -v id="$1" '$2 == id { print "xen: " $0 }'
    xl list 2>/dev/null | grep '(null)'
}

uuid_of() {
    xl list -v 2>/dev/null | awk -v name="$1" '$1 == name { for (i = 5; i <= NF; i++) if ($i ~ /^[0-9a-f]+-[0-9a-f-]+$/) print $i }'
}

# stalled_save OPTIONS... DOMAIN: a save that stands still in the middle of the image, because nobody empties its
# pipe ($images/pipe): with --live while the guest runs, without while it is suspended. $moat_pid is the command.
stalled_save() {
    rm -f "$images/pipe" "$images/image"
    mkfifo "$images/pipe"
    chown backupd: "$images/pipe"
    exec 5<>"$images/pipe"
    as backupd moat save "$@" "$images/pipe" >"/tmp/$BOX_CASE/stalled" 2>&1 5>&- &
    moat_pid=$!
    wait_for 30 worker_stalls ||
        fail "a worker waits for its pipe" "$(cat "/tmp/$BOX_CASE/stalled")" "$(ps | grep -v '\]$')"
}

worker_stalls() {
    grep -q pipe_write "/proc/$(pidof save)/wchan" 2>/dev/null ||
        grep -q '^1 ' "/proc/$(pidof save)/syscall" 2>/dev/null
}

# The pipe is read: the image goes to $images/image. Sets $status and $output as run does.
stalled_save_ends() {
    cat <"$images/pipe" >"$images/image" 5>&- &
    stalled_reader=$!
    exec 5>&-
    stalled_over
    wait $stalled_reader
}

# stalled_over: the command ends, its pipe still full; sets $status and $output as run does.
stalled_over() {
    if ! wait_for 90 moat_ended; then
        fail "the command ends" "$(cat "/tmp/$BOX_CASE/stalled")" "$(as backupd moat jobs)"
        kill -KILL "$moat_pid"
    fi
    wait "$moat_pid"
    status=$?
    exec 5>&-
    output=$(cat "/tmp/$BOX_CASE/stalled")
}

moat_ended() {
    [ ! -e "/proc/$moat_pid" ] || grep -q '^State:.Z' "/proc/$moat_pid/status"
}

no_worker() {
    ! pidof save >/dev/null
}

# process_table ROLE...: who each is, what it may do, how much memory it has, as the kernel tells it.
process_table() {
    printf '# %-11s %6s %-12s %-16s %-5s %-7s %9s\n' PROCESS PID USER CAPABILITIES NONEW SECCOMP "RSS (KiB)"
    for role in "$@"; do
        pid=$(pid_of "$role")
        [ -n "$pid" ] || continue
        awk -v role="$role" -v pid="$pid" -v user="$(stat -c %U "/proc/$pid")" '
            { v[$1] = $2 }
            $1 == "Rss:" { v["VmRSS:"] = $2 }
            END {
                mode = v["Seccomp:"] == 2 ? "filter" : v["Seccomp:"]
                caps = v["CapEff:"]
                sub(/^0+/, "", caps)
                printf "# %-11s %6d %-12s %-16s %-5s %-7s %9d\n", role, pid, user,
                    caps == "" ? "none" : "0x" caps, v["NoNewPrivs:"] ? "yes" : "no", mode, v["VmRSS:"]
            }' "/proc/$pid/status" "/proc/$pid/smaps_rollup"
    done
}

# audit_mark, audit_since ERE: how many lines of the audit log written since the mark match.
audit_mark() {
    audit_from=$(wc -l <"$audit_log")
}

audit_since() {
    tail -n +$((audit_from + 1)) "$audit_log" | grep -cE -e "$1"
}

# audit_settled: each begin has its end.
audit_settled() {
    [ "$(grep -c '"what":"begin"' "$audit_log")" -eq "$(grep -c '"what":"end"' "$audit_log")" ]
}

# restored FILE COUNT: xl restores it and the guest goes on from COUNT, not from the start; its pages are whole.
restored() {
    what=$1 file=$2 from=$3
    : >"$(guest_log "$guest")"
    ok "$what: xl restore takes the image" xl restore "$file"
    ok "$what: the guest goes on counting" guest_wait_count "$guest" $((from + 2))
    first=$(tr -d '\r' <"$(guest_log "$guest")" | sed -n 's/^guest: count //p' | head -n 1)
    at_least "$what: from where the image was made" "$first" $((from - 2))
    domid=$(xl domid "$guest")
}
