#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Writes src/onnx/schema.rs and fields.rs anew from scripts/onnx-schema/onnx-ml.proto; needed only when ONNX's schema changes.
set -euo pipefail
cd "$(dirname "$0")/.."
CARGO_TARGET_DIR=target/onnx-schema cargo run --quiet --manifest-path scripts/onnx-schema/Cargo.toml -- src/onnx
rustfmt --edition 2024 src/onnx/schema.rs src/onnx/fields.rs
