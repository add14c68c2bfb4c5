#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Makes target/wheels/gst_plugin_stylize-*.whl: the program and the plugin, with ONNX Runtime as a dependency.
set -euo pipefail
source "$(dirname "$0")/common.sh"
cd "$root"

maturin=1.16.0
venv=$deps/maturin
[ "$("$venv/bin/maturin" --version 2>/dev/null)" = "maturin $maturin" ] || {
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check maturin=="$maturin"
}

scripts/stage.sh
work=$root/target/stage/python
rm -rf "$work"
cp -r packaging/python "$work"
package=$work/gst_plugin_stylize
mkdir -p "$package"/{bin,gstreamer-1.0,share/stylize/models}
cp target/dist/stylize "$package/bin/"
cp target/dist/libgststylize.so "$package/gstreamer-1.0/"
cp models/*.onnx models/*.md "$package/share/stylize/models/"
cp LICENSE "$work/"
# The tag says the C library of this machine, which the plugin is linked with; GStreamer is no part of such tags.
libc=$(ldd --version | sed -nE '1s/.* ([0-9]+)\.([0-9]+)$/\1_\2/p')
rm -f target/wheels/gst_plugin_stylize-*.whl
sed -i "s/^version = .*/version = \"$(version)\"/" "$work/Cargo.toml"
RUSTFLAGS="--remap-path-prefix=$work=/stylize" "$venv/bin/maturin" build --release --quiet --manifest-path "$work/Cargo.toml" \
    --target-dir "$root/target/launcher" --compatibility "manylinux_$libc" --auditwheel skip --out target/wheels
# Names of files are compressed; their contents, too.
python3 - "$root/target/wheels" "${CARGO_HOME:-$HOME/.cargo}" "$root" "$HOME/" <<'END'
import pathlib, sys, zipfile

folder, *paths = sys.argv[1:]
with zipfile.ZipFile(next(pathlib.Path(folder).glob("gst_plugin_stylize-*.whl"))) as wheel:
    for name in wheel.namelist():
        for path in paths:
            if path.encode() in wheel.read(name):
                sys.exit(f"wheel: {name} names this machine's {path}")
END
ls -l target/wheels/gst_plugin_stylize-*.whl
