# SPDX-License-Identifier: MPL-2.0
"""The *residual* generator: Johnson, Alahi and Fei-Fei, "Perceptual Losses for Real-Time
Style Transfer and Super-Resolution" (arXiv:1603.08155), with the changes that later work
agreed on: instance normalization, nearest-neighbour enlargement, reflection everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UserError
from ..onnx_graph import GraphWriter
from .base import Generator
from .kernels import array, four_at_once
from .layers import Block, ConvNorm, initialize, reflect, soften_noise


class Residual(Generator):
    """``c9s1-W,d2W,d4W,R4W x blocks,u2W,uW,c9s1-3`` in the notation of the authors' code.

    ======================================  ==================
    stage                                   output
    ======================================  ==================
    9x9, norm                               [W, H, W]
    3x3 stride 2, norm                      [2W, H/2, W/2]
    3x3 stride 2, norm                      [4W, H/4, W/4]
    residual blocks                         [4W, H/4, W/4]
    nearest x2, 3x3, norm                   [2W, H/2, W/2]
    nearest x2, 3x3, norm                   [W, H, W]
    9x9, sigmoid                            [3, H, W]
    ======================================  ==================

    With the defaults 1,677,635 parameters: the 1,679,235 of the paper's network less the
    1,600 biases that the norms would cancel. Half the width is the size of the models that
    the authors later released, a quarter still holds one style.

    Args:
        width: channels at full resolution (W).
        blocks: number of residual blocks.
        norm: as for every ``Generator``, like the next three.
        noise_channels: noise at full resolution, beside the image.
        task: what to make.
        styles: how many styles.
    """

    NAME: ClassVar[str] = "residual"

    def __init__(
        self,
        width: int = 32,
        blocks: int = 5,
        norm: str = "instance",
        noise_channels: int = 0,
        task: str = "stylize",
        styles: int = 1,
    ) -> None:
        super().__init__(norm, noise_channels, task, styles)
        if width < 1 or blocks < 0:
            raise UserError("--width must be at least 1 and --blocks at least 0.")
        self.width = width
        kind = self.normalization
        self.first = ConvNorm(self.input_channels, width, 9, kind)
        self.down = nn.ModuleList(
            ConvNorm(n * width, 2 * n * width, 3, kind, stride=2) for n in (1, 2)
        )
        self.blocks = nn.ModuleList(Block(4 * width, 1, kind) for _ in range(blocks))
        self.up = nn.ModuleList(
            ConvNorm(2 * n * width, n * width, 3, kind, enlarge=True) for n in (2, 1)
        )
        self.out = nn.Conv2d(width, 3, 9)
        initialize(self)
        soften_noise(self.first.conv, noise_channels)

    @property
    def size_multiple(self) -> int:
        """Two steps of two."""
        return 4

    @property
    def minimum_size(self) -> int:
        """Reflection by 4 at full, by 1 at quarter resolution needs more pixels than it adds."""
        return 8

    def options(self) -> dict[str, object]:
        """Constructor keywords."""
        return {"width": self.width, "blocks": len(self.blocks), **super().options()}

    def transform(self, image: Tensor, noise: Sequence[Tensor], mix: Tensor) -> Tensor:
        """[N, 3, H, W] in 0..1 to the same."""
        x = self.first(self.join(image, noise), mix)
        for layer in (*self.down, *self.blocks, *self.up):
            x = layer(x, mix)
        # The paper ends in a tanh scaled to 0..255; nets with it are known for dull, dark
        # pictures. Without a bound, clipped colours would get no gradient. A sigmoid keeps to
        # 0..1, which is also the range of the losses, so there is no scale to get wrong.
        return torch.sigmoid(self.out(reflect(x, 4)).float())

    def write(self, writer: GraphWriter, image: str, noise: Sequence[str]) -> str:
        """Append the network to ``writer``; the last layer makes four pixels at once."""
        x = self.first.write(writer, self.write_join(writer, image, noise, "input"), "first")
        for name, layers in (("down", self.down), ("block", self.blocks), ("up", self.up)):
            for index, layer in enumerate(layers):
                x = layer.write(writer, x, f"{name}{index}")  # type: ignore[operator]
        weight, bias = four_at_once(array(self.out.weight)), np.tile(array(self.out.bias), 4)
        x = writer.conv(writer.pad(x, "out.pad", 4), "out", weight, bias, stride=2)
        return writer.depth_to_space(writer.node("Sigmoid", [x], "out.sigmoid"), "out.shuffle")
