#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
#
# shell.sh: a Xen host on this terminal, with the staged tree installed. Leave with "poweroff -f" inside, or
# with C-a x. Its folder is build/box/shell, so that tests can run beside it.
set -eu

: "${BOX_OUT:=$(cd "$(dirname "$0")/../.." && pwd)/build/box/shell}"
# shellcheck source=tests/box/qemu.sh
. "$(dirname "$0")/qemu.sh"

box_claim_out
"$box_src/base.sh" >/dev/null
box_overlay
mkdir -p "$tree/box/cases"
cp "$box_src"/cases/*.sh "$tree/box/cases/"
box_machine
box_qemu mon:stdio exec
