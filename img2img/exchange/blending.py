"""Network interpolation of two model files (Wang et al. 2018, ESRGAN, section 3.4). Does not need their runs."""

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
from img2img.exchange.listing import first_names
from img2img.exchange.prelu import split_prelu
from img2img.runtime.network.card import Card

SAME_IN_BOTH = ("task", "scale", "multiple", "domains", "exclusive", "reference", "latent")
"""Entries that must be equal in both cards."""

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
    """Write the model with the weights (1 - weight) * `a` + weight * `b` to `target`, and return its card.

    Both graphs must have the same operators in the same order. The names of their tensors may differ.

    Args:
        a, b: fp32 model files with cards.
        weight: share of `b`, 0..1.
        name: name in the card; None: the name of `b` plus "-blend".
        parents: names of `a` and `b` in the card; None: the names in their own cards, or their file names if those
            are equal.
        shown: paths of `a` and `b` in messages; None: `a` and `b`.

    Raises:
        ModelError: a file cannot be read, is unsafe, has no card or is not fp32. Or the networks differ (the message
            lists the first keys), or they do different things.
        ExportError: the results of the blend are not finite; nothing is written.
    """
    if not 0 <= weight <= 1:
        raise ModelError(f"the weight of a blend must be between 0 (all {a}) and 1 (all {b}), not {weight:g}")
    shown_a, shown_b = shown or (a, b)
    refusal = f"{shown_a} and {shown_b} cannot be blended"
    advice = ", and convert the blend with --precision afterwards"
    card_a, card_b = model_files.float_card(a, advice), model_files.float_card(b, advice)
    for entry in SAME_IN_BOTH:
        value_a, value_b = getattr(card_a, entry), getattr(card_b, entry)
        if value_a != value_b:
            raise ModelError(f"{refusal}: {entry} is {value_a} in the first and {value_b} in the second")
    model_a, model_b = model_files.load(a), model_files.load(b)
    if _has_prelu(model_a) != _has_prelu(model_b):  # one is from an older version, which did not split PRelu
        split_prelu(model_a)
        split_prelu(model_b)
    _mix_weights(model_a, model_b, weight, refusal)
    if parents is None:
        parents = (card_a.name, card_b.name) if card_a.name != card_b.name else (a.stem, b.stem)
    card = blended_card(card_a, card_b, weight, parents, name or f"{card_b.name}-blend")
    data = model_files.serialise(model_b, card)
    session = samples.session(data)
    if not all(np.isfinite(result).all() for result in samples.results(session, samples.synthetic(card))):
        raise ExportError(
            f"{refusal}: the results of {1 - weight:.4g} and {weight:.4g} of them are not finite; nothing written"
        )
    with atomic(target) as file:
        file.write(data)
    return card


def blended_card(a: Card, b: Card, weight: float, parents: tuple[str, str], name: str) -> Card:
    """The card of a blend. `parents` are the names of `a` and `b` in it. Metrics of `a` and `b` do not carry over."""
    return dataclasses.replace(
        b,
        name=name,
        method=f"{b.method}; blend of {1 - weight:.4g} {parents[0]} and {weight:.4g} {parents[1]}",
        minimum=max(a.minimum, b.minimum),
        input_quality=a.input_quality if a.input_quality == b.input_quality else None,
        context=None if a.context is None or b.context is None else max(a.context, b.context),
        licence=", ".join(dict.fromkeys(filter(None, (a.licence, b.licence)))),
        trained_on=tuple(dict.fromkeys((*a.trained_on, *b.trained_on))),
        metrics={},
    )


def mix(a: NDArray[np.floating], b: NDArray[np.floating], weight: float) -> NDArray[np.floating]:
    """(1 - weight) * a + weight * b, rounded once; exactly `a` at 0 and exactly `b` at 1."""
    return ((1 - weight) * a.astype(np.float64) + weight * b.astype(np.float64)).astype(b.dtype)


def _has_prelu(model: onnx.ModelProto) -> bool:
    return any(node.op_type == "PRelu" for node in model.graph.node)


def _mix_weights(a: onnx.ModelProto, b: onnx.ModelProto, weight: float, refusal: str) -> None:
    """Interpolate the floats of `b` towards those of `a`, in place.

    Raises:
        ModelError: the networks differ or have values that are not finite; the message begins with `refusal`.
    """
    differ = f"{refusal} because their networks differ"
    values_a, values_b = _stored_tensors(a.graph), _stored_tensors(b.graph)
    names = _matched(a.graph, b.graph, values_a, values_b, differ)
    shapes = [
        f"{key} {_shape(values_a[key])}" for key in names if _shape(values_a[key]) != _shape(values_b[names[key]])
    ]
    if shapes:
        raise ModelError(f"{differ}: the first has other shapes in {first_names(shapes)}")
    changed = []
    for key_a, key_b in names.items():
        array_a, array_b = numpy_helper.to_array(values_a[key_a]), numpy_helper.to_array(values_b[key_b])
        if values_b[key_b].data_type not in FLOATS:
            if not np.array_equal(array_a, array_b):
                changed.append(key_b)
            continue
        if not (np.isfinite(array_a).all() and np.isfinite(array_b).all()):
            raise ModelError(f"{refusal}: {key_b} is not finite in one of them")
        values_b[key_b].CopyFrom(numpy_helper.from_array(mix(array_a, array_b, weight), key_b))
    if changed:
        raise ModelError(f"{differ}: other numbers in {first_names(changed)}, which cannot be interpolated")


def _stored_tensors(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """The stored tensors by name, in the order of the file."""
    if graph.sparse_initializer:
        raise ModelError("sparse weights cannot be blended")
    return {one.name: one for one in graph.initializer}


def _matched(
    a: onnx.GraphProto,
    b: onnx.GraphProto,
    values_a: Mapping[str, onnx.TensorProto],
    values_b: Mapping[str, onnx.TensorProto],
    differ: str,
) -> dict[str, str]:
    """Name of each stored tensor of `a` -> name of the one of `b` that is used in the same places.

    Raises:
        ModelError: the operators of the graphs differ; the message begins with `differ`.
    """
    if len(values_a) != len(values_b):  # with equal counts they may match under other names
        for owner, keys in (
            ("only the first has", [key for key in values_a if key not in values_b]),
            ("only the second has", [key for key in values_b if key not in values_a]),
        ):
            if keys:
                raise ModelError(f"{differ}: {owner} {first_names(keys)}")
    names: dict[str, str] = {}
    if not _pair_up([one.name for one in a.input], [one.name for one in b.input], names):
        raise ModelError(f"{differ}: their inputs are not the same")
    for place, (node_a, node_b) in enumerate(zip(a.node, b.node, strict=False)):
        if (node_a.op_type, node_a.domain) != (node_b.op_type, node_b.domain):
            raise ModelError(
                f"{differ}: operator {place} is {node_a.op_type} in the first and {node_b.op_type} in the second"
            )
        if _attributes(node_a) != _attributes(node_b):
            raise ModelError(f"{differ}: operator {place}, {node_a.op_type}, has other settings")
        if not (_pair_up(node_a.input, node_b.input, names) and _pair_up(node_a.output, node_b.output, names)):
            raise ModelError(f"{differ}: operator {place}, {node_a.op_type}, reads other tensors")
    outputs_match = _pair_up([one.name for one in a.output], [one.name for one in b.output], names)
    if len(a.node) != len(b.node) or not outputs_match:
        raise ModelError(f"{differ}: {len(a.node)} operators and {len(b.node)}")
    return {key: names[key] for key in values_a if key in names and names[key] in values_b}


def _pair_up(names_a: Sequence[str], names_b: Sequence[str], names: dict[str, str]) -> bool:
    """Whether both lists name the same tensors, according to the pairs in `names`. Adds new pairs to `names`."""
    if len(names_a) != len(names_b):
        return False
    return all(names.setdefault(a, b) == b for a, b in zip(names_a, names_b, strict=True))


def _attributes(node: onnx.NodeProto) -> dict[str, bytes]:
    return {one.name: one.SerializeToString(deterministic=True) for one in node.attribute}


def _shape(value: onnx.TensorProto) -> list[int]:
    return list(value.dims)
