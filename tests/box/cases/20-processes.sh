# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 180
# What every process of moat is and holds, while it waits and while a save runs.
. /box/lib.sh
. /box/moat.sh
moat_start || done_testing

audit_write=0000000020000000
none=0000000000000000
# policy/launch/setup.c, and doc/THREATS.md with the reasons: chown, kill, setgid, setuid, setpcap, sys_chroot,
# sys_admin, mknod, audit_write.
supervisor=00000000282401e1

# value STATUS-LINES KEY
value() {
    printf '%s\n' "$1" | sed -n "s/^$2: //p" | sort -u
}

# holds WHEN ROLE USER CAPS: every thread of it is the user's, in no group, with these capabilities, locked.
holds() {
    pid=$(pid_of "$2")
    what="$1: $2"
    is "$what: is one process" "$(echo "$pid" | wc -w)" 1
    [ -n "$pid" ] || return
    threads=$(for task in "/proc/$pid/task/"*; do status_of "$pid/task/${task##*/}"; done)
    id=$(id -u "$3")
    is "$what: runs as $3, all four ids" "$(value "$threads" Uid)" "$id $id $id $id"
    is "$what: likewise the group" "$(value "$threads" Gid)" "$id $id $id $id"
    is "$what: has no other group" "$(printf '%s\n' "$threads" | grep '^Groups' | sort -u)" "Groups:"
    for set in Eff Prm Bnd Inh Amb; do
        is "$what: Cap$set" "$(value "$threads" "Cap$set")" "$4"
    done
    is "$what: NoNewPrivs" "$(value "$threads" NoNewPrivs)" 1
    is "$what: Seccomp is a filter, in every thread" "$(value "$threads" Seccomp)" 2
}

residents() {
    holds "$1" warden moat-warden $none
    holds "$1" gate moat-gate $none
    holds "$1" recorder moat-audit $audit_write
    holds "$1" parent moat $none
    holds "$1" forker moat-worker $none
}

# root_of ROLE: what there is in its file system.
root_of() {
    (cd "/proc/$(pid_of "$1")/root/" && find . | sed 's/^\.//' | sort | tr '\n' ' ')
}

residents idle
is "supervisor: is root" "$(status_of "$moatd_pid" | sed -n 's/^Uid: //p')" "0 0 0 0"
for set in Eff Prm Bnd; do
    is "supervisor: Cap$set is what doc/THREATS.md lists" \
        "$(status_of "$moatd_pid" | sed -n "s/^Cap$set: //p")" $supervisor
done
for set in Inh Amb; do
    is "supervisor: Cap$set" "$(status_of "$moatd_pid" | sed -n "s/^Cap$set: //p")" $none
done
is "supervisor: NoNewPrivs" "$(status_of "$moatd_pid" | sed -n 's/^NoNewPrivs: //p')" 1

is "gate: sees no file" "$(root_of gate)" " "
is "recorder: sees no file" "$(root_of recorder)" " "
is "parent: sees no file" "$(root_of parent)" " "
is "forker: sees the workers' programs only" "$(root_of forker)" " /save "
is "warden: sees device nodes of its own only" "$(root_of warden | sed 's/ $//')" \
    " /dev /dev/xen /dev/xen/evtchn /dev/xen/gntdev /dev/xen/hypercall /dev/xen/privcmd"
is "warden: its nodes are its own alone" \
    "$(stat -c '%U %a' "/proc/$(pid_of warden)/root/dev/xen/"* | sort -u)" "moat-warden 600"
is "the host's nodes in /dev/xen stay root's alone" "$(stat -c '%u %a' /dev/xen/* | sort -u)" "0 600"

is "/run/moat" "$(stat -c '%U %a' /run/moat)" "root 755"
is "/run/moat/private" "$(stat -c '%U %a' /run/moat/private)" "root 700"
is "/run/moat/private: the gate's socket is gone after its only client" "$(ls -A /run/moat/private)" ""
is "/run/moat/undo" "$(stat -c '%U %a' /run/moat/undo)" "moat-warden 600"
is "/run/moat/lock" "$(stat -c '%U %a' /run/moat/lock)" "root 600"
is "/run/moat/moat.sock: the rules decide, not the mode" "$(stat -c '%U %a' /run/moat/moat.sock)" "root 666"
is "/var/log/moat" "$(stat -c '%U %a' /var/log/moat)" "moat-audit 750"
is "the audit log" "$(stat -c '%U %a' /var/log/moat/audit.jsonl)" "moat-audit 640"
is "its state file" "$(stat -c '%U %a' /var/log/moat/audit.jsonl.state)" "moat-audit 600"

# --- with a worker: a pipe that nobody empties holds it in the middle of the guest's memory

guest_create pvh || done_testing
stalled_save -c --live "$guest"
residents "during a save"
holds "during a save" save moat-worker $none
worker=$(pid_of save)
is "worker: its parent process is moatd's event loop" \
    "$(sed -n 's/^PPid:\t//p' "/proc/$worker/status")" "$(pid_of parent)"
is "worker: has no environment" "$(wc -c <"/proc/$worker/environ")" 0
is "worker: its file system is its program" "$(root_of save)" " /save "
for ns in net ipc mnt; do
    unlike "worker: has a namespace of its own: $ns" "$(readlink "/proc/$worker/ns/$ns")" \
        "^$(readlink "/proc/self/ns/$ns" | tr -d '[]' | sed 's/:/:./')"
done
is "worker: sees no interface but a loopback" \
    "$(sed -n 's/^ *\([a-z0-9]*\):.*/\1/p' "/proc/$worker/net/dev")" "lo"
is "worker: and there is no route" "$(tail -n +2 "/proc/$worker/net/route")" ""
fds=$(for fd in "/proc/$worker/fd/"*; do
    echo "${fd##*/} $(readlink "$fd" | sed 's/[0-9]\{3,\}/N/')"
done | sort -n)
diag "file descriptors of the worker:" "
$fds"
is "worker: 0, 1, 2 lead nowhere" "$(printf '%s\n' "$fds" | grep -c '^[012] /dev/null$')" 3
is "worker: 3 and 4 are its two sockets" "$(printf '%s\n' "$fds" | grep -cx '[34] socket:\[N\]')" 2
is "worker: FILE" "$(printf '%s\n' "$fds" | grep -c "$images/pipe\$")" 1
is "worker: xl's configuration, to read" "$(printf '%s\n' "$fds" | grep -c '/userdata-d\..*libxl-json$')" 1
is "worker: a privcmd" "$(printf '%s\n' "$fds" | grep -c 'privcmd$')" 1
is "worker: and nothing else" "$(printf '%s\n' "$fds" | wc -l)" 8
for fd in "/proc/$worker/fdinfo/"*; do
    case $(readlink "/proc/$worker/fd/${fd##*/}") in
        *libxl-json | *privcmd)
            flags=$(sed -n 's/^flags:\t*//p' "$fd")
            is "worker: $(readlink "/proc/$worker/fd/${fd##*/}" | sed 's/.*[./]//') is open for reading only" \
                "$((flags & 3))" 0 ;;
    esac
done
# shellcheck disable=SC2046
process_table supervisor warden gate recorder parent forker save
for role in supervisor warden gate recorder parent forker save; do
    kib=$(sed -n 's/^Rss:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(pid_of $role)/smaps_rollup")
    at_most "$role: resident memory in KiB is bounded" "$kib" 32768
done
stalled_save_ends
is "the stalled save goes on once its pipe is read" "$status: $output" \
    "0: $(printf '%s\n' "$output" | grep -A99 '^moat: configuration')"
ok "and its image is whole" verify_stream "$images/image"
ok "the guest goes on" guest_goes_on "$guest"
ok "no worker is left" wait_for 10 no_worker
residents "after a save"
moat_stop
done_testing
