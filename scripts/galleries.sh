#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# galleries.sh PHOTOS PAINTINGS VGG MIXED_VGG [DECAY]: the built-in galleries from the campaigns' checkpoints, their cards,
# the 8-bit twin and a preset for each style. DECAY is the number of steps with a falling rate (default: 300).
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -lt 4 ] || [ $# -gt 5 ] || [ -z "$1" ] || [ -z "$2" ] || [ -z "$3" ] || [ -z "$4" ]; then
    echo "galleries: say make galleries PHOTOS=folder PAINTINGS=folder VGG=file MIXED_VGG=file [DECAY=steps]" >&2
    exit 2
fi
photos=$(realpath "$1") paintings=$(realpath "$2") vgg=$(realpath "$3") mixed=$(realpath "$4") decay=${5:-300}
training/setup.sh
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
(
    cd training
    mkdir -p runs/drawn
    .venv/bin/python -m styles --out runs/drawn >runs/drawn.log
    for plan in full lite quick; do
        extra=()
        grep -q '^\[mixed\]' "campaign/$plan.toml" && extra=(--mixed-vgg "$mixed")
        .venv/bin/stylize-train campaign "campaign/$plan.toml" --content "$photos" --paintings runs/drawn "$paintings" \
            --vgg "$vgg" "${extra[@]}" --exclude 'kodak-*' --release "$new/gallery-$plan.onnx" --decay "$decay"
    done
    # The default percentile is farther from this gallery, in the mean and at most.
    .venv/bin/stylize-train quantize "$new/gallery-lite.onnx" --content "$photos" --held-out 'kodak-*' --percentile 99.99 \
        --out "$new/gallery-lite-int8.onnx"
)

# Presets of styles stand between the head of the file and its first setting.
presets=presets/GstStylize.prs
{
    sed '/^\[starry-night\]$/,$d' "$presets"
    sed -n 's/^\[\(.*\)\]$/\1/p' training/campaign/styles.toml | while read -r style; do
        printf '[%s]\n_meta/comment=In the style %s of the built-in gallery\nstyle=%s\n\n' "$style" "$style" "$style"
    done
    sed -n '/^\[fast\]$/,$p' "$presets"
} >"$new/presets"

mv "$new"/gallery-* models/
mv "$new/presets" "$presets"
echo "galleries: now run make pictures and make test, and look at docs/images"
