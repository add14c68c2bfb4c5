#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Builds plugin and program as packages have them, without a path of this machine in them, and lays out what is
# made of them under target/stage: man pages, completions, the licences of what is linked in.
set -euo pipefail
source "$(dirname "$0")/common.sh"
cd "$root"

stage=$root/target/stage
built=$root/target/dist
home=${CARGO_HOME:-$HOME/.cargo}

# Nothing of the checkout: neither its folder for ONNX Runtime nor its name in messages.
export STYLIZE_RUNTIME_DIR=
export RUSTFLAGS="--remap-path-prefix=$home=/cargo --remap-path-prefix=$root=/stylize"
cargo build --profile dist --locked --workspace --target-dir "$root/target"

for file in "$built/stylize" "$built/libgststylize.so"; do
    for path in "$home" "$root" "$HOME/"; do
        ! strings -a "$file" | grep -F -m 3 -- "$path" ||
            die "$file names this machine's $path"
    done
done

rm -rf "$stage"
mkdir -p "$stage/doc"
"$built/stylize" install "$stage"
LC_ALL=C cargo tree --locked -p stylize-cli -e normal --prefix none --format '{p} ({l})' |
    sed -E 's# \(/[^)]*\)##; s/ \(\*\)$//; s/ \(proc-macro\)//' | sort -u >"$stage/doc/crates.txt"
