# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 240
# The tour of "make demo": everything below happens in dom0 of a real Xen host, with real output.
. /box/lib.sh
. /box/moat.sh

title() {
    printf '\n== %s\n\n' "$*"
}

# show USER COMMAND...: as somebody would see it in a shell. Sets $status and $output.
show() {
    user=$1
    shift
    sign='$'
    [ "$user" != root ] || sign='#'
    printf '%s %s %s\n' "$user" "$sign" "$*"
    run as "$user" "$@"
    printf '%s\n' "$output"
    [ $status -eq 0 ] || printf '[exit status %s]\n' $status
    echo
}

# Numbers from the guest's console, on one line.
console() {
    tr -d '\r' <"$(guest_log web)" | sed -n 's/^guest: count //p' | tail -n "$1" | tr '\n' ' '
}

title "A Xen host with one guest, and moatd"
cat >/etc/moat/moat.conf <<'END'
[rule backup]
operators = backupd
operations = list, save, jobs, cancel
domains = web*
decision = allow
END
show root xl info xen_version
show root cat /etc/moat/moat.conf
moat_start keep || done_testing
guest_create pvh -a "box.mode=write box.mib=16" || done_testing
guest_wait_count web 5
printf 'The guest counts on its console: %s...\n\n' "$(console 5)"

title "backupd is no root; a rule lets it list and save domains web*"
show backupd id
show backupd moat list
pass_if() {
    if [ "$2" -eq 0 ]; then pass "$1"; else fail "$1" "$output"; fi
}
list_status=$status

title "A live save; the guest runs on"
show backupd moat save -c --live web "$images/live.image"
live_status=$status
show backupd ls -l "$images"
printf 'The guest goes on counting: %s...\n\n' "$(console 5)"

title "The processes during a save, as the kernel sees them"
stalled_save -c --live web
process_table supervisor warden gate recorder parent forker save | sed 's/^# //'
worker=$(pid_of save)
worker_caps=$(sed -n 's/^CapPrm:\t//p' "/proc/$worker/status")
printf '\nThe worker that reads the guest, process %s: environment of %s bytes, interfaces: %s, files it can see: %s\n\n' \
    "$worker" "$(wc -c <"/proc/$worker/environ")" \
    "$(sed -n 's/^ *\([a-z0-9]*\):.*/\1/p' "/proc/$worker/net/dev" | tr '\n' ' ')" \
    "$(cd "/proc/$worker/root/" && find . -type f | tr '\n' ' ')"
show backupd moat jobs
job=$(printf '%s\n' "$output" | awk 'NR == 2 { print $1 }')
show backupd moat cancel "$job"
stalled_over
rm -f "$images/pipe"

title "mallory has no rule"
show mallory moat list
show mallory moat save web /tmp/stolen.image
denied_status=$status denied=$output
show mallory moat policy explain mallory save web

title "A save that ends the guest, and xl restore"
show backupd moat save web "$images/web.image"
save_status=$status
last=$(guest_count web)
show root xl list
gone=$output
show root xl restore "$images/web.image"
restore_status=$status
guest_wait_count web $((last + 5)) 30
first=$(tr -d '\r' <"$(guest_log web)" | sed -n 's/^guest: count //p' | awk -v n="$last" '$1 > n' | head -n 1)
printf 'The last number before the save: %s. The first one after the restore: %s. Then: %s...\n\n' \
    "$last" "${first:-none}" "$(console 4)"

title "The audit log: a line before each act, each chained to the one before"
show root moat audit show
show root moat audit verify
verify_status=$status

title "What was checked"
pass_if "moat list" $list_status
pass_if "a live save by a user that is not root" $live_status
is "the worker has no capability" "$worker_caps" 0000000000000000
is "an operator without a rule is refused" "$denied_status" 3
like "and told why" "$denied" "no rule allows it"
pass_if "a save" $save_status
unlike "after which the domain is gone" "$gone" '^web '
pass_if "xl restore takes the image" $restore_status
is "the guest goes on from where it was" "${first:-none}" $((last + 1))
ok "its memory is consistent" guest_passes web
pass_if "the audit log holds" $verify_status
moat_stop
done_testing
