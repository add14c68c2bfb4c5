# SPDX-License-Identifier: MPL-2.0
"""What one step of a campaign learns: a painting's look, or a teacher's pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..balance import Balance
from ..losses import PerceptualLoss
from ..painted import photo_error
from ..pixels import PixelStatistics, power_spectra
from .plan import Plan

WEIGHED = ("tv", "lattice", "palette", "octaves", "weave", "repetition", "photo")
"""Terms whose weights are the plan's values of these names."""


Generate = Callable[[Tensor, Sequence[Tensor], Tensor], Tensor]
"""From photos, noise and mixes of styles to pictures."""


class Objective:
    """What both kinds of step share: the balance of the terms.

    Args:
        plan: weights of the terms.
        loss: style and content.
        balance: running values, which decide what the style term weighs.
        pixels: of each painting, in the order of the styles.
    """

    def __init__(
        self, plan: Plan, loss: PerceptualLoss, balance: Balance, pixels: PixelStatistics
    ) -> None:
        self.plan, self.loss, self.balance, self.pixels = plan, loss, balance, pixels

    def balanced(
        self,
        terms: Mapping[str, Tensor],
        output: Tensor,
        photo: Tensor,
        which: Tensor,
        ratios: Sequence[float],
        main: Tensor,
    ) -> dict[str, Tensor]:
        """Add the errors of pixels and, from ``main`` and all by their weights, ``total``."""
        plan, terms = self.plan, dict(terms)
        each = terms.pop("each_style")
        styles = which.tolist()
        self.balance.note_content(main.item())
        self.balance.note_style(styles, each.tolist())
        weights = torch.tensor(self.balance.weights(styles, ratios), device=each.device)
        terms["palette"] = self.pixels.palette_error(output, which).mean()
        terms["octaves"] = self.pixels.octave_error(output, which).mean()
        spectra = power_spectra(output)
        terms["weave"] = self.pixels.weave_error(spectra, which).mean()
        terms["repetition"] = self.pixels.repetition_error(spectra, which).mean()
        terms["photo"] = photo_error(output, photo, plan.photo_most).mean()
        others = sum(getattr(plan, name) * terms[name] for name in WEIGHED)
        terms["total"] = (weights * each).mean() + main + others
        return terms


class Perceptual(Objective):
    """The perceptual loss, balanced for each style."""

    def __call__(
        self,
        output: Tensor,
        photo: Tensor,
        which: Tensor,
        ratios: Sequence[float],
        mix: Tensor,
        noise: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """Terms of a batch, all scalars, and the ``total`` that is minimised.

        Args:
            output: of the generator, [N, 3, H, W] in 0..1.
            photo: that it came from.
            which: style of each sample, [N].
            ratios: of the style term to the content term, for each sample.
            mix: which as one-hot rows; not read.
            noise: what the generator read besides; not read.
        """
        terms = self.loss(output, photo, which)
        return self.balanced(terms, output, photo, which, ratios, terms["content"])

    def taught(self, teach: Generate) -> Taught:
        """The same for a step that learns a teacher's pictures."""
        return Taught(self.plan, self.loss, self.balance, self.pixels, teach)


class Taught(Objective):
    """A teacher's pictures: the difference in pixels and in features, beside a style term."""

    def __init__(
        self,
        plan: Plan,
        loss: PerceptualLoss,
        balance: Balance,
        pixels: PixelStatistics,
        teach: Generate,
    ) -> None:
        super().__init__(plan, loss, balance, pixels)
        self.teach = teach

    def __call__(
        self,
        output: Tensor,
        photo: Tensor,
        which: Tensor,
        ratios: Sequence[float],
        mix: Tensor,
        noise: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """Terms of a batch as ``Perceptual`` gives them.

        The teacher has the same ``mix`` and ``noise``, and sees the clean photo. ``pixel`` is the
        mean absolute difference in 0..1, ``feature`` the relative squared difference of
        standardized content features.
        """
        with torch.no_grad():
            wanted = self.teach(photo, noise, mix)
        terms = self.loss(output, wanted, which)
        terms["feature"] = terms.pop("content")
        terms["pixel"] = (output - wanted).abs().mean()
        guided = self.plan.pixel * terms["pixel"] + self.plan.feature * terms["feature"]
        return self.balanced(terms, output, photo, which, ratios, guided)
