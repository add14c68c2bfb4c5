# SPDX-License-Identifier: MPL-2.0
"""Cut paper: leaves, fronds, waves and stars of flat bright paper in layers, a soft shade below."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .canvas import (
    FINE,
    HEIGHT,
    WIDTH,
    Array,
    as_mask,
    blurred,
    colours,
    finished,
    mix,
    noise,
    scaled,
    scatter,
    smooth_curve,
    stencil,
)

PAPERS = colours(
    "1d4e9e",
    "f2c230",
    "e2402d",
    "f6efe0",
    "0e6a49",
    "f08fa8",
    "151a2e",
    "f3842c",
    "59b3d9",
    "4a1d66",
    "a6c83c",
)


Shape = Callable[[np.random.Generator], list[Array]]
"""Outlines [N, 2] of a shape of about 1 from its centre."""


def draw(random: np.random.Generator) -> Image.Image:
    """The picture."""
    tiles = _tiles(random)
    picture = PAPERS[tiles]
    seams = (np.abs(np.diff(tiles, axis=0, prepend=tiles[:1])) > 0).astype(np.float32)
    seams += np.abs(np.diff(tiles, axis=1, prepend=tiles[:, :1])) > 0
    picture = picture * (1 - 0.5 * blurred(seams, 1.5) - 0.6 * blurred(seams, 5))[..., None]
    for apart, size, shapes in LAYERS:
        for colour in random.permutation(len(PAPERS)):
            picture = _layer(random, picture, tiles, int(colour), apart, size, shapes)
    grain = 0.025 * noise(random, 2) + 0.018 * noise(random, 9, 4)
    return finished(picture * (1 + grain)[..., None])


def _tiles(random: np.random.Generator) -> NDArray[np.int32]:
    """Which paper lies at the bottom of each pixel: rectangles of many sizes."""
    tiles = np.zeros((HEIGHT * FINE, WIDTH * FINE), np.int32)
    last = -1
    y = 0
    while y < HEIGHT:
        down = int(random.integers(90, 170))
        x = -int(random.integers(0, 90))
        while x < WIDTH:
            across = int(random.integers(80, 210))
            choice = int(random.choice([n for n in range(len(PAPERS)) if n != last]))
            rows = slice(y * FINE, (y + down) * FINE)
            tiles[rows, max(0, x) * FINE : max(0, x + across) * FINE] = choice
            last, x = choice, x + across
        y += down
    return tiles


def _layer(
    random: np.random.Generator,
    picture: Array,
    tiles: NDArray[np.int32],
    colour: int,
    apart: float,
    size: float,
    shapes: Sequence[Shape],
) -> Array:
    """Shapes of one paper glued on, none on paper of the same colour, and the shade they cast."""
    image, brush = stencil()
    for at in scatter(random, apart * math.sqrt(len(PAPERS)), size):
        row, column = (min(max(int(v), 0), end - 1) for v, end in ((at[1], HEIGHT), (at[0], WIDTH)))
        if tiles[row * FINE, column * FINE] == colour:
            continue
        shape = shapes[int(random.integers(0, len(shapes)))]
        turn = random.uniform(0, 2 * math.pi)
        scale = size * random.uniform(0.75, 1.25)
        for outline in shape(random):
            points = np.asarray(outline, np.float32) * scale
            spin = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
            brush.polygon(scaled(points @ spin + at), 255)
    mask = as_mask(image)
    shade = np.pad(blurred(mask, 4.5), ((5 * FINE, 0), (4 * FINE, 0)), "edge")
    shade = shade[: mask.shape[0], : mask.shape[1]]
    picture = picture * (1 - 0.55 * shade)[..., None]
    return mix(picture, PAPERS[colour], mask)


def _frond(random: np.random.Generator) -> list[Array]:
    """A stem with rounded lobes on both sides, as of seaweed."""
    lobes = int(random.integers(4, 7))
    left, right = [], []
    for n in range(lobes):
        at = -1 + 2 * (n + 0.5) / lobes
        reach = 0.62 * math.cos(at * 1.1) + random.uniform(-0.06, 0.1)
        gap = 1 / lobes
        for side, line in ((-1, left), (1, right)):
            line += [
                (side * 0.09, at - gap * 0.85),
                (side * reach * 0.8, at - gap * 0.65),
                (side * reach, at - gap * 0.1),
                (side * reach * 0.75, at + gap * 0.25),
            ]
            line += [(side * 0.1, at + gap * 0.3)]
    outline = [(0, -1.15), *left, (0, 1.15), *right[::-1]]
    return [smooth_curve(outline, closed=True, steps=8)]


def _leaf(random: np.random.Generator) -> list[Array]:
    wide = random.uniform(0.3, 0.45)
    halves = []
    for side in (-1, 1):
        points = [
            (side * 0.035, -1),
            (side * wide, -0.35),
            (side * wide * 0.9, 0.3),
            (side * 0.035, 1),
        ]
        halves.append(smooth_curve(points, closed=False))
    return halves


def _wave(random: np.random.Generator) -> list[Array]:
    t = np.linspace(-1.5, 1.5, 40)
    sway = 0.22 * np.sin(t * 5 + random.uniform(0, 6))
    top = np.stack([t, sway - 0.13], 1)
    bottom = np.stack([t, sway + 0.16 + 0.05 * np.sin(t * 9)], 1)
    return [np.concatenate([top, bottom[::-1]])]


def _star(random: np.random.Generator) -> list[Array]:
    points = int(random.integers(5, 9))
    angle = np.arange(points * 2) * math.pi / points
    radius = np.where(np.arange(points * 2) % 2 == 0, 1.0, 0.45) * random.uniform(
        0.85, 1.1, points * 2
    )
    return [np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)]


def _drop(random: np.random.Generator) -> list[Array]:
    angle = np.linspace(0, 2 * math.pi, 9)[:-1]
    radius = random.uniform(0.55, 0.95, 8)
    return [
        smooth_curve(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), closed=True)
    ]


LAYERS = (
    (130, 135, (_frond, _leaf, _wave, _frond)),
    (122, 74, (_star, _drop, _leaf, _frond)),
)
"""Pixels between shapes, their size, and what they are; the lower layer first."""
