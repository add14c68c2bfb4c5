# SPDX-License-Identifier: MPL-2.0
"""Many styles in one generator: the norm, its graph, joint training, one style more."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import NARROW, picture
from safetensors.torch import save_file
from torch import Tensor

from stylize_train import vgg
from stylize_train.checkpoint import read_checkpoint
from stylize_train.cli import main
from stylize_train.compare import split_style
from stylize_train.errors import UserError
from stylize_train.export import About, export, to_onnx
from stylize_train.extend import extended, grow, without_styles
from stylize_train.generators import create
from stylize_train.losses import PerceptualLoss, Weights
from stylize_train.norms import ConditionalNorm, InstanceNorm
from stylize_train.render import Model
from stylize_train.styles import parse_mix, style_names, turns
from stylize_train.train import Trainer, run

Make = Callable[..., Trainer]
SMALL: dict[str, object] = {"width": 8, "dilations": [1, 2], "norm": "conditional"}


def shaken(norm: ConditionalNorm) -> ConditionalNorm:
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return norm


def test_each_sample_has_the_scale_and_shift_of_its_mix() -> None:
    torch.manual_seed(0)
    norm = shaken(ConditionalNorm(5, styles=3))
    x = torch.randn(4, 5, 6, 7) * 3 + 1
    mix = torch.rand(4, 3)
    expected = np.empty(x.shape)
    for n, c in np.ndindex(4, 5):
        plane = x[n, c].double().numpy()
        scale = (mix[n].double() * norm.scale[:, c].double()).sum().item()
        shift = (mix[n].double() * norm.shift[:, c].double()).sum().item()
        expected[n, c] = (plane - plane.mean()) / np.sqrt(plane.var() + 1e-5) * scale + shift
    torch.testing.assert_close(norm(x, mix), torch.tensor(expected).float(), atol=1e-5, rtol=1e-5)


def test_one_style_is_an_instance_norm_bit_for_bit() -> None:
    torch.manual_seed(0)
    norm = shaken(ConditionalNorm(5, styles=3))
    single = InstanceNorm(5)
    single.load_state_dict({"scale": norm.scale[1], "shift": norm.shift[1]})
    x = torch.randn(2, 5, 8, 8)
    got = norm(x, torch.eye(3)[1:2])
    torch.testing.assert_close(got, single(x), atol=2e-6, rtol=1e-5)


def conditional(styles: int = 3) -> torch.nn.Module:
    torch.manual_seed(1)
    generator = create("lite", {**SMALL, "styles": styles})
    for module in generator.modules():
        if isinstance(module, ConditionalNorm):
            shaken(module)
    return generator


def test_the_graph_has_one_matrix_product_and_plays_any_mix(tmp_path: Path) -> None:
    generator = conditional()
    about = About("gallery", styles=("a", "b", "c"))
    model = to_onnx(generator, about)
    assert [node.op_type for node in model.graph.node].count("MatMul") == 1
    by_name = {i.name: i.type.tensor_type for i in model.graph.input}
    assert list(by_name) == ["image", "style_weights"]
    assert [d.dim_value for d in by_name["style_weights"].shape.dim] == [3]
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found["stylize.styles"] == "a,b,c"
    path = tmp_path / "gallery.onnx"
    export(generator, about, path)
    image = torch.from_numpy(np.array(picture(2, 32, 40))).permute(2, 0, 1)
    weights = torch.tensor([[0.25, 0.0, 0.75]])
    with torch.no_grad():
        expected = generator(image[None].float() / 255, mix=weights)[0]
    got = Model(path, mix="c:3,a:1")(image)
    assert (got - expected).abs().max().item() <= 1 / 255
    assert not torch.equal(Model(path, mix="a")(image), Model(path, mix="b")(image))
    with pytest.raises(UserError, match="a, b, c"):
        Model(path)


def test_styles_are_named_and_mixed() -> None:
    assert style_names(["x/starry_night.jpg", "wave.png"]) == ("starry-night", "wave")
    with pytest.raises(UserError, match="two paintings are called wave"):
        style_names(["a/wave.jpg", "b/wave.png"])
    with pytest.raises(UserError, match="comma or colon"):
        style_names(["a,b.jpg"])
    names = ("starry-night", "wave")
    assert parse_mix("wave", names).tolist() == [0, 1]
    assert parse_mix("wave:1,starry-night:3", names).tolist() == [0.75, 0.25]
    for bad, said in [("waves", "did you mean wave"), ("wave:x", "number"), ("wave:0", "above 0")]:
        with pytest.raises(UserError, match=said):
            parse_mix(bad, names)


def test_every_style_has_one_turn_in_each_round() -> None:
    order = turns(0, 60, 5, seed=3)
    rounds = [order[i : i + 5] for i in range(0, 60, 5)]
    assert all(sorted(r) == [0, 1, 2, 3, 4] for r in rounds)
    assert len({tuple(r) for r in rounds}) > 5
    assert turns(7, 11, 5, seed=3) == order[7:18] and turns(0, 60, 5, seed=4) != order


def test_samples_are_compared_with_their_own_paintings(loss_network: vgg.Vgg) -> None:
    def tensor(seed: int, height: int, width: int) -> Tensor:
        array = np.array(picture(seed, height, width), dtype=np.float32) / 255
        return torch.from_numpy(array).permute(2, 0, 1)[None]

    paintings = [tensor(1, 64, 80), tensor(2, 72, 64)]
    weights = Weights(scales=(1.0, 0.5))
    both = PerceptualLoss(loss_network, paintings, weights)
    each = [PerceptualLoss(loss_network, p, weights) for p in paintings]
    output, photo = torch.cat([tensor(s, 64, 64) for s in (3, 4, 5)]), tensor(6, 64, 64)
    which = torch.tensor([1, 0, 1])
    got = both(output, photo.expand(3, -1, -1, -1), which)
    for i, index in enumerate(which.tolist()):
        alone = each[index](output[i : i + 1], photo)
        torch.testing.assert_close(got["each_style"][i], alone["style"])
    torch.testing.assert_close(got["style"], got["each_style"].mean())
    with pytest.raises(ValueError, match="which"):
        both(output, photo)


@pytest.fixture
def paintings(tmp_path: Path) -> list[str]:
    files = [tmp_path / f"{name}.png" for name in ("sea_waves", "hills", "clouds")]
    for seed, file in enumerate(files):
        picture(seed + 50, 64 + 8 * seed, 80).save(file)
    return [str(file) for file in files]


def gallery(make_trainer: Make, paintings: list[str], **settings: object) -> Trainer:
    values = {"style": "", "styles": tuple(paintings), "generator_options": SMALL, **settings}
    return make_trainer(**values)


def test_a_resumed_gallery_is_the_uninterrupted_one(
    make_trainer: Make, paintings: list[str], tmp_path: Path
) -> None:
    settings = {"steps": 6, "temporal": 10.0, "ema": 0.9}
    whole = gallery(make_trainer, paintings, **settings)
    run(whole, quiet=True)
    first = gallery(make_trainer, paintings, **settings)
    for _ in range(3):
        first.train_step()
    state = first.state()
    torch.save(state, tmp_path / "state.pt")
    second = gallery(make_trainer, paintings, **settings)
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    run(second, quiet=True)
    for name, value in whole.best().state_dict().items():
        assert torch.equal(value, second.best().state_dict()[name]), name
    assert whole.style_losses() == second.style_losses()
    assert list(whole.style_losses()) == ["sea-waves", "hills", "clouds"]


def test_styles_learn_to_differ(make_trainer: Make, paintings: list[str]) -> None:
    trainer = gallery(make_trainer, paintings, steps=60, lr=5e-3, batch=3)
    losses = [trainer.train_step()["style"] for _ in range(60)]
    assert sum(losses[-6:]) < 0.7 * sum(losses[:6])
    image = trainer.photos.batch(1)[0]
    with torch.no_grad():
        outputs = [trainer.generator(image, mix=torch.eye(3)[i : i + 1]) for i in range(3)]
    assert min((outputs[i] - outputs[i - 1]).abs().mean().item() for i in range(3)) > 0.02


def test_an_added_style_leaves_the_others_alone(make_trainer: Make, paintings: list[str]) -> None:
    base = gallery(make_trainer, paintings[:2], steps=8)
    run(base, quiet=True)
    config = extended(base.config, Path(paintings[2]), steps=20, lr=5e-3)
    trainer = Trainer(config, base.loss.vgg, autocast=False)
    grow(trainer.generator, base.generator.state_dict())
    first = [trainer.train_step()["style"] for _ in range(20)]
    assert sum(first[-4:]) < sum(first[:4])
    before, after = base.generator.state_dict(), trainer.generator.state_dict()
    for name, value in after.items():
        old = before[name]
        assert torch.equal(value[: len(old)], old), name
        if value.shape != old.shape:
            assert not torch.equal(value[-1], old.mean(0)), f"{name} has learned"
    image = base.photos.batch(1)[0]
    with torch.no_grad():
        pair = [base.generator(image, mix=torch.eye(2)[1:]) for _ in range(1)]
        pair.append(trainer.generator(image, mix=torch.eye(3)[1:2]))
    assert torch.equal(*pair)
    plain = replace(base.config, style="x", styles=(), generator_options={})
    with pytest.raises(UserError, match="one style for good"):
        extended(plain, Path(paintings[2]))


def test_styles_are_left_out_and_the_others_stay() -> None:
    torch.manual_seed(0)
    generator = create("lite", {**SMALL, "styles": 3})
    for norm in generator.modules():
        if isinstance(norm, ConditionalNorm):
            shaken(norm)
    fewer, names = without_styles(generator, ["a", "b", "c"], ["b"])
    assert names == ("a", "c") and fewer.styles == 2
    image = torch.rand(1, 3, 32, 32)
    before = generator(image, [], torch.tensor([[0.25, 0.0, 0.75]]))
    assert torch.equal(fewer(image, [], torch.tensor([[0.25, 0.75]])), before)
    with pytest.raises(UserError, match="no such style; known are: a, b, c"):
        without_styles(generator, ["a", "b", "c"], ["d"])
    with pytest.raises(UserError, match="leaves no style"):
        without_styles(generator, ["a", "b", "c"], ["a", "b", "c"])


def test_commands_from_paintings_to_one_style_more(
    photos: Path, paintings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "vgg.safetensors"
    save_file(vgg.random_weights(0, NARROW), weights, metadata={"convention": "torchvision"})

    def command(*words: object) -> int:
        return main([str(word) for word in words])

    out = tmp_path / "gallery.onnx"
    common = ["--content", photos, "--vgg", weights]
    options = ["--steps", 2, "--crop", 32, "--width", 8, "--dilations", "1,2", "--style-size", 64]
    train = ["train", "--out", out, *options, *common, "--norm", "conditional", "--temporal", 5]
    assert command(*train, "--styles", *paintings[:2]) == 0
    card = out.with_suffix(".md").read_text()
    assert "--styles PAINTINGS" in card and str(tmp_path) not in card
    assert re.search(r"\| sea-waves [0-9.]+, hills [0-9.]+ \|", card)
    more = tmp_path / "more.onnx"
    checkpoint = tmp_path / "gallery.onnx.run" / "checkpoint.pt"
    added = ["add-style", checkpoint, paintings[2], "--out", more, "--steps", 2, *common]
    assert command(*added) == 0
    found = {e.key: e.value for e in onnx.load(more).metadata_props}
    assert found["stylize.styles"] == "sea-waves,hills,clouds"
    assert read_checkpoint(tmp_path / "more.onnx.run" / "checkpoint.pt")["config"]["added"]
    image = torch.from_numpy(np.array(picture(7, 40, 48))).permute(2, 0, 1)
    for style in ("sea-waves", "hills"):
        assert torch.equal(Model(out, mix=style)(image), Model(more, mix=style)(image))

    picture(8, 40, 48).save(tmp_path / "in.png")
    stylized = ["stylize", more, tmp_path / "in.png", tmp_path / "out.png"]
    assert command(*stylized, "--mix", "hills:0.5,clouds") == 0
    capsys.readouterr()
    measured = ["evaluate", more, "--style", paintings[1], *common, "--style-size", 64]
    assert command(*measured, "--mix", "hills", "--temporal") == 0
    assert '"temporal_pan"' in capsys.readouterr().out
    assert command(*measured) == 1
    assert "sea-waves, hills, clouds" in capsys.readouterr().err
    assert command(*train, "--style", paintings[0], "--norm", "instance") == 0
    assert split_style(f"{more}@hills:0.5,clouds") == (more, "hills:0.5,clouds")
    assert split_style(str(more)) == (more, None)
