# SPDX-License-Identifier: MPL-2.0
"""Normalization layers. Each can write itself into an ONNX graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .onnx_graph import GraphWriter

EPSILON = 1e-5


class InstanceNorm(nn.Module):
    """Instance normalization with a learned scale and shift per channel.

    ``y = scale * (x - mean) / sqrt(variance + 1e-5) + shift`` with mean and (biased)
    variance over height and width of each sample and channel: Ulyanov, Vedaldi and
    Lempitsky, "Instance Normalization: The Missing Ingredient for Fast Stylization"
    (arXiv:1607.08022), eq. 3. The same at training and use: no running statistics.
    Statistics are float32 whatever the input's type.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape and type."""
        y = F.instance_norm(x.float(), weight=self.scale, bias=self.shift, eps=EPSILON)
        return y.to(x.dtype)

    def write(self, writer: GraphWriter, x: str, label: str) -> str:
        """Append this layer to ``writer`` as one InstanceNormalization node."""
        scale, shift = (p.detach().float().cpu().numpy() for p in (self.scale, self.shift))
        return writer.instance_norm(x, label, scale, shift, EPSILON)
