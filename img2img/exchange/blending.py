"""Network interpolation of two model files (Wang et al. 2018, ESRGAN, section 3.4), without the runs they come from."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from img2img.atomic import atomic
from img2img.errors import ExportError, ModelError
from img2img.exchange import model_files, samples
from img2img.exchange.prelu import split_prelu
from img2img.runtime.network.card import Card

NAMED = 5
"""Keys that a message names."""

AGREE = ("task", "scale", "multiple", "domains", "exclusive")
"""What the cards have to say alike."""

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


def blend(
    a: Path,
    b: Path,
    weight: float,
    target: Path,
    *,
    name: str | None = None,
    parents: tuple[str, str] | None = None,
    shown: tuple[Path, Path] | None = None,
) -> Card:
    """Write the model whose weights are (1 - weight) * those of `a` + weight * those of `b`; returns its card.

    The graphs must be the same operator for operator; what their tensors are called does not matter.

    Args:
        a, b: fp32 model files with cards.
        weight: share of `b`, 0..1.
        name: in the card; none: that of `b` with "-blend".
        parents: what the card calls the two; none: by their names, or their files' where these are the same.
        shown: what messages call the two; none: as they are.

    Raises:
        ModelError: a file cannot be read, is unsafe, has no card or is not fp32; or their networks differ, and the
            first keys are named, or are for different things.
        ExportError: what is between the two gives no finite picture; nothing is written.
    """
    if not 0 <= weight <= 1:
        raise ModelError(f"the weight of a blend lies between 0, all of {a}, and 1, all of {b}; not {weight:g}")
    where = "{} and {} cannot be blended".format(*(shown or (a, b)))
    use = ", and export the blend with --precision afterwards"
    ours, theirs = model_files.float_card(a, use), model_files.float_card(b, use)
    for fact in AGREE:
        one, other = getattr(ours, fact), getattr(theirs, fact)
        if one != other:
            raise ModelError(f"{where}: {fact} is {one} in the first and {other} in the second")
    first, second = model_files.load(a), model_files.load(b)
    if len({any(node.op_type == "PRelu" for node in one.graph.node) for one in (first, second)}) > 1:
        split_prelu(first)  # as one of them has been already: files of several versions meet
        split_prelu(second)
    _mix(first, second, weight, where)
    if parents is None:
        parents = (ours.name, theirs.name) if ours.name != theirs.name else (a.stem, b.stem)
    card = blended_card(ours, theirs, weight, parents, name or f"{theirs.name}-blend")
    data = model_files.finished(second, card)
    session = samples.session(data)
    if not all(np.isfinite(result).all() for result in samples.results(session, samples.synthetic(card))):
        raise ExportError(f"{where}: {1 - weight:.4g} and {weight:.4g} of them give no finite picture; nothing written")
    with atomic(target) as file:
        file.write(data)
    return card


def blended_card(a: Card, b: Card, weight: float, parents: tuple[str, str], name: str) -> Card:
    """The card of a blend; `parents` is what it calls the two. What was measured of either is not true of it."""
    return dataclasses.replace(
        b,
        name=name,
        method=f"{b.method}; blend of {1 - weight:.4g} {parents[0]} and {weight:.4g} {parents[1]}",
        minimum=max(a.minimum, b.minimum),
        context=None if a.context is None or b.context is None else max(a.context, b.context),
        licence=", ".join(dict.fromkeys(filter(None, (a.licence, b.licence)))),
        trained_on=tuple(dict.fromkeys((*a.trained_on, *b.trained_on))),
        metrics={},
    )


def _mix(a: onnx.ModelProto, b: onnx.ModelProto, weight: float, where: str) -> None:
    """Interpolate the floats of `b` towards those of `a`, in place.

    Raises:
        ModelError: their networks differ, or hold values that are not finite.
    """
    ours, theirs = _values(a.graph), _values(b.graph)
    names = _matched(a.graph, b.graph, ours, theirs, where)
    if shapes := [f"{names[k]} {_shape(ours[k])}" for k in names if _shape(ours[k]) != _shape(theirs[names[k]])]:
        raise ModelError(f"{where}, their networks differ: other shapes in {_listed(shapes)} of the first")
    changed = []
    for key, other in names.items():
        before, now = numpy_helper.to_array(ours[key]), numpy_helper.to_array(theirs[other])
        if theirs[other].data_type not in FLOATS:
            if not np.array_equal(before, now):
                changed.append(other)
            continue
        if not (np.isfinite(before).all() and np.isfinite(now).all()):
            raise ModelError(f"{where}: {other} is not finite in one of them")
        mixed = mix(before, now, weight)
        theirs[other].CopyFrom(numpy_helper.from_array(mixed, other))
    if changed:
        raise ModelError(f"{where}, their networks differ: other numbers in {_listed(changed)}, which is no weight")


def mix(a: NDArray[np.floating], b: NDArray[np.floating], weight: float) -> NDArray[np.floating]:
    """(1 - weight) * a + weight * b, rounded once; exactly `a` at 0 and `b` at 1."""
    return ((1 - weight) * a.astype(np.float64) + weight * b.astype(np.float64)).astype(b.dtype)


def _values(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Stored tensors by name, in the order of the file."""
    if graph.sparse_initializer:
        raise ModelError("sparse weights cannot be blended")
    return {one.name: one for one in graph.initializer}


def _matched(
    a: onnx.GraphProto,
    b: onnx.GraphProto,
    ours: Mapping[str, onnx.TensorProto],
    theirs: Mapping[str, onnx.TensorProto],
    where: str,
) -> dict[str, str]:
    """Stored tensor of `a` to the one of `b` that is used in the same places.

    Raises:
        ModelError: the graphs are not the same operator for operator.
    """
    for what, keys in (
        ("only the first has", [key for key in ours if key not in theirs]),
        ("only the second has", [key for key in theirs if key not in ours]),
    ):
        if keys and len(ours) != len(theirs):  # under other names they may be the same all the same
            raise ModelError(f"{where}, their networks differ: {what} {_listed(keys)}")
    names: dict[str, str] = {}
    if not _alike([one.name for one in a.input], [one.name for one in b.input], names):
        raise ModelError(f"{where}, their networks differ: their inputs are not the same")
    for place, (one, other) in enumerate(zip(a.node, b.node, strict=False)):
        if (one.op_type, one.domain) != (other.op_type, other.domain):
            what = f"operator {place} is {one.op_type} in the first and {other.op_type} in the second"
            raise ModelError(f"{where}, their networks differ: {what}")
        if _attributes(one) != _attributes(other):
            raise ModelError(f"{where}, their networks differ: operator {place}, {one.op_type}, has other settings")
        if not (_alike(one.input, other.input, names) and _alike(one.output, other.output, names)):
            raise ModelError(f"{where}, their networks differ: operator {place}, {one.op_type}, reads something else")
    if len(a.node) != len(b.node) or not _alike([one.name for one in a.output], [one.name for one in b.output], names):
        raise ModelError(f"{where}, their networks differ: {len(a.node)} operators and {len(b.node)}")
    return {key: names[key] for key in ours if key in names and names[key] in theirs}


def _alike(ours: Sequence[str], theirs: Sequence[str], names: dict[str, str]) -> bool:
    """Whether both lists mean the same tensors by what is known in `names`, to which new pairs are added."""
    return len(ours) == len(theirs) and all(names.setdefault(a, b) == b for a, b in zip(ours, theirs, strict=True))


def _attributes(node: onnx.NodeProto) -> dict[str, bytes]:
    return {one.name: one.SerializeToString(deterministic=True) for one in node.attribute}


def _shape(value: onnx.TensorProto) -> list[int]:
    return list(value.dims)


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:NAMED]) + (f" and {len(keys) - NAMED} more" if len(keys) > NAMED else "")
