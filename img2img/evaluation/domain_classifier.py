"""A small classifier of domains. It is trained on real pictures and then judges translated ones."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from img2img.data.folders import Reading, read_rgb
from img2img.data.layouts import at_most
from img2img.errors import DataError
from img2img.evaluation.results import Picture
from img2img.evaluation.small_pictures import resized, to_batch
from img2img.text import nfc

SIDE = 128
"""Side in pixels that pictures are resized to. At 64, the shading and line ends that distinguish drawings are lost."""
MAX_PICTURES = 1300
"""The most pictures per domain to train on. If there are more, a hash of the name selects them."""
FEATURES = (16, 32, 64, 128)
BATCH = 32
STEPS = 1400
LEARNING_RATE = 3e-3
MAX_ZOOM = 0.15
"""Strongest augmentation, as a share of the size."""
MAX_SHIFT = 3.0
"""Strongest augmentation, in pixels."""
MIN_BLUR, MAX_BLUR = 0.2, 0.8
"""Weakest and strongest augmentation, sigma in pixels."""
MAX_NOISE = 0.05
"""Strongest augmentation, as the deviation of values -1..1."""


class DomainClassifier:
    """Returns the index of the domain of each picture, uint8 RGB `[H, W, 3]` of any size."""

    def __init__(self, network: nn.Sequential) -> None:
        self.network = network.eval()

    def __call__(self, pictures: Sequence[Picture]) -> NDArray[np.int64]:
        return np.asarray(self._run(self.network, pictures).argmax(1), np.int64)

    def features(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """The input of the last layer, `[N, D]`. Each feature has mean 0 and variance 1 over the training pictures."""
        return self._run(self.network[:-1], pictures)

    def _run(self, network: nn.Module, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        found = []
        with torch.inference_mode():
            for start in range(0, len(pictures), BATCH):
                found.append(network(to_batch([resized(one, SIDE) for one in pictures[start : start + BATCH]])))
        return np.asarray(torch.cat(found).numpy(), np.float32)


def train(
    domains: Sequence[Sequence[Path]],
    *,
    readers: Sequence[Callable[[Path, Reading], Picture]] | None = None,
    seed: int = 0,
    steps: int = STEPS,
    threads: int | None = None,
    reading: Reading = Reading(),
    tick: Callable[[int, float], None] = lambda step, loss: None,
) -> DomainClassifier:
    """Train a classifier on real pictures, see `fit`.

    Args:
        domains: the files of each domain.
        readers: for each domain, how a picture is read or made from its file. None: `read_rgb` for all.
        seed, steps, threads, tick: see `fit`.

    Raises:
        DataError: there are fewer than two domains, or one has no pictures.
        PictureError: a file cannot be read.
    """
    chosen = [at_most(paths, [nfc(path.stem) for path in paths], MAX_PICTURES) for paths in domains]
    readers = readers or [read_rgb] * len(domains)
    pictures = [
        [resized(read(path, reading), SIDE) for path in paths] for read, paths in zip(readers, chosen, strict=True)
    ]
    return fit(pictures, seed=seed, steps=steps, threads=threads, tick=tick)


def fit(
    pictures: Sequence[Sequence[Picture]],
    *,
    seed: int = 0,
    steps: int = STEPS,
    threads: int | None = None,
    tick: Callable[[int, float], None] = lambda step, loss: None,
) -> DomainClassifier:
    """Train a classifier with four convolutions.

    Uses AdamW and `steps` batches of 32 with all domains equally frequent. Takes about two minutes on one CPU core. On
    one machine, the result depends only on the pictures and on `seed`.

    Pictures are mirrored, shifted and zoomed with sub-pixel precision, blurred and made noisy, all at random. So the
    classifier has to look at the content, not at how a file was antialiased, quantised or compressed. A generator may
    reproduce none of these traces, or reproduce them without the content.

    Args:
        pictures: the pictures of each domain.
        threads: limits the CPU threads of torch, for the whole process.
        tick: called with each step and its loss.

    Raises:
        DataError: there are fewer than two domains, or one has no pictures.
    """
    if len(pictures) < 2 or not all(pictures):
        raise DataError("a classifier needs at least two domains, and pictures of each to train on")
    if threads:
        torch.set_num_threads(min(threads, os.cpu_count() or 1))
    pictures = [[resized(one, SIDE) for one in domain] for domain in pictures]
    rng = np.random.default_rng(seed)
    orders = [_endless_order(len(domain), rng) for domain in pictures]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(len(pictures)).to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
        for step in range(steps):
            truth = rng.integers(len(pictures), size=BATCH)
            batch = to_batch([_augmented(pictures[k][next(orders[k])], rng) for k in truth])
            # Not randn_like: torch fills contiguous tensors eight times as fast.
            noise = torch.randn(BATCH, SIDE, SIDE, 3).permute(0, 3, 1, 2)
            batch += noise * torch.rand(BATCH, 1, 1, 1) * MAX_NOISE
            logits = network(batch)
            loss = nn.functional.cross_entropy(logits, torch.from_numpy(truth), label_smoothing=0.05)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            tick(step + 1, float(loss.detach()))
    return DomainClassifier(network)


class _MeanAndMax(nn.Module):
    """`[N, C, H, W]` to `[N, 2 C]`: what is typical of the whole picture, and what occurs anywhere in it."""

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


def _endless_order(count: int, rng: np.random.Generator) -> Iterator[int]:
    """Indices of pictures in random order without end, all equally frequent."""
    while True:
        yield from rng.permutation(count).tolist()


def _augmented(picture: Picture, rng: np.random.Generator) -> Picture:
    """`picture` mirrored, shifted, zoomed and blurred at random."""
    low, high = (1 - MAX_ZOOM, -MAX_SHIFT, -MAX_SHIFT), (1 + MAX_ZOOM, MAX_SHIFT, MAX_SHIFT)
    zoom, shift_x, shift_y = rng.uniform(low, high)
    zoom_x, centre = zoom * rng.choice((-1, 1)), (SIDE - 1) / 2
    matrix = np.array([[zoom_x, 0, centre * (1 - zoom_x) + shift_x], [0, zoom, centre * (1 - zoom) + shift_y]])
    warped = cv2.warpAffine(picture, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(warped, (5, 5), rng.uniform(MIN_BLUR, MAX_BLUR)), np.uint8)
