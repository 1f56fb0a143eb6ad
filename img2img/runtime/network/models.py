"""Finds models: by name in the user's folder and among the bundled ones, by path, or by scale."""

import difflib
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from img2img.errors import ModelError, UsageError
from img2img.runtime.files.source import PICTURE_SUFFIXES
from img2img.runtime.network import cpu, model_file
from img2img.runtime.network.card import METADATA_KEY, Card

SUFFIX = ".onnx"
# NAME.int8.onnx next to NAME.onnx is the same network in another precision. It is also a model with its own name.
_INT8 = ".int8"
_PRECISIONS = ("int8", "fp16")
# The models that `--scale` chooses from. Other upscaling models must be named.
DEFAULT_UPSCALERS = ("upscale-x2", "upscale-x3", "upscale-x4")
# Name of a model that earlier versions bundled -> how to get it.
_FORMER = {
    "outline-to-color": "train it on pairs of drawings with img2img train pix2pix --data FOLDER; settings and figures:"
    " https://github.com/img2img/img2img/tree/main/examples/pix2pix"
}


@dataclass(frozen=True)
class Installed:
    """A model that can be selected by `name`."""

    name: str
    path: Path
    bundled: bool
    card: Card | None  # None: the file has no card, or cannot be read
    problem: str | None = None  # the reason why the file cannot be read, one line


def user_folder() -> Path:
    """The folder for a user's own models: $IMG2IMG_MODELS, or the platform's folder for data. May not exist."""
    if chosen := os.environ.get("IMG2IMG_MODELS"):
        return Path(chosen).expanduser()
    import platformdirs

    folder = platformdirs.user_data_path("img2img", appauthor=False) / "models"
    # Version 0.1.0 ignored $XDG_DATA_HOME on macOS and read %LOCALAPPDATA% on Windows. Its models are still found.
    base = {"darwin": "~/Library/Application Support", "win32": os.environ.get("LOCALAPPDATA")}.get(sys.platform)
    former = Path(base).expanduser() / "img2img" / "models" if base else folder
    return former if former.is_dir() and not folder.is_dir() else folder


def bundled_folder() -> Path:
    """The folder of the models that ship with the package. May not exist."""
    package = Path(__file__).parents[2]
    inside = package / "weights"  # in a wheel; in a source checkout the folder is next to the package
    return inside if inside.is_dir() else package.parent / "weights"


def read_card(path: Path) -> Card | None:
    """The card in the ONNX file at `path`; None if it has no card. Creates no session and reads no weights.

    Raises:
        ModelError: the file cannot be read, is not an ONNX file, or its card is invalid.
    """
    text = model_file.metadata(path).get(METADATA_KEY)
    return None if text is None else Card.from_json(text, where=str(path))


def find(name_or_path: str | os.PathLike[str], *, direction: str | None = None, part: str | None = None) -> Path:
    """Find the file of a model. A string with a path separator or the suffix .onnx is a path, any other is a name.

    A model in the user's folder has precedence over a bundled one of the same name. A run folder stands for the model
    in it. If the run created several models, `direction` selects one: the part between `model.` and `.onnx`. `part`
    selects one of them for a purpose, such as "reference", if the run has it: model.reference.onnx, or
    model.AtoB.reference.onnx for the direction AtoB.

    Raises:
        ModelError: there is no such model; the message lists the known names.
        UsageError: `direction` is given and the path is not a run folder.
    """
    wanted = os.fspath(name_or_path)
    if Path(wanted).suffix.casefold() in PICTURE_SUFFIXES and not Path(wanted).is_dir():
        raise ModelError(f"{wanted}: a picture, not a model; --model takes a name or an ONNX file")
    separators = [one for one in (os.sep, os.altsep) if one]
    if isinstance(name_or_path, Path) or wanted.endswith(SUFFIX) or any(one in wanted for one in separators):
        path = Path(wanted).expanduser()
        if path.is_dir():
            return _in_run(path, direction, part)
        if direction is not None:
            raise UsageError(f"--direction {direction}: {path} is a single model; pass its run folder instead")
        if not path.is_file():
            raise ModelError(f"{path}: " + ("not a model file" if path.exists() else "no such model file"))
        return path
    names = files()
    if wanted in names:
        if direction is not None:
            raise UsageError(f"--direction {direction}: {wanted} is a single model; pass its run folder instead")
        return names[wanted]
    if Path(wanted).is_dir():
        return _in_run(Path(wanted), direction, part)
    if wanted in _FORMER:
        raise ModelError(f"{wanted} is no longer bundled: {_FORMER[wanted]}", hint=_FORMER[wanted])
    raise ModelError(f"there is no model named {wanted!r}{_hint(wanted, list(names))}")


def _in_run(folder: Path, direction: str | None, part: str | None) -> Path:
    found = {path.stem.removeprefix("model").removeprefix("."): path for path in sorted(folder.glob(f"model*{SUFFIX}"))}
    if not found:
        raise ModelError(f"{folder}: this folder has no model.onnx; is the run complete?")
    if direction is not None:
        if direction not in found:
            raise ModelError(f"{folder}: no model.{direction}.onnx; models: {', '.join(map(str, found.values()))}")
        return found.get(f"{direction}.{part}", found[direction])
    if part in found:
        return found[part]
    if "" in found or len(found) == 1:
        return found.get("") or next(iter(found.values()))
    directions = [name for name in found if name.rpartition(".")[0] not in found]
    raise ModelError(f"{folder}: this run has several models: use --direction {' or --direction '.join(directions)}")


def is_installed(name: str) -> bool:
    """Whether a model can be selected by `name`."""
    return name in files()


def installed() -> list[Installed]:
    """All models that have a name, sorted by name. Unreadable files are listed with their problem."""
    found = []
    for name, path in sorted(files().items()):
        card, problem = None, None
        try:
            card = read_card(path)
        except ModelError as error:
            problem = str(error)
        found.append(Installed(name, path, path.parent == bundled_folder(), card, problem))
    return found


def files() -> dict[str, Path]:
    """Name -> file of all models that have a name. The user's folder comes last, so its models have precedence."""
    return {path.stem: path for folder in (bundled_folder(), user_folder()) for path in _model_files(folder)}


def for_scale(scale: float) -> Path:
    """The default model for a scale: the one of that scale, otherwise the next larger, otherwise the largest.

    A Lanczos resize covers the difference, and shrinking a result loses less than enlarging it.

    Raises:
        UsageError: `scale` is not a positive finite number.
        ModelError: none of the default upscaling models is installed.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise UsageError(f"scale must be a number above 0, not {scale}")
    found = files()
    by_scale: dict[int, Path] = {}
    for name in DEFAULT_UPSCALERS:
        card = read_card(found[name]) if name in found else None
        if card is not None and card.task == "upscale":
            by_scale.setdefault(card.scale, found[name])
    if not by_scale:
        raise ModelError(f"no upscaling model is installed (looked in {user_folder()} and {bundled_folder()})")
    return by_scale[min((one for one in by_scale if one >= scale), default=max(by_scale))]


def candidates(task: str, scale: float | None = None, *, device: str = "auto") -> list[Path]:
    """Bundled models for a task, the best first: most parameters first, and the float file before its 8-bit version.

    A model in the user's folder replaces the bundled one of the same name. The user's other models are not included,
    because only the user knows their purpose.

    Args:
        scale: scale of the models; if none has it, the next larger or the largest scale is used; None: any scale.
        device: 8-bit files are omitted if they bring no advantage there (CUDA, or a CPU without the instructions).
    """
    bundled = {path.stem for path in _model_files(bundled_folder())}
    fitting = [
        one
        for one in installed()
        if one.name in bundled and one.card is not None and one.card.task == task and _runs_well(one.card, device)
    ]
    if task == "upscale":  # models of scale 1 do something else: img2img restore
        fitting = [one for one in fitting if one.card is not None and one.card.scale > 1]
    if scale is not None and task == "upscale":
        scales = {one.card.scale for one in fitting if one.card is not None}
        best = min((one for one in scales if one >= scale), default=max(scales, default=0))
        fitting = [one for one in fitting if one.card is not None and one.card.scale == best]

    def order(one: Installed) -> tuple[int, bool]:
        assert one.card is not None
        return -one.card.parameters, one.card.precision != "fp32"

    return [one.path for one in sorted(fitting, key=order)]


def for_degraded_input(card: Card, *, but: Path) -> str | None:
    """The name of an installed model for degraded photos, with the task, scale and domains of `card`.

    Bundled models come first, then those with more parameters. None if there is no such model besides `but`.
    """
    fitting = [
        (not one.bundled, -one.card.parameters, one.name)
        for one in installed()
        if one.card is not None
        and one.card.input_quality == "degraded"
        and (one.card.task, one.card.scale, one.card.domains) == (card.task, card.scale, card.domains)
        and one.path != but
        and full_precision(one.path) is None
    ]
    return min(fitting)[2] if fitting else None


def for_device(path: Path, device: str) -> Path:
    """The file to run for the model at `path`: its 8-bit version on a CPU with 8-bit instructions, otherwise itself.

    The 8-bit version is used only for the device "cpu", because the result of "auto" should not depend on the machine.
    It is used only for models in the bundled folder and the user's folder: any other path means exactly that file.
    """
    if device != "cpu" or path.parent not in (bundled_folder(), user_folder()) or not cpu.has_int8():
        return path
    int8 = path.with_name(f"{path.stem}{_INT8}{SUFFIX}")
    return int8 if _is_same_network(int8, path, "int8") else path


def full_precision(path: Path) -> Path | None:
    """The fp32 file next to a model in half or 8-bit precision (NAME.onnx for NAME.int8.onnx), or None."""
    stem, _, precision = path.stem.rpartition(".")
    if not stem or precision not in _PRECISIONS:
        return None
    plain = path.with_name(f"{stem}{SUFFIX}")
    return plain if _is_same_network(path, plain, precision) else None


def for_task(task: str) -> Path:
    """The default model for a task: the only one in the user's folder, otherwise the only bundled one.

    A bundled translation model is never the default, because each one does something different.

    Raises:
        ModelError: there is no such model, or there are several; the message says what to do.
    """
    fitting = [
        one
        for one in installed()
        if one.card is not None and one.card.task == task and full_precision(one.path) is None
    ]
    own = [one for one in fitting if not one.bundled]
    if len(own or fitting) == 1 and (own or task != "translate"):
        return (own or fitting)[0].path
    if not fitting:
        raise ModelError(
            f"no model for {task!r} is installed: name a file that img2img train wrote (--model RUN/model.onnx)"
        )
    raise ModelError(f"choose a model for {task!r} with --model: {', '.join(one.name for one in own or fitting)}")


def _model_files(folder: Path) -> list[Path]:
    """The model files in a folder, which may not exist."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.suffix == SUFFIX and path.is_file()]


def _runs_well(card: Card, device: str) -> bool:
    if card.precision == "int8":
        return not device.startswith("cuda") and cpu.has_int8()
    return card.precision == "fp32" or device.startswith("cuda")  # half precision is no faster on the CPU


def _is_same_network(reduced: Path, plain: Path, precision: str) -> bool:
    """Whether both files exist and hold the same network according to their cards.

    Rejects files that an earlier training left behind.
    """
    if not (reduced.is_file() and plain.is_file()):
        return False
    try:
        ours, theirs = read_card(reduced), read_card(plain)
    except ModelError:  # reported when the file is loaded by its name
        return False
    if ours is None or theirs is None or ours.precision != precision or theirs.precision != "fp32":
        return False
    return all(
        getattr(ours, key) == getattr(theirs, key)
        for key in ("name", "task", "scale", "parameters", "inputs", "domains")
    )


def _hint(wanted: str, names: list[str]) -> str:
    if not names:
        return f"; no model is installed (looked in {user_folder()} and {bundled_folder()})"
    close = difflib.get_close_matches(wanted, names, n=1)
    return (f"; did you mean {close[0]!r}?" if close else ";") + f" installed: {', '.join(sorted(names))}"
