# SPDX-License-Identifier: MPL-2.0
"""How much the style term weighs: a given ratio of the content term, by value, for each style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

GREATEST_WEIGHT = 150.0
"""Of a style: one whose error is nearly 0 would otherwise get all the say."""


class Balance:
    """Running values of the terms, which decide what the style term weighs.

    Each style is weighed by its own value: with one weight for all, the painting with the largest
    error has all the say, and the others stay palettes.
    """

    def __init__(self, styles: Sequence[str]) -> None:
        self.content: float | None = None
        self.style: dict[str, float] = {}
        self.names = tuple(styles)

    def note_content(self, value: float) -> None:
        """Take note of a batch's content term."""
        self.content = value if self.content is None else 0.98 * self.content + 0.02 * value

    def note_style(self, which: Sequence[int], values: Sequence[float]) -> None:
        """Take note of the style term of each sample."""
        for style, value in zip(which, values, strict=True):
            name = self.names[style]
            before = self.style.get(name, value)
            self.style[name] = 0.95 * before + 0.05 * value

    def state(self) -> dict[str, object]:
        """What a checkpoint holds."""
        return {"content": self.content, "style": dict(self.style)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state; styles that are not known here are left out."""
        self.content = state["content"]
        self.style = {n: v for n, v in state["style"].items() if n in self.names}

    def weights(self, which: Sequence[int], ratios: Sequence[float]) -> list[float]:
        """Weight of the style term of each sample, so that by value it is ``ratio`` of content."""
        content = self.content or 0.0
        return [
            min(GREATEST_WEIGHT, ratio * content / max(self.style[self.names[style]], 1e-9))
            for style, ratio in zip(which, ratios, strict=True)
        ]
