"""Adversarial objectives: losses against hand-computed values, the signs of gradients, and the common interface."""

import math

import pytest
import torch

from img2img import objectives
from img2img.errors import ConfigError
from img2img.objectives.game import Adversarial

REAL, FAKE = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def mean(*values: float) -> float:
    return sum(values) / len(values)


E = math.e
D_LOGISTIC = mean(softplus(-2), softplus(0)) + mean(softplus(-1), softplus(1))
VALUES = [
    # name, options, discriminator's loss, generator's loss
    ("minimax", {}, D_LOGISTIC, -mean(softplus(-1), softplus(1))),
    ("non-saturating", {}, D_LOGISTIC, mean(softplus(1), softplus(-1))),
    ("dragan", {}, D_LOGISTIC, mean(softplus(1), softplus(-1))),
    # a real label of 0.9: -0.9 log s(x) - 0.1 log(1 - s(x))
    (
        "non-saturating",
        {"smoothing": 0.1},
        mean(0.9 * softplus(-2) + 0.1 * softplus(2), softplus(0)) + mean(softplus(-1), softplus(1)),
        mean(softplus(1), softplus(-1)),
    ),
    ("lsgan", {}, (mean(1, 1) + mean(1, 1)) / 2, mean(4, 0)),
    ("lsgan", {"a": -1.0, "b": 1.0, "c": 0.0}, (mean(1, 1) + mean(0, 4)) / 2, mean(1, 1)),
    ("hinge", {}, mean(0, 1) + mean(0, 2), 0.0),
    ("wgan", {}, -1.0, 0.0),
    ("wgan-gp", {}, -1.0, 0.0),
    ("relativistic", {}, mean(softplus(-3), softplus(1)), mean(softplus(3), softplus(-1))),
    # real - E fake: 2, 0; fake - E real: -2, 0
    ("relativistic-average", {}, (mean(softplus(-2), softplus(0)) * 2) / 2, mean(softplus(2), softplus(0))),
    ("f-gan", {"divergence": "kl"}, mean(E**-2, 1) - 1, 0.0),
    ("f-gan", {"divergence": "kl", "trick": False}, mean(E**-2, 1) - 1, -mean(E**-2, 1)),
    ("f-gan", {"divergence": "reverse-kl"}, -1 + mean(E**-2, 1), mean(E, 1 / E)),
    ("f-gan", {"divergence": "pearson"}, mean(-0.75, 1.25) - 1, 0.0),
    ("f-gan", {"divergence": "hellinger"}, mean(1 / E, E) - 1 - 1 + mean(E**-2, 1), mean(E, 1 / E) - 1),
    ("f-gan", {}, D_LOGISTIC - 2 * math.log(2), mean(softplus(1), softplus(-1)) - math.log(2)),
]
# Each objective once with its defaults, and each divergence.
OBJECTIVES = {(name, options.get("divergence", "")): (name, options) for name, options, *_ in reversed(VALUES)}
ENERGIES = ("ebgan", "began")


@pytest.mark.parametrize(("name", "options", "discriminator", "generator"), VALUES)
def test_losses_equal_hand_computed_values(
    name: str, options: dict[str, float], discriminator: float, generator: float
) -> None:
    objective = objectives.adversarial(name, **options)
    assert objective.discriminator(REAL, FAKE).item() == pytest.approx(discriminator, rel=1e-5)
    assert objective.generator(FAKE, REAL).item() == pytest.approx(generator, rel=1e-5, abs=1e-6)
    if not objective.needs_real:
        assert objective.generator(FAKE).item() == objective.generator(FAKE, REAL).item()


def test_ebgan_equals_hand_computed_values() -> None:
    objective = objectives.adversarial("ebgan", margin=2.0)
    real, fake = torch.tensor([0.5, 1.0]), torch.tensor([1.5, 3.0])
    assert objective.discriminator(real, fake).item() == pytest.approx(0.75 + mean(0.5, 0))
    assert objective.generator(fake).item() == pytest.approx(2.25)


def test_began_updates_and_clamps_k() -> None:
    objective = objectives.adversarial("began", gamma=0.5, rate=0.1)
    real, fake = torch.tensor([4.0, 2.0]), torch.tensor([0.5, 1.5])
    # k is 0 in the first update and 0.1 * (0.5 * 3 - 1) = 0.05 in the second.
    assert objective.discriminator(real, fake).item() == pytest.approx(3)
    assert objective.k.item() == pytest.approx(0.05)
    assert objective.convergence.item() == pytest.approx(3 + 0.5)
    assert objective.discriminator(real, fake).item() == pytest.approx(3 - 0.05 * 1)
    assert objective.k.item() == pytest.approx(0.1)
    assert objective.generator(fake).item() == pytest.approx(1)
    for _ in range(5):
        objective.discriminator(fake, 10 * real)
    assert objective.k.item() == 0, "k stays in 0..1"
    for _ in range(5):
        objective.discriminator(100 * real, fake)
    assert objective.k.item() == 1
    objective.eval()
    objective.discriminator(fake, 10 * real)
    assert objective.k.item() == 1, "eval mode does not change k"
    resumed = objectives.adversarial("began", gamma=0.5, rate=0.1)
    resumed.load_state_dict(objective.state_dict())
    assert resumed.k.item() == 1 and resumed.convergence.item() == objective.convergence.item()


def test_began_is_differentiable_while_k_changes() -> None:
    objective = objectives.adversarial("began", rate=0.1)
    objective.k.fill_(0.5)
    fake = torch.ones(2, requires_grad=True)
    objective.discriminator(torch.full((2,), 3.0), fake).backward()
    assert torch.equal(fake.grad, torch.full((2,), -0.25)), "the gradient uses the old k"


def test_loss_sensitive_equals_hand_computed_values() -> None:
    objective = objectives.adversarial("loss-sensitive", margin=2.0)
    distance = torch.tensor([0.5, 2.0])
    # margin * distance - D(x) + D(G): 1 - 3 < 0, 4 + 1
    assert objective.discriminator(REAL, FAKE, distance).item() == pytest.approx(mean(0, 5))
    assert objective.generator(FAKE).item() == 0
    weighted = objectives.adversarial("loss-sensitive", margin=2.0, gamma=0.1)
    assert weighted.discriminator(REAL, FAKE, distance).item() == pytest.approx(mean(0, 5) - 0.1)
    # A map is averaged per picture before the margin applies.
    maps = torch.tensor([[[[1.0, 3.0]]], [[[-1.0, 1.0]]]])
    assert objective.discriminator(maps, FAKE, distance).item() == pytest.approx(mean(0, 5))
    with pytest.raises(ValueError, match="needs the distance"):
        objective.discriminator(REAL, FAKE)


def all_objectives() -> list[Adversarial]:
    tabulated = [objectives.adversarial(name, **options) for name, options in OBJECTIVES.values()]
    return [*tabulated, *(objectives.adversarial(name) for name in (*ENERGIES, "loss-sensitive"))]


def objective_id(objective: Adversarial) -> str:
    return f"{type(objective).__name__} {getattr(objective, 'divergence', '')}".strip()


def test_every_registered_objective_is_tested() -> None:
    assert {name for name, _ in OBJECTIVES.values()} | {*ENERGIES, "loss-sensitive"} == set(objectives.ADVERSARIAL)


@pytest.mark.parametrize("objective", all_objectives(), ids=objective_id)
def test_gradients_point_the_right_way(objective: Adversarial) -> None:
    """D raises real scores and lowers fake ones, G raises the scores of its pictures; energies have the other sign."""
    sign = -1.0 if objective.energy else 1.0
    if hasattr(objective, "k"):
        objective.k.fill_(0.5)
    real, fake = torch.tensor([0.4, 0.6], requires_grad=True), torch.tensor([0.5, 0.3], requires_grad=True)
    grad_real, grad_fake = torch.autograd.grad(objective.discriminator(real, fake, torch.ones(2)), (real, fake))
    assert (sign * grad_real < 0).all() and (sign * grad_fake > 0).all()
    (grad_generator,) = torch.autograd.grad(objective.generator(fake, real.detach()), fake)
    assert (sign * grad_generator < 0).all()


@pytest.mark.parametrize("objective", all_objectives(), ids=objective_id)
def test_losses_are_averaged_over_maps_and_summed_over_scales(objective: Adversarial) -> None:
    torch.manual_seed(0)
    objective.eval()
    real, fake = [torch.rand(3, 1, 4, 4), torch.rand(3, 1, 2, 2)], [torch.rand(3, 1, 4, 4), torch.rand(3, 1, 2, 2)]
    distance = torch.rand(3)
    apart = [objective.discriminator(r, f, distance) for r, f in zip(real, fake, strict=True)]
    assert objective.discriminator(real, fake, distance).item() == pytest.approx(sum(apart).item(), rel=1e-5, abs=1e-6)
    alone = [objective.generator(f, r) for r, f in zip(real, fake, strict=True)]
    assert objective.generator(fake, real).item() == pytest.approx(sum(alone).item(), rel=1e-5, abs=1e-6)
    shares = [torch.stack(objective.accuracies(r, f)) for r, f in zip(real, fake, strict=True)]
    assert torch.allclose(torch.stack(objective.accuracies(real, fake)), sum(shares) / 2)
    column = objective.discriminator(real[1][:, :, 0, 0], fake[1][:, :, 0, 0], distance)
    assert column.item() == objective.discriminator(real[1][:, 0, 0, 0], fake[1][:, 0, 0, 0], distance).item()


@pytest.mark.parametrize("objective", all_objectives(), ids=objective_id)
def test_half_precision_scores_are_computed_in_float32(objective: Adversarial) -> None:
    real, fake = torch.tensor([12.0, 0.5]).half(), torch.tensor([11.5, 1.0]).half()  # exp(12) overflows
    for loss in (objective.discriminator(real, fake, torch.ones(2)), objective.generator(fake, real)):
        assert loss.dtype == torch.float32 and loss.isfinite()


@pytest.mark.parametrize("objective", all_objectives(), ids=objective_id)
def test_accuracies_show_which_side_wins(objective: Adversarial) -> None:
    low, high = torch.tensor([-3.0, -2.0, -4.0]), torch.tensor([3.0, 4.0, 2.0])
    real, fake = (high + 5, low + 5) if not objective.energy else (low + 5, high + 5)
    if not objective.energy and not torch.is_tensor(objective._threshold(real, fake)):
        real, fake = high, low  # a fixed threshold
    assert [share.item() for share in objective.accuracies(real, fake)] == [1, 1]
    assert [share.item() for share in objective.accuracies(fake, real)] == [0, 0]


def test_each_objective_has_its_own_threshold() -> None:
    half = objectives.adversarial("lsgan")
    assert [s.item() for s in half.accuracies(torch.tensor([0.6, 0.4]), torch.tensor([0.1, 0.2]))] == [0.5, 1]
    inverted = objectives.adversarial("lsgan", a=1.0, b=0.0, c=0.0)
    assert [s.item() for s in inverted.accuracies(torch.tensor([0.6, 0.4]), torch.tensor([0.1, 0.2]))] == [0.5, 0]
    kl = objectives.adversarial("f-gan", divergence="kl")  # f'(1) = 1
    assert [s.item() for s in kl.accuracies(torch.tensor([0.9, 1.1]), torch.tensor([0.9, 0.8]))] == [0.5, 1]
    average = objectives.adversarial("relativistic-average")
    assert [s.item() for s in average.accuracies(torch.tensor([5.0, 1.0]), torch.tensor([2.0, 4.0]))] == [0.5, 0.5]


def test_objectives_declare_what_they_need() -> None:
    built = {name: objectives.adversarial(name) for name in objectives.ADVERSARIAL}
    assert {name for name, o in built.items() if o.needs_real} == {"relativistic", "relativistic-average"}
    assert {name for name, o in built.items() if o.energy} == {"ebgan", "began"}
    assert {name: o.penalty for name, o in built.items() if o.penalty} == {"wgan-gp": "gradient", "dragan": "dragan"}
    assert {name: o.clip for name, o in built.items() if o.clip is not None} == {"wgan": 0.01}
    assert {name for name, o in built.items() if o.paired_samples} == {"loss-sensitive"}
    with pytest.raises(ValueError, match="needs real scores"):
        built["relativistic"].generator(FAKE)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gan", {}, "unknown adversarial objective 'gan'; choose from minimax, non-saturating"),
        ("hinge", {"margin": 1.0}, "adversarial objective 'hinge' has no option 'margin'; it takes no options"),
        ("lsgan", {"d": 1.0}, "has no option 'd'; its options are a, b, c"),
        ("lsgan", {"a": 1.0}, "both 1.0"),
        ("wgan", {"clip": 0.0}, "clip = 0.0 must be above 0"),
        ("minimax", {"smoothing": 1.0}, "smoothing = 1.0 must be"),
        ("f-gan", {"divergence": "js"}, "unknown divergence 'js'; choose from kl, reverse-kl, pearson, hellinger"),
        ("ebgan", {"margin": 0.0}, "margin = 0.0 must be above 0"),
        ("began", {"gamma": -1.0}, "gamma = -1.0"),
        ("loss-sensitive", {"margin": 0.0}, "margin = 0.0 must be above 0"),
    ],
)
def test_errors_name_unknown_objectives_and_bad_options(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        objectives.adversarial(name, **options)
