# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 400
# Every form of moat save on real guests: xl restores each image, and nothing else is left of anything.
. /box/lib.sh
. /box/moat.sh
moat_start || done_testing

# Log-dirty mode of a PV guest is shadow paging.
hypervisor_has_shadow() {
    xl info 2>/dev/null | grep -q '^virt_caps.* shadow'
}

checked_pages() {
    [ "$(grep -c '^guest: pages ok' "$(guest_log "$1")")" -ge "$2" ]
}

# saves KIND LIVE: -c, -p and neither, each image restored by xl, the restored guest saved next.
saves() {
    kind=$1 live=$2
    name="$kind${live:+ $live}"
    image=$images/$guest.image

    count=$(guest_count "$guest")
    # shellcheck disable=SC2086
    ok "$name: save -c succeeds" as backupd moat save -c $live "$guest" "$image"
    is "$name: the image is its operator's alone" "$(stat -c '%U %a' "$image")" "backupd 600"
    ok "$name: the domain goes on after -c" guest_goes_on "$guest"
    is "$name: and is the same domain" "$(xl domid "$guest")" "$domid"
    ok "$name: verify-stream-v2 accepts the image of -c" verify_stream "$image"
    guest_destroy "$guest"
    restored "$name, -c" "$image" "$count"

    count=$(guest_count "$guest")
    # shellcheck disable=SC2086
    ok "$name: save -p succeeds and replaces a file with --force" \
        as backupd moat save -p $live --force "$guest" "$image"
    like "$name: -p leaves the domain paused" "$(guest_state "$guest")" '^..p---$'
    ok "$name: it can be unpaused" xl unpause "$guest"
    ok "$name: and goes on then" guest_goes_on "$guest"
    guest_destroy "$guest"
    restored "$name, -p" "$image" "$count"

    count=$(guest_count "$guest")
    uuid=$(uuid_of "$guest")
    gone=$domid
    # shellcheck disable=SC2086
    ok "$name: a save that destroys succeeds" as backupd moat save $live --force "$guest" "$image"
    ok "$name: the domain is gone" guest_gone "$guest"
    is "$name: nothing of it is left" "$(leftovers "$gone" "$uuid")" ""
    like "$name: its domid counts as just used" "$(cat /run/xen/domid-history)" " $gone\$"
    ok "$name: verify-stream-v2 accepts that image too" verify_stream "$image"
    restored "$name, destroyed" "$image" "$count"
    wait_for 60 checked_pages "$guest" 2
    ok "$name: its memory is consistent" guest_passes "$guest"
    ok "$name: and was all checked" checked_pages "$guest" 2
    is "$name: no hidden file is left" "$(find "$images" -name '.*' ! -path "$images" | wc -l)" 0
    rm -f "$image"
}

for kind in pvh pv; do
    guest_create $kind -a "box.mode=write box.mib=8" || continue
    run xl save -c "$guest" "$images/xl.image"
    ok "$kind: save -c for the comparison succeeds" as backupd moat save -c "$guest" "$images/m.image"
    is "$kind: the configuration in the image is xl's to the letter" \
        "$(image_json "$images/m.image" | md5sum)" "$(image_json "$images/xl.image" | md5sum)"
    is "$kind: image header and configuration are xl's" \
        "$(head -c 52 "$images/m.image" | md5sum)" "$(head -c 52 "$images/xl.image" | md5sum)"
    rm -f "$images"/*
    saves $kind ""
    if [ $kind = pv ] && ! hypervisor_has_shadow; then
        # Debian's hypervisor is built without shadow paging: nobody can save a PV guest live on it.
        exits "pv --live: a hypervisor that cannot log dirty pages is named" 1 \
            as backupd moat save -c --live "$guest" "$images/live.image"
        like "pv --live: with what to do" "$output" "without --live"
        ok "pv --live: the guest goes on" guest_goes_on "$guest"
        is "pv --live: no file is left" "$(find "$images" -name 'live*' | wc -l)" 0
    else
        saves $kind --live
    fi
    guest_destroy "$guest"
done

ok "the audit log holds" moat audit verify
begins=$(grep -c '"what":"begin"' /var/log/moat/audit.jsonl)
is "each begin has its end" "$(grep -c '"what":"end"' /var/log/moat/audit.jsonl)" "$begins"
at_least "every save was recorded" "$begins" 12
moat_stop
done_testing
