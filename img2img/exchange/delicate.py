"""Operators that 16-bit floats would spoil, whatever the picture or for one of the pictures tried."""

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

SAFE = 65504 / 8
"""Operators with larger values than this, on the pictures tried, stay in fp32: other pictures may have larger ones."""

SMALLEST = 2.0**-14
"""Of fp16 in full precision; what is smaller, as the epsilon in a denominator, loses its digits."""

# Squares and sums over whole pictures overflow, small denominators vanish, and positions beyond 2048 are rounded.
KINDS = {
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
"""A little rounding before these is a jump behind them: which colour of a label map is nearest, say."""

SUMS = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
"""Not kept for the sake of a decision: most of the network lies before them, and fp16 is for their sake."""


def delicate(model: onnx.ModelProto, most: Mapping[str, float], kinds: Iterable[str] = ()) -> set[str]:
    """Names of the operators of `model` that are to stay in fp32; all of its operators have names.

    Args:
        most: tensor to its largest absolute value on the pictures tried.
        kinds: operators, beside `KINDS`.
    """
    always = {*KINDS, *kinds}
    tiny = {one.name for one in model.graph.initializer if _is_tiny(one)}
    kept = set()
    for node in model.graph.node:
        is_square = node.op_type == "Mul" and node.input[0] == node.input[1]
        is_large = any(most.get(tensor, 0.0) > SAFE for tensor in (*node.input, *node.output))
        if node.op_type in always or is_square or is_large or tiny.intersection(node.input):
            kept.add(node.name)
    return kept | _before_decisions(model.graph)


def _before_decisions(graph: onnx.GraphProto) -> set[str]:
    makers = {output: node for node in graph.node for output in node.output}
    waiting = [node for node in graph.node if node.op_type in DECISIONS]
    found: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node.name in found or node.op_type in SUMS:
            continue
        found.add(node.name)
        waiting += [makers[name] for name in node.input if name in makers]
    return found


def _is_tiny(value: onnx.TensorProto) -> bool:
    """A single number that fp16 would round badly or to 0."""
    if value.data_type != onnx.TensorProto.FLOAT or np.prod(value.dims) > 1:
        return False
    return bool(0 < abs(float(numpy_helper.to_array(value).ravel()[0])) < SMALLEST)
