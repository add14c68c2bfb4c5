# SPDX-License-Identifier: MPL-2.0
"""Woven bands: striped ribbons over and under one another, threads and shade in each."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .canvas import Array, cells, colours, finished, grid, noise, scatter, step

DYES = colours(
    "b3202a",
    "e8a020",
    "12355b",
    "f2e6c9",
    "0f7a6c",
    "d9572b",
    "5a1e4f",
    "2f8fb5",
    "f4c95d",
    "1b1b2b",
    "8fae3a",
    "c9366b",
)
BAND = 62.0
"""Pixels from one band to the next."""


def draw(random: np.random.Generator) -> Image.Image:
    """The picture."""
    x, y = grid()
    bend = (noise(random, 260) * 34, noise(random, 260) * 34)
    patches = scatter(random, 420, 420)
    patch, seam = cells(patches, x + bend[0] * 0.6, y + bend[1] * 0.6, 640)
    lean = np.deg2rad(random.permutation(np.arange(len(patches)) * 180 / len(patches)))
    lean = lean.astype(np.float32)[patch]
    u = (x + bend[0]) * np.cos(lean) + (y + bend[1]) * np.sin(lean) + 5000
    v = (y + bend[1]) * np.cos(lean) - (x + bend[0]) * np.sin(lean) + 5000
    warp = _band(random, u, v, patch, 0)
    weft = _band(random, v, u, patch, 1)
    twill = (np.arange(len(patches)) % 2)[patch]
    column, row = np.floor(u / BAND), np.floor(v / BAND)
    plain = (column + row) % 2 == 0
    over = np.where(twill == 1, (column + row) % 3 != 0, plain)
    picture = np.where(over[..., None], warp, weft)
    picture = picture * (1 - 0.7 * np.exp(-seam / 4))[..., None]
    return finished(picture)


def _band(
    random: np.random.Generator, across: Array, along: Array, patch: Array, odd: int
) -> Array:
    """Colours of the bands that run in one direction, as they would lie on top."""
    place = across / BAND
    number = np.floor(place).astype(np.int64)
    inside = (place - number) * 2 - 1
    pick = _hash(number * 3 + odd + patch * 17)
    first = DYES[(pick * 997 % len(DYES)).astype(np.int32)]
    second = DYES[(pick * 7919 % len(DYES)).astype(np.int32)]
    stripe = np.where(
        _hash(number + 51) < 0.55, np.abs(inside) < 0.34, np.abs(np.abs(inside) - 0.5) < 0.16
    )
    colour = np.where(stripe[..., None], second, first)
    crossing = (along / BAND) - np.floor(along / BAND)
    bulge = np.sin(np.pi * crossing)
    rise = 0.3 + 0.78 * bulge**0.6
    edge = step((1 - np.abs(inside)) * BAND / 2 - 2.5, 3)
    thread = across / 5.2 + 0.35 * np.sin(along / 9)
    yarn = np.abs(thread - np.floor(thread) - 0.5)
    twist = along / 7 + _hash(np.floor(thread)) * 5 + (thread - np.floor(thread)) * 1.4
    twist = np.abs(twist - np.floor(twist) - 0.5)
    light = rise * (0.35 + 0.65 * edge) * (1.16 - 0.75 * yarn**1.2) * (0.9 + 0.34 * twist)
    return colour * (light * 1.22 + 0.04 * noise(random, 3))[..., None]


def _hash(value: Array) -> Array:
    """A number in 0..1 for each whole number, always the same."""
    scrambled = np.sin(np.asarray(value, np.float64) * 12.9898 + 78.233) * 43758.5453
    return (scrambled - np.floor(scrambled)).astype(np.float64)
