# SPDX-License-Identifier: MPL-2.0
"""Draw what the experiments found: ``python -m experiments.plots``."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from stylize_train.errors import UserError
from stylize_train.files import write_whole

from . import analysis
from .results import FOLDER, Cell, read_cells

try:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
except ImportError:
    sys.exit("plots need matplotlib: pip install -e '.[plots]'.")

NAMES = {
    "style": "style loss",
    "content": "content loss",
    "total": "total loss",
    "judge_4_1": "judge, relu4_1",
    "judge_5_1": "judge, relu5_1",
}


def norms(cells: Mapping[str, Cell]) -> Figure | None:
    """Training curves of each norm, one panel for each generator."""
    rows = analysis.norm_rows(cells)
    generators = sorted({row.generator for row in rows})
    if not generators:
        return None
    figure, axes = plt.subplots(
        1,
        len(generators),
        figsize=(4.5 * len(generators), 3.4),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, generator in zip(axes[0], generators, strict=True):
        shown = [row for row in rows if row.generator == generator]
        for row in shown:
            axis.plot(*zip(*row.curve, strict=True), label=row.norm)
        axis.set(title=generator, xlabel="step", yscale="log")
        _plain(axis.yaxis)
    axes[0][0].set_ylabel("weighted style + content")
    axes[0][0].legend(title="norm")
    return figure


def iterations(cells: Mapping[str, Cell]) -> Figure | None:
    """Gatys's losses over its iterations, with the generators on the curves."""
    found = analysis.equivalence(cells)
    if found is None:
        return None
    names = [name for name in NAMES if name in found.curves]
    size = (3.2 * len(names), 3.4)
    figure, axes = plt.subplots(1, len(names), figsize=size, squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], names, strict=True):
        curve = [(i, loss) for i, loss in found.curves[name] if i > 0]
        axis.plot(*zip(*curve, strict=True), color="black", label="Gatys")
        for label, losses in sorted(found.generators.items()):
            (line,) = axis.plot(
                [1, found.iterations], [losses[name]] * 2, linestyle=":", label=label
            )
            place = found.places[label][name]
            if place:
                axis.plot([place], [losses[name]], "o", color=line.get_color())
        axis.set(title=NAMES[name], xlabel="iterations", xscale="log", yscale="log")
        _plain(axis.xaxis)
        _plain(axis.yaxis)
    axes[0][0].legend(fontsize="small")
    return figure


def timing(cells: Mapping[str, Cell]) -> Figure | None:
    """Seconds for one picture, logarithmic."""
    if "times" not in cells:
        return None
    cell = cells["times"]
    seconds = {f"Gatys, {n} iterations": s for n, s in cell["gatys_seconds"].items()}
    seconds |= cell["generator_seconds"]
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    figure, axis = plt.subplots(figsize=(6, 0.35 * len(ordered) + 0.8))
    bars = axis.barh([name for name, _ in ordered], [s for _, s in ordered], log=True)
    axis.bar_label(bars, fmt=lambda s: f"{s:,.0f} s" if s > 100 else f"{s:.3g} s", padding=3)
    axis.margins(x=0.2)
    axis.set_xlabel("seconds for a square of " + str(cell["settings"]["size"]) + " pixels")
    return figure


def sweep(cells: Mapping[str, Cell]) -> Figure | None:
    """Held-out loss against work, one line for each family of generators."""
    rows = analysis.sweep_rows(cells)
    if not rows:
        return None
    figure, axis = plt.subplots(figsize=(7, 5))
    for family in sorted({row.generator.split("-")[0] for row in rows}):
        line = [row for row in rows if row.generator.split("-")[0] == family]
        x = [row.cost["macs_per_pixel"] for row in line]
        y = [row.held_out["total"] for row in line]
        axis.plot(x, y, "o-", label=family)
        for row, at in zip(line, zip(x, y, strict=True), strict=True):
            text = f"{row.generator}, {row.cost['ms_1280x720']:.0f} ms"
            axis.annotate(
                text, at, xytext=(4, 4), textcoords="offset points", fontsize="small", rotation=40
            )
    axis.set(
        xlabel="multiply-accumulates per pixel", ylabel="total loss, held-out photos", xscale="log"
    )
    axis.margins(0.2)
    axis.legend()
    return figure


def _plain(axis: Axis) -> None:
    """Ticks of a logarithmic axis as plain numbers, at 1, 2 and 5 times a power of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


PLOTS: dict[str, Callable[[Mapping[str, Cell]], Figure | None]] = {
    "norms": norms,
    "norms-long": norms,
    "iterations": iterations,
    "timing": timing,
    "sweep": sweep,
}


def draw(folder: Path) -> list[Path]:
    """Draw every experiment that a folder has results of; returns the files."""
    plt.rcParams.update({"svg.hashsalt": "stylize", "svg.fonttype": "none", "axes.grid": True})
    written = []
    for name, plot in PLOTS.items():
        source = folder / f"{name}.json"
        figure = plot(read_cells(source)) if source.exists() else None
        if figure is None:
            continue
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)
        write_whole(folder / f"{name}.svg", drawn.getvalue())
        written.append(folder / f"{name}.svg")
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="experiments.plots", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="results, and plots of them")
    try:
        for path in draw(parser.parse_args().folder):
            print(path)
    except UserError as error:
        sys.exit(f"{parser.prog}: {error}")
