"""Find the operators that must stay in fp32 when the rest of a network becomes fp16."""

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

SAFE_MAXIMUM = 65504 / 8
"""Operators with larger values than this on the sample pictures stay in fp32. The largest fp16 number is 65504, but
other pictures may lead to larger values than the samples."""

SMALLEST_NORMAL = 2.0**-14
"""The smallest fp16 number with full precision. Smaller constants, such as an epsilon in a denominator, lose digits."""

# Squares and sums over whole pictures overflow, small denominators become 0, and positions above 2048 are rounded.
FRAGILE = {
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

DECISIONS = {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "ArgMax", "ArgMin", "Floor", "Ceil", "Round"}
"""A small rounding error before one of these flips its result, for example which colour of a label map is nearest.
So all operators that lead to a decision stay in fp32, back to the last one in `HEAVY`."""

HEAVY = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
"""These become fp16 even before a decision: they are most of the network, and fp16 exists to make them faster."""


def find_fp32_operators(
    model: onnx.ModelProto, largest: Mapping[str, float], more_fragile: Iterable[str] = ()
) -> set[str]:
    """The names of the operators of `model` that must stay in fp32.

    Args:
        model: all of its operators have names.
        largest: tensor -> its largest absolute value on the sample pictures.
        more_fragile: operator types that stay in fp32 in addition to `FRAGILE`.
    """
    fragile = {*FRAGILE, *more_fragile}
    tiny_constants = {value.name for value in model.graph.initializer if _is_tiny(value)}
    found = set()
    for node in model.graph.node:
        is_square = node.op_type == "Mul" and node.input[0] == node.input[1]
        is_large = any(largest.get(tensor, 0.0) > SAFE_MAXIMUM for tensor in (*node.input, *node.output))
        has_tiny_constant = not tiny_constants.isdisjoint(node.input)
        if node.op_type in fragile or is_square or is_large or has_tiny_constant:
            found.add(node.name)
    return found | _before_decisions(model.graph)


def _before_decisions(graph: onnx.GraphProto) -> set[str]:
    producers = {output: node for node in graph.node for output in node.output}
    pending = [node for node in graph.node if node.op_type in DECISIONS]
    found: set[str] = set()
    while pending:
        node = pending.pop()
        if node.name in found or node.op_type in HEAVY:
            continue
        found.add(node.name)
        pending += [producers[name] for name in node.input if name in producers]
    return found


def _is_tiny(value: onnx.TensorProto) -> bool:
    """Whether `value` is a single number that fp16 rounds badly or to 0."""
    if value.data_type != onnx.TensorProto.FLOAT or np.prod(value.dims) > 1:
        return False
    return bool(0 < abs(float(numpy_helper.to_array(value).ravel()[0])) < SMALLEST_NORMAL)
