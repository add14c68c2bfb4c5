# SPDX-License-Identifier: MPL-2.0
"""Pictures through an exported model."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .data import list_photos, read_image, read_pictures
from .errors import UserError
from .export import session
from .files import write_whole
from .onnx_graph import INPUT
from .styles import parse_mix


class Model:
    """An exported generator on ONNX Runtime, for pictures of any size.

    Args:
        path: the model.
        seed: of its noise, if it has any: the same for every picture.
        mix: the style of a model that holds several, or a mix of them as ``parse_mix`` reads it;
            there is no default.
    """

    def __init__(self, path: Path, seed: int = 0, mix: str | None = None) -> None:
        if not path.is_file():
            raise UserError(f"the model {path} does not exist.")
        self.session: onnxruntime.InferenceSession = session(path)
        metadata = self.session.get_modelmeta().custom_metadata_map
        if metadata.get("stylize.version") != "1" or self.session.get_inputs()[0].name != INPUT:
            raise UserError(f"{path} is not a model exported by stylize-train.")
        self.metadata: dict[str, str] = metadata
        self.multiple = int(metadata.get("stylize.size-multiple", "1"))
        self.minimum = int(metadata.get("stylize.size-minimum", "1"))
        self.noise = [n.split(":") for n in metadata.get("stylize.noise", "").split(",") if n]
        self.seed = seed
        self.styles = [name for name in metadata.get("stylize.styles", "").split(",") if name]
        self.style_feeds: dict[str, NDArray[np.float32]] = {}
        if self.styles:
            if mix is None:
                known = ", ".join(self.styles)
                raise UserError(f"{path} holds several styles; choose with --mix from: {known}.")
            self.style_feeds[metadata["stylize.style-input"]] = parse_mix(mix, self.styles)
        elif mix is not None:
            raise UserError(f"{path} holds one style; leave out --mix.")

    @staticmethod
    def names(path: Path) -> tuple[str, ...]:
        """Styles that a model file holds; none if it is of one painting."""
        if not path.is_file():
            raise UserError(f"the model {path} does not exist.")
        held = session(path).get_modelmeta().custom_metadata_map.get("stylize.styles", "")
        return tuple(name for name in held.split(",") if name)

    def __call__(self, image: Tensor) -> Tensor:
        """uint8 [3, H, W] to float32 [3, H, W] in 0..1; borders are padded and cropped."""
        _, height, width = image.shape
        (output,) = self.session.run(None, self.feeds(image))
        return torch.from_numpy(output[0, :, :height, :width]).clamp(0, 1)

    def feeds(self, image: Tensor) -> dict[str, NDArray[np.float32]]:
        """The session's inputs for uint8 [3, H, W], padded to a size that the network takes."""
        _, height, width = image.shape
        pixels: NDArray[np.float32] = image.numpy().astype(np.float32) / 255
        bottom, right = self._missing(height), self._missing(width)
        padded = np.pad(pixels, ((0, 0), (0, bottom), (0, right)), mode="symmetric")
        feeds = {INPUT: padded[None], **self.style_feeds}
        random = np.random.default_rng(self.seed)
        for name, channels, divisor in self.noise:
            sides = ((side // int(divisor)) for side in padded.shape[1:])
            feeds[name] = random.standard_normal((1, int(channels), *sides), np.float32)
        return feeds

    def _missing(self, side: int) -> int:
        return max(self.minimum - side, -side % self.multiple)


def add_mix_argument(p: argparse.ArgumentParser) -> None:
    """``--mix``, for models that hold several styles."""
    p.add_argument("--mix", metavar="STYLE|STYLE:WEIGHT,...", help="of a model with several styles")


def save_image(path: Path, image: Tensor) -> None:
    """Write float [3, H, W] in 0..1 as an 8-bit picture; the ending decides the format."""
    write_image(path, to_pil(image))


def to_pil(image: Tensor) -> Image.Image:
    """Float [3, H, W] in 0..1 to 8 bits."""
    levels = image.mul(255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(levels.contiguous().numpy())


def picture_format(path: Path) -> str:
    """The format that a picture's ending decides, in Pillow's words; refuses other endings."""
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise UserError(
            f"cannot write {path}: no picture format ends in '{path.suffix}'; .png is one."
        )
    return kind


def write_image(path: Path, image: Image.Image) -> None:
    """Write whole or not at all; the ending decides the format."""
    encoded = io.BytesIO()
    image.save(encoded, picture_format(path))
    write_whole(path, encoded.getvalue())


def stylize(
    model: Path,
    source: Path,
    target: Path,
    size: int | None = None,
    seed: int = 0,
    mix: str | None = None,
) -> int:
    """Render a picture, or every picture of a folder into a folder; returns how many.

    ``size`` is the longer side that pictures get first, in pixels; ``seed`` and ``mix`` are those
    of ``Model``.
    """
    network = Model(model, seed, mix)
    if not source.is_dir():
        if target.is_dir():
            target = target / source.name
        save_image(target, network(read_image(source, long_side=size)))
        return 1
    written = 0
    for path, image in read_pictures(list_photos(source), size):
        save_image(target / path.name, network(image))
        written += 1
    return written
