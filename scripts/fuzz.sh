#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Feeds made-up inputs to what reads files, caps and requests: fuzz.sh [TARGET] [SECONDS]. Without a target
# all of them, a minute each. SEED=n makes other inputs; the same seed makes the same ones. What is found lies in fuzz/artifacts; new inputs of worth in fuzz/found, beside
# the small corpora that are kept.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=${1:-}
seconds=${2:-60}
: "${targets:=$(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"|\1|p' fuzz/Cargo.toml)}"

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "installing cargo-fuzz, once" >&2
    cargo install cargo-fuzz --locked --quiet
fi
# The flags for coverage are not stable; no nightly compiler is needed for them all the same.
export RUSTC_BOOTSTRAP=1
for target in $targets; do
    found=fuzz/found/$target
    mkdir -p "$found"
    echo "== $target, $seconds s" >&2
    # Inputs that take a second or a gigabyte are as wrong as crashes.
    nice -n 10 cargo fuzz run -s none "$target" "$found" "fuzz/corpus/$target" -- \
        -seed="${SEED:-1}" -max_total_time="$seconds" -timeout=10 -report_slow_units=1 -rss_limit_mb=1024 \
        -max_len=65536 -print_final_stats=1 -verbosity=0
done
