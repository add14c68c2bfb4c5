# SPDX-License-Identifier: MPL-2.0
"""Many styles in one generator against one generator each: ``python -m experiments.gallery``.

Each style of a conditional generator is measured on held-out photos, style loss and steadiness;
beside it a generator of the same body that learned this painting alone, for as many steps as the
style had its turn, and a conditional generator that was trained without the temporal loss.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from stylize_train.checkpoint import read_checkpoint
from stylize_train.config import Config
from stylize_train.errors import UserError
from stylize_train.evaluate import evaluate
from stylize_train.export import About, export
from stylize_train.render import Model
from stylize_train.styles import style_names
from stylize_train.temporal import temporal_error
from stylize_train.train import Trainer, run

from .common import Study, arguments, main
from .results import Cell


def experiment(study: Study) -> None:
    """One cell for each style of each model, one for each painting learned alone."""
    args = study.args
    for label, file in (split(text) for text in args.models):
        settings = {"model": label, **study.settings("side", "held_out_count", "style_size")}
        for painting in study.paintings:
            (style,) = style_names([painting])
            compute = partial(of_gallery, study, file, style, painting)
            study.results.cell(f"{label}/{style}", settings, compute)
    if args.alone is None:
        return
    config = Config.restored(read_checkpoint(args.alone)["config"])
    for painting in study.paintings:
        (style,) = style_names([painting])
        run_alone = alone(config, painting, args.alone_steps, args.alone_lr)
        settings = {
            "steps": run_alone.steps,
            **study.settings("side", "held_out_count", "style_size"),
        }
        folder = args.work / args.alone_label / style
        compute = partial(of_alone, study, run_alone, folder, painting)
        study.results.cell(f"{args.alone_label}/{style}", settings, compute)


def split(text: str) -> tuple[str, Path]:
    """LABEL=FILE."""
    label, equals, file = text.partition("=")
    if not equals:
        raise UserError(f"--models wants LABEL=FILE and got '{text}'.")
    return label, Path(file)


def alone(config: Config, painting: Path, steps: int, lr: float | None) -> Config:
    """The run that teaches a generator of the same body this painting only, from nothing."""
    options = {**config.generator_options, "norm": "instance"}
    config = replace(config, style=str(painting), styles=(), generator_options=options)
    return replace(config, steps=steps, lr=lr or config.lr)


def of_gallery(study: Study, file: Path, style: str, painting: Path) -> Cell:
    """Measures one style of a conditional generator."""
    return measured(study, Model(file, mix=style), painting)


def of_alone(study: Study, config: Config, folder: Path, painting: Path) -> Cell:
    """Trains, or takes up where an earlier run stopped, and measures."""
    config = replace(config, content=str(study.args.photos), vgg=str(study.args.vgg))
    result = run(Trainer(config, device=study.args.device), folder, resume=True)
    export(result.generator, About(folder.name), folder / "model.onnx")
    return measured(study, Model(folder / "model.onnx"), painting)


def measured(study: Study, model: Model, painting: Path) -> Cell:
    """Mean losses and steadiness on the held-out photos."""
    photos = list(study.photos.values())
    losses = evaluate(model, study.loss(painting), photos, study.judge(painting))
    return losses | temporal_error(model, photos)


if __name__ == "__main__":
    parser = arguments("gallery", __doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=[], metavar="LABEL=MODEL.onnx")
    parser.add_argument("--alone", type=Path, metavar="CHECKPOINT", help="whose body to train")
    parser.add_argument("--alone-steps", type=int, default=170)
    parser.add_argument("--alone-lr", type=float, help="not the checkpoint's")
    parser.add_argument("--alone-label", default="alone", help="of cells and folders (%(default)s)")
    main(experiment, parser)
