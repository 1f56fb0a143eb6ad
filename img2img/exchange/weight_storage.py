"""Weights of an ONNX graph that are stored with 16 bits and computed with in fp32.

A weight `w` becomes a float16 tensor and an operator Cast to float32 whose result is called `w`. onnxruntime runs the
operator once, when it creates a session (constant folding), so pictures take the same time and memory as before.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MIN_VALUES = 256
"""Smaller tensors stay in fp32: they would save less than the operator takes, and may hold an epsilon."""


def shorten(model: onnx.ModelProto) -> int:
    """Store the float32 weights of `model` with 16 bits, in place, and return their number.

    Weights beyond the range of float16 stay as they are.
    """
    graph = model.graph
    taken = {one.name for one in graph.initializer} | {name for node in graph.node for name in node.output}
    inputs = {one.name for one in graph.input}  # before IR version 4, weights were listed as inputs too
    stored, casts = [], []
    for weight in graph.initializer:
        short = None if weight.name in inputs else _shortened(weight)
        if short is None:
            stored.append(weight)
            continue
        short.name = f"{weight.name}_fp16"
        while short.name in taken:
            short.name += "_"
        taken.add(short.name)
        stored.append(short)
        casts.append(helper.make_node("Cast", [short.name], [weight.name], f"{short.name}_cast", to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(stored)
    graph.node.extend([*casts, *nodes])
    return len(casts)


def restore(model: onnx.ModelProto) -> int:
    """Undo `shorten` in place, except for the rounding, and return the number of weights restored.

    Raises:
        ValueError: a weight holds another number of values than its shape says.
    """
    graph = model.graph
    halves = {one.name: one for one in graph.initializer if one.data_type == TensorProto.FLOAT16}
    outputs = {one.name for one in graph.output}
    casts: list[onnx.NodeProto] = []
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        is_cast = node.op_type == "Cast" and node.input[0] in halves and node.output[0] not in outputs
        (casts if is_cast and _target_type(node) == TensorProto.FLOAT else nodes).append(node)
    if not casts:
        return 0
    restored: dict[str, list[onnx.TensorProto]] = {}
    for cast in casts:
        values = numpy_helper.to_array(halves[cast.input[0]]).astype(np.float32)
        restored.setdefault(cast.input[0], []).append(numpy_helper.from_array(values, cast.output[0]))
    used = set(names_read(nodes))
    stored = []
    for weight in graph.initializer:
        if weight.name not in restored or weight.name in used:
            stored.append(weight)
        stored += restored.get(weight.name, [])
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(stored)
    graph.node.extend(nodes)
    return len(casts)


def _shortened(weight: onnx.TensorProto) -> onnx.TensorProto | None:
    """`weight` as float16; None if it is no float32, too small, or out of range."""
    if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < MIN_VALUES:
        return None
    values = numpy_helper.to_array(weight)
    with np.errstate(over="ignore"):
        short = values.astype(np.float16)
    return numpy_helper.from_array(short) if np.isfinite(short).all() else None


def names_read(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """The tensors that operators read, also those in nested graphs."""
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from names_read(graph.node)


def _target_type(cast: onnx.NodeProto) -> int:
    return next((one.i for one in cast.attribute if one.name == "to"), TensorProto.UNDEFINED)
