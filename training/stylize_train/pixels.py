# SPDX-License-Identifier: MPL-2.0
"""Statistics of a painting's pixels that its style losses hardly hold.

Among hundreds of channels of a loss network the picture's own mean and contrast count little, and
the energy of waves of three or four pixels, which a generator prints on flat areas as a weave, is
taken for texture of the painting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from .data import LUMA
from .losses import mean_std, refuse_small
from .painted import octave_energies

LEAST_AMPLITUDE = 1e-3
"""A quarter of a grey level, added in quadrature: the root of 0 has no slope."""

WINDOW = 64
"""Side in pixels of the windows whose waves are compared; of windows of 32 a cell that repeats
every 8 pixels fills too few to have peaks."""

WAVES = (12.0, 6.0, 3.0, 0.0)
"""Periods in pixels between which waves are compared, each octave by itself: energy rises with the
period, and the longest waves would speak for all. The shortest on a diagonal has 1.4 pixels."""

REPEATED_WAVES = (24.0, *WAVES)
"""As ``WAVES``, for ``repetition``, which sees longer waves in the same windows."""

AREA = 256
"""Side in pixels of the areas over which windows are compared with one another."""

NOISE_CONCENTRATION = 2.0
"""The ``concentration`` of white noise."""


@dataclass(frozen=True)
class PixelStatistics:
    """Of one or several paintings, along the first dimension."""

    palette: Tensor
    """Mean and deviation of R, G and B, [N, 6]."""

    octaves: Tensor
    """Amplitude of each octave in R, G and B, [N, 3, octaves], the finest first."""

    concentration: Tensor
    """Of the energy of short waves on few of them, [N, octaves]; see ``concentration``."""

    repetition: Tensor
    """Of the same waves all over an area, [N, octaves]; see ``repetition``."""

    @classmethod
    def of(cls, paintings: list[Tensor]) -> PixelStatistics:
        """Statistics of paintings [1, 3, H, W] of any sizes from ``WINDOW`` pixels."""
        for painting in paintings:
            refuse_small(painting, WINDOW)
        count = min(min(p.shape[-2:]).bit_length() - 1 for p in paintings)
        spectra = [power_spectra(p) for p in paintings]
        return cls(
            torch.cat([mean_std(p) for p in paintings]),
            torch.cat([_amplitudes(p, count) for p in paintings]),
            torch.cat([concentration(s) for s in spectra]),
            torch.cat([repetition(s) for s in spectra]),
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

    def weave_error(self, spectra: Tensor, which: Tensor) -> Tensor:
        """How much more the energy of short waves is concentrated than the painting's; [N].

        Squared logarithm of the ratio, 0 where it is below 1, mean over the octaves of ``WAVES``.
        Amplitudes do not tell the regular waves of a weave from the brushwork of a painting: both
        may have the same energy.

        Args:
            spectra: of the images, from ``power_spectra``.
            which: the painting of each sample, [N].
        """
        ratio = weave(spectra, self.concentration[which])
        return ratio.clamp_min(1).log().square().mean(1)

    def repetition_error(self, spectra: Tensor, which: Tensor) -> Tensor:
        """How much more the same texture repeats all over the picture than in the painting; [N].

        Squared logarithm of the ratio of ``repetition``, 0 where it is below 1, mean over the
        octaves of ``REPEATED_WAVES``. Arguments as above. Brushwork has a direction in one place
        and another one beside it. A generator makes the same hatching wherever the photo is flat,
        however irregular it is within a window.
        """
        ratio = repetition(spectra) / self.repetition[which]
        return ratio.clamp_min(1).log().square().mean(1)


def weave(spectra: Tensor, wanted: Tensor) -> Tensor:
    """Ratio of ``concentration`` to a painting's, ``wanted``; both [N, octaves].

    A painting without any waves of an octave wants them no more even than noise.
    """
    return concentration(spectra) / wanted.clamp_min(NOISE_CONCENTRATION)


def concentration(spectra: Tensor) -> Tensor:
    """How few waves hold the energy of fine texture: ``power_spectra`` to [N, octaves], from 1.

    In each octave of ``WAVES``: the number of frequencies times the sum of squared powers by the
    square of the sum of powers (the inverse of the participation ratio), mean over the windows by
    their energy. White noise has 2, a single wave a quarter of the number of frequencies, a flat
    image 1.
    """
    power = spectra.flatten(1, 2)
    octaves = []
    for band in wave_bands().to(spectra.device):
        powers = power[..., band]
        energy = powers.sum(-1)
        peaks = powers.square().sum(-1) / energy
        octaves.append(band.sum() * peaks.sum(-1) / energy.sum(-1))
    return torch.stack(octaves, 1)


def repetition(spectra: Tensor) -> Tensor:
    """How alike the texture of different places is: ``power_spectra`` to [N, octaves], from 1.

    The spectra of the windows, in each octave of ``REPEATED_WAVES`` divided by their
    sum, so that flat places count as much as others; of their mean over an area of ``AREA`` pixels
    (less, if the image has less) the same quotient, mean over areas that overlap by half. A wave
    that differs from place to place has little above 1, as noise has; one all over has what
    ``concentration`` has.
    """
    rows, columns = (min(AREA // (WINDOW // 2) - 1, count) for count in spectra.shape[1:3])
    octaves = []
    for band in wave_bands(REPEATED_WAVES).to(spectra.device):
        powers = spectra[..., band]
        shares = (powers / powers.sum(-1, keepdim=True)).permute(0, 3, 1, 2)
        step = (-(-rows // 2), -(-columns // 2))
        mean = F.avg_pool2d(shares, (rows, columns), step)
        octaves.append(band.sum() * mean.square().sum(1).mean((1, 2)))
    return torch.stack(octaves, 1)


def power_spectra(image: Tensor) -> Tensor:
    """Of an image's luma in Hann windows, half of their side apart.

    [N, 3, H, W] in 0..1, at least ``WINDOW`` pixels high and wide, to [N, rows of windows, columns,
    *frequencies].

    White noise of ``LEAST_AMPLITUDE`` is added, so that a flat window has a spectrum.
    """
    luma = (image * image.new_tensor(LUMA).view(3, 1, 1)).sum(1)
    windows = luma.unfold(1, WINDOW, WINDOW // 2).unfold(2, WINDOW, WINDOW // 2)
    hann = torch.hann_window(WINDOW, device=image.device)
    windows = (windows - windows.mean((-2, -1), keepdim=True)) * hann * hann[:, None]
    power = torch.fft.rfft2(windows).abs().square()
    return power + LEAST_AMPLITUDE**2 * hann.square().sum() ** 2


def wave_bands(waves: Sequence[float] = WAVES) -> Tensor:
    """Which of a window's frequencies each octave of ``waves`` has, [octaves, rows, columns]."""
    rows, columns = torch.fft.fftfreq(WINDOW)[:, None], torch.fft.rfftfreq(WINDOW)
    frequency = (rows.square() + columns.square()).sqrt()
    limits = [1 / wave if wave else 1.0 for wave in waves]
    return torch.stack([(low <= frequency) & (frequency < high) for low, high in pairwise(limits)])


def _amplitudes(image: Tensor, octaves: int) -> Tensor:
    """Root of the energy of each octave, [N, 3, H, W] to [N, 3, octaves]."""
    return (octave_energies(image, octaves) + LEAST_AMPLITUDE**2).sqrt()
