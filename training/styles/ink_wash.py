# SPDX-License-Identifier: MPL-2.0
"""Ink wash: grey washes with wet edges, dry strokes of a broad brush, splashes, a few seals."""

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
    sample,
    scaled,
    scatter,
    stencil,
    step,
)

PAPER = colours("f3ead8")[0]
BLACK, SLATE, MIST, VERMILION = colours("0b0a10", "4a5a70", "8fa3b4", "d8361c")

WASHES = ((MIST, 0.2), (MIST, 0.7), (SLATE, 0.7), (SLATE, 1.1))
"""Ink of the washes, and the level of the field above which each lies: higher for smaller ones."""

LAYERS = ((SLATE, 190, 52), (BLACK, 190, 48), (BLACK, 120, 22), (BLACK, 80, 8))
"""Ink of the strokes, pixels between them, and their width."""


def draw(random: np.random.Generator) -> Image.Image:
    """The picture."""
    picture = np.ones((HEIGHT * FINE, WIDTH * FINE, 3), np.float32) * PAPER
    for ink, level in WASHES:
        picture = _stain(picture, ink, _wash(random, level))
    # Along the contours of a field, which do not run into one another.
    down, across = np.gradient(noise(random, 150) + 0.12 * noise(random, 60))
    lean = np.arctan2(across, -down)
    for ink, apart, width in LAYERS:
        picture = _stain(picture, ink, _strokes(random, apart, width, lean))
    picture = _stain(picture, BLACK, _splashes(random, 75))
    picture = _stain(picture, VERMILION, _seals(random))
    fibre = 0.02 * noise(random, 14, 2) + 0.02 * noise(random, 2, 12) + 0.015 * noise(random, 2)
    return finished(picture * (1 + fibre)[..., None])


def _stain(picture: Array, ink: Array, amount: Array) -> Array:
    """Ink soaked into what is there: it multiplies, so that what is dark stays dark."""
    return picture * (1 + (ink - 1) * amount[..., None])


def _wash(random: np.random.Generator, level: float) -> Array:
    """Pools of thin ink: light within, dark at the rim where they dried, with grain."""
    field = noise(random, 95) + 0.35 * noise(random, 34) + 0.12 * noise(random, 12)
    inside = step(field - level, 0.1)
    rim = inside * np.exp(-np.maximum(field - level, 0) / 0.09)
    tide = np.abs(np.sin((field - level) * 5.5)) ** 8 * inside * 0.25
    grain = 1 + 0.14 * noise(random, 3) + 0.22 * noise(random, 30)
    return np.clip((0.42 * inside + 0.5 * rim + tide) * grain, 0, 1)


def _strokes(random: np.random.Generator, apart: float, width: float, lean: Array) -> Array:
    """Strokes of a brush, along the directions ``lean``, whose bristles run dry by and by."""
    image, brush = stencil()
    for at in scatter(random, apart, 120):
        length = width * random.uniform(4, 7)
        at, path = at.astype(np.float32), []
        for _ in range(40):
            path.append(at)
            angle = float(sample(lean, at[:1], at[1:])[0])
            at = at + np.float32([math.cos(angle), math.sin(angle)]) * np.float32(length / 40)
        _bristles(random, brush, np.array(path), width * random.uniform(0.6, 1.15))
    mask = as_mask(image)
    soft = blurred(mask, 1.6)
    return np.clip(np.maximum(mask * (0.97 + 0.06 * noise(random, 6)), 0.3 * soft), 0, 1)


def _bristles(
    random: np.random.Generator, brush: ImageDraw.ImageDraw, path: Array, width: float
) -> None:
    """Draw a stroke as lines side by side: pressed down at first, lifted in the end."""
    side = np.gradient(path, axis=0)
    side = np.stack([-side[:, 1], side[:, 0]], 1) / (np.hypot(*side.T)[:, None] + 1e-6)
    count = max(6, int(width / 1.15))
    press = np.sin(np.linspace(0.25, 3.05, len(path)))[:, None] ** 0.75
    for place in np.linspace(-0.5, 0.5, count):
        runs_dry = random.uniform(0.3, 1.5)
        begin = random.uniform(0, 0.06)
        first, last = (int(v * len(path)) for v in (begin, min(runs_dry, 1)))
        line = path + side * place * width * press
        if last - first < 2:
            continue
        shade = int(255 * random.uniform(0.78, 1.0) * (0.9 + 0.3 * abs(place)))
        thick = max(1, round(random.uniform(1.0, 2.0) * FINE * (0.6 + width / 90)))
        brush.line(scaled(line[first:last]), min(255, shade), thick, "curve")


def _seals(random: np.random.Generator) -> Array:
    """Square stamps with a few lines left out, none upright."""
    image, brush = stencil()
    for at in scatter(random, 290, 40):
        lean, half = random.uniform(-0.15, 0.15), random.uniform(13, 19)
        turn = np.float32([[math.cos(lean), math.sin(lean)], [-math.sin(lean), math.cos(lean)]])
        corners = np.float32([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
        brush.polygon(scaled(at + corners @ turn), 235)
        for place in np.linspace(-0.55, 0.55, 4):
            ends = np.float32([(-0.7, place), (random.uniform(-0.2, 0.7), place)]) * half
            brush.line(scaled(at + ends @ turn), 0, 2 * FINE)
    return as_mask(image)


def _splashes(random: np.random.Generator, apart: float) -> Array:
    """Drops: a large one and smaller ones thrown the same way."""
    image, brush = stencil()
    for at in scatter(random, apart * 2.2, 40):
        way = random.uniform(0, 2 * math.pi)
        for _ in range(int(random.integers(5, 13))):
            far = abs(random.normal(0, 46))
            size = max(1.6, 11 * math.exp(-far / 38) * random.uniform(0.5, 1.2))
            angle = way + random.normal(0, 0.5)
            x, y = at[0] + far * math.cos(angle), at[1] + far * math.sin(angle)
            box = [(x - size) * FINE, (y - size) * FINE, (x + size) * FINE, (y + size) * FINE]
            brush.ellipse(box, 255)
    return as_mask(image)
