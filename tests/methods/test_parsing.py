"""The parsing loss of the context encoder, and its segmentation network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials
from PIL import Image
from torch import Tensor, nn

from img2img.data.folders import Reading
from img2img.errors import ConfigError, DataError
from img2img.methods.context_encoder import Config, ContextEncoder
from img2img.methods.method import Batch
from img2img.methods.parsing import ParsingConfig, ParsingLoss
from img2img.objectives.parsing import parsing_loss

DCGAN = {"name": "dcgan", "options": {"features": 4}}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos: a light disc on dark noise; label maps: where the disc is."""
    top = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:40, :40]
    for folder in ("photos", "labels"):
        (top / folder).mkdir()
    for number in range(8):
        y, x = rng.integers(12, 28, 2)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < 100
        photo = rng.integers(0, 80, (40, 40, 3)) + 150 * disc[..., None]
        Image.fromarray(photo.astype(np.uint8)).save(top / "photos" / f"{number}.jpg", quality=95)
        if number:  # the first photo has no label map
            colours = np.array([(0, 0, 200), (200, 150, 0)], np.uint8)[disc.astype(int)]
            Image.fromarray(colours).save(top / "labels" / f"{number}.png")
    return top


def config(faces: Path, **changes: Any) -> Config:
    parsing = {"weight": 0.05, "labels": str(faces / "labels"), "steps": 2}
    values = {
        "data": {"folders": [str(faces / "photos")], "crop": 32},
        "generator": {"name": "context-encoder", "options": {"features": 4, "bottleneck": 8}},
        "discriminator": DCGAN,
        "local_discriminator": DCGAN,
        "steps": 6,
        "batch": 2,
        "log_every": 1,
        "validate_every": 3,
        "checkpoint_every": 2,
        "parsing": {**parsing, **changes.pop("parsing", {})},
        **changes,
    }
    return Config.parse(Config.with_defaults(values), where="test")


def batch(method: ContextEncoder) -> Batch:
    items = [method.load()[i] for i in range(2)]
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def figures(method: ContextEncoder, items: Batch, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take one step in which no network is updated; `losses` gets its losses. Return its figures."""
    step = method.step(method.networks, [items])
    try:
        while True:
            losses.update([next(step)])
    except StopIteration as end:
        found: dict[str, Tensor] = end.value
        return found


class Bright(nn.Module):
    """Two classes. The logit of the second one is the red channel, that of the first one is 0."""

    def forward(self, picture: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(picture[:, :1]), picture[:, :1]], 1)


def test_the_loss_by_hand() -> None:
    truth = torch.tensor([0.5, -0.5]).expand(1, 3, 1, 2)  # second class, first class
    filled = torch.tensor([0.25, -0.5]).expand(1, 3, 1, 2).clone().requires_grad_()
    loss = parsing_loss(Bright(), filled, truth)
    by_hand = (np.log(1 + np.exp(-0.25)) + np.log(1 + np.exp(-0.5))) / 2
    assert loss.item() == pytest.approx(by_hand)
    loss.backward()
    assert filled.grad is not None and filled.grad[0, 0, 0, 0] < 0  # a brighter pixel would fit the second class better


def test_the_step_adds_the_weighted_loss_of_the_filled_picture(faces: Path) -> None:
    with_parsing, without = ContextEncoder(config(faces)), ContextEncoder(config(faces, parsing={"weight": 0.0}))
    for name, network in without.networks.items():
        network.load_state_dict(with_parsing.networks[name].state_dict())
    items = batch(with_parsing)
    losses: dict[str, Tensor] = {}
    plain: dict[str, Tensor] = {}
    found = figures(with_parsing, items, losses)
    assert "parsing" not in figures(without, items, plain)
    assert losses["generator"].item() == pytest.approx(plain["generator"].item() + 0.05 * found["parsing"].item())
    assert losses["discriminator"].item() == plain["discriminator"].item()


def test_the_segmentation_network_is_frozen_and_no_part_of_the_model(faces: Path) -> None:
    method = ContextEncoder(config(faces))
    losses: dict[str, Tensor] = {}
    figures(method, batch(method), losses)
    assert method.parsing is not None and method.parsing.network is not None
    network = method.parsing.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    losses["generator"].backward()
    assert not network.training and all(value.grad is None for value in network.parameters())
    figures(method, batch(method), losses)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert set(method.networks) == {"generator", "discriminator_global", "discriminator_local"}


def test_the_segmentation_network_learns_the_label_maps(faces: Path) -> None:
    loss = ParsingLoss(ParsingConfig(weight=1, labels=faces / "labels", steps=40), side=32, seed=0)
    note = loss.find([faces / "photos"], Reading())
    assert note.endswith("2 classes on 7 photos with label maps")
    disc = torch.full((1, 3, 32, 32), -0.7)
    disc[..., 8:22, 8:22] = 0.8
    assert loss(disc, disc) < 0.3 < loss(torch.full_like(disc, -0.7), disc)


def test_training_the_segmentation_network_draws_no_global_random_numbers(faces: Path) -> None:
    loss = ParsingLoss(ParsingConfig(weight=1, labels=faces / "labels", steps=1), side=32, seed=0)
    loss.find([faces / "photos"], Reading())
    torch.manual_seed(3)
    loss(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32))
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))


def test_a_resumed_run_equals_an_uninterrupted_one_and_trains_no_second_segmentation_network(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    original = ParsingLoss._train

    def counted(self: ParsingLoss) -> Any:
        trained.append(1)
        return original(self)

    monkeypatch.setattr(ParsingLoss, "_train", counted)
    trials.check_resume(ContextEncoder, config(faces), tmp_path, stop=3)
    assert len(trained) == 2  # one for the whole run, and one for the run in two parts


def test_faults_are_found_before_the_first_step(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"parsing.weight needs parsing.labels"):
        config(faces, parsing={"labels": None})
    with pytest.raises(DataError, match="nowhere: no such folder"):
        ContextEncoder(config(faces, parsing={"labels": str(tmp_path / "nowhere")})).load()
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png")
    with pytest.raises(DataError, match=r"no label map has the name of a photo; it contains other, and .* are 0, 1, 2"):
        ContextEncoder(config(faces, parsing={"labels": str(tmp_path)})).load()
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    with pytest.raises(DataError, match="a single colour"):
        ContextEncoder(config(faces, parsing={"labels": str(tmp_path)})).load()
    with pytest.raises(DataError, match="more than 256 colours"):
        ContextEncoder(config(faces, parsing={"labels": str(faces / "photos")})).load()
    with pytest.raises(ConfigError, match="must be a multiple of 16"):
        ParsingLoss(ParsingConfig(weight=1, labels=faces), side=40, seed=0)
