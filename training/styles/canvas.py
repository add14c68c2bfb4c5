# SPDX-License-Identifier: MPL-2.0
"""What the drawn styles share: sizes, noise, cells, curves, colours.

Arrays are float32: pictures [H, W, 3] RGB and masks [H, W] in 0..1, coordinates in pixels of the
finished picture. Everything random comes from the generator that a style is given, so that a seed
gives the same picture on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 1280, 1024
"""Pixels of a finished picture."""

FINE = 2
"""Pixels that are drawn for each finished one along each side, and averaged at the end."""

ROW = 0.866
"""Distance of the rows of a hexagonal grid, in distances of its points: half the root of 3."""

Array = NDArray[np.float32]
Points = Sequence[tuple[float, float]]


def colours(*names: str) -> Array:
    """Colours [N, 3] in 0..1 of hexadecimal names, e.g. ``"e0a010"``."""
    return np.array([[int(n[i : i + 2], 16) / 255 for i in (0, 2, 4)] for n in names], np.float32)


def grid() -> tuple[Array, Array]:
    """Coordinates x and y [FINE * HEIGHT, FINE * WIDTH] of the pixels that are drawn."""
    y, x = np.mgrid[0 : HEIGHT * FINE, 0 : WIDTH * FINE].astype(np.float32)
    return (x + 0.5) / FINE, (y + 0.5) / FINE


def noise(random: np.random.Generator, across: float, down: float | None = None) -> Array:
    """Smooth noise over the picture, mean 0 and deviation 1.

    Args:
        random: source of the numbers.
        across: pixels between independent values, at least 1.
        down: the same from top to bottom; as ``across`` unless given.
    """
    across, down = max(across, 1.0), max(down or across, 1.0)
    size = (math.ceil(WIDTH / across) + 3, math.ceil(HEIGHT / down) + 3)
    values = random.standard_normal(size[::-1]).astype(np.float32)
    box = (1.0, 1.0, 1.0 + WIDTH / across, 1.0 + HEIGHT / down)
    fine = (WIDTH * FINE, HEIGHT * FINE)
    smooth = np.asarray(Image.fromarray(values).resize(fine, Image.Resampling.BICUBIC, box=box))
    return (smooth - smooth.mean()) / smooth.std()


def sample(field: Array, x: Array, y: Array) -> Array:
    """Values of a field of the picture at coordinates, the nearest pixel's; the edge goes on."""
    column = np.clip((x * FINE).astype(np.int32), 0, field.shape[1] - 1)
    row = np.clip((y * FINE).astype(np.int32), 0, field.shape[0] - 1)
    return field[row, column]


def scatter(
    random: np.random.Generator, apart: float, margin: float = 0.0, stray: float = 0.3
) -> Array:
    """Points [N, 2] (x, y) about ``apart`` pixels from one another, in random order.

    Args:
        random: source of the numbers.
        apart: side of a cell of the hexagonal grid that each point strays in.
        margin: how far beyond the picture's edges points are wanted.
        stray: how far each may be from its place on the grid along x and y, in cells.
    """
    points = []
    rows = math.ceil((HEIGHT + 2 * margin) / (apart * ROW)) + 1
    columns = math.ceil((WIDTH + 2 * margin) / apart) + 1
    for row in range(rows):
        for column in range(columns):
            off = random.uniform(-stray, stray, 2) * apart
            x = (column + row % 2 / 2) * apart - margin + off[0]
            points.append((x, row * apart * ROW - margin + off[1]))
    return random.permutation(np.array(points, np.float32))


def cells(points: Array, x: Array, y: Array, reach: float) -> tuple[NDArray[np.int32], Array]:
    """The nearest of some points to each pixel, and how far off the border to the next cell is.

    Args:
        points: [N, 2].
        x: coordinates of the pixels, from ``grid``, displaced as one likes.
        y: the same.
        reach: only points within this distance count.

    Returns:
        Index of the nearest point, and the distance to the border in pixels, [H, W] each.
    """
    first = np.full(x.shape, 1e9, np.float32)
    second = first.copy()
    owner = np.zeros(x.shape, np.int32)
    slack = reach + 2 * FINE
    for index, (px, py) in enumerate(points):
        rows = _window(py, slack, HEIGHT)
        columns = _window(px, slack, WIDTH)
        dx, dy = x[rows, columns] - px, y[rows, columns] - py
        distance = np.sqrt(dx * dx + dy * dy)
        near, next_ = first[rows, columns], second[rows, columns]
        closer = distance < near
        next_[...] = np.where(closer, near, np.minimum(next_, distance))
        owner[rows, columns][closer] = index
        near[closer] = distance[closer]
    return owner, (second - first) / 2


def _window(centre: float, reach: float, end: int) -> slice:
    begin, stop = (np.clip((centre - reach) * FINE, 0, end * FINE) for reach in (reach, -reach))
    return slice(int(begin), int(stop))


def step(value: Array, width: float = 1.0) -> Array:
    """0 below and 1 above zero, smooth over ``width`` pixels about it."""
    t = np.clip(value / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def mix(below: Array, above: Array, mask: Array) -> Array:
    """``above`` where the mask is 1, ``below`` where it is 0; pictures or single colours."""
    return below + (above - below) * mask[..., None]


def stencil() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty mask to draw on, and its brush; coordinates there are times ``FINE``."""
    image = Image.new("L", (WIDTH * FINE, HEIGHT * FINE))
    return image, ImageDraw.Draw(image)


def scaled(points: Points | Array) -> list[tuple[float, float]]:
    """Points of the picture as those of a ``stencil``."""
    return [(float(x) * FINE, float(y) * FINE) for x, y in points]


def as_mask(image: Image.Image) -> Array:
    """A drawn ``stencil`` as a mask."""
    return np.asarray(image, np.float32) / 255


def blurred(mask: Array, radius: float) -> Array:
    """A mask after a Gaussian of ``radius`` pixels."""
    image = Image.fromarray((np.clip(mask, 0, 1) * 255).astype(np.uint8))
    return as_mask(image.filter(ImageFilter.GaussianBlur(radius * FINE)))


def softened(field: Array, radius: float) -> Array:
    """A field of any values without what is smaller than about ``radius`` pixels."""
    size = (math.ceil(WIDTH / radius), math.ceil(HEIGHT / radius))
    image = Image.fromarray(field).resize(size, Image.Resampling.BOX)
    return np.asarray(image.resize((WIDTH * FINE, HEIGHT * FINE), Image.Resampling.BICUBIC))


def smooth_curve(points: Points | Array, closed: bool = False, steps: int = 12) -> Array:
    """Points [M, 2] of a Catmull-Rom spline through the given ones."""
    p = np.asarray(points, np.float32)
    ends = (p[-1:], p[:2]) if closed else (2 * p[:1] - p[1:2], 2 * p[-1:] - p[-2:-1])
    p = np.concatenate([ends[0], p, ends[1]])
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[None, :, None]
    a, b, c, d = (p[i : len(p) - 3 + i, None] for i in range(4))
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-2:-1]])


def finished(picture: Array) -> Image.Image:
    """The picture that was drawn, at its final size."""
    drawn = Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
    return drawn.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
