# SPDX-License-Identifier: MPL-2.0
"""The distilled VGG-19: a loss network, or a judge, at a fraction of VGG-19's work.

VGG-19 with about 1/16 of its parameters (Wang et al., "Collaborative Distillation for
Ultra-Resolution Universal Style Transfer", CVPR 2020). It takes 15 kMAC per pixel to relu4_1 and
23 to relu5_1, and its relu4_1 and relu5_1 see 68 and 156 pixels across, which no layer of a loss on
VGG-19's blocks 1 to 3 does. After the first convolution of each block a 1x1 *head* restores
VGG-19's full width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import UserError
from .vgg import layer_names

STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
CONTENT_LAYER = "conv3_1"
"""Default layers: those that have heads."""


class DistilledVgg(nn.Module):
    """The distilled network up to the deepest layer asked for; frozen.

    Args:
        weights: ``conv0`` [3, 3, 1, 1], which makes RGB in 0..1 the BGR less its mean that
            VGG expects, ``convB_L`` [out, in, 3, 3] and ``convB_1_aux`` [full, out, 1, 1],
            each ``.weight`` and ``.bias``.
        layers: the layers that will be read; deeper ones are left out.
        heads: whether features are those of the heads, of VGG-19's full width.
    """

    network = "distilled"

    def __init__(
        self, weights: Mapping[str, Tensor], layers: Collection[str], heads: bool = False
    ) -> None:
        super().__init__()
        known = layer_names("vgg19")
        for layer in layers:
            if layer not in known or (heads and layer not in STYLE_LAYERS):
                have = ", ".join(STYLE_LAYERS) if heads else f"{known[0]} ... {known[-1]}"
                raise UserError(f"the distilled VGG-19 has no layer '{layer}' ({have}).")
        self.names = known[: 1 + max(known.index(name) for name in layers)]
        self.heads = heads
        self.stride = 2 ** (int(self.names[-1][len("conv")]) - 1)
        self.convs = nn.ModuleDict()
        for name in ("conv0", *self.names, *(f"{n}_aux" for n in layers if heads)):
            parts = {part: weights.get(f"{name}.{part}") for part in ("weight", "bias")}
            if None in parts.values():
                raise UserError(f"the weights lack {name}; a distilled VGG-19 is needed.")
            outputs, inputs, kernel, _ = parts["weight"].shape
            conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect")
            conv.load_state_dict(parts)
            self.convs[name] = conv
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Activations after the ReLU of each named layer.

        Args:
            image: [N, 3, H, W], RGB in 0..1; H and W at least twice ``stride``.
            layers: of those that the network was made for.

        Returns:
            name to [N, C, H / 2**(block-1), W / 2**(block-1)].
        """
        wanted = set(layers)
        last = max(self.names.index(name) for name in wanted)
        x = self.convs["conv0"](image.contiguous(memory_format=torch.channels_last))
        features: dict[str, Tensor] = {}
        for name in self.names[: last + 1]:
            if name.endswith("_1") and name != "conv1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(self.convs[name](x), inplace=True)
            if name in wanted:
                features[name] = F.relu(self.convs[f"{name}_aux"](x)) if self.heads else x
        return features
