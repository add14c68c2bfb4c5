# SPDX-License-Identifier: MPL-2.0
"""The reference method: the paper's loss, both optimisers, the command."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from stylize_train import vgg
from stylize_train.cli import main
from stylize_train.errors import UserError
from stylize_train.gatys import Gatys, PaperLoss
from stylize_train.loss_options import Layers, LossOptions, perceptual_loss

NARROW = ((4, 4), (6, 6), (8, 8, 8, 8), (8, 8, 8, 8), (8,))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "vgg.safetensors"
    save_file(vgg.random_weights(0, NARROW), path, metadata={"convention": "torchvision"})
    return path


def pictures(count: int, side: int = 32) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, side, side, generator=random) for _ in range(count)]


def test_the_papers_loss_against_its_formulas() -> None:
    network = vgg.Vgg(vgg.random_weights(0, NARROW), "torchvision", ["conv2_1"])
    style, output, photo = pictures(3, 8)
    layers = Layers(("conv1_1", "conv2_1"), "conv1_2")
    loss = PaperLoss(network, style, layers, style_weight=7)
    terms = loss.against(output, loss.content_target(photo))

    def features(image: Tensor, name: str) -> np.ndarray:
        found = network(image, [name])[name][0].double().numpy()
        return found.reshape(len(found), -1)

    f, p = features(output, "conv1_2"), features(photo, "conv1_2")
    content = (
        sum((f[i, j] - p[i, j]) ** 2 for i in range(f.shape[0]) for j in range(f.shape[1])) / 2
    )
    style_error = 0.0
    for name in layers.style:
        f, s = features(output, name), features(style, name)
        n, m = f.shape
        g, a = f @ f.T, s @ s.T
        style_error += ((g - a) ** 2).sum() / (4 * n**2 * m**2) / 2
    assert terms["content"].item() == pytest.approx(content, rel=1e-4)
    assert terms["style"].item() == pytest.approx(style_error, rel=1e-4)
    assert terms["total"].item() == pytest.approx(content + 7 * style_error, rel=1e-4)


class Quadratic:
    """A loss whose minimum is known: the photo's double, more curved in some channels."""

    curvature = torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1, 1)

    def content_target(self, photo: Tensor) -> Tensor:
        return 0.5 * photo + 0.2

    def against(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        total = (self.curvature * (output - target).square()).mean()
        return {"style": total, "content": total, "total": total}


def test_lbfgs_falls_monotonically_to_the_minimum() -> None:
    (photo,) = pictures(1)
    gatys = Gatys(Quadratic(), photo)
    totals = [gatys.progress().total] + [gatys.step().total for _ in range(15)]
    assert all(after <= before for before, after in itertools.pairwise(totals))
    assert totals[-1] < 1e-6 * totals[0]
    torch.testing.assert_close(gatys.picture(), 0.5 * photo[0] + 0.2, atol=1e-3, rtol=0)


def test_lbfgs_on_features_beats_adam_at_equal_iterations(loss_network: vgg.Vgg) -> None:
    style, photo = pictures(2)
    loss = perceptual_loss(LossOptions(), loss_network, style)
    totals: dict[str, list[float]] = {}
    for optimizer in ("lbfgs", "adam"):
        gatys = Gatys(loss, photo, optimizer)
        steps = [gatys.progress(), *(gatys.step() for _ in range(10))]
        assert [step.iteration for step in steps] == list(range(11))
        totals[optimizer] = [step.total for step in steps]
    lbfgs, adam = totals["lbfgs"], totals["adam"]
    assert lbfgs[0] == adam[0]
    assert all(after <= before for before, after in itertools.pairwise(lbfgs))
    assert lbfgs[-1] < adam[-1] < adam[0]


def test_values_that_no_picture_holds_cost_something() -> None:
    class Bright(Quadratic):
        def content_target(self, photo: Tensor) -> Tensor:
            return photo + 1

    excess: dict[float, float] = {}
    for weight in (0.0, 100.0):
        gatys = Gatys(Bright(), *pictures(1), range_weight=weight)
        final = [gatys.step() for _ in range(20)][-1]
        excess[weight] = (gatys.image - gatys.image.clamp(0, 1)).square().mean().item()
        assert final.total == pytest.approx(final.style + weight * excess[weight], rel=1e-4)
    assert excess[100.0] < 0.2 * excess[0.0]


def test_evaluations_are_not_repeated() -> None:
    class Counting(Quadratic):
        calls = 0

        def against(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
            self.calls += 1
            return super().against(output, target)

    loss = Counting()
    gatys = Gatys(loss, *pictures(1))
    seen = [gatys.step() for _ in range(8)]
    assert seen[-1].evaluations == loss.calls
    assert seen[-1].evaluations - seen[1].evaluations <= 8


def test_starts(loss_network: vgg.Vgg) -> None:
    style, photo = pictures(2)
    loss = perceptual_loss(LossOptions(), loss_network, style)
    assert torch.equal(Gatys(loss, photo).picture(), photo[0])
    noise = [Gatys(loss, photo, init="noise", seed=seed).picture() for seed in (1, 1, 2)]
    assert torch.equal(noise[0], noise[1]) and not torch.equal(noise[0], noise[2])
    assert Gatys(loss, photo).progress().content == 0
    with pytest.raises(UserError, match="'newton'"):
        Gatys(loss, photo, "newton")


@pytest.mark.parametrize("options", [[], ["--optimizer", "adam", "--init", "noise"], ["--paper"]])
def test_command(options: list[str], photos: Path, painting: Path, weights: Path) -> None:
    out = weights.parent / "out" / "picture.png"
    command = ["gatys", photos / "photo-0.png", painting, out, "--vgg", weights, "--steps", 4]
    command += ["--size", 48, "--style-size", 64, "--save-every", 2, *options]
    assert main([str(word) for word in command]) == 0
    assert Image.open(out).size == (48, 40)
    names = sorted(path.name for path in out.parent.iterdir())
    assert names == ["picture-0002.png", "picture.jsonl", "picture.png"]
    lines = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [0, 1, 2, 3, 4]
    keys = {"iteration", "evaluations", "style", "content", "total", "seconds"}
    assert all(set(line) == keys for line in lines)
    assert lines[-1]["total"] < lines[0]["total"]


def test_bad_input(
    photos: Path, painting: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: object) -> str:
        paths = [photos / "photo-0.png", painting, weights.parent / "out.png", "--vgg", weights]
        assert main([str(word) for word in ["gatys", *paths, *words]]) == 1
        text = capsys.readouterr().err.splitlines()[-1]
        assert text.startswith("stylize-train: ")
        return text

    assert "--size 36 makes the photo 36 x 30" in refused("--size", 36)
    assert "--steps" in refused("--steps", 0)
    assert "no layer 'conv9_1'" in refused("--paper", "--style-layers", "conv9_1")
    (weights.parent / "out.jsonl").mkdir()
    assert "jsonl: Is a directory" in refused("--size", 48)
