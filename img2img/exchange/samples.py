"""Inputs for trying a model file out, made of pictures or of nothing; how fast files are, and how alike."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from img2img.data.bicubic import imresize
from img2img.data.folders import find, read_rgb
from img2img.errors import DataError, ExportError
from img2img.evaluation.metrics import luma, psnr
from img2img.exchange import inputs
from img2img.exchange.inputs import Inputs
from img2img.runtime.network.card import Card

SIDE = 128
"""Pixels of a sample's side, about; the network's `multiple` and `minimum` permitting."""

PHOTOS = 400
"""Pictures that are opened, at most."""


class Sample(NamedTuple):
    """Inputs of batch 1, and what the result should be, uint8 RGB `[H, W, 3]`, where that is known."""

    inputs: Inputs
    truth: NDArray[np.uint8] | None


def of_pictures(folders: Iterable[Path], card: Card, count: int) -> list[Sample]:
    """`count` windows, drawn in turn from the pictures below `folders`; less only where all are too small.

    For upscaling they are shrunk by `card.scale` as in the papers (MATLAB's bicubic), and the truth is kept. For
    inpainting a hole is cut, for domains each comes in turn.

    Raises:
        DataError: there are no pictures that are large enough, or a folder does not exist.
    """
    paths = find(folders)
    paths = [paths[i * len(paths) // min(len(paths), PHOTOS)] for i in range(min(len(paths), PHOTOS))]
    shrink = card.scale if card.task == "upscale" else 1
    least = shrink * side(card, 32)
    rng = np.random.default_rng(0)
    samples: list[Sample] = []
    small: set[Path] = set()
    while len(samples) < count and len(small) < len(paths):
        for path in paths[: count - len(samples)] if not samples else paths:
            if path in small or len(samples) == count:
                continue
            picture = read_rgb(path)
            if shrink == 1:  # large enough by reflection, as the runtime does it
                missing = [max(least - length, 0) for length in picture.shape[:2]]
                picture = np.pad(picture, [(0, missing[0]), (0, missing[1]), (0, 0)], "symmetric")
            if min(picture.shape[:2]) < least:
                small.add(path)
                continue
            samples.append(_sample(_window(picture, shrink, card, rng), shrink, card, rng))
        if not samples and len(paths) > count:
            paths = paths[count:]
    if not samples:
        raise DataError(f"{paths[0].parent}: all pictures are smaller than {least} pixels, the least that is needed")
    return samples


def synthetic(card: Card) -> list[Sample]:
    """Noise, a ramp, something smooth, and that almost black and almost white: to be tried where there is no picture.

    None is flat; see `flat`.
    """
    rng = np.random.default_rng(0)
    length = side(card, SIDE)
    coarse = rng.integers(0, 256, (-(-length // 16), -(-length // 16), 3), dtype=np.uint8)
    smooth = imresize(coarse, 16.0)[:length, :length]
    ramp = np.broadcast_to(np.linspace(0, 255, length)[:, None, None], (length, length, 3))
    pictures: list[NDArray[Any]] = [rng.integers(0, 256, ramp.shape), ramp, smooth, smooth // 10, 255 - smooth // 10]
    return [_sample(np.ascontiguousarray(picture, np.uint8), 0, card, rng) for picture in pictures]


def flat(card: Card) -> list[Sample]:
    """Black, white, grey, and a colour.

    Apart from the others: instance norm divides by the deviation, and makes pictures of the rounding errors of flat
    ones.
    """
    rng = np.random.default_rng(0)
    length = side(card, SIDE)
    colours = ((0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 30, 60))
    return [_sample(np.full((length, length, 3), colour, np.uint8), 0, card, rng) for colour in colours]


def stirred(sample: Sample, amount: float) -> Sample:
    """`sample` with Gaussian noise of this deviation in its picture, values 0..1, clipped to them."""
    image = sample.inputs["image"]
    noise = np.random.default_rng(0).standard_normal(image.shape, np.float32) * np.float32(amount)
    return sample._replace(inputs=sample.inputs | {"image": (image + noise).clip(0, 1)})


def side(card: Card, wanted: int) -> int:
    """The smallest side of at least `wanted` pixels that a model with this card takes."""
    return -(-max(wanted, card.minimum) // card.multiple) * card.multiple


def _window(picture: NDArray[np.uint8], shrink: int, card: Card, rng: np.random.Generator) -> NDArray[np.uint8]:
    unit = shrink * card.multiple
    height, width = (min(length // unit * unit, shrink * side(card, SIDE)) for length in picture.shape[:2])
    top, left = (int(rng.integers(a - b + 1)) for a, b in zip(picture.shape[:2], (height, width), strict=True))
    return picture[top : top + height, left : left + width]


def _sample(picture: NDArray[np.uint8], shrink: int, card: Card, rng: np.random.Generator) -> Sample:
    low = imresize(picture, 1 / shrink) if shrink > 1 else picture
    height, width = low.shape[:2]
    given = inputs.random(card, 1, height, width, rng)
    given["image"] = (low.transpose(2, 0, 1)[None] / 255).astype(np.float32)
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
    given = model if isinstance(model, bytes) else str(model)
    try:
        return ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a type of its own for each reason
        raise ExportError(f"onnxruntime does not take the file made: {str(error).splitlines()[0]}") from error


def results(model: Any, samples: Sequence[Sample]) -> list[NDArray[np.float32]]:
    """What a session makes of each sample, `[1, 3, H, W]` 0..1."""
    return [model.run(["result"], sample.inputs)[0] for sample in samples]


def likeness(ours: Sequence[NDArray[np.float32]], theirs: Sequence[NDArray[np.float32]]) -> float:
    """PSNR in dB of two lists of results, values 0..1, all pixels together; at most 120."""
    error = sum(float(np.square(a - b, dtype=np.float64).sum()) for a, b in zip(ours, theirs, strict=True))
    error /= sum(a.size for a in ours)
    return float(-10 * np.log10(max(error, 1e-12)))


def fidelity(found: Sequence[NDArray[np.float32]], samples: Sequence[Sample], scale: int) -> float:
    """Mean PSNR in dB on Y of results and truths, border of `scale` cropped, as the papers measure it."""
    figures = []
    for result, sample in zip(found, samples, strict=True):
        assert sample.truth is not None
        picture = np.rint(result[0].transpose(1, 2, 0) * 255).astype(np.uint8)
        figures.append(psnr(luma(picture), luma(sample.truth), border=scale))
    return float(np.mean(np.minimum(figures, 120.0)))


def seconds_per_megapixel(models: Sequence[Any], card: Card, *, rounds: int = 3) -> list[float]:
    """CPU seconds for a megapixel of input of each session, one thread; the best of `rounds`, taken in turn."""
    rng = np.random.default_rng(0)
    length = side(card, 64)
    spent = [float("inf")] * len(models)
    for turn in range(rounds + 1):
        given = inputs.random(card, 1, length, length, rng)
        for place, model in enumerate(models):
            begin = time.process_time()
            model.run(["result"], given)
            seconds = time.process_time() - begin
            if turn:  # the first run is a warm-up
                spent[place] = min(spent[place], seconds / length**2 * 1e6)
        if not turn and seconds < 0.1:
            length = side(card, 192)
    return spent
