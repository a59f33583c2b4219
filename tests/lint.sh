#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# What the compiler does not say: licences, widths, lengths, which way includes point, shell scripts, C that
# cppcheck doubts. Prints FILE:LINE: what is wrong; exit status 1 if there was anything.
set -u
found=0
complain() {
    echo "$1"
    found=1
}
sources() {
    git ls-files "$@"
}

for f in $(sources '*.c' '*.h' '*.def' '*.sh' '*.t' '*.mk' '*.py' '*.policy' GNUmakefile .ci/run); do
    head -n 3 "$f" | grep -q 'SPDX-License-Identifier: LGPL-2.1-only' ||
        complain "$f:1: no SPDX line (LGPL-2.1-only)"
done

for f in $(sources 'ipc/*.[ch]' 'policy/*.[ch]' 'parent/*.[ch]' 'workers/*.[ch]' 'lib/*.[ch]' 'include/*.h' '*.def'); do
    awk -v f="$f" '{ gsub(/\t/, "        ") } length($0) > 100 { print f ":" NR ": more than 100 columns"; bad = 1 }
        END { exit bad }' "$f" || found=1
    lines=$(wc -l <"$f")
    [ "$lines" -le 620 ] || complain "$f:$lines: more than 600 lines: more than one subject?"
done

# Functions: from a brace in the first column to the next one.
for f in $(sources 'ipc/*.c' 'policy/*.c' 'parent/*.c' 'workers/*.c' 'lib/*.c'); do
    awk -v f="$f" '/^{/ { from = NR } /^}/ && from { if (NR - from > 80) { print f ":" from ": a function of " NR - from " lines"; bad = 1 } from = 0 }
        END { exit bad }' "$f" || found=1
done

# Arrows point down: parent and workers -> policy -> ipc.  policy/launch forks the parent: the one exception.
for f in $(sources 'ipc/*.[ch]'); do
    grep -nHE '#include "(policy|parent|workers|lib|tests)/' "$f" && found=1
done
for f in $(sources 'policy/*.[ch]'); do
    grep -nHE '#include "(parent|workers|lib|tests)/' "$f" | grep -v '^policy/launch/.*"parent/parent.h"' && found=1
done
for f in $(sources 'parent/*.[ch]'); do
    grep -nHE '#include "(workers|lib|tests)/' "$f" && found=1
done
for f in $(sources 'workers/*.[ch]'); do
    grep -nHE '#include "(parent|lib|tests)/' "$f" && found=1
done
# libmoat: over the event core and ipc.  What is installed includes nothing of ours but itself.
for f in $(sources 'lib/*.[ch]'); do
    grep -nHE '#include "(policy|workers|tests|parent/(jobs|cli))/' "$f" && found=1
done
for f in $(sources 'include/*.h'); do
    grep -nHE '#include "' "$f" | grep -v '"moat/' && found=1
done

# The trusted parts, in lines of code: without comments and blank lines.
code_lines() {
    for f in "$@"; do
        gcc -fpreprocessed -dD -E -P "$f" 2>/dev/null
    done | grep -cv '^[[:space:]]*$'
}
echo "lint: lines of code: warden $(code_lines policy/warden/*.c), gate $(code_lines policy/gate/*.c)," \
    "supervisor $(code_lines policy/launch/supervisor.c), forker $(code_lines policy/launch/forker.c)"

git grep -nE '\b(TODO|FIXME|XXX)\b' -- '*.c' '*.h' '*.def' '*.sh' '*.t' ':!tests/lint.sh' && found=1

for f in $(sources '*.sh' '*.t' .ci/run); do
    head -n 1 "$f" | grep -q 'sh$' || head -n 1 "$f" | grep -q '^# SPDX' || continue
    shellcheck -x -S warning -e SC2034,SC2010,SC1091 "$f" || found=1
done

# shellcheck disable=SC2046
mandoc -Tlint -Wwarning $(sources 'doc/man/*') || found=1

# shellcheck disable=SC2046
cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 -j2 \
    --suppress=missingInclude --suppress=arrayIndexOutOfBoundsCond \
    --suppress=syntaxError:parent/event/event_internal.h --suppress=unknownMacro --suppress=preprocessorErrorDirective \
    -I. -Iinclude -Ibuild/gen $(sources 'ipc/*.c' 'policy/*.c' 'parent/*.c' 'workers/*.c' 'lib/*.c') || found=1

[ "$found" -eq 0 ] && echo "lint: nothing to say"
exit "$found"
