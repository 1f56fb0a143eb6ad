"""A model file in 16-bit floats, for CUDA, with all that overflows or sums over the picture left in 32 bits."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from img2img.errors import ExportError
from img2img.exchange import ranges, samples
from img2img.exchange.quantise import float_card, with_card
from img2img.runtime.atomic import atomic

LIKENESS = 50.0
"""Least PSNR in dB to the fp32 file's results."""

SAFE = 65504 / 8
"""Operators with larger values than this, on the pictures tried, stay in fp32: other pictures may have larger ones."""

TRIED = 12
"""Pictures, beside synthetic ones."""

# Squares and sums over whole pictures overflow, small denominators vanish, and positions beyond 2048 are rounded.
FLOAT = {
    "InstanceNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "BatchNormalization",
    "LpNormalization",
    "ReduceMean",
    "ReduceSum",
    "ReduceSumSquare",
    "ReduceL1",
    "ReduceL2",
    "ReduceProd",
    "Exp",
    "Log",
    "Softmax",
    "Pow",
    "Sqrt",
    "Reciprocal",
    "Div",
    "Resize",
    "RandomUniformLike",
    "Range",
    "CumSum",
}


@dataclass(frozen=True)
class Halved:
    """How the written file compares with the fp32 file.

    Attributes:
        likeness: PSNR to its results in dB.
        largest: largest difference to its results, values 0..1.
        kept: operators left in fp32, and operators in all.
    """

    likeness: float
    largest: float
    kept: tuple[int, int]

    def figures(self) -> dict[str, float | str]:
        """For the card."""
        return {
            "psnr_to_fp32": round(self.likeness, 2),
            "largest": round(self.largest, 6),
            "operators_in_fp32": f"{self.kept[0]} of {self.kept[1]}",
            "command": "img2img export --precision fp16",
        }


def halve(source: Path, target: Path, folders: Sequence[Path] = ()) -> Halved:
    """Write the fp32 model file `source` to `target` with fp16 weights and activations; the face stays float32.

    Args:
        folders: pictures to try it on, beside synthetic ones.

    Raises:
        ModelError: `source` cannot be used. DataError: `folders` hold no usable pictures.
        ExportError: results are not finite, or differ by more than `LIKENESS` allows; nothing is written.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    card = float_card(source)
    tried = samples.synthetic(card) + (samples.of_pictures(folders, card, TRIED) if folders else [])
    model = onnx.load(source)
    for place, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{place}"
    floats = _floats(model)
    most = ranges.largest(model, floats, tried)
    large = {
        node.name
        for node in model.graph.node
        if any(most.get(tensor, 0.0) > SAFE for tensor in (*node.input, *node.output))
    }
    kept_types = {*DEFAULT_OP_BLOCK_LIST, *FLOAT}
    kept = sum(node.op_type in kept_types or node.name in large for node in model.graph.node)
    total = len(model.graph.node)
    wanted = samples.results(samples.session(source), tried)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # of weights that are rounded to 0, which the comparison judges
    try:
        halved: onnx.ModelProto = convert_float_to_float16(
            model, keep_io_types=True, op_block_list=sorted(kept_types), node_block_list=sorted(large)
        )
    finally:
        logging.disable(before)
    _shorten(halved)
    found = samples.results(samples.session(halved.SerializeToString()), tried)
    if not all(np.isfinite(one).all() for one in found):
        raise ExportError(f"{source}: in fp16 its results are not finite; nothing written, keep the fp32 file")
    likeness = samples.likeness(found, wanted)
    if not likeness >= LIKENESS:
        raise ExportError(
            f"{source}: in fp16 its results are like those in fp32 to {likeness:.1f} dB only, {LIKENESS:g} are needed; "
            "nothing written, keep the fp32 file"
        )
    apart = max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True))
    outcome = Halved(likeness, apart, (kept, total))
    # What was measured of the fp32 file is not true of this one.
    card = dataclasses.replace(card, precision="fp16", metrics={"fp16": outcome.figures()})
    with atomic(target) as file:
        file.write(with_card(halved, card))
    return outcome


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
