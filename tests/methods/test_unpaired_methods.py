"""DualGAN, DiscoGAN, DistanceGAN and SimGAN on tiny domains, and the settings they share."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials

from img2img import methods
from img2img.errors import ConfigError, DataError
from img2img.methods.unpaired_gan import CyclicGAN, Pass, UnpairedGAN

NAMES = ("dualgan", "discogan", "distancegan", "simgan")


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.domains(tmp_path_factory.mktemp("sides"), ("red", "blue"))


def tiny(name: str, sides: Path, **changes: Any) -> dict[str, Any]:
    generators = {
        "dualgan": {"name": "unet", "options": {"features": 4, "downs": 2}},
        "discogan": {"name": "discogan", "options": {"features": 4}},
    }
    values: dict[str, Any] = {
        "data": {"folders": [str(sides / "red"), str(sides / "blue")], "load": 36, "crop": 32, "truth": "names"},
        "generator": generators.get(name, {"name": "resnet", "options": {"features": 4, "blocks": 1}}),
        "discriminator": {"name": "patchgan", "options": {"features": 4, "layers": 1, "norm": "instance"}},
        "batch": 2,
        "pool": 3,
        "steps": 8,
        "log_every": 4,
        "validate_every": 8,
        "checkpoint_every": 4,
    }
    if name == "discogan":
        values["share"] = {"steps": 3}
    if name == "simgan":
        values |= {"generator_warmup": 2, "discriminator_warmup": 1}
    return {**values, **changes}


def build(name: str, values: dict[str, Any]) -> UnpairedGAN:
    kind = methods.find(name)
    method = kind(kind.recipe.parse(kind.recipe.with_defaults(values), where="test"))
    assert isinstance(method, UnpairedGAN)
    return method


@pytest.mark.parametrize("name", NAMES)
def test_a_stopped_run_continues_exactly_and_exports_its_directions(name: str, sides: Path, tmp_path: Path) -> None:
    method = build(name, tiny(name, sides))
    run = trials.check_resume(type(method), method.config, tmp_path, stop=5)
    expected = [""] if name == "simgan" else [".AtoB", ".BtoA"]
    method = build(name, tiny(name, sides))
    assert trials.suffixes(method) == expected
    assert trials.export(method, tmp_path, expected[0])
    figures = trials.log(run)[-1]["validation"]
    assert figures["l1_AtoB_input"] > 0.01 and np.isfinite(figures["closeness"])


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (
            "dualgan",
            {"adversarial": {"name": "wgan-gp"}, "discriminator": {"name": "patchgan", "options": {"norm": "none"}}},
        ),
        ("discogan", {"matching": {"weight": 0.0}}),
        ("distancegan", {"self_distance": False}),
        ("distancegan", {"direction": "BtoA", "batch": 1}),
        ("distancegan", {"cycle": 10.0}),
        ("simgan", {"adversarial": {"name": "lsgan"}, "direction": "both"}),
        ("cyclegan", {"direction": "AtoB", "cycle": 0.0, "identity": 0.0}),
        ("cyclegan", {"mode_regulariser": 0.5, "adversarial": {"name": "dragan"}}),
        ("discogan", {"mode_regulariser": 0.5}),
        ("cyclegan", {"generator_steps": 3, "optimiser": {"name": "sgd", "rate": 1e-3, "momentum": 0.9}}),
    ],
    ids=str,
)
def test_parts_can_be_combined_freely(name: str, changes: dict[str, Any], sides: Path, tmp_path: Path) -> None:
    method = build(name, tiny(name, sides, log_every=1, **changes))
    lines = trials.train_steps(type(method), method.config, tmp_path / "run")
    assert len(lines) == 2 and all(np.isfinite(line["loss"]) for line in lines if "loss" in line)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("distancegan", {"self_distance": False, "batch": 1}, "batches of 2 or more; set self_distance to true"),
        ("distancegan", {"self_distance": False, "batch": 4, "accumulate": 4}, "accumulate = 4 parts"),
        ("distancegan", {"direction": "AtoB", "cycle": 10.0}, "no way back for the cycle loss: set cycle to 0"),
        ("dualgan", {"generator_steps": 2, "adversarial": {"discriminator_steps": 2}}, "one of them must be 1"),
        ("discogan", {"batch": 1}, "needs 2 pictures or more"),
        ("cyclegan", {"mode_regulariser": 1.0}, "needs a discriminator of logits.*not lsgan"),
        (
            "distancegan",
            {"direction": "AtoB", "mode_regulariser": 1.0},
            "AtoB has no way back: set mode_regulariser to 0",
        ),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(name: str, changes: dict[str, Any], message: str, sides: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, tiny(name, sides, **changes))


def test_the_mode_regulariser_judges_pictures_that_came_back(sides: Path) -> None:
    method = build("cyclegan", tiny("cyclegan", sides, mode_regulariser=0.5, adversarial={"name": "minimax"}))
    assert isinstance(method, CyclicGAN)
    real = torch.rand(2, 3, 32, 32) * 2 - 1
    nets = method.networks
    one = Pass("a", "b", real, real, nets["generator_ab"], nets["generator_ba"], nets["discriminator_a"])
    scores = nets["discriminator_a"](nets["generator_ba"](nets["generator_ab"](real)))
    expected = 0.5 * -torch.sigmoid(scores).log().mean()
    assert float(method.terms(one)["mode_regulariser"].detach()) == pytest.approx(float(expected.detach()), rel=1e-4)


def test_too_few_pictures_for_distances_are_refused(tmp_path: Path) -> None:
    folder = trials.domains(tmp_path, ("red", "blue"), count=3)
    with pytest.raises(DataError, match="distancegan needs 3"):
        build("distancegan", tiny("distancegan", folder)).load()


def requested(method: UnpairedGAN, steps: int) -> list[str]:
    """The optimisers that each step asks for, one word per step."""
    method.load()
    batch = {side: torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8) for side in "ab"}
    words = []
    for method.step_number in range(steps):
        words.append("".join(name[0] for name, _ in method.step(method.networks, [batch])))
    return words


def test_discogan_updates_the_discriminators_with_every_second_step(sides: Path) -> None:
    assert requested(build("discogan", tiny("discogan", sides)), 5) == ["gd", "g", "gd", "g", "gd"]


def test_simgan_starts_with_the_refiner_and_then_the_discriminator_alone(sides: Path) -> None:
    assert requested(build("simgan", tiny("simgan", sides)), 6) == ["g", "g", "d", "g", "gd", "g"]


def test_the_share_of_discogans_reconstruction_rises(sides: Path) -> None:
    method = build("discogan", tiny("discogan", sides))
    one, two = torch.tensor(2.0), {"cycle": torch.tensor(10.0)}
    assert method.total(one, two) == pytest.approx(0.99 * 2 + 0.01 * 10)
    method.step_number = 3
    assert method.total(one, two) == pytest.approx(0.5 * 2 + 0.5 * 10)


def test_discogan_matches_all_activations_of_the_dcgan_but_the_first(sides: Path) -> None:
    values = {"data": {"folders": [str(sides)]}, "generator": {"name": "discogan", "options": {"features": 4}}}
    method = build("discogan", values)
    assert method.config.matching.layers == ("main.4", "main.7", "main.10")
    network = method.networks["discriminator_a"]
    assert all(isinstance(network.get_submodule(layer), torch.nn.LeakyReLU) for layer in method.config.matching.layers)


def test_the_recipes_are_the_published_ones(sides: Path) -> None:
    found = {
        name: kind.recipe.parse(
            kind.recipe.with_defaults({"data": {"folders": [str(sides)]}}), where="test"
        ).model_dump()
        for name in NAMES
        for kind in [methods.find(name)]
    }
    dual, disco, simgan = found["dualgan"], found["discogan"], found["simgan"]
    assert (dual["cycle"], dual["adversarial"]["name"], dual["optimiser"]["name"]) == (500, "wgan", "rmsprop")
    assert (dual["optimiser"]["rate"], dual["optimiser"]["decay"], dual["batch"]) == (5e-5, 0.9, 1)
    assert (disco["adversarial"]["weight"], disco["matching"]["weight"], disco["batch"]) == (0.1, 0.9, 64)
    assert (disco["data"]["crop"], disco["optimiser"]["weight_decay"]) == (64, 1e-5)
    assert (found["distancegan"]["distance"], found["distancegan"]["cycle"]) == (1, 0)
    assert (simgan["similarity"], simgan["generator_steps"], simgan["direction"]) == (0.5, 2, "AtoB")


def test_momentum_and_rmsprop_move_weights_as_their_formulas_say(sides: Path) -> None:
    from img2img.methods.config import OptimiserConfig
    from img2img.training.engine import _optimiser

    method = build("cyclegan", tiny("cyclegan", sides))
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    method.networks = {"generator_ab": torch.nn.ParameterList([weight])}
    sgd = _optimiser(OptimiserConfig(name="sgd", rate=0.1, momentum=0.5), method, ("generator_ab",))
    for _ in range(2):
        weight.grad = torch.tensor([1.0])
        sgd.step()
    assert weight.item() == pytest.approx(1 - 0.1 * 1 - 0.1 * 1.5)
    weight.data.fill_(1.0)
    rmsprop = _optimiser(OptimiserConfig(name="rmsprop", rate=0.1, decay=0.75), method, ("generator_ab",))
    weight.grad = torch.tensor([4.0])
    rmsprop.step()
    assert weight.item() == pytest.approx(1 - 0.1 * 4 / (0.25 * 16) ** 0.5, abs=1e-6)
