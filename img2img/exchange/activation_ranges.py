"""Find the range of values that the 8 bits of each activation should cover: the one with the least squared error.

The full range from the smallest to the largest value would waste steps on rare values. The best range is found by
trying several (Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 3.1) on a subset of the
values.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from img2img.exchange import samples
from img2img.exchange.samples import Sample

STRIDE = 37
"""One in so many values of a tensor is examined. A prime, so that every channel gets its turn."""

BINS = 4096
STEPS = 255
TINY = 1e-30
"""Ranges narrower than this cannot be divided into `BINS` in 32-bit floats. They count as empty."""

SHARES: tuple[float, ...] = tuple(np.arange(0.7, 1.01, 0.05))
"""Ends of a range to try, as shares of the smallest and of the largest value. Smaller shares do better on pictures like
the samples, but worse on pictures with more contrast."""

Range = tuple[np.float32, np.float32]
"""Lowest and highest value."""


def calibrate(
    model: onnx.ModelProto, names: Sequence[str], typical: Sequence[Sample], extreme: Sequence[Sample] = ()
) -> dict[str, Range]:
    """The best range of each tensor in `names`. It always includes 0.

    Args:
        typical: samples to find the best ranges on.
        extreme: samples whose values must all fit into the ranges, even rare ones.
    """
    session: Any = samples.session(_with_statistics(model, names).SerializeToString())
    outputs = [_output(name, what) for name in names for what in ("subset", "min", "max")]
    seen: list[list[NDArray[np.float32]]] = [[] for _ in names]
    for sample in typical:
        found = session.run(outputs, sample.inputs)
        for place, values in enumerate(seen):
            values += found[3 * place : 3 * place + 3]
    ranges = {name: best(np.concatenate(values)) for name, values in zip(names, seen, strict=True)}
    outputs = [_output(name, what) for name in names for what in ("min", "max")]
    for sample in extreme:
        found = session.run(outputs, sample.inputs)
        for name, smallest, largest in zip(names, found[::2], found[1::2], strict=True):
            low, high = ranges[name]
            ranges[name] = np.minimum(low, smallest.min()), np.maximum(high, largest.max())
    return ranges


def largest_values(model: onnx.ModelProto, names: Sequence[str], tried: Sequence[Sample]) -> dict[str, float]:
    """The largest absolute value of each tensor in `names`; infinity if a value is not finite."""
    session: Any = samples.session(_with_statistics(model, names).SerializeToString())
    outputs = [_output(name, what) for name in names for what in ("min", "max")]
    found = np.array([np.ravel(session.run(outputs, sample.inputs)) for sample in tried], np.float64)
    largest = np.nan_to_num(np.abs(found).max(0), nan=np.inf).reshape(-1, 2).max(1)
    return dict(zip(names, largest.tolist(), strict=True))


def best(values: NDArray[np.float32]) -> Range:
    """The range that rounds `values` to 256 steps with the least squared error."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if high - low < TINY:
        return np.float32(0), np.float32(1)
    counts, edges = np.histogram(values, BINS, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    low_shares = SHARES if low < 0 else (1.0,)
    high_shares = SHARES if high > 0 else (1.0,)
    least_error, found = np.inf, (low, high)
    for low_share in low_shares:
        for high_share in high_shares:
            step = (high * high_share - low * low_share) / STEPS
            zero = np.rint(-low * low_share / step)
            rounded = (np.clip(np.rint(centres / step) + zero, 0, STEPS) - zero) * step
            error = float(np.dot(counts, np.square(rounded - centres)))
            if error < least_error:
                least_error, found = error, (low * low_share, high * high_share)
    return np.float32(found[0]), np.float32(found[1])


def _with_statistics(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy of `model` that returns a subset of the values of each tensor in `names`, their minimum and maximum."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    del graph.output[:]
    for name, value in (("flat", -1), ("start", 0), ("end", np.iinfo(np.int64).max), ("axis", 0), ("stride", STRIDE)):
        graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), f"statistics_{name}"))
    slicing = [f"statistics_{name}" for name in ("start", "end", "axis", "stride")]
    for name in names:
        flat = _output(name, "flat")
        graph.node.append(helper.make_node("Reshape", [name, "statistics_flat"], [flat]))
        graph.node.append(helper.make_node("Slice", [flat, *slicing], [_output(name, "subset")]))
        graph.node.append(helper.make_node("ReduceMin", [flat], [_output(name, "min")]))
        graph.node.append(helper.make_node("ReduceMax", [flat], [_output(name, "max")]))
        for what in ("subset", "min", "max"):
            graph.output.append(helper.make_tensor_value_info(_output(name, what), onnx.TensorProto.FLOAT, [None]))
    return copied


def _output(name: str, what: str) -> str:
    return f"{name}_statistics_{what}"
