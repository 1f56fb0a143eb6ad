"""Checks the inputs and outputs of a network against its card and docs/model-file.md."""

from pathlib import Path
from typing import Any

from img2img.errors import ModelError
from img2img.runtime.network.adapter import FixedSize, fixed_size, show_shape
from img2img.runtime.network.card import Card

# Optional inputs of docs/model-file.md, for later methods.
_OPTIONAL_INPUTS = {"reference", "latent"}


def check(session: Any, card: Card, path: Path) -> FixedSize | None:
    """Check that the network has the inputs and the output that its card promises.

    Returns:
        Height and width in pixels if the network accepts only one input size; None: any size, as docs/model-file.md
        requires.

    Raises:
        ModelError: an input or the output is missing or wrong; the message names it.
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
                f"{path}: a model for {card.task!r} needs an input named {name!r}, its inputs are {_list(inputs)}"
            )
        _check_tensor(inputs[name], channels, 2 if name == "domain" else 4, path)
    if unknown := set(inputs) - set(wanted) - _OPTIONAL_INPUTS:
        raise ModelError(f"{path}: it has inputs that its card does not explain: {_list(unknown)}")
    outputs = {one.name: one for one in session.get_outputs()}
    if "result" not in outputs:
        raise ModelError(f"{path}: it needs an output named 'result', its outputs are {_list(outputs)}")
    _check_tensor(outputs["result"], 3, 4, path)
    image = inputs["image"]
    fixed = fixed_size(image.shape[2:], image.name, path)
    if fixed is None:
        return None
    if card.task == "inpaint":  # a hole runs in one window with its mask, and windows have many sizes
        raise ModelError(
            f"{path}: {image.name!r} has a fixed size ({show_shape(image.shape)}): export it with dynamic H and W"
        )
    if any(side % card.multiple or side < card.minimum for side in fixed):
        raise ModelError(
            f"{path}: {image.name!r} has a fixed size ({show_shape(image.shape)}) that its card does not allow"
            f" (multiples of {card.multiple}, at least {card.minimum})"
        )
    return fixed


def _check_tensor(tensor: Any, channels: int, rank: int, path: Path) -> None:
    """Check onnxruntime's description of a tensor. Variable dimensions have names or None instead of numbers."""
    what = f"{path}: {tensor.name!r}"
    if tensor.type != "tensor(float)":
        raise ModelError(f"{what} must be float32, not {tensor.type}")
    shape = tensor.shape
    if not shape:  # the exporter declared no shape; the first run will show it
        return
    if len(shape) != rank:
        raise ModelError(f"{what} must have {rank} dimensions, not {len(shape)}")
    if isinstance(shape[1], int) and shape[1] != channels:
        raise ModelError(f"{what} must have {channels} channels, not {shape[1]}")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise ModelError(f"{what} only takes {shape[0]} pictures at a time: export it with dynamic N")


def _list(names: Any) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "none"
