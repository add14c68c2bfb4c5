# SPDX-License-Identifier: MPL-2.0
"""Convolution kernels rewritten into forms that runtimes execute faster.

Each is exact but for the order of float sums.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float32]


def array(parameter: Tensor) -> Array:
    """A parameter as a NumPy array."""
    return parameter.detach().float().cpu().numpy()


def bias_of(conv: nn.Conv2d) -> Array | None:
    """The bias of a convolution, if it has one."""
    return None if conv.bias is None else array(conv.bias)


def merge_nearest(weight: Array) -> Array:
    """Fold "nearest x2, reflect 1, 3x3" into "replicate 1, 4x4 transposed by 2, crop 3".

    Row ``r`` of the large result reads large rows r-1, r, r+1, which are only two small
    rows: an even row its own (two taps) and the one above, an odd row its own and the one
    below. So a small row reaches four large rows, and the kernel is the sum of the taps
    that reach each. Replication before enlarging is reflection after it.

    [out, in, 3, 3] to [in, out, 4, 4].
    """
    # reach[k, t]: tap t of the 3x3 kernel reaches row k of the four.
    reach = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=weight.dtype)
    return np.einsum("kt,lu,oitu->iokl", reach, reach, weight)


def merge_unshuffle(weight: Array) -> Array:
    """Fold "pixel-unshuffle 2, kxk by s" into one 2kx2k convolution by 2s.

    [out, in * 4, k, k] to [out, in, 2k, 2k].
    """
    outputs, inputs, size, _ = weight.shape
    w = weight.reshape(outputs, inputs // 4, 2, 2, size, size)
    return w.transpose(0, 1, 4, 2, 5, 3).reshape(outputs, inputs // 4, 2 * size, 2 * size)


def four_at_once(weight: Array) -> Array:
    """A kxk convolution that gives the 2x2 pixels of a block as channels: (k+1)x(k+1) by 2.

    Runtimes compute output channels in groups of 8 or 16, so a layer with three leaves most
    of a group idle. With twelve it runs twice as fast, for (k+1)^2 / k^2 of the work.
    ``DepthToSpace`` (DCR) puts the pixels back.

    [out, in, k, k] to [4 * out, in, k+1, k+1], channels in (row, column, channel) order.
    """
    outputs, inputs, size, _ = weight.shape
    wide = np.zeros((2, 2, outputs, inputs, size + 1, size + 1), weight.dtype)
    for dy in range(2):
        for dx in range(2):
            wide[dy, dx, :, :, dy : dy + size, dx : dx + size] = weight
    return wide.reshape(4 * outputs, inputs, size + 1, size + 1)


def dcr(value: Array, block: int = 2) -> Array:
    """Reorder output channels (axis 0) from pixel-shuffle order to DepthToSpace's DCR order."""
    channels = value.shape[0] // block**2
    order = np.arange(value.shape[0]).reshape(channels, block**2).T.reshape(-1)
    return value[order]


@torch.no_grad()
def icnr_(weight: Tensor, factor: int) -> None:
    """Give the ``factor**2`` output channels of each shuffled pixel the same kernel, in place.

    The output then starts as a nearest-neighbour enlargement and shows no lattice:
    Aitken et al., "Checkerboard artifact free sub-pixel convolution" (arXiv:1707.02937).
    ``weight`` is [C * factor**2, in, kh, kw].
    """
    block = factor * factor
    weight.copy_(weight[::block].repeat_interleave(block, dim=0))
