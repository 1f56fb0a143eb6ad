"""What a network without a card is, found out by running it on small pictures."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.errors import ModelError, UsageError
from img2img.runtime.network import failures, foreign_interface
from img2img.runtime.network.card import Card
from img2img.runtime.network.foreign_interface import CHROMA_CONTEXT, RANGES, Adapter, Assumed, Fixed
from img2img.runtime.network.grid import up

Floats = npt.NDArray[np.float32]

# A picture of such sides is tried for each multiple: odd multiples of it, so that no larger one fits by chance.
_SIDES = {
    1: (15, 17),
    2: (18, 22),
    4: (20, 28),
    8: (24, 40),
    16: (16, 48),
    32: (32, 96),
    64: (64, 64),
    128: (128, 128),
    256: (256, 256),
}
_NAMES = {"1": "0..1", "255": "0..255", "signed": "-1..1"}
# A result that resembles the picture differs from it by less than this, root mean square (of 1). A black one differs
# by 0.55, values 0..255 taken for 0..1 by more than 100; networks that translate between domains reach 0.3.
_RESEMBLES = 0.4
_CLEARLY = 2.0  # times the error: 6 dB
_ROUNDING = 1e-4  # an error of floats, not of a network
_A_STEP = 1 / 255


@dataclass(frozen=True, slots=True)
class Probed:
    """A card made up for a network, what stands between it and contract 1, and notes that say what was found."""

    card: Card
    adapter: Adapter
    fixed: Fixed | None
    notes: tuple[str, ...]


def probe(session: Any, path: Path, assumed: Assumed) -> Probed:
    """Find out the scale, the multiple that sides must be of, the layout and the range of values of a network.

    Its task is taken for "upscale" where it enlarges, for "translate" where it does not; how far it sees (context)
    cannot be found out and stays None, for the whole picture, unless it is said. The order of channels is RGB unless
    it is said.

    Args:
        session: onnxruntime's.
        assumed: what is known and need not be probed.

    Raises:
        ModelError: it is no network from one picture to one, or something cannot be found out; then the message names
            the key of `Assumed` to give.
        UsageError: `assumed` contradicts what the file declares.
    """
    adapter, fixed = foreign_interface.described(session, path)
    if fixed is not None and assumed.multiple is not None and any(side % assumed.multiple for side in fixed):
        raise UsageError(f"{path}: its sides are fixed, {fixed[1]}x{fixed[0]}, and no multiples of {assumed.multiple}")
    first = assumed.range or "1"
    adapter = dataclasses.replace(adapter, reads=first, writes=first, is_bgr=assumed.channels == "bgr")
    scale, multiple, adapter = _size(session, path, adapter, fixed, assumed)
    others: list[str] = []
    if assumed.range is None:
        sides = fixed or (up(32, multiple), up(40, multiple))
        reads, writes, others = _ranges(session, path, adapter, sides, scale)
        adapter = dataclasses.replace(adapter, reads=reads, writes=writes)
    context = assumed.context
    if context is not None and adapter.channels == 1 and scale > 1:
        context = max(context, CHROMA_CONTEXT)
    card = Card(
        name=path.stem,
        task=assumed.task or ("upscale" if scale > 1 else "translate"),
        scale=scale,
        multiple=multiple,
        minimum=multiple,
        context=context,
    )
    return Probed(card, adapter, fixed, (_note(path, card, adapter, fixed, assumed, others),))


def picture(height: int, width: int) -> Floats:
    """A smooth picture of middling contrast, float32 [1, 3, H, W], 0.2 to 0.8, its channels all different."""
    y, x = np.mgrid[0:height, 0:width] * (2 * math.pi)
    waves = [x / 29 + y / 47, y / 31 - x / 53 + 1, x / 37 + y / 41 + 2.5]
    return np.stack([0.5 + 0.3 * np.sin(wave) for wave in waves])[None].astype(np.float32)


def _seen(height: int, width: int, channels: int) -> Floats:
    """The picture for a network of so many channels: grey for one."""
    image = picture(height, width)
    return image if channels == 3 else image[:, :1].repeat(3, axis=1)


def _size(
    session: Any, path: Path, adapter: Adapter, fixed: Fixed | None, assumed: Assumed
) -> tuple[int, int, Adapter]:
    """Scale, multiple, and the adapter that knows the layout of the result."""
    problem = ""
    for multiple, (height, width) in _candidates(fixed, assumed.multiple):
        try:
            shape = _run(session, adapter, _seen(height, width, adapter.channels)).shape
        except failures.runtime_errors() as error:
            typed = failures.typed(error, f"{path}: running it on {width}x{height} pixels failed")
            if isinstance(typed, failures.OutOfMemory):  # larger ones would not fit either
                raise typed from error
            problem = failures.short(error)
            continue
        scale = assumed.scale
        for is_last in (adapter.reads_last, not adapter.reads_last):
            n, rows, columns, channels = shape if is_last and len(shape) == 4 else _moved(shape)
            found = rows // height if scale is None else scale
            if found >= 1 and (n, rows, columns, channels) == (1, height * found, width * found, adapter.channels):
                return found, multiple, dataclasses.replace(adapter, writes_last=is_last)
        problem = (
            f"its result for {width}x{height} pixels has the shape {foreign_interface.shown(shape)}, which is not the"
            f" picture{'' if scale is None else f', {scale} times as large'}"
        )
    hint = "" if fixed or assumed.multiple else "; say --assume multiple=N if its sides must be multiples of N"
    raise ModelError(f"{path}: it has no img2img card, and its scale cannot be found out: {problem}{hint}")


def _candidates(fixed: Fixed | None, multiple: int | None) -> Iterator[tuple[int, Fixed]]:
    if fixed is not None:
        yield multiple or 1, fixed
    elif multiple is not None:
        side = up(15, multiple)
        yield multiple, (side, side + multiple)
    else:
        yield from _SIDES.items()


def _moved(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """N, H, W, C of a shape [N, C, H, W]; zeros for one that has not four dimensions."""
    if len(shape) != 4:
        return 0, 0, 0, 0
    n, channels, rows, columns = shape
    return n, rows, columns, channels


def _ranges(session: Any, path: Path, adapter: Adapter, sides: Fixed, scale: int) -> tuple[str, str, list[str]]:
    """The range that the network reads, the one that it writes, and ranges that would do as well.

    A network's last step may say it: values that never leave 0..1, or -1..1, whatever goes in. Otherwise the result
    must resemble the picture. Nearly linear networks do so in every range: then any will do.
    """
    image = _seen(*sides, adapter.channels)
    results: dict[str, npt.NDArray[Any]] = {}
    for name in RANGES:
        try:
            results[name] = _run(session, dataclasses.replace(adapter, reads=name), image)
        except failures.runtime_errors() as error:
            raise failures.typed(error, f"{path}: running it on {sides[1]}x{sides[0]} pixels failed") from error
    expected = (1, adapter.channels, sides[0] * scale, sides[1] * scale)
    if adapter.planes(results["1"]).shape != expected:
        raise ModelError(
            f"{path}: it has no img2img card, and its scale changes with the size of the picture: {scale} at first, but"
            f" {sides[1]}x{sides[0]} pixels become {foreign_interface.shown(results['1'].shape)}"
        )
    reads, writes, others = _best(results, adapter, image[:, : adapter.channels], path)
    integers = (adapter.type == np.uint8, results["1"].dtype == np.uint8)  # which have one range only
    return "255" if integers[0] else reads, "255" if integers[1] else writes, [] if any(integers) else others


def _best(
    results: dict[str, npt.NDArray[Any]], adapter: Adapter, image: Floats, path: Path
) -> tuple[str, str, list[str]]:
    bound = _bound(results)
    middles: dict[tuple[str, str], Floats] = {}
    errors: dict[tuple[str, str], float] = {}
    for pair in itertools.product(RANGES, [bound] if bound else RANGES):
        planes = dataclasses.replace(adapter, writes=pair[1]).planes(results[pair[0]])
        middles[pair], errors[pair] = _compared(planes, image)
    same = {name: errors[name, name] for name in RANGES if (name, name) in errors}
    best = min(same, key=lambda name: same[name])
    # Networks that read one range and write another: 0..255 in and 0..1 out, for example.
    mixed = min(errors, key=lambda pair: errors[pair])
    if errors[mixed] < _RESEMBLES / 4 and errors[mixed] * _CLEARLY < same[best]:
        return *mixed, []
    if bound:
        return bound, bound, []
    close = [name for name in same if same[name] <= max(_CLEARLY * same[best], _ROUNDING)]
    # Where the results agree the choice makes no difference, and the most common range is taken: the first.
    steps = [float(np.abs(middles[name, name] - middles[close[0], close[0]]).max()) for name in close]
    if same[best] > _RESEMBLES or max(steps) > _A_STEP:
        raise ModelError(
            f"{path}: it has no img2img card, and its range of values cannot be found out: say --assume range=255"
            " (0..255), range=1 (0..1) or range=signed (-1..1)"
        )
    return close[0], close[0], close[1:]


def _bound(results: dict[str, npt.NDArray[Any]]) -> str | None:
    """The range that the values stay in, whatever goes in: the mark of a sigmoid, a tanh or a clip at the end."""
    low = min(float(one.min()) for one in results.values())
    high = max(float(one.max()) for one in results.values())
    if not (low >= -1 - _A_STEP and high <= 1 + _A_STEP):  # nor is NaN
        return None
    if low >= 0:
        return "1"
    return "signed" if low < -0.25 else None  # a picture in -1..1 has dark parts; a small undershoot is no sign


def _compared(planes: Floats, image: Floats) -> tuple[Floats, float]:
    """The middle of a result reduced to the size of the picture, and its root mean square difference from that.

    Borders are left away: zero padding shows there.
    """
    n, channels, height, width = image.shape
    scale = planes.shape[2] // height
    reduced = planes.reshape(n, channels, height, scale, width, scale).mean(axis=(3, 5), dtype=np.float64)
    top, left = height // 4, width // 4
    middle = (..., slice(top, height - top), slice(left, width - left))
    error = float(np.sqrt(np.square(reduced[middle] - image[middle]).mean()))
    return reduced[middle].astype(np.float32), error if math.isfinite(error) else math.inf


def _run(session: Any, adapter: Adapter, image: Floats) -> npt.NDArray[Any]:
    result: npt.NDArray[Any] = session.run([adapter.result], {adapter.image: adapter.read(image)})[0]
    return result


def _note(path: Path, card: Card, adapter: Adapter, fixed: Fixed | None, assumed: Assumed, others: list[str]) -> str:
    """One line: what was found, and what was taken for granted."""
    found = ["luminance, its colours enlarged bicubically"]
    if adapter.channels == 3:
        found = ["BGR" if adapter.is_bgr else "RGB"]
        if assumed.channels is None:
            found[0] += " (taken for granted: --assume channels=bgr is the other order)"
    values = f"values {_NAMES[adapter.reads]}"
    if adapter.reads != adapter.writes:
        values += f" in and {_NAMES[adapter.writes]} out"
    if others:
        values += f" ({' and '.join(_NAMES[one] for one in others)} would do as well)"
    found.append(values)
    if card.multiple > 1 and fixed is None:
        found.append(f"sides multiples of {card.multiple}")
    if card.context is None and fixed is None:
        found.append("pictures run whole (--assume context=N allows tiles)")
    return f"{path.name} has no img2img card; running it showed scale {card.scale}, {', '.join(found)}"
