# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
#
# What the cases about moat have at hand, after lib.sh: a configuration, moatd, images, what must be
# left of a domain.

moat_log=/tmp/$BOX_CASE/moatd.log
images=/disk/$BOX_CASE
mkdir -p "$images"
chown backupd: "$images"

# moat_start: the configuration from standard input (or the usual one), then moatd; waits until it serves.
moat_start() {
    mkdir -p /etc/moat
    if [ "${1:-}" = - ]; then
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

# logdirty_off: no domain is in log-dirty mode, as Xen's own keyhandler would have to say; what can be asked
# from dom0 is that another save may switch it on, so that is what a case does.

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
