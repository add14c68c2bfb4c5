# SPDX-License-Identifier: MPL-2.0
"""Size against quality: ``python -m experiments.sweep``."""

from __future__ import annotations

from pathlib import Path

import onnx

from stylize_train.cost import frame_times, macs_per_pixel, parameter_count
from stylize_train.export import About, to_onnx
from stylize_train.generators import create

from .common import Study, Variant, arguments, main
from .results import Cell
from .timing import untrained

FRAME = (720, 1280)


def experiment(study: Study) -> None:
    """One cell for the cost of all generators, one for each painting and generator."""
    variants = [Variant.parse(label) for label in study.args.generators]
    study.results.cell(
        "cost", study.settings("generators", "runs"), lambda: cost(variants, study.args.runs)
    )
    for painting in study.paintings:
        for variant in variants:
            study.results.cell(
                f"{variant.label}/{painting.stem}",
                study.training_settings(),
                lambda v=variant, p=painting: {"held_out": quality(study, v, p)},
            )


def cost(variants: list[Variant], runs: int) -> Cell:
    """Parameters, multiply-accumulates per pixel, milliseconds of a 1280x720 frame."""
    times = frame_times([untrained(v) for v in variants], *FRAME, runs)
    cell: Cell = {}
    for variant, ms in zip(variants, times, strict=True):
        generator = create(variant.generator, variant.options)
        exported: onnx.ModelProto = to_onnx(generator, About(variant.label))
        cell[variant.label] = {
            "parameters": generator.parameter_count(),
            "parameters_exported": parameter_count(exported),
            "macs_per_pixel": generator.macs_per_pixel(),
            "macs_per_pixel_exported": macs_per_pixel(exported),
            "ms_1280x720": ms,
        }
    return cell


def quality(study: Study, variant: Variant, painting: Path) -> Cell:
    """Held-out losses."""
    return study.held_out(study.train(variant, painting), painting)


if __name__ == "__main__":
    parser = arguments("sweep", __doc__.splitlines()[0])
    lite = [f"lite-{width}" for width in (8, 16, 24, 32, 48)]
    residual = [f"residual-{width}" for width in (8, 16, 32)]
    parser.add_argument("--generators", nargs="+", default=[*lite, *residual])
    parser.add_argument("--runs", type=int, default=20, help="timed frames")
    main(experiment, parser)
