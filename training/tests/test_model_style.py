# SPDX-License-Identifier: MPL-2.0
"""A style more for a model file: the graph in PyTorch, the row that is learned, what stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import picture
from safetensors.torch import save_file
from test_judge import distilled_weights

from stylize_train import model_style
from stylize_train.cli import main
from stylize_train.errors import UserError
from stylize_train.export import About, session, to_onnx
from stylize_train.generators import create
from stylize_train.losses import PerceptualLoss
from stylize_train.norms import ConditionalNorm
from stylize_train.onnx_torch import Graph
from stylize_train.pixels import PixelStatistics
from stylize_train.render import Model

SMALL = {
    "eighth": {"width": 8, "edges": [6, 6, 4], "dilations": [1, 2]},
    "lite": {"width": 8, "dilations": [1, 2]},
    "residual": {"width": 4},
    "pyramid": {"noise_channels": 3},
}


def model(name: str, styles: tuple[str, ...] = ("waves", "hills")) -> onnx.ModelProto:
    torch.manual_seed(3)
    options = {**SMALL[name], "norm": "conditional", "styles": len(styles)}
    generator = create(name, options)
    for norm in generator.modules():
        if isinstance(norm, ConditionalNorm):
            torch.nn.init.normal_(norm.scale, 1, 0.3)
            torch.nn.init.normal_(norm.shift, 0, 0.3)
    return to_onnx(generator, About(name, styles=styles, license="CC0-1.0"))


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    path = tmp_path / "gallery.onnx"
    onnx.save(model("lite"), path)
    return path


@pytest.fixture
def distilled(tmp_path: Path) -> Path:
    path = tmp_path / "distilled.safetensors"
    save_file(distilled_weights(), path)
    return path


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_graph_in_pytorch_is_the_models(name: str) -> None:
    made = model(name)
    graph, runtime = Graph(made), session(made.SerializeToString())
    random = np.random.default_rng(1)
    feeds = {}
    for entry in runtime.get_inputs():
        if entry.name != "style_weights":
            metadata = {e.key: e.value for e in made.metadata_props}
            divisors = (
                {
                    n: int(d)
                    for n, _, d in (x.split(":") for x in metadata["stylize.noise"].split(","))
                }
                if metadata.get("stylize.noise")
                else {}
            )
            divisor = divisors.get(entry.name, 1)
            feeds[entry.name] = random.random(
                (1, entry.shape[1], 96 // divisor, 128 // divisor), np.float32
            )
    given = {key: torch.from_numpy(value) for key, value in feeds.items()}
    image = given.pop("image")
    for style in range(2):
        mix = np.eye(2, dtype=np.float32)[style]
        (wanted,) = runtime.run(None, {**feeds, "style_weights": mix})
        found = graph(image, graph.table[style], given).numpy()
        assert 255 * np.abs(found - wanted).max() < 0.05
        assert wanted.std() > 0.01


def test_a_model_gets_one_style_more(
    gallery: Path,
    distilled: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(model_style, "CROP", 64)
    painting = tmp_path / "sea_shore.png"
    picture(5, 96, 128).save(painting)
    words = ["add-style", gallery, painting, "--content", photos, "--vgg", distilled]
    words += ["--out", tmp_path / "mine.onnx", "--steps", 12, "--style-size", 96]
    before = gallery.read_bytes()
    assert main([str(word) for word in words]) == 0
    assert "images/s" in capsys.readouterr().out
    assert gallery.read_bytes() == before
    mine = tmp_path / "mine.onnx"
    assert Model.names(mine) == ("waves", "hills", "sea-shore")
    image = torch.from_numpy(np.array(picture(7, 72, 96))).permute(2, 0, 1)
    shown = {}
    for style in ("waves", "hills"):
        shown[style] = Model(mine, mix=style)(image)
        assert torch.equal(Model(gallery, mix=style)(image), shown[style])
    shown["sea-shore"] = Model(mine, mix="sea-shore")(image)
    for style in ("waves", "hills"):
        assert not torch.equal(shown[style], shown["sea-shore"])
    metadata = {e.key: e.value for e in onnx.load(mine).metadata_props}
    assert metadata["stylize.name"] == "mine" and metadata["stylize.license"] == "CC0-1.0"
    card = mine.with_suffix(".md").read_text()
    assert "`sea-shore`" in card and str(tmp_path) not in card
    words[1] = mine
    assert main([str(word) for word in words]) == 1
    assert "holds a style sea-shore already" in capsys.readouterr().err


def learner_of(distilled: Path, photos: Path) -> model_style.Learner:
    """Of a painting of 96 pixels, for 40 steps, with the small model."""
    options = model_style.loss_options(str(distilled), 96)
    painting = torch.from_numpy(np.array(picture(5, 96, 128))).permute(2, 0, 1)[None] / 255
    return model_style.Learner(model("lite"), "new", painting, photos, options, 40)


def test_only_the_row_learns_and_the_loss_falls(
    distilled: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_style, "CROP", 64)
    learner = learner_of(distilled, photos)
    # The style has all the say: of what the untrained network calls content nothing is wanted.
    learner.plan = replace(learner.plan, ratio=((0.0, 50.0),))
    held = {name: value.clone() for name, value in learner.graph.weights.items()}
    first = learner.row.detach().clone()
    image, photo = batch = learner.photos.batch(4)
    monkeypatch.setattr(learner.photos, "batch", lambda _: batch)

    def style() -> float:
        with torch.no_grad():
            output = learner.graph(image, learner.row)
            return learner.objective.loss(output, photo)["style"].item()

    before = style()
    learner.learn(report=False)
    assert style() < 0.8 * before
    assert not torch.equal(learner.row, first)
    for name, value in learner.graph.weights.items():
        assert torch.equal(value, held[name]), name


def test_a_row_begins_where_both_style_and_palette_are_near(
    distilled: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_style, "CROP", 64)
    # Waves have the least style term of the three rows, their mean the least palette term.
    style, palette = (iter(values) for values in ((1.0, 2.0, 5.0), (6.0, 2.0, 1.0)))
    monkeypatch.setattr(PerceptualLoss, "against", lambda *_: {"style": torch.tensor(next(style))})
    monkeypatch.setattr(PixelStatistics, "palette_error", lambda *_: torch.tensor([next(palette)]))
    learner = learner_of(distilled, photos)
    assert torch.equal(learner.row.detach(), learner.graph.table[1])


def test_models_that_cannot_learn_are_refused(
    gallery: Path,
    distilled: Path,
    photos: Path,
    painting: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    alone = tmp_path / "alone.onnx"
    onnx.save(to_onnx(create("lite", SMALL["lite"]), About("alone")), alone)
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    common = ["--content", photos, "--out", tmp_path / "new.onnx"]

    def said(*words: object) -> str:
        assert main(["add-style", *map(str, words)]) == 1
        return capsys.readouterr().err

    weighed = [*common, "--vgg", distilled]
    assert "one style for good" in said(alone, painting, *weighed)
    assert "not an ONNX model" in said(text, painting, *weighed)
    assert "needs its weights" in said(gallery, painting, *common)
    assert "--steps is 0" in said(gallery, painting, *weighed, "--steps", 0)
    assert "--resume" in said(gallery, painting, *weighed, "--resume")
    quantized = onnx.load(gallery)
    quantized.graph.node[-1].op_type = "QuantizeLinear"
    with pytest.raises(UserError, match="QuantizeLinear"):
        Graph(quantized)
    assert not (tmp_path / "new.onnx").exists()
