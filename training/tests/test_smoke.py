# SPDX-License-Identifier: MPL-2.0
"""A whole training in a minute or two: a command, an export, and a model that has learned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import picture
from safetensors.torch import save_file

from stylize_train import vgg
from stylize_train.cli import main

HELD_OUT = ["--only", "held-*", "--style-size", "128"]


def evaluated(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    capsys.readouterr()
    assert main(["evaluate", *words, *HELD_OUT]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_model_learns_a_painting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Statistics of an untrained VGG are statistics, too: a texture can be learned from them."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(10):
        name = "held" if seed < 2 else "photo"
        picture(seed, 128, 160).save(photos / f"{name}-{seed}.png")
    # Coarser waves, in other colours.
    painting = picture(50, 48, 64).resize((256, 192))
    painting.save(tmp_path / "painting.png")
    weights = tmp_path / "vgg.safetensors"
    narrow = vgg.random_weights(0, ((16, 16), (24, 24), (32, 32, 32, 32)))
    save_file(narrow, weights, metadata={"convention": "torchvision"})

    common = ["--style", tmp_path / "painting.png", "--content", photos, "--vgg", weights]
    common = [str(word) for word in common]
    options = ["--width", "8", "--dilations", "1,2", "--crop", "96", "--style-size", "128"]
    options += ["--lr", "0.005", "--exclude", "held-*", *common]
    first, last = tmp_path / "first.onnx", tmp_path / "last.onnx"
    assert main(["train", "--out", str(first), "--steps", "1", *options]) == 0
    assert main(["train", "--out", str(last), "--steps", "200", *options]) == 0
    moments = ["--style-statistics", "standardized"]
    before = evaluated([str(first), *common, *moments], capsys)
    after = evaluated([str(last), *common, *moments], capsys)
    assert before["photos"] == 2
    assert after["style"] < 0.3 * before["style"]
    assert after["style"] < 0.5 * after["style_photo"]
    assert after["content"] < before["content"]
