"""Adding a paper takes one module and one line in the table of methods: here the module is this file."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
import pytest
import torch
import trials
from PIL import Image
from pydantic import Field, PositiveInt
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from img2img.cli import main
from img2img.data.paired import PairedSet
from img2img.data.pairs import PairedData
from img2img.methods import METHODS
from img2img.methods.cards import card_of
from img2img.methods.config import RunConfig
from img2img.methods.figures import distances, to_pictures, to_rgb
from img2img.methods.method import Batch, Facts, Method, ModelExport, Networks, OptimiserSpec, Step, Validation


class Config(RunConfig):
    """A colour curve for each pixel, learned from pairs."""

    method: Literal["toy"] = Field(default="toy", description="method")
    data: PairedData = Field(description="pairs of pictures")
    width: PositiveInt = Field(default=4, description="channels of the hidden layer")
    steps: PositiveInt = Field(default=2, description="training steps")
    batch: PositiveInt = Field(default=2, description="pairs per step")


class Toy(Method):
    """Two 1x1 convolutions and an L1 loss, on pictures in 0..1."""

    recipe = Config
    headline = "psnr"

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        self.config = config
        self.notes = []
        curve = nn.Sequential(nn.Conv2d(3, config.width, 1), nn.ReLU(), nn.Conv2d(config.width, 3, 1))
        self.networks = {"generator": curve}
        self.optimisers = {"generator": OptimiserSpec(("generator",), config.optimiser)}
        self.averaged = ("generator",)

    def load(self) -> Dataset[Batch]:
        self.data = PairedSet.read(self.config.data, seed=self.config.seed, held_out=self.config.validate_pictures)
        return self.data.dataset

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        (batch,) = batches
        loss = F.l1_loss(networks["generator"](batch["input"] / 255), batch["target"] / 255)
        yield "generator", loss
        return {"loss": loss.detach()}

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        rows = []
        for held in self.data.held_out:
            source = torch.from_numpy(held.input).permute(2, 0, 1)[None] / 255
            (result,) = to_pictures(2 * networks["generator"](source) - 1)
            rows.append([to_rgb(held.input), result, to_rgb(held.target)])
        figures = distances([row[1] for row in rows], [row[2] for row in rows])
        return Validation(figures, ["input", "result", "truth"], rows)

    def models(self, networks: Networks) -> list[ModelExport]:
        generator = networks["generator"]
        return [ModelExport(generator, card_of(self.config, generator, name="toy", task="translate", method="toy"))]


@pytest.fixture(scope="module", autouse=True)
def one_line_in_the_table() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "toy", f"{__name__}:Toy")
        yield


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outlines on white, and the same shapes filled."""
    return trials.paired(tmp_path_factory.mktemp("pairs"), 6)


SETTINGS = ("--set", "data.load=36", "--set", "data.crop=32")


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after two steps of `img2img train toy`."""
    folder = tmp_path_factory.mktemp("runs") / "toy"
    status = main(["train", "toy", "--data", str(pairs), "--out", str(folder), "--device", "cpu", *SETTINGS])
    assert status == 0
    return folder


def test_training_from_the_command_line_ends_with_a_model_of_the_trained_network(run: Path) -> None:
    assert {"config.toml", "config.schema.json", "checkpoints", "samples", "log.jsonl", "model.onnx"} <= {
        path.name for path in run.iterdir()
    }
    assert max((run / "checkpoints").glob("step-*")).name == "step-00000002"
    curve = Toy(Config.load(run / "config.toml")).networks["generator"]
    averaged = {
        key.removeprefix("generator.ema/"): value
        for key, value in trials.weights(run).items()
        if key.startswith("generator.ema/")
    }
    curve.load_state_dict(averaged)
    image = np.random.default_rng(0).random((1, 3, 9, 7), np.float32)
    (result,) = ort.InferenceSession(run / "model.onnx").run(["result"], {"image": image})
    expected = curve(torch.from_numpy(image)).clamp(0, 1).detach().numpy()
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_the_model_runs(run: Path, pairs: Path, tmp_path: Path, img2img: Callable[..., Any]) -> None:
    picture = pairs / "A" / "000.png"
    done = img2img("translate", picture, "--model", run / "model.onnx", "-o", tmp_path / "result.png")
    assert done.status == 0, done.err
    assert Image.open(tmp_path / "result.png").size == Image.open(picture).size


def test_the_same_command_continues(run: Path, pairs: Path, tmp_path: Path, img2img: Callable[..., Any]) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    done = img2img("train", "toy", "--data", pairs, "--out", copy, "--steps", 3, "--device", "cpu", *SETTINGS)
    assert done.status == 0, done.err
    assert "continuing after step 2 of 3" in done.err
    assert f"img2img translate PICTURE --model {copy / 'model.onnx'}" in done.err


def test_other_commands_support_it(run: Path, pairs: Path, tmp_path: Path, img2img: Callable[..., Any]) -> None:
    checked = img2img("data", "check", pairs, "--for", "toy", *SETTINGS, "--json")
    assert checked.status == 0 and json.loads(checked.out)["trainable"]
    weights = img2img("export", run, "--to", "pth", "-o", tmp_path / "toy.pth")
    assert weights.status == 0, weights.err
    assert sorted(torch.load(tmp_path / "toy.pth")) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    exported = img2img("export", run, "-o", tmp_path / "toy.onnx")
    assert exported.status == 0, exported.err
    measured = img2img("evaluate", tmp_path / "toy.onnx", "--data", pairs, "--json")
    assert measured.status == 0, measured.err
    blended = img2img("blend", run, run, "-o", tmp_path / "blend.onnx")
    assert blended.status == 0, blended.err


def test_help_settings_and_schema_show_it(monkeypatch: pytest.MonkeyPatch, img2img: Callable[..., Any]) -> None:
    for command in ("train", "data"):
        monkeypatch.delitem(sys.modules, f"img2img.cli.{command}", raising=False)  # its help is made at import
        assert "context-encoder,toy" in "".join(img2img(command, "--help").out.decode().split())
    assert "width = 4\n    channels of the hidden layer\n" in img2img("train", "toy", "--show-config").out.decode()
    schema = json.loads(img2img("train", "toy", "--schema").out)
    assert schema["properties"]["width"]["default"] == 4
