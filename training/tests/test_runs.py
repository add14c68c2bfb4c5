# SPDX-License-Identifier: MPL-2.0
"""Whole runs: interrupted and continued, on a full disk, several paintings, textures."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import pytest
import torch
from conftest import picture
from safetensors.torch import save_file

from stylize_train import vgg
from stylize_train.checkpoint import read_checkpoint, write_checkpoint
from stylize_train.cli import main
from stylize_train.data import Photos
from stylize_train.errors import UserError
from stylize_train.files import append_json, write_whole
from stylize_train.generators import GENERATORS
from stylize_train.norms import NORMS
from stylize_train.train import Trainer, run

Make = Callable[..., Trainer]
SMALL: dict[str, dict[str, object]] = {
    "eighth": {"width": 8, "edges": [6, 6, 4], "dilations": [1]},
    "lite": {"width": 8, "dilations": [1]},
    "residual": {"width": 4, "blocks": 1},
    "pyramid": {"width": 4, "levels": 3},
}


def interrupted(trainer: Trainer, after: int, folder: Path) -> None:
    """Run ``trainer`` with a checkpoint at each step, and stop it as Ctrl-C would."""
    real = trainer.train_step

    def step() -> dict[str, float]:
        if trainer.step == after:
            raise KeyboardInterrupt
        return real()

    trainer.train_step = step  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(trainer, folder, every=0, quiet=True)


@pytest.mark.parametrize(("name", "norm"), list(itertools.product(GENERATORS, NORMS)))
def test_resumed_run_is_the_uninterrupted_one(
    make_trainer: Make, tmp_path: Path, name: str, norm: str
) -> None:
    """With everything that has a state: running statistics, noise, averaged weights."""
    settings: dict[str, object] = {
        "generator": name,
        "generator_options": {**SMALL[name], "norm": norm, "noise_channels": 2},
        "steps": 5,
        "ema": 0.9,
        "diversity": 0.5,
    }
    whole = make_trainer(**settings)
    run(whole, tmp_path / "whole", quiet=True)
    interrupted(make_trainer(**settings), 3, tmp_path / "part")
    resumed = make_trainer(**settings)
    run(resumed, tmp_path / "part", resume=True, quiet=True)
    for a, b in ((whole.generator, resumed.generator), (whole.best(), resumed.best())):
        assert a.state_dict().keys() == b.state_dict().keys()
        for key, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[key]), key
    assert whole.mean_losses() == resumed.mean_losses()
    assert torch.equal(whole.photos.random.get_state(), resumed.photos.random.get_state())


def test_averaged_weights_come_with_running_statistics(make_trainer: Make) -> None:
    trainer = make_trainer(generator_options={**SMALL["lite"], "norm": "batch"}, ema=0.9)
    run(trainer, quiet=True)
    assert trainer.best() is not trainer.generator
    for mean, value in zip(trainer.best().buffers(), trainer.generator.buffers(), strict=True):
        assert torch.equal(mean, value) and not torch.equal(value, torch.zeros_like(value))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["residual", "pyramid"])
def test_loss_falls(make_trainer: Make, name: str, norm: str) -> None:
    options = {**SMALL[name], "norm": norm}
    trainer = make_trainer(generator=name, generator_options=options, steps=40, lr=5e-3)
    losses = [trainer.train_step()["total"] for _ in range(40)]
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])


def test_log_of_a_resumed_run_has_every_step_once(make_trainer: Make, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    run(make_trainer(steps=100), tmp_path, quiet=True)
    lines = log.read_text().splitlines(keepends=True)
    assert [json.loads(line)["step"] for line in lines] == [50, 100]
    trainer = make_trainer(steps=150)
    state = read_checkpoint(tmp_path / "checkpoint.pt")
    write_checkpoint(tmp_path / "checkpoint.pt", {**state, "step": 60})
    log.write_text("".join(lines) + '{"step": 150, "sty')
    run(trainer, tmp_path, resume=True, quiet=True)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [50, 100, 150]


def test_full_disk_leaves_the_last_checkpoint(make_trainer: Make, tmp_path: Path) -> None:
    """``/dev/full`` refuses every write as a full disk does."""
    checkpoint = tmp_path / "checkpoint.pt"
    interrupted(make_trainer(steps=4), 2, tmp_path)
    before = checkpoint.read_bytes()
    part = checkpoint.with_name("checkpoint.pt.part")
    part.symlink_to("/dev/full")
    with pytest.raises(UserError, match="No space left") as refusal:
        run(make_trainer(steps=4), tmp_path, every=0, resume=True, quiet=True)
    assert "intact" in str(refusal.value) and "--resume" in str(refusal.value)
    assert checkpoint.read_bytes() == before and not part.is_symlink()
    trainer = make_trainer(steps=4)
    run(trainer, tmp_path, resume=True, quiet=True)
    assert trainer.step == 4


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UserError, match=r"cannot write .*/file/model\.onnx: File exists"):
        write_whole(tmp_path / "file" / "model.onnx", b"")
    log = tmp_path / "log.jsonl"
    log.symlink_to("/dev/full")
    with pytest.raises(UserError, match="No space left"):
        append_json(log, {"step": 1})


def test_photos_are_those_files_that_are_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in range(2):
        picture(seed, 40, 40).save(tmp_path / f"{seed}.jpg")
    assert len(Photos(tmp_path, 32, 1)) == 2
    assert not caplog.records
    for name in ("a.txt", "b.mov", "c.pdf", "d.db"):
        (tmp_path / name).write_text("no picture")
    assert len(Photos(tmp_path, 32, 1)) == 2
    (record,) = caplog.records
    assert record.getMessage() == (
        "4 of 6 files are no pictures and were left out: a.txt, b.mov, c.pdf, ..."
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "vgg.safetensors"
    plan = ((8, 8), (8, 8), (8, 8, 8, 8))
    save_file(vgg.random_weights(0, plan), path, metadata={"convention": "caffe"})
    return path


def command(*words: object) -> int:
    return main([str(word) for word in words])


def quick(weights: Path) -> Sequence[object]:
    return ("--vgg", weights, "--steps", 2, "--crop", 32, "--style-size", 64, "--threads", 1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("residual", ["--width", 4, "--blocks", 1, "--norm", "batch"]),
        ("pyramid", ["--width", 4, "--levels", 3, "--noise-channels", 2, "--diversity", 0.5]),
    ],
)
def test_train_and_export_every_generator(
    photos: Path, painting: Path, weights: Path, tmp_path: Path, name: str, options: list[object]
) -> None:
    out = tmp_path / "model.onnx"
    words = ["train", "--style", painting, "--content", photos, "--out", out, *quick(weights)]
    assert command(*words, "--generator", name, *options) == 0
    card = out.with_suffix(".md").read_text()
    assert f"--generator {name} --width 4" in card and "as exported" in card
    again = tmp_path / "again.onnx"
    assert command("export", f"{out}.run/checkpoint.pt", "--out", again, "--name", "model") == 0
    assert again.read_bytes() == out.read_bytes()


def test_textures_need_no_photos(painting: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "texture.onnx"
    words = ["train", "--style", painting, "--out", out, *quick(weights), "--task", "texture"]
    words += ["--generator", "pyramid", "--width", 4, "--levels", 3]
    assert command(*words) == 0
    card = out.with_suffix(".md").read_text()
    assert "Texture after *texture*" in card and "--task texture" in card
    assert "--content" not in card
    model = onnx.load(out)
    assert [value.name for value in model.graph.input] == ["image", "noise1", "noise2", "noise4"]
    state = read_checkpoint(tmp_path / "texture.onnx.run" / "checkpoint.pt")
    assert state["config"]["content_weight"] == 0
    picture(1, 40, 56).save(tmp_path / "size.png")
    assert command("stylize", out, tmp_path / "size.png", tmp_path / "made.png", "--seed", 4) == 0
    assert (tmp_path / "made.png").exists()


def test_several_paintings_make_several_models(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paintings = [tmp_path / f"{name}.png" for name in ("waves", "hills")]
    for seed, path in enumerate(paintings):
        picture(seed + 50, 64, 80).save(path)
    out = tmp_path / "models"
    words = ["train", "--styles", *paintings, "--content", photos, "--out", out, *quick(weights)]
    words += ["--width", 4, "--dilations", 1, "--artist", "Nobody"]
    assert command(*words) == 0
    made = sorted(path.name for path in out.iterdir() if path.is_file())
    assert made == ["hills.md", "hills.onnx", "waves.md", "waves.onnx"]
    models = [(out / f"{path.stem}.onnx").read_bytes() for path in paintings]
    assert models[0] != models[1]
    card = (out / "hills.md").read_text()
    assert "# hills" in card and "--style PAINTING" in card and "--styles" not in card
    one = tmp_path / "hills.onnx"
    single = [*words[:1], "--style", paintings[1], *words[4:6], "--out", one, *words[8:]]
    assert command(*single) == 0
    assert one.read_bytes() == models[1], "the same model as if trained alone"

    (out / "hills.md").unlink()
    (out / "waves.onnx").write_bytes(b"finished")
    capsys.readouterr()
    assert command(*words, "--resume") == 0
    assert f"{out / 'waves.onnx'}: finished before" in capsys.readouterr().out
    assert (out / "waves.onnx").read_bytes() == b"finished"
    assert (out / "hills.onnx").read_bytes() == models[1] and (out / "hills.md").exists()


def test_bad_commands_get_one_sentence(
    photos: Path, painting: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = tmp_path / painting.name
    picture(1, 64, 64).save(twin)
    out = tmp_path / "out"

    def refused(*words: object) -> str:
        assert command("train", "--out", out, *quick(weights), *words) == 1
        text = capsys.readouterr().err
        assert text.startswith("stylize-train: ") and text.count("\n") == 1
        return text

    one = ("--style", painting, "--content", photos)
    both = ("--styles", painting, twin, "--content", photos)
    assert "two paintings are called painting" in refused(*both)
    assert "--title" in refused("--styles", painting, "--content", photos, "--title", "x")
    missing = tmp_path / "none.jpg"
    assert "none.jpg does not exist" in refused("--styles", painting, missing, "--content", photos)
    assert "--content is missing" in refused("--style", painting)
    assert "generator eighth has no option --blocks" in refused(*one, "--blocks", 3)
    assert "--noise-channels" in refused(*one, "--diversity", 1)
    assert "a texture is made from noise" in refused(
        "--style", painting, "--task", "texture", "--noise-channels", 0
    )
    assert "multiple of 32 and at least 64" in refused(*one, "--generator", "pyramid")
    assert "vgg.none does not exist" in refused(*one, "--vgg", tmp_path / "vgg.none")
    assert not list(out.parent.glob("out*"))
