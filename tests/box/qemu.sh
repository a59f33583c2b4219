# SPDX-License-Identifier: LGPL-2.1-only
# shellcheck shell=sh disable=SC2034
#
# Sourced by run.sh and shell.sh: the folder of a run, its overlay, its disk and QEMU's command line.

# Modes of the checkout and of build/ end up in dom0.
umask 022

box_src=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$box_src/../.." && pwd)
build=${BOX_BUILD:-$top/build/box}
out=${BOX_OUT:-$build/out}
stage=${BOX_STAGE:-$top/build/stage}
mem=${BOX_MEM:-4096}

box_die() {
    echo "box: $*" >&2
    exit 2
}

# One box per folder: a second run in the same one would overwrite the first one's disk under its feet.
box_claim_out() {
    mkdir -p "$out"
    exec 8>"$out/.lock"
    flock -n 8 || box_die "another box runs in $out; give this one its own folder with BOX_OUT=..."
}

# The shared libraries of the staged programs that the base does not have. What is staged itself is there.
overlay_libraries() {
    find "$1" -type f \( -perm /111 -o -name '*.so*' \) ! -path "$1/box/*" | while read -r elf; do
        LD_LIBRARY_PATH=$1/usr/lib ldd "$elf" 2>/dev/null | awk -v elf="${elf#"$1"}" -v tree="$1/" '
            /not found/ { print "box: " elf " needs " $1 ", which this host lacks" > "/dev/stderr" }
            $2 == "=>" && $3 ~ /^\// && index($3, tree) != 1 { print $3 }'
    done | sort -u | while read -r lib; do
        name=${lib##*/}
        grep -qx "usr/lib/x86_64-linux-gnu/$name" "$build/base.list" && continue
        mkdir -p "$1/usr/lib/x86_64-linux-gnu"
        [ -e "$1/usr/lib/x86_64-linux-gnu/$name" ] || cp -L "$lib" "$1/usr/lib/x86_64-linux-gnu/$name"
    done
}

# box_overlay: starts $out/overlay with what every dom0 gets: its init, users, the staged tree.
# lib, bin and sbin of the base are links into /usr: a staged /lib/... has to follow them.
box_overlay() {
    tree=$out/overlay
    rm -rf "$tree"
    mkdir -p "$tree/etc" "$tree/box"
    # Programs that only cases need and nobody installs (make stage-examples).
    [ ! -d "$stage-tests" ] || cp -a "$stage-tests/." "$tree/"
    if [ -d "$stage" ]; then
        cp -a "$stage/." "$tree/"
        for name in bin sbin lib lib64; do
            if [ -d "$tree/$name" ] && [ ! -L "$tree/$name" ]; then
                mkdir -p "$tree/usr/$name"
                cp -a "$tree/$name/." "$tree/usr/$name/"
                rm -rf "${tree:?}/$name"
            fi
        done
    fi
    overlay_libraries "$tree"
    cp "$box_src/dom0/init" "$tree/init"
    cp "$box_src/dom0/passwd" "$box_src/dom0/group" "$tree/etc/"
    printf 'passwd: files\ngroup: files\nshadow: files\nhosts: files\n' >"$tree/etc/nsswitch.conf"
    printf '127.0.0.1 localhost\n' >"$tree/etc/hosts"
    cp "$box_src/lib.sh" "$box_src/dom0/runner" "$tree/box/"
    # What only cases of moat need; the box itself works without.
    [ ! -f "$box_src/moat.sh" ] || cp "$box_src/moat.sh" "$tree/box/"
    cp "$box_src/../sim/asks.py" "$tree/box/"
    hostile=${BOX_HOSTILE:-$top/build/hostile/save-box}
    [ ! -f "$hostile" ] || cp "$hostile" "$tree/box/hostile-save"
    conformance=$top/build/conformance
    if [ -d "$conformance" ]; then
        for side in libxl moat; do
            [ -d "$conformance/$side" ] || continue
            mkdir -p "$tree/box/conformance/$side"
            find "$conformance/$side" -maxdepth 1 -type f -exec cp {} "$tree/box/conformance/$side/" \;
        done
        cp "$top/tests/conformance/run.py" "$top/tests/conformance/differences.txt" \
            "$top/tests/conformance/slow.txt" "$top/doc/libxl.md" \
            "$tree/box/conformance/"
    fi
    echo "export MUST_WORK=${MUST_WORK:-0} ${BOX_ENV:-}" >"$tree/box/env"
}

# box_machine: packs the overlay behind the base, makes an empty disk and sets $cpu.
# Why each flag: README.md.
box_machine() {
    python3 "$box_src/mkcpio.py" "$out/overlay" "$out/overlay.cpio" || exit 2
    cat "$build/base.cpio" "$out/overlay.cpio" >"$out/initrd"
    rm -rf "$out/overlay" "$out/overlay.cpio" "$out/disk.img"
    truncate -s "${BOX_DISK:-8G}" "$out/disk.img"
    mke2fs -q -F -t ext4 -E lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 "$out/disk.img" ||
        box_die "mke2fs failed on $out/disk.img"
    cpu=EPYC,+svm,+npt,-smap,-smep,-monitor,-rdtscp,xsave=off${BOX_CPU_EXTRA:+,$BOX_CPU_EXTRA}
}

xen_line="console=com1 com1=115200,8n1 dom0_mem=1536M,max:1536M dom0_max_vcpus=1 cpuidle=0 \
loglvl=warning guest_loglvl=warning${BOX_XEN_EXTRA:+ $BOX_XEN_EXTRA}"
dom0_line="console=hvc0 loglevel=4 mitigations=off panic=1${BOX_LINUX_EXTRA:+ $BOX_LINUX_EXTRA}"

# box_qemu CONSOLE COMMAND...: runs "COMMAND... QEMU-COMMAND-LINE"; CONSOLE is where the first serial port goes.
box_qemu() {
    console=$1
    shift
    "$@" qemu-system-x86_64 -accel tcg,thread=multi -cpu "$cpu" -smp 2 -m "$mem" \
        -no-reboot -display none -monitor none -nic none \
        -kernel "$build/xen" -append "$xen_line" -initrd "$build/vmlinux $dom0_line,$out/initrd" \
        -drive "file=$out/disk.img,format=raw,if=ide" -serial "$console" -serial "file:$out/out"
}
