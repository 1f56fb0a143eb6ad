"""Network interpolation: one model between two (Wang et al. 2018, ESRGAN, section 3.4)."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from img2img import exchange
from img2img.errors import CheckpointError, ConfigError
from img2img.methods.method import Exportable
from img2img.training.trained import Trained, read

NAMED = 5
"""Keys that a message names."""


def blend(a: Path, b: Path, weight: float, target: Path, *, name: str | None = None) -> list[Path]:
    """Write models whose weights are (1 - weight) * those of `a` + weight * those of `b`, verified.

    What is interpolated are the networks that run: the moving averages where there are any, folded. Both must have the
    same layers. Usually `b` is an adversarial run that started from `a`, its fidelity run; then every weight between
    gives a working network, with less of the detail and of the artefacts of `b`.

    Args:
        a, b: run folders, of which the best checkpoint is taken, or checkpoint folders in one.
        weight: share of `b`, 0..1.
        target: .onnx file; methods that leave several models put what tells them apart before the ending.
        name: name in the card; none: that of `b` with "-blend".

    Returns the files written.

    Raises:
        ConfigError: `weight` is out of range, or a folder is no run's, or its configuration cannot be read.
        CheckpointError: nothing can be read there, or the networks differ; the first keys are named.
        DataError: a method cannot make its networks without its data, and that is gone.
        ExportError: a model cannot be written.
    """
    if not 0 <= weight <= 1:
        raise ConfigError(f"the weight of a blend lies between 0, all of {a}, and 1, all of {b}; not {weight:g}")
    first, second = read(a), read(b)
    if [one.suffix for one in first.models] != [one.suffix for one in second.models]:
        raise CheckpointError(f"{a} and {b} cannot be blended: they leave {_files(first)} and {_files(second)}")
    written = []
    for one, other, ours, theirs in zip(first.models, second.models, first.weights, second.weights, strict=True):
        check(one, other, ours, theirs, f"{a} and {b} cannot be blended")
        other.network.load_state_dict(mixed(ours, theirs, weight))
        card = dataclasses.replace(
            other.card,
            name=name + other.suffix.replace(".", "-") if name else f"{other.card.name}-blend",
            method=f"{other.card.method}; blend of {1 - weight:.4g} {first.name} and {weight:.4g} {second.name}",
            licence=", ".join(dict.fromkeys(filter(None, (one.card.licence, other.card.licence)))),
            trained_on=tuple(dict.fromkeys((*one.card.trained_on, *other.card.trained_on))),
        )
        place = target.with_name(f"{target.stem}{other.suffix}{target.suffix}")
        exchange.export(other.network, card, place)
        written.append(place)
    return written


def mixed(a: Mapping[str, Tensor], b: Mapping[str, Tensor], weight: float) -> dict[str, Tensor]:
    """(1 - weight) * `a` + weight * `b`, key by key; counts and other whole numbers are those of `b`."""
    return {
        k: (1 - weight) * a[k] + weight * theirs if theirs.is_floating_point() else theirs for k, theirs in b.items()
    }


def check(a: Exportable, b: Exportable, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], where: str) -> None:
    """Refuse models, whose weights are `ours` and `theirs`, that differ in their layers or in what they are for.

    Raises:
        CheckpointError: they do; the message begins with `where` and names the first keys.
    """
    for what, keys in (
        ("only the first has", [k for k in ours if k not in theirs]),
        ("only the second has", [k for k in theirs if k not in ours]),
        ("other shapes in", [k for k in ours if k in theirs and ours[k].shape != theirs[k].shape]),
    ):
        if keys:
            more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
            raise CheckpointError(f"{where}, their networks differ: {what} {', '.join(keys[:NAMED])}{more}")
    for fact in ("task", "scale", "multiple", "domains"):
        one, other = getattr(a.card, fact), getattr(b.card, fact)
        if one != other:
            raise CheckpointError(f"{where}: {fact} is {one} in the first and {other} in the second")


def _files(trained: Trained) -> str:
    return ", ".join(f"model{one.suffix}.onnx" for one in trained.models)
