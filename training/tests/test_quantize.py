# SPDX-License-Identifier: MPL-2.0
"""Quantized models: near the original, the same from outside, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import picture
from onnx import numpy_helper
from torch import Tensor

from stylize_train import quantize as module
from stylize_train.cli import main
from stylize_train.data import read_image
from stylize_train.errors import UserError
from stylize_train.export import About, export, session
from stylize_train.generators import create
from stylize_train.quantize import (
    Frames,
    Settings,
    any_style,
    balance,
    choose,
    convolutions,
    distance,
    quantize,
)

Run = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of every kind, by name."""
    made = tmp_path_factory.mktemp("models")
    kinds: dict[str, tuple[str, dict[str, object]]] = {
        "lite": ("lite", {"width": 8, "dilations": [1, 2]}),
        "residual": ("residual", {"width": 4, "blocks": 1}),
        "batch": ("residual", {"width": 4, "blocks": 1, "norm": "batch"}),
        "pyramid": ("pyramid", {"width": 4, "levels": 2, "noise_channels": 2}),
        "texture": ("pyramid", {"width": 4, "levels": 2, "noise_channels": 3, "task": "texture"}),
        "conditional": (
            "lite",
            {"width": 8, "dilations": [1], "norm": "conditional", "styles": 2},
        ),
    }
    for name, (generator, options) in kinds.items():
        torch.manual_seed(1)
        styles = ("a", "b") if name == "conditional" else ()
        about = About(name, "Waves", "Nobody", "CC0-1.0", styles)
        export(create(generator, options), about, made / f"{name}.onnx")
    return made


@pytest.fixture
def images(photos: Path) -> list[Tensor]:
    """Photos of unlike sizes."""
    return [read_image(path) for path in sorted(photos.iterdir())]


def written(path: Path, model: onnx.ModelProto) -> Path:
    onnx.save(model, path)
    return path


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def quantized_names(model: onnx.ModelProto) -> list[str]:
    """Convolutions whose weights are integers."""
    integers = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    nodes = [n for n in model.graph.node if n.op_type in module.CONVOLUTIONS]
    return [node.name for node in nodes if node.input[1] in integers]


@pytest.mark.parametrize("outputs", ["int8", "float"])
@pytest.mark.parametrize("name", ["lite", "residual", "batch", "pyramid", "texture", "conditional"])
def test_every_kind_of_generator_stays_near(
    folder: Path, images: list[Tensor], tmp_path: Path, name: str, outputs: str
) -> None:
    settings = Settings(keep_last=1, outputs=outputs)
    quantized = quantize(folder / f"{name}.onnx", images[:3], settings)
    names, kept = convolutions(onnx.load(folder / f"{name}.onnx"), settings)
    assert sorted(quantized_names(quantized)) == sorted(names) and names and kept
    path = written(tmp_path / "q.onnx", quantized)
    found = distance(folder / f"{name}.onnx", path, images[3:])
    assert 0 < found.mean <= 3 and found.photos == 1
    assert found.mean <= found.worst_photo <= found.largest and found.psnr > 30


def test_it_is_the_same_from_outside(folder: Path, images: list[Tensor]) -> None:
    before = onnx.load(folder / "lite.onnx")
    after = quantize(folder / "lite.onnx", images)
    assert list(after.metadata_props) == list(before.metadata_props)
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)
    assert after.opset_import[0].version == before.opset_import[0].version
    assert after.producer_name == "stylize-train" and len(after.opset_import) == 1
    assert after.doc_string == f"{before.doc_string} Convolutions in int8."
    assert after.ByteSize() < 1.5 * before.ByteSize()


def test_only_convolutions_are_quantized(folder: Path, images: list[Tensor]) -> None:
    model = quantize(folder / "lite.onnx", images, Settings(0, 0))
    into = {n.output[0]: n.op_type for n in model.graph.node}
    for node in model.graph.node:
        sources = [into.get(name, "") for name in node.input]
        if node.op_type in module.CONVOLUTIONS:
            assert set(sources) == {"DequantizeLinear"}
        elif node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            assert "QuantizeLinear" not in sources
    weights = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    scales = [v for n, v in weights.items() if "weight" in n and n.endswith("_scale")]
    kinds = {v.dtype for n, v in weights.items() if n.endswith("weight_quantized")}
    assert kinds == {np.dtype(np.int8)} and all(scale.ndim == 1 for scale in scales)


def test_outputs_stay_float_if_wanted(folder: Path, images: list[Tensor]) -> None:
    counts = {
        outputs: operators(quantize(folder / "lite.onnx", images, Settings(outputs=outputs))).count(
            "QuantizeLinear"
        )
        for outputs in ("int8", "float")
    }
    assert counts["int8"] == 2 * counts["float"] > 0


def test_seven_bits(folder: Path, images: list[Tensor]) -> None:
    model = quantize(folder / "lite.onnx", images, Settings(reduce_range=True))
    weights = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    values = [v for name, v in weights.items() if name.endswith("weight_quantized")]
    assert values and max(np.abs(v.astype(int)).max() for v in values) <= 64


@pytest.mark.parametrize("size", [(20, 20), (36, 100), (180, 320)])
def test_sizes_are_still_free(folder: Path, images: list[Tensor], size: tuple[int, int]) -> None:
    model = quantize(folder / "lite.onnx", images)
    image = np.random.default_rng(1).random((1, 3, *size), np.float32)
    (output,) = session(model.SerializeToString()).run(None, {"image": image})
    assert output.shape == image.shape and output.dtype == np.float32
    assert output.min() >= 0 and output.max() <= 1


@pytest.mark.parametrize("method", list(module.METHODS))
def test_every_calibration(folder: Path, images: list[Tensor], tmp_path: Path, method: str) -> None:
    model = quantize(folder / "lite.onnx", images, Settings(calibration=method))
    path = written(tmp_path / "q.onnx", model)
    assert distance(folder / "lite.onnx", path, images).mean <= 3


def test_layers_that_stay_float(folder: Path) -> None:
    model = onnx.load(folder / "lite.onnx")
    every = ["down", "block0.conv1", "block0.conv2", "block1.conv1", "block1.conv2", "up", "out"]
    assert convolutions(model, Settings(0, 0)) == (every, [])
    assert convolutions(model, Settings(1, 2)) == (every[1:5], ["down", "up", "out"])
    assert convolutions(model, Settings(0, 3))[0] == every[:4]
    assert convolutions(model, Settings(2, 1))[0] == every[2:6]


def test_balancing_changes_nothing_but_ranges(
    folder: Path, images: list[Tensor], tmp_path: Path
) -> None:
    path = folder / "lite.onnx"
    model = onnx.load(path)
    # Channels of very unlike ranges, as training makes them.
    unlike = np.geomspace(0.3, 3, 8, dtype=np.float32).reshape(-1, 1, 1, 1)
    for weight in model.graph.initializer:
        if weight.name.startswith("block") and weight.name.endswith("weight"):
            value = unlike * numpy_helper.to_array(weight)
            weight.CopyFrom(numpy_helper.from_array(value, weight.name))
    path = written(tmp_path / "unlike.onnx", model)
    names, _ = convolutions(model, Settings())
    balanced = balance(model, names, Frames(any_style(path), images, ""))
    assert distance(path, written(tmp_path / "b.onnx", balanced), images).largest < 0.1

    def unevenness(graph: onnx.ModelProto) -> float:
        """Widest of the channels' ranges by the narrowest."""
        watched = onnx.ModelProto()
        watched.CopyFrom(graph)
        kind = onnx.TensorProto.FLOAT
        watched.graph.output.append(onnx.helper.make_tensor_value_info(names[0], kind, None))
        runtime = session(watched.SerializeToString())
        (value,) = runtime.run([names[0]], any_style(path).feeds(images[0]))
        ranges = np.ptp(value, axis=(0, 2, 3))
        return float(ranges.max() / ranges.min())

    assert unevenness(balanced) < 2 < unevenness(model) / 2


def test_photos_to_compare_on_are_not_calibrated_on(photos: Path) -> None:
    calibrate, check = choose(photos, 24, 8, 64, "photo-2*", seed=1)
    assert [len(calibrate), len(check)] == [3, 1]
    assert all(min(image.shape[1:]) == 64 for image in (*calibrate, *check))
    calibrate, check = choose(photos, 24, 8, 512, None, seed=1)
    assert [len(calibrate), len(check)] == [3, 1]
    assert [len(some) for some in choose(photos, 2, 1, 512, None, seed=1)] == [2, 1]
    assert {tuple(image.shape) for image in (*calibrate, *check)} == {
        (3, 80 + 8 * seed, 96) for seed in range(4)
    }, "every photo once, at its own size"


@pytest.fixture
def run(folder: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command on ``lite``, further words first; returns what it says in the end."""

    def command(*more: object, model: Path = folder / "lite.onnx", status: int = 0) -> str:
        words = ["quantize", model, "--content", photos, "--out", tmp_path / "q.onnx", *more]
        capsys.readouterr()
        assert main([str(word) for word in words]) == status
        said = capsys.readouterr()
        lines = (said.out if status == 0 else said.err).replace("\r", "\n").splitlines()
        lines = [line for line in lines if line and "photo/s" not in line and "s/photo" not in line]
        return "\n".join(line for line in lines if "?photo" not in line)

    return command


def test_the_command_writes_a_model_and_its_card(run: Run, tmp_path: Path) -> None:
    said = run("--held-out", "photo-3*", "--keep-last", 1, "--percentile", 99.9)
    assert said.startswith(f"{tmp_path / 'q.onnx'}: ") and said.count("\n") == 0
    assert (
        "grey levels from lite.onnx in the mean" in said
        and "on 1 photo" in said
        and "photos" not in said.split(":")[1]
    )
    assert len(quantized_names(onnx.load(tmp_path / "q.onnx"))) == 5
    card = (tmp_path / "q.md").read_text()
    assert card.startswith("# q\n\n`lite.onnx` with convolutions on 8-bit integers")
    assert "after *Waves* (Nobody)" in card and "| Licence | CC0-1.0 |" in card
    assert "| In int8 | 5 of 7 convolutions: block0.conv1, " in card
    assert "| In float32 | down, out, normalizations" in card
    assert "range: 99.9 % of the values |" in card
    assert "| Calibrated on | 3 photos |" in card
    assert (
        "| Compared on | 1 other photo, as those at most 512 pixels on the shorter side |" in card
    )
    assert " grey levels in the mean, " in card and " dB |" in card
    command = "stylize-train quantize MODEL.onnx --content PHOTOS --out MODEL-int8.onnx"
    assert f"    {command} --held-out 'photo-3*' --keep-last 1 --percentile 99.9\n" in card
    assert not list(tmp_path.glob("*.part"))


def test_the_same_seed_gives_the_same_file(run: Run, tmp_path: Path) -> None:
    files = []
    for _ in range(2):
        run("--seed", 3)
        files.append((tmp_path / "q.onnx").read_bytes())
    assert files[0] == files[1]


def test_a_model_that_is_too_far_away_is_not_written(run: Run, tmp_path: Path) -> None:
    said = run("--tolerance", 0.001, status=1)
    assert "grey levels from" in said and "nothing was written" in said
    assert not (tmp_path / "q.onnx").exists() and not (tmp_path / "q.md").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--photos", 0], "--photos is 0 and must be at least 1"),
        (["--checks", 0], "--checks is 0 and must be at least 1"),
        (["--size", 0], "--size is 0 and must be at least 1"),
        (["--tolerance", 0], "--tolerance is 0 and must be above 0"),
        (["--tolerance", "nan"], "--tolerance is nan and must be above 0"),
        (["--percentile", 101], "--percentile is 101 and must be above 50 and at most 100"),
        (["--keep-first", -1], "from 0 up"),
        (["--keep-first", 4, "--keep-last", 3], "all 7 convolutions are among the first 4 and"),
        (["--held-out", "no-such-*"], "whose names match 'no-such-*'"),
        (["--held-out", "photo-*"], "whose names do not match 'photo-*'"),
        (["--content", "/nowhere"], "the photo folder /nowhere does not exist"),
    ],
)
def test_options_that_are_refused(
    run: Run, tmp_path: Path, words: Sequence[object], said: str
) -> None:
    text = run(*words, status=1)
    assert said in text and text.startswith("stylize-train: ") and "\n" not in text
    assert not list(tmp_path.iterdir())


def test_models_that_are_refused(
    run: Run, folder: Path, images: list[Tensor], tmp_path: Path
) -> None:
    assert "does not exist" in run(model=tmp_path / "none.onnx", status=1)
    (tmp_path / "text.onnx").write_text("text")
    assert "is not an ONNX model" in run(model=tmp_path / "text.onnx", status=1)
    foreign = onnx.load(folder / "lite.onnx")
    del foreign.metadata_props[:]
    path = written(tmp_path / "foreign.onnx", foreign)
    assert "not a model exported by stylize-train" in run(model=path, status=1)
    path = written(tmp_path / "twice.onnx", quantize(folder / "lite.onnx", images))
    assert "quantized already" in run(model=path, status=1)
    assert "is the model itself" in run("--out", path, model=path, status=1)


def test_outputs_that_are_refused(run: Run, tmp_path: Path) -> None:
    assert "is a folder" in run("--out", tmp_path, status=1)
    assert "does not end in .onnx" in run("--out", tmp_path / "q.md", status=1)


def test_photos_that_are_too_few(tmp_path: Path) -> None:
    picture(1, 32, 32).save(tmp_path / "only.png")
    with pytest.raises(
        UserError, match=r"the number of pictures in .* is 1 and must be at least 2"
    ):
        choose(tmp_path, 24, 8, 512, None, seed=1)
