# SPDX-License-Identifier: MPL-2.0
"""Normalization layers. Each can write itself into an ONNX graph.

All have a learned scale and shift per channel and compute in float32 whatever the input's
type: sums over a picture lose too much in bfloat16.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import UserError
from .onnx_graph import GraphWriter

if TYPE_CHECKING:
    from .generators import Generator

EPSILON = 1e-5
MOMENTUM = 0.1
"""Weight of the newest batch in the running statistics of batch normalization."""

Network = TypeVar("Network", bound="Generator")


class Norm(nn.Module, ABC):
    """A normalization of [N, C, H, W], to the same shape and type."""

    NEEDS_BIAS: ClassVar[bool] = False
    """Whether the convolution in front needs a bias: not where a mean is subtracted."""

    @abstractmethod
    def write(self, writer: GraphWriter, x: str, label: str) -> str:
        """Append this layer, as it works in use, to ``writer``."""


class InstanceNorm(Norm):
    """Instance normalization with a learned scale and shift per channel.

    ``y = scale * (x - mean) / sqrt(variance + 1e-5) + shift`` with mean and (biased)
    variance over height and width of each sample and channel: Ulyanov, Vedaldi and
    Lempitsky, "Instance Normalization: The Missing Ingredient for Fast Stylization"
    (arXiv:1607.08022), eq. 3. The same at training and use: no running statistics.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape and type."""
        y = F.instance_norm(x.float(), weight=self.scale, bias=self.shift, eps=EPSILON)
        return y.to(x.dtype)

    def write(self, writer: GraphWriter, x: str, label: str) -> str:
        """Append this layer to ``writer`` as one InstanceNormalization node."""
        scale, shift = (p.detach().float().cpu().numpy() for p in (self.scale, self.shift))
        return writer.instance_norm(x, label, scale, shift, EPSILON)


class BatchNorm(Norm):
    """Batch normalization: Ioffe and Szegedy (arXiv:1502.03167), algorithms 1 and 2.

    In training mean and variance are those of the batch, over samples, height and width.
    In use they are fixed: running averages of what training saw, with the unbiased variance.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape and type; in training it moves the averages."""
        y = F.batch_norm(
            *(x.float(), self.mean, self.variance, self.scale, self.shift),
            training=self.training,
            momentum=MOMENTUM,
            eps=EPSILON,
        )
        return y.to(x.dtype)

    def write(self, writer: GraphWriter, x: str, label: str) -> str:
        """Append this layer to ``writer`` as one BatchNormalization node."""
        values = (self.scale, self.shift, self.mean, self.variance)
        arrays = [v.detach().float().cpu().numpy() for v in values]
        return writer.batch_norm(x, label, arrays, EPSILON)


class NoNorm(Norm):
    """Nothing; the convolution in front keeps its bias."""

    NEEDS_BIAS: ClassVar[bool] = True

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """The input itself."""
        return x

    def write(self, writer: GraphWriter, x: str, label: str) -> str:
        """Append nothing."""
        return x


NORMS: dict[str, type[Norm]] = {"instance": InstanceNorm, "batch": BatchNorm, "none": NoNorm}


def norm_class(name: str) -> type[Norm]:
    """The normalization called ``name``, to be made with a number of channels."""
    if name not in NORMS:
        raise UserError(f"there is no normalization '{name}'; known are: {', '.join(NORMS)}.")
    return NORMS[name]


@torch.no_grad()
def freeze_statistics(generator: Network, images: Iterable[Tensor]) -> Network:
    """A copy of a generator that applies its instance norms with fixed statistics.

    The means and (biased) variances that each norm meets over all ``images`` are averaged,
    and used as batch normalization uses its running averages. What instance normalization
    would lose if it were applied at training only, as batch normalization is. The copy
    counts as one with batch normalization: it can be saved, rebuilt and exported.

    Args:
        generator: trained with instance normalization; not changed.
        images: batches [N, 3, H, W] in 0..1, of any sizes; every sample counts the same.
    """
    frozen = copy.deepcopy(generator).eval()
    norms = {n: m for n, m in frozen.named_modules() if isinstance(m, InstanceNorm)}
    if not norms:
        raise UserError("only a generator with instance normalization can be frozen.")
    sums = {
        name: torch.zeros(2, *m.scale.shape, device=m.scale.device) for name, m in norms.items()
    }
    samples = 0

    def gather(name: str, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0].float(), dim=(2, 3), correction=0)
        sums[name] += torch.stack([mean.sum(0), variance.sum(0)])

    hooks = [m.register_forward_pre_hook(partial(gather, name)) for name, m in norms.items()]
    for batch in images:
        frozen(batch)
        samples += len(batch)
    for hook in hooks:
        hook.remove()
    if not samples:
        raise UserError("statistics need at least one image.")
    for name, norm in norms.items():
        fixed = BatchNorm(norm.scale.numel()).to(norm.scale.device)
        mean, variance = sums[name] / samples
        fixed.load_state_dict(
            {"scale": norm.scale, "shift": norm.shift, "mean": mean, "variance": variance}
        )
        frozen.set_submodule(name, fixed)
    frozen.norm = "batch"
    return frozen.eval()
