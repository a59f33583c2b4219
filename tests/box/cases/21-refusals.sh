# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 400
# What moat refuses: with which words and which exit status, before anything is touched, and with one line in
# the audit log for each decision of the daemon.
. /box/lib.sh
. /box/moat.sh

conf=/etc/moat/moat.conf
image=$images/web.image
secret=$images/secret

write_conf() {
    cat >$conf <<'END'
[daemon]
socket = /run/moat/moat.sock
audit = /var/log/moat/audit.jsonl
[limits]
jobs-per-operator = 1
[rule production]
operators = @backup
operations = save
domains = web-prod*
decision = deny
[rule backup]
operators = @backup
operations = list, save, jobs, cancel
domains = web*, db1
decision = allow
[rule checkpoints]
operators = carol
operations = checkpoint
domains = web
decision = allow
[rule root]
operators = root
operations = list, save, jobs, cancel
domains = *
decision = allow
END
}

asked=0
# refused WHAT STATUS WORDS COMMAND...: by the daemon; WORDS is an extended regular expression of the message.
refused() {
    wanted=$2 words=$3 title=$1
    shift 3
    # The log takes 20 refusals in 10 s and counts the others: stay below that.
    asked=$((asked + 1))
    [ $((asked % 16)) -ne 0 ] || sleep 11
    audit_mark
    run "$@"
    is "$title: exit status" "$status" "$wanted"
    like "$title: says what and why" "$output" "^moat: .*$words"
    is "$title: is in the audit log, once, and nothing else is" \
        "$(audit_since '"what":"denied"') $(audit_since .)" "1 1"
    is "$title: the log has the same words" \
        "$(printf '%s\n' "$output" | grep -cF "$(tail -n 1 $audit_log | sed 's/.*"message":"\([^"]*\)".*/\1/')")" 1
}

# declined WHAT STATUS WORDS COMMAND...: by the command itself; the daemon never hears of it.
declined() {
    wanted=$2 words=$3 title=$1
    shift 3
    audit_mark
    run "$@"
    is "$title: exit status" "$status" "$wanted"
    like "$title: says what and why" "$output" "$words"
    is "$title: the daemon was not asked" "$(audit_since .)" 0
}

# --- a configuration with mistakes

echo 'carol:x:1002:1002:operator of checkpoints:/:/bin/sh' >>/etc/passwd
echo 'carol:x:1002:' >>/etc/group
mkdir -p /etc/moat
cat >bad.conf <<'END'
[limits]
suspend-deadline = 0
jobs-per-operatr = 4
[rule one]
operators = backupd, nosuchuser
operations = save, fly
domains = *
decision = maybe
END
for reader in "moatd --config $PWD/bad.conf" "moat policy check $PWD/bad.conf"; do
    exits "$reader: a bad file is refused" 1 bounded 20 $reader
    like "with file, line, key and range" "$output" 'bad.conf:2: \[limits\] suspend-deadline: 0 .*allowed: 1 to 3600'
    like "an unknown key, with the nearest and all" "$output" \
        "bad.conf:3: .*'jobs-per-operatr', did you mean 'jobs-per-operator'.*allowed: .*commit-deadline"
    like "an unknown user" "$output" "bad.conf:5: .*nosuchuser"
    like "an unknown operation" "$output" "bad.conf:6: .*'fly'.*allowed: list, save"
    like "an unknown decision" "$output" "bad.conf:8: .*'maybe'.*allowed: allow, deny|bad.conf:8: .*'maybe'.*allow"
done
ok "moatd: none is left of it" moat_all_gone
declined "no moatd" 1 'cannot reach moatd at /run/moat/moat.sock.*is moatd running' as backupd moat list
exits "save without moatd" 1 as backupd moat save -c web "$image"
is "leaves no file" "$(ls -A "$images")" ""

write_conf
ok "moat policy check: a good file" moat policy check
moat_start keep || done_testing
guest_create pvh || done_testing
before=$(xl list | awk '$1 == "web" { print $1, $2, $3, $4 }')

# --- a second domain that costs nothing: it never runs

sed -e 's/^name = .*/name = "twin"/' /guest/pvh.cfg >twin.cfg
ok "a second domain" xl create -q -p twin.cfg
twin=$(xl domid twin)
twin_name() {
    xenstore-write "/local/domain/$twin/name" "$1"
}
trap 'moat_case_status=$?; xl destroy "$twin"; moat_cleanup; (exit $moat_case_status); box_cleanup' EXIT

# --- list, jobs, explain

run as backupd moat list
is "list: the header is xl's" "$(printf '%s\n' "$output" | head -n 1)" "$(xl list | head -n 1)"
is "list: the allowed domain's columns are xl's" \
    "$(printf '%s\n' "$output" | awk 'NR > 1 { print $1, $2, $3, $4 }')" "$before"
twin_name web-twin
is "list: a row of a domain that stands still is xl's to the letter" \
    "$(as backupd moat list web-twin | tail -n 1)" "$(xl list | grep '^web-twin ')"
is "list DOMAIN: that one only" "$(as backupd moat list web | awk 'NR > 1 { print $1 }')" web
is "list DOMID" "$(as backupd moat list "$domid" | awk 'NR > 1 { print $1 }')" web
is "list: root's rule shows all, as xl does" "$(moat list | awk '{ print $1, $2, $4 }')" \
    "$(xl list | awk '{ print $1, $2, $4 }')"
is "list: without a rule there are no rows" "$(as mallory moat list | tail -n +2)" ""
exits "list: what one may not see is not told from what is not there" 1 as mallory moat list web
hidden=$output
run as mallory moat list nosuch
is "list: by the same words" "$(printf '%s\n' "$output" | sed 's/nosuch/web/')" "$hidden"
is "list -l: is JSON with the domain's identity" "$(as backupd moat list -l web | python3 -c '
import json, sys
d = json.load(sys.stdin)
print(len(d), d[0]["name"], d[0]["domid"], d[0]["uuid"], d[0]["type"], d[0]["vcpus"])')" \
    "1 web $domid $(uuid_of web) pvh 1"
is "list -v: has the uuid" "$(as backupd moat list -v web | grep -c "$(uuid_of web)")" 1
is "jobs: none" "$(as backupd moat jobs | tail -n +2)" ""

exits "policy explain: allowed" 0 as backupd moat policy explain backupd save web
like "policy explain: names the rule" "$output" "^$conf:11: \[rule backup\]"
exits "policy explain: denied by a rule" 3 as backupd moat policy explain backupd save web-prod1
like "policy explain: names that rule" "$output" "^$conf:6: \[rule production\]"
exits "policy explain: denied by default" 3 as mallory moat policy explain mallory save web
like "policy explain: says so" "$output" "no rule fits"
exits "policy explain: an unknown operation" 2 moat policy explain backupd fly web
like "policy explain: lists those there are" "$output" "allowed: list, save, checkpoint, jobs, cancel"

# --- rules

refused "no rule" 3 "checkpoint of 'web': no rule allows it" as mallory moat save -c web /tmp/mallory.image
refused "a rule that denies" 3 "save of 'web-prod1': denied by the rule \(moat.conf line 6\)" \
    sh -c "xl rename web web-prod1; as backupd moat save web-prod1 $image; s=\$?; xl rename web-prod1 web; exit \$s"
refused "checkpoint only: the form that destroys" 3 "save of 'web': no rule allows it" \
    as carol moat save web /tmp/carol.image
run sh -c 'as carol moat save -c web - | cat >/tmp/carol.image'
is "checkpoint only: -c is allowed, into a pipe" "$status" 0
ok "the image that came out of the pipe is whole" verify_stream /tmp/carol.image
rm -f /tmp/carol.image
refused "a job that is not there" 3 "no job 4711 that you may cancel" as backupd moat cancel 4711

# --- domains

refused "unknown domain" 1 "no domain 'nosuch'; moat list shows them" as backupd moat save -c nosuch "$image"
refused "unknown domid" 1 "no domain 3999" as backupd moat save -c 3999 "$image"
refused "a domid beyond all" 1 "no domain 99999999999" as backupd moat save -c 99999999999 "$image"
twin_name web
refused "ambiguous name" 1 "'web' is the name of more than one domain \(.*$domid.*\): say the domid" \
    as backupd moat save -c web "$image"
ok "numeric domid, of an ambiguous name too" as backupd moat save -c "$domid" "$image"
ok "and its image is whole" verify_stream "$image"
twin_name twin
refused "dom0 without a rule" 3 "of '(0|Domain-0)': no rule allows it" as backupd moat save -c 0 "$images/dom0"
refused "dom0 with a rule" 1 "cannot be saved: it is the control domain" moat save -c 0 /tmp/dom0
for device in pci 9pfs; do
    xenstore-write "/libxl/$domid/device/$device/0/frontend" x
    refused "a domain with $device" 1 "cannot be saved: it has a (PCI|9pfs) device.*detach it first" \
        as backupd moat save "$domid" "$images/device.image"
    xenstore-rm "/libxl/$domid/device/$device"
done
xenstore-write "/local/domain/$twin/image/device-model-pid" 1
refused "a domain with a device model" 1 "has a device model.*use xl save" moat save "$twin" /tmp/twin
xenstore-rm "/local/domain/$twin/image/device-model-pid"

# --- FILE

echo precious >"$secret"
chown backupd: "$secret"
declined "FILE exists" 1 "$secret exists; --force replaces it" as backupd moat save -c web "$secret"
refused "FILE exists, --force, but no right" 3 "no rule" as mallory moat save -c --force web /disk/../tmp/mallory.image
refused "FILE exists, --force, refused" 1 "no domain" as backupd moat save -c --force nosuch "$secret"
is "is untouched" "$(cat "$secret")" precious
declined "FILE is a folder" 1 "$images is no regular file" as backupd moat save -c web "$images"
declined "FILE ends in /" 2 "not the name of a file" as backupd moat save -c web "$images/"
declined "FILE is a device" 1 "/dev/null is no regular file" as backupd moat save -c --force web /dev/null
mkfifo "$images/fifo"
declined "FILE is a pipe, the domain would be destroyed" 2 "is a pipe: that needs -c or -p" \
    as backupd moat save web "$images/fifo"
declined "FILE in /proc" 1 "cannot create a file there" as backupd moat save -c --force web /proc/self/comm
refused "standard output in /proc" 1 "on a file system that keeps nothing" \
    as backupd sh -c 'moat save -c web - >/proc/self/comm'
refused "standard output appends" 1 "open for appending" as backupd sh -c "moat save -c web - >>$secret"
declined "standard output is a device" 2 "neither a pipe nor a file" as backupd sh -c 'moat save -c web - >/dev/null'
declined "FILE - without -c or -p" 2 "FILE - needs -c or -p" as backupd moat save web -
declined "an unwritable folder" 1 "/root-only/web.image: cannot create a file there: Permission denied" \
    sh -c "mkdir -p $images/root-only; as backupd moat save -c web $images/root-only/web.image"
declined "no such folder" 1 "$images/none: No such file or directory" \
    as backupd moat save -c web "$images/none/web.image"
is "no file came of all this" "$(ls -A "$images" | tr '\n' ' ')" "fifo root-only secret web.image "

# --- usage

declined "-c with -p" 2 "-c and -p exclude each other" as backupd moat save -c -p web "$image"
for deadline in 0 -1 1x 86401 ""; do
    declined "--deadline '$deadline'" 2 "not a number of seconds from 1 to 86400" \
        as backupd moat save -c --deadline="$deadline" web "$image"
done
refused "--deadline beyond the limit" 1 "700 s is more than save-deadline allows \(600 s\)" \
    as backupd moat save -c --deadline 700 web "$images/late"
declined "no FILE" 2 "usage: moat .*save" as backupd moat save web
declined "an unknown option" 2 "usage: moat .*save" as backupd moat save --fast web "$image"
declined "an unknown command" 2 "no command \"destroy\"; .moat help. lists them" as backupd moat destroy web
declined "a domain's name with a control character" 2 "printable" as backupd moat save -c "$(printf 'we\033b')" "$image"
declined "a domain's name that is too long" 2 "1 to [0-9]+ characters" \
    as backupd moat save -c "$(printf '%0300d' 7)" "$image"
is "--json: a refusal for programs" "$(as mallory moat --json save -c web /tmp/mallory.image | python3 -c '
import json, sys
d = json.load(sys.stdin)
print(d["code"], d["reason"], d["rule_line"])')" "3 denied 0"

# --- while a save runs

rm -f "$images"/*.image
stalled_save -c --live web
job=$(as backupd moat jobs | awk 'NR == 2 { print $1 }')
like "jobs: shows it" "$(as backupd moat jobs)" "^ *$job save +web +$domid +backupd +running +[0-9]+s\$"
is "jobs: JSON" "$(as backupd moat --json jobs | python3 -c '
import json, sys
d = json.load(sys.stdin)
print(len(d), d[0]["job"], d[0]["operation"], d[0]["domain"], d[0]["operator"], d[0]["state"])')" \
    "1 $job save web backupd running"
is "jobs: not to somebody without the right" "$(as mallory moat jobs | tail -n +2)" ""
refused "a second save of the domain" 1 "domain $domid \(web\) is being saved by job $job" \
    moat save -c web /tmp/second
twin_name web-twin
refused "more jobs than an operator may have" 1 "you have 1 jobs already, and jobs-per-operator is 1" \
    as backupd moat save -c web-twin "$images/twin.image"
twin_name twin
refused "cancel without the right" 3 "no job $job that you may cancel" as mallory moat cancel "$job"
stalled_save_ends
is "the save that all this did not disturb succeeds" "$status" 0
ok "and its image is whole" verify_stream "$images/image"

# --- reload

sed 's/^operations = list, save, jobs, cancel/operations = list, save, jobs, cancel, fly/' $conf >new.conf
cp new.conf $conf
kill -HUP "$moatd_pid"
ok "SIGHUP with a bad file: says that the old rules stay" \
    wait_for 20 grep -q "$conf: the old rules stay" "$moat_log"
like "and why" "$(cat "$moat_log")" "^$conf:13: .*'fly'"
refused "the old rules do stay" 3 "save of 'web': no rule allows it" as carol moat save web /tmp/carol.image
is "and still allow" "$(as backupd moat list | awk 'NR > 1 { print $1 }')" web
write_conf
sed -i 's/^operators = @backup/operators = mallory/' $conf
kill -HUP "$moatd_pid"
ok "SIGHUP with a good file: is read" wait_for 20 grep -q "$conf: read again" "$moat_log"
wait_for 10 sh -c 'as mallory moat list | grep -q ^web'
is "whom the new rules allow" "$(as mallory moat list | awk 'NR > 1 { print $1 }')" web
refused "whom they allow no more" 3 "save of 'web': no rule allows it" as backupd moat save web "$image"

ok "the guest was not touched by any of this" guest_goes_on web
is "and is as it was" "$(xl list | awk '$1 == "web" { print $1, $2, $3, $4 }')" "$before"
is "nobody asked it to suspend by a refused command" "$(xenstore-read "/local/domain/$domid/control/shutdown")" ""
ok "each begin has its end" audit_settled
ok "the audit log holds" moat audit verify
xl destroy "$twin"
moat_stop
done_testing
