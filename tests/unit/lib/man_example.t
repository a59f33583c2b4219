#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# The library's manual pages: each example compiles as printed and links; each function that the library exports
# has its page.  TAP.  (tests/sim/man_example.t runs the first example.)
B=${B:-build}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
n=0 failed=0

ok() { # status, name
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=1; fi
}

names_of() { # PAGE: what its NAME section lists
    awk '/^\.Sh/ { in_name = $2 == "NAME" } in_name && /^\.Nm/ { print $2 }' "$1"
}

exported=$(sed -n '/^global:/,/^local:/s/^ *\([a-z_]*\);$/\1/p' lib/libmoat.map)
for page in doc/man/*.3; do
    name=${page##*/}
    tests/man-example.sh "$page" >"$dir/example.c"
    grep -q '^int main' "$dir/example.c"
    ok $? "$name: its example is a whole program"
    # What an application's author would say, and the strictest that is usual.
    # shellcheck disable=SC2046
    ${CC:-gcc} -Wall -Wextra -Werror -Iinclude "$dir/example.c" -o "$dir/example" -L"$B/lib" -lmoat \
        $(pkg-config --libs xentoollog) >"$dir/log" 2>&1
    r=$?
    sed 's/^/# /' "$dir/log"
    ok $r "$name: the example compiles as printed, without a warning, and links"
    unknown=$(names_of "$page" | grep '^libxl_\|^moat_child_' | while read -r f; do
        echo "$exported" | grep -qx "$f" || echo "$f"; done)
    [ -z "$unknown" ]
    ok $? "$name: is about functions that there are${unknown:+, unlike }$unknown"
done

missing=
for f in $exported; do
    pages=0
    for page in doc/man/*.3; do
        ! names_of "$page" | grep -qx "$f" || pages=$((pages + 1))
    done
    [ $pages = 1 ] || missing="$missing $f"
done
[ -z "$missing" ]
ok $? "each exported function has exactly one page${missing:+, unlike}$missing"

make --no-print-directory -s install-man DESTDIR="$dir/root" PREFIX=/usr >"$dir/log" 2>&1
ok $? "the pages install"
dead=$(find "$dir/root" -xtype l)
[ -z "$dead" ] && for f in $exported; do [ -e "$dir/root/usr/share/man/man3/$f.3" ] || exit 1; done
ok $? "man finds each function by its name"

cat >"$dir/cxx.cc" <<'END'
#include <moat/libxl_event.h>
int main() { libxl_ctx *ctx; return libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, nullptr) || libxl_ctx_free(ctx); }
END
clang++ -Wall -Wextra -Werror -Iinclude -fsyntax-only "$dir/cxx.cc" >"$dir/log" 2>&1
r=$?
sed 's/^/# /' "$dir/log"
ok $r "the header is C++ too"
echo "1..$n"
exit $failed
