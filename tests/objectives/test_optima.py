"""The best discriminator of each objective is the one its paper derives, on two distributions over three points."""

import pytest
import torch
from torch import Tensor

from img2img import objectives
from img2img.objectives.game import Adversarial

P = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)  # real
Q = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)  # fake
COUNTS = 10
REAL = torch.repeat_interleave(torch.arange(3), (P * COUNTS).round().long())
FAKE = torch.repeat_interleave(torch.arange(3), (Q * COUNTS).round().long())


def best(objective: Adversarial, distance: Tensor | None = None) -> tuple[Tensor, float]:
    """The score of each point, and the loss, that the discriminator comes to with a free choice of scores."""
    scores = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([scores], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = objective.discriminator(scores[REAL], scores[FAKE], distance)
        value.backward()
        return value

    optimiser.step(loss)
    with torch.no_grad():
        return scores.detach(), objective.discriminator(scores[REAL], scores[FAKE], distance).item()


def kl(p: Tensor, q: Tensor) -> float:
    return (p * (p / q).log()).sum().item()


@pytest.mark.parametrize("word", ["minimax", "non-saturating", "dragan"])
def test_logistic_gives_the_log_ratio_and_jensen_shannon(word: str) -> None:
    scores, loss = best(objectives.adversarial(word))
    assert torch.allclose(scores, (P / Q).log(), atol=1e-4)
    middle = (P + Q) / 2
    divergence = (kl(P, middle) + kl(Q, middle)) / 2
    assert -loss == pytest.approx(2 * divergence - 2 * torch.tensor(2.0).log().item(), abs=1e-6)  # Goodfellow, eq. 6


@pytest.mark.parametrize("labels", [(0.0, 1.0), (-1.0, 1.0)])
def test_lsgan_gives_the_weighted_labels(labels: tuple[float, float]) -> None:
    a, b = labels
    scores, _ = best(objectives.adversarial("lsgan", a=a, b=b))
    assert torch.allclose(scores, (b * P + a * Q) / (P + Q), atol=1e-5)


def test_lsgan_generator_minimises_pearson_with_its_labels() -> None:
    """Mao et al. 2017, section 3.2: with b - c = 1, b - a = 2, 2 C(G) = Pearson(p + q, 2 q)."""
    objective = objectives.adversarial("lsgan", a=-1.0, b=1.0, c=0.0)
    scores, _ = best(objective)
    cost = objective.generator(scores[FAKE]).item() + objective.generator(scores[REAL]).item()
    pearson = ((2 * Q - (P + Q)).square() / (P + Q)).sum().item()
    assert cost == pytest.approx(pearson, rel=1e-6)


@pytest.mark.parametrize(
    ("divergence", "value", "derivative"),
    [
        ("kl", kl(P, Q), 1 + (P / Q).log()),
        ("reverse-kl", kl(Q, P), -Q / P),
        ("pearson", ((P - Q).square() / Q).sum().item(), 2 * (P / Q - 1)),
        ("hellinger", (P.sqrt() - Q.sqrt()).square().sum().item(), 1 - (Q / P).sqrt()),
        ("jensen-shannon", kl(P, (P + Q) / 2) + kl(Q, (P + Q) / 2), (2 * P / (P + Q)).log()),
    ],
)
def test_f_gan_reaches_its_divergence(divergence: str, value: float, derivative: Tensor) -> None:
    from img2img.objectives.f_gan import DIVERGENCES

    scores, loss = best(objectives.adversarial("f-gan", divergence=divergence))
    assert -loss == pytest.approx(value, rel=1e-6)
    assert torch.allclose(DIVERGENCES[divergence].activation(scores), derivative, atol=1e-4)
    # the strict generator's loss is that part of the bound that it can move
    strict = objectives.adversarial("f-gan", divergence=divergence, trick=False)
    real = DIVERGENCES[divergence].activation(scores[REAL]).mean().item()
    assert real + strict.generator(scores[FAKE]).item() == pytest.approx(value, rel=1e-6)


def test_hinge_gives_the_sign_and_total_variation() -> None:
    """The best D is 1 where real is likelier and -1 elsewhere; its loss is 2 - sum |p - q|."""
    objective = objectives.adversarial("hinge")
    scores = torch.where(P > Q, 1.0, -1.0).double()
    loss = objective.discriminator(scores[REAL], scores[FAKE])
    assert loss.item() == pytest.approx(2 - (P - Q).abs().sum().item())
    for _ in range(50):
        other = scores + torch.randn(3, dtype=torch.float64)
        assert objective.discriminator(other[REAL], other[FAKE]) >= loss - 1e-12


@pytest.mark.parametrize("word", ["wgan", "wgan-gp"])
def test_wasserstein_gives_the_earth_movers_distance_over_lipschitz_critics(word: str) -> None:
    """On a line with points at 0, 1, 2 the distance is sum |CDF_p - CDF_q|, and the best slope is its sign."""
    objective = objectives.adversarial(word)
    apart = (P - Q).cumsum(0)[:2]
    critic = torch.cat([torch.zeros(1).double(), -apart.sign().cumsum(0)])
    assert -objective.discriminator(critic[REAL], critic[FAKE]).item() == pytest.approx(apart.abs().sum().item())
    for slopes in torch.rand(50, 2, dtype=torch.float64) * 2 - 1:
        other = torch.cat([torch.zeros(1).double(), slopes.cumsum(0)])
        assert -objective.discriminator(other[REAL], other[FAKE]).item() <= apart.abs().sum().item() + 1e-12


def test_ebgan_at_equilibrium() -> None:
    """Zhao et al. 2017, theorem 1: with p_g = p_data, V = margin, for any energy between 0 and it."""
    objective = objectives.adversarial("ebgan", margin=2.0)
    for energies in torch.rand(10, 3, dtype=torch.float64) * 2:
        assert objective.discriminator(energies[REAL], energies[REAL]).item() == pytest.approx(2.0)
    # lemma 1: fully charged where fake is likelier, empty elsewhere
    scores = torch.where(P < Q, 2.0, 0.0).double()
    least = objective.discriminator(scores[REAL], scores[FAKE])
    for energies in torch.rand(50, 3, dtype=torch.float64) * 3:
        assert objective.discriminator(energies[REAL], energies[FAKE]) >= least


def test_relativistic_is_at_rest_where_the_scores_agree() -> None:
    for word in ("relativistic", "relativistic-average"):
        objective = objectives.adversarial(word)
        same = torch.zeros(4, requires_grad=True)
        loss = objective.discriminator(same, same)
        (gradient,) = torch.autograd.grad(loss, same)
        assert loss.item() == pytest.approx(torch.tensor(2.0).log().item()) and gradient.abs().max() < 1e-7


def test_loss_sensitive_is_satisfied_by_the_margin() -> None:
    objective = objectives.adversarial("loss-sensitive")
    x, g = torch.tensor([0.0, 1.0]), torch.tensor([3.0, 0.5])
    distance = (x - g).abs()
    scores = -distance  # of the fake ones, where every real one has 0: exactly as far below as they are away
    assert objective.discriminator(torch.zeros(2), scores, distance).item() == 0
    assert objective.discriminator(torch.zeros(2), scores + 0.1, distance).item() == pytest.approx(0.1)
