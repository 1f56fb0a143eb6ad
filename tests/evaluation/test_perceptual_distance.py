"""LPIPS and DISTS with random networks in place of the published ones. Downloads nothing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import onnx_nets
import pytest
import torch
import torchmetrics
import torchvision
from PIL import Image
from torch import nn

from img2img.errors import ConfigError, DataError, ModelError
from img2img.evaluation import samples
from img2img.evaluation.perceptual_distance import PerceptualDistance
from img2img.runtime.network import session


def random_network(name: str) -> nn.Module:
    """The features of a torchvision network, with random weights and without its large classifier."""
    with torch.device("meta"):
        features = getattr(torchvision.models, name)().features
    features = features.to_empty(device="cpu")
    source = torch.Generator().manual_seed(0)
    for value in features.state_dict().values():
        value.copy_(torch.randn(value.shape, generator=source) * (2 / max(value[0].numel(), 9)) ** 0.5)
    return features


@pytest.fixture(scope="module")
def alexnet() -> nn.Module:
    return random_network("alexnet")


@pytest.fixture
def _networks(alexnet: nn.Module, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torchmetrics gets random networks from torchvision."""
    vgg = random_network("vgg16")
    monkeypatch.setattr(torchvision.models, "alexnet", lambda weights: SimpleNamespace(features=alexnet))
    monkeypatch.setattr("torchmetrics.functional.image.dists.vgg16", lambda weights: SimpleNamespace(features=vgg))
    yield


def noise(seed: int, side: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


@pytest.mark.usefixtures("_networks")
def test_lpips_by_hand(alexnet: nn.Module) -> None:
    """Zhang et al. 2018, equation 1, with the normalisation and the linear weights of version 0.1."""
    a, b = noise(0), noise(1)
    folder = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models"
    linear = torch.load(folder / "alex.pth", map_location="cpu")
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    total, hidden = 0.0, [(torch.from_numpy(one).permute(2, 0, 1)[None] / 127.5 - 1 - shift) / scale for one in (a, b)]
    number = 0
    with torch.no_grad():
        for layer in list(alexnet)[:12]:  # without the last pooling
            hidden = [layer(one) for one in hidden]
            if isinstance(layer, nn.ReLU):
                units = [one / (one.square().sum(1, keepdim=True).sqrt() + 1e-8) for one in hidden]
                difference = (units[0] - units[1]).square()
                total += float((difference * linear[f"lin{number}.model.1.weight"]).sum(1).mean())
                number += 1
    assert number == 5
    distance = PerceptualDistance.load(["lpips"])
    assert distance(a, b) == {"lpips": pytest.approx(total, rel=1e-3)} and total > 0
    assert distance(a, a)["lpips"] == 0


@pytest.mark.usefixtures("_networks")
def test_dists_by_hand() -> None:
    """Ding et al. 2020, equations 5 to 7. Its first stage is the picture itself, RGB 0..1."""
    a, b = noise(0), noise(1)
    distance = PerceptualDistance.load(["dists", "dists"])
    assert list(distance.measures) == ["dists"] and distance(a, a)["dists"] == pytest.approx(0, abs=1e-5)
    network: Any = distance.measures["dists"]
    alpha, beta = (weights.detach().double().flatten().numpy() for weights in (network.alpha, network.beta))
    with torch.no_grad():
        stages = [network.forward_once(torch.from_numpy(one).permute(2, 0, 1)[None] / 255) for one in (a, b)]
    place, similarity = 0, 0.0
    for one, other in zip(*stages, strict=True):
        for x, y in zip(one[0].double().numpy(), other[0].double().numpy(), strict=True):
            texture = (2 * x.mean() * y.mean() + 1e-6) / (x.mean() ** 2 + y.mean() ** 2 + 1e-6)
            covariance = (x * y).mean() - x.mean() * y.mean()
            structure = (2 * covariance + 1e-6) / (x.var() + y.var() + 1e-6)
            similarity += float(alpha[place] * texture + beta[place] * structure)
            place += 1
    expected = 1 - similarity / float(alpha.sum() + beta.sum())
    assert distance(a, b)["dists"] == pytest.approx(expected, rel=1e-3) and expected > 0.01


@pytest.mark.usefixtures("_networks")
def test_evaluate_measures_pairs_and_their_samples(img2img: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.concatenate([noise(number)] * 2, axis=1)).save(folder / f"{number}.png")
    same = onnx_nets.pointwise(tmp_path / "same.onnx", task="translate")
    done = img2img("evaluate", same, "--data", folder, "--perceptual", "lpips", "--json", "--device", "cpu", "--record")
    assert done.status == 0, done.err
    assert json.loads(done.out.splitlines()[-1])["lpips"] == 0
    styled = onnx_nets.styled(tmp_path / "styled.onnx", latent=3)
    args = ("evaluate", styled, "--data", folder, "--perceptual", "lpips", "--perceptual", "dists", "--samples", 2)
    last = json.loads(img2img(*args, "--json", "--device", "cpu").out.splitlines()[-1])
    assert last["lpips_best"] < last["lpips"] and last["lpips_apart"] > 0 and last["dists"] > 0
    ((_, found),) = session.load(same).card.metrics.items()
    assert "--perceptual lpips" in str(found["command"])


@pytest.mark.usefixtures("_networks")
def test_evaluate_measures_upscaling_and_inpainting(img2img: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(noise(0, 64)).save(folder / "a.png")
    for model in (onnx_nets.compact(tmp_path / "x2.onnx"), onnx_nets.filler(tmp_path / "red.onnx", (1.0, 0.0, 0.0))):
        done = img2img("evaluate", model, "--data", folder, "--perceptual", "lpips", "--json", "--device", "cpu")
        assert done.status == 0, done.err
        assert json.loads(done.out.splitlines()[-1])["lpips"] > 0


def test_samples_are_compared_with_the_next_one() -> None:
    pictures = [np.full((4, 4, 3), grey, np.uint8) for grey in (0, 10, 40)]
    found = samples.figures(pictures, lambda one: {}, lambda a, b: {"lpips": float(abs(int(a.max()) - int(b.max())))})
    assert found["lpips_apart"] == (10 + 30) / 2


@pytest.mark.usefixtures("_networks")
def test_small_pictures_are_refused() -> None:
    with pytest.raises(DataError, match="31x31 pixels is too small"):
        PerceptualDistance.load(["lpips"])(noise(0, 31), noise(1, 31))


def test_without_weights_the_error_says_where_to_put_them(
    img2img: Callable[..., Any], photo: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(weights: object) -> None:
        print("Downloading")
        raise URLError("no network")

    monkeypatch.setattr(torchvision.models, "alexnet", unreachable)
    monkeypatch.setattr("torchmetrics.functional.image.dists.vgg16", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name, file in (("lpips", "alexnet"), ("dists", "vgg16")):
        with pytest.raises(
            ModelError, match=rf"no network.*; put https://.*/{file}-[\w-]+.pth into .*/hub/checkpoints"
        ):
            PerceptualDistance.load([name])
    with pytest.raises(ConfigError, match="choose from lpips, dists"):
        PerceptualDistance.load(["ssim"])
    photo(tmp_path / "photos" / "a.png", (48, 48))
    model = onnx_nets.compact(tmp_path / "x2.onnx")
    done = img2img("evaluate", model, "--data", tmp_path / "photos", "--perceptual", "lpips", "--device", "cpu")
    assert done.status == 2 and "no network" in done.err and not done.out


def test_perceptual_distances_need_a_truth(
    img2img: Callable[..., Any], photo: Callable[..., Path], tmp_path: Path
) -> None:
    photo(tmp_path / "photos" / "a.png", (48, 48))
    args = ("--data", tmp_path / "photos", "--perceptual", "lpips", "--device", "cpu")
    model = onnx_nets.compact(tmp_path / "x2.onnx")
    assert "--no-reference does not have" in img2img("evaluate", model, *args, "--no-reference").err
    same = onnx_nets.compact(tmp_path / "x1.onnx", scale=1)
    assert "needs your own pictures NAME_LR and NAME_HR" in img2img("evaluate", same, *args).err
