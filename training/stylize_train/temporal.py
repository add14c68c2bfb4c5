# SPDX-License-Identifier: MPL-2.0
"""Stability in time, learned from single photos: two views of each that ought to agree.

A generator for video must give what moves the same strokes in the next frame. Real flow is not
needed to teach it that: a photo, warped by a smooth random flow that is known exactly, is the next
frame. After Ruder, Dosovitskiy and Brox (arXiv:1604.08610), eq. 7, with the flow made up; noise and
gain stand for what a camera does besides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

PAN = 8.0
"""Greatest shift in pixels: by fractions of a generator's stride and more than one."""
ZOOM = 0.04
ROTATION = 0.03
"""Greatest relative growth, and greatest angle in radians."""
BEND = 1.5
"""Standard deviation in pixels of the 5 x 5 offsets that bend the picture."""
GAIN = 0.05
"""Greatest relative change of brightness."""


def affine_flow(height: int, width: int, pan: Tensor, zoom: Tensor, rotation: Tensor) -> Tensor:
    """Flow [N, 2, H, W] in pixels (x, y) of a pan, and growth and turn around the middle.

    Args:
        height: H.
        width: W.
        pan: [N, 2] in pixels (x, y).
        zoom: [N], relative growth.
        rotation: [N], radians.
    """
    y, x = torch.meshgrid(
        torch.arange(height, device=pan.device) - (height - 1) / 2,
        torch.arange(width, device=pan.device) - (width - 1) / 2,
        indexing="ij",
    )
    cos, sin = ((1 + zoom) * f(rotation) for f in (torch.cos, torch.sin))
    cos, sin = cos.view(-1, 1, 1), sin.view(-1, 1, 1)
    moved = torch.stack([cos * x - sin * y - x, sin * x + cos * y - y], 1)
    return moved + pan.view(-1, 2, 1, 1)


def random_flow(count: int, height: int, width: int, random: torch.Generator) -> Tensor:
    """Smooth flows [count, 2, H, W] in pixels: pan, zoom, rotation and a slight bend."""
    device = random.device

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=random, device=device) - 1

    flow = affine_flow(
        height, width, PAN * uniform(count, 2), ZOOM * uniform(count), ROTATION * uniform(count)
    )
    bend = BEND * torch.randn(count, 2, 5, 5, generator=random, device=device)
    return flow + F.interpolate(bend, (height, width), mode="bicubic", align_corners=True)


def warp(image: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """``image(p + flow(p))`` for every pixel p, bilinear.

    Args:
        image: [N, C, H, W].
        flow: [N, 2, H, W] in pixels (x, y).

    Returns:
        The warped image, and the mask [N, 1, H, W] of pixels that come from inside.
    """
    _, _, height, width = image.shape
    y, x = torch.meshgrid(
        torch.arange(height, device=image.device),
        torch.arange(width, device=image.device),
        indexing="ij",
    )
    x, y = x + flow[:, 0], y + flow[:, 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
    warped = F.grid_sample(image, grid, padding_mode="border", align_corners=True)
    return warped, inside[:, None].to(image.dtype)


def second_view(photo: Tensor, noise: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """The next frame of each photo [N, 3, H, W] in 0..1, and the flow [N, 2, H, W] to it.

    ``second(p)`` shows what ``photo(p + flow(p))`` shows, with another gain and with noise of up
    to the standard deviation ``noise``.
    """
    n, _, height, width = photo.shape
    flow = random_flow(n, height, width, random)
    moved, _ = warp(photo, flow)
    shape, device = (n, 1, 1, 1), photo.device
    gain = 1 + GAIN * (2 * torch.rand(shape, generator=random, device=device) - 1)
    sigma = noise * torch.rand(shape, generator=random, device=device)
    grain = sigma * torch.randn(photo.shape, generator=random, device=device)
    return (gain * moved + grain).clamp(0, 1), flow


def temporal_loss(first: Tensor, second: Tensor, flow: Tensor) -> Tensor:
    """Mean absolute difference of ``second`` and the warped ``first``, where it comes from inside.

    Both are stylized frames [N, 3, H, W]; a scalar. Absolute, where eq. 7 has squares: those fall
    mostly on the strongest strokes, and so on the paintings that have them, which lose by it more
    than the others gain. Nothing is allowed for a change of the frame's brightness, as
    arXiv:1811.00738 (ReCoNet) does: instance normalization takes it out anyway, and strokes ought
    not to follow it.
    """
    expected, inside = warp(first, flow)
    error = (expected - second).abs().mean(1, keepdim=True)
    return (inside * error).sum() / inside.sum().clamp_min(1)


MOTIONS: dict[str, tuple[tuple[float, float], float]] = {
    "still": ((0.0, 0.0), 0.0),
    "pan": ((3.5, -2.25), 0.0),
    "zoom": ((0.0, 0.0), 0.02),
}
"""What a measurement moves: pan in pixels (x, y), relative growth."""

SENSOR = 2 / 255
"""Standard deviation of the noise of measured frames."""


@torch.no_grad()
def temporal_error(
    render: Callable[[Tensor], Tensor], photos: Sequence[Tensor]
) -> dict[str, float]:
    """How much two stylized frames disagree, as a ratio to how much the frames themselves do.

    Frames are a photo and the same one moved, each with noise of its own; their disagreement is
    the mean absolute difference of the second and the warped first, where that comes from inside.
    1 is as steady as the source; the mean over photos of the ratio for each motion, and over all
    motions as ``temporal``.

    Args:
        render: uint8 [3, H, W] to float32 [3, H, W] in 0..1.
        photos: uint8 [3, H, W].
    """
    random = torch.Generator().manual_seed(0)
    ratios: dict[str, list[float]] = {name: [] for name in MOTIONS}
    for photo in photos:
        clean = photo[None].float().div(255)
        for name, (pan, zoom) in MOTIONS.items():
            values = torch.tensor([pan]), torch.tensor([zoom]), torch.zeros(1)
            flow = affine_flow(*photo.shape[1:], *values)
            views = [_grainy(view, random) for view in (clean, warp(clean, flow)[0])]
            errors = [
                _disagreement(*pair, flow)
                for pair in (
                    [view[None].float().div(255) for view in views],
                    [render(view)[None] for view in views],
                )
            ]
            ratios[name].append(errors[1] / errors[0])
    means = {f"temporal_{name}": sum(r) / len(r) for name, r in ratios.items()}
    return {"temporal": sum(means.values()) / len(means), **means}


def _grainy(image: Tensor, random: torch.Generator) -> Tensor:
    noisy = image + SENSOR * torch.randn(image.shape, generator=random)
    return noisy.mul(255).round().clamp(0, 255).to(torch.uint8)[0]


def _disagreement(first: Tensor, second: Tensor, flow: Tensor) -> float:
    expected, inside = warp(first, flow)
    difference = (expected - second).abs().mean(1, keepdim=True)
    return ((inside * difference).sum() / inside.sum()).item()
