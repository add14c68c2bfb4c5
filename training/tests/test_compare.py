# SPDX-License-Identifier: MPL-2.0
"""Costs counted by hand, interleaved timing, the table and the sheet."""

from __future__ import annotations

import json
import time
from pathlib import Path

import onnx
import pytest
import torch
from conftest import picture
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.torch import save_file
from test_judge import distilled_weights

from stylize_train import vgg
from stylize_train.cli import main
from stylize_train.compare import markdown
from stylize_train.cost import interleaved_medians, macs_per_pixel, parameter_count
from stylize_train.errors import UserError
from stylize_train.export import About, export, to_onnx
from stylize_train.generators import create
from stylize_train.render import save_image
from stylize_train.sheet import GAP, HEADING, contact_sheet

NARROW = ((4, 4), (6, 6), (8, 8, 8, 8))


def graph(nodes: list[onnx.NodeProto], **weights: tuple[int, ...]) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", "width"])
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, "c", "h", "w"])
    values = [
        numpy_helper.from_array(torch.zeros(shape).numpy(), name) for name, shape in weights.items()
    ]
    return helper.make_model(helper.make_graph(nodes, "test", [image], [output], values))


def test_macs_of_each_kind_of_convolution() -> None:
    nodes = [
        helper.make_node("Conv", ["image", "a"], ["x"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["x", "b"], ["y"], group=4),
        helper.make_node("ConvTranspose", ["y", "c"], ["out"], strides=[2, 2], pads=[1, 1, 1, 1]),
    ]
    model = graph(nodes, a=(8, 3, 3, 3), b=(8, 2, 1, 1), c=(8, 5, 4, 4))
    # A quarter of the positions; then every pixel, each of which two of four taps reach per side.
    strided, grouped, transposed = 8 * 3 * 9 / 4, 8 * 2 / 4, 8 * 5 * 2 * 2
    assert macs_per_pixel(model) == strided + grouped + transposed
    assert parameter_count(model) == 8 * 27 + 16 + 8 * 80
    unknown = graph([helper.make_node("Conv", ["image", "out"], ["x"])])
    with pytest.raises(UserError, match="cannot be inferred"):
        macs_per_pixel(unknown)


def test_macs_of_the_default_generator_by_hand() -> None:
    generator = create("lite")
    down = 32 * 3 * 6 * 6 / 16
    blocks = 3 * 2 * 32 * 32 * 9 / 16
    up = 32 * 16 * 4 * 4 / 4 / 4
    out = 16 * 12 * 9 / 4
    exported = macs_per_pixel(to_onnx(generator, About("lite")))
    assert exported == pytest.approx(down + blocks + up + out)
    assert exported < generator.macs_per_pixel()


def test_runs_take_turns() -> None:
    order: list[str] = []

    def call(name: str, seconds: float) -> None:
        order.append(name)
        time.sleep(seconds)

    medians = interleaved_medians([lambda: call("a", 0.02), lambda: call("b", 0)], 3)
    assert order == ["a", "b"] * 4
    assert medians[0] > 0.02 > medians[1]


def test_markdown() -> None:
    rows = [{"model": "a", "ms": 1234.5, "style": 0.01234}, {"model": "b", "style": 2.0}]
    columns = {"model": "model", "ms": "ms", "judge": "judge", "style": "style"}
    assert markdown(rows, columns).splitlines() == [
        "| model | ms | style |",
        "|---|---:|---:|",
        "| a | 1,234 | 0.0123 |",
        "| b |  | 2 |",
    ]


def test_sheet_places_pictures() -> None:
    red, blue = torch.zeros(3, 40, 80), torch.zeros(3, 20, 20)
    red[0], blue[2] = 1, 1
    sheet = contact_sheet([[red, blue], [None, blue]], ["red", "blue"], height=40)
    assert sheet.size == (80 + 40 + 3 * GAP, HEADING + 2 * 40 + 3 * GAP)
    assert sheet.getpixel((GAP + 40, HEADING + GAP + 20)) == (255, 0, 0)
    assert sheet.getpixel((2 * GAP + 100, HEADING + GAP + 20)) == (0, 0, 255)
    assert sheet.getpixel((GAP + 40, HEADING + 2 * GAP + 60)) == (255, 255, 255)


def test_pictures_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.rand(3, 8, 8)
    save_image(tmp_path / "a.png", image)
    before = (tmp_path / "a.png").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(UserError, match="No space left"):
            save_image(tmp_path / "a.png", 1 - image)
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    for name in ("a.xyz", "a"):
        with pytest.raises(UserError, match="no picture format"):
            save_image(tmp_path / name, image)


def test_command(
    photos: Path, painting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(vgg.random_weights(0, NARROW), tmp_path / "vgg.safetensors")
    save_file(distilled_weights(), tmp_path / "judge.safetensors")
    models = [tmp_path / "narrow.onnx", tmp_path / "wide.onnx"]
    for path, width in zip(models, (4, 8), strict=True):
        export(create("lite", {"width": width, "dilations": [1]}), About(path.stem), path)
    picture(5, 64, 64).save(tmp_path / "square.png")
    command = [
        "compare",
        *models,
        "--style",
        painting,
        "--content",
        photos,
        "--only",
        "photo-[01]*",
    ]
    command += ["--vgg", tmp_path / "vgg.safetensors", "--vgg-convention", "caffe"]
    command += ["--judge", tmp_path / "judge.safetensors", "--style-size", 64, "--runs", 1]
    command += ["--json", tmp_path / "c.json", "--sheet", tmp_path / "c.png", "--sheet-photos", 2]
    assert main([str(word) for word in command]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| narrow",
        "| wide",
        "| untouched photo",
    ]
    report = json.loads((tmp_path / "c.json").read_text())
    assert report["photos"] == 2
    narrow, wide = report["models"]
    assert narrow["macs_per_pixel"] < wide["macs_per_pixel"]
    keys = {"style", "content", "total", "judge_4_1", "judge_5_1", "ms_512x512", "ms_1280x720"}
    assert all(narrow[key] > 0 for key in keys)
    assert Image.open(tmp_path / "c.png").height == HEADING + 2 * 256 + 3 * GAP
