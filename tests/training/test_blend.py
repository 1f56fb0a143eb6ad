"""Blends of two runs, checked through onnxruntime, and what cannot be blended."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
import trials

from img2img import methods
from img2img.errors import CheckpointError, ConfigError, UsageError
from img2img.methods.method import ModelExport
from img2img.networks.compact import Compact
from img2img.runtime.network.card import Card
from img2img.training.blend import blend, blend_any, check_compatible, interpolate
from img2img.training.start import read

TINY = {"name": "collapsible-compact", "options": {"features": 4, "convs": 1, "expand": 4}}


def trained(method: str, out: Path, **changes: Any) -> Path:
    recipe: Any = methods.find(method).recipe
    values: dict[str, Any] = {"batch": 2, "steps": 2, "log_every": 1, "validate_every": 2, "checkpoint_every": 1}
    trials.train_to_end(
        methods.find(method), recipe.parse(recipe.with_defaults({**values, **changes}), where="test"), out
    )
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`a`, a fidelity run; `b`, an adversarial run that started from it; `wide` and `other`, with other networks."""
    place = tmp_path_factory.mktemp("runs")
    data = {"folders": [str(trials.photos(place / "photos"))], "crop": 32}
    shared: dict[str, Any] = {"scale": 2, "data": data, "generator": TINY, "ema": 0.5}
    found = {"a": trained("esrgan", place / "a", **shared, card={"licence": "CC0", "trained_on": ["mine"]})}
    found["b"] = trained(
        "esrgan",
        place / "b",
        **shared,
        stage="adversarial",
        start=str(found["a"]),
        perceptual={"weight": 0.0},
        discriminator={"name": "patchgan", "options": {"features": 4, "layers": 1}},
        optimiser={"rate": 1e-2},
    )
    wide = {"name": "compact", "options": {"features": 5, "convs": 2}}
    found["wide"] = trained("srgan", place / "wide", **{**shared, "generator": wide})
    other = {"name": "srresnet", "options": {"features": 4, "blocks": 1}}
    found["other"] = trained("srgan", place / "other", **{**shared, "generator": other})
    return found


def network(run: Path) -> Compact:
    """Return the folded generator of the best checkpoint, built here without the method."""
    from img2img.networks.collapsible import CollapsibleCompact

    generator = CollapsibleCompact(scale=2, **TINY["options"])  # type: ignore[arg-type]
    generator.load_state_dict(read(run)["generator.ema"])
    return generator.folded()


def run_model(file: Path, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["result"], {"image": image})[0])


IMAGE = np.random.default_rng(0).random((1, 3, 14, 18), np.float32)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_blend_is_the_interpolated_network(weight: float, runs: dict[str, Path], tmp_path: Path) -> None:
    (file,) = blend(runs["a"], runs["b"], weight, tmp_path / "model.onnx", name="mine")
    a, b = network(runs["a"]), network(runs["b"])
    interpolated = Compact(scale=2, features=4, convs=1)
    interpolated.load_state_dict({k: (1 - weight) * v + weight * b.state_dict()[k] for k, v in a.state_dict().items()})
    with torch.no_grad():
        expected, ours, theirs = (n(torch.from_numpy(IMAGE)).clamp(0, 1).numpy() for n in (interpolated, a, b))
    result = run_model(file, IMAGE)
    assert np.abs(result - expected).max() < 1e-5
    assert np.abs(ours - theirs).max() > 1e-3  # or the lines below would prove nothing
    assert (np.abs(result - ours).max() < 1e-5) == (weight == 0)
    assert (np.abs(result - theirs).max() < 1e-5) == (weight == 1)
    card = json.loads(ort.InferenceSession(file).get_modelmeta().custom_metadata_map["img2img"])
    assert card["name"] == "mine" and card["licence"] == "CC0" and card["trained_on"] == ["mine", "photos"]
    assert card["method"] == f"esrgan, adversarial stage; blend of {1 - weight:.4g} a and {weight:.4g} b"
    assert card["context"] is not None and card["scale"] == 2


def test_a_run_and_a_model_file_are_blended(
    runs: dict[str, Path], tmp_path: Path, img2img: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (interpolated,) = blend(runs["a"], runs["b"], 0.3, tmp_path / "interpolated.onnx", name="mine")
    (one,) = blend(runs["a"], runs["a"], 0.0, tmp_path / "one.onnx", name="one")
    (mixed_file,) = blend_any(one, runs["b"], 0.3, tmp_path / "interpolate.onnx", print)
    assert np.abs(run_model(mixed_file, IMAGE) - run_model(interpolated, IMAGE)).max() < 1e-5
    card = json.loads(ort.InferenceSession(mixed_file).get_modelmeta().custom_metadata_map["img2img"])
    assert card["method"].endswith("blend of 0.7 one and 0.3 b") and card["licence"] == "CC0" and card["metrics"] == {}

    monkeypatch.setenv("IMG2IMG_MODELS", str(tmp_path))
    done = img2img("blend", "one", tmp_path / "interpolated.onnx", "--weight", "1", "-o", tmp_path / "files.onnx")
    assert done.status == 0 and f"wrote {tmp_path / 'files.onnx'}: 0 of one, 1 of {interpolated}" in done.err, done.err
    assert np.array_equal(run_model(tmp_path / "files.onnx", IMAGE), run_model(interpolated, IMAGE))
    for args, message in (
        (["one", tmp_path / "none.onnx"], "none.onnx: no such model file"),
        (["one", "two"], "there is no model named 'two'"),
        (["one", tmp_path / "some" / "run"], "neither a run folder nor a checkpoint"),
    ):
        done = img2img("blend", *args, "-o", tmp_path / "x.onnx")
        assert done.status == 2 and message in done.err and len(done.err.splitlines()) == 1, done.err
    assert not (tmp_path / "x.onnx").exists()


def test_checkpoints_and_folded_networks_can_be_blended_with_plain_ones(runs: dict[str, Path], tmp_path: Path) -> None:
    plain = {"name": "compact", "options": {"features": 4, "convs": 1}}
    data = {"folders": [str(runs["a"].parent / "photos")], "crop": 32}
    other = trained("srgan", tmp_path / "plain", scale=2, data=data, generator=plain)
    (file,) = blend(runs["b"] / "checkpoints" / "step-00000001", other, 0.25, tmp_path / "model.onnx")
    card = json.loads(ort.InferenceSession(file).get_modelmeta().custom_metadata_map["img2img"])
    assert card["method"] == "srgan, fidelity stage; blend of 0.75 b step-00000001 and 0.25 plain"
    assert card["name"] == "upscale-x2-blend"


def test_integers_are_those_of_b_and_inputs_do_not_change() -> None:
    a = {"weight": torch.tensor([1.0, 2.0]), "count": torch.tensor(3)}
    b = {"weight": torch.tensor([3.0, -2.0]), "count": torch.tensor(7)}
    interpolated = interpolate(a, b, 0.25)
    assert interpolated["weight"].tolist() == [1.5, 1.0] and interpolated["count"].item() == 7
    assert a["weight"].tolist() == [1.0, 2.0] and b["weight"].tolist() == [3.0, -2.0]


def test_both_directions_of_a_cyclegan_are_blended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2img.exchange.receptive_field.measure", lambda *args: None)  # takes most of the time
    data = trials.domains(tmp_path / "data", ("red", "blue"), 6)
    small = {
        "data": {"folders": [str(data / "red"), str(data / "blue")], "load": 36, "crop": 32},
        "generator": {"name": "resnet", "options": {"features": 4, "blocks": 1}},
        "discriminator": {"name": "patchgan", "options": {"features": 4, "layers": 1, "norm": "instance"}},
        "ema": 0.0,
    }
    a = trained("cyclegan", tmp_path / "a", **small)
    b = trained("cyclegan", tmp_path / "b", **small, seed=1)
    files = blend(a, b, 0.5, tmp_path / "out.onnx", name="mine")
    assert [file.name for file in files] == ["out.AtoB.onnx", "out.BtoA.onnx"]
    for file, generator in zip(files, ("generator_ab", "generator_ba"), strict=True):
        from img2img.networks.resnet import ResNet

        net = ResNet(features=4, blocks=1).eval()
        net.load_state_dict(interpolate(read(a)[generator], read(b)[generator], 0.5))
        with torch.no_grad():
            expected = (net(torch.from_numpy(IMAGE[:, :, :12, :16]) * 2 - 1) + 1) / 2
        assert np.abs(run_model(file, IMAGE[:, :, :12, :16]) - expected.clamp(0, 1).numpy()).max() < 1e-4
    with pytest.raises(CheckpointError, match=r"model\.AtoB\.onnx, model\.BtoA\.onnx and model\.onnx"):
        data_again = {"folders": [str(trials.photos(tmp_path / "photos"))], "crop": 32}
        blend(a, trained("srgan", tmp_path / "sr", scale=2, data=data_again, generator=TINY), 0.5, tmp_path / "x.onnx")
    (tmp_path / "file.onnx").write_bytes(files[0].read_bytes())
    monkeypatch.setattr("img2img.training.export.from_run", lambda *args: files)
    with pytest.raises(UsageError, match="a has 2 models: export it and blend one of the files"):
        blend_any(a, tmp_path / "file.onnx", 0.5, tmp_path / "x.onnx", print)
    (data / "red").rename(data / "gone")
    monkeypatch.setattr("img2img.exchange.export", lambda *args, **named: None)
    assert len(blend(a, b, 0.5, tmp_path / "again.onnx")) == 2, "a blend needs no data"


def test_what_cannot_be_blended_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    with pytest.raises(CheckpointError, match=r"differ: only the second has body\.5\.weight"):
        blend(runs["a"], runs["wide"], 0.5, target)
    with pytest.raises(CheckpointError, match=r"differ: only the first has body\.0\.weight.* and \d+ more"):
        blend(runs["a"], runs["other"], 0.5, target)
    with pytest.raises(ConfigError, match="neither a run folder nor a checkpoint"):
        blend(runs["a"], tmp_path, 0.5, target)
    (tmp_path / "some.pth").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"some\.pth: a file does not describe its network"):
        blend(tmp_path / "some.pth", runs["a"], 0.5, target)
    with pytest.raises(ConfigError, match=r"between 0 \(only .*a\) and 1 \(only .*b\), not 1\.5"):
        blend(runs["a"], runs["b"], 1.5, target)
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    (tmp_path / "empty" / "config.toml").write_bytes((runs["a"] / "config.toml").read_bytes())
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        blend(tmp_path / "empty", runs["a"], 0.5, target)
    assert not target.exists()


def test_different_shapes_and_scales_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    data = {"folders": [str(runs["a"].parent / "photos")], "crop": 32}
    large = {"name": "compact", "options": {"features": 6, "convs": 1}}
    other = trained("srgan", tmp_path / "large", scale=2, data=data, generator=large)
    with pytest.raises(CheckpointError, match=r"different shapes in body\.0\.weight"):
        blend(runs["a"], other, 0.5, tmp_path / "model.onnx")
    rrdb = {"name": "rrdb", "options": {"features": 4, "blocks": 1, "growth": 2}}
    first, second = (
        trained("srgan", tmp_path / f"x{scale}", scale=scale, data=data, generator=rrdb) for scale in (1, 2)
    )
    with pytest.raises(CheckpointError, match=r"different shapes in conv_first\.weight"):
        blend(first, second, 0.5, tmp_path / "model.onnx")


def test_models_of_different_domains_are_not_blended_even_if_their_layers_fit() -> None:
    models = []
    for domains in (("red", "blue"), ("red", "green")):
        card = Card(name="x", task="translate", scale=1, domains=domains)
        models.append(ModelExport(torch.nn.Conv2d(3, 3, 1), card))
    states = [dict(model.network.state_dict()) for model in models]
    with pytest.raises(CheckpointError, match=r"^a and b: domains is \('red', 'blue'\) in the first"):
        check_compatible(*models, *states, "a and b")


def test_the_command_says_what_it_wrote(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, img2img: Callable[..., Any]
) -> None:
    from img2img.cli import app

    monkeypatch.setitem(app.COMMANDS, "blend", ("img2img.cli.blend:blend", "Make a model between two."))
    target = tmp_path / "my model.onnx"
    done = img2img("blend", runs["a"], runs["b"], "--weight", "0.7", "-o", target, "--name", "mine")
    assert done.status == 0 and done.out == b"", done.err
    assert f"wrote {target}: 0.3 of {runs['a']}, 0.7 of {runs['b']}" in done.err
    assert f"img2img upscale PHOTO --model '{target}'" in done.err
    for args, message in (
        ([runs["a"], runs["b"], "-o", tmp_path / "m.pth"], "ends in .onnx"),
        ([runs["a"], runs["b"], "-o", tmp_path / "none" / "m.onnx"], "there is no folder"),
        ([runs["a"], runs["b"], "--weight", "2"], "--weight"),
        ([runs["a"], tmp_path / "none"], "neither a run folder"),
    ):
        done = img2img("blend", *args)
        assert done.status == 2 and message in done.err and len(done.err.splitlines()) == 1, done.err
