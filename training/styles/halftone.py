# SPDX-License-Identifier: MPL-2.0
"""Halftone: a comic's bursts and swirls in four printed inks, dots and bold outlines."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .canvas import ROW, Array, cells, colours, finished, grid, mix, noise, scatter, step

INKS = colours("00a0dc", "e5187e", "ffe014", "15121c")
APART = 27.0
"""Pixels from one dot to the next."""

# Shares of cyan, magenta and yellow. At most one ink of a tint is a screen of dots, since two
# screens that overlap are no dots any more.
TINTS = np.float32(
    [
        (0.0, 0.0, 1.0),
        (0.0, 1.0, 1.0),
        (0.0, 0.0, 0.0),
        (0.4, 0.0, 0.0),
        (0.25, 0.0, 0.0),
        (0.0, 0.4, 0.0),
        (0.0, 0.25, 0.0),
        (0.0, 0.4, 1.0),
        (0.35, 0.0, 1.0),
        (1.0, 0.4, 0.0),
    ]
)


def draw(random: np.random.Generator) -> Image.Image:
    """The picture."""
    x, y = grid()
    points = scatter(random, 330, 250)
    shape, border = cells(points, x + noise(random, 150) * 20, y + noise(random, 150) * 20, 500)
    tint, edge = _shapes(random, shape, points, x, y)
    near = _dot_distance(random, x, y)
    paper = np.ones((*x.shape, 3), np.float32) * np.float32([1, 0.985, 0.94])
    for ink, share in zip(INKS[:3], np.moveaxis(tint, -1, 0), strict=True):
        paper = paper * mix(np.ones(3, np.float32), ink, _dots(near, share))
    edge = np.minimum(edge, border)
    return finished(mix(paper, INKS[3], step(6.0 - edge, 1.5)))


def _dot_distance(random: np.random.Generator, x: Array, y: Array) -> Array:
    """Pixels to the middle of the nearest dot.

    The dots stray from a hexagonal grid, as in stochastic screening: a generator sees where the
    neighbours of a dot are, but not where in the whole picture it is, so it cannot print a grid.
    """
    points = scatter(random, APART, APART, stray=0.12)
    owner, _ = cells(points, x, y, APART)
    return np.hypot(x - points[owner, 0], y - points[owner, 1])


def _dots(near: Array, share: Array) -> Array:
    """Round dots that cover about ``share`` of the paper; nothing at 0, and all of it at 1."""
    radius = APART * np.sqrt(np.clip(share, 0, 1) * ROW / np.pi)
    radius = np.where(share > 0.98, 2 * APART, np.where(share < 0.02, -1.0, radius))
    return step(radius - near, 1.2)


def _shapes(
    random: np.random.Generator, shape: Array, points: Array, x: Array, y: Array
) -> tuple[Array, Array]:
    """Tints [H, W, 3], and distance to the next outline, of bursts, rings and stripes."""
    count = len(points)
    dx, dy = x - points[shape, 0], y - points[shape, 1]
    radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    kind = np.arange(count)[shape] % 3
    # An even number, so that colours alternate all the way around.
    rays = 2 * random.integers(4, 7, count)[shape]
    spin = random.uniform(0, 6.28, count).astype(np.float32)[shape]
    ray = (angle + spin) * rays / (2 * np.pi)
    ray_edge = _to_step(ray) * 2 * np.pi * radius / rays
    ring = (radius + 10 * np.minimum(radius / 40, 1) * np.sin(angle * 5 + spin)) / 44
    stripe = (
        dx * np.cos(spin)
        + dy * np.sin(spin)
        + 16 * np.sin((dy * np.cos(spin) - dx * np.sin(spin)) / 38)
    ) / 46
    part = np.where(kind == 0, ray, np.where(kind == 1, ring, stripe))
    edge = np.where(kind == 0, ray_edge, _to_step(part) * 45)
    star = radius - 62 - 20 * np.cos(angle * 7 + spin)
    inside = (star < 0) & (kind == 0)
    edge = np.where(kind == 0, np.minimum(np.where(inside, 99, edge), np.abs(star)), edge)
    pair = np.stack([random.permutation(len(TINTS))[:3] for _ in range(count)])[shape]
    odd = np.floor(part).astype(np.int32) % 2
    chosen = np.where(inside, pair[..., 2], np.where(odd == 0, pair[..., 0], pair[..., 1]))
    return TINTS[chosen], edge


def _to_step(value: Array) -> Array:
    return 0.5 - np.abs(value - np.floor(value) - 0.5)
