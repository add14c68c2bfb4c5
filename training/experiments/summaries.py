# SPDX-License-Identifier: MPL-2.0
"""One sentence of results for each system; None where nothing is measured yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from . import analysis
from .results import Cell

All = Mapping[str, Mapping[str, Cell]]
"""Cells by key, by experiment."""


def gatys(results: All) -> str | None:
    """Seconds and losses of the reference."""
    parts = []
    if "times" in results["timing"]:
        cell = results["timing"]["times"]
        size = cell["settings"]["size"]
        seconds = cell["seconds_per_iteration"]
        parts.append(f"{seconds:.3g} s an iteration at {size}x{size}")
    found = analysis.equivalence(results["iterations"])
    if found is not None:
        losses = ", ".join(f"{n} {found.curves[n][-1][1]:.3g}" for n in ("style", "content"))
        parts.append(f"after {found.iterations} iterations {losses}")
    return "; ".join(parts) or None


def generators(family: str, results: All) -> str | None:
    """Where the generators of a family are on Gatys's curve, and how much faster they are."""
    found = analysis.equivalence(results["iterations"])
    places = found.places if found else {}
    seconds = results["timing"].get("times", {}).get("generator_seconds", {})
    lines = []
    for label in sorted({*places, *seconds}):
        if label.split("-")[0] != family:
            continue
        facts = []
        if found and label in places:
            at = {n: _iteration(places[label][n], found.iterations) for n in ("style", "total")}
            facts.append(f"Gatys after {at['style']} iterations by style, {at['total']} in all")
        if label in seconds:
            gatys = results["timing"]["times"]["gatys_seconds"]["500"]
            facts.append(f"{gatys / seconds[label]:,.0f}x faster than 500 iterations")
        lines.append(f"{label}: " + ", ".join(facts))
    return "; ".join(lines) or None


def norms(results: All) -> str | None:
    """Ratios of batch and no normalization to instance normalization."""
    rows = analysis.norm_rows(results["norms"])
    best = {row.generator: row.objective for row in rows if row.norm == "instance"}
    ratios = [
        f"{row.generator}, {row.norm}: {row.objective / best[row.generator]:.2f}"
        for row in rows
        if row.norm != "instance" and row.generator in best
    ]
    if not ratios:
        return None
    return f"held-out loss as a ratio to instance at {rows[0].steps} steps: " + "; ".join(ratios)


def diversity(results: All) -> str | None:
    """Distance of pictures for each weight of the term."""
    rows = analysis.diversity_rows(results["diversity"])
    parts = [f"{row.generator}, weight {row.weight:g}: {row.distance:.3g}" for row in rows]
    return "mean distance in grey levels: " + "; ".join(parts) if parts else None


SUMMARIES: dict[str, Callable[[All], str | None]] = {
    "measured-gatys": gatys,
    "measured-residual": partial(generators, "residual"),
    "measured-pyramid": partial(generators, "pyramid"),
    "measured-norms": norms,
    "measured-diversity": diversity,
    "measured-lite": partial(generators, "lite"),
}


def _iteration(place: float | None, last: int) -> str:
    return f"more than {last}" if place is None else f"{place:.0f}"
