# SPDX-License-Identifier: MPL-2.0
"""Frames of video clips as pictures, decoded by the ``ffmpeg`` program."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from stylize_train.errors import UserError

VIDEO = (".mp4", ".mkv", ".webm", ".mov", ".avi")


def find_clips(folder: Path) -> list[Path]:
    """Video files of a folder by name."""
    clips = sorted(p for p in folder.glob("*") if p.suffix.lower() in VIDEO)
    if not clips:
        raise UserError(f"there is no video ({', '.join(VIDEO)}) in {folder}.")
    return clips


def clip_frames(clips: Sequence[Path], count: int, height: int) -> dict[str, Tensor]:
    """``count`` frames of each clip at equal distances, uint8 [3, height, 16/9 height].

    Clips of another shape are cut to 16:9 about the middle. Keys are CLIP@SECONDS.
    """
    if count < 1:
        raise UserError("--frames must be at least 1.")
    frames = {}
    for clip in clips:
        seconds = _duration(clip)
        for number in range(count):
            at = seconds * (number + 0.5) / count
            frames[f"{clip.stem}@{at:.1f}"] = read_frame(clip, at, height)
    return frames


def read_frame(clip: Path, seconds: float, height: int) -> Tensor:
    """The frame at a time, uint8 [3, height, width], 16:9, both sides multiples of 8."""
    width = round(height * 16 / 9 / 8) * 8
    height = round(height / 8) * 8
    scale = f"scale={width}:{height}:flags=bicubic:force_original_aspect_ratio=increase"
    raw = _run(
        *("ffmpeg", "-v", "error", "-ss", f"{seconds:.3f}", "-i", str(clip), "-frames:v", "1"),
        *("-vf", f"{scale},crop={width}:{height}", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
    )
    if len(raw) != 3 * width * height:
        raise UserError(f"{clip} has no frame at {seconds:.1f} s.")
    pixels = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
    return pixels.view(height, width, 3).permute(2, 0, 1).contiguous()


def _duration(clip: Path) -> float:
    entry = ("-show_entries", "format=duration", "-of", "default=nokey=1:noprint_wrappers=1")
    text = _run("ffprobe", "-v", "error", *entry, str(clip)).decode().strip()
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{clip} does not say how long it is.") from None


def _run(*command: str) -> bytes:
    try:
        return subprocess.run(command, check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise UserError(f"the program {command[0]} is needed to read video.") from None
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise UserError(f"{command[0]}: {words[-1]}") from None
