#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# Installs the packages named on the command line that are not installed yet.
set -eu
missing=
for p; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "not installed:$missing; run this as root" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
echo "installing:$missing"
apt-get update -q >/dev/null
# shellcheck disable=SC2086
apt-get install -y -q --no-install-recommends $missing >/dev/null
