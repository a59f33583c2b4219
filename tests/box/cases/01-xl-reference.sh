# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC1091,SC2154
# box: seconds 300
# xl itself creates, saves and restores both kinds of guest here: what moat is measured against works.
. /box/lib.sh

# Passes over its memory since the log was emptied.
guest_has_passes() {
    [ "$(grep -c '^guest: pages ok' "$(guest_log "$1")")" -ge "$2" ]
}

reference() {
    kind=$1
    guest_create "$kind" -a "box.mode=write box.mib=8" || return 0
    pass "$kind: xl create starts $guest"
    ok "$kind: $guest counts" guest_goes_on "$guest"
    first=$domid

    image=/disk/$guest.image
    ok "$kind: xl save -c succeeds" xl save -c "$guest" "$image"
    saved=$(guest_count "$guest")
    ok "$kind: $guest goes on after xl save -c" guest_goes_on "$guest"
    is "$kind: it is the same domain" "$(xl domid "$guest")" "$first"
    ok "$kind: verify-stream-v2 accepts xl's image" verify_stream "$image"
    ok "$kind: $guest can be destroyed" guest_destroy "$guest"

    later=$(guest_count "$guest")
    : >"$(guest_log "$guest")"
    ok "$kind: xl restore takes the image" xl restore "$image"
    ok "$kind: $guest goes on counting" guest_wait_count "$guest" $((saved + 3))
    counted=$(tr -d '\r' <"$(guest_log "$guest")" | sed -n 's/^guest: count //p' | head -n 1)
    at_least "$kind: from where the image was made, not from 1" "$counted" $((saved - 2))
    at_most "$kind: nor from where it was destroyed" "$counted" $((later - 1))
    # The first pass may have begun before the image was made, the second has read only restored pages.
    wait_for 60 guest_has_passes "$guest" 2
    ok "$kind: its memory is consistent" guest_passes "$guest"
    ok "$kind: all of it was checked" guest_has_passes "$guest" 2
    ok "$kind: xl save that destroys succeeds" xl save "$guest" "$image"
    ok "$kind: the domain is gone" guest_gone "$guest"
    rm -f "$image"
}

reference pvh
reference pv

if guest_create pvh -n deaf -a initcall_blacklist=xen_setup_shutdown_event; then
    xenstore-write "/local/domain/$domid/control/shutdown" suspend
    sleep 2
    is "a guest can be made to ignore control/shutdown" \
        "$(xenstore-read "/local/domain/$domid/control/shutdown")" suspend
    ok "it goes on counting" guest_goes_on deaf
fi
done_testing
