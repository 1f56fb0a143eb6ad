"""Network interpolation: a model between two others (Wang et al. 2018, ESRGAN, section 3.4)."""

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

MAX_KEYS = 5
"""Maximum number of keys that a message names."""


def blend_any(
    a: Path, b: Path, weight: float, target: Path, note: Callable[[str], None], *, name: str | None = None
) -> list[Path]:
    """Blend two runs, two model files, or a run and a model file. A run beside a file is exported first.

    See `blend` for runs and `exchange.blending.blend` for model files.

    Args:
        note: called with messages for the user.

    Raises:
        UsageError: a run with several models stands beside a file. Otherwise as `blend`, `exchange.blending.blend` and
            `export.from_run`.
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
            raise UsageError(f"{run} has {len(written)} models: export it and blend one of the files")
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
    """Write models whose weights are (1 - weight) * `a` + weight * `b`, verified.

    This interpolates the networks that run: the moving averages where they exist, folded. Both must have the same
    layers. Usually `b` is an adversarial run that started from `a`, its fidelity run. Then every weight gives a working
    network, and a smaller weight gives less of the detail and of the artefacts of `b`.

    Args:
        a, b: run folders, for their best checkpoints, or checkpoint folders of a run.
        weight: share of `b`, 0..1.
        target: .onnx file. Methods with several models add a suffix before the extension.
        name: name in the card. None: the name of `b` with "-blend".
        note: called with messages for the user.

    Returns:
        The files written.

    Raises:
        ConfigError: `weight` is out of range, a folder is not a run, or its configuration cannot be read.
        CheckpointError: nothing can be read there, or the networks differ. The message names the first keys.
        DataError: a method needs its data to build its networks, and the data is missing.
        ExportError: a model cannot be written.
    """
    if not 0 <= weight <= 1:
        raise ConfigError(f"the weight of a blend must be between 0 (only {a}) and 1 (only {b}), not {weight:g}")
    first, second = read(a), read(b)
    for found, place in ((first, a), (second, b)):
        check_statistics(found, place, note)
    if [one.suffix for one in first.models] != [one.suffix for one in second.models]:
        raise CheckpointError(f"{a} and {b} cannot be blended: their models are {_files(first)} and {_files(second)}")
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
    """Return (1 - weight) * `a` + weight * `b`, key by key. Integers, such as counters, are those of `b`."""
    return {
        k: (1 - weight) * a[k] + weight * theirs if theirs.is_floating_point() else theirs for k, theirs in b.items()
    }


def check_compatible(
    a: ModelExport, b: ModelExport, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], where: str
) -> None:
    """Check that two models, whose weights are `ours` and `theirs`, have the same layers and the same purpose.

    Raises:
        CheckpointError: they differ. The message begins with `where` and names the first keys.
    """
    for what, keys in (
        ("only the first has", [k for k in ours if k not in theirs]),
        ("only the second has", [k for k in theirs if k not in ours]),
        ("different shapes in", [k for k in ours if k in theirs and ours[k].shape != theirs[k].shape]),
    ):
        if keys:
            more = f" and {len(keys) - MAX_KEYS} more" if len(keys) > MAX_KEYS else ""
            raise CheckpointError(f"{where}, their networks differ: {what} {', '.join(keys[:MAX_KEYS])}{more}")
    for fact in blending.SAME_IN_BOTH:
        one, other = getattr(a.card, fact), getattr(b.card, fact)
        if one != other:
            raise CheckpointError(f"{where}: {fact} is {one} in the first and {other} in the second")


def _files(trained: TrainedRun) -> str:
    return ", ".join(f"model{one.suffix}.onnx" for one in trained.models)
