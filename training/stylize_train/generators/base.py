# SPDX-License-Identifier: MPL-2.0
"""What every generator promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..norms import Normalization
from ..onnx_graph import GraphWriter

TASKS = ("stylize", "texture")


@dataclass(frozen=True)
class NoiseInput:
    """Noise that a generator reads: standard normal [N, channels, H / divisor, W / divisor]."""

    channels: int
    divisor: int

    @property
    def name(self) -> str:
        """Name of the graph input."""
        return f"noise{self.divisor}"


class Generator(nn.Module, ABC):
    """An image-to-image network: [N, 3, H, W] RGB in 0..1 to the same shape and range.

    H and W are multiples of ``size_multiple`` and at least ``minimum_size``.

    Args:
        norm: a key of ``norms.NORMS``.
        noise_channels: channels of noise beside the image; 0 makes the network deterministic.
        task: ``stylize``, or ``texture``: noise in the place of the image's colours, of
            which only height and width are left.
        styles: how many styles the network holds; more than 1 only with conditional norms.
    """

    NAME: ClassVar[str]

    def __init__(
        self,
        norm: str = "instance",
        noise_channels: int = 0,
        task: str = "stylize",
        styles: int = 1,
    ) -> None:
        super().__init__()
        self.normalization = Normalization(norm, styles)
        if task not in TASKS:
            raise UserError(f"there is no task '{task}'; known are: {', '.join(TASKS)}.")
        if noise_channels < 0 or (task == "texture" and noise_channels == 0):
            least = "1: a texture is made from noise" if task == "texture" else "0"
            raise UserError(f"--noise-channels is {noise_channels} and must be at least {least}.")
        self.noise_channels = noise_channels
        self.task = task

    @property
    @abstractmethod
    def size_multiple(self) -> int:
        """Height and width are multiples of it."""

    @property
    @abstractmethod
    def minimum_size(self) -> int:
        """Least height and width in pixels."""

    @property
    def input_channels(self) -> int:
        """Channels that the first convolution sees: image and noise."""
        return self.noise_channels + (3 if self.task == "stylize" else 0)

    @property
    def lattice_periods(self) -> tuple[int, ...]:
        """Periods in pixels of the fixed patterns that this network could print."""
        return (4, 8) if self.size_multiple == 8 else (4,)

    def options(self) -> dict[str, object]:
        """Constructor keywords that rebuild this network (without its weights)."""
        options = {
            "norm": self.normalization.name,
            "noise_channels": self.noise_channels,
            "task": self.task,
        }
        return {**options, "styles": self.styles} if self.normalization.conditional else options

    @property
    def styles(self) -> int:
        """How many styles the network holds."""
        return self.normalization.styles

    def noise_inputs(self) -> tuple[NoiseInput, ...]:
        """The noise that this network reads besides the image."""
        return (NoiseInput(self.noise_channels, 1),) if self.noise_channels else ()

    def draw_noise(self, image: Tensor, random: torch.Generator | None = None) -> list[Tensor]:
        """Noise for a batch [N, 3, H, W], one tensor for each of ``noise_inputs``.

        ``random`` lives on the image's device; without it the noise is that of seed 0.
        """
        random = random or torch.Generator(image.device).manual_seed(0)
        n, _, height, width = image.shape
        return [
            torch.randn(
                *(n, noise.channels, height // noise.divisor, width // noise.divisor),
                generator=random,
                device=image.device,
            )
            for noise in self.noise_inputs()
        ]

    def forward(
        self, image: Tensor, noise: Sequence[Tensor] | None = None, mix: Tensor | None = None
    ) -> Tensor:
        """Stylize a batch [B, 3, H, W].

        Args:
            image: RGB in 0..1.
            noise: as ``draw_noise`` makes it; by default that of seed 0.
            mix: weights of the styles in each sample, [B, styles] or [1, styles], rows that sum
                to 1; by default all styles in equal parts.
        """
        if noise is None:
            noise = self.draw_noise(image)
        if mix is None:
            mix = torch.full((1, self.styles), 1 / self.styles, device=image.device)
        return self.transform(image, noise, mix)

    @abstractmethod
    def transform(self, image: Tensor, noise: Sequence[Tensor], mix: Tensor) -> Tensor:
        """The network itself; its output is float32 also where autocast computes less."""

    @abstractmethod
    def write(self, writer: GraphWriter, image: str, noise: Sequence[str]) -> str:
        """Append the network to ``writer``, reading these inputs; returns the output's name."""

    def join(self, image: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Image and noise of one size as [N, input_channels, H, W]."""
        parts = [image, *noise] if self.task == "stylize" else list(noise)
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def write_join(self, writer: GraphWriter, image: str, noise: Sequence[str], label: str) -> str:
        """The same in a graph."""
        parts = [image, *noise] if self.task == "stylize" else list(noise)
        return writer.concat(parts, label) if len(parts) > 1 else parts[0]

    def parameter_count(self) -> int:
        """Number of learned values."""
        return sum(p.numel() for p in self.parameters())

    @torch.no_grad()
    def macs_per_pixel(self) -> float:
        """Multiply-accumulates of all convolutions per input pixel, as trained.

        ``cost.macs_per_pixel`` counts those of an exported model.
        """
        total, size = 0, self.minimum_size

        def count(module: nn.Conv2d, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            nonlocal total
            total += output[0].numel() * module.weight[0].numel()

        hooks = [
            m.register_forward_hook(count)  # type: ignore[arg-type]
            for m in self.modules()
            if isinstance(m, nn.Conv2d)
        ]
        training = self.training
        device = next(self.parameters()).device
        self.eval()(torch.zeros(1, 3, size, size, device=device))
        self.train(training)
        for hook in hooks:
            hook.remove()
        return total / (size * size)
