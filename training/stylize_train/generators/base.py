# SPDX-License-Identifier: MPL-2.0
"""What every generator promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..onnx_graph import GraphWriter


class Generator(nn.Module, ABC):
    """An image-to-image network: [N, 3, H, W] RGB in 0..1 to the same shape and range.

    H and W are multiples of ``SIZE_MULTIPLE`` and at least ``minimum_size``.
    """

    NAME: ClassVar[str]
    SIZE_MULTIPLE: ClassVar[int]

    @property
    @abstractmethod
    def minimum_size(self) -> int:
        """Least height and width in pixels."""

    @abstractmethod
    def options(self) -> dict[str, object]:
        """Constructor keywords that rebuild this network (without its weights)."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Stylize a batch."""

    @abstractmethod
    def write(self, writer: GraphWriter, image: str) -> str:
        """Append the network to ``writer``, reading ``image``; returns the output's name."""

    def parameter_count(self) -> int:
        """Number of learned values."""
        return sum(p.numel() for p in self.parameters())

    def macs_per_pixel(self, size: int = 128) -> float:
        """Multiply-accumulates of all convolutions per input pixel, counted on a square image."""
        total = 0

        def count(module: nn.Conv2d, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            nonlocal total
            total += output[0].numel() * module.weight[0].numel()

        hooks = [
            m.register_forward_hook(count)  # type: ignore[arg-type]
            for m in self.modules()
            if isinstance(m, nn.Conv2d)
        ]
        device = next(self.parameters()).device
        with torch.no_grad():
            self(torch.zeros(1, 3, size, size, device=device))
        for hook in hooks:
            hook.remove()
        return total / (size * size)
