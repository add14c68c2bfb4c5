# SPDX-License-Identifier: MPL-2.0
"""The *eighth* generator: its residual blocks work at an eighth of the resolution.

The network of Johnson, Alahi and Fei-Fei (arXiv:1603.08155) with one more step down: at the same
work a convolution there has twice the channels that it could have at a quarter, and sees twice as
far in the picture. That is what brush strokes of 30 to 100 pixels need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..onnx_graph import GraphWriter
from .base import Generator
from .kernels import array, bias_of, dcr, icnr_, merge_unshuffle
from .layers import Block, ConvNorm, initialize, reflect, soften_noise


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

    Args:
        width: channels at an eighth of the resolution.
        edges: channels at a quarter on the way down, at a quarter and a half on the way up.
        dilations: one residual block for each; the first convolution of the block has it.
        norm: as for every ``Generator``, like the next three.
        noise_channels: noise at full resolution, beside the image.
        task: what to make.
        styles: how many styles.
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
    ) -> None:
        super().__init__(norm, noise_channels, task, styles)
        if width < 1 or not dilations or min(dilations) < 1:
            raise UserError("--width and every dilation must be at least 1.")
        if len(edges) != 3 or min(edges) < 1:
            raise UserError("--edges wants three numbers of channels, each at least 1.")
        self.width = width
        self.edges = tuple(int(e) for e in edges)
        self.dilations = tuple(int(d) for d in dilations)
        down, up, last = self.edges
        kind = self.normalization
        self.down = nn.Conv2d(4 * self.input_channels, down, 3, stride=2, bias=kind.needs_bias)
        self.down_norm = kind(down)
        self.deeper = ConvNorm(down, width, 3, kind, stride=2)
        self.blocks = nn.ModuleList(Block(width, d, kind) for d in self.dilations)
        self.up = nn.ModuleList(
            ConvNorm(*channels, 3, kind, enlarge=True) for channels in ((width, up), (up, last))
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
        }

    def transform(self, image: Tensor, noise: Sequence[Tensor], mix: Tensor) -> Tensor:
        """[N, 3, H, W] in 0..1 to the same."""
        x = F.pixel_unshuffle(reflect(self.join(image, noise), 1), 2)
        x = F.relu(self.down_norm(self.down(x), mix))
        for layer in (self.deeper, *self.blocks, *self.up):
            x = layer(x, mix)
        x = self.out(reflect(x, 1))
        return torch.sigmoid(F.pixel_shuffle(x.float(), 2))

    def write(self, writer: GraphWriter, image: str, noise: Sequence[str]) -> str:
        """Append the network to ``writer``; unshuffle and first convolution become one."""
        x = self.write_join(writer, image, noise, "input")
        kernel = merge_unshuffle(array(self.down.weight))
        x = writer.conv(writer.pad(x, "down.pad", 1), "down", kernel, bias_of(self.down), stride=4)
        x = writer.relu(self.down_norm.write(writer, x, "down.norm"), "down.relu")
        x = self.deeper.write(writer, x, "deeper")
        for name, layers in (("block", self.blocks), ("up", self.up)):
            for index, layer in enumerate(layers):
                x = layer.write(writer, x, f"{name}{index}")  # type: ignore[operator]
        weight, bias = dcr(array(self.out.weight)), dcr(array(self.out.bias))
        x = writer.conv(writer.pad(x, "out.pad", 1), "out", weight, bias)
        return writer.depth_to_space(writer.node("Sigmoid", [x], "out.sigmoid"), "out.shuffle")
