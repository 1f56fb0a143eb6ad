"""Feature matching against hand-computed values, the layers that a recorder records, and class averages."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img import networks
from img2img.errors import ConfigError
from img2img.objectives.feature_matching import FeatureMatching, Recorder

REAL = [torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.tensor([[[[1.0]]], [[[3.0]]]])]
FAKE = [torch.tensor([[0.0, 2.0], [2.0, 2.0]]), torch.tensor([[[[4.0]]], [[[2.0]]]])]


@pytest.mark.parametrize(
    ("kind", "distance", "value"),
    [
        # Batch means: (2, 4) and (1, 2); 2 and 3.
        ("mean", "l1", (1 + 2) / 2 + 1),
        ("mean", "l2", (1 + 4) / 2 + 1),
        ("pairwise", "l1", (1 + 0 + 1 + 4) / 4 + (3 + 1) / 2),
        ("pairwise", "l2", (1 + 0 + 1 + 16) / 4 + (9 + 1) / 2),
    ],
)
def test_loss_equals_hand_computed_value(kind: str, distance: str, value: float) -> None:
    assert FeatureMatching(kind, distance)(REAL, FAKE).item() == pytest.approx(value)


def test_mean_compares_distributions_and_pairwise_compares_samples() -> None:
    swapped = [features.flip(0) for features in REAL]
    assert FeatureMatching("mean")(REAL, swapped).item() == 0
    assert FeatureMatching("pairwise")(REAL, swapped).item() > 0


@pytest.mark.parametrize("kind", ["mean", "class-mean", "pairwise"])
def test_gradients_reach_only_the_fake_features(kind: str) -> None:
    real = [features.clone().requires_grad_() for features in REAL]
    fake = [features.clone().requires_grad_() for features in FAKE]
    FeatureMatching(kind)(real, fake, torch.eye(2)).backward()
    assert all(features.grad is None for features in real)
    assert all(features.grad is not None and features.grad.abs().sum() > 0 for features in fake)


def test_class_averages_equal_hand_computed_values() -> None:
    matching = FeatureMatching("class-mean", "l1", decay=0.75)
    labels = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    # Both classes start from their own picture; class 2 has no picture yet and is ignored.
    fake_labels = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    loss = matching(REAL[:1], FAKE[:1], labels, fake_labels)
    assert loss.item() == pytest.approx((abs(2 - 1) + abs(2 - 2)) / 2)
    later = [torch.tensor([[5.0, 2.0], [7.0, 2.0]])]
    both_first = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    matching(later, FAKE[:1], both_first)
    centres = matching.state_dict()["centre_0"]
    assert torch.allclose(centres, torch.tensor([[0.75 * 1 + 0.25 * 6, 2.0], [3.0, 6.0], [0.0, 0.0]]))
    matching.eval()
    matching(later, FAKE[:1], both_first)
    assert torch.equal(matching.state_dict()["centre_0"], centres), "eval mode does not change the averages"


def test_class_means_average_maps_over_positions() -> None:
    matching = FeatureMatching("class-mean", "l2")
    maps = torch.arange(8.0).view(2, 1, 2, 2)  # means 1.5 and 5.5
    assert matching([maps], [torch.zeros(2, 1, 3, 3)], torch.eye(2)).item() == pytest.approx((1.5**2 + 5.5**2) / 2)


def test_class_indices_equal_one_hot_labels() -> None:
    numbers, columns = FeatureMatching("class-mean"), FeatureMatching("class-mean")
    for label in ([0, 0], [2, 1], [1, 1]):
        one = numbers(REAL, FAKE, torch.tensor(label)).item()
        assert one == pytest.approx(columns(REAL, FAKE, F.one_hot(torch.tensor(label), 3)).item())
    assert torch.equal(numbers.state_dict()["centre_0"], columns.state_dict()["centre_0"])


def test_class_averages_survive_a_resume() -> None:
    torch.manual_seed(0)
    batches = [
        ([torch.randn(4, 3, 2, 2)], [torch.randn(4, 3, 2, 2)], torch.eye(4)[torch.randperm(4)]) for _ in range(6)
    ]
    whole = FeatureMatching("class-mean")
    losses = [whole(*batch).item() for batch in batches]
    half = FeatureMatching("class-mean")
    for batch in batches[:3]:
        half(*batch)
    resumed = FeatureMatching("class-mean")
    resumed.load_state_dict(half.state_dict())
    assert [resumed(*batch).item() for batch in batches[3:]] == losses[3:]
    # Loading replaces existing averages, whatever their shape.
    other = FeatureMatching("class-mean")
    other([torch.randn(2, 7)], [torch.randn(2, 7)], torch.eye(2))
    other.load_state_dict(half.state_dict())
    assert [other(*batch).item() for batch in batches[3:]] == losses[3:]


def test_nested_state_dicts_load_the_averages_too() -> None:
    holder, other = (
        nn.ModuleDict({"m": FeatureMatching("class-mean")}),
        nn.ModuleDict({"m": FeatureMatching("class-mean")}),
    )
    holder["m"](REAL, FAKE, torch.eye(2))
    other.load_state_dict(holder.state_dict())
    assert torch.equal(other["m"].state_dict()["centre_1"], holder["m"].state_dict()["centre_1"])


def test_bad_options_and_calls_are_rejected() -> None:
    for options, message in (
        ({"kind": "median"}, "unknown kind of feature matching 'median'; choose from mean, class-mean, pairwise"),
        ({"distance": "cosine"}, "unknown distance 'cosine'"),
        ({"decay": 1.0}, "decay = 1.0"),
    ):
        with pytest.raises(ConfigError, match=message):
            FeatureMatching(**options)
    with pytest.raises(ValueError, match="needs the labels"):
        FeatureMatching("class-mean")(REAL, FAKE)
    with pytest.raises(ValueError, match="cannot match 2 layers of real features with 1 of fake"):
        FeatureMatching()(REAL, FAKE[:1])
    with pytest.raises(ConfigError, match="no features were recorded"):
        FeatureMatching()([], [])
    matching = FeatureMatching("class-mean")
    matching(REAL, FAKE, torch.eye(2))
    with pytest.raises(ValueError, match="class means changed shape"):
        matching(FAKE[::-1], REAL[::-1], torch.eye(2))


def layered() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2, True), nn.Conv2d(4, 5, 3), nn.ReLU(True), nn.Conv2d(5, 1, 3)
    )


class Functional(nn.Module):
    """A two-scale discriminator whose activations are functions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 3)
        self.c, self.d = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 1, 3)

    def forward(self, picture: Tensor) -> list[Tensor]:
        coarse = F.avg_pool2d(picture, 2)
        return [self.b(F.leaky_relu(self.a(picture))), self.d(F.leaky_relu(self.c(coarse)))]


def test_activations_before_the_last_convolution_are_recorded() -> None:
    network, picture = layered(), torch.rand(2, 3, 9, 9)
    scores, features = Recorder(network)(picture)
    assert torch.equal(scores, network(picture))
    assert [tuple(f.shape[1:]) for f in features] == [(4, 7, 7), (5, 5, 5)]
    assert torch.equal(features[1], network[:4](picture)) and features[0].requires_grad
    scored = nn.Sequential(*layered(), nn.Sigmoid())
    assert len(Recorder(scored)(picture)[1]) == 2, "activations after the last convolution belong to the score"


def test_a_compiled_network_is_recorded_in_its_original() -> None:
    network, picture = layered(), torch.rand(1, 3, 9, 9)
    scores, features = Recorder(torch.compile(network))(picture)
    assert torch.equal(scores, network(picture)) and len(features) == 2


def test_without_activation_modules_all_convolutions_but_the_last_are_recorded() -> None:
    network, picture = Functional(), torch.rand(2, 3, 12, 12)
    _, features = Recorder(network)(picture)
    assert [f.shape[1] for f in features] == [4, 6], "the scores of both scales are left out"
    assert torch.equal(features[0], network.a(picture))


def test_activation_modules_of_all_scales_are_recorded() -> None:
    class Scales(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scales = nn.ModuleList([layered(), layered()])

        def forward(self, picture: Tensor) -> list[Tensor]:
            return [scale(picture) for scale in self.scales]

    assert [f.shape[1] for f in Recorder(Scales())(torch.rand(1, 3, 9, 9))[1]] == [4, 5, 4, 5]


def test_named_layers_are_recorded_in_the_order_in_which_they_run() -> None:
    network, picture = layered(), torch.rand(1, 3, 9, 9)
    _, features = Recorder(network, ["4", "0"])(picture)
    assert [f.shape[1] for f in features] == [4, 1]
    with pytest.raises(
        ConfigError, match="layer '9', whose features are to be compared, does not exist; choose from 0, 1, 2, 3, 4"
    ):
        Recorder(network, ["9"])


def test_a_with_block_records_every_call_and_leaves_no_hooks() -> None:
    network, recorder = layered(), None
    recorder = Recorder(network)
    with recorder as first:
        network(torch.rand(1, 3, 9, 9))
        network(torch.rand(1, 3, 7, 7))
    with recorder as second:
        network(torch.rand(1, 3, 9, 9))
    network(torch.rand(1, 3, 9, 9))
    assert (len(first), len(second)) == (4, 2)
    with pytest.raises(RuntimeError), recorder:
        network(torch.rand(1, 5, 9, 9))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("patchgan", {}),
        ("pixelgan", {}),
        ("multi-scale", {}),
        ("stargan-discriminator", {"domains": 3, "size": 64}),
        ("sn-patchgan", {"inputs": 3, "features": 4}),
        ("unet-discriminator", {"features": 4}),
        ("vgg-style", {}),
    ],
)
def test_all_discriminators_can_be_recorded(name: str, options: dict[str, Any]) -> None:
    network = networks.build(name, **options)
    scores, features = Recorder(network)(torch.rand(1, 3, 64, 64))
    assert len(features) >= 2
    each = [scores] if isinstance(scores, Tensor) else scores
    assert not any(feature is score for feature in features for score in each)
    assert FeatureMatching("pairwise")(features, features).item() == 0


def test_feature_matching_alone_trains_a_generator() -> None:
    torch.manual_seed(0)
    network = layered().requires_grad_(False)
    real, picture = torch.rand(4, 3, 9, 9), torch.rand(4, 3, 9, 9, requires_grad=True)
    optimiser, recorder, matching = torch.optim.Adam([picture], 0.02), Recorder(network), FeatureMatching("mean")
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = matching(recorder(real)[1], recorder(picture)[1])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_encoding_stops_after_the_last_layer() -> None:
    ran = []
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.Linear(4, 5))
    for layer in network:
        layer.register_forward_hook(lambda module, *_: ran.append(module))
    picture = torch.rand(1, 2)
    recorder = Recorder(network, ["0", "2"])
    first, second = recorder.encode(picture)
    assert ran == list(network[:3])
    assert torch.equal(first, network[0](picture)) and torch.equal(second, network[:3](picture))
    scores, features = recorder(picture)
    assert scores.shape == (1, 5) and len(features) == 2, "it still records whole runs"
