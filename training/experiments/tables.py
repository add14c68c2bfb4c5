# SPDX-License-Identifier: MPL-2.0
"""Tables of results in Markdown; None where an experiment has no finished cell yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from stylize_train.compare import markdown

from . import analysis
from .results import Cell

Fragment = Callable[[Mapping[str, Cell]], str | None]

GALLERIES = ("lite", "full")
"""Labels of the shipped galleries among the cells of the experiment ``gallery``."""

UNSTEADY = {"lite": "unsteady", "full": "full-unsteady"}
"""Labels of the same galleries trained without the temporal loss."""

ALONE = {"lite": "alone", "full": "full-alone"}
"""Labels of generators of the same bodies that learned one painting each."""


def norms(cells: Mapping[str, Cell]) -> str | None:
    """Losses with each norm, ratios to instance normalization, and the two further experiments."""
    rows = analysis.norm_rows(cells)
    if not rows:
        return None
    reference = {row.generator: row for row in rows if row.norm == "instance"}
    table = []
    for row in rows:
        best = reference.get(row.generator)
        final = row.curve[-1][1] if row.curve else None
        table.append(
            {
                "generator": row.generator,
                "norm": row.norm,
                "training": final,
                "style": row.held_out["style"],
                "content": row.held_out["content"],
                "objective": row.objective,
                "ratio": row.objective / best.objective if best else None,
                "reached": _reached(best, final),
                "contrast": row.contrast_change,
                "frozen": row.frozen_objective,
            }
        )
    columns = {
        "generator": "generator",
        "norm": "norm",
        "training": "training loss",
        "style": "style",
        "content": "content",
        "objective": "weighted sum",
        "ratio": "ratio to instance",
        "reached": "step at which instance has this training loss",
        "contrast": "change at half contrast, grey levels",
        "frozen": "weighted sum with fixed statistics",
    }
    settings = next(iter(cells.values()))["settings"]
    caption = (
        f"{_paintings(rows[0].paintings)}, {settings['held_out_count']} held-out photos of "
        f"{settings['side']} pixels; {settings['steps']} steps of {settings['batch']} crops of "
        f"{settings['crop']} pixels, seed {settings['seed']}."
    )
    return _block(table, columns, caption, cells)


def _reached(best: analysis.NormRow | None, value: float | None) -> str | None:
    if best is None or value is None:
        return None
    step = analysis.first_step_below(best.curve, value)
    return f"{step:,.0f} of {best.steps:,}" if step is not None else "never"


def iterations(cells: Mapping[str, Cell]) -> str | None:
    """Mean losses of the generators and the iterations of Gatys that reach them."""
    found = analysis.equivalence(cells)
    if found is None:
        return None
    table = [_placed(label, label, found) for label in sorted(found.generators)]
    last = {name: f"{curve[-1][1]:.3g}" for name, curve in found.curves.items()}
    table.append({"generator": f"Gatys, {found.iterations} iterations", **last})
    columns = {"generator": "generator"} | {
        name: name.replace("judge_", "judge relu") for name in found.curves
    }
    settings = next(c["settings"] for key, c in cells.items() if key.startswith("gatys/"))
    caption = (
        f"Mean loss, and in brackets the iteration of Gatys with the same mean loss; "
        f"{found.pairs} pairs of {_paintings(found.paintings)} and held-out photos, squares of "
        f"{settings['side']} pixels; optimiser {settings['optimizer']}, begun with "
        f"{settings['init']}."
    )
    block = _block(table, columns, caption, cells)
    finished = analysis.models(cells)
    if finished:
        rows = [_placed(f"`{name}`", name, place) for name, place in sorted(finished.items())]
        heading = "Finished models, each on the mean curve for its own paintings:"
        block += f"\n{heading}\n\n{markdown(rows, columns)}\n"
    return block


def _placed(shown: str, label: str, found: analysis.Equivalence) -> dict[str, str | float | None]:
    """Losses of a generator with their places on Gatys's curve."""
    row: dict[str, str | float | None] = {"generator": shown}
    for name, place in found.places[label].items():
        at = f"> {found.iterations}" if place is None else f"{place:.0f}"
        row[name] = f"{found.generators[label][name]:.3g} ({at})"
    return row


def timing(cells: Mapping[str, Cell]) -> str | None:
    """Seconds, and how many times faster than Gatys each generator is."""
    if "times" not in cells:
        return None
    cell = cells["times"]
    table = []
    for label, seconds in cell["generator_seconds"].items():
        ratios = {count: f"{g / seconds:,.0f}x" for count, g in cell["gatys_seconds"].items()}
        table.append({"generator": label, "seconds": seconds, **ratios})
    gatys = {count: f"{seconds:,.0f} s" for count, seconds in cell["gatys_seconds"].items()}
    table.append({"generator": "Gatys", **gatys})
    columns = {"generator": "generator", "seconds": "seconds"} | {
        count: f"Gatys at {count}" for count in cell["gatys_seconds"]
    }
    size = cell["settings"]["size"]
    caption = (
        f"{size}x{size} pixels; Gatys takes {cell['seconds_per_iteration']:.3g} s for an "
        f"iteration, the median of {cell['measured_iterations']}"
    )
    if cell["extrapolated"]:
        counts = ", ".join(str(count) for count in cell["extrapolated"])
        caption += f", from which {counts} are extrapolated"
    return _block(table, columns, caption + ".", cells)


def sweep(cells: Mapping[str, Cell]) -> str | None:
    """Cost and held-out losses of every size."""
    rows = analysis.sweep_rows(cells)
    table = [{"generator": row.generator, **row.cost, **row.held_out} for row in rows]
    columns = {
        "generator": "generator",
        "parameters": "parameters",
        "macs_per_pixel": "MAC/pixel",
        "macs_per_pixel_exported": "as exported",
        "ms_1280x720": "ms, 1280x720",
        "style": "style",
        "content": "content",
        "total": "total",
        "judge_4_1": "judge relu4_1",
        "judge_5_1": "judge relu5_1",
    }
    if not rows:
        return None
    settings = next(c["settings"] for key, c in cells.items() if key != "cost")
    caption = (
        f"{_paintings(min(row.paintings for row in rows))}, {settings['held_out_count']} held-out "
        f"photos of {settings['side']} pixels; {settings['steps']} steps of {settings['batch']} "
        f"crops of {settings['crop']} pixels."
    )
    return _block(table, columns, caption, cells)


def diversity(cells: Mapping[str, Cell]) -> str | None:
    """Distance between pictures of one photo under different noise."""
    rows = analysis.diversity_rows(cells)
    if not rows:
        return None
    table = [
        {
            "generator": row.generator,
            "weight": row.weight,
            "distance": row.distance,
            "style": row.held_out["style"],
            "content": row.held_out["content"],
        }
        for row in rows
    ]
    columns = {
        "generator": "generator",
        "weight": "weight of the term",
        "distance": "mean distance of two pictures, grey levels",
        "style": "style",
        "content": "content",
    }
    sheets = [f"![{sheet}](papers/{sheet})" for row in rows for sheet in row.sheets[:1]]
    caption = f"{_paintings(rows[0].paintings)}."
    return _block(table, columns, caption, cells) + "\n" + "\n".join([*sheets, ""])


def gallery(cells: Mapping[str, Cell]) -> str | None:
    """Each style of the galleries, beside generators that learned its painting alone."""
    shown = [label for label in GALLERIES if any(key.startswith(f"{label}/") for key in cells)]
    if not shown:
        return None
    table = []
    gains: dict[str, list[tuple[Cell, Cell]]] = {}
    styles = sorted({key.partition("/")[2] for key in cells})
    for style in styles:
        labels = (*GALLERIES, *ALONE.values(), *UNSTEADY.values())
        of = {label: cells.get(f"{label}/{style}") for label in labels}
        row: dict[str, str | float | None] = {"style": style}
        row["photo"] = next(cell["style_photo"] for cell in of.values() if cell)
        for label in shown:
            if cell := of[label]:
                row |= {label: cell["style"], f"{label}-temporal": cell["temporal"]}
        for label, single in ALONE.items():
            if (shared := of[label]) and (alone := of[single]):
                row |= {single: alone["style"], f"{single}-ratio": shared["style"] / alone["style"]}
        for label, twin in UNSTEADY.items():
            if (steady := of[label]) and (unsteady := of[twin]):
                row[twin] = f"{unsteady['style']:.3g} / {unsteady['temporal']:.3g}"
                gains.setdefault(label, []).append((steady, unsteady))
        table.append(row)
    columns = {"style": "style", "photo": "untouched photo"}
    for label in shown:
        columns |= {label: f"{label}: style loss", f"{label}-temporal": "temporal error"}
    for label, single in ALONE.items():
        if any(single in row for row in table):
            columns[single] = f"{label} body, this painting alone"
            columns[f"{single}-ratio"] = f"{label} / alone"
    for label in gains:
        columns[UNSTEADY[label]] = f"{label} without temporal loss: style / temporal"
    settings = next(iter(cells.values()))["settings"]
    steps = [
        f"{label} {cells[key]['settings']['steps']:,}"
        for label, single in ALONE.items()
        if (key := next((key for key in cells if key.startswith(f"{single}/")), None))
    ]
    caption = (
        f"{settings['held_out_count']} held-out photos of {settings['side']} pixels; temporal "
        "errors are relative to those of the frames themselves."
    )
    if steps:
        caption += f" Steps alone: {', '.join(steps)}."
    if gains:
        caption += (
            " What the temporal loss does, to the mean of the styles (the mean of the ratios):"
        )
    for label, pairs in gains.items():
        style, temporal = (_change(pairs, term) for term in ("style", "temporal"))
        caption += f" {label}, {len(pairs)} styles: temporal error {temporal}, style loss {style}."
    return _block(table, columns, caption, cells)


def _change(pairs: list[tuple[Cell, Cell]], term: str) -> str:
    """From the second to the first of each pair, in per cent, as two means."""
    first, second = ([cell[term] for cell in cells] for cells in zip(*pairs, strict=True))
    of_means = sum(first) / sum(second)
    of_ratios = sum(a / b for a, b in zip(first, second, strict=True)) / len(pairs)
    return f"{100 * (of_means - 1):+.1f} % ({100 * (of_ratios - 1):+.1f})"


BARS: dict[str, dict[str, float]] = {
    "full": {"style": 0.07, "painted": 0.65, "content": 0.95, "spectrum": 0.15},
    "lite": {"style": 0.09, "painted": 0.65, "content": 1.0, "spectrum": 0.18},
    "quick": {"style": 0.13, "painted": 0.58, "content": 1.05, "spectrum": 0.22},
}
"""What the means of a gallery should reach: at least of ``painted``, at most of the others."""

LEAST_PAINTED = 0.45
"""Painted share of each style."""

CONTRAST = {"full": (0.8, 1.25), "lite": (0.8, 1.25), "quick": (0.75, 1.3)}
"""Bounds of each style's contrast."""


def bars(cells: Mapping[str, Cell]) -> str | None:
    """Means of each gallery beside what is wanted of it, then every style."""
    if not cells:
        return None
    galleries: dict[str, dict[str, Cell]] = {}
    for key, cell in cells.items():
        label, _, style = key.partition("/")
        galleries.setdefault(label, {})[style] = cell
    summary, table = [], []
    for label, styles in galleries.items():
        summary += [_bars_row(label, styles), *_wanted_row(label)]
        for style, cell in sorted(styles.items()):
            row = {"gallery": label, "style": style, **_bar_values(cell)}
            low, high = CONTRAST.get(label, (0.0, math.inf))
            bad = cell["painted_share"] < LEAST_PAINTED or not low <= cell["contrast"] <= high
            table.append(row | {"out": "x" if bad and label in BARS else None})
    names = {
        "share": "style loss, share of the photo's",
        "crops": "the painting's crops",
        "painted": "painted share",
        "least": "least of a style",
        "contrast": "contrast",
        "content": "content",
        "spectrum": "spectrum",
        "weave": "weave",
        "repetition": "repetition",
        "temporal": "temporal error",
    }
    heads = markdown(summary, {"gallery": "gallery", "count": "styles", **names})
    single = {name: names[name] for name in names if name != "least"}
    columns = {"gallery": "gallery", "style": "style", **single, "out": "out of bounds"}
    settings = next(iter(cells.values()))["settings"]
    caption = (
        f"Style loss and content on {settings['photos']} held-out photos of {settings['side']} "
        f"pixels; the others on {settings['frames_a_clip']} frames of each clip at 1280x720."
    )
    return f"\n{heads}\n{_block(table, columns, caption, cells)}"


STYLE_SHARES = {"share": "style", "crops": "style_crops"}
"""Columns of style losses as a share of the photo's, and whose losses they are."""


def _bar_values(cell: Cell) -> dict[str, float]:
    names = {"painted": "painted_share", "contrast": "contrast"}
    values = {name: cell[key] for name, key in names.items()}
    # Galleries that were measured before there was a measure stay without.
    for name, key in STYLE_SHARES.items():
        if key in cell:
            values[name] = cell[key] / cell["style_photo"]
    others = ("content", "spectrum", "weave", "repetition", "temporal")
    return values | {name: cell[name] for name in others if name in cell}


def _bars_row(label: str, styles: Mapping[str, Cell]) -> dict[str, str | float | None]:
    rows = [_bar_values(cell) for cell in styles.values()]
    # A gallery may be measured in part, so that some of its cells are older.
    names = [name for name in rows[0] if all(name in row for row in rows)]
    mean = {name: sum(row[name] for row in rows) / len(rows) for name in names}
    # Of the losses the ratio of means, so that no painting near to the photos has all the say.
    cells = styles.values()
    of_photos = sum(c["style_photo"] for c in cells)
    mean |= {n: sum(c[k] for c in cells) / of_photos for n, k in STYLE_SHARES.items() if n in mean}
    contrasts = [row["contrast"] for row in rows]
    return {
        "gallery": label,
        "count": str(len(rows)),
        **mean,
        "least": min(row["painted"] for row in rows),
        "contrast": f"{min(contrasts):.2f} to {max(contrasts):.2f}",
    }


def _wanted_row(label: str) -> list[dict[str, str | float | None]]:
    if label not in BARS:
        return []
    wanted = BARS[label]
    low, high = CONTRAST[label]
    return [
        {
            "gallery": f"*wanted of {label}*",
            "share": f"≤ {wanted['style']:g}",
            "painted": f"≥ {wanted['painted']:g}",
            "least": f"≥ {LEAST_PAINTED:g}",
            "contrast": f"{low:g} to {high:g}",
            "content": f"≤ {wanted['content']:g}",
            "spectrum": f"≤ {wanted['spectrum']:g}",
        }
    ]


def _paintings(count: int) -> str:
    return "1 painting" if count == 1 else f"{count} paintings"


def _block(
    table: list[dict[str, str | float | None]],
    columns: Mapping[str, str],
    caption: str,
    cells: Mapping[str, Cell],
) -> str:
    machines = sorted({cell["machine"] for cell in cells.values()})
    return f"\n{markdown(table, columns)}\n\n{caption} {'; '.join(machines)}.\n"


TABLES: dict[str, Fragment] = {
    "norms": norms,
    "norms-long": norms,
    "iterations": iterations,
    "timing": timing,
    "sweep": sweep,
    "diversity": diversity,
    "gallery": gallery,
    "bars": bars,
}
"""By the name of the results; ``norms-long`` has more steps of fewer generators."""
