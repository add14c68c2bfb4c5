# SPDX-License-Identifier: MPL-2.0
"""Styles that are drawn, not scanned: ``python -m styles --out FOLDER``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from . import (
    cut_paper,
    halftone,
    ink_wash,
    mosaic,
    neon_lines,
    stained_glass,
    woodcut,
    woven_bands,
)

SEED = 1

STYLES: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "stained-glass": stained_glass.draw,
    "mosaic": mosaic.draw,
    "woodcut": woodcut.draw,
    "halftone": halftone.draw,
    "woven-bands": woven_bands.draw,
    "cut-paper": cut_paper.draw,
    "ink-wash": ink_wash.draw,
    "neon-lines": neon_lines.draw,
}
"""What draws each style, by name."""


def draw(name: str, seed: int = SEED) -> Image.Image:
    """The picture of a style, RGB; the same for the same seed."""
    return STYLES[name](np.random.default_rng((seed, *name.encode())))
