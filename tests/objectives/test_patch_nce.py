"""PatchNCE equals the formula of the paper and prefers the right places."""

import math

import torch

from img2img.networks.patch_projection import PatchProjection, random_places
from img2img.objectives.patch_nce import PatchNCE


def units(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape), dim=2)


def test_it_equals_equation_1_computed_one_place_at_a_time() -> None:
    torch.manual_seed(0)
    queries, keys, temperature = units(2, 5, 4), units(2, 5, 4), 0.07
    terms = []
    for query, key in zip(queries, keys, strict=True):
        for place in range(5):
            scores = [math.exp(float(query[place] @ other) / temperature) for other in key]
            terms.append(-math.log(scores[place] / sum(scores)))
    loss = PatchNCE(temperature)([queries], [keys])
    assert math.isclose(loss, sum(terms) / len(terms), rel_tol=1e-4)


def test_layers_are_averaged() -> None:
    torch.manual_seed(0)
    pairs = [(units(1, 3, 4), units(1, 3, 4)), (units(1, 7, 2), units(1, 7, 2))]
    loss = PatchNCE()
    both = loss([query for query, _ in pairs], [key for _, key in pairs])
    assert torch.isclose(both, (loss([pairs[0][0]], [pairs[0][1]]) + loss([pairs[1][0]], [pairs[1][1]])) / 2)


def test_equal_features_have_the_lowest_loss_and_keys_get_no_gradient() -> None:
    torch.manual_seed(0)
    keys = units(1, 6, 32).requires_grad_()
    queries = units(1, 6, 32).requires_grad_()
    loss = PatchNCE()
    assert loss([keys], [keys]) < loss([queries], [keys])
    loss([queries], [keys]).backward()
    assert keys.grad is None and queries.grad is not None


def test_a_projection_gives_unit_vectors_of_the_chosen_places() -> None:
    torch.manual_seed(0)
    maps = [torch.randn(2, 3, 4, 5), torch.randn(2, 6, 2, 2)]
    places = random_places(maps, 8)
    assert [len(where) for where in places] == [8, 4]
    assert len(set(places[0].tolist())) == 8 and max(places[0]) < 20
    projection = PatchProjection([3, 6], features=7)
    vectors = projection(maps, places)
    assert [tuple(one.shape) for one in vectors] == [(2, 8, 7), (2, 4, 7)]
    assert all(torch.allclose(one.norm(dim=2), torch.ones(())) for one in vectors)
    y, x = divmod(int(places[0][3]), 5)
    alone = torch.nn.functional.normalize(projection.perceptrons[0](maps[0][1, :, y, x]), dim=0)
    assert torch.allclose(vectors[0][1, 3], alone, atol=1e-6)
