"""Tests whether a model works on this machine: runs it on a computed picture and compares the result with its card.

The card holds a fingerprint of the expected result. The schema of the card describes the computation in words (under
`selftest`), so that programs in any language can repeat it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.errors import ModelError
from img2img.runtime.network import devices, inference_errors
from img2img.runtime.network.card import MAX_SELFTEST_SIDE, Card
from img2img.runtime.network.grid import round_up
from img2img.runtime.network.inference_errors import BrokenOutput

Floats = npt.NDArray[np.float32]
Inputs = dict[str, Floats]
Sides = tuple[int, int]

TOLERANCE = 4
"""Largest allowed difference of a byte, in steps of 255. Operands rounded to TF32 change the bytes of CycleGAN's,
StarGAN's and pix2pix's generators by 1. Swapped channels, or a turned or shifted picture, change those of the picture
itself by 10 to 70."""

BLOCKS = 4
"""Blocks along each side of the result."""

_SIDES = (32, 48)  # not square, to detect a turned result; the smallest sides with meaningful blocks
_REFERENCE_SIDES = (40, 24)


def size(card: Card, fixed: Sides | None = None) -> Sides | None:
    """H and W of the test picture for a model with this card; None if the model only takes larger pictures.

    Args:
        fixed: the only size that the model accepts; None: any size.
    """
    height, width = fixed or _sides(_SIDES, card.minimum, card.multiple)
    largest = max(height, width, *(reference_size(card) if card.reference is not None else ()))
    return (height, width) if largest <= MAX_SELFTEST_SIDE else None


def reference_size(card: Card) -> Sides:
    """h and w of the test picture for the input `reference`."""
    assert card.reference is not None
    return _sides(_REFERENCE_SIDES, card.reference["minimum"], card.reference["multiple"])


def _sides(wanted: Sides, minimum: int, multiple: int) -> Sides:
    height, width = (round_up(max(side, minimum), multiple) for side in wanted)
    return height, width


def fits(card: Card) -> bool:
    """Whether the card has a self-test of a size that the model accepts."""
    if card.selftest is None:
        return False
    sides = (card.selftest["height"], card.selftest["width"])
    return all(side >= card.minimum and side % card.multiple == 0 for side in sides)


def picture(height: int, width: int) -> Floats:
    """The test picture, float32 [1, 3, H, W], 0..1: different waves in each channel, edges and texture."""
    c, y, x = np.ogrid[:3, :height, :width]
    wave = ((2 + c) * (256 * x // width) + (4 - c) * (256 * y // height) + 85 * c) % 512
    wave = np.minimum(wave, 511 - wave)
    edges = (x // 8 + y // 5) % 2 * 255
    texture = (3 * x * x + 5 * y * y + 7 * x * y) % 256
    values = (5 * wave + 2 * edges + texture) // 8
    return np.asarray(values[None] / 255, np.float32)


def inputs(card: Card, height: int, width: int) -> Inputs:
    """The inputs for a model with this card: the picture, a hole in its middle, the first domain, and so on."""
    given, wanted = {"image": picture(height, width)}, card.inputs
    if "mask" in wanted:
        mask = np.zeros((1, 1, height, width), np.float32)
        mask[:, :, height // 4 : 3 * height // 4, width // 3 : 2 * width // 3] = 1
        given["mask"] = mask
    if "domain" in wanted:
        given["domain"] = np.eye(1, len(card.domains), dtype=np.float32)
    if "reference" in wanted:
        given["reference"] = np.ascontiguousarray(picture(*reference_size(card))[:, ::-1])
    if card.latent is not None:
        steps = np.arange(card.latent["length"])[None] * 5 % 9 - 4
        given["latent"] = np.asarray(steps / 4, np.float32)
    return given


def fingerprint(result: Floats) -> str:
    """Compute two bytes for each of 4x4 blocks and channels, as 192 hexadecimal digits.

    The first byte is the mean, which depends on colour and place. The second is the mean difference between a pixel and
    its left neighbour, which depends on the order of the pixels.

    Args:
        result: [1, 3, H, W], 0..1; H and W at least 8.

    Raises:
        BrokenOutput: the result contains NaN or infinity.
    """
    if not np.isfinite(result).all():
        raise BrokenOutput("its result for the picture of the self-test contains NaN or infinity")
    values = result[0].astype(np.float64) * 255
    rows, columns = ([i * side // BLOCKS for i in range(BLOCKS + 1)] for side in values.shape[1:])
    found = []
    for i in range(BLOCKS):
        for j in range(BLOCKS):
            block = values[:, rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
            means = [block.mean((1, 2)), np.abs(np.diff(block, axis=2)).mean((1, 2))]
            found.append(np.stack(means, axis=1))  # [channel, 2]
    return bytes(np.rint(np.clip(found, 0, 255)).astype(np.uint8)).hex()


def difference(one: str, other: str) -> int:
    """The largest difference between two fingerprints, in steps of 255."""
    first, second = (np.frombuffer(bytes.fromhex(text), np.uint8).astype(int) for text in (one, other))
    return int(np.abs(first - second).max())


def create(model: Path | bytes, card: Card) -> dict[str, Any] | None:
    """Create the self-test for a model's card. Runs the model on one CPU thread of this machine.

    Args:
        model: the path of the ONNX file, or its content.

    Returns:
        The card's `selftest`. None if the results vary between runs (active dropout), or if the model only takes larger
        pictures.

    Raises:
        ModelError: onnxruntime rejects the file or fails.
        BrokenOutput: the result is no valid picture.
    """
    run, fixed = _runner(model)
    sides = size(card, fixed)
    if sides is None:
        return None
    given = inputs(card, *sides)
    first, again = run(given), run(given)
    expected = (1, 3, sides[0] * card.scale, sides[1] * card.scale)
    if first.shape != expected:
        raise BrokenOutput(f"its result has the shape {list(first.shape)}, but its card promises {list(expected)}")
    if not np.array_equal(first, again, equal_nan=True):
        return None
    return {"height": sides[0], "width": sides[1], "result": fingerprint(first)}


def _runner(model: Path | bytes) -> tuple[Callable[[Inputs], Floats], Sides | None]:
    """A function that runs the model, and the only image size that the model accepts, if there is one."""
    import onnxruntime as ort

    what = str(model) if isinstance(model, Path) else "the model"
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = devices.stoppable(model, options, ["CPUExecutionProvider"])
    except inference_errors.runtime_errors() as error:
        raise inference_errors.convert(error, f"{what}: onnxruntime cannot load it") from error

    def run(given: Inputs) -> Floats:
        try:
            result: Floats = session.run(["result"], given)[0]
        except inference_errors.runtime_errors() as error:
            raise inference_errors.convert(error, f"{what}: running its self-test failed") from error
        return result

    shapes = (one.shape[2:] for one in session.get_inputs() if one.name == "image")
    sides = [side for shape in shapes for side in shape if isinstance(side, int)]
    return run, (sides[0], sides[1]) if len(sides) == 2 else None


def check(card: Card, run: Callable[[Inputs], Floats], fixed: Sides | None = None) -> str:
    """Run the self-test of a card and describe the outcome in words.

    Args:
        run: runs the model: from its inputs to the result [1, 3, H * scale, W * scale].
        fixed: see `size`.

    Raises:
        ModelError: the result differs from the card.
        BrokenOutput: the result is no valid picture.
        Other errors come from `run`.
    """
    stored = card.selftest
    if stored is None:
        sides = size(card, fixed)
        if sides is None:
            return "not run: the model only takes large pictures"
        fingerprint(run(inputs(card, *sides)))
        return "runs; its card has no result to compare with"
    if not fits(card):
        raise ModelError(
            f"the card's self-test has {stored['width']}x{stored['height']} pixels, but its model does not accept this"
            f" size (multiple {card.multiple}, minimum {card.minimum})"
        )
    found = fingerprint(run(inputs(card, stored["height"], stored["width"])))
    steps = difference(found, stored["result"])
    if steps > TOLERANCE:
        raise ModelError(
            f"its result is off by {steps} of 255, {TOLERANCE} are allowed: the file or onnxruntime has changed"
        )
    return f"off by at most {steps} of 255"
