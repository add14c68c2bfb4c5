# SPDX-License-Identifier: MPL-2.0
"""Seconds for a picture, Gatys against generators: ``python -m experiments.timing``.

One process, one machine: an iteration of Gatys and a frame of each generator take turns.
The time of a generator does not depend on what it has learned, so none is trained.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from stylize_train.cost import interleaved_medians
from stylize_train.export import About, export
from stylize_train.gatys import Gatys
from stylize_train.generators import create
from stylize_train.render import Model

from .common import Study, Variant, arguments, main
from .results import Cell

ITERATIONS = (100, 300, 500)


def experiment(study: Study) -> None:
    """One cell: seconds of everything."""
    settings = study.settings("size", "measured", "style_size", "vgg", "generators")
    study.results.cell("times", settings, lambda: times(study))


def times(study: Study) -> Cell:
    """Median seconds of an iteration and of a frame, on a square of ``--size`` pixels."""
    args = study.args
    photo = next(iter(study.photos.values()))
    square = torch.nn.functional.interpolate(
        photo[None].float().div(255), (args.size, args.size), mode="bilinear", antialias=True
    ).clamp(0, 1)
    gatys = Gatys(study.loss(study.paintings[0]), square.to(args.device))
    gatys.step()  # the first line search is the longest
    models = [untrained(Variant.parse(label)) for label in args.generators]
    frame = square[0].mul(255).round().to(torch.uint8)
    feeds = [model.feeds(frame) for model in models]
    evaluations = gatys.evaluations
    calls = [lambda m=m, f=f: m.session.run(None, f) for m, f in zip(models, feeds, strict=True)]
    iteration, *frames = interleaved_medians([gatys.step, *calls], args.measured)
    return {
        "seconds_per_iteration": iteration,
        "evaluations_per_iteration": (gatys.evaluations - evaluations) / (args.measured + 1),
        "measured_iterations": args.measured,
        "gatys_seconds": {str(count): count * iteration for count in ITERATIONS},
        "extrapolated": [count for count in ITERATIONS if count > args.measured],
        "generator_seconds": dict(zip(args.generators, frames, strict=True)),
    }


def untrained(variant: Variant) -> Model:
    """The export of a generator as it is made."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export(create(variant.generator, variant.options), About(variant.label), path)
        return Model(path)


if __name__ == "__main__":
    parser = arguments("timing", __doc__.splitlines()[0])
    default = ["residual-32", "residual-16", "residual-8", "pyramid", "lite-32"]
    parser.add_argument("--generators", nargs="+", default=default)
    parser.add_argument("--measured", type=int, default=20, help="iterations that are timed")
    parser.add_argument("--size", type=int, default=512, help="side of the picture, pixels")
    main(experiment, parser)
