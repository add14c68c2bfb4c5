# SPDX-License-Identifier: MPL-2.0
"""The *pyramid* generator: Ulyanov, Lebedev, Vedaldi and Lempitsky, "Texture Networks:
Feed-forward Synthesis of Textures and Stylized Images" (arXiv:1603.03417), figure 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..norms import Normalization
from ..onnx_graph import GraphWriter
from .base import Generator, NoiseInput
from .kernels import array, bias_of
from .layers import ConvNorm, initialize, soften_noise

SLOPE = 0.01
"""Of the leaky ReLUs below 0."""


class Triple(nn.Sequential):
    """3x3, 3x3 and 1x1 convolution, each with norm and leaky ReLU. [N, in, ...] to [N, out, ...]"""

    def __init__(self, inputs: int, outputs: int, normalization: Normalization) -> None:
        super().__init__(
            ConvNorm(inputs, outputs, 3, normalization, slope=SLOPE),
            ConvNorm(outputs, outputs, 3, normalization, slope=SLOPE),
            ConvNorm(outputs, outputs, 1, normalization, slope=SLOPE),
        )

    def forward(self, x: Tensor, mix: Tensor | None = None) -> Tensor:
        """Apply the three."""
        for layer in self:
            x = layer(x, mix)
        return x

    def write(self, writer: GraphWriter, x: str, label: str) -> str:
        """Append the three to ``writer``."""
        with writer.scoped(label):
            for index, layer in enumerate(self):
                x = layer.write(writer, x, f"layer{index}")
        return x


class Join(nn.Module):
    """Enlarge the coarse features by two, put the fine ones beside them, convolve.

    Both sides are normalized first, so that neither drowns the other. The coarse side is
    normalized before nearest x2, which changes no mean and no variance, at a quarter of the work.

    [N, coarse, h, w] and [N, fine, 2h, 2w] to [N, coarse + fine, 2h, 2w].
    """

    def __init__(self, coarse: int, fine: int, normalization: Normalization) -> None:
        super().__init__()
        self.coarse_norm = normalization(coarse)
        self.fine_norm = normalization(fine)
        self.body = Triple(coarse + fine, coarse + fine, normalization)

    def forward(self, coarse: Tensor, fine: Tensor, mix: Tensor | None = None) -> Tensor:
        """Apply the layer."""
        coarse = F.interpolate(self.coarse_norm(coarse, mix), scale_factor=2, mode="nearest")
        return self.body(torch.cat([coarse, self.fine_norm(fine, mix)], 1), mix)

    def write(self, writer: GraphWriter, coarse: str, fine: str, label: str) -> str:
        """Append the layer. Enlarging apart: merged into the convolution it was no faster."""
        with writer.scoped(label):
            coarse = writer.nearest(self.coarse_norm.write(writer, coarse, "coarse"), "nearest")
            fine = self.fine_norm.write(writer, fine, "fine")
            return self.body.write(writer, writer.concat([coarse, fine], "concat"), "body")


class Pyramid(Generator):
    """Branches on the image at full, half, quarter ... size, joined from coarse to fine.

    Branch ``k`` sees the image averaged over 2^k x 2^k pixels, and noise of that size of its
    own. Each join appends the ``width`` channels of the next branch. Height and width are
    multiples of 2^(levels - 1).

    The paper pads circularly, as suits a texture that is to tile. A frame of video does not
    wrap around, so borders are reflected here as in the other generators.

    With the defaults 116,291 parameters: the authors' network without noise has 116,915, of
    which the norms cancel 624 biases. Their 3 noise channels add 1,296.

    Args:
        width: channels of a branch.
        levels: number of scales.
        norm: as for every ``Generator``, like the next three.
        noise_channels: noise of each branch, beside the image.
        task: what to make.
        styles: how many styles.
    """

    NAME: ClassVar[str] = "pyramid"

    def __init__(
        self,
        width: int = 8,
        levels: int = 6,
        norm: str = "instance",
        noise_channels: int = 0,
        task: str = "stylize",
        styles: int = 1,
    ) -> None:
        super().__init__(norm, noise_channels, task, styles)
        if width < 1 or not 1 <= levels <= 8:
            raise UserError("--width must be at least 1 and --levels from 1 to 8.")
        self.width = width
        self.levels = levels
        # From fine to coarse; join k makes the features of level k from those of level k + 1.
        self.branches = nn.ModuleList(
            Triple(self.input_channels, width, self.normalization) for _ in range(levels)
        )
        self.joins = nn.ModuleList(
            Join(width * (levels - 1 - level), width, self.normalization)
            for level in range(levels - 1)
        )
        self.out = nn.Conv2d(width * levels, 3, 1)
        initialize(self)
        for branch in self.branches:
            soften_noise(branch[0].conv, noise_channels)

    @property
    def size_multiple(self) -> int:
        """The coarsest pixel."""
        return 2 ** (self.levels - 1)

    @property
    def minimum_size(self) -> int:
        """Reflection needs two pixels at the coarsest level."""
        return 2**self.levels

    def options(self) -> dict[str, object]:
        """Constructor keywords."""
        return {"width": self.width, "levels": self.levels, **super().options()}

    def noise_inputs(self) -> tuple[NoiseInput, ...]:
        """Noise for each branch, from fine to coarse."""
        if not self.noise_channels:
            return ()
        return tuple(NoiseInput(self.noise_channels, 2**level) for level in range(self.levels))

    def transform(self, image: Tensor, noise: Sequence[Tensor], mix: Tensor) -> Tensor:
        """[N, 3, H, W] in 0..1 to the same."""
        features: list[Tensor] = []
        for level, branch in enumerate(self.branches):
            if level:
                image = F.avg_pool2d(image, 2)
            features.append(branch(self.join(image, noise[level : level + 1]), mix))
        x = features.pop()
        for join in reversed(self.joins):
            x = join(x, features.pop(), mix)
        return torch.sigmoid(self.out(x).float())

    def write(self, writer: GraphWriter, image: str, noise: Sequence[str]) -> str:
        """Append the network to ``writer``."""
        features: list[str] = []
        for level, branch in enumerate(self.branches):
            if level and self.task == "stylize":
                image = writer.average_pool(image, f"image{2**level}")
            x = self.write_join(writer, image, noise[level : level + 1], f"input{2**level}")
            features.append(branch.write(writer, x, f"branch{2**level}"))  # type: ignore[operator]
        x = features.pop()
        for level in reversed(range(self.levels - 1)):
            join = self.joins[level]
            x = join.write(writer, x, features.pop(), f"join{2**level}")  # type: ignore[operator]
        x = writer.conv(x, "out", array(self.out.weight), bias_of(self.out))
        return writer.node("Sigmoid", [x], "out.sigmoid")
