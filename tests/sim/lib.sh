# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-only
#
# For what runs inside simrun.sh: starting and watching moatd, TAP.

# wait_until SECONDS COMMAND...: until it succeeds; its output is dropped.
wait_until() {
    wu_left=$(($1 * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        wu_left=$((wu_left - 1))
        [ $wu_left -gt 0 ] || return 1
        sleep 0.05
    done
}

# moatd in the background, its messages in $SIM/moatd.log; comes back when operators are served.
start_moatd() {
    moatd >>"$SIM/moatd.log" 2>&1 &
    echo $! >"$SIM/moatd.pid"
    wait_moatd
}

wait_moatd() {
    wait_until 15 as admind "$MOAT" list
}

stop_moatd() {
    kill "$(cat "$SIM/moatd.pid")"
    wait_until 15 sh -c "! kill -0 $(cat "$SIM/moatd.pid")"
}

# field DOMID WORD: one value of `simctl state DOMID`
field() {
    simctl state "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"
}

# ---- TAP

tap_n=0 tap_failed=0

ok() {      # ok STATUS NAME
    tap_n=$((tap_n + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_n - $2"
    else
        echo "not ok $tap_n - $2"
        tap_failed=$((tap_failed + 1))
    fi
}

note() {
    sed 's/^/# /'
}

# is GOT WANTED NAME
is() {
    if [ "$1" = "$2" ]; then
        ok 0 "$3"
    else
        ok 1 "$3"
        printf 'got:    %s\nwanted: %s\n' "$1" "$2" | note
    fi
}

# like TEXT PATTERN NAME: an extended regular expression
like() {
    if printf '%s\n' "$1" | grep -Eq -- "$2"; then
        ok 0 "$3"
    else
        ok 1 "$3"
        printf 'got:    %s\nwanted: /%s/\n' "$1" "$2" | note
    fi
}

finish() {
    echo "1..$tap_n"
    [ $tap_failed -eq 0 ]
}

# pids_of ROLE: supervisor, recorder, gate, parent, warden, forker, worker or moat (the command)
pids_of() {
    for po_dir in /proc/[0-9]*; do
        po_args=$(cat "$po_dir/cmdline" 2>/dev/null | tr '\0' ' ') || continue
        po_uid=$(awk '/^Uid:/ { print $2 }' "$po_dir/status" 2>/dev/null)
        case "$1:$po_uid:$po_args" in
            supervisor:0:moatd* | parent:990:moatd* | forker:994:moatd* | worker:994:moat-save* | \
                recorder:993:moat-audit* | gate:992:moat-gate* | warden:991:moat-warden* | \
                moat:*:"$MOAT "*) echo "${po_dir#/proc/}" ;;
        esac
    done
}
