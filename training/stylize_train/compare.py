# SPDX-License-Identifier: MPL-2.0
"""Models of one painting side by side: ``stylize-train compare``."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from .cost import frame_times, macs_per_pixel, parameter_count, read_model
from .data import read_image
from .errors import UserError
from .evaluate import add_photo_arguments, evaluate, load_measures, read_photos
from .files import write_whole
from .render import Model, picture_format, write_image
from .sheet import contact_sheet

SIZES = ((512, 512), (720, 1280))
"""Heights and widths of the timed frames."""

COLUMNS = {
    "model": "model",
    "parameters": "parameters",
    "macs_per_pixel": "MAC/pixel",
    "ms_512x512": "ms, 512x512",
    "ms_1280x720": "ms, 1280x720",
    "style": "style",
    "content": "content",
    "total": "total",
    "judge_4_1": "judge 4_1",
    "judge_5_1": "judge 5_1",
}
"""Keys of a row and their headings; a column without numbers is left out."""

Row = dict[str, str | float]


def cost(path: Path) -> Row:
    """Parameters and multiply-accumulates per pixel of a model file."""
    graph = read_model(path)
    return {
        "parameters": parameter_count(graph),
        "macs_per_pixel": macs_per_pixel(graph),
    }


def times(models: Sequence[Model], runs: int) -> list[Row]:
    """Milliseconds per frame of each model at each of ``SIZES``."""
    rows: list[Row] = [{} for _ in models]
    for height, width in SIZES:
        for row, ms in zip(rows, frame_times(models, height, width, runs), strict=True):
            row[f"ms_{width}x{height}"] = ms
    return rows


def markdown(rows: Sequence[Mapping[str, str | float]], columns: Mapping[str, str]) -> str:
    """A table of rows; a row without a column's key gets an empty cell."""
    shown = [key for key in columns if any(key in row for row in rows)]
    lines = [
        "| " + " | ".join(columns[key] for key in shown) + " |",
        "|" + "|".join("---" if key == shown[0] else "---:" for key in shown) + "|",
    ]
    lines += ["| " + " | ".join(_cell(row.get(key)) for key in shown) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: str | float | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``compare``."""
    p = commands.add_parser("compare", help="cost and losses of several models, as a table")
    p.add_argument(
        "models",
        nargs="+",
        metavar="MODEL.onnx[@STYLE]",
        help="with a style where it holds several",
    )
    add_photo_arguments(p)
    p.add_argument("--runs", type=int, default=20, help="timed frames of each size")
    p.add_argument("--json", type=Path, help="also write the table's numbers here")
    p.add_argument("--sheet", type=Path, metavar="SHEET.png", help="also draw pictures here")
    p.add_argument("--sheet-photos", type=int, default=4, help="how many photos the sheet shows")
    p.set_defaults(run=_run)


def split_style(text: str) -> tuple[Path, str | None]:
    """MODEL.onnx@STYLE as a file and a style or mix of styles; a file may have an @ in its name."""
    file, at, style = text.rpartition("@")
    return (Path(text), None) if not at or Path(text).exists() else (Path(file), style)


def _run(args: argparse.Namespace) -> None:
    if args.runs < 1 or args.sheet_photos < 1:
        raise UserError("--runs and --sheet-photos must be at least 1.")
    paths, mixes = zip(*map(split_style, args.models), strict=True)
    models = [Model(path, mix=mix) for path, mix in zip(paths, mixes, strict=True)]
    names = [f"{p.stem} {mix}" if mix else p.stem for p, mix in zip(paths, mixes, strict=True)]
    if args.sheet:
        picture_format(args.sheet)
    loss, judge = load_measures(args)
    photos = read_photos(args.content, args.only, loss.least_side)
    rows: list[Row] = []
    timed = times(models, args.runs)
    for name, path, model, taken in zip(names, paths, models, timed, strict=True):
        rows.append({"model": name, **cost(path), **taken, **evaluate(model, loss, photos, judge)})
    untouched = {"model": "untouched photo", "content": 0.0} | {
        key.removesuffix("_photo"): value for key, value in rows[0].items() if "_photo" in key
    }
    print(markdown([*rows, untouched], COLUMNS))
    if args.json:
        report = {"photos": len(photos), "processors": os.cpu_count(), "models": rows}
        write_whole(args.json, json.dumps(report, indent=2).encode() + b"\n")
    if args.sheet:
        painting = read_image(args.style).float().div(255)
        cells = []
        for row, photo in enumerate(photos[: args.sheet_photos]):
            first = painting if row == 0 else None
            cells.append([first, photo.float().div(255), *(model(photo) for model in models)])
        write_image(args.sheet, contact_sheet(cells, ["painting", "photo", *names]))
