#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only
# man-example.sh PAGE: the program in the EXAMPLES of a manual page, as a reader sees it.
set -eu
awk '/^\.Sh/ { examples = $2 == "EXAMPLES" }
     /^\.Ed/ { inside = 0 }
     inside { gsub(/\\&/, ""); gsub(/\\e/, "\\"); print }
     examples && /^\.Bd -literal/ { inside = 1 }' "$1"
