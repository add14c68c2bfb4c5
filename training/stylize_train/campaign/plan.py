# SPDX-License-Identifier: MPL-2.0
"""The plan of a campaign: one TOML file that says all of one generator."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..data import WHOLE, Part
from ..errors import UserError
from ..pixels import WINDOW
from ..styles import style_names


@dataclass(frozen=True)
class Style:
    """One style: its painting's file name, and the longer side it is looked at with, in pixels.

    A larger side makes larger strokes. With ``part`` the rest of the painting is left out: a style
    has the colours of a painting's areas in their proportions. ``emphasis`` multiplies the style
    term's share of the loss.
    """

    file: str
    size: int = 768
    emphasis: float = 1.0
    part: Part = WHOLE


@dataclass(frozen=True)
class Loss:
    """What the perceptual loss compares; the names are those of ``loss_options.LossOptions``."""

    loss_network: str = "distilled"
    style_statistics: str = "standardized"
    style_layers: tuple[str, ...] | None = None
    content_layer: str | None = None
    scales: tuple[float, ...] = (1.0, 0.7)


@dataclass(frozen=True)
class Plan:
    """Everything that decides a campaign.

    ``noise`` and ``enlarge`` are those of ``Photos``. ``ratio`` says by value how large the style
    term is beside the content term, as points [samples of the style, ratio] with straight lines
    between: a style begins with a high ratio, so that the painting comes first, and gets its
    content back later. ``palette``, ``octaves``, ``weave`` and ``repetition`` are the weights of
    the errors of ``PixelStatistics``, and ``photo`` of the ``photo_error`` of outputs that are more
    than ``photo_most`` the photo in another palette. ``temporal`` is the weight of steadiness from
    ``temporal_from`` samples of the style on, in every ``temporal_every``-th step, because the
    second view costs as much as the first. With a ``teacher`` (a plan's file name) the generator
    learns the teacher's outputs: ``pixel`` and ``feature`` weigh their differences, and ``ratio``
    the style term beside both; from ``taught_until`` samples of the style on it learns from the
    paintings, as without a teacher. Every ``mixed_every``-th step has the loss ``mixed``, if there
    is one: a small loss network can be fooled, and a large one now and then tells. With 1, no step
    has ``loss`` any more. ``about`` is a paragraph for the model's card.
    """

    name: str
    generator: str
    options: dict[str, Any]
    styles: dict[str, Style]
    samples: int = 10_000
    seed: int = 1
    batch: int = 4
    crop: int = 256
    lr: float = 2e-3
    ema: float = 0.998
    noise: float = 0.02
    enlarge: float = 1.0
    tv: float = 0.05
    lattice: float = 1000.0
    palette: float = 0.0
    octaves: float = 0.0
    weave: float = 0.0
    repetition: float = 0.0
    photo: float = 0.0
    photo_most: float = 0.55
    ratio: tuple[tuple[float, float], ...] = ((0.0, 1.5), (500.0, 1.5), (1000.0, 0.55))
    temporal: float = 0.0
    temporal_from: int = 0
    temporal_every: int = 1
    teacher: str | None = None
    taught_until: float = math.inf
    pixel: float = 0.0
    feature: float = 0.0
    loss: Loss = field(default_factory=Loss)
    mixed: Loss | None = None
    mixed_every: int = 8
    about: str = ""

    @property
    def usual_loss(self) -> Loss:
        """The loss of most steps: ``mixed`` if every step has it."""
        return self.mixed if self.mixed and self.mixed_every == 1 else self.loss

    @property
    def style_names(self) -> tuple[str, ...]:
        """Names of the styles, in the order of their weights."""
        return tuple(self.styles)

    def ratio_at(self, samples: float) -> float:
        """The style term's ratio after that many samples of a style."""
        points = self.ratio
        if samples <= points[0][0]:
            return points[0][1]
        for (a, low), (b, high) in pairwise(points):
            if samples <= b:
                return low + (high - low) * (samples - a) / (b - a)
        return points[-1][1]


def read_plan(path: Path) -> Plan:
    """Read a plan; ``styles`` may name another TOML file beside it that holds the table."""
    values = _read(path)
    styles = values.pop("styles", None)
    if isinstance(styles, str):
        styles = _read(path.with_name(styles))
    if not isinstance(styles, dict) or not styles:
        raise UserError(f"{path} has no styles: a table, or the name of a file that holds one.")
    try:
        table = {name: Style(**_tuples(entry)) for name, entry in styles.items()}
        losses = {k: Loss(**_tuples(values.pop(k))) for k in ("loss", "mixed") if k in values}
        plan = Plan(name=path.stem, styles=table, **losses, **_tuples(values))
    except TypeError as error:
        raise UserError(f"{path}: {_unknown(error)}.") from None
    _check(plan, path)
    return plan


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}.") from None


def _tuples(values: object) -> dict[str, Any]:
    """A table with lists as tuples, and lists of lists likewise; tables in it stay as they are."""
    if not isinstance(values, dict):
        raise TypeError(f"{values!r} is where a table is wanted")

    def convert(value: object) -> object:
        return tuple(map(convert, value)) if isinstance(value, list) else value

    return {name: convert(value) for name, value in values.items()}


def _unknown(error: TypeError) -> str:
    text = str(error)
    return text.partition("() ")[2] or text


def _check_types(entry: Plan | Style, where: str) -> None:
    """Refuse text where a number is wanted, and the other way round."""
    for wanted in fields(entry):
        value = getattr(entry, wanted.name)
        for kind, name in (((int, float), "a number"), (str, "text")):
            if isinstance(wanted.default, kind) and not isinstance(value, kind):
                raise UserError(f"{where}: {wanted.name} is {value!r}, and {name} is wanted.")


def _is_part(value: object) -> bool:
    match value:
        case (int() | float(), int() | float(), int() | float(), int() | float()):
            left, upper, right, lower = value
            return bool(0 <= left < right <= 1 and 0 <= upper < lower <= 1)
    return False


def _check(plan: Plan, path: Path) -> None:
    names = style_names([f"{name}.png" for name in plan.styles])
    if names != plan.style_names:
        raise UserError(f"{path}: names of styles have '-' in the place of '_' and no blanks.")
    _check_types(plan, str(path))
    for name, style in plan.styles.items():
        _check_types(style, f"{path}: {name}")
        if not _is_part(style.part):
            given = list(style.part) if isinstance(style.part, tuple) else repr(style.part)
            raise UserError(
                f"{path}: the part of {name} is {given}; wanted are its left, upper, right and "
                "lower edge, from 0 to 1."
            )
    counts = {"samples": 1, "batch": 1, "crop": WINDOW, "temporal_every": 1, "mixed_every": 1}
    pixels = ("palette", "octaves", "weave", "repetition", "photo", "photo_most")
    weights = (*pixels, "temporal", "pixel", "feature")
    least = {**counts, "enlarge": 1, "lr": 0, **dict.fromkeys(weights, 0)}
    for name, minimum in least.items():
        if not getattr(plan, name) >= minimum:
            raise UserError(f"{path}: {name} is {getattr(plan, name)}, the least is {minimum}.")
    if not 0 <= plan.ema < 1:
        raise UserError(f"{path}: ema is {plan.ema} and must be at least 0 and below 1.")
    places = [point[0] for point in plan.ratio]
    if not places or any(len(point) != 2 for point in plan.ratio) or places != sorted(set(places)):
        raise UserError(f"{path}: ratio wants points [samples, ratio] with rising samples.")
    if plan.teacher and not plan.pixel + plan.feature > 0:
        raise UserError(f"{path}: with a teacher, pixel or feature must be above 0.")
