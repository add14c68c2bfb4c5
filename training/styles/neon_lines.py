# SPDX-License-Identifier: MPL-2.0
"""Neon lines: bright tubes in nested bends on a dark wall, each with its glow."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .canvas import (
    FINE,
    Array,
    blurred,
    cells,
    colours,
    finished,
    grid,
    noise,
    scatter,
    softened,
    step,
)

TUBES = colours("ff2d95", "19e3ff", "ffd319", "8cff2e", "b14dff", "ff6a1a", "2f7bff")
WALL = colours("0d0a24")[0]
SPACING = 31.0
"""Pixels from one tube to the next."""


def draw(random: np.random.Generator) -> Image.Image:
    """The picture."""
    x, y = grid()
    points = scatter(random, 300, 300)
    wx, wy = x + noise(random, 140) * 24, y + noise(random, 140) * 24
    shape, border = cells(points, wx, wy, 460)
    border = softened(border, 16)
    phase = border / SPACING
    number = np.floor(phase).astype(np.int32)
    off = np.abs(phase - number - 0.5) * SPACING
    slope = np.hypot(*np.gradient(border)) * FINE
    off = off / np.clip(slope, 0.45, 2)
    colour = (shape * 3 + number * 2 + random.integers(0, 7)) % len(TUBES)
    picture = np.ones((*x.shape, 3), np.float32) * WALL
    picture = picture * (1 + 0.4 * noise(random, 6) + 0.3 * noise(random, 40))[..., None]
    return finished(_lit(picture, off, colour))


def _lit(picture: Array, off: Array, colour: Array) -> Array:
    tube = step(5.0 - off, 2)
    core = step(1.7 - off, 2.2)
    for index, tint in enumerate(TUBES):
        mask = tube * (colour == index)
        glow = 0.7 * blurred(mask, 4) + 0.35 * blurred(mask, 14)
        picture = picture + glow[..., None] * tint
        picture = picture * (1 - mask[..., None]) + mask[..., None] * tint
    return picture + (core * 0.6)[..., None]
