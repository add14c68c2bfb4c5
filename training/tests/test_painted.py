# SPDX-License-Identifier: MPL-2.0
"""Painted share, spectrum and contrast on pictures whose answers are known."""

import math

import pytest
import torch
from torch import Tensor

from stylize_train import painted


def grain(seed: int, across: int = 1, side: int = 256) -> Tensor:
    """Independent squares of ``across`` pixels, deviation about 0.1."""
    random = torch.Generator().manual_seed(seed)
    few = torch.randn(side // across, side // across, generator=random, dtype=torch.float64)
    return 0.5 + 0.1 * few.repeat_interleave(across, 0).repeat_interleave(across, 1)


def test_a_palette_or_contrast_curve_is_not_painted() -> None:
    source = grain(1)
    assert painted.painted_share(source, source) < 1e-12
    assert painted.painted_share(source, 0.8 - 0.5 * source) < 1e-12


def test_what_has_nothing_of_the_source_is_all_painted() -> None:
    assert painted.painted_share(grain(1), grain(2)) > 0.999
    flat = torch.full((64, 64), 0.3, dtype=torch.float64)
    assert painted.painted_share(flat, grain(2, side=64)) == pytest.approx(1)


def test_half_and_half() -> None:
    source, texture = grain(1), grain(2)
    assert painted.painted_share(source, 0.5 + source - texture) == pytest.approx(0.5, abs=0.01)


def test_a_flat_output_is_not_painted() -> None:
    assert painted.painted_share(grain(1), torch.full((256, 256), 0.5).double()) == 0


def test_explained_shares_of_a_batch() -> None:
    source = torch.stack([grain(1)] * 4)
    flat = torch.full_like(source[0], 0.5)
    output = torch.stack([1 - source[0], grain(2), source[0] + grain(2), flat]).requires_grad_()
    shares = painted.explained_share(source, output)
    assert shares.tolist() == pytest.approx([1, 0, 0.5, 0], abs=0.01)
    shares.sum().backward()
    assert output.grad is not None and output.grad.isfinite().all()
    assert output.grad[3].abs().max() == 0


def test_the_photo_in_another_palette_is_an_error_down_to_what_is_allowed() -> None:
    photo = grain(1).expand(1, 3, -1, -1).float()
    texture = grain(2).expand(1, 3, -1, -1).float()
    output = torch.cat([1 - photo, 0.5 * (photo + texture), texture]).requires_grad_()
    errors = painted.photo_error(output, photo.expand(3, -1, -1, -1), 0.4)
    assert errors.tolist() == pytest.approx([0.6, 0.1, 0], abs=0.01)
    errors.sum().backward()
    assert output.grad is not None
    downhill = output.detach() - 100 * output.grad
    assert painted.photo_error(downhill[1:2], photo, 0.4).item() < 0.9 * errors[1].item()
    assert output.grad[2].abs().max() == 0


@pytest.mark.parametrize("octave", range(7))
def test_checks_have_all_their_energy_in_one_octave(octave: int) -> None:
    cell = 2**octave
    checks = torch.tensor([[0.2, 0.8], [0.8, 0.2]], dtype=torch.float64).repeat(128, 128)
    checks = checks.repeat_interleave(cell, 0).repeat_interleave(cell, 1)[:256, :256]
    energies = painted.octave_energies(checks)
    assert energies[octave].item() == pytest.approx(0.09)
    assert energies.sum().item() == pytest.approx(0.09)


def test_octaves_of_grain_fall_by_four_and_add_up() -> None:
    picture = grain(3)
    energies = painted.octave_energies(picture)
    assert (energies[1] / energies[0]).item() == pytest.approx(0.25, rel=0.05)
    rest = torch.nn.functional.avg_pool2d(picture[None, None], 128).var(correction=0)
    assert (energies.sum() + rest).item() == pytest.approx(picture.var(correction=0).item())


def test_octaves_that_do_not_fit_are_left_out() -> None:
    assert len(painted.octave_energies(grain(1)[:40, :90])) == 5
    assert painted.spectrum_distance(grain(1)[:40, :90], grain(2)) < 0.05


def test_spectrum_distance_ends() -> None:
    fine, coarse = grain(1), grain(2, across=64)
    assert painted.spectrum_distance(fine, 3 * fine) == pytest.approx(0)
    assert painted.spectrum_distance(fine, coarse) > 0.9
    flat = torch.zeros(256, 256, dtype=torch.float64)
    assert painted.spectrum_distance(fine, flat) == 1
    assert painted.spectrum_distance(flat, flat) == 0


def test_contrast() -> None:
    assert painted.contrast(0.5 * grain(1), grain(1)) == pytest.approx(0.5)
    assert math.isinf(painted.contrast(grain(1), torch.zeros(8, 8).double()))


def test_all_of_one_frame() -> None:
    photo, texture = grain(1).expand(3, -1, -1), grain(2, across=8).expand(3, -1, -1)
    values = painted.measure_painted(photo, texture, texture[:, :128, :128])
    assert values["painted_share"] > 0.99
    assert values["spectrum"] < 0.1
    assert values["contrast"] == pytest.approx(1, rel=0.1)
    red = torch.zeros(3, 64, 64)
    red[0] = 1
    assert painted.luma(red)[0, 0].item() == pytest.approx(0.2126, rel=1e-6)
