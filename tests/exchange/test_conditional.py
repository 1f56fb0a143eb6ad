"""Networks with a reference and a latent code: wrappers, export, conversion and blending."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from img2img import exchange
from img2img.errors import ModelError
from img2img.exchange import blending, half_precision, half_storage, inputs, quantise, samples
from img2img.exchange.wrappers import ConditionalWrapper
from img2img.runtime.network import models, verify
from img2img.runtime.network.card import Card

REFERENCE = {"about": "a picture in the wanted style", "multiple": 4, "minimum": 8}
LATENT = {"length": 5, "distribution": "normal"}


class Styled(nn.Module):
    """Convolutions whose features are modulated by an encoder of the reference (AdaIN) and by the latent code."""

    def __init__(self, names: tuple[str, ...], features: int = 8, strength: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.names, self.strength = names, strength
        self.first = nn.Conv2d(3, features, 3, padding=1)
        self.middle = nn.Conv2d(features, features, 1)
        self.last = nn.Conv2d(features, 3, 3, padding=1)
        self.encode = nn.Conv2d(3, 2 * features, 4, stride=4)
        self.map = nn.Linear(5, 2 * features)

    def forward(self, picture: Tensor, *others: Tensor) -> Tensor:
        given = dict(zip(self.names, others, strict=True))
        x = self.first(picture)
        codes = []
        if "reference" in given:
            codes.append(self.encode(given["reference"]).mean((2, 3)))
        if "latent" in given:
            codes.append(self.map(given["latent"]))
        for code in codes:
            gain, bias = (code * self.strength)[:, :, None, None].chunk(2, 1)
            x = x * (1 + gain) + bias
        result: Tensor = self.last(self.middle(x.relu()).relu()).tanh()
        return result


def made(names: tuple[str, ...], **changes: object) -> tuple[nn.Module, Card]:
    about = {"reference": REFERENCE, "latent": LATENT}
    described = {name: about[name] for name in names}
    card = Card(**{"name": "styled", "task": "translate", "scale": 1, **described, **changes})  # type: ignore[arg-type]
    return ConditionalWrapper(Styled(names), names), card


@pytest.mark.parametrize("names", [("reference",), ("latent",), ("reference", "latent")])
def test_the_file_has_the_inputs_of_the_network_and_its_results(tmp_path: Path, names: tuple[str, ...]) -> None:
    network, card = made(names)
    verification = exchange.export(network, card, tmp_path / "model.onnx")
    assert verification.context == 2, "neither a reference nor a latent hinders tiles"
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["image", *names]
    rng = np.random.default_rng(1)
    for batch, height, width, sides in ((1, 1, 1, (8, 8)), (2, 9, 14, (8, 20)), (1, 30, 7, (40, 12))):
        given = inputs.random(card, batch, height, width, rng, reference=sides)
        (result,) = session.run(["result"], given)
        with torch.no_grad():
            truth = network(*map(torch.from_numpy, given.values())).clamp(0, 1).numpy()
        assert np.abs(result - truth).max() < 1e-5
        for name in names:
            (other,) = session.run(["result"], given | {name: given[name] * 0})
            assert np.abs(other - result).max() > 1e-3, f"the network uses its {name}"
    assert verify.passed(verify.verify(tmp_path / "model.onnx", device="cpu"))
    written = models.read_card(tmp_path / "model.onnx")
    assert written is not None and written.selftest is not None and written.inputs == card.inputs


def test_the_generator_gets_the_reference_in_the_signed_range_and_the_others_as_they_are() -> None:
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, *given: Tensor) -> Tensor:
            seen.extend(given)
            return given[0]

    image, domain, reference, latent = torch.rand(2, 3, 4, 5), torch.eye(2), torch.rand(2, 3, 7, 8), torch.randn(2, 5)
    result = ConditionalWrapper(Watching(), ("domain", "reference", "latent"))(image, domain, reference, latent)
    assert torch.allclose(result, image, atol=1e-6)
    assert all(map(torch.equal, seen, (image * 2 - 1, domain, reference * 2 - 1, latent)))


@pytest.mark.parametrize("names", [("noise",), ("latent", "reference"), ("latent", "latent")])
def test_inputs_that_no_model_file_has_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="domain, reference, latent"):
        ConditionalWrapper(nn.Identity(), names)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network, card = made(("reference", "latent"))
    target = tmp_path_factory.mktemp("styled") / "model.onnx"
    exchange.export(network, card, target, context=2)
    return target


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 9, 3), np.uint8)
        Image.fromarray(pixels).resize((90, 70), Image.Resampling.BICUBIC).save(tmp_path / f"photos/{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("convert", [half_precision.convert_to_fp16, half_storage.store])
def test_conversions_to_16_bits_keep_the_inputs(
    exported: Path, photos: Path, tmp_path: Path, convert: Callable[..., object]
) -> None:
    convert(exported, tmp_path / "half.onnx", [photos])
    whole, half = models.read_card(exported), models.read_card(tmp_path / "half.onnx")
    assert whole is not None and half is not None and half.inputs == whole.inputs
    sample = samples.synthetic(whole)
    pair = [samples.results(samples.session(path), sample) for path in (exported, tmp_path / "half.onnx")]
    assert samples.psnr_between(*pair) > 50


def test_calibration_to_8_bits_runs_on_real_references(exported: Path, photos: Path) -> None:
    card = models.read_card(exported)
    assert card is not None
    for sample in samples.of_pictures([photos], card, 4):
        reference = sample.inputs["reference"]
        assert all(side % 4 == 0 for side in reference.shape[2:])
        assert np.array_equal(reference[:, :, :70, 0], sample.inputs["image"][..., (reference.shape[3] - 1) % 90])
    quantiser = quantise._Quantiser(exported, card, samples.of_pictures([photos], card, 4))
    session = samples.session(quantiser.model([]))
    assert [one.name for one in session.get_inputs()] == ["image", "reference", "latent"]
    assert all(np.isfinite(result).all() for result in samples.results(session, samples.synthetic(card)))


def test_a_blend_needs_the_same_inputs_and_keeps_them(exported: Path, tmp_path: Path) -> None:
    assert (
        blending.blend(exported, exported, 0.5, tmp_path / "both.onnx").inputs
        == made(("reference", "latent"))[1].inputs
    )
    network, card = made(("reference", "latent"))
    exchange.export(network, dataclasses.replace(card, reference=REFERENCE | {"minimum": 16}), tmp_path / "b.onnx")
    with pytest.raises(ModelError, match="reference is"):
        blending.blend(exported, tmp_path / "b.onnx", 0.5, tmp_path / "none.onnx")
