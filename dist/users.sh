#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# Makes the system users that moat's processes run as; existing ones stay.
set -eu
for u in moat moat-warden moat-gate moat-audit moat-worker; do
    getent passwd "$u" >/dev/null ||
        useradd --system --user-group --no-create-home --home-dir /nonexistent \
            --shell /usr/sbin/nologin "$u"
done
