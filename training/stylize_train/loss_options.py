# SPDX-License-Identifier: MPL-2.0
"""The options that make a loss, the same for every command that trains or measures with it."""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from . import distilled, vgg
from .arguments import separated
from .data import WHOLE, Part, read_image
from .errors import UserError
from .losses import (
    CONTENT_LAYER,
    CONTENT_TERMS,
    SCALES,
    STATISTICS,
    STYLE_LAYERS,
    LossNetwork,
    PerceptualLoss,
    Weights,
)


class Layers(NamedTuple):
    """The layers a loss reads."""

    style: tuple[str, ...]
    content: str


DEFAULT_LAYERS = {
    "vgg19": Layers(STYLE_LAYERS, CONTENT_LAYER),
    "vgg16": Layers(("conv1_2", "conv2_2", "conv3_2", "conv3_3"), CONTENT_LAYER),
    "distilled": Layers(distilled.STYLE_LAYERS, distilled.CONTENT_LAYER),
}
"""Layers on each network. On VGGs blocks 1 to 3, the image pyramid does the rest; the distilled
one sees far enough with all five."""

LEAST_PAINTING = 64
"""Pixels of a painting's shorter side; enlarging a smaller one makes no strokes, only a blur."""

log = logging.getLogger(__name__)


def refuse_negative(**options: float) -> None:
    """Refuse options that are below 0, or no finite number."""
    for name, value in options.items():
        if not 0 <= value < math.inf:
            option = "--" + name.replace("_", "-")
            raise UserError(f"{option} is {value:g} and must be a number from 0 up.")


@dataclass(kw_only=True)
class LossOptions:
    """What a loss is made of; the field names are those of the command line's options."""

    loss_network: str = "vgg19"
    vgg: str | None = None
    vgg_convention: str = "auto"
    pooling: str = "max"
    loss_heads: bool = False
    style_layers: tuple[str, ...] | None = None
    content_layer: str | None = None
    style_statistics: str = "gram"
    content_term: str = "standardized"
    style_size: int = 896
    style_weight: float = 16.0
    content_weight: float = 1.5
    tv: float = 0.02
    lattice: float = 1000.0
    scales: tuple[float, ...] = SCALES

    def check_loss(self) -> None:
        """Refuse values that cannot work."""
        if self.style_size < 32:
            raise UserError("--style-size must be at least 32.")
        refuse_negative(
            style_weight=self.style_weight,
            content_weight=self.content_weight,
            tv=self.tv,
            lattice=self.lattice,
        )
        if not all(0 <= w < math.inf for w in self.scales) or not any(self.scales):
            raise UserError("--scales needs weights that are not negative and not all zero.")

    def weights(self) -> Weights:
        """The weights of the terms."""
        return Weights(self.style_weight, self.content_weight, self.tv, self.lattice, self.scales)


def choose_layers(
    options: LossOptions, held: Sequence[str], defaults: Layers | None = None
) -> Layers:
    """Layers of a loss on a network that holds the layers ``held``, in their order.

    Layers asked for are taken as they are; whoever builds the network refuses those that
    it lacks. Of the default style layers only those are taken that the network holds:
    the coarser images of the pyramid show the shallower layers what the missing ones would
    see. A missing default content layer becomes the deepest held one.
    """
    style, content = defaults or DEFAULT_LAYERS[options.loss_network]
    return Layers(
        options.style_layers or tuple(n for n in style if n in held) or (held[-1],),
        options.content_layer or (content if content in held else held[-1]),
    )


def load_network(options: LossOptions, defaults: Layers | None = None) -> LossNetwork:
    """The loss network as far as its layers need it; says when a file cuts the default ones."""
    path = Path(options.vgg) if options.vgg else None
    if options.loss_network == "distilled":
        return _load_distilled(options, path)
    weights, convention = vgg.read_weights(path, options.vgg_convention, options.loss_network)
    held = vgg.held_layers(weights, options.loss_network)
    if not held:
        raise UserError(f"{path} lacks conv1_1; give a more complete file.")
    layers = choose_layers(options, held, defaults)
    if layers != choose_layers(options, vgg.layer_names(options.loss_network), defaults):
        log.warning(
            "%s ends at %s: style is compared on %s, content on %s.",
            *(path, held[-1], ", ".join(layers.style), layers.content),
        )
    return vgg.Vgg(
        weights, convention, {*layers.style, layers.content}, options.loss_network, options.pooling
    )


def _load_distilled(options: LossOptions, path: Path | None) -> distilled.DistilledVgg:
    if path is None:
        raise UserError(
            "--loss-network distilled needs its weights: give a distilled VGG-19 with --vgg."
        )
    weights, _ = vgg.read_safetensors(path)
    layers = choose_layers(options, vgg.layer_names("vgg19"))
    wanted = {*layers.style, layers.content}
    return distilled.DistilledVgg(weights, wanted, options.loss_heads)


def read_style(path: Path, size: int, part: Part = WHOLE) -> Tensor:
    """A painting at its stroke-setting size: [1, 3, H, W], RGB in 0..1, longer side ``size``.

    With ``part`` only that part of it, whose longer side is ``size`` then.
    """
    return read_image(path, long_side=size, least=LEAST_PAINTING, part=part)[None].float().div(255)


def perceptual_loss(
    options: LossOptions,
    network: LossNetwork,
    style: Tensor | Sequence[Tensor],
    autocast: bool = False,
) -> PerceptualLoss:
    """The loss that the options describe, on the network's device.

    ``style`` is a painting [1, 3, H, W] or several.
    """
    layers = choose_layers(options, network.names)
    return PerceptualLoss(
        network,
        style,
        options.weights(),
        layers.style,
        layers.content,
        autocast,
        options.style_statistics,
        options.content_term,
    )


def load_loss(options: LossOptions, painting: Path, device: str = "cpu") -> PerceptualLoss:
    """Network, painting and loss in one call, in float32."""
    options.check_loss()
    style = read_style(painting, options.style_size).to(device)
    return perceptual_loss(options, load_network(options).to(device), style)


def add_network_arguments(p: argparse.ArgumentParser) -> None:
    """``--vgg`` and how to read it."""
    d = LossOptions()
    p.add_argument("--vgg", help="VGG weights (.safetensors); default: torchvision's")
    p.add_argument("--vgg-convention", default="auto", choices=("auto", *vgg.CONVENTIONS))
    p.add_argument("--loss-network", default=d.loss_network, choices=sorted(DEFAULT_LAYERS))
    p.add_argument("--pooling", default=d.pooling, choices=vgg.POOLINGS)
    p.add_argument(
        "--loss-heads", action="store_true", help="distilled: features of VGG-19's full width"
    )


def add_arguments(p: argparse.ArgumentParser) -> None:
    """All options of the loss, as ``from_arguments`` reads them."""
    d = LossOptions()
    add_network_arguments(p)
    p.add_argument("--style-layers", type=separated(str), metavar="LAYER,...")
    p.add_argument("--content-layer", metavar="LAYER")
    p.add_argument("--style-statistics", default=d.style_statistics, choices=sorted(STATISTICS))
    p.add_argument("--content-term", default=d.content_term, choices=sorted(CONTENT_TERMS))
    p.add_argument(
        "--style-size", type=int, default=d.style_size, help="longer side of the painting, pixels"
    )
    p.add_argument("--style-weight", type=float, default=d.style_weight)
    p.add_argument("--content-weight", type=float, default=d.content_weight)
    p.add_argument("--tv", type=float, default=d.tv, help="weight of smoothness")
    p.add_argument("--lattice", type=float, default=d.lattice, help="weight against fixed patterns")
    p.add_argument(
        "--scales", type=separated(float), default=d.scales, help="style weight at 1, 1/2, ..."
    )


def from_arguments(args: argparse.Namespace) -> LossOptions:
    """The options among parsed arguments."""
    return LossOptions(**{f.name: getattr(args, f.name) for f in fields(LossOptions)})
