# SPDX-License-Identifier: MPL-2.0
"""Pictures through an exported model, and how good it is on photos it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
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
from .losses import PerceptualLoss, total_variation
from .onnx_graph import INPUT


class Model:
    """An exported generator on ONNX Runtime, for pictures of any size.

    Args:
        path: the model.
        seed: of its noise, if it has any: the same for every picture.
    """

    def __init__(self, path: Path, seed: int = 0) -> None:
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
        feeds = {INPUT: padded[None]}
        random = np.random.default_rng(self.seed)
        for name, channels, divisor in self.noise:
            sides = ((side // int(divisor)) for side in padded.shape[1:])
            feeds[name] = random.standard_normal((1, int(channels), *sides), np.float32)
        return feeds

    def _missing(self, side: int) -> int:
        return max(self.minimum - side, -side % self.multiple)


def save_image(path: Path, image: Tensor) -> None:
    """Write float [3, H, W] in 0..1 as an 8-bit picture; the ending decides the format."""
    levels = image.mul(255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        Image.fromarray(levels.numpy()).save(path)
    except (ValueError, OSError) as error:
        raise UserError(f"cannot write {path}: {error}.") from None


def stylize(model: Path, source: Path, target: Path, size: int | None = None, seed: int = 0) -> int:
    """Render a picture, or every picture of a folder into a folder; returns how many."""
    network = Model(model, seed)
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


@torch.no_grad()
def evaluate(model: Path, loss: PerceptualLoss, photos: Sequence[Path]) -> dict[str, float]:
    """Mean losses of a model on photos, beside those of the untouched photos.

    ``*_photo`` is what the photo itself scores: its style term is the distance there was
    to go. ``noise_gain`` is how much stronger grain (sigma 1 %) is in the output than in
    the input, as a ratio of root mean squares: a cheap sign of flicker. ``lattice_levels`` is
    the strength of a fixed pattern in grey levels.
    """
    if not photos:
        raise UserError("there is no photo to evaluate on.")
    network = Model(model)
    random = torch.Generator().manual_seed(0)
    rows: list[dict[str, float]] = []
    for path in photos:
        source = read_image(path)
        photo = source[None].float().div(255)
        output = network(source)[None]
        grain = (photo + 0.01 * torch.randn(photo.shape, generator=random)).clamp(0, 1)
        grainy = grain.mul(255).round().to(torch.uint8)[0]
        shift = network(grainy)[None] - output
        given = grainy[None].float().div(255) - photo
        after, before = loss(output, photo), loss(photo, photo)
        rows.append(
            {
                "style": after["style"].item(),
                "style_photo": before["style"].item(),
                "content": after["content"].item(),
                "tv": after["tv"].item(),
                "lattice_levels": 255 * after["lattice"].sqrt().item(),
                "lattice_photo": 255 * before["lattice"].sqrt().item(),
                "tv_photo": total_variation(photo).item(),
                "noise_gain": (shift.square().mean() / given.square().mean()).sqrt().item(),
            }
        )
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
