"""The ONNX form of `networks.patch_search`, with real loops. The exporter would unroll them to thousands of nodes.

These are onnxscript functions: Python that is translated, not run. Names are those of the original, which has the
explanations. `tests/exchange/test_patch_search.py` shows that both give the same result.
"""

# mypy: ignore-errors

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import torch
from onnxscript import FLOAT, INT64, script
from onnxscript import opset18 as op
from onnxscript.values import OnnxFunction, Opset

from img2img.networks.patch_search import COHERENCE, GUIDE, LEAST_TRUST, PATCH, RADIUS, REACH, UNKNOWN, USE, WEAK_GUIDE

_ours = Opset("img2img", 1)


def _tensor(values: Any, dtype: type = np.int64) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(np.array(values, dtype))


_KERNELS = _tensor(np.tile(np.eye(PATCH**2).reshape(-1, 1, PATCH, PATCH), (3, 1, 1, 1)), np.float32)
_FRAME = _tensor([0, 0, RADIUS, RADIUS, 0, 0, RADIUS, RADIUS])
_DOWN = _tensor(np.repeat(np.arange(-RADIUS, RADIUS + 1), PATCH))
_RIGHT = _tensor(np.tile(np.arange(-RADIUS, RADIUS + 1), PATCH))
_NEIGHBOURS_DOWN = _tensor([[0], [0], [0], [1], [-1]])
_NEIGHBOURS_RIGHT = _tensor([[0], [1], [-1], [0], [0]])
_RELUCTANCE = _tensor([[COHERENCE], [1], [1], [1], [1]], np.float32)
_ONES = _tensor(np.ones((1, 1, PATCH, PATCH)), np.float32)
_PADS = [RADIUS] * 4
_REACH = _tensor(REACH)
_REACHES = len(REACH)
_ROWS = _tensor([-1, 3 * PATCH**2 + 3])


@script(_ours, default_opset=op)
def patch_features(image, guide):
    """`_features`."""
    patches = op.Conv(op.Pad(image, op.Constant(value=_FRAME), mode="reflect"), op.Constant(value=_KERNELS), group=3)
    return op.Reshape(op.Transpose(op.Concat(patches, guide, axis=1), perm=[0, 2, 3, 1]), op.Constant(value=_ROWS))


@script(_ours, default_opset=op)
def patch_join(start, row, column, side):
    """`_Places._join`."""
    zero = op.Constant(value_int=0)
    last = op.Sub(side, op.Constant(value_int=1))
    inside = op.Add(op.Mul(op.Max(op.Min(row, last), zero), side), op.Max(op.Min(column, last), zero))
    return op.Add(start, inside)


@script(_ours, default_opset=op)
def patch_split(index, side):
    """`_Places._split`."""
    place = op.Mod(index, op.Mul(side, side))
    return op.Sub(index, place), op.Div(place, side), op.Mod(place, side)


@script(_ours, default_opset=op)
def patch_pixels(image):
    """`_Places.pixels`."""
    return op.Reshape(op.Transpose(image, perm=[0, 2, 3, 1]), op.Constant(value_ints=[-1, 3]))


@script(_ours, default_opset=op)
def patch_side(image):
    """The side of a level, as a scalar."""
    return op.Squeeze(op.Shape(image, start=3, end=4))


@script(_ours, default_opset=op)
def patch_touched(hole):
    """`_Places.touched`."""
    near = op.MaxPool(hole, kernel_shape=[PATCH, PATCH], pads=[RADIUS, RADIUS, RADIUS, RADIUS])
    flat = op.Reshape(near, op.Constant(value_ints=[-1]))
    return op.Squeeze(op.NonZero(flat), op.Constant(value_ints=[0]))


@script(_ours, default_opset=op)
def patch_unknown(hole):
    """`_Places.unknown`."""
    framed = op.Pad(hole, op.Constant(value=_FRAME), op.Constant(value_float=1.0))
    share = op.Reshape(op.AveragePool(framed, kernel_shape=[PATCH, PATCH]), op.Constant(value_ints=[-1]))
    return op.Mul(share, op.Constant(value_float=UNKNOWN))


@script(_ours, default_opset=op)
def patch_inherit(coarser, touched, every, side):
    """`_Places.inherit`."""
    two = op.Constant(value_int=2)
    half = op.Div(side, two)
    start, row, column = patch_split(touched, side)
    parent = op.Add(
        op.Div(start, op.Constant(value_int=4)), op.Add(op.Mul(op.Div(row, two), half), op.Div(column, two))
    )
    place = op.Gather(op.Reshape(coarser, op.Constant(value_ints=[-1])), parent)
    y = op.Add(op.Mul(op.Div(place, half), two), op.Mod(row, two))
    x = op.Add(op.Mul(op.Mod(place, half), two), op.Mod(column, two))
    return op.ScatterElements(every, touched, patch_join(start, y, x, side))


@script(_ours, default_opset=op)
def patch_over(hole, side):
    """`_Places.inside`, `around` and `counted`."""
    inside = op.Transpose(op.NonZero(op.Reshape(hole, op.Constant(value_ints=[-1]))), perm=[1, 0])
    start, row, column = patch_split(inside, side)
    y = op.Sub(row, op.Constant(value=_DOWN))
    x = op.Sub(column, op.Constant(value=_RIGHT))
    zero = op.Constant(value_int=0)
    rows = op.And(op.GreaterOrEqual(y, zero), op.Less(y, side))
    columns = op.And(op.GreaterOrEqual(x, zero), op.Less(x, side))
    known = op.Conv(op.Sub(op.Constant(value_float=1.0), hole), op.Constant(value=_ONES), pads=_PADS)
    trust = op.Add(op.Reshape(known, op.Constant(value_ints=[-1])), op.Constant(value_float=float(LEAST_TRUST)))
    around = patch_join(start, y, x, side)
    counted = op.Mul(op.Gather(trust, around), op.Cast(op.And(rows, columns), to=1))
    weights = op.Unsqueeze(counted, op.Constant(value_ints=[2]))
    return op.Tile(inside, op.Constant(value_ints=[1, 3])), around, weights


@script(_ours, default_opset=op)
def patch_average(image, pixels, sources, inside, around, counted, side):
    """`_Places.average`."""
    start, y, x = patch_split(op.Gather(sources, around), side)
    place = patch_join(start, op.Add(y, op.Constant(value=_DOWN)), op.Add(x, op.Constant(value=_RIGHT)), side)
    axes = op.Constant(value_ints=[1])
    proposed = op.ReduceSum(op.Mul(op.Gather(pixels, place), counted), axes, keepdims=0)
    mean = op.Round(op.Div(proposed, op.ReduceSum(counted, axes, keepdims=0)))
    filled = op.ScatterElements(pixels, inside, mean, axis=0)
    rows = op.Concat(
        op.Shape(image, start=0, end=1), op.Shape(image, start=2, end=4), op.Constant(value_ints=[3]), axis=0
    )
    return op.Transpose(op.Reshape(filled, rows), perm=[0, 3, 1, 2])


@script(_ours, default_opset=op)
def patch_every(pixels):
    """`_Places.every`."""
    count = op.Squeeze(op.Shape(pixels, start=0, end=1))
    return op.Range(op.Constant(value_int=0), count, op.Constant(value_int=1))


@script(_ours, default_opset=op)
def patch_in_pictures(sources, image, side):
    """`_Places.in_pictures`."""
    shape = op.Concat(op.Shape(image, start=0, end=1), op.Shape(image, start=2, end=4), axis=0)
    return op.Reshape(op.Mod(sources, op.Mul(side, side)), shape)


@script(_ours, default_opset=op)
def patch_start(image, hole, guide, coarser, side):
    """What both kinds of search begin with: pixels, touched, own, cost and sources."""
    pixels = patch_pixels(image)
    touched = patch_touched(hole)
    own = patch_features(image, guide)
    cost = op.Add(op.ReduceSumSquare(own, op.Constant(value_ints=[1]), keepdims=0), patch_unknown(hole))
    sources = patch_inherit(coarser, touched, patch_every(pixels), side)
    return pixels, touched, own, cost, sources


@script(_ours, default_opset=op)
def search_everywhere(image: FLOAT, hole: FLOAT, guide: FLOAT, coarser: INT64, iterations: int) -> INT64:
    """`search_everywhere`."""
    side = patch_side(image)
    area = op.Reshape(op.Mul(side, side), op.Constant(value_ints=[1]))
    weighted = op.Mul(guide, op.Constant(value_float=float(GUIDE)))
    pixels, touched, own, cost, sources = patch_start(image, hole, weighted, coarser, side)
    inside, around, counted = patch_over(hole, side)
    minus = op.Constant(value_ints=[-1])
    one = op.Constant(value_ints=[1])
    width = op.Shape(own, start=1, end=2)
    each = op.Concat(minus, area, width, axis=0)
    known = op.Transpose(op.Reshape(own, each), perm=[0, 2, 1])
    batch = op.Range(op.Constant(value_int=0), op.Squeeze(op.Shape(image, start=0, end=1)), op.Constant(value_int=1))
    starts = op.Unsqueeze(op.Mul(batch, area), one)
    once = op.Expand(op.Constant(value_float=1.0), op.Shape(touched))
    uses = op.Mul(cost, op.Constant(value_float=0.0))
    for _i in range(op.Constant(value_int=iterations)):
        features = patch_features(patch_average(image, pixels, sources, inside, around, counted, side), weighted)
        products = op.MatMul(op.Reshape(features, each), known)
        dear = op.Add(cost, op.Mul(uses, op.Constant(value_float=USE)))
        distances = op.Sub(op.Reshape(dear, op.Concat(minus, one, area, axis=0)), op.Add(products, products))
        nearest = op.ArgMin(distances, axis=2, keepdims=0)
        sources = op.Reshape(op.Add(nearest, starts), minus)
        uses = op.ScatterElements(uses, op.Gather(sources, touched), once, reduction="add")
    return patch_in_pictures(sources, image, side)


@script(_ours, default_opset=op)
def propagate(image: FLOAT, hole: FLOAT, guide: FLOAT, coarser: INT64, iterations: int) -> INT64:
    """`propagate`."""
    side = patch_side(image)
    weighted = op.Mul(guide, op.Constant(value_float=float(WEAK_GUIDE)))
    pixels, touched, own, cost, sources = patch_start(image, hole, weighted, coarser, side)
    inside, around, counted = patch_over(hole, side)
    axis = op.Constant(value_ints=[1])
    start, row, column = patch_split(touched, side)
    for _i in range(op.Constant(value_int=iterations)):
        features = patch_features(patch_average(image, pixels, sources, inside, around, counted, side), weighted)
        wanted = op.Gather(features, touched)
        size = op.ReduceSumSquare(wanted, axis, keepdims=0)
        for j in range(op.Constant(value_int=_REACHES)):
            reach = op.Gather(op.Constant(value=_REACH), j)
            down = op.Mul(reach, op.Constant(value=_NEIGHBOURS_DOWN))
            right = op.Mul(reach, op.Constant(value=_NEIGHBOURS_RIGHT))
            neighbours = patch_join(start, op.Add(row, down), op.Add(column, right), side)
            _start, y, x = patch_split(op.Gather(sources, neighbours), side)
            candidates = patch_join(start, op.Sub(y, down), op.Sub(x, right), side)
            products = op.ReduceSum(op.Mul(wanted, op.Gather(own, candidates)), op.Constant(value_ints=[2]), keepdims=0)
            distances = op.Add(op.Sub(op.Gather(cost, candidates), op.Add(products, products)), size)
            best = op.ArgMin(op.Mul(distances, op.Constant(value=_RELUCTANCE)), axis=0, keepdims=1)
            chosen = op.Squeeze(op.GatherElements(candidates, best, axis=0), op.Constant(value_ints=[0]))
            sources = op.ScatterElements(sources, touched, chosen)
    return patch_in_pictures(sources, image, side)


TRANSLATIONS: dict[Callable[..., Any], Any] = {
    torch.ops.img2img.search_everywhere.default: search_everywhere,
    torch.ops.img2img.propagate.default: propagate,
}
"""For `torch.onnx.export(custom_translation_table=...)`."""


def with_functions_inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace calls of the functions in this module, which the exporter does not find, by their nodes."""
    if not any(one.domain == _ours.domain for one in model.opset_import):
        return model
    functions = [value for value in globals().values() if isinstance(value, OnnxFunction)]
    model.functions.extend(one.to_function_proto() for one in functions)
    return onnx.inliner.inline_local_functions(model)
