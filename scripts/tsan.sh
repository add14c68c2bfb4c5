#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Runs tests of the element under ThreadSanitizer: tsan.sh [TEST …], without arguments those below; `lib` are the unit
# tests. The standard library and all crates are built anew with it, in target/tsan, as are GLib and GStreamer
# (scripts/tsan-gstreamer.sh); otherwise all that only their locks order would be reported. The environment variable
# TSAN_GSTREAMER names a folder that has them already.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

tests=("$@")
if ((${#tests[@]} == 0)); then
    tests=(lib sharing threads loading settings scenarios in_flight output playout style adapt_live effects_live mask
        element stream strides errors extremes soak_changes faults)
fi

[ -e "$(rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ] ||
    die "the source of Rust's standard library is missing. Install it (rustup component add rust-src)."
prefix=${TSAN_GSTREAMER:-$deps/tsan}
[ -e "$prefix/lib/gstreamer-1.0/libgstvideotestsrc.so" ] || scripts/tsan-gstreamer.sh "$prefix"

# The flags are not stable; no nightly compiler is needed for them all the same.
export RUSTC_BOOTSTRAP=1
# Test programs export the runtime, for GLib and GStreamer.
export RUSTFLAGS="-Zsanitizer=thread -C link-args=-rdynamic"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/tsan}
target=$(rustc -vV | sed -n 's/^host: //p')
runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_RUNNER
# Of the plugins that are not built with ThreadSanitizer only those that the tests need.
mkdir -p "$CARGO_TARGET_DIR/plugins"
ln -sf "$(pkg-config --variable=pluginsdir gstreamer-1.0)"/libgst{avi,jpeg}.so "$CARGO_TARGET_DIR/plugins"
# For the test programs only: cargo and pkg-config use the system's libraries. GSlice gives memory back without a call
# that ThreadSanitizer sees; TBB opens a library in a way that it refuses.
export "$runner=env LD_LIBRARY_PATH=$prefix/lib \
GST_PLUGIN_SYSTEM_PATH=$prefix/lib/gstreamer-1.0:$CARGO_TARGET_DIR/plugins GST_REGISTRY=$CARGO_TARGET_DIR/registry.bin GST_REGISTRY_FORK=no G_SLICE=always-malloc TBB_ENABLE_SANITIZERS=1"
# The children of tests/faults.rs are many, and slow.
export STYLIZE_FAULTS=${STYLIZE_FAULTS:-2}
export TSAN_OPTIONS="suppressions=$root/scripts/tsan.supp history_size=4 ${TSAN_OPTIONS:-}"

chosen=()
for name in "${tests[@]}"; do
    if [ "$name" = lib ]; then chosen+=(--lib); else chosen+=(--test "$name"); fi
done
# A test program with a report fails, at its end (exit code 66).
nice -n 10 cargo test -Zbuild-std=std,panic_unwind,test --target "$target" --no-fail-fast "${chosen[@]}"
