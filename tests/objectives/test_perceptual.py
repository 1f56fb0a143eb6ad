"""Perceptual distance with random weights in a file with torchvision's layout. Downloads nothing."""

import urllib.error
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import VGG19_Weights, vgg19

from img2img.errors import ConfigError
from img2img.objectives import perceptual
from img2img.objectives.perceptual import REAL_ESRGAN_LAYERS, Perceptual, vgg19_features


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with random weights for the convolutions of blocks 1 and 2 of VGG19."""
    source = torch.Generator().manual_seed(0)
    features, _ = vgg19_features()
    state = {
        f"features.{key}": torch.randn(value.shape, generator=source) * (2 / max(value[0].numel(), 9)) ** 0.5
        for key, value in features[:8].state_dict().items()
    }
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(state, path)
    return path


def test_layer_names_follow_the_papers() -> None:
    features, names = vgg19_features()
    assert len(names) == len(features) == 37
    # The official ESRGAN and Real-ESRGAN codes use these indices in torchvision's network.
    assert {name: names.index(name) for name in REAL_ESRGAN_LAYERS} == {
        "conv1_2": 2, "conv2_2": 7, "conv3_4": 16, "conv4_4": 25, "conv5_4": 34
    }  # fmt: skip
    assert names[35:] == ["relu5_4", "pool5"]
    for name, layer in zip(names, features, strict=True):
        assert name.startswith({"Conv2d": "conv", "ReLU": "relu", "MaxPool2d": "pool"}[type(layer).__name__])


def test_value_equals_torchvisions_network(weights: Path) -> None:
    state = {key.removeprefix("features."): value for key, value in torch.load(weights).items()}
    with torch.device("meta"):
        plain = vgg19().features[:8]
    plain.load_state_dict(state, assign=True)
    result, truth = torch.rand(2, 3, 16, 12), torch.rand(2, 3, 16, 12)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        a, b = ((x - mean[:, None, None]) / std[:, None, None] for x in (result, truth))
        shallow = plain[2](plain[:2](a)) - plain[2](plain[:2](b))  # conv1_2, before its ReLU
        deep = plain(a).relu() - plain(b).relu()  # relu2_2
    objective = Perceptual({"conv1_2": 0.5}, weights=weights)
    assert objective(result, truth).item() == pytest.approx(0.5 * shallow.abs().mean().item(), rel=1e-5)
    both = Perceptual({"conv1_2": 0.5, "conv2_2": 0.0}, "l2", weights)
    assert both(result, truth).item() == pytest.approx(0.5 * shallow.square().mean().item(), rel=1e-5)
    extended = Perceptual({"conv2_2": 1.0}, weights=weights).features(result)[0].relu() - plain(b).relu()
    assert torch.allclose(extended, deep, atol=1e-5)


def test_before_and_after_relu_differ(weights: Path) -> None:
    picture = torch.rand(1, 3, 16, 16)
    before, after = Perceptual({"conv1_2": 1.0, "relu1_2": 1.0}, weights=weights).features(picture)
    assert before.min() < 0 and torch.equal(before.relu(), after)


def test_the_vgg_network_is_neither_trained_nor_saved(weights: Path) -> None:
    objective = Perceptual({"conv1_2": 1.0}, weights=weights)
    assert not list(objective.parameters()) and not objective.state_dict() and len(list(objective.modules())) == 1
    result = torch.rand(1, 3, 16, 16, requires_grad=True)
    truth = torch.rand(1, 3, 16, 16, requires_grad=True)
    objective(result, truth).backward()
    assert result.grad is not None and result.grad.abs().sum() > 0 and truth.grad is None
    assert objective(truth, truth).item() == 0


def test_safetensors_files_are_read(weights: Path, tmp_path: Path) -> None:
    save_file(torch.load(weights), tmp_path / "vgg19.safetensors")
    pictures = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    objectives = [Perceptual({"conv2_1": 1.0}, weights=path) for path in (weights, tmp_path / "vgg19.safetensors")]
    assert objectives[0](*pictures).item() == objectives[1](*pictures).item()


def test_errors_name_bad_layers_and_files(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no layer 'conv6_1'; choose from conv1_1, relu1_1"):
        Perceptual({"conv6_1": 1.0}, weights=weights)
    with pytest.raises(ConfigError, match="unknown criterion 'l3'"):
        Perceptual({"conv1_1": 1.0}, "l3", weights)
    with pytest.raises(ConfigError, match="no layers"):
        Perceptual({}, weights=weights)
    with pytest.raises(ConfigError, match="no such file of VGG19 weights"):
        Perceptual(weights=tmp_path / "none.pth")
    with pytest.raises(
        ConfigError,
        match=r"vgg19\.pth: does not hold weights of torchvision's vgg19: 'features\.10\.weight' is missing",
    ):
        Perceptual(weights=weights)  # conv5_4 is deeper than the file
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ConfigError, match=r"cannot read .*text\.pth as VGG19 weights"):
        Perceptual(weights=tmp_path / "text.pth")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ConfigError, match=r"cannot read .*text\.safetensors as VGG19 weights"):
        Perceptual(weights=tmp_path / "text.safetensors")
    torch.save({"features.0.weight": torch.zeros(8, 3, 3, 3), "features.0.bias": torch.zeros(8)}, tmp_path / "thin.pth")
    with pytest.raises(ConfigError, match=r"'features\.0\.weight' is \[8, 3, 3, 3\], not \[64, 3, 3, 3\]"):
        Perceptual({"conv1_1": 1.0}, weights=tmp_path / "thin.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ConfigError, match="contains a list, not a state dict"):
        Perceptual(weights=tmp_path / "list.pth")


def test_offline_the_error_says_what_to_download_and_how_to_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **named: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    monkeypatch.setattr(type(VGG19_Weights.IMAGENET1K_V1), "get_state_dict", fail)
    with pytest.raises(ConfigError, match=r"cannot download .*vgg19-dcbb9e9d\.pth .*no network.* option 'weights'"):
        Perceptual()
    assert perceptual.SRGAN_LAYERS == {"conv5_4": 1.0}
