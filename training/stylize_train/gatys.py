# SPDX-License-Identifier: MPL-2.0
"""The reference method: the image itself is optimised, no network is trained.

Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks"
(CVPR 2016): minutes for each picture, and the quality that generators are measured by.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from . import loss_options
from .arguments import add_machine_arguments, seed, use_machine
from .data import read_image
from .errors import UserError
from .files import append_json, write_whole
from .loss_options import (
    Layers,
    LossOptions,
    choose_layers,
    load_loss,
    load_network,
    read_style,
    refuse_negative,
)
from .losses import gram, refuse_small
from .render import picture_format, save_image
from .vgg import Vgg

PAPER_LAYERS = Layers(("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"), "conv4_2")
OPTIMIZERS = ("lbfgs", "adam")
STARTS = ("content", "noise")
RANGE_WEIGHT = 100.0
LEAST_SIDE = 32
"""Pixels; with less there is nothing to see, whatever the loss can do with."""


class ImageLoss(Protocol):
    """What is minimised: ``PerceptualLoss``, or ``PaperLoss`` as the paper prints it."""

    least_side: int
    """Of a picture's height and width, in pixels."""

    def content_target(self, photo: Tensor) -> Tensor:
        """What the content term compares with; [1, 3, H, W] in 0..1 to features."""

    def against(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Scalars: at least style, content (unweighted) and total (weighted)."""


class PaperLoss:
    """The loss of Gatys et al. with its absolute errors and weights, eq. 1, 4, 5 and 7.

    Content is half the squared error of the features. Style is the mean over layers of
    1 / (4 N^2) times the squared error of Gram matrices [N, N], each divided by its own
    picture's positions, so that painting and photo may differ in size (with one size
    it is eq. 4). No pyramid, no smoothness. The weights fit features of the Caffe convention.

    Args:
        vgg: the loss network.
        style: [1, 3, H, W], RGB in 0..1.
        layers: of both terms; ``PAPER_LAYERS`` where the network reaches.
        style_weight, content_weight: beta and alpha; the paper has alpha / beta = 1e-3.
    """

    def __init__(
        self,
        vgg: Vgg,
        style: Tensor,
        layers: Layers = PAPER_LAYERS,
        style_weight: float = 1e3,
        content_weight: float = 1.0,
    ) -> None:
        self.vgg = vgg
        self.layers = layers
        self.style_weight = style_weight
        self.content_weight = content_weight
        self.least_side = vgg.stride
        refuse_small(style, self.least_side)
        with torch.no_grad():
            self.targets = {name: gram(f) for name, f in vgg(style, layers.style).items()}

    @torch.no_grad()
    def content_target(self, photo: Tensor) -> Tensor:
        """Features of the photo."""
        return self.vgg(photo, [self.layers.content])[self.layers.content]

    def against(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Style, content (unweighted) and total."""
        features = self.vgg(output, {*self.layers.style, self.layers.content})
        errors = [
            (gram(features[name]) - wanted).square().mean() / 4
            for name, wanted in self.targets.items()
        ]
        style = torch.stack(errors).mean()
        content = (features[self.layers.content] - target).square().sum() / 2
        total = self.style_weight * style + self.content_weight * content
        return {"style": style, "content": content, "total": total}


@dataclass(frozen=True)
class Progress:
    """Where an optimisation stands; the losses are those of the picture before clamping, and
    the total includes what values outside of 0..1 cost.

    An iteration is one step of the optimiser. A step of L-BFGS searches along a line and
    may evaluate the loss (and its gradient) more than once: ``evaluations`` counts them all.
    """

    iteration: int
    evaluations: int
    style: float
    content: float
    total: float
    seconds: float


class Gatys:
    """One picture being optimised.

    Args:
        loss: what is minimised.
        photo: [1, 3, H, W], RGB in 0..1, on the loss network's device.
        optimizer: ``lbfgs`` (strong Wolfe line search) or ``adam``.
        init: ``content`` starts with the photo, ``noise`` with uniform white noise.
        seed: of the noise.
        rate: Adam's step in 0..1.
        history: steps that L-BFGS remembers; each takes two pictures of memory, and more than
            10 gain nothing.
        range_weight: of the mean squared distance of values from 0..1, in the total. Without
            it the optimiser hides statistics in values that no picture can hold, and after some
            dozen iterations the clamped picture gets worse again.
    """

    def __init__(
        self,
        loss: ImageLoss,
        photo: Tensor,
        optimizer: str = "lbfgs",
        init: str = "content",
        seed: int = 1,
        rate: float = 0.02,
        history: int = 10,
        range_weight: float = RANGE_WEIGHT,
    ) -> None:
        if optimizer not in OPTIMIZERS or init not in STARTS:
            raise UserError(f"cannot start from '{init}' with the optimiser '{optimizer}'.")
        self.loss = loss
        self.range_weight = range_weight
        self.target = loss.content_target(photo)
        random = torch.Generator().manual_seed(seed)
        noise = torch.rand(photo.shape, generator=random).to(photo)
        self.image = (photo if init == "content" else noise).clone().requires_grad_()
        self.optimizer = (
            torch.optim.Adam([self.image], lr=rate)
            if optimizer == "adam"
            # One iteration a step. The tolerances are absolute and would stop a loss that
            # is a mean over many pixels; evaluations are those of the line search.
            else torch.optim.LBFGS(
                [self.image],
                max_iter=1,
                max_eval=25,
                tolerance_grad=0,
                tolerance_change=0,
                history_size=history,
                line_search_fn="strong_wolfe",
            )
        )
        self.iteration = 0
        self.evaluations = 0
        self._began = time.monotonic()
        self._terms: dict[str, Tensor] = {}
        self._evaluated: Tensor | None = None

    def step(self) -> Progress:
        """One iteration; returns the losses after it."""
        self.optimizer.step(self._evaluate)
        self.iteration += 1
        return self.progress()

    def progress(self) -> Progress:
        """The losses of the picture as it is."""
        self._evaluate()
        if not torch.isfinite(self._terms["total"]):
            raise UserError(
                f"the loss is not finite at iteration {self.iteration}; "
                "try smaller weights, or --optimizer adam with a smaller --lr."
            )
        return Progress(
            self.iteration,
            self.evaluations,
            *(self._terms[name].item() for name in ("style", "content", "total")),
            time.monotonic() - self._began,
        )

    def picture(self) -> Tensor:
        """The picture, [3, H, W], clamped to 0..1."""
        return self.image.detach()[0].clamp(0, 1).cpu()

    def _evaluate(self) -> Tensor:
        """Total loss, with its gradient in ``image.grad``.

        The optimiser begins each step where its last line search ended, mostly at the
        point it evaluated last: that evaluation is kept, which halves the work.
        """
        if self._evaluated is None or not torch.equal(self.image, self._evaluated):
            with torch.enable_grad():
                terms = self.loss.against(self.image, self.target)
                excess = (self.image - self.image.clamp(0, 1)).square().mean()
                total = terms["total"] + self.range_weight * excess
                (gradient,) = torch.autograd.grad(total, [self.image])
            self.image.grad = gradient.contiguous()
            self._terms = {
                name: value.detach() for name, value in (terms | {"total": total}).items()
            }
            self._evaluated = self.image.detach().clone()
            self.evaluations += 1
        return self._terms["total"]


def paper_loss(
    options: LossOptions, painting: Path, ratio: float = 1e3, device: str = "cpu"
) -> PaperLoss:
    """The paper's loss on its own layers, unless the options name others.

    ``ratio`` is beta / alpha. A network that ends early gets the layers that it has.
    """
    options.check_loss()
    style = read_style(painting, options.style_size).to(device)
    network = load_network(options, PAPER_LAYERS).to(device)
    layers = choose_layers(options, network.names, PAPER_LAYERS)
    return PaperLoss(network, style, layers, ratio)


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``gatys``."""
    p = commands.add_parser("gatys", help="optimise one picture: slow, the reference")
    p.add_argument("content", type=Path, help="the photo")
    p.add_argument("style", type=Path, help="the painting")
    p.add_argument("out", type=Path, help="the picture to write; its log gets the ending .jsonl")
    p.add_argument("--steps", type=int, default=500, help="iterations of the optimiser")
    p.add_argument("--size", type=int, default=512, help="longer side of the result, pixels")
    p.add_argument("--optimizer", default="lbfgs", choices=OPTIMIZERS)
    p.add_argument("--lr", type=float, default=0.02, help="Adam's rate")
    p.add_argument("--init", default="content", choices=STARTS, help="what to start with")
    p.add_argument("--seed", type=seed, default=1, help="of the noise")
    p.add_argument("--save-every", type=int, default=0, metavar="N", help="intermediate pictures")
    p.add_argument(
        "--paper",
        type=float,
        nargs="?",
        const=1e3,
        metavar="RATIO",
        help="the paper's absolute losses, style weighted RATIO (1000) times the content, "
        "in place of the relative ones and their weights",
    )
    add_machine_arguments(p)
    loss_options.add_arguments(p)
    p.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    if args.steps < 1 or args.save_every < 0 or not 0 < args.lr < math.inf:
        raise UserError("--steps must be at least 1, --save-every not negative, --lr above 0.")
    if args.paper is not None:
        refuse_negative(paper=args.paper)
    picture_format(args.out)
    device = use_machine(args)
    photo = read_image(args.content, long_side=args.size)[None].float().div(255)
    options = loss_options.from_arguments(args)
    if args.paper is None:
        loss: ImageLoss = load_loss(options, args.style, device)
    else:
        loss = paper_loss(options, args.style, args.paper, device)
    least = max(LEAST_SIDE, loss.least_side)
    if min(photo.shape[2:]) < least:
        raise UserError(
            f"--size {args.size} makes the photo {photo.shape[3]} x {photo.shape[2]} pixels; "
            f"its shorter side must be at least {least}."
        )
    gatys = Gatys(
        loss,
        photo.to(device),
        args.optimizer,
        args.init,
        args.seed,
        args.lr,
        range_weight=RANGE_WEIGHT if args.paper is None else 0.0,
    )
    final = _optimise(gatys, args.steps, args.out, args.save_every)
    save_image(args.out, gatys.picture())
    print(f"{args.out}: {final.total:.4f} in {final.seconds:.0f} s")


def _optimise(gatys: Gatys, steps: int, out: Path, save_every: int) -> Progress:
    """All iterations, with a progress bar, a line of log each, and pictures on the way."""
    now = gatys.progress()
    log = out.with_suffix(".jsonl")
    write_whole(log, json.dumps(asdict(now)).encode() + b"\n")
    with tqdm(total=steps, unit="step") as bar:
        while now.iteration < steps:
            now = gatys.step()
            append_json(log, asdict(now))
            bar.update()
            shown = {name: f"{getattr(now, name):.4g}" for name in ("style", "content", "total")}
            bar.set_postfix(**shown)
            if save_every and now.iteration % save_every == 0 and now.iteration < steps:
                save_image(out.with_stem(f"{out.stem}-{now.iteration:04d}"), gatys.picture())
    return now
