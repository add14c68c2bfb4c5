# SPDX-License-Identifier: MPL-2.0
"""What one step of a campaign learns: a painting's look, or a teacher's pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..balance import Balance
from ..generators import Generator
from ..losses import PerceptualLoss
from .plan import Plan


class Perceptual:
    """The perceptual loss, balanced for each style."""

    def __init__(self, plan: Plan, loss: PerceptualLoss, balance: Balance) -> None:
        self.plan, self.loss, self.balance = plan, loss, balance

    def __call__(
        self,
        output: Tensor,
        photo: Tensor,
        which: Tensor,
        ratios: Sequence[float],
        mix: Tensor,
    ) -> dict[str, Tensor]:
        """Terms of a batch, all scalars, and the ``total`` that is minimised.

        Args:
            output: of the generator, [N, 3, H, W] in 0..1.
            photo: that it came from.
            which: style of each sample, [N].
            ratios: of the style term to the content term, for each sample.
            mix: which as one-hot rows; not read.
        """
        terms = self.loss(output, photo, which)
        self.balance.note_content(terms["content"].item())
        return balanced(self.plan, terms, which, ratios, self.balance, terms["content"])


class Taught:
    """A teacher's pictures: the difference in pixels and in features, beside a little style."""

    def __init__(
        self, plan: Plan, loss: PerceptualLoss, balance: Balance, teacher: Generator
    ) -> None:
        self.plan, self.loss, self.balance = plan, loss, balance
        self.teacher = teacher.eval().requires_grad_(False)

    def __call__(
        self,
        output: Tensor,
        photo: Tensor,
        which: Tensor,
        ratios: Sequence[float],
        mix: Tensor,
    ) -> dict[str, Tensor]:
        """Terms of a batch as ``Perceptual`` gives them; ``mix`` is the teacher's, too.

        The teacher sees the clean photo. ``pixel`` is the mean absolute difference in 0..1,
        ``feature`` the relative squared difference of standardized content features.
        """
        with torch.no_grad():
            wanted = self.teacher(photo, None, mix)
        terms = self.loss(output, wanted, which)
        terms["feature"] = terms.pop("content")
        terms["pixel"] = (output - wanted).abs().mean()
        guided = self.plan.pixel * terms["pixel"] + self.plan.feature * terms["feature"]
        self.balance.note_content(guided.item())
        return balanced(self.plan, terms, which, ratios, self.balance, guided)


def balanced(
    plan: Plan,
    terms: Mapping[str, Tensor],
    which: Tensor,
    ratios: Sequence[float],
    balance: Balance,
    main: Tensor,
) -> dict[str, Tensor]:
    """Add the weighed style term, smoothness and lattice to the ``main`` term."""
    terms = dict(terms)
    each = terms.pop("each_style")
    styles = which.tolist()
    balance.note_style(styles, each.tolist())
    weights = torch.tensor(balance.weights(styles, ratios), device=each.device)
    terms["total"] = (
        (weights * each).mean() + main + plan.tv * terms["tv"] + plan.lattice * terms["lattice"]
    )
    return terms
