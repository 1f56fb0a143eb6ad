"""UNIT and MUNIT on tiny domains."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import trials
from torch.nn import functional as F

from img2img import methods
from img2img.errors import ConfigError
from img2img.methods.auto_encoders import AutoEncoderGAN
from img2img.methods.munit import MUNIT
from img2img.methods.unit import UNIT
from img2img.networks.munit import MUNITGenerator


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.domains(tmp_path_factory.mktemp("sides"), ("red", "blue"))


def tiny(name: str, sides: Path, **changes: Any) -> dict[str, Any]:
    options = {"features": 4, "downs": 1, "blocks": 2}
    if name == "munit":
        options |= {"style": 3, "style_downs": 2}
    values: dict[str, Any] = {
        "data": {"folders": [str(sides / "red"), str(sides / "blue")], "load": 36, "crop": 32, "truth": "names"},
        "generator": {"name": name, "options": options},
        "discriminator": {"name": "munit-discriminator", "options": {"features": 4, "layers": 2, "scales": 2}},
        "steps": 8,
        "log_every": 4,
        "validate_every": 8,
        "checkpoint_every": 4,
    }
    return {**values, **changes}


def build(name: str, values: dict[str, Any]) -> AutoEncoderGAN:
    kind = methods.find(name)
    method = kind(kind.recipe.parse(kind.recipe.with_defaults(values), where="test"))
    assert isinstance(method, AutoEncoderGAN)
    return method


def noise(count: int = 2) -> dict[str, torch.Tensor]:
    return {side: torch.rand(count, 3, 32, 32) * 2 - 1 for side in "ab"}


@pytest.mark.parametrize(
    ("name", "suffixes"),
    [("unit", [".AtoB", ".BtoA"]), ("munit", [".AtoB", ".AtoB.reference", ".BtoA", ".BtoA.reference"])],
)
def test_a_stopped_run_continues_exactly_and_exports_every_direction(
    name: str, suffixes: list[str], sides: Path, tmp_path: Path
) -> None:
    method = build(name, tiny(name, sides))
    run = trials.check_resume(type(method), method.config, tmp_path, stop=5)
    method = build(name, tiny(name, sides))
    assert trials.suffixes(method) == suffixes
    assert trials.export(method, tmp_path, suffixes[0])
    figures = trials.log(run)[-1]["validation"]
    assert figures["l1_AtoB_input"] > 0.01 and np.isfinite(figures["closeness"])


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("unit", {"share": False}),
        ("unit", {"adversarial": {"name": "non-saturating", "discriminator_steps": 2}}),
        ("unit", {"discriminator": {"name": "patchgan", "options": {"features": 4, "layers": 1}}, "objective": "l2"}),
        ("munit", {"cycle": 10.0, "batch": 2}),
        ("munit", {"matching": {"weight": 1.0}, "batch": 2}),
        ("munit", {"batch": 4, "accumulate": 2}),
    ],
    ids=str,
)
def test_parts_can_be_combined_freely(name: str, changes: dict[str, Any], sides: Path, tmp_path: Path) -> None:
    method = build(name, tiny(name, sides, log_every=1, **changes))
    lines = trials.train_steps(type(method), method.config, tmp_path / "run")
    assert len(lines) == 2 and all(np.isfinite(line["loss"]) for line in lines)


@pytest.mark.parametrize("name", ["unit", "munit"])
def test_it_learns_the_other_sides_colour(name: str, sides: Path, tmp_path: Path) -> None:
    learning = {"steps": 150, "validate_every": 150, "log_every": 50, "batch": 2, "optimiser": {"rate": 2e-3}}
    method = build(name, tiny(name, sides, **learning))
    figures = trials.train_to_end(type(method), method.config, tmp_path / "run")[-1]
    assert figures["swd_AtoB"] < figures["swd_AtoB_input"] or figures["l1_AtoB"] < figures["l1_AtoB_input"]


def test_unit_shares_one_block_of_the_encoders_and_one_of_the_decoders(sides: Path) -> None:
    shared, apart = (build("unit", tiny("unit", sides, share=share)) for share in (True, False))
    assert "shared" not in apart.networks

    def count(*names: str, method: AutoEncoderGAN) -> int:
        return sum(p.numel() for name in names for p in method.networks[name].parameters())

    both = count("shared", method=shared)
    one, other = (count("generator_a", method=method) for method in (shared, apart))
    assert other == one + both, "a side that shares nothing has these blocks itself"
    assert [part for part in shared.optimisers["generator"].networks if part == "shared"]


@torch.no_grad()
def test_the_losses_of_unit_are_those_of_its_equations(sides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = cast(UNIT, build("unit", tiny("unit", sides, share=False)))
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)  # the codes are then their means
    real, nets = noise(), method.networks
    fake, terms = method.losses(nets, real)
    a, b = nets["generator_a"], nets["generator_b"]
    code = a.encode(real["a"])  # type: ignore[operator]
    there = b.decode(code)  # type: ignore[operator]
    assert torch.allclose(fake["b"], there, atol=1e-6)
    again = b.encode(there)  # type: ignore[operator]
    expected = {
        "reconstruction_a": 10 * F.l1_loss(a(real["a"]), real["a"]),
        "cycle_a": 10 * F.l1_loss(a.decode(again), real["a"]),  # type: ignore[operator]
        "code_a": 0.01 * code.square().mean(),
        "code_cycle_a": 0.01 * again.square().mean(),
    }
    assert {name: float(terms[name]) for name in expected} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, rel=1e-4
    )
    assert len(terms) == 8


@torch.no_grad()
def test_the_losses_of_munit_are_those_of_its_equations(sides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = cast(MUNIT, build("munit", tiny("munit", sides, cycle=10.0)))
    real = noise()
    style = torch.tensor([[0.5, -1.0, 2.0]]).expand(2, -1)
    monkeypatch.setattr("img2img.methods.munit._draw", lambda generator, pictures: style)
    fake, terms = method.losses(method.networks, real)
    a, b = (cast(MUNITGenerator, method.networks[f"generator_{side}"]) for side in "ab")
    content, own = a.content_encoder(real["a"]), a.style_encoder(real["a"])
    assert torch.allclose(fake["b"], b.decoder(content, style), atol=1e-6)
    expected = {
        "reconstruction_a": 10 * F.l1_loss(a.decoder(content, own), real["a"]),
        "style_b": F.l1_loss(b.style_encoder(fake["b"]), style),
        "content_a": F.l1_loss(b.content_encoder(fake["b"]), content),
        "cycle_a": 10 * F.l1_loss(a.decoder(b.content_encoder(fake["b"]), own), real["a"]),
    }
    assert {name: float(terms[name]) for name in expected} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, rel=1e-4
    )


@torch.no_grad()
def test_models_of_munit_take_a_style_or_a_picture_in_that_style(sides: Path, tmp_path: Path) -> None:
    method = build("munit", tiny("munit", sides))
    sessions = trials.export(method, tmp_path, ".AtoB", ".AtoB.reference")
    a, b = (cast(MUNITGenerator, method.networks[f"generator_{side}"]) for side in "ab")
    image, reference = np.random.default_rng(0).random((2, 1, 3, 34, 40)).astype(np.float32)
    style = np.float32([[0.5, -1.0, 2.0]])
    content = a.content_encoder(torch.from_numpy(image) * 2 - 1)
    for suffix, given, code in (
        (".AtoB", {"latent": style}, torch.from_numpy(style)),
        (".AtoB.reference", {"reference": reference[:, :, :21, :]}, None),
    ):
        if code is None:
            code = b.style_encoder(torch.from_numpy(given["reference"]) * 2 - 1)
        expected = (b.decoder(content, code) + 1) / 2
        (result,) = sessions[suffix].run(None, {"image": image, **given})
        assert np.abs(result - expected.numpy()).max() < 1e-4


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("unit", {"generator": {"name": "resnet"}}, "resnet: unit needs an encoder and a decoder; use unit"),
        ("munit", {"generator": {"name": "unit"}}, "munit needs encoders of content and style; use munit"),
        (
            "munit",
            {"generator": {"name": "munit", "options": {"features": 4, "downs": 1, "style_downs": 6}}},
            "style encoder needs at least 64 pixels; use larger crops, or a lower generator.options.style_downs",
        ),
        ("unit", {"generator": {"name": "unit", "options": {"blocks": 0}}}, "shared = 1 of blocks = 0"),
        ("unit", {"perceptual": {"weight": 1.0}}, "unit has none: set it to 0"),
        ("unit", {"discriminator": {"name": "munit-discriminator"}}, "munit-discriminator needs at least 64"),
        ("munit", {"growing": [0.5]}, "growing"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(name: str, changes: dict[str, Any], message: str, sides: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, tiny(name, sides, **changes))
