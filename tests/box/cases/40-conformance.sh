# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2154
# box: seconds 900
# The same programs over libxenlight (as root) and over libmoat (as an operator) leave the same traces.
. /box/lib.sh
. /box/moat.sh

# CONF_SIDES=libxl (or moat) plays one side only, CONF_ONLY=REGEX some cases: both for looking into something.
: "${CONF_SIDES:=libxl moat}"
serve() {
    moat_start - <<'END'
[daemon]
socket = /run/moat/moat.sock
audit = /var/log/moat/audit.jsonl
[limits]
suspend-deadline = 60
[rule conformance]
operators = backupd
operations = list, save, resume, jobs, cancel
domains = web, spare*
decision = allow
END
}
[ "$CONF_SIDES" = libxl ] || serve || done_testing

# shellcheck disable=SC2086
python3 /box/conformance/run.py /box/conformance backupd $CONF_SIDES >results
status=$?
mkdir -p "/disk/.put/$BOX_CASE"
cp -f results ./*.trace ./*.log ./*.times "/disk/.put/$BOX_CASE/"

what=
why=
tell() {
    case $what in
        pass) pass "$name" ;;
        fail) fail "$name" "$why" ;;
    esac
    what='' why=''
}
while IFS= read -r said; do
    case $said in
        "pass "* | "fail "*) tell; what=${said%% *} name=${said#* } ;;
        "  "*) why="$why${said#  }
" ;;
    esac
done <results
tell
is "the comparison ran to its end" "$status" 0
at_least "cases" "$(grep -c '^pass\|^fail' results)" 60
diag "$(tail -n 1 results)"
[ -z "${moatd_pid:-}" ] || moat_stop
done_testing
