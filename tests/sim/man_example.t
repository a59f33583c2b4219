#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# The examples of the library's manual pages, run as printed, by an operator on the simulated host.  TAP.
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)

if [ "${1:-}" != inside ]; then
    build=${SIM_BUILD:-build}
    case $build in /*) ;; *) build=$top/$build ;; esac
    dir=$(mktemp -d) || exit 1
    trap 'rm -rf "$dir"' EXIT
    cat >"$dir/moat.conf" <<'END'
[rule example]
operators = admind
operations = save, resume, list
domains = *
decision = allow
[rule others]
operators = backupd
operations = list
domains = *
decision = allow
END
    san=
    case $build in *asan) san=-fsanitize=address,undefined ;; esac
    for page in libmoat moat_osevent moat_event moat_childproc moat_domain_suspend; do
        "$top/tests/man-example.sh" "$top/doc/man/$page.3" >"$dir/$page.c"
        # shellcheck disable=SC2046,SC2086
        ${CC:-gcc} $san -I"$top/include" "$dir/$page.c" -o "$dir/$page" "$build/lib/libmoat.a" \
            $(pkg-config --libs xentoollog) -lpthread || { echo "not ok 1 - $page compiles"; exit 1; }
    done
    "$here/simrun.sh" --build "$build" --conf "$dir/moat.conf" --domain name=web,domid=1,type=pvh,mem=32 \
        --domain name=db1,domid=2,type=pv,mem=32 -- "$0" inside "$dir"
    exit
fi

. "$here/lib.sh"
n=0 failed=0
ok() { # status, name
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; return; fi
    echo "not ok $n - $2"
    echo "$out" | sed 's/^/#   /'
    failed=1
}
is_stream() {
    [ "$(head -c 8 "$1")" = LibxlFmt ] && [ "$(wc -c <"$1")" -gt 1000000 ]
}

for page in "$2"/*.c; do
    install -m 755 "${page%.c}" "$SIM/bin/"
done
home=/home/admind

out=$(as admind libmoat 1 $home/image 2>&1)
ok $? "libmoat(3): saves a domain and lets it go on"
[ "$out" = "domain 1 is in $home/image and goes on" ]
ok $? "libmoat(3): and says so"
is_stream $home/image
ok $? "libmoat(3): the file is libxl's stream, with the memory, and nothing before it"
out=$(as backupd libmoat 1 /home/backupd/image 2>&1)
[ $? = 1 ] && echo "$out" | grep -q 'no rule allows it' && echo "$out" | grep -q '^libmoat: fail$'
ok $? "libmoat(3): without a rule it fails, and the log has the reason"
out=$(MOAT_SOCKET=/nowhere as admind libmoat 1 $home/image2 2>&1)
[ $? = 1 ] && echo "$out" | grep -q 'cannot reach moatd at /nowhere'
ok $? "libmoat(3): MOAT_SOCKET says where moatd is, and that there is none"

out=$(as admind moat_domain_suspend 2 $home/image3 2>&1)
ok $? "moat_domain_suspend(3): suspends a domain"
is_stream $home/image3
ok $? "moat_domain_suspend(3): into a file"
out=$(as admind moat_osevent 1 $home/image4 2>&1)
ok $? "moat_osevent(3): suspends a domain from a loop with registrations"
is_stream $home/image4
ok $? "moat_osevent(3): into a file"

as admind moat_event 1 >"$SIM/event" 2>&1 &
pid=$!
out=$(wait_until 20 grep -q 'domain_shutdown, reason 2' "$SIM/event"; cat "$SIM/event")
echo "$out" | grep -q 'domain 1: domain_shutdown, reason 2'
ok $? "moat_event(3): is told of the domain that stayed suspended"
simctl destroy 1 >/dev/null
wait $pid
r=$?
out=$(cat "$SIM/event")
[ $r = 0 ] && [ "$(tail -n 1 "$SIM/event")" = "domain 1: domain_death" ]
ok $? "moat_event(3): and of its end"

out=$(timeout 20 as admind moat_childproc 2>&1)
ok $? "moat_childproc(3): reaps its own child"
echo "1..$n"
exit $failed
