"""A model file in 8-bit integers, for CPUs: written only where it is good enough and faster than the file it is of.

Static quantisation (Jacob et al. 2018) as onnxruntime does it: weights int8 for each output channel, activations uint8
with ranges from real pictures. Convolutions that touch the picture itself, first and last, stay in float, as does all
that is no convolution.
"""

import dataclasses
import logging
import shlex
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from img2img.atomic import atomic
from img2img.errors import ExportError
from img2img.exchange import model_files, ranges, samples
from img2img.exchange.prelu import split_prelu
from img2img.exchange.samples import Sample
from img2img.runtime.network.card import Card

QUANTISED = ("Conv", "Relu")
"""Operators; a ReLU after a convolution becomes a part of it."""

TILES = 100
"""Windows that the ranges are taken from."""

HELD = 16
"""Windows that the loss is measured on; other ones, of every sixth picture or so."""

RANKED = 4
"""Windows that each layer's share of the loss is measured on."""

LIKENESS = 45.0
"""Least PSNR in dB to the float file's results, where there is no truth to compare with."""

MAX_DROP = 0.1
"""Most PSNR in dB on Y that may be lost, where there is."""


@dataclass(frozen=True)
class Quantised:
    """How the written file compares with the float file.

    Attributes:
        drop: PSNR lost, in dB on Y; None where there is no truth.
        likeness: PSNR to the float file's results, in dB.
        seconds: CPU seconds for a megapixel of input, of the float file and of this one, on this machine.
        layers: convolutions in integers, and convolutions in all.
        folders: names of those whose pictures gave the ranges, and were measured on.
        command: as it can be given again, but for the places of the folders.
    """

    drop: float | None
    likeness: float
    seconds: tuple[float, float]
    layers: tuple[int, int]
    folders: tuple[str, ...]
    command: str

    def figures(self) -> dict[str, float | str]:
        """For the card."""
        loss = {} if self.drop is None else {"psnr_y_drop": round(self.drop, 4)}
        return {
            **loss,
            "psnr_to_fp32": round(self.likeness, 2),
            "seconds_per_megapixel": round(self.seconds[1], 3),
            "seconds_per_megapixel_fp32": round(self.seconds[0], 3),
            "layers": f"{self.layers[0]} of {self.layers[1]}",
            "calibrated_on": ", ".join(self.folders),
            "command": self.command,
        }


def quantise(source: Path, target: Path, folders: Sequence[Path], *, max_drop: float = MAX_DROP) -> Quantised:
    """Write the fp32 model file `source` to `target` in 8-bit integers.

    Layers that cost most are put back into float until the loss is small enough.

    Args:
        folders: pictures of the kind that the model is for; some calibrate, others measure.
        max_drop: largest loss of PSNR in dB on Y, where a truth can be made (upscaling: the pictures themselves).
            Elsewhere the results must be alike by `LIKENESS`.

    Raises:
        ModelError: `source` cannot be used.
        DataError: no usable pictures.
        ExportError: nothing can be quantised, the loss stays too large, or the file is not faster here; nothing is
            written.
    """
    card = model_files.float_card(source)
    drawn = samples.of_pictures(folders, card, TILES + HELD)
    every = max(len(drawn) // HELD, 2)
    held = drawn[::every][:HELD]
    tiles = [one for place, one in enumerate(drawn) if place % every] or drawn
    session = samples.session(source)
    wanted = samples.results(session, held)
    best = samples.fidelity(wanted, held, card.scale) if held[0].truth is not None else None

    def loss(data: bytes) -> tuple[float | None, float, bool]:
        found = samples.results(samples.session(data), held)
        drop = None if best is None else best - samples.fidelity(found, held, card.scale)
        likeness = samples.likeness(found, wanted)
        return drop, likeness, likeness >= LIKENESS if drop is None else drop <= max_drop

    work = _Work(source, card, tiles)
    floats: list[str] = []
    data = work.model(floats)
    drop, likeness, good = loss(data)
    if not good:
        ranked = work.ranked(held[:RANKED], wanted[:RANKED])
        enough, few = len(ranked), 0  # layers in float: the fewest that are known to suffice, the most that are not
        while enough - few > 1:
            count = (few + enough) // 2
            tried = loss(work.model(ranked[:count]))
            few, enough = (few, count) if tried[2] else (count, enough)
        floats = ranked[:enough]
        if enough < len(ranked):
            data = work.model(floats)
            drop, likeness, good = loss(data)
    if not good:
        lost = f"loses {drop:.2f} dB" if drop is not None else f"is like the fp32 file to {likeness:.1f} dB only"
        bound = f"--max-drop {max_drop:g}" if drop is not None else f"{LIKENESS:g} dB"
        raise ExportError(f"{source}: int8 {lost} (bound: {bound}), whichever layers stay in float; nothing written")
    seconds = samples.seconds_per_megapixel([session, samples.session(data)], card, rounds=5)
    if seconds[1] >= seconds[0]:
        raise ExportError(
            f"{source}: int8 is not faster here ({seconds[1]:.3g} CPU-s a megapixel, fp32 {seconds[0]:.3g}); "
            "nothing written, keep the fp32 file"
        )
    layers = (len(work.inner) - len(floats), len(work.convolutions))
    names = tuple(dict.fromkeys(folder.resolve().name for folder in folders))
    command = f"img2img export {shlex.quote(card.name)} --precision int8"
    command += "".join(f" --calibrate {shlex.quote(one)}" for one in names)
    command += f" --max-drop {max_drop:g}" * (drop is not None)
    outcome = Quantised(drop, likeness, (seconds[0], seconds[1]), layers, names, command)
    # What was measured of the fp32 file is not true of this one.
    seen = tuple(f"{one} (ranges of int8)" for one in names if one not in card.trained_on)
    card = dataclasses.replace(
        card, precision="int8", metrics={"int8": outcome.figures()}, trained_on=(*card.trained_on, *seen)
    )
    finished = model_files.finished(onnx.load_from_string(data), card)
    with atomic(target) as file:
        file.write(finished)
    return outcome


class _Work:
    """The ranges of one model's activations, and models made with them.

    Attributes:
        convolutions: names of all of them.
        inner: names of those that may be quantised.
    """

    def __init__(self, source: Path, card: Card, tiles: Sequence[Sample]) -> None:
        from onnxruntime.quantization import CalibrationMethod
        from onnxruntime.quantization.calibrate import TensorsData
        from onnxruntime.quantization.shape_inference import quant_pre_process

        with tempfile.TemporaryDirectory() as folder, _quiet():
            prepared = Path(folder) / "prepared.onnx"
            # Symbolic inference gives up on sides that are computed; what is needed is inferred without it.
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            self.prepared = split_prelu(onnx.load(prepared))
            for place, node in enumerate(self.prepared.graph.node):
                node.name = node.name or f"node_{place}"
            self.convolutions = [node.name for node in self.prepared.graph.node if node.op_type == "Conv"]
            outer = outermost(self.prepared.graph)
            self.inner = [name for name in self.convolutions if name not in outer]
            if not self.inner:
                raise ExportError(f"{source}: there is nothing to quantise but first and last convolutions")
            watched = [node for node in self.prepared.graph.node if node.op_type in QUANTISED]
            names = dict.fromkeys(tensor for node in watched for tensor in (node.input[0], node.output[0]))
            # White and black borders are few values in photos and all there is in drawings: clipped, they turn grey.
            found = ranges.of_activations(self.prepared, list(names), tiles, samples.flat(card))
            self.ranges: Any = TensorsData(CalibrationMethod.MinMax, found)

    def model(self, floats: Collection[str]) -> bytes:
        """The model with all of `inner` in integers but `floats`."""
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        copied = onnx.ModelProto()
        copied.CopyFrom(self.prepared)
        outside = [name for name in self.convolutions if name not in self.inner or name in floats]
        with _quiet():
            quantizer = QDQQuantizer(
                copied,
                True,  # per channel
                False,  # the whole range: made for VNNI, which sums without saturating
                QuantType.QInt8,
                QuantType.QUInt8,
                self.ranges,
                [],
                outside,
                list(QUANTISED),
                {},
            )
            quantizer.quantize_model()
        return bytes(quantizer.model.model.SerializeToString())

    def ranked(self, held: Sequence[Sample], wanted: Sequence[NDArray[np.float32]]) -> list[str]:
        """`inner`, what costs most first: by the likeness of a model in which that layer alone is quantised."""
        cost = {}
        for name in self.inner:
            session = samples.session(self.model([one for one in self.inner if one != name]))
            cost[name] = samples.likeness(samples.results(session, held), wanted)
        return sorted(cost, key=lambda name: cost[name])


def outermost(graph: onnx.GraphProto) -> set[str]:
    """Names of the first convolutions after the inputs and the last ones before the results."""
    makers = {output: node for node in graph.node for output in node.output}
    inputs = {one.name for one in graph.input}
    behind: dict[str, bool] = {}  # tensor: a convolution lies between it and every input

    def is_behind(tensor: str) -> bool:
        return behind.get(tensor, tensor not in inputs)

    first = set()
    for node in graph.node:  # in topological order
        reached = all(is_behind(tensor) for tensor in node.input)
        if node.op_type in ("Conv", "ConvTranspose"):
            if not is_behind(node.input[0]):
                first.add(node.name)
            reached = True
        behind.update(dict.fromkeys(node.output, reached))
    last, seen, waiting = set(), set(), [one.name for one in graph.output]
    while waiting:
        maker = makers.get(waiting.pop())
        if maker is None or maker.name in seen:
            continue
        seen.add(maker.name)
        if maker.op_type in ("Conv", "ConvTranspose"):
            last.add(maker.name)
        else:
            waiting += maker.input
    return first | last


class _quiet:
    """onnxruntime's quantiser speaks through the root logger of what is no news."""

    def __enter__(self) -> None:
        self.before = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *args: object) -> None:
        logging.disable(self.before)
