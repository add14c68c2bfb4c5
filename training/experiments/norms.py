# SPDX-License-Identifier: MPL-2.0
"""Instance against batch and no normalization: ``python -m experiments.norms``.

The same seed, data and steps for all. Besides the losses, two experiments on what the
norm does: the photo's contrast is halved, and instance normalization is applied with
fixed statistics, as batch normalization is.
"""

from __future__ import annotations

from pathlib import Path

from stylize_train.errors import UserError
from stylize_train.export import About, export
from stylize_train.frozen import freeze_statistics
from stylize_train.generators import Generator

from .common import NORMS, Study, Trained, Variant, arguments, contrast_change, main
from .results import Cell

CURVE = ("step", "style", "content", "total")


def experiment(study: Study) -> None:
    """One cell for each painting, generator and norm."""
    if study.args.batch < 4 and "batch" in study.args.norms:
        raise UserError("batch normalization means little with a --batch below 4.")
    for painting in study.paintings:
        for name in study.args.generators:
            for norm in study.args.norms:
                variant = Variant.parse(f"{name}-{norm}")
                study.results.cell(
                    f"{name}/{norm}/{painting.stem}",
                    study.training_settings(),
                    lambda v=variant, p=painting: measure_norm(study, v, p),
                )


def measure_norm(study: Study, variant: Variant, painting: Path) -> Cell:
    """Training curve, held-out losses, change under half contrast, and frozen statistics."""
    trained = study.train(variant, painting)
    loss = study.loss(painting)
    cell: Cell = {
        "weights": {"style": loss.weights.style, "content": loss.weights.content},
        "curve": [[line[key] for key in CURVE] for line in trained.curve],
        "held_out": study.held_out(trained, painting),
        "contrast_change": contrast_change(trained.model, list(study.photos.values())),
    }
    if "norm" not in variant.options:
        frozen = freeze_statistics(trained.generator, study.batches())
        cell["frozen"] = study.held_out(_export(frozen, trained), painting)
    return cell


def _export(frozen: Generator, trained: Trained) -> Trained:
    path = trained.path.with_name("frozen.onnx")
    export(frozen, About("frozen"), path)
    return Trained(frozen, path, [])


if __name__ == "__main__":
    parser = arguments("norms", __doc__.splitlines()[0])
    parser.add_argument("--generators", nargs="+", default=["residual-16", "pyramid"])
    parser.add_argument("--norms", nargs="+", default=list(NORMS), choices=NORMS)
    main(experiment, parser)
