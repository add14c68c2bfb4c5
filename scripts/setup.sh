#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Installs what is missing on Debian 12, Ubuntu or newer: system packages with apt, ONNX Runtime as a
# PyPI wheel into .deps/onnxruntime, and what the execution providers named as arguments need
# (providers.sh). `demo` before them leaves out what files need not have; `tests` adds Chromium and the streaming
# servers that tests need. Does nothing, and needs no network, when all is there.
set -euo pipefail
source "$(dirname "$0")/common.sh"
cd "$root"

# For files: what `make demo` needs.
packages=(
    gcc libc6-dev pkg-config ca-certificates python3 python3-pip
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-ugly gstreamer1.0-libav
)
# For the servers, for development and for playing with pipelines.
more=(
    build-essential python3-venv
    libgstreamer-plugins-bad1.0-dev libgstrtspserver-1.0-dev
    gstreamer1.0-tools gstreamer1.0-nice gstreamer1.0-x
)

system_packages() {
    if ! command -v apt-get >/dev/null; then
        pkg-config --exists gstreamer-1.0 gstreamer-video-1.0 gstreamer-check-1.0 2>/dev/null ||
            echo "setup: no apt here; install GStreamer 1.22 or newer with its development files and its base, good, bad, ugly, libav and libnice plugins." >&2
        return
    fi
    apt_install "$@"
}

# Tests say that they skip what has no browser. Ubuntu's package is a snap, which cannot be installed
# everywhere; there, whoever wants it tested has Chrome.
browser() {
    local program
    for program in chromium chromium-browser google-chrome; do
        command -v "$program" >/dev/null && return
    done
    if grep -qx 'ID=debian' /etc/os-release 2>/dev/null; then
        apt_install chromium
    else
        echo "setup: no Chromium here; the test of live playback will be skipped."
    fi
}

# What the tests of restreaming talk to. Installed, nginx and Janus start as services and take ports;
# tests start their own, so services that were not there before are switched off again.
servers() {
    command -v apt-get >/dev/null || {
        echo "setup: no apt here; install ffmpeg, srt-live-transmit, nginx with its RTMP module, and Janus for the tests." >&2
        return
    }
    local service new=()
    for service in nginx janus; do
        command -v "$service" >/dev/null || new+=("$service")
    done
    apt_install ffmpeg nginx libnginx-mod-rtmp srt-tools janus
    # What the recipes in docs/recipes.md are for.
    apt_install ges1.0-tools python3-gi gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0
    [ ! -d /run/systemd/system ] || ((${#new[@]} == 0)) ||
        as_root systemctl disable --quiet --now "${new[@]}"
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
    install_wheels onnxruntime "$requirement $sha256 cp311 $platform"
}

if [ "${1:-}" = demo ]; then
    system_packages "${packages[@]}"
    shift
else
    system_packages "${packages[@]}" "${more[@]}"
fi
rust
onnx_runtime
if [ "${1:-}" = tests ]; then
    browser
    servers
    shift
fi
(($# == 0)) || scripts/providers.sh "$@"
