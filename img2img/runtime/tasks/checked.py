"""Runs a task and checks its results: broken ones (all black, a single colour, clipped everywhere) and colour casts.

If values overflow in a half-precision network whose graph ends with a clamp, the result is not NaN but black or white.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.files.jobs import Job
from img2img.runtime.image.alpha import bleed
from img2img.runtime.image.colour_fix import match_colours, reduce_to_cells
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network import input_size
from img2img.runtime.network.inference_errors import BrokenOutput, OutOfMemory
from img2img.runtime.network.tiling import Progress
from img2img.runtime.tasks.task import ModelChoice, Task

if TYPE_CHECKING:
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.network import Network

Pixels = npt.NDArray[Any]  # uint8 or uint16 [H, W, C]
Doubles = npt.NDArray[np.float64]

CAST = 2.5
"""If the mean of a channel shifts by more than this, in steps of 255, the user is warned; see `colour_cast`.

The bundled upscalers shift 300 photos and drawings by 0.04 in the median and by at most 2.2 (pixel art).
"""

# Thresholds in steps of 255.
_ONE_COLOUR = 1  # if the values of each channel differ by at most this, the picture has a single colour
_STRUCTURE = 4  # a picture with this standard deviation of its cells certainly has more than one colour
_FAR = 64  # a value this far from black (or white) must not become it; no upscaler changes the contrast that much
_NEAR = 32  # a value this close to black or white may become black or white: a scanned text without its noise

_BROKEN_SHARE = 0.01  # of the cells; a tile of 500x500 pixels covers 4 % of a picture of 2500x2500
_CLIPPED_SHARE = 0.98  # of the values
_CELL, _CELLS, _SAMPLES = 8, 32, 8  # minimum pixels per cell side, maximum cells per side, samples per cell side


def check_color_fix(card: Card) -> None:
    """Raise UsageError if the colours of results are not meant to be those of the pictures."""
    if input_size.keeps_luminance(card):
        raise UsageError(f"{card.name} adds colours, and --color-fix would take them away again; omit it")


@dataclass
class CheckedTask:
    """Runs a task on one picture and checks the result.

    A result is broken if `find_fault` says so, if it is not a number, or if memory ran out. Then `retry` computes it
    once more. Notes on the result tell of that, of colour casts and, on request, of seams.
    """

    task: Task
    model_choice: ModelChoice
    color_fix: bool = False
    check_seams: bool = False

    def __call__(self, job: Job, picture: Picture, progress: Progress) -> Picture:
        model = self.model_choice.load()
        result, fault = attempt(self.task, model, job, picture, progress)
        if fault is not None:
            from img2img.runtime.tasks.retry import again

            result = again(attempt, self.task, self.model_choice, job, picture, progress, result, fault)
        assert result is not None
        notes = list(result.notes)
        if self.check_seams:
            notes.append(self._seams(model, job, picture))
        if self.color_fix:
            result = dataclasses.replace(result, colour=match_colours(result.colour, _seen(picture)))
        elif self.task.name == "upscale":  # other tasks change colours on purpose
            warning = cast_warning(colour_cast(result.colour, _seen(picture)))
            notes += [] if warning is None else [warning]
        return dataclasses.replace(result, notes=tuple(notes))

    def _seams(self, model: Network, job: Job, picture: Picture) -> str:
        from img2img.runtime.network import seams

        if self.task.name == "inpaint":
            return "no seams: the surroundings of a hole are seen whole"
        found = seams.check(self.task.bind(model, job), picture.colour, self.task.tile)
        return seams.why_not(model.card) if found is None else str(found)


def attempt(
    task: Task, model: Network, job: Job, picture: Picture, progress: Progress
) -> tuple[Picture | None, Exception | str | None]:
    """Run a task once: its result, and what is wrong with it or why there is none."""
    done = 0

    def counted(pixels: int) -> None:
        nonlocal done
        done += pixels
        progress(pixels)

    try:
        result = task.apply(model, job, picture, counted)
    except (OutOfMemory, BrokenOutput) as error:
        progress(-done)
        return None, error
    if task.name == "inpaint":
        return result, None
    found = find_fault(result.colour, _seen(picture), same=task.name == "upscale")
    return result, None if found is None else f"its result is {found}"


def _seen(picture: Picture) -> Pixels:
    """Its colours as the network has seen them."""
    return picture.colour if picture.alpha is None else bleed(picture.colour, picture.alpha)


def find_fault(result: Pixels, source: Pixels, *, same: bool = True) -> str | None:
    """Describe what is wrong with a network's result, in words that follow "its result is"; None if it looks fine.

    It avoids false positives rather than finding every fault, because a fault discards the picture. Faults:

    - All pixels have one colour (black, for example), but the source shows something coarser than noise.
    - With `same`: a channel is all black or all white in at least 1 % of the picture, but the source is at least 64
      steps of 255 away from that.
    - With `same`: 98 % of the values are black or white, but less than half are close to that in the source.

    It checks at most 256x256 samples. It checks all pixels only if all samples have one colour.

    Args:
        result, source: uint8 or uint16 [H, W, C], of the same type and C, any two sizes.
        same: True if the result should show the same picture as the source, as with upscalers. False for translation
            and inpainting, for which only the first fault can be detected. A network whose correct result may have one
            colour, such as a mask, must not be checked at all.
    """
    largest = int(np.iinfo(result.dtype).max)
    step = largest / 255
    rows, columns = (_cells(min(result.shape[axis], source.shape[axis])) for axis in (0, 1))
    new = _samples(result, rows, columns)
    flat = _ONE_COLOUR * step
    # Most pictures show several colours in the first samples of their cells. Only then are the others not compared.
    if _spread(new[:, :1, :, :1]) <= flat and _spread(new) <= flat and _shows_something(source, rows, columns, step):
        low, high = result.min(axis=(0, 1)), result.max(axis=(0, 1))
        if (high - low).max() <= _ONE_COLOUR * step:
            if high.max() <= _ONE_COLOUR * step:
                return "all black, but the picture is not"
            colour = ", ".join(f"{value / step:.0f}" for value in high.tolist())
            return f"a single colour ({colour} of 255), but the picture is not"
    if not same:
        return None
    old = _samples(source, rows, columns)
    black, white = new == 0, new == largest
    for at_end, end, word in ((black, 0, "black"), (white, largest, "white")):
        corners = at_end[:, :: _SAMPLES - 1, :, :: _SAMPLES - 1].all(axis=(1, 3))
        if _share(corners) < _BROKEN_SHARE:  # so less than that is broken: cells with all samples have all corners
            continue
        far = np.abs(old.mean(axis=(1, 3)) - end) >= _FAR * step
        share = _share(at_end.all(axis=(1, 3)) & far)
        if share >= _BROKEN_SHARE:
            return f"{word} in {share:.0%} of the picture, but the picture is not"
    clipped = (np.count_nonzero(black) + np.count_nonzero(white)) / new.size
    if clipped >= _CLIPPED_SHARE:
        near = float(((old <= _NEAR * step) | (old >= largest - _NEAR * step)).mean())
        if near < 0.5:
            return f"clipped: {clipped:.0%} of its values are the smallest or the largest possible"
    return None


def colour_cast(result: Pixels, source: Pixels) -> tuple[float, float, float]:
    """The increase of the mean of red, green and blue from source to result, in steps of 255; grey counts as all three.

    result, source: uint8 or uint16 [H, W, C], C = 1 or 3, of any two sizes. Meaningful only for networks that should
    keep the colours.
    """
    shift = (_mean(result) - _mean(source)) * (255 / np.iinfo(result.dtype).max)
    red, green, blue = np.broadcast_to(shift, 3).tolist()
    return red, green, blue


def cast_warning(shift: tuple[float, float, float]) -> str | None:
    """One line for the user if the shift from `colour_cast` is large, otherwise None."""
    if max(map(abs, shift)) <= CAST:
        return None
    red, green, blue = shift
    return f"the colours shift by {red:+.1f}, {green:+.1f}, {blue:+.1f} of 255 on average; --color-fix corrects this"


def _cells(side: int) -> int:
    return min(max(1, side // _CELL), _CELLS)


def _samples(picture: Pixels, rows: int, columns: int) -> Pixels:
    """Sample pixels evenly over the picture, at the same relative places for any size: [rows, 8, columns, 8, C]."""
    height, width, channels = picture.shape
    ys, xs = (
        ((np.arange(cells * _SAMPLES) + 0.5) * (side / (cells * _SAMPLES))).astype(np.intp)
        for cells, side in ((rows, height), (columns, width))
    )
    picked: Pixels = picture[ys[:, None], xs]
    return picked.reshape(rows, _SAMPLES, columns, _SAMPLES, channels)


def _share(cells: npt.NDArray[np.bool_]) -> float:
    """The share of the cells [rows, columns, C] that are true in at least one channel."""
    return float(cells.any(axis=-1).mean())


def _spread(samples: Pixels) -> int:
    """The largest difference between two samples in any channel."""
    flat = samples.reshape(-1, samples.shape[-1])
    return int((flat.max(axis=0) - flat.min(axis=0)).max())


def _shows_something(source: Pixels, rows: int, columns: int, step: float) -> bool:
    """Whether the source has structure. Uses means instead of samples: a fine pattern may correctly become grey."""
    cells = reduce_to_cells(source, (columns, rows))
    return float(cells.std(axis=(0, 1), dtype=np.float64).max()) >= _STRUCTURE * step


def _mean(picture: Pixels) -> Doubles:
    """The mean of each channel."""
    total = sum(picture[top : top + 4096].sum(axis=0, dtype=np.uint32) for top in range(0, len(picture), 4096))
    mean: Doubles = np.asarray(total, np.float64).mean(axis=0) / len(picture)
    return mean
