#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Installs the plugin with cargo-c, as distributions do, into an empty folder, and paints three frames with it from
# there: capi.sh. Installs cargo-c itself if it is missing, without optimization, which takes minutes less.
set -euo pipefail
source "$(dirname "$0")/common.sh"
cd "$root"

if ! cargo capi --version >/dev/null 2>&1; then
    echo "installing cargo-c, once" >&2
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_TARGET_DIR=$root/target/cargo-c cargo install cargo-c --version 0.10.21+cargo-0.95.0 --locked --quiet
    rm -rf "$root/target/cargo-c"
fi

installed=$(mktemp -d)
trap 'rm -rf "$installed"' EXIT
cargo cinstall -p gst-plugin-stylize --profile dev --locked --prefix=/usr --libdir=/usr/lib --destdir="$installed"

plugins=$installed/usr/lib/gstreamer-1.0
for file in "$plugins/libgststylize.so" "$installed/usr/share/gstreamer-1.0/presets/GstStylize.prs" \
    "$installed/usr/share/stylize/models/gallery-lite.onnx"; do
    [ -f "$file" ] || die "cargo cinstall did not install ${file#"$installed"}"
done
# The model by its name: it is found beside the plugin that was installed, and nowhere else.
GST_REGISTRY=$installed/registry GST_PLUGIN_PATH=$plugins gst-launch-1.0 -q \
    videotestsrc num-buffers=3 ! video/x-raw,width=128,height=72 ! stylize model-file=gallery-lite ! fakesink
echo "cargo cinstall: installed, and three frames painted"
