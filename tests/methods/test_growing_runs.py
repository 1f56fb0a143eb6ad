"""Progressive growing as a setting of methods: exact resume, growth over a run, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import trials

from img2img import methods
from img2img.errors import ConfigError
from img2img.methods.config import RunConfig
from img2img.methods.method import Method

PATCHES = {"name": "patchgan", "options": {"features": 4, "layers": 2, "norm": "instance"}}


def parsed(name: str, data: list[Path], **changes: Any) -> tuple[type[Method], RunConfig]:
    method = methods.find(name)
    values: dict[str, Any] = {
        "method": name,
        "data": {"folders": [str(one) for one in data], "crop": 32},
        "batch": 2,
        "steps": 6,
        "log_every": 1,
        "validate_every": 6,
        "checkpoint_every": 3,
        "generator": {"name": "unet", "options": {"features": 4, "downs": 3, "norm": "instance"}},
        "discriminator": PATCHES,
        "growing": [0.0, 0.3],
        **changes,
    }
    return method, method.recipe.parse(method.recipe.with_defaults(values), where="test")


def test_a_growing_run_continues_exactly_and_ends_fully_grown(tmp_path: Path) -> None:
    data = trials.paired(tmp_path / "data", size=32)
    method, config = parsed("pix2pix", [data])
    whole = trials.check_resume(method, config, tmp_path, stop=2)
    weights = trials.weights(whole)
    stages = {key: float(value) for key, value in weights.items() if key.endswith("growth.stage")}
    assert stages and all(value == 2 for value in stages.values())


def test_both_sides_of_cyclegan_grow(tmp_path: Path) -> None:
    folder = trials.domains(tmp_path / "data", size=32, names=("red", "green"))
    sides = [folder / "red", folder / "green"]
    generator = {"name": "resnet", "options": {"features": 4, "blocks": 1}}
    method, config = parsed("cyclegan", sides, generator=generator, growing=[0.5])
    trials.train_steps(method, config, tmp_path / "run", 2)
    weights = trials.weights(tmp_path / "run")
    stages = {key: float(value) for key, value in weights.items() if key.endswith("growth.stage")}
    assert len({key.split("/")[0].removesuffix(".ema") for key in stages}) == 4
    assert all(value == 0 for value in stages.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"discriminator": {"name": "pixelgan"}}, "growing: network 'pixelgan' cannot grow; use resnet or unet"),
        ({"growing": [0.1, 0.2, 0.3]}, "growing has 3 doublings, but this unet allows at most 2"),
        (
            {"generator": {"name": "resnet", "options": {"growing": 2}}},
            "network 'resnet': growing is a setting of the method",
        ),
    ],
)
def test_networks_that_cannot_grow_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    data = trials.paired(tmp_path / "data", size=32, count=4)
    with pytest.raises(ConfigError, match=message):
        method, config = parsed("pix2pix", [data], **changes)
        method(config)


def test_fractions_must_rise(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"growing = \[0.5, 0.25\] must rise from 0 to below 1"):
        parsed("pix2pix", [tmp_path], growing=[0.5, 0.25])
