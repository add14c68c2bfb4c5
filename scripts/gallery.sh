#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# gallery.sh PHOTO FILM FOLDER QUALITY: all built-in styles on a photo (gallery.png), and a clip that
# glides through them (gallery.mp4). Empty arguments mean a frame of the demo clip, the demo clip,
# this folder and auto.
set -euo pipefail
source "$(dirname "$0")/common.sh"
cd "$root"

# Text over video (Debian keeps it apart from the other base plugins).
gst-inspect-1.0 textoverlay >/dev/null 2>&1 || apt_install gstreamer1.0-x
out=${3:-.}
mkdir -p "$out"
film=${2:-$(scripts/fetch-clip.sh)}
photo=${1:-}
if [ -z "$photo" ]; then
    photo=$deps/clips/frame.png
    [ -e "$photo" ] || gst-launch-1.0 --quiet filesrc location="$film" ! decodebin ! videoconvert \
        ! video/x-raw,format=RGB ! pngenc snapshot=true ! filesink location="$photo"
fi
cargo build --release --quiet --workspace --bin stylize
target/release/stylize styles "$photo" --sheet "$out/gallery.png" \
    --film "$film" --clip "$out/gallery.mp4" --quality "${4:-auto}"
