# SPDX-License-Identifier: MPL-2.0
"""Which iteration of Gatys is a generator worth? ``python -m experiments.iterations``.

After Huang and Belongie (arXiv:1703.06868), figure 3: the mean loss of Gatys over paintings
and held-out photos falls with the iterations; a generator's mean loss is a place on it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from stylize_train.campaign.plan import read_plan
from stylize_train.errors import UserError
from stylize_train.evaluate import measure
from stylize_train.gatys import OPTIMIZERS, STARTS, Gatys
from stylize_train.judge import Judge
from stylize_train.render import Model

from .common import PLAN, Study, Variant, arguments, digest, main
from .results import Cell

COLUMNS = ("iteration", "style", "content", "total", "judge_4_1", "judge_5_1")
"""Columns of a curve; the judge's are there if there is one."""

MODEL = "model:"
"""What keys of finished models begin with."""


def experiment(study: Study) -> None:
    """One cell for each painting and photo with Gatys, one for each painting and generator."""
    studied = study.settings("side", "style_size", "vgg")
    optimised = studied | study.settings("iterations", "optimizer", "init", "seed")
    for painting in study.paintings:
        for label in study.args.generators:
            variant = Variant.parse(label)
            study.results.cell(
                f"{label}/{painting.stem}",
                study.training_settings(),
                lambda v=variant, p=painting: measure_generator(study, v, p),
            )
        for file in study.args.models:
            study.results.cell(
                f"{MODEL}{file.stem}/{painting.stem}",
                studied | study.settings("held_out_count") | {"sha256": digest(file)},
                lambda f=file, p=painting: measure_model(study, finished(f, p), p),
            )
        for name, photo in study.photos.items():
            study.results.cell(
                f"gatys/{painting.stem}/{name}",
                optimised,
                lambda p=painting, x=photo: gatys_curve(study, p, x),
            )


def squared(photo: Tensor) -> Tensor:
    """The middle square of a photo [3, H, W]."""
    side = min(photo.shape[1:])
    top, left = (photo.shape[1] - side) // 2, (photo.shape[2] - side) // 2
    return photo[:, top : top + side, left : left + side]


def measure_generator(study: Study, variant: Variant, painting: Path) -> Cell:
    """Losses of a trained generator."""
    return measure_model(study, study.train(variant, painting).model, painting)


def finished(file: Path, painting: Path) -> Model:
    """A finished model; of one with several styles, that of the painting in the campaigns' plan."""
    held = Model.names(file)
    if not held:
        return Model(file)
    styles = read_plan(PLAN).styles
    for name in held:
        if name in styles and styles[name].file == painting.name:
            return Model(file, mix=name)
    raise UserError(f"no style of {file} was learned from {painting.name}: {', '.join(held)}.")


def measure_model(study: Study, model: Model, painting: Path) -> Cell:
    """Losses of an export on the middle square of each held-out photo."""
    photos = [squared(photo) for photo in study.photos.values()]
    rows = measure(model, study.loss(painting), photos, study.judge(painting))
    names = [name for name in COLUMNS[1:] if name in rows[0]]
    return {
        "columns": names,
        "photos": {
            key: [row[name] for name in names] for key, row in zip(study.photos, rows, strict=True)
        },
    }


def gatys_curve(study: Study, painting: Path, photo: Tensor) -> Cell:
    """Losses of the clamped picture at iterations that grow by about a sixth."""
    args = study.args
    loss, judge = study.loss(painting), study.judge(painting)
    source = squared(photo)[None].float().div(255).to(args.device)
    gatys = Gatys(loss, source, args.optimizer, args.init, args.seed)
    wanted = set(logarithmic(args.iterations))

    @torch.no_grad()
    def point() -> list[float]:
        picture = gatys.picture()[None].to(args.device)
        terms = loss.against(picture, gatys.target)
        losses = [terms[name].item() for name in ("style", "content", "total")]
        return [gatys.iteration, *losses, *_judged(judge, picture)]

    points = [point()]
    while gatys.iteration < args.iterations:
        gatys.step()
        if gatys.iteration in wanted:
            points.append(point())
    columns = COLUMNS[: len(points[0])]
    return {"columns": columns, "evaluations": gatys.evaluations, "points": points}


def _judged(judge: Judge | None, picture: Tensor) -> list[float]:
    return list(judge(picture).values()) if judge else []


def logarithmic(last: int, ratio: float = 7 / 6) -> list[int]:
    """1, 2, 3 ... ``last``, from some point on each about ``ratio`` times the one before."""
    steps = [1]
    while steps[-1] < last:
        steps.append(min(last, max(steps[-1] + 1, round(steps[-1] * ratio))))
    return steps


def equivalent(curve: Sequence[tuple[float, float]], value: float) -> float | None:
    """The iteration from which a curve of (iteration, loss) stays at or below ``value``.

    Interpolated on logarithmic axes between logged points (linearly from iteration 0). Where
    the curve begins with the photo, content starts at 0, rises, and falls: the crossing sought is
    the last one downwards. 0 if the curve is never above ``value``, None if it ends above.
    """
    if curve[-1][1] > value:
        return None
    for (i0, above), (i1, below) in reversed(list(itertools.pairwise(curve))):
        if above > value:
            share = math.log(above / value) / math.log(above / below)
            return i1 * share if i0 == 0 else i0 * (i1 / i0) ** share
    return 0.0


if __name__ == "__main__":
    parser = arguments("iterations", __doc__.splitlines()[0])
    parser.add_argument("--generators", nargs="*", default=["residual-16", "lite-32", "pyramid"])
    parser.add_argument(
        "--models",
        type=Path,
        nargs="*",
        default=[],
        help="finished models of the painting, or galleries that hold a style of each",
    )
    parser.add_argument("--iterations", type=int, default=500, help="of Gatys")
    parser.add_argument("--optimizer", default="lbfgs", choices=OPTIMIZERS)
    parser.add_argument("--init", default="content", choices=STARTS)
    main(experiment, parser)
