# SPDX-License-Identifier: MPL-2.0
"""How good the styles of a gallery are: ``python -m experiments.bars LABEL=MODEL.onnx``.

Style loss (VGG-19, Gram matrices on the pyramid, as a share of the untouched photo's; beside it
that of crops of the painting, as large as the photos, which differ from the whole as well) and
content (standardized, relu3_1 of the distilled VGG-19; unrelated pictures have 2) on held-out
photos, and there the temporal error (``stylize_train.temporal``); painted share, spectrum and
contrast (``stylize_train.painted``) on frames of clips at 1280x720, and on those weave and
repetition (how concentrated short waves are, and how alike all over the picture, relative to the
painting; ``stylize_train.pixels``).
Each painting is measured at the size that the campaign's plan trains it with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from stylize_train.campaign.plan import Plan, read_plan
from stylize_train.campaign.run import find_painting
from stylize_train.data import WHOLE, read_image
from stylize_train.errors import UserError
from stylize_train.evaluate import choose_photos
from stylize_train.judge import ContentJudge
from stylize_train.loss_options import LossOptions, load_network, perceptual_loss, read_style
from stylize_train.losses import LossNetwork
from stylize_train.painted import measure_painted
from stylize_train.pixels import concentration, power_spectra, repetition, weave
from stylize_train.render import Model
from stylize_train.temporal import temporal_error

from .common import PLAN, digest, on_grid
from .frames import clip_frames, find_clips
from .gallery import split
from .results import FOLDER, Cell, Results, read_cells
from .tables import bars as table

HEIGHT = 720
"""Of the frames."""

Render = Callable[[Tensor], Tensor]


class Measures:
    """Photos, frames and networks that every style is measured with."""

    def __init__(self, args: argparse.Namespace, plan: Plan) -> None:
        self.args, self.plan = args, plan
        paths = choose_photos(args.photos, args.held_out)[: args.photo_count]
        self.photos = [on_grid(read_image(p, short_side=args.side)) for p in paths]
        self.frames = clip_frames(find_clips(args.clips), args.frames, HEIGHT)
        self.loss_options = LossOptions(vgg=str(args.vgg))
        self.vgg: LossNetwork = load_network(self.loss_options)
        self.content = ContentJudge(args.distilled)

    @torch.no_grad()
    def __call__(self, render: Render, style: str) -> Cell:
        """Means over the photos, and over the frames, of one style."""
        entry = self.plan.styles[style]
        file = find_painting(self.args.paintings, entry.file)
        painting = read_style(file, entry.size, entry.part)
        loss = perceptual_loss(self.loss_options, self.vgg, painting)
        rows = []
        random = torch.Generator().manual_seed(0)
        for photo in self.photos:
            clean = photo[None].float().div(255)
            output = render(photo)[None]
            crop = _random_crop(painting, clean, random)
            target = loss.content_target(clean)
            rows.append(
                {
                    "style": loss.against(output, target)["style"].item(),
                    "style_photo": loss.against(clean, target)["style"].item(),
                    "style_crops": loss.against(crop, loss.content_target(crop))["style"].item(),
                    "content": self.content(output, clean),
                }
            )
        spectra = power_spectra(painting)
        woven, repeated = concentration(spectra), repetition(spectra)
        painted = []
        for frame in self.frames.values():
            output = render(frame)
            row = measure_painted(frame.float().div(255), output, painting[0])
            spectra = power_spectra(output[None])
            row["weave"] = weave(spectra, woven).mean().item()
            row["repetition"] = (repetition(spectra) / repeated).mean().item()
            painted.append(row)
        steady = {"temporal": temporal_error(render, self.photos)["temporal"]}
        return {**_mean(rows), **_mean(painted), **steady}


def _random_crop(painting: Tensor, photo: Tensor, random: torch.Generator) -> Tensor:
    """A part of a painting as high and wide as a photo, or as the painting if that is less."""
    height, width = (min(pair) for pair in zip(painting.shape[2:], photo.shape[2:], strict=True))
    top, left = (
        int(torch.randint(whole - part + 1, (1,), generator=random))
        for whole, part in zip(painting.shape[2:], (height, width), strict=True)
    )
    return painting[..., top : top + height, left : left + width]


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def experiment(args: argparse.Namespace) -> None:
    """One cell for each style of each gallery; prints the tables."""
    if args.threads:
        torch.set_num_threads(args.threads)
    plan = read_plan(args.plan)
    results = Results(args.results, args.again)
    measures: Measures | None = None
    for label, file in map(split, args.models):
        for style in styles_of(file, plan, args.styles):
            entry = plan.styles[style]
            settings = {
                "model": label,
                "sha256": digest(file),
                "painting": entry.file,
                "style_size": entry.size,
                **({"part": list(entry.part)} if entry.part != WHOLE else {}),
                "side": args.side,
                "photos": args.photo_count,
                "frames_a_clip": args.frames,
            }
            measures = measures or Measures(args, plan)
            compute = partial(measured, measures, file, style)
            cell = results.cell(f"{label}/{style}", settings, compute)
            print(f"{label}/{style}: painted {cell['painted_share']:.3g}", file=sys.stderr)
    print(table(read_cells(args.results)))


def measured(measures: Measures, file: Path, style: str) -> Cell:
    """The cell of one style of a gallery."""
    return measures(Model(file, mix=style), style)


def styles_of(file: Path, plan: Plan, only: Sequence[str] | None) -> list[str]:
    """Styles of a gallery whose paintings the plan knows; says which it does not."""
    held = Model.names(file)
    known = [name for name in held if name in plan.styles]
    if only:
        for name in only:
            if name not in known:
                raise UserError(f"{file} and the plan share no style '{name}': {', '.join(known)}.")
        return list(only)
    if not known:
        raise UserError(f"{file} holds no style of the plan ({', '.join(plan.styles)}).")
    if left := [name for name in held if name not in plan.styles]:
        print(f"{file}: not in the plan, and left out: {', '.join(left)}", file=sys.stderr)
    return known


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="experiments.bars", description=__doc__.splitlines()[0])
    p.add_argument("models", nargs="+", metavar="LABEL=MODEL.onnx")
    p.add_argument("--plan", type=Path, default=PLAN, help="whose styles and sizes (%(default)s)")
    p.add_argument("--paintings", type=Path, nargs="+", required=True, help="folders")
    p.add_argument("--photos", type=Path, required=True, help="folder with held-out photos")
    p.add_argument("--held-out", default="kodak-*", help="photo name pattern")
    p.add_argument("--photo-count", type=int, default=6, help="how many of those")
    p.add_argument("--side", type=int, default=256, help="shorter side of the photos")
    p.add_argument("--clips", type=Path, required=True, help="folder of videos")
    p.add_argument("--frames", type=int, default=2, help="of each clip")
    p.add_argument("--styles", nargs="+", metavar="STYLE", help="these alone")
    p.add_argument("--vgg", type=Path, required=True, help="VGG-19's weights")
    p.add_argument("--distilled", type=Path, required=True, help="the distilled VGG-19's weights")
    p.add_argument("--threads", type=int)
    p.add_argument("--results", type=Path, default=FOLDER / "bars.json")
    p.add_argument("--again", action="store_true", help="replace cells with other settings")
    return p


def main() -> None:
    """Measure; what a user can cause becomes one sentence."""
    p = parser()
    try:
        experiment(p.parse_args())
    except UserError as error:
        sys.exit(f"{p.prog}: {error}")


if __name__ == "__main__":
    main()
