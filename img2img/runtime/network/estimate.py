"""Estimates the time and memory of a batch from a short measurement of the model on this machine.

The measurement is kept in the user's cache. The rest is arithmetic: a network's time and the memory of its activations
grow with the pixels of a window, and the code that holds the pictures determines their memory.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from img2img.errors import UsageError
from img2img.runtime.network import input_size, memory, models
from img2img.runtime.network.speed import Speed, measure
from img2img.text import parse_duration, parse_memory, show_duration, show_memory

if TYPE_CHECKING:
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.grid import Grid, Tile

__all__ = [
    "ModelForBudget",
    "Speed",
    "choose_model",
    "measure",
    "network_pixels",
    "parse_duration",
    "parse_memory",
    "peak_memory",
    "picture_memory",
    "seconds",
    "show_duration",
    "show_memory",
    "tile_for",
]

# Bytes that a command needs and the measuring process does not: typer, Pillow and its codecs, threads, the journal.
# Version 0.1.0 took 18 to 30 MB with PNG and JPEG; since then, commands import less.
_COMMAND_BYTES = 22 << 20
# If windows grow from picture to picture, the allocator keeps the smaller ones without using them: 765 bytes per pixel
# instead of 580 if each side is twice the one before, which is the worst case.
_FRAGMENTATION = 4 / 3
_TILE_STEP = 16  # pixels between the tile sizes that are tried


@dataclass(frozen=True)
class ModelForBudget:
    """A model chosen for a time budget.

    Attributes:
        seconds: the estimated time.
        note: one line for the user if the estimate exceeds the budget.
    """

    path: Path
    seconds: float
    note: str | None = None


def network_pixels(card: "Card", size: tuple[int, int], tile: "Tile" = "auto", *, beside: int = 0) -> int:
    """Pixels that the network processes for a picture of `size` = (width, height), including the context of each tile.

    beside: see `peak_memory`.

    Raises:
        UsageError: see `Grid.limit`.
    """
    across, down, count = _windows(card, size, tile)
    return max((across * down + beside) * count, input_size.OWN_WORK if card.resizes else 0)


def seconds(
    speed: Speed, pixels: float, grid: "Grid | None" = None, tile: "Tile" = "auto", *, side_by_side: bool = False
) -> float:
    """Seconds that the network needs for so many input pixels.

    Args:
        grid: None: `pixels` is the sum of `network_pixels`, which includes the context. Otherwise `pixels` counts large
            pictures without the context around their tiles, and the context is added.
        side_by_side: every core runs its own picture.
    """
    if grid is not None and grid.context and (limit := grid.limit(tile)) is not None:
        pixels *= (limit / max(limit - 2 * grid.context, grid.multiple)) ** 2
    rate = speed.side_by_side if side_by_side and speed.side_by_side is not None else speed.seconds_per_megapixel
    return rate * pixels / 1e6


def picture_memory(
    size: tuple[int, int], scale: float, *, channels: int = 3, depth: int = 1, pictures: int = 1, copies: int = 1
) -> int:
    """Peak memory of the pictures themselves, without the network, in bytes, for pictures of `size` = (width, height).

    Args:
        scale: side of the result / side of the picture.
        channels: number of channels, including alpha.
        depth: bytes per value: 1, or 2 for 16-bit pictures.
        pictures: number of pictures that are processed at the same time.
        copies: number of copies of the result that exist at once while it is computed; 2 if a resize follows the
            network.
    """
    pixels = size[0] * size[1]
    before, after = pixels * channels * depth, pixels * scale * scale * channels * depth
    # Pillow holds its own copy of the pixels, 4 bytes each unless grey, and needs colour and alpha in one array.
    pillow = 1 if depth > 1 or channels == 1 else 4 / channels
    encoding = after * (1 + pillow + (channels in (2, 4)))
    computing = after * copies
    return int(pictures * (before + max(before * pillow, computing, encoding)))


def peak_memory(
    speed: Speed,
    card: "Card",
    size: tuple[int, int],
    tile: "Tile" = "auto",
    *,
    scale: float | None = None,
    channels: int = 3,
    depth: int = 1,
    pictures: int = 1,
    runs: int = 1,
    beside: int = 0,
) -> int:
    """Peak memory of the process in bytes, for pictures of `size`. Accurate to 25 %.

    Args:
        scale: enlargement factor of the result; None: the model's own.
        runs: number of runs of the network at the same time.
        beside: pixels of other pictures that every run takes: the whole reference.
        See `picture_memory` for the other arguments.
    """
    window = _window_pixels(speed, card, size, tile) + beside
    held = _memory_of_pictures(card, size, scale, channels, depth, pictures)
    return _memory_of_program(speed) + held + int(runs * speed.bytes_per_pixel * window)


def tile_for(
    speed: Speed,
    card: "Card",
    limit: int,
    size: tuple[int, int],
    *,
    scale: float | None = None,
    channels: int = 3,
    depth: int = 1,
    pictures: int = 1,
    runs: int = 1,
    beside: int = 0,
) -> "Tile":
    """The largest tile that keeps the process under `limit` bytes, but not larger than the automatic tile.

    Args:
        size: width and height of the largest picture.
        See `picture_memory` and `peak_memory` for the other arguments.

    Returns:
        "auto" if that fits, None for a network that needs the whole picture, otherwise the side of a tile in pixels.

    Raises:
        UsageError: the limit is too low; the message names one that is high enough.
    """
    from img2img.runtime.network.grid import AUTO, Grid, round_up

    fixed = _memory_of_program(speed) + _memory_of_pictures(card, size, scale, channels, depth, pictures)

    def needed(tile: "Tile") -> int:
        window = _window_pixels(speed, card, size, tile) + beside
        return fixed + int(runs * speed.bytes_per_pixel * _FRAGMENTATION * window)

    grid = Grid(card)
    is_whole = grid.context is None and speed.window is None
    if needed(AUTO) <= limit:
        return None if is_whole else AUTO
    what = f"--max-memory {show_memory(limit)}: {card.name} needs at least"
    picture = f"for a picture of {size[0]}x{size[1]} pixels"
    if grid.context is None or speed.window is not None:
        why = "cannot use tiles" if is_whole else "takes tiles of one size only"
        do = "scale the picture down first" if card.task == "upscale" else "use a smaller --size"
        raise UsageError(f"{what} {_rounded_up(needed(AUTO))} {picture}, because it {why}; {do}")
    step = round_up(_TILE_STEP, grid.multiple)
    largest = ((grid.limit(AUTO) or step) - 2 * grid.context) // step
    low, high = 0, max(largest, 1)  # in steps; high does not fit, and low fits unless it is 0, which is checked below
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needed(middle * step) <= limit else (low, middle)
    if low == 0 and needed(step) > limit:
        raise UsageError(
            f"{what} {_rounded_up(needed(step))} {picture}; the program and the pictures take {show_memory(fixed)} of"
            " it"
        )
    return max(low, 1) * step


def choose_model(
    candidates: Sequence[Path],
    pixels: float,
    budget: float,
    *,
    device: str = "auto",
    threads: int | None = None,
) -> ModelForBudget:
    """Choose the first model that processes so many input pixels in `budget` seconds; if none does, the fastest.

    Args:
        candidates: models, the best first, in the order of `models.candidates`.
        pixels: input pixels of all pictures of the batch.

    Raises:
        UsageError: there are no candidates.
        ModelError, DeviceError, OutOfMemory: see `measure`.
    """
    from img2img.runtime.network.grid import Grid

    if not candidates:
        raise UsageError("--budget: no bundled model to choose from; name one with --model")
    fastest: ModelForBudget | None = None
    for path in candidates:
        card = models.read_card(path)
        speed = measure(path, device=device, threads=threads)
        if card is not None and card.precision == "int8" and speed.device != "cpu":
            continue  # 8-bit models are for CPUs only
        expected = seconds(speed, pixels, None if card is None else Grid(card))
        if expected <= budget:
            return ModelForBudget(path, expected)
        if fastest is None or expected < fastest.seconds:
            fastest = ModelForBudget(path, expected)
    if fastest is None:
        raise UsageError(f"--budget: no model to choose from for {device}; name one with --model")
    note = (
        f"no model finishes in {show_duration(budget)}; the fastest, {fastest.path.stem}, takes about"
        f" {show_duration(fastest.seconds)}"
    )
    return dataclasses.replace(fastest, note=note)


def _windows(card: "Card", size: tuple[int, int], tile: "Tile") -> tuple[int, int, int]:
    """Width and height of the windows that a picture is cut into, and their number."""
    from img2img.runtime.network.grid import AUTO, Grid, round_up

    grid = Grid(card)
    limit = grid.limit(tile)
    if input_size.keeps_luminance(card):
        size = input_size.at_most(size, input_size.MOST_PIXELS)
    if card.resizes and max(size) > input_size.MOST_SIDE:
        size = input_size.scaled(size, input_size.MOST_SIDE / max(size))
    across, down = (
        grid.spans(max(round_up(length, grid.multiple), grid.minimum), limit, even=tile == AUTO) for length in size
    )
    return across[0].stop - across[0].start, down[0].stop - down[0].start, len(across) * len(down)


def _window_pixels(speed: Speed, card: "Card", size: tuple[int, int], tile: "Tile") -> int:
    """Number of pixels in a window."""
    if speed.window is not None:
        return speed.window[0] * speed.window[1]
    across, down, _ = _windows(card, size, tile)
    return max(across * down, input_size.OWN_WORK if card.resizes else 0)


def _memory_of_program(speed: Speed) -> int:
    return max(speed.base + _COMMAND_BYTES, memory.resident())


def _rounded_up(size: int) -> str:
    """`size` in the notation of --max-memory, rounded up, so that the limit we suggest is high enough."""
    return f"{-(-size // (1 << 20))}M"


def _memory_of_pictures(
    card: "Card", size: tuple[int, int], scale: float | None, channels: int, depth: int, pictures: int
) -> int:
    wanted = card.scale if scale is None else scale
    copies = 1 if wanted == card.scale else 2
    return picture_memory(
        size, max(wanted, card.scale), channels=channels, depth=depth, pictures=pictures, copies=copies
    )
