#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# gpu-check.sh: tries the GPU's execution providers on every shipped generator, in every precision,
#   against the CPU provider, and times them from 512x512 to 3840x2160. Ends with 1 if one differs.
# gpu-check.sh --bundle FOLDER: packs that for a machine with nothing but a GPU and its driver: the
#   program, GStreamer's libraries, the models, run.sh, and the ONNX Runtime libraries that
#   `make setup PROVIDERS=...` fetched, in pieces of at most 60 MB (runtimes.tar.xz.*).
# There: ./run.sh, after unpacking the pieces: cat runtimes.tar.xz.* | tar -xJ
set -euo pipefail
source "$(dirname "$0")/common.sh"
cd "$root"

providers=(cuda tensorrt nv-tensorrt-rtx webgpu)
sizes=(512x512 1280x720 1920x1080 3840x2160)
options=(--seconds 2)
# Those in 8 bits are for CPUs.
mapfile -t models < <(ls models/*.onnx | grep -v -- -int8.onnx)
for provider in "${providers[@]}"; do options+=(--provider "$provider"); done
for size in "${sizes[@]}"; do options+=(--size "$size"); done

cargo build --release --quiet --workspace --bin stylize
program=target/release/stylize

if [ "${1:-}" != --bundle ]; then
    for model in "${models[@]}"; do options+=(--model "$model"); done
    # Libraries that other libraries of the same folder ask for.
    export LD_LIBRARY_PATH=$deps/cuda:$deps/nv-tensorrt-rtx${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    exec "$program" doctor --folder "$deps" "${options[@]}"
fi

target=${2:?give a folder}
# Names of the files that are made, for the next time: nothing else in the folder is touched.
made=$target/made-by-gpu-check
if [ -f "$made" ]; then
    (cd "$target" && grep -vE '^/|(^|/)\.\.(/|$)' made-by-gpu-check | xargs -r -d '\n' rm -f --)
elif [ -e "$target" ] && [ -n "$(ls -A "$target")" ]; then
    die "$target is no bundle's folder and not empty: give another one."
fi
mkdir -p "$target/lib" "$target/plugins" "$target/models"
cp "$program" "$target/"
strip "$target/stylize"
cp "${models[@]}" "$target/models/"
plugins=$(pkg-config --variable=pluginsdir gstreamer-1.0)
cp "$plugins"/libgst{coreelements,app}.so "$target/plugins/"
# All but the C library and the loader, which belong to the machine. WebGPU opens Vulkan's loader.
vulkan=$(ldconfig -p | awk '/libvulkan.so.1 / && !seen++ {print $NF}')
[ -z "$vulkan" ] || cp -L "$vulkan" "$target/lib/"
ldd "$program" "$target"/plugins/*.so "$deps"/*/libonnxruntime.so* | awk '/=> \// {print $3}' | sort -u |
    grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' |
    xargs -I{} cp -L {} "$target/lib/"
cat >"$target/run.sh" <<SCRIPT
#!/usr/bin/env bash
# Tries the GPU's execution providers; see scripts/gpu-check.sh. More options go to the program.
cd "\$(dirname "\$0")"
models=()
for model in models/*.onnx; do models+=(--model "\$model"); done
folders=(lib \$(ls -d runtimes/* 2>/dev/null))
export LD_LIBRARY_PATH=\$(IFS=:; echo "\${folders[*]/#/\$PWD/}")\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
export GST_PLUGIN_SYSTEM_PATH_1_0=\$PWD/plugins GST_REGISTRY=\$PWD/registry GST_REGISTRY_FORK=no
exec ./stylize doctor --folder runtimes ${options[*]} "\${models[@]}" "\$@"
SCRIPT
chmod +x "$target/run.sh"
packed=()
for runtime in cuda webgpu nv-tensorrt-rtx webgpu-plugin; do
    [ -d "$deps/$runtime" ] && packed+=("runtimes/$runtime")
done
((${#packed[@]})) || die "no GPU's libraries in .deps: make setup PROVIDERS=\"webgpu cuda\" first."
tar -C "$root" --transform 's,^\.deps,runtimes,' -cf - "${packed[@]/#runtimes/.deps}" |
    xz -T0 -1 | split -b 60M - "$target/runtimes.tar.xz."
(cd "$target" && find stylize run.sh made-by-gpu-check lib plugins models runtimes.tar.xz.* -type f 2>/dev/null) >"$made.new" || true
mv "$made.new" "$made"
du -sh "$target"
