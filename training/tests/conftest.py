# SPDX-License-Identifier: MPL-2.0
"""Synthetic pictures and an untrained, narrow loss network: no downloads, no data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylize_train import vgg
from stylize_train.config import Config
from stylize_train.losses import CONTENT_LAYER, STYLE_LAYERS
from stylize_train.train import Trainer

NARROW = ((8, 8), (12, 12), (16, 16, 16, 16))


def picture(seed: int, height: int, width: int) -> Image.Image:
    """Coloured waves with grain."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 16
    angle = random.uniform(0, 6.28, 3)
    waves = [np.sin(np.cos(a) * x + np.sin(a) * y + a) for a in angle]
    pixels = 0.5 + 0.4 * np.stack(waves, axis=-1) + random.normal(0, 0.03, (height, width, 3))
    return Image.fromarray((255 * pixels).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(4):
        picture(seed, 80 + 8 * seed, 96).save(folder / f"photo-{seed}.png")
    return folder


@pytest.fixture(scope="session")
def painting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("painting") / "painting.png"
    picture(99, 72, 128).save(path)
    return path


@pytest.fixture
def loss_network() -> vgg.Vgg:
    weights = vgg.random_weights(0, NARROW)
    return vgg.Vgg(weights, "torchvision", (*STYLE_LAYERS, CONTENT_LAYER))


@pytest.fixture
def make_trainer(photos: Path, painting: Path, loss_network: vgg.Vgg) -> Callable[..., Trainer]:
    """A tiny run; keywords override its settings."""

    def make(**settings: object) -> Trainer:
        torch.set_num_threads(1)
        values: dict[str, object] = {
            "style": str(painting),
            "content": str(photos),
            "generator_options": {"width": 8, "dilations": [1, 2]},
            "steps": 12,
            "crop": 32,
            "style_size": 64,
            **settings,
        }
        if values["generator_options"].get("norm") == "conditional":  # type: ignore[attr-defined]
            values.setdefault("styles", (str(painting),))
            values["style"] = ""
        return Trainer(Config(**values), loss_network, autocast=False)  # type: ignore[arg-type]

    return make
