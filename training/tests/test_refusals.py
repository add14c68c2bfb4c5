# SPDX-License-Identifier: MPL-2.0
"""What a user can get wrong: one sentence, before any work is done, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from conftest import picture
from safetensors.torch import save_file

from stylize_train import arguments, vgg
from stylize_train.checkpoint import read_checkpoint, write_checkpoint
from stylize_train.cli import main
from stylize_train.data import Photos, read_image
from stylize_train.errors import UserError
from stylize_train.export import About, export
from stylize_train.gatys import PaperLoss
from stylize_train.generators import create
from stylize_train.loss_options import Layers, read_style
from stylize_train.train import Trainer, run

Make = Callable[..., Trainer]
Refused = Callable[..., str]
NARROW = ((8, 8), (8, 8), (8, 8, 8, 8), (8, 8, 8, 8), (8,))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "vgg.safetensors"
    save_file(vgg.random_weights(0, NARROW[:3]), path, metadata={"convention": "caffe"})
    return path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command that must fail; returns its one line (after a progress bar's)."""

    def run_command(*words: object) -> str:
        capsys.readouterr()
        assert main([str(word) for word in words]) == 1
        lines = [n for n in capsys.readouterr().err.splitlines() if n and "step/s" not in n]
        assert len(lines) == 1 and lines[0].startswith("stylize-train: ")
        return lines[0]

    return run_command


@pytest.fixture
def train(refused: Refused, photos: Path, painting: Path, weights: Path, tmp_path: Path) -> Refused:
    """The same for a tiny training; words overrule its options."""
    words = ["train", "--style", painting, "--content", photos, "--out", tmp_path / "m.onnx"]
    words += ["--vgg", weights, "--steps", 2, "--crop", 32, "--style-size", 64]
    return lambda *more: refused(*words, *more)


def test_small_paintings(train: Refused, refused: Refused, photos: Path, tmp_path: Path) -> None:
    small, wide = tmp_path / "small.png", tmp_path / "wide.png"
    picture(1, 40, 63).save(small)
    picture(1, 64, 640).save(wide)
    assert "small.png is 63 x 40 pixels" in train("--style", small)
    assert "at least 64" in refused("gatys", photos / "photo-0.png", small, tmp_path / "out.png")
    assert "the painting is 64 x 6 pixels" in train("--style", wide)
    network = vgg.Vgg(vgg.random_weights(0, NARROW), "caffe", ["conv5_1"])
    with pytest.raises(UserError, match="32 x 3 pixels, and this loss needs at least 16"):
        PaperLoss(network, read_style(wide, 32), Layers(("conv5_1",), "conv5_1"))


def test_a_small_painting_among_several_is_refused_before_training(
    train: Refused, painting: Path, photos: Path, refused: Refused, weights: Path, tmp_path: Path
) -> None:
    picture(1, 20, 20).save(tmp_path / "small.png")
    words = ["train", "--styles", painting, tmp_path / "small.png", "--content", photos]
    words += ["--vgg", weights, "--steps", 2, "--crop", 32, "--out", tmp_path / "models"]
    assert "small.png is 20 x 20" in refused(*words)
    assert not (tmp_path / "models").exists()


def test_crops_that_a_loss_cannot_see(train: Refused, tmp_path: Path, photos: Path) -> None:
    deep = ("--scales", "1,1,1,1,1", "--style-size", 256)
    assert "--crop is 32, and this loss needs at least 64" in train(*deep)
    assert not (tmp_path / "m.onnx.run").exists()


def test_photos_that_gatys_cannot_see(
    refused: Refused, photos: Path, painting: Path, weights: Path, tmp_path: Path
) -> None:
    words = ["gatys", photos / "photo-0.png", painting, tmp_path / "out.png", "--vgg", weights]
    said = refused(*words, "--scales", "1,1,1,1,1", "--style-size", 256, "--size", 48)
    assert "--size 48 makes the photo 48 x 40 pixels" in said and "at least 64" in said


@pytest.mark.parametrize("data", [b"P6\n4x 4\n255\n", b"\x01\xda\x00\x01\x00\x09" + bytes(506)])
def test_damaged_pictures(data: bytes, tmp_path: Path) -> None:
    """Pillow's decoders raise other errors than its own for these."""
    (tmp_path / "damaged").write_bytes(data)
    with pytest.raises(UserError, match="not a picture"):
        read_image(tmp_path / "damaged")
    picture(1, 40, 40).save(tmp_path / "whole.png")
    assert len(Photos(tmp_path, 32, 1)) == 1


def test_evaluated_folders_may_hold_other_files(
    refused: Refused,
    painting: Path,
    weights: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, model = tmp_path / "photos", tmp_path / "m.onnx"
    folder.mkdir()
    export(create("lite", {"width": 4, "dilations": [1]}), About("m"), model)
    (folder / "notes.txt").write_text("no picture")
    options = ["--style", painting, "--content", folder, "--vgg", weights, "--style-size", 64]
    for command in ("evaluate", "compare"):
        words = [str(word) for word in [command, model, *options]]
        assert "no file in" in refused(*words)
        picture(1, 40, 40).save(folder / "photo.png")
        caplog.clear()
        assert main([*words, *(["--runs", "1"] if command == "compare" else [])]) == 0
        assert "notes.txt" in caplog.text
        picture(1, 40, 24).save(folder / "small.png")
        assert "small.png is 24 x 40 pixels" in refused(*words)
        (folder / "small.png").unlink()
        (folder / "photo.png").unlink()


def test_devices_and_threads(
    train: Refused, refused: Refused, painting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--device abacus cannot be used" in train("--device", "abacus")
    assert "--threads is 0" in train("--threads", 0)
    assert "--threads is -1" in refused("gatys", painting, painting, "out.png", "--threads", -1)

    def missing(*_size: int, device: str) -> NoReturn:
        raise AssertionError("Torch not compiled with CUDA enabled")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "zeros", missing)
        said = train("--device", "cuda")
    assert "--device cuda cannot be used (Torch not compiled with CUDA enabled)" in said


def test_too_little_memory(train: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_trainer: Trainer) -> NoReturn:
        raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB.\nAnd so on.")

    monkeypatch.setattr(Trainer, "train_step", full)
    assert "smaller --batch" in train()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--lr", "nan"),
        ("--lr", "inf"),
        ("--noise", -1),
        ("--tv", "nan"),
        ("--style-weight", -2),
        ("--temporal", "inf"),
        ("--scales", "1,nan"),
    ],
)
def test_numbers_that_are_none(train: Refused, option: str, value: object) -> None:
    assert f"stylize-train: {option}" in train(option, value)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--dilations", "1,x", "invalid comma-separated int value: '1,x'"),
        ("--seed", "-1", "-1 is not from 0"),
        ("--norm", "layer", "invalid choice"),
    ],
)
def test_words_that_cannot_be_parsed(
    option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["train", "--style", "a.png", "--out", "m.onnx", option, value])
    text = capsys.readouterr().err
    assert end.value.code == 2 and text.count("\n") == 1
    assert f"argument {option}: " in text and said in text and "train --help" in text


def test_a_seed_is_taken_whole() -> None:
    assert arguments.seed(str(2**63 - 1)) == 2**63 - 1


def test_where_nothing_can_be_written(
    train: Refused, refused: Refused, photos: Path, painting: Path, weights: Path, tmp_path: Path
) -> None:
    """Said before the work, not after it."""
    (tmp_path / "folder").mkdir()
    assert "folder is a folder" in train("--out", tmp_path / "folder")
    words = ["gatys", photos / "photo-0.png", painting, tmp_path / "out.xyz", "--vgg", weights]
    assert "ends in '.xyz'" in refused(*words)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("kind", ["cut", "foreign", "tensor", "noise", "folder"])
def test_what_is_no_checkpoint_is_left_as_it_is(
    make_trainer: Make, train: Refused, refused: Refused, painting: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "run" / "checkpoint.pt"
    run(make_trainer(steps=1), path.parent, quiet=True)
    data = path.read_bytes()
    if kind == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "foreign":
        torch.save({"model": torch.zeros(3)}, path)
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "noise":
        path.write_bytes(b"\x80\x02}q\x00" + data[:500])
    else:
        path.unlink()
        path.mkdir()
    before = path.read_bytes() if path.is_file() else None
    new = ("--content", tmp_path, "--out", tmp_path / "new.onnx")
    for said in (
        train("--resume", "--checkpoint-dir", path.parent),
        train("--start-from", path),
        refused("export", path, "--out", tmp_path / "new.onnx"),
        refused("add-style", path, painting, *new),
    ):
        assert "checkpoint.pt" in said
        assert ("cannot read" if kind == "folder" else "not a checkpoint") in said
    assert before == (path.read_bytes() if path.is_file() else None)
    assert not list(tmp_path.glob("*.onnx"))


def test_runs_of_other_settings_are_not_continued(
    make_trainer: Make, tmp_path: Path, painting: Path
) -> None:
    run(make_trainer(steps=2), tmp_path, quiet=True)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    twin = painting.with_name("another.png")
    picture(3, 72, 128).save(twin)
    for said, changes in (
        ("lr 0.001 instead of 0.01", {"lr": 0.01}),
        (r"paintings \['painting.png'\] instead of \['another.png'\]", {"style": str(twin)}),
        ("generator options", {"generator_options": {"width": 8, "dilations": [2, 1]}}),
    ):
        with pytest.raises(UserError, match=f"of a run with {said}"):
            run(make_trainer(steps=2, **changes), tmp_path, resume=True, quiet=True)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    moved = tmp_path / painting.name
    moved.write_bytes(painting.read_bytes())
    options = {"width": 8, "dilations": [1, 2], "norm": "instance"}
    longer = make_trainer(steps=3, style=str(moved), generator_options=options)
    run(longer, tmp_path, resume=True, quiet=True)
    assert longer.step == 3


def test_broken_weights_do_not_replace_a_checkpoint(make_trainer: Make, tmp_path: Path) -> None:
    run(make_trainer(steps=1), tmp_path, quiet=True)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    trainer = make_trainer(steps=2)
    trainer.optimizer.step = lambda: trainer.generator.out.weight.data.fill_(torch.nan)
    with pytest.raises(UserError, match="not finite after step 2; try a smaller --lr"):
        run(trainer, tmp_path, every=0, resume=True, quiet=True)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_log_on_a_full_disk_tells_of_the_checkpoint(make_trainer: Make, tmp_path: Path) -> None:
    run(make_trainer(steps=49), tmp_path, quiet=True)
    state = read_checkpoint(tmp_path / "checkpoint.pt")
    write_checkpoint(tmp_path / "checkpoint.pt", state)
    trainer = make_trainer(steps=60)
    real = trainer.train_step

    def step() -> dict[str, float]:
        log = tmp_path / "log.jsonl"
        log.unlink(missing_ok=True)
        log.symlink_to("/dev/full")
        return real()

    trainer.train_step = step  # type: ignore[method-assign]
    with pytest.raises(UserError, match="No space left on device; the last checkpoint is intact"):
        run(trainer, tmp_path, resume=True, quiet=True)


def test_weights_of_wrong_shapes(weights: Path, train: Refused) -> None:
    foreign = vgg.random_weights(0, NARROW[:3]) | {"conv1_2.weight": torch.zeros(8, 8, 1, 1)}
    save_file(foreign, weights, metadata={"convention": "caffe"})
    assert "conv1_2 have the shape (8, 8, 1, 1) in the place of [out, 8, 3, 3]" in train()
