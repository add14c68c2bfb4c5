# SPDX-License-Identifier: MPL-2.0
"""Campaigns: plans, the balance of styles, checkpoints that go on, releases, teachers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image
from safetensors.torch import save_file
from test_judge import distilled_weights

from stylize_train.balance import GREATEST_WEIGHT, Balance
from stylize_train.campaign import run as run_module
from stylize_train.campaign import store
from stylize_train.campaign.plan import Loss, Plan, Style, read_plan
from stylize_train.campaign.release import losses_of, release, source_of
from stylize_train.campaign.run import Campaign
from stylize_train.campaign.sitting import train
from stylize_train.checkpoint import write_checkpoint
from stylize_train.cli import main
from stylize_train.errors import UserError
from stylize_train.generators import create
from stylize_train.loss_options import read_style
from stylize_train.losses import StandardizedMoments, gram
from stylize_train.pixels import PixelStatistics
from stylize_train.render import Model

BODY = {"width": 8, "edges": [6, 6, 4], "dilations": [1]}
STYLES = """
[first]
file = "first.png"
size = 88
[second]
file = "second.png"
size = 96
"""
PLAN = """
generator = "eighth"
styles = "styles.toml"
samples = 6
batch = 2
crop = 64
[options]
width = 8
edges = [6, 6, 4]
dilations = [1]
[loss]
style_layers = ["conv1_1", "conv2_1", "conv3_1"]
scales = [1.0, 0.5]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Paintings, loss network and plans."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("campaign")
    for seed, name in enumerate(["first", "second", "third"]):
        picture(90 + seed, 72, 96).save(folder / f"{name}.png")
    save_file(distilled_weights(), folder / "distilled.safetensors")
    (folder / "styles.toml").write_text(STYLES)
    (folder / "wide.toml").write_text(PLAN)
    taught = (
        'teacher = "wide.toml"\npixel = 5.0\nfeature = 0.1\ntemporal = 1.0\nratio = [[0, 0.1]]\n'
        + PLAN
    )
    (folder / "small.toml").write_text(taught)
    return folder


def campaign(folder: Path, photos: Path, **changes: object) -> Campaign:
    plan = dataclasses.replace(read_plan(folder / "wide.toml"), **changes)
    return Campaign(plan, photos, [folder], folder / "distilled.safetensors")


def test_a_second_view_costs_every_so_many_steps(folder: Path, photos: Path) -> None:
    run = campaign(folder, photos, temporal=1.0, temporal_from=2, temporal_every=2)
    steps = [run.train_step() for _ in range(6)]
    assert [step for step in range(6) if "temporal" in steps[step]] == [3, 5]
    seen = [values["temporal"] for values in steps if "temporal" in values]
    assert run.mean_losses()["temporal"] == pytest.approx(sum(seen) / 2)


def test_the_photo_in_the_output_costs_what_the_plan_says(folder: Path, photos: Path) -> None:
    runs = [campaign(folder, photos, photo=w, photo_most=0.0) for w in (0.0, 2.0)]
    free, dear = (run.train_step() for run in runs)
    assert 0 < free["photo"] <= 1 and dear["photo"] == free["photo"]
    assert dear["total"] == pytest.approx(free["total"] + 2 * free["photo"])
    assert campaign(folder, photos, photo=2.0, photo_most=1.0).train_step()["photo"] == 0


def test_a_ratio_goes_in_straight_lines() -> None:
    plan = Plan("p", "eighth", {}, {"a": Style("a.png")}, ratio=((100, 1.5), (200, 0.5)))
    assert [plan.ratio_at(s) for s in (0, 100, 150, 200, 900)] == [1.5, 1.5, 1.0, 0.5, 0.5]


def part_of_first(edges: str) -> str:
    """The plan with a part of the first painting."""
    first = f"styles.first = {{ file = 'first.png', part = {edges} }}"
    return PLAN.replace('styles = "styles.toml"', first)


def test_a_style_may_be_a_part_of_its_painting(folder: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(part_of_first("[0.25, 0.1, 1, 1]"))
    style = read_plan(tmp_path / "plan.toml").styles["first"]
    assert style.part == (0.25, 0.1, 1, 1)
    with Image.open(folder / style.file) as painting:
        assert painting.size == (96, 72)
        painting.crop((24, 7, 96, 72)).save(tmp_path / "cut.png")
    cut = read_style(tmp_path / "cut.png", style.size)
    assert torch.equal(read_style(folder / style.file, style.size, style.part), cut)

    run = campaign(folder, photos, styles={"first": style, "second": Style("second.png", 96)})
    assert torch.equal(run.objective.pixels.palette[:1], PixelStatistics.of([cut]).palette)
    release(run, tmp_path / "gallery.onnx", 0)
    card = (tmp_path / "gallery.md").read_text()
    assert "| `first` | first.png, 25 to 100 % across and 10 to 100 % down | 768 |" in card


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("generator = 'eighth'\n", "no styles"),
        ("generator = \n", "not TOML"),
        (PLAN.replace("samples = 6", "samples = 0"), "samples is 0"),
        (PLAN.replace("samples = 6", "speed = 6"), "speed"),
        (PLAN.replace("samples = 6", "photo_most = -0.1"), "photo_most is -0.1"),
        (PLAN.replace("samples = 6", "ratio = [[5, 1], [5, 2]]"), "rising"),
        (PLAN.replace("samples = 6", "teacher = 'x.toml'"), "pixel or feature"),
        (part_of_first("[0, 0.5, 1]"), r"part of first is \[0, 0.5, 1\]"),
        (part_of_first("[0.5, 0, 0.5, 1]"), "part of first is"),
        (part_of_first("[0, 0, 1, 1.1]"), "from 0 to 1"),
        (part_of_first("[0, 0, 1, nan]"), "from 0 to 1"),
        (part_of_first("['a', 0, 1, 1]"), "from 0 to 1"),
        (part_of_first("1"), "from 0 to 1"),
        (PLAN.replace("samples = 6", "samples = 'six'"), "samples is 'six', and a number"),
        (PLAN.replace("samples = 6", "about = 6"), "about is 6, and text"),
        (PLAN.replace('"styles.toml"', "{ a = 5 }"), "5 is where a table is wanted"),
        (PLAN.replace("samples = 6", "mixed = 'x'"), "'x' is where a table is wanted"),
        (PLAN.replace('"styles.toml"', "{ a = { file = 'a.png', size = '9' } }"), "a: size is '9'"),
    ],
)
def test_plans_that_cannot_work_are_refused(
    text: str, said: str, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "styles.toml").write_text(STYLES)
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(UserError, match=said):
        read_plan(tmp_path / "plan.toml")


def test_each_style_weighs_its_ratio_of_the_content_term() -> None:
    balance = Balance(["a", "b", "c"])
    balance.note_content(2.0)
    balance.note_style([0, 1, 2], [0.5, 4.0, 1e-12])
    weights = balance.weights([0, 1, 2], [1.0, 0.5, 1.0])
    assert weights == [pytest.approx(4.0), pytest.approx(0.25), GREATEST_WEIGHT]


def test_standardized_moments_see_means_and_correlations() -> None:
    random = np.random.default_rng(3)
    painting = torch.from_numpy(random.gamma(2.0, 1.0, (1, 3, 9, 11)).astype(np.float32))
    statistic = StandardizedMoments()
    target = statistic.describe(painting)
    assert statistic.errors(painting, target).item() == pytest.approx(0, abs=1e-9)
    # A Gram matrix hardly sees that two channels became strangers: these moments do.
    shuffled = painting.clone()
    shuffled[0, 0] = painting[0, 0].flatten()[torch.randperm(99)].reshape(9, 11)
    shuffled[0, 1] = painting[0, 0] + 0.01
    painting[0, 1] = painting[0, 0] + 0.01
    target = statistic.describe(painting)
    assert statistic.errors(shuffled, target).item() > 0.2
    plain = (gram(shuffled) - gram(painting)).square().sum() / gram(painting).square().sum()
    assert plain.item() < 0.1 * statistic.errors(shuffled, target).item()
    assert statistic.errors(painting + 1, target).item() > 0.2


def test_styles_with_fewer_samples_come_more_often(folder: Path, photos: Path) -> None:
    run = campaign(folder, photos, batch=1)
    run.samples = {"first": 1000, "second": 10}
    chosen = [run.choose().item() for _ in range(200)]
    assert 0.8 < sum(chosen) / 200 < 0.99


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    folder: Path, photos: Path, tmp_path: Path
) -> None:
    whole = campaign(folder, photos)
    for _ in range(3):
        whole.train_step()
    write_checkpoint(tmp_path / "half.pt", whole.state())
    again = campaign(folder, photos)
    again.restore(store.load(tmp_path / "half.pt"))
    for run in (whole, again):
        for _ in range(2):
            run.train_step()
    assert whole.samples == again.samples and whole.balance.style == again.balance.style
    for name, value in whole.average.items():
        assert torch.equal(value, again.average[name]), name
    for name, value in whole.adam.parameters.items():
        assert torch.equal(value, again.adam.parameters[name]), name


def test_moments_are_those_of_torch(folder: Path, photos: Path) -> None:
    torch.manual_seed(0)
    ours, theirs = (create("eighth", BODY) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    adam = store.Adam(ours)
    reference = torch.optim.Adam(theirs.parameters(), lr=1e-2)
    for number in range(1, 4):
        image = torch.rand(1, 3, 32, 32)
        for generator in (ours, theirs):
            generator.zero_grad()
            generator(image).square().mean().backward()
        adam.step(number, 1e-2)
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_styles_may_come_and_go(folder: Path, photos: Path, tmp_path: Path) -> None:
    run = campaign(folder, photos)
    run.train_step()
    write_checkpoint(tmp_path / "two.pt", run.state())
    styles = {"third": Style("third.png", 90), "second": Style("second.png", 96)}
    changed = campaign(folder, photos, styles=styles)
    changed.restore(store.load(tmp_path / "two.pt"))
    table, before = changed.generator.down_norm.scale, run.generator.down_norm.scale
    assert torch.equal(table[1], before[1])
    torch.testing.assert_close(table[0], before.mean(0))
    assert changed.samples == {"third": 0, "second": run.samples["second"]}
    changed.train_step()


@pytest.mark.parametrize(
    "larger",
    [
        {"width": 12},
        {"edges": [8, 7, 6]},
        {"dilations": [1, 2]},
        {"body_noise": 2},
        {"body_noise": 2, "width": 12},
    ],
    ids=["width", "edges", "depth", "noise", "noise and width"],
)
def test_a_generator_that_grows_first_paints_as_before(
    folder: Path, photos: Path, tmp_path: Path, larger: dict[str, object]
) -> None:
    run = campaign(folder, photos, lr=0.05)
    for _ in range(3):
        run.train_step()
    write_checkpoint(tmp_path / "small.pt", run.state())
    table = {"third": Style("third.png", 90), **run.plan.styles}
    grown = campaign(folder, photos, options={**BODY, **larger}, styles=table)
    stored = store.load(tmp_path / "small.pt")
    grown.restore(stored)
    image, mix = torch.rand(2, 3, 32, 32), torch.eye(2)
    padded = torch.nn.functional.pad(mix, (1, 0))
    with torch.no_grad():
        wanted = run.generator(image, None, mix)
        torch.testing.assert_close(grown.generator(image, None, padded), wanted)
        wanted = run.averaged()(image, None, mix)
        torch.testing.assert_close(grown.averaged()(image, None, padded), wanted)
    parameters = {n: p.detach().clone() for n, p in grown.generator.named_parameters()}
    for _ in range(2):
        grown.train_step()
    for name, parameter in grown.generator.named_parameters():
        assert (parameter != parameters[name]).any(), name


def test_a_checkpoint_of_another_body_is_refused(
    folder: Path, photos: Path, tmp_path: Path
) -> None:
    run = campaign(folder, photos)
    write_checkpoint(tmp_path / "one.pt", run.state())
    other = campaign(folder, photos, options={**BODY, "width": 6})
    with pytest.raises(UserError, match="does not fit"):
        other.restore(store.load(tmp_path / "one.pt"))
    (tmp_path / "bad.pt").write_bytes(b"PK")
    with pytest.raises(UserError, match="not the checkpoint of a campaign"):
        store.load(tmp_path / "bad.pt")


def test_training_ends_with_the_budget_and_leaves_checkpoint_curve_and_sheet(
    folder: Path, photos: Path, tmp_path: Path
) -> None:
    run = campaign(folder, photos)
    train(run, tmp_path / "c.pt", tmp_path / "c.jsonl", 1e9, sheet=tmp_path / "c.jpg")
    assert run.done and min(run.samples.values()) == 6
    lines = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert lines[-1]["samples_least"] == 6 and set(lines[-1]["styles"]) == {"first", "second"}
    assert store.load(tmp_path / "c.pt")["step"] == run.step
    assert (tmp_path / "c.jpg").stat().st_size > 1000


def test_a_release_decays_plays_and_leaves_the_campaign_alone(
    folder: Path, photos: Path, tmp_path: Path
) -> None:
    run = campaign(folder, photos, about="A gallery.", options={**BODY, "body_noise": 3})
    run.train_step()
    assert release(run, tmp_path / "gallery.onnx", 2) < 1
    image = torch.from_numpy(np.array(picture(5, 48, 40))).permute(2, 0, 1)
    first, second = (Model(tmp_path / "gallery.onnx", mix=m)(image) for m in ("first", "second"))
    assert first.shape == image.shape and not torch.equal(first, second)
    card = (tmp_path / "gallery.md").read_text()
    assert "--release gallery.onnx --decay 2" in card
    assert "`noise8` float32 [1, 3, H/8, W/8], standard normal" in card
    assert "A gallery." in card and "| `second` | second.png | 96 |" in card


def test_outputs_take_on_the_paintings_palettes(folder: Path, photos: Path) -> None:
    run = campaign(folder, photos, palette=20.0, ratio=((0.0, 0.01),))
    values = [run.train_step(0.01)["palette"] for _ in range(40)]
    assert sum(values[-5:]) < 0.5 * sum(values[:5])


def test_a_pupil_learns_its_teachers_pictures(folder: Path, photos: Path) -> None:
    teacher = campaign(folder, photos)
    with torch.no_grad():  # Colours that an untrained pupil does not have, and little else.
        teacher.average["out.weight"].mul_(0.2)
        teacher.average["out.bias"].add_(torch.tensor([-2.0, 0.0, 2.0]).repeat_interleave(4))
    plan = read_plan(folder / "small.toml")
    weights = folder / "distilled.safetensors"
    with pytest.raises(UserError, match="whose checkpoint is needed"):
        Campaign(plan, photos, [folder], weights)
    pupil = Campaign(plan, photos, [folder], weights, teacher=(teacher.plan, teacher.state()))
    values = [pupil.train_step(0.01) for _ in range(60)]
    assert values[0].keys() >= {"pixel", "feature", "style", "temporal", "total"}
    pixel = [v["pixel"] for v in values]
    assert sum(pixel[-5:]) < 0.6 * sum(pixel[:5])


def test_a_pupil_goes_on_without_its_teacher(folder: Path, photos: Path) -> None:
    teacher = campaign(folder, photos)
    plan = dataclasses.replace(read_plan(folder / "small.toml"), taught_until=2.0)
    given = (teacher.plan, teacher.state())
    pupil = Campaign(plan, photos, [folder], folder / "distilled.safetensors", teacher=given)
    assert source_of(pupil) == "its teacher, wide.toml"
    for _ in range(6):
        taught = min(pupil.samples.values()) < 2
        values = pupil.train_step()
        assert ("feature" in values) == taught and ("content" in values) != taught
    assert not taught
    assert source_of(pupil).endswith(
        "wide.toml, up to 2 samples a style; then paintings and photos"
    )


def test_teacher_and_pupil_read_the_same_noise(folder: Path, photos: Path) -> None:
    noisy = {**BODY, "body_noise": 2}
    teacher = campaign(folder, photos, options=noisy)
    plan, weights = read_plan(folder / "small.toml"), folder / "distilled.safetensors"
    given = (teacher.plan, teacher.state())
    with pytest.raises(UserError, match="same noise"):
        Campaign(plan, photos, [folder], weights, teacher=given)
    plan = dataclasses.replace(plan, options=noisy)
    pupil = Campaign(plan, photos, [folder], weights, teacher=given)
    pupil.generator.load_state_dict(teacher.average)
    values = pupil.train_step(0.0)
    # The pupil is its teacher, and differs by the grain on what it sees.
    assert values["pixel"] < 0.01
    assert pupil.noise(torch.zeros(2, 3, 32, 32))[0].shape == (2, 2, 4, 4)


def test_each_network_runs_in_the_faster_type(
    folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = Loss(style_layers=("conv1_1",), scales=(1.0,), style_statistics="gram")
    teacher = campaign(folder, photos)
    plan = dataclasses.replace(read_plan(folder / "small.toml"), mixed=mixed, mixed_every=2)
    weights = folder / "distilled.safetensors"
    taught_by = (teacher.plan, teacher.state())

    def made(fastest: bool) -> Campaign:
        return Campaign(
            *(plan, photos, [folder], weights),
            teacher=taught_by,
            mixed_weights=weights,
            fastest=fastest,
        )

    tried: list[int] = []

    def faster(forward: Callable[[], Iterable[torch.Tensor]], inputs: Sequence = ()) -> bool:
        assert all(result.isfinite().all() for result in forward())
        tried.append(len(inputs))
        return len(tried) != 1

    monkeypatch.setattr(run_module, "faster_in_bfloat16", faster)
    plain = made(fastest=False)
    assert plain.precisions() == "" and not tried
    half = made(fastest=True)
    assert half.precisions() == "loss, teacher, mixed loss"
    # The generator with its parameters, the teacher, which does not learn, and two losses.
    assert tried == [len(half.adam.parameters), 0, 1, 1]
    for _ in range(2):
        expected, values = plain.train_step(), half.train_step()
        assert values.keys() == expected.keys()
        assert values["feature"] == pytest.approx(expected["feature"], rel=0.1)
    assert values != expected


def test_the_command_goes_on_where_it_was(
    folder: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "command.pt"
    words = ["campaign", str(folder / "wide.toml"), "--content", str(photos)]
    words += ["--paintings", str(folder), "--vgg", str(folder / "distilled.safetensors")]
    words += ["--checkpoint", str(checkpoint), "--threads", "1"]
    assert main([*words, "--release", str(tmp_path / "early.onnx")]) == 1
    assert "nothing to release" in capsys.readouterr().err
    assert main([*words, "--minutes", "0"]) == 0
    assert store.load(checkpoint)["step"] == 1
    assert main([*words, "--minutes", "0"]) == 0
    assert store.load(checkpoint)["step"] == 2
    assert main([*words, "--release", str(tmp_path / "out.onnx"), "--decay", "1"]) == 0
    assert store.load(checkpoint)["step"] == 2 and (tmp_path / "out.md").exists()
    missing = [w if w != str(folder) else str(photos) for w in words]
    assert main(missing) == 1
    assert "holds first.png" in capsys.readouterr().err


def test_every_second_step_may_have_another_loss(folder: Path, photos: Path) -> None:
    mixed = Loss(style_layers=("conv1_1",), scales=(1.0,), style_statistics="gram")
    plan = dataclasses.replace(read_plan(folder / "wide.toml"), mixed=mixed, mixed_every=2)
    weights = folder / "distilled.safetensors"
    with pytest.raises(UserError, match="--mixed-vgg"):
        Campaign(plan, photos, [folder], weights)
    run = Campaign(plan, photos, [folder], weights, mixed_weights=weights)
    run.train_step()
    assert run.balance.style and not run.mixed_balance.style
    before = dict(run.balance.style)
    run.train_step()
    assert run.mixed_balance.style and run.balance.style == before and len(run.recent) == 1
    again = Campaign(plan, photos, [folder], weights, mixed_weights=weights)
    again.restore(run.state())
    assert again.mixed_balance.style == run.mixed_balance.style


def test_every_step_may_have_the_other_loss(folder: Path, photos: Path) -> None:
    mixed = Loss(style_layers=("conv1_1",), scales=(1.0,), style_statistics="gram")
    plan = dataclasses.replace(read_plan(folder / "wide.toml"), mixed=mixed, mixed_every=1)
    weights = folder / "distilled.safetensors"
    run = Campaign(plan, photos, [folder], weights, mixed_weights=weights)
    run.train_step()
    assert run.mixed_balance.style and not run.balance.style
    assert len(run.recent) == 1 and run.usual.balance is run.mixed_balance
    assert losses_of(plan) == "distilled loss network, gram statistics"
    other = dataclasses.replace(plan, mixed_every=2)
    assert losses_of(other) == (
        "distilled loss network, standardized statistics; one step in 2 with distilled, "
        "gram statistics"
    )
