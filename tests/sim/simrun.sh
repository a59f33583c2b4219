#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
#
# simrun.sh [OPTION]... -- COMMAND [ARG]...: run COMMAND beside a simulated host and a running moatd.
#
#   --domain SPEC   instead of the two default domains (may be repeated; see README.md)
#   --conf FILE     as /etc/moat/moat.conf instead of tests/sim/moat.conf
#   --no-moatd      the host only; lib.sh has start_moatd
#   --build DIR     the build tree, default $SIM_BUILD or build
#
# Everything happens in namespaces of its own (mount, pid, net, ipc): users, /etc, /run, /dev, /var/lib
# and /var/log are private copies or empty, and when COMMAND has ended every process is gone. Root only.
#
# COMMAND's environment: MOAT (the command), SIM (a private folder), TOP, BUILD; simctl, as and moat
# are in its PATH. Exit status: COMMAND's; 125 = the environment could not be set up.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
TOP=$(cd "$here/../.." && pwd)

die() {
    echo "simrun.sh: $*" >&2
    exit 125
}

if [ "${SIMRUN_STAGE:-1}" = 1 ]; then
    [ "$(id -u)" -eq 0 ] || die "must be root: it makes namespaces and users of its own"
    SIMRUN_STAGE=2 exec unshare --mount --pid --net --ipc --fork --kill-child --mount-proc \
        --propagation private -- "$0" "$@"
fi

BUILD=${SIM_BUILD:-build} conf=$here/moat.conf moatd=yes domains=
while [ $# -gt 0 ]; do
    case $1 in
    --domain) domains="$domains --domain $2"; shift 2 ;;
    --conf) conf=$2; shift 2 ;;
    --build) BUILD=$2; shift 2 ;;
    --no-moatd) moatd=no; shift ;;
    --) shift; break ;;
    *) die "unknown option $1" ;;
    esac
done
[ $# -gt 0 ] || die "usage: simrun.sh [--domain SPEC]... [--conf FILE] [--no-moatd] [--build DIR] -- COMMAND"
case $BUILD in /*) ;; *) BUILD=$TOP/$BUILD ;; esac
[ -x "$BUILD/sim/simhost" ] || die "$BUILD/sim/simhost is missing: make sim"

# ---- a host's file system, private to this namespace

must() {
    "$@" || die "$* failed"
}

private_etc() {
    cp -a /etc /run/etc
    cat >>/run/etc/passwd <<EOF
moat:x:990:990:moat:/nonexistent:/bin/false
moat-warden:x:991:991:moat warden:/nonexistent:/bin/false
moat-gate:x:992:992:moat gate:/nonexistent:/bin/false
moat-audit:x:993:993:moat recorder:/nonexistent:/bin/false
moat-worker:x:994:994:moat worker:/nonexistent:/bin/false
backupd:x:20000:20000:may checkpoint:/home/backupd:/bin/sh
mallory:x:20001:20001:may nothing:/home/mallory:/bin/sh
admind:x:20002:20002:may save:/home/admind:/bin/sh
EOF
    grep -v -e '^backup:' /etc/group >/run/etc/group
    cat >>/run/etc/group <<EOF
backup:x:34:backupd
moat:x:990:
moat-warden:x:991:
moat-gate:x:992:
moat-audit:x:993:
moat-worker:x:994:
backupd:x:20000:
mallory:x:20001:
admind:x:20002:
EOF
    printf 'passwd: files\ngroup: files\nshadow: files\n' >/run/etc/nsswitch.conf
    rm -rf /run/etc/moat
    mkdir -m 0755 /run/etc/moat
    cp "$conf" /run/etc/moat/moat.conf
    chmod 0644 /run/etc/moat/moat.conf
    must mount --bind /run/etc /etc
}

private_dev() {
    mkdir /run/dev
    must mount -t tmpfs -o mode=0755 tmpfs /run/dev
    cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /run/dev/
    ln -s /proc/self/fd /run/dev/fd
    ln -s /proc/self/fd/0 /run/dev/stdin
    ln -s /proc/self/fd/1 /run/dev/stdout
    ln -s /proc/self/fd/2 /run/dev/stderr
    mkdir /run/dev/shm /run/dev/xen /run/dev/pts
    chmod 1777 /run/dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts /run/dev/pts &&
        ln -s pts/ptmx /run/dev/ptmx
    # Nodes that exist and do nothing: /dev/null's number.
    for node in privcmd hypercall evtchn gntdev; do
        mknod -m 0600 "/run/dev/xen/$node" c 1 3
    done
    must mount --move /run/dev /dev
}

private_rest() {
    for dir in /var/lib /var/log /home /usr/libexec; do
        [ -d "$dir" ] || die "$dir does not exist on this system"
        must mount -t tmpfs -o mode=0755 tmpfs "$dir"
    done
    mkdir -p /var/lib/xen /run/xen /run/xenstored /run/lock /usr/libexec/moat
    mkdir -m 0750 /var/log/moat
    chown 993:993 /var/log/moat
    for user in backupd:20000 mallory:20001 admind:20002; do
        mkdir -m 0700 "/home/${user%:*}"
        chown "${user#*:}:${user#*:}" "/home/${user%:*}"
    done
    [ -d "$BUILD/sim/libexec" ] && cp "$BUILD"/sim/libexec/* /usr/libexec/moat/
    mkdir -m 0755 /run/sim /run/sim/bin
    for program in "$BUILD/moat" "$BUILD"/sim/moatd "$BUILD"/sim/simctl "$BUILD"/sim/as \
        "$BUILD"/sim/bench_* "$BUILD"/sim/lib_* "$BUILD"/sim/libmoat.so.*; do
        [ ! -f "$program" ] || cp "$program" /run/sim/bin/
    done
}

must mount -t tmpfs -o mode=0755 tmpfs /run
private_etc
private_dev
private_rest
ip link set lo up 2>/dev/null || true

export TOP BUILD SIM=/run/sim MOAT=/run/sim/bin/moat PATH="/run/sim/bin:$PATH"
unset MOAT_SIM XENSTORED_PATH SIMRUN_STAGE

# ---- the host, then moatd

# shellcheck disable=SC2086  # a list of options
"$BUILD/sim/simhost" --xenstored /run/xenstored/socket --userdata /var/lib/xen $domains \
    >"$SIM/simhost.log" 2>&1 &
. "$here/lib.sh"
wait_until 10 simctl counts || { cat "$SIM/simhost.log" >&2; die "simhost does not answer"; }
if [ $moatd = yes ]; then
    start_moatd || { cat "$SIM/moatd.log" >&2; die "moatd does not answer"; }
fi

# The first process of a pid namespace ignores what it does not handle.
trap 'exit 143' TERM INT HUP
status=0
"$@" || status=$?
[ ! -s "$SIM/moatd.log" ] || [ -z "${SIMRUN_LOG:-}" ] || sed 's/^/# moatd: /' "$SIM/moatd.log" >&2
exit $status
