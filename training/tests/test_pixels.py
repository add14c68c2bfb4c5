# SPDX-License-Identifier: MPL-2.0
"""Statistics of a painting's pixels: means, contrast, and the energy of octaves."""

from __future__ import annotations

import pytest
import torch

from stylize_train.pixels import PixelStatistics, concentration

FIRST = torch.tensor([0, 0])


def test_palettes_are_compared_in_units_of_the_paintings_contrast() -> None:
    painting, other = torch.rand(1, 3, 40, 50), torch.rand(1, 3, 33, 70).square()
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
    noise = torch.rand(1, 1, 512, 512).expand(1, 3, 512, 512)
    assert concentration(noise).item() == pytest.approx(2.0, abs=0.05)
    rows, columns = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    wave = (torch.sin(2 * torch.pi * (4 * rows + 10 * columns) / 32) / 4 + 0.5).expand(1, 3, -1, -1)
    frequencies = 32 * 17 * (1 - torch.pi / 36)
    assert concentration(wave).item() == pytest.approx(frequencies / 4, rel=0.05)


def test_a_weave_is_told_from_noise_of_its_energy() -> None:
    torch.manual_seed(0)
    noise = torch.rand(1, 1, 96, 128).expand(1, 3, 96, 128) - 0.5
    columns = torch.arange(128)
    weave = ((columns // 2 % 2).float() - 0.5).expand(1, 3, 96, 128) * noise.std() * 2
    statistics = PixelStatistics.of([0.5 + noise])
    errors = statistics.weave_error(torch.cat([0.5 + noise.flip(3), 0.5 + weave]), FIRST)
    assert errors[0] < 0.01 and errors[1] > 5
    # Longer waves are the painting's business, and fewer peaks than it has are no fault.
    wide = (columns // 8 % 2).float().expand(1, 3, 96, 128)
    assert PixelStatistics.of([0.5 + weave]).weave_error(0.5 + noise, FIRST[:1]).item() == 0
    blurred = torch.nn.functional.avg_pool2d(wide, 9, 1, 4)
    assert statistics.weave_error(0.5 + 0.02 * blurred + noise, FIRST[:1]).item() < 0.05


def test_a_flat_picture_has_a_slope() -> None:
    statistics = PixelStatistics.of([torch.rand(1, 3, 64, 80)])
    for error in (statistics.octave_error, statistics.weave_error):
        image = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
        error(image, FIRST[:1]).sum().backward()
        assert image.grad is not None and torch.isfinite(image.grad).all()
