# SPDX-License-Identifier: MPL-2.0
"""Names of the styles in a conditional generator, and mixes of them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import UserError


def style_names(paintings: Sequence[str | Path]) -> tuple[str, ...]:
    """Names of styles after their paintings' files: ``starry_night.jpg`` is ``starry-night``.

    Refuses two of one name, and names that a list or a mix of styles could not hold.
    """
    names = tuple(Path(painting).stem.replace("_", "-").strip() for painting in paintings)
    for name, painting in zip(names, paintings, strict=True):
        if not name or "," in name or ":" in name:
            raise UserError(f"the name of {painting} holds a comma or colon; rename the file.")
        if names.count(name) > 1:
            raise UserError(f"two paintings are called {name}; rename one of them.")
    return names


def turns(first: int, count: int, styles: int, seed: int) -> list[int]:
    """Styles of the samples ``first`` to ``first + count`` of a training run.

    Every style has one turn in each round of ``styles`` samples, in an order that ``seed`` shuffles
    anew for each round. A function of the sample's number, so there is no state to save.
    """

    def turn(sample: int) -> int:
        random = np.random.default_rng((seed, sample // styles))
        return int(random.permutation(styles)[sample % styles])

    return [turn(sample) for sample in range(first, first + count)]


def parse_mix(text: str, names: Sequence[str]) -> NDArray[np.float32]:
    """Weights [N] of the styles ``names`` that sum to 1.

    Args:
        text: a name, or NAME:WEIGHT,NAME:WEIGHT... with weights of at least 0 that are divided
            by their sum; a name alone has weight 1.
        names: the styles that there are.
    """
    weights = np.zeros(len(names))
    for part in text.split(","):
        name, colon, number = part.strip().partition(":")
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UserError(f"there is no style '{name}'{hint}; known are: {', '.join(names)}.")
        try:
            weight = float(number) if colon else 1.0
        except ValueError:
            weight = math.nan
        if not 0 <= weight < math.inf:
            raise UserError(f"the weight '{number}' of {name} in --mix must be a number from 0 up.")
        weights[names.index(name)] += weight
    if not weights.any():
        raise UserError(f"all weights in --mix {text} are 0; give at least one above 0.")
    return (weights / weights.sum()).astype(np.float32)
