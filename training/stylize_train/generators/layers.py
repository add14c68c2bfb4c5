# SPDX-License-Identifier: MPL-2.0
"""Layers that several generators share. Each can write itself into an ONNX graph.

Convolutions pad by reflection: zeros would print a frame along the border
(arXiv:1607.08022, figure 3). Before a normalization they have no bias, which the
subtracted mean would cancel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..norms import Normalization
from ..onnx_graph import GraphWriter
from .kernels import Array, array, bias_of, merge_nearest


def reflect(x: Tensor, amount: int) -> Tensor:
    """Pad height and width by reflection (the edge pixel is not repeated)."""
    return F.pad(x, (amount,) * 4, mode="reflect") if amount else x


class ConvNorm(nn.Module):
    """Reflection padding, convolution, normalization, leaky ReLU.

    [N, in, H, W] to [N, out, H / stride, W / stride].

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel, odd.
        normalization: makes the norm.
        stride: step of the convolution.
        enlarge: nearest x2 first (in place of a transposed convolution, whose uneven
            overlap prints a checkerboard); wants a 3x3 kernel.
        slope: of the ReLU below 0; 0 is the plain one.
        noise: channels of noise [N, noise, H, W] that the convolution reads besides.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        normalization: Normalization,
        *,
        stride: int = 1,
        enlarge: bool = False,
        slope: float = 0.0,
        noise: int = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, bias=normalization.needs_bias)
        self.noise_conv = noise_convolution(noise, self.conv)
        self.norm = normalization(outputs)
        self.padding = kernel // 2
        self.enlarge = enlarge
        self.slope = slope

    def forward(self, x: Tensor, mix: Tensor | None = None, noise: Sequence[Tensor] = ()) -> Tensor:
        """Apply the layer."""

        def padded(values: Tensor) -> Tensor:
            if self.enlarge:
                values = F.interpolate(values, scale_factor=2, mode="nearest")
            return reflect(values, self.padding)

        y = self.conv(padded(x))
        if self.noise_conv is not None:
            y = y + self.noise_conv(padded(*noise))
        return F.leaky_relu(self.norm(y, mix), self.slope)

    def write(self, writer: GraphWriter, x: str, label: str, noise: Sequence[str] = ()) -> str:
        """Append this layer; an enlarging one as a transposed convolution (``merge_nearest``)."""
        weight, bias = with_noise(self.conv, self.noise_conv), bias_of(self.conv)
        with writer.scoped(label):
            if noise:
                x = writer.concat([x, *noise], "noise")
            if self.enlarge:
                x = writer.pad(x, "pad", 1, mode="edge")
                kernel = merge_nearest(weight)
                x = writer.conv_transpose(x, "conv", kernel, bias, stride=2, crop=3)
            else:
                x = writer.pad(x, "pad", self.padding)
                x = writer.conv(x, "conv", weight, bias, stride=self.conv.stride[0])
            return writer.relu(self.norm.write(writer, x, "norm"), "relu", self.slope)


class Block(nn.Module):
    """Residual block: conv, norm, ReLU, conv, norm, plus the input. [N, C, h, w] to the same.

    No ReLU follows the sum, as in the implementation of Johnson, Alahi and Fei-Fei
    (arXiv:1603.08155) and the work of Gross and Wilber that they cite.

    Args:
        width: C.
        dilation: of the first convolution.
        normalization: makes the norms.
        noise: channels of noise [N, noise, h, w] that the first convolution reads besides.
    """

    def __init__(
        self,
        width: int,
        dilation: int = 1,
        normalization: Normalization | None = None,
        noise: int = 0,
    ) -> None:
        super().__init__()
        self.dilation = dilation
        normalize = normalization or Normalization()
        bias = normalize.needs_bias
        self.conv1 = nn.Conv2d(width, width, 3, dilation=dilation, bias=bias)
        self.noise_conv = noise_convolution(noise, self.conv1)
        self.norm1 = normalize(width)
        self.conv2 = nn.Conv2d(width, width, 3, bias=bias)
        self.norm2 = normalize(width)

    def forward(self, x: Tensor, mix: Tensor | None = None, noise: Sequence[Tensor] = ()) -> Tensor:
        """Shape is kept: borders are padded by reflection."""
        y = self.conv1(reflect(x, self.dilation))
        if self.noise_conv is not None:
            y = y + self.noise_conv(reflect(*noise, self.dilation))
        y = F.relu(self.norm1(y, mix))
        return x + self.norm2(self.conv2(reflect(y, 1)), mix)

    def write(self, writer: GraphWriter, x: str, label: str, noise: Sequence[str] = ()) -> str:
        """Append this block to ``writer``."""
        with writer.scoped(label):
            read = writer.concat([x, *noise], "noise") if noise else x
            y = writer.pad(read, "pad1", self.dilation)
            weight, bias = with_noise(self.conv1, self.noise_conv), bias_of(self.conv1)
            y = writer.conv(y, "conv1", weight, bias, dilation=self.dilation)
            y = writer.relu(self.norm1.write(writer, y, "norm1"), "relu")
            y = writer.pad(y, "pad2", 1)
            y = writer.conv(y, "conv2", array(self.conv2.weight), bias_of(self.conv2))
            return writer.node("Add", [x, self.norm2.write(writer, y, "norm2")], "add")


def noise_convolution(channels: int, conv: nn.Conv2d) -> nn.Conv2d | None:
    """A convolution of noise whose result is added to that of ``conv``; None without channels.

    Together they are one convolution of both inputs. Apart, each keeps its weights when the other
    grows.
    """
    if channels == 0:
        return None
    return nn.Conv2d(
        channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        dilation=conv.dilation,
        bias=False,
    )


def with_noise(conv: nn.Conv2d, noise_conv: nn.Conv2d | None) -> Array:
    """The kernel of the one convolution that reads the features and then the noise."""
    if noise_conv is None:
        return array(conv.weight)
    return np.concatenate([array(conv.weight), array(noise_conv.weight)], 1)


def initialize(network: nn.Module) -> None:
    """He initialization of every convolution (arXiv:1502.01852), biases 0.

    Blocks without norms start as the identity: their sum would grow from block to block
    until the output is all black and white.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, Block) and module.norm2.NEEDS_BIAS:
            nn.init.zeros_(module.conv2.weight)


@torch.no_grad()
def soften_noise(conv: nn.Conv2d, channels: int) -> None:
    """Weaken a first convolution's last ``channels`` inputs, in place.

    The deviation of a photo is about a quarter of standard noise's: let a network start with
    both equally strong, or it has to find the photo in the noise first.
    """
    if 0 < channels < conv.in_channels:
        conv.weight[:, -channels:] *= 0.25
