"""Figures of unpaired translations: a classifier, KID on its features, and how `evaluate` reports them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import onnx_nets
import pytest
import torch
from PIL import Image
from torch import nn
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from img2img.data.folders import read_rgb
from img2img.data.unpaired import find_unpaired
from img2img.errors import ConfigError, DataError, ModelError
from img2img.evaluation import domain_classifier, inception, unpaired
from img2img.evaluation.domain_classifier import DomainClassifier, train
from img2img.evaluation.results import spread
from img2img.evaluation.sliced_wasserstein import sliced_wasserstein
from img2img.runtime.network import session

STEPS = 40
FAST = ("--classifier-steps", STEPS, "--device", "cpu", "--threads", 1)


def noise(seed: int, low: int, high: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (16, 16, 3), np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _small_batches() -> Iterator[None]:
    """Small batches are enough to tell light from dark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(domain_classifier, "BATCH", 8)
        yield


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark pictures (A) and bright ones (B). The model `day` turns dark pictures into bright ones."""
    top = tmp_path_factory.mktemp("nights")
    for number, (folder, count) in enumerate({"trainA": 40, "trainB": 40, "testA": 8, "testB": 8}.items()):
        (top / folder).mkdir()
        for place in range(count):
            dark = noise(100 * number + place, 0, 100)
            picture = dark if folder.endswith("A") else brightened(dark)
            Image.fromarray(picture).save(top / folder / f"{place}.png")
    return top


@pytest.fixture(scope="module")
def data(nights: Path) -> unpaired.DomainPair:
    return unpaired.domain_pair([nights / "testA"], nights / "testB", train=[nights / "trainA", nights / "trainB"])


@pytest.fixture(scope="module")
def classifier(data: unpaired.DomainPair) -> DomainClassifier:
    return train(data.training, steps=STEPS)


def brightened(picture: np.ndarray) -> np.ndarray:
    return np.rint(np.sqrt(picture / 255) * 255).astype(np.uint8)


def given(nights: Path, *sides: str) -> list[object]:
    inputs, real, first, second = (nights / side for side in sides or ("testA", "testB", "trainA", "trainB"))
    return ["--data", inputs, "--real", real, "--train", first, "--train", second]


class Colours(nn.Module):
    """Has the inputs and outputs of the Inception network. Its features are mean and deviation of each channel."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        assert batch.dtype == torch.uint8
        return torch.cat([batch.float().mean((2, 3)), batch.float().std((2, 3))], 1)


def test_a_perfect_model_is_as_close_as_real_pictures_and_copying_is_far(
    img2img: Callable[..., Any], nights: Path, tmp_path: Path
) -> None:
    model = onnx_nets.pointwise(tmp_path / "day.onnx", "Sqrt", task="translate")
    idle = onnx_nets.pointwise(tmp_path / "idle.onnx", task="translate")
    args = ("evaluate", model, *given(nights), "--against", idle, *FAST)
    done = img2img(*args, "--sheet", tmp_path / "sheet.png", "--record")
    assert done.status == 0, done.err
    lines = [line.split() for line in done.out.decode().splitlines()]
    assert lines[0] == ["picture", "copy", "idle", "day"] and lines[1] == ["0.png", "0%", "0%", "100%"]
    shares = ["precision", "recall", "density", "coverage"]
    assert lines[-5] == ["mean", "recognised", "novelty", "kid_own", "kid_own_error", *shares, "swd"]
    table = {name: figures for name, *figures in lines[-4:]}
    assert list(table) == ["copy", "idle", "day", "real"] and table["real"][0] == "-" and table["copy"] == table["idle"]
    assert (
        "day is better than copy in 8, than idle in 8 of 8 (recognised)" in done.err
        and "recognised_real: 1.0" in done.err
    )
    assert "features: kid_own: a classifier trained on the spot on nights" in done.err
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 8 * 16
    ((name, found),) = session.load(model).card.metrics.items()
    assert name.endswith("/testB") and " > nights" in name
    assert found["recognised"] == 1 and found["recognised (copy)"] == 0 and found["cases"] == 8
    assert found["kid_own"] < found["kid_own (copy)"] / 10 and found["swd"] < found["swd (copy)"] / 2
    assert found["precision (copy)"] == found["coverage (copy)"] == 0 < found["precision"] and found["coverage"] > 0.5
    assert found["coverage_real"] > 0.5
    assert abs(found["kid_own_real"]) < found["kid_own (copy)"] / 10
    assert str(found["command"]).count("--train") == 2 and "--real" in str(found["command"])
    last = json.loads(img2img(*args, "--json").out.splitlines()[-1])
    assert last["kid_own"] == pytest.approx(found["kid_own"], abs=1e-4) and last["copy"]["recognised"] == 0
    assert last["swd_real"] == found["swd_real"] and "classifier trained on the spot" in last["features"]


def test_measured_pictures_are_not_trained_on_and_some_training_pictures_are_set_aside(
    nights: Path, data: unpaired.DomainPair
) -> None:
    assert len(data.inputs) == len(data.real) == len(data.aside) == 8
    assert len(data.training[0]) == 40 and len(data.training[1]) == 32
    assert not set(data.aside) & set(data.training[1]) and {path.parent.name for path in data.aside} == {"trainB"}
    same = unpaired.domain_pair(
        [nights / "trainA"], nights / "testB", train=[nights / "trainA", nights / "trainB"], count=5
    )
    assert (
        len(same.inputs) == len(same.aside) == 5
        and len(same.training[0]) == 35
        and not set(same.inputs) & set(same.training[0])
    )


def test_held_out_pictures_need_no_training_folders(photo: Callable[..., Path], tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for number in range(100):
        for side in (a, b):
            photo(side / f"{side.name}{number}.png", (1, 1))
    known = find_unpaired([a, b])
    data = unpaired.domain_pair([a], b, held_out=True)
    assert [data.inputs, data.real] == [[one.path for one in side] for side in known.held_out]
    assert data.training[0] == [one.path for one in known.train[0]]
    assert {*data.training[1], *data.aside} == {one.path for one in known.train[1]}
    assert len(data.aside) == len(data.real) > 2


def test_too_few_pictures_are_named(nights: Path, photo: Callable[..., Path], tmp_path: Path) -> None:
    photo(tmp_path / "few" / "a.png")
    train = [nights / "trainA", nights / "trainB"]
    with pytest.raises(DataError, match=r"few: too few pictures .* give 3 or more"):
        unpaired.domain_pair([tmp_path / "few"], nights / "testB", train=train)
    with pytest.raises(DataError, match=r"target domain: too few pictures .* give 15 or more"):
        unpaired.domain_pair([nights / "testA"], nights / "testB", train=[train[0], nights / "testA"])
    with pytest.raises(DataError, match="no training pictures of the source domain"):
        unpaired.domain_pair([nights / "testA"], nights / "testB", train=[nights / "testA", train[1]])


def test_training_folders_in_the_wrong_order_are_detected(
    img2img: Callable[..., Any], nights: Path, tmp_path: Path
) -> None:
    model = onnx_nets.pointwise(tmp_path / "day.onnx", "Sqrt", task="translate")
    done = img2img("evaluate", model, *given(nights, "testA", "testB", "trainB", "trainA"), *FAST)
    assert done.status == 2 and "give the training pictures of the source domain first" in done.err
    assert not done.out


def test_a_model_with_several_domains_is_measured_for_one(
    img2img: Callable[..., Any], nights: Path, tmp_path: Path
) -> None:
    """Attributes that can be combined have no true result, but there are real pictures to compare with."""
    colours = {"bright": (0.65, 0.65, 0.65), "dark": (0.0, 0.0, 0.0)}
    model = onnx_nets.domains(tmp_path / "light.onnx", colours, exclusive=False)
    args = ("evaluate", model, *given(nights), *FAST, "--count", 4, "--json")
    bright, dark = (json.loads(img2img(*args, "--to", to).out.splitlines()[-1]) for to in colours)
    assert bright["cases"] == dark["cases"] == 4 and dark["recognised"] == 0
    assert bright["kid_own"] < dark["kid_own"] and bright["swd"] < dark["swd"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--real", "testB"], "--real trains a classifier: use --train twice"),
        (["--real", "testB", "--train", "trainA", "--held-out"], "--real trains a classifier: use --train twice"),
        (["--real", "testB", "--data", "trainA", "--held-out"], "use --data once"),
        (["--real", "testB", "--to", "day"], "plain has no domains to choose from"),
        (["--to", "day"], "--to requires --real"),
        (["--features", "inception"], "--features requires --real"),
        (["--real", "testB", "--train", "trainA", "--train", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    img2img: Callable[..., Any],
    nights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(nights)
    model = onnx_nets.pointwise(tmp_path / "plain.onnx", task="translate")
    done = img2img("evaluate", model, "--data", "testA", *words, "--device", "cpu")
    assert done.status == 2 and message in done.err, done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "use --to with one of bright, dark"), (["--to", "grey"], "light has no domain grey; use --to with one of")],
)
def test_to_must_name_a_domain_of_the_model(
    img2img: Callable[..., Any], nights: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    model = onnx_nets.domains(tmp_path / "light.onnx", {"bright": (1.0, 1.0, 1.0), "dark": (0.0, 0.0, 0.0)})
    done = img2img("evaluate", model, *given(nights), *words, "--device", "cpu")
    assert done.status == 2 and message in done.err


def test_features_are_normalised_and_are_those_of_the_classifier(
    data: unpaired.DomainPair, classifier: DomainClassifier
) -> None:
    pictures = [read_rgb(path) for side in data.training for path in side]
    features = classifier.features(pictures)
    assert features.shape == (72, 256) and np.abs(features.mean(0)).mean() < 1 and 0.4 < features.std(0).mean() < 2
    with torch.inference_mode():
        domains = classifier.network[-1](torch.from_numpy(features)).argmax(1)
    assert (domains.numpy() == classifier(pictures)).all()


def test_published_figures_equal_those_of_torchmetrics(data: unpaired.DomainPair, classifier: DomainClassifier) -> None:
    network = inception.Inception(Colours(), torch.eye(6))
    comparison = unpaired.Comparison({}, data, classifier, published=network)
    assert comparison.accuracy == 1 and len(list(comparison.cases())) == 8
    found = comparison.set_figures()
    real, copied = (network([read_rgb(path) for path in paths]) for paths in (data.real, data.inputs))
    moved = ((real.mean(0) - copied.mean(0)) ** 2).sum()
    assert moved < found["copy"]["fid_inception"] < 1.1 * moved  # the covariances differ a little, too
    torch.manual_seed(5)
    metric = KernelInceptionDistance(feature=Colours(), subsets=1, subset_size=8)
    for paths, true in ((data.real, True), (data.inputs, False)):
        metric.update(torch.from_numpy(np.stack([read_rgb(path).transpose(2, 0, 1) for path in paths])), real=true)
    assert found["copy"]["kid_inception"] == pytest.approx(float(metric.compute()[0]), rel=1e-3)
    assert found["copy"]["kid_inception"] > 10 * abs(found["real"]["kid_inception"])
    scorer = InceptionScore(feature=Colours(), splits=1)
    scorer.update(torch.from_numpy(np.stack([read_rgb(path).transpose(2, 0, 1) for path in data.inputs])))
    assert found["copy"]["inception_score"] == pytest.approx(float(scorer.compute()[0]), rel=1e-4)


def test_inception_score_by_hand() -> None:
    last = np.eye(2)
    sure = np.array([[50, -50], [-50, 50]], np.float32)
    assert inception.score(sure, last) == pytest.approx(2)  # two classes, each seen clearly in half of the pictures
    assert inception.score(sure[:1], last) == pytest.approx(1)  # one class only
    assert inception.score(np.zeros((4, 2), np.float32), last) == pytest.approx(1)  # no picture shows a class
    # Shares of 3/4 and 1/4, then the other way round: the mean is 1/2 each.
    unsure = np.log(np.array([[3, 1], [1, 3]], np.float32))
    by_hand = np.exp(0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5))
    assert inception.score(unsure, last) == pytest.approx(by_hand)


def test_large_sets_are_scored_in_splits_as_in_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception, "SPLIT_SIZE", 2)
    sure = np.array([[50, -50], [-50, 50], [50, -50], [50, -50]], np.float32)
    assert inception.score(sure, np.eye(2)) == pytest.approx((2 + 1) / 2)


def test_only_some_pictures_of_large_sets_are_compared_by_patches(
    data: unpaired.DomainPair, classifier: DomainClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpaired, "MAX_SQUARES", 3)
    comparison = unpaired.Comparison({}, data, classifier)
    list(comparison.cases())
    copied, real = ([read_rgb(path) for path in spread(paths, 3)] for paths in (data.inputs, data.real))
    assert comparison.set_figures()["copy"]["swd"] == pytest.approx(sliced_wasserstein(copied, real))


def test_without_torch_fidelity_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(inception, "installed", lambda: False)
    with pytest.raises(ConfigError, match=r"pip install torch-fidelity; without --features"):
        inception.Inception.load()


def test_without_weights_the_error_says_where_to_put_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(name: str, features: list[str], path: str | None) -> nn.Module:
        if path is not None:
            return Colours().load_state_dict(torch.load(path))  # type: ignore[return-value]
        raise URLError("no network")

    monkeypatch.setattr(inception, "installed", lambda: True)
    monkeypatch.setattr("torchmetrics.image.fid.NoTrainInceptionV3", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"no network.*; put torch-fidelity's weights-inception.*/hub/checkpoints, or"):
        inception.Inception.load()
    with pytest.raises(ModelError, match=r"gone.pth: there is no such file"):
        inception.Inception.load(tmp_path / "gone.pth")
    (tmp_path / "other.pth").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"other.pth: not the Inception-v3 weights"):
        inception.Inception.load(tmp_path / "other.pth")


def test_inception_is_refused_before_a_classifier_is_trained(
    img2img: Callable[..., Any], nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception, "installed", lambda: False)
    model = onnx_nets.pointwise(tmp_path / "day.onnx", "Sqrt", task="translate")
    done = img2img("evaluate", model, *given(nights), *FAST, "--features", "inception")
    assert done.status == 2 and "pip install torch-fidelity" in done.err and "training" not in done.err
