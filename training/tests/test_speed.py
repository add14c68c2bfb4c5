# SPDX-License-Identifier: MPL-2.0
"""What makes training fast must not change what is learned; the default loss network."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NoReturn

import pytest
import torch
from torch import Tensor, nn

from stylize_train import vgg
from stylize_train.errors import UserError
from stylize_train.loss_options import LossOptions, load_network
from stylize_train.losses import PerceptualLoss, Weights
from stylize_train.train import Trainer, run

Make = Callable[..., Trainer]


def pictures(count: int, side: int = 64) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, side, side, generator=random) for _ in range(count)]


def test_bfloat16_is_for_convolutions_and_losses_are_float32(loss_network: vgg.Vgg) -> None:
    style, output, photo = pictures(3)
    output.requires_grad_()
    whole, half = (
        PerceptualLoss(loss_network, style, Weights(), autocast=on) for on in (False, True)
    )
    assert half.features(output, ["conv3_1"])["conv3_1"].dtype == torch.bfloat16
    expected, terms = whole(output, photo), half(output, photo)
    for name, value in terms.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[name], rtol=0.03, atol=1e-4)
    (gradient,) = torch.autograd.grad(terms["total"], [output])
    assert gradient.dtype == torch.float32 and gradient.isfinite().all()


def test_a_generator_under_autocast_ends_in_float32(make_trainer: Make) -> None:
    trainer = make_trainer()
    image, noise, _ = trainer.batch()
    expected = trainer.generate(image, noise)
    trainer.autocast = True
    kinds: list[torch.dtype] = []
    trainer.generator.up.register_forward_hook(lambda _m, _i, out: kinds.append(out.dtype))
    output = trainer.generate(image, noise)
    assert kinds == [torch.bfloat16] and output.dtype == torch.float32
    assert (output - expected).square().mean().sqrt() < 0.02
    assert trainer.train_step()["total"] > 0
    assert all(p.dtype == torch.float32 for p in trainer.generator.parameters())


def test_the_loss_network_keeps_channels_last(loss_network: vgg.Vgg) -> None:
    for module in loss_network.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last)
    features = loss_network(pictures(1)[0], ["conv3_1"])["conv3_1"]
    assert features.is_contiguous(memory_format=torch.channels_last)


def test_images_per_second(make_trainer: Make, tmp_path: Path) -> None:
    result = run(make_trainer(steps=50, batch=1), tmp_path)
    (line,) = [json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert line["images_per_s"] > 0 and result.images_per_second > 0


def compiled(monkeypatch: pytest.MonkeyPatch, result: Callable[..., Tensor]) -> None:
    monkeypatch.setattr(torch, "compile", lambda _function: result)


def test_a_compiled_generator_is_used_if_it_agrees(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler itself takes minutes, and is PyTorch's to test."""
    trainer, plain = make_trainer(compile=True), make_trainer()
    calls = 0

    def generate(*words: object) -> Tensor:
        nonlocal calls
        calls += 1
        return trainer.generate(*words)  # type: ignore[arg-type]

    compiled(monkeypatch, generate)
    for _ in range(2):
        assert trainer.train_step() == plain.train_step()
    assert calls == 3, "once to compare, once for each step"


def test_a_compiler_that_fails_or_errs_is_refused(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_words: object) -> NoReturn:
        raise RuntimeError("no C++ compiler found\nand a long story")

    compiled(monkeypatch, fails)
    with pytest.raises(UserError, match=r"--compile does not work here.*no C\+\+ compiler found$"):
        make_trainer(compile=True).train_step()
    trainer = make_trainer(compile=True)
    compiled(monkeypatch, lambda *words: trainer.generate(*words) + 0.1)
    with pytest.raises(UserError, match=r"changes the generator's output by 25\.5 grey levels"):
        trainer.train_step()


def torchvision(get: Callable[..., dict[str, Tensor]]) -> ModuleType:
    """A stand-in for ``torchvision.models``, which is not installed with the tests."""
    module = ModuleType("torchvision.models")
    chosen = SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(get_state_dict=get))
    module.VGG16_Weights = module.VGG19_Weights = chosen  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize("network", vgg.NETWORKS)
def test_weights_come_from_torchvision_by_default(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its names count the layers of ``features``, a ReLU after each convolution."""
    names = vgg.layer_names(network)
    weights = vgg.random_weights(0, tuple((4,) * len(block) for block in vgg.NETWORKS[network]))
    layers: list[str | None] = []
    for name in names:
        layers += [None] if name.endswith("_1") and name != "conv1_1" else []
        layers += [name, None]
    state = {
        f"features.{index}.{part}": weights[f"{name}.{part}"]
        for index, name in enumerate(layers)
        for part in ("weight", "bias")
        if name
    }
    state["classifier.0.weight"] = torch.zeros(1)
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", torchvision(lambda progress: state))
    loaded = load_network(LossOptions(loss_network=network, content_layer=names[-1]))
    assert loaded.names == names
    for name in names:
        assert torch.equal(loaded.convs[name].weight, weights[f"{name}.weight"])


def test_without_torchvision_or_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(progress: bool) -> NoReturn:
        raise OSError("Name or service not known")

    def cut_off(progress: bool) -> NoReturn:
        raise RuntimeError('invalid hash value (expected "dcbb9e9d", got "0")')

    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    for get, said in ((unreachable, "Name or service"), (cut_off, "invalid hash")):
        monkeypatch.setitem(sys.modules, "torchvision.models", torchvision(get))
        with pytest.raises(UserError, match=f"could not download VGG-19: {said}.*--vgg"):
            load_network(LossOptions())
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(UserError, match="need torchvision"):
        load_network(LossOptions())
