"""What a model makes of a picture that is computed, as a fingerprint in its card: does it work on this machine?

The card's schema says all of it in words (`selftest`), so that a program in any language can do the same.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.errors import ModelError
from img2img.runtime.network import failures
from img2img.runtime.network.card import MAX_SELFTEST_SIDE, Card
from img2img.runtime.network.failures import BrokenOutput

Floats = npt.NDArray[np.float32]
Inputs = dict[str, Floats]
Sides = tuple[int, int]

TOLERANCE = 4
"""Steps of 255 by which a byte may differ. Operands rounded as TF32 does move those of CycleGAN's, StarGAN's and
pix2pix's generators by 1; swapped channels, a turned or a shifted picture those of the picture itself by 10 to 70."""

BLOCKS = 4
"""Blocks along each side of the result."""

_SIDES = (32, 48)  # not square: a result that is turned shows; the smallest in which a block says something


def size(card: Card, fixed: Sides | None = None) -> Sides | None:
    """H and W of the picture for a model with this card; None: it takes none that is small enough.

    Args:
        fixed: where the model takes no others.
    """
    height, width = fixed or (-(-max(side, card.minimum) // card.multiple) * card.multiple for side in _SIDES)
    return (height, width) if max(height, width) <= MAX_SELFTEST_SIDE else None


def fits(card: Card) -> bool:
    """The card has a self-test, of a size that the model takes."""
    if card.selftest is None:
        return False
    sides = (card.selftest["height"], card.selftest["width"])
    return all(side >= card.minimum and side % card.multiple == 0 for side in sides)


def picture(height: int, width: int) -> Floats:
    """The picture, float32 [1, 3, H, W], 0..1: waves unlike in each channel, edges and texture."""
    c, y, x = np.ogrid[:3, :height, :width]
    wave = ((2 + c) * (256 * x // width) + (4 - c) * (256 * y // height) + 85 * c) % 512
    wave = np.minimum(wave, 511 - wave)
    edges = (x // 8 + y // 5) % 2 * 255
    texture = (3 * x * x + 5 * y * y + 7 * x * y) % 256
    values = (5 * wave + 2 * edges + texture) // 8
    return np.asarray(values[None] / 255, np.float32)


def inputs(card: Card, height: int, width: int) -> Inputs:
    """The inputs of a model with this card: the picture, a hole in its middle, the first domain."""
    given = {"image": picture(height, width)}
    if card.task == "inpaint":
        mask = np.zeros((1, 1, height, width), np.float32)
        mask[:, :, height // 4 : 3 * height // 4, width // 3 : 2 * width // 3] = 1
        given["mask"] = mask
    if card.domains:
        given["domain"] = np.eye(1, len(card.domains), dtype=np.float32)
    return given


def fingerprint(result: Floats) -> str:
    """Two bytes for each of 4x4 blocks and channels: the mean, and the mean difference to the pixel on the left.

    The one shows colour and place, the other whether pixels lie in the right order. 192 hexadecimal digits.

    Args:
        result: [1, 3, H, W], 0..1; H and W at least 8.

    Raises:
        BrokenOutput: it holds values that are no numbers.
    """
    if not np.isfinite(result).all():
        raise BrokenOutput("its result for the self-test's picture holds values that are no numbers")
    values = result[0].astype(np.float64) * 255
    rows, columns = ([i * side // BLOCKS for i in range(BLOCKS + 1)] for side in values.shape[1:])
    found = []
    for i in range(BLOCKS):
        for j in range(BLOCKS):
            block = values[:, rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
            means = [block.mean((1, 2)), np.abs(np.diff(block, axis=2)).mean((1, 2))]
            found.append(np.stack(means, axis=1))  # [channel, 2]
    return bytes(np.rint(np.clip(found, 0, 255)).astype(np.uint8)).hex()


def apart(one: str, other: str) -> int:
    """The largest difference of two fingerprints, in steps of 255."""
    first, second = (np.frombuffer(bytes.fromhex(text), np.uint8).astype(int) for text in (one, other))
    return int(np.abs(first - second).max())


def measured(model: Path | bytes, card: Card) -> dict[str, Any] | None:
    """The self-test for a model's card: the fingerprint on one thread of this machine's CPU.

    Args:
        model: the ONNX file, or what is to be in it.

    Returns:
        As the card holds it. None for a model whose results differ each time (live dropout), or that takes no picture
        that is small enough.

    Raises:
        ModelError: onnxruntime refuses the file or fails. BrokenOutput: its result is no picture.
    """
    run, fixed = _runner(model)
    sides = size(card, fixed)
    if sides is None:
        return None
    given = inputs(card, *sides)
    first, again = run(given), run(given)
    expected = (1, 3, sides[0] * card.scale, sides[1] * card.scale)
    if first.shape != expected:
        raise BrokenOutput(f"its result has shape {list(first.shape)}, its card promises {list(expected)}")
    if not np.array_equal(first, again, equal_nan=True):
        return None
    return {"height": sides[0], "width": sides[1], "result": fingerprint(first)}


def _runner(model: Path | bytes) -> tuple[Callable[[Inputs], Floats], Sides | None]:
    """What runs the model, and the sides of its image, where it takes no others."""
    import onnxruntime as ort

    what = str(model) if isinstance(model, Path) else "the model"
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(
            str(model) if isinstance(model, Path) else model, options, providers=["CPUExecutionProvider"]
        )
    except failures.runtime_errors() as error:
        raise failures.typed(error, f"{what}: onnxruntime cannot load it") from error

    def run(given: Inputs) -> Floats:
        try:
            result: Floats = session.run(["result"], given)[0]
        except failures.runtime_errors() as error:
            raise failures.typed(error, f"{what}: running its self-test failed") from error
        return result

    shapes = (one.shape[2:] for one in session.get_inputs() if one.name == "image")
    sides = [side for shape in shapes for side in shape if isinstance(side, int)]
    return run, (sides[0], sides[1]) if len(sides) == 2 else None


def passed(card: Card, run: Callable[[Inputs], Floats], fixed: Sides | None = None) -> str:
    """Run the self-test of a card; returns how it went, in words.

    Args:
        run: the model, from its inputs to the result [1, 3, H * scale, W * scale].
        fixed: as in `size`.

    Raises:
        ModelError: the result is not that in the card. BrokenOutput: it is no picture. Those of `run` pass through.
    """
    stored = card.selftest
    if stored is None:
        sides = size(card, fixed)
        if sides is None:
            return "not run: it takes large pictures only"
        fingerprint(run(inputs(card, *sides)))
        return "runs; nothing in its card to compare with"
    if not fits(card):
        raise ModelError(
            f"the card's self-test has {stored['width']}x{stored['height']} pixels, which its model does not take"
            f" (multiple {card.multiple}, minimum {card.minimum})"
        )
    found = fingerprint(run(inputs(card, stored["height"], stored["width"])))
    steps = apart(found, stored["result"])
    if steps > TOLERANCE:
        raise ModelError(
            f"its result is off by {steps} of 255, {TOLERANCE} are allowed: the file or onnxruntime is not as it was"
        )
    return f"off by {steps} of 255 at most"
