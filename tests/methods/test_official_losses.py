"""The losses that a step minimises equal those of the official codes, computed here from the scores."""

from collections.abc import Callable, Generator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from img2img.methods.cyclegan import Config as CycleGANConfig
from img2img.methods.cyclegan import CycleGAN
from img2img.methods.method import Step
from img2img.methods.pix2pix import Config as Pix2PixConfig
from img2img.methods.pix2pix import Pix2Pix

PATCHGAN = {"name": "patchgan", "options": {"features": 4, "layers": 1, "norm": "none"}}


def bce(score: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(score, torch.full_like(score, label))


def mse(score: Tensor, label: float) -> Tensor:
    return F.mse_loss(score, torch.full_like(score, label))


# loss_D of pytorch-CycleGAN-and-pix2pix (GANLoss): (loss_D_real + loss_D_fake) * 0.5. For the relativistic average,
# which that code does not have, errD of AlexiaJM/RelativisticGAN, which takes the mean too.
OFFICIAL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "lsgan": lambda real, fake: 0.5 * (mse(real, 1) + mse(fake, 0)),
    "non-saturating": lambda real, fake: 0.5 * (bce(real, 1) + bce(fake, 0)),
    "wgan": lambda real, fake: 0.5 * (-real.mean() + fake.mean()),
    "hinge": lambda real, fake: 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean()),
    "relativistic-average": lambda real, fake: (bce(real - fake.mean(), 1) + bce(fake - real.mean(), 0)) / 2,
}


def losses(step: Step) -> Generator[tuple[str, float], None, None]:
    for name, loss in step:
        yield name, loss.item()


def cyclegan(**changes: Any) -> CycleGAN:
    values: dict[str, Any] = {
        "data": {"folders": ["a", "b"], "load": 16, "crop": 16},
        "generator": {"name": "resnet", "options": {"features": 4, "blocks": 1}},
        "discriminator": PATCHGAN,
    }
    return CycleGAN(CycleGANConfig.parse(CycleGANConfig.with_defaults({**values, **changes}), where="test"))


def pix2pix(**changes: Any) -> Pix2Pix:
    values: dict[str, Any] = {
        "data": {"folders": ["pairs"], "load": 16, "crop": 16},
        "generator": {"name": "unet", "options": {"features": 4, "downs": 2, "dropout": False}},
        "discriminator": PATCHGAN,
    }
    config = Pix2PixConfig.parse(Pix2PixConfig.with_defaults({**values, **changes}), where="test")
    return Pix2Pix(config, {"inputs": 3, "outputs": 3, "palette": None})


def pictures(seed: int) -> Tensor:
    return torch.randint(0, 256, (2, 3, 16, 16), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def signed(batch: Tensor) -> Tensor:
    return batch / 127.5 - 1


@pytest.mark.parametrize("name", OFFICIAL)
def test_cyclegans_discriminator_loss_equals_the_official_one(name: str) -> None:
    method, a, b = cyclegan(adversarial={"name": name}), pictures(1), pictures(2)
    nets = method.networks
    found = dict(losses(method.step(nets, [{"a": a, "b": b}])))
    expected = 0.0
    for real, side in ((b, "b"), (a, "a")):
        source, generator = (a, "generator_ab") if side == "b" else (b, "generator_ba")
        fake = nets[generator](signed(source))
        score = nets[f"discriminator_{side}"]
        expected += OFFICIAL[name](score(signed(real)), score(fake)).item()
    assert found["discriminator"] == pytest.approx(expected, rel=1e-5)


def test_cyclegans_generator_loss_is_not_halved() -> None:
    method, a, b = cyclegan(), pictures(1), pictures(2)
    nets = method.networks
    fake_b, fake_a = nets["generator_ab"](signed(a)), nets["generator_ba"](signed(b))
    l1 = F.l1_loss
    expected = mse(nets["discriminator_b"](fake_b), 1) + mse(nets["discriminator_a"](fake_a), 1)
    expected = expected + 10 * l1(nets["generator_ba"](fake_b), signed(a))
    expected = expected + 10 * l1(nets["generator_ab"](fake_a), signed(b))
    expected = expected + 5 * l1(nets["generator_ab"](signed(b)), signed(b))
    expected = expected + 5 * l1(nets["generator_ba"](signed(a)), signed(a))
    found = dict(losses(method.step(nets, [{"a": a, "b": b}])))
    assert found["generator"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", OFFICIAL)
def test_pix2pixs_discriminator_loss_equals_the_official_one(name: str) -> None:
    method, given, truth = pix2pix(adversarial={"name": name}), signed(pictures(1)), signed(pictures(2))
    nets = method.networks
    found = dict(losses(method.step(nets, [{"input": pictures(1), "target": pictures(2)}])))
    score = nets["discriminator"]
    real, fake = score(torch.cat((given, truth), 1)), score(torch.cat((given, nets["generator"](given)), 1))
    assert found["discriminator"] == pytest.approx(OFFICIAL[name](real, fake).item(), rel=1e-5)


@pytest.mark.parametrize("layers", [3, 2])
@pytest.mark.parametrize("scales", [1, 2, 3])
def test_published_weights_of_pix2pixhd_give_its_losses(scales: int, layers: int) -> None:
    method = pix2pix(
        adversarial={"name": "lsgan", "weight": 1.0},
        matching={"weight": 10.0},
        objectives={},
        discriminator={"name": "multi-scale", "options": {"features": 4, "layers": layers, "scales": scales}},
    )
    nets, given, truth = method.networks, signed(pictures(1)), signed(pictures(2))
    found = dict(losses(method.step(nets, [{"input": pictures(1), "target": pictures(2)}])))
    features = nets["discriminator"].features
    real = features(torch.cat((given, truth), 1))
    fake = features(torch.cat((given, nets["generator"](given)), 1))
    # pix2pixHD_model.py and GANLoss: a sum over the discriminators, feature matching a mean over them
    layer_pairs = [pair for rs, fs in zip(real, fake, strict=True) for pair in zip(rs[:-1], fs[:-1], strict=True)]
    matched = sum(F.l1_loss(f, r) for r, f in layer_pairs)
    generator = sum(mse(scale[-1], 1) for scale in fake) + 10 * 4 / (layers + 1) / scales * matched
    discriminator = 0.5 * sum(mse(r[-1], 1) + mse(f[-1], 0) for r, f in zip(real, fake, strict=True))
    assert found["generator"] == pytest.approx(generator.item(), rel=1e-5)
    assert found["discriminator"] == pytest.approx(discriminator.item(), rel=1e-5)
