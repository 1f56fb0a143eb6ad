"""Convert a model file to fp16 for CUDA. Operators that overflow or sum over the picture stay in fp32."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from img2img.atomic import atomic
from img2img.errors import ExportError
from img2img.exchange import activation_ranges, flat_pictures, model_files, samples
from img2img.exchange.fp32_operators import find_fp32_operators
from img2img.exchange.samples import Sample

MIN_PSNR = 50.0
"""Smallest allowed PSNR in dB to the results of the fp32 file."""

PICTURES = 12
"""Number of pictures to compare on, in addition to the synthetic samples."""


@dataclass(frozen=True)
class Fp16Report:
    """How the fp16 file compares with the fp32 file.

    Attributes:
        psnr: PSNR to the results of the fp32 file in dB.
        max_difference: largest difference from the results of the fp32 file, values 0..1.
        fp32_operators: number of operators that stay in fp32, and number of all operators.
        flat_psnr: for the worst flat picture, PSNR of the fp16 result to the fp32 result; and PSNR of the fp32 result
            to itself after noise was added to the picture.
    """

    psnr: float
    max_difference: float
    fp32_operators: tuple[int, int]
    flat_psnr: tuple[float, float]

    def figures(self) -> dict[str, float | str]:
        """The figures for the card."""
        return {
            "psnr_to_fp32": round(self.psnr, 2),
            "largest": round(self.max_difference, 6),
            "psnr_to_fp32_flat": round(self.flat_psnr[0], 2),
            "psnr_fp32_stirred_flat": round(self.flat_psnr[1], 2),
            "operators_in_fp32": f"{self.fp32_operators[0]} of {self.fp32_operators[1]}",
            "command": "img2img export --precision fp16",
        }


def convert_to_fp16(
    source: Path, target: Path, folders: Sequence[Path] = (), *, max_pixels: int | None = None
) -> Fp16Report:
    """Write the fp32 model file `source` to `target` with weights and activations in fp16.

    Inputs and outputs stay float32.

    Flat pictures have a limit of their own (`flat_pictures.compare`).

    Args:
        folders: pictures to compare on, in addition to synthetic samples.
        max_pixels: see `samples.of_pictures`.

    Raises:
        ModelError: `source` cannot be used.
        DataError: `folders` have no usable pictures.
        ExportError: results are not finite or their PSNR is below `MIN_PSNR`; nothing is written.
    """
    card = model_files.float_card(source)
    flat_samples = samples.flat(card)
    tried = samples.to_compare(card, folders, PICTURES, max_pixels=max_pixels)
    model, fp32_operators = _converted(model_files.load(source), [*tried, *flat_samples])
    session, fp32_session = samples.session(model.SerializeToString()), samples.session(source)
    found, expected = samples.results(session, tried), samples.results(fp32_session, tried)
    refusal = "nothing written, keep the fp32 file"
    if not all(np.isfinite(result).all() for result in found):
        raise ExportError(f"{source}: the results in fp16 are not finite; {refusal}", path=source)
    psnr = samples.psnr_between(found, expected)
    if not psnr >= MIN_PSNR:
        raise ExportError(
            f"{source}: the results in fp16 have a PSNR of only {psnr:.1f} dB to those in fp32, {MIN_PSNR:g} dB is"
            f" needed; {refusal}",
            path=source,
        )
    max_difference = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    flat_psnr = flat_pictures.compare(session, fp32_session, flat_samples, MIN_PSNR, source=source, how="in fp16")
    report = Fp16Report(psnr, max_difference, fp32_operators, flat_psnr)
    # The metrics of the fp32 file do not apply to this one.
    card = dataclasses.replace(card, precision="fp16", metrics={"fp16": report.figures()})
    data = model_files.serialise(model, card)
    with atomic(target) as file:
        file.write(data)
    return report


def _converted(model: onnx.ModelProto, tried: Sequence[Sample]) -> tuple[onnx.ModelProto, tuple[int, int]]:
    """`model` in fp16, and `Fp16Report.fp32_operators`."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    for place, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{place}"
    operator_count = len(model.graph.node)
    largest = activation_ranges.largest_values(model, _float_tensors(model), tried)
    kept = find_fp32_operators(model, largest, DEFAULT_OP_BLOCK_LIST)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # warns about weights that are rounded to 0; the comparison judges those
    try:
        converted: onnx.ModelProto = convert_float_to_float16(
            model, keep_io_types=True, op_block_list=[], node_block_list=sorted(kept)
        )
    finally:
        logging.disable(before)
    _remove_needless_casts(converted)
    return converted, (len(kept), operator_count)


def _float_tensors(model: onnx.ModelProto) -> list[str]:
    """The names of the float32 tensors that operators produce."""
    inferred = onnx.shape_inference.infer_shapes(model)
    types = {one.name: one.type.tensor_type.elem_type for one in inferred.graph.value_info}
    produced = [name for node in model.graph.node for name in node.output]
    return [name for name in produced if types.get(name) == TensorProto.FLOAT]


def _remove_needless_casts(model: onnx.ModelProto) -> None:
    """Connect neighbouring fp32 operators directly. The converter puts casts to fp16 and back between them."""
    graph = model.graph
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    floats = {*_float_tensors(model), *(one.name for one in graph.input)}
    originals = {}  # result of a cast to fp16 and back -> the tensor that was cast
    for name, node in casts.items():
        before = casts.get(node.input[0])
        if before is None or before.input[0] not in floats:  # the cast tensor may hold integers or booleans
            continue
        if _cast_target(node) == TensorProto.FLOAT and _cast_target(before) == TensorProto.FLOAT16:
            originals[name] = before.input[0]
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = originals.get(name, name)
    results = {one.name for one in graph.output}
    for _ in range(2):  # removes the second cast of each pair, then the first, which nothing reads any more
        used = {name for node in graph.node for name in node.input} | results
        kept = [node for node in graph.node if node.op_type != "Cast" or node.output[0] in used]
        del graph.node[:]
        graph.node.extend(kept)


def _cast_target(node: onnx.NodeProto) -> int:
    return int(next(one.i for one in node.attribute if one.name == "to"))
