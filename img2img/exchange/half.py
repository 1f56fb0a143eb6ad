"""A model file in 16-bit floats, for CUDA, with all that overflows or sums over the picture left in 32 bits."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from img2img.atomic import atomic
from img2img.errors import ExportError
from img2img.exchange import model_files, ranges, samples
from img2img.exchange.delicate import delicate
from img2img.exchange.samples import Sample

LIKENESS = 50.0
"""Least PSNR in dB to the fp32 file's results."""

TRIED = 12
"""Pictures, beside synthetic ones."""

SHAKE = 1e-4
"""By how much flat pictures are stirred, values 0..1: a fortieth of an 8-bit step, which nobody sees."""

SLACK = 3.0
"""dB; see `halve`."""


@dataclass(frozen=True)
class Halved:
    """How the written file compares with the fp32 file.

    Attributes:
        likeness: PSNR to its results in dB.
        largest: largest difference to its results, values 0..1.
        kept: operators left in fp32, and operators in all.
        flat: PSNR to its results for flat pictures, the worst one; and what the fp32 file's own results for that
            picture are like when it is stirred by `SHAKE`.
    """

    likeness: float
    largest: float
    kept: tuple[int, int]
    flat: tuple[float, float]

    def figures(self) -> dict[str, float | str]:
        """For the card."""
        return {
            "psnr_to_fp32": round(self.likeness, 2),
            "largest": round(self.largest, 6),
            "psnr_to_fp32_flat": round(self.flat[0], 2),
            "psnr_fp32_stirred_flat": round(self.flat[1], 2),
            "operators_in_fp32": f"{self.kept[0]} of {self.kept[1]}",
            "command": "img2img export --precision fp16",
        }


def halve(source: Path, target: Path, folders: Sequence[Path] = ()) -> Halved:
    """Write the fp32 model file `source` to `target` with fp16 weights and activations; the face stays float32.

    Flat pictures are compared too, one by one. Networks with instance norm divide by a deviation that is 0 there, and
    make pictures of rounding errors, other ones in torch than in onnxruntime, and other ones on every device, in fp32
    as well. So a flat picture may be off by as much as the fp32 file's own result moves when the picture is stirred
    invisibly, and `SLACK` more; it must still be finite, and not flat where that of the fp32 file is not.

    Args:
        folders: pictures to try it on, beside synthetic ones.

    Raises:
        ModelError: `source` cannot be used. DataError: `folders` hold no usable pictures.
        ExportError: results are not finite, or differ by more than `LIKENESS` allows; nothing is written.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    card = model_files.float_card(source)
    flats = samples.flat(card)
    tried = samples.synthetic(card) + (samples.of_pictures(folders, card, TRIED) if folders else [])
    model = model_files.load(source)
    for place, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{place}"
    most = ranges.largest(model, _floats(model), [*tried, *flats])
    kept = delicate(model, most, DEFAULT_OP_BLOCK_LIST)
    total = len(model.graph.node)
    float_session = samples.session(source)
    wanted = samples.results(float_session, tried)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # of weights that are rounded to 0, which the comparison judges
    try:
        halved: onnx.ModelProto = convert_float_to_float16(
            model, keep_io_types=True, op_block_list=[], node_block_list=sorted(kept)
        )
    finally:
        logging.disable(before)
    _shorten(halved)
    session = samples.session(halved.SerializeToString())
    found = samples.results(session, tried)
    if not all(np.isfinite(one).all() for one in found):
        raise ExportError(f"{source}: in fp16 its results are not finite; nothing written, keep the fp32 file")
    likeness = samples.likeness(found, wanted)
    if not likeness >= LIKENESS:
        raise ExportError(
            f"{source}: in fp16 its results are like those in fp32 to {likeness:.1f} dB only, {LIKENESS:g} are needed; "
            "nothing written, keep the fp32 file"
        )
    apart = max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True))
    flat = _flat(session, float_session, flats, source)
    outcome = Halved(likeness, apart, (len(kept), total), flat)
    # What was measured of the fp32 file is not true of this one.
    card = dataclasses.replace(card, precision="fp16", metrics={"fp16": outcome.figures()})
    data = model_files.finished(halved, card)
    with atomic(target) as file:
        file.write(data)
    return outcome


def _flat(session: Any, float_session: Any, flats: Sequence[Sample], source: Path) -> tuple[float, float]:
    """`Halved.flat`.

    Raises:
        ExportError: the result for a flat picture is broken, or farther off than `halve` allows.
    """
    figures = []
    for sample in flats:
        (ours,), (theirs,) = (samples.results(one, [sample]) for one in (session, float_session))
        (moved,) = samples.results(float_session, [samples.stirred(sample, SHAKE)])
        likeness, own = samples.likeness([ours], [theirs]), samples.likeness([moved], [theirs])
        fault = None
        if not np.isfinite(ours).all():
            fault = "not finite"
        elif np.ptp(ours) == 0 and np.ptp(theirs) > 2 * SHAKE:
            fault = "blank"
        elif likeness < min(LIKENESS, own - SLACK):
            fault = f"like that in fp32 to {likeness:.1f} dB only"
        if fault:
            colour = ", ".join(f"{value * 255:.0f}" for value in sample.inputs["image"][0, :, 0, 0])
            raise ExportError(
                f"{source}: in fp16 its result for a picture that is all RGB {colour} is {fault}; nothing written, "
                "keep the fp32 file"
            )
        figures.append((likeness, own))
    return min(figures)


def _floats(model: onnx.ModelProto) -> list[str]:
    """The tensors of 32-bit floats that operators make."""
    inferred = onnx.shape_inference.infer_shapes(model)
    types = {one.name: one.type.tensor_type.elem_type for one in inferred.graph.value_info}
    made = [name for node in model.graph.node for name in node.output]
    return [name for name in made if types.get(name) == TensorProto.FLOAT]


def _shorten(model: onnx.ModelProto) -> None:
    """Let neighbours in fp32 hand on what they have: the converter puts fp16 between any two operators."""
    graph = model.graph
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    floats = {*_floats(model), *(one.name for one in graph.input)}

    def target(node: onnx.NodeProto) -> int:
        return int(next(one.i for one in node.attribute if one.name == "to"))

    sources = {}
    for name, node in casts.items():
        before = casts.get(node.input[0])
        if before is None or before.input[0] not in floats:  # but of integers or truth values
            continue
        if target(node) == TensorProto.FLOAT and target(before) == TensorProto.FLOAT16:
            sources[name] = before.input[0]
    results = {one.name for one in graph.output}
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = sources.get(name, name)
    used = {name for node in graph.node for name in node.input} | results
    for _ in range(2):  # the second cast first, then the one that it read
        kept = [node for node in graph.node if node.op_type != "Cast" or node.output[0] in used]
        del graph.node[:]
        graph.node.extend(kept)
        used = {name for node in graph.node for name in node.input} | results
