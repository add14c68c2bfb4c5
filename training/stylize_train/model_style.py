# SPDX-License-Identifier: MPL-2.0
"""One more style for a model as it is shipped: ``stylize-train add-style MODEL.onnx PAINTING``.

The model's graph is run in PyTorch (``onnx_torch.py``), and only the new style's row of scales and
shifts is learned (Dumoulin, Shlens and Kudlur, arXiv:1610.07629, section 3.2), against the
standardized moments of the distilled VGG-19. The file is then the old one with a row more: the
other styles stay bit for bit.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from .balance import Balance
from .campaign.objective import Perceptual
from .campaign.plan import Plan, Style
from .card import write_page
from .cost import read_model
from .data import Photos
from .errors import UserError
from .export import session
from .files import refuse_folder, write_whole
from .loss_options import LossOptions, load_network, perceptual_loss, read_style
from .onnx_graph import INPUT, STYLE_INPUT
from .onnx_torch import TABLE, Graph
from .pixels import PixelStatistics
from .styles import style_names

STEPS = 250
"""Of learning, by default."""

LR = 2e-2
"""Adam's rate at the start: a row has few values, and nothing else moves."""

BATCH, CROP = 4, 256
"""Crops of a step, and their side in pixels."""

CHECK = 64
"""Side in pixels of the picture that old and new file are compared on."""


class Learner:
    """A model, a painting, and the row that is learned.

    Args:
        model: a conditional generator as stylize-train exported it.
        name: of the new style.
        painting: [1, 3, H, W], RGB in 0..1, at the size that sets the strokes.
        photos: folder of photos.
        options: the loss.
        steps: how many there will be.
        seed: of the crops.
        device: where to compute.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        name: str,
        painting: Tensor,
        photos: Path,
        options: LossOptions,
        steps: int = STEPS,
        seed: int = 1,
        device: str = "cpu",
    ) -> None:
        self.graph = Graph(model, device)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        self.noise = [n.split(":") for n in metadata.get("stylize.noise", "").split(",") if n]
        multiple = int(metadata.get("stylize.size-multiple", "1"))
        least = max(CROP, int(metadata.get("stylize.size-minimum", "1")))
        self.steps, self.random = steps, torch.Generator().manual_seed(seed)
        side = -(-least // multiple) * multiple
        self.photos = Photos(photos, side, seed, (), Plan.noise, device)
        loss = perceptual_loss(options, load_network(options).to(device), painting.to(device))
        # First the painting, then the content, as in a campaign.
        end = float(max(steps, 1))
        plan = Plan(
            name=name,
            generator="",
            options={},
            styles={name: Style(name)},
            ratio=((0.0, 1.5), (0.35 * end, 1.5), (0.7 * end, 0.55), (end + 1, 0.55)),
            palette=6.0,
            octaves=4.0,
            weave=3.0,
        )
        self.plan = plan
        pixels = PixelStatistics.of([painting.to(device)])
        self.objective = Perceptual(plan, loss, Balance([name]), pixels)
        self.row = self._nearest().clone().requires_grad_(True)

    @torch.no_grad()
    def _nearest(self) -> Tensor:
        """The row to begin with: of the old styles, or their mean, the one nearest to the painting.

        By the product of the style and palette terms on one batch, so that neither's scale matters.
        By the style term alone it may begin far from the painting's colours, and lose some of them.
        """
        image, photo = self.photos.batch(2)
        which = torch.zeros(len(image), dtype=torch.long, device=image.device)
        rows = [*self.graph.table, self.graph.table.mean(0)]
        target = self.objective.loss.content_target(photo)

        def distance(row: Tensor) -> float:
            output = self._paint(image, row)
            style = self.objective.loss.against(output, target)["style"]
            palette = self.objective.pixels.palette_error(output, which).mean()
            return (style * palette).item()

        return min(rows, key=distance)

    def _paint(self, image: Tensor, row: Tensor) -> Tensor:
        noise = {
            name: torch.randn(
                *(len(image), int(channels), *(s // int(divisor) for s in image.shape[2:])),
                generator=self.random,
            ).to(image.device)
            for name, channels, divisor in self.noise
        }
        return self.graph(image, row, noise)

    def learn(self, report: bool = True) -> dict[str, float]:
        """All steps; returns the means of the losses over the last tenth, and images a second."""
        optimizer = torch.optim.Adam([self.row], lr=LR)
        which = torch.zeros(BATCH, dtype=torch.long, device=self.row.device)
        mix = torch.ones(BATCH, 1, device=self.row.device)
        last: list[dict[str, float]] = []
        began = time.monotonic()
        for step in range(self.steps):
            rate = LR * 0.5 * (1 + math.cos(math.pi * step / self.steps))
            optimizer.param_groups[0]["lr"] = rate
            image, photo = self.photos.batch(BATCH)
            output = self._paint(image, self.row)
            ratios = [self.plan.ratio_at(step)] * BATCH
            terms = self.objective(output, photo, which, ratios, mix)
            values = {name: term.item() for name, term in terms.items()}
            values["style"] = self.objective.balance.style[self.plan.name]
            if not math.isfinite(values["total"]):
                raise UserError(f"the loss is not finite at step {step}; nothing was written.")
            optimizer.zero_grad(set_to_none=True)
            terms["total"].backward()
            optimizer.step()
            last = [*last, values][-max(1, self.steps // 10) :]
            if report and (step + 1) % 25 == 0:
                speed = (step + 1) * BATCH / (time.monotonic() - began)
                print(
                    f"step {step + 1} of {self.steps}, {speed:.1f} images/s, "
                    f"style {values['style']:.3f}, content {values['content']:.3f}",
                    flush=True,
                )
        means = {name: sum(v[name] for v in last) / len(last) for name in last[0]} if last else {}
        speed = self.steps * BATCH / max(time.monotonic() - began, 1e-9)
        return means | {"images_per_second": speed}


def with_row(model: onnx.ModelProto, row: np.ndarray, style: str, name: str) -> onnx.ModelProto:
    """The model with one style more; everything else stays as it is.

    Args:
        model: not changed.
        row: scales and shifts of the new style, [values] float32.
        style: its name.
        name: the new model's.
    """
    grown = copy.deepcopy(model)
    weights = {w.name: w for w in grown.graph.initializer}
    table = np.concatenate([numpy_helper.to_array(weights[TABLE]), row[None]])
    flat = np.array([1, len(table)], np.int64)
    for key, value in ((TABLE, table), ("styles.row", flat)):
        weights[key].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), key))
    (given,) = (i for i in grown.graph.input if i.name == STYLE_INPUT)
    given.type.tensor_type.shape.dim[0].dim_value = len(table)
    for entry in grown.metadata_props:
        if entry.key == "stylize.styles":
            entry.value += f",{style}"
        elif entry.key == "stylize.name":
            entry.value = name
    onnx.checker.check_model(grown)
    return grown


def compare(old: onnx.ModelProto, new: onnx.ModelProto, learner: Learner) -> float:
    """Check a grown model on ONNX Runtime; greatest difference of the new style, in grey levels.

    The old styles must give the same bits, the new one what was learned.
    """
    before, after = (session(m.SerializeToString()) for m in (old, new))
    random = np.random.default_rng(0)
    side = -(-max(CHECK, learner.photos.crop // 4) // 32) * 32
    feeds = {INPUT: random.random((1, 3, side, side), np.float32)}
    for name, channels, divisor in learner.noise:
        size = (1, int(channels), side // int(divisor), side // int(divisor))
        feeds[name] = random.standard_normal(size, np.float32)
    count = len(learner.graph.table)
    for style in range(count):
        mixes = (np.eye(n, dtype=np.float32)[style] for n in (count, count + 1))
        pair = [
            run.run(None, {**feeds, STYLE_INPUT: mix})[0]
            for run, mix in zip((before, after), mixes, strict=True)
        ]
        if pair[0].tobytes() != pair[1].tobytes():
            raise UserError(f"style {style} would change; this is a defect, nothing was written.")
    mix = np.eye(count + 1, dtype=np.float32)[count]
    made = after.run(None, {**feeds, STYLE_INPUT: mix})[0]
    device = learner.row.device
    noise = {n: torch.from_numpy(v).to(device) for n, v in feeds.items() if n != INPUT}
    with torch.no_grad():
        wanted = learner.graph(torch.from_numpy(feeds[INPUT]).to(device), learner.row, noise)
    difference = 255 * float(np.abs(wanted.cpu().numpy() - made).max())
    if not difference <= 1:
        raise UserError(
            f"the new style differs from what was learned by {difference:.2f} grey levels; "
            "this is a defect, nothing was written."
        )
    return difference


def loss_options(weights: str | None, style_size: int) -> LossOptions:
    """The campaigns' loss: standardized moments of the distilled VGG-19 at two scales."""
    options = LossOptions(
        loss_network="distilled",
        vgg=weights,
        style_statistics="standardized",
        style_size=style_size,
        scales=(1.0, 0.7),
    )
    options.check_loss()
    return options


def add_style(args: argparse.Namespace, device: str) -> None:
    """The command, for a model file."""
    refuse_folder(args.out)
    if args.resume or args.checkpoint_dir:
        raise UserError("--resume and --checkpoint-dir are for checkpoints, not for a model.")
    model = read_model(args.model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    held = [name for name in metadata.get("stylize.styles", "").split(",") if name]
    (name,) = style_names([args.painting])
    if name in held:
        raise UserError(f"{args.model} holds a style {name} already; rename {args.painting}.")
    steps = STEPS if args.steps is None else args.steps
    if steps < 1:
        raise UserError(f"--steps is {steps} and must be at least 1.")
    options = loss_options(args.vgg, args.style_size)
    painting = read_style(args.painting, args.style_size)
    content = Path(args.content)
    learner = Learner(model, name, painting, content, options, steps, device=device)
    losses = learner.learn()
    row = learner.row.detach().cpu().numpy()
    grown = with_row(model, row, name, args.out.stem)
    difference = compare(model, grown, learner)
    write_whole(args.out, grown.SerializeToString())
    lines = [
        f"# {args.out.stem}",
        "",
        f"`{args.model.name}` with one style more, `{name}`: its other styles and all else are "
        "as they were.",
        "",
        "| | |",
        "|---|---|",
        f"| Style | `{name}`, after {args.painting.name} at {args.style_size} px |",
        f"| Learned | {len(row)} scales and shifts |",
        f"| Steps | {steps} of {BATCH} crops of {learner.photos.crop} px |",
        f"| Training photos | {len(learner.photos)} |",
        f"| Losses at the end | style {losses['style']:.4g}, content {losses['content']:.4g} |",
        f"| Licence of the model that it grew from | {metadata.get('stylize.license')} |",
        f"| ONNX Runtime against PyTorch | at most {difference:.3f} grey levels |",
    ]
    command = (
        "stylize-train add-style MODEL.onnx PAINTING --content PHOTOS --vgg DISTILLED.safetensors "
        f"--out {args.out.name} --steps {steps} --style-size {args.style_size}"
    )
    write_page(args.out.with_suffix(".md"), lines, command)
    print(
        f"{args.out}: style {losses['style']:.4f}, content {losses['content']:.4f}, "
        f"{losses['images_per_second']:.2f} images/s"
    )
