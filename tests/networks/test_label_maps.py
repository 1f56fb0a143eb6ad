"""Edges, means and clusters of the objects of label maps, and the local enhancer."""

import numpy as np
import pytest
import torch

from img2img import networks
from img2img.networks.feature_clusters import FeatureClusters, k_means
from img2img.networks.label_maps import LabelMapGenerator, edge_map, region_means
from img2img.networks.local_enhancer import LocalEnhancer
from tests.networks.onnx_results import largest_difference, session_of


def test_an_edge_is_where_a_pixel_differs_from_one_of_four_neighbours() -> None:
    regions = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 2, 1], [1, 1, 1, 1]])[None, None]
    expected = torch.tensor([[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 1, 1], [0, 0, 1, 0]])[None, None]
    assert torch.equal(edge_map(regions), expected.float())
    one_hot = torch.nn.functional.one_hot(regions[:, 0], 3).permute(0, 3, 1, 2)
    assert torch.equal(edge_map(one_hot), expected.float())


def test_features_become_the_means_of_their_regions_in_each_picture() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 3, 5, 4, requires_grad=True)
    regions = torch.randint(3, (2, 1, 5, 4)) * 400
    found = region_means(features, regions)
    for n in range(2):
        for region in regions[n].unique().tolist():
            inside = regions[n, 0] == region
            mean = features[n, :, inside].mean(1)
            assert torch.allclose(found[n, :, inside], mean[:, None].expand(-1, int(inside.sum())), atol=1e-6)
    found.square().sum().backward()
    assert features.grad is not None and features.grad.abs().max() > 0


def test_k_means_finds_separate_groups_in_the_same_order_whatever_the_seed() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(at, 0.1, (count, 2)) for at, count in ((-5, 10), (0, 30), (4, 60))]
    values = torch.from_numpy(np.concatenate(groups))
    for seed in range(5):
        centres, shares = k_means(values, 3, torch.Generator().manual_seed(seed))
        assert centres[:, 0].tolist() == pytest.approx([-5, 0, 4], abs=0.2)
        assert shares.tolist() == pytest.approx([0.1, 0.3, 0.6])


def test_equal_or_few_values_give_fewer_clusters() -> None:
    random = torch.Generator().manual_seed(0)
    centres, shares = k_means(torch.ones(5, 2).double(), 3, random)
    assert centres.tolist() == [[1, 1]] and shares.tolist() == [1]
    centres, shares = k_means(torch.tensor([[0.0], [1.0]]).double(), 10, random)
    assert centres.tolist() == [[0], [1]] and shares.tolist() == [0.5, 0.5]


def test_a_normal_number_chooses_each_cluster_as_often_as_it_occurs() -> None:
    clusters = FeatureClusters(classes=2, features=1, clusters=4)
    values = torch.cat((torch.full((10, 1), -3.0), torch.full((30, 1), 0.0), torch.full((60, 1), 2.0)))
    clusters.fit({1: values})
    torch.manual_seed(0)
    drawn = clusters(torch.randn(20_000, 2))
    assert drawn[:, 0].abs().max() == 0, "no picture has class 0"
    for value, share in ((-3.0, 0.1), (0.0, 0.3), (2.0, 0.6)):
        assert float((drawn[:, 1] == value).float().mean()) == pytest.approx(share, abs=0.02)
    assert clusters(torch.tensor([[0.0, 1e6], [0.0, -1e6]]))[:, 1].flatten().tolist() == [2, -3]


def test_the_exported_label_map_generator_equals_the_network() -> None:
    torch.manual_seed(0)
    clusters = FeatureClusters(classes=3, features=2, clusters=4)
    clusters.fit({one: torch.randn(20, 2) for one in range(3)})
    inner = networks.build("pix2pixhd-enhancer", inputs=3 + 1 + 2, features=2, downs=1, blocks=1)
    network = LabelMapGenerator(inner, edges=True, clusters=clusters)

    def classes(n: int, height: int, width: int) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.randint(3, (n, height, width)), 3).permute(0, 3, 1, 2).float()

    session = session_of(network, (classes(2, 16, 24), torch.randn(2, 3)), multiple=4)
    for n, size in ((1, (16, 12)), (3, (8, 20))):
        assert largest_difference(network, session, [classes(n, *size), torch.randn(n, 3)]) < 1e-4


def test_the_enhancer_has_the_official_keys_and_starts_from_a_global_generator() -> None:
    whole = networks.build("pix2pixhd", features=8, downs=2, blocks=1)
    enhancer = networks.build("pix2pixhd-enhancer", features=4, downs=2, blocks=1)
    assert isinstance(enhancer, LocalEnhancer) and (enhancer.multiple, enhancer.minimum) == (8, 16)
    shapes = {key: tuple(value.shape) for key, value in enhancer.state_dict().items()}
    assert shapes["model1_1.1.weight"] == (4, 3, 7, 7) and shapes["model1_1.4.weight"] == (8, 4, 3, 3)
    assert shapes["model1_2.0.conv_block.1.weight"] == (8, 8, 3, 3) and shapes["model1_2.3.weight"] == (8, 4, 3, 3)
    assert shapes["model1_2.7.weight"] == (3, 4, 7, 7)
    found = enhancer.initial_state_from(whole.state_dict())
    assert found is not None and enhancer.load_state_dict(found[0])
    picture = torch.randn(1, 3, 16, 16)
    assert torch.equal(enhancer.model(picture), whole.model[:-3](picture))
    assert enhancer.initial_state_from(enhancer.state_dict()) is None


def test_a_fixed_global_generator_gets_no_gradient() -> None:
    enhancer = networks.build("pix2pixhd-enhancer", features=2, downs=1, blocks=1)
    enhancer(torch.randn(1, 3, 16, 16), fixed_global=True).sum().backward()
    assert all(parameter.grad is None for parameter in enhancer.model.parameters())
    assert all(parameter.grad is not None for parameter in enhancer.model1_2.parameters())
