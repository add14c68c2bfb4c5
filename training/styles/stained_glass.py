# SPDX-License-Identifier: MPL-2.0
"""Stained glass: jewel-coloured panes, streaked and lit from behind, in dark lead."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .canvas import (
    HEIGHT,
    WIDTH,
    Array,
    cells,
    colours,
    finished,
    grid,
    mix,
    noise,
    sample,
    scatter,
    step,
)

PALETTES = (
    colours("1440b8", "1f6be8", "0b2580", "4fb0ff", "7a3fd0"),
    colours("d01526", "f2402a", "94101f", "ff7a35", "e0286e"),
    colours("ffc227", "ffe25e", "ff9d1c", "fff6c4", "fdf0e0"),
    colours("12a060", "3fd08a", "0c6a4c", "a4dc50", "2cc8c4"),
)


def draw(random: np.random.Generator) -> Image.Image:
    """The picture."""
    x, y = grid()
    bend_x, bend_y = noise(random, 90) * 7, noise(random, 90) * 7
    wx, wy = x + bend_x, y + bend_y
    roses = scatter(random, 400, 260)
    rose, far = cells(roses, wx, wy, 560)
    dx, dy = wx - roses[rose, 0], wy - roses[rose, 1]
    radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    label, border = _rings(random, rose, len(roses), radius, angle)
    border = np.where(label < 0, border, np.minimum(border, far))
    shards = scatter(random, 108, 120)
    shard, shard_border = cells(shards, wx, wy, 160)
    outside = label < 0
    label = np.where(outside, 20_000 + shard, label)
    border = np.where(outside, np.minimum(shard_border, -border), border)
    colour = _panes(random, label, rose, outside)
    return finished(_leaded(random, colour, border))


def _rings(
    random: np.random.Generator, rose: Array, count: int, radius: Array, angle: Array
) -> tuple[Array, Array]:
    """Panes of the rose windows: number (-1 outside) and distance to the pane's border."""
    size = random.uniform(125, 195, count).astype(np.float32)[rose]
    petals = random.choice(np.array([5, 6, 7, 8]), count)[rose]
    turn = random.uniform(0, 2 * np.pi, count).astype(np.float32)[rose]
    hub, ring = size * 0.26, size * 0.68
    swirl = angle + turn + radius / size * 0.9
    inner = swirl * petals / (2 * np.pi)
    outer = inner * 2 + 0.5
    zone = (radius > hub).astype(np.int32) + (radius > ring) + (radius > size)
    part = np.where(zone == 1, inner, outer)
    share = np.where(zone == 1, petals, petals * 2)
    place = np.floor(part).astype(np.int32) % share
    across = np.abs(part - np.floor(part) - 0.5)
    spoke = (0.5 - across) * 2 * np.pi * radius / share
    round_ = np.minimum(np.abs(radius - hub), np.abs(radius - ring))
    border = np.minimum(round_, np.abs(radius - size))
    border = np.where((zone == 1) | (zone == 2), np.minimum(border, spoke), border)
    label = (rose * 4 + zone) * 64 + np.where(zone == 0, 0, place)
    return np.where(zone == 3, -1, label), np.where(zone == 3, -(radius - size), border)


def _panes(random: np.random.Generator, label: Array, rose: Array, outside: Array) -> Array:
    """Colour of each pixel: one of its pane, streaks and light within."""
    numbers = np.cumsum(np.bincount(label.ravel()) > 0) - 1
    pane, count = numbers[label], int(numbers[-1]) + 1
    chosen = random.integers(0, 5, count)
    family = np.zeros(count, np.int32)
    zone = np.where(outside, 0, (label // 64) % 4 + 1)
    family[pane] = (rose * 7 + zone * (1 + rose % 2)) % 4
    blue = random.random(count) < 0.12
    family[blue] = random.integers(0, 4, int(blue.sum()))
    flat = np.stack(PALETTES)[family, chosen] * random.uniform(0.85, 1.2, (count, 1))
    x, y = grid()
    lean = random.uniform(0, np.pi, count).astype(np.float32)[pane]
    streaks = noise(random, 60, 7)
    along, down = x * np.cos(lean) + y * np.sin(lean), y * np.cos(lean) - x * np.sin(lean)
    streak = sample(streaks, _folded(along, WIDTH), _folded(down, HEIGHT))
    light = 1 + 0.15 * streak + 0.14 * noise(random, 34) + 0.05 * noise(random, 5)
    colour = flat.astype(np.float32)[pane] * light[..., None]
    shine = step(noise(random, 22) - 1.35, 0.7) * 0.45
    return mix(np.clip(colour, 0, 1), np.float32([1, 0.98, 0.9]), shine)


def _folded(place: Array, end: int) -> Array:
    """Any coordinate as one of 0 to ``end``, to and fro, without a seam."""
    return np.abs(place % (2 * end) - end)


def _leaded(random: np.random.Generator, colour: Array, border: Array) -> Array:
    """Lead over the borders of the panes, round and dull, and the shade it casts on the glass."""
    width = 6.0 + 0.8 * noise(random, 40)
    shade = 1 - 0.4 * np.exp(-np.maximum(border - width, 0) / 5)
    colour = colour * shade[..., None]
    ridge = np.clip(1 - border / width, 0, 1)
    grey = 0.05 + 0.2 * ridge**2 + 0.02 * noise(random, 3)
    lead = grey[..., None] * np.float32([0.95, 1.0, 1.1])
    return mix(colour, lead, step(width - border, 1.5))
