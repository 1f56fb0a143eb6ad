"""Export a torch network to an ONNX file with a card. It is written only if onnxruntime reproduces the network."""

import dataclasses
import gc
import io
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from img2img.atomic import atomic
from img2img.errors import ExportError
from img2img.exchange import dropout, inputs, receptive_field
from img2img.exchange.choices import chooses
from img2img.exchange.patch_search import TRANSLATIONS, with_functions_inlined
from img2img.exchange.prelu import split_prelu
from img2img.runtime.network import card_writing, devices
from img2img.runtime.network.card import Card
from img2img.version import __version__

OPSET = 18
"""The oldest opset that torch's exporter writes without conversion; onnxruntime 1.14 (2023) and newer load it."""

TOLERANCE = 2e-4
"""Largest allowed difference from torch, values 0..1: a twentieth of an 8-bit step."""

TOLERANCE_OF_CHOICES = 2e-3
"""Largest allowed mean difference for networks that choose what they copy: half an 8-bit step. Of two patches that fit
equally well, each program may choose another."""


@dataclass(frozen=True)
class Verification:
    """How an exported file compares with its network.

    Attributes:
        sizes: (batch, height, width) of every input compared.
        largest: largest difference from torch over all of them, values 0..1.
        mean: mean difference.
        context: the context in the card; None: the whole picture.
    """

    sizes: list[tuple[int, int, int]]
    largest: float
    mean: float
    context: int | None

    def figures(self) -> dict[str, float | str]:
        """The figures for the card."""
        sizes = ", ".join("x".join(map(str, size)) for size in self.sizes)
        command = "onnxruntime against torch, when the file was written"
        return {"largest": self.largest, "mean": self.mean, "sizes": sizes, "command": command}


class ClampedNetwork(nn.Module):
    """A network with its result clamped to 0..1 inside the graph, as docs/model-file.md requires."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, *others: Tensor) -> Tensor:
        result: Tensor = self.network(image, *others)
        return result.clamp(0, 1)


def export(
    network: nn.Module, card: Card, target: Path, *, context: int | Literal["measured"] | None = "measured"
) -> Verification:
    """Write `network` to the model file `target` and return how the file compares with it.

    A network with live dropout is compared with its dropout disabled.

    Args:
        network: takes `[N, 3, H, W]` 0..1 and the other inputs of `card.inputs`, in this order. Returns
            `[N, 3, H * card.scale, W * card.scale]`. N, H and W, and the sides of a reference, stay dynamic.
        card: `context`, `created_with`, the digest and the self-test are filled in.
        context: the context in the card. "measured": measure it, which takes minutes for deep networks. None: the
            whole picture.

    Raises:
        ExportError: the export fails, or the result of onnxruntime differs from that of torch by more than
            `TOLERANCE` (`TOLERANCE_OF_CHOICES` for networks that choose); nothing is written.
        ModelError, BrokenOutput: as `card_writing.with_card_and_selftest`; nothing is written.
    """
    wrapped = ClampedNetwork(network).cpu().float().eval()
    if context == "measured" and card.resizes:
        context = None
    elif context == "measured":
        try:
            context = receptive_field.measure(wrapped.network, card)
        except ValueError:
            # Comparisons, as in label maps, remove the NaN. Running on whole pictures is always correct.
            context = None
    dropout.set_disabled(wrapped, False)
    # onnxruntime has no fast PRelu on the CPU: if it is split, upscale-x4 takes 0.8 of the time.
    model = split_prelu(_to_onnx(wrapped, card))
    compared = dropout.without_dropout(model) if dropout.set_disabled(wrapped, True) else model
    verification = _verify(wrapped, compared.SerializeToString(), card, context)
    card = dataclasses.replace(
        card,
        context=context,
        created_with=f"img2img {__version__}, torch {torch.__version__}, opset {OPSET}",
        metrics={**card.metrics, "export": verification.figures()},
    )
    data = card_writing.with_card_and_selftest(model.SerializeToString(), card)
    with atomic(target) as file:
        file.write(data)
    return verification


def _to_onnx(network: ClampedNetwork, card: Card) -> onnx.ModelProto:
    # At least twice the multiple: if a side shrinks to 1 inside the network, the exporter takes it to be always 1.
    side = max(inputs.smallest_side(card, 16), 2 * card.multiple)
    reference = None
    if card.reference is not None:
        step = card.reference["multiple"]
        least = inputs.reference_side(card, max(24, 2 * step))
        reference = least + step, least
    given = inputs.random(card, 2, side, side + card.multiple, np.random.default_rng(0), reference=reference)
    for name in ("torch.onnx", "torch._guards"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), _without_garbage_collection():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                tuple(map(torch.from_numpy, given.values())),
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=list(given),
                output_names=["result"],
                dynamic_shapes=_dynamic_shapes(given, card),
                custom_translation_table=TRANSLATIONS,
                verbose=False,
            )
        assert program is not None
        model = with_functions_inlined(program.model_proto)
    except Exception as error:
        raise ExportError(f"the network cannot be exported to ONNX: {_reason(error)}") from error
    return _without_source_locations(model)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Let no collection run meanwhile.

    The exporter parses Python code. In Python 3.11, `ast.parse` fails with "AST constructor recursion depth mismatch"
    if another thread parses code during it, as formatting a traceback does. Threads switch there only while a
    collection calls finalisers, the only Python code that runs inside `ast.parse`.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _dynamic_shapes(given: inputs.Inputs, card: Card) -> tuple[Any, ...]:
    """The dynamic dimensions of each input, in the form of `ClampedNetwork.forward`: image, then a tuple of others."""
    batch = torch.export.Dim("n")
    sides = _dynamic_sides("h", "w", card.multiple)
    sides_of = {name: sides for name in ("image", "mask")}
    if card.reference is not None:
        sides_of["reference"] = _dynamic_sides("reference_h", "reference_w", card.reference["multiple"])
    image, *others = ({0: batch} | sides_of.get(name, {}) for name in given)
    return (image, tuple(others)) if others else (image,)


def _dynamic_sides(height: str, width: str, multiple: int) -> dict[int, Any]:
    """Axis -> dynamic dimension."""
    found = {axis: torch.export.Dim(name) for axis, name in ((2, height), (3, width))}
    return {axis: dimension * multiple if multiple > 1 else dimension for axis, dimension in found.items()}


def _reason(error: Exception) -> str:
    """The line that says what is wrong, from the long message of torch's exporter."""
    summary = str(error).partition("## Exception summary")[2] or str(error)
    lines = [line for line in summary.strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _without_source_locations(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the source locations that the exporter records: they triple a small file and contain local paths."""
    model.graph.ClearField("value_info")
    model.graph.ClearField("metadata_props")
    model.ClearField("metadata_props")
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def _verify(network: ClampedNetwork, data: bytes, card: Card, context: int | None) -> Verification:
    """Compare the file `data` with `network` at several sizes.

    Raises:
        ExportError: they differ, or the results of the network are not finite.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = devices.stoppable(data, options, ["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    sizes = _test_sizes(card)
    largest, means = 0.0, []
    for batch, height, width in sizes:
        given = inputs.random(card, batch, height, width, rng)
        with torch.no_grad():
            expected = network(*map(torch.from_numpy, given.values())).numpy()
        if not np.isfinite(expected).all():
            raise ExportError("the network's results are not finite: its weights are damaged")
        (result,) = session.run(["result"], given)
        if result.shape != expected.shape:
            raise ExportError(
                f"for an image of shape {given['image'].shape} the exported file returns {result.shape}, the network"
                f" {expected.shape}"
            )
        difference = np.abs(result - expected)
        largest = max(largest, float(difference.max()))
        means.append(float(difference.mean()))
    by_choice = chooses(network)
    found, allowed = (max(means), TOLERANCE_OF_CHOICES) if by_choice else (largest, TOLERANCE)
    if not found <= allowed:
        kind = "on average by" if by_choice else "by"
        raise ExportError(f"the exported file differs from the network {kind} {found:.2g}; {allowed:.2g} is allowed")
    return Verification(sizes, largest, float(np.mean(means)), context)


def _test_sizes(card: Card) -> list[tuple[int, int, int]]:
    """(batch, height, width) to compare at: the smallest size, a wide one, a tall one, and a batch of two.

    Sides are odd multiples where possible, and fewer multiples if the multiple is large.
    """
    step = card.multiple
    least = math.ceil(card.minimum / step)
    if step <= 4:
        wide, tall, pair = 37, 61, (45, 52)
    elif step <= 32:
        wide, tall, pair = 7, 9, (5, 6)
    else:
        wide, tall, pair = 2, 3, (1, 2)
    sides = [(1, least, least), (1, least, wide), (1, tall, 3 + least if step <= 4 else least), (2, *pair)]
    return [(batch, max(height, least) * step, max(width, least) * step) for batch, height, width in sides]
