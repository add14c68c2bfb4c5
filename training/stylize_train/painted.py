# SPDX-License-Identifier: MPL-2.0
"""How much a picture is painted anew, and at which sizes: measures that need no network.

All are of BT.709 luma in 0..1. What a generator *adds* to a frame is its output less the linear
function of the source that is nearest to it (least squares): a palette, a contrast curve or a haze
laid over the photo adds next to nothing, strokes and flat areas of their own do.

- ``painted_share``: the share of the output's variance that is added, 1 - r^2 for the correlation
  r of source and output. r^2 is the ``explained_share``.
- ``spectrum_distance``: half the sum of absolute differences between the octave shares of what is
  added and of the painting, that is the total variation distance of two spectra; 0 is the
  painting's stroke sizes, 1 has none of them. The energy of an octave is the variance that is lost
  when blocks of 2x2 pixels become their mean: with 2, 4 ... 128 pixels across (Haar's wavelet;
  Mallat, "A theory for multiresolution signal decomposition", 1989).
- ``contrast``: the standard deviation of the output's luma over the painting's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .data import LUMA

OCTAVES = 7
"""Octaves of a spectrum: blocks of 2, 4, 8, 16, 32, 64 and 128 pixels."""

LEAST_VARIANCE = 1e-8
"""A picture whose luma varies less is flat: a fortieth of a grey level."""


def luma(image: Tensor) -> Tensor:
    """[..., 3, H, W], RGB, to [..., H, W] in float64; sums over a million pixels stay exact."""
    weights = torch.tensor(LUMA, dtype=torch.float64, device=image.device)
    return torch.einsum("...chw,c->...hw", image.double(), weights)


def added(source: Tensor, output: Tensor) -> Tensor:
    """What the output's luma [H, W] holds beyond a linear function of the source's luma [H, W]."""
    x, y = source - source.mean(), output - output.mean()
    power = x.square().mean()
    slope = (x * y).mean() / power if power > LEAST_VARIANCE else 0.0
    return y - slope * x


def explained_share(source: Tensor, output: Tensor) -> Tensor:
    """Share of the variance of the outputs' lumas that is *not* added: r^2, 0..1.

    Args:
        source: lumas [..., H, W].
        output: the same pictures painted, [..., H, W].

    Returns:
        [...], with a gradient; 0 where one of the two is flat.
    """
    x, y = (luma - luma.mean((-2, -1), keepdim=True) for luma in (source, output))
    variances = [plane.square().mean((-2, -1)) for plane in (x, y)]
    flat = (variances[0] < LEAST_VARIANCE) | (variances[1] < LEAST_VARIANCE)
    product = variances[0] * variances[1] + LEAST_VARIANCE**2 * flat
    return ((x * y).mean((-2, -1)).square() / product).masked_fill(flat, 0.0)


def painted_share(source: Tensor, output: Tensor) -> float:
    """Share of the variance of the output's luma [H, W] that is ``added``; 0 of a flat output."""
    if output.var(correction=0) < LEAST_VARIANCE:
        return 0.0
    return 1.0 - explained_share(source, output).item()


def photo_error(output: Tensor, photo: Tensor, most: float) -> Tensor:
    """How much more of each output's luma is ``explained_share`` of the photo's than ``most``; [N].

    A loss for what style terms miss: a painting with few strokes is content with the photo in
    another palette, because statistics do not tell the photo's edges from the painter's.

    Args:
        output: [N, 3, H, W] in 0..1.
        photo: that it came from.
        most: the share of the variance, 0..1, that costs nothing.
    """
    return (explained_share(luma(photo), luma(output)) - most).clamp_min(0).float()


def octave_energies(picture: Tensor, octaves: int = OCTAVES) -> Tensor:
    """Variance in each octave of planes [..., H, W], the finest first: 2, 4, 8 ... pixels.

    The picture is cut to whole blocks of the coarsest octave. Only as many octaves are
    taken as fit at least once into the shorter side.
    """
    octaves = min(octaves, min(picture.shape[-2:]).bit_length() - 1)
    height, width = (side >> octaves << octaves for side in picture.shape[-2:])
    rest = picture[..., :height, :width].reshape(-1, 1, height, width)
    energies = []
    for _ in range(octaves):
        coarser = F.avg_pool2d(rest, 2)
        finer = rest - F.interpolate(coarser, scale_factor=2, mode="nearest")
        energies.append(finer.square().mean((1, 2, 3)))
        rest = coarser
    return torch.stack(energies, -1).reshape(*picture.shape[:-2], octaves)


def spectrum_distance(picture: Tensor, painting: Tensor) -> float:
    """Distance, 0..1, of two lumas' [H, W] octave shares over the octaves that both have.

    1 if only one of the two is flat.
    """
    count = min(len(octave_energies(picture)), len(octave_energies(painting)))
    sums = [octave_energies(p, count) for p in (picture, painting)]
    flat = [energies.sum() < LEAST_VARIANCE for energies in sums]
    if any(flat):
        return 0.0 if all(flat) else 1.0
    one, other = (energies / energies.sum() for energies in sums)
    return 0.5 * (one - other).abs().sum().item()


def contrast(output: Tensor, painting: Tensor) -> float:
    """Standard deviation of a luma [H, W] over that of the painting's; infinite if that is flat."""
    least = LEAST_VARIANCE**0.5
    deviation = painting.std(correction=0).item()
    return output.std(correction=0).item() / deviation if deviation > least else float("inf")


def measure_painted(source: Tensor, output: Tensor, painting: Tensor) -> dict[str, float]:
    """``painted_share``, ``spectrum`` and ``contrast`` of one frame.

    Args:
        source: the frame, [3, H, W], RGB in 0..1.
        output: the same frame painted.
        painting: at its training size, [3, H', W'].
    """
    before, after, aim = luma(source), luma(output), luma(painting)
    return {
        "painted_share": painted_share(before, after),
        "spectrum": spectrum_distance(added(before, after), aim),
        "contrast": contrast(after, aim),
    }
