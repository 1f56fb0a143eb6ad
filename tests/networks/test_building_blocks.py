"""Building blocks of networks: norms, initialisation, spectral norm, upsampling, and building from a configuration."""

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from img2img import networks
from img2img.errors import ConfigError
from img2img.networks.initialise import initialise
from img2img.networks.norms import inference_copy, norm_layer
from img2img.networks.spectral import add_spectral_norm, fold_spectral_norm, has_spectral_norm
from img2img.networks.upsampling import ResizeConv2d, upsampling_layer

BATCH_NORM_NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("unet", {"features": 4, "downs": 3}),
    ("resnet", {"features": 4, "blocks": 1, "norm": "batch", "dropout": True}),
    ("patchgan", {"features": 4, "layers": 2}),
]


def trained(name: str, options: dict[str, Any]) -> nn.Module:
    """Build a network whose batch norms have weights and running statistics like those of a trained one."""
    torch.manual_seed(0)
    network = networks.build(name, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias, 0.0, 0.3)
            nn.init.normal_(module.running_mean, 0.0, 0.3)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return network


def without_dropout(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


@torch.no_grad()
def largest_difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize(("name", "options"), BATCH_NORM_NETWORKS, ids=lambda value: str(value))
def test_paper_mode_equals_batch_norm_in_training_mode_on_one_picture(name: str, options: dict[str, Any]) -> None:
    network = trained(name, options)
    image = torch.rand(1, 3, 16, 24) * 2 - 1
    paper = inference_copy(network, "paper")
    training = without_dropout(copy.deepcopy(network)).train()
    assert largest_difference(paper(image), training(image)) < 1e-5
    assert largest_difference(paper(image), network.eval()(image)) > 1e-2


def test_pictures_of_a_batch_are_independent_in_paper_mode() -> None:
    paper = inference_copy(trained(*BATCH_NORM_NETWORKS[0]), "paper")
    images = torch.rand(3, 3, 16, 16) * 2 - 1
    one_by_one = torch.cat([paper(image[None]) for image in images])
    assert largest_difference(paper(images), one_by_one) < 1e-5


@pytest.mark.parametrize(("name", "options"), BATCH_NORM_NETWORKS, ids=lambda value: str(value))
def test_running_mode_equals_eval_mode(name: str, options: dict[str, Any]) -> None:
    network = trained(name, options)
    image = torch.rand(2, 3, 16, 16)
    running = inference_copy(network, "running")
    assert network.training, "the network itself must not change"
    assert largest_difference(running(image), network.eval()(image)) == 0


def test_an_inference_copy_leaves_the_network_unchanged() -> None:
    network = trained(*BATCH_NORM_NETWORKS[0])
    before = copy.deepcopy(network.state_dict())
    paper = inference_copy(network, "paper")
    with torch.no_grad():
        for parameter in paper.parameters():
            parameter.zero_()
    assert network.training and any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("mode", ["paper", "running"])
def test_without_batch_norm_both_modes_equal_the_network(mode: Any) -> None:
    torch.manual_seed(0)
    network = networks.build("resnet", features=4, blocks=1)
    copied = inference_copy(network, mode)
    image = torch.rand(1, 3, 16, 16)
    assert list(copied.state_dict()) == list(network.state_dict())
    assert largest_difference(copied(image), network(image)) == 0


def test_an_unknown_norm_mode_is_rejected() -> None:
    with pytest.raises(ConfigError, match="unknown norm mode 'batch'; choose from paper, running"):
        inference_copy(nn.Identity(), "batch")  # type: ignore[arg-type]


def test_stargan_is_the_same_function_in_train_and_eval_mode() -> None:
    torch.manual_seed(0)
    network = networks.build("stargan", domains=2, features=4, blocks=1)
    image, domain = torch.rand(2, 3, 8, 12), torch.eye(2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert largest_difference(network.train()(image, domain), network.eval()(image, domain)) == 0
    assert largest_difference(network(image, domain), network(image, domain.flip(0))) > 0
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_norm_layers_normalise_as_named() -> None:
    hidden = torch.randn(4, 3, 5, 5) * 3 + 1
    batch, instance = norm_layer("batch", 3)(hidden), norm_layer("instance", 3)(hidden)
    assert torch.allclose(batch.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(instance.mean((2, 3)), torch.zeros(4, 3), atol=1e-5)
    assert largest_difference(batch.mean((2, 3)), torch.zeros(4, 3)) > 0.1
    assert not norm_layer("instance", 3).state_dict(), "the official layout has no keys for instance norm"
    assert torch.equal(norm_layer("none", 3)(hidden), hidden)
    with pytest.raises(ConfigError, match="unknown norm 'group'; choose from batch, instance, layer, none"):
        norm_layer("group", 3)


@pytest.mark.parametrize(("scheme", "gain"), [("normal", 0.02), ("normal", 0.1), ("xavier", 1.0), ("kaiming", 1.0)])
@torch.no_grad()
def test_initialisation_has_the_expected_spread(scheme: str, gain: float) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(64, 32, 3), nn.BatchNorm2d(32), nn.ConvTranspose2d(32, 64, 4), nn.Linear(300, 200)
    )
    initialise(network, scheme, gain)
    convolution, norm, transposed, linear = network
    # Glorot: sqrt(2 / (fan_in + fan_out)); He: sqrt(2 / fan_in). Fans include the kernel's pixels.
    wanted = {
        "normal": (gain, gain, gain),
        "xavier": ((2 / (9 * 96)) ** 0.5, (2 / (16 * 96)) ** 0.5, (2 / 500) ** 0.5),
        "kaiming": ((2 / (9 * 64)) ** 0.5, (2 / (16 * 64)) ** 0.5, (2 / 300) ** 0.5),
    }[scheme]
    for layer, spread in zip((convolution, transposed, linear), wanted, strict=True):
        assert float(layer.weight.std()) == pytest.approx(spread, rel=0.05)
        assert float(layer.weight.mean()) == pytest.approx(0, abs=spread / 20)
        assert not layer.bias.any()
    assert float(norm.weight.mean()) == pytest.approx(1, abs=0.02) and 0.01 < float(norm.weight.std()) < 0.03
    assert not norm.bias.any()


def test_orthogonal_scales_rows_and_none_changes_nothing() -> None:
    layer = initialise(nn.Conv2d(8, 6, 3), "orthogonal", 0.5)
    rows = layer.weight.flatten(1)  # type: ignore[operator, union-attr]
    assert torch.allclose(rows @ rows.T, 0.25 * torch.eye(6), atol=1e-5)
    before = copy.deepcopy(layer.state_dict())
    assert all(torch.equal(value, before[key]) for key, value in initialise(layer, "none").state_dict().items())
    with pytest.raises(ConfigError, match="unknown initialisation 'he'; choose from normal"):
        initialise(layer, "he")


def test_initialisation_fills_the_trained_weights_under_spectral_norm() -> None:
    new, old = add_spectral_norm(nn.Linear(50, 40)), torch.nn.utils.spectral_norm(nn.Linear(50, 40))
    for layer in (initialise(new), initialise(old)):
        stored = {key: value for key, value in layer.state_dict().items() if key.endswith(("original", "_orig"))}
        assert [float(value.std()) for value in stored.values()] == [pytest.approx(0.02, rel=0.1)]


def singular_value(weight: Tensor, dimension: int = 0) -> float:
    return float(torch.linalg.matrix_norm(weight.detach().transpose(0, dimension).flatten(1), 2))


def test_spectral_norm_normalises_every_layer() -> None:
    torch.manual_seed(0)
    network = add_spectral_norm(networks.build("unet", features=4, downs=2, dropout=False))
    image = torch.rand(1, 3, 8, 8)
    for _ in range(50):  # each use in training mode is one power iteration
        network(image)
    network.eval()
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 4
    for layer in layers:
        assert singular_value(layer.weight, int(isinstance(layer, nn.ConvTranspose2d))) == pytest.approx(1, abs=0.01)


def test_spectral_norm_works_under_autocast() -> None:
    torch.manual_seed(0)
    layer = add_spectral_norm(nn.Conv2d(3, 8, 3))
    for _ in range(50):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = layer(torch.rand(1, 3, 8, 8))
    result.sum().backward()
    assert all(value.dtype == torch.float32 for value in layer.state_dict().values())
    assert singular_value(layer.eval().weight) == pytest.approx(1, abs=0.02)  # type: ignore[arg-type]


def test_spectral_norm_is_not_applied_twice() -> None:
    torch.manual_seed(0)
    network = add_spectral_norm(nn.Sequential(torch.nn.utils.spectral_norm(nn.Conv2d(3, 4, 3)), nn.Linear(3, 3)))
    keys = list(network.state_dict())
    assert keys == ["0.bias", "0.weight_orig", "0.weight_u", "0.weight_v"] + [
        f"1.{key}" for key in ("bias", *(f"parametrizations.weight.{part}" for part in ("original", "0._u", "0._v")))
    ]
    assert list(add_spectral_norm(network).state_dict()) == keys
    assert all(has_spectral_norm(layer) for layer in network)  # type: ignore[attr-defined]


def test_spectral_norm_survives_copying_and_saving() -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"features": 4, "layers": 1, "norm": "none"}
    network = add_spectral_norm(networks.build("patchgan", **options))
    image = torch.rand(1, 3, 8, 8)
    network(image).mean().backward()  # networks with the older hook cannot be copied after this
    copied = copy.deepcopy(network)
    restored = add_spectral_norm(networks.build("patchgan", **options))
    restored.load_state_dict(network.state_dict())
    truth = network.eval()(image)
    assert largest_difference(copied.eval()(image), truth) == 0
    assert largest_difference(restored.eval()(image), truth) == 0


def test_folding_spectral_norm_keeps_the_function_and_the_original() -> None:
    torch.manual_seed(0)
    plain = networks.build("resnet", features=4, blocks=1)
    keys = list(plain.state_dict())
    network = initialise(
        add_spectral_norm(plain), "xavier", 1.0
    )  # one iteration would change these singular vectors a lot
    image = torch.rand(1, 3, 8, 8)
    truth = copy.deepcopy(network).eval()(image)
    folded = fold_spectral_norm(copy.deepcopy(network))
    assert folded.training
    assert sorted(folded.state_dict()) == sorted(keys)
    assert largest_difference(folded(image), truth) < 1e-6
    assert largest_difference(inference_copy(network)(image), truth) < 1e-6
    assert largest_difference(network.eval()(image), truth) == 0
    assert len(network.state_dict()) > len(keys)


@torch.no_grad()
def test_resize_upsampling_has_no_checkerboard_but_transpose_has() -> None:
    """With equal weights, a flat picture stays flat only if every output pixel sees the same number of inputs."""
    flat = torch.ones(1, 2, 6, 6)
    results = {}
    for way in ("resize", "transpose"):
        layer = upsampling_layer(way, 2, 3, kernel=3, bias=False)
        nn.init.ones_(layer.weight)  # type: ignore[arg-type]
        results[way] = layer(flat)
        assert results[way].shape == (1, 3, 12, 12)
    assert float(results["resize"].std()) == 0
    assert float(results["transpose"][:, :, 3:-3, 3:-3].std()) > 1
    with pytest.raises(ConfigError, match="unknown upsampling 'bilinear'; choose from transpose, resize"):
        upsampling_layer("bilinear", 2, 3)


def test_resize_upsampling_keeps_the_state_dict_layout() -> None:
    for name, options in [
        ("unet", {"features": 4, "downs": 3}),
        ("resnet", {"features": 4, "blocks": 1}),
        ("stargan", {"features": 4, "blocks": 1, "domains": 2}),
    ]:
        published = networks.build(name, **options)  # type: ignore[arg-type]
        resizing = networks.build(name, **options, upsampling="resize")  # type: ignore[arg-type]
        assert list(resizing.state_dict()) == list(published.state_dict())
        doublings = [
            sum(isinstance(m, kind) for m in net.modules())
            for net, kind in ((published, nn.ConvTranspose2d), (resizing, ResizeConv2d), (resizing, nn.ConvTranspose2d))
        ]
        assert doublings[0] == doublings[1] > 0 == doublings[2]


@dataclass(frozen=True)
class Spec:
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    spectral: bool = False


def test_build_from_spec_initialises_before_it_adds_spectral_norm() -> None:
    spec = Spec("patchgan", {"features": 8}, spectral=True)
    network = networks.build_from_spec(spec, scheme="normal", gain=0.5, inputs=6)
    first = network.model[0]  # type: ignore[index]
    assert first.in_channels == 6
    assert float(first.parametrizations.weight.original.detach().std()) == pytest.approx(0.5, rel=0.1)
    assert singular_value(first.weight) == pytest.approx(1, abs=0.1)


def test_options_of_a_spec_must_not_contradict_the_data() -> None:
    with pytest.raises(ConfigError, match="'unet': inputs = 1, but it must be 3 here"):
        networks.build_from_spec(Spec("unet", {"inputs": 1}), inputs=3)
    with pytest.raises(ConfigError, match="network 'resnet' has no option 'downs'"):
        networks.build_from_spec(Spec("resnet"), downs=3)
