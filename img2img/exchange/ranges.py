"""The range of each activation that 8 bits are spread over: the one with the least mean squared error.

The whole range from the smallest to the largest value would waste steps on what is rare. Found by trying (Nagel et al.
2021, "A White Paper on Neural Network Quantization", section 3.1), on a share of the values.
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
"""Every so many values of a tensor are looked at; prime, so that all channels are seen."""

BINS = 4096
STEPS = 255
TINY = 1e-30
"""Spans below it cannot be divided into `BINS` in 32-bit floats, and are nothing."""

SHARES = np.arange(0.7, 1.01, 0.05)
"""Of the smallest and of the largest value, as the ends of a range. Lower ones do better on pictures like those that
they were found on, and worse on pictures of more contrast."""

Range = tuple[NDArray[np.float32], NDArray[np.float32]]


def of_activations(
    model: onnx.ModelProto, names: Sequence[str], tiles: Sequence[Sample], whole: Sequence[Sample] = ()
) -> dict[str, Range]:
    """Lowest and highest value to be represented of each tensor in `names`, 0 always among them.

    `whole`: samples all of whose values are to be represented, however few they are.
    """
    session: Any = samples.session(_watched(model, names).SerializeToString())
    wanted = [f"{name}_{what}" for name in names for what in ("seen", "least", "most")]
    seen: list[list[NDArray[np.float32]]] = [[] for _ in names]
    for tile in tiles:
        outputs = session.run(wanted, tile.inputs)
        for place, values in enumerate(seen):
            values += outputs[3 * place : 3 * place + 3]
    found = {name: best(np.concatenate(values)) for name, values in zip(names, seen, strict=True)}
    for sample in whole:
        ends = session.run([f"{name}_{what}" for name in names for what in ("least", "most")], sample.inputs)
        for name, least, most in zip(names, ends[::2], ends[1::2], strict=True):
            low, high = found[name]
            found[name] = np.minimum(low, least.min()), np.maximum(high, most.max())
    return found


def largest(model: onnx.ModelProto, names: Sequence[str], tiles: Sequence[Sample]) -> dict[str, float]:
    """The largest absolute value of each tensor in `names`; infinite where it is not finite."""
    session: Any = samples.session(_watched(model, names).SerializeToString())
    wanted = [f"{name}_{what}" for name in names for what in ("least", "most")]
    found = np.array([np.ravel(session.run(wanted, tile.inputs)) for tile in tiles], np.float64)
    most = np.nan_to_num(np.abs(found).max(0), nan=np.inf).reshape(-1, 2).max(1)
    return dict(zip(names, most.tolist(), strict=True))


def best(values: NDArray[np.float32]) -> Range:
    """The range of 256 steps that `values` suffer least from."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if high - low < TINY:
        return np.float32(0), np.float32(1)  # type: ignore[return-value]
    counts, edges = np.histogram(values, BINS, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    least, found = np.inf, (low, high)
    for lower in SHARES if low < 0 else (1.0,):
        for upper in SHARES if high > 0 else (1.0,):
            step = (high * upper - low * lower) / STEPS
            zero = np.rint(-low * lower / step)
            rounded = (np.clip(np.rint(centres / step) + zero, 0, STEPS) - zero) * step
            error = float(np.dot(counts, np.square(rounded - centres)))
            if error < least:
                least, found = error, (low * lower, high * upper)
    return np.float32(found[0]), np.float32(found[1])  # type: ignore[return-value]


def _watched(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """`model` with a share of the values of these tensors, and their extremes, as its results."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    graph = watched.graph
    del graph.output[:]
    for name, value in (("flat", -1), ("start", 0), ("end", np.iinfo(np.int64).max), ("axis", 0), ("stride", STRIDE)):
        graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), f"watch_{name}"))
    slicing = [f"watch_{name}" for name in ("start", "end", "axis", "stride")]
    for name in names:
        graph.node.append(helper.make_node("Reshape", [name, "watch_flat"], [f"{name}_flat"]))
        graph.node.append(helper.make_node("Slice", [f"{name}_flat", *slicing], [f"{name}_seen"]))
        graph.node.append(helper.make_node("ReduceMin", [f"{name}_flat"], [f"{name}_least"]))
        graph.node.append(helper.make_node("ReduceMax", [f"{name}_flat"], [f"{name}_most"]))
        for what in ("seen", "least", "most"):
            graph.output.append(helper.make_tensor_value_info(f"{name}_{what}", onnx.TensorProto.FLOAT, [None]))
    return watched
