"""A small classifier that learns from real pictures which style is which, to ask it about translated ones."""

from collections.abc import Callable, Sequence
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

SIDE = 64
"""Pixels that pictures are brought to."""
MOST = 1300
"""Pictures of a style that are learned from; of more, these are taken by a hash of the name."""
BATCH = 64
STEPS = 800
RATE = 4e-3


class Recogniser:
    """Says of pictures, uint8 RGB `[H, W, 3]` of any size, the number of the style they are taken for."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval()

    def __call__(self, pictures: Sequence[Picture]) -> NDArray[np.int64]:
        found = []
        with torch.inference_mode():
            for start in range(0, len(pictures), BATCH):
                batch = torch.from_numpy(np.stack([_small(one) for one in pictures[start : start + BATCH]]))
                found.append(self.network(_signed(batch)).argmax(1))
        return np.asarray(torch.cat(found).numpy(), np.int64)


def learn(
    styles: Sequence[Sequence[Path]],
    *,
    seed: int = 0,
    steps: int = STEPS,
    tick: Callable[[int, float], None] = lambda step, loss: None,
) -> Recogniser:
    """Train on real pictures: four convolutions, AdamW, `steps` batches of 64, styles alike often; about a minute on
    one CPU core. A pure function of the files and `seed`, on one machine.

    What it sees is mirrored, shifted, and blurred and made noisy to a random degree, so that it goes by the drawing and
    not by how a file was antialiased or compressed, which no generator would reproduce.

    Args:
        styles: the files of each style.
        tick: told the step and its loss.

    Raises:
        DataError: there are fewer than two styles, or one has no pictures.
        PictureError: a file cannot be read.
    """
    if len(styles) < 2 or not all(styles):
        raise DataError("a classifier needs two styles or more, and pictures of each to learn from")
    chosen = [at_most(paths, [path.stem for path in paths], MOST) for paths in styles]
    pictures = [torch.from_numpy(np.stack([_small(read_rgb(path)) for path in paths])) for paths in chosen]
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(len(styles))
        optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
        for step in range(steps):
            truth = torch.from_numpy(rng.integers(len(styles), size=BATCH))
            batch = torch.stack([pictures[k][int(rng.integers(len(pictures[k])))] for k in truth.tolist()])
            loss = nn.functional.cross_entropy(network(_disguised(_signed(batch), rng)), truth, label_smoothing=0.05)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            tick(step + 1, float(loss.detach()))
    return Recogniser(network)


def _network(classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for features in (16, 32, 64, 96):
        layers += [nn.Conv2d(channels, features, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(features)]
        layers += [nn.ReLU(inplace=True)]
        channels = features
    # The strongest responses: a style shows in details (an outline, a gradient) wherever they are.
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def _small(picture: Picture) -> Picture:
    way = cv2.INTER_AREA if min(picture.shape[:2]) >= SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), (SIDE, SIDE), interpolation=way), np.uint8)


def _signed(batch: Tensor) -> Tensor:
    """uint8 `[N, H, W, 3]` as float32 `[N, 3, H, W]` in -1..1."""
    return batch.permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()


def _disguised(batch: Tensor, rng: np.random.Generator) -> Tensor:
    if rng.integers(2):
        batch = batch.flip(3)
    down, across = (int(shift) for shift in rng.integers(0, 3, 2))
    batch = nn.functional.pad(batch, (1, 1, 1, 1), mode="replicate")[..., down : down + SIDE, across : across + SIDE]
    share = torch.from_numpy(rng.uniform(0, 0.5, (len(batch), 1, 1, 1)).astype(np.float32))
    batch = torch.lerp(batch, nn.functional.avg_pool2d(batch, 3, 1, 1, count_include_pad=False), share)
    noise = torch.from_numpy(rng.standard_normal(batch.shape, np.float32))
    return batch + noise * torch.from_numpy(rng.uniform(0, 0.05, (len(batch), 1, 1, 1)).astype(np.float32))
