# SPDX-License-Identifier: MPL-2.0
"""Our styles beside other people's generators on the same frames: ``python -m experiments.peers``.

A sheet for each frame and height: our styles first, then theirs, each whole frame scaled to the
same size, or with ``--cut`` a piece of it at its own pixels, as it looks on a screen.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from stylize_train.errors import UserError
from stylize_train.export import session
from stylize_train.files import write_whole
from stylize_train.render import Model, to_pil

from .frames import clip_frames, find_clips

HEADING = 22
"""Pixels above each picture."""

MULTIPLE = 8
"""Foreign generators of free size get frames of such sides."""


class Foreign:
    """Somebody's generator: one picture in, float32 [1, 3, H, W], one out, perhaps style weights.

    The range is 0..255 where the output goes beyond what 0..1 could overshoot to. A generator of
    one size gets the frame scaled to it, and its output is scaled back.

    Args:
        text: FILE.onnx, with ``:bgr`` at the end if its channels are blue, green, red.
    """

    def __init__(self, text: str) -> None:
        name, colon, order = text.rpartition(":")
        if colon and order == "bgr":
            text = name
        self.swap = bool(colon) and order == "bgr"
        self.path = Path(text)
        if not self.path.is_file():
            raise UserError(f"the model {self.path} does not exist.")
        self.session: onnxruntime.InferenceSession = session(self.path)
        images = [i for i in self.session.get_inputs() if len(i.shape) == 4]
        others = [i for i in self.session.get_inputs() if len(i.shape) != 4]
        if len(images) != 1 or images[0].shape[1] != 3 or images[0].type != "tensor(float)":
            raise UserError(f"{self.path} has no input of float32 [1, 3, H, W].")
        if len(others) > 1 or any(len(i.shape) != 1 for i in others):
            raise UserError(f"{self.path} has inputs besides a picture and style weights.")
        self.input = images[0].name
        self.size = tuple(s if isinstance(s, int) else None for s in images[0].shape[2:])
        self.weights = others[0].name if others else None
        self.styles = int(others[0].shape[0]) if others else 1
        self._scale: float | None = None

    def __call__(self, image: Tensor, style: int) -> Tensor:
        """uint8 [3, H, W] to float32 [3, H, W] in 0..1."""
        height, width = image.shape[1:]
        free = (-(-side // MULTIPLE) * MULTIPLE for side in (height, width))
        sides = (own or side for own, side in zip(self.size, free, strict=True))
        picture = _resized(image.float().div(255), *sides)
        pixels = picture.flip(0) if self.swap else picture
        feeds: dict[str, NDArray[np.float32]] = {}
        if self.weights is not None:
            feeds[self.weights] = np.eye(self.styles, dtype=np.float32)[style]
        output = self._run(pixels, feeds)
        output = output.flip(0) if self.swap else output
        return _resized(output, height, width).clamp(0, 1)

    def _run(self, pixels: Tensor, feeds: dict[str, NDArray[np.float32]]) -> Tensor:
        scale = self._scale or 1.0
        feeds = {**feeds, self.input: (scale * pixels)[None].numpy()}
        output = torch.from_numpy(self.session.run(None, feeds)[0])[0]
        if self._scale is None:
            self._scale = 255.0 if output.abs().max() > 8 else 1.0
            if self._scale != 1.0:
                return self._run(pixels, feeds)
        return output / scale


def _resized(picture: Tensor, height: int, width: int) -> Tensor:
    if picture.shape[1:] == (height, width):
        return picture
    size = (height, width)
    return torch.nn.functional.interpolate(
        picture[None], size, mode="bilinear", antialias=True, align_corners=False
    )[0]


def pictures(
    image: Tensor, ours: Sequence[Path], theirs: Sequence[Foreign], styles: Sequence[str] | None
) -> Iterator[tuple[str, Tensor]]:
    """The frame itself, then each style of each model, with headings."""
    yield "source", image.float().div(255)
    for file in ours:
        for name in styles or Model.names(file):
            yield f"{file.stem}: {name}", Model(file, mix=name)(image)
    for model in theirs:
        for index in range(model.styles):
            number = f" {index}" if model.styles > 1 else ""
            yield f"{model.path.stem}{number}", model(image, index)


def sheet(
    cells: Sequence[tuple[str, Image.Image]], columns: int, background: str = "white"
) -> Image.Image:
    """Pictures of one size in rows, each under its heading."""
    width, height = cells[0][1].size
    rows = -(-len(cells) // columns)
    page = Image.new("RGB", (columns * (width + 4), rows * (height + HEADING)), background)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for index, (heading, picture) in enumerate(cells):
        left, top = index % columns * (width + 4), index // columns * (height + HEADING)
        draw.text((left + 2, top + 2), heading, "black", font)
        page.paste(picture, (left, top + HEADING))
    return page


def cell(picture: Tensor, width: int, cut: bool) -> Image.Image:
    """A picture [3, H, W] scaled to ``width``, or its middle of that width at its own pixels."""
    whole = to_pil(picture)
    height = round(width * 9 / 16)
    if not cut:
        return whole.resize((width, height), Image.Resampling.LANCZOS)
    left, top = max(0, (whole.width - width) // 2), max(0, (whole.height - height) // 2)
    return whole.crop((left, top, left + width, top + height))


def experiment(args: argparse.Namespace) -> None:
    """Write the sheets, and say where."""
    if args.frames < 1 or args.columns < 1 or not 32 <= args.width <= 4096:
        raise UserError("--frames and --columns must be at least 1, --width 32 to 4096.")
    theirs = [Foreign(text) for text in args.peers]
    clips = find_clips(args.clips)
    for height in args.heights:
        frames = clip_frames(clips, -(-args.frames // len(clips)), height)
        for name in spread(list(frames), args.frames):
            made = pictures(frames[name], args.models, theirs, args.styles)
            cells = [(heading, cell(p, args.width, args.cut)) for heading, p in made]
            page = io.BytesIO()
            sheet(cells, args.columns).save(page, "JPEG", quality=90)
            path = args.out / f"{name.replace('@', '-')}-{height}p.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, page.getvalue())
            print(path)


def spread(names: Sequence[str], count: int) -> list[str]:
    """``count`` of the names at equal distances, or all if there are fewer."""
    count = min(count, len(names))
    return [names[index * len(names) // count] for index in range(count)]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="experiments.peers", description=__doc__.splitlines()[0])
    p.add_argument("models", type=Path, nargs="+", metavar="MODEL.onnx", help="our galleries")
    p.add_argument("--peers", nargs="*", default=[], metavar="FILE.onnx[:bgr]")
    p.add_argument("--styles", nargs="+", metavar="STYLE", help="of ours these alone")
    p.add_argument("--clips", type=Path, required=True, help="folder of videos")
    p.add_argument("--frames", type=int, default=6, help="in all, spread over the clips")
    p.add_argument("--heights", type=int, nargs="+", default=[360, 720, 1080])
    p.add_argument("--columns", type=int, default=6)
    p.add_argument("--width", type=int, default=480, help="of a picture on the sheet")
    p.add_argument("--cut", action="store_true", help="the middle at its own pixels")
    p.add_argument("--out", type=Path, required=True, help="folder")
    return p


def main() -> None:
    """Draw; what a user can cause becomes one sentence."""
    p = parser()
    try:
        experiment(p.parse_args())
    except UserError as error:
        sys.exit(f"{p.prog}: {error}")


if __name__ == "__main__":
    main()
