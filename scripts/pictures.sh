#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# pictures.sh FOLDER: the pictures in README and docs, all of the demo clip: the gallery on one frame, a short film that
# glides through the styles, those of docs/controls.md, and what a test compares with. An empty argument means
# docs/images.
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

cargo build --release --quiet --workspace --bin stylize --example pictures
convert() { ffmpeg -v error -y "$@"; }
convert -ss 2.5 -i "$clip" -frames:v 1 "$work/frame.png"
target/release/stylize styles "$work/frame.png" --sheet "$work/gallery.png" --film "$clip" --clip "$work/film.mp4" --seconds 12
convert -i "$work/gallery.png" -q:v 4 "$out/gallery.jpg"
convert -i "$work/film.mp4" -vf fps=12,scale=480:-2:flags=lanczos -c:v libwebp_anim -quality 46 -compression_level 6 -loop 0 \
    "$out/film.webp"
if [ -z "${1:-}" ]; then  # What tests/clip.rs compares with.
    for quality in quick lite full; do
        target/release/stylize tests/fixtures/frame.png "tests/fixtures/starry-night-$quality.png" --force \
            --style starry-night --quality "$quality" -- execution-provider=cpu
    done
fi
target/release/examples/pictures "$clip" --out "$out/controls"
