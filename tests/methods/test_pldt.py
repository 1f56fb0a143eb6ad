"""PLDT on tiny pairs: the labels of its three kinds of targets, what each loss trains, resume and export."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials

from img2img.errors import ConfigError
from img2img.methods.pldt import PLDT, Config, cross_entropy

DCGAN = {"name": "dcgan", "options": {"features": 4, "norm": "instance"}}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.paired(tmp_path_factory.mktemp("pairs"))


def config(pairs: Path, **changes: Any) -> Config:
    values = {
        "data": {"folders": [str(pairs)], "load": 36, "crop": 32},
        "generator": {"name": "discogan", "options": {"features": 4, "norm": "instance"}},
        "discriminator": DCGAN,
        "relevance": DCGAN,
        "batch": 3,
        "steps": 6,
        "log_every": 3,
        "validate_every": 6,
        "checkpoint_every": 3,
    }
    return Config.parse(Config.with_defaults({**values, **changes}), where="test")


def batch_of(method: PLDT) -> dict[str, torch.Tensor]:
    items = [method.load()[place] for place in range(3)]
    return {name: torch.stack([item[name] for item in items]) for name in ("input", "target")}


def test_a_stopped_run_continues_exactly_and_ends_with_a_model(pairs: Path, tmp_path: Path) -> None:
    run = trials.check_resume(PLDT, config(pairs), tmp_path, stop=4)
    assert trials.log(run)[-1]["validation"]["l1"] > 0
    session = trials.export(PLDT(config(pairs)), tmp_path)[""]
    image = np.random.default_rng(0).random((1, 3, 32, 48), np.float32)
    assert session.run(None, {"image": image})[0].shape == image.shape


def test_partners_are_real_and_related_unrelated_targets_are_only_real_results_are_neither(pairs: Path) -> None:
    method = PLDT(config(pairs))
    batch = batch_of(method)
    losses = dict(method.step(method.networks, [batch]))
    source, target = batch["input"].float() / 127.5 - 1, batch["target"].float() / 127.5 - 1
    nets = method.networks
    unrelated = target[[2, 0, 1]]
    result = nets["generator"](source)

    def entropy(name: str, shown: torch.Tensor, label: int) -> float:
        chances = torch.sigmoid(nets[name](shown)).detach()
        return float(-(chances if label else 1 - chances).log().mean())

    def beside(picture: torch.Tensor) -> torch.Tensor:
        return torch.cat((source, picture), 1)

    real = entropy("discriminator", target, 1) + entropy("discriminator", unrelated, 1)
    real += entropy("discriminator", result, 0)
    related = entropy("relevance", beside(target), 1) + entropy("relevance", beside(unrelated), 0)
    related += entropy("relevance", beside(result), 0)
    assert losses["discriminator"].item() == pytest.approx(real / 3 + related / 3, rel=1e-4)
    generator = (entropy("discriminator", result, 1) + entropy("relevance", beside(result), 1)) / 2
    assert losses["generator"].item() == pytest.approx(generator, rel=1e-4)


def test_the_discriminators_do_not_train_the_generator(pairs: Path) -> None:
    method = PLDT(config(pairs))
    dict(method.step(method.networks, [batch_of(method)]))["discriminator"].backward()
    assert all(parameter.grad is None for parameter in method.networks["generator"].parameters())
    for name in ("discriminator", "relevance"):
        assert all(parameter.grad is not None for parameter in method.networks[name].parameters())


def test_cross_entropy_is_a_mean_over_maps_and_scales() -> None:
    coarse, fine = torch.tensor([[1.0], [-2.0]]), torch.tensor([[[0.5, 3.0]]])

    def by_hand(values: list[float]) -> float:
        return sum(math.log(1 + math.exp(-value)) for value in values) / len(values)

    expected = (by_hand([1, -2]) + by_hand([0.5, 3])) / 2
    assert float(cross_entropy([coarse, fine], 1)) == pytest.approx(expected, rel=1e-5)
    assert float(cross_entropy(coarse, 0)) == pytest.approx(by_hand([-1, 2]), rel=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": {"name": "unet", "options": {"features": 4}}, "objectives": {"l1": 10.0}},
        {"discriminator": {"name": "multi-scale", "options": {"features": 4, "layers": 1}}},
        {"relevance": {"name": "patchgan", "options": {"features": 4, "layers": 1}}},
        {"batch": 4, "accumulate": 2, "precision": "bf16"},
    ],
    ids=str,
)
def test_parts_can_be_combined_freely(changes: dict[str, Any], pairs: Path, tmp_path: Path) -> None:
    lines = trials.train_steps(PLDT, config(pairs, log_every=1, **changes), tmp_path / "run")
    assert len(lines) == 2 and all(np.isfinite(line["loss"]) for line in lines)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 1}, "batch = 1 in accumulate = 1 parts: each part needs 2 pairs or more"),
        ({"batch": 4, "accumulate": 4}, "batch = 4 in accumulate = 4 parts: each part needs 2 pairs or more"),
        ({"adversarial": {"name": "lsgan"}}, "adversarial"),
        ({"generator": {"name": "discogan", "options": {"bottleneck": 8}}}, "discogan needs a multiple of 64"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], message: str, pairs: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        PLDT(config(pairs, **changes))


def test_it_learns_to_fill_outlines(pairs: Path, tmp_path: Path) -> None:
    settings = config(
        pairs,
        steps=80,
        log_every=40,
        validate_every=40,
        generator={"name": "unet", "options": {"features": 8, "downs": 3, "dropout": False}},
        optimiser={"rate": 2e-3, "betas": [0.5, 0.999]},
        objectives={"l1": 20.0},
        batch=4,
    )
    first, last = trials.train_to_end(PLDT, settings, tmp_path / "run")
    assert last["l1"] < 0.2 and last["l1"] < first["l1"]
