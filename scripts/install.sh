#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Installs the plugin into this user's GStreamer plugin folder, with ONNX Runtime and the models in
# a folder beside it, where the plugin looks. `--remove` takes exactly that away again.
#
# ONNX Runtime does not lie under plugins/, because GStreamer would try its libraries as plugins.
set -euo pipefail
source "$(dirname "$0")/common.sh"

base=${XDG_DATA_HOME:-$HOME/.local/share}/gstreamer-1.0
plugin=$base/plugins/libgststylize.so
presets=$base/presets/GstStylize.prs
data=$base/stylize

if [ "${1:-}" = --remove ]; then
    # Not what the user saved there.
    cmp -s "$root/presets/GstStylize.prs" "$presets" && rm -f "$presets"
    rm -rf "$plugin" "$data"
    echo "removed $plugin and $data"
    exit
fi

mkdir -p "$base/plugins" "$base/presets"
work=$(mktemp -d "$base/stylize.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/models"
cp "$root"/models/*.onnx "$root"/models/*.md "$work/models/"
[ ! -d "$deps/onnxruntime" ] || cp -a "$deps/onnxruntime" "$work/onnxruntime"
cp "$root/target/release/libgststylize.so" "$work/plugin"
rm -rf "$data"
mv "$work/plugin" "$plugin"
chmod 755 "$work"
mv "$work" "$data"
# GStreamer saves the user's own presets in this file: theirs stay.
[ -e "$presets" ] || cp "$root/presets/GstStylize.prs" "$presets"
echo "installed $plugin"
echo "try: gst-inspect-1.0 stylize"
