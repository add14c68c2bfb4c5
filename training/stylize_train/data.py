# SPDX-License-Identifier: MPL-2.0
"""Photographs in memory, and random crops of them that a seed decides."""

from __future__ import annotations

import fnmatch
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from .errors import UserError

log = logging.getLogger(__name__)

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of R, G, B in BT.709 luma."""


Part = tuple[float, float, float, float]
"""A part of a picture: its left, upper, right and lower edge, from 0 to 1."""

WHOLE: Part = (0.0, 0.0, 1.0, 1.0)


def read_image(
    path: Path,
    long_side: int | None = None,
    short_side: int | None = None,
    least: int = 1,
    part: Part = WHOLE,
) -> Tensor:
    """Read a picture, or a part of it, as uint8 [3, H, W], RGB, upright.

    ``long_side`` resizes to that longer side; ``short_side`` only shrinks. What has a shorter side
    below ``least`` before that is refused. All in pixels.
    """
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except Exception:  # decoders raise whatever a damaged file makes them stumble over
        raise UserError(f"{path} is not a picture that can be read.") from None
    if part != WHOLE:
        edges = zip(part, (image.width, image.height) * 2, strict=True)
        image = image.crop([round(edge * side) for edge, side in edges])
    if min(image.size) < least:
        raise UserError(
            f"{path} is {image.width} x {image.height} pixels, and its shorter side must be at "
            f"least {least}: take a larger picture."
        )
    factor = 1.0
    if long_side is not None:
        factor = long_side / max(image.size)
    if short_side is not None:
        factor = min(factor, short_side / min(image.size))
    if factor != 1.0:
        size = tuple(max(1, round(side * factor)) for side in image.size)
        image = image.resize(size, Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def list_photos(folder: Path, exclude: Sequence[str] = ()) -> list[Path]:
    """Files of a folder by name; not hidden ones, nor those matching a pattern of ``exclude``."""
    if not folder.is_dir():
        raise UserError(f"the photo folder {folder} does not exist or is not a folder.")
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and not path.name.startswith(".")
        and not any(fnmatch.fnmatch(path.name, pattern) for pattern in exclude)
    )


def read_pictures(
    files: Sequence[Path], long_side: int | None = None, short_side: int | None = None
) -> Iterator[tuple[Path, Tensor]]:
    """Read the pictures among ``files`` as ``read_image`` does; warns of the others at the end."""
    skipped: list[str] = []
    for path in files:
        try:
            yield path, read_image(path, long_side, short_side)
        except UserError:
            skipped.append(path.name)
    if skipped:
        count = f"{len(skipped)} of {len(files)} files"
        verb = "is no picture and was" if len(skipped) == 1 else "are no pictures and were"
        more = ", ..." if len(skipped) > 3 else ""
        log.warning("%s %s left out: %s%s", count, verb, ", ".join(skipped[:3]), more)


def fork(random: torch.Generator, device: torch.device) -> torch.Generator:
    """A stream on ``device`` that begins where ``random`` says.

    So one stream on the CPU decides everything, and its state is all there is to save.
    """
    seed = int(torch.randint(2**62, (), generator=random))
    return torch.Generator(device).manual_seed(seed)


class Source(ABC):
    """A stream of crops [N, 3, crop, crop] that a seed decides.

    Args:
        crop: side of the crops in pixels.
        seed: decides the whole stream.
        device: where the crops are wanted.
    """

    def __init__(self, crop: int, seed: int, device: torch.device | str = "cpu") -> None:
        self.crop = crop
        self.device = torch.device(device)
        self.random = torch.Generator().manual_seed(seed)

    @abstractmethod
    def __len__(self) -> int:
        """Number of photos."""

    @abstractmethod
    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """``size`` crops, float32 in 0..1: what the generator gets, what the losses see."""


class Blank(Source):
    """Black pictures: what a texture is made from has a size and nothing else."""

    def __len__(self) -> int:
        return 0

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Twice the same zeros."""
        black = torch.zeros(size, 3, self.crop, self.crop, device=self.device)
        return black, black


class Photos(Source):
    """All photos of a folder, as uint8 [3, H, W] on the device, and random crops of them.

    Files that are no pictures are left out, with a warning.

    Args:
        folder: holds pictures.
        crop: side of the crops in pixels; smaller photos are enlarged.
        seed: decides the whole stream.
        exclude: file name patterns to leave out.
        noise: greatest standard deviation of Gaussian noise on the generator's input
            (range 0..1); the losses see the clean crop. Teaches it to ignore grain, which
            otherwise flickers in video. Most crops get much less: video is cleaner than photos.
        device: where photos are kept and crops cut.
        enlarge: how much a crop may be enlarged, 1 and above. Enlarged photos are as smooth as
            video that was scaled up, and show a generator the flat areas that few photos have.
    """

    def __init__(
        self,
        folder: Path,
        crop: int,
        seed: int,
        exclude: Sequence[str] = (),
        noise: float = 0.02,
        device: torch.device | str = "cpu",
        enlarge: float = 1.0,
    ) -> None:
        super().__init__(crop, seed, device)
        self.noise = noise
        self.enlarge = enlarge
        pictures = read_pictures(list_photos(folder, exclude), short_side=max(512, crop))
        self.images = [image.to(self.device) for _, image in pictures]
        if not self.images:
            raise UserError(f"the photo folder {folder} holds no picture.")
        self._luma = torch.tensor(LUMA, device=self.device).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """``size`` crops: (noisy input, clean photo), float32 [size, 3, crop, crop] in 0..1."""
        photo = torch.stack([self._crop() for _ in range(size)])
        random = fork(self.random, self.device)
        sigma = torch.rand(size, 1, 1, 1, generator=random, device=self.device)
        sigma = self.noise * sigma.square()
        noise = torch.randn(photo.shape, generator=random, device=self.device)
        return (photo + sigma * noise).clamp(0, 1), photo

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=self.random).item()

    def _below(self, limit: int) -> int:
        return int(torch.randint(limit, (), generator=self.random))

    def _crop(self) -> Tensor:
        """A square up to the size of the whole photo, resized, flipped, jittered."""
        image = self.images[self._below(len(self.images))]
        _, height, width = image.shape
        short = min(height, width)
        side = round(self._uniform(min(self.crop, short) / self.enlarge, short))
        top, left = self._below(height - side + 1), self._below(width - side + 1)
        square = image[:, top : top + side, left : left + side].float().div(255)
        if side != self.crop:
            size = (self.crop, self.crop)
            square = F.interpolate(square[None], size, mode="bilinear", antialias=True)[0]
        if self._uniform(0, 1) < 0.5:
            square = square.flip(2)
        return self._jitter(square.clamp(0, 1))

    def _jitter(self, image: Tensor) -> Tensor:
        """Light changes of exposure, contrast and saturation; [3, H, W] in 0..1."""
        image = image.pow(self._uniform(0.8, 1.25))
        image = (image - 0.5) * self._uniform(0.8, 1.15) + 0.5 + self._uniform(-0.05, 0.05)
        luma = (image * self._luma).sum(0, keepdim=True)
        return (luma + (image - luma) * self._uniform(0.7, 1.3)).clamp(0, 1)
