# SPDX-License-Identifier: MPL-2.0
"""The *lite* generator: real-time on two CPU cores at 1280x720.

A narrow relative of the network of Johnson, Alahi and Fei-Fei (arXiv:1603.08155): down,
residual blocks, up. All heavy work happens at a quarter of the resolution; the residual
blocks see far by dilation instead of depth. A normalization (arXiv:1607.08022) follows
every convolution but the last.
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
from .kernels import array, bias_of, dcr, icnr_, merge_nearest, merge_unshuffle
from .layers import Block, initialize, reflect, soften_noise

HEAD = 16
"""Channels at half resolution, before the output convolution."""


class Lite(Generator):
    """Pixel-unshuffle, strided convolution, dilated residual blocks, two steps up.

    ==================================================  =================
    stage                                               output
    ==================================================  =================
    reflect 1, pixel-unshuffle 2, 3x3 stride 2, norm    [width, H/4, W/4]
    residual blocks, one per dilation                   [width, H/4, W/4]
    nearest x2, 3x3, norm                               [16, H/2, W/2]
    3x3, pixel-shuffle 2, sigmoid                       [3, H, W]
    ==================================================  =================

    Args:
        width: channels at quarter resolution.
        dilations: one residual block for each; the first convolution of the block has it.
        norm: as for every ``Generator``, like the next three.
        noise_channels: noise at full resolution, beside the image.
        task: what to make.
        styles: how many styles.
    """

    NAME: ClassVar[str] = "lite"

    def __init__(
        self,
        width: int = 32,
        dilations: Sequence[int] = (1, 2, 4),
        norm: str = "instance",
        noise_channels: int = 0,
        task: str = "stylize",
        styles: int = 1,
    ) -> None:
        super().__init__(norm, noise_channels, task, styles)
        if width < 1 or not dilations or min(dilations) < 1:
            raise UserError("width and every dilation must be at least 1.")
        self.width = width
        self.dilations = tuple(int(d) for d in dilations)
        normalize = self.normalization
        bias = normalize.needs_bias
        self.down = nn.Conv2d(4 * self.input_channels, width, 3, stride=2, bias=bias)
        self.down_norm = normalize(width)
        self.blocks = nn.ModuleList(Block(width, d, normalize) for d in self.dilations)
        self.up = nn.Conv2d(width, HEAD, 3, bias=bias)
        self.up_norm = normalize(HEAD)
        self.out = nn.Conv2d(HEAD, 12, 3)
        initialize(self)
        soften_noise(self.down, 4 * noise_channels)
        icnr_(self.out.weight, 2)

    @property
    def size_multiple(self) -> int:
        """Two steps of two."""
        return 4

    @property
    def minimum_size(self) -> int:
        """Reflection needs more pixels than it adds, at quarter resolution."""
        return 4 * (max(self.dilations) + 1)

    def options(self) -> dict[str, object]:
        """Constructor keywords."""
        return {"width": self.width, "dilations": list(self.dilations), **super().options()}

    def transform(self, image: Tensor, noise: Sequence[Tensor], mix: Tensor) -> Tensor:
        """[N, 3, H, W] in 0..1 to the same."""
        x = F.pixel_unshuffle(reflect(self.join(image, noise), 1), 2)
        x = F.relu(self.down_norm(self.down(x), mix))
        for block in self.blocks:
            x = block(x, mix)
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = F.relu(self.up_norm(self.up(reflect(x, 1)), mix))
        x = self.out(reflect(x, 1))
        return torch.sigmoid(F.pixel_shuffle(x.float(), 2))

    def write(self, writer: GraphWriter, image: str, noise: Sequence[str]) -> str:
        """Append the network to ``writer``, in forms that runtimes execute fast.

        Pixel-unshuffle and the 3x3 stride-2 convolution become one 6x6 stride-4
        convolution. Nearest x2 and the 3x3 convolution become one transposed convolution, for
        less than half the work.
        """
        x = self.write_join(writer, image, noise, "input")
        kernel = merge_unshuffle(array(self.down.weight))
        x = writer.conv(writer.pad(x, "down.pad", 1), "down", kernel, bias_of(self.down), stride=4)
        x = writer.relu(self.down_norm.write(writer, x, "down.norm"), "down.relu")
        for index, block in enumerate(self.blocks):
            x = block.write(writer, x, f"block{index}")  # type: ignore[operator]
        x = writer.pad(x, "up.pad", 1, mode="edge")
        kernel = merge_nearest(array(self.up.weight))
        x = writer.conv_transpose(x, "up", kernel, bias_of(self.up), stride=2, crop=3)
        x = writer.relu(self.up_norm.write(writer, x, "up.norm"), "up.relu")
        weight, bias = dcr(array(self.out.weight)), dcr(array(self.out.bias))
        x = writer.conv(writer.pad(x, "out.pad", 1), "out", weight, bias)
        return writer.depth_to_space(writer.node("Sigmoid", [x], "out.sigmoid"), "out.shuffle")
