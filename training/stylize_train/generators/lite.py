# SPDX-License-Identifier: MPL-2.0
"""The *lite* generator: real-time on two CPU cores at 1280x720.

A narrow relative of the network of Johnson, Alahi and Fei-Fei (arXiv:1603.08155): down,
residual blocks, up. All heavy work happens at a quarter of the resolution; the residual
blocks see far by dilation instead of depth. Instance normalization (arXiv:1607.08022)
follows every convolution but the last, so no convolution before it carries a bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..norms import InstanceNorm
from ..onnx_graph import GraphWriter
from .base import Generator

HEAD = 16
"""Channels at half resolution, before the output convolution."""


class Block(nn.Module):
    """Residual block: conv, norm, ReLU, conv, norm, plus the input. [N, C, h, w] to the same."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.conv1 = nn.Conv2d(width, width, 3, dilation=dilation, bias=False)
        self.norm1 = InstanceNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, bias=False)
        self.norm2 = InstanceNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Shape is kept: borders are padded by reflection."""
        y = F.relu(self.norm1(self.conv1(reflect(x, self.dilation))))
        return x + self.norm2(self.conv2(reflect(y, 1)))

    def write(self, writer: GraphWriter, x: str) -> str:
        """Append this block to ``writer``."""
        y = writer.pad(x, "pad1", self.dilation)
        y = writer.conv(y, "conv1", array(self.conv1.weight), dilation=self.dilation)
        y = writer.node("Relu", [self.norm1.write(writer, y, "norm1")], "relu")
        y = writer.conv(writer.pad(y, "pad2", 1), "conv2", array(self.conv2.weight))
        y = self.norm2.write(writer, y, "norm2")
        return writer.node("Add", [x, y], "add")


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
    """

    NAME: ClassVar[str] = "lite"
    SIZE_MULTIPLE: ClassVar[int] = 4

    def __init__(self, width: int = 32, dilations: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        if width < 1 or not dilations or min(dilations) < 1:
            raise UserError("width and every dilation must be at least 1.")
        self.width = width
        self.dilations = tuple(int(d) for d in dilations)
        self.down = nn.Conv2d(12, width, 3, stride=2, bias=False)
        self.down_norm = InstanceNorm(width)
        self.blocks = nn.ModuleList(Block(width, d) for d in self.dilations)
        self.up = nn.Conv2d(width, HEAD, 3, bias=False)
        self.up_norm = InstanceNorm(HEAD)
        self.out = nn.Conv2d(HEAD, 12, 3)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        icnr_(self.out.weight, 2)
        nn.init.zeros_(self.out.bias)

    @property
    def minimum_size(self) -> int:
        """Reflection needs more pixels than it adds, at quarter resolution."""
        return self.SIZE_MULTIPLE * (max(self.dilations) + 1)

    def options(self) -> dict[str, object]:
        """Constructor keywords."""
        return {"width": self.width, "dilations": list(self.dilations)}

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] in 0..1 to the same."""
        x = self.down(F.pixel_unshuffle(reflect(x, 1), 2))
        x = F.relu(self.down_norm(x))
        for block in self.blocks:
            x = block(x)
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = F.relu(self.up_norm(self.up(reflect(x, 1))))
        x = self.out(reflect(x, 1))
        return torch.sigmoid(F.pixel_shuffle(x, 2))

    def write(self, writer: GraphWriter, image: str) -> str:
        """Append the network to ``writer``, in forms that runtimes execute fast.

        Pixel-unshuffle and the 3x3 stride-2 convolution become one 6x6 stride-4
        convolution. Nearest x2 and the 3x3 convolution become one transposed convolution, for
        less than half the work (see ``merge_nearest``). Both are exact but for the order of
        float sums.
        """
        x = writer.conv(writer.pad(image, "down.pad", 1), "down", self.down_kernel(), stride=4)
        x = writer.node("Relu", [self.down_norm.write(writer, x, "down.norm")], "down.relu")
        for index, block in enumerate(self.blocks):
            with writer.scoped(f"block{index}"):
                x = block.write(writer, x)  # type: ignore[operator]
        x = writer.pad(x, "up.pad", 1, mode="edge")
        x = writer.conv_transpose(x, "up", merge_nearest(array(self.up.weight)), stride=2, crop=3)
        x = writer.node("Relu", [self.up_norm.write(writer, x, "up.norm")], "up.relu")
        weight, bias = dcr(array(self.out.weight)), dcr(array(self.out.bias))
        x = writer.conv(writer.pad(x, "out.pad", 1), "out", weight, bias)
        return writer.depth_to_space(writer.node("Sigmoid", [x], "out.sigmoid"), "out.shuffle")

    def down_kernel(self) -> NDArray[np.float32]:
        """First convolution as [width, 3, 6, 6] with stride 4 on the image itself."""
        w = array(self.down.weight).reshape(self.width, 3, 2, 2, 3, 3)
        return w.transpose(0, 1, 4, 2, 5, 3).reshape(self.width, 3, 6, 6)


def reflect(x: Tensor, amount: int) -> Tensor:
    """Pad height and width by reflection (the edge pixel is not repeated)."""
    return F.pad(x, (amount,) * 4, mode="reflect")


def array(parameter: Tensor) -> NDArray[np.float32]:
    """A parameter as a NumPy array."""
    return parameter.detach().float().cpu().numpy()


@torch.no_grad()
def icnr_(weight: Tensor, factor: int) -> None:
    """Give the ``factor**2`` output channels of each shuffled pixel the same kernel, in place.

    The output then starts as a nearest-neighbour enlargement and shows no lattice:
    Aitken et al., "Checkerboard artifact free sub-pixel convolution" (arXiv:1707.02937).
    ``weight`` is [C * factor**2, in, kh, kw].
    """
    block = factor * factor
    weight.copy_(weight[::block].repeat_interleave(block, dim=0))


def dcr(value: NDArray[np.float32], block: int = 2) -> NDArray[np.float32]:
    """Reorder output channels (axis 0) from pixel-shuffle order to DepthToSpace's DCR order."""
    channels = value.shape[0] // block**2
    order = np.arange(value.shape[0]).reshape(channels, block**2).T.reshape(-1)
    return value[order]


def merge_nearest(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fold "nearest x2, reflect 1, 3x3" into "replicate 1, 4x4 transposed by 2, crop 3".

    Row ``r`` of the large result reads large rows r-1, r, r+1, which are only two small
    rows: an even row its own (two taps) and the one above, an odd row its own and the one
    below. So a small row reaches four large rows, and the kernel is the sum of the taps
    that reach each. Replication before enlarging is reflection after it.

    [out, in, 3, 3] to [in, out, 4, 4].
    """
    # reach[k, t]: tap t of the 3x3 kernel reaches row k of the four.
    reach = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=weight.dtype)
    return np.einsum("kt,lu,oitu->iokl", reach, reach, weight)
