"""Finds out the properties of a network without a card by running it on small pictures."""

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
from img2img.runtime.network import inference_errors
from img2img.runtime.network.adapter import (
    CHROMA_CONTEXT,
    RANGES,
    Adapter,
    Assumptions,
    FixedSize,
    declared_adapter,
    show_shape,
)
from img2img.runtime.network.card import Card
from img2img.runtime.network.grid import round_up

Floats = npt.NDArray[np.float32]

# Sides of the test picture for each multiple. They are odd multiples of it, so they do not fit a larger one by chance.
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
_REFERENCE_SIDE = 128  # a multiple of all but the largest
_NAMES = {"1": "0..1", "255": "0..255", "signed": "-1..1"}
# Largest root mean square difference (of 1) of a result that resembles the picture. A black result differs by 0.55,
# and values 0..255 read as 0..1 by more than 100; networks that translate between domains reach 0.3.
_SIMILAR = 0.4
_CLEARLY_BETTER = 2.0  # ratio of two errors: 6 dB
_ROUNDING = 1e-4  # an error of float arithmetic, not of a network
_ONE_STEP = 1 / 255


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The derived card of a network, the adapter to docs/model-file.md, and notes about what probing found."""

    card: Card
    adapter: Adapter
    fixed: FixedSize | None
    notes: tuple[str, ...]


def probe(session: Any, path: Path, assumed: Assumptions) -> ProbeResult:
    """Find out the scale, the multiple of the sides, the layout and the value range of a network.

    A network that enlarges gets the task "upscale", any other one "translate". Probing cannot measure the context: it
    stays None (the whole picture) unless it is assumed. The channel order is RGB unless assumed otherwise.

    Args:
        session: an onnxruntime session.
        assumed: known properties, which are not probed.

    Raises:
        ModelError: the network does not map one picture to one picture, or a property cannot be determined; the message
            then names the key of `Assumptions` to set.
        UsageError: `assumed` contradicts the declarations in the file.
    """
    adapter, fixed = declared_adapter(session, path)
    if fixed is not None and assumed.multiple is not None and any(side % assumed.multiple for side in fixed):
        raise UsageError(f"{path}: its fixed size, {fixed[1]}x{fixed[0]}, is not a multiple of {assumed.multiple}")
    first = assumed.range or "1"
    offset = assumed.offset or 0
    adapter = dataclasses.replace(
        adapter, input_range=first, output_range=first, is_bgr=assumed.channels == "bgr", offset=offset
    )
    if fixed is not None and offset:
        fixed = fixed[0] - 2 * offset, fixed[1] - 2 * offset
        if min(fixed) < 1:
            raise UsageError(f"{path}: --assume offset={offset} leaves nothing of its fixed size")
    scale, multiple, adapter = _find_scale(session, path, adapter, fixed, assumed)
    others: list[str] = []
    if assumed.range is None:
        sides = fixed or (round_up(32, multiple), round_up(40, multiple))
        input_range, output_range, others = _find_ranges(session, path, adapter, sides, scale)
        adapter = dataclasses.replace(adapter, input_range=input_range, output_range=output_range)
    context = assumed.context
    if context is None and offset:
        reach = round_up(offset, multiple)
        side = round_up(4 * reach + 16, multiple)
        context = reach if _is_local(session, adapter, scale, reach, fixed or (side, side)) else None
    if context is not None and adapter.channels == 1 and scale > 1:
        context = max(context, CHROMA_CONTEXT)
    further = {one.name: one.shape for one in session.get_inputs()}
    card = Card(
        name=path.stem,
        task=assumed.task or ("upscale" if scale > 1 else "translate"),
        scale=scale,
        multiple=multiple,
        minimum=multiple,
        context=context,
        reference={"about": "", "multiple": multiple, "minimum": multiple} if "reference" in further else None,
        latent={"length": further["latent"][1], "distribution": "normal"} if "latent" in further else None,
    )
    return ProbeResult(card, adapter, fixed, (_note(path, card, adapter, fixed, assumed, others),))


def picture(height: int, width: int) -> Floats:
    """A smooth picture of medium contrast with three different channels: float32 [1, 3, H, W], 0.2 to 0.8."""
    y, x = np.mgrid[0:height, 0:width] * (2 * math.pi)
    waves = [x / 29 + y / 47, y / 31 - x / 53 + 1, x / 37 + y / 41 + 2.5]
    return np.stack([0.5 + 0.3 * np.sin(wave) for wave in waves])[None].astype(np.float32)


def _picture_for(height: int, width: int, channels: int) -> Floats:
    """The picture for a network with so many channels: grey if there is only one."""
    image = picture(height, width)
    return image if channels == 3 else image[:, :1].repeat(3, axis=1)


def _find_scale(
    session: Any, path: Path, adapter: Adapter, fixed: FixedSize | None, assumed: Assumptions
) -> tuple[int, int, Adapter]:
    """Find the scale, the multiple, and the adapter with the layout of the output."""
    problem = ""
    losses: set[tuple[int, int]] = set()
    for multiple, (height, width) in _candidates(fixed, assumed.multiple):
        try:
            shape = _run(session, adapter, _picture_for(height, width, adapter.channels)).shape
        except inference_errors.runtime_errors() as error:
            converted = inference_errors.convert(error, f"{path}: running it on {width}x{height} pixels failed")
            if isinstance(converted, inference_errors.OutOfMemory):  # larger pictures would not fit either
                raise converted from error
            problem = inference_errors.first_line(error)
            continue
        scale = assumed.scale
        for channels_last in (adapter.input_channels_last, not adapter.input_channels_last):
            n, rows, columns, channels = shape if channels_last and len(shape) == 4 else _channels_moved_last(shape)
            if (n, channels) != (1, adapter.channels):
                continue
            found = scale or _slope((height, width), (rows, columns))
            missing = height * found - rows
            if found >= 1 and missing == width * found - columns:
                if missing == 0 or (adapter.offset and missing < 0):
                    return found, multiple, dataclasses.replace(adapter, output_channels_last=channels_last)
                if missing > 0:
                    losses.add((found, missing))
        expected = "a multiple of the picture's" if scale is None else f"{scale} times the picture's"
        problem = f"its result for {width}x{height} pixels has the shape {show_shape(shape)}, not {expected}"
    if len(losses) == 1:
        ((found, lost),) = losses
        # Half of what is lost, in pixels of the result, as in waifu2x. For scales above 1 it is more than necessary.
        hint = f"use --assume offset={adapter.offset + math.ceil(lost / 2)}"
        result = f"its result with offset {adapter.offset}" if adapter.offset else "its result"
        expected = "the picture" if found == 1 else f"{found} times the picture"
        message = f"{path}: {result} is {lost} pixels smaller than {expected}, because its convolutions have no padding"
        raise ModelError(f"{message}: {hint}", path=path, hint=hint)
    message = f"{path}: it has no img2img card, and its scale cannot be determined: {problem}"
    if fixed or assumed.multiple:
        raise ModelError(message, path=path)
    hint = "use --assume multiple=N if the sides must be multiples of N"
    raise ModelError(f"{message}; {hint}", path=path, hint=hint)


def _slope(before: FixedSize, after: FixedSize) -> int:
    """The scale of a result that has a few pixels more or less; of a square one, the nearest scale."""
    if before[0] == before[1]:
        return math.floor(after[0] / before[0] + 0.5)
    return (after[1] - after[0]) // (before[1] - before[0])


def _is_local(session: Any, adapter: Adapter, scale: int, reach: int, sides: FixedSize) -> bool:
    """Whether a pixel of the result depends on pixels within `reach` only, so that tiles have no seams.

    Runs two pictures of noise that agree around their centres only.
    """
    first, second = np.random.default_rng(0).random((2, 1, 3, *sides), np.float32)
    if min(sides) < 2 * reach + 8:
        return False
    inside = tuple(slice(side // 2 - reach - 2, side // 2 + reach + 2) for side in sides)
    second[:, :, *inside] = first[:, :, *inside]
    size = sides[0] * scale, sides[1] * scale
    results = [adapter.from_network(_run(session, adapter, image), size) for image in (first, second)]
    centre = tuple(slice((side // 2 - 1) * scale, (side // 2 + 1) * scale) for side in sides)
    return bool(np.array_equal(results[0][:, :, *centre], results[1][:, :, *centre]))


def _candidates(fixed: FixedSize | None, multiple: int | None) -> Iterator[tuple[int, FixedSize]]:
    if fixed is not None:
        yield multiple or 1, fixed
    elif multiple is not None:
        side = round_up(15, multiple)
        yield multiple, (side, side + multiple)
    else:
        yield from _SIDES.items()


def _channels_moved_last(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """N, H, W, C of a shape [N, C, H, W]; zeros if it does not have four dimensions."""
    if len(shape) != 4:
        return 0, 0, 0, 0
    n, channels, rows, columns = shape
    return n, rows, columns, channels


def _find_ranges(
    session: Any, path: Path, adapter: Adapter, sides: FixedSize, scale: int
) -> tuple[str, str, list[str]]:
    """Find the input range, the output range, and other ranges that work equally well.

    The last layer may reveal the range: its values never leave 0..1, or -1..1, for any input. Otherwise, the result
    must resemble the picture. For nearly linear networks it does so in every range, and any range works.
    """
    image = _picture_for(*sides, adapter.channels)
    results: dict[str, npt.NDArray[Any]] = {}
    for name in RANGES:
        try:
            results[name] = _run(session, dataclasses.replace(adapter, input_range=name), image)
        except inference_errors.runtime_errors() as error:
            raise inference_errors.convert(
                error, f"{path}: running it on {sides[1]}x{sides[0]} pixels failed"
            ) from error
    size = sides[0] * scale, sides[1] * scale
    if adapter.from_network(results["1"], size).shape != (1, adapter.channels, *size):
        raise ModelError(
            f"{path}: it has no img2img card, and its scale depends on the size of the picture: {scale} at first, but"
            f" {sides[1]}x{sides[0]} pixels become {show_shape(results['1'].shape)}"
        )
    input_range, output_range, others = _best_ranges(results, adapter, image[:, : adapter.channels], size, path)
    is_integer = (adapter.input_type == np.uint8, results["1"].dtype == np.uint8)  # integers have one range only
    if is_integer[0]:
        input_range = "255"
    if is_integer[1]:
        output_range = "255"
    return input_range, output_range, [] if any(is_integer) else others


def _best_ranges(
    results: dict[str, npt.NDArray[Any]], adapter: Adapter, image: Floats, size: FixedSize, path: Path
) -> tuple[str, str, list[str]]:
    bound = _output_bound(results)
    middles: dict[tuple[str, str], Floats] = {}
    errors: dict[tuple[str, str], float] = {}
    for pair in itertools.product(RANGES, [bound] if bound else RANGES):
        planes = dataclasses.replace(adapter, output_range=pair[1]).from_network(results[pair[0]], size)
        middles[pair], errors[pair] = _compare(planes, image)
    same = {name: errors[name, name] for name in RANGES if (name, name) in errors}
    best = min(same, key=lambda name: same[name])
    # Some networks have different input and output ranges, for example 0..255 in and 0..1 out.
    mixed = min(errors, key=lambda pair: errors[pair])
    if errors[mixed] < _SIMILAR / 4 and errors[mixed] * _CLEARLY_BETTER < same[best]:
        return *mixed, []
    if bound:
        return bound, bound, []
    close = [name for name in same if same[name] <= max(_CLEARLY_BETTER * same[best], _ROUNDING)]
    # If the results agree, the choice makes no difference: take the first range, which is the most common one.
    steps = [float(np.abs(middles[name, name] - middles[close[0], close[0]]).max()) for name in close]
    if same[best] > _SIMILAR or max(steps) > _ONE_STEP:
        hint = "use --assume range=255 (0..255), range=1 (0..1) or range=signed (-1..1)"
        message = f"{path}: it has no img2img card, and its value range cannot be determined: {hint}"
        raise ModelError(message, path=path, hint=hint)
    return close[0], close[0], close[1:]


def _output_bound(results: dict[str, npt.NDArray[Any]]) -> str | None:
    """The range that no result leaves, which shows that the network ends with a sigmoid, a tanh or a clip."""
    low = min(float(one.min()) for one in results.values())
    high = max(float(one.max()) for one in results.values())
    if not (low >= -1 - _ONE_STEP and high <= 1 + _ONE_STEP):  # also true for NaN
        return None
    if low >= 0:
        return "1"
    return "signed" if low < -0.25 else None  # a picture in -1..1 has dark parts; a small undershoot proves nothing


def _compare(planes: Floats, image: Floats) -> tuple[Floats, float]:
    """The middle of a result, reduced to the picture's size, and its root mean square difference from the picture.

    Borders are ignored, because zero padding shows there.
    """
    n, channels, height, width = image.shape
    scale = planes.shape[2] // height
    reduced = planes.reshape(n, channels, height, scale, width, scale).mean(axis=(3, 5), dtype=np.float64)
    top, left = height // 4, width // 4
    middle = (..., slice(top, height - top), slice(left, width - left))
    error = float(np.sqrt(np.square(reduced[middle] - image[middle]).mean()))
    return reduced[middle].astype(np.float32), error if math.isfinite(error) else math.inf


def _run(session: Any, adapter: Adapter, image: Floats) -> npt.NDArray[Any]:
    feeds = {adapter.input_name: adapter.to_network(image)}
    for one in session.get_inputs():
        if one.name == "reference":
            reference = _picture_for(_REFERENCE_SIDE, _REFERENCE_SIDE, adapter.channels)
            feeds[one.name] = dataclasses.replace(adapter, offset=0).to_network(reference)
        elif one.name == "latent":
            feeds[one.name] = np.zeros((1, one.shape[1]), np.float32)
    result: npt.NDArray[Any] = session.run([adapter.output_name], feeds)[0]
    return result


def _note(
    path: Path, card: Card, adapter: Adapter, fixed: FixedSize | None, assumed: Assumptions, others: list[str]
) -> str:
    """One line about what was found and what was assumed."""
    found = ["luminance only (colours are enlarged bicubically)"]
    if adapter.channels == 3:
        found = ["BGR" if adapter.is_bgr else "RGB"]
        if assumed.channels is None:
            found[0] += " (assumed; --assume channels=bgr for the other order)"
    values = f"values {_NAMES[adapter.input_range]}"
    if adapter.input_range != adapter.output_range:
        values += f" in and {_NAMES[adapter.output_range]} out"
    if others:
        values += f" ({' and '.join(_NAMES[one] for one in others)} work equally well)"
    found.append(values)
    if card.multiple > 1 and fixed is None:
        found.append(f"sides are multiples of {card.multiple}")
    if adapter.offset:
        found.append(f"no padding (extended by {adapter.offset} pixels on each side)")
    if card.reference is not None:
        found.append("a reference picture")
    if card.latent is not None:
        found.append(f"a latent code of {card.latent['length']} values")
    if card.context is None and fixed is None:
        found.append("no tiles (--assume context=N allows them)")
    return f"{path.name} has no img2img card; probing found scale {card.scale}, {', '.join(found)}"
