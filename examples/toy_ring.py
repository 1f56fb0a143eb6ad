"""The toy experiment of Bao's doctoral thesis (section 3.4.1; CVAE-GAN, Bao et al. 2017): a GAN, a WGAN and feature
matching learn a ring, each with ten seeds.

python examples/toy_ring.py [--seeds 10] [--steps 20000] [--every 5000] [--rate 5e-5] [--only NAME ...]

As published: two random numbers in, a generator with layers of 32, 64, 64 and 2 units, a discriminator with 32, 64, 64
and 1, RMSProp with a rate of 5e-5, and a ring around (100, 100). Its radius is not published and is 30 here, with a
standard deviation of 1. Activations and batch size are not published either: ReLU and 64. Only the losses differ.

All seeds train at once, each with weights of its own. A seed has collapsed if its samples cover less than half of the
ring: of 32 equal arcs, those count that have at least a tenth of their share of the samples within 10 % of the radius.
"""

import argparse
import time
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CENTRE, RADIUS, DEVIATION = 100.0, 30.0, 1.0
BATCH, SAMPLES, ARCS = 64, 2560, 32
CLIP, CRITIC_STEPS = 0.01, 5


class Networks(nn.Module):
    """One network of linear layers for each seed.

    Input `[seeds, N, widths[0]]`, output `[seeds, N, widths[-1]]`, and the input of the last layer.
    """

    def __init__(self, seeds: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(widths):
            bound = inputs**-0.5  # as nn.Linear begins
            self.weights.append(torch.empty(seeds, inputs, outputs).uniform_(-bound, bound))
            self.biases.append(torch.empty(seeds, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        *hidden, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in hidden:
            x = torch.baddbmm(bias, x, weight).relu()
        return torch.baddbmm(last[1], x, last[0]), x


class Losses(NamedTuple):
    """The losses of discriminator and generator, from scores and features of real and generated points."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor, Tensor], Tensor]
    clips: bool = False


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    return (F.softplus(-real) + F.softplus(fake)).mean(1).sum()


LOSSES = {
    "GAN, minimax": Losses(cross_entropy, lambda fake, f_real, f_fake: -F.softplus(fake).mean(1).sum()),
    "GAN, non-saturating": Losses(cross_entropy, lambda fake, f_real, f_fake: F.softplus(-fake).mean(1).sum()),
    "WGAN": Losses(
        lambda real, fake: (fake.mean(1) - real.mean(1)).sum(), lambda fake, f_real, f_fake: -fake.mean(1).sum(), True
    ),
    "feature matching": Losses(
        cross_entropy, lambda fake, f_real, f_fake: (f_real.mean(1) - f_fake.mean(1)).square().sum() / 2
    ),
}


def draw_ring(seeds: int, count: int = BATCH) -> Tensor:
    angle = 2 * torch.pi * torch.rand(seeds, count)
    radius = RADIUS + DEVIATION * torch.randn(seeds, count)
    return CENTRE + radius[..., None] * torch.stack([angle.cos(), angle.sin()], 2)


def train(losses: Losses, seeds: int, steps: int, every: int, rate: float, show: Callable[[int, Tensor], None]) -> None:
    """Train `seeds` pairs of networks. `show` gets step and samples `[seeds, SAMPLES, 2]`, every `every` steps."""
    torch.manual_seed(0)
    generator, discriminator = Networks(seeds, (2, 32, 64, 64, 2)), Networks(seeds, (2, 32, 64, 64, 1))
    networks = generator, discriminator
    optimisers = [torch.optim.RMSprop(network.parameters(), rate, foreach=True) for network in networks]

    def update(which: int, loss: Tensor) -> None:
        optimisers[which].zero_grad()
        loss.backward()
        optimisers[which].step()

    for step in range(1, steps + 1):
        for _ in range(CRITIC_STEPS if losses.clips else 1):
            with torch.no_grad():
                fake, _ = generator(torch.randn(seeds, BATCH, 2))
            update(1, losses.discriminator(discriminator(draw_ring(seeds))[0], discriminator(fake)[0]))
            if losses.clips:
                with torch.no_grad():
                    torch._foreach_clamp_min_(list(discriminator.parameters()), -CLIP)
                    torch._foreach_clamp_max_(list(discriminator.parameters()), CLIP)
        fake, _ = generator(torch.randn(seeds, BATCH, 2))
        discriminator.requires_grad_(False)
        with torch.no_grad():
            _, features_real = discriminator(draw_ring(seeds))
        scores, features_fake = discriminator(fake)
        update(0, losses.generator(scores, features_real, features_fake))
        discriminator.requires_grad_(True)
        if step % every == 0 or step == steps:
            with torch.no_grad():
                show(step, generator(torch.randn(seeds, SAMPLES, 2))[0])


def arcs_covered(points: Tensor) -> Tensor:
    """The number of covered arcs for each seed, int64 `[seeds]`, from samples `[seeds, N, 2]`."""
    x, y = (points - CENTRE).unbind(2)
    arc = (torch.atan2(y, x) / (2 * torch.pi) % 1 * ARCS).long().clamp_max(ARCS - 1)
    near = ((x**2 + y**2).sqrt() - RADIUS).abs() <= 0.1 * RADIUS
    counts = torch.zeros(len(points), ARCS).scatter_add_(1, arc, near.float())
    return (counts >= 0.1 * points.shape[1] / ARCS).sum(1)


def share_on_ring(points: Tensor) -> Tensor:
    """The share of samples within 10 % of the radius, for each seed."""
    return (((points - CENTRE).norm(dim=2) - RADIUS).abs() <= 0.1 * RADIUS).float().mean(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=20_000, help="generator updates")
    parser.add_argument("--every", type=int, default=5000, help="steps between measurements")
    parser.add_argument("--rate", type=float, default=5e-5, help="learning rate of RMSProp")
    parser.add_argument("--only", nargs="+", choices=list(LOSSES), default=list(LOSSES), metavar="NAME")
    options = parser.parse_args()
    print("| losses | step | collapsed | arcs of 32, median | on the ring, median | CPU s, all seeds |")
    print("|---|---|---|---|---|---|")
    for name in options.only:
        began = time.process_time()

        def show(step: int, points: Tensor, name: str = name, began: float = began) -> None:
            arcs, share = arcs_covered(points), share_on_ring(points)
            collapsed = int((arcs < ARCS / 2).sum())
            seconds = time.process_time() - began
            print(
                f"| {name} | {step} | {collapsed} of {len(arcs)} | {arcs.median()} | {100 * share.median():.0f} % | "
                f"{seconds:.0f} |",
                flush=True,
            )

        train(LOSSES[name], options.seeds, options.steps, options.every, options.rate, show)


if __name__ == "__main__":
    main()
