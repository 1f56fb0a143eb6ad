"""Networks that grow: which layers run at each stage, how a new layer is faded in, and when."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from img2img import networks
from img2img.errors import ConfigError
from img2img.networks.growing import Growth, growing_parts
from tests.networks.onnx_results import largest_difference, session_of

FRACTIONS = (0.2, 0.6)
CASES: list[tuple[str, dict[str, Any]]] = [
    ("resnet", {"features": 4, "blocks": 1}),
    ("resnet", {"features": 4, "blocks": 1, "blur": True, "attention": True}),
    ("unet", {"features": 4, "downs": 3, "norm": "instance", "dropout": False}),
    ("patchgan", {"features": 4, "layers": 3, "norm": "none"}),
    ("patchgan", {"features": 4, "layers": 2, "norm": "none", "blur": True}),
]


def grown(name: str, options: dict[str, Any], stage: float) -> nn.Module:
    torch.manual_seed(0)
    network = networks.build(name, **options, growing=FRACTIONS)
    (growth,) = (part for part in network.modules() if isinstance(part, Growth))
    growth.stage.fill_(stage)
    return network.eval()


@pytest.mark.parametrize(
    ("progress", "stage"),
    [(0, 0), (0.19, 0), (0.2, 0), (0.3, 0.5), (0.4, 1), (0.59, 1), (0.7, 1.5), (0.8, 2), (0.9, 2), (1, 2)],
)
def test_sides_double_at_the_fractions_and_fade_in_until_half_of_the_next_phase(progress: float, stage: float) -> None:
    growth = Growth("resnet", FRACTIONS, 3, (4, 8, 16))
    growth.set_progress(progress)
    assert float(growth.stage) == pytest.approx(stage)


@torch.no_grad()
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_a_fully_grown_network_equals_one_that_never_grew(name: str, options: dict[str, Any]) -> None:
    network, image = grown(name, options, 2), torch.rand(1, 3, 32, 32)
    plain = networks.build(name, **options).eval()
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("growth.")})
    assert torch.equal(network(image), plain(image))
    assert list(plain.state_dict()) == [k for k in network.state_dict() if not k.startswith("growth.")]


@torch.no_grad()
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_a_small_network_sees_a_small_picture_and_results_keep_their_size(name: str, options: dict[str, Any]) -> None:
    image = torch.rand(1, 3, 32, 48)
    whole = grown(name, options, 2)(image)
    for stage, factor in ((0, 4), (1, 2)):
        network = grown(name, options, stage)
        result = network(image)
        assert result.shape == whole.shape
        reduced = F.avg_pool2d(image, factor)
        blocky = F.interpolate(reduced, scale_factor=float(factor), mode="nearest")
        torch.testing.assert_close(network(blocky), result)
        if name != "patchgan":
            small = result[:, :, ::factor, ::factor]
            assert torch.equal(F.interpolate(small, scale_factor=float(factor), mode="nearest"), result)


@torch.no_grad()
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_fading_in_goes_from_the_old_to_the_new_network(name: str, options: dict[str, Any]) -> None:
    image = torch.rand(1, 3, 32, 32)
    for stage in (0, 1):
        before, after = grown(name, options, stage)(image), grown(name, options, stage + 1)(image)
        scale = (before - after).abs().max()
        assert scale > 0
        assert (grown(name, options, stage + 1e-4)(image) - before).abs().max() < 0.01 * scale
        assert (grown(name, options, stage + 1 - 1e-4)(image) - after).abs().max() < 0.01 * scale


@torch.no_grad()
def test_features_and_pictures_are_blended_by_the_share_of_the_new_layer() -> None:
    """Karras et al. 2018, figure 2, by hand for a ResNet that fades in its second layer."""
    network = grown("resnet", {"features": 4, "blocks": 1}, 0.25)
    growth, layers, image = network.growth, network.model, torch.rand(1, 3, 16, 16)
    assert isinstance(growth, Growth) and isinstance(layers, nn.Sequential)
    low = growth.enter[1](F.avg_pool2d(image, 4))
    new = layers[7:10](growth.enter[0](F.avg_pool2d(image, 2)))
    features = layers[10:11](0.75 * low + 0.25 * new)
    old_picture = F.interpolate(growth.leave[1](features), scale_factor=2.0, mode="nearest")
    picture = 0.75 * old_picture + 0.25 * growth.leave[0](layers[11:14](features))
    torch.testing.assert_close(network(image), F.interpolate(picture, scale_factor=2.0, mode="nearest"))


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_only_the_layers_of_the_stage_get_a_gradient(name: str, options: dict[str, Any]) -> None:
    counts = []
    for stage in (0.0, 0.5, 1.0, 1.5, 2.0):
        network = grown(name, options, stage).train()
        result = network(torch.rand(2, 3, 32, 32))
        (result * torch.randn_like(result)).sum().backward()
        counts.append({key for key, one in network.named_parameters() if one.grad is not None})
    body = [{key for key in one if not key.startswith("growth.")} for one in counts]
    assert body[0] < body[1] == body[2] < body[3] == body[4]
    assert "growth.enter.1.weight" in counts[0] and "growth.enter.0.weight" not in counts[0]
    assert not any(key.startswith("growth.") for key in counts[4])


def test_the_stage_is_part_of_the_state_dict() -> None:
    small, other = grown(*CASES[0], 0.5), grown(*CASES[0], 2)
    other.load_state_dict(small.state_dict())
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(other(image), small(image))


def test_the_training_tells_every_growing_part_its_progress() -> None:
    parts = growing_parts(nn.ModuleList([grown(*CASES[0], 2), nn.Identity(), grown(*CASES[3], 2)]))
    for part in parts:
        part.set_progress(0.3)
    assert [float(part.stage) for part in parts] == pytest.approx([0.5, 0.5])


def test_a_generator_that_has_not_grown_yet_exports_as_it_is() -> None:
    network = grown(*CASES[2], 0.5)
    session = session_of(network, (torch.rand(2, 3, 16, 24),), multiple=8)
    assert largest_difference(network, session, [torch.rand(1, 3, 32, 16)]) < 1e-4


def test_too_many_doublings_and_residual_networks_are_refused() -> None:
    with pytest.raises(ConfigError, match="growing has 3 doublings, but this resnet allows at most 2"):
        networks.build("resnet", growing=(0.1, 0.2, 0.3))
    with pytest.raises(ConfigError, match="growing has 2 doublings, but this patchgan allows at most 1"):
        networks.build("patchgan", layers=1, growing=FRACTIONS)
    with pytest.raises(ConfigError, match="a residual network cannot grow"):
        networks.build("unet", residual=True, growing=FRACTIONS)
