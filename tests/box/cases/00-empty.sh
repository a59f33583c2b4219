# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC1091,SC2154
# The box itself, with nothing in it.
. /box/lib.sh

is "the machine runs Xen 4.17" "$(cat /sys/hypervisor/version/major).$(cat /sys/hypervisor/version/minor)" 4.17
is "this is the control domain" "$(cat /proc/xen/capabilities)" control_d
ok "xenstore answers" xenstore-read domid
is "xenstore knows dom0's name" "$(xenstore-read /local/domain/0/name)" Domain-0
run xl list
like "xl list shows Domain-0" "$output" '^Domain-0 +0 '
is "no other domain runs" "$(printf '%s\n' "$output" | wc -l)" 2

is "only root may write to the root" "$(stat -c '%u:%a' /)" 0:755
mkdir new && cp /bin/busybox new/
ok "the root can be pivoted as on an installed host" \
    unshare -m sh -c 'mount --bind new new && cd new && mkdir old && pivot_root . old'

touch /disk/attribute
run python3 -c 'import os; os.setxattr("/disk/attribute", "user.box", b"1"); print(os.getxattr("/disk/attribute", "user.box"))'
is "the disk keeps user attributes" "$output" "b'1'"
rm -f /disk/attribute

is "as: uid and groups of the operator" "$(as backupd id -u) $(as backupd id -G)" "1000 1000 34"
like "as: no capability" "$(as mallory grep CapEff /proc/self/status)" ':.0000000000000000$'
exits "as: an unknown user is refused" 125 as nosuchuser true
is "getpwnam works in dynamically linked programs" \
    "$(python3 -c 'import pwd; print(pwd.getpwnam("moat-audit").pw_uid)')" 993

not_ok "a failing command is seen" false
exits "bounded: ends what takes too long" 124 bounded 1 sleep 30
echo "through the serial port" >file
box_put file
done_testing
