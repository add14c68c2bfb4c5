# SPDX-License-Identifier: MPL-2.0
"""Normalization layers. Each can write itself into an ONNX graph.

All have a learned scale and shift per channel, a conditional one for each style, and compute in
float32 whatever the input's type: sums over a picture lose too much in bfloat16.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import UserError
from .onnx_graph import GraphWriter

EPSILON = 1e-5
MOMENTUM = 0.1
"""Weight of the newest batch in the running statistics of batch normalization."""


class Norm(nn.Module, ABC):
    """A normalization of [B, C, H, W], to the same shape and type.

    Called with the features and the mix of styles [B, N] (or [1, N]: the same for all), whose
    rows sum to 1. Only a conditional normalization reads the mix.
    """

    NEEDS_BIAS: ClassVar[bool] = False
    """Whether the convolution in front needs a bias: not where a mean is subtracted."""

    @abstractmethod
    def write(self, writer: GraphWriter, x: str, label: str) -> str:
        """Append this layer, as it works in use, to ``writer``."""


class InstanceNorm(Norm):
    """Instance normalization with a learned scale and shift per channel.

    ``y = scale * (x - mean) / sqrt(variance + 1e-5) + shift`` with mean and (biased)
    variance over height and width of each sample and channel: Ulyanov, Vedaldi and
    Lempitsky, "Instance Normalization: The Missing Ingredient for Fast Stylization"
    (arXiv:1607.08022), eq. 3. The same at training and use: no running statistics.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, mix: Tensor | None = None) -> Tensor:
        """[N, C, H, W] to the same shape and type."""
        y = F.instance_norm(x.float(), weight=self.scale, bias=self.shift, eps=EPSILON)
        return y.to(x.dtype)

    def write(self, writer: GraphWriter, x: str, label: str) -> str:
        """Append this layer to ``writer`` as one InstanceNormalization node."""
        scale = writer.weight(f"{label}.scale", _array(self.scale))
        shift = writer.weight(f"{label}.shift", _array(self.shift))
        return writer.instance_norm(x, label, scale, shift, EPSILON)


class ConditionalNorm(Norm):
    """Conditional instance normalization: a scale and a shift per channel for each style.

    ``y = scale_s * (x - mean) / sqrt(variance + 1e-5) + shift_s`` for style ``s``, mean and
    variance as in ``InstanceNorm``: Dumoulin, Shlens and Kudlur, "A Learned Representation For
    Artistic Style" (arXiv:1610.07629), eq. 5. Styles mix linearly: with weights ``m_s`` that sum
    to 1 the scale is ``sum_s m_s * scale_s``, the shift likewise.
    """

    def __init__(self, channels: int, styles: int = 1) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(styles, channels))
        self.shift = nn.Parameter(torch.zeros(styles, channels))

    def forward(self, x: Tensor, mix: Tensor | None = None) -> Tensor:
        """[B, C, H, W] to the same shape and type; ``mix`` is [B, N] or [1, N]."""
        if mix is None:
            raise ValueError("a conditional normalization needs a mix of styles")
        samples, channels, height, width = x.shape
        scale, shift = (
            self.mixed(table, mix).expand(samples, channels).reshape(-1)
            for table in (self.scale, self.shift)
        )
        # The channels of all samples as those of one: a batch norm over them is an instance norm
        # with a scale and shift for each sample, in one pass instead of three.
        y = F.batch_norm(
            *(x.float().reshape(1, samples * channels, height, width), None, None, scale, shift),
            training=True,
            eps=EPSILON,
        )
        return y.view(x.shape).to(x.dtype)

    @staticmethod
    def mixed(table: Tensor, mix: Tensor) -> Tensor:
        """Rows of a table [N, C] mixed with weights [B, N], as float32 [B, C].

        A sum of products, not a matrix product, which autocast would compute in bfloat16: so
        a single style is its row, bit for bit.
        """
        return (mix[:, :, None].float() * table).sum(1)

    def write(self, writer: GraphWriter, x: str, label: str) -> str:
        """Append this layer as one InstanceNormalization node; the graph mixes its parameters."""
        scale = writer.styled(f"{label}.scale", _array(self.scale))
        shift = writer.styled(f"{label}.shift", _array(self.shift))
        return writer.instance_norm(x, label, scale, shift, EPSILON)


class BatchNorm(Norm):
    """Batch normalization: Ioffe and Szegedy (arXiv:1502.03167), algorithms 1 and 2.

    In training mean and variance are those of the batch, over samples, height and width.
    In use they are fixed: running averages of what training saw, with the unbiased variance.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor, mix: Tensor | None = None) -> Tensor:
        """[N, C, H, W] to the same shape and type; in training it moves the averages."""
        y = F.batch_norm(
            *(x.float(), self.mean, self.variance, self.scale, self.shift),
            training=self.training,
            momentum=MOMENTUM,
            eps=EPSILON,
        )
        return y.to(x.dtype)

    def write(self, writer: GraphWriter, x: str, label: str) -> str:
        """Append this layer to ``writer`` as one BatchNormalization node."""
        values = (self.scale, self.shift, self.mean, self.variance)
        return writer.batch_norm(x, label, [_array(v) for v in values], EPSILON)


class NoNorm(Norm):
    """Nothing; the convolution in front keeps its bias."""

    NEEDS_BIAS: ClassVar[bool] = True

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, mix: Tensor | None = None) -> Tensor:
        """The input itself."""
        return x

    def write(self, writer: GraphWriter, x: str, label: str) -> str:
        """Append nothing."""
        return x


NORMS: dict[str, type[Norm]] = {
    "instance": InstanceNorm,
    "batch": BatchNorm,
    "none": NoNorm,
    "conditional": ConditionalNorm,
}


@dataclass(frozen=True)
class Normalization:
    """Which norms a network has; called with a number of channels it makes one.

    Args:
        name: a key of ``NORMS``.
        styles: how many styles conditional norms hold; 1 for all others.
    """

    name: str = "instance"
    styles: int = 1

    def __post_init__(self) -> None:
        if self.name not in NORMS:
            known = ", ".join(NORMS)
            raise UserError(f"there is no normalization '{self.name}'; known are: {known}.")
        if self.styles < 1 or (self.styles > 1 and not self.conditional):
            raise UserError(
                f"a network with the normalization '{self.name}' cannot hold {self.styles} styles; "
                "only a conditional one holds more than 1."
            )

    @property
    def conditional(self) -> bool:
        """Whether each style has scales and shifts of its own."""
        return NORMS[self.name] is ConditionalNorm

    @property
    def needs_bias(self) -> bool:
        """Whether the convolution in front needs a bias."""
        return NORMS[self.name].NEEDS_BIAS

    def __call__(self, channels: int) -> Norm:
        """A new norm."""
        if self.conditional:
            return ConditionalNorm(channels, self.styles)
        return NORMS[self.name](channels)  # type: ignore[call-arg]


def _array(parameter: Tensor) -> NDArray[np.float32]:
    return parameter.detach().float().cpu().numpy()
