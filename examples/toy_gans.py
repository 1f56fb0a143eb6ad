"""Trains every adversarial objective on two-dimensional data, where modes can be counted.

python examples/toy_gans.py [--seeds 0,1] [--steps 2500] [--only NAME ...] [--json FILE]

There are two data sets: eight Gaussians on a circle of radius 2 (standard deviation 0.02; Metz et al. 2017, Unrolled
GANs), and the circle itself (radial standard deviation 0.05). Of 2500 samples, those within three standard deviations
of the data are of high quality. A mode (a Gaussian, or one of 32 equal arcs of the circle) is covered if a high-quality
sample lies in it (Srivastava et al. 2017, VEEGAN, section 5; Lin et al. 2018, PacGAN). KL compares the modes of the
high-quality samples with the uniform distribution, in nats: 0 is an even spread.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from img2img import objectives
from img2img.objectives.feature_matching import FeatureMatching
from img2img.objectives.recorder import Recorder

RADIUS, LATENT, BATCH, SAMPLES = 2.0, 2, 256, 2500


class Score(NamedTuple):
    modes: int
    quality: float
    kl: float


@dataclass(frozen=True)
class Data:
    """Draws real points, and says which mode a point belongs to and how far it is off, in standard deviations."""

    modes: int
    sample: Callable[[int], Tensor]
    judge: Callable[[Tensor], tuple[Tensor, Tensor]]

    def score(self, points: Tensor) -> Score:
        mode, deviations = self.judge(points)
        good = mode[deviations <= 3]
        counts = torch.bincount(good, minlength=self.modes)
        shares = counts[counts > 0] / max(len(good), 1)
        kl = (shares * (shares * self.modes).log()).sum().item() if len(good) else math.inf
        return Score(int((counts > 0).sum()), len(good) / len(points), kl)


def gaussians(modes: int = 8, deviation: float = 0.02) -> Data:
    angles = torch.arange(modes) * 2 * math.pi / modes
    centres = RADIUS * torch.stack([angles.cos(), angles.sin()], 1)

    def sample(n: int) -> Tensor:
        return centres[torch.randint(modes, (n,))] + deviation * torch.randn(n, 2)

    def judge(points: Tensor) -> tuple[Tensor, Tensor]:
        distance, mode = torch.cdist(points, centres).min(1)
        return mode, distance / deviation

    return Data(modes, sample, judge)


def ring(arcs: int = 32, deviation: float = 0.05) -> Data:
    def sample(n: int) -> Tensor:
        angle, radius = 2 * math.pi * torch.rand(n), RADIUS + deviation * torch.randn(n)
        return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)

    def judge(points: Tensor) -> tuple[Tensor, Tensor]:
        angle = torch.atan2(points[:, 1], points[:, 0]) % (2 * math.pi)
        mode = (angle / (2 * math.pi) * arcs).long().clamp_max(arcs - 1)
        return mode, (points.norm(dim=1) - RADIUS).abs() / deviation

    return Data(arcs, sample, judge)


DATA = {"8 Gaussians": gaussians, "ring": ring}


@dataclass(frozen=True)
class Setting:
    """One row of the table: the objective, and how its paper changes the training."""

    objective: str
    options: dict[str, Any] = field(default_factory=dict)
    rate: float = 1e-3
    discriminator_steps: int = 1
    penalty: str | None = None
    penalty_weight: float = 10.0
    feature_matching: bool = False


SETTINGS = {
    "minimax": Setting("minimax"),
    "non-saturating": Setting("non-saturating"),
    "non-saturating + r1": Setting("non-saturating", penalty="r1", penalty_weight=0.1),
    "lsgan": Setting("lsgan"),
    "wgan": Setting("wgan", {"clip": 0.1}, discriminator_steps=5),
    "wgan-gp": Setting("wgan-gp", discriminator_steps=3, penalty_weight=0.1),
    "dragan": Setting("dragan", penalty_weight=0.1),
    "dragan, weight 10": Setting("dragan"),
    "hinge": Setting("hinge"),
    "relativistic": Setting("relativistic"),
    "relativistic-average": Setting("relativistic-average"),
    "f-gan kl": Setting("f-gan", {"divergence": "kl"}),
    "f-gan kl, strict": Setting("f-gan", {"divergence": "kl", "trick": False}),
    "f-gan reverse-kl": Setting("f-gan", {"divergence": "reverse-kl"}),
    "f-gan pearson": Setting("f-gan", {"divergence": "pearson"}),
    "f-gan pearson, strict": Setting("f-gan", {"divergence": "pearson", "trick": False}),
    "f-gan hellinger": Setting("f-gan", {"divergence": "hellinger"}),
    "f-gan jensen-shannon": Setting("f-gan", {"divergence": "jensen-shannon"}),
    "ebgan": Setting("ebgan", {"margin": 0.3}),
    "began": Setting("began", {"gamma": 0.9, "rate": 0.01}),
    "loss-sensitive": Setting("loss-sensitive"),
    "feature matching only": Setting("non-saturating", feature_matching=True),
}


def mlp(inputs: int, outputs: int, width: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    hidden = [nn.Linear(inputs, width), activation(), nn.Linear(width, width), activation()]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


class Energy(nn.Module):
    """Auto-encoder with a bottleneck of one number. Its mean absolute error is the energy of a point."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encode = mlp(2, 1, width, lambda: nn.LeakyReLU(0.2))
        self.decode = mlp(1, 2, width, lambda: nn.LeakyReLU(0.2))

    def forward(self, points: Tensor) -> Tensor:
        energy: Tensor = (self.decode(self.encode(points)) - points).abs().mean(1)
        return energy


def train(setting: Setting, data: Data, steps: int, seed: int, width: int = 64) -> nn.Module:
    """The generator after `steps` updates. The rate falls linearly over the second half."""
    torch.manual_seed(seed)
    objective = objectives.adversarial(setting.objective, **setting.options)
    generator = mlp(LATENT, 2, width, nn.ReLU)
    discriminator = Energy(width) if objective.energy else mlp(2, 1, width, lambda: nn.LeakyReLU(0.2))
    word = setting.penalty or objective.penalty
    penalty = objectives.penalty(word) if word else None
    matching = FeatureMatching("mean") if setting.feature_matching else None
    moves = [torch.optim.Adam(n.parameters(), setting.rate, (0.5, 0.9), fused=True) for n in (generator, discriminator)]
    falls = [torch.optim.lr_scheduler.LambdaLR(m, lambda s: min(1.0, 2 * (1 - s / max(steps, 1)))) for m in moves]

    def update(which: int, network: nn.Module, loss: Tensor) -> None:
        moves[which].zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)  # f-GAN's exponentials
        moves[which].step()

    for _ in range(steps):
        for _ in range(setting.discriminator_steps):
            real = data.sample(BATCH)
            with torch.no_grad():
                fake = generator(torch.randn(BATCH, LATENT))
            distance = (real - fake).abs().mean(1) if objective.paired_samples else None
            loss = objective.discriminator(discriminator(real), discriminator(fake), distance)
            if penalty:
                loss = loss + setting.penalty_weight * penalty(discriminator, real, fake)
            update(1, discriminator, loss)
            if objective.clip is not None:
                with torch.no_grad():
                    for parameter in discriminator.parameters():
                        parameter.clamp_(-objective.clip, objective.clip)
        real, fake = data.sample(BATCH), generator(torch.randn(BATCH, LATENT))
        discriminator.requires_grad_(False)
        if matching:
            recorder = Recorder(discriminator)
            loss = matching(recorder(real)[1], recorder(fake)[1])
        else:
            scores = discriminator(real) if objective.needs_real else None
            loss = objective.generator(discriminator(fake), scores)
        update(0, generator, loss)
        discriminator.requires_grad_(True)
        for fall in falls:
            fall.step()
    return generator


@torch.no_grad()
def sample(generator: nn.Module, n: int = SAMPLES) -> Tensor:
    points: Tensor = generator(torch.randn(n, LATENT))
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0, 1])
    parser.add_argument("--steps", type=int, default=2500, help="generator updates")
    parser.add_argument("--only", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), metavar="NAME")
    parser.add_argument("--json", type=Path, help="append a line per training")
    options = parser.parse_args()
    print("| objective | " + " | ".join(f"{d}: modes | quality | KL" for d in DATA) + " | CPU s |")
    print("|---|" + "---|" * (3 * len(DATA) + 1))
    for name in options.only:
        cells, began = [], time.process_time()
        for title, make in DATA.items():
            data, scores = make(), []
            for seed in options.seeds:
                scores.append(data.score(sample(train(SETTINGS[name], data, options.steps, seed))))
                if options.json:
                    with options.json.open("a") as lines:
                        lines.write(
                            json.dumps({"objective": name, "data": title, "seed": seed, **scores[-1]._asdict()}) + "\n"
                        )
            modes = sorted(score.modes for score in scores)
            quality = [100 * score.quality for score in scores]
            cells.append(
                f"{modes[0]}-{modes[-1]} of {data.modes} | {min(quality):.0f}-{max(quality):.0f} % | "
                f"{sum(score.kl for score in scores) / len(scores):.2f}"
            )
        seconds = (time.process_time() - began) / len(options.seeds) / len(DATA)
        print(f"| {name} | " + " | ".join(cells) + f" | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
