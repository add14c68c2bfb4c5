# SPDX-License-Identifier: MPL-2.0
"""Mosaic: square stones in rows that run round suns and along waves, gold among the blues."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from .canvas import (
    FINE,
    HEIGHT,
    WIDTH,
    Array,
    as_mask,
    blurred,
    colours,
    finished,
    noise,
    scaled,
    scatter,
    stencil,
)

ROW = 33.0
"""Pixels from one row of stones to the next."""

Brushes = tuple[ImageDraw.ImageDraw, ImageDraw.ImageDraw]
"""For the stones, and for the mask of where they lie."""

BANDS = (
    colours("f4c430", "ffd966", "d99a1c"),
    colours("0d3b8c", "1d5fc4", "0a2a66"),
    colours("f5efe0", "e9dcc0", "ffffff"),
    colours("c8371f", "e2562f", "96200f"),
    colours("11847f", "2bb5a3", "0b5c62"),
    colours("5ec4e8", "3a9bd8", "9fe0f2"),
    colours("0a1740", "15255c", "1f1147"),
    colours("e88b2d", "f2a94e", "c76a18"),
)


def draw(random: np.random.Generator) -> Image.Image:
    """The picture."""
    stones = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), (38, 34, 34))
    mask, mask_brush = stencil()
    brushes = (ImageDraw.Draw(stones), mask_brush)
    suns = scatter(random, 310, 340)
    sizes = random.uniform(0.8, 1.25, len(suns)).astype(np.float32)
    for number in range(len(suns)):
        _patch(random, number, suns, sizes, brushes)
    picture = np.asarray(stones, np.float32) / 255
    return finished(_lit(random, picture, as_mask(mask)))


def _patch(
    random: np.random.Generator, number: int, suns: Array, sizes: Array, brushes: Brushes
) -> None:
    """Rings of stones round one centre, or arcs of a far one, where no other patch is nearer."""
    centre, radius = suns[number].astype(np.float64), ROW * 0.1
    if number % 3 == 0:
        way, radius = random.uniform(0, 2 * math.pi), ROW * 4.0
        centre = centre - (radius + 250) * np.array([math.cos(way), math.sin(way)])
    first, step = int(random.integers(0, len(BANDS))), int(random.choice([1, 3, 5]))
    for ring in range(30):
        band = BANDS[(first + (ring + 1) // 2 * step) % len(BANDS)]
        count = max(1, round(2 * math.pi * radius / ROW))
        turn = random.uniform(0, 1)
        for index in range(count):
            angle = (index + turn) * 2 * math.pi / count
            at = centre + radius * np.array([math.cos(angle), math.sin(angle)])
            if math.hypot(*(at - suns[number])) > 430:
                continue
            off = np.hypot(*(suns - at).T) / sizes
            if off[number] - off.min() < 0.3 * ROW:
                _stone(random, at, angle, band, brushes)
        radius += ROW


def _stone(
    random: np.random.Generator, at: Array, angle: float, band: Array, brushes: Brushes
) -> None:
    """One stone in its row, somewhat askew, of one of its band's colours or, rarely, gold."""
    half = (ROW - 4.5) / 2
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    corners = corners + random.uniform(-2.2, 2.2, (4, 2))
    lean = angle + random.normal(0, 0.05)
    turn = np.array([[math.cos(lean), math.sin(lean)], [-math.sin(lean), math.cos(lean)]])
    points = scaled(corners @ turn + at)
    colour = band[random.integers(0, len(band))] * random.uniform(0.82, 1.1)
    if random.random() < 0.04:
        colour = BANDS[0][1]
    brushes[0].polygon(points, tuple(int(255 * min(1, c)) for c in colour))
    brushes[1].polygon(points, 255)


def _lit(random: np.random.Generator, picture: Array, mask: Array) -> Array:
    """Light from the upper left on the stones' bevels, grain on their faces."""
    height = blurred(mask, 2.2)
    slope = np.gradient(height)
    light = (slope[0] + slope[1]) * FINE * 2.6
    face = 1 + mask * (0.07 * noise(random, 4) + 0.05 * noise(random, 13))
    picture = picture * face[..., None] + (light * (0.25 + 0.75 * mask))[..., None] * 0.5
    return picture
