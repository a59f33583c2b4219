#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
#
# fetch.sh [--update]: put what the box runs into build/box: the hypervisor, the Xen tools with their
# libraries, a kernel and Python. The packages are downloaded and unpacked, never installed: installing
# a hypervisor changes the boot loader of the machine.
#
# Result, complete or absent: build/box/debs (the packages), build/box/root (unpacked), build/box/xen and
# build/box/vmlinux (uncompressed: QEMU and Xen would need seconds of emulated time to unpack them).
# A second run does nothing until the list below changes; --update asks the archive for newer packages.
set -eu
umask 022

box_src=$(cd "$(dirname "$0")" && pwd)
build=${BOX_BUILD:-$(cd "$box_src/../.." && pwd)/build/box}

packages="xen-hypervisor-4.17-amd64 xen-utils-4.17 xen-utils-common xenstore-utils
libxencall1 libxendevicemodel1 libxenevtchn1 libxenforeignmemory1 libxengnttab1 libxenhypfs1
libxenmisc4.17 libxenstore4 libxentoolcore1 libxentoollog1 libyajl2 libnl-3-200 libnl-route-3-200
python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1"

die() {
    echo "fetch.sh: $*" >&2
    exit 1
}

# The kernel's metapackage names the newest ABI; the -cloud- kernels lack dom0 support and 9p.
newest_kernel() {
    apt-cache depends --no-recommends --no-suggests linux-image-amd64 2>/dev/null |
        awk '$1 == "Depends:" && $2 ~ /^linux-image-6\.1\.0-[0-9]+-amd64$/ { print $2; exit }'
}

apt_as_caller() {
    apt-get -q -o APT::Sandbox::User="$(id -un)" "$@"
}

update_index() {
    if [ "$(id -u)" -eq 0 ]; then
        apt_as_caller update || die "apt-get update failed; see its message above"
    elif command -v sudo >/dev/null; then
        sudo apt-get -q update || die "apt-get update failed; see its message above"
    else
        die "the package index is missing or too old: run 'apt-get update' as root, then this again"
    fi
}

# Writes the packages to $1, which is only renamed into place when all of them are whole.
download() {
    rm -rf "$1"
    mkdir -p "$1"
    kernel=$(newest_kernel)
    # shellcheck disable=SC2086  # a list of words
    if [ -n "$kernel" ] && (cd "$1" && apt_as_caller download $packages "$kernel"); then
        return 0
    fi
    echo "fetch.sh: the package index is missing or out of date, updating it" >&2
    update_index
    kernel=$(newest_kernel)
    [ -n "$kernel" ] || die "no package linux-image-6.1.0-*-amd64: is this Debian 12 with its main archive?"
    # shellcheck disable=SC2086
    (cd "$1" && apt_as_caller download $packages "$kernel") ||
        die "cannot download the packages; apt-get says why above"
}

unpack() {
    rm -rf "$2"
    mkdir -p "$2"
    # Merged /usr, as on an installed Debian: packages still carry files under /lib.
    mkdir -p "$2/usr/lib" "$2/usr/lib64" "$2/usr/bin" "$2/usr/sbin"
    for name in lib lib64 bin sbin; do
        ln -s "usr/$name" "$2/$name"
    done
    for deb in "$1"/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" |
            tar -x -C "$2" --keep-directory-symlink --no-same-owner \
                --exclude='./usr/share/doc' --exclude='./usr/share/man' ||
            die "$deb cannot be unpacked; remove $1 and try again"
    done
}

main() {
    update=0
    [ "${1:-}" = --update ] && update=1
    mkdir -p "$build"
    exec 9>"$build/.fetch.lock"
    flock 9

    key=$(cat "$box_src/fetch.sh" "$box_src/vmlinux.py" | sha256sum | cut -c1-16)
    if [ $update -eq 0 ] && [ "$(head -n 1 "$build/fetch.stamp" 2>/dev/null)" = "$key" ]; then
        return 0
    fi
    rm -f "$build/fetch.stamp"
    [ $update -eq 1 ] && update_index

    echo "fetch.sh: downloading Xen 4.17, a kernel and their tools into $build" >&2
    download "$build/debs.part"
    unpack "$build/debs.part" "$build/root.part"
    gzip -dc "$build"/root.part/boot/xen-4.17-amd64.gz >"$build/xen.part"
    python3 "$box_src/vmlinux.py" "$build"/root.part/boot/vmlinuz-6.1.0-*-amd64 "$build/vmlinux.part"

    rm -rf "$build/debs" "$build/root"
    for name in debs root xen vmlinux; do
        mv "$build/$name.part" "$build/$name"
    done
    # The second line makes base.sh see newer packages.
    { echo "$key"; ls "$build/debs"; } >"$build/fetch.stamp.part"
    mv "$build/fetch.stamp.part" "$build/fetch.stamp"
}

main "$@"
