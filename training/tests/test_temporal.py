# SPDX-License-Identifier: MPL-2.0
"""Flows, warps and the losses between two views of a photo."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import picture
from torch import Tensor

from stylize_train.temporal import (
    BEND,
    PAN,
    affine_flow,
    random_flow,
    second_view,
    temporal_error,
    temporal_loss,
    warp,
)


def photo(seed: int = 1, height: int = 48, width: int = 64) -> Tensor:
    array = np.array(picture(seed, height, width), dtype=np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1)[None]


def test_warp_is_bilinear() -> None:
    random = torch.Generator().manual_seed(0)
    image = torch.rand(1, 2, 9, 11, generator=random)
    flow = 6 * torch.rand(1, 2, 9, 11, generator=random) - 3
    got, inside = warp(image, flow)
    array = image[0].double().numpy()
    seen = 0
    for row, column in np.ndindex(9, 11):
        x, y = (
            at + f for at, f in zip((column, row), flow[0, :, row, column].tolist(), strict=True)
        )
        within = 0 <= x <= 10 and 0 <= y <= 8
        assert bool(inside[0, 0, row, column]) == within
        if not within:
            continue
        seen += 1
        x0, y0 = min(math.floor(x), 9), min(math.floor(y), 7)
        u, v = x - x0, y - y0
        top = (1 - u) * array[:, y0, x0] + u * array[:, y0, x0 + 1]
        bottom = (1 - u) * array[:, y0 + 1, x0] + u * array[:, y0 + 1, x0 + 1]
        expected = (1 - v) * top + v * bottom
        np.testing.assert_allclose(got[0, :, row, column].numpy(), expected, atol=1e-5)
    assert seen > 40


def test_flow_of_a_pan_a_zoom_and_a_turn() -> None:
    one, none = torch.ones(1), torch.zeros(1)
    pan = affine_flow(5, 7, torch.tensor([[2.0, -1.0]]), none, none)
    assert (pan[0, 0] == 2).all() and (pan[0, 1] == -1).all()
    zoom = affine_flow(5, 7, torch.zeros(1, 2), 0.1 * one, none)
    torch.testing.assert_close(zoom[0, :, 4, 6], torch.tensor([0.3, 0.2]))
    turn = affine_flow(5, 7, torch.zeros(1, 2), none, math.pi / 2 * one)
    # From the middle of the right edge to that of the bottom: (3, 0) to (0, 3).
    torch.testing.assert_close(turn[0, :, 2, 6], torch.tensor([-3.0, 3.0]), atol=1e-5, rtol=0)


def test_a_pan_by_whole_pixels_is_exact() -> None:
    image = photo()
    flow = affine_flow(48, 64, torch.tensor([[3.0, -2.0]]), torch.zeros(1), torch.zeros(1))
    moved, inside = warp(image, flow)
    torch.testing.assert_close(moved[..., 2:, :-3], image[..., :-2, 3:], atol=1e-5, rtol=0)
    assert inside[..., 2:, :-3].all() and not inside[..., :2, :].any()


def test_random_flows_are_smooth_and_a_seed_decides_them() -> None:
    def draw(seed: int) -> Tensor:
        return random_flow(64, 40, 56, torch.Generator().manual_seed(seed))

    flow = draw(1)
    assert torch.equal(flow, draw(1)) and not torch.equal(flow, draw(2))
    middle = flow[:, :, 20, 28]
    assert middle.abs().max() < PAN + 5 * BEND
    assert 3 < middle.std() < PAN
    steps = [flow.diff(dim=d).abs().max().item() for d in (2, 3)]
    assert max(steps) < 1.5, "pixels do not jump over each other"


def test_the_loss_is_zero_for_what_follows_the_motion() -> None:
    first = photo()
    second, flow = second_view(first, 0.0, torch.Generator().manual_seed(3))
    # Without noise only the gain differs.
    gain = second.mean() / warp(first, flow)[0].mean()
    assert temporal_loss(first * gain, second, flow) < 1e-5
    assert temporal_loss(first, first, flow) > 1e-3, "what stays where it was does not follow"
    expected, inside = warp(first, flow)
    by_hand = [
        (expected[0, :, y, x] - second[0, :, y, x]).double().abs().mean().item()
        for y, x in np.ndindex(48, 64)
        if inside[0, 0, y, x]
    ]
    got = temporal_loss(first, second, flow).item()
    assert got == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-4)


def test_temporal_error_is_relative_to_the_source() -> None:
    photos = [(photo(seed)[0] * 255).to(torch.uint8) for seed in (1, 2)]

    def identity(image: Tensor) -> Tensor:
        return image.float() / 255

    same = temporal_error(identity, photos)
    assert set(same) == {"temporal", "temporal_still", "temporal_pan", "temporal_zoom"}
    assert all(value == pytest.approx(1) for value in same.values())
    stronger = temporal_error(lambda image: 3 * identity(image), photos)
    assert all(value == pytest.approx(3, rel=1e-4) for value in stronger.values())

    def pinned(image: Tensor) -> Tensor:
        """A texture that stays on the screen while the picture moves."""
        columns = torch.arange(image.shape[2]) % 4 < 2
        return identity(image) + 0.3 * columns.float()

    stuck = temporal_error(pinned, photos)
    assert stuck["temporal_still"] == pytest.approx(1, rel=1e-3)
    assert stuck["temporal_pan"] > 5
