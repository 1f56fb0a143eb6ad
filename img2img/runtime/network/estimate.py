"""How long a batch will take and how much memory, from a short measurement of the model on this machine.

The measurement is kept in the user's cache. What follows from it is arithmetic: a network's time and the memory of its
activations grow with the pixels of a window, and what the pictures around it take is known from the code that holds
them.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from img2img.errors import UsageError
from img2img.runtime.network import memory, models
from img2img.runtime.network.speed import Speed, measure
from img2img.text import parse_duration, parse_memory, show_duration, show_memory

if TYPE_CHECKING:
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.grid import Grid, Tile

__all__ = [
    "Choice",
    "Speed",
    "choose",
    "held",
    "measure",
    "parse_duration",
    "parse_memory",
    "peak",
    "seconds",
    "show_duration",
    "show_memory",
    "tile_for",
    "work",
]

# What a command has beside the process that measures: typer, Pillow and its codecs, threads, the journal. Measured:
# 18 to 30 MB with PNG and JPEG.
_COMMAND = 28 << 20
# Of windows that grow from picture to picture the allocator keeps the smaller ones in vain: 765 bytes a pixel instead
# of 580 where each had twice the side of the one before, which is the worst case.
_FRAGMENTED = 4 / 3
_STEP = 16  # tiles are tried in such steps


@dataclass(frozen=True)
class Choice:
    """A model for a budget. `seconds`: what it is expected to take; `note`: a line for a person where that is more."""

    path: Path
    seconds: float
    note: str | None = None


def work(card: "Card", size: tuple[int, int], tile: "Tile" = "auto") -> int:
    """Pixels that the network computes for a picture of `size` = (width, height): the context counts in every window.

    Raises:
        UsageError: as `Grid.limit`.
    """
    across, down, count = _windows(card, size, tile)
    return across * down * count


def seconds(
    speed: Speed, pixels: float, grid: "Grid | None" = None, tile: "Tile" = "auto", *, side_by_side: bool = False
) -> float:
    """Time of the network for so many input pixels.

    Args:
        grid: if given, `pixels` are those of large pictures, and the context around tiles is added; without it, they
            are the sum of `work`.
        side_by_side: every core runs a picture of its own.
    """
    if grid is not None and grid.context and (limit := grid.limit(tile)) is not None:
        pixels *= (limit / max(limit - 2 * grid.context, grid.multiple)) ** 2
    rate = speed.side_by_side if side_by_side and speed.side_by_side is not None else speed.seconds_per_megapixel
    return rate * pixels / 1e6


def held(
    size: tuple[int, int], scale: float, *, channels: int = 3, depth: int = 1, pictures: int = 1, copies: int = 1
) -> int:
    """Bytes of pictures beside the network, at their most, for pictures of `size` = (width, height).

    Args:
        scale: sides of the result / sides of the picture.
        channels: of colour and alpha together.
        depth: bytes of a value: 1, or 2 for 16-bit pictures.
        pictures: how many are in work at the same time.
        copies: of the result that exist at once while one is made, 2 where a resize follows the network.
    """
    pixels = size[0] * size[1]
    before, after = pixels * channels * depth, pixels * scale * scale * channels * depth
    # Pillow has pixels of its own, 4 bytes each unless grey, and colour and alpha are put together for it.
    own = 1 if depth > 1 or channels == 1 else 4 / channels
    encoded = after * (1 + own + (channels in (2, 4)))
    made = after * copies
    return int(pictures * (before + max(before * own, made, encoded)))


def peak(
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
) -> int:
    """Bytes that the process has at its most, for pictures of `size`; see `held` for the rest. Within 25 %.

    Args:
        scale: of the result, where it is not the model's.
        runs: of the network at the same time.
    """
    around = _around(card, size, scale, channels, depth, pictures)
    return _fixed(speed) + around + int(runs * speed.bytes_per_pixel * _window(speed, card, size, tile))


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
) -> "Tile":
    """The largest tile with which the process stays under `limit` bytes, and no larger one than is taken without limit.

    Args:
        size: width and height of the largest picture; see `held` and `peak` for the rest.

    Returns:
        "auto" where that fits, None for a network that sees the whole picture, else the side of a tile in pixels.

    Raises:
        UsageError: the limit is too low; the message says what would do.
    """
    from img2img.runtime.network.grid import AUTO, Grid, up

    fixed = _fixed(speed) + _around(card, size, scale, channels, depth, pictures)

    def needed(tile: "Tile") -> int:
        return fixed + int(runs * speed.bytes_per_pixel * _FRAGMENTED * _window(speed, card, size, tile))

    grid = Grid(card)
    is_whole = grid.context is None and speed.window is None
    if needed(AUTO) <= limit:
        return None if is_whole else AUTO
    what = f"--max-memory {show_memory(limit)}: a picture of {size[0]}x{size[1]} pixels through {card.name}"
    if grid.context is None or speed.window is not None:
        why = "cannot be cut into tiles" if is_whole else "is cut into pieces of one size only"
        do = "scale it down first" if card.task == "upscale" else "--size has it seen smaller"
        raise UsageError(f"{what} needs at least {_millions(needed(AUTO))}, and {why}: {do}")
    step = up(_STEP, grid.multiple)
    most = ((grid.limit(AUTO) or step) - 2 * grid.context) // step
    low, high = 0, max(most, 1)  # in steps: 0 is known to fit or fails below, high is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needed(middle * step) <= limit else (low, middle)
    if low == 0 and needed(step) > limit:
        raise UsageError(
            f"{what} needs at least {_millions(needed(step))}, {show_memory(fixed)} of them for the program and the"
            " pictures themselves"
        )
    return max(low, 1) * step


def choose(
    candidates: Sequence[Path],
    pixels: float,
    budget: float,
    *,
    device: str = "auto",
    threads: int | None = None,
) -> Choice:
    """The first of the models that does so many input pixels in `budget` seconds; the fastest where none does.

    Args:
        candidates: the best first, as `models.candidates` lists them.
        pixels: of all pictures of the batch together.

    Raises:
        UsageError: there are no candidates.
        ModelError, DeviceError, OutOfMemory: as `measure`.
    """
    from img2img.runtime.network.grid import Grid

    if not candidates:
        raise UsageError("--budget: there is no bundled model to choose from; name one with --model")
    fastest: Choice | None = None
    for path in candidates:
        card = models.read_card(path)
        speed = measure(path, device=device, threads=threads)
        if card is not None and card.precision == "int8" and speed.device != "cpu":
            continue  # made for processors
        took = seconds(speed, pixels, None if card is None else Grid(card))
        if took <= budget:
            return Choice(path, took)
        if fastest is None or took < fastest.seconds:
            fastest = Choice(path, took)
    if fastest is None:
        raise UsageError(f"--budget: there is no model to choose from for {device}; name one with --model")
    note = (
        f"no model does this in {show_duration(budget)}: {fastest.path.stem}, the fastest, will take about"
        f" {show_duration(fastest.seconds)}"
    )
    return dataclasses.replace(fastest, note=note)


def _windows(card: "Card", size: tuple[int, int], tile: "Tile") -> tuple[int, int, int]:
    """Width and height of the windows that a picture is cut into, and how many there are."""
    from img2img.runtime.network.grid import AUTO, Grid, up

    grid = Grid(card)
    limit = grid.limit(tile)
    across, down = (
        grid.spans(max(up(length, grid.multiple), grid.minimum), limit, even=tile == AUTO) for length in size
    )
    return across[0].stop - across[0].start, down[0].stop - down[0].start, len(across) * len(down)


def _window(speed: Speed, card: "Card", size: tuple[int, int], tile: "Tile") -> int:
    """Pixels of a window."""
    if speed.window is not None:
        return speed.window[0] * speed.window[1]
    across, down, _ = _windows(card, size, tile)
    return across * down


def _fixed(speed: Speed) -> int:
    return max(speed.base + _COMMAND, memory.resident())


def _millions(size: int) -> str:
    """`size` as --max-memory takes it, rounded up, so that the number that is named does suffice."""
    return f"{-(-size // (1 << 20))}M"


def _around(card: "Card", size: tuple[int, int], scale: float | None, channels: int, depth: int, pictures: int) -> int:
    wanted = card.scale if scale is None else scale
    resized = wanted != card.scale
    return held(size, max(wanted, card.scale), channels=channels, depth=depth, pictures=pictures, copies=1 + resized)
