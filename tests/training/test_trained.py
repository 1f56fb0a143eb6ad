"""How a run folder is exported: its weights, norm mode and dropout, and its weights in official layouts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
import trials
from safetensors.torch import load_file, save_file
from test_blend import TINY, trained

from img2img.errors import CheckpointError, ConfigError, ExportError
from img2img.exchange import dropout
from img2img.networks.compact import Compact
from img2img.networks.norms import inference_copy
from img2img.networks.unet import UNet
from img2img.training import export
from img2img.training.checkpoints import DIGESTS
from img2img.training.export import ExportOptions
from img2img.training.start import read as read_weights
from img2img.training.trained import has_batch_norm, norm_figures, norm_mode, read

NOTHING: Callable[[str], None] = lambda text: None  # noqa: E731


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("upscaler")
    data = {"folders": [str(trials.photos(place / "photos", size=96))], "crop": 32}
    return trained("esrgan", place / "mine", scale=2, data=data, generator=TINY, ema=0.5)


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pix2pix run with batch norm and dropout."""
    place = tmp_path_factory.mktemp("painter")
    return trained(
        "pix2pix",
        place / "painter",
        data={"folders": [str(trials.paired(place / "pairs"))], "load": 36, "crop": 32},
        generator={"name": "unet", "options": {"features": 4}},
        discriminator={"name": "patchgan", "options": {"features": 4, "layers": 1}},
        ema=0.0,
    )


def run(file: Path, **inputs: Any) -> Any:
    return ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(["result"], inputs)[0]


def card_of(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ort.InferenceSession(file).get_modelmeta().custom_metadata_map["img2img"])
    return found


def image(side: int = 32) -> Any:
    return np.random.default_rng(0).random((1, 3, side, side), np.float32)


def test_a_run_stands_for_its_best_checkpoint(upscaler: Path) -> None:
    best = json.loads((upscaler / "checkpoints" / "best.json").read_text())["step"]
    found = read(upscaler)
    assert found.name == "mine" and found.averaged and found.method.facts == {}
    for step in (1, 2):
        place = upscaler / "checkpoints" / f"step-{step:08d}"
        other = read(place)
        assert other.name == f"mine {place.name}"
        same = all(torch.equal(a, b) for a, b in zip(found.weights[0].values(), other.weights[0].values(), strict=True))
        assert same == (step == best)
    assert not has_batch_norm(found)
    with pytest.raises(ConfigError, match="esrgan has no norm mode"):
        read(upscaler, norm_mode="running")


def test_weights_of_another_network_are_refused(upscaler: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(upscaler, broken)
    config = broken / "config.toml"
    config.write_text(config.read_text().replace("features = 4", "features = 6"))
    with pytest.raises(CheckpointError, match=r"generator is not the network of .*config\.toml"):
        read(broken)


def test_the_better_norm_mode_is_used_and_reported(painter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = norm_figures(read(painter), painter)
    assert figures.keys() == {"paper", "running"} and figures["paper"] != figures["running"]
    validated = json.loads((painter / "log.jsonl").read_text().splitlines()[-1])["validation"]["ssim"]
    assert figures["paper"] == pytest.approx(validated, abs=1e-3), "as the run itself measured it"
    for better, worse in (("paper", "running"), ("running", "paper")):
        found = {better: 1.0, worse: 0.0}
        monkeypatch.setattr("img2img.training.trained.norm_figures", lambda *args, found=found, **_: found)
        notes: list[str] = []
        assert norm_mode(export.read(painter, None, notes.append)) == better
        assert notes[0].startswith(f"norm mode {better}: ssim on the held-out pictures is paper")
    assert norm_mode(export.read(painter, "paper", NOTHING)) == "paper"


def changed(run: Path, place: Path, change: Callable[[str, torch.Tensor], None]) -> Path:
    """Copy `run` and change the values of the generator in all checkpoints, in place, with `change(key, value)`."""
    shutil.copytree(run, place)
    for file in place.glob("checkpoints/*/generator*.safetensors"):
        state = load_file(file)
        for key, value in state.items():
            change(key, value)
        save_file(state, file)
        # The run itself wrote these weights, so the file is not damaged.
        (file.parent / DIGESTS).unlink(missing_ok=True)
    return place


def reset(key: str, value: torch.Tensor) -> None:
    if "running" in key:
        value.fill_(1.0 if key.endswith("var") else 0.0)


def break_variance(key: str, value: torch.Tensor) -> None:
    if key.endswith("running_var"):
        value.fill_(float("nan"))


def test_bad_running_statistics_are_not_used_or_give_a_warning(painter: Path, tmp_path: Path) -> None:
    for name, change, fault in (("fresh", reset, "were never updated"), ("broken", break_variance, "are not finite")):
        notes: list[str] = []
        place = changed(painter, tmp_path / name, change)
        found = export.read(place, None, notes.append)
        assert norm_mode(found) == "paper" and len(notes) == 1, notes
        assert notes[0].startswith("norm mode paper: the running statistics of") and fault in notes[0]
        assert norm_mode(export.read(place, "paper", notes.append)) == "paper" and len(notes) == 1, (
            "unused, so not reported"
        )
    notes = []
    found = export.read(tmp_path / "fresh", "running", notes.append)
    assert norm_mode(found) == "running" and len(notes) == 1
    assert notes[0].startswith("warning: ") and "--norm-mode paper does not need them" in notes[0]
    with pytest.raises(
        CheckpointError, match=r"broken: the running statistics of .* and \d+ more are not finite; --norm"
    ):
        export.read(tmp_path / "broken", "running", NOTHING)


def test_weights_that_are_not_finite_are_named(painter: Path, tmp_path: Path) -> None:
    def overflow(key: str, value: torch.Tensor) -> None:
        if key == "model.model.0.weight":
            value[0] = float("inf")

    with pytest.raises(
        CheckpointError, match=r"weights of generator are not finite, in model\.model\.0\.weight: train"
    ):
        read(changed(painter, tmp_path / "overflow", overflow))


def test_a_checkpoint_is_read_once(painter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []

    def recording(place: Path) -> dict[str, dict[str, torch.Tensor]]:
        reads.append(place)
        return read_weights(place)

    monkeypatch.setattr("img2img.training.start.read", recording)
    export.read(painter, None, NOTHING)
    assert reads == [painter]


def test_a_run_without_checkpoints_or_with_broken_facts_is_an_error(painter: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    shutil.copytree(painter, place, ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(CheckpointError, match=r"run: the run has no checkpoint yet"):
        read(place)
    shutil.copytree(painter / "checkpoints", place / "checkpoints")
    (place / "facts.json").write_text('{"inputs": 3}')
    with pytest.raises(ConfigError, match=r"facts\.json: does not hold what pix2pix must know about its data"):
        read(place)


def test_without_the_data_the_norm_mode_is_paper(painter: Path) -> None:
    pairs = painter.parent / "pairs"
    pairs.rename(painter.parent / "gone")
    try:
        notes: list[str] = []
        assert norm_mode(export.read(painter, None, notes.append)) == "paper"
        assert "held-out pictures cannot be read" in notes[0]
    finally:
        (painter.parent / "gone").rename(pairs)


def test_norm_mode_and_dropout_reach_the_file_and_the_card(
    painter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("img2img.exchange.receptive_field.measure", lambda *args: None)  # takes most of the time
    network = UNet(features=4, downs=5)
    network.load_state_dict(read_weights(painter)["generator"])
    (plain,) = export.from_run(
        painter, tmp_path / "running.onnx", ExportOptions(norm_mode="running", name="mine"), NOTHING
    )
    assert plain.card.method == "pix2pix, norm mode running" and plain.card.name == "mine"
    assert plain.proof is not None and plain.proof.largest < 1e-4 and (plain.seconds or 0) > 0
    assert card_of(plain.path)["metrics"]["export"]["largest"] == plain.proof.largest
    with torch.no_grad():
        expected = (
            inference_copy(network, "running")(torch.from_numpy(image()) * 2 - 1).add(1).div(2).clamp(0, 1).numpy()
        )
    assert np.abs(run(plain.path, image=image()) - expected).max() < 1e-4

    options = ExportOptions(norm_mode="paper", live_dropout=True)
    (live,) = export.from_run(painter, tmp_path / "live.onnx", options, NOTHING)
    assert card_of(live.path)["method"] == "pix2pix, norm mode paper, live dropout"
    session = ort.InferenceSession(live.path, providers=["CPUExecutionProvider"])
    first, second = (session.run(["result"], {"image": image()})[0] for _ in range(2))
    assert np.abs(first - second).mean() > 1e-4


def test_live_dropout_drops_its_share_and_keeps_the_mean() -> None:
    network = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Sequential(torch.nn.Dropout(0.25))).eval()
    assert dropout.make_live(network) == 1
    torch.manual_seed(0)
    result = network(torch.ones(100, 100))
    assert (result == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert result.mean().item() == pytest.approx(1, abs=0.03)
    assert dropout.set_disabled(network, True)
    assert torch.allclose(network(torch.ones(5)), torch.full((5,), 1 / 0.75))


def test_nothing_is_written_if_one_of_the_models_fails(
    upscaler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="has no dropout"):
        export.from_run(upscaler, tmp_path / "model.onnx", ExportOptions(live_dropout=True), NOTHING)
    monkeypatch.setattr("img2img.exchange.onnx_file.TOLERANCE", 0.0)
    with pytest.raises(ExportError, match="differs from the network"):
        export.from_run(upscaler, tmp_path / "model.onnx", ExportOptions(), NOTHING)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_calibrated_on_its_own_photos(upscaler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TINY has one inner convolution."""
    monkeypatch.setattr("img2img.exchange.samples.seconds_per_megapixel", lambda *args, **more: [2.0, 1.0])
    (small,) = export.from_run(upscaler, tmp_path / "small.onnx", ExportOptions("int8", max_drop=3.0), NOTHING)
    assert small.card.precision == "int8" and small.card.metrics.keys() == {"int8"}
    (half,) = export.from_run(upscaler, tmp_path / "half.onnx", ExportOptions("fp16"), NOTHING)
    assert half.card.precision == "fp16" and half.card.context == small.card.context is not None


def test_weights_are_written_folded_and_in_the_official_layout(upscaler: Path, painter: Path, tmp_path: Path) -> None:
    (file,) = export.weights(upscaler, tmp_path / "net.pth")
    state = torch.load(file, weights_only=True)["params_ema"]
    plain = Compact(scale=2, features=4, convs=1)
    plain.load_state_dict(state)
    expected = read(upscaler).models[0].network
    with torch.no_grad():
        assert torch.allclose(plain(torch.from_numpy(image())), expected(torch.from_numpy(image())), atol=1e-6)
    (file,) = export.weights(painter, tmp_path / "latest_net_G.pth")
    state = torch.load(file, weights_only=True)
    own = read_weights(painter)["generator"]
    assert state.keys() == own.keys() and all(torch.equal(state[key], own[key]) for key in own)
    assert any("running_mean" in key for key in state), "batch norm with the statistics of training, not of one picture"
    (file,) = export.weights(painter, tmp_path / "net.safetensors")
    assert load_file(file).keys() == own.keys()


def test_spandrel_reads_our_upscaler(upscaler: Path, tmp_path: Path) -> None:
    spandrel = pytest.importorskip("spandrel")
    (file,) = export.weights(upscaler, tmp_path / "net.pth")
    loaded = spandrel.ModelLoader(device="cpu").load_from_file(file)
    assert loaded.scale == 2 and "SRVGG" in type(loaded.model).__name__
    with torch.no_grad():
        theirs = loaded.model(torch.from_numpy(image()))
        ours = read(upscaler).models[0].network(torch.from_numpy(image()))
    assert torch.allclose(theirs, ours, atol=1e-5)
