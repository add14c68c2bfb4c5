# SPDX-License-Identifier: MPL-2.0
"""From finished cells to the numbers that tables and plots show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .common import NORMS
from .iterations import MODEL, equivalent
from .results import Cell

Curve = list[tuple[float, float]]
"""Pairs of step or iteration, and loss."""


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean."""
    found = list(values)
    return sum(found) / len(found)


def average(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean of every key that all rows have."""
    found = list(rows)
    return {key: mean(r[key] for r in found) for key in found[0] if all(key in r for r in found)}


@dataclass
class NormRow:
    """A generator with one norm, mean over the paintings that were done with every norm."""

    generator: str
    norm: str
    paintings: int
    steps: int
    curve: Curve
    held_out: dict[str, float]
    objective: float
    contrast_change: float
    frozen_objective: float | None


def objective(losses: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The weighted style and content losses, as they are trained."""
    return sum(weights[term] * losses[term] for term in weights)


def norm_rows(cells: Mapping[str, Cell]) -> list[NormRow]:
    """One row for each generator and norm of the norms experiment."""
    grouped: dict[str, dict[str, dict[str, Cell]]] = {}
    for key, cell in cells.items():
        generator, norm, painting = key.split("/")
        grouped.setdefault(generator, {}).setdefault(norm, {})[painting] = cell
    rows = []
    for generator, norms in sorted(grouped.items()):
        shared = set.intersection(*(set(paintings) for paintings in norms.values()))
        for norm in sorted(norms, key=NORMS.index):
            if shared:
                done = [norms[norm][painting] for painting in sorted(shared)]
                rows.append(_norm_row(generator, norm, done))
    return rows


def _norm_row(generator: str, norm: str, done: Sequence[Cell]) -> NormRow:
    weights = done[0]["weights"]
    by_step: dict[int, list[float]] = {}
    for cell in done:
        for step, style, content, _ in cell["curve"]:
            loss = objective({"style": style, "content": content}, weights)
            by_step.setdefault(step, []).append(loss)
    frozen = [objective(c["frozen"], weights) for c in done if "frozen" in c]
    held_out = average(cell["held_out"] for cell in done)
    return NormRow(
        generator,
        norm,
        len(done),
        done[0]["settings"]["steps"],
        [(step, mean(losses)) for step, losses in sorted(by_step.items())],
        held_out,
        objective(held_out, weights),
        mean(cell["contrast_change"] for cell in done),
        mean(frozen) if frozen else None,
    )


def first_step_below(curve: Curve, value: float) -> float | None:
    """The first logged step at or below ``value``."""
    return next((step for step, loss in curve if loss <= value), None)


@dataclass
class Equivalence:
    """Gatys's mean curves, and where on them the generators are."""

    pairs: int
    paintings: int
    iterations: int
    curves: dict[str, Curve]
    generators: dict[str, dict[str, float]]
    places: dict[str, dict[str, float | None]]


Pair = tuple[str, str]
"""A painting and a photo."""


def models(cells: Mapping[str, Cell]) -> dict[str, Equivalence]:
    """Finished models by name, each on the mean curve of Gatys for its own paintings."""
    found = {}
    for name in {k.removeprefix(MODEL).split("/")[0] for k in cells if k.startswith(MODEL)}:
        kept = (f"{MODEL}{name}/", "gatys/")
        of_this = {k.removeprefix(MODEL): c for k, c in cells.items() if k.startswith(kept)}
        if place := _equivalence(of_this):
            found[name] = place
    return found


def equivalence(cells: Mapping[str, Cell]) -> Equivalence | None:
    """The generators that were trained alike, on Gatys's curve."""
    return _equivalence({k: c for k, c in cells.items() if not k.startswith(MODEL)})


def _equivalence(cells: Mapping[str, Cell]) -> Equivalence | None:
    """Means over the pairs of painting and photo that Gatys and every generator have finished."""
    gatys = {_pair(k): c for k, c in cells.items() if k.startswith("gatys/")}
    generators: dict[str, dict[Pair, dict[str, float]]] = {}
    for key, cell in cells.items():
        label, painting, *photo = key.split("/")
        if photo:
            continue
        for name, losses in cell["photos"].items():
            row = dict(zip(cell["columns"], losses, strict=True))
            generators.setdefault(label, {})[(painting, name)] = row
    pairs = sorted(set(gatys).intersection(*generators.values()))
    if not pairs:
        return None
    columns = gatys[pairs[0]]["columns"]
    curves = {
        column: [
            (at[0], mean(gatys[pair]["points"][i][index] for pair in pairs))
            for i, at in enumerate(gatys[pairs[0]]["points"])
        ]
        for index, column in enumerate(columns)
        if index > 0
    }
    means = {label: average(rows[pair] for pair in pairs) for label, rows in generators.items()}
    places = {
        label: {name: equivalent(curves[name], row[name]) for name in curves if name in row}
        for label, row in means.items()
    }
    return Equivalence(
        len(pairs),
        len({painting for painting, _ in pairs}),
        int(curves["total"][-1][0]),
        curves,
        means,
        places,
    )


def _pair(key: str) -> Pair:
    _, painting, photo = key.split("/")
    return painting, photo


@dataclass
class SweepRow:
    """Cost and mean held-out losses of a generator."""

    generator: str
    paintings: int
    cost: dict[str, float]
    held_out: dict[str, float]


def sweep_rows(cells: Mapping[str, Cell]) -> list[SweepRow]:
    """Generators with a cost, cheapest first, over the paintings that all of them have done."""
    cost = cells.get("cost", {})
    done: dict[str, dict[str, Cell]] = {}
    for key, cell in cells.items():
        label, *painting = key.split("/")
        if painting and label in cost:
            done.setdefault(label, {})[painting[0]] = cell
    shared = set.intersection(*map(set, done.values())) if done else set()
    rows = [
        SweepRow(
            label, len(shared), cost[label], average(found[p]["held_out"] for p in sorted(shared))
        )
        for label, found in done.items()
        if shared
    ]
    return sorted(rows, key=lambda row: row.cost["macs_per_pixel"])


@dataclass
class DiversityRow:
    """A generator with one weight of the diversity term, mean over paintings."""

    generator: str
    weight: float
    paintings: int
    distance: float
    held_out: dict[str, float]
    sheets: list[str]


def diversity_rows(cells: Mapping[str, Cell]) -> list[DiversityRow]:
    """One row for each generator and weight."""
    done: dict[tuple[str, float], list[Cell]] = {}
    for key, cell in cells.items():
        label, weight, _ = key.split("/")
        done.setdefault((label, float(weight)), []).append(cell)
    return [
        DiversityRow(
            label,
            weight,
            len(found),
            mean(c["distance"] for c in found),
            average(c["held_out"] for c in found),
            [c["sheet"] for c in found],
        )
        for (label, weight), found in sorted(done.items())
    ]
