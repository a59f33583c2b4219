#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
#
# base.sh: build build/box/base.cpio, the part of dom0 that does not change from run to run: busybox, the
# Xen tools with their libraries, Python, kernel modules, and a guest (kernel and initramfs) in /guest.
# It is built again when anything that goes into it changes. Prints the archive's path.
set -eu
umask 022

box_src=$(cd "$(dirname "$0")" && pwd)
build=${BOX_BUILD:-$(cd "$box_src/../.." && pwd)/build/box}
root=$build/root
libdir=usr/lib/x86_64-linux-gnu
xenlib=usr/lib/xen-4.17

# Essential on every Debian, and closer to what an operator has than busybox's versions.
host_tools="setpriv prlimit unshare nsenter flock"
# Python's own code that no test in dom0 has a use for, or that needs large libraries.
python_without="test unittest lib2to3 distutils pydoc_data idlelib ensurepip venv curses sqlite3 wsgiref
xmlrpc turtledemo turtle.py tkinter"
python_modules="_json mmap resource termios _ctypes _decimal _queue _uuid _contextvars _multiprocessing _posixshmem"

die() {
    echo "base.sh: $*" >&2
    exit 1
}

cache_key() {
    {
        cat "$build/fetch.stamp" "$0" "$box_src/mkcpio.py" "$box_src/guest.c" "$box_src"/tools/*.c \
            "$box_src"/dom0/modules "$box_src"/guest/*
        cat /bin/busybox /lib/x86_64-linux-gnu/libc.so.6
    } | sha256sum | cut -c1-16
}

static_program() {
    gcc -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -static -s -o "$2" "$1"
}

# For each program or library given, the shared libraries that it needs, found first among those unpacked.
libraries_of() {
    for elf in "$@"; do
        LD_LIBRARY_PATH=$root/$libdir:$root/$xenlib/lib/x86_64-linux-gnu ldd "$elf" 2>/dev/null || :
    done | awk '
        /not found/ { print "missing " $1 > "/dev/stderr"; bad = 1 }
        $2 == "=>" && $3 ~ /^\// { print $3 }
        $1 ~ /^\/lib64\/ld-linux/ { print $1 }
        END { exit bad }' | sort -u
}

install_libraries() {
    list=$(libraries_of "$@") || die "shared libraries are missing (above); see packages.txt"
    mkdir -p "$tree/$libdir" "$tree/usr/lib64"
    for lib in $list; do
        case $lib in
            */ld-linux-x86-64.so.2) cp -L "$lib" "$tree/usr/lib64/" ;;
            *) cp -L "$lib" "$tree/$libdir/" ;;
        esac
    done
}

make_skeleton() {
    for name in bin sbin lib lib64; do
        mkdir -p "$tree/usr/$name"
        ln -s "usr/$name" "$tree/$name"
    done
    for name in dev proc sys run tmp mnt disk newroot etc/xen var/lib/xen var/lib/xenstored \
        var/log/xen/console var/lock root home box guest modules; do
        mkdir -p "$tree/$name"
    done
    cp /bin/busybox "$tree/bin/busybox"
    for applet in $(/bin/busybox --list); do
        [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
    done
    for tool in $host_tools; do
        rm -f "$tree/bin/$tool"
        cp -L "$(command -v "$tool")" "$tree/bin/$tool"
    done
}

install_modules() {
    grep -v '^#' "$box_src/dom0/modules" | while read -r module; do
        cp "$root"/usr/lib/modules/*/kernel/"$module.ko" "$tree/modules/" ||
            die "the kernel has no module $module"
        echo "${module##*/}"
    done >"$tree/modules/order"
}

install_xen() {
    mkdir -p "$tree/$xenlib"
    cp -a "$root/$xenlib/bin" "$tree/$xenlib/bin"
    mkdir -p "$tree/$xenlib/lib"
    cp -a "$root/$xenlib/lib/python" "$tree/$xenlib/lib/python"
    cp -a "$root"/usr/bin/xenstore "$root"/usr/bin/xenstore-[elrw]* "$root"/usr/bin/xenstore-chmod "$tree/bin/"
    : >"$tree/etc/xen/xl.conf"
}

install_python() {
    cp -a "$root/usr/bin/python3.11" "$tree/bin/"
    ln -s python3.11 "$tree/bin/python3"
    cp -a "$root/usr/lib/python3.11" "$tree/usr/lib/python3.11"
    for name in $python_without; do
        rm -rf "$tree/usr/lib/python3.11/$name"
    done
    mv "$tree/usr/lib/python3.11/lib-dynload" "$tree/dynload"
    mkdir "$tree/usr/lib/python3.11/lib-dynload"
    for name in $python_modules; do
        mv "$tree/dynload/$name".*.so "$tree/usr/lib/python3.11/lib-dynload/"
    done
    rm -rf "$tree/dynload"
    # Compiled here: under emulation each import would cost tenths of a second.
    PYTHONHOME=$tree/usr LD_LIBRARY_PATH=$root/$libdir "$tree/bin/python3.11" -m compileall -q \
        --invalidation-mode unchecked-hash -s "$tree" -p / \
        "$tree/usr/lib/python3.11" "$tree/$xenlib/lib/python/xen" || die "Python's modules do not compile"
}

make_guest() {
    mkdir -p "$work/guest/dev" "$work/guest/proc"
    static_program "$box_src/guest.c" "$work/guest/init"
    echo "node dev/console c 5 1 600" >"$work/guest.spec"
    python3 "$box_src/mkcpio.py" "$work/guest" "$tree/guest/initrd" "$work/guest.spec"
    cp "$build/vmlinux" "$tree/guest/vmlinux"
    cp "$box_src"/guest/*.cfg "$tree/guest/"
}

build_base() {
    work=$build/base.work
    tree=$work/tree
    rm -rf "$work"
    mkdir -p "$tree/box/bin"
    make_skeleton
    install_modules
    install_xen
    install_python
    for tool in as bounded; do
        static_program "$box_src/tools/$tool.c" "$tree/box/bin/$tool"
    done
    find "$tree" -type f \( -perm /111 -o -name '*.so*' \) ! -path '*/guest/*' ! -path '*/modules/*' \
        -exec sh -c 'for f; do [ "$(head -c 4 "$f" | tr -d "\177")" = ELF ] && echo "$f"; done; :' sh {} + \
        >"$work/elf"
    # shellcheck disable=SC2046  # paths of our own making, without blanks
    install_libraries $(cat "$work/elf")
    # Opened by name at run time, by pthread_cancel.
    cp -L /lib/x86_64-linux-gnu/libgcc_s.so.1 "$tree/$libdir/"
    make_guest
    cat >"$work/spec" <<EOF
node dev/console c 5 1 600
node dev/null c 1 3 666
own tmp 0 0 1777
EOF
    python3 "$box_src/mkcpio.py" "$tree" "$build/base.cpio" "$work/spec"
    (cd "$tree" && find . -type f | sed 's/^\.\///') >"$build/base.list"
    rm -rf "$work"
}

mkdir -p "$build"
"$box_src/fetch.sh" >&2
exec 9>"$build/.base.lock"
flock 9
key=$(cache_key)
if [ ! -f "$build/base.cpio" ] || [ "$(cat "$build/base.stamp" 2>/dev/null)" != "$key" ]; then
    echo "base.sh: building the base image of dom0" >&2
    rm -f "$build/base.stamp"
    build_base
    echo "$key" >"$build/base.stamp"
fi
echo "$build/base.cpio"
