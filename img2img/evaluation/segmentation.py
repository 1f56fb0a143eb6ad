"""A segmentation network, trained on real photos and their label maps. It then judges made photos."""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from img2img.data import order
from img2img.errors import DataError
from img2img.evaluation.results import Picture
from img2img.evaluation.small_pictures import resized, to_batch
from img2img.networks.segmentation import SegmentationNetwork

SIDE = 128
"""Side in pixels that photos and label maps are resized to."""
BATCH = 8
STEPS = 600
LEARNING_RATE = 3e-3
MAX_ZOOM = 1.3
"""Strongest augmentation: photos are enlarged by up to this factor, and cropped."""
MAX_GAIN = 0.2
"""Strongest augmentation of contrast and brightness, as a share of the range."""
MAX_NOISE = 0.05
"""Strongest augmentation, as the deviation of values -1..1."""

Classes = NDArray[np.uint8]
"""The class of every pixel, `[H, W]`."""


class LabelledPhoto(NamedTuple):
    """A photo, uint8 RGB `[H, W, 3]`, and the class of each of its pixels, uint8 `[H, W]`."""

    photo: Picture
    classes: Classes

    def resized(self, side: int) -> "LabelledPhoto":
        """Both at `side` x `side` pixels."""
        return LabelledPhoto(resized(self.photo, side), resized_classes(self.classes, side))


class Segmenter:
    """Returns the class of every pixel of a photo, uint8 RGB `[H, W, 3]` of any size, at `side` x `side` pixels."""

    def __init__(self, network: SegmentationNetwork, side: int = SIDE) -> None:
        self.network = network.eval()
        self.side = side

    def __call__(self, photo: Picture) -> Classes:
        with torch.inference_mode():
            scores = self.network(to_batch([resized(photo, self.side)]))
        return np.asarray(scores[0].argmax(0).numpy(), np.uint8)


def train(
    photos: Sequence[LabelledPhoto],
    classes: int,
    *,
    side: int = SIDE,
    seed: int = 0,
    steps: int = STEPS,
    threads: int | None = None,
    tick: Callable[[int, float], None] = lambda step, loss: None,
) -> SegmentationNetwork:
    """Train a segmentation network with cross-entropy over all pixels, AdamW and batches of 8.

    Takes about three minutes on one CPU core at the default side. On one machine, the result depends only on the photos
    and on `seed`. Photos are mirrored, enlarged, cropped, made lighter or darker and noisy, all at random.

    Args:
        photos: are resized to `side`, see `LabelledPhoto.resized`.
        classes: number of classes.
        side: a multiple of 16.
        threads: limits the CPU threads of torch, for the whole process.
        tick: called with each step and its loss.

    Raises:
        DataError: there are no photos, or only one class.
    """
    if not photos or classes < 2:
        raise DataError("a segmentation network needs photos with label maps of at least two classes to train on")
    if threads:
        torch.set_num_threads(min(threads, os.cpu_count() or 1))
    squares = [one.resized(side) for one in photos]
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SegmentationNetwork(classes).to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
        for step in range(steps):
            places = [order.shuffled_index(seed, step * BATCH + k, len(squares)) for k in range(BATCH)]
            drawn = [_augmented(squares[place], rng) for place in places]
            batch = to_batch([one.photo for one in drawn])
            noise = torch.randn(BATCH, side, side, 3).permute(0, 3, 1, 2)  # filled eight times as fast as in NCHW
            batch += noise * torch.rand(BATCH, 1, 1, 1) * MAX_NOISE
            truth = torch.from_numpy(np.stack([one.classes for one in drawn])).long()
            loss = nn.functional.cross_entropy(network(batch), truth)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            tick(step + 1, float(loss.detach()))
    optimiser.zero_grad()  # frees the memory of the gradients
    return network.eval()


def resized_classes(classes: Classes, side: int) -> Classes:
    """Classes at `side` x `side` pixels: those of the nearest pixels."""
    nearest = cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(np.ascontiguousarray(classes), (side, side), interpolation=nearest), np.uint8)


def _augmented(one: LabelledPhoto, rng: np.random.Generator) -> LabelledPhoto:
    """Enlarge, crop and mirror photo and classes alike, and change the light of the photo."""
    side = one.photo.shape[0]
    zoom, gain, offset = rng.uniform((1, 1 - MAX_GAIN, -MAX_GAIN), (MAX_ZOOM, 1 + MAX_GAIN, MAX_GAIN))
    left, top = rng.uniform(0, side * (zoom - 1), 2)
    mirror = rng.choice((-1, 1))
    matrix = np.array([[mirror * zoom, 0, (side - 1) * (mirror < 0) - mirror * left], [0, zoom, -top]])
    size, border = (side, side), cv2.BORDER_REPLICATE
    photo = cv2.warpAffine(one.photo, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border)
    classes = cv2.warpAffine(one.classes, matrix, size, flags=cv2.INTER_NEAREST, borderMode=border)
    lit = (photo.astype(np.float32) - 127.5) * gain + 127.5 * (1 + offset)
    return LabelledPhoto(np.clip(np.rint(lit), 0, 255).astype(np.uint8), np.asarray(classes, np.uint8))
