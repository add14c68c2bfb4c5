# SPDX-License-Identifier: MPL-2.0
"""What the generator is trained for: perceptual losses on VGG features.

Every style and content term is divided by the energy of its own target, so a weight
means the same for every painting, photo and VGG convention.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import UserError

STYLE_LAYERS = ("conv1_2", "conv2_2", "conv3_2", "conv3_4")
CONTENT_LAYER = "conv3_1"
"""Default layers of VGG-19; ``loss_options.DEFAULT_LAYERS`` has those of VGG-16."""
SCALES = (1.0, 0.8, 0.5)
"""Weights of the image pyramid: full size, a half, a quarter, ..."""

LEAST_CONTENT = 0.5
"""Mean square of a photo's standardized features that content errors are relative to, at least.
Photos have 0.7 to 0.8, a crop of one colour has none or next to none."""


def gram(features: Tensor) -> Tensor:
    """Gram matrix per sample: [N, C, H, W] to float32 [N, C, C], divided by H*W.

    Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks"
    (CVPR 2016), eq. 3, up to the constant.
    """
    n, c, h, w = features.shape
    flat = features.reshape(n, c, h * w)
    return torch.bmm(flat, flat.transpose(1, 2)).float() / (h * w)


def mean_std(features: Tensor) -> Tensor:
    """Mean and (biased) deviation of each channel: [N, C, H, W] to float32 [N, 2C].

    The style statistics of Huang and Belongie, "Arbitrary Style Transfer in Real-Time with
    Adaptive Instance Normalization" (arXiv:1703.06868), eq. 13.
    """
    deviation, mean = torch.std_mean(features.float(), dim=(2, 3), correction=0)
    return torch.cat([mean, deviation], dim=1)


def pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """The image and its 2x, 4x, ... average-pooled copies: larger strokes without deeper layers."""
    images = [image]
    for _ in range(levels - 1):
        images.append(F.avg_pool2d(images[-1], 2))
    return images


def relative_errors(value: Tensor, target: Tensor, least: float = 1e-12) -> Tensor:
    """|value - target|^2 / |target|^2 of each sample: [N, ...] to [N]; ``target`` may broadcast.

    A target's energy counts as ``least`` at least.
    """
    dims = tuple(range(1, value.dim()))
    error = (value - target).square().sum(dims)
    energy = target.square().sum(dims)
    return error / energy.clamp_min(least)


def relative_error(value: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of ``relative_errors``."""
    return relative_errors(value, target).mean()


def standardized(features: Tensor) -> Tensor:
    """Each channel less its mean, over its deviation; [N, C, H, W] to float32.

    A tenth of the mean deviation of all channels is added, so that channels in which
    nothing happens stay quiet.
    """
    deviation, mean = torch.std_mean(features.float(), dim=(2, 3), correction=0, keepdim=True)
    return (features.float() - mean) / (deviation + 0.1 * deviation.mean(1, keepdim=True) + 1e-6)


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Squared difference of standardized features relative to the photo's: 0 is a perfect copy.

    Standardizing leaves brightness and contrast to the style term: a photo duller than the
    painting would otherwise hold the output's contrast down. Unrelated features give 2. A photo
    of one colour has no energy; ``LEAST_CONTENT`` takes its place, so the value stays below 2.
    """
    wanted = standardized(target)
    least = LEAST_CONTENT * wanted[0].numel()
    return relative_errors(standardized(features), wanted, least).mean()


def plain_content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Squared difference of the features themselves, relative to the photo's energy.

    Johnson, Alahi and Fei-Fei (arXiv:1603.08155), eq. 2, up to the divisor.
    """
    return relative_error(features.float(), target.float())


def total_variation(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, both directions. [N, C, H, W] in 0..1."""
    dx = (image[..., :, 1:] - image[..., :, :-1]).abs().mean()
    dy = (image[..., 1:, :] - image[..., :-1, :]).abs().mean()
    return dx + dy


def lattice(image: Tensor, period: int = 4) -> Tensor:
    """Energy of patterns that repeat every ``period`` pixels, in 0..1 squared.

    A network that enlarges can print a fixed pattern on flat areas, and the Gram losses of
    shallow layers even reward it as texture. Strokes average out over the positions of one
    phase, a pattern does not: this is the mean square of the ``period**2`` phase means in
    each window of 8 periods of the image less its local mean. Texture does not average out
    completely: 1/64 of its energy remains, so a large weight also reduces fine texture, and
    without a pattern the value is not zero. [N, 3, H, W] to a scalar.
    """
    before, after = period // 2, (period - 1) // 2
    padded = F.pad(image, (before, after, before, after), mode="reflect")
    fine = image - F.avg_pool2d(padded, period, stride=1)
    n, c, h, w = image.shape
    side = min(8 * period, h, w) // period * period
    rows, columns, cells = h // side, w // side, side // period
    fine = fine[..., : rows * side, : columns * side]
    cut = fine.reshape(n, c, rows, cells, period, columns, cells, period)
    phases = cut.mean((3, 6))
    return (phases - phases.mean((3, 5), keepdim=True)).square().mean()


def refuse_small(painting: Tensor, least: int) -> None:
    """Refuse a painting [1, 3, H, W] of which the coarsest features would have no pixel."""
    if min(painting.shape[2:]) < least:
        raise UserError(
            f"the painting is {painting.shape[3]} x {painting.shape[2]} pixels, and this "
            f"loss needs at least {least}: use a larger --style-size, shallower layers or "
            "fewer --scales."
        )


class Statistic(Protocol):
    """What a style layer compares: statistics of a painting's features, and errors from them."""

    def describe(self, features: Tensor) -> tuple[Tensor, ...]:
        """The statistics of features [N, C, H, W] as tensors [N, ...]."""
        ...

    def errors(self, features: Tensor, target: Sequence[Tensor]) -> Tensor:
        """Relative squared error of each sample, [N]; the target's first dimension is N or 1."""
        ...


class Plain:
    """A function of the features themselves, such as ``gram``."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def describe(self, features: Tensor) -> tuple[Tensor, ...]:
        """The function's value."""
        return (self.function(features),)

    def errors(self, features: Tensor, target: Sequence[Tensor]) -> Tensor:
        """``relative_errors`` of it."""
        return relative_errors(self.function(features), target[0])


class StandardizedMoments:
    """Second moments about the painting's own channel means, in units of its own deviations.

    Features behind a ReLU are positive, so most of a Gram matrix's energy is that of the means: a
    small network matches those and is done, with the photo in another palette. About the
    painting's means the matrix is the correlation of its channels, and every channel counts the
    same; a sample's wrong means count, too, as moments of their difference. A tenth of the mean
    deviation of all channels is added to each, so that channels in which nothing happens stay
    quiet (as in ``standardized``).
    """

    def describe(self, features: Tensor) -> tuple[Tensor, ...]:
        """Moments [N, C, C], means and deviations, both [N, C, 1, 1]."""
        deviation, mean = torch.std_mean(features, dim=(2, 3), correction=0, keepdim=True)
        deviation = deviation + 0.1 * deviation.mean(1, keepdim=True) + 1e-6
        return gram((features - mean) / deviation), mean, deviation

    def errors(self, features: Tensor, target: Sequence[Tensor]) -> Tensor:
        """``relative_errors`` of the moments about the target's means."""
        moments, mean, deviation = target
        return relative_errors(gram((features - mean) / deviation), moments)


STATISTICS: dict[str, tuple[Statistic, ...]] = {
    "gram": (Plain(gram),),
    "mean-std": (Plain(mean_std),),
    "both": (Plain(gram), Plain(mean_std)),
    "standardized": (StandardizedMoments(),),
}
"""What a style layer compares; the errors of ``both`` are averaged."""

CONTENT_TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "standardized": content_loss,
    "plain": plain_content_loss,
}


Target = tuple[Tensor, ...]
"""What a statistic knows of the paintings."""


class LossNetwork(Protocol):
    """What a loss reads features from: ``vgg.Vgg`` or ``distilled.DistilledVgg``."""

    stride: int
    """Pixels of the picture to one of the deepest features, along each side."""

    def __call__(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """[N, 3, H, W], RGB in 0..1, to features [N, C, h, w] by the layer's name."""
        ...


@dataclass
class Weights:
    """Weights of the terms (dimensionless)."""

    style: float = 16.0
    content: float = 1.5
    tv: float = 0.02
    lattice: float = 1000.0
    scales: Sequence[float] = SCALES
    periods: Sequence[int] = (4,)
    """Of the lattices: a network whose body works at an eighth of the size can print one of 8."""


class PerceptualLoss:
    """Style, content, smoothness and lattice of a stylized batch.

    The style term is the mean over layers of the relative error of Gram matrices (or
    means and deviations), averaged over the pyramid with the weights ``scales``; a value
    of 1 is what features of zero would get. With a VGG cut after block 3 the pyramid
    restores the scale that deeper layers see. Pictures need ``least_side`` pixels.

    Args:
        vgg: the loss network.
        style: the painting [1, 3, H, W], RGB in 0..1, already at the size that sets the strokes;
            or several, of any sizes.
        weights: weights of the terms.
        style_layers: layers of the style statistics.
        content_layer: layer of the content term.
        autocast: evaluate VGG in bfloat16 (sums and losses stay float32).
        statistics: a key of ``STATISTICS``.
        content_term: a key of ``CONTENT_TERMS``.
    """

    def __init__(
        self,
        vgg: LossNetwork,
        style: Tensor | Sequence[Tensor],
        weights: Weights,
        style_layers: Sequence[str] = STYLE_LAYERS,
        content_layer: str = CONTENT_LAYER,
        autocast: bool = False,
        statistics: str = "gram",
        content_term: str = "standardized",
    ) -> None:
        if statistics not in STATISTICS or content_term not in CONTENT_TERMS:
            known = [", ".join(table) for table in (STATISTICS, CONTENT_TERMS)]
            raise UserError(
                f"style statistics are {known[0]} and content terms {known[1]}; "
                f"asked for were '{statistics}' and '{content_term}'."
            )
        paintings = [style] if isinstance(style, Tensor) else style
        self.vgg = vgg
        self.device = paintings[0].device
        self.weights = weights
        self.style_layers = tuple(style_layers)
        self.content_layer = content_layer
        self.autocast = autocast
        self.statistics = STATISTICS[statistics]
        self.content_error = CONTENT_TERMS[content_term]
        total = sum(weights.scales)
        self.scale_weights = tuple(w / total for w in weights.scales)
        self.least_side = vgg.stride * 2 ** (len(weights.scales) - 1)
        for painting in paintings:
            refuse_small(painting, self.least_side)
        self.paintings = len(paintings)
        targets, traces = zip(*map(self._target, paintings), strict=True)
        # For each level, layer and statistic its tensors, the paintings along the first dimension.
        self.targets: list[dict[str, list[Target]]] = [
            {
                name: [
                    tuple(map(torch.cat, zip(*parts, strict=True)))
                    for parts in zip(*(t[name] for t in level), strict=True)
                ]
                for name in level[0]
            }
            for level in zip(*targets, strict=True)
        ]
        self._trace = sum(traces) / len(traces)

    @torch.no_grad()
    def _target(self, painting: Tensor) -> tuple[list[dict[str, list[Target]]], float]:
        """Statistics of a painting by level and layer, and its trace."""
        features = [
            self.features(image, self.style_layers)
            for image in pyramid(painting, len(self.scale_weights))
        ]
        squares = [f.float().square().mean().item() for f in features[0].values()]
        targets = [
            {name: [s.describe(f.float()) for s in self.statistics] for name, f in level.items()}
            for level in features
        ]
        return targets, sum(squares) / len(squares)

    def features(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """VGG features, in bfloat16 if asked for."""
        with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            return self.vgg(image, layers)

    def style_trace(self) -> float:
        """Trace of the painting's Gram matrices, mean over layers, relative to their size.

        Paintings with a large trace make a method flicker more (Gupta et al.,
        arXiv:1705.02092): compare paintings with it.
        """
        return self._trace

    @torch.no_grad()
    def content_target(self, photo: Tensor) -> Tensor:
        """What the content term compares with; [N, 3, H, W] in 0..1 to features."""
        return self.features(photo, [self.content_layer])[self.content_layer]

    def __call__(
        self, output: Tensor, photo: Tensor, which: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Losses of ``output`` against the painting and the ``photo`` it came from.

        Both are [N, 3, H, W] in 0..1; ``which`` [N] says which of several paintings each sample
        is after. Returns scalars: style, content, tv, lattice (unweighted) and total
        (weighted); and ``each_style`` [N], the style term of each sample.
        """
        return self.against(output, self.content_target(photo), which)

    def against(
        self, output: Tensor, target: Tensor, which: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The same, with the photo given by its ``content_target``."""
        if which is None and self.paintings > 1:
            raise ValueError("with several paintings each sample needs to know which is its own")
        style = output.new_zeros(len(output))
        content = output.new_zeros(())
        levels = zip(
            pyramid(output, len(self.targets)), self.targets, self.scale_weights, strict=True
        )
        for level, (image, targets, weight) in enumerate(levels):
            layers = list(self.style_layers)
            if level == 0:
                layers.append(self.content_layer)
            features = self.features(image, layers)
            if level == 0:
                content = self.content_error(features[self.content_layer], target)
            errors = [
                statistic.errors(
                    features[name].float(),
                    value if which is None else [part[which] for part in value],
                )
                for name, values in targets.items()
                for statistic, value in zip(self.statistics, values, strict=True)
            ]
            style = style + weight * torch.stack(errors).mean(0)
        tv = total_variation(output)
        fixed = sum((lattice(output, period) for period in self.weights.periods), tv.new_zeros(()))
        terms = {"style": style.mean(), "content": content, "tv": tv, "lattice": fixed}
        total = sum(getattr(self.weights, name) * value for name, value in terms.items())
        return {**terms, "total": total, "each_style": style}
