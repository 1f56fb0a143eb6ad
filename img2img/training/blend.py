"""Network interpolation: one model between two (Wang et al. 2018, ESRGAN, section 3.4)."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from img2img import exchange
from img2img.errors import CheckpointError, ConfigError, UsageError
from img2img.exchange import blending
from img2img.methods.method import ModelExport
from img2img.training import export
from img2img.training.trained import TrainedRun, check_statistics, read

NAMED = 5
"""Keys that a message names."""


def blend_any(
    a: Path, b: Path, weight: float, target: Path, note: Callable[[str], None], *, name: str | None = None
) -> list[Path]:
    """As `blend` for two runs, and as `exchange.blending.blend` for two model files; a run beside a file is exported.

    Args:
        note: is told what a person should know.

    Raises:
        UsageError: a run that leaves several models stands beside a file. Else as both, and as `export.from_run`.
    """
    if not a.is_file() and not b.is_file():
        return blend(a, b, weight, target, name=name, note=note)
    if a.is_file() and b.is_file():
        blending.blend(a, b, weight, target, name=name)
        return [target]
    with tempfile.TemporaryDirectory() as folder:
        run = b if a.is_file() else a
        written = export.from_run(run, Path(folder) / "run.onnx", export.ExportOptions(), note)
        if len(written) > 1:
            raise UsageError(f"{run} leaves {len(written)} models: export it, and blend the file that you mean")
        exported = written[0].path
        first, second = (a, exported) if a.is_file() else (exported, b)
        blending.blend(
            first, second, weight, target, name=name, parents=(_display_name(a), _display_name(b)), shown=(a, b)
        )
    return [target]


def _display_name(place: Path) -> str:
    return place.stem if place.is_file() else place.resolve().name


def blend(
    a: Path,
    b: Path,
    weight: float,
    target: Path,
    *,
    name: str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Write models whose weights are (1 - weight) * those of `a` + weight * those of `b`, verified.

    What is interpolated are the networks that run: the moving averages where there are any, folded. Both must have the
    same layers. Usually `b` is an adversarial run that started from `a`, its fidelity run; then every weight between
    gives a working network, with less of the detail and of the artefacts of `b`.

    Args:
        a, b: run folders, of which the best checkpoint is taken, or checkpoint folders in one.
        weight: share of `b`, 0..1.
        target: .onnx file; methods that leave several models put what tells them apart before the ending.
        name: name in the card; none: that of `b` with "-blend".
        note: is told what a person should know.

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
    for found, place in ((first, a), (second, b)):
        check_statistics(found, place, note)
    if [one.suffix for one in first.models] != [one.suffix for one in second.models]:
        raise CheckpointError(f"{a} and {b} cannot be blended: they leave {_files(first)} and {_files(second)}")
    written = []
    for one, other, ours, theirs in zip(first.models, second.models, first.weights, second.weights, strict=True):
        check_compatible(one, other, ours, theirs, f"{a} and {b} cannot be blended")
        other.network.load_state_dict(interpolate(ours, theirs, weight))
        called = name + other.suffix.replace(".", "-") if name else f"{other.card.name}-blend"
        card = blending.blended_card(one.card, other.card, weight, (first.name, second.name), called)
        place = target.with_name(f"{target.stem}{other.suffix}{target.suffix}")
        exchange.export(other.network, card, place)
        written.append(place)
    return written


def interpolate(a: Mapping[str, Tensor], b: Mapping[str, Tensor], weight: float) -> dict[str, Tensor]:
    """(1 - weight) * `a` + weight * `b`, key by key; counts and other whole numbers are those of `b`."""
    return {
        k: (1 - weight) * a[k] + weight * theirs if theirs.is_floating_point() else theirs for k, theirs in b.items()
    }


def check_compatible(
    a: ModelExport, b: ModelExport, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], where: str
) -> None:
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
    for fact in blending.SAME_IN_BOTH:
        one, other = getattr(a.card, fact), getattr(b.card, fact)
        if one != other:
            raise CheckpointError(f"{where}: {fact} is {one} in the first and {other} in the second")


def _files(trained: TrainedRun) -> str:
    return ", ".join(f"model{one.suffix}.onnx" for one in trained.models)
