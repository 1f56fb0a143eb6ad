"""Parts of discriminators: the deviation of a batch, an auxiliary classifier, and the projection of labels."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from img2img import networks
from img2img.errors import ConfigError
from img2img.methods.labels import LogitRecorder
from img2img.networks.minibatch import MinibatchDeviation
from img2img.networks.projection import ProjectionDiscriminator

DISCRIMINATORS: list[tuple[str, dict[str, Any]]] = [
    ("patchgan", {"features": 4, "layers": 2, "norm": "none"}),
    ("dcgan", {"features": 4, "size": 32, "norm": "none"}),
    ("stargan-discriminator", {"features": 4, "layers": 3, "size": 32, "domains": 2}),
]
WITH_CLASSES = DISCRIMINATORS[:2]


def deviation_by_hand(pictures: np.ndarray) -> float:
    """Karras et al. 2018, section 3: the mean over features and places of the deviation over the pictures."""
    _, channels, height, width = pictures.shape
    found = [
        np.sqrt(np.var(pictures[:, c, y, x]) + 1e-8)
        for c in range(channels)
        for y in range(height)
        for x in range(width)
    ]
    return float(np.mean(found))


@pytest.mark.parametrize(("count", "groups"), [(4, [4]), (8, [4, 4]), (2, [2]), (1, [1]), (7, [7]), (9, [5, 4])])
def test_every_picture_gets_the_deviation_of_its_group(count: int, groups: list[int]) -> None:
    pictures = torch.randn(count, 3, 2, 4, generator=torch.Generator().manual_seed(count))
    result = MinibatchDeviation()(pictures)
    assert result.shape == (count, 4, 2, 4) and torch.equal(result[:, :3], pictures)
    start = 0
    for size in groups:
        expected = deviation_by_hand(pictures[start : start + size].numpy())
        assert np.allclose(result[start : start + size, 3], expected, atol=1e-6)
        start += size


def test_equal_pictures_have_no_deviation_and_a_finite_gradient() -> None:
    pictures = torch.ones(4, 2, 3, 3, requires_grad=True)
    result = MinibatchDeviation()(pictures)
    assert torch.allclose(result[:, 2], torch.full((4, 3, 3), 1e-4))
    result.sum().backward()
    assert pictures.grad is not None and pictures.grad.isfinite().all()


def test_small_deviations_survive_half_precision() -> None:
    pictures = (1 + 1e-3 * torch.randn(4, 8, 4, 4, generator=torch.Generator().manual_seed(0))).half()
    result = MinibatchDeviation()(pictures)
    assert result.dtype == torch.float16
    assert float(result[0, 8, 0, 0]) == pytest.approx(deviation_by_hand(pictures.double().numpy()), rel=1e-2)


@pytest.mark.parametrize(("name", "options"), DISCRIMINATORS, ids=str)
def test_scores_depend_on_the_other_pictures_only_with_the_option(name: str, options: dict[str, Any]) -> None:
    first, *others = torch.rand(3, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for minibatch in (False, True):
        torch.manual_seed(0)
        network = networks.build(name, **options, minibatch=minibatch)
        outputs = [network(torch.cat((first, other))) for other in others]
        scores = [output[0] if isinstance(output, tuple) else output for output in outputs]
        assert torch.allclose(scores[0][0], scores[1][0], atol=1e-7) is not minibatch
        if isinstance(outputs[0], tuple):
            assert torch.allclose(outputs[0][1][0], outputs[1][1][0], atol=1e-7), "classes are those of one picture"


@pytest.mark.parametrize(("name", "options"), DISCRIMINATORS, ids=str)
def test_only_the_last_layer_gets_wider(name: str, options: dict[str, Any]) -> None:
    plain = [tuple(one.shape) for one in networks.build(name, **options).state_dict().values()]
    off = networks.build(name, **options, minibatch=False).state_dict()
    assert [tuple(one.shape) for one in off.values()] == plain
    wider = [tuple(one.shape) for one in networks.build(name, **options, minibatch=True).state_dict().values()]
    changed = [(a, b) for a, b in zip(plain, wider, strict=True) if a != b]
    ((before, after),) = changed
    assert after == (before[0], before[1] + 1, *before[2:])


def test_gradient_penalties_pass_through_the_deviation() -> None:
    network = networks.build("patchgan", **DISCRIMINATORS[0][1], minibatch=True)
    picture = torch.rand(4, 3, 16, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(network(picture).sum(), picture, create_graph=True)
    slope.square().sum().backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in network.parameters() if one.dim() > 1)


@pytest.mark.parametrize("minibatch", [False, True])
@pytest.mark.parametrize(("name", "options"), WITH_CLASSES, ids=str)
def test_an_auxiliary_classifier_shares_all_but_the_last_layer(
    name: str, options: dict[str, Any], minibatch: bool
) -> None:
    torch.manual_seed(0)
    network = networks.build(name, **options, classes=5, minibatch=minibatch)
    plain = networks.build(name, **options, minibatch=minibatch)
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("classifier.")})
    picture = torch.rand(2, 3, 32, 32)
    scores, logits = network(picture)
    assert logits.shape == (2, 5)
    torch.testing.assert_close(scores, plain(picture))
    features: list[torch.Tensor] = []
    last = [module for module in plain.modules() if isinstance(module, nn.LeakyReLU)][-1]
    last.register_forward_hook(lambda module, given, result: features.append(result))
    plain(picture)
    hidden = features[0].mean((2, 3)) if name == "patchgan" else features[0].flatten(1)
    classifier = network.classifier
    assert isinstance(classifier, nn.Linear)
    torch.testing.assert_close(logits, hidden @ classifier.weight.T + classifier.bias)


@torch.no_grad()
def test_the_projection_adds_the_product_of_features_and_label() -> None:
    torch.manual_seed(0)
    network = ProjectionDiscriminator(domains=3, features=4, layers=2)
    pictures, labels = torch.rand(2, 3, 16, 16), torch.tensor([[0.0, 1, 0], [1, 0, 1]])
    scores = LogitRecorder(network, [labels])(pictures)
    assert isinstance(scores, torch.Tensor) and scores.shape == (2, 1)
    maps = network.phi(pictures).numpy()
    v, weight, bias = network.embedding.weight.numpy(), network.psi.weight.numpy(), network.psi.bias.numpy()
    for n, label in enumerate(labels.numpy()):
        phi = np.array([channel.sum() for channel in maps[n]])
        expected = weight[0] @ phi + bias[0] + label @ (v @ phi)
        assert float(scores[n, 0]) == pytest.approx(float(expected), rel=1e-4)


def test_the_projection_judges_pictures_together_with_their_label() -> None:
    torch.manual_seed(0)
    network = ProjectionDiscriminator(domains=2, features=4, layers=3, norm="instance")
    picture = torch.rand(1, 3, 16, 16)
    scorer = LogitRecorder(network, [torch.eye(2)[:1], torch.eye(2)[1:]])
    first, second, third = (scorer(picture) for _ in range(3))
    assert not torch.allclose(first, second) and torch.equal(second, third)
    assert network.minimum == 16
    with pytest.raises(ValueError, match="projection needs sides of 16 or more"):
        network(torch.rand(1, 3, 8, 16))
    with pytest.raises(ConfigError, match="projection: layers = 9 must be between 1 and 8"):
        ProjectionDiscriminator(domains=2, layers=9)


def test_a_network_without_what_it_needs_is_refused() -> None:
    with pytest.raises(ConfigError, match="network 'stargan-discriminator' needs domains, which is not given here"):
        networks.build("stargan-discriminator")
