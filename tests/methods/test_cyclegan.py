"""CycleGAN on tiny domains: both directions, the replay pool in the checkpoint, other parts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials

from img2img.errors import ConfigError
from img2img.methods.cyclegan import Config, CycleGAN
from img2img.methods.pool import Pool


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.domains(tmp_path_factory.mktemp("sides"), ("red", "blue"))


def config(sides: Path, **changes: Any) -> Config:
    values = {
        "data": {"folders": [str(sides / "red"), str(sides / "blue")], "load": 36, "crop": 32, "truth": "names"},
        "generator": {"name": "resnet", "options": {"features": 4, "blocks": 1}},
        "discriminator": {"name": "patchgan", "options": {"features": 4, "layers": 1, "norm": "instance"}},
        "pool": 3,
        "steps": 8,
        "log_every": 4,
        "validate_every": 8,
        "checkpoint_every": 4,
    }
    return Config.parse(Config.with_defaults({**values, **changes}), where="test")


def test_a_stopped_run_continues_exactly_with_its_pool_and_exports_both_directions(sides: Path, tmp_path: Path) -> None:
    run = trials.check_resume(CycleGAN, config(sides), tmp_path, stop=5)
    method = CycleGAN(config(sides))
    assert trials.suffixes(method) == [".AtoB", ".BtoA"]
    assert trials.export(method, tmp_path, ".AtoB")
    figures = trials.log(run)[-1]["validation"]
    assert figures["l1_AtoB_input"] > 0.01, "equal names on both sides give a truth to compare with"


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": {"name": "unet", "options": {"features": 4, "downs": 2}}},
        {"adversarial": {"name": "wgan-gp", "discriminator_steps": 2}},
        {"identity": 0.0},
        {"cycle": 0.0, "identity": 0.0, "adversarial": {"name": "relativistic-average"}},
        {"matching": {"weight": 1.0}, "batch": 2},
        {"batch": 4, "accumulate": 2},
    ],
    ids=str,
)
def test_parts_can_be_combined_freely(changes: dict[str, Any], sides: Path, tmp_path: Path) -> None:
    lines = trials.train_steps(CycleGAN, config(sides, **{"log_every": 1, **changes}), tmp_path / "run")
    assert len(lines) == 2 and all(np.isfinite(line["loss"]) for line in lines)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matching": {"weight": 1.0, "kind": "pairwise"}, "batch": 2}, "needs pairs, and cyclegan has none: use mean"),
        ({"matching": {"weight": 1.0, "kind": "class-mean"}}, "needs classes, and cyclegan has none: use mean"),
        ({"matching": {"weight": 1.0}}, "batch = 1: matching.weight compares the mean features of a batch"),
        ({"matching": {"weight": 1.0}, "batch": 2, "accumulate": 2}, "batch = 2 in accumulate = 2 parts: matching"),
        ({"cycle": 0.0}, "identity = 0.5 is a fraction of cycle, and cycle is 0: set identity to 0 too"),
    ],
    ids=str,
)
def test_settings_without_a_meaning_are_refused_before_anything_is_read(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        config(tmp_path / "missing", **changes)


def test_old_runs_that_do_not_match_features_can_still_be_read(sides: Path) -> None:
    """Version 0.1 wrote matching.kind = pairwise into every configuration."""
    assert config(sides, matching={"weight": 0.0, "kind": "pairwise"}).matching.weight == 0


def test_it_learns_the_other_sides_colour(sides: Path, tmp_path: Path) -> None:
    settings = config(sides, identity=0.0, **trials.ENOUGH_TO_LEARN_A_COLOUR)
    figures = trials.train_to_end(CycleGAN, settings, tmp_path / "run")[-1]
    assert figures["swd_AtoB"] < figures["swd_AtoB_input"] or figures["l1_AtoB"] < figures["l1_AtoB_input"]


def test_a_full_pool_returns_old_pictures_half_of_the_time() -> None:
    torch.manual_seed(0)
    pool = Pool(5)
    pictures = torch.arange(400.0)[:, None, None, None]
    first = pool.exchange(pictures[:5])
    assert torch.equal(first, pictures[:5])
    later = torch.cat([pool.exchange(pictures[i : i + 1]) for i in range(5, 400)])
    old = (later.flatten() != pictures[5:].flatten()).float().mean()
    assert 0.4 < old < 0.6
    assert len(pool.kept) == 5


def test_a_pool_of_size_0_returns_pictures_as_they_are() -> None:
    pictures = torch.rand(2, 3, 4, 4, requires_grad=True)
    returned = Pool(0).exchange(pictures)
    assert torch.equal(returned, pictures) and not returned.requires_grad


def test_a_pool_is_restored_from_its_state() -> None:
    one, other = Pool(3), Pool(3)
    one.exchange(torch.rand(3, 1, 2, 2))
    other.load_state_dict(one.state_dict())
    new = torch.rand(4, 1, 2, 2)
    torch.manual_seed(1)
    ours = one.exchange(new)
    torch.manual_seed(1)
    assert torch.equal(ours, other.exchange(new))
