# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 240
# xl itself creates, saves and restores both kinds of guest here: what moat is measured against works.
. /box/lib.sh

reference() {
    kind=$1
    guest_create "$kind" -a "box.mode=write box.mib=8" || return
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
    passes=$(guest_passes "$guest")
    wait_for 20 sh -c "grep -c 'pages ok' $(guest_log "$guest") | grep -qv '^0'"
    ok "$kind: its memory is consistent" guest_passes "$guest"
    at_least "$kind: and was checked" "$(guest_passes "$guest")" $((passes + 0))
    ok "$kind: xl save that destroys succeeds" xl save "$guest" "$image"
    ok "$kind: the domain is gone" guest_gone "$guest"
    rm -f "$image"
}

reference pvh
reference pv

ok "a guest that ignores control/shutdown starts" \
    guest_create pvh -n deaf -a initcall_blacklist=xen_setup_shutdown_event
xenstore-write "/local/domain/$(xl domid deaf)/control/shutdown" suspend
sleep 2
is "it leaves a suspend request standing" \
    "$(xenstore-read "/local/domain/$(xl domid deaf)/control/shutdown")" suspend
ok "and goes on counting" guest_goes_on deaf
done_testing
