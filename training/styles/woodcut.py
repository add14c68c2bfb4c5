# SPDX-License-Identifier: MPL-2.0
"""Woodcut: black hatching that swells and tapers, cut over flat inks."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .canvas import Array, cells, colours, finished, grid, mix, noise, scatter, step

INKS = colours("f3e4c0", "e2572b", "f0b32f", "17709e", "f3e4c0", "b8261f", "4f9a78", "17709e")
BLACK = colours("16120f")[0]


def draw(random: np.random.Generator) -> Image.Image:
    """The picture."""
    x, y = grid()
    wx, wy = x + noise(random, 120) * 34, y + noise(random, 120) * 34
    points = scatter(random, 190, 200)
    shape, border = cells(points, wx, wy, 330)
    count = len(points)
    ink = INKS[random.integers(0, len(INKS), count)][shape]
    hatch = _hatching(random, shape, points, x, y, border)
    outline = step(5.5 + 1.5 * noise(random, 30) - border, 1.5)
    grain = 0.05 * noise(random, 3, 40) + 0.03 * noise(random, 2)
    paper = ink * (1 + grain)[..., None]
    gaps = step(noise(random, 2, 60) * 0.6 + noise(random, 60) * 0.5 - 1.75, 0.3)
    black = np.maximum(hatch, outline) * (1 - 0.8 * gaps)
    return finished(mix(paper, BLACK, black))


def _hatching(
    random: np.random.Generator, shape: Array, points: Array, x: Array, y: Array, border: Array
) -> Array:
    """Lines in a direction, or round a centre, of each shape's own; wide where it is dark."""
    count = len(points)
    lean = random.uniform(0, np.pi, count).astype(np.float32)[shape]
    pitch = random.uniform(15, 27, count).astype(np.float32)[shape]
    dx, dy = x - points[shape, 0], y - points[shape, 1]
    bow = random.uniform(-1, 1, count).astype(np.float32)[shape]
    along = dx * np.cos(lean) + dy * np.sin(lean)
    across = dy * np.cos(lean) - dx * np.sin(lean)
    across = across + bow * along**2 / 220 + 5 * noise(random, 110)
    ringed = (random.random(count) < 0.3)[shape]
    across = np.where(ringed, np.hypot(dx, dy), across)
    phase = across / pitch
    line = np.abs(phase - np.floor(phase) - 0.5) * 2
    stroke = np.floor(phase)
    ends = np.sin(stroke * 12.9898 + shape * 4.1) * 43758.547
    ends = ends - np.floor(ends)
    dark = random.uniform(0.25, 0.6, count).astype(np.float32)[shape]
    fall = np.clip(border / 55, 0, 1.6)
    width = dark + 0.42 * (0.75 - fall) + 0.3 * (ends - 0.5) + 0.1 * noise(random, 26)
    width = np.where(width < 0.12, -0.3, width)
    return step((width - line) * pitch / 2, 1.5)
