# SPDX-License-Identifier: MPL-2.0
"""Statistics of a painting's pixels that its style losses hardly hold.

Among hundreds of channels of a loss network the picture's own mean and contrast count little, and
the energy of waves of three or four pixels, which a generator prints on flat areas as a weave, is
taken for texture of the painting.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .losses import mean_std
from .painted import octave_energies

LEAST_AMPLITUDE = 1e-3
"""A quarter of a grey level, added in quadrature: the root of 0 has no slope."""


@dataclass(frozen=True)
class PixelStatistics:
    """Of one or several paintings, along the first dimension."""

    palette: Tensor
    """Mean and deviation of R, G and B, [N, 6]."""

    octaves: Tensor
    """Amplitude of each octave in R, G and B, [N, 3, octaves], the finest first."""

    @classmethod
    def of(cls, paintings: list[Tensor]) -> PixelStatistics:
        """Statistics of paintings [1, 3, H, W] of any sizes."""
        count = min(min(p.shape[-2:]).bit_length() - 1 for p in paintings)
        return cls(
            torch.cat([mean_std(p) for p in paintings]),
            torch.cat([_amplitudes(p, count) for p in paintings]),
        )

    def palette_error(self, image: Tensor, which: Tensor) -> Tensor:
        """How far mean and contrast of R, G and B are from the painting's; [N].

        Squared differences of the means and of the deviations, in units of the painting's
        deviation, mean over the channels: a picture with half of the contrast has 0.25.

        Args:
            image: [N, 3, H, W] in 0..1.
            which: the painting of each sample, [N].
        """
        palette = self.palette[which]
        difference = (mean_std(image) - palette).unflatten(1, (2, -1))
        deviation = palette.unflatten(1, (2, -1))[:, 1:]
        return (difference / deviation.clamp_min(LEAST_AMPLITUDE)).square().sum(1).mean(1)

    def octave_error(self, image: Tensor, which: Tensor) -> Tensor:
        """How far the amplitudes of octaves are from the painting's; arguments as above; [N].

        Sum of squared differences over the octaves, relative to the painting's energy, mean over
        R, G and B: a flat picture has 1.
        """
        target = self.octaves[which]
        amplitudes = _amplitudes(image, target.shape[-1])
        target = target[..., : amplitudes.shape[-1]]
        error = (amplitudes - target).square().sum(-1)
        return (error / target.square().sum(-1)).mean(1)


def _amplitudes(image: Tensor, octaves: int) -> Tensor:
    """Root of the energy of each octave, [N, 3, H, W] to [N, 3, octaves]."""
    return (octave_energies(image, octaves) + LEAST_AMPLITUDE**2).sqrt()
