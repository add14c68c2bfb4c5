# SPDX-License-Identifier: MPL-2.0
"""The exported file: same pictures as PyTorch, a clean graph, metadata."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import picture
from PIL import Image

from stylize_train import __version__
from stylize_train.cost import macs_per_pixel
from stylize_train.export import About, export, greatest_difference, to_onnx
from stylize_train.generators import Generator, create
from stylize_train.norms import NORMS
from stylize_train.render import Model, stylize

ABOUT = About("waves", "Waves", "Nobody", "MPL-2.0")
TEXTURE: dict[str, object] = {"noise_channels": 3, "task": "texture"}


def trained(name: str = "lite", **options: object) -> Generator:
    """A network whose parameters and statistics are all away from their initial values."""
    torch.manual_seed(3)
    generator = create(name, options)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter) * parameter.std().nan_to_num(1))
        for buffer in generator.buffers():
            buffer.mul_(1.5).add_(0.3 * torch.rand_like(buffer))
    return generator


def inputs(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    """Names and dimensions of the graph's inputs."""
    return {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in model.graph.input
    }


VARIANTS: dict[str, list[dict[str, object]]] = {
    "eighth": [
        {"width": 12, "edges": [8, 6, 4]},
        {"width": 8, "edges": [6, 6, 4], "dilations": [1, 2], "body_noise": 2},
    ],
    "lite": [{}, {"width": 12, "dilations": [3, 1]}],
    "residual": [{"width": 8}, {"width": 5, "blocks": 2}],
    "pyramid": [{}, {"width": 6, "levels": 3}, {"levels": 1}],
}


@pytest.mark.parametrize(
    "noise", [{}, {"noise_channels": 2}, TEXTURE], ids=["", "noise", "texture"]
)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("name", "options"), [(name, options) for name, rows in VARIANTS.items() for options in rows]
)
def test_exported_net_agrees_with_pytorch(
    name: str, options: dict[str, object], norm: str, noise: dict[str, object]
) -> None:
    styles = {"styles": 3} if norm == "conditional" else {}
    generator = trained(name, norm=norm, **options, **noise, **styles)
    about = replace(ABOUT, styles=("a", "b", "c") if styles else ())
    sizes = [(1, 1), (64, 64), (36, 100), (100, 36), (52, 204)]
    assert greatest_difference(generator, to_onnx(generator, about), sizes) <= 1


def test_a_wrong_graph_is_noticed() -> None:
    generator = trained("residual", width=8)
    model = to_onnx(generator, ABOUT)
    with torch.no_grad():
        generator.up[0].conv.weight.mul_(-1)
    assert greatest_difference(generator, model) > 1
    assert generator.training, "looking at a generator does not change it"


LITE = {"Add", "Conv", "ConvTranspose", "DepthToSpace", "Pad", "Relu", "Sigmoid"}
PYRAMID = {"AveragePool", "Concat", "Conv", "LeakyRelu", "Pad", "Resize", "Sigmoid"}


@pytest.mark.parametrize(("norm", "node"), [("instance", "Instance"), ("batch", "Batch")])
@pytest.mark.parametrize(
    ("name", "expected"), [("lite", LITE), ("residual", LITE), ("pyramid", PYRAMID)]
)
def test_graph_is_clean_and_sizes_are_free(
    name: str, expected: set[str], norm: str, node: str
) -> None:
    model = to_onnx(trained(name, norm=norm), ABOUT)
    operators = {node.op_type for node in model.graph.node}
    assert operators == {*expected, f"{node}Normalization"}
    for value, name in ((model.graph.input, "image"), (model.graph.output, "stylized")):
        assert [v.name for v in value] == [name]
        dims = value[0].type.tensor_type.shape.dim
        assert [d.dim_value for d in dims[:2]] == [1, 3]
        assert all(d.dim_param for d in dims[2:])
    assert model.opset_import[0].version >= 17


def test_metadata_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "waves.onnx"
    assert export(trained(), ABOUT, path) <= 1
    model = onnx.load(path)
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found == {
        "stylize.version": "1",
        "stylize.name": "waves",
        "stylize.generator": "lite",
        "stylize.input-range": "0,1",
        "stylize.output-range": "0,1",
        "stylize.channel-order": "rgb",
        "stylize.size-multiple": "4",
        "stylize.size-minimum": "20",
        "stylize.license": "MPL-2.0",
        "stylize.style-title": "Waves",
        "stylize.style-artist": "Nobody",
        "Image.BitmapPixelFormat": "Rgb8",
        "Image.NominalPixelRange": "Normalized_0_1",
        "Image.ColorSpaceGamma": "SRGB",
    }
    assert (model.producer_name, model.producer_version) == ("stylize-train", __version__)
    assert "\n" not in model.doc_string and "Waves by Nobody" in model.doc_string
    assert path.stat().st_size < 500_000


@pytest.mark.parametrize("size", [(5, 7), (33, 50), (64, 48)])
def test_stylize_keeps_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    model, source, target = (tmp_path / n for n in ("m.onnx", "in.png", "out.png"))
    export(trained(width=8, dilations=[1]), ABOUT, model)
    picture(1, *size).save(source)
    stylize(model, source, target)
    assert Image.open(target).size == (size[1], size[0])


def test_stylize_pads_only_what_is_missing(tmp_path: Path) -> None:
    generator = trained(width=8, dilations=[1])
    export(generator, ABOUT, tmp_path / "m.onnx")
    image = torch.from_numpy(np.array(picture(2, 32, 40))).permute(2, 0, 1)
    with torch.no_grad():
        expected = generator(image[None].float() / 255)[0]
    difference = (Model(tmp_path / "m.onnx")(image) - expected).abs().max()
    assert difference.item() <= 1 / 255


def test_cost_of_the_default_generator() -> None:
    generator = create("lite")
    assert generator.parameter_count() == 65_580
    assert generator.macs_per_pixel() == pytest.approx(5256)


def test_cost_as_exported() -> None:
    """Enlarging convolutions read 4 of 9 taps; the last of residual 100 of 81."""
    for name, saved in (
        ("lite", 5 * 32 * 16 / 4),
        ("residual", 5 * (128 * 64 / 4 + 64 * 32) - 19 * 32 * 3),
        ("pyramid", 0),
    ):
        generator = create(name)
        exported = macs_per_pixel(to_onnx(generator, ABOUT))
        assert exported == pytest.approx(generator.macs_per_pixel() - saved), name


@pytest.mark.parametrize("name", ["lite", "residual"])
def test_noise_is_an_input_that_the_metadata_explains(name: str) -> None:
    model = to_onnx(trained(name, noise_channels=2), ABOUT)
    size = ["height", "width"]
    assert inputs(model) == {"image": [1, 3, *size], "noise1": [1, 2, *size]}
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found["stylize.noise"] == "noise1:2:1"


def test_a_pyramid_has_an_input_for_each_scale() -> None:
    model = to_onnx(trained("pyramid", levels=3, **TEXTURE), ABOUT)
    assert inputs(model) == {
        "image": [1, 3, "height", "width"],
        "noise1": [1, 3, "height", "width"],
        "noise2": [1, 3, "height/2", "width/2"],
        "noise4": [1, 3, "height/4", "width/4"],
    }
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found["stylize.noise"] == "noise1:3:1,noise2:3:2,noise4:3:4"
    assert found["stylize.size-multiple"] == "4" and found["stylize.size-minimum"] == "8"
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    readers = [node for node in model.graph.node if "image" in node.input]
    assert [node.op_type for node in readers] == ["Conv"], "no input without a reader"
    assert not weights[readers[0].input[1]].any()
    assert model.doc_string.startswith("Texture after Waves")


@pytest.mark.parametrize("task", ["stylize", "texture"])
def test_a_seed_decides_a_rendered_picture(tmp_path: Path, task: str) -> None:
    model, source = tmp_path / "m.onnx", tmp_path / "in.png"
    export(trained("pyramid", levels=3, noise_channels=3, task=task), ABOUT, model)
    picture(1, 33, 50).save(source)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        stylize(model, source, tmp_path / f"{name}.png", seed=seed)
    first, same, other = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in "abc")
    assert first.shape == (33, 50, 3)
    assert (first == same).all() and (first != other).any()
    noise = Model(model, seed=1).feeds(torch.zeros(3, 256, 256, dtype=torch.uint8))["noise2"]
    assert noise.shape == (1, 3, 128, 128) and noise.dtype == np.float32
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02


def test_files_that_are_no_pictures_are_left_out_of_a_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    export(trained(width=8, dilations=[1]), ABOUT, tmp_path / "m.onnx")
    (tmp_path / "in").mkdir()
    picture(1, 24, 24).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.txt").write_text("text")
    assert stylize(tmp_path / "m.onnx", tmp_path / "in", tmp_path / "out") == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.png"]
    assert "b.txt" in caplog.text
