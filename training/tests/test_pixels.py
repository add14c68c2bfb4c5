# SPDX-License-Identifier: MPL-2.0
"""Statistics of a painting's pixels: means, contrast, and the energy of octaves."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from stylize_train.errors import UserError
from stylize_train.pixels import (
    REPEATED_WAVES,
    PixelStatistics,
    concentration,
    power_spectra,
    repetition,
    wave_bands,
)

FIRST = torch.tensor([0, 0])


def test_palettes_are_compared_in_units_of_the_paintings_contrast() -> None:
    painting, other = torch.rand(1, 3, 80, 100), torch.rand(1, 3, 66, 140).square()
    statistics = PixelStatistics.of([other, painting])
    second = torch.tensor([1])
    assert statistics.palette_error(painting, second).item() == pytest.approx(0, abs=1e-9)
    assert statistics.palette_error(other, second).item() > 0.1
    pale = painting.mean((2, 3), keepdim=True) * 0.5 + painting * 0.5
    deviation = painting.std((2, 3), correction=0, keepdim=True)
    moved = torch.cat([pale, painting + 0.3 * deviation])
    errors = statistics.palette_error(moved, torch.tensor([1, 1]))
    torch.testing.assert_close(errors, torch.tensor([0.25, 0.09]))


def test_waves_that_the_painting_does_not_have_are_seen() -> None:
    columns = torch.arange(64)
    steps = (columns // 16 % 2).float().expand(1, 3, 64, 64)
    weave = (columns // 2 % 2).float().expand(1, 3, 64, 64)
    statistics = PixelStatistics.of([steps])
    seen = statistics.octave_error(torch.cat([steps, 0.9 * steps + 0.1 * weave]), FIRST)
    torch.testing.assert_close(seen, torch.tensor([0.0, 0.02]), atol=2e-3, rtol=0.1)
    flat = torch.full((2, 3, 64, 64), 0.5)
    torch.testing.assert_close(
        statistics.octave_error(flat, FIRST), torch.ones(2), rtol=0.02, atol=0
    )


def test_concentration_is_2_of_noise_and_a_quarter_of_the_frequencies_of_a_wave() -> None:
    torch.manual_seed(0)
    noise = torch.rand(1, 1, 1024, 1024).expand(1, 3, 1024, 1024)
    torch.testing.assert_close(
        concentration(power_spectra(noise)), torch.full((1, 3), 2.0), rtol=0, atol=0.05
    )
    # A wave for each octave. It tells nothing of the others, where next to nothing is.
    bands = wave_bands()
    assert not bands.sum(0).gt(1).any() and bands.sum() == (bands.any(0)).sum()
    rows, columns = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    for octave, (down, across) in enumerate([(4, 6), (5, 12), (10, 26)]):
        wave = torch.sin(2 * torch.pi * (down * rows + across * columns) / 64) / 4 + 0.5
        value = concentration(power_spectra(wave.expand(1, 3, -1, -1)))[0, octave].item()
        assert value == pytest.approx(bands[octave].sum().item() / 4, rel=0.06)


def test_the_octaves_of_waves_are_12_to_6_to_3_pixels_and_less() -> None:
    frequencies = wave_bands().sum((1, 2)) / (64 * 33)
    areas = torch.tensor([(high**2 - low**2) for low, high in pairwise((1 / 12, 1 / 6, 1 / 3))])
    torch.testing.assert_close(frequencies[:2], torch.pi * areas, rtol=0.06, atol=0)
    assert frequencies.sum() == pytest.approx(1 - torch.pi / 144, rel=0.01)


def test_a_weave_is_told_from_noise_of_its_energy() -> None:
    torch.manual_seed(0)
    noise = torch.rand(1, 1, 192, 256).expand(1, 3, 192, 256) - 0.5
    columns = torch.arange(256)
    weave = ((columns // 2 % 2).float() - 0.5).expand(1, 3, 192, 256) * noise.std() * 2
    statistics = PixelStatistics.of([0.5 + noise])
    spectra = power_spectra(torch.cat([0.5 + noise.flip(3), 0.5 + weave]))
    errors = statistics.weave_error(spectra, FIRST)
    assert errors[0] < 0.01 and errors[1] > 3
    # Longer waves are the painting's business, and fewer peaks than it has are no fault.
    other = PixelStatistics.of([0.5 + weave])
    assert other.weave_error(power_spectra(0.5 + noise), FIRST[:1]).item() < 0.1
    wide = torch.sin(columns * 2 * torch.pi / 24).expand(1, 3, 192, 256)
    spectra = power_spectra(0.5 + 0.2 * wide + noise)
    assert statistics.weave_error(spectra, FIRST[:1]).item() < 0.01


def test_cells_that_repeat_every_8_pixels_are_seen() -> None:
    """Their energy is on all multiples of 1/8, two to three of which an octave has."""
    torch.manual_seed(0)
    noise = torch.rand(1, 3, 192, 256) - 0.5
    cells = (torch.rand(1, 3, 8, 8) - 0.5).repeat(1, 1, 24, 32)
    statistics = PixelStatistics.of([0.5 + noise])
    mixed = torch.cat([0.5 + noise.flip(2), 0.5 + 0.5 * cells + 0.5 * noise])
    errors = statistics.weave_error(power_spectra(mixed), FIRST)
    assert errors[0] < 0.01 and errors[1] > 0.2


def test_repetition_is_of_the_same_waves_everywhere() -> None:
    """Waves whose direction changes from place to place are as local as those of one direction."""
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(256.0), torch.arange(384.0), indexing="ij")
    wave = 0.5 + torch.sin(2 * torch.pi * (rows + columns) / 12) / 4
    turning = 0.5 + torch.sin(2 * torch.pi * (rows**2 + columns**2) / (12 * 256)) / 4
    pictures = [picture.expand(1, 3, -1, -1) for picture in (wave, turning)]
    same, changing = (repetition(power_spectra(picture))[0] for picture in pictures)
    octave = REPEATED_WAVES.index(12.0)  # The wave is 8.5 pixels long.
    bands = wave_bands(REPEATED_WAVES)
    assert same[octave] == pytest.approx(bands[octave].sum().item() / 4, rel=0.25)
    assert changing[octave] < same[octave] / 3
    statistics = PixelStatistics.of([pictures[1]])
    errors = statistics.repetition_error(power_spectra(torch.cat(pictures)), FIRST)
    assert errors[0] > 0.2 and errors[1] == 0


def test_noise_and_flat_pictures_do_not_repeat() -> None:
    torch.manual_seed(0)
    noise = torch.rand(1, 1, 512, 512).expand(1, 3, 512, 512)
    # Of 49 windows that overlap by half.
    assert (repetition(power_spectra(noise)) - 1).abs().max() < 0.08
    flat = torch.full((1, 3, 64, 96), 0.5)
    torch.testing.assert_close(repetition(power_spectra(flat)), torch.ones(1, 4), rtol=0, atol=1e-3)


def test_thin_paintings_are_refused() -> None:
    with pytest.raises(UserError, match=r"the painting is 90 x 63 pixels.*at least 64"):
        PixelStatistics.of([torch.rand(1, 3, 63, 90)])


def test_a_flat_picture_has_a_slope() -> None:
    statistics = PixelStatistics.of([torch.rand(1, 3, 64, 80)])
    for error in (statistics.octave_error, statistics.weave_error, statistics.repetition_error):
        image = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
        seen = image if error == statistics.octave_error else power_spectra(image)
        error(seen, FIRST[:1]).sum().backward()
        assert image.grad is not None and torch.isfinite(image.grad).all()
