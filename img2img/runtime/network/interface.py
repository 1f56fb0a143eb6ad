"""The face of a network: its inputs and outputs, checked against the card."""

from pathlib import Path
from typing import Any

from img2img.errors import ModelError
from img2img.runtime.network.card import Card
from img2img.runtime.network.foreign_interface import Fixed, fixed_sides, shown

# Contract 1. `reference` and `latent` may come with later methods; they are no reason to refuse a file.
_OPTIONAL_INPUTS = {"reference", "latent"}


def check(session: Any, card: Card, path: Path) -> Fixed | None:
    """See that the network has the inputs and the output that its card promises.

    Returns:
        Height and width in pixels where the network takes no others; None: any, as contract 1 has it.

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
    image = inputs["image"]
    fixed = fixed_sides(image.shape[2:], image.name, path)
    if fixed is None:
        return None
    if card.task == "inpaint":  # a mask goes with one window, and a hole's surroundings have many sizes
        raise ModelError(
            f"{path}: {image.name!r} has a fixed size ({shown(image.shape)}): export it with dynamic H and W"
        )
    if any(side % card.multiple or side < card.minimum for side in fixed):
        raise ModelError(
            f"{path}: {image.name!r} has a fixed size ({shown(image.shape)}) that its card does not allow (multiples"
            f" of {card.multiple}, at least {card.minimum})"
        )
    return fixed


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
    if isinstance(shape[0], int) and shape[0] != 1:
        raise ModelError(f"{what} takes {shape[0]} pictures at a time only: export it with dynamic N")


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "none"
