# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 600
# The save worker replaced by hostile code (tests/hostile/worker.c), where only the kernel and the hypervisor can
# answer: mappings, DM_OP, hypercalls on dom0 and on a second guest, the domid's reuse.
. /box/lib.sh
. /box/moat.sh

if [ ! -x /box/hostile-save ]; then
    skip "hostile worker" "/box/hostile-save was not built: make hostile"
    done_testing
fi
save=/usr/libexec/moat/save
cp $save /tmp/save.honest
cp /box/hostile-save $save.new
mv $save.new $save
moat_start || done_testing
guest_create pv || done_testing
other=$guest other_domid=$domid
guest_create pvh || done_testing

userdata() {
    echo "/var/lib/xen/userdata-d.$domid.$(uuid_of "$guest").libxl-json"
}

# set_attack NAME MODE: into the configuration that the worker is handed. Without a name: as it was.
set_attack() {
    file=$(userdata)
    [ -f "/tmp/$domid.json" ] || cp "$file" "/tmp/$domid.json"
    sed "1s/{/{ \"attack\": \"$1\", \"mode\": \"$2\", /" "/tmp/$domid.json" >"$file"
}

# expected EXPECT END: whether the end in the audit log is one that the attack's table names.
expected() {
    echo "$1" | tr '|' '\n' | while read -r one; do
        cause=${one%%/*} refusal=
        [ "$cause" = "$one" ] || refusal=${one#*/}
        case $one in
            "*") grep -qv '"cause":"done"' "$2" && echo yes ;;
            signal*) grep -q "\"cause\":\"worker-died\".*\"worker\":{\"signal\":${one#signal }}" "$2" && echo yes ;;
            *) grep "\"cause\":\"$cause\"" "$2" | grep -q "\"refused\":.*$refusal" && echo yes ;;
        esac
    done | grep -q yes
}

# perform NAME MODE [ERE]: true if it ended as it must, and its output matches.
perform() {
    line=$($save list | grep "^$1	$2	")
    expect=$(echo "$line" | cut -f 3)
    promise=$(echo "$line" | cut -f 5)
    options=$(echo "$line" | cut -f 4 | sed 's/destroy.*//')
    set_attack "$1" "$2"
    # shellcheck disable=SC2086
    run as backupd moat save -c $options "$guest" "$images/image"
    wait_for 20 no_worker || fail "$1 ($2): no worker is left" "$(ps)"
    wait_for 20 audit_settled || fail "$1 ($2): its end is in the audit log"
    grep '"what":"end"' "$audit_log" | tail -n 1 >/tmp/end
    [ -n "$expect" ] && [ $status -ne 0 ] && expected "$expect" /tmp/end && [ ! -e "$images/image" ] &&
        ! echo "$output" | grep -q BREACH && echo "$output" | grep -Eq -e "${3:-.}"
}

# Xen's own word that the guest's processor was lost, which no hypercall of a worker's could bring about: the emulator
# does that now and then to a guest whose writes are being logged, xl's own live saves included.
emulator_lost_it() {
    xl dmesg | grep -q "d${domid}v[0-9]* Triple fault"
}

# attack NAME MODE [ERE]: performs it, with a new guest once more if the emulator has lost this one meanwhile.
attack() {
    good=0
    perform "$@" || good=1
    if [ $good -ne 0 ] && emulator_lost_it; then
        diag "$1 ($2): the guest had a triple fault (emulation): once more, with a new one"
        guest_destroy "$guest"
        rm -f /run/xen/domid-history
        guest_create pvh || done_testing
        good=0
        perform "$@" || good=1
    fi
    if [ $good -eq 0 ]; then
        pass "$1 ($2): $promise"
    else
        fail "$1 ($2): $promise" "wanted: $expect; exit status $status" "$output" "$(cat /tmp/end)"
    fi
}

# Both guests go on, and are what they were.
both_go_on() {
    ok "after $1 its own guest goes on" guest_goes_on "$guest"
    ok "after $1 the other guest goes on" guest_goes_on "$other"
    like "after $1 neither is paused or shut down" "$(guest_state "$guest") $(guest_state "$other")" \
        '^[r-][b-]---- [r-][b-]----$'
}

for mode in locked raw; do
    attack map-others $mode EPERM
    attack map-writable $mode
    attack mprotect $mode
    attack dm-op $mode
    attack mmap-resource $mode
    attack hypercall $mode
    attack restrict $mode
    attack ioctl-upper-dm-op $mode
    attack int80-getpid $mode
    attack x32-getpid $mode
    attack another-process $mode
    attack sys-io_uring_setup $mode
    attack sys-userfaultfd $mode
    attack sys-bpf $mode
    attack sys-ptrace $mode
    attack sys-kill $mode
    attack sys-socket $mode
    attack sys-open $mode
done
both_go_on "attacks on kernel and memory"

attack environment raw
attack other-domains locked
attack other-domains raw
attack other-domains-live locked
attack other-domains-suspended locked
attack domid-padding locked
attack domctl-without-row locked
attack sysctl-without-row locked
attack rows-of-others locked
attack rows-of-others-live locked
attack ops-without-row locked
attack interface-version locked
attack struct-sizes locked
attack counts-overflow locked
attack counts-after-suspend locked
attack final-before-suspend locked
attack handles locked
attack random-calls locked
attack logdirty-left-on locked
attack complete-without-rows-live locked
both_go_on "hostile hypercalls"

# --- the domid's reuse: the worker holds the open file and keeps mapping while the domain is destroyed

set_attack keep-mapping locked
gone=$domid
as backupd moat -v save "$guest" "$images/image" >/tmp/keep 2>&1 &
moat_pid=$!
ok "keep-mapping: the worker has mapped a frame" wait_for 30 grep -q "mapping" /tmp/keep
xl destroy "$guest"
wait $moat_pid
status=$?
at_least "keep-mapping: the save has failed" $status 1
unlike "keep-mapping: no frame of another domain" "$(cat /tmp/keep)" BREACH
ok "keep-mapping: no worker is left" wait_for 30 no_worker
ok "keep-mapping: its end is in the audit log" wait_for 20 audit_settled
like "keep-mapping: as the domain's death" "$(grep '"what":"end"' "$audit_log" | tail -n 1)" '"cause":"guest-died"'
is "keep-mapping: no domain without a name is left" "$(xl list | grep -c '(null)')" 0
rm -f /run/xen/domid-history
guest_create pvh || done_testing
diag "the new guest has domid $domid, the old one had $gone"
ok "keep-mapping: a new guest goes on" guest_goes_on "$guest"

# --- afterwards

ok "an honest save succeeds beside hostile ones" as backupd moat save -c "$other" "$images/other"
ok "its image is accepted" verify_stream "$images/other"
ok "the audit log verifies" moat audit verify
both_go_on "all that"
mv /tmp/save.honest $save
moat_stop
done_testing
