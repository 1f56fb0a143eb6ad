"""A small classifier that learns from real pictures which style is which, to ask it about translated ones."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from img2img.data.folders import read_rgb
from img2img.data.layouts import at_most
from img2img.errors import DataError
from img2img.evaluation.cases import Picture

SIDE = 128
"""Pixels that pictures are brought to: at 64, shadings and line ends that tell drawings apart are gone."""
MOST = 1300
"""Pictures of a style that are learned from; of more, these are taken by a hash of the name."""
FEATURES = (16, 32, 64, 128)
BATCH = 32
STEPS = 1400
RATE = 3e-3
ZOOM, SHIFT, BLUR, NOISE = 0.15, 3.0, 0.8, 0.05
"""How much a picture is disguised at most: a share of its size, pixels, pixels (sigma), and a share of -1..1."""


class Recogniser:
    """Says of pictures, uint8 RGB `[H, W, 3]` of any size, the number of the style they are taken for."""

    def __init__(self, network: nn.Sequential) -> None:
        self.network = network.eval()

    def __call__(self, pictures: Sequence[Picture]) -> NDArray[np.int64]:
        return np.asarray(self._seen(self.network, pictures).argmax(1), np.int64)

    def features(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """`[N, D]`: what the last layer sees, each feature with mean 0 and variance 1 over what it was trained on."""
        return self._seen(self.network[:-1], pictures)

    def _seen(self, network: nn.Module, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        found = []
        with torch.inference_mode():
            for start in range(0, len(pictures), BATCH):
                found.append(network(_signed([_small(one) for one in pictures[start : start + BATCH]])))
        return np.asarray(torch.cat(found).numpy(), np.float32)


def learn(
    styles: Sequence[Sequence[Path]],
    *,
    seed: int = 0,
    steps: int = STEPS,
    threads: int | None = None,
    tick: Callable[[int, float], None] = lambda step, loss: None,
) -> Recogniser:
    """Train on real pictures: four convolutions, AdamW, `steps` batches of 32, styles alike often; about two minutes on
    one CPU core. A pure function of the files and `seed`, on one machine.

    What it sees is disguised: mirrored, moved and zoomed between pixels, blurred and made noisy, to a random degree, so
    that it goes by the drawing and not by how a file was antialiased, quantised or compressed. A generator could
    reproduce none of that, or all of it without the drawing.

    Args:
        styles: the files of each style.
        threads: bounds the CPU threads of torch, for the whole process.
        tick: told the step and its loss.

    Raises:
        DataError: there are fewer than two styles, or one has no pictures.
        PictureError: a file cannot be read.
    """
    if len(styles) < 2 or not all(styles):
        raise DataError("a classifier needs two styles or more, and pictures of each to learn from")
    if threads:
        torch.set_num_threads(threads)
    chosen = [at_most(paths, [path.stem for path in paths], MOST) for paths in styles]
    pictures = [[_small(read_rgb(path)) for path in paths] for paths in chosen]
    rng = np.random.default_rng(seed)
    turns = [_turns(len(paths), rng) for paths in chosen]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(len(styles)).to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
        for step in range(steps):
            truth = rng.integers(len(styles), size=BATCH)
            batch = _signed([_disguised(pictures[k][next(turns[k])], rng) for k in truth])
            # Not randn_like: torch fills what is contiguous eight times as fast.
            noise = torch.randn(BATCH, SIDE, SIDE, 3).permute(0, 3, 1, 2)
            batch += noise * torch.rand(BATCH, 1, 1, 1) * NOISE
            said = network(batch)
            loss = nn.functional.cross_entropy(said, torch.from_numpy(truth), label_smoothing=0.05)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            tick(step + 1, float(loss.detach()))
    return Recogniser(network)


class _MeanAndMax(nn.Module):
    """`[N, C, H, W]` to `[N, 2 C]`: what a style does everywhere, and what it does somewhere."""

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)


def _network(classes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for features in FEATURES:
        layers += [nn.Conv2d(channels, features, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(features)]
        layers += [nn.ReLU(inplace=True)]
        channels = features
    pooled = (_MeanAndMax(), nn.BatchNorm1d(2 * channels, affine=False))
    return nn.Sequential(*layers, *pooled, nn.Linear(2 * channels, classes))


def _turns(count: int, rng: np.random.Generator) -> Iterator[int]:
    """Places of pictures without end, each as often as the others."""
    while True:
        yield from rng.permutation(count).tolist()


def _small(picture: Picture) -> Picture:
    way = cv2.INTER_AREA if min(picture.shape[:2]) >= SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), (SIDE, SIDE), interpolation=way), np.uint8)


def _signed(pictures: Sequence[Picture]) -> Tensor:
    """uint8 `[H, W, 3]` each, as float32 `[N, 3, H, W]` in -1..1, channels last in memory."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def _disguised(picture: Picture, rng: np.random.Generator) -> Picture:
    zoom, across, down = rng.uniform((1 - ZOOM, -SHIFT, -SHIFT), (1 + ZOOM, SHIFT, SHIFT))
    turned, middle = zoom * rng.choice((-1, 1)), (SIDE - 1) / 2
    matrix = np.array([[turned, 0, middle * (1 - turned) + across], [0, zoom, middle * (1 - zoom) + down]])
    seen = cv2.warpAffine(picture, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(seen, (5, 5), rng.uniform(0.2, BLUR)), np.uint8)
