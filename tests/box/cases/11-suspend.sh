# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 500
# Saves after which a real guest stays suspended, moat resume, and operators that end their own save.
. /box/lib.sh
. /box/moat.sh
moat_start - <<'END' || done_testing
[limits]
suspend-deadline = 60
[rule backup]
operators = backupd
operations = list, save, jobs, cancel, resume
domains = web*, db1
decision = allow
END

asks() {
    as backupd python3 /box/asks.py "$@"
}

verify_bare() {
    PYTHONPATH=/usr/lib/xen-4.17/lib/python verify-stream-v2 -f libxl -i "$1"
}

# The size of what stands before libxl's stream in an image of xl's.
head_of() {
    python3 -c 'import struct, sys; f = open(sys.argv[1], "rb"); print(48 + struct.unpack("=12I", f.read(48))[11])' "$1"
}

for kind in pvh pv; do
    guest_create $kind -a "box.mode=write box.mib=8" || continue
    ok "$kind: a save -c, for its header" as backupd moat save -c "$guest" "$images/c.image"
    size=$(head_of "$images/c.image")
    head -c "$size" "$images/c.image" >"$images/s.image"
    chown backupd: "$images/s.image"

    count=$(guest_count "$guest")
    ok "$kind: a save that leaves the domain suspended, behind that header" \
        asks --suspended --offset "$size" save "$guest" "$images/s.image"
    like "$kind: says so" "$output" "stays suspended"
    like "$kind: xl list shows it suspended" "$(guest_state "$guest")" '^...s'
    sleep 3
    like "$kind: and it stays so" "$(guest_state "$guest")" '^...s'
    ok "$kind: no domain is a zombie" sh -c '! xl list | grep -q "(null)"'
    tail -c +$((size + 1)) "$images/s.image" >"$images/bare"
    ok "$kind: verify-stream-v2 accepts what was written as a bare libxl stream" verify_bare "$images/bare"
    exits "$kind: resume needs a rule" 3 as mallory moat resume "$guest"

    ok "$kind: moat resume" as backupd moat resume "$guest"
    ok "$kind: the guest goes on" guest_goes_on "$guest"
    is "$kind: and is the same domain" "$(xl domid "$guest")" "$domid"
    exits "$kind: a guest that runs is not resumed" 1 as backupd moat resume "$guest"
    like "$kind: it says why" "$output" "is not suspended"
    ok "$kind: the guest goes on after that" guest_goes_on "$guest"

    ok "$kind: suspended once more" asks --suspended save "$guest" "$images/bare2"
    moat_stop
    moat_start keep || done_testing
    sleep 2
    like "$kind: a new moatd leaves it suspended" "$(guest_state "$guest")" '^...s'
    ok "$kind: moat resume by its domid" as backupd moat resume "$domid"
    ok "$kind: the guest goes on" guest_goes_on "$guest"

    for when in STARTED CONFIG MEMORY SAVED; do
        exits "$kind: half-closed at $when" 1 asks --suspended --half-close $when save "$guest" "$images/bare3"
        like "$kind: half-closed at $when: DONE tells that it was aborted" "$output" "DONE 1 -22 "
        ok "$kind: half-closed at $when: the guest goes on" guest_goes_on "$guest"
    done

    guest_destroy "$guest"
    restored "$kind, header and stream" "$images/s.image" "$count"
    ok "$kind: its memory is consistent" guest_passes "$guest"
    guest_destroy "$guest"
    rm -f "$images"/*
done

ok "the audit log holds" moat audit verify
ok "each begin has its end" audit_settled
at_least "what was left suspended is in it" "$(grep -c '"act":"leave suspended"' "$audit_log")" 4
moat_stop
done_testing
