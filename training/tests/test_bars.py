# SPDX-License-Identifier: MPL-2.0
"""The table of bars, the frames of clips, and the sheets beside other people's generators."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from test_judge import distilled_weights

from experiments import bars, frames, peers, tables
from experiments.results import read_cells
from stylize_train import vgg
from stylize_train.errors import UserError
from stylize_train.export import About, export
from stylize_train.generators import create

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None, reason="needs ffmpeg"
)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    source = "testsrc2=size=192x144:rate=10:duration=2"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, str(folder / "bars.mkv")]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    generator = create("lite", {"width": 4, "dilations": [1], "norm": "conditional", "styles": 2})
    path = tmp_path / "two.onnx"
    export(generator, About("two", styles=("waves", "stranger")), path)
    return path


@needs_ffmpeg
def test_frames_are_cut_to_sixteen_by_nine(clips: Path) -> None:
    found = frames.clip_frames(frames.find_clips(clips), 2, 90)
    assert list(found) == ["bars@0.5", "bars@1.5"]
    assert {tuple(frame.shape) for frame in found.values()} == {(3, 88, 160)}
    one, other = found.values()
    assert (one != other).any()


@needs_ffmpeg
def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no video"):
        frames.find_clips(tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.raises(UserError, match="ffprobe"):
        frames.clip_frames(frames.find_clips(tmp_path), 1, 90)


@needs_ffmpeg
def test_bars_of_a_gallery(
    clips: Path,
    model: Path,
    photos: Path,
    painting: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bars, "HEIGHT", 144)
    (tmp_path / "plan.toml").write_text(
        f'generator = "lite"\noptions = {{}}\n'
        f'[styles.waves]\nfile = "{painting.name}"\nsize = 128\n'
    )
    weights = vgg.random_weights(0, ((4, 4), (6, 6), (8, 8, 8, 8)))
    save_file(weights, tmp_path / "vgg.safetensors", metadata={"convention": "caffe"})
    save_file(distilled_weights(), tmp_path / "distilled.safetensors")
    words = [f"lite={model}", "--plan", tmp_path / "plan.toml", "--photos", photos]
    words += ["--paintings", painting.parent, "--held-out", "photo-*", "--photo-count", 2]
    words += ["--clips", clips, "--frames", 1, "--vgg", tmp_path / "vgg.safetensors"]
    words += ["--distilled", tmp_path / "distilled.safetensors", "--results", tmp_path / "b.json"]
    bars.experiment(bars.parser().parse_args([str(word) for word in words]))
    printed = capsys.readouterr()
    assert "left out: stranger" in printed.err
    (cell,) = read_cells(tmp_path / "b.json").values()
    assert 0 < cell["painted_share"] <= 1 and 0 < cell["spectrum"] <= 1
    assert cell["weave"] > 0 and cell["repetition"] > 0 and cell["temporal"] > 0
    crops = cell["style_crops"] / cell["style_photo"]
    assert 0 < crops < 1
    share = cell["style"] / cell["style_photo"]
    shares = f"| lite | waves | {share:.3g} | {crops:.3g} | {cell['painted_share']:.3g} |"
    assert shares in printed.out
    assert "≤ 0.09 |  | ≥ 0.65" in printed.out
    assert "part" not in cell["settings"]
    with (tmp_path / "plan.toml").open("a") as plan:
        plan.write("part = [0, 0, 1, 0.9]\n")
    with pytest.raises(UserError, match="part"):
        bars.experiment(bars.parser().parse_args([str(word) for word in words]))
    bars.experiment(bars.parser().parse_args([str(word) for word in [*words, "--again"]]))
    (other,) = read_cells(tmp_path / "b.json").values()
    assert other["settings"]["part"] == [0, 0, 1, 0.9] and other["style"] != cell["style"]
    again = [*words, "--styles", "stranger"]
    with pytest.raises(UserError, match="'stranger'"):
        bars.experiment(bars.parser().parse_args([str(word) for word in again]))


def test_what_is_out_of_bounds_is_marked() -> None:
    def cell(painted: float, contrast: float, **more: float) -> dict[str, object]:
        values = {"style": 0.1, "style_photo": 1.0, "content": 0.9, "spectrum": 0.2}
        settings = {"photos": 1, "side": 64, "frames_a_clip": 1}
        measured = {"painted_share": painted, "contrast": contrast, **values, **more}
        return {"settings": settings, "machine": "m", **measured}

    text = tables.bars({"lite/a": cell(0.7, 1), "lite/b": cell(0.4, 1), "lite/c": cell(0.7, 1.3)})
    marked = [line.endswith("| x |") for line in text.splitlines() if line.startswith("| lite | ")]
    assert marked == [False, False, True, True]
    assert "| lite | 3 | 0.1 | 0.6 | 0.4 | 1.00 to 1.30 | 0.9 | 0.2 |" in text
    cells = {"old/a": cell(0.7, 1, weave=1.2), "old/b": cell(0.7, 1)}
    text = tables.bars({**cells, "lite/a": cell(0.7, 1, weave=1.5, repetition=1.1)})
    assert "| old | 2 | 0.1 | 0.7 | 0.7 | 1.00 to 1.00 | 0.9 | 0.2 |  |  |" in text
    assert "| 0.9 | 0.2 |  |  |" in text and "| 0.9 | 0.2 | 1.5 | 1.1 |" in text


def foreign(path: Path, scale: float, size: int | str, weights: int = 0) -> Path:
    """A model that swaps nothing and makes its input ``scale`` times as strong."""
    shape = [1, 3, size, size]
    inputs = [helper.make_tensor_value_info("in", TensorProto.FLOAT, shape)]
    factor = helper.make_tensor("scale", TensorProto.FLOAT, [1], [scale])
    nodes = [helper.make_node("Mul", ["in", "scale"], ["out"])]
    if weights:
        inputs.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [weights]))
        nodes = [
            helper.make_node("ReduceMax", ["w"], ["most"], keepdims=0),
            helper.make_node("Mul", ["in", "most"], ["out"]),
        ]
        factor = None
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [factor] if factor else [],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_foreign_generators(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 32, 48), dtype=torch.uint8, generator=random)
    clean = image.float() / 255
    styled = peers.Foreign(str(foreign(tmp_path / "styled.onnx", 1, "s", weights=4)))
    assert styled.styles == 4
    torch.testing.assert_close(styled(image, 2), clean)
    fixed = peers.Foreign(str(foreign(tmp_path / "fixed.onnx", 1, 64)) + ":bgr")
    assert fixed.swap and fixed(image, 0).shape == image.shape
    # One whose output is of 0..255 whatever comes in: what goes in is then of 0..255, too.
    loud = peers.Foreign(str(foreign(tmp_path / "loud.onnx", 255, "s")))
    assert loud(image, 0).max() == 1
    with pytest.raises(UserError, match="does not exist"):
        peers.Foreign(str(tmp_path / "none.onnx"))


@needs_ffmpeg
def test_sheets_beside_peers(clips: Path, model: Path, tmp_path: Path) -> None:
    other = foreign(tmp_path / "other.onnx", 1, "s")
    words = [model, "--peers", other, "--clips", clips, "--frames", 1, "--heights", 72]
    words += ["--width", 64, "--columns", 2, "--out", tmp_path / "sheets"]
    peers.experiment(peers.parser().parse_args([str(word) for word in words]))
    (path,) = (tmp_path / "sheets").iterdir()
    assert path.name == "bars-1.0-72p.jpg"
    from PIL import Image

    with Image.open(path) as page:  # the source, two of ours, one of theirs
        assert page.size == (2 * 68, 2 * (36 + peers.HEADING))
