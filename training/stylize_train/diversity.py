# SPDX-License-Identifier: MPL-2.0
"""Different pictures from different noise: Ulyanov, Vedaldi and Lempitsky, "Improved Texture
Networks: Maximizing Quality and Diversity in Feed-forward Stylization and Texture Synthesis"
(arXiv:1701.02096).

The pictures x with a small loss L(x) form a Julesz ensemble, p(x) ~ exp(-L(x) / T). A
generator that turns noise into pictures with the density q is brought to it by minimizing

    KL(q || p) = E_q[L] / T - H(q) + constant,

so besides the loss it is asked for a large entropy H(q).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CELL = 4
"""Side in pixels of the squares whose means are compared."""
LEAST = 1 / 255
"""Differences are blurred by one grey level: below it pictures look the same anyway, and
the logarithm's slope at 0 has no bound."""


def entropy(images: Tensor) -> Tensor:
    """Entropy per dimension of the density that [B, 3, H, W] in 0..1 are samples of, up to a
    constant, in nats; B is at least 2.

    The estimator of Kozachenko and Leonenko (1987) from distances to the nearest other
    sample, in D dimensions:

        H = D / B * sum_i ln min_{j != i} |x_i - x_j| + constant(B, D).

    Per dimension, with |x| / sqrt(D) in place of |x|, this is the mean logarithm of root mean
    square differences: the same scale for every size of picture, between ln(1/255) = -5.5
    for equal pictures and 0 for black and white.

    The samples are pictures, since p is a density of pictures, and not features, on which
    the loss already makes demands that all should meet. They are taken at a quarter of the size:
    grain would be the cheapest way to differ, and nobody would call it a different picture.
    """
    means = F.avg_pool2d(images.float(), CELL).flatten(1)
    squares = (means[:, None] - means[None]).square().mean(2)
    self_pairs = torch.eye(len(means), dtype=torch.bool, device=means.device)
    nearest = squares.masked_fill(self_pairs, torch.inf).amin(1)
    return 0.5 * (nearest + LEAST**2).log().mean()
