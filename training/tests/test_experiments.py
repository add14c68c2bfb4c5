# SPDX-License-Identifier: MPL-2.0
"""Experiments: results survive, curves are read right, everything runs on tiny settings."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_judge import distilled_weights

from experiments import analysis, gallery, iterations, report, sweep, tables, timing
from experiments.common import Study, Variant, arguments, contrast_change, read_curve
from experiments.results import Cell, Results, read_cells, write_cells
from stylize_train import vgg
from stylize_train.checkpoint import read_checkpoint
from stylize_train.config import Config
from stylize_train.errors import UserError
from stylize_train.export import About, export
from stylize_train.generators import create
from stylize_train.train import Trainer, run

NARROW = ((4, 4), (6, 6), (8, 8, 8, 8))


def test_results_are_kept_and_not_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    calls: list[str] = []

    def compute(name: str) -> Cell:
        calls.append(name)
        if name == "crash":
            raise KeyboardInterrupt
        return {"value": 1 / 3, "pair": (1, 2.0)}

    results = Results(path)
    results.cell("a", {"steps": 3}, lambda: compute("a"))
    with pytest.raises(KeyboardInterrupt):
        results.cell("b", {"steps": 3}, lambda: compute("crash"))
    again = Results(path)
    found = again.cell("a", {"steps": 3}, lambda: compute("never"))
    assert found["value"] == 0.33333 and found["pair"] == [1, 2.0] and found["seconds"] >= 0
    again.cell("b", {"steps": 3}, lambda: compute("b"))
    assert calls == ["a", "crash", "b"]
    assert [line[:3] for line in path.read_text().splitlines()[1:-1]] == ['"a"', '"b"']
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_two_runs_add_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    first, second = Results(path), Results(path)
    first.cell("a", {}, lambda: {"value": 1})
    second.cell("b", {}, lambda: {"value": 2})
    assert set(read_cells(path)) == {"a", "b"}
    assert first.cell("b", {}, lambda: {"value": 3})["value"] == 2


def test_results_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    Results(path).cell("a", {"steps": 3, "crop": 8}, lambda: {"value": 1})
    with pytest.raises(UserError, match=r"other settings \(steps 3\).*--again"):
        Results(path).cell("a", {"steps": 4, "crop": 8}, lambda: {"value": 2})
    assert read_cells(path)["a"]["value"] == 1
    Results(path, again=True).cell("a", {"steps": 4, "crop": 8}, lambda: {"value": 2})
    assert read_cells(path)["a"]["value"] == 2
    path.write_text("{")
    with pytest.raises(UserError, match="not a results file"):
        Results(path)


def test_a_full_disk_leaves_the_results_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(tmp_path / "r.json")
    results.cell("a", {}, lambda: {"value": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        results.cell("b", {}, lambda: {"value": 2})
    assert list(read_cells(tmp_path / "r.json")) == ["a"]


def test_place_on_a_curve() -> None:
    falling = [(0, 8.0), (1, 4.0), (10, 2.0), (100, 1.0)]
    assert iterations.equivalent(falling, 2.0) == pytest.approx(10)
    assert iterations.equivalent(falling, math.sqrt(2)) == pytest.approx(10 * math.sqrt(10))
    assert iterations.equivalent(falling, math.sqrt(32)) == pytest.approx(0.5)
    assert iterations.equivalent(falling, 9.0) == 0
    assert iterations.equivalent(falling, 0.5) is None
    hill = [(0, 0.0), (1, 0.5), (10, 2.0), (100, 1.0), (1000, 0.5)]
    assert iterations.equivalent(hill, 1.0) == pytest.approx(100)
    assert iterations.equivalent(hill, 0.4) is None


def test_logged_iterations() -> None:
    steps = iterations.logarithmic(500)
    assert steps[:8] == [1, 2, 3, 4, 5, 6, 7, 8] and steps[-1] == 500
    assert steps == sorted(set(steps)) and len(steps) < 40
    assert iterations.logarithmic(1) == [1]


def test_labels() -> None:
    variant = Variant.parse("residual-16-batch-noise")
    assert variant.generator == "residual"
    assert variant.options == {"width": 16, "norm": "batch", "noise_channels": 3}
    assert Variant.parse("pyramid").options == {}
    assert Variant.parse("residual-16-instance") == Variant.parse("residual-16")
    with pytest.raises(UserError, match="'wide'"):
        Variant.parse("lite-wide")


def test_contrast_change() -> None:
    photo = torch.tensor([100, 200], dtype=torch.uint8).repeat(3, 4, 4)
    assert contrast_change(lambda x: x.float() / 255, [photo]) == pytest.approx(25)
    assert contrast_change(lambda x: torch.zeros(3, 4, 8), [photo]) == 0
    normalized = contrast_change(lambda x: (x.float() - 150).sign(), [photo])
    assert normalized == 0


def test_curve_of_a_resumed_run(tmp_path: Path) -> None:
    steps = [(50, 3.0), (100, 2.0), (150, 1.5), (100, 2.1), (150, 1.6)]
    lines = [json.dumps({"step": step, "style": style}) for step, style in steps]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    assert [(c["step"], c["style"]) for c in read_curve(tmp_path / "log.jsonl")] == [
        (50, 3.0),
        (100, 2.1),
        (150, 1.6),
    ]


def norm_cell(style: float, change: float, frozen: float | None = None) -> Cell:
    losses = {"style": style, "content": 1.0}
    curve = [[step, style * 1000 / step, 1.0, 0.0] for step in (500, 1000, 2000)]
    settings = {"steps": 2000, "batch": 4, "crop": 96, "held_out_count": 2, "side": 64, "seed": 1}
    cell: Cell = {"settings": settings, "machine": "a machine", "curve": curve}
    cell |= {"weights": {"style": 10.0, "content": 2.0}, "held_out": losses}
    cell |= {"contrast_change": change}
    if frozen is not None:
        cell["frozen"] = {"style": frozen, "content": 1.0}
    return cell


def test_norms_are_compared_on_the_same_paintings() -> None:
    cells = {
        "pyramid/instance/a": norm_cell(0.2, 3, frozen=0.5),
        "pyramid/batch/a": norm_cell(0.4, 30),
        "pyramid/instance/b": norm_cell(9.0, 3, frozen=9.0),
    }
    instance, batch = analysis.norm_rows(cells)
    assert (instance.norm, batch.norm, instance.paintings) == ("instance", "batch", 1)
    assert instance.objective == pytest.approx(4) and batch.objective == pytest.approx(6)
    assert instance.frozen_objective == pytest.approx(7)
    final = batch.curve[-1][1]
    assert final == pytest.approx(10 * 0.2 + 2)
    assert analysis.first_step_below(instance.curve, final) == 1000
    text = tables.norms(cells)
    assert text is not None and "| 1.5 |" in text and "1,000 of 2,000" in text


@pytest.fixture
def study_arguments(photos: Path, painting: Path, tmp_path: Path) -> list[str]:
    save_file(
        vgg.random_weights(0, NARROW),
        tmp_path / "vgg.safetensors",
        metadata={"convention": "torchvision"},
    )
    save_file(distilled_weights(), tmp_path / "judge.safetensors")
    words = ["--paintings", painting, "--photos", photos, "--held-out", "photo-[01]*", "--side", 64]
    words += ["--vgg", tmp_path / "vgg.safetensors", "--judge", tmp_path / "judge.safetensors"]
    words += ["--steps", 2, "--batch", 1, "--crop", 32, "--style-size", 64, "--threads", 1]
    words += ["--work", tmp_path / "work"]
    return [str(word) for word in words]


def study(name: str, folder: Path, words: list[str], **extra: object) -> Study:
    args = arguments(name, "").parse_args([*words, "--results", str(folder / f"{name}.json")])
    for key, value in extra.items():
        setattr(args, key, value)
    return Study(args)


def test_iterations_experiment(study_arguments: list[str], tmp_path: Path) -> None:
    extra = {"generators": ["lite-8"], "iterations": 6, "optimizer": "lbfgs", "init": "content"}
    extra["models"] = []
    iterations.experiment(study("iterations", tmp_path, study_arguments, **extra))
    cells = read_cells(tmp_path / "iterations.json")
    assert sorted(cells) == ["gatys/painting/photo-0", "gatys/painting/photo-1", "lite-8/painting"]
    points = cells["gatys/painting/photo-0"]["points"]
    assert [point[0] for point in points] == [0, 1, 2, 3, 4, 5, 6]
    assert points[0][2] == 0 and points[-1][3] < points[0][3]
    found = analysis.equivalence(cells)
    assert found is not None and found.pairs == 2 and found.paintings == 1
    photos = cells["lite-8/painting"]["photos"].values()
    style = sum(losses[0] for losses in photos) / 2
    assert found.generators["lite-8"]["style"] == pytest.approx(style)
    table = tables.iterations(cells)
    assert table is not None and "| Gatys, 6 iterations |" in table and "64 pixels; optim" in table
    before = (tmp_path / "iterations.json").read_bytes()
    iterations.experiment(study("iterations", tmp_path, study_arguments, **extra))
    assert (tmp_path / "iterations.json").read_bytes() == before

    # A finished model stands beside the generators, and does not change their numbers.
    extra["models"] = [tmp_path / "work" / "lite-8" / "painting" / "model.onnx"]
    iterations.experiment(study("iterations", tmp_path, study_arguments, **extra))
    cells = read_cells(tmp_path / "iterations.json")
    assert cells["model:model/painting"]["photos"] == cells["lite-8/painting"]["photos"]
    assert analysis.equivalence(cells) == found
    assert analysis.models(cells)["model"].places["model"] == found.places["lite-8"]
    table = tables.iterations(cells)
    assert table is not None and "| `model` |" in table


def test_a_gallery_on_the_curve_is_the_mean_over_its_paintings() -> None:
    cells: dict[str, Cell] = {}
    for painting, start in [("a", 1.0), ("b", 3.0), ("c", 9.0)]:
        points = [[i, start / 2**i, start / 2**i] for i in range(3)]
        columns = ["iteration", "style", "total"]
        cells[f"gatys/{painting}/photo"] = {"columns": columns, "points": points}
        photos = {"photo": [start / 2, start / 2]}
        cell = {"columns": columns[1:], "photos": photos}
        if painting != "c":
            cells[f"{iterations.MODEL}gallery/{painting}"] = cell
    found = analysis.models(cells)["gallery"]
    assert (found.pairs, found.paintings) == (2, 2)
    assert found.generators["gallery"]["style"] == pytest.approx(1.0)
    assert found.places["gallery"]["style"] == pytest.approx(1.0)


def test_a_gallery_paints_in_the_style_of_the_painting(tmp_path: Path) -> None:
    generator = create("lite", {"width": 4, "dilations": [1], "norm": "conditional", "styles": 2})
    file = tmp_path / "two.onnx"
    export(generator, About("two", styles=("stranger", "starry-night")), file)
    model = iterations.finished(file, Path("any/starry_night_vivid.jpg"))
    (row,) = model.style_feeds.values()
    assert row.ravel().tolist() == [0, 1]
    with pytest.raises(UserError, match=r"no style of .*two.onnx was learned from wave.jpg"):
        iterations.finished(file, Path("wave.jpg"))


def test_gallery_experiment(study_arguments: list[str], tmp_path: Path) -> None:
    words = study_arguments
    painting = words[words.index("--paintings") + 1]
    config = Config(
        style="",
        styles=(painting,),
        content=words[words.index("--photos") + 1],
        generator_options={"width": 4, "dilations": [1], "norm": "conditional"},
        steps=1,
        batch=1,
        crop=32,
        style_size=64,
        vgg=words[words.index("--vgg") + 1],
    )
    result = run(Trainer(config), tmp_path / "run", quiet=True)
    export(result.generator, About("g", styles=config.style_names), tmp_path / "g.onnx")
    extra = {"models": [f"lite={tmp_path / 'g.onnx'}", f"unsteady={tmp_path / 'g.onnx'}"]}
    extra |= {"alone": tmp_path / "run" / "checkpoint.pt", "alone_steps": 2, "alone_label": "alone"}
    extra |= {"alone_lr": 0.002}
    gallery.experiment(study("gallery", tmp_path, words, **extra))
    cells = read_cells(tmp_path / "gallery.json")
    assert sorted(cells) == ["alone/painting", "lite/painting", "unsteady/painting"]
    ratio = cells["lite/painting"]["style"] / cells["alone/painting"]["style"]
    table = tables.gallery(cells)
    assert table is not None and f"| {ratio:.3g} |" in table and "2 held-out photos" in table
    assert cells["lite/painting"]["temporal"] == cells["unsteady/painting"]["temporal"]
    # The body is the same, and nothing but the norm differs.
    stored = read_checkpoint(tmp_path / "work" / "alone" / "painting" / "checkpoint.pt")["config"]
    assert stored["generator_options"] == {"width": 4, "dilations": [1], "norm": "instance"}
    with pytest.raises(UserError, match="LABEL=FILE"):
        gallery.split("model.onnx")


def test_the_sweep_compares_on_the_same_paintings() -> None:
    def cell(style: float) -> Cell:
        return {"held_out": {"style": style}}

    cost = {name: {"macs_per_pixel": macs} for name, macs in [("lite-8", 2.0), ("lite-4", 1.0)]}
    cells = {"cost": cost, "lite-8/a": cell(1), "lite-8/b": cell(3), "lite-4/a": cell(2)}
    rows = analysis.sweep_rows({**cells, "pyramid/a": cell(9)})
    assert [(r.generator, r.paintings, r.held_out["style"]) for r in rows] == [
        ("lite-4", 1, 2),
        ("lite-8", 1, 1),
    ]


def test_training_of_other_settings_is_not_continued(
    study_arguments: list[str], tmp_path: Path
) -> None:
    one = study("sweep", tmp_path, study_arguments)
    trained = one.train(Variant.parse("lite-8"), one.paintings[0])
    written = trained.path.read_bytes()
    assert one.train(Variant.parse("lite-8"), one.paintings[0]).path.read_bytes() == written
    other = study("sweep", tmp_path, study_arguments, steps=3)
    with pytest.raises(UserError, match="was trained with steps 2 instead of 3"):
        other.train(Variant.parse("lite-8"), other.paintings[0])


def test_sweep_timing_and_report(study_arguments: list[str], tmp_path: Path) -> None:
    extra = {"generators": ["lite-8", "lite-4"], "runs": 1, "measured": 2, "size": 64}
    timing.experiment(study("timing", tmp_path, study_arguments, **extra))
    cell = read_cells(tmp_path / "timing.json")["times"]
    assert cell["extrapolated"] == [100, 300, 500]
    assert cell["gatys_seconds"]["300"] == pytest.approx(300 * cell["seconds_per_iteration"], 1e-3)
    assert 1 <= cell["evaluations_per_iteration"] < 25
    sweep.experiment(study("sweep", tmp_path, study_arguments, **extra))
    rows = analysis.sweep_rows(read_cells(tmp_path / "sweep.json"))
    assert [row.generator for row in rows] == ["lite-4", "lite-8"]
    assert rows[0].cost["parameters"] < rows[1].cost["parameters"]
    places = "<!-- begin sweep -->old<!-- end sweep -->", "<!-- begin norms --><!-- end norms -->"
    document = "\n".join(["# Title", *places, ""])
    text = report.filled(document, tmp_path)
    assert "| lite-4 |" in text and "old" not in text and report.NOTHING in text
    summary = report.filled("|<!-- begin measured-lite -->|<!-- end measured-lite -->|", tmp_path)
    ratio = cell["gatys_seconds"]["500"] / cell["generator_seconds"]["lite-8"]
    assert f"lite-8: {ratio:,.0f}x faster than 500 iterations" in summary
    assert summary.count("\n") == 0
    assert report.filled(text, tmp_path) == text
    with pytest.raises(UserError, match="'speed'"):
        report.filled("<!-- begin speed --><!-- end speed -->", tmp_path)


def test_plots_are_drawn_the_same_twice(study_arguments: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from experiments import plots

    cells = {"pyramid/instance/a": norm_cell(0.2, 3), "pyramid/batch/a": norm_cell(0.4, 30)}
    for name in ("norms", "norms-long"):
        write_cells(tmp_path / f"{name}.json", cells)
    extra = {"generators": ["lite-4"], "measured": 1, "size": 64, "runs": 1, "models": []}
    timing.experiment(study("timing", tmp_path, study_arguments, **extra))
    sweep.experiment(study("sweep", tmp_path, study_arguments, **extra))
    extra |= {"iterations": 2, "optimizer": "adam", "init": "noise"}
    iterations.experiment(study("iterations", tmp_path, study_arguments, **extra))
    written = plots.draw(tmp_path)
    assert [path.name for path in written] == [f"{name}.svg" for name in plots.PLOTS]
    first = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in plots.draw(tmp_path)] == first
    assert b"instance" in first[0] and b"lite-4" in first[2] and b"Gatys" in first[3]
