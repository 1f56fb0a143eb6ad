"""The optimal discriminator of each objective is the one its paper derives, for two distributions over three points."""

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


def optimum(objective: Adversarial, distance: Tensor | None = None) -> tuple[Tensor, float]:
    """Return the optimal score of each point, and the loss there, when the scores can be chosen freely."""
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


@pytest.mark.parametrize("name", ["minimax", "non-saturating", "dragan"])
def test_logistic_optimum_is_the_log_ratio_with_jensen_shannon_loss(name: str) -> None:
    scores, loss = optimum(objectives.adversarial(name))
    assert torch.allclose(scores, (P / Q).log(), atol=1e-4)
    middle = (P + Q) / 2
    divergence = (kl(P, middle) + kl(Q, middle)) / 2
    assert -loss == pytest.approx(2 * divergence - 2 * torch.tensor(2.0).log().item(), abs=1e-6)  # Goodfellow, eq. 6


@pytest.mark.parametrize("labels", [(0.0, 1.0), (-1.0, 1.0)])
def test_lsgan_optimum_is_the_weighted_mean_of_the_labels(labels: tuple[float, float]) -> None:
    a, b = labels
    scores, _ = optimum(objectives.adversarial("lsgan", a=a, b=b))
    assert torch.allclose(scores, (b * P + a * Q) / (P + Q), atol=1e-5)


def test_lsgan_generator_minimises_pearson_divergence_with_matching_labels() -> None:
    """Mao et al. 2017, section 3.2: with b - c = 1, b - a = 2, 2 C(G) = Pearson(p + q, 2 q)."""
    objective = objectives.adversarial("lsgan", a=-1.0, b=1.0, c=0.0)
    scores, _ = optimum(objective)
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
def test_f_gan_optimum_reaches_its_divergence(divergence: str, value: float, derivative: Tensor) -> None:
    from img2img.objectives.f_gan import DIVERGENCES

    scores, loss = optimum(objectives.adversarial("f-gan", divergence=divergence))
    assert -loss == pytest.approx(value, rel=1e-6)
    assert torch.allclose(DIVERGENCES[divergence].activation(scores), derivative, atol=1e-4)
    # The strict generator's loss is the part of the bound that the generator can change.
    strict = objectives.adversarial("f-gan", divergence=divergence, trick=False)
    real = DIVERGENCES[divergence].activation(scores[REAL]).mean().item()
    assert real + strict.generator(scores[FAKE]).item() == pytest.approx(value, rel=1e-6)


def test_hinge_optimum_is_the_sign_with_total_variation_loss() -> None:
    """The optimal D is 1 where real is likelier and -1 elsewhere; its loss is 2 - sum |p - q|."""
    objective = objectives.adversarial("hinge")
    scores = torch.where(P > Q, 1.0, -1.0).double()
    loss = objective.discriminator(scores[REAL], scores[FAKE])
    assert loss.item() == pytest.approx(2 - (P - Q).abs().sum().item())
    for _ in range(50):
        other = scores + torch.randn(3, dtype=torch.float64)
        assert objective.discriminator(other[REAL], other[FAKE]) >= loss - 1e-12


@pytest.mark.parametrize("name", ["wgan", "wgan-gp"])
def test_wasserstein_optimum_over_lipschitz_critics_is_the_earth_movers_distance(name: str) -> None:
    """For points 0, 1, 2 on a line the distance is sum |CDF_p - CDF_q|, and the optimal slope is its sign."""
    objective = objectives.adversarial(name)
    apart = (P - Q).cumsum(0)[:2]
    critic = torch.cat([torch.zeros(1).double(), -apart.sign().cumsum(0)])
    assert -objective.discriminator(critic[REAL], critic[FAKE]).item() == pytest.approx(apart.abs().sum().item())
    for slopes in torch.rand(50, 2, dtype=torch.float64) * 2 - 1:
        other = torch.cat([torch.zeros(1).double(), slopes.cumsum(0)])
        assert -objective.discriminator(other[REAL], other[FAKE]).item() <= apart.abs().sum().item() + 1e-12


def test_ebgan_loss_at_equilibrium_is_the_margin() -> None:
    """Zhao et al. 2017, theorem 1: if p_g = p_data, V = margin for any energy between 0 and the margin."""
    objective = objectives.adversarial("ebgan", margin=2.0)
    for energies in torch.rand(10, 3, dtype=torch.float64) * 2:
        assert objective.discriminator(energies[REAL], energies[REAL]).item() == pytest.approx(2.0)
    # Lemma 1: energy = margin where fake is likelier, 0 elsewhere.
    scores = torch.where(P < Q, 2.0, 0.0).double()
    least = objective.discriminator(scores[REAL], scores[FAKE])
    for energies in torch.rand(50, 3, dtype=torch.float64) * 3:
        assert objective.discriminator(energies[REAL], energies[FAKE]) >= least


def test_relativistic_gradient_vanishes_for_equal_scores() -> None:
    for name in ("relativistic", "relativistic-average"):
        objective = objectives.adversarial(name)
        same = torch.zeros(4, requires_grad=True)
        loss = objective.discriminator(same, same)
        (gradient,) = torch.autograd.grad(loss, same)
        assert loss.item() == pytest.approx(torch.tensor(2.0).log().item()) and gradient.abs().max() < 1e-7


def test_loss_sensitive_loss_is_zero_once_the_margin_is_reached() -> None:
    objective = objectives.adversarial("loss-sensitive")
    x, g = torch.tensor([0.0, 1.0]), torch.tensor([3.0, 0.5])
    distance = (x - g).abs()
    scores = -distance  # fake scores; with real scores of 0, exactly the required margin
    assert objective.discriminator(torch.zeros(2), scores, distance).item() == 0
    assert objective.discriminator(torch.zeros(2), scores + 0.1, distance).item() == pytest.approx(0.1)
