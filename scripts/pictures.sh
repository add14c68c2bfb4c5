#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# pictures.sh FOLDER: the pictures in docs/controls.md, of the demo clip. An empty argument means
# docs/images/controls.
set -euo pipefail
source "$(dirname "$0")/common.sh"
cd "$root"

# Text over video (Debian keeps it apart from the other base plugins).
gst-inspect-1.0 textoverlay >/dev/null 2>&1 || apt_install gstreamer1.0-x
film=$(scripts/fetch-clip.sh)
cargo run --release --quiet -p stylize-cli --example pictures -- "$film" --out "${1:-docs/images/controls}"
