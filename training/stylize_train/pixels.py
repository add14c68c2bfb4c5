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

from .data import LUMA
from .losses import mean_std
from .painted import octave_energies

LEAST_AMPLITUDE = 1e-3
"""A quarter of a grey level, added in quadrature: the root of 0 has no slope."""

WINDOW = 32
"""Side in pixels of the windows whose waves are compared."""

LONGEST_WAVE = 6.0
"""Period in pixels; longer waves are not compared."""


@dataclass(frozen=True)
class PixelStatistics:
    """Of one or several paintings, along the first dimension."""

    palette: Tensor
    """Mean and deviation of R, G and B, [N, 6]."""

    octaves: Tensor
    """Amplitude of each octave in R, G and B, [N, 3, octaves], the finest first."""

    concentration: Tensor
    """Of the energy of short waves on few of them, [N]; see ``concentration``."""

    @classmethod
    def of(cls, paintings: list[Tensor]) -> PixelStatistics:
        """Statistics of paintings [1, 3, H, W] of any sizes."""
        count = min(min(p.shape[-2:]).bit_length() - 1 for p in paintings)
        return cls(
            torch.cat([mean_std(p) for p in paintings]),
            torch.cat([_amplitudes(p, count) for p in paintings]),
            torch.cat([concentration(p) for p in paintings]),
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

    def weave_error(self, image: Tensor, which: Tensor) -> Tensor:
        """How much more the energy of short waves is concentrated than the painting's; [N].

        Squared logarithm of the ratio, 0 where it is below 1. Arguments as above. Octaves do not
        tell the regular waves of a weave from the brushwork of a painting: both may have the same
        energy.
        """
        ratio = concentration(image) / self.concentration[which]
        return ratio.clamp_min(1).log().square()


def concentration(image: Tensor) -> Tensor:
    """How few waves hold the energy of fine texture: [N, 3, H, W] to [N], 1 and above.

    Of the luma's power spectra in Hann windows, half of their side apart, at periods of at most
    ``LONGEST_WAVE``: the number of frequencies times the sum of squared powers by the square of
    the sum of powers (the inverse of the participation ratio), mean over the windows by their
    energy. White noise has 2, a single wave a quarter of the number of frequencies.
    """
    luma = (image * image.new_tensor(LUMA).view(3, 1, 1)).sum(1)
    step = WINDOW // 2
    windows = luma.unfold(1, WINDOW, step).unfold(2, WINDOW, step).flatten(1, 2)
    hann = torch.hann_window(WINDOW, device=image.device)
    windows = (windows - windows.mean((-2, -1), keepdim=True)) * hann * hann[:, None]
    rows, columns = torch.fft.fftfreq(WINDOW)[:, None], torch.fft.rfftfreq(WINDOW)
    short = (rows.square() + columns.square()).sqrt() >= 1 / LONGEST_WAVE
    power = torch.fft.rfft2(windows)[..., short.to(image.device)].abs().square()
    energy = power.sum(-1)
    least = (LEAST_AMPLITUDE**2) * WINDOW**2
    peaks = power.square().sum(-1) / (energy + least)
    return short.sum() * peaks.sum(-1) / (energy.sum(-1) + least)


def _amplitudes(image: Tensor, octaves: int) -> Tensor:
    """Root of the energy of each octave, [N, 3, H, W] to [N, 3, octaves]."""
    return (octave_energies(image, octaves) + LEAST_AMPLITUDE**2).sqrt()
