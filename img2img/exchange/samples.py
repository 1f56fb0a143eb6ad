"""Sample inputs to try a model file with, from pictures or synthetic; and measures of its results and its speed."""

import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from img2img.data.bicubic import imresize
from img2img.data.folders import Reading, find, read_rgb
from img2img.errors import DataError, ExportError
from img2img.evaluation.metrics import luma, psnr
from img2img.evaluation.results import spread
from img2img.exchange import inputs
from img2img.exchange.inputs import Inputs
from img2img.runtime.network import devices, inference_errors
from img2img.runtime.network.card import Card

SIDE = 128
"""Side of a sample in pixels, adjusted to the `multiple` and `minimum` of the network."""

MIN_SIDE = 32
"""Smallest side of a sample from a picture, adjusted in the same way."""

MAX_PICTURES = 400
"""The most pictures that are opened."""


class Sample(NamedTuple):
    """Inputs with a batch size of 1, and the true result as uint8 RGB `[H, W, 3]`, if known."""

    inputs: Inputs
    truth: NDArray[np.uint8] | None


def of_pictures(folders: Iterable[Path], card: Card, count: int, *, max_pixels: int | None = None) -> list[Sample]:
    """`count` windows, taken in turn from the pictures below `folders`.

    For upscaling, windows are reduced by `card.scale` as in the papers (MATLAB's bicubic), and the original is the
    truth. For inpainting they get a hole, and for several domains a random one each. A model that needs a reference
    gets the window itself, mirrored.

    Pictures with more than `max_pixels` are refused; None: the usual limit.

    Raises:
        DataError: no picture is large enough, or a folder does not exist.
    """
    paths = spread(find(folders), MAX_PICTURES)
    shrink = card.scale if card.task == "upscale" else 1
    least = shrink * inputs.smallest_side(card, MIN_SIDE)
    reading = Reading(card.extra.get("white"), max_pixels)  # as in training
    rng = np.random.default_rng(0)
    samples: list[Sample] = []
    too_small: set[Path] = set()
    turn = paths[:count]  # enough for the first turn, unless all of them are too small
    while len(samples) < count and len(too_small) < len(paths):
        for path in turn:
            if path in too_small or len(samples) == count:
                continue
            picture = read_rgb(path, reading)
            if shrink == 1:  # small pictures can be padded by reflection, as the runtime does it
                missing = [max(least - length, 0) for length in picture.shape[:2]]
                picture = np.pad(picture, [(0, missing[0]), (0, missing[1]), (0, 0)], "symmetric")
            if min(picture.shape[:2]) < least:
                too_small.add(path)
                continue
            samples.append(_sample(_window(picture, shrink, card, rng), shrink, card, rng))
        if samples:
            turn = paths
        elif len(paths) > count:
            paths = paths[count:]
            turn = paths[:count]
    if not samples:
        raise DataError(
            f"{paths[0].parent}: all pictures are smaller than {least} pixels, the smallest usable size",
            path=paths[0].parent,
        )
    return samples


def synthetic(card: Card) -> list[Sample]:
    """Noise, a ramp and smooth shapes (normal, almost black, almost white), for when there are no pictures.

    None of them is flat; see `flat`.
    """
    rng = np.random.default_rng(0)
    length = inputs.smallest_side(card, SIDE)
    cells = math.ceil(length / 16)
    coarse = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    smooth = imresize(coarse, 16.0)[:length, :length]
    ramp = np.broadcast_to(np.linspace(0, 255, length)[:, None, None], (length, length, 3))
    pictures: list[NDArray[Any]] = [rng.integers(0, 256, ramp.shape), ramp, smooth, smooth // 10, 255 - smooth // 10]
    return [_sample(np.ascontiguousarray(picture, np.uint8), 0, card, rng) for picture in pictures]


def to_compare(card: Card, folders: Sequence[Path], count: int, *, max_pixels: int | None = None) -> list[Sample]:
    """`synthetic` samples, and `count` from `folders` if there are any. Raises what `of_pictures` raises."""
    return synthetic(card) + (of_pictures(folders, card, count, max_pixels=max_pixels) if folders else [])


def flat(card: Card) -> list[Sample]:
    """Pictures of a single colour: black, white, grey and red.

    They need separate treatment: instance norm divides by the standard deviation, so for a flat picture its result
    consists of amplified rounding errors.
    """
    rng = np.random.default_rng(0)
    length = inputs.smallest_side(card, SIDE)
    colours = ((0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 30, 60))
    return [_sample(np.full((length, length, 3), colour, np.uint8), 0, card, rng) for colour in colours]


def with_noise(sample: Sample, deviation: float) -> Sample:
    """`sample` with Gaussian noise of this standard deviation in its image, clipped to 0..1."""
    image = sample.inputs["image"]
    noise = np.random.default_rng(0).standard_normal(image.shape, np.float32) * np.float32(deviation)
    return sample._replace(inputs=sample.inputs | {"image": (image + noise).clip(0, 1)})


def _window(picture: NDArray[np.uint8], shrink: int, card: Card, rng: np.random.Generator) -> NDArray[np.uint8]:
    unit = shrink * card.multiple
    largest = shrink * inputs.smallest_side(card, SIDE)
    height, width = (min(length // unit * unit, largest) for length in picture.shape[:2])
    top, left = (int(rng.integers(a - b + 1)) for a, b in zip(picture.shape[:2], (height, width), strict=True))
    return picture[top : top + height, left : left + width]


def _sample(picture: NDArray[np.uint8], shrink: int, card: Card, rng: np.random.Generator) -> Sample:
    """A sample from `picture`, reduced by `shrink`; with 0 it is not reduced and there is no truth."""
    low = imresize(picture, 1 / shrink) if shrink > 1 else picture
    height, width = low.shape[:2]
    given = inputs.random(card, 1, height, width, rng)
    given["image"] = (low.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    if shrink and "reference" in given:  # a real picture: noise would give activations that never occur
        rows, columns = (np.arange(inputs.reference_side(card, length)) % length for length in (height, width))
        given["reference"] = np.ascontiguousarray(given["image"][:, :, rows[:, None], columns[::-1]])
    return Sample(given, picture if shrink and card.task == "upscale" else None)


def session(model: bytes | Path) -> Any:
    """An onnxruntime session on one CPU thread.

    Raises:
        ExportError: onnxruntime refuses the file.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return devices.stoppable(model, options, ["CPUExecutionProvider"])
    except inference_errors.runtime_errors() as error:
        raise ExportError(f"onnxruntime cannot load the new file: {inference_errors.first_line(error)}") from error


def results(model: Any, samples: Sequence[Sample]) -> list[NDArray[np.float32]]:
    """The result of a session for each sample, `[1, 3, H, W]` 0..1."""
    return [model.run(["result"], sample.inputs)[0] for sample in samples]


def psnr_between(ours: Sequence[NDArray[np.float32]], theirs: Sequence[NDArray[np.float32]]) -> float:
    """PSNR in dB between two lists of results, values 0..1, over all pixels together; at most 120."""
    error = sum(float(np.square(a - b, dtype=np.float64).sum()) for a, b in zip(ours, theirs, strict=True))
    error /= sum(a.size for a in ours)
    return float(-10 * np.log10(max(error, 1e-12)))


def mean_psnr_y(found: Sequence[NDArray[np.float32]], samples: Sequence[Sample], scale: int) -> float:
    """Mean PSNR in dB on Y between results and truths, without a border as wide as the scale, as in the papers."""
    values = []
    for result, sample in zip(found, samples, strict=True):
        assert sample.truth is not None
        picture = np.rint(result[0].transpose(1, 2, 0) * 255).astype(np.uint8)
        values.append(psnr(luma(picture), luma(sample.truth), border=scale))
    return float(np.mean(np.minimum(values, 120.0)))


def seconds_per_megapixel(models: Sequence[Any], card: Card, *, rounds: int = 3) -> list[float]:
    """CPU seconds per megapixel of input for each session, on one thread.

    The sessions take turns, and the best of `rounds` counts.
    """
    rng = np.random.default_rng(0)
    length = inputs.smallest_side(card, 64)
    best = [float("inf")] * len(models)
    for turn in range(rounds + 1):
        is_warm_up = turn == 0
        given = inputs.random(card, 1, length, length, rng)
        for place, model in enumerate(models):
            begin = time.process_time()
            model.run(["result"], given)
            seconds = time.process_time() - begin
            if not is_warm_up:
                best[place] = min(best[place], seconds / length**2 * 1e6)
        if is_warm_up and seconds < 0.1:  # fast enough for a larger picture, which is measured more precisely
            length = inputs.smallest_side(card, 192)
    return best
