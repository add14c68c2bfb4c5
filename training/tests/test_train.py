# SPDX-License-Identifier: MPL-2.0
"""Training: falls, repeats, resumes, refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from test_judge import distilled_weights

from stylize_train import vgg
from stylize_train.cli import main
from stylize_train.config import Config, learning_rate
from stylize_train.data import Photos
from stylize_train.errors import UserError
from stylize_train.train import Trainer, run

Make = Callable[..., Trainer]


def parameters(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.generator.parameters()])


def test_loss_falls(make_trainer: Make) -> None:
    trainer = make_trainer(steps=60, lr=3e-3)
    losses = [trainer.train_step()["total"] for _ in range(60)]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_seed_decides_everything(make_trainer: Make) -> None:
    first, second, other = (make_trainer(steps=3, seed=s) for s in (5, 5, 6))
    for trainer in (first, second, other):
        run(trainer, quiet=True)
    assert torch.equal(parameters(first), parameters(second))
    assert not torch.equal(parameters(first), parameters(other))


def test_resumed_run_is_the_uninterrupted_one(make_trainer: Make, tmp_path: Path) -> None:
    whole = make_trainer(ema=0.9)
    run(whole, tmp_path / "whole", quiet=True)
    stopped = make_trainer(ema=0.9)
    stop_after, real = 5, stopped.train_step

    def step() -> dict[str, float]:
        if stopped.step == stop_after:
            raise KeyboardInterrupt
        return real()

    stopped.train_step = step  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(stopped, tmp_path / "part", every=0, quiet=True)
    resumed = make_trainer(ema=0.9)
    run(resumed, tmp_path / "part", resume=True, quiet=True)
    assert resumed.step == whole.step == 12
    assert torch.equal(parameters(resumed), parameters(whole))
    for a, b in zip(resumed.best().parameters(), whole.best().parameters(), strict=True):
        assert torch.equal(a, b)
    assert resumed.mean_losses() == whole.mean_losses()
    assert not list((tmp_path / "part").glob("*.part"))


def test_crops_are_varied_and_in_range(photos: Path) -> None:
    stream = Photos(photos, crop=32, seed=1)
    noisy, clean = stream.batch(8)
    assert noisy.shape == clean.shape == (8, 3, 32, 32)
    assert clean.min() >= 0 and clean.max() <= 1 and noisy.min() >= 0 and noisy.max() <= 1
    assert len({round(crop.mean().item(), 5) for crop in clean}) == 8
    assert 0 < (noisy - clean).std() < 0.03
    again = Photos(photos, crop=32, seed=1).batch(8)[1]
    assert torch.equal(clean, again)
    assert len(Photos(photos, 32, 1, exclude=["photo-0*"])) == 3


def test_enlarged_crops_are_smooth(tmp_path: Path) -> None:
    grain = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    Image.fromarray(grain).save(tmp_path / "grain.png")

    def roughness(enlarge: float) -> float:
        clean = Photos(tmp_path, crop=256, seed=1, enlarge=enlarge).batch(16)[1]
        return (clean.diff(dim=3).square().mean((1, 2, 3)) / clean.var((1, 2, 3))).min().item()

    # Pixels are strangers in a photo of grain; enlarged five times, neighbours are alike.
    assert roughness(1.0) > 0.5
    assert roughness(8.0) < 0.2


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_rate_falls_to_zero(schedule: str) -> None:
    config = Config("", "", steps=100, lr=0.5, schedule=schedule)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == 0.5 and rates[50] == pytest.approx(0.25) and rates[100] == 0
    assert rates == sorted(rates, reverse=True)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must fail; returns its one line."""
    assert main([str(a) for a in arguments]) == 1
    text = capsys.readouterr().err
    assert text.startswith("stylize-train: ") and text.count("\n") == 1
    return text


def test_bad_input_gets_one_sentence(
    photos: Path, painting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "vgg.safetensors"
    save_file(vgg.random_weights(0, ((8, 8), (8, 8), (8,))), weights)
    out = tmp_path / "m.onnx"

    def train(**changed: object) -> str:
        options = {"style": painting, "content": photos, "vgg": weights, "out": out, **changed}
        words = [w for k, v in options.items() for w in (f"--{k.replace('_', '-')}", v)]
        return refused(capsys, "train", *words)

    assert "does not exist" in train(style=tmp_path / "none.jpg")
    assert "not a picture" in train(style=weights)
    assert "photo folder" in train(content=tmp_path / "none")
    assert "--vgg-convention" in train()
    assert "lack conv3_2" in train(vgg_convention="caffe", style_layers="conv1_2,conv3_2")
    assert "safetensors" in train(vgg=painting)
    assert "--lr" in train(lr=0)
    assert "--crop" in train(crop=8)
    (tmp_path / "empty").mkdir()
    assert "no picture" in train(content=tmp_path / "empty")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "notes.txt").write_text("not a picture")
    assert "no picture" in train(content=mixed)
    assert "does not exist" in refused(capsys, "stylize", tmp_path / "no.onnx", painting, out)
    assert "not a checkpoint" in refused(capsys, "export", painting, "--out", out)
    assert not out.exists()


def test_checkpoint_of_another_network_is_refused(make_trainer: Make, tmp_path: Path) -> None:
    run(make_trainer(steps=1), tmp_path, quiet=True)
    other = make_trainer(generator_options={"width": 4, "dilations": [1]})
    with pytest.raises(UserError, match="different generator"):
        run(other, tmp_path, resume=True, quiet=True)
    with pytest.raises(UserError, match="different generator"):
        other.start_from(tmp_path / "checkpoint.pt")


def test_unknown_layers_and_generators() -> None:
    with pytest.raises(UserError, match="conv9_9"):
        vgg.Vgg({}, "caffe", ["conv9_9"])
    with pytest.raises(UserError, match="lite"):
        from stylize_train.generators import create

        create("unknown")


def test_train_command_makes_a_model_and_a_card(
    photos: Path, painting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "vgg.safetensors"
    save_file(
        vgg.random_weights(0, ((8, 8), (8, 8), (8, 8, 8, 8))),
        weights,
        metadata={"convention": "caffe"},
    )
    out = tmp_path / "waves.onnx"
    command = ["train", "--style", painting, "--content", photos, "--out", out, "--vgg", weights]
    command += ["--steps", 2, "--crop", 32, "--width", 8, "--dilations", "1,2", "--style-size", 64]
    assert main([str(word) for word in [*command, "--artist", "No Body"]]) == 0
    card = out.with_suffix(".md").read_text()
    assert "--artist 'No Body'" in card and "--dilations 1,2" in card
    assert str(tmp_path) not in card and str(photos) not in card
    checkpoint = tmp_path / "waves.onnx.run" / "checkpoint.pt"
    assert main(["export", str(checkpoint), "--out", str(tmp_path / "again.onnx")]) == 0
    evaluated = ["evaluate", out, "--style", painting, "--content", photos, "--vgg", weights]
    capsys.readouterr()
    assert main([str(word) for word in evaluated]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert 0 < numbers["painted_share"] <= 1
    assert 0 < numbers["spectrum"] <= 1
    assert numbers["contrast"] > 0 and "content_distilled" not in numbers
    save_file(distilled_weights(), tmp_path / "distilled.safetensors")
    judged = [*evaluated, "--judge", tmp_path / "distilled.safetensors"]
    assert main([str(word) for word in judged]) == 0
    assert json.loads(capsys.readouterr().out)["content_distilled"] > 0
