# SPDX-License-Identifier: MPL-2.0
"""How good an exported model is on photos it has not seen: ``stylize-train evaluate``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from . import judge as judging
from . import loss_options
from .data import list_photos, read_pictures
from .errors import UserError
from .judge import ContentJudge, Judge
from .losses import PerceptualLoss, lattice, total_variation
from .painted import measure_painted
from .render import Model, add_mix_argument
from .temporal import temporal_error

LEAST_SIDE = 32
"""Pixels of a photo that every measurement can do with; the judge's deepest layer wants most."""

Render = Callable[[Tensor], Tensor]
"""uint8 [3, H, W] to float32 [3, H, W] in 0..1: an exported model, or anything like one."""


def evaluate(
    render: Render,
    loss: PerceptualLoss,
    photos: Sequence[Tensor],
    judge: Judge | None = None,
    painting: Tensor | None = None,
    content: ContentJudge | None = None,
) -> dict[str, float]:
    """Mean of ``measure`` over photos, uint8 [3, H, W]."""
    rows = measure(render, loss, photos, judge, painting, content)
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


@torch.no_grad()
def measure(
    render: Render,
    loss: PerceptualLoss,
    photos: Sequence[Tensor],
    judge: Judge | None = None,
    painting: Tensor | None = None,
    content: ContentJudge | None = None,
) -> list[dict[str, float]]:
    """Losses of a model on each photo, uint8 [3, H, W], beside those of the untouched photo.

    ``*_photo`` is what the photo itself scores: its style term is the distance there was
    to go. ``noise_gain`` is how much stronger grain (sigma 1 %) is in the output than in
    the input, as a ratio of root mean squares: a cheap sign of flicker. ``lattice_levels`` is
    the strength of a fixed pattern of 4 pixels in grey levels, ``lattice8_levels`` of one of 8.
    ``judge_*`` are the judge's errors, and ``content_distilled`` is what ``content`` says.

    With ``painting``, [1, 3, H, W] in 0..1 at its training size, there are besides, all of luma
    (definitions and sources in ``painted.py``): ``painted_share``, the share of the output's
    variance that no linear function of the photo explains; ``spectrum``, half the sum of absolute
    differences between the shares of the octaves from 2 to 128 pixels of what is added to that
    function and of the painting; ``contrast``, the output's standard deviation over the painting's.
    """
    if not photos:
        raise UserError("there is no photo to evaluate on.")
    random = torch.Generator().manual_seed(0)
    rows: list[dict[str, float]] = []
    for source in photos:
        clean = source[None].float().div(255)
        grain = (clean + 0.01 * torch.randn(clean.shape, generator=random)).clamp(0, 1)
        grainy = grain.mul(255).round().to(torch.uint8)[0]
        output = render(source)[None]
        shift = render(grainy)[None] - output
        given = grainy[None].float().div(255) - clean
        photo, output = clean.to(loss.device), output.to(loss.device)
        target = loss.content_target(photo)
        after, before = loss.against(output, target), loss.against(photo, target)
        row = {
            "style": after["style"].item(),
            "style_photo": before["style"].item(),
            "content": after["content"].item(),
            "total": after["total"].item(),
            "tv": after["tv"].item(),
            "lattice8_levels": 255 * lattice(output, 8).sqrt().item(),
            "lattice_levels": 255 * after["lattice"].sqrt().item(),
            "lattice_photo": 255 * before["lattice"].sqrt().item(),
            "tv_photo": total_variation(photo).item(),
            "noise_gain": (shift.square().mean() / given.square().mean()).sqrt().item(),
        }
        if painting is not None:
            row |= measure_painted(clean[0], output[0].cpu(), painting[0])
        if content is not None:
            row["content_distilled"] = content(output, photo)
        if judge is not None:
            row |= judge(output)
            row |= {f"{name}_photo": value for name, value in judge(photo).items()}
        rows.append(row)
    return rows


def choose_photos(folder: Path, only: str) -> list[Path]:
    """Photos of a folder whose name matches a pattern, by name."""
    photos = [path for path in list_photos(folder) if path.match(only)]
    if not photos:
        raise UserError(f"no photo in {folder} matches '{only}'.")
    return photos


def read_photos(folder: Path, only: str, least: int) -> list[Tensor]:
    """The pictures among ``choose_photos``, uint8 [3, H, W]; ``least`` pixels are needed a side."""
    least = max(LEAST_SIDE, least)
    photos = []
    for path, photo in read_pictures(choose_photos(folder, only)):
        if min(photo.shape[1:]) < least:
            raise UserError(
                f"{path} is {photo.shape[2]} x {photo.shape[1]} pixels, and its shorter side must "
                f"be at least {least}: leave it out with --only."
            )
        photos.append(photo)
    if not photos:
        raise UserError(f"no file in {folder} that matches '{only}' is a picture.")
    return photos


def add_photo_arguments(p: argparse.ArgumentParser) -> None:
    """What a model is measured on, with the loss and the judge that measure it."""
    p.add_argument("--style", type=Path, required=True, help="the painting")
    p.add_argument("--content", type=Path, required=True, help="folder of photos")
    p.add_argument("--only", default="*", help="file name pattern of the photos")
    loss_options.add_arguments(p)
    judging.add_argument(p)


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``evaluate``."""
    p = commands.add_parser("evaluate", help="losses of a model on photos, as JSON")
    p.add_argument("model", type=Path)
    add_mix_argument(p)
    p.add_argument("--temporal", action="store_true", help="measure steadiness, too")
    add_photo_arguments(p)
    p.set_defaults(run=_run)


def load_measures(args: argparse.Namespace) -> tuple[PerceptualLoss, Judge | None]:
    """The loss and the judge that parsed arguments ask for."""
    options = loss_options.from_arguments(args)
    loss = loss_options.load_loss(options, args.style)
    if args.judge is None:
        return loss, None
    style = loss_options.read_style(args.style, options.style_size)
    return loss, judging.load_judge(args.judge, style)


def _run(args: argparse.Namespace) -> None:
    model = Model(args.model, mix=args.mix)
    loss, judge = load_measures(args)
    photos = read_photos(args.content, args.only, loss.least_side)
    painting = loss_options.read_style(args.style, args.style_size)
    content = ContentJudge(args.judge) if args.judge else None
    measured = evaluate(model, loss, photos, judge, painting, content)
    numbers = {"photos": len(photos), **measured}
    if args.temporal:
        numbers |= temporal_error(model, photos)
    print(json.dumps(numbers, indent=2))
