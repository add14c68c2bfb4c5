#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Installs what is missing on Debian 12, Ubuntu or newer: system packages with apt, and ONNX Runtime
# as a PyPI wheel into .deps/onnxruntime. Does nothing, and needs no network, when all is there.
set -euo pipefail
source "$(dirname "$0")/common.sh"

packages=(
    build-essential pkg-config ca-certificates python3 python3-pip python3-venv
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev gstreamer1.0-tools
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-ugly gstreamer1.0-libav
)

system_packages() {
    if ! command -v apt-get >/dev/null; then
        pkg-config --exists gstreamer-1.0 gstreamer-video-1.0 gstreamer-check-1.0 2>/dev/null ||
            echo "setup: no apt here; install GStreamer 1.22 or newer with its development files and its base, good, bad, ugly and libav plugins." >&2
        return
    fi
    local missing=() package
    for package in "${packages[@]}"; do
        dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    local sudo=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            die "these packages are missing, and there is neither root nor sudo to install them: ${missing[*]}"
        sudo=(sudo)
    fi
    echo "setup: installing ${missing[*]}"
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

rust() {
    command -v cargo >/dev/null ||
        die "cargo is missing. Install Rust 1.92 or newer (https://rustup.rs), then run this again."
}

# The wheel's tags are named so that it does not matter which Python this machine has: only the
# shared libraries in it are used.
onnx_runtime() {
    local requirement sha256 platform
    case $(uname -m) in
        x86_64)
            requirement=onnxruntime-openvino==1.24.1
            sha256=3007c803634cc69c6d52af1dea7ce729d9bb62b9a11070fd2f959119199007a8
            platform=manylinux_2_28_x86_64
            ;;
        aarch64)
            requirement=onnxruntime==1.24.1
            sha256=86bc43e922b1f581b3de26a3dc402149c70e5542fceb5bec6b3a85542dbeb164
            platform=manylinux_2_28_aarch64
            ;;
        *)
            echo "setup: no ONNX Runtime wheel is known for $(uname -m); install ONNX Runtime 1.24 or newer and set ORT_DYLIB_PATH." >&2
            return
            ;;
    esac
    local target=$deps/onnxruntime
    [ "$(cat "$target/wheel" 2>/dev/null)" = "$requirement $sha256" ] && return
    echo "setup: fetching $requirement"
    mkdir -p "$deps"
    local work wheel
    work=$(mktemp -d "$deps/setup.XXXXXX")
    # shellcheck disable=SC2064 # the folder's name is known now
    trap "rm -rf '$work'" EXIT
    wheel=$(fetch_wheel "$requirement" "$sha256" "$work" \
        --python-version 3.11 --implementation cp --abi cp311 --platform "$platform")
    mkdir "$work/lib"
    python3 - "$wheel" "$work/lib" <<'PYTHON'
import hashlib, os, sys, zipfile

wheel, target = sys.argv[1:]
seen = {}
with zipfile.ZipFile(wheel) as archive:
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        name = os.path.basename(info.filename)
        library = info.filename.startswith("onnxruntime/capi/") and ".so" in name
        notice = info.filename in ("onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt")
        if not (library or notice) or "pybind11" in name:
            continue
        data = archive.read(info)
        path = os.path.join(target, name)
        # A wheel cannot hold links, so it has the same library under up to three names.
        twin = seen.setdefault(hashlib.sha256(data).digest(), name)
        if twin != name:
            os.symlink(twin, path)
        else:
            with open(path, "wb") as file:
                file.write(data)
PYTHON
    echo "$requirement $sha256" >"$work/lib/wheel"
    # Whole or not at all; a library that is in use stays open under its old name.
    rm -rf "$target.old"
    if [ -e "$target" ]; then mv "$target" "$target.old"; fi
    mv "$work/lib" "$target"
    rm -rf "$target.old"
}

system_packages
rust
onnx_runtime
