#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# demo.sh IN OUT MODEL: stylizes a file with its sound; empty arguments mean the demo clip,
# demo.mp4 and the built-in generator.
set -euo pipefail
source "$(dirname "$0")/common.sh"

input=${1:-$("$root/scripts/fetch-clip.sh")}
output=${2:-demo.mp4}
model=()
[ -z "${3:-}" ] || model=(--model-file "$3")
cd "$root"
# Without the servers, which take as long to build as all the rest.
cargo build --release --quiet -p stylize-cli --no-default-features
exec target/release/stylize "$input" "$output" --force "${model[@]}"
