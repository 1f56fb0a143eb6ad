"""The face of a network: its inputs and outputs, checked against the card, or probed where there is none."""

from pathlib import Path
from typing import Any

import numpy as np

from img2img.errors import ModelError
from img2img.runtime import failures
from img2img.runtime.card import Card

# Contract 1. `reference` and `latent` may come with later methods; they are no reason to refuse a file.
_OPTIONAL_INPUTS = {"reference", "latent"}
# A picture of such sides is tried for each multiple: odd multiples of it, so that no larger one fits by chance.
_PROBES = {
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


def check(session: Any, card: Card, path: Path) -> None:
    """See that the network has the inputs and the output that its card promises.

    Raises:
        ModelError: it has not; the message says which one is missing or wrong.
    """
    inputs = {one.name: one for one in session.get_inputs()}
    wanted = {"image": 3}
    if card.task == "inpaint":
        wanted["mask"] = 1
    if card.domains:
        wanted["domain"] = len(card.domains)
    for name, channels in wanted.items():
        if name not in inputs:
            raise ModelError(
                f"{path}: a model for {card.task!r} needs an input named {name!r}, it has {_listed(inputs)}"
            )
        _check_tensor(inputs[name], channels, 2 if name == "domain" else 4, path)
    if strangers := set(inputs) - set(wanted) - _OPTIONAL_INPUTS:
        raise ModelError(f"{path}: it has inputs that its card does not explain: {_listed(strangers)}")
    outputs = {one.name: one for one in session.get_outputs()}
    if "result" not in outputs:
        raise ModelError(f"{path}: it needs an output named 'result', it has {_listed(outputs)}")
    _check_tensor(outputs["result"], 3, 4, path)


def probe(session: Any, path: Path) -> tuple[Card, list[str]]:
    """Make up a card for a file without one, by looking at its inputs and by running small pictures through it.

    What no probe can tell: the task (taken for "upscale"), the context (taken for the whole picture), and the range of
    values (taken for RGB in 0..1).

    Returns:
        The card, and notes that say what was taken for granted.

    Raises:
        ModelError: not one float32 image [N, 3, H, W] of any size in and one out, or no size that it accepts.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"{path}: it has no img2img card, and {len(inputs)} inputs and {len(outputs)} outputs where one each"
            " would say what to do; export it with img2img"
        )
    _check_tensor(inputs[0], 3, 4, path)
    _check_tensor(outputs[0], 3, 4, path)
    problem = "its result is not an enlarged image"
    for multiple, (height, width) in _PROBES.items():
        image = np.full((1, 3, height, width), 0.5, np.float32)
        try:
            shape = session.run(None, {inputs[0].name: image})[0].shape
        except failures.runtime_errors() as error:
            problem = failures.short(error)
            continue
        scale = shape[2] // height if len(shape) == 4 else 0
        if scale >= 1 and shape == (1, 3, height * scale, width * scale):
            card = Card(name=path.stem, task="upscale", scale=scale, multiple=multiple, minimum=multiple)
            note = f"{path.name} has no img2img card: pictures run whole, RGB in 0..1 is assumed"
            return card, [note]
    raise ModelError(f"{path}: it has no img2img card, and its scale cannot be found out: {problem}")


def _check_tensor(tensor: Any, channels: int, rank: int, path: Path) -> None:
    """`tensor` is onnxruntime's description of one; sides that may vary have names or None instead of numbers."""
    what = f"{path}: {tensor.name!r}"
    if tensor.type != "tensor(float)":
        raise ModelError(f"{what} must be float32, it is {tensor.type}")
    shape = tensor.shape
    if not shape:  # the exporter wrote none: the first run will tell
        return
    if len(shape) != rank:
        raise ModelError(f"{what} must have {rank} dimensions, it has {len(shape)}")
    if isinstance(shape[1], int) and shape[1] != channels:
        raise ModelError(f"{what} must have {channels} channels, it has {shape[1]}")
    if any(isinstance(side, int) for side in shape[2:]):
        raise ModelError(f"{what} has a fixed size ({'x'.join(map(str, shape))}): export it with dynamic H and W")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise ModelError(f"{what} takes {shape[0]} pictures at a time only: export it with dynamic N")


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "none"
