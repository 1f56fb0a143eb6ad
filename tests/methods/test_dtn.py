"""DTN on tiny domains: the stage that learns features, and the one that draws pictures from them."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials
from safetensors.torch import save_file
from torch.nn import functional as F

from img2img.errors import CheckpointError, ConfigError, DataError
from img2img.methods.config import RunConfig
from img2img.methods.dtn import DTN, FeatureConfig, FeatureStage, StageConfig, TransferStage
from img2img.training import export

FEATURES = {"name": "dtn-features", "options": {"features": 4, "code": 6}}
SHORT = {"steps": 8, "batch": 4, "log_every": 4, "validate_every": 8, "checkpoint_every": 4}


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.domains(tmp_path_factory.mktemp("sides"), ("red", "blue"))


@pytest.fixture(scope="module")
def pretrained(sides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "features"
    trials.train_to_end(DTN, features_stage(sides), run)
    return run


def parse(values: dict[str, Any]) -> RunConfig:
    return StageConfig.parse(StageConfig.with_defaults(values), where="test")


def features_stage(sides: Path, **changes: Any) -> RunConfig:
    data = {"folders": [str(sides)], "load": 36, "crop": 32}
    return parse({"stage": "features", "data": data, "features": FEATURES, **SHORT, **changes})


def transfer_stage(sides: Path, start: Path | None, **changes: Any) -> RunConfig:
    values: dict[str, Any] = {
        "data": {"folders": [str(sides / "red"), str(sides / "blue")], "load": 36, "crop": 32, "truth": "names"},
        "generator": {"name": "dtn-decoder", "options": {"features": 4}},
        "discriminator": {"name": "dcgan", "options": {"features": 4}},
        **SHORT,
        **changes,
    }
    return parse(values | ({"start": str(start)} if start else {}))


def test_the_features_stage_continues_exactly_and_learns_the_classes(sides: Path, tmp_path: Path) -> None:
    run = trials.check_resume(DTN, features_stage(sides), tmp_path, stop=5)
    assert 0 <= trials.log(run)[-1]["validation"]["accuracy"] <= 1
    longer = features_stage(sides, steps=60, validate_every=60, optimiser={"rate": 3e-3})
    assert trials.train_to_end(DTN, longer, tmp_path / "longer")[-1]["accuracy"] == 1


def test_the_transfer_stage_continues_exactly_with_the_features_of_the_other_run(
    sides: Path, pretrained: Path, tmp_path: Path
) -> None:
    config = transfer_stage(sides, pretrained)
    assert config.features.options["code"] == 6, "the feature network is that of the run"  # type: ignore[attr-defined]
    run = trials.check_resume(DTN, config, tmp_path, stop=5)
    before, after = trials.weights(pretrained), trials.weights(run)
    frozen = [key for key in after if key.startswith("features/")]
    assert frozen and all(torch.equal(after[key], before["features.ema/" + key[9:]]) for key in frozen)
    figures = trials.log(run)[-1]["validation"]
    assert figures["closeness"] == -figures["swd"] and figures["l1_input"] > 0.01


@torch.no_grad()
def test_the_model_is_the_decoder_of_the_features(sides: Path, pretrained: Path, tmp_path: Path) -> None:
    method = DTN(transfer_stage(sides, pretrained))
    session = trials.export(method, tmp_path)[""]
    image = np.random.default_rng(0).random((1, 3, 40, 48)).astype(np.float32)
    for network in method.networks.values():
        network.eval()
    code = method.networks["features"](torch.from_numpy(image) * 2 - 1)
    assert code.shape == (1, 6, 2, 3), "a larger picture has more vectors"
    expected = (method.networks["generator"](code) + 1) / 2
    (result,) = session.run(None, {"image": image})
    assert np.abs(result - expected.numpy()).max() < 1e-4


def test_the_losses_are_those_of_the_equations(sides: Path, pretrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = DTN(transfer_stage(sides, pretrained, smoothness=0.5, adversarial=2.0))
    nets = method.networks
    nets["generator"].eval()
    nets["discriminator"].forward = lambda picture: picture.new_zeros(len(picture), 3) + picture.mean() * 0  # type: ignore[method-assign]
    batch = {side: torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8) for side in "ab"}
    losses = dict(method.step(nets, [batch]))
    assert float(losses["discriminator"].detach()) == pytest.approx(3 * math.log(3), rel=1e-5)
    source, target = (batch[side].float() / 127.5 - 1 for side in "ab")
    with torch.no_grad():
        code = nets["features"](source)
        of_source, of_target = nets["generator"](code), nets["generator"](nets["features"](target))
        expected = 2 * 2 * math.log(3)
        expected += 15 * float(F.mse_loss(nets["features"](of_source), code))
        expected += 15 * float(F.mse_loss(of_target, target))
        for one in (of_source, of_target):
            expected += 0.5 * float(one.diff(dim=2).abs().mean() + one.diff(dim=3).abs().mean())
    assert float(losses["generator"].detach()) == pytest.approx(expected, rel=1e-4)


def test_the_discriminator_learns_three_kinds(sides: Path, pretrained: Path) -> None:
    method = DTN(transfer_stage(sides, pretrained))
    judge = method.networks["discriminator"]
    assert judge(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    assert isinstance(method, TransferStage) and isinstance(DTN(features_stage(sides)), FeatureStage)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"discriminator": {"name": "patchgan"}}, "patchgan has one score, and dtn needs three; use dcgan"),
        ({"features": {"name": "resnet"}}, "resnet is not a feature network; use dtn-features"),
    ],
    ids=str,
)
def test_networks_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str, sides: Path, pretrained: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        DTN(transfer_stage(sides, pretrained, **changes))


def test_a_run_of_the_features_stage_has_no_model_and_no_run_has_an_official_layout(
    sides: Path, pretrained: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="this stage writes no model; train the next one, with --start"):
        export.from_run(pretrained, tmp_path / "model.onnx", export.ExportOptions(), print)
    run = tmp_path / "run"
    trials.train_to_end(DTN, transfer_stage(sides, pretrained), run)
    with pytest.raises(ConfigError, match="no official layout"):
        export.weights(run, tmp_path / "weights.pth")


def test_the_transfer_stage_needs_trained_features(sides: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"first img2img train dtn --stage features .*, then add --start RUN"):
        DTN(transfer_stage(sides, None))
    with pytest.raises(CheckpointError, match="no weights for features; it holds classifier"):
        (tmp_path / "checkpoint").mkdir()
        save_file({"weight": torch.zeros(1)}, tmp_path / "checkpoint" / "classifier.safetensors")
        trials.train_to_end(DTN, transfer_stage(sides, tmp_path / "checkpoint"), tmp_path / "run")
    with pytest.raises(CheckpointError, match="there is no such run folder"):
        trials.train_to_end(DTN, transfer_stage(sides, tmp_path / "missing"), tmp_path / "run")


def test_the_features_stage_needs_classes_and_batches(sides: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch norm of a vector needs 2 pictures"):
        features_stage(sides, batch=1)
    table = tmp_path / "table.csv"
    table.write_text("picture,round,big\n" + "".join(f"red/s{i:03}.png,{i % 2},{i // 6}\n" for i in range(12)))
    config = features_stage(sides, data={"folders": [str(table)], "pictures": [str(sides)], "load": 36, "crop": 32})
    assert isinstance(config, FeatureConfig)
    with pytest.raises(DataError, match="needs one folder per class"):
        DTN(config)
