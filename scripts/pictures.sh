#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# pictures.sh FOLDER: the pictures in README and docs, all of the demo clip: the gallery on one frame, a frame before and
# after, a short film that glides through the styles, and those of docs/controls.md. An empty argument means docs/images.
set -euo pipefail
source "$(dirname "$0")/common.sh"
cd "$root"

# Text over video (Debian keeps it apart from the other base plugins), and animated WebP.
gst-inspect-1.0 textoverlay >/dev/null 2>&1 || apt_install gstreamer1.0-x
command -v ffmpeg >/dev/null || apt_install ffmpeg
clip=$(scripts/fetch-clip.sh)
out=${1:-docs/images}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo build --release --quiet -p stylize-cli --bin stylize --example pictures
convert() { ffmpeg -v error -y "$@"; }
convert -ss 2.5 -i "$clip" -frames:v 1 "$work/frame.png"
target/release/stylize styles "$work/frame.png" --sheet "$work/gallery.png" --film "$clip" --clip "$work/film.mp4" --seconds 12
convert -i "$work/gallery.png" -q:v 4 "$out/gallery.jpg"
convert -i "$work/film.mp4" -vf fps=12,scale=480:-2:flags=lanczos -c:v libwebp_anim -quality 55 -compression_level 6 -loop 0 \
    "$out/film.webp"
target/release/stylize "$work/frame.png" "$work/painted.png" --style starry-night
convert -i "$work/frame.png" -i "$work/painted.png" -filter_complex "[0]scale=800:-2[a];[1]scale=800:-2[b];[a][b]hstack" \
    -q:v 3 "$out/before-after.jpg"
target/release/examples/pictures "$clip" --out "$out/controls"
