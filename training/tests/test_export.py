# SPDX-License-Identifier: MPL-2.0
"""The exported file: same pictures as PyTorch, a clean graph, metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import picture
from PIL import Image

from stylize_train import __version__
from stylize_train.export import About, export, greatest_difference, to_onnx
from stylize_train.generators import Generator, create
from stylize_train.render import Model, stylize

ABOUT = About("waves", "Waves", "Nobody", "MPL-2.0")


def trained(**options: object) -> Generator:
    """A network whose parameters are all away from their initial values."""
    torch.manual_seed(3)
    generator = create("lite", options)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter) * parameter.std().nan_to_num(1))
    return generator


@pytest.mark.parametrize("options", [{}, {"width": 12, "dilations": [3, 1]}])
def test_exported_net_agrees_with_pytorch(options: dict[str, object]) -> None:
    generator = trained(**options)
    sizes = [(20, 20), (64, 64), (36, 100), (100, 36), (52, 204)]
    assert greatest_difference(generator, to_onnx(generator, ABOUT), sizes) <= 1


def test_graph_is_clean_and_sizes_are_free() -> None:
    model = to_onnx(trained(), ABOUT)
    operators = {node.op_type for node in model.graph.node}
    assert operators == {
        *("Add", "Conv", "ConvTranspose", "DepthToSpace"),
        *("InstanceNormalization", "Pad", "Relu", "Sigmoid"),
    }
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
