# SPDX-License-Identifier: MPL-2.0
"""The loss network: features of VGG-19 or VGG-16 (Simonyan and Zisserman, arXiv:1409.1556)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import UserError

PLAN: tuple[tuple[int, ...], ...] = (
    (64, 64),
    (128, 128),
    (256, 256, 256, 256),
    (512, 512, 512, 512),
    (512, 512, 512, 512),
)
"""VGG-19: output channels of each 3x3 convolution, block by block; 2x2 pooling joins blocks."""

NETWORKS: dict[str, tuple[tuple[int, ...], ...]] = {
    "vgg19": PLAN,
    "vgg16": tuple(block[:3] for block in PLAN),
}
"""Plans by name; VGG-16 is VGG-19 without the fourth convolution of blocks 3 to 5."""

CONVENTIONS = ("caffe", "torchvision")
POOLINGS = ("max", "average")


def layer_names(network: str = "vgg19") -> tuple[str, ...]:
    """All convolutions of a network in order: ``conv1_1``, ``conv1_2``, ``conv2_1``, ..."""
    if network not in NETWORKS:
        raise UserError(f"there is no loss network '{network}'; known are: {', '.join(NETWORKS)}.")
    plan = enumerate(NETWORKS[network], 1)
    return tuple(f"conv{b}_{i}" for b, block in plan for i in range(1, len(block) + 1))


class Vgg(nn.Module):
    """A VGG up to the deepest layer asked for; frozen.

    Args:
        weights: ``convB_L.weight`` [out, in, 3, 3] and ``convB_L.bias`` [out].
        convention: how pixels are prepared. ``caffe``: 0..255, BGR, channel means
            subtracted. ``torchvision``: 0..1, RGB, mean subtracted, divided by deviation.
        layers: the layers that will be read; deeper ones are left out.
        network: ``vgg19`` or ``vgg16``.
        pooling: ``max``, as trained, or ``average``, which Gatys, Ecker and Bethge (CVPR 2016,
            section 2) found to give slightly more appealing results. Averages are not scaled
            up: the root mean square of max-pooled features is 1.1 to 1.8 times larger, but
            a loss relative to a target through the same network does not see that factor.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        convention: str,
        layers: Collection[str],
        network: str = "vgg19",
        pooling: str = "max",
    ) -> None:
        super().__init__()
        known = layer_names(network)
        unknown = sorted(set(layers) - set(known))
        if unknown:
            raise UserError(
                f"{title(network)} has no layer '{unknown[0]}' ({known[0]} ... {known[-1]})."
            )
        if pooling not in POOLINGS:
            raise UserError(f"unknown pooling '{pooling}': use max or average.")
        self.names = known[: 1 + max(known.index(name) for name in layers)]
        missing = [name for name in self.names if name not in held_layers(weights, network)]
        if missing:
            raise UserError(
                f"the VGG weights lack {missing[0]}, which a loss on {self.names[-1]} needs; "
                "choose shallower layers or a more complete file."
            )
        self.convs = nn.ModuleDict()
        inputs = 3
        for name in self.names:
            weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
            if weight.shape != (len(weight), inputs, 3, 3) or bias.shape != (len(weight),):
                raise UserError(
                    f"the VGG weights of {name} have the shape {tuple(weight.shape)} in the place "
                    f"of [out, {inputs}, 3, 3]; give a file with a {title(network)}."
                )
            conv = nn.Conv2d(inputs, len(weight), 3, padding=1)
            conv.load_state_dict({"weight": weight, "bias": bias})
            self.convs[name] = conv
            inputs = len(weight)
        self.network = network
        self.stride = 2 ** (len({name[: len("conv1")] for name in self.names}) - 1)
        self._pool = F.max_pool2d if pooling == "max" else F.avg_pool2d
        if convention == "caffe":
            scale, mean = torch.full((3,), 255.0), torch.tensor([123.68, 116.779, 103.939])
            self._swap = True
        elif convention == "torchvision":
            deviation = torch.tensor([0.229, 0.224, 0.225])
            scale, mean = 1 / deviation, torch.tensor([0.485, 0.456, 0.406]) / deviation
            self._swap = False
        else:
            raise UserError(f"unknown VGG convention '{convention}': use caffe or torchvision.")
        self.register_buffer("_scale", scale.view(1, 3, 1, 1))
        self.register_buffer("_mean", mean.view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Activations after the ReLU of each named layer.

        Args:
            image: [N, 3, H, W], RGB in 0..1.
            layers: names such as ``conv3_1``.

        Returns:
            name to [N, C, H / 2**(block-1), W / 2**(block-1)].
        """
        wanted = set(layers)
        last = max(self.names.index(name) for name in wanted)
        x = image * self._scale - self._mean
        if self._swap:
            x = x.flip(1)
        x = x.contiguous(memory_format=torch.channels_last)
        features: dict[str, Tensor] = {}
        for name in self.names[: last + 1]:
            if name.endswith("_1") and name != "conv1_1":
                x = self._pool(x, 2)
            x = F.relu(self.convs[name](x), inplace=True)
            if name in wanted:
                features[name] = x
        return features


def title(network: str) -> str:
    """A network's name in prose: ``VGG-19``."""
    return network.upper().replace("VGG", "VGG-")


def held_layers(weights: Mapping[str, Tensor], network: str = "vgg19") -> tuple[str, ...]:
    """The layers that a set of weights reaches: all before the first that it lacks."""
    held: list[str] = []
    for name in layer_names(network):
        if not {f"{name}.weight", f"{name}.bias"} <= weights.keys():
            break
        held.append(name)
    return tuple(held)


def read_weights(
    path: Path | None, convention: str = "auto", network: str = "vgg19"
) -> tuple[dict[str, Tensor], str]:
    """Weights and pixel convention of a safetensors file, or (``path`` None) of torchvision.

    ``convention`` is ``caffe``, ``torchvision`` or ``auto``: tell it from the file.
    """
    if path is None:
        return _from_torchvision(network), "torchvision"
    weights, found = _from_file(path, network)
    if convention == "auto":
        if found is None:
            raise UserError(
                f"{path} does not say how pixels are prepared; "
                "give --vgg-convention caffe or torchvision."
            )
        convention = found
    return weights, convention


def random_weights(seed: int = 0, widths: tuple[tuple[int, ...], ...] = PLAN) -> dict[str, Tensor]:
    """Untrained weights, for tests and trials without the real ones."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}
    inputs = 3
    for b, block in enumerate(widths, 1):
        for i, outputs in enumerate(block, 1):
            w = torch.randn(outputs, inputs, 3, 3, generator=generator)
            weights[f"conv{b}_{i}.weight"] = w * (2 / (9 * inputs)) ** 0.5
            weights[f"conv{b}_{i}.bias"] = torch.zeros(outputs)
            inputs = outputs
    return weights


def _from_file(path: Path, network: str) -> tuple[dict[str, Tensor], str | None]:
    weights, metadata = read_safetensors(path)
    if "features.0.weight" in weights:
        return _rename_torchvision(weights, network), metadata.get("convention", "torchvision")
    if "conv0.weight" in weights:
        raise UserError(
            f"{path} is a distilled VGG: say --loss-network distilled, or give it with --judge."
        )
    if "conv1_1.weight" not in weights:
        raise UserError(
            f"{path} holds no {title(network)}: neither conv1_1.weight nor features.0.weight."
        )
    foreign = {name.rsplit(".", 1)[0] for name in weights} - set(layer_names(network))
    if foreign & set(layer_names("vgg19")):
        raise UserError(f"{path} holds VGG-19: say --loss-network vgg19.")
    said = metadata.get("convention")
    if said is None and "BGR" in metadata.get("preprocessing", ""):
        said = "caffe"
    return weights, said


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors as float32, and the metadata, of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"the VGG file {path} does not exist; give the path of one.") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {error}.") from None
    return weights, metadata


def _rename_torchvision(weights: dict[str, Tensor], network: str) -> dict[str, Tensor]:
    """``features.N`` to ``convB_L``: indices count convolutions, ReLUs and poolings."""
    renamed: dict[str, Tensor] = {}
    index = 0
    for b, block in enumerate(NETWORKS[network], 1):
        for i in range(1, len(block) + 1):
            for part in ("weight", "bias"):
                key = f"features.{index}.{part}"
                if key in weights:
                    renamed[f"conv{b}_{i}.{part}"] = weights[key]
            index += 2
        index += 1
    return renamed


def _from_torchvision(network: str) -> dict[str, Tensor]:
    try:
        from torchvision.models import VGG16_Weights, VGG19_Weights
    except ImportError:
        raise UserError(
            f"the default {title(network)} weights need torchvision, which is not installed "
            "(training/setup.sh does that); or give a file with --vgg."
        ) from None
    chosen = {"vgg16": VGG16_Weights, "vgg19": VGG19_Weights}[network].IMAGENET1K_V1
    try:
        state = chosen.get_state_dict(progress=True)
    except (OSError, RuntimeError) as error:  # no network; a download that was cut off
        raise UserError(
            f"torchvision could not download {title(network)}: {error}; "
            "try again, or give a file with --vgg."
        ) from None
    return _rename_torchvision(state, network)
