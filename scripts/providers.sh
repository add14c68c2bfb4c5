#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# providers.sh NAME …: fetches what execution providers need beyond `make setup`, on Linux x86-64:
#   webgpu           .deps/webgpu: an ONNX Runtime with WebGPU in it; the system's Vulkan loader
#   cuda             .deps/cuda: an ONNX Runtime with CUDA and TensorRT in it, and NVIDIA's libraries
#   nv-tensorrt-rtx  .deps/nv-tensorrt-rtx: a plugin library for any ONNX Runtime
#   webgpu-plugin    .deps/webgpu-plugin: the same for WebGPU
#   swiftshader      .deps/swiftshader: a Vulkan driver in software, for tests (Debian only)
# The driver of the GPU is not installed here. Does nothing when all is there.
set -euo pipefail
source "$(dirname "$0")/common.sh"

[ "$(uname -sm)" = "Linux x86_64" ] || die "only wheels for Linux on x86-64 are known here."
glibc=manylinux_2_28_x86_64

# SwiftShader comes with Debian's Chromium; two files of 31 MB are wanted, and none of its
# dependencies, so the package is only unpacked.
swiftshader() {
    local target=$deps/swiftshader work
    [ -e "$target/libvk_swiftshader.so" ] && return
    if ! grep -qx 'ID=debian' /etc/os-release 2>/dev/null; then
        echo "setup: SwiftShader is fetched on Debian only; tests of WebGPU will be skipped."
        return
    fi
    echo "setup: fetching SwiftShader (chromium-common)"
    mkdir -p "$deps"
    work=$(mktemp -d "$deps/setup.XXXXXX")
    # shellcheck disable=SC2064 # the folder's name is known now
    trap "rm -rf '$work'" EXIT
    download() (cd "$work" && apt-get download -qq chromium-common 2>/dev/null)
    download || { apt_root update -qq && download; } ||
        die "chromium-common could not be fetched. Is the network up?"
    mkdir "$work/lib"
    dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work/lib" --strip-components=4 \
        ./usr/lib/chromium/libvk_swiftshader.so ./usr/lib/chromium/vk_swiftshader_icd.json
    rm -rf "$target"
    mv "$work/lib" "$target"
    rm -rf "$work"
}

for provider in "$@"; do
    case $provider in
        webgpu)
            command -v apt-get >/dev/null && apt_install libvulkan1
            install_wheels webgpu \
                "onnxruntime-webgpu==1.27.0 142eb8bdb803c58117bf64164d201f43180bc87229cac14b590aa4ea79e0f70b cp311 $glibc"
            ;;
        cuda | tensorrt)
            install_wheels cuda \
                "onnxruntime-gpu==1.31.1 05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7 cp312 $glibc" \
                "nvidia-cuda-runtime==13.5.37 df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d cp312 $glibc" \
                "nvidia-cuda-nvrtc==13.5.37 86b4d68058807988b7d9af5b44917a0601e9c337f35ccd657bfb3c759ff8d8bc cp312 $glibc" \
                "nvidia-cublas==13.10.0.20 dcc6d63884c53d07e267ce7e6feac17b2538cebaafec5db865736c3e28e4dc84 cp312 $glibc" \
                "nvidia-cufft==12.5.0.14 b8be26837a5abad2b5b74f3e92dd29f622a42934b355be0961a48712cbba23ad cp312 $glibc" \
                "nvidia-nvjitlink==13.5.37 280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb cp312 $glibc" \
                "nvidia-curand==10.4.5.25 22bb226a857e5888fe6b54ae465fc4371296bcff13a35f79e19691bcf454f529 cp312 $glibc" \
                "nvidia-cudnn-cu13==9.28.1.4 a54f205b1db1f2895d99f398754db1369816f0569dd459731f925635cf7b65ec cp312 $glibc"
            ;;
        nv-tensorrt-rtx)
            install_wheels nv-tensorrt-rtx \
                "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0 32f575c633d171b4edf4b53d3bb22b72a6c9c0a850d2982ce9a788a5d40d3298 cp311 $glibc"
            ;;
        webgpu-plugin)
            install_wheels webgpu-plugin \
                "onnxruntime-ep-webgpu==0.4.0 5d8c961eda91a88961cad1fb7621f389f006b18497d6ea9ecf96f729f066cbfb cp311 $glibc"
            ;;
        swiftshader) swiftshader ;;
        cpu | openvino | auto) ;; # `make setup` has them.
        *) die "nothing is known about the provider \"$provider\". Known: webgpu, cuda, tensorrt, nv-tensorrt-rtx, webgpu-plugin, swiftshader." ;;
    esac
done
