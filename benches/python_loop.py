# SPDX-License-Identifier: MPL-2.0
"""Stylizes a clip with OpenCV and ONNX Runtime's CPU provider, and with stylize-file, in turn.

The loop is what people write first: decode, to float planes, run, back to bytes, encode. It does
less than stylize-file (no sound, MPEG-4 part 2 instead of H.264). Both are whole processes, from
start to finished file.

Usage: python_loop.py CLIP MODEL.onnx STYLIZE_FILE [PAIRS]
       python_loop.py --loop CLIP MODEL.onnx OUT.mp4
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time


def loop(clip: str, model: str, out: str) -> None:
    """The plain loop; prints the number of frames."""
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
    frames = 0
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        planes = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], dtype=np.float32) / 255
        (stylized,) = session.run(None, {name: planes, style: weights})
        pixels = (np.clip(stylized[0], 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
        writer.write(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR))
        frames += 1
    writer.release()
    print(frames)


def main() -> None:
    """Runs both in turn and prints the ratio of the times."""
    if sys.argv[1] == "--loop":
        loop(*sys.argv[2:5])
        return
    clip, model, stylize_file = sys.argv[1:4]
    pairs = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    ratios, ours, theirs = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(pairs):
            out = os.path.join(folder, "loop.mp4")
            command = [sys.executable, __file__, "--loop", clip, model, out]
            begin = time.perf_counter()
            ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            frames = int(ended.stdout)
            theirs.append((time.perf_counter() - begin) / frames)
            out = os.path.join(folder, "element.mp4")
            command = [stylize_file, clip, out, "--force", "--quiet", "--quality", "lite"]
            begin = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            ours.append((time.perf_counter() - begin) / frames)
            ratios.append(theirs[-1] / ours[-1])
    print(
        f"whole file, decode to encode, stylize-file against a Python loop on the CPU provider: "
        f"{statistics.median(ratios):.2f}x as fast (median of {pairs} pairs; "
        f"{1 / statistics.median(ours):.1f} against {1 / statistics.median(theirs):.1f} fps)"
    )


if __name__ == "__main__":
    main()
