"""A torch network as an ONNX file with a card, written only after onnxruntime has reproduced the network."""

import dataclasses
import io
import logging
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from img2img.atomic import atomic
from img2img.errors import ExportError
from img2img.exchange import context, dropout, inputs
from img2img.exchange.prelu import split_prelu
from img2img.runtime.network import model_file
from img2img.runtime.network.card import Card
from img2img.version import __version__

OPSET = 18
"""The oldest opset that torch's exporter writes without conversion; onnxruntime 1.14 (2023) and newer load it."""

TOLERANCE = 2e-4
"""Largest allowed difference to torch, values 0..1: a twentieth of an 8-bit step."""


@dataclass(frozen=True)
class Proof:
    """What the export was checked with.

    Attributes:
        sizes: (batch, height, width) of every picture compared.
        largest: largest difference to torch over all of them, values 0..1.
        mean: mean difference.
        context: the measured context.
    """

    sizes: list[tuple[int, int, int]]
    largest: float
    mean: float
    context: int | None

    def figures(self) -> dict[str, float | str]:
        """For the card."""
        sizes = ", ".join("x".join(map(str, size)) for size in self.sizes)
        command = "onnxruntime against torch, when the file was written"
        return {"largest": self.largest, "mean": self.mean, "sizes": sizes, "command": command}


class Face(nn.Module):
    """Contract 1 around a network: RGB 0..1 in, `result` 0..1 out, clamped inside the graph."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, *others: Tensor) -> Tensor:
        result: Tensor = self.network(image, *others)
        return result.clamp(0, 1)


def export(
    network: nn.Module, card: Card, target: Path, *, reach: int | Literal["measured"] | None = "measured"
) -> Proof:
    """Write `network` to `target` with `card`, its `context` and `created_with` filled in.

    Args:
        network: takes `[N, 3, H, W]` 0..1, and what else `card` promises (mask, domain), and returns
            `[N, 3, H * card.scale, W * card.scale]`; N, H, W stay dynamic. Where it has live dropout, the comparison is
            made with nothing dropped.
        reach: the context where it is known from the layers, which saves minutes with deep networks.

    Raises:
        ExportError: the exporter fails, or onnxruntime's result differs from torch's by more than `TOLERANCE`.
        ModelError, BrokenOutput: as `model_file.stamped`. Nothing is written then.
    """
    face = Face(network).cpu().float().eval()
    if reach == "measured":
        try:
            reach = context.measure(face.network, card)
        except (
            ValueError
        ):  # comparisons (label maps) swallow the NaN that measures; run whole, it is right all the same
            reach = None
    dropout.set_still(face, False)
    # onnxruntime has no fast PRelu on the CPU: upscale-x4 takes 0.8 of the time without.
    model = split_prelu(_export(face, card))
    compared = dropout.stilled(model) if dropout.set_still(face, True) else model
    proof = _prove(face, compared.SerializeToString(), card, reach)
    created = f"img2img {__version__}, torch {torch.__version__}, opset {OPSET}"
    card = dataclasses.replace(
        card, context=reach, created_with=created, metrics={**card.metrics, "export": proof.figures()}
    )
    data = model_file.stamped(model.SerializeToString(), card)
    with atomic(target) as file:
        file.write(data)
    return proof


def _export(face: Face, card: Card) -> onnx.ModelProto:
    # At least twice the multiple: of a side that shrinks to 1 the exporter concludes that it is always 1.
    side = max(-(-max(card.minimum, 16) // card.multiple), 2) * card.multiple
    given = inputs.random(card, 2, side, side + card.multiple, np.random.default_rng(0))
    batch = torch.export.Dim("n")
    sides: dict[int, Any] = {}
    for axis, name in ((2, "h"), (3, "w")):
        dimension = torch.export.Dim(name)
        sides[axis] = dimension * card.multiple if card.multiple > 1 else dimension
    dynamic = [{0: batch} | (sides if value.ndim == 4 else {}) for value in given.values()]
    for name in ("torch.onnx", "torch._guards"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                face,
                tuple(map(torch.from_numpy, given.values())),
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=list(given),
                output_names=["result"],
                dynamic_shapes=(dynamic[0], *[tuple(dynamic[1:])] * (len(dynamic) > 1)),  # as the Face's signature
                verbose=False,
            )
        assert program is not None
        model: onnx.ModelProto = program.model_proto
    except Exception as error:
        raise ExportError(f"the network cannot be exported to ONNX: {_reason(error)}") from error
    return _stripped(model)


def _reason(error: Exception) -> str:
    """The one line of the exporter's page of advice that says what is wrong."""
    summary = str(error).partition("## Exception summary")[2] or str(error)
    lines = [line for line in summary.strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the source locations that the exporter records: they triple a small file and name local paths."""
    model.graph.ClearField("value_info")
    model.graph.ClearField("metadata_props")
    model.ClearField("metadata_props")
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def _prove(face: Face, data: bytes, card: Card, reach: int | None) -> Proof:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    step = card.multiple
    least = -(-card.minimum // step)
    # Odd, tall, smallest, batch 2; in steps of the multiple, fewer where that is large.
    long, tall, batch = (37, 61, (45, 52)) if step <= 4 else (7, 9, (5, 6)) if step <= 32 else (2, 3, (1, 2))
    sides = [(1, least, least), (1, least, long), (1, tall, 3 + least if step <= 4 else least), (2, *batch)]
    sizes = [(n, max(height, least) * step, max(width, least) * step) for n, height, width in sides]
    rng = np.random.default_rng(0)
    largest, means = 0.0, []
    for n, height, width in sizes:
        given = inputs.random(card, n, height, width, rng)
        with torch.no_grad():
            truth = face(*map(torch.from_numpy, given.values())).numpy()
        if not np.isfinite(truth).all():
            raise ExportError("the network's results are not finite: its weights are damaged")
        (result,) = session.run(["result"], given)
        if result.shape != truth.shape:
            raise ExportError(
                f"the exported file turns {given['image'].shape} into {result.shape}, the network into {truth.shape}"
            )
        difference = np.abs(result - truth)
        largest = max(largest, float(difference.max()))
        means.append(float(difference.mean()))
    if not largest <= TOLERANCE:
        raise ExportError(f"the exported file differs from the network by {largest:.2g}, allowed is {TOLERANCE:.2g}")
    return Proof(sizes, largest, float(np.mean(means)), reach)
