"""BicycleGAN on tiny pairs: its losses, what each step trains, exact resume, and its two models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from img2img.errors import ConfigError
from img2img.methods.bicyclegan import BicycleGAN, Config
from img2img.runtime.network.card import METADATA_KEY, Card
from img2img.training import export


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.paired(tmp_path_factory.mktemp("pairs"))


def config(pairs: Path, **changes: Any) -> Config:
    values = {
        "data": {"folders": [str(pairs)], "load": 36, "crop": 32},
        "generator": {"name": "latent-unet", "options": {"features": 4, "downs": 3}},
        "encoder": {"name": "residual-encoder", "options": {"features": 4, "blocks": 2}},
        "discriminator": {"name": "multi-patchgan", "options": {"features": 4, "layers": 1}},
        "latent": {"length": 3},
        "initialise": "none",
        "batch": 4,
        "steps": 6,
        "log_every": 3,
        "validate_every": 6,
        "checkpoint_every": 3,
        "validate_samples": 3,
    }
    return Config.parse(Config.with_defaults({**values, **changes}), where="test")


def batch_of(method: BicycleGAN) -> dict[str, Tensor]:
    items = [method.load()[place] for place in range(method.config.batch)]
    return {name: torch.stack([item[name] for item in items]) for name in ("input", "target")}


def losses_of(method: BicycleGAN, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The losses that a step yields, for the same random numbers in each call and without updates."""
    torch.manual_seed(0)
    return dict(method.step(method.networks, [batch]))


def test_a_stopped_run_continues_exactly(pairs: Path, tmp_path: Path) -> None:
    run = trials.check_resume(BicycleGAN, config(pairs), tmp_path, stop=4)
    figures = trials.log(run)[-1]["validation"]
    assert figures["l1_best"] > 0 and figures["closeness"] == -figures["l1_best"]
    assert figures["samples_apart"] > 0 and figures["l1_encoded"] > 0
    (weights,) = export.weights(run, tmp_path / "weights.safetensors")
    assert load_file(weights).keys() == BicycleGAN(config(pairs)).networks["generator"].state_dict().keys()


def test_one_model_takes_a_code_and_the_other_a_reference(pairs: Path, tmp_path: Path) -> None:
    method = BicycleGAN(config(pairs))
    sessions = trials.export(method, tmp_path)
    assert list(sessions) == ["", ".reference"]
    cards = [
        Card.from_json(one.get_modelmeta().custom_metadata_map[METADATA_KEY], where="model")
        for one in sessions.values()
    ]
    assert cards[0].latent == {"length": 3, "distribution": "normal"} and cards[0].reference is None
    assert cards[1].latent is None and cards[1].reference is not None
    assert [card.name for card in cards] == ["bicyclegan", "bicyclegan-reference"]
    rng = np.random.default_rng(0)
    image, reference = rng.random((1, 3, 16, 24), np.float32), rng.random((1, 3, 40, 16), np.float32)
    with torch.no_grad():
        code, _ = method.networks["encoder"].eval()(torch.from_numpy(reference) * 2 - 1)
    (styled,) = sessions[".reference"].run(None, {"image": image, "reference": reference})
    (coded,) = sessions[""].run(None, {"image": image, "latent": code.numpy()})
    (other,) = sessions[""].run(None, {"image": image, "latent": code.numpy() + 1})
    assert np.abs(styled - coded).max() < 1e-4
    assert np.abs(styled - other).max() > 1e-3


def test_the_losses_are_those_of_the_paper(pairs: Path) -> None:
    method = BicycleGAN(config(pairs))
    batch = batch_of(method)
    found = losses_of(method, batch)
    nets = method.networks
    given, truth = batch["input"].float() / 127.5 - 1, batch["target"].float() / 127.5 - 1
    torch.manual_seed(0)
    code, noise = torch.randn(2, 3), torch.randn(2, 3)
    mean, log_variance = nets["encoder"](truth[:2])
    encoded = nets["generator"](given[:2], mean + noise * torch.exp(log_variance / 2))
    random = nets["generator"](given[:2], code)

    def squares(name: str, picture: Tensor, label: float) -> float:
        return sum(float(((scores - label) ** 2).mean().detach()) for scores in nets[f"discriminator_{name}"](picture))

    kl = float(0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum().detach()) / 2
    regression = float((nets["encoder"](random)[0] - code).abs().mean().detach())
    generator = squares("encoded", encoded, 1) + squares("random", random, 1)
    generator += 10 * float((encoded - truth[:2]).abs().mean().detach()) + 0.01 * kl + 0.5 * regression
    assert found["generator"].item() == pytest.approx(generator, rel=1e-4)
    discriminator = squares("encoded", truth[:2], 1) + squares("encoded", encoded, 0)
    discriminator += squares("random", truth[2:], 1) + squares("random", random, 0)
    assert found["discriminator"].item() == pytest.approx(discriminator / 2, rel=1e-4)


def test_the_latent_regression_trains_the_generator_and_not_the_encoder(pairs: Path) -> None:
    def gradients(weight: float) -> dict[str, list[Tensor]]:
        torch.manual_seed(1)
        method = BicycleGAN(config(pairs, latent={"length": 3, "regression": weight}))
        losses_of(method, batch_of(method))["generator"].backward()
        trained = {name: list(method.networks[name].parameters()) for name in ("generator", "encoder")}
        return {name: [p.grad for p in ps if p.grad is not None] for name, ps in trained.items()}

    without, with_regression = gradients(0.0), gradients(100.0)
    assert len(without["encoder"]) == len(with_regression["encoder"]) > 0
    for one, other in zip(without["encoder"], with_regression["encoder"], strict=True):
        assert torch.equal(one, other)
    changed = [
        not torch.allclose(a, b) for a, b in zip(*(g["generator"] for g in (without, with_regression)), strict=True)
    ]
    assert any(changed)


def test_each_loss_trains_its_networks_and_the_weights_of_the_others_stay(pairs: Path, tmp_path: Path) -> None:
    method = BicycleGAN(config(pairs))
    assert method.optimisers["generator"].networks == ("generator", "encoder")
    assert method.optimisers["discriminator"].networks == ("discriminator_encoded", "discriminator_random")
    before = {name: {k: v.clone() for k, v in net.state_dict().items()} for name, net in method.networks.items()}
    losses = losses_of(method, batch_of(method))
    losses["discriminator"].backward()
    for name in ("generator", "encoder"):
        assert all(parameter.grad is None for parameter in method.networks[name].parameters())
    assert all(
        torch.equal(before[name][k], v) for name, net in method.networks.items() for k, v in net.state_dict().items()
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": {"name": "unet", "options": {"features": 4, "downs": 3}}},
        {"generator": {"name": "resnet", "options": {"features": 4, "blocks": 1}}, "batch": 2},
        {"conditional": True, "discriminator_augment": ["color", "translation"]},
        {"discriminator": {"name": "multi-scale", "options": {"features": 4, "layers": 1}}},
        {
            "discriminator": {"name": "patchgan", "options": {"features": 4, "layers": 1, "norm": "none"}},
            "adversarial": {"name": "wgan-gp", "discriminator_steps": 2},
        },
        {"matching": {"weight": 1.0}, "batch": 8},
        {"accumulate": 2},
        {"precision": "bf16"},
        {"validate_samples": 1},
    ],
    ids=str,
)
def test_parts_can_be_combined_freely(changes: dict[str, Any], pairs: Path, tmp_path: Path) -> None:
    settings = config(pairs, **{"log_every": 1, **changes})
    lines = trials.train_steps(BicycleGAN, settings, tmp_path / "run")
    assert len(lines) == 2 and all(np.isfinite(line["loss"]) for line in lines)
    method = BicycleGAN(settings)
    assert np.isfinite(method.validate(method.networks).figures["l1_best"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 3}, "batch = 3 in accumulate = 1 parts: each part needs an even number"),
        ({"accumulate": 4}, "batch = 4 in accumulate = 4 parts: each part needs an even number"),
        ({"encoder": {"name": "unet"}}, "encoder.name = unet is no encoder; use residual-encoder"),
        ({"encoder": {"name": "latent-unet"}}, "encoder.name = latent-unet is no encoder; use residual-encoder"),
        ({"generator": {"name": "residual-encoder"}}, "generator 'residual-encoder' cannot take the codes of encoder"),
        ({"generator": {"name": "compact"}}, "'compact' takes a picture only; use latent-unet"),
        ({"latent": {"length": 0}}, "latent.length"),
        ({"matching": {"weight": 1.0, "kind": "pairwise"}}, "needs pairs, and bicyclegan has none: use mean"),
        ({"generator": {"name": "latent-unet", "options": {"latent": 4}}}, "latent = 4, but it must be 3 here"),
        ({"generator": {"name": "latent-unet", "options": {"downs": 6}}}, r"latent-unet needs a multiple of 64"),
        (
            {"encoder": {"name": "residual-encoder", "options": {"blocks": 5}}},
            "residual-encoder needs a multiple of 64",
        ),
        ({"discriminator": {"name": "multi-patchgan", "options": {"layers": 3}}}, "needs at least 48 pixels"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], message: str, pairs: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        BicycleGAN(config(pairs, **changes))


def test_label_maps_and_grey_targets_are_taken(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for side in "AB":
        (tmp_path / "data" / side).mkdir(parents=True)
    for i in range(6):
        classes = np.kron(rng.integers(0, 3, (4, 4)), np.ones((10, 10), int)).astype(np.uint8)
        labels = Image.fromarray(classes, "P")
        labels.putpalette([0, 0, 0, 250, 10, 10, 10, 10, 250])
        labels.save(tmp_path / "data" / "A" / f"{i}.png")
        Image.fromarray(classes * 100).save(tmp_path / "data" / "B" / f"{i}.png")
    data = {"folders": [str(tmp_path / "data")], "load": 36, "crop": 32, "target": "grey"}
    method = BicycleGAN(config(tmp_path, data=data, conditional=True))
    trials.train_steps(BicycleGAN, method.config, tmp_path / "run", steps=1)
    session = trials.export(method, tmp_path, ".reference")[".reference"]
    noise = np.random.default_rng(0).random((1, 3, 16, 16), np.float32)
    (result,) = session.run(None, {"image": noise, "reference": noise})
    assert result.shape == noise.shape and np.array_equal(result[:, 0], result[:, 2])


def test_it_learns_to_fill_outlines_and_keeps_its_samples_apart(tmp_path: Path) -> None:
    """Every outline has a red and a blue filling, so that the code has something to say."""
    for i in range(16):
        for side in "AB":
            (tmp_path / "data" / side).mkdir(parents=True, exist_ok=True)
            for name in ("red", "blue"):
                trials.shape(i, trials.COLOURS[name], outline=side == "A").save(
                    tmp_path / "data" / side / f"{i:03}-{name}.png"
                )
    settings = config(
        tmp_path,
        data={"folders": [str(tmp_path / "data")], "load": 36, "crop": 32},
        generator={"name": "latent-unet", "options": {"features": 8, "downs": 3}},
        optimiser={"rate": 2e-3, "betas": [0.5, 0.999]},
        steps=120,
        log_every=40,
        validate_every=20,
        ema=0.9,
    )
    first, *_, last = trials.train_to_end(BicycleGAN, settings, tmp_path / "run")
    assert last["l1_encoded"] < 0.2 and last["l1_encoded"] < first["l1_encoded"]
    assert last["l1_encoded"] < last["l1_best"], "the code of the truth says more than random ones"
    assert last["samples_apart"] > 0.01
