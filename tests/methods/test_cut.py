"""CUT and FastCUT on tiny domains."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials

from img2img.errors import ConfigError
from img2img.methods.cut import CUT, Config, FastConfig, FastCUT


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.domains(tmp_path_factory.mktemp("sides"), ("red", "blue"))


def config(sides: Path, recipe: type[Config] = Config, **changes: Any) -> Config:
    values = {
        "data": {"folders": [str(sides / "red"), str(sides / "blue")], "load": 36, "crop": 32, "truth": "names"},
        "generator": {"name": "resnet", "options": {"features": 4, "blocks": 5, "blur": True}},
        "discriminator": {
            "name": "patchgan",
            "options": {"features": 4, "layers": 1, "norm": "instance", "blur": True},
        },
        "patches": 16,
        "steps": 8,
        "log_every": 4,
        "validate_every": 8,
        "checkpoint_every": 4,
    }
    return recipe.parse(recipe.with_defaults({**values, **changes}), where="test")


@pytest.mark.parametrize(("method", "recipe"), [(CUT, Config), (FastCUT, FastConfig)])
def test_a_stopped_run_continues_exactly_and_exports_the_generator(
    method: type[CUT], recipe: type[Config], sides: Path, tmp_path: Path
) -> None:
    run = trials.check_resume(method, config(sides, recipe), tmp_path, stop=5)
    assert list(trials.export(method(config(sides, recipe)), tmp_path)) == [""]
    figures = trials.log(run)[-1]["validation"]
    assert figures["l1_input"] > 0.01, "equal names on both sides give a truth to compare with"
    assert figures["closeness"] == -figures["swd"]


def test_the_recipes_are_those_of_the_paper(sides: Path) -> None:
    data = {"data": {"folders": [str(sides)]}}
    cut, fast = (recipe.parse(recipe.with_defaults(data), where="test") for recipe in (Config, FastConfig))
    assert (cut.contrast, cut.identity, cut.equivariance) == (1.0, True, False)
    assert (fast.contrast, fast.identity, fast.equivariance) == (10.0, False, True)
    assert (cut.temperature, cut.patches, cut.initialise, cut.batch) == (0.07, 256, "xavier", 1)
    assert CUT(cut).layers == ("model.0", "model.4", "model.8", "model.12", "model.16")


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": {"name": "resnet", "options": {"features": 4, "blocks": 1}}},
        {
            "generator": {"name": "unet", "options": {"features": 4, "downs": 2}},
            "layers": ["model.model.0", "model.model.1"],
        },
        {"adversarial": {"name": "wgan-gp", "discriminator_steps": 2}},
        {"equivariance": True, "adversarial": {"name": "relativistic-average"}},
        {"matching": {"weight": 1.0, "kind": "mean"}, "batch": 2},
        {"batch": 4, "accumulate": 2},
    ],
    ids=str,
)
def test_parts_can_be_combined_freely(changes: dict[str, Any], sides: Path, tmp_path: Path) -> None:
    lines = trials.train_steps(CUT, config(sides, **{"log_every": 1, **changes}), tmp_path / "run")
    assert len(lines) == 2 and all(np.isfinite(line["loss"]) for line in lines)


def test_a_generator_without_default_layers_needs_them(sides: Path) -> None:
    with pytest.raises(ConfigError, match="unet: set layers"):
        CUT(config(sides, generator={"name": "unet", "options": {"features": 4, "downs": 2}}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matching": {"weight": 1.0}, "batch": 1}, "needs 2 pictures or more; single pictures of two domains"),
        ({"matching": {"weight": 1.0, "kind": "pairwise"}}, "pairwise needs pairs, and cut has none: use mean"),
        (
            {"generator": {"name": "resnet", "options": {"growing": 2}}},
            "growing cannot be used: the networks of cut do not grow",
        ),
        ({"layers": ["nothing"]}, "layer 'nothing'.* does not exist; choose from .* and [0-9]+ more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], message: str, sides: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        CUT(config(sides, **changes))


def test_mirrored_inputs_are_compared_with_the_input_as_it_was(sides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a generator that returns its input, patches fit only if the mirrored result is mirrored back."""
    method = CUT(config(sides, equivariance=True, identity=False))
    method.networks["generator"].forward = lambda image: image  # type: ignore[method-assign]
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note(networks: Any, source: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
        seen.append((source, result))
        return source.new_zeros((), requires_grad=True)

    monkeypatch.setattr(method, "_compare", note)
    batch = {side: torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8) for side in "ab"}
    given = []
    for seed in range(8):
        torch.manual_seed(seed)
        discriminator = method.networks["discriminator"]
        shown: list[torch.Tensor] = []
        handle = discriminator.register_forward_pre_hook(lambda _, inputs, into=shown: into.append(inputs[0]))
        list(method.step(method.networks, [batch]))
        handle.remove()
        given.append(any(torch.equal(one, seen[-1][0].flip(3)) for one in shown))
    assert all(torch.equal(source, result) for source, result in seen)
    assert 0 < sum(given) < len(given)


def test_it_learns_the_other_sides_colour(sides: Path, tmp_path: Path) -> None:
    settings = config(sides, **trials.ENOUGH_TO_LEARN_A_COLOUR)
    figures = trials.train_to_end(CUT, settings, tmp_path / "run")[-1]
    assert figures["swd"] < figures["swd_input"] or figures["l1"] < figures["l1_input"]
