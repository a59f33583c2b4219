#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# guests.t: guests that do not suspend as they should, and domains that must not be saved. TAP.
set -u
if [ -z "${SIM:-}" ]; then
    exec "$(dirname "$0")/simrun.sh" --domain name=web,domid=1,type=pvh,mem=16 \
        --domain name=numa,domid=4,type=pvh,mem=4,vnuma=1 --domain name=pci,domid=5,type=pvh,mem=4,pci=1 \
        --domain name=nine,domid=6,type=pvh,mem=4,9pfs=1 --domain name=model,domid=7,type=hvm,mem=4,dm=1 \
        --domain name=twin,domid=8,type=pvh,mem=4 --domain name=twin,domid=9,type=pvh,mem=4 -- "$0" "$@"
fi
. "$TOP/tests/sim/lib.sh"
home=/home/admind

save() {        # save ARG...: output in $out, exit status in $st
    out=$(as admind "$MOAT" save "$@" 2>&1) && st=0 || st=$?
}

untouched() {   # untouched DOMID WHAT
    is "$(field "$1" shutdown)/$(field "$1" logdirty)/$(field "$1" pauses)/$(field "$1" pins)" -/0/0/0 \
        "$2: the guest runs, no log-dirty, no pause, no pin"
    is "$(simctl read "/local/domain/$1/control/shutdown")" "" "$2: control/shutdown is cleared"
    is "$(find $home -type f | wc -l)" 0 "$2: no file is left"
}

# Whatever the guest does, with and without precopy, the end is one of ours and nothing stays behind.
for live in "" --live; do
    for behave in ignore:5:answer stall:5:suspend; do
        word=${behave%%:*} rest=${behave#*:}
        what="a guest that may $word${live:+, live}"
        simctl behave 1 "$word"
        save -c $live web $home/web.img
        is "$st" "${rest%%:*}" "$what: the command says timed out"
        like "$out" "${rest#*:}" "$what: the message names the half of the handshake"
        simctl behave 1 normal
        untouched 1 "$what"
        save -c $live web $home/web.img
        is "$st" 0 "$what: it can be saved afterwards"
        rm -f $home/web.img
    done

    simctl behave 1 crash
    save -c $live web $home/web.img
    is "$st" 1 "a guest that crashes instead${live:+, live}: the command fails"
    is "$(field 1 shutdown)/$(field 1 logdirty)/$(field 1 pins)" 3/0/0 \
        "a guest that crashes instead${live:+, live}: it stays crashed, no log-dirty, no pin"
    is "$(find $home -type f | wc -l)" 0 "a guest that crashes instead${live:+, live}: no file is left"
    simctl reuse 1

    simctl behave 1 die
    save -c $live web $home/web.img
    is "$st" 1 "a domain that dies meanwhile${live:+, live}: the command fails"
    wait_until 5 sh -c '! simctl state 1'
    ok $? "a domain that dies meanwhile${live:+, live}: nothing keeps its domid"
    simctl create name=web,domid=1,type=pvh,mem=16

    simctl behave 1 reuse
    before=$(field 1 uuid)
    save -c $live web $home/web.img
    is "$st" 1 "a domid that becomes another domain's${live:+, live}: the command fails"
    is "$(field 1 resumes)/$(field 1 shutdown)/$(field 1 logdirty)/$(field 1 pauses)" 0/-/0/0 \
        "a domid that becomes another domain's${live:+, live}: the new domain was not touched"
    [ "$(field 1 uuid)" != "$before" ]
    ok $? "a domid that becomes another domain's${live:+, live}: it is another domain indeed"
done

for refused in numa:4 pci:5 nine:6 model:7; do
    name=${refused%:*} domid=${refused#*:}
    save -c "$name" $home/x.img
    case $st in 1 | 3) r=0 ;; *) r=1 ;; esac
    ok $r "$name: a save is refused"
    like "$out" . "$name: the refusal has a reason"
    untouched "$domid" "$name"
    is "$(field "$domid" suspends)" 0 "$name: it was never suspended"
done
save -c twin $home/x.img
[ "$st" -ne 0 ] && [ "$st" -lt 126 ]
ok $? "an ambiguous name is refused"
save -c nobody $home/x.img
[ "$st" -ne 0 ] && [ "$st" -lt 126 ]
ok $? "an unknown name is refused"
save -c 0 $home/x.img
[ "$st" -ne 0 ] && [ "$st" -lt 126 ]
ok $? "domain 0 is refused, whatever the rules say"
finish
