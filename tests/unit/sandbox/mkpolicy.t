#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# The policy compiler names the file and the line of what it does not understand.  TAP.
mkpolicy=${B:-build}/mkpolicy
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
n=0 failed=0

ok() { # status, name
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=1; fi
}

# refuses NAME PATTERN TEXT [FIRST]: this text is refused with this message for line 2
refuses() {
    printf '%s\n%s\n' "${4:-# a comment}" "$3" > "$dir/p.policy"
    "$mkpolicy" "$dir/p.policy" --header "$dir/h" --golden "$dir/g" 2> "$dir/err"
    [ $? = 1 ] && grep -q "p.policy:2: .*$2" "$dir/err"
    r=$?
    [ $r = 0 ] || sed 's/^/# /' "$dir/err"
    ok $r "$1"
}

echo 1..14
refuses "an unknown call is named" "unknown system call 'raed'" "allow read, raed"
refuses "an unknown constant is named" "unknown constant 'PROT_EXCE'" "allow mmap arg2 & PROT_EXCE == 0"
refuses "an unknown word is named" "'permit'" "permit read"
refuses "only kill can be the default" "default kill" "default allow"
refuses "an unknown errno is named" "unknown errno 'EFOO'" "errno EFOO open"
refuses "an argument that does not exist" "arg0 to arg5" "allow read arg6 == 1"
refuses "a comparison without a value" "value is missing" "allow read arg0 =="
refuses "a value outside of the mask" "never true" "allow mmap arg2 & 4 == 2"
refuses "text after the rule" "not expected" "allow read arg0 == 1 or arg0 == 2"
refuses "a number of more than 32 bits" "32 bits" "allow read arg0 == 0x100000000"
refuses "with and without a condition" "unconditional" "allow read arg0 == 1" "allow read"

printf 'allow read\n' > "$dir/p.policy"
"$mkpolicy" "$dir/p.policy" --header "$dir/h" --golden "$dir/g" 2> "$dir/err"
[ $? = 1 ] && grep -q "default kill" "$dir/err"
ok $? "a policy without its default is refused"

printf 'allow read arg0 == 1\ndefault kill\n' > "$dir/p.policy"
printf 'allow read\nallow write\n' > "$dir/more.policy"
"$mkpolicy" "$dir/p.policy" --add "$dir/more.policy" --header "$dir/h" --golden "$dir/g" &&
    grep -q 'POLICY_SOURCES_p ".*p.policy", ".*more.policy"' "$dir/h" && ! grep -q arg0 "$dir/g"
ok $? "a supplement widens, and the header says that it was there"

"$mkpolicy" "$dir/p.policy" --header "$dir/h" --golden "$dir/g1" &&
    "$mkpolicy" "$dir/p.policy" --header "$dir/h" --golden "$dir/g2" && cmp -s "$dir/g1" "$dir/g2"
ok $? "the same policy gives the same golden text"
exit $failed
