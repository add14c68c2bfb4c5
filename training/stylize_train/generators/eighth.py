# SPDX-License-Identifier: MPL-2.0
"""The *eighth* generator: its residual blocks work at an eighth of the resolution.

The network of Johnson, Alahi and Fei-Fei (arXiv:1603.08155) with one more step down: at the same
work a convolution there has twice the channels that it could have at a quarter, and sees twice as
far in the picture. That is what brush strokes of 30 to 100 pixels need.

A network without noise has nothing but the pixel's place in its 8x8 block to make texture of where
the photo is flat, and prints a weave there. ``body_noise`` gives it something else, as in the
texture networks of Ulyanov et al. (arXiv:1603.03417).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..onnx_graph import GraphWriter
from .base import Generator, NoiseInput
from .kernels import array, bias_of, dcr, icnr_, merge_unshuffle
from .layers import Block, ConvNorm, initialize, reflect, soften_noise

T = TypeVar("T")


class Eighth(Generator):
    """Pixel-unshuffle, two strided convolutions, residual blocks, three steps up.

    With ``width`` W and ``edges`` (a, b, c):

    ==================================================  =============
    stage                                               output
    ==================================================  =============
    reflect 1, pixel-unshuffle 2, 3x3 stride 2, norm    [a, H/4, W/4]
    3x3 stride 2, norm                                  [W, H/8, W/8]
    residual blocks, one per dilation                   [W, H/8, W/8]
    nearest x2, 3x3, norm                               [b, H/4, W/4]
    nearest x2, 3x3, norm                               [c, H/2, W/2]
    3x3, pixel-shuffle 2, sigmoid                       [3, H, W]
    ==================================================  =============

    With ``body_noise`` the first residual block and the first step up read so many channels of
    noise [H/8, W/8] beside their features; both the same.

    Args:
        width: channels at an eighth of the resolution.
        edges: channels at a quarter on the way down, at a quarter and a half on the way up.
        dilations: one residual block for each; the first convolution of the block has it.
        norm: as for every ``Generator``, like the next three.
        noise_channels: noise at full resolution, beside the image.
        task: what to make.
        styles: how many styles.
        body_noise: channels of noise at an eighth of the resolution.
    """

    NAME: ClassVar[str] = "eighth"

    def __init__(
        self,
        width: int = 64,
        edges: Sequence[int] = (32, 32, 16),
        dilations: Sequence[int] = (1, 1, 2),
        norm: str = "instance",
        noise_channels: int = 0,
        task: str = "stylize",
        styles: int = 1,
        body_noise: int = 0,
    ) -> None:
        super().__init__(norm, noise_channels, task, styles)
        if body_noise < 0:
            raise UserError(f"body_noise is {body_noise} and must be at least 0.")
        if width < 1 or not dilations or min(dilations) < 1:
            raise UserError("--width and every dilation must be at least 1.")
        if len(edges) != 3 or min(edges) < 1:
            raise UserError("--edges wants three numbers of channels, each at least 1.")
        self.width = width
        self.edges = tuple(int(e) for e in edges)
        self.dilations = tuple(int(d) for d in dilations)
        self.body_noise = body_noise
        down, up, last = self.edges
        kind = self.normalization
        self.down = nn.Conv2d(4 * self.input_channels, down, 3, stride=2, bias=kind.needs_bias)
        self.down_norm = kind(down)
        self.deeper = ConvNorm(down, width, 3, kind, stride=2)
        self.blocks = nn.ModuleList(
            Block(width, d, kind, 0 if index else body_noise)
            for index, d in enumerate(self.dilations)
        )
        self.up = nn.ModuleList(
            ConvNorm(*channels, 3, kind, enlarge=True, noise=noise)
            for *channels, noise in ((width, up, body_noise), (up, last, 0))
        )
        self.out = nn.Conv2d(last, 12, 3)
        initialize(self)
        soften_noise(self.down, 4 * noise_channels)
        icnr_(self.out.weight, 2)

    @property
    def size_multiple(self) -> int:
        """Three steps of two."""
        return 8

    @property
    def minimum_size(self) -> int:
        """Reflection needs more pixels than it adds, at an eighth of the resolution."""
        return 8 * (max(self.dilations) + 1)

    def options(self) -> dict[str, object]:
        """Constructor keywords."""
        return {
            "width": self.width,
            "edges": list(self.edges),
            "dilations": list(self.dilations),
            **super().options(),
            **({"body_noise": self.body_noise} if self.body_noise else {}),
        }

    def noise_inputs(self) -> tuple[NoiseInput, ...]:
        """At full resolution beside the image, and at an eighth."""
        body = (NoiseInput(self.body_noise, 8),) if self.body_noise else ()
        return (*super().noise_inputs(), *body)

    def split_noise(self, noise: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
        """Of ``noise_inputs``: what goes beside the image, what into the body."""
        count = len(super().noise_inputs())
        return noise[:count], noise[count:]

    def transform(self, image: Tensor, noise: Sequence[Tensor], mix: Tensor) -> Tensor:
        """[N, 3, H, W] in 0..1 to the same."""
        image_noise, body_noise = self.split_noise(noise)
        x = F.pixel_unshuffle(reflect(self.join(image, image_noise), 1), 2)
        x = self.deeper(F.relu(self.down_norm(self.down(x), mix)), mix)
        for index, block in enumerate(self.blocks):
            x = block(x, mix, () if index else body_noise)
        for index, layer in enumerate(self.up):
            x = layer(x, mix, () if index else body_noise)
        x = self.out(reflect(x, 1))
        return torch.sigmoid(F.pixel_shuffle(x.float(), 2))

    def write(self, writer: GraphWriter, image: str, noise: Sequence[str]) -> str:
        """Append the network to ``writer``; unshuffle and first convolution become one."""
        image_noise, body_noise = self.split_noise(noise)
        x = self.write_join(writer, image, image_noise, "input")
        kernel = merge_unshuffle(array(self.down.weight))
        x = writer.conv(writer.pad(x, "down.pad", 1), "down", kernel, bias_of(self.down), stride=4)
        x = writer.relu(self.down_norm.write(writer, x, "down.norm"), "down.relu")
        x = self.deeper.write(writer, x, "deeper")
        for index, block in enumerate(self.blocks):
            extra = () if index else body_noise
            x = block.write(writer, x, f"block{index}", extra)  # type: ignore[operator]
        for index, layer in enumerate(self.up):
            extra = () if index else body_noise
            x = layer.write(writer, x, f"up{index}", extra)  # type: ignore[operator]
        weight, bias = dcr(array(self.out.weight)), dcr(array(self.out.bias))
        x = writer.conv(writer.pad(x, "out.pad", 1), "out", weight, bias)
        return writer.depth_to_space(writer.node("Sigmoid", [x], "out.sigmoid"), "out.shuffle")
